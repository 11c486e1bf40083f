//! Who may come in, and what is said to those who may not; a broker that goes away and comes back.

#![expect(clippy::expect_used, reason = "a test that can not go on has failed")]

mod kafka_support;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use fyke_connect::KafkaConnector;
use fyke_testbed::Kafka;
use fyke_testbed::kafka::{KafkaSettings, USER};
use fyke_types::{Connector, Kind, PartsOf, Result, Sink, SinkMode, SinkSpec, Source};
use kafka_support::*;

/// A token that nobody signed: {"alg":"none"}, {"sub":"alice","iat":1700000000,"exp":4102444800}.
const TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSIsImlhdCI6MTcwMDAwMDAwMCwiZXhwIjo0MTAyNDQ0ODAwfQ.";

#[test]
fn credentials_and_certificates_let_in_and_wrong_ones_are_named() {
    let kafka = Kafka::with(&KafkaSettings { secure: true, ..KafkaSettings::default() }).expect("a broker");
    kafka.create_topic("secret", 1, &[]).expect("a topic");
    let writer = Writer::with(&kafka.client());
    writer.send("secret", 0, 0, &line(1, 1));
    writer.flush();
    let path = |name: &str| kafka.file(name).display().to_string();
    let open = |location: Option<String>, settings: &[(&str, &str)]| -> Arc<dyn Source> {
        let ca = path("ca.pem");
        let all = [&[("topic", "secret"), ("kafka.ssl.ca.location", ca.as_str())][..], settings].concat();
        KafkaConnector.source(&spec(&location.expect("a listener"), Some(numbers()), &all)).expect("a table")
    };
    let (certificate, key, token) = (path("client.pem"), path("client.key"), path("token"));
    std::fs::write(&token, TOKEN).expect("written");
    let (user, password) = USER;
    let sasl = |mechanism| {
        [("kafka.security.protocol", "sasl_ssl"), ("kafka.sasl.mechanism", mechanism), ("kafka.sasl.username", user)]
    };
    let plain = [&sasl("PLAIN")[..], &[("kafka.sasl.password", password)]].concat();
    let scram = [&sasl("SCRAM-SHA-256")[..], &[("kafka.sasl.password", password)]].concat();
    let bearer = [&sasl("OAUTHBEARER")[..2], &[("oauth_token_file", token.as_str())]].concat();
    let with_certificate = [
        ("kafka.security.protocol", "ssl"),
        ("kafka.ssl.certificate.location", certificate.as_str()),
        ("kafka.ssl.key.location", key.as_str()),
    ];
    for (location, settings) in [
        (kafka.sasl(), &plain[..]),
        (kafka.sasl(), &scram[..]),
        (kafka.sasl(), &bearer[..]),
        (kafka.tls(), &with_certificate[..]),
    ] {
        let given = read(open(location, settings).as_ref(), &options(1)).expect("a reading");
        assert_eq!(given.numbers("n"), [1], "{settings:?}");
    }
    for (location, settings, said) in [
        (kafka.sasl(), [&plain[..3], &[("kafka.sasl.password", "wrong")]].concat(), "credentials"),
        (kafka.sasl(), [&scram[..3], &[("kafka.sasl.password", "wrong")]].concat(), "credentials"),
        (kafka.tls(), with_certificate[..1].to_vec(), "ssl.certificate.location"),
        (kafka.sasl(), vec![("kafka.security.protocol", "ssl"), ("kafka.ssl.ca.location", key.as_str())], "ssl.ca"),
    ] {
        // a later setting takes the place of an earlier one of the same name
        let started = Instant::now();
        let Err(error) = read(open(location, &settings).as_ref(), &options(1)) else { panic!("let in: {settings:?}") };
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(error.kind(), Kind::Usage, "{error}");
        assert!(started.elapsed() < Duration::from_secs(10), "such an error is told at once");
    }
}

/// A run's output into the topic `secret`; with a folder for its spool it is exactly once.
fn sink(location: &str, settings: &[(&str, &str)], spool: Option<&Path>) -> Result<Box<dyn Sink>> {
    let parts = spool.map(|folder| PartsOf {
        run: folder.display().to_string().replace('/', "-"),
        generation: 1,
        resumed: false,
        output: "out".to_owned(),
        spool: Some(folder.to_path_buf()),
        every: None,
    });
    let options = settings.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    KafkaConnector.sink(&SinkSpec {
        format: "KAFKA".into(),
        location: location.into(),
        schema: row(0).schema(),
        unique: None,
        key: None,
        mode: SinkMode::Append,
        options,
        parts,
    })
}

fn row(n: i64) -> RecordBatch {
    let columns: [(&str, ArrayRef); 2] = [
        ("time", Arc::new(TimestampMicrosecondArray::from(vec![n * 1_000_000]))),
        ("n", Arc::new(Int64Array::from(vec![n]))),
    ];
    RecordBatch::try_from_iter(columns).expect("a batch")
}

