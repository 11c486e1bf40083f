//! Each row once, for readers of committed records: rows go into an open transaction and into a spool; a checkpoint
//! seals the spool, and then commits the transaction together with how far the run is.
//!
//! Whatever is lost on the way (the transaction timed out, a broker went down, this process died) is made again from the
//! spool, after a look at what Kafka says is committed. `docs/decisions/0008-kafka-exactly-once.md` says why it can't
//! come twice.

use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use fyke_types::{Error, PartsOf, Result, Sink};
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::producer::Producer as _;

use super::super::client::is_hopeless;
use super::producer::Producer;
use super::progress::{Progress, ProgressPlace};
use super::record::{Change, Encoder, Record};
use super::settings::SinkSettings;
use super::spool::{Sealed, Spool};
use super::topics::{Topics, missing};
use super::trouble::{Trouble, code_of};

/// How long a producer's start is waited for before its errors are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// Brokers forget a group that says nothing for a week (offsets.retention.minutes): it is told again before.
const KEEP_ALIVE: Duration = Duration::from_secs(12 * 3_600);
/// One step of a transaction.
const STEP: Duration = Duration::from_secs(30);
/// The least and most time between two attempts.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A transaction is given so many checkpoints' time, within these bounds: the brokers' default allows 15 minutes.
const TIMEOUT_CHECKPOINTS: i64 = 3;
const TIMEOUT_MS: (i64, i64) = (60_000, 900_000);

/// See the module.
pub(super) struct ExactlyOnce {
    settings: SinkSettings,
    of: PartsOf,
    place: ProgressPlace,
    encoder: Encoder,
    topics: Topics,
    spool: Spool,
    /// None after something went wrong, until it is begun anew.
    session: Option<Session>,
    /// What is known to be committed, and when it was last said.
    committed: Progress,
    committed_at: Instant,
    /// Whether this process has said in Kafka that it has taken over.
    claimed: bool,
    /// Whether a part is prepared and its checkpoint on its way. A producer has one transaction at a time, so rows of the
    /// next part stay in the spool until then.
    pending: bool,
}

/// A producer that has fenced those before it.
struct Session {
    producer: Producer,
    group: ConsumerGroupMetadata,
    /// Whether a transaction is open.
    open: bool,
}

impl Session {
    fn send(&mut self, record: &Record<'_>) -> Result<(), Trouble> {
        self.begin()?;
        self.producer.send(record)
    }

    fn begin(&mut self) -> Result<(), Trouble> {
        if !self.open {
            let begun = self.producer.transactions().begin_transaction();
            begun.map_err(|error| self.producer.trouble("no Kafka transaction can be begun", &error))?;
            self.open = true;
        }
        Ok(())
    }

    /// Commits what was sent, and how far that is.
    fn commit(&mut self, place: &ProgressPlace, progress: &Progress) -> Result<(), Trouble> {
        self.begin()?;
        self.producer.drain()?;
        let (client, doing) = (self.producer.transactions(), "a Kafka transaction can't be committed");
        let offsets = place.offsets(progress)?;
        let sent = client.send_offsets_to_transaction(&offsets, &self.group, STEP);
        sent.map_err(|error| self.producer.trouble(doing, &error))?;
        let committed = client.commit_transaction(STEP);
        committed.map_err(|error| self.producer.trouble(doing, &error))?;
        self.open = false;
        Ok(())
    }
}

impl ExactlyOnce {
    /// Takes the output over from whichever process wrote it before.
    ///
    /// # Errors
    /// What settings and brokers say.
    pub(super) fn open(settings: &SinkSettings, of: &PartsOf) -> Result<Self> {
        let Some(folder) = &of.spool else { return Err(Error::internal("exactly once needs a folder for its spool")) };
        let mut sink = Self {
            place: ProgressPlace::of(settings, of),
            spool: Spool::new(folder, &of.output, of.generation)?,
            encoder: Encoder::new(settings),
            topics: Topics::new(settings),
            settings: settings.clone(),
            of: of.clone(),
            session: None,
            committed: Progress { run: of.run.clone(), generation: of.generation, part: 0, unsure: of.resumed },
            committed_at: Instant::now(),
            claimed: false,
            pending: false,
        };
        sink.persist(settings.connect_timeout, None, Self::begin_session)?;
        Ok(sink)
    }

