//! What a row's document looks like: its fields as a tree, each with the column that fills it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, SchemaRef};
use fyke_types::{Error, Result, dead_schema, window};

use super::ecs::{self, CONSTANTS, Change};
use super::naming::member_of;
use crate::json::Column;

/// How a server holds a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Keyword,
    Ip,
    Long,
    Double,
    Boolean,
    Date,
    /// Members.
    Object(BTreeMap<String, Kind>),
    /// Whatever comes.
    Any,
}

/// A field and what fills it.
#[derive(Debug, Clone)]
struct Field {
    column: usize,
    change: Change,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Node {
    Leaf(Field),
    Constant(&'static str),
    Branch(BTreeMap<String, Node>),
}

/// The documents of an output's rows.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: BTreeMap<String, Node>,
}

impl Layout {
    /// The layout for rows of `schema`; `ecs`: known columns have their names in that schema; `timestamp`: the column
    /// for `@timestamp`, in place of the first that fits.
    ///
    /// # Errors
    /// `Usage` where two columns would fill one field, and for a `timestamp` that is no time.
    pub(super) fn new(schema: &SchemaRef, ecs: bool, timestamp: Option<&str>) -> Result<Self> {
        // dead letters keep their names, so that they can be read and replayed
        let ecs = ecs && *schema != dead_schema();
        let mut layout = Self { root: BTreeMap::new() };
        let mut window_seen = false;
        let mut known = false;
        for (column, field) in schema.fields().iter().enumerate() {
            let fields = match field.data_type() {
                _ if !ecs => None,
                data_type if window::is_window(data_type) && !window_seen => {
                    window_seen = true;
                    Some(ecs::WINDOW)
                }
                data_type => ecs::fields_of(field.name(), data_type),
            };
            match fields {
                Some(fields) => {
                    known = true;
                    for (path, change, kind) in fields {
                        if *path == "@timestamp" && timestamp.is_some() {
                            continue;
                        }
                        let field = Field { column, change: *change, kind: kind.clone() };
                        layout.put(path, Node::Leaf(field))?;
                    }
                }
                None => {
                    let kind = kind_of(field.data_type());
                    layout.put(field.name(), Node::Leaf(Field { column, change: Change::Same, kind }))?;
                }
            }
        }
        layout.put_timestamp(schema, timestamp, ecs)?;
        if known {
            for (path, value) in CONSTANTS {
                layout.put(path, Node::Constant(value))?;
            }
        }
        Ok(layout)
    }

    fn put_timestamp(&mut self, schema: &SchemaRef, timestamp: Option<&str>, ecs: bool) -> Result<()> {
        let is_time = |data_type: &DataType| matches!(data_type, DataType::Timestamp(_, _));
        let found = match timestamp {
            Some(name) => {
                let wrong = |detail: String| {
                    Error::usage(format!("setting 'timestamp' is '{name}'"))
                        .detail(detail)
                        .hint("it takes the name of a column with a time or a window")
                };
                let at = schema.index_of(name).map_err(|_| wrong("there is no such column".into()))?;
                let data_type = schema.field(at).data_type();
                if !is_time(data_type) && !window::is_window(data_type) {
                    return Err(wrong(format!("it is {data_type}")));
                }
                Some(at)
            }
            None if !ecs || self.root.contains_key("@timestamp") => None,
            None => {
                let find = |fits: &dyn Fn(&DataType) -> bool| schema.fields().iter().position(|f| fits(f.data_type()));
                find(&window::is_window).or_else(|| find(&is_time))
            }
        };
        let Some(column) = found else { return Ok(()) };
        let is_window = window::is_window(schema.field(column).data_type());
        let change = if is_window { Change::Start } else { Change::Same };
        self.put("@timestamp", Node::Leaf(Field { column, change, kind: Kind::Date }))
    }

    fn put(&mut self, path: &str, node: Node) -> Result<()> {
        let taken = || {
            Error::usage(format!("two columns would fill the field '{path}' of a document"))
                .hint("rename one of them; or keep the names of all columns: 'ecs' 'false'")
        };
        let mut parts: Vec<&str> = path.split('.').collect();
        // a name such as "a..b" is no path
        if parts.iter().any(|part| part.is_empty()) {
            parts = vec![path];
        }
        let Some((last, parents)) = parts.split_last() else { return Err(taken()) };
        let mut branch = &mut self.root;
        for part in parents {
            let child = branch.entry((*part).to_owned()).or_insert_with(|| Node::Branch(BTreeMap::new()));
            let Node::Branch(inner) = child else { return Err(taken()) };
            branch = inner;
        }
        match branch.insert((*last).to_owned(), node) {
            None => Ok(()),
            Some(_) => Err(taken()),
        }
    }

    /// Whether documents have a `@timestamp`.
    pub(super) fn has_timestamp(&self) -> bool {
        self.root.contains_key("@timestamp")
    }

