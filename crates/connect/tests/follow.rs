//! Growing and rotating files, folders and pipes.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "helpers fail as their tests do")]

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{Piped, Seen, following, piped, read_until, spec};
use fyke_connect::FileSource;
use fyke_types::{Event, Source};

const FAST: [(&str, &str); 1] = [("poll", "10ms")];

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// Reads for half a second more: whatever comes too much would come then.
fn settle(reader: &mut dyn fyke_types::Reader, seen: &mut Seen) {
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(500) {
        seen.take(reader.next(Duration::from_millis(20)).unwrap());
    }
}

#[test]
fn appended_lines_come_and_a_partial_line_waits_for_its_newline() {
    for threads in [0, 2] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        append(&path, "1|a\n2|b");
        let source = piped(&path, &FAST);
        let mut reader = source.open(&following(threads)).unwrap();
        let mut seen = Seen::default();
        read_until(reader.as_mut(), &mut seen, |seen| seen.rows.len() == 1);
        assert!(matches!(reader.next(Duration::from_millis(60)).unwrap(), Event::Waiting));
        append(&path, "b\nbad\n3|c\n");
        read_until(reader.as_mut(), &mut seen, |seen| seen.rows.len() == 3);
        assert_eq!(seen.words(), ["a", "bb", "c"]);
        assert_eq!((seen.dead[0].1.line, seen.dead[0].1.offset), (3, 9));
    }
}

#[test]
fn wait_is_not_exceeded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    append(&path, "");
    let source = piped(&path, &[]);
    let mut reader = source.open(&following(1)).unwrap();
    reader.next(Duration::ZERO).unwrap();
    let started = Instant::now();
    assert!(matches!(reader.next(Duration::from_millis(30)).unwrap(), Event::Waiting));
    assert!(started.elapsed() < Duration::from_millis(150), "{:?}", started.elapsed());
}

#[test]
fn renamed_file_is_finished_before_the_new_one_and_not_read_twice() {
    for threads in [0, 2] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        append(&path, "1|a\n");
        let source = piped(folder.path(), &FAST);
        let mut reader = source.open(&following(threads)).unwrap();
        let mut seen = Seen::default();
        read_until(reader.as_mut(), &mut seen, |seen| seen.rows.len() == 1);
        let mut writer = OpenOptions::new().append(true).open(&path).unwrap();
        fs::rename(&path, folder.path().join("app.log.1")).unwrap();
        append(&path, "bad\n4|d\n");
        // the writer has not let go yet
        writer.write_all(b"2|b\n3|c").unwrap();
        read_until(reader.as_mut(), &mut seen, |seen| seen.rows.len() == 4);
        settle(reader.as_mut(), &mut seen);
        assert_eq!(seen.words(), ["a", "b", "c", "d"]);
        assert_eq!(seen.names.len(), 1, "{:?}", seen.names);
        // the new file counts from its own start
        assert_eq!((seen.dead[0].1.line, seen.dead[0].1.offset), (1, 0));
        assert_eq!(source.counters().rotated(), 1);
    }
}

#[test]
fn chain_of_rotations_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    append(&path("app.log.1"), "1|a\n");
    append(&path("app.log"), "2|b\n");
    let source = piped(folder.path(), &FAST);
    let mut reader = source.open(&following(1)).unwrap();
    let mut seen = Seen::default();
    read_until(reader.as_mut(), &mut seen, |seen| seen.rows.len() == 2);
    for round in 0..3 {
        fs::rename(path("app.log.1"), path("app.log.2")).unwrap();
        fs::rename(path("app.log"), path("app.log.1")).unwrap();
        append(&path("app.log"), &format!("{}|new\n", 10 + round));
        read_until(reader.as_mut(), &mut seen, |seen| seen.rows.len() == 3 + round as usize);
    }
    settle(reader.as_mut(), &mut seen);
    assert_eq!(seen.words(), ["b", "a", "new", "new", "new"]);
    assert_eq!(seen.names.len(), 2, "{:?}", seen.names);
}

#[test]
fn compressed_copy_of_a_read_file_is_not_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.log");
    append(&path, "1|a\n2|b\n");
    let source = piped(folder.path(), &FAST);
    let mut reader = source.open(&following(0)).unwrap();
    let mut seen = Seen::default();
    read_until(reader.as_mut(), &mut seen, |seen| seen.rows.len() == 2);
    let compressed = |name: &str, text: &str| {
        let mut encoder =
            flate2::write::GzEncoder::new(File::create(folder.path().join(name)).unwrap(), Default::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap();
    };
    compressed("app.log.1.gz", "1|a\n2|b\n");
    fs::remove_file(&path).unwrap();
    append(&path, "3|c\n");
    read_until(reader.as_mut(), &mut seen, |seen| seen.rows.len() == 3);
    // another customer's, compressed from the start, is new
    compressed("shop.log.gz", "4|d\n");
    read_until(reader.as_mut(), &mut seen, |seen| seen.rows.len() == 4);
    settle(reader.as_mut(), &mut seen);
    assert_eq!(seen.words(), ["a", "b", "c", "d"]);
    assert!(seen.events.contains(&"end 1".to_owned()), "a compressed file does not grow: {:?}", seen.events);
}

