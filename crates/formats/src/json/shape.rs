//! The expected shape of a line: the bytes between the values, and which column each value belongs to.
//!
//! A line that has exactly these bytes between its values is read without looking for keys. The shape accepts only what
//! the exact way accepts too, and gives the same row; on any doubt it gives up, and says nothing about the line.

use crate::text::time::{self, DayCache, Epoch};
use crate::text::{number, strings};

use super::TimeFormat;
use super::column::{Column, Columns, Kind};
use super::row;
use super::store::Store;
use super::value;

/// Bytes to compare, the first sixteen at once.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Literal {
    bytes: Vec<u8>,
    head: u128,
    mask: u128,
}

impl Literal {
    fn new(bytes: &[u8]) -> Self {
        let mut head = [0; 16];
        let mut mask = [0; 16];
        for ((byte, head), mask) in bytes.iter().zip(&mut head).zip(&mut mask) {
            *head = *byte;
            *mask = 0xff;
        }
        Self { bytes: bytes.to_vec(), head: u128::from_le_bytes(head), mask: u128::from_le_bytes(mask) }
    }

    /// The byte behind the literal, if it stands at `at`.
    #[inline]
    fn end(&self, line: &[u8], at: usize) -> Option<usize> {
        let end = at + self.bytes.len();
        let rest = line.get(at..)?;
        // a call to compare memory costs more than most literals are long
        if let Some(chunk) = rest.first_chunk::<16>() {
            if (u128::from_le_bytes(*chunk) ^ self.head) & self.mask != 0 {
                return None;
            }
            if self.bytes.len() <= 16 || line.get(at + 16..end) == self.bytes.get(16..) {
                return Some(end);
            }
            return None;
        }
        rest.starts_with(&self.bytes).then_some(end)
    }
}

/// What stands between two literals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// The value of a column.
    Column(usize),
    /// Any value: no column asks for it.
    Skip,
    /// A null in the path of a column: anything else there would change what the column is.
    Null,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    literal: Literal,
    target: Target,
    /// Objects and arrays around the value.
    depth: usize,
}

/// The shape of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    steps: Vec<Step>,
    tail: Vec<u8>,
    /// Columns that such a line does not hold.
    missing: Vec<usize>,
}

/// A shape while it is learnt.
#[derive(Debug, Default)]
pub(super) struct ShapeBuilder {
    steps: Vec<Step>,
}

impl ShapeBuilder {
    pub fn push(&mut self, literal: &[u8], target: Target, depth: usize) {
        self.steps.push(Step { literal: Literal::new(literal), target, depth });
    }

    pub fn len(&self) -> usize {
        self.steps.len()
    }

    pub fn finish(self, tail: &[u8], columns: &Columns) -> Shape {
        let held = |index| self.steps.iter().any(|step| step.target == Target::Column(index));
        let missing = (0..columns.all.len()).filter(|index| !held(*index)).collect();
        Shape { steps: self.steps, tail: tail.to_vec(), missing }
    }
}

impl Shape {
    /// Appends the line's row and says true; or says false, and a part of the row may have been appended.
    #[inline]
    pub fn read(
        &self,
        line: &str,
        columns: &Columns,
        stores: &mut [Option<Store>],
        customer: &str,
        cache: &mut DayCache,
    ) -> bool {
        self.try_read(line, columns, stores, customer, cache).is_some()
    }

    #[inline]
    fn try_read(
        &self,
        line: &str,
        columns: &Columns,
        stores: &mut [Option<Store>],
        customer: &str,
        cache: &mut DayCache,
    ) -> Option<()> {
        let bytes = line.as_bytes();
        let mut at = 0;
        for step in &self.steps {
            at = step.literal.end(bytes, at)?;
            at = match step.target {
                Target::Column(index) => {
                    let column = columns.all.get(index)?;
                    let store = stores.get_mut(index)?.as_mut();
                    scan(column, line, at, step.depth, store, columns.customer == Some(index), cache)?
                }
                Target::Skip => skip(line, at, step.depth)?,
                Target::Null => bytes.get(at..)?.starts_with(b"null").then_some(at + 4)?,
            };
        }
        if bytes.get(at..)? != self.tail {
            return None;
        }
        for index in &self.missing {
            let Some(store) = stores.get_mut(*index)? else { continue };
            if columns.customer == Some(*index) {
                store.push_text(customer);
            } else {
                store.push_null();
            }
        }
        Some(())
    }
}

