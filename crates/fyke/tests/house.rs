//! House rules as tests: the arrows between crates, module headers, a settings reference that matches.

#![expect(clippy::expect_used, reason = "a test that can not go on has failed")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The arrows of ARCHITECTURE.md; tests may also reach `simulate` and `testbed`.
const ARROWS: &[(&str, &[&str])] = &[
    ("fyke-types", &[]),
    ("fyke-formats", &["fyke-types"]),
    ("fyke-functions", &["fyke-types"]),
    ("fyke-learn", &["fyke-types"]),
    ("fyke-stream", &["fyke-types"]),
    ("fyke-simulate", &["fyke-types"]),
    ("fyke-connect", &["fyke-formats", "fyke-types"]),
    ("fyke-query", &["fyke-functions", "fyke-stream", "fyke-types"]),
    ("fyke-detect", &["fyke-functions", "fyke-learn", "fyke-query", "fyke-types"]),
    ("fyke", &["fyke-connect", "fyke-detect", "fyke-learn", "fyke-query", "fyke-types"]),
    ("fyke-server", &["fyke"]),
    ("fyke-cli", &["fyke", "fyke-server", "fyke-simulate"]),
    ("fyke-testbed", &[]),
    ("xtask", &["fyke-simulate", "fyke-testbed"]),
];

#[test]
fn crates_depend_only_along_the_arrows() {
    let metadata = metadata(&["--no-deps", "--offline"]);
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("a name");
        let allowed = arrows.get(name).unwrap_or_else(|| panic!("{name} has no place in the house"));
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let to = dependency["name"].as_str().expect("a name");
            let own = to.starts_with("fyke");
            let normal = dependency["kind"].is_null();
            assert!(!own || !normal || allowed.contains(&to), "{name} → {to} is no arrow of ARCHITECTURE.md");
        }
    }
}

/// What `cargo deny check licenses` would say, without its installation: every crate that the binary is built from has
/// a licence that deny.toml allows.
#[test]
fn dependencies_have_licences_that_deny_toml_allows() {
    let text = std::fs::read_to_string(root().join("deny.toml")).expect("deny.toml");
    let deny: toml::Table = text.parse().expect("deny.toml is TOML");
    let allowed: Vec<&str> =
        deny["licenses"]["allow"].as_array().expect("a list").iter().filter_map(toml::Value::as_str).collect();
    let rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("-vV").output();
    let version = String::from_utf8(rustc.expect("rustc runs").stdout).expect("text");
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
    let metadata = metadata(&["--offline", "--locked", "--filter-platform", host]);
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() > 200, "the dependencies were found");
    for package in packages.iter().filter(|package| !package["source"].is_null()) {
        let (name, licence) = (package["name"].as_str().expect("a name"), package["license"].as_str());
        let licence = licence.unwrap_or_else(|| panic!("{name} names no licence"));
        let expression = spdx::Expression::parse_mode(licence, spdx::ParseMode::LAX).expect(licence);
        let fits = expression.evaluate(|requirement| allowed.contains(&requirement.to_string().as_str()));
        assert!(fits, "{name} has the licence {licence}, which deny.toml does not allow");
    }
}

fn metadata(arguments: &[&str]) -> serde_json::Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(root())
        .args(["metadata", "--format-version", "1"])
        .args(arguments)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("metadata is JSON")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_module_says_what_it_is() {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root().join("crates")).expect("crates").flatten() {
        sources(&entry.path().join("src"), &mut files);
    }
    assert!(files.len() > 100, "the sources were found");
    for file in files {
        let text = std::fs::read_to_string(&file).expect("readable");
        assert!(text.starts_with("//!"), "{} has no header", file.display());
        let lines = text.split("#[cfg(test)]").next().unwrap_or_default().lines().count();
        assert!(lines <= 600, "{} has {lines} lines: two rooms in one", file.display());
    }
}

#[test]
fn settings_reference_matches_the_code() {
    let reference = std::fs::read_to_string(root().join("docs/settings.md")).expect("docs/settings.md");
    for (name, meaning) in fyke::TIME_SETTINGS.into_iter().chain(fyke::EMIT_SETTINGS) {
        assert!(
            reference.contains(&format!("| `{name}` | {meaning} |")),
            "docs/settings.md lacks: | `{name}` | {meaning} |"
        );
    }
}

/// `examples/early_verdicts.sql` is the same detector whose verdicts come while visits go on.
#[test]
fn example_of_early_verdicts_is_the_reference() {
    let settings = BTreeMap::from([("lateness".to_owned(), "3 minutes".to_owned())]);
    let text = fyke::detector::detector_script("${LOGS}", "requests", &settings).expect("a script");
    let text = format!(
        "-- Verdicts on visits that go on: each row replaces the one of the same visit (customer, client_ip, agent, start).\n\
         -- fyke run examples/early_verdicts.sql --set LOGS=access.log --set OUT=-\n\
         {text}\nCOPY (SELECT * FROM session_verdicts) TO '${{OUT}}' STORED AS JSON\n  \
         OPTIONS ('emit' 'update', 'every' '1 second', 'final' 'is_final');\n"
    );
    let file = root().join("examples/early_verdicts.sql");
    if std::env::var_os("FYKE_UPDATE").is_some() {
        std::fs::write(&file, &text).expect("written");
    }
    let found = std::fs::read_to_string(&file).expect("examples/early_verdicts.sql");
    assert!(found == text, "examples/early_verdicts.sql is not the reference; see this test");
}

/// `examples/detector.sql` is the reference detector with its defaults, to be read, copied and run by itself.
/// After a change of the detector's SQL: `FYKE_UPDATE=1 cargo test -p fyke --test house`.
#[test]
fn example_detector_is_the_reference() {
    let settings = BTreeMap::from([("lateness".to_owned(), "3 minutes".to_owned())]);
    let text = fyke::detector::detector_script("${LOGS}", "requests", &settings).expect("a script");
    let text = format!(
        "-- The reference detector: fyke run --once examples/detector.sql --set LOGS=access.log --set OUT=verdicts.parquet\n\
         {text}\nCOPY (SELECT * FROM session_verdicts) TO '${{OUT}}' STORED AS PARQUET;\n"
    );
    let file = root().join("examples/detector.sql");
    if std::env::var_os("FYKE_UPDATE").is_some() {
        std::fs::write(&file, &text).expect("written");
    }
    let found = std::fs::read_to_string(&file).expect("examples/detector.sql");
    assert!(found == text, "examples/detector.sql is not the reference; see this test");
}
