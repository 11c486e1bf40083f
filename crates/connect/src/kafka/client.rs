//! How any client of ours reaches a cluster: its settings, its credentials, and what it says when it can't.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use fyke_types::{Error, Result, Settings};
use rdkafka::client::{Client, ClientContext, OAuthToken};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{DeliveryResult, ProducerContext};

use super::native;
use super::oauth::TokenFrom;

/// What of a table's or output's settings says how a cluster is reached.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    /// `broker1:9092,broker2:9092`.
    pub(super) brokers: String,
    /// The client's own settings, without `kafka.` before them.
    given: BTreeMap<String, String>,
    token_from: Option<TokenFrom>,
}

impl Connection {
    /// Takes `kafka.*` out of `options`, and how a token is had.
    ///
    /// # Errors
    /// `Usage` where the location names no broker or the settings of the token don't fit.
    pub(super) fn take(of: &str, location: &str, options: &mut BTreeMap<String, String>) -> Result<Self> {
        let brokers = location.trim().trim_start_matches("kafka://").to_owned();
        if brokers.is_empty() {
            return Err(Error::usage(format!("{of} names no broker"))
                .hint("LOCATION 'broker1:9092,broker2:9092' lists some of the cluster's brokers"));
        }
        let is_own = |key: &String| key.starts_with("kafka.");
        let (own, rest) = std::mem::take(options).into_iter().partition::<BTreeMap<_, _>, _>(|(key, _)| is_own(key));
        let given = own.into_iter().map(|(key, value)| (key.replacen("kafka.", "", 1), value)).collect();
        let mut settings = Settings::new(of, rest);
        let token_from = TokenFrom::take(of, &mut settings)?;
        *options = settings.rest();
        Ok(Self { brokers, given, token_from })
    }

    /// Whether the person set this of the client's own settings.
    pub(super) fn is_given(&self, key: &str) -> bool {
        self.given.contains_key(key)
    }

    /// A client's settings: `defaults`, and over them what the person set.
    pub(super) fn config(&self, defaults: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("client.id", "fyke");
        // a cluster that is down is tried again soon, and a look at a dead connection is cheap
        config.set("reconnect.backoff.max.ms", "2000").set("socket.keepalive.enable", "true");
        config.set_log_level(RDKafkaLogLevel::Critical);
        defaults.iter().for_each(|(key, value)| _ = config.set(*key, *value));
        self.given.iter().for_each(|(key, value)| _ = config.set(key, value));
        config
    }

    /// What a client reports to.
    pub(super) fn watch(&self) -> Watch {
        Watch { token_from: self.token_from.clone(), last: Arc::default() }
    }

    /// Gives a token to a client whose events nobody serves, where tokens are used.
    ///
    /// # Errors
    /// Where none can be had, or the client takes none.
    pub(super) fn give_token<C: ClientContext>(&self, client: &Client<C>) -> Result<()> {
        match &self.token_from {
            Some(from) => native::give_token(client, &from.token()?),
            None => Ok(()),
        }
    }

    /// An error of this cluster, from the client's code and words, with the remedy.
    pub(super) fn failure(&self, code: Code, reason: &str) -> Error {
        failure(&self.brokers, code, reason)
    }

    /// An error of a call to the client; the words of what it reported last say more than its code.
    pub(super) fn refused(&self, error: &KafkaError, watch: &Watch) -> Error {
        match (watch.last(), error) {
            (_, KafkaError::ClientConfig(_, why, key, value)) => {
                Error::usage(format!("setting 'kafka.{key}' is '{value}'")).detail(why).hint(
                    "kafka.* settings go to librdkafka as they are: its CONFIGURATION.md lists them with their values",
                )
            }
            (_, KafkaError::ClientCreation(why)) => Error::usage("no Kafka client can be made of these settings")
                .detail(why)
                .hint("look at the kafka.* settings: files of keys and certificates, and whether they fit together"),
            (Some((code, reason)), _) => self.failure(code, &reason),
            (None, error) => self.failure(error.rdkafka_error_code().unwrap_or(Code::Unknown), &error.to_string()),
        }
    }
}

/// Takes what a client reports beside its answers, and gives it tokens.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    token_from: Option<TokenFrom>,
    last: Arc<Mutex<Option<(Code, String)>>>,
}

impl Watch {
    /// What was reported last.
    pub(super) fn last(&self) -> Option<(Code, String)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was reported since the last call.
    pub(super) fn take(&self) -> Option<(Code, String)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Watch {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // that all brokers are down says less than why one of them could not be reached
        if code != Code::AllBrokersDown || last.is_none() {
            *last = Some((code, reason.to_owned()));
        }
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        match &self.token_from {
            Some(from) => Ok(from.token()?),
            None => Err(Box::from("no token is known: set 'oauth_token_file', or 'oauth_token_url' with its client")),
        }
    }
}

impl ConsumerContext for Watch {}

impl ProducerContext for Watch {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// An error of the cluster at `brokers`: what happened, in the client's own words, and what to do.
pub(super) fn failure(brokers: &str, code: Code, reason: &str) -> Error {
    let reason = if reason.is_empty() { code.to_string() } else { reason.to_owned() };
    let tls = "if the broker listens with TLS or asks who comes, set 'kafka.security.protocol' (SSL, SASL_SSL)";
    match if is_tls(&reason) { Code::SSL } else { code } {
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState => Error::usage(format!(
            "the Kafka cluster at {brokers} does not accept the credentials"
        ))
        .detail(reason)
        .hint("check 'kafka.sasl.mechanism', 'kafka.sasl.username' and 'kafka.sasl.password', or the token's settings"),
        Code::SSL => Error::usage(format!("no TLS connection to the Kafka cluster at {brokers}")).detail(reason).hint(
            "'kafka.ssl.ca.location' names the authority's certificate; a cluster that asks for the client's own needs \
             'kafka.ssl.certificate.location' and 'kafka.ssl.key.location'",
        ),
        Code::Resolve => Error::usage(format!("a broker of {brokers} is not known by that name"))
            .detail(reason)
            .hint("check the host names in LOCATION, and those that the brokers advertise (advertised.listeners)"),
        Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            Error::usage(format!("the Kafka cluster at {brokers} does not allow it"))
                .detail(reason)
                .hint("grant this user READ and DESCRIBE on the topic, and READ on the group ('kafka.group.id')")
        }
        Code::BrokerTransportFailure | Code::AllBrokersDown | Code::OperationTimedOut | Code::RequestTimedOut => {
            Error::unavailable(format!("the Kafka cluster at {brokers} can't be reached"))
                .detail(reason)
                .hint(format!("is it running, and is LOCATION right? {tls}"))
        }
        _ => Error::unavailable(format!("the Kafka cluster at {brokers} gave an error")).detail(reason),
    }
}

/// Whether trying again can't help: the settings must be changed first.
pub(super) fn is_hopeless(code: Code, reason: &str) -> bool {
    use Code::{Authentication, Resolve, SSL, SaslAuthenticationFailed, UnsupportedSASLMechanism};
    let code = if is_tls(reason) { SSL } else { code };
    matches!(code, Authentication | SaslAuthenticationFailed | UnsupportedSASLMechanism | SSL | Resolve)
}

/// A broker that refuses a certificate closes the connection: the client calls that a failure of the transport.
fn is_tls(reason: &str) -> bool {
    ["SSL routines", "SSL handshake", "SSL alert"].iter().any(|word| reason.contains(word))
}
