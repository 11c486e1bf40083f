//! What sources share that are sent to rather than read from: an inbox of bounded size, a spool that makes what was
//! accepted durable, and a reader that gives it as rows. Listening is the business of `http` and `syslog`.

mod inbox;
mod reader;
mod record;
mod settings;
mod spool;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use fyke_types::{Error, ReadOptions, Reader, Result, Source, TableSpec};

pub(crate) use inbox::{Inbox, Refused};
use reader::PushReader;
pub(crate) use reader::{Sorted, Sorter};
pub(crate) use record::Record;
pub(crate) use settings::{PushSettings, record_bytes};

use crate::event_time::Columns;

/// Something that listens for as long as it lives.
pub(crate) trait Listener: Send + Sync + std::fmt::Debug {
    /// Begins to listen; what comes goes to `inbox`. Gives the addresses that it listens at, and a guard that ends it.
    ///
    /// # Errors
    /// `Unavailable` where an address can't be had.
    fn listen(&self, inbox: Arc<Inbox>) -> Result<(Vec<SocketAddr>, Box<dyn Send>)>;

    /// Whose a record is, and where its lines are.
    fn sorter(&self) -> Arc<dyn Sorter>;
}

/// A table that others send their lines to.
#[derive(Debug)]
pub(crate) struct PushSource {
    name: String,
    settings: PushSettings,
    listener: Box<dyn Listener>,
    addresses: Mutex<Vec<SocketAddr>>,
}

impl PushSource {
    /// The table of `spec`, whose lines come to `listener`.
    pub(crate) fn new(spec: &TableSpec, settings: PushSettings, listener: Box<dyn Listener>) -> Self {
        Self { name: spec.name.clone(), settings, listener, addresses: Mutex::default() }
    }

    /// Where the last reading listens.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Source for PushSource {
    fn schema(&self) -> SchemaRef {
        self.settings.format.schema()
    }

    fn open(&self, options: &ReadOptions) -> Result<Box<dyn Reader>> {
        if !options.follow {
            let message =
                format!("table {} is sent to from outside: it has no end that could be waited for", self.name);
            return Err(Error::unsupported(message).hint("run it live: fyke run without --once"));
        }
        let columns = Columns::new(&self.settings.format.schema(), options)?;
        let (reader, inbox) = PushReader::open(&self.settings, columns, options, self.listener.sorter())?;
        let (addresses, guard) = self.listener.listen(inbox)?;
        *self.addresses.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
        Ok(Box::new(reader.guarded_by(guard)))
    }
}

/// Two threads of tokio, which have ended when it is dropped: also inside another runtime.
pub(crate) struct Runtime(Option<tokio::runtime::Runtime>);

impl Runtime {
    /// A runtime whose threads are called `name`.
    ///
    /// # Errors
    /// `Unavailable` where there are no threads to be had.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(8)
            .thread_name(name)
            .enable_all()
            .build();
        let failed = |error| Error::unavailable("no thread can be started to listen").detail(error);
        runtime.map(|runtime| Self(Some(runtime))).map_err(failed)
    }

    /// Starts a task.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0 {
            drop(runtime.spawn(task));
        }
    }

    /// Carries out what must be done inside a runtime, without waiting.
    pub(crate) fn enter<T>(&self, what: impl FnOnce() -> T) -> T {
        let _inside = self.0.as_ref().map(|runtime| runtime.enter());
        what()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let Some(runtime) = self.0.take() else { return };
        // whoever drops it may be inside another runtime, which forbids to wait; but the port must be free afterwards
        if let Ok(ending) = std::thread::Builder::new().spawn(move || drop(runtime)) {
            drop(ending.join());
        }
    }
}
