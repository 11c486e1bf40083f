//! Names of indices from rows: `fyke-verdicts-{customer}-{w.start|%Y.%m}`.
//!
//! A text's characters that no index name may hold are written as `~` and two hexadecimal digits a byte, capital letters
//! too, so that two customers never share an index: lower-case letters, digits, `-`, `.` and `_` stay as they are. With
//! more than one text in a name `-` and `.` are written so too, since they may separate. An empty text is `~x`, a
//! missing value `~n`.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::buffer::NullBuffer;
use arrow::compute::{cast, not, nullif};
use arrow::datatypes::{DataType, Schema, SchemaRef, TimestampMicrosecondType};
use fyke_types::{Error, Micros, Result, window};
use ring::digest::{SHA256, digest};

use crate::rfc3339::civil_from_days;

/// What servers take.
const MOST_BYTES: usize = 255;

/// The form of a time where the name gives none.
const DEFAULT_FORM: &str = "%Y.%m.%d";

/// A checked name with its places for values.
#[derive(Debug, Clone)]
pub(super) struct IndexName {
    pieces: Vec<Piece>,
    /// Separators are escaped in texts.
    several: bool,
}

#[derive(Debug, Clone)]
enum Piece {
    Literal(String),
    Text(Column),
    Time(Column, String),
}

/// A column, or a member of a struct.
#[derive(Debug, Clone)]
struct Column {
    path: Vec<usize>,
}

impl IndexName {
    /// Checks `template` against the columns of the rows.
    ///
    /// # Errors
    /// `Usage` for a column that is not there or has no name of its own, an unknown form of times, and a name that no
    /// server takes.
    pub(super) fn new(template: &str, schema: &SchemaRef) -> Result<Self> {
        let wrong = |detail: String| {
            Error::usage(format!("setting 'index' is '{template}'"))
                .detail(detail)
                .hint("it takes a name such as 'fyke-verdicts-{customer}-{w.start|%Y.%m}'")
        };
        let mut pieces = Vec::new();
        let mut rest = template;
        while let Some((literal, behind)) = rest.split_once('{') {
            if !literal.is_empty() {
                pieces.push(Piece::Literal(literal.to_owned()));
            }
            let (inside, behind) = behind.split_once('}').ok_or_else(|| wrong("a '{' has no '}'".into()))?;
            pieces.push(piece(inside, schema).map_err(&wrong)?);
            rest = behind;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.to_owned()));
        }
        check_literals(&pieces).map_err(&wrong)?;
        let texts = pieces.iter().filter(|piece| matches!(piece, Piece::Text(_))).count();
        let name = Self { pieces, several: texts > 1 };
        name.check_separators().map_err(wrong)?;
        Ok(name)
    }

    /// Between two texts must stand what neither of them can hold, else different rows might share a name.
    fn check_separators(&self) -> Result<(), String> {
        if !self.several {
            return Ok(());
        }
        let mut separated = true;
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => separated |= text.contains(['-', '.']),
                Piece::Text(_) if !separated => return Err("two columns follow each other without '-' or '.'".into()),
                Piece::Text(_) => separated = false,
                Piece::Time(..) => {}
            }
        }
        Ok(())
    }

    /// The name with `*` for each value: what a template is for, or a source reads.
    pub(super) fn pattern(&self) -> String {
        let mut pattern = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => pattern.push_str(text),
                _ if pattern.ends_with('*') => {}
                _ => pattern.push('*'),
            }
        }
        pattern
    }

    /// The values of a batch, ready to name any of its rows.
    ///
    /// # Errors
    /// When Arrow can't cast a column, which would be a defect.
    pub(super) fn of<'a>(&'a self, batch: &RecordBatch) -> Result<Names<'a>> {
        let values = self.pieces.iter().map(|piece| match piece {
            Piece::Literal(text) => Ok(Value::Literal(text)),
            Piece::Text(column) => Ok(Value::Text(cast(&column.of(batch)?, &DataType::Utf8)?.as_string().clone())),
            Piece::Time(column, form) => Ok(Value::Time(cast(&column.of(batch)?, &window::TIME)?, form)),
        });
        Ok(Names { values: values.collect::<Result<_>>()?, several: self.several })
    }
}

impl Column {
    fn of(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let missing = || Error::internal("a column of an index's name is missing");
        let (first, rest) = self.path.split_first().ok_or_else(missing)?;
        let mut column = batch.columns().get(*first).cloned().ok_or_else(missing)?;
        for at in rest {
            let parent = column.as_struct();
            let member = parent.columns().get(*at).cloned().ok_or_else(missing)?;
            column = member_of(member, parent.nulls())?;
        }
        Ok(column)
    }
}

