//! Files, folders, globs and standard input as tables; files and standard output as sinks.
//!
//! A location is discovered into inputs; an input's bytes (decompressed) are cut into blocks of whole lines; blocks are
//! decoded by threads; the reader gives them in event-time order. How lines look is the business of `fyke-formats`.

mod blocks;
pub(crate) mod compression;
mod csv;
mod customer;
pub(crate) mod decode;
mod discover;
mod follow;
mod handle;
mod lookahead;
mod objects;
mod origin;
mod parquet;
mod partition;
pub(crate) mod pool;
mod position;
mod reader;
mod sinks;
mod source;
pub(crate) mod source_bytes;

use std::io;
use std::path::Path;
use std::sync::Arc;

use fyke_types::{Changelog, Connector, Error, Result, Sink, SinkSpec, Source, TableSpec};

pub(crate) use decode::{Piece, Worker, refused_rows};
pub use follow::FollowCounters;
pub use source::{FileSource, sample};

/// Answers to the formats of logs and tables that lie in files.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileConnector;

impl Connector for FileConnector {
    fn formats(&self) -> &'static [&'static str] {
        &[
            "JSON",
            "COMMON",
            "COMBINED",
            "VHOST_COMMON",
            "VHOST_COMBINED",
            "NGINX",
            "APACHE",
            "REQUESTS",
            "ALB",
            "CLOUDFRONT",
            "CLOUDFLARE",
            "FASTLY",
            "AKAMAI",
            "HAPROXY",
            "W3C",
            "IIS",
            "TRAEFIK",
            "CADDY",
            "NGINX_JSON",
            "CSV",
            "PARQUET",
        ]
    }

    fn source(&self, spec: &TableSpec) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(FileSource::new(spec)?))
    }

    fn sink(&self, spec: &SinkSpec) -> Result<Box<dyn Sink>> {
        if spec.key.is_none() {
            return sinks::sink(spec);
        }
        // JSON lines: each says what it is
        let log = SinkSpec { schema: Changelog::schema(&spec.schema)?, key: None, ..spec.clone() };
        Ok(Box::new(Changelog::new(sinks::sink(&log)?, &spec.schema)?))
    }

    fn takes_upserts(&self, format: &str) -> bool {
        format == "JSON"
    }
}

/// The error of a path that can't be read.
fn unreadable(path: &Path, error: &io::Error) -> Error {
    let failed = Error::unavailable(format!("{} can't be read", path.display())).detail(error);
    match error.kind() {
        io::ErrorKind::PermissionDenied => failed.hint("are you allowed to read it?"),
        _ => failed,
    }
}
