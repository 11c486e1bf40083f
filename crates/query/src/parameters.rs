//! `${NAME}` in a script: replaced in tokens, never in text, so that a value cannot become syntax.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};
use fyke_types::{Error, Place, Result};

/// The tokens of `text` with parameters replaced, first from `values`, then from the environment.
pub fn tokens(text: &str, file: &str, values: &BTreeMap<String, String>) -> Result<Vec<TokenWithSpan>> {
    let place = |at: Location| Place { file: file.to_owned(), line: at.line, column: at.column };
    let tokens = Tokenizer::new(&GenericDialect {}, text)
        .tokenize_with_location()
        .map_err(|error| Error::usage(error.message.clone()).at(place(error.location)))?;
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    for mut token in tokens {
        let at = token.span.start;
        match &mut token.token {
            Token::SingleQuotedString(value) | Token::DoubleQuotedString(value) => {
                *value = replace(value, values).map_err(|error| error.at(place(at)))?;
            }
            Token::Word(word) if word.value.contains("${") => {
                word.value = replace(&word.value, values).map_err(|error| error.at(place(at)))?;
            }
            _ => {}
        }
        out.push(token);
    }
    bare(out, values).map_err(|(error, at)| error.at(place(at)))
}

/// `${NAME}` outside quotes: a number or a single word.
fn bare(
    tokens: Vec<TokenWithSpan>,
    values: &BTreeMap<String, String>,
) -> Result<Vec<TokenWithSpan>, (Error, Location)> {
    let mut out = Vec::with_capacity(tokens.len());
    let mut rest = tokens.into_iter().peekable();
    while let Some(token) = rest.next() {
        let opens = matches!(&token.token, Token::Placeholder(text) if text == "$")
            && matches!(rest.peek().map(|next| &next.token), Some(Token::LBrace));
        if !opens {
            out.push(token);
            continue;
        }
        let at = token.span.start;
        rest.next();
        let name = rest.next().map(|name| name.token.to_string()).unwrap_or_default();
        if !matches!(rest.next().map(|close| close.token), Some(Token::RBrace)) {
            return Err((Error::usage("'${' is not closed by '}'"), at));
        }
        let value = value_of(&name, values).map_err(|error| (error, at))?;
        let parsed = Tokenizer::new(&GenericDialect {}, &value).tokenize().unwrap_or_default();
        match parsed.as_slice() {
            [one @ (Token::Number(..) | Token::Word(_) | Token::SingleQuotedString(_))] => {
                out.push(TokenWithSpan { token: one.clone(), span: token.span });
            }
            _ => {
                let error = Error::usage(format!("the value of ${{{name}}} is neither a number nor a single word"))
                    .hint(format!("write '${{{name}}}' in quotes to use it as text"));
                return Err((error, at));
            }
        }
    }
    Ok(out)
}

fn replace(text: &str, values: &BTreeMap<String, String>) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else {
            return Err(Error::usage("'${' is not closed by '}'"));
        };
        out.push_str(&rest[..start]);
        out.push_str(&value_of(&rest[start + 2..start + length], values)?);
        rest = &rest[start + length + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn value_of(name: &str, values: &BTreeMap<String, String>) -> Result<String> {
    values.get(name).cloned().or_else(|| std::env::var(name).ok()).ok_or_else(|| {
        Error::usage(format!("parameter ${{{name}}} has no value"))
            .hint(format!("give it with --set {name}=VALUE or as an environment variable"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_with_a_quote_stays_text() {
        let values = BTreeMap::from([("OUT".to_owned(), "x'; DROP TABLE y; --".to_owned())]);
        let tokens = tokens("COPY t TO '${OUT}'", "<test>", &values).expect("tokens");
        let strings = tokens.iter().filter(|t| matches!(t.token, Token::SingleQuotedString(_))).count();
        assert_eq!(strings, 1);
    }

    #[test]
    fn missing_value_points_at_the_place() {
        let error = tokens("SELECT 1;\n  SELECT '${NO_SUCH_VALUE}'", "f.sql", &BTreeMap::new()).expect_err("no value");
        assert_eq!(error.place().map(ToString::to_string).as_deref(), Some("f.sql:2:10"));
    }

    #[test]
    fn bare_value_is_a_number_or_a_word() {
        let values = BTreeMap::from([("N".to_owned(), "42".to_owned()), ("BAD".to_owned(), "1; 2".to_owned())]);
        assert!(tokens("SELECT ${N}", "f", &values).is_ok_and(|t| t.iter().any(|t| t.token.to_string() == "42")));
        assert!(tokens("SELECT ${BAD}", "f", &values).is_err());
    }
}
