//! Rows as JSON in requests.

use std::sync::Arc;

use arrow::array::RecordBatch;
use fyke_types::{Error, Result, Settings, Sink, SinkHealth, SinkSpec, SystemClock};

use super::carrier::{Body, Post, key};
use crate::json::batch_to_json_lines;
use crate::outbound::{Carrier, ClientSettings, Defaults, Delivery, Limits};

/// A receiver is somebody's script: it gets little at once, one request after the other.
const DEFAULTS: Defaults = Defaults { load_bytes: 1_000_000, load_documents: 100, lanes: 1 };

/// See the module.
pub(super) struct WebhookSink {
    delivery: Delivery,
    lines: Vec<u8>,
    next_lane: u64,
}

impl WebhookSink {
    /// An output as `spec` says it.
    ///
    /// # Errors
    /// `Usage` for wrong settings.
    pub(super) fn new(spec: &SinkSpec) -> Result<Self> {
        let mut settings = Settings::new("the WEBHOOK sink", spec.options.clone());
        let client = ClientSettings::from_settings(&spec.location, &mut settings)?;
        let limits = Limits { heads_identify: false, ..Limits::from_settings(&mut settings, DEFAULTS)? };
        let body = match settings.text("body").as_deref() {
            None | Some("array") => Body::Array,
            Some("lines") => Body::Lines,
            Some(other) => {
                return Err(Error::usage(format!("setting 'body' of the WEBHOOK sink is '{other}'"))
                    .hint("it takes array or lines"));
            }
        };
        let key = settings.text("secret").map(|secret| key(&secret)).transpose()?;
        settings.finish()?;
        let delivery = Delivery::start(limits, move || {
            let carrier: Arc<dyn Carrier> = Arc::new(Post::new(&client, body, key, Arc::new(SystemClock))?);
            Ok(carrier)
        })?;
        Ok(Self { delivery, lines: Vec::new(), next_lane: 0 })
    }
}

impl Sink for WebhookSink {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.lines.clear();
        batch_to_json_lines(batch, &mut self.lines)?;
        for line in self.lines.split_inclusive(|byte| *byte == b'\n') {
            self.delivery.push(self.next_lane, b"", line)?;
            self.next_lane = self.next_lane.wrapping_add(1);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        // rows leave by themselves, within `batch_wait`
        self.delivery.look()
    }

    fn shows_at_once(&self) -> bool {
        true
    }

    fn prepare(&mut self, part: u64, last: bool) -> Result<Option<String>> {
        self.delivery.prepare(part, last)
    }

    fn commit(&mut self, prepared: &str) -> Result<()> {
        self.delivery.commit(prepared)
    }

    fn recover(&mut self, part: u64) -> Result<()> {
        self.delivery.recover(part)
    }

    fn finish(&mut self) -> Result<()> {
        self.delivery.finish()
    }

    fn health(&self) -> Option<SinkHealth> {
        Some(self.delivery.health())
    }

    fn dead_letters_to(&mut self, sink: Box<dyn Sink>) -> Result<()> {
        self.delivery.dead_letters_to(sink);
        Ok(())
    }
}
