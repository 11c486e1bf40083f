//! What tells a file from others, whatever its name: device, inode and birth, and its first bytes.

use std::fs::Metadata;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::source_bytes::{ByteSource, FileBytes, Got};

/// So many first bytes tell a file from others of its family.
pub(crate) const HEAD_BYTES: usize = 1024;

/// What a file is, whatever its name: device, inode and birth (elsewhere than on Unix: unknown, so names decide).
/// Birth, since the inode of a deleted file is soon another's; 0 where the file system does not keep it.
pub(crate) type Identity = (u64, u64, u64);

/// The identity of the file that `metadata` describes.
#[cfg(unix)]
pub(crate) fn identity(metadata: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    let birth = metadata.created().ok().and_then(|birth| birth.duration_since(std::time::UNIX_EPOCH).ok());
    // 64 bits of nanoseconds last until the year 2554
    (metadata.dev(), metadata.ino(), birth.map_or(0, |birth| birth.as_nanos() as u64))
}

/// Without inodes a file that is replaced looks like one that was truncated.
#[cfg(not(unix))]
pub(crate) fn identity(_: &Metadata) -> Identity {
    (0, 0, 0)
}

/// A file that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) identity: Identity,
    /// Its first bytes (decompressed), at most [`HEAD_BYTES`] of them.
    pub(crate) head: Vec<u8>,
}

impl Origin {
    /// The file at `path`, whose first bytes are `first`.
    pub(crate) fn of(path: &Path, first: &[u8]) -> Option<Arc<Self>> {
        let identity = super::handle::identity_of(path).ok()?;
        let head = first.get(..HEAD_BYTES).unwrap_or(first).to_vec();
        Some(Arc::new(Self { identity, head }))
    }

    /// Whether the file at `path` begins like this one, under whatever name and compression.
    pub(crate) fn begins(&self, path: &Path) -> bool {
        read_head(path).is_ok_and(|head| head.starts_with(&self.head))
    }
}

/// `app.log.1`, `app.log-20261123.gz` beside `app.log`.
pub(crate) fn is_rotation_of(path: &Path, known: &Path) -> bool {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (longer, shorter) = (name(path), name(known));
    path.parent() == known.parent() && longer.len() > shorter.len() && longer.starts_with(&shorter)
}

/// The first bytes of a file, decompressed.
pub(crate) fn read_head(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = FileBytes::new(path.to_path_buf(), None, Arc::new(AtomicU64::new(0)));
    let (mut head, mut filled) = (vec![0; HEAD_BYTES], 0);
    while let Some(into) = head.get_mut(filled..).filter(|into| !into.is_empty()) {
        match bytes.read(into)? {
            Got::Bytes(read) => filled += read,
            _ => break,
        }
    }
    head.truncate(filled);
    Ok(head)
}

/// Bytes as text.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What [`hexadecimal`] wrote.
pub(crate) fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let pairs = (0..text.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}
