//! Bounded files: order, compression, dead letters, errors.
#![expect(clippy::unwrap_used, reason = "helpers fail as their tests do")]

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use common::{NOW, options, piped, read_all, spec};
use fyke_connect::{FileConnector, FileSource, connectors};
use fyke_types::{Connector, Decoded, Decoder, Format, Kind, ReadOptions, Source};

fn lines(times: impl IntoIterator<Item = i64>) -> String {
    times.into_iter().map(|time| format!("{time}|w{time}\n")).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zipped(entries: &[(&str, &[u8], zip::CompressionMethod)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes, method) in entries {
        archive.start_file(*name, zip::write::SimpleFileOptions::default().compression_method(*method)).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn customer_of_a_log_line_is_its_files_unless_the_line_says_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    fs::write(&path, "192.0.2.1 - - [02/Mar/2026:08:00:00 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"curl\"\n").unwrap();
    let of = |format: &str, settings: &[(&str, &str)]| {
        let source = FileConnector.source(&spec(format, &path, settings)).unwrap();
        ["customer", "host"].map(|column| source.is_customer_of_input(column))
    };
    assert_eq!(of("COMBINED", &[]), [true, false]);
    assert_eq!(of("COMBINED", &[("customer", "host")]), [false, false]);
    assert!(!piped(&path, &[]).is_customer_of_input("customer"), "any line may hold any value");
}

#[test]
fn furthest_behind_is_read_next() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.log"), lines([10, 40, 50])).unwrap();
    fs::write(folder.path().join("b.log"), lines([20, 30, 60])).unwrap();
    fs::write(folder.path().join("c.log"), lines([5, 70])).unwrap();
    // a block holds one line
    let seen = read_all(&piped(folder.path(), &[]), &options(0, 8));
    let times: Vec<i64> = seen.rows.iter().map(|row| row.1).collect();
    // first one block of each, then always the one whose rows are oldest
    assert_eq!(times, [10, 20, 5, 70, 40, 30, 60, 50]);
    assert!(seen.events[..3].iter().all(|event| event.starts_with("open")), "{:?}", seen.events);
    assert_eq!(seen.events.iter().filter(|event| event.starts_with("end")).count(), 3);
}

#[test]
fn sequence_of_events_does_not_depend_on_threads() {
    let folder = tempfile::tempdir().unwrap();
    for file in 0..5 {
        let times = (0..4000).map(|i| i * 7 + file * 1000 + (i * 31 + file) % 50);
        fs::write(folder.path().join(format!("{file}.log")), lines(times) + "bad\n\n|none\n").unwrap();
    }
    let source = piped(folder.path(), &[]);
    let expected = read_all(&source, &options(0, 1000));
    assert_eq!(expected.rows.len(), 20_000);
    assert_eq!((expected.read, expected.dead.len()), (20_010, 10));
    for threads in [1, 2, 4] {
        assert_eq!(read_all(&source, &options(threads, 1000)), expected, "{threads} threads");
    }
}

/// [`common::Piped`] that counts the blocks it was given.
#[derive(Debug)]
struct Counting(Arc<AtomicUsize>);

struct CountingDecoder(Box<dyn Decoder>, Arc<AtomicUsize>);

impl Format for Counting {
    fn schema(&self) -> SchemaRef {
        common::Piped.schema()
    }

    fn decoder(&self, projection: Option<&[usize]>) -> fyke_types::Result<Box<dyn Decoder>> {
        Ok(Box::new(CountingDecoder(common::Piped.decoder(projection)?, Arc::clone(&self.0))))
    }
}

impl Decoder for CountingDecoder {
    fn decode(&mut self, block: &[u8], customer: &str) -> fyke_types::Result<Decoded> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.decode(block, customer)
    }
}

#[test]
fn blocks_decoded_ahead_are_bounded_however_large_the_backlog() {
    let folder = tempfile::tempdir().unwrap();
    for file in 0..20 {
        fs::write(folder.path().join(format!("{file:02}.log")), lines((0..500).map(|i| i * 20 + file))).unwrap();
    }
    for (threads, most) in [(0, 1), (1, 17), (2, 19), (4, 23)] {
        let decoded = Arc::new(AtomicUsize::new(0));
        let format = Arc::new(Counting(Arc::clone(&decoded)));
        let source = FileSource::with_format(&spec("PIPED", folder.path(), &[]), format).unwrap();
        let mut reader = source.open(&options(threads, 100)).unwrap();
        let mut given = 0;
        loop {
            match reader.next(Duration::ZERO).unwrap() {
                fyke_types::Event::Rows(_) => given += 1,
                fyke_types::Event::End => break,
                _ => {}
            }
            let ahead = decoded.load(Ordering::SeqCst) - given;
            assert!(ahead <= most, "{ahead} blocks ahead with {threads} threads");
        }
        assert!(given > 1000);
    }
}

