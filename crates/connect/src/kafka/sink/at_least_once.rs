//! Rows are visible as soon as Kafka has them. Before a checkpoint every one is acknowledged, so none is lost; what came
//! after the last checkpoint comes again when the run goes on from there.

use std::path::Path;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use fyke_types::{Error, PartsOf, Result, Sink};

use super::super::client::is_hopeless;
use super::producer::Producer;
use super::progress::ProgressPlace;
use super::record::{Change, Encoder, Record};
use super::settings::SinkSettings;
use super::spool::{Sealed, Spool};
use super::topics::{Topics, missing};
use super::trouble::Trouble;

/// Between two attempts to reach a broker when the sink is opened.
const AGAIN: Duration = Duration::from_millis(200);

/// See the module.
pub(super) struct AtLeastOnce {
    settings: SinkSettings,
    of: Option<PartsOf>,
    encoder: Encoder,
    topics: Topics,
    producer: Producer,
}

impl AtLeastOnce {
    /// Connects, and looks whether the topic is there.
    ///
    /// # Errors
    /// What settings and brokers say.
    pub(super) fn open(settings: &SinkSettings, of: Option<&PartsOf>) -> Result<Self> {
        let mut config = settings.producer();
        if !settings.connection.is_given("message.timeout.ms") && !settings.connection.is_given("delivery.timeout.ms") {
            config.set("message.timeout.ms", settings.retry_for.as_millis().clamp(1, 2_147_483_647).to_string());
        }
        let mut sink = Self {
            settings: settings.clone(),
            of: of.cloned(),
            encoder: Encoder::new(settings),
            topics: Topics::new(settings),
            producer: Producer::new(&settings.connection, &config).map_err(Trouble::into_error)?,
        };
        let needed = [settings.topic.fixed(), settings.other_topic.as_deref()];
        for topic in needed.into_iter().flatten() {
            sink.reach(topic)?;
        }
        Ok(sink)
    }

    fn reach(&mut self, topic: &str) -> Result<()> {
        let began = Instant::now();
        loop {
            let trouble = match self.topics.exists(topic, &self.producer) {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(missing(topic)),
                Err(trouble) => trouble,
            };
            if let Some((code, words)) = self.producer.watch().last().filter(|(code, words)| is_hopeless(*code, words))
            {
                return Err(self.settings.connection.failure(code, &words));
            }
            if matches!(trouble, Trouble::Final(_)) || began.elapsed() > self.settings.connect_timeout {
                return Err(trouble.into_error());
            }
            std::thread::sleep(AGAIN);
        }
    }

    fn put(&mut self, change: Change<'_>) -> Result<()> {
        let Self { encoder, topics, producer, .. } = self;
        encoder.encode(change, &mut |topic, record| {
            let topic = topics.place_patiently(topic, producer)?;
            producer.send(&Record { topic, ..record }).map_err(Trouble::into_error)
        })
    }

    /// A part that an exactly-once sink has prepared, before the run was told to be content with less.
    fn send_part(&self, sealed: &Sealed, of: &PartsOf, folder: &Path) -> Result<(), Trouble> {
        let place = ProgressPlace::of(&self.settings, of);
        let (progress, _) = place.read(&self.settings.connection)?;
        let spool = Spool::new(folder, &of.output, of.generation)?;
        let is_committed = progress.is_some_and(|progress| progress.covers(&of.run, sealed.part));
        if !is_committed && spool.holds(sealed) {
            spool.read(sealed, &mut |record: &Record<'_>| self.producer.send(record))?;
            self.producer.drain()?;
        }
        Ok(spool.remove(&sealed.spool)?)
    }
}

impl Sink for AtLeastOnce {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.put(Change::Written(batch))
    }

    fn delete(&mut self, keys: &RecordBatch) -> Result<()> {
        self.put(Change::Deleted(keys))
    }

    /// Records leave by themselves within `linger`; this says what has failed.
    fn flush(&mut self) -> Result<()> {
        self.producer.check().map_err(Trouble::into_error)
    }

    fn shows_at_once(&self) -> bool {
        true
    }

    fn prepare(&mut self, _part: u64, _last: bool) -> Result<Option<String>> {
        self.producer.drain().map_err(Trouble::into_error)?;
        Ok(None)
    }

    fn commit(&mut self, prepared: &str) -> Result<()> {
        let sealed = Sealed::parse(prepared)?;
        match &self.of {
            Some(PartsOf { spool: Some(folder), .. }) => {
                let of = self.of.as_ref().ok_or_else(|| Error::internal("a part without a run"))?;
                self.send_part(&sealed, of, folder).map_err(Trouble::into_error)
            }
            _ => Err(Error::usage("the checkpoint has a part for Kafka that was to come exactly once")
                .detail("these checkpoints lie where the sink has no spool")),
        }
    }

    fn finish(&mut self) -> Result<()> {
        self.producer.drain().map_err(Trouble::into_error)
    }
}
