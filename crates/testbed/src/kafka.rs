//! A Kafka broker of one node (KRaft), with TLS and SASL listeners by choice, and what tests do to its topics.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::process::{OwnFolder, Server, free_port, new_folder};
use crate::{Up, cache, java};

const LIST: &str = include_str!("../lists/kafka.txt");
/// 16 bytes, as every cluster has them.
const CLUSTER: &str = "ZnlrZS10ZXN0YmVkLTAwMQ";
const START: Duration = Duration::from_secs(60);
const ADMIN: Duration = Duration::from_secs(20);

/// Who may come in by SASL: by `PLAIN` and `SCRAM-SHA-256`.
pub const USER: (&str, &str) = ("alice", "alice-secret");

/// How a broker shall be.
#[derive(Debug, Clone, Default)]
pub struct KafkaSettings {
    /// Adds a listener with TLS that asks for a client's certificate, and one with TLS and SASL.
    pub secure: bool,
    /// Lines of `server.properties`, behind our own.
    pub properties: Vec<String>,
}

/// A running broker. Its data lives as long as this value, across [`Kafka::kill`] and [`Kafka::restart`].
#[derive(Debug)]
pub struct Kafka {
    server: Option<Server>,
    folder: OwnFolder,
    port: u16,
    /// TLS, SASL.
    secure: Option<(u16, u16)>,
}

impl Kafka {
    /// A broker without TLS.
    ///
    /// # Errors
    /// When it can't be fetched or started; with the end of its log.
    pub fn start() -> Result<Self> {
        Self::with(&KafkaSettings::default())
    }

    /// A broker as `settings` say.
    ///
    /// # Errors
    /// As [`Kafka::start`].
    pub fn with(settings: &KafkaSettings) -> Result<Self> {
        let folder = OwnFolder(new_folder("kafka")?);
        let (port, controller) = (free_port()?, free_port()?);
        let secure = if settings.secure { Some((free_port()?, free_port()?)) } else { None };
        if secure.is_some() {
            certificates(&folder.0)?;
        }
        let text = properties(&folder.0, port, controller, secure, &settings.properties);
        std::fs::write(folder.0.join("server.properties"), text)?;
        format_storage(&folder.0, secure.is_some())?;
        let mut kafka = Self { server: None, folder, port, secure };
        kafka.restart()?;
        Ok(kafka)
    }

    /// The one broker without TLS that the tests of this process share.
    ///
    /// # Errors
    /// As [`Kafka::start`].
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<std::result::Result<Kafka, String>> = OnceLock::new();
        match SHARED.get_or_init(|| Self::start().map_err(|error| format!("{error:#}"))) {
            Ok(kafka) => Ok(kafka),
            Err(error) => bail!("{error}"),
        }
    }

    /// `127.0.0.1:PORT`, without TLS.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The listener with TLS, which asks for a client's certificate: [`Kafka::file`] `client.pem` and `client.key`.
    pub fn tls(&self) -> Option<String> {
        self.secure.map(|(tls, _)| format!("127.0.0.1:{tls}"))
    }

    /// The listener with TLS and SASL: `PLAIN`, `SCRAM-SHA-256` (as [`USER`]), `OAUTHBEARER` (unsigned tokens).
    pub fn sasl(&self) -> Option<String> {
        self.secure.map(|(_, sasl)| format!("127.0.0.1:{sasl}"))
    }

    /// A file of its folder: `ca.pem`, `client.pem`, `client.key`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.0.join(name)
    }

    /// Its process, if it runs.
    pub fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    /// Ends it as a power cut would.
    ///
    /// # Errors
    /// When it can't be ended.
    pub fn kill(&mut self) -> Result<()> {
        match self.server.take() {
            Some(mut server) => server.kill(),
            None => Ok(()),
        }
    }

    /// Starts it anew with its data and ports, after ending it where it runs.
    ///
    /// # Errors
    /// As [`Kafka::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        let mut command = java_command()?;
        command.args(["kafka.Kafka", "server.properties"]);
        let mut server = Server::start("kafka", command, &self.folder.0)?;
        let probe: BaseConsumer = self.client().create()?;
        let answers =
            || probe.fetch_metadata(None, Duration::from_secs(1)).is_ok_and(|metadata| !metadata.brokers().is_empty());
        server.wait_until_ready(START, answers)?;
        self.server = Some(server);
        Ok(())
    }

    /// It stands still: connections stay, nothing answers.
    ///
    /// # Errors
    /// When the signal can't be sent.
    pub fn pause(&self) -> Result<()> {
        self.server.as_ref().context("it does not run")?.signal("-STOP")
    }

    /// It goes on.
    ///
    /// # Errors
    /// When the signal can't be sent.
    pub fn resume(&self) -> Result<()> {
        self.server.as_ref().context("it does not run")?.signal("-CONT")
    }

    /// A client's settings: where the broker is.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap());
        config
    }

    /// Makes a topic, with settings such as `("max.message.bytes", "1000")`.
    ///
    /// # Errors
    /// What the broker says.
    pub fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<()> {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        let (admin, options) = self.admin()?;
        all_fine(block_on(admin.create_topics([&topic], &options))?)
    }

    /// Removes a topic.
    ///
    /// # Errors
    /// What the broker says.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        let (admin, options) = self.admin()?;
        all_fine(block_on(admin.delete_topics(&[name], &options))?)
    }

    /// Gives a topic more partitions, `total` in the end.
    ///
    /// # Errors
    /// What the broker says.
    pub fn add_partitions(&self, topic: &str, total: usize) -> Result<()> {
        let (admin, options) = self.admin()?;
        all_fine(block_on(admin.create_partitions([&NewPartitions::new(topic, total)], &options))?)
    }

    /// Removes a partition's records before an offset, as retention does.
    ///
    /// # Errors
    /// What the broker says.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) -> Result<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before))?;
        let (admin, options) = self.admin()?;
        let deleted = block_on(admin.delete_records(&list, &options))?;
        deleted.elements().iter().try_for_each(|element| element.error()).map_err(Into::into)
    }

    fn admin(&self) -> Result<(AdminClient<DefaultClientContext>, AdminOptions)> {
        Ok((self.client().create()?, AdminOptions::new().operation_timeout(Some(ADMIN)).request_timeout(Some(ADMIN))))
    }
}

