//! Access logs of Apache, nginx and whoever writes like them: a format string, compiled once, read into requests.

mod apache;
mod escape;
mod nginx;
mod program;
mod standard;
mod strftime;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use fyke_types::request::request_schema;
use fyke_types::{Decoded, Decoder, Error, Format, Result, Settings};

use crate::requests::client::ClientRule;
use crate::requests::rows::{CustomerFrom, Request, RequestRows, check_size};
use crate::text::lines::{Content, Utf8Block};

use program::{Broken, Program};
pub(crate) use program::{DurationUnit, duration};
pub(crate) use standard::{Standard, Variant};

/// Settings that all formats of requests share.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestSettings {
    pub rule: ClientRule,
    pub customer: CustomerFrom,
    /// Of durations whose format does not say their unit. Setting `duration_unit`: `s`, `ms` or `us`; default: seconds
    /// if it has a decimal point, else microseconds.
    pub duration: DurationUnit,
}

impl RequestSettings {
    /// Takes `customer` (`input` or `host`), `duration_unit`, and the settings of the client's address.
    ///
    /// # Errors
    /// `Usage` for values that are not known.
    pub fn from_settings(settings: &mut Settings) -> Result<Self> {
        let rule = ClientRule::from_settings(settings)?;
        let customer = match settings.text("customer").as_deref() {
            None | Some("input" | "customer" | "topic" | "folder" | "file") => CustomerFrom::Input,
            Some("host") => CustomerFrom::Host,
            Some(other) => {
                return Err(Error::usage(format!("setting 'customer' is '{other}'"))
                    .hint("it takes 'input' (what the file or topic is called) or 'host'"));
            }
        };
        let duration = match settings.text("duration_unit").as_deref() {
            None => DurationUnit::Guess,
            Some("s") => DurationUnit::Seconds,
            Some("ms") => DurationUnit::Millis,
            Some("us") => DurationUnit::Micros,
            Some(other) => {
                return Err(
                    Error::usage(format!("setting 'duration_unit' is '{other}'")).hint("it takes 's', 'ms' or 'us'")
                );
            }
        };
        Ok(Self { rule, customer, duration })
    }
}

/// An access log: one or several line formats, of which at most one fits a line.
#[derive(Debug, Clone)]
pub(crate) struct AccessFormat {
    programs: Arc<[Program]>,
    settings: RequestSettings,
}

impl AccessFormat {
    /// The formats whose lines can't be taken for each other, and behind them those for what none of them fits.
    pub fn standard(variants: &[Variant], settings: RequestSettings) -> Self {
        Self { programs: variants.iter().map(Variant::program).collect(), settings }
    }

    fn custom(program: Program, settings: RequestSettings) -> Self {
        let lenient = program.clone().lenient();
        Self { programs: [program, lenient].into(), settings }
    }

    /// An nginx `log_format` string.
    pub fn nginx(log_format: &str, settings: RequestSettings) -> Result<Self> {
        Ok(Self::custom(nginx::compile(log_format)?, settings))
    }

    /// An Apache `LogFormat` string.
    pub fn apache(log_format: &str, settings: RequestSettings) -> Result<Self> {
        Ok(Self::custom(apache::compile(log_format)?, settings))
    }
}

/// Reads one line by the first program that fits; else the complaint of the one that came furthest.
fn read<'a>(
    programs: &[Program],
    first: usize,
    line: &'a str,
    duration: DurationUnit,
) -> std::result::Result<(Request<'a>, usize), Broken> {
    let mut furthest = Broken { at: 0, expected: String::new() };
    let preferred = programs.get(first).map(|program| (first, program));
    let others = programs.iter().enumerate().filter(|(index, _)| *index != first);
    for (index, program) in preferred.into_iter().chain(others) {
        match program.read(line, duration) {
            Ok(request) => return Ok((request, index)),
            Err(broken) if program.exclusive && (broken.at > furthest.at || furthest.expected.is_empty()) => {
                furthest = broken;
            }
            Err(_) => {}
        }
    }
    Err(furthest)
}

impl Format for AccessFormat {
    fn schema(&self) -> SchemaRef {
        request_schema()
    }

    fn decoder(&self, projection: Option<&[usize]>) -> Result<Box<dyn Decoder>> {
        let rows = RequestRows::new(projection, self.settings.rule.clone(), self.settings.customer)?;
        let programs = Arc::clone(&self.programs);
        Ok(Box::new(AccessDecoder { programs, first: 0, rows, duration: self.settings.duration }))
    }
}

#[derive(Debug)]
struct AccessDecoder {
    programs: Arc<[Program]>,
    /// The program that fitted last and that no other can be taken for: tried first, which changes no result.
    first: usize,
    rows: RequestRows,
    duration: DurationUnit,
}

impl Decoder for AccessDecoder {
    fn decode(&mut self, block: &[u8], customer: &str) -> Result<Decoded> {
        check_size(block, customer)?;
        let utf8 = Utf8Block::new(block);
        let (mut lines, mut skipped, mut dead) = (0, 0, Vec::new());
        for line in utf8.lines() {
            lines += 1;
            let text = match utf8.content(&line) {
                Content::Blank => {
                    skipped += 1;
                    continue;
                }
                Content::NotUtf8(at) => {
                    dead.push(line.dead(format!("not UTF-8 at byte {at}")));
                    continue;
                }
                Content::Text(text) => text,
            };
            match read(&self.programs, self.first, text, self.duration) {
                Ok((request, index)) => {
                    if self.programs.get(index).is_some_and(|program| program.exclusive) {
                        self.first = index;
                    }
                    self.rows.push(&request, customer);
                }
                Err(broken) => dead.push(line.dead(broken.reason())),
            }
        }
        Ok(Decoded { batch: self.rows.finish()?, dead, lines, skipped })
    }
}
