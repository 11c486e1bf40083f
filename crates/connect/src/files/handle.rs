//! An open input: a local file or an object. What reads inputs need not know which.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use bytes::Bytes;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, Length};

use super::objects::{self, Object};
use super::origin::{Identity, identity};

/// See the module.
pub(crate) enum Handle {
    File(File),
    Object(Box<Object>),
}

impl Handle {
    /// Opens what is at `path`.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        match objects::is_object(path) {
            true => Ok(Self::Object(Box::new(Object::open(path)?))),
            false => File::open(path).map(Self::File),
        }
    }
}

/// Whether something with a beginning that can be looked at is there.
pub(crate) fn is_regular(path: &Path) -> bool {
    if objects::is_object(path) { len(path).is_ok() } else { path.is_file() }
}

/// How many bytes are at `path`.
pub(crate) fn len(path: &Path) -> io::Result<u64> {
    match objects::is_object(path) {
        true => objects::len(path),
        false => std::fs::metadata(path).map(|metadata| metadata.len()),
    }
}

/// What is at `path`, whatever its name.
pub(crate) fn identity_of(path: &Path) -> io::Result<Identity> {
    match objects::is_object(path) {
        true => objects::identity(path),
        false => std::fs::metadata(path).map(|metadata| identity(&metadata)),
    }
}

impl Read for Handle {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(into),
            Self::Object(object) => object.read(into),
        }
    }
}

impl Seek for Handle {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::File(file) => file.seek(to),
            Self::Object(object) => object.seek(to),
        }
    }
}

impl Length for Handle {
    fn len(&self) -> u64 {
        match self {
            Self::File(file) => Length::len(file),
            Self::Object(object) => object.len(),
        }
    }
}

impl ChunkReader for Handle {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        match self {
            Self::File(file) => Ok(Box::new(file.get_read(start)?)),
            Self::Object(object) => {
                let rest = object.fetch(start..object.len()).map_err(external)?;
                Ok(Box::new(io::Cursor::new(rest)))
            }
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        match self {
            Self::File(file) => file.get_bytes(start, length),
            Self::Object(object) => object.fetch(start..start.saturating_add(length as u64)).map_err(external),
        }
    }
}

fn external(error: io::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}