/// Starts a broker for a developer.
///
/// # Errors
/// As [`Kafka::start`].
pub fn up() -> Result<Up> {
    let kafka = Kafka::start()?;
    let server = kafka.server().context("it does not run")?;
    Ok(Up { address: kafka.bootstrap(), pid: server.pid(), folder: server.folder().to_owned() })
}

fn all_fine(results: Vec<std::result::Result<String, (String, RDKafkaErrorCode)>>) -> Result<()> {
    for result in results {
        if let Err((topic, code)) = result {
            bail!("topic {topic}: {code}");
        }
    }
    Ok(())
}

fn java_command() -> Result<Command> {
    let jars = cache::files("kafka-4.4.0", LIST)?;
    let mut command = Command::new(java::home(17)?.join("bin/java"));
    command.args(["-Xmx1g", "-Xms256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=4", "-Dlog4j2.level=WARN", "-cp"]);
    command.arg(jars.join("*"));
    Ok(command)
}

fn format_storage(folder: &Path, secure: bool) -> Result<()> {
    let mut command = java_command()?;
    command.current_dir(folder).args(["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", "server.properties"]);
    if secure {
        let (user, password) = USER;
        command.args(["--add-scram", &format!("SCRAM-SHA-256=[name={user},password={password}]")]);
    }
    cache::run(&mut command)
}

/// `server.properties`: one node, small, and silent about time, so that records of any date stay.
fn properties(folder: &Path, port: u16, controller: u16, secure: Option<(u16, u16)>, more: &[String]) -> String {
    let mut listeners = format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}");
    let mut map = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT".to_owned();
    if let Some((tls, sasl)) = secure {
        listeners.push_str(&format!(",TLS://127.0.0.1:{tls},SASL://127.0.0.1:{sasl}"));
        map.push_str(",TLS:SSL,SASL:SASL_SSL");
    }
    let mut text = format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners={listeners}
controller.listener.names=CONTROLLER
listener.security.protocol.map={map}
inter.broker.listener.name=PLAINTEXT
log.dirs={}
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.retention.hours=-1
log.retention.bytes=-1
",
        folder.join("data").display()
    );
    if secure.is_some() {
        text.push_str(&secure_properties(folder));
    }
    more.iter().for_each(|line| text.push_str(&format!("{line}\n")));
    text
}

fn secure_properties(folder: &Path) -> String {
    let (user, password) = USER;
    let (folder, package) = (folder.display(), "org.apache.kafka.common.security");
    format!(
        "ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.all.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.tls.ssl.client.auth=required
listener.name.sasl.ssl.client.auth=none
listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,OAUTHBEARER
listener.name.sasl.plain.sasl.jaas.config={package}.plain.PlainLoginModule required user_{user}=\"{password}\";
listener.name.sasl.scram-sha-256.sasl.jaas.config={package}.scram.ScramLoginModule required;
listener.name.sasl.oauthbearer.sasl.jaas.config={package}.oauthbearer.OAuthBearerLoginModule required \
         unsecuredLoginStringClaim_sub=\"broker\";
"
    )
}

/// An authority of our own, the server's certificate for 127.0.0.1 and localhost, and a client's.
fn certificates(folder: &Path) -> Result<()> {
    let openssl =
        |arguments: &str| cache::run(Command::new("openssl").current_dir(folder).args(arguments.split_whitespace()));
    let new_key = "-newkey rsa:2048 -noenc";
    openssl(&format!("req -x509 {new_key} -days 3650 -subj /CN=fyke-test-ca -keyout ca.key -out ca.pem"))?;
    for (name, extension) in
        [("server", "subjectAltName=IP:127.0.0.1,DNS:localhost"), ("client", "extendedKeyUsage=clientAuth")]
    {
        std::fs::write(folder.join(format!("{name}.ext")), extension)?;
        openssl(&format!("req -new {new_key} -subj /CN={name} -keyout {name}.key -out {name}.csr"))?;
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile {name}.ext -out {name}.pem"
        ))?;
    }
    let both = ["server.key", "server.pem"].map(|name| std::fs::read_to_string(folder.join(name)));
    let [key, certificate] = both;
    Ok(std::fs::write(folder.join("server.all.pem"), key? + &certificate?)?)
}