    /// Does something until it succeeds, fails for good, or time is up. Between attempts the session is dropped.
    fn persist(
        &mut self,
        within: Duration,
        first: Option<Trouble>,
        mut attempt: impl FnMut(&mut Self) -> Result<(), Trouble>,
    ) -> Result<()> {
        let began = Instant::now();
        let mut wait = BACK_OFF.0;
        let mut trouble = first;
        loop {
            match trouble {
                Some(Trouble::Final(error)) => return Err(error),
                Some(Trouble::Passing(error)) => {
                    if began.elapsed() + wait > within {
                        return Err(error);
                    }
                    // whatever was under way is aborted by the next session
                    self.session = None;
                    std::thread::sleep(wait);
                    wait = (wait * 2).min(BACK_OFF.1);
                }
                None => {}
            }
            match attempt(self) {
                Ok(()) => return Ok(()),
                Err(next) => trouble = Some(next),
            }
        }
    }

    /// A new producer that has fenced the one before, knows what is committed, and has told so.
    fn begin_session(&mut self) -> Result<(), Trouble> {
        if self.session.is_some() {
            return Ok(());
        }
        let mut config = self.settings.producer();
        config.set("transactional.id", &self.place.group);
        if !self.settings.connection.is_given("transaction.timeout.ms") {
            config.set("transaction.timeout.ms", timeout_ms(&self.of).to_string());
        }
        let producer = Producer::new(&self.settings.connection, &config)?;
        self.fence(&producer)?;
        let needed = [&self.settings.other_topic, &self.settings.progress_topic].map(Option::as_deref);
        for topic in needed.into_iter().chain([self.settings.topic.fixed()]).flatten() {
            if !self.topics.exists(topic, &producer)? {
                return Err(Trouble::Final(missing(topic)));
            }
        }
        let (found, group) = self.place.read(&self.settings.connection)?;
        let mut session = Session { producer, group, open: false };
        self.adopt(found)?;
        if !self.claimed {
            // an older process that still lives learns from this that it is not to fence us in its turn
            self.committed.generation = self.of.generation;
            session.commit(&self.place, &self.committed)?;
            (self.claimed, self.committed_at) = (true, Instant::now());
        }
        self.session = Some(session);
        Ok(())
    }

    /// Ends what a producer before this one has begun.
    fn fence(&self, producer: &Producer) -> Result<(), Trouble> {
        let began = Instant::now();
        loop {
            let Err(error) = producer.transactions().init_transactions(LOOK) else { return Ok(()) };
            if let Some((code, words)) = producer.watch().last()
                && !self.claimed
                && is_hopeless(code, &words)
            {
                // wrong credentials don't pass
                return Err(Trouble::Final(self.settings.connection.failure(code, &words)));
            }
            let slow = code_of(&error) == Some(Code::OperationTimedOut);
            if !slow || began.elapsed() > self.settings.connect_timeout.min(STEP) {
                return Err(producer.trouble("no Kafka transactions can be begun", &error));
            }
        }
    }

    /// Learns what is committed.
    fn adopt(&mut self, found: Option<Progress>) -> Result<(), Trouble> {
        let taken_over = |by: &str| {
            let error = Error::unavailable(format!("another process has taken over the output '{}'", self.of.output));
            let hint = "one run has one process: stop the other one; or give this run a 'transactional_id' of its own";
            Trouble::Final(
                error.detail(format!("{by} writes under the transactional id '{}'", self.place.group)).hint(hint),
            )
        };
        match found {
            Some(found) if found.run == self.of.run => {
                if found.generation > self.of.generation {
                    return Err(taken_over("a later process of this run"));
                }
                self.committed = found;
            }
            Some(found) if self.claimed => return Err(taken_over(&format!("run {}", found.run))),
            // an id of the person's own, used by another run before
            Some(_) => {}
            None if self.claimed => return Err(Trouble::Final(self.lost())),
            None => {}
        }
        Ok(())
    }

    fn lost(&self) -> Error {
        Error::data(format!("Kafka no longer knows how far the output '{}' is", self.of.output))
            .detail(format!("group '{}' has no offset for {} 0", self.place.group, self.place.topic))
            .hint(
                "was it deleted, or older than the brokers' offsets.retention.minutes? Whether the last checkpoint's rows \
                 were seen can't be known: 'guarantee' 'at_least_once' for one start sends them (again)",
            )
    }

    /// The transaction at hand anew, from the spool.
    fn renew(&mut self) -> Result<(), Trouble> {
        self.begin_session()?;
        let Some(session) = &mut self.session else { return Err(no_session()) };
        self.spool.replay(&mut |record| session.send(record))
    }

