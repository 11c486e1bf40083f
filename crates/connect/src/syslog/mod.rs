//! Lines that servers send by syslog: RFC 5424 and RFC 3164, over UDP and TCP, the payload in any line format.
//!
//! Syslog has no acknowledgement: what is lost on its way, or between the arrival and the spool, is lost. TCP senders
//! wait while the stream does not keep up; of UDP the system drops what finds no room.

mod framing;
mod server;

use std::net::SocketAddr;
use std::sync::Arc;

use fyke_formats::parse_syslog;
use fyke_types::{Connector, Error, ReadOptions, Reader, Result, Settings, Sink, SinkSpec, Source, TableSpec};

use crate::push::{PushSettings, PushSource, Record, Sorted, Sorter};

use server::SyslogListener;

/// A table that servers send their lines to by syslog.
///
/// Location: `udp://ADDRESS:PORT`, `tcp://ADDRESS:PORT`, or `syslog://ADDRESS:PORT` for both. Settings: `format`,
/// `inbox_bytes`, `spool`, `spool_bytes`, `customer_from` (`hostname`, `app_name` or `sender`), `message_bytes`, and the
/// format's own.
#[derive(Debug)]
pub struct SyslogSource(PushSource);

impl SyslogSource {
    /// A table as `spec` says it. Nothing listens before it is opened.
    ///
    /// # Errors
    /// `Usage` for wrong or unknown settings, or a location that is none.
    pub fn new(spec: &TableSpec) -> Result<Self> {
        let mut settings = Settings::new(format!("table {}", spec.name), spec.options.clone());
        let customer_from = CustomerFrom::new(settings.text("customer_from").as_deref())?;
        let listener = SyslogListener::new(&spec.location, customer_from, &mut settings)?;
        let push = PushSettings::take(spec, &mut settings)?;
        settings.finish()?;
        Ok(Self(PushSource::new(spec, push, Box::new(listener))))
    }

    /// Where the last reading listens: UDP first, where it does both.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.0.addresses()
    }
}

impl Source for SyslogSource {
    fn schema(&self) -> arrow::datatypes::SchemaRef {
        self.0.schema()
    }

    fn open(&self, options: &ReadOptions) -> Result<Box<dyn Reader>> {
        self.0.open(options)
    }
}

/// Answers to `SYSLOG`.
#[derive(Debug, Clone, Copy, Default)]
pub struct SyslogConnector;

impl Connector for SyslogConnector {
    fn formats(&self) -> &'static [&'static str] {
        &["SYSLOG"]
    }

    fn source(&self, spec: &TableSpec) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(SyslogSource::new(spec)?))
    }

    fn sink(&self, _: &SinkSpec) -> Result<Box<dyn Sink>> {
        Err(Error::unsupported("SYSLOG is a way in: servers send their lines to it"))
    }
}

/// The setting `customer_from`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CustomerFrom {
    Hostname,
    AppName,
    Sender,
}

impl CustomerFrom {
    fn new(text: Option<&str>) -> Result<Self> {
        match text {
            None | Some("hostname") => Ok(Self::Hostname),
            Some("app_name") => Ok(Self::AppName),
            Some("sender") => Ok(Self::Sender),
            Some(other) => Err(Error::usage(format!("setting 'customer_from' is '{other}'"))
                .hint("it takes hostname, app_name, or sender (the address that the message came from)")),
        }
    }
}

/// A message belongs to the host or program that it names, else to the address that it came from.
#[derive(Debug)]
struct Messages(CustomerFrom);

impl Sorter for Messages {
    fn sort(&self, record: &Record, into: &mut Sorted) {
        let sender = record.who.as_str();
        if !record.reason.is_empty() {
            into.dead(sender, record.reason.clone(), &record.bytes);
            return;
        }
        let message = match parse_syslog(&record.bytes) {
            Ok(message) => message,
            Err(reason) => {
                into.dead(sender, format!("no syslog message: {reason}"), &record.bytes);
                return;
            }
        };
        let customer = match self.0 {
            CustomerFrom::Hostname => message.host,
            CustomerFrom::AppName => message.app,
            CustomerFrom::Sender => None,
        };
        let customer = customer.unwrap_or(sender);
        // one message is one line, whatever it holds
        let payload = message.payload.trim_ascii_end();
        if memchr::memchr(b'\n', payload).is_none() {
            into.lines(customer, payload);
            return;
        }
        let line: Vec<u8> = payload.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }).collect();
        into.lines(customer, &line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(from: CustomerFrom, messages: &[&str]) -> Vec<(String, String, Vec<String>)> {
        let mut sorted = Sorted::default();
        for message in messages {
            let record = Record { who: "192.0.2.9".into(), bytes: (*message).into(), reason: String::new() };
            Messages(from).sort(&record, &mut sorted);
        }
        sorted.shown()
    }

    #[test]
    fn messages_go_to_their_host_program_or_sender() {
        let messages = ["<13>Mar  2 08:00:00 web1 nginx: a\nb\n", "<13>1 - - app - - - c", "no syslog"];
        let own = |customer: &str, lines: &str, dead: &[&str]| {
            (customer.to_owned(), lines.to_owned(), dead.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
        };
        let reason = ["no syslog message: expected a syslog priority such as <134> at byte 0"];
        assert_eq!(
            sorted(CustomerFrom::Hostname, &messages),
            [own("web1", "a b\n", &[]), own("192.0.2.9", "c\n", &reason)]
        );
        assert_eq!(
            sorted(CustomerFrom::AppName, &messages),
            [own("nginx", "a b\n", &[]), own("app", "c\n", &[]), own("192.0.2.9", "", &reason)]
        );
        assert_eq!(sorted(CustomerFrom::Sender, &messages), [own("192.0.2.9", "a b\nc\n", &reason)]);
    }
}
