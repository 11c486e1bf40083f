//! Documents that go in one request: their bytes one behind the other, so that a request is a copy of nothing.

use bytes::Bytes;
use hashbrown::HashMap;

/// Where a document lies: the line before it that says what to do with it (perhaps empty), and itself, each with its
/// newline.
#[derive(Debug, Clone, Copy)]
struct Item {
    start: usize,
    document: usize,
    end: usize,
}

/// Documents in the making of a load.
#[derive(Debug, Default)]
pub(super) struct Draft {
    bytes: Vec<u8>,
    items: Vec<Item>,
}

impl Draft {
    /// Adds a document behind its head; both hold their newlines.
    pub(super) fn push(&mut self, head: &[u8], document: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(head);
        self.bytes.extend_from_slice(document);
        self.items.push(Item { start, document: start + head.len(), end: self.bytes.len() });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// What was gathered; nothing is left.
    pub(super) fn take(&mut self) -> Load {
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        Load { bytes, items: std::mem::take(&mut self.items) }
    }
}

/// Documents of one request. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    bytes: Bytes,
    items: Vec<Item>,
}

impl Load {
    /// How many documents.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Heads and documents, one behind the other.
    pub(crate) fn all(&self) -> &Bytes {
        &self.bytes
    }

    /// The line before a document, without its newline; empty where there is none.
    pub(crate) fn head(&self, at: usize) -> &[u8] {
        self.items.get(at).map_or(&[], |item| line(self.bytes.get(item.start..item.document)))
    }

    /// A document without its newline.
    pub(crate) fn document(&self, at: usize) -> &[u8] {
        self.items.get(at).map_or(&[], |item| line(self.bytes.get(item.document..item.end)))
    }

    /// Bytes of heads and documents.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Bytes of one document with its head.
    pub(super) fn bytes_of(&self, at: usize) -> u64 {
        self.items.get(at).map_or(0, |item| (item.end - item.start) as u64)
    }

    /// Some of its documents.
    pub(super) fn part(&self, of: impl IntoIterator<Item = usize>) -> Self {
        let mut draft = Draft::default();
        for item in of.into_iter().filter_map(|at| self.items.get(at)) {
            let bytes = |from: usize, to: usize| self.bytes.get(from..to).unwrap_or_default();
            draft.push(bytes(item.start, item.document), bytes(item.document, item.end));
        }
        draft.take()
    }

    /// Both halves.
    pub(super) fn halves(&self) -> (Self, Self) {
        let middle = self.len() / 2;
        (self.part(0..middle), self.part(middle..self.len()))
    }

    /// Of several documents whose heads name the same one the last alone: a later state of the same row, or its end. So
    /// an attempt for a part of a load can never bring back an older state. A head is `{"action":{…}}`.
    pub(super) fn latest(self) -> Self {
        let mut last: HashMap<&[u8], usize, foldhash::fast::FixedState> = HashMap::default();
        for at in 0..self.len() {
            last.insert(named(self.head(at)), at);
        }
        let mut kept: Vec<usize> = last.into_values().collect();
        if kept.len() == self.len() {
            return self;
        }
        kept.sort_unstable();
        self.part(kept)
    }
}

/// What a head says of which document it is: all behind the action.
fn named(head: &[u8]) -> &[u8] {
    memchr::memchr(b':', head).and_then(|at| head.get(at..)).unwrap_or(head)
}

fn line(bytes: Option<&[u8]>) -> &[u8] {
    let bytes = bytes.unwrap_or_default();
    bytes.strip_suffix(b"\n").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(documents: &[(&str, &str)]) -> Load {
        let mut draft = Draft::default();
        for (head, document) in documents {
            draft.push(head.as_bytes(), document.as_bytes());
        }
        draft.take()
    }

    #[test]
    fn parts_and_halves_hold_whole_documents() {
        let all = load(&[("a\n", "1\n"), ("b\n", "22\n"), ("c\n", "333\n")]);
        assert_eq!(all.all().as_ref(), b"a\n1\nb\n22\nc\n333\n");
        assert_eq!((all.head(1), all.document(2)), (b"b".as_slice(), b"333".as_slice()));
        assert_eq!(all.part([0, 2]).all().as_ref(), b"a\n1\nc\n333\n");
        let (first, second) = all.halves();
        assert_eq!(
            (first.all().as_ref(), second.all().as_ref()),
            (b"a\n1\n".as_slice(), b"b\n22\nc\n333\n".as_slice())
        );
    }

    #[test]
    fn of_several_states_of_a_document_the_latest_is_sent() {
        let all =
            load(&[("{index:a}\n", "old\n"), ("{index:b}\n", "1\n"), ("{index:a}\n", "new\n"), ("{delete:b}\n", "")]);
        assert_eq!(all.latest().all().as_ref(), b"{index:a}\nnew\n{delete:b}\n");
    }
}
