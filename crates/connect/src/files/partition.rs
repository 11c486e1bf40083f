//! Columns that stand in the names of folders: `customer=a/date=2026-01-01/part.parquet`, as Hive laid it out.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray, UInt32Array, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use fyke_types::{Error, Result, TableSpec};

/// What a folder is called whose rows have no value.
pub(crate) const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The names in a setting such as `customer, date`.
///
/// # Errors
/// `Usage` where there is none, or one twice.
pub(crate) fn names(text: &str) -> Result<Vec<String>> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    let twice = names.iter().enumerate().any(|(index, name)| names.iter().take(index).any(|other| other == name));
    if twice || names.iter().any(String::is_empty) {
        return Err(Error::usage(format!("setting 'partition_by' is '{text}'"))
            .hint("name one or more columns, such as 'customer, date'"));
    }
    Ok(names)
}

/// A value as a folder's name has it: bytes that a path, or `=`, could be taken for are `%XX`.
pub(crate) fn encoded(value: &str) -> Cow<'_, str> {
    // so that it is not taken for no value, or for no name
    match value {
        NULL => return Cow::Owned(NULL.replacen('_', "%5F", 1)),
        "" => return Cow::Borrowed("%"),
        _ => {}
    }
    let special = |byte: u8| byte < b' ' || byte == 0x7f || b"\"#%'*/:=?\\{[]^".contains(&byte);
    if !value.bytes().any(special) {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len() + 8);
    for character in value.chars() {
        match u8::try_from(character) {
            Ok(byte) if special(byte) => out.push_str(&format!("%{byte:02X}")),
            _ => out.push(character),
        }
    }
    Cow::Owned(out)
}

fn decoded(name: &str) -> Option<String> {
    if name == NULL {
        return None;
    }
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        let hex = behind.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match hex.and_then(|pair| u8::from_str_radix(pair, 16).ok()).filter(|_| *byte == b'%') {
            Some(value) => {
                out.push(value);
                rest = behind.get(2..).unwrap_or_default();
            }
            None if *byte == b'%' && name == "%" => rest = behind,
            None => {
                out.push(*byte);
                rest = behind;
            }
        }
    }
    Some(String::from_utf8(out).unwrap_or_else(|_| name.to_owned()))
}

/// The `name=value` folders that a file lies in, from the outermost.
pub(crate) fn of_path(path: &Path) -> Vec<(String, Option<String>)> {
    let folders = path.parent().into_iter().flat_map(Path::components);
    let pair = |folder: std::path::Component<'_>| {
        let text = folder.as_os_str().to_string_lossy().into_owned();
        let (name, value) = text.split_once('=')?;
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
        (is_name && !name.is_empty()).then(|| (name.to_owned(), decoded(value)))
    };
    folders.filter_map(pair).collect()
}

/// Which columns of a table stand in folders, and which in files.
#[derive(Debug, Clone)]
pub(crate) struct Partitioning {
    /// All columns.
    pub(crate) schema: SchemaRef,
    /// The columns of the files.
    files: SchemaRef,
    /// Of each column its place in the files; none where it stands in folders.
    places: Vec<Option<usize>>,
}

impl Partitioning {
    /// The partition columns of a table with the columns `schema` in its files.
    pub(crate) fn new(names: &[String], declared: Option<&SchemaRef>, files: &SchemaRef) -> Option<Self> {
        let schema: Schema = match declared {
            Some(declared) => declared.as_ref().clone(),
            None => {
                // where a file has the column too, its folder is believed
                let own = files.fields().iter().filter(|field| !names.contains(field.name()));
                let own = own.map(|field| field.as_ref().clone());
                let folders = names.iter().map(|name| Field::new(name, DataType::Utf8, true));
                Schema::new(own.chain(folders).collect::<Vec<_>>())
            }
        };
        let place = |field: &Arc<Field>| match names.contains(field.name()) {
            true => None,
            false => files.index_of(field.name()).ok(),
        };
        let places: Vec<Option<usize>> = schema.fields().iter().map(place).collect();
        places.contains(&None).then(|| Self { schema: Arc::new(schema), files: Arc::clone(files), places })
    }

    /// The table as its files have it: without the columns that stand in folders.
    pub(crate) fn without(names: &[String], spec: &TableSpec) -> TableSpec {
        let mut spec = spec.clone();
        if let Some(schema) = &spec.schema {
            let own = schema.fields().iter().filter(|field| !names.contains(field.name()));
            spec.schema = Some(Arc::new(Schema::new(own.cloned().collect::<Vec<_>>())));
        }
        spec
    }

