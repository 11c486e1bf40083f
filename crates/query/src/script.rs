//! A script: statements with their places.

use std::collections::BTreeMap;

use datafusion::sql::parser::{CopyToSource, DFParserBuilder, Statement as SqlStatement};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::tokenizer::Token;
use fyke_types::{Error, Place, Result};

use crate::{as_of, parameters};

/// A parsed script.
#[derive(Debug, Clone)]
pub struct Script {
    /// What the text is called in messages.
    pub file: String,
    /// In their order.
    pub statements: Vec<Statement>,
}

/// A statement of a script.
#[derive(Debug, Clone)]
pub struct Statement {
    /// Where it starts.
    pub place: Place,
    /// What it is.
    pub kind: StatementKind,
}

/// What a statement asks for.
#[derive(Debug, Clone)]
pub enum StatementKind {
    /// DDL, SET: carried out at once.
    Define(SqlStatement),
    /// `COPY (query) TO 'location' STORED AS format OPTIONS (…)`.
    Copy {
        /// The query.
        query: SqlStatement,
        /// Where to.
        location: String,
        /// Upper case; none: by the location's extension.
        format: Option<String>,
        /// Lower-case keys.
        options: BTreeMap<String, String>,
    },
    /// `INSERT INTO table query`.
    Insert {
        /// The table.
        table: String,
        /// The query.
        query: SqlStatement,
    },
    /// A bare query: its rows are printed.
    Select(SqlStatement),
    /// `EXPLAIN query`, or of a `COPY` or `INSERT`.
    Explain {
        /// The query.
        query: SqlStatement,
        /// The output's settings, lower-case keys.
        options: BTreeMap<String, String>,
    },
}

impl Script {
    /// Parses `text`; `file` names it in messages, `values` are its parameters.
    ///
    /// # Errors
    /// `Usage` with the place of what can't be read.
    pub fn parse(text: &str, file: &str, values: &BTreeMap<String, String>) -> Result<Self> {
        let tokens = as_of::left_joins(parameters::tokens(text, file, values)?);
        let mut parser = DFParserBuilder::new(tokens).build().map_err(|error| parse_error(&error, file, None))?;
        let mut statements = Vec::new();
        loop {
            while parser.parser.consume_token(&Token::SemiColon) {}
            let next = parser.parser.peek_token();
            if next.token == Token::EOF {
                return Ok(Self { file: file.to_owned(), statements });
            }
            let place = Place { file: file.to_owned(), line: next.span.start.line, column: next.span.start.column };
            let parsed = parser.parse_statement().map_err(|error| {
                let at = parser.parser.peek_token().span.start;
                let at = Place { file: file.to_owned(), line: at.line, column: at.column };
                parse_error(&error, file, Some(if at.line > 0 { at } else { place.clone() }))
            })?;
            let after = parser.parser.peek_token();
            if !matches!(after.token, Token::SemiColon | Token::EOF) {
                let at = after.span.start;
                return Err(Error::usage(format!("expected ';' or the end, found '{}'", after.token)).at(Place {
                    file: file.to_owned(),
                    line: at.line,
                    column: at.column,
                }));
            }
            statements.push(Statement { kind: kind_of(parsed).map_err(|error| error.at(place.clone()))?, place });
        }
    }
}

fn parse_error(error: &datafusion::common::DataFusionError, file: &str, fallback: Option<Place>) -> Error {
    let text = error.strip_backtrace();
    let message = text.trim_start_matches("SQL error: ").trim_start_matches("ParserError(\"");
    // the parser says "… at Line: 3, Column: 7"
    let (message, place) = match message.rsplit_once(" at Line: ") {
        Some((message, at)) => (message, place_of(at, file)),
        None => (message.trim_end_matches("\")"), None),
    };
    let error = Error::usage(format!("the SQL can't be read: {message}"));
    match place.or(fallback) {
        Some(place) => error.at(place),
        None => error,
    }
}

fn place_of(text: &str, file: &str) -> Option<Place> {
    let (line, column) = text.split_once(", Column: ")?;
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
    Some(Place { file: file.to_owned(), line: digits(line)?, column: digits(column)? })
}

