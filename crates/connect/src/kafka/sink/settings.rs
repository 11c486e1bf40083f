//! A sink's settings: read once from text, checked before anything is connected.

use std::time::Duration;

use fyke_types::{Error, Result, Settings, SinkSpec, key_schema};
use rdkafka::ClientConfig;

use super::super::client::Connection;
use super::columns::{Place, Template};

/// What the client calls a setting that is Fyke's own, and the key that a person may use for it.
const OWN_TO_THE_SINK: &[(&str, &str)] = &[
    ("bootstrap.servers", "LOCATION"),
    ("metadata.broker.list", "LOCATION"),
    ("transactional.id", "transactional_id"),
    ("compression.codec", "compression"),
    ("compression.type", "compression"),
];

/// The sink's own settings and what they mean, as `docs/kafka-sink.md` lists them; `kafka.*` goes to the client.
pub const KAFKA_SINK_SETTINGS: [(&str, &str); 17] = [
    ("topic", "the topic; `{column}` stands for the row's value: `'verdicts.{customer}'`"),
    ("topic_column", "the same as `'topic' '{column}'`"),
    (
        "other_topic",
        "for rows whose topic is null, no valid name, or does not exist (default: the run ends with an error)",
    ),
    ("create_topics", "`true`: a missing topic is made (default `false`: it is an error)"),
    ("create_partitions", "with so many partitions (default: as the brokers are set)"),
    (
        "key",
        "column, or columns: the key is then a JSON list of texts; a member of a window: `w.end` (update mode has its own)",
    ),
    ("headers", "columns that become headers of their own name"),
    ("timestamp", "column with the record's time (default: when it is sent)"),
    ("format", "`json` (default), or `raw`: one column as it is"),
    ("value", "with `raw`: that column; null makes a tombstone"),
    ("compression", "`none` (default), `gzip`, `snappy`, `lz4`, `zstd`"),
    (
        "guarantee",
        "`exactly_once` (default in a run with checkpoints) or `at_least_once` (default, and the only one, without)",
    ),
    ("linger", "how long a record may wait for others (default '2ms')"),
    ("connect_timeout", "how long brokers may be away when the run starts (default '30 seconds')"),
    ("retry_for", "how long they may be away later, and how long a part is tried again (default '5 minutes')"),
    (
        "transactional_id",
        "of the transactions, and the name of the group that keeps their progress (default `fyke.RUN.OUTPUT`)",
    ),
    (
        "progress_topic",
        "topic whose partition 0 that group's offset is said to be of (default: `topic`, else `__consumer_offsets`)",
    ),
];

/// Whether a reader of the topic may see a row twice after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guarantee {
    /// Rows are visible at once; after a crash some may come again.
    AtLeastOnce,
    /// Rows are visible with their checkpoint, once, to readers of committed records.
    ExactlyOnce,
}

/// What a record's value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Format {
    /// The row as a JSON object.
    Json,
    /// One column as it is.
    Raw(Place),
}

/// What a record's key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// What the person wants; nothing: there is no key.
    Columns(Vec<Place>),
    /// Update mode: what rows replace each other by, as names that [`fyke_types::key_columns`] knows.
    Upserts(Vec<String>),
}

/// See the module. `docs/kafka-sink.md` says what each is for.
#[derive(Debug, Clone)]
pub(super) struct SinkSettings {
    /// How the cluster is reached.
    pub(super) connection: Connection,
    pub(super) topic: Template,
    pub(super) other_topic: Option<String>,
    /// None: a missing topic is an error. Else with so many partitions; -1: as the broker is set.
    pub(super) create_partitions: Option<i32>,
    pub(super) format: Format,
    pub(super) key: Key,
    pub(super) headers: Vec<Place>,
    pub(super) timestamp: Option<Place>,
    pub(super) guarantee: Guarantee,
    pub(super) transactional_id: Option<String>,
    pub(super) progress_topic: Option<String>,
    /// How long the brokers may be away when the sink is opened.
    pub(super) connect_timeout: Duration,
    /// How long a part is tried again when the brokers are away or a transaction is lost.
    pub(super) retry_for: Duration,
    compression: String,
    linger_ms: u64,
}

