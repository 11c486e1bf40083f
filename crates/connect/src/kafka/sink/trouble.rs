//! What can go wrong with Kafka: what passes by itself, and what a person must mend.

use fyke_types::Error;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// Something went wrong.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Trying again will not help.
    Final(Error),
    /// The brokers are away, or a transaction was lost: what was under way is to be done again.
    Passing(Error),
}

impl Trouble {
    /// Of what the client said while `doing` (in words: "records can't be delivered to topic t").
    pub(super) fn new(doing: &str, error: &KafkaError, last_words: Option<String>) -> Self {
        let code = code_of(error);
        let text = match (error, last_words) {
            (KafkaError::Transaction(error), None) => error.string(),
            (KafkaError::Transaction(error), Some(words)) => format!("{}; {words}", error.string()),
            (error, Some(words)) => format!("{error}; {words}"),
            (error, None) => error.to_string(),
        };
        Self::of(doing, code, &text)
    }

    /// Of a code; `text` is the detail.
    pub(super) fn of(doing: &str, code: Option<Code>, text: &str) -> Self {
        match code.and_then(remedy) {
            Some((true, hint)) => Self::Final(Error::usage(doing).detail(text).hint(hint)),
            Some((false, hint)) => Self::Final(Error::unavailable(doing).detail(text).hint(hint)),
            None => Self::Passing(Error::unavailable(doing).detail(text).hint(
                "are the brokers up, and is their address right? The checkpoint keeps what is not yet delivered: \
                 start again when they are back, or raise 'retry_for'",
            )),
        }
    }

    /// The error, for whom it may concern.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Final(error) | Self::Passing(error) => error,
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

/// The client's code for an error.
pub(super) fn code_of(error: &KafkaError) -> Option<Code> {
    match error {
        KafkaError::Transaction(error) => Some(error.code()),
        error => error.rdkafka_error_code(),
    }
}

/// For what doesn't pass: whether a setting is to blame, and the remedy.
fn remedy(code: Code) -> Option<(bool, &'static str)> {
    Some(match code {
        Code::UnknownTopic | Code::UnknownTopicOrPartition => {
            (true, "create the topic, or let the sink do it: 'create_topics' 'true'")
        }
        Code::InvalidTopic => (true, "letters, digits, '.', '_' and '-', at most 249 of them"),
        Code::TopicAuthorizationFailed => (
            true,
            "the user needs the rights to WRITE and DESCRIBE the topic; exactly once also to READ the progress topic",
        ),
        Code::GroupAuthorizationFailed => (
            true,
            "exactly once needs the right to READ the group of its progress, which is called as 'transactional_id'",
        ),
        Code::TransactionalIdAuthorizationFailed => {
            (true, "the user needs the rights to WRITE and DESCRIBE the transactional id (setting 'transactional_id')")
        }
        Code::ClusterAuthorizationFailed => (
            true,
            "brokers before 2.8 ask for IDEMPOTENT_WRITE on the cluster; without it: 'kafka.enable.idempotence' 'false'",
        ),
        Code::SaslAuthenticationFailed | Code::Authentication => {
            (true, "check 'kafka.sasl.username', 'kafka.sasl.password' and 'kafka.sasl.mechanism'")
        }
        Code::MessageSizeTooLarge => {
            (true, "raise 'kafka.message.max.bytes' here and max.message.bytes of the topic, or select fewer columns")
        }
        Code::InvalidTransactionTimeout => {
            (true, "the brokers allow less (transaction.max.timeout.ms): lower 'kafka.transaction.timeout.ms'")
        }
        Code::UnsupportedVersion | Code::UnsupportedFeature => {
            (false, "the brokers are too old for this: exactly once needs 2.5 or newer")
        }
        Code::InvalidRecord | Code::PolicyViolation | Code::InvalidTimestamp => (
            true,
            "the topic's settings refuse the record: a compacted topic needs a 'key'; see message.timestamp.* of the topic",
        ),
        Code::InvalidArgument | Code::UnknownPartition => (true, "see the client's settings ('kafka.*')"),
        _ => return None,
    })
}
