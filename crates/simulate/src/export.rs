//! A world as files: one log a customer, and the truth beside it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::labels::LabelTable;
use crate::request::Request;
use crate::world::World;
use crate::write::{write_combined, write_json};

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// [`write_json`], files `<customer>.json`.
    #[default]
    Json,
    /// [`write_combined`], files `<customer>.log`.
    Combined,
}

/// What was written.
#[derive(Debug, Clone)]
pub struct Exported {
    /// The logs, by customer.
    pub logs: Vec<PathBuf>,
    /// Lines in all logs.
    pub lines: u64,
    /// Bytes in all logs.
    pub bytes: u64,
    /// The truth per client, as in `labels/clients.csv`.
    pub labels: LabelTable,
}

/// One customer's log and, line by line, its truth.
struct Log {
    lines: BufWriter<File>,
    truth: BufWriter<File>,
}

/// Writes a world into `folder`, which is made if needed: a log a customer, `labels/clients.csv` (see
/// [`LabelTable::write_csv`]) and `labels/<customer>.lines.csv` (`label,kind,actor,bot`, one row for each line of the
/// log, in its order).
///
/// # Errors
/// When a file can't be written.
pub fn export(world: &World, folder: &Path, format: LogFormat) -> io::Result<Exported> {
    let truths = folder.join("labels");
    std::fs::create_dir_all(&truths)?;
    let (write, extension): (fn(&mut Vec<u8>, &Request), _) = match format {
        LogFormat::Json => (write_json, "json"),
        LogFormat::Combined => (write_combined, "log"),
    };
    let mut exported = Exported { logs: Vec::new(), lines: 0, bytes: 0, labels: LabelTable::new() };
    let mut logs = Vec::new();
    for customer in world.customers() {
        let path = folder.join(format!("{}.{extension}", customer.name));
        let mut truth = BufWriter::new(File::create(truths.join(format!("{}.lines.csv", customer.name)))?);
        writeln!(truth, "label,kind,actor,bot")?;
        logs.push(Log { lines: BufWriter::with_capacity(1 << 18, File::create(&path)?), truth });
        exported.logs.push(path);
    }
    let mut line = Vec::with_capacity(1024);
    for request in world.requests() {
        let Some(log) = logs.get_mut(usize::from(request.actor.customer)) else { continue };
        line.clear();
        write(&mut line, &request);
        log.lines.write_all(&line)?;
        let (label, kind) = (request.label.name(), request.actor.kind.name());
        writeln!(log.truth, "{label},{kind},{},{}", request.actor, request.label.bot())?;
        exported.lines += 1;
        exported.bytes += line.len() as u64;
        exported.labels.observe(&request);
    }
    for mut log in logs {
        log.lines.flush()?;
        log.truth.flush()?;
    }
    let mut clients = BufWriter::new(File::create(truths.join("clients.csv"))?);
    exported.labels.write_csv(&mut clients)?;
    clients.flush()?;
    Ok(exported)
}
