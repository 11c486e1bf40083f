//! What goes wrong with one partition while the others go on: named, with the remedy.

use fyke_types::Error;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::position::SavedPartition;

/// Whether a partition gives nothing more after this.
pub(super) fn ends_reading(code: Code) -> bool {
    matches!(code, Code::TopicAuthorizationFailed | Code::InvalidTopic | Code::UnsupportedCompressionType)
}

/// Its topic is gone.
pub(super) fn deleted(given: &SavedPartition) -> Error {
    let (topic, partition, next) = (&given.topic, given.partition, given.next);
    Error::unavailable(format!("topic '{topic}' was deleted; partition {partition} was read up to offset {next}")).hint(
        "what was read is used; if the topic is made again it is read from its start, else take it out of 'topic'",
    )
}

/// Retention removed what was to be read next, or the topic was made again: it holds `from` to `to`.
pub(super) fn truncated(given: &SavedPartition, from: i64, to: i64) -> Error {
    let (topic, partition, next) = (&given.topic, given.partition, given.next);
    let error = Error::data(format!("offset {next} of {topic}-{partition} is not there"));
    if from > next {
        return error
            .detail(format!("the partition begins at {from}: retention removed {} records", from - next))
            .hint(
                "'truncated' 'skip' goes on with what is there; a longer retention or less lag keeps it from happening",
            );
    }
    error.detail(format!("the partition ends at {to}")).hint(
        "was the topic deleted and made again? then start over: with another --checkpoint, or other offsets in 'start'",
    )
}

/// What was removed is gone, and the reading goes on.
pub(super) fn skipped(given: &SavedPartition, from: i64) -> Error {
    let (topic, partition, next) = (&given.topic, given.partition, given.next);
    Error::data(format!("{} records of {topic}-{partition} were removed before they were read", from - next))
        .detail(format!("offsets {next} to {}", from - 1))
        .hint("a longer retention or less lag keeps it from happening")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncation_says_how_much_is_lost_and_what_to_do() {
        let given = SavedPartition {
            topic: "logs".into(),
            partition: 2,
            customer: "logs".into(),
            next: 12,
            end: None,
            latest: 0,
            ended: false,
        };
        let text = truncated(&given, 40, 90).to_string();
        assert!(text.contains("offset 12 of logs-2") && text.contains("28 records") && text.contains("skip"), "{text}");
        let text = truncated(&given, 0, 5).to_string();
        assert!(text.contains("ends at 5") && text.contains("--checkpoint"), "{text}");
        assert!(skipped(&given, 40).to_string().contains("12 to 39"));
    }
}
