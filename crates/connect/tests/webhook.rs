//! Rows by POST to a receiver that checks signatures, is busy, and refuses.
#![expect(clippy::expect_used, reason = "a test that can not go on has failed")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fyke_connect::{MemorySink, WebhookConnector};
use fyke_types::{Connector, Result, Sink, SinkMode, SinkSpec};
use ring::hmac;

/// A request as it came.
#[derive(Debug, Clone)]
struct Came {
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
    answered: u16,
}

type Log = Arc<Mutex<Vec<Came>>>;

/// Answers requests with these statuses in turn, then with 200.
fn receiver(statuses: &[u16]) -> (String, Log) {
    let log = Log::default();
    let state = (Arc::clone(&log), Arc::new(statuses.to_vec()));
    let (give, url) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let app = Router::new().route("/hook", post(take)).with_state(state);
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            give.send(format!("http://{}/hook", listener.local_addr().expect("an address"))).expect("a test waits");
            axum::serve(listener, app).await.expect("it serves");
        });
    });
    (url.recv().expect("it listens"), log)
}

async fn take(
    State((log, statuses)): State<(Log, Arc<Vec<u16>>)>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let mut log = log.lock().expect("no panic");
    let answered = statuses.get(log.len()).copied().unwrap_or(200);
    let text = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
        (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned())
    };
    log.push(Came { headers: headers.iter().map(text).collect(), body: body.to_vec(), answered });
    (StatusCode::from_u16(answered).expect("a status"), "no such decision")
}

fn rows(numbers: std::ops::Range<i64>) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
    RecordBatch::try_from_iter([("n", column)]).expect("a batch")
}

fn sink(url: &str, options: &[(&str, &str)]) -> Result<Box<dyn Sink>> {
    let common = [("retry_first", "1ms"), ("batch_wait", "5ms")];
    let options = common.iter().chain(options).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    WebhookConnector.sink(&SinkSpec {
        format: "WEBHOOK".into(),
        location: url.into(),
        schema: rows(0..1).schema(),
        unique: None,
        mode: SinkMode::Append,
        options,
        parts: None,
        key: None,
    })
}

fn numbers(came: &Came) -> Vec<i64> {
    let body: Vec<serde_json::Value> = serde_json::from_slice(&came.body).expect("a list");
    body.iter().map(|row| row["n"].as_i64().expect("a number")).collect()
}

#[test]
fn rows_arrive_in_their_order_whatever_was_tried_again() {
    let (url, log) = receiver(&[503, 429, 200, 502]);
    let mut sink = sink(&url, &[("batch_rows", "10")]).expect("a sink");
    sink.write(&rows(0..95)).expect("written");
    sink.finish().expect("finished");
    let log = log.lock().expect("no panic");
    let taken: Vec<i64> = log.iter().filter(|came| came.answered == 200).flat_map(numbers).collect();
    assert_eq!(taken, (0..95).collect::<Vec<_>>());
    assert!(log.iter().all(|came| numbers(came).len() <= 10));
    // the same request has the same key, another one another
    let keys: Vec<&str> = log.iter().map(|came| came.headers["idempotency-key"].as_str()).collect();
    assert_eq!((keys[0], keys[0]), (keys[1], keys[2]));
    assert_ne!(keys[2], keys[3]);
}

#[test]
fn receiver_can_check_who_sent_a_request() {
    let (url, log) = receiver(&[]);
    let secret = "c2VjcmV0IG9mIHRoaXMgdGVzdA==";
    let mut sink = sink(&url, &[("secret", &format!("whsec_{secret}")), ("body", "lines")]).expect("a sink");
    sink.write(&rows(0..3)).expect("written");
    sink.finish().expect("finished");
    let came = log.lock().expect("no panic").first().cloned().expect("a request");
    assert_eq!(came.body, b"{\"n\":0}\n{\"n\":1}\n{\"n\":2}\n");
    // as a receiver does it: id.timestamp.body under the decoded secret
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(secret).expect("base64"));
    let signed = [
        came.headers["webhook-id"].as_bytes(),
        b".",
        came.headers["webhook-timestamp"].as_bytes(),
        b".",
        came.body.as_slice(),
    ]
    .concat();
    let signature = came.headers["webhook-signature"].strip_prefix("v1,").expect("a version");
    hmac::verify(&key, &signed, &STANDARD.decode(signature).expect("base64")).expect("our signature");
}

#[test]
fn refused_rows_become_dead_letters() {
    let (url, log) = receiver(&[404]);
    let mut sink = sink(&url, &[("batch_rows", "2")]).expect("a sink");
    let dead = MemorySink::new();
    sink.dead_letters_to(Box::new(dead.clone())).expect("it may refuse");
    sink.write(&rows(0..6)).expect("written");
    sink.finish().expect("finished");
    assert_eq!(log.lock().expect("no panic").len(), 3);
    let letters = dead.batches();
    let raw: Vec<Vec<u8>> = letters
        .iter()
        .map(|letter| letter.column_by_name("raw").expect("a column").as_binary::<i32>().value(0).to_vec())
        .collect();
    assert_eq!(raw, [b"{\"n\":0}".to_vec(), b"{\"n\":1}".to_vec()]);
    let reason = letters[0].column_by_name("reason").expect("a column").as_string::<i32>().value(0).to_owned();
    assert_eq!(reason, "status 404: no such decision");
    assert_eq!(sink.health().map(|health| (health.taken, health.refused)), Some((4, 2)));
}

#[test]
fn wrong_settings_are_refused_with_the_remedy() {
    for (options, said) in [
        (vec![("body", "xml")], "array or lines"),
        (vec![("secret", "whsec_?")], "no base64"),
        (vec![("index", "x")], "unknown setting 'index'"),
    ] {
        let error = sink("http://127.0.0.1:1/hook", &options).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(said), "{options:?}: {error}");
    }
    let source = fyke_types::TableSpec {
        name: "t".into(),
        format: "WEBHOOK".into(),
        location: "http://127.0.0.1:1/hook".into(),
        schema: None,
        options: BTreeMap::new(),
    };
    assert!(WebhookConnector.source(&source).is_err());
}
