//! Records of a part on disk, so that a transaction that was lost can be made again: by this process, or by the next one.
//!
//! `FOLDER/OUTPUT-GENERATION.open` while a part is written, `FOLDER/OUTPUT-PART-GENERATION.part` once it is prepared.
//! A file is a row of frames: length (u32), XXH64 of the payload (u64), payload: records as [`Record::encode`] writes
//! them. All numbers are little-endian.

use std::fs::File;
use std::hash::Hasher;
use std::io::{BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use fyke_types::{Error, Result};
use serde::{Deserialize, Serialize};
use twox_hash::XxHash64;

use super::record::Record;

/// A frame is written when it is longer than this.
const FRAME_BYTES: usize = 256 << 10;
/// Longer frames are no frames: a record is at most 2 GiB in Kafka, and far smaller by its default.
const FRAME_BYTES_MAX: u32 = 1 << 31;

/// A part that was prepared, in the words of a checkpoint's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sealed {
    /// The checkpoint.
    pub(super) part: u64,
    /// The file in the spool's folder.
    pub(super) spool: String,
    /// Records in it.
    pub(super) records: u64,
}

impl Sealed {
    /// Reads the words of a manifest.
    ///
    /// # Errors
    /// `Data` where they are not ours.
    pub(super) fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| {
            Error::data(format!("the checkpoint names '{text}', which is no part of a Kafka sink")).detail(error)
        })
    }
}

/// The spool of one output.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    /// Names the output in file names.
    output: String,
    generation: u64,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    path: PathBuf,
    frame: Vec<u8>,
    records: u64,
}

impl Spool {
    /// The spool of `output` in `folder`, written by process `generation`.
    ///
    /// # Errors
    /// `Unavailable` when the folder can't be made.
    pub(super) fn new(folder: &Path, output: &str, generation: u64) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
        let output = format!("{:016x}", hash(output.as_bytes()));
        Ok(Self { folder: folder.to_path_buf(), output, generation, open: None })
    }

    /// Whether the part at hand has no records.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_none()
    }

    /// Adds a record to the part at hand.
    ///
    /// # Errors
    /// `Unavailable` when it can't be written.
    pub(super) fn append(&mut self, record: &Record<'_>) -> Result<()> {
        let open = match &mut self.open {
            Some(open) => open,
            none => {
                let path = self.folder.join(format!("{}-{}.open", self.output, self.generation));
                let file = File::create(&path).map_err(|error| unwritable(&path, &error))?;
                none.insert(Open { file, path, frame: Vec::new(), records: 0 })
            }
        };
        record.encode(&mut open.frame);
        open.records += 1;
        if open.frame.len() >= FRAME_BYTES { open.write_frame() } else { Ok(()) }
    }

    /// Gives the records of the part at hand again.
    ///
    /// # Errors
    /// When they can't be read, and what `give` fails with.
    pub(super) fn replay<E: From<Error>>(
        &mut self,
        give: &mut dyn FnMut(&Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.write_frame()?;
        read(&open.path, open.records, give)
    }

    /// Makes the part at hand durable; a new one begins.
    ///
    /// # Errors
    /// `Unavailable` when it can't be written.
    pub(super) fn seal(&mut self, part: u64) -> Result<Option<Sealed>> {
        let Some(mut open) = self.open.take() else { return Ok(None) };
        open.write_frame()?;
        let spool = format!("{}-{part:012}-{}.part", self.output, self.generation);
        let path = self.folder.join(&spool);
        let sealed = open.file.sync_all().and_then(|()| std::fs::rename(&open.path, &path));
        let sealed = sealed.and_then(|()| File::open(&self.folder)?.sync_all());
        sealed.map_err(|error| unwritable(&path, &error))?;
        Ok(Some(Sealed { part, spool, records: open.records }))
    }

    /// Whether a sealed part is still there.
    pub(super) fn holds(&self, sealed: &Sealed) -> bool {
        self.folder.join(&sealed.spool).exists()
    }

    /// Gives the records of a sealed part.
    ///
    /// # Errors
    /// `Data` when they are missing or corrupt, and what `give` fails with.
    pub(super) fn read<E: From<Error>>(
        &self,
        sealed: &Sealed,
        give: &mut dyn FnMut(&Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        read(&self.folder.join(&sealed.spool), sealed.records, give)
    }

    /// Removes a sealed part; one that is gone already is no error.
    ///
    /// # Errors
    /// `Unavailable` when it can't be removed.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        let path = self.folder.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::unavailable(format!("{} can't be removed", path.display())).detail(error))
            }
            _ => Ok(()),
        }
    }

    /// Removes what this output's earlier processes have left.
    ///
    /// # Errors
    /// `Unavailable` when it can't be removed.
    pub(super) fn clear(&self) -> Result<()> {
        let failed = |error: std::io::Error| unwritable(&self.folder, &error);
        let own = self.open.as_ref().and_then(|open| open.path.file_name());
        for entry in std::fs::read_dir(&self.folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let left = name.to_string_lossy().strip_prefix(&self.output).is_some_and(|rest| rest.starts_with('-'));
            if left && Some(name.as_os_str()) != own {
                self.remove(&name.to_string_lossy())?;
            }
        }
        Ok(())
    }
}

impl Open {
    fn write_frame(&mut self) -> Result<()> {
        if self.frame.is_empty() {
            return Ok(());
        }
        let length = u32::try_from(self.frame.len()).unwrap_or(u32::MAX);
        let mut head = [0; 12];
        head[..4].copy_from_slice(&length.to_le_bytes());
        head[4..].copy_from_slice(&hash(&self.frame).to_le_bytes());
        let written = self.file.write_all(&head).and_then(|()| self.file.write_all(&self.frame));
        self.frame.clear();
        written.map_err(|error| unwritable(&self.path, &error))
    }
}

