//! The exact way: a parsed line into the columns, or the reason why not.

use crate::text::number;
use crate::text::time::{self, DayCache, Epoch};

use super::TimeFormat;
use super::column::{Column, Columns, Found, Kind};
use super::store::Store;
use super::value::{Object, Value, get, parse};

/// Reads one line into `stores` (`None`: checked, not kept) and hands it back parsed. On an error a part of the row may
/// have been appended.
pub(super) fn read<'a>(
    line: &'a str,
    columns: &Columns,
    stores: &mut [Option<Store>],
    customer: &str,
    cache: &mut DayCache,
) -> Result<Object<'a>, String> {
    let value = parse(line).map_err(|bad| format!("not JSON: expected {} at byte {}", bad.expected, bad.at))?;
    let Value::Object(object) = value else {
        return Err(format!("expected an object, found {}", value.found()));
    };
    for (index, (column, store)) in columns.all.iter().zip(stores.iter_mut()).enumerate() {
        let found = match column.find(&object) {
            Found::Key(value) | Found::Path(value) => value,
            Found::Missing => &Value::Null,
            Found::Blocked(key, other) => {
                return Err(format!(
                    "column '{}': expected an object at '{key}', found {}",
                    column.name,
                    other.found()
                ));
            }
        };
        if columns.customer == Some(index) && *found == Value::Null {
            if let Some(store) = store {
                store.push_text(customer);
            }
            continue;
        }
        put(column, found, store.as_mut(), cache).map_err(|wrong| wrong.reason(&column.name))?;
    }
    Ok(object)
}

/// A value that its column refuses.
#[derive(Debug)]
pub(super) struct Wrong {
    /// Below the column: `.field` and `[]`.
    path: String,
    expected: String,
    found: String,
}

impl Wrong {
    fn new(kind: &Kind, value: &Value<'_>) -> Self {
        Self { path: String::new(), expected: kind.expected(), found: value.found() }
    }

    fn below(mut self, part: &str) -> Self {
        self.path.insert_str(0, part);
        self
    }

    fn reason(&self, column: &str) -> String {
        format!("column '{column}{}': expected {}, found {}", self.path, self.expected, self.found)
    }
}

/// Checks a value against its column, and appends it to the store if there is one.
pub(super) fn put(
    column: &Column,
    value: &Value<'_>,
    store: Option<&mut Store>,
    cache: &mut DayCache,
) -> Result<(), Wrong> {
    let kind = &column.kind;
    let wrong = || Wrong::new(kind, value);
    if *value == Value::Null {
        if !column.nullable {
            return Err(Wrong { path: String::new(), expected: kind.expected(), found: "null or nothing".into() });
        }
        if let Some(store) = store {
            store.push_null();
        }
        return Ok(());
    }
    match kind {
        Kind::Struct(fields) => return put_struct(fields, kind, value, store, cache),
        Kind::List(item) => return put_list(item, kind, value, store, cache),
        Kind::Bool => {
            let Value::Bool(value) = value else { return Err(wrong()) };
            store.into_iter().for_each(|store| store.push_bool(*value));
        }
        Kind::Text => {
            let Value::Text(text) = value else { return Err(wrong()) };
            store.into_iter().for_each(|store| store.push_text(text));
        }
        Kind::Int { min, max } => {
            let Value::Number { text, integral: true } = value else { return Err(wrong()) };
            let number = number::signed(text, *min, *max).ok_or_else(wrong)?;
            store.into_iter().for_each(|store| store.push_int(number));
        }
        Kind::UInt { max } => {
            let Value::Number { text, integral: true } = value else { return Err(wrong()) };
            let number = number::unsigned(text, *max).ok_or_else(wrong)?;
            store.into_iter().for_each(|store| store.push_uint(number));
        }
        Kind::Double => {
            let Value::Number { text, .. } = value else { return Err(wrong()) };
            let number = number::double(text).ok_or_else(wrong)?;
            store.into_iter().for_each(|store| store.push_double(number));
        }
        Kind::Single => {
            let Value::Number { text, .. } = value else { return Err(wrong()) };
            let number = number::single(text).ok_or_else(wrong)?;
            store.into_iter().for_each(|store| store.push_single(number));
        }
        Kind::Time(unit, format) => {
            let instant = match (format, value) {
                (TimeFormat::Rfc3339, Value::Text(text)) => time::rfc3339(text.as_bytes(), cache),
                (TimeFormat::EpochSeconds, Value::Number { text, .. }) => time::epoch(text, Epoch::Seconds),
                (TimeFormat::EpochMillis, Value::Number { text, .. }) => time::epoch(text, Epoch::Millis),
                _ => None,
            };
            let count = instant.and_then(|instant| instant.in_unit(*unit)).ok_or_else(wrong)?;
            store.into_iter().for_each(|store| store.push_int(count));
        }
        Kind::Date => {
            let Value::Text(text) = value else { return Err(wrong()) };
            let days = time::date(text).ok_or_else(wrong)?;
            store.into_iter().for_each(|store| store.push_int(days.into()));
        }
    }
    Ok(())
}

fn put_struct(
    fields: &[Column],
    kind: &Kind,
    value: &Value<'_>,
    mut store: Option<&mut Store>,
    cache: &mut DayCache,
) -> Result<(), Wrong> {
    let Value::Object(object) = value else { return Err(Wrong::new(kind, value)) };
    for (index, field) in fields.iter().enumerate() {
        let inner = get(object, &field.name).unwrap_or(&Value::Null);
        let inner_store = store.as_mut().and_then(|store| store.fields().get_mut(index));
        put(field, inner, inner_store, cache).map_err(|wrong| wrong.below(&format!(".{}", field.name)))?;
    }
    store.into_iter().for_each(Store::close);
    Ok(())
}

fn put_list(
    item: &Column,
    kind: &Kind,
    value: &Value<'_>,
    mut store: Option<&mut Store>,
    cache: &mut DayCache,
) -> Result<(), Wrong> {
    let Value::Array(values) = value else { return Err(Wrong::new(kind, value)) };
    for value in values {
        let items = store.as_mut().and_then(|store| store.items());
        put(item, value, items, cache).map_err(|wrong| wrong.below("[]"))?;
    }
    store.into_iter().for_each(Store::close);
    Ok(())
}
