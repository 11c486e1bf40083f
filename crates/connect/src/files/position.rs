//! Where a reading of files stands, as text, and how another reading goes on from there: whatever was renamed, rotated,
//! compressed or truncated while nobody looked.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use fyke_types::{Error, Micros, Result};
use serde::{Deserialize, Serialize};

use super::follow::{SavedKnown, Tail};
use super::handle;
use super::origin::{Identity, Origin, bytes_of, hexadecimal, identity, is_rotation_of};
use super::source_bytes::{ByteSource, FileBytes, Got};

/// All inputs in the order of their numbers, and which files were read under other names.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Saved {
    pub(super) inputs: Vec<SavedInput>,
    pub(super) known: SavedKnown,
}

/// How far one input was given.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SavedInput {
    pub(super) path: PathBuf,
    /// Inside an archive.
    pub(super) entry: Option<String>,
    pub(super) customer: String,
    /// Decompressed bytes, or rows of a Parquet file.
    pub(super) offset: u64,
    pub(super) lines: u64,
    /// The greatest event time.
    pub(super) latest: Micros,
    pub(super) ended: bool,
    /// The file that it was: identity, and first bytes in hexadecimal.
    pub(super) origin: Option<(Identity, String)>,
    /// The directive that holds there (`#Fields: …`), where the format has any.
    #[serde(default)]
    pub(super) directive: Option<String>,
}

impl SavedInput {
    /// An input of which nothing was given.
    pub(super) fn new(path: PathBuf, entry: Option<String>, customer: String) -> Self {
        let (latest, origin, directive) = (Micros::MIN, None, None);
        Self { path, entry, customer, offset: 0, lines: 0, latest, ended: false, origin, directive }
    }

    /// `folder/app.log`, `folder/logs.zip/app.log`.
    pub(super) fn name(&self) -> String {
        match &self.entry {
            Some(entry) => format!("{}/{entry}", self.path.display()),
            None => self.path.display().to_string(),
        }
    }

    /// Notes which file it came from.
    pub(super) fn set_origin(&mut self, origin: Option<&Origin>) {
        self.origin = origin.map(|origin| (origin.identity, hexadecimal(&origin.head)));
    }

    fn origin(&self) -> Option<Arc<Origin>> {
        let (identity, head) = self.origin.as_ref()?;
        Some(Arc::new(Origin { identity: *identity, head: bytes_of(head)? }))
    }

    /// The rest of a file that does not grow.
    ///
    /// # Errors
    /// `Data` where it is gone or is another one now.
    pub(super) fn rest_of_file(&self, bytes: FileBytes) -> Result<FileBytes> {
        let origin = self.origin();
        if self.offset == 0 {
            return Ok(bytes);
        }
        let Ok(bytes_now) = handle::len(&self.path) else { return Err(self.lost("it does not exist any more")) };
        let plain = self.entry.is_none() && !super::compression::detect(&self.path).is_ok_and(|codec| codec.is_some());
        if plain && bytes_now < self.offset {
            return Err(self.lost(&format!("it has {bytes_now} bytes now")));
        }
        if self.entry.is_none() && origin.as_ref().is_some_and(|origin| !origin.begins(&self.path)) {
            return Err(self.lost("it begins otherwise now"));
        }
        Ok(bytes.resumed(self.offset, origin))
    }

    /// The line that names the columns, for a file of which a later part is read.
    ///
    /// # Errors
    /// `Data` where it can't be read.
    pub(super) fn first_line(&self) -> Result<Vec<u8>> {
        let origin = self.origin().ok_or_else(|| self.lost("its first line is not known"))?;
        let line = origin.head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        match line.len() < origin.head.len() {
            true => Ok(line.to_vec()),
            false => Err(self.lost("its first line is longer than what was kept of it")),
        }
    }

    /// The rest of a file that grows, then what took its place.
    ///
    /// # Errors
    /// `Data` where the rest can't be found.
    pub(super) fn rest_of_tail(
        &self,
        tail: impl Fn(Option<(u64, Arc<Origin>)>) -> Tail,
    ) -> Result<Box<dyn ByteSource>> {
        let Some(origin) = self.origin().filter(|_| self.offset > 0) else { return Ok(Box::new(tail(None))) };
        let holds = |path: &Path| {
            std::fs::metadata(path).is_ok_and(|metadata| metadata.len() >= self.offset) && origin.begins(path)
        };
        let is_it = |path: &Path| std::fs::metadata(path).is_ok_and(|metadata| identity(&metadata) == origin.identity);
        let siblings = siblings(&self.path);
        if siblings.iter().any(|path| is_it(path) && holds(path)) {
            return Ok(Box::new(tail(Some((self.offset, origin)))));
        }
        if holds(&self.path)
            && let Ok(metadata) = std::fs::metadata(&self.path)
        {
            // a copy took its place: restored, or moved to another disk
            let origin = Origin { identity: identity(&metadata), head: origin.head.clone() };
            return Ok(Box::new(tail(Some((self.offset, Arc::new(origin))))));
        }
        let rotated = siblings.into_iter().find(|path| is_rotation_of(path, &self.path) && origin.begins(path));
        let Some(rotated) = rotated else {
            return Err(self.lost("neither it nor a rotated copy of it is there"));
        };
        let rest = FileBytes::new(rotated, None, Arc::new(AtomicU64::new(0))).resumed(self.offset, Some(origin));
        Ok(Box::new(RestThenTail { rest: Some(rest), tail: tail(None) }))
    }

    fn lost(&self, detail: &str) -> Error {
        let (path, offset) = (self.path.display(), self.offset);
        Error::data(format!("the rest of {path}, from byte {offset} on, can't be found")).detail(detail).hint(
            "put the file back; or start over with another --checkpoint, which reads what is there from its start",
        )
    }
}

fn siblings(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort_unstable();
    paths
}

/// A rotated copy to its end, then the file that is there now, from its start.
struct RestThenTail {
    rest: Option<FileBytes>,
    tail: Tail,
}

impl ByteSource for RestThenTail {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<Got> {
        let Some(rest) = &mut self.rest else { return self.tail.read(into) };
        match rest.read(into)? {
            Got::End => {
                self.rest = None;
                Ok(Got::Fresh)
            }
            got => Ok(got),
        }
    }

    fn close(&mut self) {
        match &mut self.rest {
            Some(rest) => rest.close(),
            None => self.tail.close(),
        }
    }

    fn has_more(&mut self) -> bool {
        self.rest.is_some() || self.tail.has_more()
    }

    fn origin(&self) -> Option<Arc<Origin>> {
        match &self.rest {
            Some(rest) => rest.origin(),
            None => self.tail.origin(),
        }
    }
}
