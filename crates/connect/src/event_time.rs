//! Whether a row's event time can be used: it must be there, and not too far ahead of the clock.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, RecordBatch};
use arrow::compute::{filter_record_batch, max};
use arrow::datatypes::{
    DataType, SchemaRef, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use fyke_types::{Clock, Error, Micros, ReadOptions, Result};

use crate::rfc3339::time_to_text;

/// What a reader builds and what it delivers: the projection, and the event time behind it where it isn't part.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    /// What the decoder builds: indices into the source's schema, or all.
    pub(crate) built: Option<Vec<usize>>,
    /// Where the event time stands among the built columns.
    event_time: Option<usize>,
    /// How many of the built columns are delivered, if not all.
    delivered: Option<usize>,
}

impl Columns {
    /// The columns that `options` asks of a source with `schema`.
    pub(crate) fn new(schema: &SchemaRef, options: &ReadOptions) -> Result<Self> {
        let wanted = options.projection.iter().flatten().chain(&options.event_time);
        if let Some(index) = wanted.copied().find(|index| *index >= schema.fields().len()) {
            return Err(Error::internal(format!("column {index} of {} was asked for", schema.fields().len())));
        }
        let Some(event_time) = options.event_time else {
            return Ok(Self { built: options.projection.clone(), event_time: None, delivered: None });
        };
        let field = schema.field(event_time);
        if !matches!(field.data_type(), DataType::Timestamp(_, _)) {
            return Err(Error::usage(format!(
                "event time '{}' is {}, not a timestamp",
                field.name(),
                field.data_type()
            ))
            .hint("declare it as TIMESTAMP"));
        }
        let Some(mut built) = options.projection.clone() else {
            return Ok(Self { built: None, event_time: Some(event_time), delivered: None });
        };
        if let Some(position) = built.iter().position(|index| *index == event_time) {
            return Ok(Self { built: Some(built), event_time: Some(position), delivered: None });
        }
        let delivered = built.len();
        built.push(event_time);
        Ok(Self { built: Some(built), event_time: Some(delivered), delivered: Some(delivered) })
    }

    /// Drops what was built only to be checked.
    fn deliver(&self, batch: RecordBatch) -> Result<RecordBatch> {
        match self.delivered {
            Some(count) => Ok(batch.project(&(0..count).collect::<Vec<_>>())?),
            None => Ok(batch),
        }
    }
}

/// Rows that passed, and those that did not.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The delivered columns of rows with a usable event time.
    pub(crate) batch: RecordBatch,
    /// Row of the unchecked batch and why it is refused, in order.
    pub(crate) refused: Vec<(usize, String)>,
    /// The greatest event time of those rows.
    pub(crate) latest: Option<Micros>,
}

/// The rule, for one reading of a source.
#[derive(Debug, Clone)]
pub(crate) struct EventTime {
    columns: Columns,
    max_ahead: Micros,
    clock: Arc<dyn Clock>,
}

impl EventTime {
    /// The rule of `options` over `columns`.
    pub(crate) fn new(columns: Columns, options: &ReadOptions) -> Self {
        Self { columns, max_ahead: options.max_ahead, clock: Arc::clone(&options.clock) }
    }

    /// Splits `batch` into rows to deliver and rows to refuse.
    pub(crate) fn check(&self, batch: RecordBatch) -> Result<Checked> {
        let Some(position) = self.columns.event_time else {
            let batch = self.columns.deliver(batch)?;
            return Ok(Checked { batch, refused: Vec::new(), latest: None });
        };
        if batch.num_columns() <= position {
            return Err(Error::internal("a batch lacks its event time"));
        }
        let limit = self.clock.now().saturating_add(self.max_ahead);
        let times = to_micros(batch.column(position))?;
        let name = batch.schema_ref().field(position).name().clone();
        let latest = max(times.as_ref());
        if times.null_count() == 0 && latest.is_none_or(|latest| latest <= limit) {
            return Ok(Checked { batch: self.columns.deliver(batch)?, refused: Vec::new(), latest });
        }
        let (keep, refused) = self.judge(times.as_ref(), limit, &name);
        let kept = filter_record_batch(&batch, &keep)?;
        let latest = max(to_micros(kept.column(position))?.as_ref());
        Ok(Checked { batch: self.columns.deliver(kept)?, refused, latest })
    }

    fn judge(
        &self,
        times: &PrimitiveArray<TimestampMicrosecondType>,
        limit: Micros,
        name: &str,
    ) -> (BooleanArray, Vec<(usize, String)>) {
        let mut refused = Vec::new();
        for (row, time) in times.iter().enumerate() {
            match time {
                None => refused.push((row, format!("event time '{name}' is missing"))),
                Some(time) if time > limit => {
                    let (time, ahead) = (time_to_text(time), span_to_text(self.max_ahead));
                    refused.push((row, format!("event time {time} is more than {ahead} ahead of the clock")));
                }
                Some(_) => {}
            }
        }
        let keep = times.iter().map(|time| Some(time.is_some_and(|time| time <= limit))).collect();
        (keep, refused)
    }
}

/// The values of a timestamp column of any unit, in microseconds; slots under nulls are meaningless.
fn to_micros(array: &ArrayRef) -> Result<std::borrow::Cow<'_, PrimitiveArray<TimestampMicrosecondType>>> {
    use std::borrow::Cow;
    fn converted<T: ArrowPrimitiveType<Native = i64>>(
        array: &ArrayRef,
        convert: impl Fn(i64) -> Micros,
    ) -> Cow<'static, PrimitiveArray<TimestampMicrosecondType>> {
        Cow::Owned(array.as_primitive::<T>().unary(convert))
    }
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => Ok(Cow::Borrowed(array.as_primitive())),
        DataType::Timestamp(TimeUnit::Second, _) => {
            Ok(converted::<TimestampSecondType>(array, |t| t.saturating_mul(1_000_000)))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            Ok(converted::<TimestampMillisecondType>(array, |t| t.saturating_mul(1_000)))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            Ok(converted::<TimestampNanosecondType>(array, |t| t.div_euclid(1_000)))
        }
        other => Err(Error::internal(format!("an event time came as {other}"))),
    }
}

/// `1 day`, `36 hours`, `500 milliseconds`: the largest unit that divides it.
fn span_to_text(span: Micros) -> String {
    const UNITS: [(Micros, &str); 6] = [
        (86_400_000_000, "day"),
        (3_600_000_000, "hour"),
        (60_000_000, "minute"),
        (1_000_000, "second"),
        (1_000, "millisecond"),
        (1, "microsecond"),
    ];
    let fits = UNITS.iter().find(|(unit, _)| span != 0 && span % unit == 0);
    let (unit, name) = fits.copied().unwrap_or((1_000_000, "second"));
    let count = span / unit;
    if count == 1 { format!("{count} {name}") } else { format!("{count} {name}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_people_write_them() {
        for (span, text) in
            [(86_400_000_000, "1 day"), (129_600_000_000, "36 hours"), (500_000, "500 milliseconds"), (0, "0 seconds")]
        {
            assert_eq!(span_to_text(span), text);
        }
    }
}
