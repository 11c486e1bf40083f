//! Documents on their way to an HTTP server: a queue bounded in bytes, a thread of its own behind it, retries without
//! end, and dead letters for what the server will never take. What the server is, its [`Carrier`] knows.

mod backoff;
mod client;
mod delivery;
mod lane;
mod load;
mod queue;
mod refused;

use std::future::Future;
use std::time::Duration;

use fyke_types::{Error, Result, Settings, parse_bytes};

pub(crate) use client::{ClientSettings, Node, Reply};
pub(crate) use delivery::Delivery;
pub(crate) use lane::{Attempt, Carrier};
pub(crate) use load::Load;
pub(crate) use queue::Limits;

/// Sizes and times of deliveries; each connector has its own defaults.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaults {
    /// Bytes of a load.
    pub(crate) load_bytes: u64,
    /// Documents of a load.
    pub(crate) load_documents: usize,
    /// Requests under way at once.
    pub(crate) lanes: usize,
}

impl Limits {
    /// Takes `batch_bytes`, `batch_rows`, `batch_wait`, `queue_bytes`, `connections`, `retry_first`, `retry_most` and
    /// `give_up_after`.
    ///
    /// # Errors
    /// `Usage` for a value that can't be read or is 0.
    pub(crate) fn from_settings(settings: &mut Settings, defaults: Defaults) -> Result<Self> {
        let load_bytes = bytes(settings, "batch_bytes", defaults.load_bytes)?;
        let limits = Self {
            load_bytes,
            load_documents: settings.number("batch_rows")?.unwrap_or(defaults.load_documents),
            wait: duration(settings, "batch_wait", Duration::from_millis(100))?,
            queue_bytes: bytes(settings, "queue_bytes", 64 << 20)?,
            lanes: settings.number("connections")?.unwrap_or(defaults.lanes),
            retry_first: duration(settings, "retry_first", Duration::from_millis(100))?,
            retry_most: duration(settings, "retry_most", Duration::from_secs(30))?,
            give_up_after: switch(settings, "give_up_after")?,
            heads_identify: true,
        };
        for (key, value) in [
            ("batch_bytes", limits.load_bytes),
            ("batch_rows", limits.load_documents as u64),
            ("queue_bytes", limits.queue_bytes),
            ("connections", limits.lanes as u64),
        ] {
            if value == 0 {
                return Err(Error::usage(format!("setting '{key}' is 0")).hint("it takes at least 1"));
            }
        }
        Ok(limits)
    }
}

/// A size such as `5MB`.
fn bytes(settings: &mut Settings, key: &'static str, default: u64) -> Result<u64> {
    let Some(text) = settings.text(key) else { return Ok(default) };
    parse_bytes(&text)
        .ok_or_else(|| Error::usage(format!("setting '{key}' is '{text}'")).hint("it takes a size such as '5MB'"))
}

/// A duration with a default.
pub(crate) fn duration(settings: &mut Settings, key: &'static str, default: Duration) -> Result<Duration> {
    Ok(settings.duration(key)?.map_or(default, |us| Duration::from_micros(us.unsigned_abs())))
}

/// A duration, or `off`, which is the default.
fn switch(settings: &mut Settings, key: &'static str) -> Result<Option<Duration>> {
    let mut probe = settings.clone();
    if probe.text(key).is_some_and(|text| text.eq_ignore_ascii_case("off")) {
        *settings = probe;
        return Ok(None);
    }
    Ok(settings.duration(key)?.map(|us| Duration::from_micros(us.unsigned_abs())))
}

/// A runtime for the thread that asks.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Error::unavailable("the runtime of a connection can't start").detail(error))
}

/// Waits for `work`, whether or not the caller's thread is inside a runtime of its own.
///
/// # Errors
/// What `work` says.
pub(crate) fn wait_for<T: Send>(work: impl Future<Output = Result<T>> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = runtime()?;
            let done = runtime.block_on(work);
            runtime.shutdown_background();
            done
        });
        thread.join().unwrap_or_else(|_| Err(Error::internal("a request's thread panicked")))
    })
}
