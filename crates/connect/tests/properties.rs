//! However lines are split into files and blocks, and whoever decodes them: the same rows and dead letters.
#![expect(clippy::unwrap_used, reason = "helpers fail as their tests do")]

mod common;

use std::collections::BTreeMap;
use std::fs;

use common::{NOW, options, piped, read_all};
use proptest::prelude::*;

/// A line, and whether it is counted as read.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => (0..NOW, "[a-z]{0,20}").prop_map(|(time, word)| format!("{time}|{word}")),
        1 => "[a-z ]{0,12}",
        1 => Just(String::new()),
        1 => "#[a-z]{0,8}",
        1 => "[a-z]{0,5}".prop_map(|word| format!("|{word}")),
        1 => "[a-z]{0,5}".prop_map(|word| format!("{}|{word}", 2 * 86_400_000_000 + NOW)),
        1 => (0..NOW).prop_map(|time| format!("{time}|{}", "x".repeat(300))),
    ]
}

fn counts<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    items.into_iter().for_each(|item| *counts.entry(item).or_default() += 1);
    counts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_split_gives_the_same_rows_and_dead_letters(
        lines in prop::collection::vec(line(), 0..60),
        assignment in prop::collection::vec(0usize..4, 60),
        block in 1usize..400,
        threads in 0usize..4,
        newline in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let whole = folder.path().join("whole.log");
        fs::write(&whole, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        let expected = read_all(&piped(&whole, &[("max_line_bytes", "250")]), &options(0, 1 << 20));

        let split = folder.path().join("split");
        fs::create_dir(&split).unwrap();
        let mut texts = vec![String::new(); 4];
        for (line, file) in lines.iter().zip(&assignment) {
            texts[*file].push_str(line);
            texts[*file].push('\n');
        }
        for (file, text) in texts.iter_mut().enumerate() {
            if !newline && text.ends_with('\n') {
                text.pop();
            }
            fs::write(split.join(format!("{file}.log")), &*text).unwrap();
        }
        let seen = read_all(&piped(&split, &[("max_line_bytes", "250")]), &options(threads, block));

        prop_assert_eq!(seen.read, (seen.rows.len() + seen.dead.len()) as u64);
        prop_assert_eq!(seen.read, expected.read);
        let rows = |seen: &common::Seen| counts(seen.rows.iter().map(|(_, time, word)| (*time, word.clone())));
        prop_assert_eq!(rows(&seen), rows(&expected));
        let dead = |seen: &common::Seen| counts(seen.dead.iter().map(|(_, d)| (d.reason.clone(), d.raw.clone())));
        prop_assert_eq!(dead(&seen), dead(&expected));
        for (input, letter) in &seen.dead {
            let text = texts[*input as usize].as_bytes();
            let start = letter.offset as usize;
            prop_assert!(text[start..].starts_with(&letter.raw));
            let before = text[..start].iter().filter(|byte| **byte == b'\n').count() as u64;
            prop_assert_eq!(letter.line, before + 1);
        }
    }
}
