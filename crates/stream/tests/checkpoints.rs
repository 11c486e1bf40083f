//! The keeper of checkpoints: incremental, fenced, cleaned up, and clear about what is broken.
#![expect(clippy::unwrap_used, reason = "helpers fail as their tests do")]

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use fyke_stream::checkpoint::{Every, Folder, Keeper, Manifest, SinkState};
use fyke_stream::{Customer, Memo, NodeState, Piece, Place};
use fyke_types::{Kind, ManualClock, Result, Store};

fn open(folder: &Folder) -> Result<Keeper> {
    Keeper::open(Arc::new(folder.clone()), Every::Epochs(1), Arc::new(ManualClock::new(1_000)))
}

fn rows(value: i64) -> RecordBatch {
    RecordBatch::try_from_iter([("k", Arc::new(Int64Array::from(vec![value; 100])) as ArrayRef)]).unwrap()
}

/// Writes a checkpoint with these pieces; those in `new` carry their rows.
fn write(keeper: &mut Keeper, numbers: &[u64], new: &[u64]) -> Result<()> {
    let place = Place { customer: Customer(0), port: 0, start: 0, end: 60 };
    let piece = |number: &u64| {
        let rows = new.contains(number).then(|| rows(*number as i64));
        Piece { number: *number, place, rows, alive: None, kept: false }
    };
    let memo = Memo { next_piece: 100, closed: vec![(Customer(0), 7)], emitted: true };
    keeper.write(draft(), |give| {
        numbers.iter().map(piece).try_for_each(|piece| give("a", piece))?;
        Ok(vec![NodeState { key: "a".into(), describe: "an operator".into(), memo }])
    })
}

fn draft() -> Manifest {
    Manifest { sinks: vec![SinkState { name: "out".into(), ..SinkState::default() }], ..Manifest::default() }
}

fn restored(keeper: &Keeper) -> Result<Vec<(u64, RecordBatch)>> {
    let snapshot = keeper.state(&keeper.manifest().operators[0])?;
    assert_eq!((snapshot.memo.closed, snapshot.memo.emitted), (vec![(Customer(0), 7)], true));
    Ok(snapshot.pieces.into_iter().map(|piece| (piece.number, piece.rows.unwrap())).collect())
}

#[test]
fn piece_is_written_once_and_found_again_as_long_as_it_lives() {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::new(place.path());
    let mut keeper = open(&folder).unwrap();
    assert_eq!(keeper.resumed_from(), None);
    write(&mut keeper, &[1, 2], &[1, 2]).unwrap();
    write(&mut keeper, &[1, 2, 3], &[3]).unwrap();
    write(&mut keeper, &[2, 3], &[]).unwrap();
    let again = open(&folder).unwrap();
    assert_eq!(again.resumed_from(), Some(4), "the first is the claim of the first process");
    assert_eq!(restored(&again).unwrap(), [(2, rows(2)), (3, rows(3))]);
    assert_eq!(folder.names("state").unwrap().len(), 2, "a checkpoint without new pieces writes no file");
}

#[test]
fn files_that_no_kept_checkpoint_needs_are_removed() {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::new(place.path());
    let mut keeper = open(&folder).unwrap();
    for number in 0..50 {
        write(&mut keeper, &[number], &[number]).unwrap();
    }
    assert_eq!((folder.names("manifests").unwrap().len(), folder.names("state").unwrap().len()), (2, 2));
    // a process that died before it published
    folder.create("state/000000000099-1.arrow", b"half").unwrap();
    open(&folder).unwrap();
    assert!(!folder.names("state").unwrap().contains(&"000000000099-1.arrow".to_owned()));
}

#[test]
fn deposed_process_can_not_publish() {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::new(place.path());
    let mut old = open(&folder).unwrap();
    write(&mut old, &[1], &[1]).unwrap();
    let mut new = open(&folder).unwrap();
    assert_eq!((old.parts().generation, new.parts().generation), (1, 2));
    let error = write(&mut old, &[1, 2], &[2]).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("another process has taken over"), "{error}");
    write(&mut new, &[1, 3], &[3]).unwrap();
    assert_eq!(restored(&open(&folder).unwrap()).unwrap().len(), 2);
}

#[test]
fn deposed_process_that_slept_through_several_checkpoints_can_not_publish() {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::new(place.path());
    let mut old = open(&folder).unwrap();
    write(&mut old, &[1], &[1]).unwrap();
    let mut new = open(&folder).unwrap();
    for number in 2..9 {
        write(&mut new, &[number], &[number]).unwrap();
    }
    assert!(!folder.names("manifests").unwrap().contains(&"000000000003.json".to_owned()), "its next number is free");
    let error = write(&mut old, &[1, 2], &[2]).unwrap_err();
    assert!(error.to_string().contains("another process has taken over"), "{error}");
    assert!(!folder.names("manifests").unwrap().contains(&"000000000003.json".to_owned()));
}

#[test]
fn checkpoint_on_its_way_is_not_there_before_it_has_settled() {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::new(place.path());
    let mut keeper = open(&folder).unwrap();
    keeper.begin(draft(), |_| Ok(Vec::new())).unwrap();
    assert!(keeper.is_busy() && !keeper.is_due(1_000));
    assert_eq!(Keeper::last(&folder).unwrap().unwrap().number, 1);
    assert!(keeper.settle(false).unwrap() && !keeper.settle(true).unwrap());
    assert_eq!(Keeper::last(&folder).unwrap().unwrap().number, 2);
}

#[test]
fn what_is_broken_is_named_with_the_remedy() {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::new(place.path());
    let mut keeper = open(&folder).unwrap();
    write(&mut keeper, &[1], &[1]).unwrap();
    let state = place.path().join("state").join(&folder.names("state").unwrap()[0]);
    let bytes = std::fs::read(&state).unwrap();
    std::fs::write(&state, &bytes[..bytes.len() - 9]).unwrap();
    let error = restored(&keeper).unwrap_err();
    assert!(error.kind() == Kind::Data && error.to_string().contains("state/"), "{error}");
    std::fs::remove_file(&state).unwrap();
    let error = restored(&keeper).unwrap_err().to_string();
    assert!(error.contains("missing"), "{error}");
    let newest = folder.names("manifests").unwrap().pop().unwrap();
    for (text, words) in [("{", "corrupt"), (r#"{"version": 9}"#, "format 9")] {
        std::fs::write(place.path().join("manifests").join(&newest), text).unwrap();
        let error = open(&folder).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains(&newest) && error.contains("hint:"), "{error}");
    }
    std::fs::remove_file(place.path().join("manifests").join(&newest)).unwrap();
    assert!(open(&folder).unwrap().resumed_from().is_none(), "back to the claim, with nothing in it");
}
