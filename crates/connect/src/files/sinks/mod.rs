//! Files, objects and standard output as places for rows. A file is published by renaming it at the end: half a result
//! never looks like one.

mod csv;
mod json;
mod objects;
mod output;
mod parquet;
mod partitioned;
mod parts;

use fyke_types::{Error, Result, Settings, Sink, SinkSpec};

use output::Output;

use super::objects::is_location;
use super::partition;

/// The sink that `spec` says.
pub(super) fn sink(spec: &SinkSpec) -> Result<Box<dyn Sink>> {
    if is_location(&spec.location) {
        if spec.options.contains_key("partition_by") {
            let message = format!("{} is written to without 'partition_by'", spec.location);
            return Err(Error::unsupported(message).hint("write to a folder of its own machine, or leave it out"));
        }
        return Ok(Box::new(objects::ObjectSink::new(spec)?));
    }
    let mut options = spec.options.clone();
    if let Some(columns) = options.remove("partition_by") {
        let names = partition::names(&columns)?;
        let spec = SinkSpec { options, ..spec.clone() };
        return Ok(Box::new(partitioned::PartitionedSink::new(&spec, names)?));
    }
    match &spec.parts {
        // what standard output was given can't be taken back
        Some(of) if spec.location != "-" => Ok(Box::new(parts::PartsSink::new(spec, of)?)),
        _ => plain(spec),
    }
}

/// A sink into one file, which appears when it is whole.
fn plain(spec: &SinkSpec) -> Result<Box<dyn Sink>> {
    let settings = Settings::new(format!("the {} sink", spec.format), spec.options.clone());
    match spec.format.as_str() {
        "JSON" => {
            settings.finish()?;
            Ok(Box::new(json::JsonSink::new(Output::open(spec, "json")?)))
        }
        "CSV" => {
            settings.finish()?;
            Ok(Box::new(csv::CsvSink::new(Output::open(spec, "csv")?, &spec.schema)))
        }
        "PARQUET" => Ok(Box::new(parquet::ParquetSink::new(spec, settings)?)),
        other => Err(Error::unsupported(format!("rows can't be written as {other}: it is a format of logs"))
            .hint("write them as PARQUET, JSON or CSV")),
    }
}

/// The error of an output that can't be written.
fn unwritable(location: &str, error: &std::io::Error) -> Error {
    Error::unavailable(format!("{location} can't be written")).detail(error)
}

/// The extension of what a format writes.
fn extension(spec: &SinkSpec) -> &'static str {
    match spec.format.as_str() {
        "PARQUET" => "parquet",
        "CSV" => "csv",
        _ => "json",
    }
}

/// The number in the name of a part of `run`: `part-RUN-NUMBER.json`.
fn number_of(name: &str, run: &str) -> Option<u64> {
    let rest = name.strip_prefix("part-")?.strip_prefix(run)?.strip_prefix('-')?;
    rest.split('.').next()?.parse().ok()
}

/// The error of an output that must not be added to.
fn held(location: &str) -> Error {
    Error::usage(format!("output {location} already holds rows of another run"))
        .hint("--overwrite replaces them; or name another output")
}

/// The error of rows that come after the end.
fn finished() -> Error {
    Error::internal("rows were written to a sink that is finished")
}