#[inline]
fn skip(line: &str, at: usize, depth: usize) -> Option<usize> {
    if line.as_bytes().get(at) == Some(&b'"') {
        return strings::token(line.as_bytes(), at + 1).ok().map(|token| token.close + 1);
    }
    value::skip_at(line, at, depth).ok()
}

/// The byte behind the value at `at`, appended to the store if there is one; `None` on any doubt.
#[inline]
fn scan(
    column: &Column,
    line: &str,
    at: usize,
    depth: usize,
    store: Option<&mut Store>,
    is_customer: bool,
    cache: &mut DayCache,
) -> Option<usize> {
    let bytes = line.as_bytes();
    if bytes.get(at) == Some(&b'n') {
        // a null customer is filled in by the exact way
        if is_customer || !column.nullable || !bytes.get(at..)?.starts_with(b"null") {
            return None;
        }
        store.into_iter().for_each(Store::push_null);
        return Some(at + 4);
    }
    match &column.kind {
        Kind::Text => text(line, at, store),
        Kind::Int { min, max } => {
            let (value, end) = number::short_integer(bytes, at)?;
            if value < *min || value > *max {
                return None;
            }
            store.into_iter().for_each(|store| store.push_int(value));
            Some(end)
        }
        Kind::UInt { max } => {
            let (value, end) = number::short_integer(bytes, at)?;
            let value = u64::try_from(value).ok().filter(|value| value <= max)?;
            store.into_iter().for_each(|store| store.push_uint(value));
            Some(end)
        }
        Kind::Double => {
            let (value, end) = match number::short_decimal(bytes, at) {
                Some(short) => short,
                None => {
                    let token = number::token(bytes, at)?;
                    (number::double(line.get(at..token.end)?)?, token.end)
                }
            };
            store.into_iter().for_each(|store| store.push_double(value));
            Some(end)
        }
        Kind::Time(unit, format) => {
            let (instant, end) = instant(line, at, *format, cache)?;
            let count = instant.in_unit(*unit)?;
            store.into_iter().for_each(|store| store.push_int(count));
            Some(end)
        }
        Kind::Bool | Kind::Single | Kind::Date | Kind::Struct(_) | Kind::List(_) => {
            let (value, end) = value::parse_at(line, at, depth).ok()?;
            row::put(column, &value, store, cache).ok()?;
            Some(end)
        }
    }
}

#[inline]
fn text(line: &str, at: usize, store: Option<&mut Store>) -> Option<usize> {
    let bytes = line.as_bytes();
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let token = strings::token(bytes, at + 1).ok()?;
    if let Some(store) = store {
        if token.escaped {
            let inner = line.get(at + 1..token.close)?;
            store.push_text_with(|out| strings::unescape_into(inner, out));
        } else {
            let inner = bytes.get(at + 1..token.close)?;
            store.push_text_with(|out| out.extend_from_slice(inner));
        }
    }
    Some(token.close + 1)
}

#[inline]
fn instant(line: &str, at: usize, format: TimeFormat, cache: &mut DayCache) -> Option<(time::Instant, usize)> {
    let bytes = line.as_bytes();
    let unit = match format {
        TimeFormat::Rfc3339 => {
            if bytes.get(at) != Some(&b'"') {
                return None;
            }
            let token = strings::token(bytes, at + 1).ok().filter(|token| !token.escaped)?;
            let instant = time::rfc3339(bytes.get(at + 1..token.close)?, cache)?;
            return Some((instant, token.close + 1));
        }
        TimeFormat::EpochSeconds => Epoch::Seconds,
        TimeFormat::EpochMillis => Epoch::Millis,
    };
    let token = number::token(bytes, at)?;
    Some((time::epoch(line.get(at..token.end)?, unit)?, token.end))
}