    /// The fields and how they are held.
    pub(super) fn kinds(&self) -> BTreeMap<String, Kind> {
        kinds(&self.root)
    }

    /// The documents of a batch.
    ///
    /// # Errors
    /// When Arrow can't cast a column, which would be a defect.
    pub(super) fn of(&self, batch: &RecordBatch) -> Result<Values> {
        let mut columns = Vec::new();
        let root = resolve(&self.root, batch, &mut columns)?;
        Ok(Values { root, columns })
    }
}

fn kinds(branch: &BTreeMap<String, Node>) -> BTreeMap<String, Kind> {
    let kind = |node: &Node| match node {
        Node::Leaf(field) => field.kind.clone(),
        Node::Constant(_) => Kind::Keyword,
        Node::Branch(inner) => Kind::Object(kinds(inner)),
    };
    branch.iter().map(|(name, node)| (name.clone(), kind(node))).collect()
}

/// How values of a type are held. Lists are held as their items: there any field may have several values.
fn kind_of(data_type: &DataType) -> Kind {
    match data_type {
        DataType::Boolean => Kind::Boolean,
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => Kind::Date,
        DataType::Struct(fields) => {
            Kind::Object(fields.iter().map(|field| (field.name().clone(), kind_of(field.data_type()))).collect())
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            kind_of(item.data_type())
        }
        DataType::Dictionary(_, value) => kind_of(value),
        DataType::Map(_, _) => Kind::Any,
        other if other.is_integer() => Kind::Long,
        other if other.is_numeric() => Kind::Double,
        _ => Kind::Keyword,
    }
}

/// A batch's values where documents need them.
pub(super) struct Values {
    root: Vec<(Vec<u8>, Slot)>,
    columns: Vec<ArrayRef>,
}

enum Slot {
    Column(usize),
    Constant(Vec<u8>),
    Branch(Vec<(Vec<u8>, Slot)>),
}

fn resolve(
    branch: &BTreeMap<String, Node>,
    batch: &RecordBatch,
    columns: &mut Vec<ArrayRef>,
) -> Result<Vec<(Vec<u8>, Slot)>> {
    let mut slots = Vec::with_capacity(branch.len());
    for (name, node) in branch {
        let slot = match node {
            Node::Leaf(field) => {
                let missing = || Error::internal("rows do not have the columns of their output");
                columns.push(changed(batch.columns().get(field.column).ok_or_else(missing)?, field.change)?);
                Slot::Column(columns.len() - 1)
            }
            Node::Constant(value) => Slot::Constant(quoted(value)?),
            Node::Branch(inner) => Slot::Branch(resolve(inner, batch, columns)?),
        };
        let mut key = quoted(name)?;
        key.push(b':');
        slots.push((key, slot));
    }
    Ok(slots)
}

fn quoted(text: &str) -> Result<Vec<u8>> {
    serde_json::to_vec(text).map_err(|error| Error::internal("a name can't be written as JSON").detail(error))
}

fn changed(column: &ArrayRef, change: Change) -> Result<ArrayRef> {
    Ok(match change {
        Change::Same => Arc::clone(column),
        Change::Address => texts(column, |text| if text.parse::<IpAddr>().is_ok() { Some(text) } else { None })?,
        Change::HttpVersion => texts(column, |text| Some(text.strip_prefix("HTTP/").unwrap_or(text)))?,
        Change::Nanoseconds => {
            let seconds = cast(column, &DataType::Float64)?;
            let nanoseconds = |seconds: Option<f64>| seconds.map(|seconds| (seconds * 1e9).round() as i64);
            Arc::new(seconds.as_primitive::<Float64Type>().iter().map(nanoseconds).collect::<Int64Array>())
        }
        Change::Start => member_of(Arc::clone(column.as_struct().column(0)), column.nulls())?,
        Change::End => member_of(Arc::clone(column.as_struct().column(1)), column.nulls())?,
    })
}

fn texts(column: &ArrayRef, change: impl Fn(&str) -> Option<&str>) -> Result<ArrayRef> {
    let column = cast(column, &DataType::Utf8)?;
    Ok(Arc::new(column.as_string::<i32>().iter().map(|text| text.and_then(&change)).collect::<StringArray>()))
}

impl Values {
    /// Ready to write any row.
    ///
    /// # Errors
    /// For a type without a JSON form.
    pub(super) fn documents(&self) -> Result<Documents<'_>> {
        Ok(Documents { root: &self.root, columns: self.columns.iter().map(Column::new).collect::<Result<_>>()? })
    }
}

/// The documents of a batch.
pub(super) struct Documents<'a> {
    root: &'a [(Vec<u8>, Slot)],
    columns: Vec<Column<'a>>,
}

