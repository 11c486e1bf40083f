//! Aggregates by themselves: however rows are split, merged and emitted, the same bits.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::sync::Arc;

use datafusion::arrow::array::UInt64Array;
use datafusion::arrow::array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, AggregateUDF, EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, Literal};
use proptest::prelude::*;

const GROUPS: usize = 4;
const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// A function, the type of its column, and the constants behind it.
fn cases() -> Vec<(&'static str, DataType, Vec<f64>)> {
    let with = |name, data_type: DataType| (name, data_type, vec![]);
    vec![
        with("unique", DataType::Utf8),
        with("unique", DataType::Int64),
        with("unique", DataType::Float64),
        with("approx_unique", DataType::Utf8),
        with("approx_unique", DataType::Int64),
        with("entropy_of", DataType::Utf8),
        with("mode_share", DataType::Int64),
        with("gap_mean", TIME),
        with("gap_var", TIME),
        with("gap_cv", TIME),
        with("gap_min", TIME),
        with("gap_max", TIME),
        ("approx_percentile", DataType::Float64, vec![0.9]),
        ("approx_percentile", DataType::Float64, vec![0.5, 0.001]),
    ]
}

struct Function {
    udaf: AggregateUDF,
    schema: Schema,
    fields: Vec<FieldRef>,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
}

impl Function {
    fn new(name: &str, data_type: DataType, constants: &[f64]) -> Self {
        let udaf = fyke_functions::aggregate_functions().into_iter().find(|udaf| udaf.name() == name).unwrap();
        let mut fields: Vec<FieldRef> = vec![Arc::new(Field::new("x", data_type, true))];
        let mut exprs: Vec<Arc<dyn PhysicalExpr>> = vec![Arc::new(Column::new("x", 0))];
        for constant in constants {
            fields.push(Arc::new(Field::new("c", DataType::Float64, true)));
            exprs.push(Arc::new(Literal::new(ScalarValue::Float64(Some(*constant)))));
        }
        Self { udaf, schema: Schema::new(vec![fields[0].as_ref().clone()]), fields, exprs }
    }

    fn args(&self) -> AccumulatorArgs<'_> {
        let types: Vec<DataType> = self.fields.iter().map(|field| field.data_type().clone()).collect();
        AccumulatorArgs {
            return_field: Arc::new(Field::new("out", self.udaf.return_type(&types).unwrap(), true)),
            schema: &self.schema,
            ignore_nulls: false,
            order_bys: &[],
            is_reversed: false,
            name: self.udaf.name(),
            is_distinct: false,
            exprs: &self.exprs,
            expr_fields: &self.fields,
        }
    }

    fn groups(&self) -> Box<dyn GroupsAccumulator> {
        self.udaf.create_groups_accumulator(self.args()).unwrap()
    }

    fn single(&self) -> Box<dyn Accumulator> {
        self.udaf.accumulator(self.args()).unwrap()
    }
}

fn column(data_type: &DataType, values: &[Option<i16>]) -> ArrayRef {
    match data_type {
        DataType::Utf8 => Arc::new(values.iter().map(|v| v.map(|v| format!("value {v}"))).collect::<StringArray>()),
        DataType::Int64 => Arc::new(values.iter().map(|v| v.map(i64::from)).collect::<Int64Array>()),
        DataType::Float64 => Arc::new(values.iter().map(|v| v.map(|v| f64::from(v) / 8.0)).collect::<Float64Array>()),
        _ => {
            Arc::new(values.iter().map(|v| v.map(|v| i64::from(v) * 1_234_567)).collect::<TimestampMicrosecondArray>())
        }
    }
}

/// One row: value, group, whether the filter lets it pass, and which of three parts it comes to.
type Row = (Option<i16>, usize, bool, usize);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let value = prop_oneof![4 => (0..40i16).prop_map(Some), 4 => any::<i16>().prop_map(Some), 1 => Just(None)];
    proptest::collection::vec((value, 0..GROUPS, any::<bool>(), 0..3usize), 0..700)
}