#[test]
fn truncated_file_is_read_from_its_start_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.log");
    append(&path, "1|a\n2|b\n3|c\n");
    let source = piped(folder.path(), &FAST);
    let mut reader = source.open(&following(0)).unwrap();
    let mut seen = Seen::default();
    read_until(reader.as_mut(), &mut seen, |seen| seen.rows.len() == 3);
    fs::copy(&path, folder.path().join("app.log.1")).unwrap();
    OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
    settle(reader.as_mut(), &mut seen);
    append(&path, "4|d\n");
    read_until(reader.as_mut(), &mut seen, |seen| seen.rows.len() == 4);
    settle(reader.as_mut(), &mut seen);
    assert_eq!(seen.words(), ["a", "b", "c", "d"]);
    assert_eq!(source.counters().truncated(), 1);
}

#[test]
fn followed_folder_waits_for_files() {
    for location in ["", "/*.log"] {
        let folder = tempfile::tempdir().unwrap();
        let source = piped(format!("{}{location}", folder.path().display()), &FAST);
        let mut reader = source.open(&following(0)).unwrap();
        assert!(matches!(reader.next(Duration::from_millis(30)).unwrap(), Event::Waiting));
        append(&folder.path().join("shop.log"), "1|a\n");
        let mut seen = Seen::default();
        read_until(reader.as_mut(), &mut seen, |seen| seen.rows.len() == 1);
        assert!(seen.events[0].ends_with("shop.log shop"), "{:?}", seen.events);
        append(&folder.path().join("blog.log"), "2|b\n");
        read_until(reader.as_mut(), &mut seen, |seen| seen.rows.len() == 2);
        assert_eq!(seen.names.len(), 2);
    }
}

#[test]
fn followed_single_file_must_exist() {
    let source = piped("/nowhere/app.log", &[]);
    assert!(source.open(&following(0)).is_err());
}

#[test]
fn backlog_comes_in_order_before_the_wait() {
    let folder = tempfile::tempdir().unwrap();
    // a gives up to 1, b up to 2: a is behind, and gives up to 4
    append(&folder.path().join("a.log"), "1|a\n4|d\n");
    append(&folder.path().join("b.log"), "2|b\n3|c\n");
    let source = piped(folder.path(), &FAST);
    let mut reader = source.open(&fyke_types::ReadOptions { block_bytes: 4, ..following(2) }).unwrap();
    let mut seen = Seen::default();
    while seen.take(reader.next(Duration::from_millis(50)).unwrap()) {}
    assert_eq!(seen.words(), ["a", "b", "d", "c"]);
}

#[test]
fn pipe_gives_lines_as_they_come_and_ends() {
    let (from, mut to) = std::io::pipe().unwrap();
    let source = FileSource::from_read_with_format(&spec("PIPED", "-", &[]), std::sync::Arc::new(Piped), from).unwrap();
    let mut reader = source.open(&following(1)).unwrap();
    let mut seen = Seen::default();
    to.write_all(b"1|a\n2|").unwrap();
    read_until(reader.as_mut(), &mut seen, |seen| seen.rows.len() == 1);
    let started = Instant::now();
    assert!(matches!(reader.next(Duration::from_millis(30)).unwrap(), Event::Waiting));
    assert!(started.elapsed() < Duration::from_millis(150));
    to.write_all(b"b\n3|c").unwrap();
    drop(to);
    read_until(reader.as_mut(), &mut seen, |seen| seen.events.contains(&"end 0".to_owned()));
    assert_eq!(seen.words(), ["a", "b", "c"]);
    assert!(matches!(reader.next(Duration::ZERO).unwrap(), Event::End));
}

#[test]
fn a_flooding_customer_takes_no_other_customers_turn() {
    for threads in [0, 2] {
        let folder = tempfile::tempdir().unwrap();
        let text = |from: i64, lines: i64| (from..from + lines).map(|n| format!("{n}|{n}\n")).collect::<String>();
        // two files of the flood, and one of somebody whose event time is far ahead: in that order it would come last
        fs::create_dir(folder.path().join("flood")).unwrap();
        fs::create_dir(folder.path().join("calm")).unwrap();
        append(&folder.path().join("flood/a.log"), &text(1, 20_000));
        append(&folder.path().join("flood/b.log"), &text(10_000, 20_000));
        append(&folder.path().join("calm/c.log"), &text(900_000, 1_000));
        let settings = [("poll", "10ms"), ("customer_from", "folder")];
        let source = piped(format!("{}/*/*.log", folder.path().display()), &settings);
        let options = fyke_types::ReadOptions { block_bytes: 1_000, ..following(threads) };
        let mut reader = source.open(&options).unwrap();
        let mut seen = Seen::default();
        read_until(reader.as_mut(), &mut seen, |seen| seen.rows.len() == 41_000);
        let (mut calm, mut flood) = (0, 0);
        for (_, time, _) in &seen.rows {
            match *time >= 900_000 {
                true => calm += 1,
                false => flood += 1,
            }
            // as much as the other had, give or take some blocks
            assert!(calm == 1_000 || flood < calm + 1_000, "{flood} rows of the flood beside {calm}");
        }
        let of_flood = seen.rows.iter().filter(|(_, time, _)| *time < 900_000);
        assert!(of_flood.clone().count() == 40_000 && of_flood.map(|row| row.0).collect::<BTreeSet<_>>().len() == 2);
    }
}
