//! Which topics there are; those that are missing may be made.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fyke_types::{Error, Result};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::producer::Producer;
use super::settings::{SinkSettings, is_topic};
use super::trouble::{Trouble, code_of};

/// A topic that was missing is looked for again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// One question to the brokers.
const ASK: Duration = Duration::from_secs(5);
/// How long a new topic may be without leaders.
const SETTLE: Duration = Duration::from_secs(20);

/// The topics of a sink.
pub(super) struct Topics {
    settings: SinkSettings,
    known: BTreeSet<String>,
    /// When they were looked for.
    missing: BTreeMap<String, Instant>,
}

impl Topics {
    /// None is known yet.
    pub(super) fn new(settings: &SinkSettings) -> Self {
        Self { settings: settings.clone(), known: BTreeSet::new(), missing: BTreeMap::new() }
    }

    /// Where a row goes that asks for `wanted`.
    ///
    /// # Errors
    /// Where there is no such topic and no other is named.
    pub(super) fn place<'a>(&'a mut self, wanted: Option<&'a str>, producer: &Producer) -> Result<&'a str, Trouble> {
        if let Some(topic) = wanted {
            if self.known.contains(topic) {
                return Ok(topic);
            }
            if is_topic(topic) {
                if self.exists(topic, producer)? {
                    return Ok(topic);
                }
                // it might appear later: the states of a key would then lie in two topics
                if self.settings.is_upserts() {
                    return Err(Trouble::Final(missing(topic)));
                }
            }
        }
        let Some(other) = self.settings.other_topic.clone() else { return Err(Trouble::Final(self.nowhere(wanted))) };
        if !self.exists(&other, producer)? {
            return Err(Trouble::Final(missing(&other)));
        }
        Ok(self.known.get(&other).map_or("", String::as_str))
    }

    /// The same; brokers that are away are waited for.
    ///
    /// # Errors
    /// Where there is no such topic, or nobody to ask for as long as `retry_for`.
    pub(super) fn place_patiently<'a>(&'a mut self, wanted: Option<&'a str>, producer: &Producer) -> Result<&'a str> {
        if let Some(topic) = wanted.filter(|topic| self.known.contains(*topic)) {
            return Ok(topic);
        }
        let began = Instant::now();
        loop {
            // asked again below: it is known by then, and no borrow outlives the loop
            match self.place(wanted, producer).map(|_| ()) {
                Ok(()) => break,
                Err(Trouble::Passing(_)) if began.elapsed() < self.settings.retry_for => {
                    std::thread::sleep(Duration::from_millis(200));
                }
                Err(trouble) => return Err(trouble.into_error()),
            }
        }
        self.place(wanted, producer).map_err(Trouble::into_error)
    }

    fn nowhere(&self, wanted: Option<&str>) -> Error {
        let template = self.settings.topic.text();
        match wanted {
            Some(topic) if is_topic(topic) => missing(topic),
            Some(topic) => Error::data(format!("a row's topic would be '{topic}', which no topic can be called"))
                .detail(format!("'topic' is '{template}'"))
                .hint("'other_topic' names a topic for such rows"),
            None => Error::data("a row names no topic: a column of it is null")
                .detail(format!("'topic' is '{template}'"))
                .hint("'other_topic' names a topic for such rows; or leave them out with WHERE"),
        }
    }

    /// Whether there is such a topic, made now if it may be.
    pub(super) fn exists(&mut self, topic: &str, producer: &Producer) -> Result<bool, Trouble> {
        if self.known.contains(topic) {
            return Ok(true);
        }
        if self.missing.get(topic).is_some_and(|looked| looked.elapsed() < LOOK_AGAIN) {
            return Ok(false);
        }
        let mut found = look(topic, producer)?;
        if found == Found::Missing
            && let Some(partitions) = self.settings.create_partitions
        {
            self.create(topic, partitions)?;
            found = Found::Settling;
        }
        let began = Instant::now();
        while found == Found::Settling {
            if began.elapsed() > SETTLE {
                return Err(Trouble::Passing(Error::unavailable(format!("topic '{topic}' has no leader"))));
            }
            std::thread::sleep(Duration::from_millis(20));
            // a new topic may not be known everywhere yet
            found = match look(topic, producer)? {
                Found::Missing if self.settings.create_partitions.is_some() => Found::Settling,
                found => found,
            };
        }
        if found == Found::Missing {
            self.missing.insert(topic.to_owned(), Instant::now());
            return Ok(false);
        }
        self.missing.remove(topic);
        self.known.insert(topic.to_owned());
        Ok(true)
    }

    fn create(&self, topic: &str, partitions: i32) -> Result<(), Trouble> {
        let doing = format!("topic '{topic}' can't be made");
        let connection = &self.settings.connection;
        let watch = connection.watch();
        let admin = AdminClient::from_config_and_context(&connection.config(&[]), watch.clone());
        let admin = admin.map_err(|error| Trouble::Final(connection.refused(&error, &watch)))?;
        connection.give_token(admin.inner()).map_err(Trouble::Passing)?;
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
        // rows replace each other: what is kept for ever is each key's last state
        let new = if self.settings.is_upserts() { new.set("cleanup.policy", "compact") } else { new };
        let options = AdminOptions::new().operation_timeout(Some(ASK)).request_timeout(Some(ASK));
        let made = futures::executor::block_on(admin.create_topics([&new], &options));
        let made = made.map_err(|error| Trouble::new(&doing, &error, None))?;
        for result in made {
            match result {
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(Trouble::of(&doing, Some(code), &code.to_string())),
            }
        }
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    There,
    /// It exists, but can't be written to yet.
    Settling,
    Missing,
}

fn look(topic: &str, producer: &Producer) -> Result<Found, Trouble> {
    let doing = format!("Kafka can't be asked for topic '{topic}'");
    let metadata = match producer.client().fetch_metadata(Some(topic), ASK) {
        Ok(metadata) => metadata,
        Err(error) if is_missing(code_of(&error)) => return Ok(Found::Missing),
        Err(error) => return Err(producer.trouble(&doing, &error)),
    };
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let Some(found) = found else { return Ok(Found::Missing) };
    match found.error().map(Code::from) {
        Some(Code::LeaderNotAvailable) => return Ok(Found::Settling),
        code if is_missing(code) => return Ok(Found::Missing),
        Some(code) => return Err(Trouble::of(&doing, Some(code), &code.to_string())),
        None => {}
    }
    let led = !found.partitions().is_empty() && found.partitions().iter().all(|partition| partition.leader() >= 0);
    Ok(if led { Found::There } else { Found::Settling })
}

fn is_missing(code: Option<Code>) -> bool {
    matches!(code, Some(Code::UnknownTopic | Code::UnknownTopicOrPartition))
}

/// The error of a topic that is not there.
pub(super) fn missing(topic: &str) -> Error {
    Error::usage(format!("there is no topic '{topic}'"))
        .hint("create it, or let the sink do it: 'create_topics' 'true' (with 'create_partitions' '6')")
}
