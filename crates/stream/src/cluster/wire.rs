//! Letters between processes as bytes: a length, a header in JSON, and rows as Arrow IPC streams.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::ipc::writer::StreamWriter;
use fyke_types::{Error, Kind, Micros, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::message::{Answer, FromPeer, Order, Origin};
use crate::{Customer, Marks, Memo, NodeId, OperatorProgress, Piece, Place, Snapshot, Tagged};

/// No letter is longer: a corrupt or hostile length must not take the memory.
const LONGEST: usize = 1 << 30;

/// What goes over a connection once both sides trust each other.
#[derive(Debug)]
pub(crate) enum Letter {
    /// For a worker of the receiving process.
    Order(usize, Order),
    /// Of a worker, for the coordinator.
    Answer(usize, Answer),
    /// To a member: a generation begins.
    Start(Start),
    /// The sender is alive.
    Beat,
    /// The run has come to its end: nothing follows.
    End,
}

/// What a member must know of its generation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) generation: u64,
    /// Which of the attempts to begin it.
    pub(crate) attempt: u64,
    /// All processes that take part, the coordinator first.
    pub(crate) seats: Vec<Seat>,
}

/// A process of a generation and its workers, numbered over all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seat {
    /// Its line in the hosts file.
    pub(crate) index: usize,
    pub(crate) first_worker: usize,
    pub(crate) workers: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct MarksHead {
    all: Micros,
    by: Vec<(Customer, Micros)>,
    silent: Vec<Customer>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PieceHead {
    number: u64,
    place: Place,
    has_rows: bool,
    /// A character a row: `1` for those of use.
    alive: Option<String>,
    kept: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Failure {
    kind: u8,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Head {
    Rows {
        source: usize,
        customer: Customer,
        origin: Origin,
    },
    FromPeer {
        epoch: u64,
        node: usize,
        what: FromPeerHead,
    },
    Close(Vec<MarksHead>),
    Ask(u64),
    AskAhead,
    CloseAhead(Vec<(usize, Customer, Micros)>),
    AskSnapshot,
    Restore {
        node: usize,
        memo: Memo,
        pieces: Vec<PieceHead>,
    },
    AskProgress,
    Stop,
    /// By outlet how many batches.
    Closed {
        late: Vec<u64>,
        late_inside: u64,
        outlets: Vec<usize>,
    },
    Here(u64),
    Ahead(Vec<(usize, Customer, Micros)>),
    Piece {
        node: usize,
        piece: PieceHead,
    },
    Memos(Vec<(usize, Memo)>),
    Restored,
    Progress(Vec<OperatorProgress>),
    Failed(Failure),
    Lost(Failure),
    Ready,
    Start(Start),
    Beat,
    End,
}

#[derive(Debug, Serialize, Deserialize)]
enum FromPeerHead {
    Rows { port: usize, customer: Customer, origin: Origin },
    Groups { place: Place },
    Through { port: usize, marks: MarksHead },
}

/// Writes a frame: a length of four bytes, then so many bytes.
pub(super) fn write_frame(to: &mut impl Write, bytes: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| std::io::Error::other("a letter of more than 4 GiB"))?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(bytes)
}

/// Reads a frame of at most so many bytes.
pub(super) fn read_frame(from: &mut impl Read, longest: usize) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > longest {
        return Err(std::io::Error::other(format!("a letter of {length} bytes where {longest} are the most")));
    }
    let mut bytes = Vec::with_capacity(length.min(1 << 20));
    from.take(length as u64).read_to_end(&mut bytes)?;
    if bytes.len() < length {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

pub(super) fn write_json(to: &mut impl Write, value: &impl Serialize) -> std::io::Result<()> {
    write_frame(to, &serde_json::to_vec(value)?)
}

pub(super) fn read_json<T: DeserializeOwned>(from: &mut impl Read, longest: usize) -> std::io::Result<T> {
    Ok(serde_json::from_slice(&read_frame(from, longest)?)?)
}

/// Writes a letter.
pub(super) fn write_letter(to: &mut impl Write, letter: Letter) -> Result<()> {
    let (worker, head, batches) = taken_apart(letter);
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&u32::try_from(worker).unwrap_or(u32::MAX).to_le_bytes());
    let head = serde_json::to_vec(&head).map_err(|error| Error::internal("a letter can't be written").detail(error))?;
    write_frame(&mut bytes, &head).map_err(gone)?;
    for batch in batches {
        let mut stream = Vec::new();
        let mut writer = StreamWriter::try_new(&mut stream, batch.schema_ref())?;
        writer.write(&batch)?;
        writer.finish()?;
        drop(writer);
        write_frame(&mut bytes, &stream).map_err(gone)?;
    }
    write_frame(to, &bytes).map_err(gone)
}

/// Reads a letter.
pub(super) fn read_letter(from: &mut impl Read) -> Result<Letter> {
    let bytes = read_frame(from, LONGEST).map_err(gone)?;
    let mut rest = bytes.as_slice();
    let mut worker = [0; 4];
    rest.read_exact(&mut worker).map_err(gone)?;
    let head: Head = read_json(&mut rest, LONGEST).map_err(gone)?;
    let mut batches = Vec::new();
    while !rest.is_empty() {
        let stream = read_frame(&mut rest, LONGEST).map_err(gone)?;
        let mut reader = StreamReader::try_new(stream.as_slice(), None)?;
        batches.extend(reader.next().transpose()?);
    }
    put_together(u32::from_le_bytes(worker) as usize, head, batches)
}

fn gone(error: std::io::Error) -> Error {
    Error::unavailable("the connection to another process of the cluster is broken").detail(error)
}

fn taken_apart(letter: Letter) -> (usize, Head, Vec<RecordBatch>) {
    match letter {
        Letter::Order(worker, order) => {
            let (head, batches) = order_apart(order);
            (worker, head, batches)
        }
        Letter::Answer(worker, answer) => {
            let (head, batches) = answer_apart(answer);
            (worker, head, batches)
        }
        Letter::Start(start) => (0, Head::Start(start), Vec::new()),
        Letter::Beat => (0, Head::Beat, Vec::new()),
        Letter::End => (0, Head::End, Vec::new()),
    }
}

fn order_apart(order: Order) -> (Head, Vec<RecordBatch>) {
    match order {
        Order::Rows { source, rows, origin } => {
            (Head::Rows { source, customer: rows.customer, origin }, vec![rows.batch])
        }
        Order::FromPeer { epoch, node, what } => {
            let (what, batch) = match what {
                FromPeer::Rows { port, rows: Tagged { customer, batch }, origin } => {
                    (FromPeerHead::Rows { port, customer, origin }, Some(batch))
                }
                FromPeer::Groups { place, states } => (FromPeerHead::Groups { place }, Some(states)),
                FromPeer::Through { port, marks } => (FromPeerHead::Through { port, marks: marks_apart(&marks) }, None),
            };
            (Head::FromPeer { epoch, node, what }, batch.into_iter().collect())
        }
        Order::Close(marks) => (Head::Close(marks.iter().map(marks_apart).collect()), Vec::new()),
        Order::Ask(number) => (Head::Ask(number), Vec::new()),
        Order::Ahead => (Head::AskAhead, Vec::new()),
        Order::CloseAhead(ahead) => (Head::CloseAhead(ahead), Vec::new()),
        Order::Snapshot => (Head::AskSnapshot, Vec::new()),
        Order::Restore { node, snapshot } => {
            let (pieces, rows): (Vec<_>, Vec<_>) = snapshot.pieces.into_iter().map(piece_apart).unzip();
            (Head::Restore { node: node.0, memo: snapshot.memo, pieces }, rows.into_iter().flatten().collect())
        }
        Order::Progress => (Head::AskProgress, Vec::new()),
        // memory is each process's own
        Order::KeepWithin { .. } => (Head::Beat, Vec::new()),
        Order::Stop => (Head::Stop, Vec::new()),
    }
}

fn answer_apart(answer: Answer) -> (Head, Vec<RecordBatch>) {
    match answer {
        Answer::Closed { late, late_inside, rows } => {
            let outlets = rows.iter().map(Vec::len).collect();
            (Head::Closed { late, late_inside, outlets }, rows.into_iter().flatten().collect())
        }
        Answer::Here(number) => (Head::Here(number), Vec::new()),
        Answer::Ahead(ahead) => (Head::Ahead(ahead), Vec::new()),
        Answer::Piece { node, piece } => {
            let (piece, rows) = piece_apart(piece);
            (Head::Piece { node, piece }, rows.into_iter().collect())
        }
        Answer::Memos(memos) => (Head::Memos(memos), Vec::new()),
        Answer::Restored => (Head::Restored, Vec::new()),
        Answer::Progress(progress) => (Head::Progress(progress), Vec::new()),
        Answer::Failed(error) => (Head::Failed(failure_of(&error)), Vec::new()),
        Answer::Lost(error) => (Head::Lost(failure_of(&error)), Vec::new()),
        Answer::Ready => (Head::Ready, Vec::new()),
    }
}

fn put_together(worker: usize, head: Head, batches: Vec<RecordBatch>) -> Result<Letter> {
    let mut batches = batches.into_iter();
    let mut next = || batches.next().ok_or_else(|| Error::internal("a letter lacks its rows"));
    let order = |order| Ok(Letter::Order(worker, order));
    let answer = |answer| Ok(Letter::Answer(worker, answer));
    match head {
        Head::Rows { source, customer, origin } => {
            order(Order::Rows { source, rows: Tagged { customer, batch: next()? }, origin })
        }
        Head::FromPeer { epoch, node, what } => {
            let what = match what {
                FromPeerHead::Rows { port, customer, origin } => {
                    FromPeer::Rows { port, rows: Tagged { customer, batch: next()? }, origin }
                }
                FromPeerHead::Groups { place } => FromPeer::Groups { place, states: next()? },
                FromPeerHead::Through { port, marks } => FromPeer::Through { port, marks: marks_of(marks) },
            };
            order(Order::FromPeer { epoch, node, what })
        }
        Head::Close(marks) => order(Order::Close(marks.into_iter().map(marks_of).collect())),
        Head::Ask(number) => order(Order::Ask(number)),
        Head::AskAhead => order(Order::Ahead),
        Head::CloseAhead(ahead) => order(Order::CloseAhead(ahead)),
        Head::AskSnapshot => order(Order::Snapshot),
        Head::Restore { node, memo, pieces } => {
            let pieces = pieces.into_iter().map(|head| piece_of(head, &mut next)).collect::<Result<_>>()?;
            order(Order::Restore { node: NodeId(node), snapshot: Snapshot { pieces, memo } })
        }
        Head::AskProgress => order(Order::Progress),
        Head::Stop => order(Order::Stop),
        Head::Closed { late, late_inside, outlets } => {
            let rows = outlets.into_iter().map(|count| (0..count).map(|_| next()).collect()).collect::<Result<_>>()?;
            answer(Answer::Closed { late, late_inside, rows })
        }
        Head::Here(number) => answer(Answer::Here(number)),
        Head::Ahead(ahead) => answer(Answer::Ahead(ahead)),
        Head::Piece { node, piece } => answer(Answer::Piece { node, piece: piece_of(piece, &mut next)? }),
        Head::Memos(memos) => answer(Answer::Memos(memos)),
        Head::Restored => answer(Answer::Restored),
        Head::Progress(progress) => answer(Answer::Progress(progress)),
        Head::Failed(failure) => answer(Answer::Failed(error_of(failure))),
        Head::Lost(failure) => answer(Answer::Lost(error_of(failure))),
        Head::Ready => answer(Answer::Ready),
        Head::Start(start) => Ok(Letter::Start(start)),
        Head::Beat => Ok(Letter::Beat),
        Head::End => Ok(Letter::End),
    }
}

fn marks_apart(marks: &Marks) -> MarksHead {
    MarksHead {
        all: marks.all,
        by: marks.by.iter().map(|(customer, mark)| (*customer, *mark)).collect(),
        silent: marks.silent.to_vec(),
    }
}

fn marks_of(head: MarksHead) -> Marks {
    let by: BTreeMap<Customer, Micros> = head.by.into_iter().collect();
    Marks { all: head.all, by: Arc::new(by), silent: Arc::new(head.silent) }
}

fn piece_apart(piece: Piece) -> (PieceHead, Option<RecordBatch>) {
    let alive = piece.alive.map(|alive| alive.iter().map(|bit| if bit { '1' } else { '0' }).collect());
    let Piece { number, place, rows, kept, .. } = piece;
    (PieceHead { number, place, has_rows: rows.is_some(), alive, kept }, rows)
}

fn piece_of(head: PieceHead, next: &mut impl FnMut() -> Result<RecordBatch>) -> Result<Piece> {
    let alive = head.alive.map(|text| text.bytes().map(|byte| byte == b'1').collect::<BooleanBuffer>());
    let rows = if head.has_rows { Some(next()?) } else { None };
    Ok(Piece { number: head.number, place: head.place, rows, alive, kept: head.kept })
}

fn failure_of(error: &Error) -> Failure {
    let kind = match error.kind() {
        Kind::Usage => 0,
        Kind::Data => 1,
        Kind::Unavailable => 2,
        Kind::Unsupported => 3,
        Kind::Internal => 4,
    };
    Failure {
        kind,
        message: error.message().to_owned(),
        detail: error.detail_text().map(str::to_owned),
        hint: error.hint_text().map(str::to_owned),
    }
}

fn error_of(failure: Failure) -> Error {
    let kind = match failure.kind {
        0 => Kind::Usage,
        1 => Kind::Data,
        2 => Kind::Unavailable,
        3 => Kind::Unsupported,
        _ => Kind::Internal,
    };
    let mut error = Error::new(kind, failure.message);
    if let Some(detail) = failure.detail {
        error = error.detail(detail);
    }
    match failure.hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatchOptions};
    use datafusion::arrow::datatypes::Schema;

    use super::*;

    fn over(letter: Letter) -> Letter {
        let mut bytes = Vec::new();
        write_letter(&mut bytes, letter).expect("written");
        read_letter(&mut bytes.as_slice()).expect("read")
    }

    fn batch(values: Vec<i64>) -> RecordBatch {
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(values)) as ArrayRef)]).expect("a batch")
    }

    #[test]
    fn rows_arrive_as_they_were_sent_even_without_columns() {
        let empty = RecordBatch::try_new_with_options(
            Arc::new(Schema::empty()),
            Vec::new(),
            &RecordBatchOptions::new().with_row_count(Some(7)),
        );
        for batch in [batch(vec![1, 2, 3]), empty.expect("a batch")] {
            let rows = Tagged { customer: Customer(3), batch: batch.clone() };
            let what = FromPeer::Rows { port: 1, rows, origin: Origin::Doubtful(5) };
            let letter = over(Letter::Order(9, Order::FromPeer { epoch: 7, node: 4, what }));
            let Letter::Order(9, Order::FromPeer { epoch: 7, node: 4, what }) = letter else { panic!("{letter:?}") };
            let FromPeer::Rows { port: 1, rows, origin: Origin::Doubtful(5) } = what else { panic!("{what:?}") };
            assert_eq!((rows.customer, rows.batch), (Customer(3), batch));
        }
    }

    #[test]
    fn marks_pieces_and_results_arrive_as_they_were_sent() {
        let marks = Marks {
            all: 5,
            by: Arc::new(BTreeMap::from([(Customer(1), 7), (Customer::ALL, i64::MAX)])),
            silent: Arc::new(vec![Customer(1)]),
        };
        let Letter::Order(_, Order::Close(got)) = over(Letter::Order(0, Order::Close(Arc::from([marks.clone()]))))
        else {
            panic!("no close")
        };
        assert_eq!((got[0].all, &got[0].by, &got[0].silent), (5, &marks.by, &marks.silent));

        let place = Place { customer: Customer(2), port: 1, start: -1, end: 1 };
        let alive = Some(BooleanBuffer::from_iter([true, false]));
        let piece = Piece { number: 3, place, rows: Some(batch(vec![1, 2])), alive, kept: true };
        let Letter::Answer(1, Answer::Piece { node: 2, piece: got }) =
            over(Letter::Answer(1, Answer::Piece { node: 2, piece: piece.clone() }))
        else {
            panic!("no piece")
        };
        assert_eq!((got.number, got.place, got.rows, got.kept), (3, place, piece.rows, true));
        assert_eq!(got.alive.map(|alive| alive.iter().collect::<Vec<_>>()), Some(vec![true, false]));

        let rows = vec![vec![], vec![batch(vec![1]), batch(vec![2])]];
        let closed = Answer::Closed { late: vec![1], late_inside: 2, rows: rows.clone() };
        let Letter::Answer(0, Answer::Closed { late, late_inside: 2, rows: got }) = over(Letter::Answer(0, closed))
        else {
            panic!("not closed")
        };
        assert_eq!((late, got), (vec![1], rows));
    }

    #[test]
    fn a_length_that_no_letter_has_is_refused_before_anything_is_read() {
        let error = read_letter(&mut [0xff; 64].as_slice()).expect_err("refused").to_string();
        assert!(error.contains("bytes where"), "{error}");
    }
}
