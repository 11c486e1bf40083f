//! HTTP to one of several equal servers: TLS, credentials, time-outs. A server that does not answer is passed over for
//! the next one.

use std::error::Error as _;
use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use fyke_types::{Error, Result, Settings};
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Client, Identity, Method};

use super::duration;

/// Where servers are, and how they are spoken to.
#[derive(Clone)]
pub(crate) struct ClientSettings {
    urls: Vec<String>,
    headers: HeaderMap,
    roots: Vec<Certificate>,
    identity: Option<Vec<u8>>,
    verify: bool,
    timeout: Duration,
    gzip: bool,
}

impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // no credentials
        write!(f, "ClientSettings({})", self.urls.join(","))
    }
}

impl ClientSettings {
    /// Servers of `location` (URLs, separated by commas), with the settings `user` and `password`, `api_key`, `bearer`,
    /// `ca_file`, `client_certificate` and `client_key`, `verify`, `timeout`, `gzip`.
    ///
    /// # Errors
    /// `Usage` for what is no URL, contradicting credentials, or a file that is no certificate.
    pub(crate) fn from_settings(location: &str, settings: &mut Settings) -> Result<Self> {
        let urls = location.split(',').map(|url| checked_url(url.trim())).collect::<Result<Vec<_>>>()?;
        let mut headers = HeaderMap::new();
        if let Some(credentials) = credentials(settings)? {
            headers.insert(AUTHORIZATION, credentials);
        }
        let roots = match settings.text("ca_file") {
            Some(path) => {
                Certificate::from_pem_bundle(&file("ca_file", &path)?).map_err(|e| no_pem("ca_file", &path, &e))?
            }
            None => Vec::new(),
        };
        let identity = match (settings.text("client_certificate"), settings.text("client_key")) {
            (Some(certificate), Some(key)) => {
                Some([file("client_certificate", &certificate)?, file("client_key", &key)?].join(&b'\n'))
            }
            (None, None) => None,
            _ => {
                return Err(
                    Error::usage("'client_certificate' and 'client_key' go together").hint("both name PEM files")
                );
            }
        };
        Ok(Self {
            urls,
            headers,
            roots,
            identity,
            verify: settings.flag("verify")?.unwrap_or(true),
            timeout: duration(settings, "timeout", Duration::from_secs(60))?,
            gzip: settings.flag("gzip")?.unwrap_or(false),
        })
    }

    /// The first URL, for messages.
    pub(crate) fn first_url(&self) -> &str {
        self.urls.first().map_or("", String::as_str)
    }

    /// A client, to be used in one runtime.
    ///
    /// # Errors
    /// `Usage` where certificate and key don't fit.
    pub(crate) fn connect(&self) -> Result<Node> {
        let mut builder = Client::builder()
            .use_rustls_tls()
            .user_agent(concat!("fyke/", env!("CARGO_PKG_VERSION")))
            .default_headers(self.headers.clone())
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.timeout.min(Duration::from_secs(10)))
            .timeout(self.timeout)
            .danger_accept_invalid_certs(!self.verify);
        for root in &self.roots {
            builder = builder.add_root_certificate(root.clone());
        }
        if let Some(pem) = &self.identity {
            let identity = Identity::from_pem(pem).map_err(|error| {
                Error::usage("'client_certificate' and 'client_key' can't be used").detail(deepest(&error))
            })?;
            builder = builder.identity(identity);
        }
        let client = builder.build().map_err(|e| Error::usage("the HTTP client can't start").detail(deepest(&e)))?;
        Ok(Node { urls: self.urls.clone(), current: AtomicUsize::new(0), client, gzip: self.gzip })
    }
}

fn checked_url(url: &str) -> Result<String> {
    let wrong = |detail: String| {
        Error::usage(format!("'{url}' is no server's URL"))
            .detail(detail)
            .hint("LOCATION takes URLs such as 'https://search.example.com:9200', several separated by commas")
    };
    let parsed = reqwest::Url::parse(url).map_err(|error| wrong(error.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(wrong(format!("its scheme is {}", parsed.scheme())));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(Error::usage("a URL holds credentials").hint("give them as 'user' and 'password'"));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

fn credentials(settings: &mut Settings) -> Result<Option<HeaderValue>> {
    let (user, password) = (settings.text("user"), settings.text("password"));
    let (api_key, bearer) = (settings.text("api_key"), settings.text("bearer"));
    let text = match (user, password, api_key, bearer) {
        (None, None, None, None) => return Ok(None),
        (Some(user), Some(password), None, None) => format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))),
        // `id:key` as an administrator sees it, or the encoded form of both as the server's answer gives it
        (None, None, Some(key), None) if key.contains(':') => format!("ApiKey {}", STANDARD.encode(key)),
        (None, None, Some(key), None) => format!("ApiKey {key}"),
        (None, None, None, Some(token)) => format!("Bearer {token}"),
        _ => {
            return Err(Error::usage("the credentials contradict each other")
                .hint("give 'user' and 'password', or 'api_key', or 'bearer'"));
        }
    };
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| Error::usage("the credentials hold a character that no header can hold"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn file(key: &str, path: &str) -> Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|error| Error::usage(format!("'{key}' names {path}, which can't be read")).detail(error))
}

