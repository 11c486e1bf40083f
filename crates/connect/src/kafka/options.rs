//! The settings of a table in Kafka: parsed once, unknown ones refused.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use fyke_types::{Error, Result, Settings, TableSpec, parse_bytes};
use regex::Regex;

use super::client::Connection;

/// What a partition's offset is said for: topic and partition.
pub(super) type Offsets = BTreeMap<(String, i32), i64>;

/// The settings of a table in Kafka and what they mean; `kafka.*` goes to librdkafka, all others to the format.
pub const KAFKA_SETTINGS: [(&str, &str); 14] = [
    ("topic", "the topics to read, as 'a,b'"),
    (
        "topic_pattern",
        "in place of `topic`: a regular expression that a topic's whole name must match; its group `customer` names the customer",
    ),
    ("format", "how values look: `json` (default), any line format, or `raw` (one column `value`)"),
    (
        "start",
        "where to begin: `earliest` (default), `latest`, a time such as '2026-03-02T08:00:00Z', or offsets such as 'logs-0@12, logs-1@40'; topics and partitions that appear later are read from their beginning",
    ),
    (
        "end",
        "where to end, of the same forms (exclusive); a bounded run ends at `latest`, which is what is there when it starts",
    ),
    ("discover_every", "how often new topics and partitions are looked for, or 'off' (default '10 seconds')"),
    (
        "truncated",
        "what to do where retention removed records before they were read: `fail` (default: the partition is read no further) or `skip` (go on with what is there)",
    ),
    ("record_prefix", "stands before the names of the record's own columns (default: nothing)"),
    ("commit", "whether a live run commits its offsets to the group, for lag monitors (default 'true')"),
    ("queue_bytes", "bytes fetched ahead, over all partitions (default '64MB', at least 1 MB for each partition)"),
    ("connect_timeout", "how long to wait for a broker's answer at the start (default '15 seconds')"),
    ("give_up_after", "a bounded run fails when nothing came for so long (default '2 minutes')"),
    ("oauth_token_file", "file with the token for OAUTHBEARER; read again whenever the last one is about to end"),
    (
        "oauth_token_url",
        "identity provider that gives tokens by `oauth_client_id`, `oauth_client_secret` and, if wanted, `oauth_scope`",
    ),
];

/// Settings that a reading depends on: the person's value would break it.
const OURS: [&str; 4] = ["enable.auto.commit", "enable.auto.offset.store", "enable.partition.eof", "auto.offset.reset"];

/// Which topics.
#[derive(Debug, Clone)]
pub(super) enum Topics {
    /// By name.
    Names(Vec<String>),
    /// Those whose whole name the pattern matches.
    Pattern(Regex),
}

impl Topics {
    /// Whether a topic's name is its customer's.
    pub(super) fn are_customers(&self) -> bool {
        match self {
            Self::Names(_) => true,
            Self::Pattern(pattern) => pattern.captures_len() == 1,
        }
    }

    /// Whose the topic's records are; none for a topic that is not wanted.
    pub(super) fn customer(&self, topic: &str) -> Option<String> {
        match self {
            Self::Names(names) => names.iter().any(|name| name == topic).then(|| topic.to_owned()),
            // the cluster's own topics
            Self::Pattern(_) if topic.starts_with("__") => None,
            Self::Pattern(pattern) => {
                let found = pattern.captures(topic)?;
                let group = found.name("customer").or_else(|| found.get(1)).or_else(|| found.get(0));
                group.map(|group| group.as_str().to_owned())
            }
        }
    }
}

/// An end of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum At {
    Earliest,
    Latest,
    /// The first record of this time or later, ms since 1970.
    Time(i64),
    /// These; of partitions that are not named: all.
    Offsets(Offsets),
}

/// All settings of a table.
#[derive(Debug, Clone)]
pub(super) struct Options {
    /// For messages.
    pub(super) name: String,
    pub(super) connection: Connection,
    pub(super) topics: Topics,
    pub(super) start: At,
    pub(super) end: Option<At>,
    pub(super) discover_every: Option<Duration>,
    pub(super) skips_truncated: bool,
    pub(super) record_prefix: String,
    pub(super) commits: bool,
    pub(super) queue_bytes: u64,
    pub(super) connect_timeout: Duration,
    pub(super) give_up_after: Duration,
    /// Upper case.
    pub(super) format: String,
}

