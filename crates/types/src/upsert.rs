//! Upserts: rows that replace the one of the same key.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use crate::{Error, Result};

/// The columns of a key: `key` names columns of `schema`, members of a struct behind a dot (`w.start`).
///
/// # Errors
/// `Usage` for a name that is no column.
pub fn key_schema(schema: &SchemaRef, key: &[String]) -> Result<SchemaRef> {
    let fields = key.iter().map(|path| {
        let steps = steps(schema, path)?;
        let mut field = Arc::clone(&schema.fields()[steps[0]]);
        for step in &steps[1..] {
            if let DataType::Struct(members) = field.data_type() {
                field = Arc::clone(&members[*step]);
            }
        }
        Ok(Arc::new(Field::new(path, field.data_type().clone(), true)))
    });
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<FieldRef>>>()?)))
}

/// The key columns of rows, in the order of `key` and under its names.
///
/// # Errors
/// `Usage` for a name that is no column.
pub fn key_columns(batch: &RecordBatch, key: &[String]) -> Result<RecordBatch> {
    let schema = batch.schema();
    let columns = key.iter().map(|path| {
        let steps = steps(&schema, path)?;
        let mut column = ArrayRef::clone(batch.column(steps[0]));
        for step in &steps[1..] {
            column = member(&column, *step)?;
        }
        Ok(column)
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(key_schema(&schema, key)?, columns, &options)?)
}

/// Column, member, member of the member.
fn steps(schema: &SchemaRef, path: &str) -> Result<Vec<usize>> {
    if let Ok(column) = schema.index_of(path) {
        return Ok(vec![column]);
    }
    let unknown = || {
        let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        Error::usage(format!("the key '{path}' is no column")).hint(format!("there are {}", known.join(", ")))
    };
    // the longest name that is a column: names may hold dots themselves
    let cuts: Vec<usize> = path.match_indices('.').map(|(at, _)| at).collect();
    let (column, rest) = cuts
        .iter()
        .rev()
        .find_map(|at| Some((schema.index_of(&path[..*at]).ok()?, &path[at + 1..])))
        .ok_or_else(unknown)?;
    let mut steps = vec![column];
    let mut field = &schema.fields()[column];
    for name in rest.split('.') {
        let DataType::Struct(members) = field.data_type() else { return Err(unknown()) };
        let (at, member) = members.find(name).ok_or_else(unknown)?;
        steps.push(at);
        field = member;
    }
    Ok(steps)
}

/// A member of a null struct is null, whatever lies there.
fn member(column: &ArrayRef, at: usize) -> Result<ArrayRef> {
    let Some(of) = column.as_struct_opt() else { return Err(Error::internal("a key's column is no struct")) };
    let member = of.column(at);
    if of.null_count() == 0 {
        return Ok(ArrayRef::clone(member));
    }
    let nulls = NullBuffer::union(of.nulls(), member.nulls());
    Ok(arrow::array::make_array(member.to_data().into_builder().nulls(nulls).build()?))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::TimestampMicrosecondType;

    use super::*;
    use crate::window;

    fn rows() -> RecordBatch {
        let windows = window::windows(vec![1, 2], vec![11, 12], Some(NullBuffer::from(vec![true, false])));
        RecordBatch::try_from_iter([
            ("w", Arc::new(windows) as ArrayRef),
            ("a.b", Arc::new(StringArray::from(vec!["x", "y"])) as ArrayRef),
            ("n", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
        ])
        .expect("a batch")
    }

    #[test]
    fn key_has_members_of_structs_and_names_with_dots() {
        let key = ["w.start".to_owned(), "a.b".to_owned()];
        let keys = key_columns(&rows(), &key).expect("keys");
        assert_eq!(keys.schema().field(0).name(), "w.start");
        let starts = keys.column(0).as_primitive::<TimestampMicrosecondType>();
        assert_eq!(starts, &TimestampMicrosecondArray::from(vec![Some(1), None]));
        assert_eq!(keys.schema(), key_schema(&rows().schema(), &key).expect("schema"));
    }

    #[test]
    fn unknown_key_is_named() {
        for wrong in ["x", "w.middle", "n.start"] {
            let error = key_columns(&rows(), &[wrong.to_owned()]).expect_err("no such column").to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn no_key_is_one_group() {
        assert_eq!(key_columns(&rows(), &[]).expect("no columns").num_rows(), 2);
    }
}