    /// Commits a sealed part, unless Kafka says that it is committed.
    fn settle(&mut self, sealed: &Sealed) -> Result<(), Trouble> {
        self.begin_session()?;
        if self.committed.part >= sealed.part {
            return Ok(());
        }
        if self.committed.unsure {
            // a spool is removed when its part is committed, and not before
            return if self.spool.holds(sealed) { Err(Trouble::Final(self.lost())) } else { Ok(()) };
        }
        let progress = Progress { part: sealed.part, generation: self.of.generation, ..self.committed.clone() };
        let Some(session) = &mut self.session else { return Err(no_session()) };
        if !session.open {
            self.spool.read(sealed, &mut |record| session.send(record))?;
        }
        session.commit(&self.place, &progress)?;
        (self.committed, self.committed_at) = (progress, Instant::now());
        Ok(())
    }

    fn put(&mut self, change: Change<'_>) -> Result<()> {
        let mut trouble = None;
        let Self { encoder, topics, spool, session, pending, .. } = self;
        encoder.encode(change, &mut |topic, record| {
            let Some(session) = session.as_mut() else { return Err(no_session().into_error()) };
            let topic = topics.place_patiently(topic, &session.producer)?;
            let record = Record { topic, ..record };
            spool.append(&record)?;
            if !*pending && trouble.is_none() {
                trouble = session.send(&record).err();
            }
            Ok(())
        })?;
        match trouble {
            None => Ok(()),
            some => self.persist(self.settings.retry_for, some, Self::renew),
        }
    }

    /// Says again how far the run is.
    fn keep_alive(&mut self) -> Result<(), Trouble> {
        self.begin_session()?;
        let Some(session) = &mut self.session else { return Err(no_session()) };
        session.commit(&self.place, &self.committed)?;
        self.committed_at = Instant::now();
        Ok(())
    }
}

impl Sink for ExactlyOnce {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.put(Change::Written(batch))
    }

    fn delete(&mut self, keys: &RecordBatch) -> Result<()> {
        self.put(Change::Deleted(keys))
    }

    fn flush(&mut self) -> Result<()> {
        // what fails of a part that waits for its checkpoint is mended when that is committed
        let Some(session) = self.session.as_ref().filter(|_| !self.pending) else { return Ok(()) };
        match session.producer.check() {
            Ok(()) => Ok(()),
            Err(trouble) => self.persist(self.settings.retry_for, Some(trouble), Self::renew),
        }
    }

    fn prepare(&mut self, part: u64, _last: bool) -> Result<Option<String>> {
        if self.spool.is_empty() {
            if self.committed_at.elapsed() > KEEP_ALIVE {
                self.persist(self.settings.retry_for, None, Self::keep_alive)?;
            }
            return Ok(None);
        }
        // what can't be delivered at all is said before a checkpoint relies on it
        let drained = self.session.as_ref().map_or_else(|| Err(no_session()), |session| session.producer.drain());
        if let Err(trouble) = drained {
            self.persist(self.settings.retry_for, Some(trouble), |sink| {
                sink.renew()?;
                sink.session.as_ref().map_or_else(|| Err(no_session()), |session| session.producer.drain())
            })?;
        }
        let sealed = self.spool.seal(part)?;
        self.pending = sealed.is_some();
        let text = sealed.map(|sealed| serde_json::to_string(&sealed)).transpose();
        text.map_err(|error| Error::internal("a part has no name").detail(error))
    }

    fn commit(&mut self, prepared: &str) -> Result<()> {
        let sealed = Sealed::parse(prepared)?;
        self.persist(self.settings.retry_for, None, |sink| sink.settle(&sealed))?;
        self.spool.remove(&sealed.spool)?;
        self.pending = false;
        if self.spool.is_empty() { Ok(()) } else { self.persist(self.settings.retry_for, None, Self::renew) }
    }

    fn recover(&mut self, part: u64) -> Result<()> {
        if self.committed.part > part {
            let (place, seen) = (&self.place, self.committed.part);
            return Err(Error::data(format!(
                "Kafka holds rows of checkpoint {seen} already, the run goes on from {part}"
            ))
            .detail(format!("group '{}' says so", place.group))
            .hint("rows that were seen can't be taken back: go on from the newest checkpoint, or start over"));
        }
        if self.committed.unsure {
            // what was prepared before is settled by now
            self.committed.unsure = false;
            self.persist(self.settings.retry_for, None, Self::keep_alive)?;
        }
        self.spool.clear()
    }

    fn finish(&mut self) -> Result<()> {
        self.session = None;
        Ok(())
    }
}

fn no_session() -> Trouble {
    Trouble::Passing(Error::unavailable("the Kafka sink is not connected"))
}

/// How long the brokers let a transaction be open.
fn timeout_ms(of: &PartsOf) -> i64 {
    let wanted = of.every.unwrap_or(0).saturating_mul(TIMEOUT_CHECKPOINTS) / 1_000;
    wanted.clamp(TIMEOUT_MS.0, TIMEOUT_MS.1)
}