/// A member of a struct is null where the struct is.
pub(super) fn member_of(member: ArrayRef, parent: Option<&NullBuffer>) -> Result<ArrayRef> {
    let Some(nulls) = parent else { return Ok(member) };
    let valid = BooleanArray::new(nulls.inner().clone(), None);
    Ok(nullif(&member, &not(&valid)?)?)
}

fn piece(inside: &str, schema: &Schema) -> Result<Piece, String> {
    let (name, form) = inside.split_once('|').map_or((inside, None), |(name, form)| (name.trim(), Some(form.trim())));
    let (column, data_type) = find(name.trim(), schema)?;
    match data_type {
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => {
            let form = form.unwrap_or(DEFAULT_FORM);
            write_form(form, 0, &mut String::new())?;
            Ok(Piece::Time(column, form.to_owned()))
        }
        _ if form.is_some() => Err(format!("'{name}' is {data_type}, but only times have a form")),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(_, _) | DataType::Boolean => {
            Ok(Piece::Text(column))
        }
        other if other.is_integer() => Ok(Piece::Text(column)),
        other if window::is_window(&other) => Err(format!("'{name}' is a window: name {name}.start or {name}.end")),
        other => Err(format!("'{name}' is {other}, which makes no name")),
    }
}

fn find(name: &str, schema: &Schema) -> Result<(Column, DataType), String> {
    let unknown = || {
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        format!("'{name}' is no column; there are {}", names.join(", "))
    };
    if let Ok(at) = schema.index_of(name) {
        return Ok((Column { path: vec![at] }, schema.field(at).data_type().clone()));
    }
    let mut parts = name.split('.');
    let first = parts.next().unwrap_or_default();
    let at = schema.index_of(first).map_err(|_| unknown())?;
    let (mut path, mut data_type) = (vec![at], schema.field(at).data_type().clone());
    for part in parts {
        let DataType::Struct(fields) = &data_type else { return Err(unknown()) };
        let (at, field) = fields.find(part).ok_or_else(unknown)?;
        path.push(at);
        data_type = field.data_type().clone();
    }
    Ok((Column { path }, data_type))
}

fn check_literals(pieces: &[Piece]) -> Result<(), String> {
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    for piece in pieces {
        if let Piece::Literal(text) = piece
            && let Some(bad) = text.chars().find(|c| !valid(*c))
        {
            return Err(format!("an index name can't hold '{bad}'"));
        }
    }
    match pieces.first() {
        None => Err("it is empty".into()),
        Some(Piece::Literal(text)) if text.starts_with(['-', '_', '.']) => {
            Err("an index name can't start with '-', '_' or '.'".into())
        }
        Some(Piece::Literal(_)) => Ok(()),
        // an index template must not reach for all indices of a server
        Some(_) => Err("it starts with a value".into()),
    }
}

/// The values of a batch's rows.
pub(super) struct Names<'a> {
    values: Vec<Value<'a>>,
    several: bool,
}

enum Value<'a> {
    Literal(&'a str),
    Text(StringArray),
    Time(ArrayRef, &'a str),
}

impl Names<'_> {
    /// The name for a row.
    pub(super) fn write(&self, row: usize, out: &mut String) {
        out.clear();
        for value in &self.values {
            match value {
                Value::Literal(text) => out.push_str(text),
                Value::Text(values) if values.is_null(row) => out.push_str("~n"),
                Value::Text(values) => escape(values.value(row), self.several, out),
                Value::Time(values, _) if values.is_null(row) => out.push_str("~n"),
                Value::Time(values, form) => {
                    // the form was checked
                    let time = values.as_primitive::<TimestampMicrosecondType>().value(row);
                    _ = write_form(form, time, out);
                }
            }
        }
        if out.len() > MOST_BYTES {
            shorten(out);
        }
    }
}

fn escape(text: &str, separators: bool, out: &mut String) {
    if text.is_empty() {
        out.push_str("~x");
    }
    for byte in text.bytes() {
        match byte {
            b'-' | b'.' if separators => _ = write!(out, "~{byte:02x}"),
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            _ => _ = write!(out, "~{byte:02x}"),
        }
    }
}

/// A name that is too long keeps its beginning, and a hash of all of it.
fn shorten(name: &mut String) {
    let hash = digest(&SHA256, name.as_bytes());
    name.truncate(MOST_BYTES - 34);
    name.push_str("~h");
    for byte in hash.as_ref().iter().take(16) {
        _ = write!(name, "{byte:02x}");
    }
}

