//! Compressed files: which they are, and their decompressed bytes.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use flate2::Crc;
use fyke_types::{Error, Result};
use zip::CompressionMethod;

use super::handle::Handle;
use super::objects;
use super::source_bytes::{Counted, read_some};

const BUFFER_BYTES: usize = 256 * 1024;

/// A compression that one stream can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Gzip,
    Zstd,
    Bzip2,
}

/// The extensions of compressed files; archives included.
pub(crate) const EXTENSIONS: [&str; 5] = ["gz", "zst", "zstd", "bz2", "zip"];

/// The compression of the file at `path`, by its first bytes, whatever its name.
pub(crate) fn detect(path: &Path) -> io::Result<Option<Codec>> {
    // looking into a pipe would take what is seen
    if !path.is_file() && path.exists() {
        return Ok(None);
    }
    let mut head = [0; 10];
    let read = head_of(path, &mut head)?;
    Ok(by_magic(head.get(..read).unwrap_or_default()))
}

/// The compression that begins with `head`.
pub(crate) fn by_magic(head: &[u8]) -> Option<Codec> {
    match head {
        [0x1f, 0x8b, 8, ..] => Some(Codec::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Codec::Zstd),
        // a level from 1 to 9, then the magic of a block or of an empty stream's end
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
        | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => Some(Codec::Bzip2),
        _ => None,
    }
}

/// Whether the file at `path` is a zip archive, by its first bytes.
pub(crate) fn is_zip(path: &Path) -> io::Result<bool> {
    // a request for each of thousands of objects is too much
    if objects::is_object(path) && !path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip")) {
        return Ok(false);
    }
    let mut head = [0; 4];
    let read = head_of(path, &mut head)?;
    // the second is an archive without entries
    Ok(matches!(head.get(..read), Some(b"PK\x03\x04" | b"PK\x05\x06")))
}

/// Whether the name says that the file is compressed, so it will not grow by lines.
pub(crate) fn is_compressed_name(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

fn head_of(path: &Path, head: &mut [u8]) -> io::Result<usize> {
    let mut file = Handle::open(path)?;
    let mut filled = 0;
    while let Some(rest) = head.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match read_some(&mut file, rest)? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// The decompressed bytes of `from`, all members of it.
pub(crate) fn decoder(codec: Codec, from: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    decoder_of(codec, BufReader::with_capacity(BUFFER_BYTES, from))
}

/// The same over what is buffered already.
pub(crate) fn decoder_of(codec: Codec, from: impl BufRead + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    Ok(match codec {
        Codec::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(from)),
        Codec::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(from)?),
        Codec::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(from)),
    })
}

/// A file inside a zip archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    header_start: u64,
    compressed: u64,
    uncompressed: u64,
    method: CompressionMethod,
    crc: u32,
}

/// The files inside the archive at `path`, hidden ones and those below hidden folders left out.
pub(crate) fn entries(path: &Path) -> Result<Vec<Entry>> {
    let failed = |error: zip::result::ZipError| {
        Error::data(format!("{} is no readable zip archive", path.display())).detail(error)
    };
    let file = Handle::open(path).map_err(|e| super::unreadable(path, &e))?;
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(failed)?;
    let mut entries = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(failed)?;
        let name = entry.name().map_err(failed)?.into_owned();
        if !entry.is_file() || name.split('/').any(super::discover::is_hidden) {
            continue;
        }
        if entry.encrypted() {
            return Err(Error::data(format!("{} in {} is encrypted", name, path.display()))
                .hint("unpack it with its password first"));
        }
        entries.push(Entry {
            header_start: entry.header_start(),
            compressed: entry.compressed_size(),
            uncompressed: entry.size(),
            method: entry.compression(),
            crc: entry.crc32(),
            name,
        });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

impl Entry {
    /// Bytes in the archive.
    pub(crate) fn compressed(&self) -> u64 {
        self.compressed
    }
}

/// The decompressed bytes of `entry`. The archive's own reader would borrow the archive; the format needs no more than
/// the place of the data, which stands behind the entry's local header.
pub(crate) fn open_entry(file: Handle, entry: &Entry, read: Arc<AtomicU64>) -> io::Result<Box<dyn Read + Send>> {
    let mut file = Counted::new(file, Arc::new(AtomicU64::new(0)));
    file.seek(entry.header_start)?;
    let mut header = [0; 30];
    file.read_exact(&mut header)?;
    let [.., name_low, name_high, extra_low, extra_high] = header;
    let variable =
        u64::from(u16::from_le_bytes([name_low, name_high])) + u64::from(u16::from_le_bytes([extra_low, extra_high]));
    file.seek(entry.header_start + 30 + variable)?;
    let data = EntryBytes { file: file.take(entry.compressed), at: 0, read };
    let bytes: Box<dyn Read + Send> = match entry.method {
        CompressionMethod::Stored => Box::new(data),
        CompressionMethod::Deflated => {
            Box::new(flate2::bufread::DeflateDecoder::new(BufReader::with_capacity(BUFFER_BYTES, data)))
        }
        CompressionMethod::Bzip2 => decoder(Codec::Bzip2, data)?,
        CompressionMethod::Zstd => decoder(Codec::Zstd, data)?,
        other => return Err(invalid(format!("zip compression {other} is not supported"))),
    };
    Ok(Box::new(Verified { bytes, crc: Crc::new(), entry: entry.clone() }))
}

struct EntryBytes {
    file: io::Take<Counted>,
    at: u64,
    read: Arc<AtomicU64>,
}

impl Read for EntryBytes {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into)?;
        self.at += read as u64;
        self.read.fetch_max(self.at, std::sync::atomic::Ordering::Relaxed);
        Ok(read)
    }
}

/// Checks length and checksum at the end, as gzip and zstd do by themselves.
struct Verified {
    bytes: Box<dyn Read + Send>,
    crc: Crc,
    entry: Entry,
}

impl Read for Verified {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(into)?;
        self.crc.update(into.get(..read).unwrap_or_default());
        // the checksum object counts in 32 bits
        let complete = self.crc.amount() == self.entry.uncompressed as u32 && self.crc.sum() == self.entry.crc;
        if read == 0 && !into.is_empty() && !complete {
            return Err(invalid(format!("the checksum of {} in the zip archive differs", self.entry.name)));
        }
        Ok(read)
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
