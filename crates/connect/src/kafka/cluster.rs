//! What a cluster holds: topics, their partitions, and offsets by time. Each call waits for the brokers' answer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fyke_types::{Error, Result};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{Connection, Watch, is_hopeless};
use super::options::{At, Offsets, Topics};

/// One answer is waited for so long, then it is asked again: what went wrong meanwhile is known then.
const TRY: Duration = Duration::from_millis(1_500);

/// A partition by name.
pub(super) type Place = (String, i32);

/// What was found of the wanted topics.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Partitions by topic.
    pub(super) topics: BTreeMap<String, Vec<i32>>,
    /// Names that no topic has.
    pub(super) missing: Vec<String>,
    /// All topics that were listed, for messages.
    pub(super) others: Vec<String>,
}

impl Found {
    /// All partitions in the order of topics and numbers.
    pub(super) fn places(&self) -> Vec<Place> {
        let of = |(topic, partitions): (&String, &Vec<i32>)| -> Vec<Place> {
            partitions.iter().map(|partition| (topic.clone(), *partition)).collect()
        };
        self.topics.iter().flat_map(of).collect()
    }
}

/// A cluster as one client sees it.
#[derive(Clone, Copy)]
pub(super) struct Cluster<'a> {
    pub(super) consumer: &'a BaseConsumer<Watch>,
    pub(super) connection: &'a Connection,
    /// How long to wait for an answer at all.
    pub(super) most: Duration,
}

impl Cluster<'_> {
    /// The wanted topics.
    ///
    /// # Errors
    /// `Unavailable` or `Usage` where no broker answers; with the remedy.
    pub(super) fn find(&self, wanted: &Topics) -> Result<Found> {
        let mut found = Found::default();
        let names: Vec<Option<&str>> = match wanted {
            Topics::Names(names) => names.iter().map(|name| Some(name.as_str())).collect(),
            Topics::Pattern(_) => vec![None],
        };
        for name in names {
            let metadata = self.ask(|wait| self.consumer.fetch_metadata(name, wait))?;
            for topic in metadata.topics() {
                match topic.error().map(Code::from) {
                    Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::InvalidTopic) => {}
                    Some(code @ Code::TopicAuthorizationFailed) if name.is_some() => {
                        return Err(self.connection.failure(code, &format!("topic '{}'", topic.name())));
                    }
                    _ if wanted.customer(topic.name()).is_some() && !topic.partitions().is_empty() => {
                        let mut partitions: Vec<i32> = topic.partitions().iter().map(|found| found.id()).collect();
                        partitions.sort_unstable();
                        found.topics.insert(topic.name().to_owned(), partitions);
                    }
                    _ => found.others.push(topic.name().to_owned()),
                }
            }
            if let Some(name) = name.filter(|name| !found.topics.contains_key(*name)) {
                found.missing.push(name.to_owned());
            }
        }
        Ok(found)
    }

    /// The names of all topics, for messages.
    pub(super) fn names(&self) -> Vec<String> {
        let all = self.ask(|wait| self.consumer.fetch_metadata(None, wait));
        let names = |topic: &rdkafka::metadata::MetadataTopic| topic.name().to_owned();
        let mut names: Vec<String> = all.map(|all| all.topics().iter().map(names).collect()).unwrap_or_default();
        names.retain(|name| !name.starts_with("__"));
        names.sort_unstable();
        names
    }

    /// The offsets at which reading starts or ends: of reading what is committed, where the client reads so.
    ///
    /// # Errors
    /// As [`Cluster::find`].
    pub(super) fn offsets(&self, places: &[Place], at: &At, otherwise: &At) -> Result<BTreeMap<Place, i64>> {
        match at {
            At::Earliest => self.times(places, Offset::Beginning),
            At::Latest => self.times(places, Offset::End),
            At::Time(ms) => {
                let mut found = self.times(places, Offset::Offset((*ms).max(0)))?;
                // nothing so late: behind the last record
                let none: Vec<Place> = places.iter().filter(|place| !found.contains_key(*place)).cloned().collect();
                if !none.is_empty() {
                    found.extend(self.times(&none, Offset::End)?);
                }
                Ok(found)
            }
            At::Offsets(given) => self.given(places, given, otherwise),
        }
    }

    fn given(&self, places: &[Place], given: &Offsets, otherwise: &At) -> Result<BTreeMap<Place, i64>> {
        let others: Vec<Place> = places.iter().filter(|place| !given.contains_key(*place)).cloned().collect();
        let mut found = if others.is_empty() { BTreeMap::new() } else { self.offsets(&others, otherwise, otherwise)? };
        found.extend(places.iter().filter_map(|place| Some((place.clone(), *given.get(place)?))));
        Ok(found)
    }

    /// The offsets of a time, or of the beginning or end; none of those partitions that have nothing so late.
    fn times(&self, places: &[Place], time: Offset) -> Result<BTreeMap<Place, i64>> {
        if places.is_empty() {
            return Ok(BTreeMap::new());
        }
        let found = self.ask(|wait| {
            let mut list = TopicPartitionList::with_capacity(places.len());
            for (topic, partition) in places {
                list.add_partition_offset(topic, *partition, time)?;
            }
            let answer = self.consumer.offsets_for_times(list, wait)?;
            answer.elements().iter().try_for_each(|element| element.error())?;
            Ok(answer)
        })?;
        let offset = |offset| match offset {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        let elements = found.elements();
        Ok(elements.iter().filter_map(|e| Some(((e.topic().to_owned(), e.partition()), offset(e.offset())?))).collect())
    }

    /// Asks until there is an answer, trying again can't help, or the wait is over.
    fn ask<T>(&self, question: impl Fn(Duration) -> Result<T, KafkaError>) -> Result<T> {
        let (started, watch) = (Instant::now(), self.consumer.client().context());
        loop {
            // tokens are given, and errors told, to who polls
            while self.consumer.poll(Duration::ZERO).is_some() {}
            let left = self.most.saturating_sub(started.elapsed());
            let error = match question(left.min(TRY).max(Duration::from_millis(1))) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            while self.consumer.poll(Duration::ZERO).is_some() {}
            let hopeless = watch.last().is_some_and(|(code, reason)| is_hopeless(code, &reason));
            if hopeless || started.elapsed() >= self.most {
                return Err(self.connection.refused(&error, watch));
            }
            // an answer that no broker gives may come at once
            std::thread::sleep(Duration::from_millis(20).min(self.most));
        }
    }
}

/// The error of topics that are not there.
pub(super) fn missing(of: &str, brokers: &str, missing: &[String], others: &[String]) -> Error {
    let listed = missing.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    let error = Error::usage(format!("{of}: there is no topic {listed} in the Kafka cluster at {brokers}"));
    let some = others.iter().take(10).cloned().collect::<Vec<_>>().join(", ");
    match others.is_empty() {
        true => error.hint("create it first; this user may also lack the right to see it (DESCRIBE)"),
        false => error.hint(format!("create it first, or choose among: {some}")),
    }
}
