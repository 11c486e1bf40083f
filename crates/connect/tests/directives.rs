//! Logs whose columns change within a file are read the same whatever the blocks, the threads and the interruptions.
#![expect(clippy::unwrap_used, reason = "helpers fail as their tests do")]

mod common;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int32Type;
use common::{options, spec};
use fyke_connect::FileConnector;
use fyke_types::{Connector, Event, ReadOptions, Source, SystemClock};

/// Line by line; what each becomes stands behind it.
const LOG: &[(&str, &str)] = &[
    ("#Software: Microsoft Internet Information Services 10.0", ""),
    ("#Fields: date time c-ip cs-uri-stem sc-status", ""),
    ("2026-03-02 08:00:00 192.0.2.1 /a 200", "/a 200"),
    ("2026-03-02 08:00:01 192.0.2.1 /b ok", "dead"),
    ("2099-03-02 08:00:02 192.0.2.1 /future 200", "dead"),
    ("2026-03-02 08:00:03 192.0.2.1 /c 201", "/c 201"),
    ("", ""),
    ("#Fields: sc-status cs-uri-stem date time c-ip", ""),
    ("302 /d 2026-03-02 08:00:04 192.0.2.1", "/d 302"),
    ("302 /#Fields: 2026-03-02 08:00:04 192.0.2.1", "/#Fields: 302"),
    ("404 /e 2099-03-02 08:00:05 192.0.2.1", "dead"),
    ("404 /f 2026-03-02 08:00:06", "dead"),
    ("500 /g 2026-03-02 08:00:07 192.0.2.1", "/g 500"),
    ("#Fields: date time c-ip cs-uri-stem sc-status", ""),
    ("2026-03-02 08:00:08 192.0.2.1 /h 200", "/h 200"),
];

/// Rows and lines of dead letters; each piece of a reading goes on where the one before it stopped.
fn read(source: &dyn Source, options: &ReadOptions, events_each: usize) -> (Vec<String>, Vec<(u64, String)>) {
    let (mut rows, mut dead, mut resume) = (Vec::new(), Vec::new(), None);
    loop {
        let mut reader = source.open(&ReadOptions { resume, ..options.clone() }).unwrap();
        let mut events = 0;
        while events < events_each {
            match reader.next(Duration::ZERO).unwrap() {
                Event::Rows(given) => {
                    events += 1;
                    let (paths, status) = (given.batch.column(0), given.batch.column(1).as_primitive::<Int32Type>());
                    for (row, path) in paths.as_string::<i32>().iter().enumerate() {
                        rows.push(format!("{} {}", path.unwrap_or("-"), status.value(row)));
                    }
                    dead.extend(given.dead.into_iter().map(|letter| {
                        let raw = String::from_utf8(letter.raw).unwrap();
                        assert_eq!(letter.offset, offset(letter.line), "{raw}");
                        (letter.line, raw)
                    }));
                }
                Event::End => return (rows, dead),
                _ => {}
            }
        }
        resume = reader.position().unwrap();
        assert!(resume.is_some());
    }
}

fn offset(line: u64) -> u64 {
    LOG.iter().take(line as usize - 1).map(|(text, _)| text.len() as u64 + 1).sum()
}

#[test]
fn columns_that_change_within_a_file_hold_from_line_to_line() {
    let folder = tempfile::tempdir().unwrap();
    let text: String = LOG.iter().map(|(line, _)| format!("{line}\n")).collect();
    fs::write(folder.path().join("iis.log"), text).unwrap();
    let rows: Vec<String> =
        LOG.iter().map(|(_, row)| (*row).to_owned()).filter(|row| !matches!(row.as_str(), "" | "dead")).collect();
    let dead: Vec<(u64, String)> = (1..)
        .zip(LOG)
        .filter(|(_, (_, row))| *row == "dead")
        .map(|(line, (text, _))| (line, (*text).to_owned()))
        .collect();
    for format in ["W3C", "REQUESTS"] {
        let source = FileConnector.source(&spec(format, folder.path(), &[])).unwrap();
        let schema = source.schema();
        let column = |name: &str| schema.index_of(name).unwrap();
        for (threads, block, each) in
            [(0, 1 << 20, 99), (2, 1 << 20, 1), (0, 1, 99), (2, 1, 1), (2, 90, 2), (1, 150, 1)]
        {
            let options = ReadOptions {
                event_time: Some(column("time")),
                projection: Some(vec![column("path"), column("status")]),
                clock: Arc::new(SystemClock),
                ..options(threads, block)
            };
            let found = read(source.as_ref(), &options, each);
            assert_eq!(found, (rows.clone(), dead.clone()), "{format}, {threads} threads, blocks of {block}");
        }
    }
}
