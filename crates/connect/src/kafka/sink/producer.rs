//! The client's producer with what it lacks: a thread that serves it, one place for failures, and back-pressure.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use fyke_types::Error;
use rdkafka::ClientConfig;
use rdkafka::client::{Client, ClientContext, OAuthToken};
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};

use super::super::client::{Connection, Watch};
use super::record::Record;
use super::trouble::{Trouble, code_of};

/// How long the serving thread waits at once; it ends with the producer.
const SERVE: Duration = Duration::from_millis(25);
/// How long a full queue is left alone.
const FULL: Duration = Duration::from_millis(1);
/// A full queue is looked at for fatal errors after so many turns.
const TURNS: u32 = 100;

/// What the client tells from its own threads.
pub(super) struct Told {
    watch: Watch,
    /// The first record that could not be delivered: its topic, why, and how many there were.
    failed: Mutex<Option<(String, Code, u64)>>,
}

impl ClientContext for Told {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = Watch::ENABLE_REFRESH_OAUTH_TOKEN;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.watch.generate_oauth_token(config)
    }
}

impl ProducerContext for Told {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, message)) = result else { return };
        let code = code_of(error).unwrap_or(Code::Unknown);
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *failed {
            Some((_, _, count)) => *count += 1,
            none => *none = Some((message.topic().to_owned(), code, 1)),
        }
    }
}

/// See the module.
pub(super) struct Producer {
    inner: Arc<BaseProducer<Told>>,
    ended: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl Producer {
    /// A producer; it connects in the background.
    ///
    /// # Errors
    /// Final ones for settings that the client refuses.
    pub(super) fn new(connection: &Connection, config: &ClientConfig) -> Result<Self, Trouble> {
        let told = Told { watch: connection.watch(), failed: Mutex::default() };
        let inner = BaseProducer::from_config_and_context(config, told);
        let inner = inner.map_err(|error| Trouble::Final(connection.refused(&error, &connection.watch())))?;
        let (inner, ended) = (Arc::new(inner), Arc::new(AtomicBool::new(false)));
        let server = std::thread::Builder::new().name("fyke-kafka-out".to_owned()).spawn({
            let (inner, ended) = (Arc::clone(&inner), Arc::clone(&ended));
            move || {
                while !ended.load(Ordering::Relaxed) {
                    inner.poll(SERVE);
                }
            }
        });
        let server = server.map_err(|error| Error::unavailable("no thread for a Kafka producer").detail(error))?;
        Ok(Self { inner, ended, server: Some(server) })
    }

    /// The client, for transactions.
    pub(super) fn transactions(&self) -> &BaseProducer<Told> {
        &self.inner
    }

    /// The client, for metadata.
    pub(super) fn client(&self) -> &Client<Told> {
        self.inner.client()
    }

    /// Hands a record over; waits while too many are under way.
    ///
    /// # Errors
    /// What the client refuses, and earlier records that could not be delivered.
    pub(super) fn send(&self, record: &Record<'_>) -> Result<(), Trouble> {
        let mut wanted = BaseRecord::to(record.topic);
        wanted.key = record.key;
        wanted.payload = record.value;
        // the client reads 0 as "now"
        wanted.timestamp = record.timestamp.map(|millis| if millis == 0 { 1 } else { millis });
        wanted.headers = record.headers();
        let mut turn = 0;
        loop {
            match self.inner.send(wanted) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), again)) => wanted = again,
                Err((error, _)) => return Err(self.trouble(&undelivered(record.topic), &error)),
            }
            turn += 1;
            if turn % TURNS == 0 {
                self.check()?;
            }
            std::thread::sleep(FULL);
        }
    }

    /// Waits until every record is delivered or has failed.
    ///
    /// # Errors
    /// Records that could not be delivered.
    pub(super) fn drain(&self) -> Result<(), Trouble> {
        loop {
            self.check()?;
            match self.inner.flush(Duration::from_millis(2)) {
                Ok(()) => return self.check(),
                Err(KafkaError::Flush(Code::OperationTimedOut)) => {}
                Err(error) => return Err(self.trouble("records can't be delivered to Kafka", &error)),
            }
        }
    }

    /// Says what has failed since the last time.
    ///
    /// # Errors
    /// Records that could not be delivered, and errors that the client does not survive.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        let told = self.inner.context();
        if let Some((topic, code, count)) = told.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let text = match self.last_words() {
                Some(words) => format!("{code} ({count} records); {words}"),
                None => format!("{code} ({count} records)"),
            };
            return Err(Trouble::of(&undelivered(&topic), Some(code), &text));
        }
        match self.client().fatal_error() {
            Some((code, text)) => Err(Trouble::of("the Kafka producer has failed", Some(code), &text)),
            None => Ok(()),
        }
    }

    /// What the client said, with the last words about the brokers where it does not say why.
    pub(super) fn trouble(&self, doing: &str, error: &KafkaError) -> Trouble {
        Trouble::new(doing, error, self.last_words())
    }

    fn last_words(&self) -> Option<String> {
        self.watch().last().map(|(_, words)| words)
    }

    /// What the client reported.
    pub(super) fn watch(&self) -> &Watch {
        &self.inner.context().watch
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            // it does not panic; were it so, nobody is left to be told
            _ = server.join();
        }
    }
}

fn undelivered(topic: &str) -> String {
    format!("records can't be delivered to topic '{topic}'")
}
