//! Accepted records on disk until a checkpoint holds what came of them: segments of records in a folder.
//!
//! `spool-NUMBER.records`, where `NUMBER` is the first record's. A record is written whole and synchronised before it
//! is acknowledged; a torn one at a segment's end was not.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fyke_types::{Error, Result};

use super::record::Record;

/// A segment is closed at this size, or at an eighth of what the spool may hold: only whole segments are removed.
const SEGMENT_BYTES: u64 = 64 << 20;
/// How long an earlier reading in this process may take to let go of the spool.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// The folder, as it is written to.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
    /// First record and size of each segment, in order; the last is the open one.
    segments: Vec<(u64, u64)>,
    open: Option<File>,
    next: u64,
    segment_bytes: u64,
    /// Bytes on disk.
    bytes: Arc<AtomicU64>,
    /// Held for as long as the spool is in use: two runs must not share it.
    _lock: File,
}

fn failed(folder: &Path, error: &io::Error) -> Error {
    let failed = Error::unavailable(format!("the spool {} can't be used", folder.display())).detail(error);
    failed.hint("it takes a folder of its own, that may be written to, on a disk with room")
}

fn segment_name(first: u64) -> String {
    format!("spool-{first:020}.records")
}

impl Spool {
    /// The spool in `folder`, which is made if need be. The next record is behind all that are there, and not before
    /// `next`.
    ///
    /// # Errors
    /// `Usage` where another run uses it, `Unavailable` where it can't be read or written.
    pub(crate) fn open(folder: &Path, next: u64, bytes_max: u64) -> Result<Self> {
        Self::with_segments_of(folder, next, SEGMENT_BYTES.min(bytes_max / 8))
    }

