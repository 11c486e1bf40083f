//! Finds an installed Java that is new enough.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

/// The home of the oldest Java that is `at_least` so new: `JAVA_HOME`, one in the usual folders, or the one on the path.
///
/// # Errors
/// When there is none.
pub fn home(at_least: u32) -> Result<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> =
        candidates().into_iter().filter_map(|home| Some((version(&home)?, home))).collect();
    found.retain(|(version, _)| *version >= at_least);
    found.sort();
    match found.into_iter().next() {
        Some((_, home)) => Ok(home),
        None => bail!("no Java {at_least} or newer was found: install one, or set JAVA_HOME"),
    }
}

fn candidates() -> Vec<PathBuf> {
    let mut homes: Vec<PathBuf> = std::env::var_os("JAVA_HOME").map(PathBuf::from).into_iter().collect();
    for folder in ["/usr/lib/jvm", "/Library/Java/JavaVirtualMachines", "/opt/java"] {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        homes.extend(entries.flat_map(|entry| [entry.path(), entry.path().join("Contents/Home")]));
    }
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&on_path).map(|folder| folder.join("java")).find(|java| java.is_file());
    let on_path = on_path.and_then(|java| java.canonicalize().ok());
    homes.extend(on_path.and_then(|java| Some(java.parent()?.parent()?.to_owned())));
    homes
}

/// 17, 21, 25: what its `release` file says, else the program itself.
fn version(home: &Path) -> Option<u32> {
    let java = home.join("bin/java");
    if !java.is_file() {
        return None;
    }
    let text = std::fs::read_to_string(home.join("release")).ok().filter(|text| text.contains("JAVA_VERSION="));
    let text = match text {
        Some(text) => text,
        None => String::from_utf8_lossy(&Command::new(java).arg("-version").output().ok()?.stderr).into_owned(),
    };
    major(&text)
}

/// The first number in quotes; before Java 9 it stood behind a `1.`.
fn major(text: &str) -> Option<u32> {
    let line = text.lines().find(|line| line.starts_with("JAVA_VERSION=") || line.contains(" version \""))?;
    let number = line.split('"').nth(1)?;
    let number = number.strip_prefix("1.").unwrap_or(number);
    number.split(['.', '-', '+', '_']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_either_text() {
        for (text, version) in [
            ("IMPLEMENTOR=\"x\"\nJAVA_VERSION=\"25.0.1\"\n", Some(25)),
            ("openjdk version \"17.0.12\" 2024-07-16\n", Some(17)),
            ("java version \"1.8.0_402\"\n", Some(8)),
            ("nothing\n", None),
        ] {
            assert_eq!(major(text), version, "{text}");
        }
    }
}
