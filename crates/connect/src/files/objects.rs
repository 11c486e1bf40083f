//! Objects of an S3 server beside files: `s3://bucket/key` is a path like any other, but its bytes come by requests.
//!
//! Server, region and credentials come from the environment (`AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_ACCESS_KEY_ID`,
//! `AWS_SECRET_ACCESS_KEY`, …). An object is whole when it appears and does not grow: it is read as it was listed.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures::TryStreamExt;
use fyke_types::{Error, Result};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;
use object_store::{
    ClientOptions, Error as ObjectError, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig,
};
use tokio::runtime::Runtime;

use super::discover::is_hidden;
use super::origin::Identity;

const SCHEME: &str = "s3://";
/// The first request for an object takes so much, which is enough to tell what it is; the others more.
const FIRST_BYTES: u64 = 64 * 1024;
const CHUNK_BYTES: u64 = 8 * 1024 * 1024;
/// A request is repeated for so long where the server fails or can't be reached.
const RETRY_FOR: Duration = Duration::from_secs(30);

/// Whether a path is an object's.
pub(crate) fn is_object(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().starts_with(SCHEME.as_bytes())
}

/// Whether a location is one of objects.
pub(crate) fn is_location(text: &str) -> bool {
    text.starts_with(SCHEME)
}

/// What is known of an object since it was listed.
#[derive(Debug, Clone)]
struct Listed {
    bytes: u64,
    tag: Option<String>,
}

/// What this process shares: clients by bucket, objects by path.
#[derive(Default)]
struct Shared {
    buckets: Mutex<BTreeMap<String, Arc<AmazonS3>>>,
    listed: Mutex<BTreeMap<PathBuf, Listed>>,
}

fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(Shared::default)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bucket and the key of `s3://bucket/key`.
pub(crate) fn parts(text: &str) -> Result<(&str, &str)> {
    let rest = text.strip_prefix(SCHEME).unwrap_or(text);
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    match bucket.is_empty() {
        true => Err(Error::usage(format!("'{text}' names no bucket")).hint("write s3://bucket/prefix/*.json.gz")),
        false => Ok((bucket, key)),
    }
}

/// The client of a bucket.
pub(crate) fn bucket(name: &str) -> Result<Arc<AmazonS3>> {
    let mut buckets = locked(&shared().buckets);
    if let Some(known) = buckets.get(name) {
        return Ok(Arc::clone(known));
    }
    let retry = RetryConfig { max_retries: 8, retry_timeout: RETRY_FOR, ..RetryConfig::default() };
    let builder = AmazonS3Builder::from_env().with_bucket_name(name).with_retry(retry);
    let options = ClientOptions::new().with_timeout(RETRY_FOR).with_allow_http(names_http());
    let store = builder.with_client_options(options).build().map_err(|error| {
        Error::usage(format!("{SCHEME}{name} can't be used"))
            .detail(error)
            .hint("look at the variables AWS_… that are set")
    })?;
    let store = Arc::new(store);
    buckets.insert(name.to_owned(), Arc::clone(&store));
    Ok(store)
}

/// Who writes `http://` into the environment means it.
fn names_http() -> bool {
    let is_set = |name: &str, is: fn(&str) -> bool| std::env::var(name).is_ok_and(|value| is(&value));
    let http = |value: &str| value.starts_with("http://");
    is_set("AWS_ENDPOINT_URL", http)
        || is_set("AWS_ENDPOINT_URL_S3", http)
        || is_set("AWS_ENDPOINT", http)
        || is_set("AWS_ALLOW_HTTP", |value| value.eq_ignore_ascii_case("true"))
}

/// The threads that talk to servers of objects; they exist once one is used.
fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<io::Result<Runtime>> = OnceLock::new();
    let build = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).thread_name("fyke-objects").enable_all().build()
    };
    match RUNTIME.get_or_init(build) {
        Ok(runtime) => Ok(runtime),
        Err(error) => Err(Error::unavailable("no thread for objects can be started").detail(error)),
    }
}

/// Begins a request; the answer comes through the channel.
fn ask<T: Send + 'static>(request: impl Future<Output = T> + Send + 'static) -> Result<Receiver<T>> {
    let (answer, answered) = std::sync::mpsc::sync_channel(1);
    runtime()?.spawn(async move { _ = answer.send(request.await) });
    Ok(answered)
}