impl SinkSettings {
    /// The settings of `spec`.
    ///
    /// # Errors
    /// `Usage` that names the setting and the remedy.
    pub(super) fn parse(spec: &SinkSpec) -> Result<Self> {
        let mut own = spec.options.clone();
        let connection = Connection::take("the KAFKA sink", &spec.location, &mut own)?;
        if let Some((key, ours)) = OWN_TO_THE_SINK.iter().find(|(key, _)| connection.is_given(key)) {
            return Err(Error::usage(format!("'kafka.{key}' of the KAFKA sink is set by {ours}")));
        }
        let mut settings = Settings::new("the KAFKA sink", own);
        let schema = &spec.schema;
        let topic = topic(&mut settings, spec)?;
        let key = settings.text("key");
        let format = format(&mut settings, spec)?;
        let list = |text: Option<String>, what: &str| -> Result<Vec<Place>> {
            let text = text.unwrap_or_default();
            let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
            names.map(|name| Place::find(schema, name, what)).collect()
        };
        let key = match &spec.key {
            Some(of) => Key::Upserts(upsert_key(key, of)?),
            None => Key::Columns(list(key, "key")?),
        };
        let headers = list(settings.text("headers"), "headers")?;
        let timestamp = settings.text("timestamp").map(|name| Place::time(schema, &name)).transpose()?;
        let create = settings.flag("create_topics")?.unwrap_or(false);
        let partitions: Option<i32> = settings.number("create_partitions")?;
        if partitions.is_some_and(|partitions| partitions < 1) {
            return Err(Error::usage("'create_partitions' of the KAFKA sink is less than 1"));
        }
        if partitions.is_some() && !create {
            return Err(Error::usage("'create_partitions' of the KAFKA sink has no effect")
                .hint("set 'create_topics' 'true' beside it"));
        }
        let other_topic = settings.text("other_topic");
        if let Some(other) = &other_topic {
            valid_topic(other)?;
        }
        let parsed = Self {
            connection,
            topic,
            other_topic,
            create_partitions: create.then(|| partitions.unwrap_or(-1)),
            format,
            key,
            headers,
            timestamp,
            guarantee: guarantee(&mut settings, spec)?,
            transactional_id: settings.text("transactional_id"),
            progress_topic: settings.text("progress_topic"),
            connect_timeout: duration(&mut settings, "connect_timeout", 30_000_000)?,
            retry_for: duration(&mut settings, "retry_for", 300_000_000)?,
            compression: compression(&mut settings)?,
            linger_ms: settings.duration("linger")?.map_or(2, |linger| linger.unsigned_abs() / 1_000),
        };
        settings.finish()?;
        Ok(parsed)
    }

    /// Whether rows replace each other by their key.
    pub(super) fn is_upserts(&self) -> bool {
        matches!(self.key, Key::Upserts(_))
    }

    /// What a producer is told; what the person said wins.
    pub(super) fn producer(&self) -> ClientConfig {
        self.connection.config(&[
            ("enable.idempotence", "true"),
            // keys land where Java's clients would put them, so that topics can be joined by partition
            ("partitioner", "murmur2_random"),
            // what is not yet acknowledged stays in memory: 64 MiB
            ("queue.buffering.max.kbytes", "65536"),
            ("linger.ms", &self.linger_ms.to_string()),
            ("compression.codec", &self.compression),
        ])
    }
}

fn topic(settings: &mut Settings, spec: &SinkSpec) -> Result<Template> {
    let text = match (settings.text("topic"), settings.text("topic_column")) {
        (Some(topic), None) => topic,
        (None, Some(column)) => format!("{{{column}}}"),
        (Some(_), Some(_)) => {
            return Err(Error::usage("the KAFKA sink has both 'topic' and 'topic_column'")
                .hint("a column may stand in the topic: 'topic' 'verdicts.{customer}'"));
        }
        (None, None) => {
            return Err(Error::usage("the KAFKA sink names no topic")
                .hint("'topic' 'verdicts', or for each row its own: 'topic' 'verdicts.{customer}'"));
        }
    };
    let topic = Template::parse(&text, &spec.schema)?;
    let Some(key) = &spec.key else { return Ok(topic) };
    // of a row that is taken back nothing is known but its key
    Template::parse(&text, &key_schema(&spec.schema, key)?).map_err(|_| {
        Error::usage(format!("'topic' of the KAFKA sink is '{text}'"))
            .detail("in update mode a topic can be named by the columns of the key alone, so that a row finds the one that it replaces")
            .hint(format!("the key: {}", key.join(", ")))
    })
}

