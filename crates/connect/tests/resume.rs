//! A reading that stopped anywhere goes on there: no row lost, none twice, the dead letters' places right.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "helpers fail as their tests do")]

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use common::{Piped, Seen, following, options, piped, read_until, spec};
use fyke_connect::FileSource;
use fyke_types::{Reader, Source};
use proptest::prelude::*;

const FAST: [(&str, &str); 1] = [("poll", "10ms")];

fn gzipped(text: &str) -> Vec<u8> {
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    to.write_all(text.as_bytes()).unwrap();
    to.finish().unwrap()
}

fn zipped(text: &str) -> Vec<u8> {
    let mut to = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for name in ["a.log", "b.log"] {
        to.start_file::<_, ()>(name, zip::write::SimpleFileOptions::default()).unwrap();
        to.write_all(text.as_bytes()).unwrap();
    }
    to.finish().unwrap().into_inner()
}

/// Reads `each` events, stops, goes on in another reader, and so on to the end.
fn read_in_pieces(make: &dyn Fn() -> FileSource, block: usize, each: usize) -> Seen {
    let (mut seen, mut resume) = (Seen::default(), None);
    loop {
        let mut reader = make().open(&fyke_types::ReadOptions { resume, ..options(each % 3, block) }).unwrap();
        let mut events = 0;
        while events < each {
            let event = reader.next(std::time::Duration::ZERO).unwrap();
            // inputs are announced again in each piece
            events += usize::from(!matches!(event, fyke_types::Event::Opened(_)));
            if !seen.take(event) {
                return seen;
            }
        }
        resume = reader.position().unwrap();
        assert!(resume.is_some());
    }
}

fn sorted(mut seen: Seen) -> Seen {
    seen.events.clear();
    seen.names.clear();
    seen.rows.sort();
    seen.dead.sort_by_key(|(input, letter)| (*input, letter.line));
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn reading_in_pieces_gives_what_reading_at_once_gives(
        files in prop::collection::vec(prop::collection::vec((0i64..1000, 0usize..30), 0..40), 1..4),
        block in 1usize..200,
        each in 1usize..12,
        kind in 0usize..3,
    ) {
        let folder = tempfile::tempdir().unwrap();
        for (number, lines) in files.iter().enumerate() {
            let line = |(time, width): &(i64, usize)| match width {
                0 => "\n".to_owned(),
                1 => "bad\n".to_owned(),
                width => format!("{time}|{}\n", "x".repeat(*width)),
            };
            let text: String = lines.iter().map(line).collect();
            match kind {
                0 => fs::write(folder.path().join(format!("{number}.log")), text).unwrap(),
                1 => fs::write(folder.path().join(format!("{number}.log.gz")), gzipped(&text)).unwrap(),
                _ => fs::write(folder.path().join(format!("{number}.zip")), zipped(&text)).unwrap(),
            }
        }
        let make = || piped(folder.path(), &[]);
        let whole = common::read_all(&make(), &options(0, block));
        prop_assert_eq!(sorted(read_in_pieces(&make, block, each)), sorted(whole));
    }
}

#[test]
fn csv_and_parquet_go_on_behind_the_rows_that_were_given() {
    use arrow::array::{Int64Array, RecordBatch};
    let folder = tempfile::tempdir().unwrap();
    let text: String = (0..50).map(|n| format!("{n},w{n}\n")).collect();
    fs::write(folder.path().join("t.csv"), format!("time,word\n{text}")).unwrap();
    let rows = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(0..20_000)) as _)]).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(
        fs::File::create(folder.path().join("t.parquet")).unwrap(),
        rows.schema(),
        None,
    )
    .unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    for (format, name, count) in [("CSV", "t.csv", 50), ("PARQUET", "t.parquet", 20_000)] {
        let source = || FileSource::new(&spec(format, folder.path().join(name), &[])).unwrap();
        let (mut read, mut resume) = (0, None);
        'all: loop {
            let without_time = fyke_types::ReadOptions { event_time: None, ..options(1, 64) };
            let mut reader = source().open(&fyke_types::ReadOptions { resume, ..without_time }).unwrap();
            for _ in 0..3 {
                match reader.next(std::time::Duration::ZERO).unwrap() {
                    fyke_types::Event::Rows(rows) => {
                        assert!(rows.dead.is_empty(), "{:?}", rows.dead);
                        read += rows.batch.num_rows();
                    }
                    fyke_types::Event::End => break 'all,
                    _ => {}
                }
            }
            resume = reader.position().unwrap();
        }
        assert_eq!(read, count, "{format}");
    }
}

/// A followed reading of `app.log` in `folder` that has given two rows; what it gave, and where it stood.
fn stopped(folder: &Path) -> (Seen, Option<String>) {
    fs::write(folder.join("app.log"), "1|a\n2|b\n").unwrap();
    let source = piped(folder.join("*.log*"), &FAST);
    let mut reader = source.open(&following(1)).unwrap();
    let mut seen = Seen::default();
    read_until(reader.as_mut(), &mut seen, |seen| seen.rows.len() == 2);
    (seen, reader.position().unwrap())
}

fn resumed(folder: &Path, resume: Option<String>) -> fyke_types::Result<Box<dyn Reader>> {
    piped(folder.join("*.log*"), &FAST).open(&fyke_types::ReadOptions { resume, ..following(1) })
}

type Meanwhile = fn(&Path);