/// Waits for a request, in any thread: one that runs a runtime of its own may not block on another.
pub(crate) fn wait<T: Send + 'static>(request: impl Future<Output = T> + Send + 'static) -> Result<T> {
    ask(request)?.recv().map_err(|_| Error::internal("a request to the object store panicked"))
}

/// The error of a request that failed.
pub(crate) fn failed(what: &str, verb: &str, error: &ObjectError) -> Error {
    let failed = Error::unavailable(format!("{what} can't be {verb}")).detail(error);
    failed.hint(match error {
        ObjectError::PermissionDenied { .. } | ObjectError::Unauthenticated { .. } => {
            "may AWS_ACCESS_KEY_ID do that, and does AWS_SECRET_ACCESS_KEY belong to it?"
        }
        ObjectError::NotFound { .. } => "do the bucket and the object exist?",
        _ => "is the server up? AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY say which",
    })
}

/// The paths of the objects that a location names, in the order of their bytes: one object, all below a prefix, or those
/// that match a glob. Hidden ones (`.…`, `_…`) below a prefix are left out.
///
/// # Errors
/// `Usage` for a malformed glob or a location without a bucket, `Unavailable` where the server can't be asked.
pub(crate) fn paths(location: &str) -> Result<Vec<PathBuf>> {
    let (name, key) = parts(location)?;
    let store = bucket(name)?;
    let found = |objects: Vec<ObjectMeta>| -> Vec<PathBuf> {
        let mut listed = locked(&shared().listed);
        let paths = objects.into_iter().map(|object| {
            let path = PathBuf::from(format!("{SCHEME}{name}/{}", object.location));
            listed.insert(path.clone(), Listed { bytes: object.size, tag: object.e_tag });
            path
        });
        let mut paths: Vec<PathBuf> = paths.collect();
        paths.sort_unstable();
        paths
    };
    if let Some(at) = key.find(['*', '?', '[']) {
        let pattern =
            glob::Pattern::new(key).map_err(|e| Error::usage(format!("'{location}' is no glob pattern")).detail(e))?;
        let options = glob::MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        let folder = key.get(..at).and_then(|before| before.rsplit_once('/')).map_or("", |(folder, _)| folder);
        let mut objects = list(store, folder, location)?;
        objects.retain(|object| pattern.matches_with(object.location.as_ref(), options));
        return Ok(found(objects));
    }
    let path = Key::from(key);
    if !key.is_empty() && !key.ends_with('/') {
        let (store, path) = (Arc::clone(&store), path.clone());
        match wait(async move { store.head(&path).await })? {
            Ok(object) => return Ok(found(vec![object])),
            Err(ObjectError::NotFound { .. }) => {}
            Err(error) => return Err(failed(location, "read", &error)),
        }
    }
    let mut objects = list(store, key, location)?;
    objects.retain(|object| {
        let below = object.location.as_ref().strip_prefix(path.as_ref()).unwrap_or_default();
        // some tools keep an empty object in the place of a folder
        object.size > 0 && !below.split('/').any(is_hidden)
    });
    Ok(found(objects))
}

fn list(store: Arc<AmazonS3>, folder: &str, location: &str) -> Result<Vec<ObjectMeta>> {
    let prefix = (!folder.is_empty()).then(|| Key::from(folder));
    let listed = wait(async move { store.list(prefix.as_ref()).try_collect().await })?;
    listed.map_err(|error| failed(location, "listed", &error))
}

/// What the server knows of the object at `path`.
fn listed(path: &Path) -> io::Result<Listed> {
    if let Some(known) = locked(&shared().listed).get(path) {
        return Ok(known.clone());
    }
    let text = path.to_string_lossy();
    let (name, key) = parts(&text).map_err(io::Error::other)?;
    let (store, key) = (bucket(name).map_err(io::Error::other)?, Key::from(key));
    let object = wait(async move { store.head(&key).await }).map_err(io::Error::other)?.map_err(io_error)?;
    let known = Listed { bytes: object.size, tag: object.e_tag };
    locked(&shared().listed).insert(path.to_path_buf(), known.clone());
    Ok(known)
}

fn io_error(error: ObjectError) -> io::Error {
    match error {
        ObjectError::NotFound { .. } => io::Error::new(io::ErrorKind::NotFound, error),
        ObjectError::PermissionDenied { .. } | ObjectError::Unauthenticated { .. } => {
            io::Error::new(io::ErrorKind::PermissionDenied, error)
        }
        ObjectError::Precondition { .. } => {
            io::Error::new(io::ErrorKind::InvalidData, "the object was replaced while it was read")
        }
        error => io::Error::other(error),
    }
}

