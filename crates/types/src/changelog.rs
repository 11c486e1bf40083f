//! Upserts as rows, and rows by key again.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, StructArray, new_null_array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::row::{OwnedRow, RowConverter, SortField};

use crate::{Error, Result, Sink, SinkHealth, key_columns, key_schema};

/// The first column of a changelog: `upsert` or `delete`.
pub const OP: &str = "op";

/// Writes upserts as rows of a sink that appends: a column `op` says `upsert` or `delete`; a deleted row has its key's
/// columns alone, the others are null.
pub struct Changelog {
    inner: Box<dyn Sink>,
    schema: SchemaRef,
}

impl Changelog {
    /// The columns of a changelog of rows of `schema`.
    ///
    /// # Errors
    /// `Usage` where the rows have a column `op` themselves.
    pub fn schema(schema: &SchemaRef) -> Result<SchemaRef> {
        if schema.column_with_name(OP).is_some() {
            return Err(Error::usage(format!("a changelog has a column '{OP}' of its own, and so have the rows"))
                .hint(format!("give the rows' column another name: {OP} AS …")));
        }
        let op = Arc::new(Field::new(OP, DataType::Utf8, false));
        let rest = schema.fields().iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
        Ok(Arc::new(Schema::new([op].into_iter().chain(rest).collect::<Vec<FieldRef>>())))
    }

    /// `inner` takes rows of [`Changelog::schema`].
    ///
    /// # Errors
    /// As [`Changelog::schema`].
    pub fn new(inner: Box<dyn Sink>, schema: &SchemaRef) -> Result<Self> {
        Ok(Self { inner, schema: Self::schema(schema)? })
    }

    fn put(&mut self, op: &str, columns: impl Iterator<Item = ArrayRef>, rows: usize) -> Result<()> {
        let ops: ArrayRef = Arc::new(StringArray::from(vec![op; rows]));
        let columns = [ops].into_iter().chain(columns).collect();
        self.inner.write(&RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

impl Sink for Changelog {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.put("upsert", batch.columns().iter().cloned(), batch.num_rows())
    }

    fn delete(&mut self, keys: &RecordBatch) -> Result<()> {
        let fields: Vec<FieldRef> = self.schema.fields().iter().skip(1).cloned().collect();
        let columns = fields.iter().map(|field| with_key(field, field.name(), keys)).collect::<Vec<_>>();
        self.put("delete", columns.into_iter(), keys.num_rows())
    }

    fn flush(&mut self) -> Result<()> {
        self.inner.flush()
    }

    fn prepare(&mut self, part: u64, last: bool) -> Result<Option<String>> {
        self.inner.prepare(part, last)
    }

    fn waits_for_commit(&self) -> bool {
        self.inner.waits_for_commit()
    }

    fn shows_at_once(&self) -> bool {
        self.inner.shows_at_once()
    }

    fn dead_letters_to(&mut self, sink: Box<dyn Sink>) -> Result<()> {
        self.inner.dead_letters_to(sink)
    }

    fn health(&self) -> Option<SinkHealth> {
        self.inner.health()
    }

    fn commit(&mut self, prepared: &str) -> Result<()> {
        self.inner.commit(prepared)
    }

    fn recover(&mut self, part: u64) -> Result<()> {
        self.inner.recover(part)
    }

    fn finish(&mut self) -> Result<()> {
        self.inner.finish()
    }
}

/// A column with the key's values where it is of the key, else null.
fn with_key(field: &Field, path: &str, keys: &RecordBatch) -> ArrayRef {
    if let Some(column) = keys.column_by_name(path) {
        return ArrayRef::clone(column);
    }
    let inside = format!("{path}.");
    match field.data_type() {
        DataType::Struct(members) if keys.schema().fields().iter().any(|key| key.name().starts_with(&inside)) => {
            let columns = members.iter().map(|member| with_key(member, &format!("{inside}{}", member.name()), keys));
            let columns: Vec<ArrayRef> = columns.collect();
            match StructArray::try_new(members.clone(), columns, None) {
                Ok(whole) => Arc::new(whole),
                // a member that can't be null
                Err(_) => new_null_array(field.data_type(), keys.num_rows()),
            }
        }
        other => new_null_array(other, keys.num_rows()),
    }
}

/// The last row of each key: what a consumer of upserts holds.
#[derive(Debug)]
pub struct LastByKey {
    key: Vec<String>,
    schema: SchemaRef,
    converter: RowConverter,
    rows: BTreeMap<OwnedRow, RecordBatch>,
}

impl LastByKey {
    /// No rows yet.
    ///
    /// # Errors
    /// `Usage` for a key that is no column.
    pub fn new(schema: &SchemaRef, key: &[String]) -> Result<Self> {
        let fields = key_schema(schema, key)?;
        // a constant stands for the key of the one row without one
        let constant = fields.fields().is_empty().then_some(SortField::new(DataType::Null));
        let fields = fields.fields().iter().map(|field| SortField::new(field.data_type().clone()));
        let converter = RowConverter::new(fields.chain(constant).collect())?;
        Ok(Self { key: key.to_vec(), schema: Arc::clone(schema), converter, rows: BTreeMap::new() })
    }

    fn keys(&self, keys: &RecordBatch) -> Result<Vec<OwnedRow>> {
        let mut columns = keys.columns().to_vec();
        if columns.is_empty() {
            columns.push(new_null_array(&DataType::Null, keys.num_rows()));
        }
        Ok(self.converter.convert_columns(&columns)?.iter().map(|row| row.owned()).collect())
    }

    /// Takes rows.
    ///
    /// # Errors
    /// Where they lack the key's columns.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        for (row, key) in self.keys(&key_columns(batch, &self.key)?)?.into_iter().enumerate() {
            self.rows.insert(key, batch.slice(row, 1));
        }
        Ok(())
    }