impl Options {
    /// Reads a table's settings; what is left is the format's.
    ///
    /// # Errors
    /// `Usage` for missing, wrong or contradicting ones.
    pub(super) fn take(spec: &TableSpec) -> Result<(Self, Settings)> {
        let (name, mut rest) = (format!("table {}", spec.name), spec.options.clone());
        let connection = Connection::take(&name, &spec.location, &mut rest)?;
        if let Some(key) = OURS.iter().find(|key| connection.is_given(key)) {
            return Err(Error::usage(format!("setting 'kafka.{key}' of {name} can't be set"))
                .hint("Fyke keeps the offsets in its checkpoints: see 'start', 'truncated' and 'commit'"));
        }
        let mut settings = Settings::new(name.clone(), rest);
        let span = |us: i64| Duration::from_micros(us.max(0).unsigned_abs());
        let options = Self {
            topics: topics(&name, &mut settings)?,
            format: settings.text("format").unwrap_or_else(|| "json".to_owned()).to_uppercase(),
            start: settings.text("start").map_or(Ok(At::Earliest), |text| at(&name, "start", &text))?,
            end: settings.text("end").map(|text| at(&name, "end", &text)).transpose()?,
            discover_every: discover_every(&mut settings)?,
            skips_truncated: one_of(&name, &mut settings, "truncated", ["fail", "skip"])?,
            record_prefix: settings.text("record_prefix").unwrap_or_default(),
            commits: settings.flag("commit")?.unwrap_or(true),
            queue_bytes: queue_bytes(&name, &mut settings)?,
            connect_timeout: settings.duration("connect_timeout")?.map_or(Duration::from_secs(15), span),
            give_up_after: settings.duration("give_up_after")?.map_or(Duration::from_secs(120), span),
            connection,
            name,
        };
        if options.end == Some(At::Earliest) {
            return Err(Error::usage(format!("'end' of {} is 'earliest': nothing would be read", options.name))
                .hint("it takes 'latest', a time, or offsets"));
        }
        Ok((options, settings))
    }
}

fn topics(name: &str, settings: &mut Settings) -> Result<Topics> {
    match (settings.text("topic"), settings.text("topic_pattern")) {
        (Some(list), None) => {
            let mut names: Vec<String> = Vec::new();
            for topic in list.split(',').map(str::trim).filter(|topic| !topic.is_empty()) {
                if !names.iter().any(|known| known == topic) {
                    names.push(topic.to_owned());
                }
            }
            if names.is_empty() {
                return Err(Error::usage(format!("'topic' of {name} names no topic")));
            }
            Ok(Topics::Names(names))
        }
        (None, Some(pattern)) => Regex::new(&format!("^(?:{pattern})$")).map(Topics::Pattern).map_err(|error| {
            Error::usage(format!("'{pattern}' in topic_pattern of {name} is no regular expression")).detail(error)
        }),
        (None, None) => Err(Error::usage(format!("{name} names no topic"))
            .hint("OPTIONS ('topic' 'a,b') or ('topic_pattern' 'logs\\.(?<customer>.+)')")),
        (Some(_), Some(_)) => Err(Error::usage(format!("{name} has both 'topic' and 'topic_pattern'"))
            .hint("keep one: a pattern may list names, as in 'a|b'")),
    }
}

fn discover_every(settings: &mut Settings) -> Result<Option<Duration>> {
    let mut probe = settings.clone();
    if probe.text("discover_every").is_some_and(|text| text.eq_ignore_ascii_case("off")) {
        *settings = probe;
        return Ok(None);
    }
    let every = settings.duration("discover_every")?.unwrap_or(10_000_000);
    Ok(Some(Duration::from_micros(every.max(10_000).unsigned_abs())))
}

/// Whether the second of two words is set; the first is the default.
fn one_of(name: &str, settings: &mut Settings, key: &'static str, words: [&str; 2]) -> Result<bool> {
    match settings.text(key) {
        None => Ok(false),
        Some(text) => {
            words.iter().position(|word| text.eq_ignore_ascii_case(word)).map(|at| at == 1).ok_or_else(|| {
                Error::usage(format!("setting '{key}' of {name} is '{text}'"))
                    .hint(format!("it takes '{}' or '{}'", words[0], words[1]))
            })
        }
    }
}

fn queue_bytes(name: &str, settings: &mut Settings) -> Result<u64> {
    let Some(text) = settings.text("queue_bytes") else { return Ok(64_000_000) };
    parse_bytes(&text).filter(|bytes| *bytes > 0).ok_or_else(|| {
        Error::usage(format!("setting 'queue_bytes' of {name} is '{text}'")).hint("it takes a size such as '64MB'")
    })
}

