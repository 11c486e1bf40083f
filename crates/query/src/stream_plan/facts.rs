//! What is known of a column: whether it is the event time, a window, or the customer.

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::scalar::ScalarValue;
use fyke_functions::windows::window_spec;
use fyke_types::{Micros, Span, WindowSpec};

use crate::batch::window_call;

/// What a column is to the clock of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// Nothing special.
    Plain,
    /// A source's event time.
    EventTime,
    /// The customer whose watermark governs the row.
    Customer,
    /// A window of event time.
    Window(WindowSpec),
    /// A list of windows, to be unnested.
    Windows(WindowSpec),
    /// A window's start.
    Start(WindowSpec),
    /// A window's end.
    End(WindowSpec),
    /// The last event time of a session with this gap, µs.
    Last(Micros),
    /// A time inside of a window of at most this width, µs.
    Within(Micros),
}

impl Fact {
    /// Whether rows with this column close by it.
    pub fn is_window(self) -> bool {
        matches!(self, Self::Window(_))
    }

    /// Whether windows may be made of this column.
    pub fn is_time(self) -> bool {
        matches!(self, Self::EventTime | Self::Window(_))
    }

    /// What must be added to the column, µs, to have the row time, which the watermark bounds from below. (Of a window
    /// the end − 1 is the row time.)
    pub fn to_row_time(self) -> Option<Micros> {
        match self {
            Self::EventTime | Self::Window(_) => Some(0),
            Self::End(_) => Some(-1),
            Self::Start(WindowSpec::Tumble { width: Span::Micros(width), .. } | WindowSpec::Hop { width, .. }) => {
                Some(width.saturating_sub(1))
            }
            Self::Last(gap) => Some(gap.saturating_sub(1)),
            _ => None,
        }
    }

    /// How far the column may lie behind the row time at most, µs.
    pub fn behind(self) -> Option<Micros> {
        match self {
            Self::Within(width) => Some(width),
            Self::Start(spec) => width(spec),
            _ => self.to_row_time(),
        }
    }
}

/// The greatest width of a window, µs; none: it may have any.
pub fn width(spec: WindowSpec) -> Option<Micros> {
    const LONGEST_MONTH: Micros = 31 * 86_400_000_000;
    match spec {
        WindowSpec::Tumble { width: Span::Micros(width), .. }
        | WindowSpec::Hop { width, .. }
        | WindowSpec::Cumulate { width, .. } => Some(width),
        WindowSpec::Tumble { width: Span::Months(months), .. } => Some(LONGEST_MONTH.saturating_mul(months.into())),
        WindowSpec::Session { .. } => None,
    }
}

/// The fact of an expression over a plan whose columns have `facts`.
pub fn of_expression(expression: &Expr, input: &LogicalPlan, facts: &[Fact]) -> Fact {
    match expression {
        Expr::Alias(alias) => of_expression(&alias.expr, input, facts),
        Expr::Column(column) => {
            let at = input.schema().maybe_index_of_column(column);
            at.and_then(|at| facts.get(at)).copied().unwrap_or(Fact::Plain)
        }
        // coercion to another precision leaves a time what it is
        Expr::Cast(cast) if is_timestamp(expression, input) => match of_expression(&cast.expr, input, facts) {
            fact @ (Fact::EventTime | Fact::Start(_) | Fact::End(_) | Fact::Last(_) | Fact::Within(_)) => fact,
            _ => Fact::Plain,
        },
        Expr::ScalarFunction(call) => {
            let first = call.args.first().map_or(Fact::Plain, |time| of_expression(time, input, facts));
            let name = call.name();
            if name == "get_field" {
                return member(first, call.args.get(1));
            }
            let list = name.strip_prefix("__").and_then(|name| name.strip_suffix("_windows"));
            let window = list.unwrap_or(name);
            if !fyke_functions::windows::WINDOW_FUNCTIONS.contains(&window) || !first.is_time() {
                return Fact::Plain;
            }
            match (window_spec(window, &call.args[1..]), list) {
                (Ok(spec), None) => Fact::Window(spec),
                (Ok(spec), Some(_)) => Fact::Windows(spec),
                (Err(_), _) => Fact::Plain,
            }
        }
        _ => Fact::Plain,
    }
}

fn is_timestamp(expression: &Expr, input: &LogicalPlan) -> bool {
    expression.get_type(input.schema().as_ref()).is_ok_and(|ty| matches!(ty, DataType::Timestamp(_, _)))
}

fn member(of: Fact, name: Option<&Expr>) -> Fact {
    let Some(Expr::Literal(ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)), _)) = name else {
        return Fact::Plain;
    };
    match (of, name.as_str()) {
        (Fact::Window(spec), "start") => Fact::Start(spec),
        (Fact::Window(spec), "end") => Fact::End(spec),
        _ => Fact::Plain,
    }
}

/// Whether an expression is the start or end of a window column.
pub fn is_member_of(expression: &Expr, window: Option<&Expr>) -> bool {
    let (Expr::ScalarFunction(call), Some(window)) = (bare(expression), window) else { return false };
    call.name() == "get_field" && call.args.first().map(bare) == Some(bare(window))
}

/// The fact of an aggregate: the least or greatest event time of its window.
pub fn of_aggregate(aggregate: &Expr, window: Option<&Expr>, input: &LogicalPlan, facts: &[Fact]) -> Fact {
    let Expr::AggregateFunction(call) = bare(aggregate) else { return Fact::Plain };
    let (Some(window), [time]) = (window.and_then(window_call), call.params.args.as_slice()) else {
        return Fact::Plain;
    };
    let same = window.args.first().map(bare) == Some(bare(time));
    if !same || call.params.filter.is_some() || of_expression(time, input, facts) != Fact::EventTime {
        return Fact::Plain;
    }
    let Ok(spec) = window_spec(window.name(), &window.args[1..]) else { return Fact::Plain };
    match (call.func.name(), spec) {
        ("max", WindowSpec::Session { gap }) => Fact::Last(gap),
        ("max" | "min", spec) => width(spec).map_or(Fact::Plain, Fact::Within),
        _ => Fact::Plain,
    }
}

/// An expression without aliases, and without casts that leave a time what it is.
fn bare(expression: &Expr) -> &Expr {
    match expression {
        Expr::Alias(alias) => bare(&alias.expr),
        Expr::Cast(cast) if matches!(cast.field.data_type(), DataType::Timestamp(_, _)) => bare(&cast.expr),
        other => other,
    }
}
