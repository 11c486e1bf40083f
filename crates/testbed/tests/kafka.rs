//! The broker that tests talk to keeps its data when it is killed, and lets in whom it shall.

use std::time::Duration;

use fyke_testbed::Kafka;
use fyke_testbed::kafka::{KafkaSettings, USER};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const WAIT: Duration = Duration::from_secs(20);

#[test]
fn broker_keeps_its_records_across_a_kill() {
    let mut kafka = Kafka::start().expect("a broker");
    kafka.create_topic("kept", 2, &[]).expect("a topic");
    let producer: BaseProducer = kafka.client().create().expect("a producer");
    for number in 0..10 {
        producer.send(BaseRecord::<(), str>::to("kept").partition(0).payload(&number.to_string())).expect("sent");
    }
    producer.flush(WAIT).expect("flushed");
    kafka.delete_records("kept", 0, 4).expect("records are deleted");
    let consumer: BaseConsumer = kafka.client().create().expect("a consumer");
    assert_eq!(consumer.fetch_watermarks("kept", 0, WAIT).expect("watermarks"), (4, 10));
    kafka.add_partitions("kept", 3).expect("more partitions");
    let before = kafka.server().expect("runs").pid();
    kafka.restart().expect("it starts again");
    assert!(!fyke_testbed::process::is_running(before));
    let last = consumer.fetch_watermarks("kept", 0, WAIT).expect("watermarks").1;
    assert_eq!(last, 10, "what was acknowledged is there after a kill");
    let metadata = consumer.fetch_metadata(Some("kept"), WAIT).expect("metadata");
    assert_eq!(metadata.topics().first().map(|topic| topic.partitions().len()), Some(3));
    kafka.delete_topic("kept").expect("deleted");
}

#[test]
fn secure_listeners_let_in_those_with_certificate_or_password() {
    let kafka = Kafka::with(&KafkaSettings { secure: true, ..KafkaSettings::default() }).expect("a broker");
    let path = |name: &str| kafka.file(name).display().to_string();
    let is_let_in = |address: Option<String>, settings: &[(&str, &str)]| {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", address.expect("a listener")).set("ssl.ca.location", path("ca.pem"));
        settings.iter().for_each(|(key, value)| _ = config.set(*key, *value));
        let consumer: BaseConsumer = config.create().expect("a consumer");
        consumer.fetch_metadata(None, Duration::from_secs(3)).is_ok()
    };
    let (certificate, key) = (path("client.pem"), path("client.key"));
    let tls = [("security.protocol", "SSL")];
    assert!(!is_let_in(kafka.tls(), &tls), "without a certificate");
    let with = [tls[0], ("ssl.certificate.location", &certificate), ("ssl.key.location", &key)];
    assert!(is_let_in(kafka.tls(), &with));
    for mechanism in ["PLAIN", "SCRAM-SHA-256"] {
        let (user, password) = USER;
        let sasl = [("security.protocol", "SASL_SSL"), ("sasl.mechanism", mechanism), ("sasl.username", user)];
        assert!(is_let_in(kafka.sasl(), &[&sasl[..], &[("sasl.password", password)]].concat()), "{mechanism}");
        assert!(!is_let_in(kafka.sasl(), &[&sasl[..], &[("sasl.password", "wrong")]].concat()), "{mechanism}");
    }
}
