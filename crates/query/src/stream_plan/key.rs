//! By which columns the rows of an operator are unique: what update mode replaces rows by.

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Aggregate, Expr, Join, JoinType, LogicalPlan};
use datafusion::scalar::ScalarValue;
use fyke_stream::NodeId;
use fyke_stream::operators::UpsertsOf;
use fyke_types::{Error, Result, WindowSpec};
use std::sync::Arc;

use super::build::Planner;
use super::facts::Fact;
use crate::batch::window_call;
use crate::emit::Emit;

/// What of a part a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// All of it.
    All,
    /// A window's start.
    Start,
    /// A window's end.
    End,
}

/// What tells a window from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Window {
    /// Its start, or its end: all are of one width.
    Either,
    /// Its end: it grows by steps.
    End,
    /// Its start: it grows with its rows. One of a key has no other of the same start.
    Start,
    /// Both: a session from below, whatever its key was there.
    Both,
}

/// A part of the key: a group expression.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// For messages.
    name: String,
    /// The columns that hold it.
    columns: Vec<(usize, Holds)>,
    window: Option<Window>,
    /// Where the keys of changed groups have it: see [`fyke_stream::Touched`].
    touched: Option<usize>,
}

/// The columns that rows are unique by.
pub(super) type Key = Vec<Part>;

/// Groups are unique by what they are grouped by.
pub(super) fn of_groups(plan: &Aggregate, facts: &[Fact], window_at: Option<usize>) -> Key {
    let mut next = 0;
    let part = |(at, expression): (usize, &Expr)| {
        let window = match facts.get(at) {
            Some(Fact::Window(spec)) if Some(at) == window_at => Some(match spec {
                WindowSpec::Tumble { .. } | WindowSpec::Hop { .. } => Window::Either,
                WindowSpec::Cumulate { .. } => Window::End,
                WindowSpec::Session { .. } if window_call(expression).is_some() => Window::Start,
                WindowSpec::Session { .. } => Window::Both,
            }),
            _ => None,
        };
        let width = match window {
            Some(Window::Start) => 0,
            Some(_) => 2,
            None => 1,
        };
        let touched = (width > 0).then_some(next);
        next += width;
        Part { name: expression.schema_name().to_string(), columns: vec![(at, Holds::All)], window, touched }
    };
    plan.group_expr.iter().enumerate().map(part).collect()
}

