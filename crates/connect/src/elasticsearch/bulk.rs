//! The bulk request: many documents at once, and an answer for each of them.

use async_trait::async_trait;
use fyke_types::Error;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use super::server::refused;
use crate::outbound::{Attempt, Carrier, ClientSettings, Load, Node, Reply};

/// Only what is looked at: the answer to a large request is large itself.
const PATH: &str = "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason,\
                    items.*.error.caused_by.reason";

/// Carries documents by bulk requests.
pub(super) struct Bulk {
    node: Node,
    url: String,
}

impl Bulk {
    /// A carrier, to be used in one runtime.
    ///
    /// # Errors
    /// As [`ClientSettings::connect`].
    pub(super) fn new(settings: &ClientSettings) -> fyke_types::Result<Self> {
        Ok(Self { node: settings.connect()?, url: settings.first_url().to_owned() })
    }
}

#[async_trait]
impl Carrier for Bulk {
    async fn carry(&self, load: &Load) -> Attempt {
        let content = Some(("application/x-ndjson", load.all().clone()));
        match self.node.send(Method::POST, PATH, content, HeaderMap::new()).await {
            Ok(reply) if reply.is_success() => judge(load, &reply),
            Ok(reply) if reply.status == 413 => Attempt::TooLarge(reply.says()),
            Ok(reply) if matches!(reply.status, 401 | 403) => Attempt::Hopeless(refused(&self.url, &reply)),
            Ok(reply) if reply.may_succeed_later() => Attempt::Failed { wait: reply.retry_after, why: reply.says() },
            Ok(reply) => Attempt::Hopeless(
                Error::data(format!("{} refuses bulk requests", self.url))
                    .detail(reply.says())
                    .hint("does LOCATION name an Elasticsearch or OpenSearch server?"),
            ),
            Err(why) => Attempt::Failed { why, wait: None },
        }
    }

    fn place(&self, load: &Load, at: usize) -> String {
        let action: Action = serde_json::from_slice(load.head(at)).unwrap_or_default();
        let Some(target) = action.index.or(action.create).or(action.delete) else { return String::new() };
        match target.id {
            Some(id) => format!("{}/{id}", target.index),
            None => target.index,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
struct Action {
    index: Option<Target>,
    create: Option<Target>,
    delete: Option<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    #[serde(rename = "_index")]
    index: String,
    #[serde(rename = "_id")]
    id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
struct Item {
    #[serde(alias = "create", alias = "delete")]
    index: Outcome,
}

#[derive(Debug, Deserialize)]
struct Outcome {
    status: u16,
    error: Option<Reason>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reason {
    r#type: String,
    reason: Option<String>,
    caused_by: Option<Cause>,
}

#[derive(Debug, Deserialize)]
struct Cause {
    reason: Option<String>,
}

/// What the server says of each document.
fn judge(load: &Load, reply: &Reply) -> Attempt {
    let answer: Answer = match serde_json::from_slice(&reply.body) {
        Ok(answer) => answer,
        Err(error) => return Attempt::Failed { why: format!("the answer can't be read: {error}"), wait: None },
    };
    if answer.items.len() != load.len() {
        let why = format!("the server answers for {} of {} documents", answer.items.len(), load.len());
        return Attempt::Failed { why, wait: None };
    }
    let (mut refused, mut again, mut why) = (Vec::new(), Vec::new(), String::new());
    for (at, Item { index: outcome }) in answer.items.into_iter().enumerate() {
        match fate(&outcome, load.head(at)) {
            Fate::Taken => {}
            Fate::Again => {
                if again.is_empty() {
                    why = said(outcome);
                }
                again.push(at);
            }
            Fate::Refused => refused.push((at, said(outcome))),
        }
    }
    Attempt::Answered { refused, again, why }
}

enum Fate {
    Taken,
    Again,
    Refused,
}

fn fate(outcome: &Outcome, head: &[u8]) -> Fate {
    let error = outcome.error.as_ref().map(|error| error.r#type.as_str()).unwrap_or_default();
    match outcome.status {
        200..300 => Fate::Taken,
        // an earlier attempt, or an earlier process, has created it
        409 if head.starts_with(b"{\"create\"") => Fate::Taken,
        // nothing to take back, nor an index where it might be
        404 if head.starts_with(b"{\"delete\"") => Fate::Taken,
        408 | 409 | 425 | 429 | 500.. => Fate::Again,
        // an index that is closed to writes for a while: a full disk, a snapshot, a move
        _ if error == "cluster_block_exception" => Fate::Again,
        _ => Fate::Refused,
    }
}

fn said(outcome: Outcome) -> String {
    let Reason { r#type, reason, caused_by } = outcome.error.unwrap_or_default();
    let mut text = format!("status {}: {}", outcome.status, r#type);
    for part in [reason, caused_by.and_then(|cause| cause.reason)].into_iter().flatten() {
        text.push_str(": ");
        text.push_str(&part);
    }
    text
}
