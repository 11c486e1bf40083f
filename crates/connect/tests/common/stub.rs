//! A stand-in for a search server that fails as real ones do, but when it is told to: it speaks the bulk request alone.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use fyke_types::{Random, SeededRandom};
use serde_json::{Value, json};

/// What may go wrong with a request, each with its probability.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Nothing is done, and the server says that it is busy (429, 502, 503, 504).
    pub busy: f64,
    /// A document alone is not taken (429 or 503).
    pub busy_document: f64,
    /// Nothing is done, and the connection is cut.
    pub cut_before: f64,
    /// All is done, and the connection is cut before that is said.
    pub cut_after: f64,
    /// The request takes this long.
    pub slow: Option<Duration>,
    /// A request with more bytes is refused as too large.
    pub most_bytes: Option<usize>,
    /// Whoever asks is not known.
    pub stranger: bool,
}

#[derive(Debug, Default)]
pub struct Kept {
    /// By index and id.
    pub documents: BTreeMap<(String, String), Value>,
    pub requests: u64,
    pub compressed: u64,
    /// Requests that were answered by a fault.
    pub faults: u64,
    pub templates: Vec<(String, Value)>,
    /// Bulk requests wait while this is so.
    pub closed: bool,
}

pub struct Stub {
    pub url: String,
    pub kept: Arc<Mutex<Kept>>,
}

#[derive(Clone)]
struct Shared {
    kept: Arc<Mutex<Kept>>,
    faults: Faults,
    random: Arc<Mutex<SeededRandom>>,
}

impl Stub {
    pub fn start(faults: Faults) -> Self {
        let kept = Arc::<Mutex<Kept>>::default();
        let shared = Shared { kept: Arc::clone(&kept), faults, random: Arc::new(Mutex::new(SeededRandom::new(42))) };
        let (give, url) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let app = Router::new()
                    .route("/", get(root))
                    .route("/_bulk", post(bulk))
                    .route("/_index_template/{name}", get(|| async { StatusCode::NOT_FOUND }).put(template))
                    .layer(axum::extract::DefaultBodyLimit::disable())
                    .with_state(shared);
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
                give.send(format!("http://{}", listener.local_addr().expect("an address"))).expect("a test waits");
                axum::serve(listener, app).await.expect("it serves");
            });
        });
        Self { url: url.recv().expect("it listens"), kept }
    }

    pub fn documents(&self) -> BTreeMap<(String, String), Value> {
        self.kept.lock().expect("no panic").documents.clone()
    }
}

async fn root(State(shared): State<Shared>) -> Response {
    if shared.faults.stranger {
        return (StatusCode::UNAUTHORIZED, "who are you?").into_response();
    }
    json!({"version": {"distribution": "opensearch", "number": "3.4.0"}}).to_string().into_response()
}

async fn template(
    State(shared): State<Shared>,
    axum::extract::Path(name): axum::extract::Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let (text, _) = content(&headers, &body);
    let body = serde_json::from_slice(&text).expect("a template is JSON");
    shared.kept.lock().expect("no panic").templates.push((name, body));
    StatusCode::OK
}

/// What a body holds, and whether it was compressed.
fn content(headers: &HeaderMap, body: &[u8]) -> (Vec<u8>, bool) {
    if headers.get("content-encoding").is_none_or(|encoding| encoding != "gzip") {
        return (body.to_vec(), false);
    }
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(body).read_to_end(&mut text).expect("gzip");
    (text, true)
}

fn cut() -> Response {
    let pieces = futures::stream::iter([
        Ok::<Bytes, std::io::Error>(Bytes::from_static(b"{\"items\":[")),
        Err(std::io::Error::other("cut")),
    ]);
    Body::from_stream(pieces).into_response()
}

async fn bulk(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Result<Response, Infallible> {
    let Shared { kept, faults, random } = shared;
    let chance = || random.lock().expect("no panic").next_f64();
    while kept.lock().expect("no panic").closed {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    if let Some(slow) = faults.slow {
        tokio::time::sleep(slow).await;
    }
    let mut kept = kept.lock().expect("no panic");
    kept.requests += 1;
    let (text, compressed) = content(&headers, &body);
    kept.compressed += u64::from(compressed);
    if faults.most_bytes.is_some_and(|most| text.len() > most) {
        kept.faults += 1;
        return Ok((StatusCode::PAYLOAD_TOO_LARGE, "too large").into_response());
    }
    if chance() < faults.busy {
        kept.faults += 1;
        let statuses = [429, 502, 503, 504];
        let status = statuses[(chance() * 4.0) as usize % 4];
        return Ok((StatusCode::from_u16(status).expect("a status"), "busy").into_response());
    }
    if chance() < faults.cut_before {
        kept.faults += 1;
        return Ok(cut());
    }
    let items = carry_out(&mut kept, std::str::from_utf8(&text).expect("UTF-8"), || chance() < faults.busy_document);
    if chance() < faults.cut_after {
        kept.faults += 1;
        return Ok(cut());
    }
    Ok(json!({"errors": true, "items": items}).to_string().into_response())
}

fn carry_out(kept: &mut Kept, text: &str, mut busy: impl FnMut() -> bool) -> Vec<Value> {
    let (mut items, mut lines) = (Vec::new(), text.lines());
    while let Some(line) = lines.next() {
        let action: Value = serde_json::from_str(line).expect("an action");
        let (name, target) = action.as_object().expect("an object").iter().next().expect("an action");
        let text = |key: &str| target[key].as_str().expect("a text").to_owned();
        let place = (text("_index"), text("_id"));
        let document = (name != "delete").then(|| lines.next().expect("a document"));
        let (status, error) = match document {
            _ if busy() => {
                kept.faults += 1;
                (429, json!({"type": "rejected_execution_exception", "reason": "busy"}))
            }
            Some(document) if document.contains("\"poison\"") => (
                400,
                json!({"type": "mapper_parsing_exception", "reason": "no number",
                             "caused_by": {"reason": "For input string"}}),
            ),
            Some(_) if name == "create" && kept.documents.contains_key(&place) => {
                (409, json!({"type": "version_conflict_engine_exception", "reason": "exists"}))
            }
            Some(document) => {
                let is_new = kept.documents.insert(place, serde_json::from_str(document).expect("JSON")).is_none();
                (if is_new { 201 } else { 200 }, Value::Null)
            }
            None => (if kept.documents.remove(&place).is_some() { 200 } else { 404 }, Value::Null),
        };
        let outcome =
            if error.is_null() { json!({"status": status}) } else { json!({"status": status, "error": error}) };
        items.push(json!({name.as_str(): outcome}));
    }
    items
}