fn feed(accumulator: &mut dyn GroupsAccumulator, data_type: &DataType, rows: &[&Row], shift: usize) {
    let values = column(data_type, &rows.iter().map(|row| row.0).collect::<Vec<_>>());
    let groups: Vec<usize> = rows.iter().map(|row| row.1 - shift).collect();
    let filter: BooleanArray = rows.iter().map(|row| Some(row.2)).collect();
    accumulator.update_batch(&[values], &groups, Some(&filter), GROUPS - shift).unwrap();
}

fn bits(array: &ArrayRef) -> Vec<Option<u64>> {
    let of_float = |array: &Float64Array| array.iter().map(|v| v.map(f64::to_bits)).collect::<Vec<_>>();
    let of_int = |array: &Int64Array| array.iter().map(|v| v.map(|v| v as u64)).collect::<Vec<_>>();
    let any = array.as_any();
    any.downcast_ref().map(of_float).or_else(|| any.downcast_ref().map(of_int)).unwrap()
}

fn whole(function: &Function, data_type: &DataType, rows: &[Row]) -> Vec<Option<u64>> {
    let mut accumulator = function.groups();
    feed(accumulator.as_mut(), data_type, &rows.iter().collect::<Vec<_>>(), 0);
    bits(&accumulator.evaluate(EmitTo::All).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_split_and_merge_order_gives_the_same_bits(rows in rows(), batch in 1..100usize, order in Just([0, 1, 2]).prop_shuffle()) {
        for (name, data_type, constants) in cases() {
            let function = Function::new(name, data_type.clone(), &constants);
            let expected = whole(&function, &data_type, &rows);
            let mut merged = function.groups();
            for part in order {
                let mut partial = function.groups();
                let of_part: Vec<&Row> = rows.iter().rev().filter(|row| row.3 == part).collect();
                feed(partial.as_mut(), &data_type, &[], 0);
                of_part.chunks(batch).for_each(|chunk| feed(partial.as_mut(), &data_type, chunk, 0));
                let states = partial.state(EmitTo::All).unwrap();
                // groups arrive in another order than they have
                let reversed: Vec<usize> = (0..GROUPS).rev().collect();
                let indices = UInt64Array::from(reversed.iter().map(|group| *group as u64).collect::<Vec<_>>());
                let states: Vec<ArrayRef> = states.iter().map(|state| take(state, &indices, None).unwrap()).collect();
                merged.merge_batch(&states, &reversed, GROUPS).unwrap();
                // what was emitted is gone, and the accumulator can be used again
                prop_assert!(partial.evaluate(EmitTo::All).unwrap().is_empty());
            }
            // saved and restored on the way
            let saved = merged.state(EmitTo::All).unwrap();
            merged.merge_batch(&saved, &(0..GROUPS).collect::<Vec<_>>(), GROUPS).unwrap();
            prop_assert_eq!(bits(&merged.evaluate(EmitTo::All).unwrap()), expected, "{}", name);
        }
    }

    #[test]
    fn emitting_the_first_groups_keeps_the_others(rows in rows(), first in 0..=GROUPS, cut in 0..700usize) {
        for (name, data_type, constants) in cases() {
            let function = Function::new(name, data_type.clone(), &constants);
            let expected = whole(&function, &data_type, &rows);
            let (before, after) = rows.split_at(cut.min(rows.len()));
            let (early, late): (Vec<&Row>, Vec<&Row>) = after.iter().partition(|row| row.1 < first);
            let mut accumulator = function.groups();
            feed(accumulator.as_mut(), &data_type, &before.iter().chain(early).collect::<Vec<_>>(), 0);
            let mut got = bits(&accumulator.evaluate(EmitTo::First(first)).unwrap());
            feed(accumulator.as_mut(), &data_type, &late, first);
            // one by one: what is emitted may have to be compacted away
            for _ in first..GROUPS {
                got.extend(bits(&accumulator.evaluate(EmitTo::First(1)).unwrap()));
            }
            prop_assert_eq!(got, expected, "{}", name);
        }
    }

    #[test]
    fn rows_turned_into_state_and_single_groups_agree(rows in rows()) {
        for (name, data_type, constants) in cases() {
            let function = Function::new(name, data_type.clone(), &constants);
            let expected = whole(&function, &data_type, &rows);
            let values = column(&data_type, &rows.iter().map(|row| row.0).collect::<Vec<_>>());
            let filter: BooleanArray = rows.iter().map(|row| Some(row.2)).collect();
            let states = function.groups().convert_to_state(&[values], Some(&filter)).unwrap();
            let mut merged = function.groups();
            merged.merge_batch(&states, &rows.iter().map(|row| row.1).collect::<Vec<_>>(), GROUPS).unwrap();
            prop_assert_eq!(bits(&merged.evaluate(EmitTo::All).unwrap()), expected.clone(), "{}", name);

            for (group, expected) in expected.iter().enumerate() {
                let of_group: Vec<Option<i16>> = rows.iter().filter(|row| row.1 == group && row.2).map(|row| row.0).collect();
                let (mut one, mut other) = (function.single(), function.single());
                one.update_batch(&[column(&data_type, &of_group)]).unwrap();
                let state: Vec<ArrayRef> = one.state().unwrap().iter().map(|state| state.to_array().unwrap()).collect();
                other.merge_batch(&state).unwrap();
                prop_assert_eq!(bits(&other.evaluate().unwrap().to_array().unwrap()), vec![*expected], "{}", name);
                prop_assert_eq!(bits(&other.evaluate().unwrap().to_array().unwrap()), vec![*expected], "asked twice: {}", name);
            }
        }
    }

    #[test]
    fn variation_agrees_up_to_rounding(rows in rows()) {
        let function = Function::new("coefficient_of_variation", DataType::Float64, &[]);
        let expected = whole(&function, &DataType::Float64, &rows);
        let mut merged = function.groups();
        for part in 0..3 {
            let mut partial = function.groups();
            feed(partial.as_mut(), &DataType::Float64, &rows.iter().filter(|row| row.3 == part).collect::<Vec<_>>(), 0);
            merged.merge_batch(&partial.state(EmitTo::All).unwrap(), &(0..GROUPS).collect::<Vec<_>>(), GROUPS).unwrap();
        }
        for (got, expected) in bits(&merged.evaluate(EmitTo::All).unwrap()).into_iter().zip(expected) {
            let (got, expected) = (got.map(f64::from_bits), expected.map(f64::from_bits));
            // a mean that is exactly 0 one way and a rounding error the other way has no variation to compare
            if let (Some(got), Some(expected)) = (got, expected) && expected.abs() < 1e6 {
                prop_assert!((got - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{got} {expected}");
            }
        }
    }
}

#[test]
fn distinct_count_has_the_type_of_count() {
    let mut accumulator = fyke_functions::distinct_count_accumulator(&DataType::Utf8).unwrap();
    let values: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some("a"), None, Some("b")]));
    accumulator.update_batch(&[values], &[0, 0, 1, 2], None, 3).unwrap();
    assert_eq!(bits(&accumulator.evaluate(EmitTo::All).unwrap()), [Some(1), Some(0), Some(1)]);
}

#[test]
fn memory_is_counted_and_given_back() {
    for (name, data_type, constants) in cases() {
        let function = Function::new(name, data_type.clone(), &constants);
        let mut accumulator = function.groups();
        let empty = accumulator.size();
        let rows: Vec<Row> = (0..5_000).map(|row| (Some(row as i16), row % GROUPS, true, 0)).collect();
        feed(accumulator.as_mut(), &data_type, &rows.iter().collect::<Vec<_>>(), 0);
        assert!(accumulator.size() > empty, "{name}");
        accumulator.evaluate(EmitTo::All).unwrap();
        assert_eq!(accumulator.size(), empty, "{name}");
    }
}