/// The key in the order that the person wants: another one would let rows replace those that they do not belong to.
fn upsert_key(wanted: Option<String>, of: &[String]) -> Result<Vec<String>> {
    let Some(wanted) = wanted else { return Ok(of.to_vec()) };
    let names: Vec<String> = wanted.split(',').map(|name| name.trim().to_owned()).collect();
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort();
        names
    };
    if sorted(&names) == sorted(of) {
        return Ok(names);
    }
    Err(Error::usage(format!(
        "'key' of the KAFKA sink is '{wanted}', but rows replace each other by {}",
        of.join(", ")
    ))
    .hint("leave 'key' out: in update mode it is what the query groups by"))
}

fn format(settings: &mut Settings, spec: &SinkSpec) -> Result<Format> {
    let value = settings.text("value");
    match (settings.text("format").map(|format| format.to_lowercase()).as_deref(), value) {
        (None | Some("json"), None) => Ok(Format::Json),
        (None | Some("json"), Some(_)) => {
            Err(Error::usage("'value' of the KAFKA sink goes with 'format' 'raw': JSON holds the whole row"))
        }
        (Some("raw"), Some(column)) => Place::find(&spec.schema, &column, "value").map(Format::Raw),
        (Some("raw"), None) => Err(Error::usage("'format' 'raw' of the KAFKA sink needs 'value', the column to send")),
        (Some(other), _) => Err(Error::usage(format!("'format' of the KAFKA sink is '{other}'")).hint("json or raw")),
    }
}

fn guarantee(settings: &mut Settings, spec: &SinkSpec) -> Result<Guarantee> {
    let spool = spec.parts.as_ref().is_some_and(|parts| parts.spool.is_some());
    match settings.text("guarantee").map(|guarantee| guarantee.to_lowercase()).as_deref() {
        None if spool => Ok(Guarantee::ExactlyOnce),
        None | Some("at_least_once") => Ok(Guarantee::AtLeastOnce),
        Some("exactly_once") if spool => Ok(Guarantee::ExactlyOnce),
        Some("exactly_once") if spec.parts.is_some() => Err(Error::usage(
            "the KAFKA sink can't be exactly once: these checkpoints lie where it can't keep its spool",
        )
        .hint("keep them in a folder of this machine (--checkpoint FOLDER), or set 'guarantee' 'at_least_once'")),
        Some("exactly_once") => Err(Error::usage("the KAFKA sink is exactly once only in a run with checkpoints")
            .hint("add --checkpoint FOLDER, or set 'guarantee' 'at_least_once'")),
        Some(other) => {
            Err(Error::usage(format!("'guarantee' of the KAFKA sink is '{other}'"))
                .hint("exactly_once or at_least_once"))
        }
    }
}

fn compression(settings: &mut Settings) -> Result<String> {
    const KNOWN: &[&str] = &["none", "gzip", "snappy", "lz4", "zstd"];
    let compression = settings.text("compression").map_or_else(|| "none".to_owned(), |text| text.to_lowercase());
    if KNOWN.contains(&compression.as_str()) {
        return Ok(compression);
    }
    Err(Error::usage(format!("'compression' of the KAFKA sink is '{compression}'")).hint(KNOWN.join(", ")))
}

fn duration(settings: &mut Settings, key: &'static str, default_us: u64) -> Result<Duration> {
    let given = settings.duration(key)?.map(i64::unsigned_abs);
    Ok(Duration::from_micros(given.unwrap_or(default_us)))
}

/// Kafka's rule for names.
pub(super) fn is_topic(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !name.is_empty() && name.len() <= 249 && name != "." && name != ".." && name.bytes().all(legal)
}

