//! What an index holds, asked of the server itself.

#![allow(dead_code, reason = "each test binary uses another part of it")]

use std::process::Command;

use serde_json::Value;

/// The number of documents in the indices of that pattern, once they can be searched.
pub fn count(url: &str, pattern: &str) -> u64 {
    ask(&format!("{url}/{pattern}/_refresh"));
    ask(&format!("{url}/{pattern}/_count"))["count"].as_u64().unwrap_or_default()
}

/// The documents in the indices of that pattern, at most 10,000 of each index.
pub fn documents(url: &str, pattern: &str) -> Vec<Value> {
    ask(&format!("{url}/{pattern}/_refresh"));
    let indices = ask(&format!("{url}/_cat/indices/{pattern}?format=json"));
    let names = indices.as_array().expect("a list").iter().filter_map(|index| index["index"].as_str());
    let mut found = Vec::new();
    for name in names {
        let reply = ask(&format!("{url}/{name}/_search?size=10000"));
        let hits = reply["hits"]["hits"].as_array().expect("hits");
        found.extend(hits.iter().map(|hit| hit["_source"].clone()));
    }
    found
}

/// `event.start` of a document.
pub fn field<'a>(document: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(document, |value, step| &value[step])
}

fn ask(url: &str) -> Value {
    let mut curl = Command::new("curl");
    let output = curl.args(["-s", "--noproxy", "*", "-m", "20", "--globoff", url]).output().expect("curl");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{url}: {error}"))
}