#[test]
fn whatever_a_rotation_did_meanwhile_each_line_comes_once() {
    let append = |path: &Path, text: &str| {
        fs::OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    };
    let cases: [(&str, Meanwhile); 6] = [
        ("nothing", |_| {}),
        ("renamed", |folder| fs::rename(folder.join("app.log"), folder.join("app.log.1")).unwrap()),
        ("renamed twice", |folder| {
            fs::rename(folder.join("app.log"), folder.join("app.log.2")).unwrap();
            fs::write(folder.join("app.log.1"), "4|d\n").unwrap();
        }),
        ("renamed and compressed", |folder| {
            let text = fs::read_to_string(folder.join("app.log")).unwrap();
            fs::write(folder.join("app.log.1.gz"), gzipped(&text)).unwrap();
            fs::remove_file(folder.join("app.log")).unwrap();
        }),
        ("copied and truncated", |folder| {
            fs::copy(folder.join("app.log"), folder.join("app.log.1")).unwrap();
            fs::write(folder.join("app.log"), "").unwrap();
        }),
        ("moved to another disk", |folder| {
            let text = fs::read(folder.join("app.log")).unwrap();
            fs::write(folder.join("other"), text).unwrap();
            fs::rename(folder.join("other"), folder.join("app.log")).unwrap();
        }),
    ];
    for (what, meanwhile) in cases {
        println!("{what}");
        let folder = tempfile::tempdir().unwrap();
        let (mut seen, position) = stopped(folder.path());
        append(&folder.path().join("app.log"), "3|c\n");
        meanwhile(folder.path());
        let rotated = !folder.path().join("app.log").exists() || what.contains("truncated");
        if rotated {
            fs::write(folder.path().join("app.log"), "5|e\n6|f\n").unwrap();
        }
        let mut expected = vec!["a", "b", "c"];
        expected.extend(if what == "renamed twice" { &["d"][..] } else { &[] });
        expected.extend(if rotated { &["e", "f"][..] } else { &[] });
        let mut reader = resumed(folder.path(), position).unwrap_or_else(|error| panic!("{what}: {error}"));
        read_until(reader.as_mut(), &mut seen, |seen| seen.rows.len() >= expected.len());
        let started = std::time::Instant::now();
        while started.elapsed() < std::time::Duration::from_millis(300) {
            seen.take(reader.next(std::time::Duration::from_millis(20)).unwrap());
        }
        let mut words = seen.words();
        words.sort_unstable();
        assert_eq!(words, expected, "{what}");
    }
}

#[test]
fn rest_that_is_gone_is_an_error_that_names_the_place() {
    let cases: [(&str, Meanwhile); 2] = [
        ("removed", |folder| fs::remove_file(folder.join("app.log")).unwrap()),
        ("replaced", |folder| {
            fs::remove_file(folder.join("app.log")).unwrap();
            fs::write(folder.join("app.log"), "7|another file\n").unwrap();
        }),
    ];
    for (what, meanwhile) in cases {
        let folder = tempfile::tempdir().unwrap();
        let (_, position) = stopped(folder.path());
        meanwhile(folder.path());
        let Err(error) = resumed(folder.path(), position) else { panic!("{what}: accepted") };
        let error = error.to_string();
        assert!(
            error.contains("app.log") && error.contains("from byte 8") && error.contains("hint:"),
            "{what}: {error}"
        );
    }
}

#[test]
fn bounded_file_that_became_another_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    for (now, words) in [("1|a\n", "has 4 bytes now"), ("9|z\n9|z\n9|z\n9|z\n", "begins otherwise")] {
        fs::write(&path, "1|a\n2|b\n3|c\n").unwrap();
        let mut reader = piped(&path, &[]).open(&options(0, 4)).unwrap();
        let mut seen = Seen::default();
        read_until(reader.as_mut(), &mut seen, |seen| seen.rows.len() == 2);
        let resume = reader.position().unwrap();
        fs::write(&path, now).unwrap();
        let Err(error) = piped(&path, &[]).open(&fyke_types::ReadOptions { resume, ..options(0, 4) }) else {
            panic!("{words}: accepted")
        };
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn other_spelling_of_the_location_reads_no_file_again() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.log"), "1|a\n2|b\n3|c\n").unwrap();
    fs::write(folder.path().join("b.zip"), zipped("4|d\n")).unwrap();
    let plain = || piped(folder.path(), &[]);
    let mut reader = plain().open(&options(0, 4)).unwrap();
    let mut seen = Seen::default();
    read_until(reader.as_mut(), &mut seen, |seen| seen.rows.len() == 2);
    let resume = reader.position().unwrap();
    let respelled = piped(folder.path().join(".").join("../").join(folder.path().file_name().unwrap()), &[]);
    let mut reader = respelled.open(&fyke_types::ReadOptions { resume, ..options(0, 4) }).unwrap();
    while seen.take(reader.next(std::time::Duration::ZERO).unwrap()) {}
    let mut words = seen.words();
    words.sort_unstable();
    assert_eq!(words, ["a", "b", "c", "d", "d"], "both entries of the archive, and each line once");
}

#[test]
fn standard_input_can_not_be_resumed() {
    let format = Arc::new(Piped);
    let source = FileSource::from_read_with_format(&spec("PIPED", "-", &[]), format, &b"1|a\n"[..]).unwrap();
    let reader = source.open(&options(0, 100)).unwrap();
    assert_eq!(reader.position().unwrap(), None);
}
