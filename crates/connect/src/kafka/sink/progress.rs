//! How far a run's rows are committed, kept in Kafka itself: as the metadata of a consumer group's offset, which a
//! transaction commits together with the rows.

use std::time::Duration;

use fyke_types::{Error, PartsOf};
use rdkafka::TopicPartitionList;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::topic_partition_list::Offset;
use serde::{Deserialize, Serialize};

use super::super::client::Connection;
use super::settings::SinkSettings;
use super::trouble::Trouble;

/// One question to the brokers.
const ASK: Duration = Duration::from_secs(10);

/// What a group's offset says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The run.
    pub(super) run: String,
    /// The process that wrote it.
    pub(super) generation: u64,
    /// The last part whose rows are committed; 0: none yet.
    pub(super) part: u64,
    /// A resumed run found nothing here: whether the part of its last checkpoint is committed can't be known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) unsure: bool,
}

impl Progress {
    /// Whether a part of a run is committed.
    pub(super) fn covers(&self, run: &str, part: u64) -> bool {
        self.run == run && self.part >= part
    }
}

/// Where it is kept.
#[derive(Debug, Clone)]
pub(super) struct ProgressPlace {
    /// The group.
    pub(super) group: String,
    /// The topic whose partition 0 the offset is said to be of. Nothing is read from or written to it.
    pub(super) topic: String,
}

impl ProgressPlace {
    /// Where it is kept for an output.
    pub(super) fn of(settings: &SinkSettings, of: &PartsOf) -> Self {
        let group = settings.transactional_id.clone();
        // any topic will do that exists: the brokers' own is there as soon as a group is asked for
        let topic = settings.progress_topic.as_deref().or(settings.topic.fixed()).unwrap_or("__consumer_offsets");
        Self { group: group.unwrap_or_else(|| format!("fyke.{}.{}", of.run, of.output)), topic: topic.to_owned() }
    }

    /// What is committed, once no transaction is pending; and the group, for transactions.
    ///
    /// # Errors
    /// What the brokers say.
    pub(super) fn read(&self, connection: &Connection) -> Result<(Option<Progress>, ConsumerGroupMetadata), Trouble> {
        let (mut config, watch) = (connection.config(&[]), connection.watch());
        config.set("group.id", &self.group).set("enable.auto.commit", "false").set("isolation.level", "read_committed");
        let consumer = BaseConsumer::from_config_and_context(&config, watch.clone());
        let consumer = consumer.map_err(|error| Trouble::Final(connection.refused(&error, &watch)))?;
        connection.give_token(consumer.client()).map_err(Trouble::Passing)?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&self.topic, 0);
        let doing = format!("the progress of group '{}' can't be read", self.group);
        let found = consumer.committed_offsets(asked, ASK).map_err(|error| Trouble::new(&doing, &error, None))?;
        let mut progress = None;
        for element in found.elements() {
            element.error().map_err(|error| Trouble::new(&doing, &error, None))?;
            if matches!(element.offset(), Offset::Offset(_)) {
                progress = Some(self.parse(element.metadata())?);
            }
        }
        let group =
            consumer.group_metadata().ok_or_else(|| Error::internal("a Kafka consumer with a group has no group"))?;
        Ok((progress, group))
    }

    fn parse(&self, text: &str) -> Result<Progress, Trouble> {
        serde_json::from_str(text).map_err(|_| {
            Trouble::Final(
                Error::usage(format!("group '{}' is used by something else", self.group))
                    .detail("its offset does not say how far a run of Fyke is")
                    .hint("set 'transactional_id': the group that keeps the sink's progress is called so"),
            )
        })
    }

    /// The offset that says it.
    ///
    /// # Errors
    /// None that is known of.
    pub(super) fn offsets(&self, progress: &Progress) -> Result<TopicPartitionList, Trouble> {
        let text = serde_json::to_string(progress).map_err(|error| Error::internal("progress").detail(error))?;
        let mut offsets = TopicPartitionList::new();
        let mut element = offsets.add_partition(&self.topic, 0);
        // the number serves people: kafka-consumer-groups shows it
        let number = i64::try_from(progress.part).unwrap_or(i64::MAX);
        element.set_offset(Offset::Offset(number)).map_err(|error| Trouble::new("progress", &error, None))?;
        element.set_metadata(text);
        Ok(offsets)
    }
}
