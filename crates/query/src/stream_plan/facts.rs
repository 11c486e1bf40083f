//! What is known of a column: whether it is the event time, a window, or the customer.

use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::scalar::ScalarValue;
use fyke_functions::windows::window_spec;
use fyke_types::WindowSpec;

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
            fact @ (Fact::EventTime | Fact::Start(_) | Fact::End(_)) => fact,
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
    expression
        .get_type(input.schema().as_ref())
        .is_ok_and(|ty| matches!(ty, datafusion::arrow::datatypes::DataType::Timestamp(_, _)))
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
