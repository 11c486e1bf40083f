//! Objects as places for rows: `s3://bucket/key`, or a prefix of parts for a run with checkpoints.
//!
//! Rows are gathered in a file of their own (below `TMPDIR`) and uploaded when they are whole. A part is uploaded when a
//! checkpoint prepares it, and appears when its upload is completed, which is what the commit does. What was uploaded by
//! a process that did not live to commit it is never seen; a lifecycle rule for incomplete uploads removes it.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use fyke_types::{Error, PartsOf, Result, Sink, SinkMode, SinkSpec};
use object_store::aws::AmazonS3;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Key;
use object_store::{Error as ObjectError, ObjectStore, ObjectStoreExt, PutPayload};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::{extension, finished, held, number_of, plain, unwritable};
use crate::files::discover::is_hidden;
use crate::files::objects::{bucket, failed, parts, wait};

/// Bytes of one request.
const PART_BYTES: usize = 16 * 1024 * 1024;

/// See the module.
pub(super) struct ObjectSink {
    spec: SinkSpec,
    store: Arc<AmazonS3>,
    /// Below which parts lie; of a single object its folder.
    prefix: String,
    /// The single object of a run without checkpoints.
    whole: String,
    of: Option<PartsOf>,
    spool: TempDir,
    /// What is being written.
    open: Option<Box<dyn Sink>>,
    rows: usize,
    /// Whether the output holds a part of this run.
    any: bool,
    /// Parts of other runs go when the first of this one appears.
    replaces: bool,
}

/// An upload that waits to be completed: what a checkpoint keeps.
#[derive(Debug, Serialize, Deserialize)]
struct Prepared {
    key: String,
    /// None for an object without bytes.
    upload: Option<String>,
    parts: Vec<String>,
}

impl ObjectSink {
    /// The output of `spec`, whose location is an object or a prefix.
    ///
    /// # Errors
    /// `Usage` where it holds rows of another run, `Unavailable` where the server can't be asked, and what the format's
    /// own sink says.
    pub(super) fn new(spec: &SinkSpec) -> Result<Self> {
        let (name, key) = parts(&spec.location)?;
        let store = bucket(name)?;
        let is_folder = spec.parts.is_some() || key.is_empty() || key.ends_with('/');
        let key = key.trim_matches('/');
        let (prefix, whole) = match is_folder {
            true => (key.to_owned(), below(key, &format!("part-00000.{}", extension(spec)))),
            false => (key.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned(), key.to_owned()),
        };
        let resumed = spec.parts.as_ref().is_some_and(|of| of.resumed);
        let replaces = spec.mode == SinkMode::Overwrite && is_folder;
        let spool = TempDir::new().map_err(|error| unwritable("the folder for temporary files", &error))?;
        let (spec, of) = (spec.clone(), spec.parts.clone());
        let mut sink = Self { spec, store, prefix, whole, of, spool, open: None, rows: 0, any: false, replaces };
        if sink.spec.mode == SinkMode::Append && !resumed && sink.holds_rows(is_folder)? {
            return Err(held(&sink.spec.location));
        }
        // wrong settings and columns are said now, not with the first row
        sink.begin()?;
        Ok(sink)
    }

    fn holds_rows(&self, is_folder: bool) -> Result<bool> {
        if is_folder {
            return Ok(self.names()?.iter().any(|name| !is_hidden(name)));
        }
        Ok(self.head(&self.whole)?.is_some_and(|bytes| bytes > 0))
    }

    fn head(&self, key: &str) -> Result<Option<u64>> {
        let (store, key) = (Arc::clone(&self.store), Key::from(key));
        match wait(async move { store.head(&key).await })? {
            Ok(object) => Ok(Some(object.size)),
            Err(ObjectError::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(&self.spec.location, "read", &error)),
        }
    }

    /// The names of the objects in the prefix.
    fn names(&self) -> Result<Vec<String>> {
        let (store, prefix) = (Arc::clone(&self.store), Key::from(self.prefix.as_str()));
        let listed = wait(async move { store.list_with_delimiter(Some(&prefix)).await })?;
        let listed = listed.map_err(|error| failed(&self.spec.location, "listed", &error))?;
        Ok(listed.objects.iter().filter_map(|object| object.location.filename().map(str::to_owned)).collect())
    }

    fn remove(&self, name: &str) -> Result<()> {
        let (store, key) = (Arc::clone(&self.store), Key::from(below(&self.prefix, name)));
        match wait(async move { store.delete(&key).await })? {
            Ok(()) | Err(ObjectError::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(&self.spec.location, "removed", &error)),
        }
    }

    fn file(&self) -> PathBuf {
        self.spool.path().join(format!("rows.{}", extension(&self.spec)))
    }