/// # Errors
/// `Usage` for a name that no topic can have.
pub(super) fn valid_topic(name: &str) -> Result<()> {
    if is_topic(name) {
        return Ok(());
    }
    Err(Error::usage(format!("no topic can be called '{name}'"))
        .hint("letters, digits, '.', '_' and '-', at most 249 of them"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};
    use fyke_types::{PartsOf, SinkMode};

    use super::*;

    fn spec(options: &[(&str, &str)]) -> SinkSpec {
        SinkSpec {
            format: "KAFKA".into(),
            location: "kafka://one:9092,two:9092".into(),
            schema: Arc::new(Schema::new(vec![
                Field::new("customer", DataType::Utf8, true),
                Field::new("n", DataType::Int64, true),
            ])),
            unique: None,
            key: None,
            mode: SinkMode::Append,
            options: options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            parts: None,
        }
    }

    fn refused(options: &[(&str, &str)]) -> String {
        SinkSettings::parse(&spec(options)).expect_err("refused").to_string()
    }

    #[test]
    fn wrong_settings_are_refused_by_name() {
        let topic = ("topic", "t");
        for (options, expected) in [
            (vec![], "no topic"),
            (vec![topic, ("topic_column", "customer")], "both"),
            (vec![("topic", "v.{client}")], "'client'"),
            (vec![("topic", "v {customer}")], "no topic can be called"),
            (vec![topic, ("keys", "n")], "'keys'"),
            (vec![topic, ("key", "m")], "'m'"),
            (vec![topic, ("timestamp", "n")], "no timestamp"),
            (vec![topic, ("guarantee", "exactly_once")], "--checkpoint"),
            (vec![topic, ("compression", "lzo")], "zstd"),
            (vec![topic, ("format", "raw")], "'value'"),
            (vec![topic, ("create_partitions", "3")], "'create_topics'"),
            (vec![topic, ("kafka.bootstrap.servers", "x:1")], "LOCATION"),
        ] {
            let said = refused(&options);
            assert!(said.contains(expected), "{options:?}: {said}");
        }
    }

    #[test]
    fn key_and_topic_of_upserts_come_from_what_rows_replace_each_other_by() {
        let with = |options: &[(&str, &str)]| {
            let key = Some(vec!["customer".to_owned(), "n".to_owned()]);
            SinkSettings::parse(&SinkSpec { key, ..spec(options) })
        };
        let topic = ("topic", "t.{customer}");
        let parsed = with(&[topic]).expect("parsed");
        assert_eq!(parsed.key, Key::Upserts(vec!["customer".into(), "n".into()]));
        let parsed = with(&[topic, ("key", "n, customer")]).expect("another order");
        assert_eq!(parsed.key, Key::Upserts(vec!["n".into(), "customer".into()]));
        let said = with(&[topic, ("key", "customer")]).expect_err("half of it").to_string();
        assert!(said.contains("customer, n") && said.contains("leave 'key' out"), "{said}");
        let of_customer = SinkSpec { key: Some(vec!["n".to_owned()]), ..spec(&[("topic", "t.{customer}")]) };
        let said = SinkSettings::parse(&of_customer).expect_err("customer is not of the key").to_string();
        assert!(said.contains("columns of the key alone") && said.contains("the key: n"), "{said}");
    }

    #[test]
    fn every_setting_is_in_the_reference_and_known() {
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/kafka-sink.md"));
        let text = text.expect("docs/kafka-sink.md");
        let known = refused(&[("topic", "t"), ("unheard_of", "x")]);
        for (name, meaning) in KAFKA_SINK_SETTINGS {
            let line = format!("| `{name}` | {meaning} |");
            assert!(text.contains(&line), "docs/kafka-sink.md lacks: {line}");
            assert!(known.contains(name), "{name} is not among: {known}");
        }
    }

    #[test]
    fn what_the_person_tells_the_client_wins() {
        let settings = SinkSettings::parse(&spec(&[("topic", "t"), ("kafka.linger.ms", "70")])).expect("parsed");
        assert_eq!(settings.producer().get("linger.ms"), Some("70"));
        assert_eq!(settings.producer().get("bootstrap.servers"), Some("one:9092,two:9092"));
    }

    #[test]
    fn run_with_checkpoints_is_exactly_once_unless_it_is_told_otherwise() {
        let parts = PartsOf {
            run: "r".into(),
            generation: 1,
            resumed: false,
            output: "o".into(),
            spool: Some("spool".into()),
            every: None,
        };
        let with = |options: &[(&str, &str)]| {
            let spec = SinkSpec { parts: Some(parts.clone()), ..spec(options) };
            SinkSettings::parse(&spec).expect("parsed").guarantee
        };
        assert_eq!(with(&[("topic", "t")]), Guarantee::ExactlyOnce);
        assert_eq!(with(&[("topic", "t"), ("guarantee", "at_least_once")]), Guarantee::AtLeastOnce);
        let without = SinkSettings::parse(&spec(&[("topic", "t")])).expect("parsed").guarantee;
        assert_eq!(without, Guarantee::AtLeastOnce);
    }
}