    fn with_segments_of(folder: &Path, next: u64, segment_bytes: u64) -> Result<Self> {
        let bad = |error: io::Error| failed(folder, &error);
        std::fs::create_dir_all(folder).map_err(bad)?;
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(folder.join("lock")).map_err(bad)?;
        let started = Instant::now();
        while let Err(error) = lock.try_lock() {
            if started.elapsed() > LOCK_WAIT {
                let used = Error::usage(format!("the spool {} is in use", folder.display())).detail(error);
                return Err(used.hint("each run, and each table of a run, has a spool of its own"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut segments = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(bad)? {
            let entry = entry.map_err(bad)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let first = name.strip_prefix("spool-").and_then(|rest| rest.strip_suffix(".records"));
            if let Some(first) = first.and_then(|first| first.parse().ok()) {
                segments.push((first, entry.metadata().map_err(bad)?.len()));
            }
        }
        segments.sort_unstable();
        if let Some((first, _)) = segments.first()
            && *first > next
            && next > 0
        {
            let message = format!("the spool {} begins with record {first}", folder.display());
            return Err(Error::data(message).detail(format!("the checkpoint goes on with record {next}")).hint(
                "were its files moved? Put them back; or start over with another --checkpoint, which reads what is there",
            ));
        }
        let folder_path = folder.to_path_buf();
        let bytes = Arc::default();
        let mut spool = Self { folder: folder_path, segments, open: None, next, segment_bytes, bytes, _lock: lock };
        if let Some((first, _)) = spool.segments.last().copied() {
            let mut records = spool.records(first)?;
            while records.next()?.is_some() {}
            spool.next = spool.next.max(records.number);
            // a segment without a whole record is written anew, and must not be read as an old one
            if spool.next == first {
                spool.segments.pop();
                std::fs::remove_file(spool.folder.join(segment_name(first))).map_err(bad)?;
            }
        }
        spool.count();
        Ok(spool)
    }

    fn count(&self) {
        self.bytes.store(self.segments.iter().map(|(_, bytes)| bytes).sum(), Ordering::Relaxed);
    }

    /// The number of the next record.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Bytes on disk, for those who must not wait.
    pub(crate) fn bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.bytes)
    }

    /// What is there from record `from` on.
    ///
    /// # Errors
    /// `Unavailable` where it can't be read.
    pub(crate) fn records(&self, from: u64) -> Result<Records> {
        let index = self.segments.partition_point(|(first, _)| *first <= from).saturating_sub(1);
        let firsts = self.segments.get(index..).unwrap_or_default().iter().map(|(first, _)| *first);
        let mut records =
            Records { folder: self.folder.clone(), left: firsts.rev().collect(), open: None, number: from };
        while records.number_of_next()?.is_some_and(|number| number < from) && records.next()?.is_some() {}
        Ok(records)
    }

    /// Makes records durable, all or none.
    ///
    /// # Errors
    /// When they can't be written; what was written of them is taken back.
    pub(crate) fn append(&mut self, records: &[&Record]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(records.iter().map(|record| record.size()).sum());
        records.iter().for_each(|record| record.write(&mut bytes));
        if self.segments.last().is_none_or(|(_, size)| *size >= self.segment_bytes) || self.open.is_none() {
            let path = self.folder.join(segment_name(self.next));
            // never behind a record that may be torn
            let file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
            File::open(&self.folder)?.sync_all()?;
            self.open = Some(file);
            self.segments.retain(|(first, _)| *first != self.next);
            self.segments.push((self.next, 0));
        }
        let (Some(file), Some((_, size))) = (&mut self.open, self.segments.last_mut()) else {
            return Err(io::Error::other("the spool has no open segment"));
        };
        if let Err(error) = file.write_all(&bytes).and_then(|()| file.sync_data()) {
            // nobody is told of them, so they must not be read; the next record begins a segment of its own
            let cut = file.set_len(*size).and_then(|()| file.sync_data());
            self.open = None;
            return Err(cut.err().unwrap_or(error));
        }
        *size += bytes.len() as u64;
        self.next += records.len() as u64;
        self.count();
        Ok(())
    }

    /// Removes the segments that hold nothing from record `from` on.
    ///
    /// # Errors
    /// `Unavailable` where they can't be removed.
    pub(crate) fn forget_before(&mut self, from: u64) -> Result<()> {
        while let [(first, _), (second, _), ..] = self.segments.as_slice() {
            if *second > from {
                break;
            }
            std::fs::remove_file(self.folder.join(segment_name(*first)))
                .map_err(|error| failed(&self.folder, &error))?;
            self.segments.remove(0);
        }
        // the last segment, once nothing of it is needed
        if let [(first, bytes)] = self.segments.as_slice()
            && self.next <= from
            && *bytes > self.segment_bytes / 4
        {
            std::fs::remove_file(self.folder.join(segment_name(*first)))
                .map_err(|error| failed(&self.folder, &error))?;
            self.segments.clear();
            self.open = None;
        }
        self.count();
        Ok(())
    }
}

/// Records of a spool, one by one.
#[derive(Debug)]
pub(crate) struct Records {
    folder: PathBuf,
    /// First records of segments that were not begun, the next one last.
    left: Vec<u64>,
    open: Option<BufReader<File>>,
    /// The number of the next record.
    number: u64,
}

impl Records {
    /// The number of the next record, where a segment is open or left.
    fn number_of_next(&mut self) -> Result<Option<u64>> {
        if self.open.is_none() {
            let Some(first) = self.left.pop() else { return Ok(None) };
            let file = File::open(self.folder.join(segment_name(first)));
            self.open = Some(BufReader::new(file.map_err(|error| failed(&self.folder, &error))?));
            self.number = first;
        }
        Ok(Some(self.number))
    }

    /// The next record and its number.
    ///
    /// # Errors
    /// `Unavailable` where a segment can't be read.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Record)>> {
        while let Some(number) = self.number_of_next()? {
            let Some(file) = &mut self.open else { break };
            match Record::read(file).map_err(|error| failed(&self.folder, &error))? {
                Some(record) => {
                    self.number += 1;
                    return Ok(Some((number, record)));
                }
                None => self.open = None,
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str) -> Record {
        Record { who: "a".into(), bytes: text.into(), reason: String::new() }
    }

    fn texts(spool: &Spool, from: u64) -> Vec<(u64, String)> {
        let mut records = spool.records(from).unwrap();
        let mut found = Vec::new();
        while let Some((number, record)) = records.next().unwrap() {
            found.push((number, String::from_utf8(record.bytes).unwrap()));
        }
        found
    }

    #[test]
    fn what_was_written_is_there_after_a_crash_but_a_torn_record() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::with_segments_of(folder.path(), 7, 60).unwrap();
        for text in ["one", "two", "three", "four", "five"] {
            spool.append(&[&record(text)]).unwrap();
        }
        assert!(spool.segments.len() > 1, "{:?}", spool.segments);
        assert!(Spool::open(folder.path(), 0, 480).is_err(), "two runs must not share a spool");
        let last = folder.path().join(segment_name(spool.segments.last().unwrap().0));
        drop(spool);
        let bytes = std::fs::read(&last).unwrap();
        std::fs::write(&last, [bytes.as_slice(), b"torn"].concat()).unwrap();
        let mut spool = Spool::with_segments_of(folder.path(), 0, 60).unwrap();
        assert_eq!(spool.next(), 12);
        spool.append(&[&record("six"), &record("seven")]).unwrap();
        let all = ["one", "two", "three", "four", "five", "six", "seven"].map(str::to_owned);
        let expected: Vec<(u64, String)> = (7..).zip(all).collect();
        assert_eq!(texts(&spool, 0), expected);
        assert_eq!(texts(&spool, 10), expected[3..]);
        assert_eq!(texts(&spool, 14), []);
        spool.forget_before(11).unwrap();
        assert_eq!(texts(&spool, 11), expected[4..]);
        let before = spool.bytes().load(Ordering::Relaxed);
        spool.forget_before(14).unwrap();
        assert!(spool.bytes().load(Ordering::Relaxed) < before);
        spool.append(&[&record("eight")]).unwrap();
        assert_eq!(texts(&spool, 14), [(14, "eight".to_owned())]);
    }
}