#[test]
fn more_files_than_handles_are_read_in_order() {
    let folder = tempfile::tempdir().unwrap();
    for file in 0..600 {
        fs::write(folder.path().join(format!("{file:04}.log")), lines([file, 1000 + file, 2000 + file])).unwrap();
    }
    for threads in [0, 2] {
        let seen = read_all(&piped(folder.path(), &[]), &options(threads, 4));
        let times: Vec<i64> = seen.rows.iter().map(|row| row.1).collect();
        assert_eq!(times.len(), 1800);
        assert!(times.is_sorted(), "{threads}");
    }
}

#[test]
fn compressed_files_are_known_by_content() {
    let folder = tempfile::tempdir().unwrap();
    let text = lines(1..=100);
    let two_members = [gzip(&lines(1..=50).into_bytes()), gzip(&lines(51..=100).into_bytes())].concat();
    let zstd = zstd::encode_all(text.as_bytes(), 3).unwrap();
    for (name, bytes) in [("a.log.gz", two_members), ("b.log.zst", zstd), ("c.log", bzip2(text.as_bytes()))] {
        fs::write(folder.path().join(name), &bytes).unwrap();
        let path = folder.path().join(name);
        for threads in [0, 2] {
            let seen = read_all(&piped(&path, &[]), &options(threads, 64));
            assert_eq!(seen.rows.len(), 100, "{name}");
            assert_eq!(seen.rows.last().unwrap().1, 100, "{name}");
        }
        let source = piped(&path, &[]);
        let mut reader = source.open(&options(0, 64)).unwrap();
        while !matches!(reader.next(Duration::ZERO).unwrap(), fyke_types::Event::End) {}
        assert_eq!(
            (source.bytes_total(), reader.bytes_read()),
            (Some(bytes.len() as u64), bytes.len() as u64),
            "{name}"
        );
    }
}

#[test]
fn each_entry_of_an_archive_is_an_input() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs.zip");
    let (one, two) = (lines([1, 3]), lines([2, 4]));
    let entries = [
        ("eu/one.log", one.as_bytes(), zip::CompressionMethod::Deflated),
        ("two.log", two.as_bytes(), zip::CompressionMethod::Stored),
        ("__MACOSX/._two.log", b"junk", zip::CompressionMethod::Stored),
    ];
    fs::write(&path, zipped(&entries)).unwrap();
    let seen = read_all(&piped(&path, &[]), &options(0, 4));
    assert_eq!(seen.rows.iter().map(|row| row.1).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(seen.events[0], format!("open {}/eu/one.log one", path.display()));
    let by_folder = read_all(&piped(&path, &[("customer_from", "folder")]), &options(0, 4));
    assert!(by_folder.events[0].ends_with(" eu"), "{}", by_folder.events[0]);
}

#[test]
fn corrupt_archive_entry_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs.zip");
    let mut bytes = zipped(&[("one.log", b"1|a\n2|b\n", zip::CompressionMethod::Stored)]);
    let at = bytes.windows(3).position(|w| w == b"2|b").unwrap();
    bytes[at + 2] = b'x';
    fs::write(&path, bytes).unwrap();
    let error = fail(&piped(&path, &[]), &options(0, 1 << 20)).1;
    assert!(error.contains("logs.zip") && error.contains("checksum"), "{error}");
}

/// Rows before the first error, and the error.
fn fail(source: &dyn Source, options: &ReadOptions) -> (u64, String) {
    let mut reader = source.open(options).unwrap();
    let mut seen = common::Seen::default();
    loop {
        match reader.next(Duration::ZERO) {
            Ok(event) => assert!(seen.take(event), "ended without an error"),
            Err(error) => return (seen.read, error.to_string()),
        }
    }
}

#[test]
fn corrupt_gzip_gives_what_is_readable_then_names_path_and_offset() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log.gz");
    let bytes = gzip(lines(1..=100_000).as_bytes());
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    for threads in [0, 2] {
        let source = piped(&path, &[]);
        let (read, error) = fail(&source, &options(threads, 1 << 20));
        assert!((40_000..60_000).contains(&read), "{read}");
        assert!(error.contains("a.log.gz") && error.contains("byte"), "{error}");
    }
}

