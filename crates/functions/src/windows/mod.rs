//! Windows as SQL functions: `tumble`, `hop`, `cumulate`, `session`.
//!
//! In `GROUP BY` they are *names* that planning replaces (see the query room); only `tumble` ever runs as it stands.
//! The arithmetic is [`fyke_types::WindowSpec`]'s alone.

mod carry_forward;
mod functions;
mod list;
mod session_over;

use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_datafusion_err, exec_err};
use datafusion::logical_expr::{Expr, ScalarUDF, WindowUDF};
use fyke_types::{Micros, Span, WindowSpec, window};

pub use functions::window_functions;

/// The names of the window functions.
pub const WINDOW_FUNCTIONS: [&str; 4] = ["tumble", "hop", "cumulate", "session"];

/// All windows of a row as a list, to be unnested: how batch runs `hop` and `cumulate`.
pub fn window_list(name: &str) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(list::WindowList::new(name)))
}

/// A session as a window function over its sorted partition: how batch runs `session`.
pub fn session_over() -> Arc<WindowUDF> {
    Arc::new(WindowUDF::from(session_over::SessionOver::new()))
}

/// The last value so far as a window function over a sorted partition: how batch runs as-of joins.
pub fn carry_forward() -> Arc<WindowUDF> {
    Arc::new(WindowUDF::from(carry_forward::CarryForward::new()))
}

/// The checked window of a call's literal arguments (all but the first, which is the time).
///
/// # Errors
/// When an argument is no constant interval, or the numbers make no sense.
pub fn window_spec(name: &str, arguments: &[Expr]) -> Result<WindowSpec> {
    let literals: Vec<Option<ScalarValue>> = arguments
        .iter()
        .map(|argument| match argument.clone().unalias() {
            Expr::Literal(value, _) => Some(value),
            Expr::Cast(cast) => match *cast.expr {
                Expr::Literal(value, _) => value.cast_to(cast.field.data_type()).ok(),
                _ => None,
            },
            _ => None,
        })
        .collect();
    spec_of(name, &literals)
}

fn spec_of(name: &str, arguments: &[Option<ScalarValue>]) -> Result<WindowSpec> {
    let (least, most, form) = match name {
        "tumble" => (1, 2, "tumble(time, width [, offset])"),
        "hop" => (2, 3, "hop(time, width, slide [, offset])"),
        "cumulate" => (2, 3, "cumulate(time, width, step [, offset])"),
        "session" => (1, 1, "session(time, gap)"),
        _ => return exec_err!("{name} is no window function"),
    };
    if arguments.len() < least || arguments.len() > most {
        return exec_err!("{name} takes other arguments: {form}");
    }
    let argument = |at: usize| -> Result<Span> {
        match arguments.get(at) {
            None => Ok(Span::Micros(0)),
            Some(Some(value)) => span(value).ok_or_else(|| {
                exec_datafusion_err!(
                    "argument {} of {name} is no usable interval: {form}, for example INTERVAL '1 minute'",
                    at + 2
                )
            }),
            Some(None) => exec_err!("argument {} of {name} must be a constant: {form}", at + 2),
        }
    };
    let micros = |at: usize| -> Result<Micros> {
        match argument(at)? {
            Span::Micros(micros) => Ok(micros),
            Span::Months(_) => exec_err!("only the width of tumble may be in months: {form}"),
        }
    };
    let spec = match name {
        "tumble" => WindowSpec::Tumble { width: argument(0)?, offset: micros(1)? },
        "hop" => WindowSpec::Hop { width: micros(0)?, slide: micros(1)?, offset: micros(2)? },
        "cumulate" => WindowSpec::Cumulate { width: micros(0)?, step: micros(1)?, offset: micros(2)? },
        _ => WindowSpec::Session { gap: micros(0)? },
    };
    spec.checked().map_err(|error| exec_datafusion_err!("{error}"))
}

/// An interval or duration as a width; months must not be mixed with days, whose length differs. Finer than a
/// microsecond is refused.
fn span(value: &ScalarValue) -> Option<Span> {
    match value {
        ScalarValue::IntervalMonthDayNano(Some(v)) if v.months != 0 => {
            (v.days == 0 && v.nanoseconds == 0).then_some(Span::Months(u32::try_from(v.months).ok()?))
        }
        ScalarValue::IntervalMonthDayNano(Some(v)) => {
            let micros = i64::from(v.days).checked_mul(86_400_000_000)?.checked_add(v.nanoseconds / 1_000)?;
            (v.nanoseconds % 1_000 == 0).then_some(Span::Micros(micros))
        }
        ScalarValue::IntervalDayTime(Some(v)) => {
            Some(Span::Micros(i64::from(v.days) * 86_400_000_000 + i64::from(v.milliseconds) * 1_000))
        }
        ScalarValue::IntervalYearMonth(Some(v)) => Some(Span::Months(u32::try_from(*v).ok()?)),
        ScalarValue::DurationMicrosecond(Some(v)) => Some(Span::Micros(*v)),
        ScalarValue::DurationMillisecond(Some(v)) => v.checked_mul(1_000).map(Span::Micros),
        ScalarValue::DurationSecond(Some(v)) => v.checked_mul(1_000_000).map(Span::Micros),
        ScalarValue::DurationNanosecond(Some(v)) => (v % 1_000 == 0).then_some(Span::Micros(v / 1_000)),
        _ => None,
    }
}

/// The row times of a column, as [`window::row_times`] gives them.
fn row_times(column: &ArrayRef) -> Result<(Vec<Micros>, Option<NullBuffer>)> {
    window::row_times(column).map_err(|error| DataFusionError::External(Box::new(error)))
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(_, _)) || window::is_window(data_type)
}
