//! From the text of an as-of join to a plain join with a marker in its condition.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement as SqlStatement;
use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Join, JoinConstraint,
    JoinOperator, ObjectName, Query, SetExpr, TableWithJoins, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use fyke_types::{Error, Result};

use super::marker::{LEFT_MARKER, MARKER};

/// `ASOF LEFT JOIN`, which the parser does not know, as `ASOF JOIN` with a marker around its match condition.
pub fn left_joins(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is = |token: Option<&TokenWithSpan>, word: &str| matches!(token.map(|t| &t.token), Some(Token::Word(w)) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word));
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    // words, without what stands between them
    let solid: Vec<usize> = (0..tokens.len()).filter(|at| !matches!(tokens[*at].token, Token::Whitespace(_))).collect();
    let at = |n: usize| solid.get(n).and_then(|at| tokens.get(*at));
    let mut left_out = std::collections::BTreeSet::new();
    for n in 0..solid.len() {
        if is(at(n), "asof") && is(at(n + 1), "left") {
            let join = if is(at(n + 2), "outer") { n + 3 } else { n + 2 };
            if is(at(join), "join") {
                left_out.extend(solid[n + 1..join].iter().copied());
            }
        }
    }
    if left_out.is_empty() {
        return tokens;
    }
    // marked joins whose condition has not begun, and how deep the one at hand is
    let (mut waiting, mut depth) = (false, None);
    let mut before: Option<Token> = None;
    for (number, token) in tokens.into_iter().enumerate() {
        if left_out.contains(&number) {
            waiting = true;
            continue;
        }
        let opens = waiting
            && token.token == Token::LParen
            && matches!(&before, Some(Token::Word(word)) if word.value.eq_ignore_ascii_case("match_condition"));
        if !matches!(token.token, Token::Whitespace(_)) {
            before = Some(token.token.clone());
        }
        let like = |text: Token| TokenWithSpan { token: text, span: token.span };
        match (&token.token, depth) {
            (Token::LParen, None) if opens => {
                (waiting, depth) = (false, Some(0));
                out.push(token.clone());
                out.push(like(Token::make_word(LEFT_MARKER, None)));
                out.push(like(Token::LParen));
                continue;
            }
            (Token::LParen, Some(deep)) => depth = Some(deep + 1),
            (Token::RParen, Some(0)) => {
                depth = None;
                out.push(like(Token::RParen));
            }
            (Token::RParen, Some(deep)) => depth = Some(deep - 1),
            _ => {}
        }
        out.push(token);
    }
    out
}

/// As-of joins of a statement as plain joins with a marker.
///
/// # Errors
/// `Usage` for `USING`.
pub fn as_plain_joins(statement: &mut SqlStatement) -> Result<()> {
    let SqlStatement::Statement(statement) = statement else { return Ok(()) };
    let mut rewrite = Rewrite;
    match VisitMut::visit(statement.as_mut(), &mut rewrite) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Rewrite;

impl VisitorMut for Rewrite {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        body(query.body.as_mut())
    }
}

fn body(of: &mut SetExpr) -> ControlFlow<Error> {
    match of {
        SetExpr::Select(select) => select.from.iter_mut().try_for_each(from),
        SetExpr::SetOperation { left, right, .. } => {
            body(left)?;
            body(right)
        }
        _ => ControlFlow::Continue(()),
    }
}

fn from(tables: &mut TableWithJoins) -> ControlFlow<Error> {
    if let ast::TableFactor::NestedJoin { table_with_joins, .. } = &mut tables.relation {
        from(table_with_joins)?;
    }
    tables.joins.iter_mut().try_for_each(|join| match plain(join) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    })
}

fn plain(join: &mut Join) -> Result<()> {
    if let ast::TableFactor::NestedJoin { table_with_joins, .. } = &mut join.relation
        && let ControlFlow::Break(error) = from(table_with_joins)
    {
        return Err(error);
    }
    let JoinOperator::AsOf { match_condition, constraint } = &join.join_operator else { return Ok(()) };
    let (is_left, condition) = match marked(match_condition) {
        Some(condition) => (true, condition),
        None => (false, match_condition.clone()),
    };
    let marked = call(MARKER, condition);
    let on = match constraint {
        JoinConstraint::On(on) => Expr::BinaryOp {
            left: Box::new(Expr::Nested(Box::new(on.clone()))),
            op: BinaryOperator::And,
            right: Box::new(marked),
        },
        JoinConstraint::None => marked,
        _ => {
            return Err(Error::usage("an as-of join takes its keys in ON").hint("ON l.key = r.key"));
        }
    };
    let on = JoinConstraint::On(on);
    join.join_operator = if is_left { JoinOperator::Left(on) } else { JoinOperator::Inner(on) };
    Ok(())
}

/// The condition inside the marker of a left join.
fn marked(condition: &Expr) -> Option<Expr> {
    let Expr::Function(function) = condition else { return None };
    if function.name.to_string() != LEFT_MARKER {
        return None;
    }
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(condition))] => Some(condition.clone()),
        _ => None,
    }
}

fn call(name: &str, argument: Expr) -> Expr {
    Expr::Function(ast::Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(ast::FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))],
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::parameters;

    fn text(of: &str) -> String {
        let tokens = parameters::tokens(of, "<test>", &BTreeMap::new()).expect("tokens");
        left_joins(tokens).into_iter().map(|token| token.token.to_string()).collect()
    }

    #[test]
    fn left_join_is_marked_in_its_condition_alone() {
        assert_eq!(
            text("SELECT * FROM a ASOF LEFT JOIN (SELECT (1)) b MATCH_CONDITION ((a.t) >= b.t) ON (a.k = b.k)"),
            "SELECT * FROM a ASOF  JOIN (SELECT (1)) b MATCH_CONDITION (__as_of_left((a.t) >= b.t)) ON (a.k = b.k)"
        );
        let inner = "SELECT * FROM a ASOF JOIN b MATCH_CONDITION (a.t >= b.t) ON a.k = b.k";
        assert_eq!(text(inner), inner);
    }
}
