//! A bucket of an S3 server as a store: names lie below the prefix of an `s3://bucket/prefix`.
//!
//! Server, region and credentials come from the environment, under the names that every tool for S3 knows:
//! `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, ….

use std::future::Future;
use std::io::Write;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fyke_types::{Error, Result, Store, StoreWriter};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{
    ClientOptions, Error as ObjectError, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutPayload, RetryConfig,
    WriteMultipart,
};
use tokio::runtime::Runtime;

/// Bytes of one part of an upload; what is smaller goes in one request.
const PART_BYTES: usize = 8 * 1024 * 1024;
/// Parts under way at once.
const PARTS_AT_ONCE: usize = 4;
/// A request is repeated for so long where the server fails or can't be reached.
const RETRY_FOR: Duration = Duration::from_secs(30);
/// A create whose answer was lost is asked again so often.
const CREATES: u32 = 3;

/// See the module.
#[derive(Debug, Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    /// For messages.
    url: String,
}

impl Objects {
    /// The store at `s3://bucket/prefix`; nothing is asked of the server yet.
    ///
    /// # Errors
    /// `Usage` where the URL names no bucket or a setting of the environment is wrong.
    pub fn s3(url: &str) -> Result<Self> {
        let rest = url.strip_prefix("s3://").unwrap_or(url);
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(Error::usage(format!("'{url}' names no bucket")).hint("write s3://bucket/prefix"));
        }
        let retry = RetryConfig { max_retries: 8, retry_timeout: RETRY_FOR, ..RetryConfig::default() };
        let builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry);
        let options = ClientOptions::new().with_timeout(RETRY_FOR).with_allow_http(names_http());
        let store = builder.with_client_options(options).build().map_err(|error| {
            Error::usage(format!("{url} can't be used")).detail(error).hint("look at the variables AWS_… that are set")
        })?;
        Ok(Self::new(Arc::new(store), prefix, url))
    }

    /// The names of `store` below `prefix`; `url` is for messages.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: &str, url: &str) -> Self {
        Self { store, prefix: prefix.trim_matches('/').to_owned(), url: url.trim_end_matches('/').to_owned() }
    }

    fn path(&self, name: &str) -> Path {
        Path::from(format!("{}/{name}", self.prefix))
    }

    fn failed(&self, name: &str, verb: &str, error: &ObjectError) -> Error {
        let failed = Error::unavailable(format!("{} can't be {verb}", self.place(name))).detail(error);
        failed.hint(match error {
            ObjectError::PermissionDenied { .. } | ObjectError::Unauthenticated { .. } => {
                "may AWS_ACCESS_KEY_ID read and write there, and does AWS_SECRET_ACCESS_KEY belong to it?"
            }
            ObjectError::NotFound { .. } => "does the bucket exist?",
            _ => {
                "is the server up? AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY say which"
            }
        })
    }
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

/// The threads that talk to servers of objects; they exist once a store is used.
fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
    let build = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).thread_name("fyke-objects").enable_all().build()
    };
    match RUNTIME.get_or_init(build) {
        Ok(runtime) => Ok(runtime),
        Err(error) => Err(Error::unavailable("no thread for the object store can be started").detail(error)),
    }
}

/// Waits for a request, in any thread: one that runs a runtime of its own may not block on another.
fn wait<T: Send + 'static>(request: impl Future<Output = T> + Send + 'static) -> Result<T> {
    let (answer, answered) = std::sync::mpsc::sync_channel(1);
    runtime()?.spawn(async move { _ = answer.send(request.await) });
    answered.recv().map_err(|_| Error::internal("a request to the object store panicked"))
}