fn read<E: From<Error>>(
    path: &Path,
    records: u64,
    give: &mut dyn FnMut(&Record<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let corrupt = |detail: &str| {
        Error::data(format!("the spool {} is corrupt", path.display()))
            .detail(detail)
            .hint("its rows can't be produced again: go back by removing the newest manifest, or start over with another --checkpoint and topic")
    };
    let file = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => corrupt("the file is missing"),
        _ => Error::unavailable(format!("{} can't be read", path.display())).detail(error),
    })?;
    let mut file = BufReader::with_capacity(FRAME_BYTES, file);
    let (mut found, mut frame) = (0, Vec::new());
    while next_frame(&mut file, &mut frame).map_err(|detail| corrupt(&detail))? {
        let mut rest = frame.as_slice();
        while !rest.is_empty() {
            let record = Record::decode(&mut rest).ok_or_else(|| corrupt("a record is cut short"))?;
            give(&record)?;
            found += 1;
        }
    }
    if found == records {
        Ok(())
    } else {
        Err(corrupt(&format!("it has {found} records, {records} are needed")).into())
    }
}

/// False at the end of the file.
fn next_frame(file: &mut impl Read, frame: &mut Vec<u8>) -> Result<bool, String> {
    let mut head = [0; 12];
    match file.read(&mut head[..1]) {
        Ok(0) => return Ok(false),
        Ok(_) => {}
        Err(error) => return Err(error.to_string()),
    }
    file.read_exact(&mut head[1..]).map_err(|error| error.to_string())?;
    let [a, b, c, d, hash_bytes @ ..] = head;
    let length = u32::from_le_bytes([a, b, c, d]);
    if length > FRAME_BYTES_MAX {
        return Err(format!("a frame has {length} bytes"));
    }
    frame.clear();
    frame.resize(length as usize, 0);
    file.read_exact(frame).map_err(|error| error.to_string())?;
    if hash(frame) == u64::from_le_bytes(hash_bytes) { Ok(true) } else { Err("a checksum differs".to_owned()) }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hash = XxHash64::with_seed(0);
    hash.write(bytes);
    hash.finish()
}

fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    Error::unavailable(format!("{} can't be written", path.display())).detail(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value: &[u8]) -> Vec<u8> {
        // topic, timestamp, key (none), headers (none), value
        let mut bytes = 5_u32.to_le_bytes().to_vec();
        bytes.extend_from_slice(b"topic");
        bytes.extend_from_slice(&1_500_i64.to_le_bytes());
        bytes.extend_from_slice(&u32::MAX.to_le_bytes());
        bytes.extend_from_slice(&0_u32.to_le_bytes());
        bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        bytes.extend_from_slice(value);
        bytes
    }

    fn append(spool: &mut Spool, value: &[u8]) {
        let bytes = record(value);
        spool.append(&Record::decode(&mut bytes.as_slice()).expect("a record")).expect("appended");
    }

    fn values(spool: &Spool, sealed: &Sealed) -> Result<Vec<Vec<u8>>> {
        let mut found = Vec::new();
        spool.read(sealed, &mut |record: &Record<'_>| {
            assert_eq!((record.topic, record.key, record.timestamp), ("topic", None, Some(1_500)));
            found.push(record.value.unwrap_or_default().to_vec());
            Ok::<_, Error>(())
        })?;
        Ok(found)
    }

    #[test]
    fn sealed_part_gives_its_records_to_another_process() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut spool = Spool::new(folder.path(), "out", 1).expect("a spool");
        assert_eq!(spool.seal(1).expect("nothing to seal"), None);
        let long = vec![b'x'; FRAME_BYTES];
        for value in [&b"one"[..], &long, b"", b"two"] {
            append(&mut spool, value);
        }
        let mut seen = 0;
        let mut count = |_: &Record<'_>| {
            seen += 1;
            Ok::<_, Error>(())
        };
        spool.replay(&mut count).expect("replayed");
        assert_eq!(seen, 4);
        append(&mut spool, b"three");
        let sealed = spool.seal(7).expect("sealed").expect("a part");
        append(&mut spool, b"of the next part");
        let next = Spool::new(folder.path(), "out", 2).expect("a spool");
        assert_eq!(values(&next, &sealed).expect("read"), [&b"one"[..], &long, b"", b"two", b"three"]);
        next.clear().expect("cleared");
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 0);
    }

    #[test]
    fn other_outputs_and_the_part_at_hand_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut other = Spool::new(folder.path(), "other", 1).expect("a spool");
        append(&mut other, b"x");
        let mut spool = Spool::new(folder.path(), "out", 2).expect("a spool");
        append(&mut spool, b"y");
        spool.clear().expect("cleared");
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 2);
    }

    #[test]
    fn corrupt_or_short_spool_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut spool = Spool::new(folder.path(), "out", 1).expect("a spool");
        append(&mut spool, b"value");
        let sealed = spool.seal(1).expect("sealed").expect("a part");
        let path = folder.path().join(&sealed.spool);
        let whole = std::fs::read(&path).expect("read");
        for at in 0..whole.len() {
            let mut broken = whole.clone();
            broken[at] ^= 1;
            std::fs::write(&path, &broken).expect("written");
            let said = values(&spool, &sealed).expect_err("corrupt").to_string();
            assert!(said.contains("is corrupt"), "byte {at}: {said}");
            std::fs::write(&path, &whole[..at]).expect("written");
            assert!(values(&spool, &sealed).is_err(), "cut at {at}");
        }
        std::fs::remove_file(&path).expect("removed");
        assert!(values(&spool, &sealed).expect_err("missing").to_string().contains("missing"));
    }
}
