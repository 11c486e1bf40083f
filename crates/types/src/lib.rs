//! What is a request, a window, a verdict?
//!
//! The words that all rooms share: schemas, ids, time, errors, and the promises that a source, a
//! sink and a format make to the engine. No I/O, no plan, no model.

mod changelog;
mod clock;
mod dead;
mod error;
mod format;
mod place;
pub mod request;
mod settings;
mod source;
mod span;
mod store;
mod upsert;
pub mod window;

pub use changelog::{Changelog, LastByKey, OP};
pub use clock::{Clock, ManualClock, Random, SeededRandom, SystemClock};
pub use dead::{DeadLetter, dead_letters_to_batch, dead_schema};
pub use error::{Error, Kind, Result};
pub use format::{Decoded, Decoder, Format, is_directive};
pub use place::Place;
pub use settings::{Settings, parse_bytes, parse_duration_us};
pub use source::{
    Connector, Event, Input, InputId, PartsOf, ReadOptions, Reader, Rows, Sink, SinkHealth, SinkMode, SinkSpec, Source,
    TableSpec,
};

pub use span::{Span, WindowSpec, align, tumble};
pub use store::{Store, StoreWriter};
pub use upsert::{key_columns, key_schema};

/// Event time: microseconds since 1970-01-01 UTC. Everything inside Fyke counts in this unit.
pub type Micros = i64;

/// The watermark before anything was read: nothing is closed.
pub const WATERMARK_START: Micros = Micros::MIN;

/// The watermark after the end of bounded input: every window closes.
pub const WATERMARK_END: Micros = Micros::MAX;
