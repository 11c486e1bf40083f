//! The server: who may send, to whom it belongs, and what is answered.
//!
//! `POST PATH` or `POST PATH/CUSTOMER`; the customer may also stand in the header `X-Customer`. Answers: 202 accepted;
//! 400 not decompressed; 401 without the token; 404, 405; 408 too slow; 413 too large; 415 unknown encoding; 429 with
//! `Retry-After` when the stream can't keep up; 503 with `Retry-After` when the spool can't be written.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fyke_types::{Error, Result, Settings};
use tokio::sync::Semaphore;

use super::Bodies;
use super::body::{Bad, Encoding};
use crate::push::{Inbox, Listener, Record, Refused, Runtime, Sorter, record_bytes};

const BODY_BYTES: u64 = 16 << 20;
/// A sender that takes longer for one body is hung up on.
const BODY_WAIT: Duration = Duration::from_secs(60);
/// Bodies that are read or decompressed at once.
const BODIES: usize = 16;
/// Whose lines are those of senders that name no customer.
const NOBODY: &str = "http";

/// Where to listen, and for whom.
#[derive(Debug)]
pub(super) struct HttpListener {
    address: String,
    /// Without a slash at its end.
    path: String,
    token: Option<String>,
    body_bytes: usize,
}

impl HttpListener {
    /// Reads `http://ADDRESS:PORT/PATH` (the scheme and the path may be left out), and takes `token` and `body_bytes`.
    ///
    /// # Errors
    /// `Usage` for what is no address.
    pub(super) fn new(location: &str, settings: &mut Settings) -> Result<Self> {
        let rest = location.strip_prefix("http://").unwrap_or(location);
        let wrong = |what: &str| {
            Error::usage(format!("the location '{location}' {what}"))
                .hint("write where to listen, such as 'http://0.0.0.0:8080/logs'")
        };
        if rest.contains("://") {
            return Err(wrong("has another scheme than http: let a proxy before it speak TLS"));
        }
        let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
        if !address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) {
            return Err(wrong("names no address and port"));
        }
        let path = path.trim_end_matches('/');
        let path = if path.is_empty() { String::new() } else { format!("/{path}") };
        let token = settings.text("token").filter(|token| !token.is_empty());
        let body_bytes = record_bytes(settings, "body_bytes", BODY_BYTES)?;
        Ok(Self { address: address.to_owned(), path, token, body_bytes })
    }

    fn bind(&self) -> Result<TcpListener> {
        let failed = |error| {
            Error::unavailable(format!("{} can't be listened at", self.address))
                .detail(error)
                .hint("is something listening there already, or may this user not use that port?")
        };
        let addresses: Vec<SocketAddr> = self.address.to_socket_addrs().map_err(failed)?.collect();
        let listener = TcpListener::bind(addresses.as_slice()).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(listener)
    }
}

impl Listener for HttpListener {
    fn listen(&self, inbox: Arc<Inbox>) -> Result<(Vec<SocketAddr>, Box<dyn Send>)> {
        let failed = |error| Error::unavailable(format!("{} can't be listened at", self.address)).detail(error);
        let listener = self.bind()?;
        let address = listener.local_addr().map_err(failed)?;
        let runtime = Runtime::new("fyke-http")?;
        let listener = runtime.enter(|| tokio::net::TcpListener::from_std(listener)).map_err(failed)?;
        let desk = Arc::new(Desk {
            inbox,
            path: self.path.clone(),
            token: self.token.clone(),
            body_bytes: self.body_bytes,
            bodies: Semaphore::new(BODIES),
        });
        let router = axum::Router::new().fallback(receive).with_state(desk);
        runtime.spawn(async move {
            // ends with the runtime; if it ends before, its senders are refused and will tell
            drop(axum::serve(listener, router).await);
        });
        Ok((vec![address], Box::new(runtime)))
    }

    fn sorter(&self) -> Arc<dyn Sorter> {
        Arc::new(Bodies)
    }
}

/// What a request is judged by.
#[derive(Debug)]
struct Desk {
    inbox: Arc<Inbox>,
    path: String,
    token: Option<String>,
    body_bytes: usize,
    bodies: Semaphore,
}

/// A status and a line that says why.
fn answer(status: StatusCode, text: impl Into<String>) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text.into() + "\n").into_response()
}

fn later(status: StatusCode, text: &str) -> Response {
    let mut response = answer(status, text);
    response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    response
}