    /// Forgets keys.
    ///
    /// # Errors
    /// Where they are no such keys.
    pub fn delete(&mut self, keys: &RecordBatch) -> Result<()> {
        self.keys(keys)?.iter().for_each(|key| _ = self.rows.remove(key));
        Ok(())
    }

    /// The rows, by key.
    ///
    /// # Errors
    /// Arrow's.
    pub fn rows(&self) -> Result<RecordBatch> {
        Ok(concat_batches(&self.schema, self.rows.values())?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use arrow::array::{Array, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::window;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<RecordBatch>>>);

    impl Sink for Kept {
        fn write(&mut self, batch: &RecordBatch) -> Result<()> {
            self.0.lock().expect("held").push(batch.clone());
            Ok(())
        }

        fn finish(&mut self) -> Result<()> {
            Ok(())
        }
    }

    fn rows(starts: &[i64], n: &[i64]) -> RecordBatch {
        let ends = starts.iter().map(|start| start + 10).collect();
        RecordBatch::try_from_iter([
            ("w", Arc::new(window::windows(starts.to_vec(), ends, None)) as ArrayRef),
            ("n", Arc::new(Int64Array::from(n.to_vec())) as ArrayRef),
        ])
        .expect("rows")
    }

    #[test]
    fn deleted_row_of_a_changelog_has_its_key_alone() {
        let (kept, batch) = (Kept::default(), rows(&[5], &[7]));
        let mut log = Changelog::new(Box::new(kept.clone()), &batch.schema()).expect("a changelog");
        log.write(&batch).expect("written");
        log.delete(&key_columns(&batch, &["w.start".to_owned()]).expect("keys")).expect("deleted");
        let batches = kept.0.lock().expect("held").clone();
        assert_eq!(batches[1].column(0).as_string::<i32>().value(0), "delete");
        let window = batches[1].column(1).as_struct();
        assert!(window.column(0).is_valid(0) && window.column(1).is_null(0) && batches[1].column(2).is_null(0));
    }

    #[test]
    fn rows_with_a_column_of_that_name_have_no_changelog() {
        let batch = RecordBatch::try_from_iter([("op", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]);
        assert!(Changelog::schema(&batch.expect("rows").schema()).is_err());
    }

    #[test]
    fn last_row_of_a_key_counts() {
        let key = ["w.start".to_owned()];
        let mut last = LastByKey::new(&rows(&[], &[]).schema(), &key).expect("by key");
        last.write(&rows(&[1, 2], &[10, 20])).expect("written");
        last.write(&rows(&[2, 3], &[21, 30])).expect("written");
        last.delete(&key_columns(&rows(&[1, 9], &[0, 0]), &key).expect("keys")).expect("deleted");
        assert_eq!(last.rows().expect("rows").column(1).as_primitive::<Int64Type>().values(), &[21, 30]);
    }

    #[test]
    fn rows_without_key_replace_each_other() {
        let mut last = LastByKey::new(&rows(&[], &[]).schema(), &[]).expect("by no key");
        last.write(&rows(&[1], &[10])).expect("written");
        last.write(&rows(&[1], &[11])).expect("written");
        assert_eq!(last.rows().expect("rows").num_rows(), 1);
    }
}