fn kind_of(statement: SqlStatement) -> Result<StatementKind> {
    Ok(match statement {
        SqlStatement::CopyTo(copy) => {
            let query = match copy.source {
                CopyToSource::Query(query) => ast::Statement::Query(query),
                CopyToSource::Relation(name) => select_all(&name)?,
            };
            let mut options = BTreeMap::new();
            if !copy.partitioned_by.is_empty() {
                put_once(&mut options, "partition_by", copy.partitioned_by.join(", "))?;
            }
            for (key, value) in copy.options {
                put_once(&mut options, &key, value_text(&value))?;
            }
            StatementKind::Copy {
                query: SqlStatement::Statement(Box::new(query)),
                location: copy.target,
                format: copy.stored_as.map(|format| format.to_uppercase()),
                options,
            }
        }
        SqlStatement::Statement(statement) => match *statement {
            ast::Statement::Query(_) => StatementKind::Select(SqlStatement::Statement(statement)),
            ast::Statement::Insert(insert) => {
                let ast::TableObject::TableName(table) = &insert.table else {
                    return Err(Error::unsupported("INSERT INTO takes the name of a table"));
                };
                let Some(query) = insert.source.clone() else {
                    return Err(Error::usage("INSERT INTO needs a query"));
                };
                if !insert.columns.is_empty() {
                    return Err(Error::unsupported("INSERT INTO with a column list is not supported")
                        .hint("select the columns in the table's order"));
                }
                StatementKind::Insert {
                    table: table.to_string(),
                    query: SqlStatement::Statement(Box::new(ast::Statement::Query(query))),
                }
            }
            ast::Statement::Explain { statement, .. } => {
                StatementKind::Explain { query: SqlStatement::Statement(statement), options: BTreeMap::new() }
            }
            other => StatementKind::Define(SqlStatement::Statement(Box::new(other))),
        },
        SqlStatement::Explain(explain) => match kind_of(*explain.statement)? {
            StatementKind::Copy { query, options, .. } => StatementKind::Explain { query, options },
            StatementKind::Insert { query, .. } | StatementKind::Select(query) => {
                StatementKind::Explain { query, options: BTreeMap::new() }
            }
            _ => return Err(Error::usage("EXPLAIN takes a query")),
        },
        other => StatementKind::Define(other),
    })
}

fn select_all(name: &ast::ObjectName) -> Result<ast::Statement> {
    let text = format!("SELECT * FROM {name}");
    let mut parser = DFParserBuilder::new(text.as_str()).build().map_err(|error| Error::internal(error.to_string()))?;
    match parser.parse_statement() {
        Ok(SqlStatement::Statement(statement)) => Ok(*statement),
        _ => Err(Error::usage(format!("'{name}' is no table name"))),
    }
}

fn value_text(value: &ast::Value) -> String {
    match value {
        ast::Value::SingleQuotedString(text) | ast::Value::DoubleQuotedString(text) => text.clone(),
        ast::Value::Number(text, _) => text.clone(),
        other => other.to_string(),
    }
}

/// Keys that differ only in case would overwrite each other silently.
pub fn put_once(options: &mut BTreeMap<String, String>, key: &str, value: String) -> Result<()> {
    let key = key.to_lowercase();
    let key = key.strip_prefix("format.").unwrap_or(&key).to_owned();
    if options.contains_key(&key) {
        return Err(Error::usage(format!("setting '{key}' is given twice")));
    }
    options.insert(key, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_know_their_places() {
        let script = Script::parse("SELECT 1;\n\n  COPY (SELECT 2) TO 'x' STORED AS json;", "f.sql", &BTreeMap::new());
        let places: Vec<_> = script.expect("parses").statements.iter().map(|s| s.place.to_string()).collect();
        assert_eq!(places, ["f.sql:1:1", "f.sql:3:3"]);
    }

    #[test]
    fn syntax_error_points_at_the_line() {
        let error = Script::parse("SELECT 1;\nSELECT (1 + ;", "f.sql", &BTreeMap::new()).expect_err("no SQL");
        assert_eq!(error.place().map(|place| place.line), Some(2), "{error}");
    }

    #[test]
    fn doubled_option_is_refused() {
        let text = "COPY (SELECT 1) TO 'x' STORED AS JSON OPTIONS ('A' '1', 'a' '2')";
        assert!(Script::parse(text, "f.sql", &BTreeMap::new()).is_err());
    }
}
