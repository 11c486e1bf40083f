//! Which real servers do the tests talk to?
//!
//! Servers of others, downloaded once into a cache folder (`FYKE_SERVERS`, default `fyke-servers` in the user's cache),
//! started on loopback with a folder and ports of their own, and killed when their value is dropped or the process that
//! started them ends. For tests and chores alone: nothing that users get depends on it.

pub mod cache;
pub mod java;
pub mod kafka;
pub mod process;
pub mod s3;
pub mod search;

pub use kafka::Kafka;
pub use s3::S3;
pub use search::Search;

use std::path::PathBuf;

use anyhow::Result;

/// A server that a developer started: `cargo xtask servers up`.
#[derive(Debug)]
pub struct Up {
    /// What a client is given.
    pub address: String,
    /// Its process.
    pub pid: u32,
    /// Its data, settings and log.
    pub folder: PathBuf,
}

/// Starts a server for a developer.
pub type Start = fn() -> Result<Up>;

/// What `cargo xtask servers up NAME` starts. A server that is to be had there costs a line.
pub const SERVERS: &[(&str, Start)] = &[
    ("kafka", kafka::up),
    ("opensearch", || search::up(search::Product::OpenSearch3)),
    ("opensearch-2", || search::up(search::Product::OpenSearch2)),
    ("elasticsearch", || search::up(search::Product::Elasticsearch9)),
    ("elasticsearch-8", || search::up(search::Product::Elasticsearch8)),
    ("s3", s3::up),
];