/// Creates an object. Where the answer to a request is lost, the next one finds the name taken by these very bytes,
/// which are unique to their writer.
async fn create(store: &dyn ObjectStore, path: &Path, bytes: PutPayload) -> object_store::Result<bool> {
    let mut pause = Duration::from_millis(200);
    for attempt in 1.. {
        let error = match store.put_opts(path, bytes.clone(), PutMode::Create.into()).await {
            Ok(_) => break,
            Err(ObjectError::AlreadyExists { path: name, source }) => match holds(store, path, &bytes).await? {
                Some(own) => return Ok(own),
                // two asked at once, and the server has refused both
                None => ObjectError::AlreadyExists { path: name, source },
            },
            Err(error @ ObjectError::Generic { .. }) => error,
            Err(error) => return Err(error),
        };
        if attempt >= CREATES {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    Ok(true)
}

/// Whether an object consists of these bytes; none where there is no such object.
async fn holds(store: &dyn ObjectStore, path: &Path, bytes: &PutPayload) -> object_store::Result<Option<bool>> {
    let there = match store.get_opts(path, GetOptions::default()).await {
        Ok(there) => there.bytes().await?,
        Err(ObjectError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let same = there.len() == bytes.content_length() && bytes.iter().flat_map(|chunk| chunk.iter()).eq(there.iter());
    Ok(Some(same))
}

impl Store for Objects {
    fn place(&self, name: &str) -> String {
        match name {
            "" => self.url.clone(),
            name => format!("{}/{name}", self.url),
        }
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        let (store, path, bytes) = (Arc::clone(&self.store), self.path(name), PutPayload::from(bytes.to_vec()));
        let created = wait(async move { create(store.as_ref(), &path, bytes).await })?;
        created.map_err(|error| self.failed(name, "written", &error))
    }

    fn writer(&self, name: &str) -> Result<Box<dyn StoreWriter>> {
        Ok(Box::new(Upload { to: self.clone(), name: name.to_owned(), buffer: Vec::new(), parts: None }))
    }

    fn read(&self, name: &str, range: Option<Range<u64>>) -> Result<Option<Vec<u8>>> {
        let (store, path) = (Arc::clone(&self.store), self.path(name));
        let options = GetOptions { range: range.map(Into::into), ..GetOptions::default() };
        let bytes = wait(async move { store.get_opts(&path, options).await?.bytes().await })?;
        match bytes {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(ObjectError::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(name, "read", &error)),
        }
    }

    fn names(&self, folder: &str) -> Result<Vec<String>> {
        let (store, path) = (Arc::clone(&self.store), self.path(folder));
        let listed = wait(async move { store.list_with_delimiter(Some(&path)).await })?;
        let listed = match listed {
            Ok(listed) => listed.objects,
            Err(error) => return Err(self.failed(folder, "listed", &error)),
        };
        let mut names: Vec<String> =
            listed.iter().filter_map(|object| object.location.filename().map(str::to_owned)).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn remove(&self, name: &str) -> Result<()> {
        let (store, path) = (Arc::clone(&self.store), self.path(name));
        match wait(async move { store.delete(&path).await })? {
            Ok(()) | Err(ObjectError::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(name, "removed", &error)),
        }
    }
}

/// An object being written: in one request if it is small, else in parts that are sent while more come. Its name must
/// be the writer's own, since the last one wins: whether it is taken is asked before.
struct Upload {
    to: Objects,
    name: String,
    buffer: Vec<u8>,
    parts: Option<WriteMultipart>,
}

impl Upload {
    /// Sends what has come as one part; waits while too many are under way.
    fn send(&mut self) -> Result<()> {
        let (store, path) = (Arc::clone(&self.to.store), self.to.path(&self.name));
        let (parts, bytes) = (self.parts.take(), std::mem::take(&mut self.buffer));
        let sent = wait(async move {
            let mut parts = match parts {
                Some(parts) => parts,
                None => WriteMultipart::new_with_chunk_size(store.put_multipart(&path).await?, PART_BYTES),
            };
            parts.put(bytes.into());
            parts.wait_for_capacity(PARTS_AT_ONCE).await?;
            Ok(parts)
        })?;
        self.parts = Some(sent.map_err(|error: ObjectError| self.to.failed(&self.name, "written", &error))?);
        Ok(())
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PART_BYTES {
            self.send().map_err(std::io::Error::other)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl StoreWriter for Upload {
    fn publish(mut self: Box<Self>) -> Result<bool> {
        if self.parts.is_none() {
            let bytes = std::mem::take(&mut self.buffer);
            return self.to.create(&self.name, &bytes);
        }
        if !self.buffer.is_empty() {
            self.send()?;
        }
        let Some(parts) = self.parts.take() else { return Ok(false) };
        let (store, path) = (Arc::clone(&self.to.store), self.to.path(&self.name));
        let finished = wait(async move {
            match store.head(&path).await {
                Ok(_) => parts.abort().await.map(|()| false),
                Err(ObjectError::NotFound { .. }) => parts.finish().await.map(|_| true),
                Err(error) => Err(error),
            }
        })?;
        finished.map_err(|error| self.to.failed(&self.name, "written", &error))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let (Some(parts), Ok(runtime)) = (self.parts.take(), runtime()) {
            // nobody is left to be told
            runtime.spawn(async move { _ = parts.abort().await });
        }
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    fn objects() -> Objects {
        Objects::new(Arc::new(InMemory::new()), "some/where/", "s3://bucket/some/where/")
    }

    #[test]
    fn name_is_created_once_and_its_own_bytes_are_no_other_writer() {
        let store = objects();
        assert!(store.create("manifests/1", b"mine").unwrap());
        assert!(store.create("manifests/1", b"mine").unwrap(), "as after an answer that was lost");
        assert!(!store.create("manifests/1", b"theirs").unwrap());
        assert_eq!(store.read("manifests/1", None).unwrap().unwrap(), b"mine");
        assert_eq!(store.read("manifests/1", Some(1..3)).unwrap().unwrap(), b"in");
        assert_eq!(store.read("manifests/2", None).unwrap(), None);
        assert_eq!(store.place("manifests/1"), "s3://bucket/some/where/manifests/1");
    }

    #[test]
    fn names_of_a_folder_are_listed_without_it() {
        let store = objects();
        for name in ["state/b", "state/a", "manifests/1", "top"] {
            store.create(name, b"x").unwrap();
        }
        assert_eq!(store.names("state").unwrap(), ["a", "b"]);
        assert!(store.names("nothing").unwrap().is_empty());
        store.remove("state/a").unwrap();
        store.remove("state/a").unwrap();
        assert_eq!(store.names("state").unwrap(), ["b"]);
    }

    #[test]
    fn large_object_goes_in_parts_and_appears_whole() {
        let store = objects();
        let bytes: Vec<u8> = (0..3 * PART_BYTES + 17).map(|at| (at % 251) as u8).collect();
        let mut writer = store.writer("state/1").unwrap();
        for chunk in bytes.chunks(1 << 20) {
            writer.write_all(chunk).unwrap();
        }
        assert_eq!(store.read("state/1", None).unwrap(), None, "not before it is whole");
        assert!(writer.publish().unwrap());
        assert_eq!(store.read("state/1", None).unwrap().unwrap(), bytes);
    }

    #[test]
    fn url_without_a_bucket_is_refused_with_the_remedy() {
        let error = Objects::s3("s3:///prefix").unwrap_err().to_string();
        assert!(error.contains("names no bucket") && error.contains("s3://bucket/prefix"), "{error}");
    }
}