#[test]
fn reading_goes_on_with_the_others_after_an_input_failed() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = gzip(lines(1..=1000).as_bytes());
    fs::write(folder.path().join("a.log.gz"), &bytes[..bytes.len() - 20]).unwrap();
    fs::write(folder.path().join("b.log"), lines([1, 2])).unwrap();
    let source = piped(folder.path(), &[]);
    let mut reader = source.open(&options(0, 1 << 20)).unwrap();
    let (mut seen, mut errors) = (common::Seen::default(), 0);
    loop {
        match reader.next(Duration::ZERO) {
            Ok(event) => {
                if !seen.take(event) {
                    break;
                }
            }
            Err(_) => errors += 1,
        }
    }
    assert_eq!(errors, 1);
    assert!(seen.words().contains(&"w2") && seen.events.contains(&"end 0".to_owned()), "{:?}", seen.events);
}

#[test]
fn dead_letters_have_exact_line_and_offset_across_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let far = NOW + 86_400_000_001;
    let text = format!("1|a\n\nbad one\n# comment\n|no time\n{NOW}|ok\n{far}|far\n5|b\nbad end");
    fs::write(&path, &text).unwrap();
    for block in [4, 9, 20, 1 << 20] {
        for threads in [0, 2] {
            let seen = read_all(&piped(&path, &[]), &options(threads, block));
            assert_eq!(seen.words(), ["a", "ok", "b"], "{block}");
            let dead: Vec<_> = seen.dead.iter().map(|(_, d)| (d.line, d.offset, d.raw.as_slice())).collect();
            let at = |part: &str| text.find(part).unwrap() as u64;
            let far_line = format!("{far}|far");
            let expected: [(u64, u64, &[u8]); 4] = [
                (3, at("bad one"), b"bad one"),
                (5, at("|no time"), b"|no time"),
                (7, at(&far_line), far_line.as_bytes()),
                (9, at("bad end"), b"bad end"),
            ];
            assert_eq!(dead, expected, "block {block}");
            assert_eq!(seen.dead[1].1.reason, "event time 'time' is missing");
            assert_eq!(
                seen.dead[2].1.reason,
                "event time 1970-01-02T00:16:40.000001Z is more than 1 day ahead of the clock"
            );
            assert_eq!(seen.read, 7);
        }
    }
}

#[test]
fn event_time_is_checked_though_it_is_not_projected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    fs::write(&path, "1|a\n|b\n3|c\n").unwrap();
    let options = ReadOptions { projection: Some(vec![1]), ..options(0, 1 << 20) };
    let source = piped(&path, &[]);
    let mut reader = source.open(&options).unwrap();
    reader.next(Duration::ZERO).unwrap();
    let fyke_types::Event::Rows(rows) = reader.next(Duration::ZERO).unwrap() else { panic!("no rows") };
    assert_eq!((rows.batch.num_rows(), rows.batch.num_columns(), rows.dead.len()), (2, 1, 1));
    assert_eq!(rows.batch.schema_ref().field(0).name(), "word");
}

#[test]
fn line_beyond_the_limit_is_one_dead_letter() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let (fits, long) = (format!("2|{}", "x".repeat(98)), format!("3|{}", "y".repeat(200_000)));
    fs::write(&path, format!("1|a\n{fits}\n{long}\n4|b\nbad\n{long}")).unwrap();
    for block in [10, 64, 1 << 20] {
        for threads in [0, 2] {
            let seen = read_all(&piped(&path, &[("max_line_bytes", "100")]), &options(threads, block));
            assert_eq!(seen.rows.iter().map(|row| row.1).collect::<Vec<_>>(), [1, 2, 4]);
            let dead: Vec<_> = seen.dead.iter().map(|(_, d)| (d.line, d.offset, d.raw.len())).collect();
            let start = 4 + 101;
            let after = start + 200_003;
            assert_eq!(dead, [(3, start, 65_536), (5, after + 4, 3), (6, after + 8, 65_536)], "{block}");
            assert!(seen.dead[0].1.reason.contains("200002 bytes"), "{}", seen.dead[0].1.reason);
        }
    }
}

#[test]
fn lines_longer_than_a_block_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let word = "z".repeat(300_000);
    fs::write(&path, format!("1|a\n2|{word}\n3|b")).unwrap();
    for threads in [0, 2] {
        let seen = read_all(&piped(&path, &[]), &options(threads, 1000));
        assert_eq!(seen.words(), ["a", &word, "b"]);
    }
}

#[test]
fn nothing_there_is_an_error_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    for location in ["none.log", "*.log", "deep/"] {
        let path = format!("{}/{location}", folder.path().display());
        let error = piped(&path, &[]).open(&options(0, 1024)).err().unwrap();
        assert_eq!(error.kind(), Kind::Usage);
        assert!(error.to_string().contains(location.trim_end_matches('/')) && error.hint_text().is_some(), "{error}");
    }
}

