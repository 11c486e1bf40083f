//! One scalar function as data, and its way into DataFusion. A function is a `static` of this type in its own file.

use std::fmt;
use std::hash::{Hash, Hasher};

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::doc::FunctionDoc;
use crate::parameter::{Parameter, coerce};

/// A scalar function. `run` gets arrays of equal length, already cast to the parameters' types.
pub(crate) struct ScalarFunction {
    pub doc: FunctionDoc,
    pub parameters: &'static [Parameter],
    /// How many of the parameters must be given.
    pub required: usize,
    pub returns: DataType,
    pub run: fn(&[ArrayRef]) -> Result<ArrayRef>,
    /// Looks at the constant arguments while the query is planned, to refuse them early.
    pub check: fn(&[Option<&ScalarValue>]) -> Result<()>,
}

/// For functions whose constants need no look.
pub(crate) fn unchecked(_: &[Option<&ScalarValue>]) -> Result<()> {
    Ok(())
}

impl ScalarFunction {
    pub(crate) fn udf(&'static self) -> ScalarUDF {
        ScalarUDF::new_from_impl(Planned { function: self, signature: Signature::user_defined(Volatility::Immutable) })
    }
}

/// The function as DataFusion holds it.
struct Planned {
    function: &'static ScalarFunction,
    signature: Signature,
}

impl fmt::Debug for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.function.doc.name)
    }
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.function.doc.name == other.function.doc.name
    }
}

impl Eq for Planned {}

impl Hash for Planned {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.doc.name.hash(state);
    }
}

impl ScalarUDFImpl for Planned {
    fn name(&self) -> &str {
        self.function.doc.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        coerce(self.function.doc.signature, self.function.parameters, self.function.required, given)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.function.returns.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<datafusion::arrow::datatypes::FieldRef> {
        (self.function.check)(args.scalar_arguments)?;
        Ok(std::sync::Arc::new(datafusion::arrow::datatypes::Field::new(
            self.function.doc.name,
            self.function.returns.clone(),
            true,
        )))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let arrays = if constant {
            ColumnarValue::values_to_arrays(&args.args)?
        } else {
            args.args.iter().map(|arg| arg.to_array(args.number_rows)).collect::<Result<_>>()?
        };
        let result = (self.function.run)(&arrays)?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}
