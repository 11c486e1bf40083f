//! Groups on their way to the worker that holds their keys. Rows are aggregated where they are, so that a state for each
//! group and epoch travels rather than each row: a client that floods is a row in each epoch, whoever holds its key.

use std::collections::BTreeMap;

use datafusion::arrow::array::Array;
use datafusion::arrow::datatypes::DataType;
use fyke_types::Result;

use super::{RowSet, Sealed, Shape, Store};
use crate::Place;
use crate::operators::Evaluated;

/// After an epoch where it was not worth it, so many batches travel as rows.
const PAUSE: usize = 64;

/// See the module.
#[derive(Default)]
pub struct Gathering {
    stores: BTreeMap<Place, Store>,
    /// Rows in them.
    rows: usize,
    /// So many batches go as they are.
    pause: usize,
    /// Whether a group's state is small: known from the first batch on.
    is_small: Option<bool>,
}

impl Gathering {
    /// Whether to gather a batch.
    ///
    /// # Errors
    /// The accumulators'.
    pub fn is_worth_it(&mut self, shape: Shape<'_>) -> Result<bool> {
        let is_small = match self.is_small {
            Some(is_small) => is_small,
            None => *self.is_small.insert(is_small(shape)?),
        };
        let paused = self.pause > 0;
        self.pause = self.pause.saturating_sub(1);
        Ok(is_small && !paused)
    }

    /// Adds rows of a window or pane. `scratch` is reused between calls.
    ///
    /// # Errors
    /// The accumulators'.
    pub fn update(
        &mut self,
        shape: Shape<'_>,
        place: Place,
        set: &RowSet,
        Evaluated { keys, arguments, filters }: &Evaluated,
        scratch: &mut Vec<usize>,
    ) -> Result<()> {
        let store = match self.stores.entry(place) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => new.insert(Store::new(shape.keys, shape.aggregates)?),
        };
        self.rows += set.len();
        store.update(set, keys, arguments, filters, scratch)
    }

    /// What was gathered since the last call.
    ///
    /// # Errors
    /// The accumulators'.
    pub fn take(&mut self) -> Result<Vec<(Place, Sealed)>> {
        let stores = std::mem::take(&mut self.stores);
        let (rows, groups) = (std::mem::take(&mut self.rows), stores.values().map(Store::len).sum::<usize>());
        // groups cost about as much as rows: less than a quarter of them saved is not worth it
        if groups * 4 > rows * 3 {
            self.pause = PAUSE;
        }
        stores.into_iter().map(|(place, store)| Ok((place, store.seal()?))).collect()
    }
}

/// Whether the state of a group takes about as much as a row: not a sketch, nor a list of values.
fn is_small(shape: Shape<'_>) -> Result<bool> {
    let empty = Store::new(shape.keys, shape.aggregates)?.seal()?;
    let is_plain = |kind: &DataType| kind.is_primitive() || kind.is_string() || *kind == DataType::Boolean;
    // those whose state is known only when they have one are not counted among the small ones
    Ok(empty.states.iter().all(|state| !state.is_empty() && state.iter().all(|column| is_plain(column.data_type()))))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int64Array};
    use datafusion::arrow::datatypes::{Field, Schema};
    use datafusion::functions_aggregate::{approx_distinct::approx_distinct_udaf, sum::sum_udaf};
    use datafusion::logical_expr::AggregateUDF;
    use datafusion::physical_expr::aggregate::AggregateExprBuilder;
    use datafusion::physical_expr::expressions::Column;
    use fyke_types::Result;

    use super::*;
    use crate::state::Aggregate;
    use crate::{Customer, engine_error};

    const PLACE: Place = Place { customer: Customer(0), port: 0, start: 0, end: 60 };

    fn aggregate(of: Arc<AggregateUDF>) -> Result<Aggregate> {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let argument: Arc<dyn datafusion::physical_expr::PhysicalExpr> = Arc::new(Column::new("n", 0));
        let built = AggregateExprBuilder::new(of, vec![Arc::clone(&argument)]).schema(schema).alias("a").build();
        let built = built.map_err(engine_error)?;
        let accumulator = Arc::new(move || built.create_groups_accumulator());
        Ok(Aggregate { name: "a".to_owned(), accumulator, arguments: vec![argument], filter: None })
    }

    /// What leaves of so many rows over so many keys, and whether the next batch is gathered.
    fn gathered(of: Arc<AggregateUDF>, rows: i64, keys: i64) -> Result<(usize, bool)> {
        let key_schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true)]));
        let aggregates = [aggregate(of)?];
        let shape = Shape { keys: &key_schema, aggregates: &aggregates };
        let mut gathering = Gathering::default();
        let column = |of: Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(of)) };
        let keys = vec![column((0..rows).map(|row| row % keys).collect())];
        let evaluated = Evaluated { keys, arguments: vec![vec![column((0..rows).collect())]], filters: vec![None] };
        if gathering.is_worth_it(shape)? {
            gathering.update(shape, PLACE, &RowSet::All(rows as usize), &evaluated, &mut Vec::new())?;
        }
        let groups = gathering.take()?.iter().map(|(_, groups)| groups.rows).sum();
        Ok((groups, gathering.is_worth_it(shape)?))
    }

    #[test]
    fn a_flood_of_one_client_leaves_as_one_row() -> Result<()> {
        assert_eq!(gathered(sum_udaf(), 10_000, 1)?, (1, true));
        Ok(())
    }

    #[test]
    fn rows_of_as_many_clients_travel_as_they_are_from_then_on() -> Result<()> {
        assert_eq!(gathered(sum_udaf(), 1_000, 1_000)?, (1_000, false));
        Ok(())
    }

    #[test]
    fn sketches_are_not_sent_for_a_few_rows() -> Result<()> {
        assert_eq!(gathered(approx_distinct_udaf(), 1_000, 10)?, (0, false));
        Ok(())
    }
}
