//! nginx's `log_format` strings.

use fyke_types::{Error, Result};

use super::program::{DurationUnit, Field, Program, Step};

/// Compiles a `log_format` string: `$name` and `${name}` are fields, all else stands as it is. The whole directive with
/// its quotes may be given too.
///
/// # Errors
/// `Usage` for a string without fields, or with two fields that nothing separates.
pub(super) fn compile(text: &str) -> Result<Program> {
    let text = directive(text).unwrap_or_else(|| text.to_owned());
    let mut steps = Vec::new();
    let mut rest = text.as_str();
    while let Some((literal, behind)) = rest.split_once('$') {
        steps.push(Step::Literal(literal.to_owned()));
        let (name, after) = variable(behind);
        if name.is_empty() {
            return Err(Error::usage("a log_format holds a '$' without a name").detail(format!("before '{behind}'")));
        }
        steps.push(Step::Field(field(name)));
        rest = after;
    }
    steps.push(Step::Literal(rest.to_owned()));
    checked(Program::new(steps), &text)
}

/// A program that can be run.
pub(super) fn checked(program: Program, text: &str) -> Result<Program> {
    if !program.has_fields() {
        return Err(Error::usage(format!("the log_format '{text}' has no fields")));
    }
    if let Some(name) = program.first_border_lacking() {
        return Err(Error::usage(format!("nothing in the log_format separates {name} from what follows")));
    }
    Ok(program)
}

/// The joined strings of `log_format NAME [escape=…] '…' '…';`.
fn directive(text: &str) -> Option<String> {
    let rest = text.trim().strip_prefix("log_format")?;
    let mut joined = String::new();
    let mut characters = rest.chars();
    while let Some(open) = characters.find(|character| matches!(character, '\'' | '"')) {
        joined.extend(characters.by_ref().take_while(|character| *character != open));
    }
    (!joined.is_empty()).then_some(joined)
}

/// A variable's name behind its `$`, and what follows it.
fn variable(text: &str) -> (&str, &str) {
    if let Some((name, after)) = text.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
        return (name, after);
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at(end)
}

fn field(name: &str) -> Field {
    match name {
        "remote_addr" => Field::Address,
        "realip_remote_addr" => Field::Peer,
        "remote_user" => Field::User,
        "time_local" => Field::CommonTime,
        "time_iso8601" => Field::IsoTime,
        "msec" => Field::EpochTime,
        "request" => Field::RequestLine,
        "request_method" => Field::Method,
        "uri" | "document_uri" => Field::Path,
        "request_uri" => Field::Target,
        "args" | "query_string" => Field::Query,
        "server_protocol" => Field::Protocol,
        "status" => Field::Status,
        "body_bytes_sent" => Field::Bytes,
        "http_referer" => Field::Referrer,
        "http_user_agent" => Field::Agent,
        "request_time" => Field::Duration(DurationUnit::Seconds),
        "host" | "http_host" | "server_name" => Field::Host,
        other => Field::Extra(other.to_owned()),
    }
}