    fn begin(&mut self) -> Result<&mut Box<dyn Sink>> {
        if self.open.is_none() {
            let location = self.file().display().to_string();
            let spec = SinkSpec { location, mode: SinkMode::Overwrite, parts: None, ..self.spec.clone() };
            self.open = Some(plain(&spec)?);
        }
        self.open.as_mut().ok_or_else(finished)
    }

    /// Ends the file and uploads it; it is not seen yet.
    fn upload(&mut self, key: String) -> Result<Prepared> {
        self.begin()?;
        let mut sink = self.open.take().ok_or_else(finished)?;
        sink.finish()?;
        let file = File::open(self.file()).map_err(|error| unwritable(&self.spec.location, &error))?;
        let store = Arc::clone(&self.store);
        let path = Key::from(key.as_str());
        let uploaded = wait(async move { upload(store.as_ref(), &path, file).await })?;
        let (upload, parts) = uploaded.map_err(|error| failed(&self.spec.location, "written", &error))?;
        Ok(Prepared { key, upload, parts })
    }

    /// Makes an upload visible; one that an earlier process has completed already is no error.
    fn complete(&self, prepared: &Prepared) -> Result<()> {
        let (store, key) = (Arc::clone(&self.store), Key::from(prepared.key.as_str()));
        let upload = prepared.upload.clone();
        let parts: Vec<PartId> = prepared.parts.iter().map(|part| PartId { content_id: part.clone() }).collect();
        let completed = wait(async move {
            match &upload {
                Some(upload) => store.complete_multipart(&key, upload, parts).await,
                None => store.put(&key, PutPayload::new()).await,
            }
        })?;
        let Err(error) = completed else { return Ok(()) };
        match self.head(&prepared.key)? {
            Some(_) => Ok(()),
            None => Err(failed(&self.spec.location, "written", &error)),
        }
    }

    /// Removes parts of other runs, once.
    fn replace(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.replaces) {
            return Ok(());
        }
        let own = |name: &str| match &self.of {
            Some(of) => number_of(name, &of.run).is_some(),
            None => below(&self.prefix, name) == self.whole,
        };
        for name in self.names()?.iter().filter(|name| name.starts_with("part-") && !own(name)) {
            self.remove(name)?;
        }
        Ok(())
    }
}

fn below(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") }
}

async fn upload(store: &AmazonS3, key: &Key, mut file: File) -> object_store::Result<(Option<String>, Vec<String>)> {
    let mut next = || -> object_store::Result<Bytes> {
        let mut bytes = Vec::with_capacity(PART_BYTES);
        let read = (&mut file).take(PART_BYTES as u64).read_to_end(&mut bytes);
        read.map_err(|error| ObjectError::Generic { store: "S3", source: Box::new(error) })?;
        Ok(bytes.into())
    };
    let first = next()?;
    if first.is_empty() {
        return Ok((None, Vec::new()));
    }
    let id = store.create_multipart(key).await?;
    let mut parts = Vec::new();
    let mut bytes = first;
    while !bytes.is_empty() {
        match store.put_part(key, &id, parts.len(), bytes.into()).await {
            Ok(part) => parts.push(part.content_id),
            Err(error) => {
                // what can't be told now is left to the bucket's rules
                _ = store.abort_multipart(key, &id).await;
                return Err(error);
            }
        }
        bytes = next()?;
    }
    Ok((Some(id), parts))
}

impl Sink for ObjectSink {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows();
        self.begin()?.write(batch)
    }

    fn prepare(&mut self, part: u64, last: bool) -> Result<Option<String>> {
        let Some(of) = &self.of else { return Ok(None) };
        // an output without rows still has columns
        if self.rows == 0 && (self.any || !last) {
            return Ok(None);
        }
        let name = format!("part-{}-{part:012}.{}", of.run, extension(&self.spec));
        let prepared = self.upload(below(&self.prefix, &name))?;
        (self.rows, self.any) = (0, true);
        let text = serde_json::to_string(&prepared);
        text.map(Some).map_err(|error| Error::internal("a part can't be told").detail(error))
    }

    fn commit(&mut self, prepared: &str) -> Result<()> {
        let prepared: Prepared = serde_json::from_str(prepared).map_err(|error| {
            Error::data(format!("the checkpoint names '{prepared}', which is no part")).detail(error)
        })?;
        self.replace()?;
        self.any = true;
        self.complete(&prepared)
    }

    fn recover(&mut self, part: u64) -> Result<()> {
        // the same sink may go on for another generation, which gets these rows again
        (self.open, self.rows) = (None, 0);
        let Some(of) = &self.of else { return Ok(()) };
        for name in self.names()? {
            match number_of(&name, &of.run) {
                Some(number) if number > part => self.remove(&name)?,
                Some(_) => self.any = true,
                None => {}
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        if self.of.is_some() {
            self.open = None;
            return Ok(());
        }
        let whole = std::mem::take(&mut self.whole);
        let prepared = self.upload(whole.clone())?;
        self.whole = whole;
        self.complete(&prepared)?;
        self.replace()
    }
}
