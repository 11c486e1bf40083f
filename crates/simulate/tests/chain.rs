//! The benchmark's input has the agreed shape.

#![expect(clippy::unwrap_used, reason = "a test's helper fails as the test does")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::hash;
use fyke_simulate::{ChainSettings, ChainStats, write_chain, write_chain_with};

fn chain(folder: &Path, lines: u64, seed: u64) -> ChainStats {
    write_chain(folder, lines, seed).unwrap()
}

fn bytes(stats: &ChainStats) -> Vec<u64> {
    stats.customers.iter().map(|customer| hash(&std::fs::read(&customer.path).unwrap())).collect()
}

#[test]
fn same_seed_gives_the_same_files_and_another_seed_does_not() {
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let first = bytes(&chain(folders[0].path(), 20_000, 7));
    assert_eq!(first, bytes(&chain(folders[1].path(), 20_000, 7)));
    assert_ne!(first, bytes(&chain(folders[2].path(), 20_000, 8)));
    // a change of these bytes is a change of the benchmark: older results are not comparable
    assert_eq!(first[0], 353_979_030_336_868_995);
}

#[test]
fn lines_are_counted_in_proportion_and_of_the_agreed_length() {
    let folder = tempfile::tempdir().unwrap();
    let stats = chain(folder.path(), 100_001, 1);
    println!("{stats:?}");
    assert_eq!(stats.lines, 100_001);
    for (customer, (name, share)) in stats.customers.iter().zip([
        ("shop-alpha", 5.0),
        ("news-beta", 3.0),
        ("bank-gamma", 1.0),
        ("travel-delta", 2.0),
    ]) {
        assert_eq!(customer.path.file_name().unwrap().to_str().unwrap(), format!("{name}.json"));
        assert!((customer.lines as f64 - 100_001.0 * share / 11.0).abs() <= 1.0);
    }
    let mean = stats.bytes as f64 / stats.lines as f64;
    assert!((270.0..330.0).contains(&mean), "{mean} bytes a line");
}

#[test]
fn groups_per_line_make_70_000_of_a_million() {
    let folder = tempfile::tempdir().unwrap();
    let stats = chain(folder.path(), 200_000, 1);
    let of_a_million = stats.groups * 5;
    println!("{of_a_million} groups of 1 M lines");
    assert!((59_500..80_500).contains(&of_a_million));
}

#[test]
fn lines_parse_and_their_groups_and_disorder_are_as_told() {
    let folder = tempfile::tempdir().unwrap();
    let stats = chain(folder.path(), 30_000, 3);
    for customer in &stats.customers {
        let text = std::fs::read_to_string(&customer.path).unwrap();
        let (mut groups, mut latest, mut disordered) = (BTreeSet::new(), 0, 0);
        for line in text.lines() {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            let field = |name: &str| value[name].as_str().unwrap().to_owned();
            let time = field("time");
            groups.insert((time[..16].to_owned(), field("remote_addr"), field("user_agent")));
            let part = |range: std::ops::Range<usize>| time[range].parse::<i64>().unwrap();
            let millis =
                ((part(8..10) * 24 + part(11..13)) * 60 + part(14..16)) * 60_000 + part(17..19) * 1_000 + part(20..23);
            assert!(latest - millis < 10_000, "{line}");
            disordered += u64::from(millis < latest);
            latest = latest.max(millis);
        }
        assert_eq!(groups.len() as u64, customer.groups);
        assert!(disordered > customer.lines / 50);
    }
}

#[test]
fn a_longer_chain_keeps_the_groups_of_a_minute() {
    let folder = tempfile::tempdir().unwrap();
    let base = ChainSettings { lines: 40_000, ..ChainSettings::default() };
    let of = |settings: &ChainSettings| {
        let stats = write_chain_with(folder.path(), settings).unwrap();
        let shop = &stats.customers[0];
        (stats.lines, shop.groups as f64 / ((shop.last - shop.first) as f64 / 6e7))
    };
    let (lines, per_minute) = of(&base);
    let (longer_lines, longer) = of(&ChainSettings { duration: 4, ..base.clone() });
    assert_eq!(longer_lines, 4 * lines);
    assert!((0.9..1.1).contains(&(longer / per_minute)), "{per_minute} and {longer}");
    let (same_lines, more) = of(&ChainSettings { clients: 3.0, ..base });
    assert!(same_lines == lines && more > 2.0 * per_minute, "{per_minute} and {more}");
}
