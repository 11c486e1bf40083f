//! How rows find their windows.

use std::collections::BTreeMap;

use datafusion::arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::TimestampMicrosecondType;
use datafusion::physical_expr::PhysicalExpr;
use fyke_types::{Micros, Result, Span, WATERMARK_END, WindowSpec, tumble, window};
use std::sync::Arc;

use crate::state::{RowSet, evaluate, evaluate_time, partition_rows};

/// A window by `(end, start)`, so that those that close first come first.
pub type EndStart = (Micros, Micros);

/// How a row finds its window.
#[derive(Debug, Clone)]
pub enum Assign {
    /// `tumble(time, width, offset)`.
    Tumble {
        /// A timestamp or a window.
        time: Arc<dyn PhysicalExpr>,
        /// The width.
        width: Span,
        /// Shifts the alignment.
        offset: Micros,
    },
    /// A column that holds a window from below.
    Given(Arc<dyn PhysicalExpr>),
    /// No window: one store, closed by the end of input alone.
    Whole,
}

impl Assign {
    /// Each row's window; none for a row without time.
    ///
    /// # Errors
    /// When an expression fails on the data.
    pub fn windows(&self, batch: &RecordBatch) -> Result<Vec<Option<EndStart>>> {
        match self {
            Self::Whole => Ok(vec![Some((WATERMARK_END, WATERMARK_END)); batch.num_rows()]),
            Self::Tumble { time, width, offset } => {
                let (times, nulls) = evaluate_time(time, batch)?;
                let mut last = (Micros::MAX, Micros::MIN);
                Ok(times
                    .into_iter()
                    .enumerate()
                    .map(|(row, t)| {
                        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                            return None;
                        }
                        // neighbours mostly share their window
                        if t < last.0 || t >= last.1 {
                            last = tumble(t, *width, *offset);
                        }
                        Some((last.1, last.0))
                    })
                    .collect())
            }
            Self::Given(column) => {
                let column = evaluate(column, batch)?;
                let windows = column.as_struct();
                let member = |at: usize| -> Result<_> {
                    Ok(cast(windows.column(at), &window::TIME)?.as_primitive::<TimestampMicrosecondType>().clone())
                };
                let (starts, ends) = (member(0)?, member(1)?);
                Ok((0..batch.num_rows())
                    .map(|row| {
                        (windows.is_valid(row) && ends.is_valid(row)).then(|| (ends.value(row), starts.value(row)))
                    })
                    .collect())
            }
        }
    }

    /// For EXPLAIN.
    pub fn describe(&self) -> String {
        match self {
            Self::Tumble { time, width, offset } => format!("tumble({time}, {width:?}, offset {offset} µs)"),
            Self::Given(column) => format!("window {column} from below"),
            Self::Whole => "no window, at the end of input".to_owned(),
        }
    }
}

/// How a row finds all its windows.
#[derive(Debug, Clone)]
pub enum AssignAll {
    /// One.
    One(Assign),
    /// Several: `hop` or `cumulate`.
    Overlapping {
        /// A timestamp or a window.
        time: Arc<dyn PhysicalExpr>,
        /// Which.
        spec: WindowSpec,
    },
}

impl AssignAll {
    /// Rows by window, and how many rows have no window that ends behind `closed` (but had one).
    ///
    /// # Errors
    /// When an expression fails on the data.
    pub fn open(&self, batch: &RecordBatch, closed: Micros) -> Result<(Vec<(EndStart, RowSet)>, u64)> {
        match self {
            Self::One(assign) => {
                let windows = assign.windows(batch)?;
                let mut sets = partition_rows(windows.len(), |row| windows[row]);
                if matches!(assign, Assign::Whole) {
                    return Ok((sets, 0));
                }
                let open = sets.split_off(sets.partition_point(|((end, _), _)| *end <= closed));
                Ok((open, sets.iter().map(|(_, set)| set.len() as u64).sum()))
            }
            Self::Overlapping { time, spec } => {
                let (times, nulls) = evaluate_time(time, batch)?;
                let mut windows: BTreeMap<EndStart, Vec<u32>> = BTreeMap::new();
                let mut late = 0;
                for (row, time) in times.into_iter().enumerate() {
                    if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                        continue;
                    }
                    let (mut some, mut open) = (false, false);
                    spec.each_window(time, |start, end| {
                        some = true;
                        if end > closed {
                            open = true;
                            // batches hold far fewer than 2^32 rows
                            windows.entry((end, start)).or_default().push(row as u32);
                        }
                    });
                    late += u64::from(some && !open);
                }
                let sets = windows.into_iter().map(|(window, rows)| (window, RowSet::Some(UInt32Array::from(rows))));
                Ok((sets.collect(), late))
            }
        }
    }

    /// Whether there is no window.
    pub fn is_whole(&self) -> bool {
        matches!(self, Self::One(Assign::Whole))
    }

    /// For EXPLAIN.
    pub fn describe(&self) -> String {
        match self {
            Self::One(assign) => assign.describe(),
            Self::Overlapping { time, spec } => format!("{spec:?} of {time}"),
        }
    }
}