    /// The columns of the files.
    pub(crate) fn of_files(&self) -> SchemaRef {
        Arc::clone(&self.files)
    }

    /// The columns of files that a reading of `built` needs, and how they are put together.
    pub(crate) fn plan(&self, built: Option<&[usize]>) -> Result<(Vec<usize>, Layout)> {
        let all: Vec<usize> = (0..self.places.len()).collect();
        let built = built.unwrap_or(&all);
        let schema = Arc::new(self.schema.project(built)?);
        let places: Vec<Option<usize>> = built.iter().map(|index| self.places.get(*index).copied().flatten()).collect();
        let in_files = places.iter().flatten().copied().collect();
        Ok((in_files, Layout { schema, from_files: places.iter().map(Option::is_some).collect() }))
    }
}

/// How rows of a file become rows of the table.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    schema: SchemaRef,
    /// Of each column whether it comes from the file.
    from_files: Vec<bool>,
}

impl Layout {
    /// For a file at `path`.
    ///
    /// # Errors
    /// `Data` where a folder's name is no value of its column.
    pub(crate) fn of(&self, path: &Path) -> Result<Assembly> {
        let folders = of_path(path);
        let mut columns = Vec::with_capacity(self.from_files.len());
        for (field, from_files) in self.schema.fields().iter().zip(&self.from_files) {
            columns.push(if *from_files { None } else { Some(constant(field, &folders, path)?) });
        }
        Ok(Assembly { schema: Arc::clone(&self.schema), columns })
    }
}

/// One value of a partition column.
fn constant(field: &Field, folders: &[(String, Option<String>)], path: &Path) -> Result<ArrayRef> {
    let value = folders.iter().rev().find(|(name, _)| name == field.name()).and_then(|(_, value)| value.as_deref());
    let Some(value) = value else { return Ok(new_null_array(field.data_type(), 1)) };
    let strict = CastOptions { safe: false, ..Default::default() };
    cast_with_options(&StringArray::from(vec![value]), field.data_type(), &strict).map_err(|error| {
        let (name, wanted) = (field.name(), field.data_type());
        Error::data(format!("{} lies in a folder {name}={value}, expected {wanted}", path.display())).detail(error)
    })
}

/// Puts the values of a file's folders beside its rows.
#[derive(Debug)]
pub(crate) struct Assembly {
    schema: SchemaRef,
    /// The value of a column that stands in folders; none where the file has it.
    columns: Vec<Option<ArrayRef>>,
}

impl Assembly {
    /// Rows of the table.
    pub(crate) fn rows(&self, of_file: &RecordBatch) -> Result<RecordBatch> {
        let count = of_file.num_rows();
        let mut from_file = of_file.columns().iter();
        let first = UInt32Array::from(vec![0; count]);
        let mut columns = Vec::with_capacity(self.columns.len());
        for constant in &self.columns {
            let column = match constant {
                Some(value) => Some(take(value, &first, None)?),
                None => from_file.next().cloned(),
            };
            columns.push(column.ok_or_else(|| Error::internal("a file's rows lack a column"))?);
        }
        let rows = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &rows)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_come_back_from_their_folders(value in any::<String>()) {
            let name = encoded(&value).into_owned();
            prop_assert!(!name.contains(['/', '=', '\0']) && !name.is_empty(), "{}", name);
            let path = format!("root/x={name}/part.parquet");
            prop_assert_eq!(of_path(Path::new(&path)), vec![("x".to_owned(), Some(value))]);
        }
    }

    #[test]
    fn what_could_be_taken_for_no_value_is_told_from_it() {
        for value in [NULL, "", "%", "..", "_", "a%2Fb"] {
            let name = encoded(value);
            assert_ne!(name, NULL);
            assert_eq!(decoded(&name).as_deref(), Some(value), "{name}");
        }
    }

    #[test]
    fn folders_of_a_path_are_read_from_the_outermost() {
        let path = "/logs/customer=a%2Fb/date=2026-01-01/x=__HIVE_DEFAULT_PARTITION__/a=b.parquet";
        let found = of_path(Path::new(path));
        let own = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        assert_eq!(found, [own("customer", Some("a/b")), own("date", Some("2026-01-01")), own("x", None)]);
    }
}
