//! Apache's `LogFormat` strings.

use fyke_types::{Error, Result};

use super::nginx::checked;
use super::program::{DurationUnit, Field, Program, Step};
use super::strftime;

/// Compiles a `LogFormat` string. Quotes may be escaped as in the server's own file.
///
/// # Errors
/// `Usage` for an unknown directive, a time format that can't be read back, or two fields that nothing separates.
pub(super) fn compile(text: &str) -> Result<Program> {
    let text = text.replace("\\\"", "\"").replace("\\t", "\t");
    let mut steps = Vec::new();
    let mut rest = text.as_str();
    while let Some((literal, behind)) = rest.split_once('%') {
        steps.push(Step::Literal(literal.to_owned()));
        if let Some(after) = behind.strip_prefix('%') {
            steps.push(Step::Literal("%".into()));
            rest = after;
            continue;
        }
        let (directive, after) = Directive::read(behind)?;
        directive.push(&mut steps)?;
        rest = after;
    }
    steps.push(Step::Literal(rest.to_owned()));
    checked(Program::new(steps), &text)
}

/// `%[!][codes,][<>]{argument}letter`.
struct Directive<'a> {
    argument: Option<&'a str>,
    /// `^ti` and `^to` count as letters.
    letter: &'a str,
}

impl<'a> Directive<'a> {
    fn read(text: &'a str) -> Result<(Self, &'a str)> {
        let modifiers = |c: char| matches!(c, '<' | '>' | '!' | ',') || c.is_ascii_digit();
        let mut rest = text.trim_start_matches(modifiers);
        let mut argument = None;
        if let Some(inner) = rest.strip_prefix('{') {
            let (found, after) = inner
                .split_once('}')
                .ok_or_else(|| Error::usage(format!("a LogFormat lacks the '}}' behind '%{text}'")))?;
            argument = Some(found);
            rest = after.trim_start_matches(modifiers);
        }
        let length = if rest.starts_with("^t") { 3 } else { rest.chars().next().map_or(0, char::len_utf8) };
        let (letter, after) = rest
            .split_at_checked(length)
            .filter(|(letter, _)| !letter.is_empty())
            .ok_or_else(|| Error::usage("a LogFormat ends behind '%'").hint("write '%%' for a percent sign"))?;
        Ok((Self { argument, letter }, after))
    }

    fn push(&self, steps: &mut Vec<Step>) -> Result<()> {
        if self.letter == "t" {
            match self.argument {
                None => {
                    let literal = |text: &str| Step::Literal(text.to_owned());
                    steps.extend([literal("["), Step::Field(Field::CommonTime), literal("]")]);
                }
                Some(format) => steps.push(Step::Field(Field::TimePieces(strftime::compile(format)?))),
            }
            return Ok(());
        }
        steps.push(Step::Field(self.field()?));
        Ok(())
    }

    fn field(&self) -> Result<Field> {
        let named = |name: &str| Ok(Field::Extra(name.to_owned()));
        let argument = self.argument.unwrap_or_default();
        match (self.letter, argument) {
            ("a", "c") => Ok(Field::Peer),
            ("h" | "a", _) => Ok(Field::Address),
            ("l", _) => named("ident"),
            ("u", _) => Ok(Field::User),
            ("r", _) => Ok(Field::RequestLine),
            ("m", _) => Ok(Field::Method),
            ("U", _) => Ok(Field::Path),
            ("q", _) => Ok(Field::Query),
            ("H", _) => Ok(Field::Protocol),
            ("s", _) => Ok(Field::Status),
            ("b" | "B", _) => Ok(Field::Bytes),
            ("O", _) => named("bytes_out"),
            ("I", _) => named("bytes_in"),
            ("S", _) => named("bytes_both"),
            ("D", _) | ("T", "us") => Ok(Field::Duration(DurationUnit::Micros)),
            ("T", "ms") => Ok(Field::Duration(DurationUnit::Millis)),
            ("T", "" | "s") => Ok(Field::Duration(DurationUnit::Seconds)),
            ("v" | "V", _) => Ok(Field::Host),
            ("p", _) => named("port"),
            ("A", _) => named("local_address"),
            ("f", _) => named("file"),
            ("k", _) => named("keepalive"),
            ("L", _) => named("log_id"),
            ("P", _) => named("process"),
            ("R", _) => named("handler"),
            ("X", _) => named("connection"),
            ("i", name) => Ok(header(name)),
            ("o", name) => named(&format!("sent_{}", name.to_ascii_lowercase())),
            ("C", name) => named(&format!("cookie_{name}")),
            ("e" | "n" | "^ti" | "^to", name) => named(name),
            (other, _) => Err(Error::usage(format!("a LogFormat holds '%{other}', which is not known"))
                .hint("see mod_log_config for what there is; write '%%' for a percent sign")),
        }
    }
}

fn header(name: &str) -> Field {
    match name.to_ascii_lowercase().as_str() {
        "referer" => Field::Referrer,
        "user-agent" => Field::Agent,
        "host" => Field::Host,
        other => Field::Extra(other.to_owned()),
    }
}
