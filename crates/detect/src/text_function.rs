//! A function of texts to true, false or null, as DataFusion holds it: for rules that are looked up in lists.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// What is asked of two texts, each of which may be null.
pub(crate) type Ask = Arc<dyn Fn(Option<&str>, Option<&str>) -> Result<Option<bool>> + Send + Sync>;

/// A function of two texts.
pub(crate) fn of_two_texts(name: &'static str, ask: Ask) -> ScalarUDF {
    ScalarUDF::new_from_impl(OfTwoTexts {
        name,
        ask,
        signature: Signature::exact(vec![DataType::Utf8, DataType::Utf8], Volatility::Immutable),
    })
}

struct OfTwoTexts {
    name: &'static str,
    ask: Ask,
    signature: Signature,
}

impl fmt::Debug for OfTwoTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for OfTwoTexts {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.ask, &other.ask)
    }
}

impl Eq for OfTwoTexts {}

impl Hash for OfTwoTexts {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for OfTwoTexts {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays: Vec<ArrayRef> =
            args.args.iter().map(|arg| arg.to_array(args.number_rows)).collect::<Result<_>>()?;
        let texts = |place: usize| arrays.get(place).and_then(|array| array.as_string_opt::<i32>());
        let (Some(first), Some(second)) = (texts(0), texts(1)) else {
            return datafusion::common::internal_err!("{} takes two texts", self.name);
        };
        let answers = first.iter().zip(second).map(|(a, b)| (self.ask)(a, b)).collect::<Result<BooleanArray>>()?;
        Ok(ColumnarValue::Array(Arc::new(answers)))
    }
}
