//! One POST: its body, its key, its signature, and what the answer means.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use fyke_types::{Clock, Error, Result};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use ring::digest::{SHA256, digest};
use ring::hmac;

use crate::outbound::{Attempt, Carrier, ClientSettings, Load, Node};

/// What a request's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// `[{…},{…}]`
    Array,
    /// One object a line.
    Lines,
}

/// Carries rows by POST.
pub(super) struct Post {
    node: Node,
    url: String,
    body: Body,
    key: Option<hmac::Key>,
    clock: Arc<dyn Clock>,
}

/// A secret as Standard Webhooks write it: `whsec_` and base64; any other text is taken by its bytes.
///
/// # Errors
/// `Usage` where what follows `whsec_` is no base64.
pub(super) fn key(secret: &str) -> Result<hmac::Key> {
    let bytes = match secret.strip_prefix("whsec_") {
        Some(encoded) => STANDARD.decode(encoded).map_err(|error| {
            Error::usage("setting 'secret' begins with 'whsec_', but is no base64 behind it").detail(error)
        })?,
        None => secret.as_bytes().to_vec(),
    };
    if bytes.is_empty() {
        return Err(Error::usage("setting 'secret' is empty"));
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

impl Post {
    /// A carrier, to be used in one runtime.
    ///
    /// # Errors
    /// As [`ClientSettings::connect`].
    pub(super) fn new(
        settings: &ClientSettings,
        body: Body,
        key: Option<hmac::Key>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        Ok(Self { node: settings.connect()?, url: settings.first_url().to_owned(), body, key, clock })
    }

    fn headers(&self, body: &[u8]) -> std::result::Result<HeaderMap, String> {
        let id = URL_SAFE_NO_PAD.encode(digest(&SHA256, body));
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, value: String| -> std::result::Result<(), String> {
            let value = HeaderValue::try_from(value).map_err(|error| error.to_string())?;
            headers.insert(HeaderName::from_static(name), value);
            Ok(())
        };
        put("idempotency-key", id.clone())?;
        put("webhook-id", id.clone())?;
        let seconds = self.clock.now().div_euclid(1_000_000);
        put("webhook-timestamp", seconds.to_string())?;
        if let Some(key) = &self.key {
            put("webhook-signature", signature(key, &id, seconds, body))?;
        }
        Ok(headers)
    }
}

/// `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.
fn signature(key: &hmac::Key, id: &str, seconds: i64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(key);
    context.update(format!("{id}.{seconds}.").as_bytes());
    context.update(body);
    format!("v1,{}", STANDARD.encode(context.sign()))
}

#[async_trait]
impl Carrier for Post {
    async fn carry(&self, load: &Load) -> Attempt {
        let (kind, body) = match self.body {
            Body::Lines => ("application/x-ndjson", load.all().clone()),
            Body::Array => ("application/json", array(load)),
        };
        let headers = match self.headers(&body) {
            Ok(headers) => headers,
            Err(why) => return Attempt::Hopeless(Error::internal("a header can't be made").detail(why)),
        };
        match self.node.send(Method::POST, "", Some((kind, body)), headers).await {
            Ok(reply) if reply.is_success() => {
                Attempt::Answered { refused: Vec::new(), again: Vec::new(), why: String::new() }
            }
            Ok(reply) if reply.status == 413 => Attempt::TooLarge(reply.says()),
            Ok(reply) if reply.may_succeed_later() => Attempt::Failed { wait: reply.retry_after, why: reply.says() },
            Ok(reply) => {
                let says = reply.says();
                let refused = (0..load.len()).map(|at| (at, says.clone())).collect();
                Attempt::Answered { refused, again: Vec::new(), why: String::new() }
            }
            Err(why) => Attempt::Failed { why, wait: None },
        }
    }

    fn place(&self, _: &Load, _: usize) -> String {
        self.url.clone()
    }
}

fn array(load: &Load) -> Bytes {
    let mut body = Vec::with_capacity(load.all().len() + 1);
    for at in 0..load.len() {
        body.push(if at == 0 { b'[' } else { b',' });
        body.extend_from_slice(load.document(at));
    }
    body.push(b']');
    body.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_is_that_of_standard_webhooks() {
        // the example of the specification's reference libraries
        let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let found = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(found, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
