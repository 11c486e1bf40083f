//! Tokens for `OAUTHBEARER`: from a file that something else keeps fresh, or from an identity provider.

use std::path::PathBuf;
use std::time::Duration;

use fyke_types::{Clock, Error, Result, Settings, SystemClock};
use rdkafka::client::OAuthToken;
use serde_json::Value;

const WAIT: Duration = Duration::from_secs(20);
/// Of a token that does not say when it ends, ms.
const LIFETIME_MS: i64 = 300_000;

/// Where tokens are had.
#[derive(Debug, Clone)]
pub(super) enum TokenFrom {
    /// The file's text; read again whenever the last token is about to end.
    File(PathBuf),
    /// The client-credentials grant of OAuth 2 (RFC 6749, 4.4).
    Provider { url: String, id: String, secret: String, scope: Option<String> },
}

impl TokenFrom {
    /// Takes `oauth_token_file`, or `oauth_token_url` with `oauth_client_id`, `oauth_client_secret` and `oauth_scope`.
    ///
    /// # Errors
    /// `Usage` where both or half of it are given.
    pub(super) fn take(of: &str, settings: &mut Settings) -> Result<Option<Self>> {
        let file = settings.text("oauth_token_file");
        let (url, id) = (settings.text("oauth_token_url"), settings.text("oauth_client_id"));
        let (secret, scope) = (settings.text("oauth_client_secret"), settings.text("oauth_scope"));
        match (file, url, id, secret) {
            (None, None, None, None) => Ok(None),
            (Some(file), None, None, None) => Ok(Some(Self::File(file.into()))),
            (None, Some(url), Some(id), Some(secret)) => Ok(Some(Self::Provider { url, id, secret, scope })),
            _ => Err(Error::usage(format!("the token's settings of {of} don't fit together")).hint(
                "either 'oauth_token_file', or 'oauth_token_url' with 'oauth_client_id' and 'oauth_client_secret'",
            )),
        }
    }

    /// A fresh token.
    ///
    /// # Errors
    /// `Unavailable` where it can't be had.
    pub(super) fn token(&self) -> Result<OAuthToken> {
        let token = match self {
            Self::File(path) => std::fs::read_to_string(path)
                .map_err(|error| Error::unavailable(format!("no token in {}", path.display())).detail(error))?,
            Self::Provider { url, id, secret, scope } => asked(url, id, secret, scope.as_deref())?,
        };
        let token = token.trim().to_owned();
        let claims = claims(&token);
        let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
        let ends = claims.get("exp").and_then(Value::as_f64).map(|seconds| (seconds * 1_000.0) as i64);
        Ok(OAuthToken {
            principal_name: text("sub").or_else(|| text("client_id")).unwrap_or_else(|| "fyke".to_owned()),
            lifetime_ms: ends.unwrap_or_else(|| SystemClock.now() / 1_000 + LIFETIME_MS),
            token,
        })
    }
}

/// What a token (a JWT) says of itself; an opaque one says nothing.
fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).and_then(base64_url);
    part.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or(Value::Null)
}

fn base64_url(text: &str) -> Option<Vec<u8>> {
    let (mut bits, mut held, mut out) = (0_u32, 0, Vec::with_capacity(text.len()));
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    Some(out)
}

/// In a thread of its own: the caller may stand inside a runtime.
fn asked(url: &str, id: &str, secret: &str, scope: Option<&str>) -> Result<String> {
    let failed = |detail: String| Error::unavailable(format!("no token from {url}")).detail(detail);
    let ask = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| error.to_string())?.block_on(async {
            let client = reqwest::Client::builder().timeout(WAIT).build().map_err(|error| error.to_string())?;
            let mut form = "grant_type=client_credentials".to_owned();
            scope.iter().for_each(|scope| form.push_str(&format!("&scope={}", scope.replace(' ', "+"))));
            let request = client.post(url).basic_auth(id, Some(secret)).body(form);
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            let answer = request.send().await.and_then(reqwest::Response::error_for_status);
            let answer: Value = answer.map_err(|e| e.to_string())?.json().await.map_err(|e| e.to_string())?;
            let token = answer.get("access_token").and_then(Value::as_str).map(str::to_owned);
            token.ok_or_else(|| "the answer holds no access_token".to_owned())
        })
    };
    let asked = std::thread::scope(|scope| scope.spawn(ask).join());
    asked.unwrap_or_else(|_| Err("asking for it panicked".to_owned())).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_says_whose_it_is_and_when_it_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        // {"alg":"none"} . {"sub":"alice","exp":1893456000}
        std::fs::write(&file, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSIsImV4cCI6MTg5MzQ1NjAwMH0.\n").expect("written");
        let token = TokenFrom::File(file).token().expect("a token");
        assert_eq!((token.principal_name.as_str(), token.lifetime_ms), ("alice", 1_893_456_000_000));
        assert!(token.token.ends_with('.'), "without the newline");
    }

    #[test]
    fn half_a_provider_is_refused() {
        let half = [("oauth_token_url".to_owned(), "https://id/token".to_owned())];
        let mut settings = Settings::new("table t", half.into());
        let error = TokenFrom::take("table t", &mut settings).expect_err("refused");
        assert!(error.to_string().contains("oauth_client_id"), "{error}");
    }
}