impl Documents<'_> {
    /// Appends the document of a row and a newline. A field without value is absent: that is what null means there.
    ///
    /// # Errors
    /// When Arrow can't show a value.
    pub(super) fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if !self.branch(self.root, row, out)? {
            out.extend_from_slice(b"{}");
        }
        out.push(b'\n');
        Ok(())
    }

    /// Writes an object, unless all its fields are absent.
    fn branch(&self, slots: &[(Vec<u8>, Slot)], row: usize, out: &mut Vec<u8>) -> Result<bool> {
        let mut any = false;
        for (key, slot) in slots {
            let start = out.len();
            out.push(if any { b',' } else { b'{' });
            out.extend_from_slice(key);
            let written = match slot {
                Slot::Column(at) => match self.columns.get(*at).filter(|column| !column.is_null(row)) {
                    Some(column) => column.write(row, out).map(|()| true)?,
                    None => false,
                },
                Slot::Constant(text) => {
                    out.extend_from_slice(text);
                    true
                }
                Slot::Branch(inner) => self.branch(inner, row, out)?,
            };
            if written {
                any = true;
            } else {
                out.truncate(start);
            }
        }
        if any {
            out.push(b'}');
        }
        Ok(any)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::builder::{ListBuilder, StringBuilder};
    use arrow::array::{Float64Array, Int32Array, ListArray, TimestampMicrosecondArray};
    use arrow::datatypes::{Field as ArrowField, Schema};

    use super::*;

    fn documents(columns: Vec<(&str, ArrayRef)>, ecs: bool) -> Vec<serde_json::Value> {
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
        let layout = Layout::new(&batch.schema(), ecs, None).unwrap();
        let values = layout.of(&batch).unwrap();
        let documents = values.documents().unwrap();
        let mut out = Vec::new();
        (0..batch.num_rows()).for_each(|row| documents.write(row, &mut out).unwrap());
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn reasons() -> ListArray {
        let mut builder = ListBuilder::new(StringBuilder::new());
        builder.append_value([Some("asks often"), Some("never reads styles")]);
        builder.append_null();
        builder.finish()
    }

    #[test]
    fn known_columns_have_their_names_in_the_common_schema() {
        let text = |a: &str, b: Option<&str>| -> ArrayRef { Arc::new(StringArray::from(vec![Some(a), b])) };
        let found = documents(
            vec![
                ("w", Arc::new(window::windows(vec![0, 0], vec![60_000_000; 2], None))),
                ("client_ip", text("192.0.2.7", Some("2001:db8:1:2::/64"))),
                ("protocol", text("HTTP/1.1", None)),
                ("status", Arc::new(Int32Array::from(vec![Some(404), None]))),
                ("duration", Arc::new(Float64Array::from(vec![Some(0.25), None]))),
                ("reasons", Arc::new(reasons())),
                ("mine", text("x", Some("y"))),
            ],
            true,
        );
        let own = serde_json::json!({"version": "8.17.0"});
        assert_eq!(
            found,
            [
                serde_json::json!({
                    "@timestamp": "1970-01-01T00:00:00Z", "ecs": own, "mine": "x",
                    "event": {"start": "1970-01-01T00:00:00Z", "end": "1970-01-01T00:01:00Z", "duration": 250_000_000,
                              "reason": ["asks often", "never reads styles"], "kind": "event", "module": "fyke"},
                    "source": {"address": "192.0.2.7", "ip": "192.0.2.7"},
                    "http": {"version": "1.1", "response": {"status_code": 404}},
                }),
                serde_json::json!({
                    "@timestamp": "1970-01-01T00:00:00Z", "ecs": own, "mine": "y",
                    "event": {"start": "1970-01-01T00:00:00Z", "end": "1970-01-01T00:01:00Z", "kind": "event", "module": "fyke"},
                    "source": {"address": "2001:db8:1:2::/64"},
                }),
            ]
        );
    }

    #[test]
    fn without_the_common_schema_columns_keep_their_names() {
        let found = documents(
            vec![
                ("time", Arc::new(TimestampMicrosecondArray::from(vec![1_500_000])) as ArrayRef),
                ("status", Arc::new(Int32Array::from(vec![200]))),
            ],
            false,
        );
        assert_eq!(found, [serde_json::json!({"time": "1970-01-01T00:00:01.500000Z", "status": 200})]);
    }

    #[test]
    fn a_known_name_with_another_type_is_a_column_like_any_other() {
        let found = documents(vec![("status", Arc::new(StringArray::from(vec!["ok"])) as ArrayRef)], true);
        assert_eq!(found, [serde_json::json!({"status": "ok"})]);
    }

    #[test]
    fn two_columns_never_fill_one_field() {
        let schema = Arc::new(Schema::new(vec![
            ArrowField::new("client_ip", DataType::Utf8, true),
            ArrowField::new("source", DataType::Utf8, true),
        ]));
        let error = Layout::new(&schema, true, None).err().unwrap().to_string();
        assert!(error.contains("'source'") && error.contains("'ecs' 'false'"), "{error}");
        assert!(Layout::new(&schema, false, None).is_ok());
    }
}