#[test]
fn sink_comes_in_by_tls_and_sasl_with_both_promises_and_wrong_credentials_are_named() {
    let kafka = Kafka::with(&KafkaSettings { secure: true, ..KafkaSettings::default() }).expect("a broker");
    kafka.create_topic("secret", 1, &[]).expect("a topic");
    let path = |name: &str| kafka.file(name).display().to_string();
    let (ca, certificate, key, token) = (path("ca.pem"), path("client.pem"), path("client.key"), path("token"));
    std::fs::write(&token, TOKEN).expect("written");
    let (user, password) = USER;
    let (sasl, tls) = (kafka.sasl().expect("a listener"), kafka.tls().expect("a listener"));
    let to = [("topic", "secret"), ("kafka.ssl.ca.location", ca.as_str())];
    let by = |mechanism| {
        let more = [("kafka.security.protocol", "sasl_ssl"), ("kafka.sasl.mechanism", mechanism)];
        [&to[..], &more[..]].concat()
    };
    let named = |mechanism, password| {
        [&by(mechanism)[..], &[("kafka.sasl.username", user), ("kafka.sasl.password", password)]].concat()
    };
    let with_certificate = [
        &to[..],
        &[
            ("kafka.security.protocol", "ssl"),
            ("kafka.ssl.certificate.location", certificate.as_str()),
            ("kafka.ssl.key.location", key.as_str()),
        ],
    ]
    .concat();
    let ways = [
        (&sasl, named("PLAIN", password)),
        (&sasl, named("SCRAM-SHA-256", password)),
        (&sasl, [&by("OAUTHBEARER")[..], &[("oauth_token_file", token.as_str())]].concat()),
        (&tls, with_certificate.clone()),
    ];
    let mut sent = 0;
    for (location, settings) in &ways {
        sent += 1;
        let made = format!("made-{sent}");
        let of_its_own = [&settings[1..], &[("topic", made.as_str()), ("create_topics", "true")]].concat();
        let mut own = sink(location, &of_its_own, None).expect("a topic is made");
        own.write(&row(0)).expect("written");
        own.finish().expect("finished");
        let mut plain = sink(location, settings, None).expect("let in");
        plain.write(&row(sent)).expect("written");
        plain.finish().expect("finished");
        sent += 1;
        let folder = tempfile::tempdir().expect("a folder");
        let mut once = sink(location, settings, Some(folder.path())).expect("let in");
        once.write(&row(sent)).expect("written");
        let prepared = once.prepare(1, true).expect("prepared").expect("a part");
        once.commit(&prepared).expect("committed");
        once.finish().expect("finished");
    }
    let all = spec(&kafka.bootstrap(), Some(numbers()), &[("topic", "secret")]);
    let given = read(KafkaConnector.source(&all).expect("a table").as_ref(), &options(1)).expect("a reading");
    assert_eq!(given.sorted("n"), (1..=sent).collect::<Vec<i64>>());
    let folder = tempfile::tempdir().expect("a folder");
    for (location, settings, said) in [
        (&sasl, named("PLAIN", "wrong"), "credentials"),
        (&sasl, named("SCRAM-SHA-256", "wrong"), "credentials"),
        (&tls, with_certificate[..3].to_vec(), "ssl.certificate.location"),
    ] {
        for spool in [None, Some(folder.path())] {
            let started = Instant::now();
            let error = sink(location, &settings, spool).err().expect("a stranger is not let in");
            assert!(error.to_string().contains(said), "{error}");
            assert_eq!(error.kind(), Kind::Usage, "{error}");
            assert!(started.elapsed() < Duration::from_secs(10), "such an error is told at once");
        }
    }
}

#[test]
fn a_broker_that_comes_back_is_read_on_without_loss() {
    let mut kafka = Kafka::start().expect("a broker");
    kafka.create_topic("again", 2, &[]).expect("a topic");
    let send = |kafka: &Kafka, numbers: std::ops::Range<i64>| {
        let writer = Writer::with(&kafka.client());
        numbers.for_each(|n| writer.send("again", (n % 2) as i32, 0, &line(n, n)));
        writer.flush();
    };
    send(&kafka, 0..100);
    let source = KafkaConnector.source(&spec(&kafka.bootstrap(), Some(numbers()), &[("topic", "again")]));
    let mut reader = source.expect("a table").open(&following(2)).expect("a reading");
    let mut given = Given::default();
    until(reader.as_mut(), &mut given, |given| given.rows() == 100);
    for round in 1..3 {
        kafka.kill().expect("killed");
        until(reader.as_mut(), &mut given, |given| given.troubles.len() >= round.min(1));
        assert!(given.troubles[0].to_string().contains("can't be reached"), "{}", given.troubles[0]);
        kafka.restart().expect("started");
        send(&kafka, round as i64 * 100..(round as i64 + 1) * 100);
        until(reader.as_mut(), &mut given, |given| given.rows() == (round + 1) * 100);
    }
    assert_eq!(given.sorted("n"), (0..300).collect::<Vec<i64>>());
    // one that stands still is waited for
    kafka.pause().expect("paused");
    std::thread::sleep(Duration::from_secs(2));
    kafka.resume().expect("resumed");
    send(&kafka, 300..310);
    until(reader.as_mut(), &mut given, |given| given.rows() == 310);
    // one that is gone keeps nobody from ending
    kafka.kill().expect("killed");
    std::thread::sleep(Duration::from_secs(1));
    let started = Instant::now();
    _ = reader.next(Duration::from_millis(50)).expect("an event");
    drop(reader);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}
