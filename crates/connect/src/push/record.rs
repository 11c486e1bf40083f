//! What was received at once: who sent it, its bytes, and how it lies in a spool.

use std::io::{self, Read};

/// A body, or a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Record {
    /// The customer that the sender named, or where it came from.
    pub(crate) who: String,
    pub(crate) bytes: Vec<u8>,
    /// Why it could not be received whole; empty where it was.
    pub(crate) reason: String,
}

/// A checksum and three lengths.
const HEAD_BYTES: usize = 16;
/// No part of a record is longer: a length beyond is none.
const PART_BYTES_MAX: u32 = 1 << 30;

impl Record {
    /// What it costs to keep it.
    pub(crate) fn size(&self) -> usize {
        self.who.len() + self.bytes.len() + self.reason.len() + HEAD_BYTES
    }

    fn parts(&self) -> [&[u8]; 3] {
        [self.who.as_bytes(), self.reason.as_bytes(), &self.bytes]
    }

    /// Appends it as it lies in a spool: checksum, lengths, parts.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let lengths = self.parts().map(|part| u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
        let mut sum = flate2::Crc::new();
        for part in lengths.iter().map(<[u8; 4]>::as_slice).chain(self.parts()) {
            sum.update(part);
        }
        out.extend_from_slice(&sum.sum().to_le_bytes());
        out.extend(lengths.iter().flatten());
        self.parts().iter().for_each(|part| out.extend_from_slice(part));
    }

    /// The next record of a spool; none at its end, and where a crash has torn the last one, which nobody was told of.
    ///
    /// # Errors
    /// When it can't be read.
    pub(crate) fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut head = [0; HEAD_BYTES];
        if !read_whole(from, &mut head)? {
            return Ok(None);
        }
        let number = |at: usize| {
            let bytes = head.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0xff; 4]);
            u32::from_le_bytes(bytes)
        };
        let lengths = [number(4), number(8), number(12)];
        if lengths.iter().any(|length| *length > PART_BYTES_MAX) {
            return Ok(None);
        }
        let mut sum = flate2::Crc::new();
        sum.update(head.get(4..).unwrap_or_default());
        let mut parts: [Vec<u8>; 3] = Default::default();
        for (part, length) in parts.iter_mut().zip(lengths) {
            // a torn length may claim more than there is
            from.take(u64::from(length)).read_to_end(part)?;
            if part.len() != length as usize {
                return Ok(None);
            }
            sum.update(part);
        }
        if sum.sum() != number(0) {
            return Ok(None);
        }
        let [who, reason, bytes] = parts;
        match (String::from_utf8(who), String::from_utf8(reason)) {
            (Ok(who), Ok(reason)) => Ok(Some(Self { who, bytes, reason })),
            _ => Ok(None),
        }
    }
}

/// Whether there was as much.
fn read_whole(from: &mut impl Read, into: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(into) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_read_back_and_torn_ones_end(records in proptest::collection::vec((".{0,9}", proptest::collection::vec(any::<u8>(), 0..40), ".{0,3}"), 0..5), cut in 0usize..60) {
            let records: Vec<Record> = records.into_iter().map(|(who, bytes, reason)| Record { who, bytes, reason }).collect();
            let mut spool = Vec::new();
            let mut ends = vec![0];
            for record in &records {
                record.write(&mut spool);
                ends.push(spool.len());
            }
            let kept = spool.len().saturating_sub(cut);
            spool.truncate(kept);
            let mut rest = spool.as_slice();
            let mut found = Vec::new();
            while let Some(record) = Record::read(&mut rest).unwrap() {
                found.push(record);
            }
            let whole = ends.iter().filter(|end| **end <= kept).count() - 1;
            prop_assert_eq!(&found, &records[..whole]);
        }

        #[test]
        fn any_bytes_are_no_record_or_one(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut rest = bytes.as_slice();
            while let Some(record) = Record::read(&mut rest).unwrap() {
                prop_assert!(record.size() <= bytes.len());
            }
        }
    }
}