/// `earliest`, `latest`, a time, or offsets.
fn at(name: &str, key: &str, text: &str) -> Result<At> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("earliest") {
        return Ok(At::Earliest);
    }
    if text.eq_ignore_ascii_case("latest") {
        return Ok(At::Latest);
    }
    let wrong = || {
        Error::usage(format!("setting '{key}' of {name} is '{text}'")).hint(
            "it takes 'earliest', 'latest', a time such as '2026-03-02T08:00:00Z', or offsets such as 'logs-0@12, logs-1@40'",
        )
    };
    if text.contains('@') {
        let mut offsets = Offsets::new();
        for one in text.split(',') {
            let (place, offset) = one.trim().rsplit_once('@').ok_or_else(wrong)?;
            let (topic, partition) = place.rsplit_once('-').ok_or_else(wrong)?;
            let (partition, offset) = (partition.parse().map_err(|_| wrong())?, offset.parse().map_err(|_| wrong())?);
            if offset < 0 || partition < 0 || offsets.insert((topic.to_owned(), partition), offset).is_some() {
                return Err(wrong());
            }
        }
        return Ok(At::Offsets(offsets));
    }
    let time = string_to_timestamp_nanos(text).map_err(|_| wrong())?;
    Ok(At::Time(time.div_euclid(1_000_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(settings: &[(&str, &str)]) -> Result<Options> {
        let options = settings.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let (name, location) = ("t".to_owned(), "b:9092".to_owned());
        Options::take(&TableSpec { name, format: "KAFKA".into(), location, schema: None, options }).map(|(o, _)| o)
    }

    fn refusal(settings: &[(&str, &str)]) -> String {
        options(settings).expect_err("refused").to_string()
    }

    #[test]
    fn start_is_a_word_a_time_or_offsets() {
        let start = |text| options(&[("topic", "a"), ("start", text)]).expect("fits").start;
        assert_eq!(start("Latest"), At::Latest);
        assert_eq!(start("1970-01-01T00:00:02.5Z"), At::Time(2_500));
        assert_eq!(start("1970-01-02"), At::Time(86_400_000));
        let two = Offsets::from([(("a-b".to_owned(), 0), 12), (("a".to_owned(), 3), 0)]);
        assert_eq!(start("a-b-0@12, a-3@0"), At::Offsets(two));
        for wrong in ["soon", "a@1", "a-0@", "a-0@1,a-0@2", "a-x@1", "a-0@-1"] {
            assert!(refusal(&[("topic", "a"), ("start", wrong)]).contains(wrong), "{wrong}");
        }
    }

    #[test]
    fn customer_is_the_topic_or_what_the_pattern_captures() {
        let customer = |settings: &[(&str, &str)], topic: &str| options(settings).expect("fits").topics.customer(topic);
        let pattern = [("topic_pattern", r"logs\.(?<customer>.+)")];
        assert_eq!(customer(&pattern, "logs.acme").as_deref(), Some("acme"));
        assert_eq!(customer(&pattern, "old.logs.acme"), None, "the whole name must match");
        assert_eq!(customer(&[("topic_pattern", ".*")], "__consumer_offsets"), None);
        assert_eq!(customer(&[("topic_pattern", "a|b")], "b").as_deref(), Some("b"));
        assert_eq!(customer(&[("topic", "a, b")], "b").as_deref(), Some("b"));
        assert_eq!(customer(&[("topic", "a, b")], "c"), None);
    }

    #[test]
    fn contradictions_are_refused_with_the_remedy() {
        assert!(refusal(&[]).contains("topic_pattern"));
        assert!(refusal(&[("topic", "a"), ("topic_pattern", "b")]).contains("keep one"));
        assert!(refusal(&[("topic_pattern", "(")]).contains("regular expression"));
        assert!(refusal(&[("topic", "a"), ("kafka.auto.offset.reset", "latest")]).contains("'start'"));
        assert!(refusal(&[("topic", "a"), ("truncated", "ignore")]).contains("skip"));
        assert!(refusal(&[("topic", "a"), ("end", "earliest")]).contains("nothing would be read"));
        assert!(options(&[("topic", "a"), ("discover_every", "off")]).expect("fits").discover_every.is_none());
    }

    #[test]
    fn every_setting_is_in_the_reference() {
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md"));
        let text = text.expect("docs/settings.md");
        for (name, meaning) in KAFKA_SETTINGS {
            let line = format!("| `{name}` | {meaning} |");
            assert!(text.contains(&line), "docs/settings.md lacks: {line}");
        }
    }
}