/// `%Y`, `%m`, `%d`, `%H` and what stands between them.
fn write_form(form: &str, time: Micros, out: &mut String) -> Result<(), String> {
    let seconds = time.div_euclid(1_000_000);
    let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
    let mut chars = form.chars();
    while let Some(c) = chars.next() {
        match c {
            '%' => match chars.next() {
                Some('Y') => _ = write!(out, "{year:04}"),
                Some('m') => _ = write!(out, "{month:02}"),
                Some('d') => _ = write!(out, "{day:02}"),
                Some('H') => _ = write!(out, "{:02}", seconds.rem_euclid(86_400) / 3_600),
                other => {
                    return Err(format!("'%{}' is no part of a time; there are %Y %m %d %H", other.unwrap_or(' ')));
                }
            },
            '-' | '.' | '_' => out.push(c),
            c if c.is_ascii_lowercase() || c.is_ascii_digit() => out.push(c),
            other => return Err(format!("an index name can't hold '{other}'")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, TimestampMicrosecondArray};
    use arrow::datatypes::Field;

    use super::*;

    fn batch(customers: Vec<Option<&str>>) -> RecordBatch {
        let rows = customers.len();
        // 2026-03-02 08:00:00 UTC
        let time: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1_772_438_400_000_000; rows]));
        let w: ArrayRef =
            Arc::new(window::windows(vec![1_772_438_400_000_000; rows], vec![1_772_438_460_000_000; rows], None));
        let site: ArrayRef = Arc::new(Int64Array::from(vec![-3; rows]));
        let columns = [
            ("customer", Arc::new(StringArray::from(customers)) as ArrayRef),
            ("time", time),
            ("w", w),
            ("site", site),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap()
    }

    fn names(template: &str, customers: Vec<Option<&str>>) -> Vec<String> {
        let batch = batch(customers);
        let name = IndexName::new(template, &batch.schema()).unwrap();
        let names = name.of(&batch).unwrap();
        let mut out = String::new();
        (0..batch.num_rows())
            .map(|row| {
                names.write(row, &mut out);
                out.clone()
            })
            .collect()
    }

    #[test]
    fn index_is_named_by_customer_and_event_time() {
        assert_eq!(names("fyke-{customer}-{w.start|%Y.%m}", vec![Some("shop")]), ["fyke-shop-2026.03"]);
        assert_eq!(names("fyke-{time}", vec![None]), ["fyke-2026.03.02"]);
        assert_eq!(names("fyke-{time|%Y-%m-%d-%H}", vec![None]), ["fyke-2026-03-02-08"]);
    }

    #[test]
    fn two_customers_never_share_an_index() {
        let customers =
            ["shop", "Shop", "shop ", "sh/op", "sh~2fop", "SHOP", "", "~x", "~n", "é", "e", "shop.eu", "shop-eu"];
        let mut given: Vec<Option<&str>> = customers.iter().map(|c| Some(*c)).collect();
        given.push(None);
        let count = given.len();
        let found = names("fyke-{customer}", given.clone());
        assert_eq!(found[1], "fyke-~53hop");
        assert_eq!(found[3], "fyke-sh~2fop");
        let valid =
            |name: &String| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._~".contains(&b));
        assert!(found.iter().all(valid), "{found:?}");
        let mut distinct = found;
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), count);
    }

    #[test]
    fn separators_of_two_columns_can_not_be_forged() {
        assert_eq!(names("f-{customer}-{site}", vec![Some("a-b")]), ["f-a~2db-~2d3"]);
        let schema = batch(vec![None]).schema();
        let error = IndexName::new("f-{customer}{site}", &schema).err().unwrap().to_string();
        assert!(error.contains("without '-' or '.'"), "{error}");
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let (a, b) = ("x".repeat(300) + "a", "x".repeat(300) + "b");
        let found = names("fyke-{customer}", vec![Some(&a), Some(&b)]);
        assert!(found.iter().all(|name| name.len() == MOST_BYTES));
        assert_ne!(found[0], found[1]);
    }

    #[test]
    fn wrong_names_are_refused_with_the_remedy() {
        let schema = batch(vec![None]).schema();
        for (template, why) in [
            ("fyke-{cutomer}", "no column"),
            ("Fyke", "'F'"),
            ("_fyke", "start"),
            ("", "empty"),
            ("{customer}", "starts with a value"),
            ("fyke-{w}", "w.start"),
            ("fyke-{time|%q}", "%q"),
            ("fyke-{customer", "no '}'"),
            ("fyke-{customer|%Y}", "only times"),
        ] {
            let error = IndexName::new(template, &schema).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(why), "{template}: {error}");
        }
        assert_eq!(IndexName::new("f-{customer}-{time}", &schema).unwrap().pattern(), "f-*-*");
        assert!(
            IndexName::new("f-{a}", &Arc::new(Schema::new(vec![Field::new("a", DataType::Float64, true)]))).is_err()
        );
    }
}