/// The size of the object at `path`.
pub(crate) fn len(path: &Path) -> io::Result<u64> {
    listed(path).map(|listed| listed.bytes)
}

/// What the object at `path` is: an object has no inode, but a tag of its content.
pub(crate) fn identity(path: &Path) -> io::Result<Identity> {
    let listed = listed(path)?;
    let tag = listed.tag.unwrap_or_default();
    // FNV-1a: it need not be more than different for different tags
    let hash = tag
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    Ok((u64::MAX, hash, listed.bytes))
}

/// An object that is read from anywhere in it.
pub(crate) struct Object {
    store: Arc<AmazonS3>,
    key: Key,
    listed: Listed,
    at: u64,
    /// What was fetched behind `at`.
    ready: Bytes,
    /// Whether the last read was where the one before ended, so that the next chunk will be needed.
    sequential: bool,
    /// The chunk that is on its way, and where it begins.
    ahead: Option<(u64, Mutex<Receiver<object_store::Result<Bytes>>>)>,
}

impl Object {
    /// The object at `path`, from its start.
    ///
    /// # Errors
    /// Where it is gone or may not be read.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let listed = listed(path)?;
        let text = path.to_string_lossy();
        let (name, key) = parts(&text).map_err(io::Error::other)?;
        let (store, key) = (bucket(name).map_err(io::Error::other)?, Key::from(key));
        Ok(Self { store, key, listed, at: 0, ready: Bytes::new(), sequential: false, ahead: None })
    }

    /// Its size.
    pub(crate) fn len(&self) -> u64 {
        self.listed.bytes
    }

    fn request(&self, range: Range<u64>) -> io::Result<Receiver<object_store::Result<Bytes>>> {
        let (store, key) = (Arc::clone(&self.store), self.key.clone());
        let options =
            GetOptions { range: Some(range.into()), if_match: self.listed.tag.clone(), ..GetOptions::default() };
        ask(async move { store.get_opts(&key, options).await?.bytes().await }).map_err(io::Error::other)
    }

    fn answer(answer: &Receiver<object_store::Result<Bytes>>) -> io::Result<Bytes> {
        answer.recv().map_err(|_| io::Error::other("a request to the object store panicked"))?.map_err(io_error)
    }

    /// The bytes of `range`.
    ///
    /// # Errors
    /// Where they can't be read.
    pub(crate) fn fetch(&self, range: Range<u64>) -> io::Result<Bytes> {
        if range.start >= range.end {
            return Ok(Bytes::new());
        }
        Self::answer(&self.request(range)?)
    }

    fn chunk(&self, from: u64, bytes: u64) -> Range<u64> {
        from..from.saturating_add(bytes).min(self.len())
    }

    fn fill(&mut self) -> io::Result<()> {
        self.ready = match self.ahead.take() {
            Some((from, answer)) if from == self.at => Self::answer(&locked(&answer))?,
            _ => self.fetch(self.chunk(self.at, if self.sequential { CHUNK_BYTES } else { FIRST_BYTES }))?,
        };
        let next = self.at + self.ready.len() as u64;
        if self.sequential && next < self.len() && !self.ready.is_empty() {
            self.ahead = Some((next, Mutex::new(self.request(self.chunk(next, CHUNK_BYTES))?)));
        }
        self.sequential = true;
        Ok(())
    }
}

impl Read for Object {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.len() || into.is_empty() {
            return Ok(0);
        }
        if self.ready.is_empty() {
            self.fill()?;
        }
        let read = into.len().min(self.ready.len());
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the object is shorter than it was"));
        }
        self.ready.split_to(read).copy_to_slice(into.get_mut(..read).unwrap_or_default());
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Object {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(to) => Some(to),
            SeekFrom::End(by) => self.len().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        let to = to.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a place before the object's start"))?;
        let within = to.checked_sub(self.at).filter(|skip| *skip <= self.ready.len() as u64);
        match within {
            Some(skip) => self.ready.advance(usize::try_from(skip).unwrap_or_default()),
            None => (self.ready, self.sequential) = (Bytes::new(), false),
        }
        self.at = to;
        Ok(to)
    }
}
