//! Which server is it, and does it let us in? Asked once, at the start of an output or a reading.

use std::time::{Duration, Instant};

use bytes::Bytes;
use fyke_types::{Error, Result};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::outbound::{ClientSettings, Node, Reply};

/// The two that speak the same language, but for a few words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Product {
    Elasticsearch,
    OpenSearch,
}

/// A server that answered.
pub(super) struct Server {
    node: Node,
    pub(super) product: Product,
    url: String,
}

/// How long a server that does not answer is asked at the start.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(500);

impl Server {
    /// Asks who is there.
    ///
    /// # Errors
    /// `Unavailable` when nobody answers for 30 seconds, `Usage` for wrong credentials.
    pub(super) async fn meet(settings: &ClientSettings) -> Result<Self> {
        let node = settings.connect()?;
        let url = settings.first_url().to_owned();
        let started = Instant::now();
        loop {
            let why = match node.send(Method::GET, "/", None, HeaderMap::new()).await {
                Ok(reply) if matches!(reply.status, 401 | 403) => return Err(refused(&url, &reply)),
                Ok(reply) if reply.may_succeed_later() => reply.says(),
                Ok(reply) => return Ok(Self { node, product: product(&reply), url }),
                Err(why) => why,
            };
            if started.elapsed() >= PATIENCE {
                return Err(Error::unavailable(format!("no search server answers at {url}"))
                    .detail(why)
                    .hint("is it running, and is LOCATION right (https or http, host, port)?"));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A request whose answer is JSON; tried again while the server is only busy.
    ///
    /// # Errors
    /// As [`Server::meet`]; `Data` for any other refusal, which says what the server said.
    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let reply = self.reply(method, path, body).await?;
        if !reply.is_success() {
            return Err(self.failed(path, &reply));
        }
        serde_json::from_slice(&reply.body)
            .map_err(|error| Error::data(format!("{} answers {path} with no JSON", self.url)).detail(error))
    }

    /// The answer to a request, whatever it is; tried again while the server is only busy.
    ///
    /// # Errors
    /// As [`Server::meet`].
    pub(super) async fn reply(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Reply> {
        let started = Instant::now();
        loop {
            let content = body.map(|body| ("application/json", Bytes::from(body.to_string())));
            let why = match self.node.send(method.clone(), path, content, HeaderMap::new()).await {
                Ok(reply) if matches!(reply.status, 401 | 403) => return Err(refused(&self.url, &reply)),
                Ok(reply) if reply.may_succeed_later() => reply.says(),
                Ok(reply) => return Ok(reply),
                Err(why) => why,
            };
            if started.elapsed() >= PATIENCE {
                return Err(Error::unavailable(format!("{} does not carry out {path}", self.url)).detail(why));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The error of an answer that is no success.
    pub(super) fn failed(&self, path: &str, reply: &Reply) -> Error {
        Error::data(format!("{} refuses {path}", self.url)).detail(reply.says())
    }
}

/// The error of credentials that a server does not accept.
pub(super) fn refused(url: &str, reply: &Reply) -> Error {
    let hint = if reply.status == 401 {
        "give 'user' and 'password', or 'api_key', of somebody it knows"
    } else {
        "the user lacks a privilege: on the indices 'create_index', 'write' and 'view_index_metadata', \
         and 'manage_index_templates' unless 'template' is 'off'"
    };
    Error::usage(format!("{url} does not let us in")).detail(reply.says()).hint(hint)
}

fn product(reply: &Reply) -> Product {
    // Elasticsearch says its name with every answer
    if reply.headers.contains_key("x-elastic-product") {
        return Product::Elasticsearch;
    }
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    match body["version"]["distribution"].as_str() {
        Some("opensearch") => Product::OpenSearch,
        // no root page: only cut-down builds of Elasticsearch have none
        _ => Product::Elasticsearch,
    }
}