/// The column that an expression is, or the window's whose start or end it is.
fn column_of(expression: &Expr, schema: &DFSchema) -> Option<(usize, Holds)> {
    match expression {
        Expr::Alias(alias) => column_of(&alias.expr, schema),
        Expr::Column(column) => Some((schema.maybe_index_of_column(column)?, Holds::All)),
        Expr::ScalarFunction(call) if call.name() == "get_field" => {
            let (column, Holds::All) = column_of(call.args.first()?, schema)? else { return None };
            let Expr::Literal(ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)), _) =
                call.args.get(1)?
            else {
                return None;
            };
            match name.as_str() {
                "start" => Some((column, Holds::Start)),
                "end" => Some((column, Holds::End)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The key behind a projection.
pub(super) fn projected(key: &Key, expressions: &[Expr], input: &LogicalPlan) -> Key {
    let held: Vec<_> = expressions.iter().map(|expression| column_of(expression, input.schema())).collect();
    moved(key, |column, holds| {
        let held = held.iter().enumerate().filter_map(|(at, held)| Some((at, (*held)?)));
        held.filter_map(|(at, (of, part))| match (holds, part) {
            (_, Holds::All) if of == column => Some((at, holds)),
            (Holds::All, Holds::Start | Holds::End) if of == column => Some((at, part)),
            _ => None,
        })
        .collect()
    })
}

/// The key where columns have moved.
pub(super) fn moved(key: &Key, to: impl Fn(usize, Holds) -> Vec<(usize, Holds)>) -> Key {
    let part = |part: &Part| Part {
        columns: part.columns.iter().flat_map(|(column, holds)| to(*column, *holds)).collect(),
        ..part.clone()
    };
    key.iter().map(part).collect()
}

/// The key of a selection of columns.
pub(super) fn selected(key: &Key, columns: &[usize]) -> Key {
    moved(key, |column, holds| {
        columns.iter().enumerate().filter(|(_, from)| **from == column).map(|(at, _)| (at, holds)).collect()
    })
}

/// The key with all columns so many places further.
pub(super) fn shifted(key: &Key, by: usize) -> Key {
    moved(key, |column, holds| vec![(column + by, holds)])
}

impl Part {
    /// Whether a join key holds all that the part is.
    fn is_held_by(&self, (column, holds): (usize, Holds)) -> bool {
        let fixed = self.window == Some(Window::Either);
        let same = |(own, part): &(usize, Holds)| *own == column && (*part == holds || (fixed && *part == Holds::All));
        match self.window {
            // sessions of one start, or steps of one window, are several
            Some(_) if !fixed && holds != Holds::All => false,
            _ => self.columns.iter().any(same),
        }
    }

    /// The names of its columns of the output, and which of the keys of changed groups they are.
    fn paths(&self, schema: &SchemaRef) -> Option<Vec<(String, Option<usize>)>> {
        let column = |wanted: Holds| self.columns.iter().find(|(_, holds)| *holds == wanted).map(|(at, _)| *at);
        let name = |at: usize| schema.field(at).name().clone();
        let start = || {
            let path = column(Holds::All).map(|at| format!("{}.start", name(at)));
            Some((path.or_else(|| column(Holds::Start).map(name))?, self.touched))
        };
        let end = || {
            let path = column(Holds::All).map(|at| format!("{}.end", name(at)));
            Some((path.or_else(|| column(Holds::End).map(name))?, self.touched.map(|start| start + 1)))
        };
        Some(match self.window {
            None => vec![(name(column(Holds::All)?), self.touched)],
            Some(Window::Either) => vec![start().or_else(end)?],
            Some(Window::Start) => vec![start()?],
            Some(Window::End) => vec![end()?],
            Some(Window::Both) => vec![start()?, end()?],
        })
    }
}

/// The key of a join's rows: both sides', but what is equal by the join counts once.
pub(super) fn joined(join: &Join, left: &Key, right: &Key) -> Key {
    use JoinType::{Full, Inner, Left, LeftAnti, LeftMark, LeftSemi, Right, RightAnti, RightMark, RightSemi};
    let behind = join.left.schema().fields().len();
    let without_touched = |key: Key| -> Key { key.into_iter().map(|part| Part { touched: None, ..part }).collect() };
    let (left, right) = (without_touched(left.clone()), without_touched(right.clone()));
    match join.join_type {
        LeftSemi | LeftAnti | LeftMark => return left,
        RightSemi | RightAnti | RightMark => return right,
        Inner | Left | Right | Full => {}
    }
    let on: Vec<_> = join
        .on
        .iter()
        .filter_map(|(l, r)| Some((column_of(l, join.left.schema())?, column_of(r, join.right.schema())?)))
        .collect();
    let equal = |l: &Part, r: &Part| on.iter().any(|(lc, rc)| l.is_held_by(*lc) && r.is_held_by(*rc));
    let there = shifted(&right, behind);
    // a row that finds at most one on the other side is told apart as before
    let (finds_left, finds_right) = (
        left.iter().all(|part| on.iter().any(|(column, _)| part.is_held_by(*column))),
        right.iter().all(|part| on.iter().any(|(_, column)| part.is_held_by(*column))),
    );
    if join.join_type == Right || (join.join_type == Inner && finds_left && !finds_right) {
        let mut key = left.clone();
        // an unmatched row has no left side
        key.retain(|l| !finds_left && !right.iter().any(|r| equal(l, r)));
        key.extend(there);
        return key;
    }
    let mut key = left.clone();
    for (own, moved) in right.iter().zip(there) {
        let same = left.iter().position(|l| equal(l, own)).filter(|_| join.join_type != Full);
        match same {
            Some(at) if join.join_type == Inner => key[at].columns.extend(moved.columns),
            // as the left side's, or null
            Some(_) => {}
            None if finds_right && join.join_type != Full => {}
            None => key.push(moved),
        }
    }
    key
}

impl Planner<'_> {
    /// Notes by what the rows of a node are unique.
    pub(super) fn note_key(&mut self, node: NodeId, key: Option<Key>) {
        if let Some(key) = key {
            self.keys.insert(node, key);
        }
    }

    /// What an output in update mode replaces rows by.
    pub(super) fn upserts_of(&self, name: &str, node: NodeId, plan: &LogicalPlan, emit: &Emit) -> Result<UpsertsOf> {
        let refused = || Error::unsupported(format!("early results for {name}"));
        let Some(key) = self.keys.get(&node) else {
            return Err(refused()
                .detail("its rows are not known to be unique by any columns, so that none could replace another")
                .hint("aggregate them (GROUP BY), or leave out 'emit': rows without a window leave at once anyway"));
        };
        let schema = Arc::new(plan.schema().as_arrow().clone());
        let mut paths = Vec::with_capacity(key.len());
        for part in key {
            let Some(found) = part.paths(&schema) else {
                return Err(refused()
                    .detail(format!("its columns do not hold {}, by which rows are told apart", part.name))
                    .hint("select it as it is, too"));
            };
            paths.extend(found);
        }
        let named = |name: &str| schema.fields().iter().filter(|field| field.name() == name).count();
        if let Some(twice) = schema.fields().iter().map(|field| field.name()).find(|name| named(name) > 1) {
            return Err(refused().detail(format!("two columns are called {twice}")).hint("rename one with AS"));
        }
        if let Some(column) = emit.final_column.as_ref().filter(|name| schema.column_with_name(name).is_some()) {
            return Err(Error::usage(format!("'final' names a column '{column}' that the rows have already"))
                .hint("give it another name"));
        }
        // first what changed groups are told by, then where their sessions start
        paths.sort_by_key(|(_, touched)| touched.is_none());
        let touched = paths.iter().filter_map(|(_, touched)| *touched).collect();
        let key = paths.into_iter().map(|(path, _)| path).collect();
        Ok(UpsertsOf { schema, key, touched, final_column: emit.final_column.clone() })
    }
}
