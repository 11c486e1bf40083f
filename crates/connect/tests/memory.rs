//! Tables in memory.
#![expect(clippy::unwrap_used, reason = "helpers fail as their tests do")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{RecordBatch, StringArray, TimestampMicrosecondArray};
use common::{NOW, Seen, following, options, read_all, read_until};
use fyke_connect::{MemoryInput, MemorySink, MemorySource, NullSink};
use fyke_types::{Event, Sink, Source};

fn batch(times: &[Option<i64>]) -> RecordBatch {
    let words = StringArray::from_iter_values(times.iter().map(|time| format!("w{}", time.unwrap_or(0))));
    RecordBatch::try_from_iter_with_nullable([
        ("time", Arc::new(TimestampMicrosecondArray::from(times.to_vec())) as arrow::array::ArrayRef, true),
        ("word", Arc::new(words), true),
    ])
    .unwrap()
}

fn input(customer: &str, batches: &[&[i64]]) -> MemoryInput {
    let batches = batches.iter().map(|times| batch(&times.iter().map(|t| Some(*t)).collect::<Vec<_>>())).collect();
    MemoryInput { customer: customer.into(), batches }
}

#[test]
fn furthest_behind_is_read_next() {
    let inputs = vec![input("a", &[&[10], &[40], &[50]]), input("b", &[&[20, 30], &[60]]), input("c", &[&[5], &[70]])];
    let source = MemorySource::new(batch(&[]).schema(), inputs).unwrap();
    for _ in 0..2 {
        let seen = read_all(&source, &options(0, 1));
        assert_eq!(seen.rows.iter().map(|row| row.1).collect::<Vec<_>>(), [10, 20, 30, 5, 70, 40, 60, 50]);
        assert_eq!(seen.events[..3], ["open memory/0 a", "open memory/1 b", "open memory/2 c"]);
    }
}

#[test]
fn rows_without_usable_time_are_dead_letters() {
    let source = MemorySource::new(batch(&[]).schema(), vec![]).unwrap();
    let id = source.add_input("a");
    source.push(id, batch(&[Some(1)])).unwrap();
    source.push(id, batch(&[None, Some(2), Some(NOW * 1000)])).unwrap();
    let seen = read_all(&source, &options(0, 1));
    assert_eq!(seen.words(), ["w1", "w2"]);
    assert_eq!(seen.dead.iter().map(|(_, d)| d.line).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(seen.dead[0].1.raw, b"{\"time\":null,\"word\":\"w0\"}");
    assert_eq!(seen.read, 4);
}

#[test]
fn followed_table_grows_until_it_is_closed() {
    let source = MemorySource::new(batch(&[]).schema(), vec![input("a", &[&[1]])]).unwrap();
    let mut reader = source.open(&following(0)).unwrap();
    let mut seen = Seen::default();
    while seen.take(reader.next(Duration::from_millis(10)).unwrap()) {}
    assert_eq!(seen.rows.len(), 1);
    let pushing = source.clone();
    let thread = std::thread::spawn(move || {
        let id = pushing.add_input("b");
        pushing.push(id, batch(&[Some(2)])).unwrap();
        pushing.close();
    });
    read_until(reader.as_mut(), &mut seen, |seen| seen.events.iter().filter(|e| e.starts_with("end")).count() == 2);
    thread.join().unwrap();
    assert_eq!(seen.words(), ["w1", "w2"]);
    assert!(matches!(reader.next(Duration::ZERO).unwrap(), Event::End));
}

#[test]
fn batch_of_other_columns_is_refused() {
    let source = MemorySource::new(batch(&[]).schema(), vec![]).unwrap();
    let id = source.add_input("a");
    assert!(source.push(id, batch(&[Some(1)]).project(&[0]).unwrap()).is_err());
    assert!(source.push(fyke_types::InputId(7), batch(&[])).is_err());
}

#[test]
fn sinks_keep_or_count() {
    let (kept, counted) = (MemorySink::new(), NullSink::default());
    for mut sink in [Box::new(kept.clone()) as Box<dyn Sink>, Box::new(counted.clone())] {
        sink.write(&batch(&[Some(1), Some(2)])).unwrap();
        sink.finish().unwrap();
    }
    assert_eq!((kept.rows(), kept.is_finished(), counted.rows()), (2, true, 2));
}
