//! One aggregate function as data, and its way into DataFusion. A function is a `static` of this type in its own file.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::AggregateFunction as Call;
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, GroupsAccumulator, Signature, Volatility,
};

use super::single::SingleGroup;
use crate::doc::FunctionDoc;
use crate::parameter::{Parameter, coerce, refuse};

/// A groups accumulator that can also be looked at without losing its state.
pub(crate) trait Keeping: GroupsAccumulator + Sync {
    /// Makes room for groups that no row has touched.
    fn ensure(&mut self, groups: usize);

    /// The value of each group; the state stays.
    ///
    /// # Errors
    /// When Arrow refuses the array.
    fn values(&mut self) -> Result<datafusion::arrow::array::ArrayRef>;
}

/// An aggregate function.
pub(crate) struct AggregateFunction {
    pub doc: FunctionDoc,
    pub parameters: &'static [Parameter],
    /// How many of the parameters must be given.
    pub required: usize,
    pub returns: DataType,
    /// Whether it counts: 0 rather than null for no values.
    pub counts: bool,
    /// Names and types of the state's columns, from the type of the first argument.
    pub state: fn(&DataType) -> Vec<(&'static str, DataType)>,
    pub create: fn(&AccumulatorArgs) -> Result<Box<dyn Keeping>>,
}

impl AggregateFunction {
    pub(crate) fn udaf(&'static self) -> AggregateUDF {
        AggregateUDF::new_from_impl(Planned {
            function: self,
            signature: Signature::user_defined(Volatility::Immutable),
        })
    }
}

/// The function as DataFusion holds it.
struct Planned {
    function: &'static AggregateFunction,
    signature: Signature,
}

impl Planned {
    fn create(&self, args: &AccumulatorArgs) -> Result<Box<dyn Keeping>> {
        if args.is_distinct {
            return Err(no_distinct(self.function.doc.name));
        }
        (self.function.create)(args)
    }
}

fn no_distinct(name: &str) -> datafusion::common::DataFusionError {
    refuse(
        format!("{name}(DISTINCT …) is not supported"),
        "leave DISTINCT out, or group by the value in a subquery first",
    )
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

impl AggregateUDFImpl for Planned {
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

    fn is_nullable(&self) -> bool {
        !self.function.counts
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        if self.function.counts { Ok(ScalarValue::Int64(Some(0))) } else { ScalarValue::try_from(data_type) }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let input = args.input_fields.first().map_or(&DataType::Null, |field| field.data_type());
        let field = |(name, data_type): (&str, DataType)| {
            Arc::new(Field::new(format_state_name(args.name, name), data_type, true))
        };
        Ok((self.function.state)(input).into_iter().map(field).collect())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(SingleGroup::new(self.create(&args)?)))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(self.create(&args)?)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    /// Simplifies nothing: it refuses DISTINCT before the optimiser rewrites it into a grouping of its own, which
    /// the stream would not do.
    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        Some(Box::new(|call: Call, _| {
            if call.params.distinct {
                return Err(no_distinct(call.func.name()));
            }
            Ok(Expr::AggregateFunction(call))
        }))
    }
}
