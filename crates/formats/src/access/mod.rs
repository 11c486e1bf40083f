//! Access logs of Apache, nginx and whoever writes like them: a format string, compiled once, read into requests.

mod apache;
pub(crate) mod escape;
mod nginx;
pub(crate) mod program;
mod standard;
mod strftime;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use fyke_types::request::request_schema;
use fyke_types::{Decoder, Error, Format, Result, Settings};

use crate::requests::client::ClientRule;
use crate::requests::reader::{Line, LineReader, LinesDecoder, Rows};
use crate::requests::rows::{CustomerFrom, Request};

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

    /// A format of one's own, and behind it the same for lines with spaces inside values.
    pub fn custom(program: Program, settings: RequestSettings) -> Self {
        let lenient = program.clone().lenient();
        Self { programs: [program, lenient].into(), settings }
    }

    /// What reads its lines.
    pub fn reader(&self) -> AccessReader {
        AccessReader { programs: Arc::clone(&self.programs), first: 0, duration: self.settings.duration }
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
        Ok(Box::new(LinesDecoder::new(self.reader(), projection, &self.settings)?))
    }

    fn customer_is_input(&self) -> bool {
        self.settings.customer == CustomerFrom::Input
    }
}

/// Reads the lines of an access log.
#[derive(Debug)]
pub(crate) struct AccessReader {
    programs: Arc<[Program]>,
    /// The program that fitted last and that no other can be taken for: tried first, which changes no result.
    first: usize,
    duration: DurationUnit,
}

impl LineReader for AccessReader {
    fn read(&mut self, line: &str, rows: &mut Rows<'_>) -> std::result::Result<Line, String> {
        let (request, index) =
            read(&self.programs, self.first, line, self.duration).map_err(|broken| broken.reason())?;
        if self.programs.get(index).is_some_and(|program| program.exclusive) {
            self.first = index;
        }
        rows.push(&request);
        Ok(Line::Row)
    }
}
