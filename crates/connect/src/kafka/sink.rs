//! Rows to topics: at once and perhaps again after a crash, or once with each checkpoint. `docs/kafka-sink.md` is for users.
//!
//! `settings` reads what the person wants, `record` makes records of rows, `topics` says where they may go, `producer`
//! hands them over; `at_least_once` and `exactly_once` are the two promises, the second with `spool` and `progress`.

mod at_least_once;
mod columns;
mod exactly_once;
mod producer;
mod progress;
mod record;
mod settings;
mod spool;
mod topics;
mod trouble;

use fyke_types::{Result, Sink, SinkSpec};

use at_least_once::AtLeastOnce;
use exactly_once::ExactlyOnce;
use settings::{Guarantee, SinkSettings};

pub use settings::KAFKA_SINK_SETTINGS;

/// A sink as `spec` says it. A topic may hold rows of others: it is appended to.
///
/// # Errors
/// `Usage` for wrong settings and for a topic that does not exist, `Unavailable` when no broker answers in time.
pub(super) fn open(spec: &SinkSpec) -> Result<Box<dyn Sink>> {
    let settings = SinkSettings::parse(spec)?;
    match (settings.guarantee, &spec.parts) {
        (Guarantee::ExactlyOnce, Some(of)) => Ok(Box::new(ExactlyOnce::open(&settings, of)?)),
        (_, parts) => Ok(Box::new(AtLeastOnce::open(&settings, parts.as_ref())?)),
    }
}
