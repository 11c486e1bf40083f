//! Who may look? Health, progress and metrics of a run over HTTP, for whoever watches it. No TLS and no passwords: bind
//! it to an address that only they reach.
//!
//! | path | answer |
//! |---|---|
//! | `/metrics` | Prometheus text: see [`metrics`] |
//! | `/progress` | the run's [`Progress`] as JSON |
//! | `/healthz` | 200 as long as the process answers |
//! | `/readyz` | 200 once the run has gone on from its checkpoint and closed an epoch, else 503 |

mod metrics;

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use fyke::{Error, Progress, Result};

pub use metrics::metrics;

/// The progress of a run, as [`fyke::Driver::progress_handle`] gives it.
pub type Shared = Arc<Mutex<Progress>>;

/// A server in a thread of its own, for as long as the process lives.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
}

impl Server {
    /// Listens at `address` (port 0 takes any) and answers from `progress`.
    ///
    /// # Errors
    /// `Usage` for an address that can't be bound.
    pub fn start(address: SocketAddr, progress: Shared) -> Result<Self> {
        let taken = |error: std::io::Error| {
            Error::usage(format!("metrics can't be served at {address}"))
                .detail(error)
                .hint("is the port in use? Port 0 takes any that is free")
        };
        let listener = TcpListener::bind(address).map_err(taken)?;
        listener.set_nonblocking(true).map_err(taken)?;
        let address = listener.local_addr().map_err(taken)?;
        let failed = |error| Error::unavailable("no thread for metrics").detail(error);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let serve = async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(listener, router(progress)).await
        };
        let thread = std::thread::Builder::new().name("fyke-metrics".into());
        // it ends with the process: whoever looks learns from a refused connection that the run is over
        thread.spawn(move || runtime.block_on(serve)).map_err(failed)?;
        Ok(Self { address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn router(progress: Shared) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/progress", get(show))
        .route("/metrics", get(scrape))
        .with_state(progress)
}

fn now(progress: &Shared) -> Progress {
    progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

async fn ready(State(progress): State<Shared>) -> (StatusCode, &'static str) {
    match now(&progress).epochs {
        0 => (StatusCode::SERVICE_UNAVAILABLE, "not yet\n"),
        _ => (StatusCode::OK, "ready\n"),
    }
}

async fn show(State(progress): State<Shared>) -> Response {
    match serde_json::to_string(&now(&progress)) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn scrape(State(progress): State<Shared>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics(&now(&progress))).into_response()
}