fn no_pem(key: &str, path: &str, error: &reqwest::Error) -> Error {
    Error::usage(format!("'{key}' names {path}, which holds no certificate"))
        .detail(deepest(error))
        .hint("it takes PEM")
}

/// A client of equal servers.
pub(crate) struct Node {
    urls: Vec<String>,
    current: AtomicUsize,
    client: Client,
    gzip: bool,
}

/// A server's answer.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The status.
    pub(crate) status: u16,
    /// The wait that the server asks for.
    pub(crate) retry_after: Option<Duration>,
    /// The answer's headers.
    pub(crate) headers: HeaderMap,
    /// The answer.
    pub(crate) body: Bytes,
}

impl Reply {
    /// Whether the request was carried out.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the same request may succeed later.
    pub(crate) fn may_succeed_later(&self) -> bool {
        matches!(self.status, 408 | 425 | 429) || self.status >= 500
    }

    /// The status and the beginning of the answer, for people.
    pub(crate) fn says(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect();
        format!("status {}: {text}", self.status).trim_end_matches(": ").to_owned()
    }
}

impl Node {
    /// One request to the server at hand. Content is compressed where the settings say so.
    ///
    /// # Errors
    /// In words, when no answer came; the next request goes to the next server.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        content: Option<(&str, Bytes)>,
        headers: HeaderMap,
    ) -> std::result::Result<Reply, String> {
        let at = self.current.load(Ordering::Relaxed);
        let base = self.urls.get(at % self.urls.len().max(1)).map_or("", String::as_str);
        let mut request = self.client.request(method, format!("{base}{path}")).headers(headers);
        if let Some((kind, body)) = content {
            request = request.header(CONTENT_TYPE, kind);
            request = match self.gzip {
                true => request.header(CONTENT_ENCODING, "gzip").body(compressed(&body).map_err(|e| e.to_string())?),
                false => request.body(body),
            };
        }
        let outcome = async {
            let response = request.send().await?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let retry_after = headers.get(RETRY_AFTER).and_then(seconds);
            Ok(Reply { status, retry_after, headers, body: response.bytes().await? })
        };
        outcome.await.map_err(|error: reqwest::Error| {
            // two lanes that fail at once shall not skip a server
            _ = self.current.compare_exchange(at, at + 1, Ordering::Relaxed, Ordering::Relaxed);
            format!("{base} does not answer: {}", deepest(&error))
        })
    }
}

fn seconds(value: &HeaderValue) -> Option<Duration> {
    let seconds: u64 = value.to_str().ok()?.trim().parse().ok()?;
    // a server's mistake must not stop an output for days
    Some(Duration::from_secs(seconds.min(600)))
}

fn compressed(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

/// The causes of an error, the last of which says what really happened.
fn deepest(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn client(location: &str, options: &[(&str, &str)]) -> Result<ClientSettings> {
        let options: BTreeMap<String, String> =
            options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let mut settings = Settings::new("an output", options);
        let client = ClientSettings::from_settings(location, &mut settings)?;
        settings.finish()?;
        Ok(client)
    }

    #[test]
    fn credentials_become_one_header_and_stay_out_of_messages() {
        let header = |options: &[(&str, &str)]| {
            let client = client("https://a:9200", options).unwrap();
            assert!(!format!("{client:?}").contains("secret"));
            client.headers[AUTHORIZATION].to_str().unwrap().to_owned()
        };
        // base64 of "me:secret", by RFC 7617's rule
        assert_eq!(header(&[("user", "me"), ("password", "secret")]), "Basic bWU6c2VjcmV0");
        assert_eq!(header(&[("api_key", "me:secret")]), "ApiKey bWU6c2VjcmV0");
        assert_eq!(header(&[("api_key", "bWU6c2VjcmV0")]), "ApiKey bWU6c2VjcmV0");
        assert_eq!(header(&[("bearer", "secret")]), "Bearer secret");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_remedy() {
        let said = |location: &str, options: &[(&str, &str)]| client(location, options).err().unwrap().to_string();
        assert!(said("localhost:9200", &[]).contains("is no server's URL"));
        assert!(said("http://me:pw@a:9200", &[]).contains("'user' and 'password'"));
        assert!(said("http://a", &[("user", "me")]).contains("contradict"));
        assert!(said("http://a", &[("api_key", "a"), ("bearer", "b")]).contains("contradict"));
        assert!(said("http://a", &[("ca_file", "/nowhere/ca.pem")]).contains("/nowhere/ca.pem"));
        assert!(said("http://a", &[("client_key", "k")]).contains("go together"));
        assert!(said("http://a", &[("timeuot", "1s")]).contains("timeout"));
    }
}