#[test]
fn unknown_settings_are_refused_by_name() {
    let error = FileSource::with_format(&spec("X", "a", &[("custmer_from", "file")]), Arc::new(common::Piped));
    let text = error.err().unwrap().to_string();
    assert!(text.contains("custmer_from") && text.contains("customer_from"), "{text}");
}

#[test]
fn empty_files_open_and_end() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.log"), "").unwrap();
    fs::write(folder.path().join("b.log"), "\n\n").unwrap();
    for threads in [0, 2] {
        let seen = read_all(&piped(folder.path(), &[]), &options(threads, 1024));
        assert_eq!(seen.events[2..], ["end 0", "end 1"]);
    }
}

#[test]
fn without_event_time_inputs_follow_each_other() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.log"), lines([9, 8, 7])).unwrap();
    fs::write(folder.path().join("b.log"), lines([1, 2, 3])).unwrap();
    for threads in [0, 3] {
        let options = ReadOptions { event_time: None, ..options(threads, 4) };
        let seen = read_all(&piped(folder.path(), &[]), &options);
        assert_eq!(seen.rows.iter().map(|row| row.1).collect::<Vec<_>>(), [9, 8, 7, 1, 2, 3]);
    }
}

#[test]
fn standard_input_is_read_once_and_may_be_compressed() {
    for bytes in [lines(1..=1000).into_bytes(), gzip(lines(1..=1000).as_bytes())] {
        let csv: Vec<u8> = if bytes.starts_with(b"1|") {
            String::from_utf8(bytes.clone()).unwrap().replace('|', ",").into_bytes()
        } else {
            gzip(lines(1..=1000).replace('|', ",").as_bytes())
        };
        let with_header = if csv.starts_with(b"1,") {
            [b"n,word\n".as_slice(), &csv].concat()
        } else {
            [gzip(b"n,word\n"), csv].concat()
        };
        let source = FileSource::from_read(&spec("CSV", "-", &[]), std::io::Cursor::new(with_header)).unwrap();
        let options = ReadOptions { event_time: None, ..options(1, 500) };
        let mut reader = source.open(&options).unwrap();
        let (mut rows, mut ended) = (0, false);
        loop {
            match reader.next(Duration::from_secs(5)).unwrap() {
                fyke_types::Event::Rows(given) => rows += given.read,
                fyke_types::Event::Ended(_) => ended = true,
                fyke_types::Event::End => break,
                _ => {}
            }
        }
        assert_eq!((rows, ended), (1000, true));
        assert!(source.open(&options).is_err());
    }
}

#[test]
fn csv_finds_columns_by_name_and_refuses_wrong_types() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), "time,word,n\n2026-01-01T00:00:00,\"a, b\",1\n2026-01-01T00:00:01,,x\n")
        .unwrap();
    fs::write(folder.path().join("b.csv"), "n,time,word\n2,2026-01-01T00:00:02,\"say \"\"c\"\"\"\n,,d\nshort\n")
        .unwrap();
    let schema = Arc::new(arrow::datatypes::Schema::new(vec![
        arrow::datatypes::Field::new("time", fyke_types::window::TIME, true),
        arrow::datatypes::Field::new("word", arrow::datatypes::DataType::Utf8, true),
        arrow::datatypes::Field::new("n", arrow::datatypes::DataType::Int64, true),
    ]));
    let spec = fyke_types::TableSpec { schema: Some(schema), ..spec("CSV", folder.path(), &[]) };
    let source = FileConnector.source(&spec).unwrap();
    for (threads, block) in [(0, 1 << 20), (2, 30), (0, 1)] {
        let clock = Arc::new(fyke_types::SystemClock);
        let options = ReadOptions { clock, max_ahead: i64::MAX / 2, ..options(threads, block) };
        let seen = read_all(source.as_ref(), &options);
        assert_eq!(seen.words(), ["a, b", "say \"c\""], "{block}");
        let mut dead: Vec<_> = seen.dead.iter().map(|(i, d)| (*i, d.line, d.offset, d.reason.as_str())).collect();
        dead.sort_unstable();
        assert_eq!(
            dead,
            [
                (0, 3, 41, "column 'n' is 'x', expected Int64"),
                (1, 3, 46, "event time 'time' is missing"),
                (1, 4, 50, "the line has 1 fields, the header 3"),
            ],
            "{block}"
        );
    }
}

#[test]
fn each_format_has_one_connector() {
    let mut formats: Vec<&str> = connectors().iter().flat_map(|connector| connector.formats()).copied().collect();
    formats.sort_unstable();
    let count = formats.len();
    formats.dedup();
    assert_eq!(formats.len(), count);
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/files").is_dir());
}