async fn receive(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let who = match desk.admit(request.method(), request.uri().path(), request.headers()) {
        Ok(who) => who,
        Err(refused) => return *refused,
    };
    let encoding = request.headers().get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?"));
    let Some(encoding) = Encoding::of(encoding) else {
        return answer(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Encoding may be gzip or zstd");
    };
    // before the body is read: a sender that is refused should not have to send it
    let busy = || later(StatusCode::TOO_MANY_REQUESTS, "the stream does not keep up; send it again later");
    if !desk.inbox.has_room() {
        return busy();
    }
    let Ok(_turn) = desk.bodies.try_acquire() else { return busy() };
    let bytes = match desk.read(request.into_body(), encoding).await {
        Ok(bytes) => bytes,
        Err(refused) => return *refused,
    };
    let lines = memchr::memchr_iter(b'\n', &bytes).count() + usize::from(bytes.last().is_some_and(|b| *b != b'\n'));
    let record = Record { who, bytes, reason: String::new() };
    match desk.inbox.put(vec![record]).await {
        Ok(()) => answer(StatusCode::ACCEPTED, format!("accepted {lines} lines")),
        Err(Refused::Full) => busy(),
        Err(Refused::Failed(why)) => later(StatusCode::SERVICE_UNAVAILABLE, &format!("not accepted: {why}")),
    }
}

impl Desk {
    /// Whose lines they are, if the sender may send them.
    fn admit(&self, method: &Method, path: &str, headers: &HeaderMap) -> std::result::Result<String, Box<Response>> {
        let refuse = |status, text: &str| Err(Box::new(answer(status, text)));
        let rest = path.strip_prefix(self.path.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let Some(rest) = rest else { return refuse(StatusCode::NOT_FOUND, "nothing is taken here") };
        if method != Method::POST && method != Method::PUT {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "lines are sent by POST");
        }
        if let Some(token) = &self.token {
            let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let given = given.strip_prefix("Bearer ").unwrap_or_default();
            if !same(given.as_bytes(), token.as_bytes()) {
                let mut response = answer(StatusCode::UNAUTHORIZED, "send the header Authorization: Bearer TOKEN");
                let bearer = header::HeaderValue::from_static("Bearer");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
                return Err(Box::new(response));
            }
        }
        let named = headers.get("x-customer").and_then(|value| value.to_str().ok()).map(str::trim);
        let customer = match rest.trim_matches('/') {
            "" => named.filter(|name| !name.is_empty()).unwrap_or(NOBODY),
            customer => customer,
        };
        let usual = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if customer.len() > 200 || !customer.bytes().all(usual) {
            return refuse(
                StatusCode::NOT_FOUND,
                "a customer is one part of the path, of letters, digits, '.', '-', '_'",
            );
        }
        Ok(customer.to_owned())
    }

    async fn read(&self, body: Body, encoding: Encoding) -> std::result::Result<Vec<u8>, Box<Response>> {
        let most = self.body_bytes;
        let too_large = || {
            let text = format!("a body may have {most} bytes, decompressed too: send it in parts");
            Box::new(answer(StatusCode::PAYLOAD_TOO_LARGE, text))
        };
        let bytes = match tokio::time::timeout(BODY_WAIT, axum::body::to_bytes(body, most)).await {
            Err(_) => return Err(Box::new(answer(StatusCode::REQUEST_TIMEOUT, "the body took too long"))),
            Ok(Ok(bytes)) => bytes,
            // the only other way to fail is a sender that hung up, whom no answer reaches
            Ok(Err(_)) => return Err(too_large()),
        };
        if encoding == Encoding::Plain {
            return Ok(Vec::from(bytes));
        }
        let decoded = tokio::task::spawn_blocking(move || encoding.decode(&bytes, most)).await;
        match decoded {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(Bad::TooLarge)) => Err(too_large()),
            Ok(Err(Bad::Corrupt(why))) => {
                Err(Box::new(answer(StatusCode::BAD_REQUEST, format!("the body can't be decompressed: {why}"))))
            }
            Err(_) => Err(Box::new(answer(StatusCode::INTERNAL_SERVER_ERROR, "the body could not be read"))),
        }
    }
}

/// Compares without telling by its time how much was right.
fn same(given: &[u8], wanted: &[u8]) -> bool {
    let differing = given.iter().zip(wanted).fold(0, |differing, (a, b)| differing | (a ^ b));
    given.len() == wanted.len() && differing == 0
}
