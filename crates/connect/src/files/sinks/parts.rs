//! A folder of parts: what a run with checkpoints writes. A part is hidden until the checkpoint that holds it is there,
//! so that rows appear once, whatever dies when.
//!
//! `part-RUN-NUMBER.parquet`, where `NUMBER` is the checkpoint's. A prepared part is called
//! `.part-RUN-NUMBER.parquet.GENERATION`, so that two processes never write under one name.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use fyke_types::{Error, PartsOf, Result, Sink, SinkMode, SinkSpec};

use super::output::{holds_rows, is_part};
use super::{finished, held, plain, unwritable};

/// See the module.
pub(super) struct PartsSink {
    spec: SinkSpec,
    folder: PathBuf,
    extension: &'static str,
    of: PartsOf,
    /// The part being written, under a hidden name.
    open: Option<Box<dyn Sink>>,
    rows: usize,
    /// Whether the output holds a part of this run.
    any: bool,
    /// Parts of other runs go when the first of this one appears.
    replaces: bool,
}

impl PartsSink {
    /// The output of `spec`, whose location is or becomes a folder.
    ///
    /// # Errors
    /// `Usage` where it holds rows of another run, and what the format's own sink says.
    pub(super) fn new(spec: &SinkSpec, of: &PartsOf) -> Result<Self> {
        let location = spec.location.strip_prefix("file://").unwrap_or(&spec.location);
        let folder = PathBuf::from(location);
        let failed = |error: io::Error| unwritable(location, &error);
        if folder.is_file() {
            let empty = std::fs::metadata(&folder).map_err(failed)?.len() == 0;
            if spec.mode == SinkMode::Append && !empty {
                return Err(held(location));
            }
            std::fs::remove_file(&folder).map_err(failed)?;
        }
        if spec.mode == SinkMode::Append && !of.resumed && holds_rows(Some(&folder), &folder)? {
            return Err(held(location));
        }
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let extension = match spec.format.as_str() {
            "PARQUET" => "parquet",
            "CSV" => "csv",
            _ => "json",
        };
        let replaces = spec.mode == SinkMode::Overwrite && !of.resumed;
        let (spec, of) = (spec.clone(), of.clone());
        let mut sink = Self { spec, folder, extension, of, open: None, rows: 0, any: false, replaces };
        // wrong settings and columns are said now, not with the first row
        sink.begin()?;
        Ok(sink)
    }

    fn begin(&mut self) -> Result<&mut Box<dyn Sink>> {
        if self.open.is_none() {
            let location = self.folder.join(self.hidden("open")).display().to_string();
            let spec = SinkSpec { location, mode: SinkMode::Overwrite, parts: None, ..self.spec.clone() };
            self.open = Some(plain(&spec)?);
        }
        self.open.as_mut().ok_or_else(finished)
    }

    fn hidden(&self, number: &str) -> String {
        let PartsOf { run, generation, .. } = &self.of;
        format!(".part-{run}-{number}.{}.{generation}", self.extension)
    }

    fn sync(&self) -> Result<()> {
        let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| unwritable(&self.spec.location, &error))
    }

    /// The names in the folder.
    fn names(&self) -> Result<Vec<String>> {
        let failed = |error: io::Error| unwritable(&self.spec.location, &error);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(failed)? {
            names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    fn remove(&self, name: &str) -> Result<()> {
        std::fs::remove_file(self.folder.join(name)).map_err(|error| unwritable(&self.spec.location, &error))
    }

    /// The number in the name of a part of this run.
    fn number(&self, name: &str) -> Option<u64> {
        let rest = name.strip_prefix("part-")?.strip_prefix(self.of.run.as_str())?.strip_prefix('-')?;
        rest.split('.').next()?.parse().ok()
    }
}

/// The name of a part that was prepared under `hidden`.
fn visible(hidden: &str) -> Option<&str> {
    hidden.strip_prefix('.')?.rsplit_once('.').map(|(name, _)| name)
}

impl Sink for PartsSink {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows();
        self.begin()?.write(batch)
    }

    fn prepare(&mut self, part: u64, last: bool) -> Result<Option<String>> {
        // an output without rows still has columns
        if self.rows == 0 && (self.any || !last) {
            return Ok(None);
        }
        let mut sink = match self.open.take() {
            Some(sink) => sink,
            None => {
                self.begin()?;
                self.open.take().ok_or_else(finished)?
            }
        };
        sink.finish()?;
        (self.rows, self.any) = (0, true);
        let hidden = self.hidden(&format!("{part:012}"));
        let (from, to) = (self.folder.join(self.hidden("open")), self.folder.join(&hidden));
        let prepared = File::open(&from).and_then(|file| file.sync_all()).and_then(|()| std::fs::rename(&from, &to));
        prepared.map_err(|error| unwritable(&self.spec.location, &error))?;
        self.sync()?;
        Ok(Some(hidden))
    }

    fn commit(&mut self, prepared: &str) -> Result<()> {
        let Some(name) = visible(prepared) else {
            return Err(Error::data(format!("the checkpoint names '{prepared}', which is no part")));
        };
        if self.replaces {
            self.replaces = false;
            for name in self.names()?.iter().filter(|name| is_part(Path::new(name)) && self.number(name).is_none()) {
                self.remove(name)?;
            }
        }
        self.any = true;
        let (hidden, visible) = (self.folder.join(prepared), self.folder.join(name));
        match std::fs::rename(&hidden, &visible) {
            // an earlier process has done it already
            Err(error) if error.kind() == io::ErrorKind::NotFound && visible.exists() => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::data(format!("a part of {} that a checkpoint has is missing: {name}", self.spec.location))
                    .hint("was the output moved or cleaned? Start over with another --checkpoint and output"))
            }
            Err(error) => Err(unwritable(&self.spec.location, &error)),
            Ok(()) => self.sync(),
        }
    }

    fn recover(&mut self, part: u64) -> Result<()> {
        let own = self.hidden("open");
        for name in self.names()? {
            let unfinished = name.strip_prefix('.').is_some_and(|hidden| {
                let of_run =
                    hidden.trim_start_matches('.').strip_prefix("part-").and_then(|n| n.strip_prefix(&self.of.run));
                of_run.is_some_and(|rest| rest.starts_with('-')) && !name.contains(own.trim_start_matches('.'))
            });
            let after = self.number(&name).is_some_and(|number| number > part);
            if unfinished || after {
                self.remove(&name)?;
            }
            self.any |= self.number(&name).is_some_and(|number| number <= part);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.open = None;
        Ok(())
    }
}
