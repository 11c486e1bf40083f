//! Rows in folders by their values, as Hive laid it out: `customer=a/date=2026-01-01/part-….parquet`. The columns that
//! folders hold are not in the files. Each folder is an output of its own; what holds for one holds for all.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use fyke_types::{Error, PartsOf, Result, Sink, SinkMode, SinkSpec};

use super::output::{holds_rows, is_part};
use super::parts::PartsSink;
use super::{held, number_of, plain, unwritable};
use crate::files::partition::{NULL, encoded};

/// Folders that may be written to between two checkpoints, or in a run without any.
const FOLDERS_MAX: usize = 1_000;

/// See the module.
pub(super) struct PartitionedSink {
    /// Of one folder: without the columns of folders.
    spec: SinkSpec,
    folder: PathBuf,
    names: Vec<String>,
    /// Where those columns stand in rows, and where the others do.
    of_folders: Vec<usize>,
    of_files: Vec<usize>,
    open: BTreeMap<String, Box<dyn Sink>>,
    /// Rows of other runs go when the first of this one appear.
    replaces: bool,
}

impl PartitionedSink {
    /// The output of `spec` by the columns `names`, whose location is or becomes a folder.
    ///
    /// # Errors
    /// `Usage` where it holds rows of another run, or rows can't be told apart so.
    pub(super) fn new(spec: &SinkSpec, names: Vec<String>) -> Result<Self> {
        if spec.location == "-" {
            return Err(
                Error::usage("standard output has no folders").hint("name a folder, or leave out 'partition_by'")
            );
        }
        let of_folders = places(&spec.schema, &names)?;
        let of_files: Vec<usize> =
            (0..spec.schema.fields().len()).filter(|index| !of_folders.contains(index)).collect();
        if of_files.is_empty() {
            return Err(Error::usage("all columns are in 'partition_by', so that none is left for the files"));
        }
        let location = spec.location.strip_prefix("file://").unwrap_or(&spec.location).to_owned();
        let folder = PathBuf::from(&location);
        if folder.is_file() {
            return Err(
                Error::usage(format!("the output {location} is a file")).hint("name a folder for 'partition_by'")
            );
        }
        let resumed = spec.parts.as_ref().is_some_and(|parts| parts.resumed);
        if spec.mode == SinkMode::Append && !resumed && holds_rows(Some(&folder), &folder)? {
            return Err(held(&location));
        }
        let schema = Arc::new(spec.schema.project(&of_files)?);
        // a process may have died between the checkpoint of its first parts and the removal of the others
        let replaces = spec.mode == SinkMode::Overwrite;
        let spec = SinkSpec { schema, location, ..spec.clone() };
        // wrong settings and columns are said now, not with the first row
        let probe = hidden_beside(&folder);
        let checked = plain(&SinkSpec { location: probe.display().to_string(), parts: None, ..spec.clone() }).map(drop);
        let made = Self { spec, folder, names, of_folders, of_files, open: BTreeMap::new(), replaces };
        checked.map(|()| made)
    }

    /// The output of one folder. What other runs left there is the business of this one, so its own never looks.
    fn of_folder(&self, path: &str) -> Result<Box<dyn Sink>> {
        let location = format!("{}/", self.folder.join(path).display());
        let parts = self.spec.parts.as_ref().map(|parts| PartsOf { resumed: true, ..parts.clone() });
        let spec = SinkSpec { location, parts, ..self.spec.clone() };
        match &spec.parts {
            Some(of) => Ok(Box::new(PartsSink::new(&spec, of)?)),
            None => plain(&spec),
        }
    }

    fn sink(&mut self, path: &str) -> Result<&mut Box<dyn Sink>> {
        if !self.open.contains_key(path) {
            if self.open.len() >= FOLDERS_MAX {
                let message =
                    format!("more than {FOLDERS_MAX} folders of {} are written to at once", self.spec.location);
                return Err(
                    Error::usage(message).hint("partition by columns with fewer values, such as customer and date")
                );
            }
            let sink = self.of_folder(path)?;
            self.open.insert(path.to_owned(), sink);
        }
        self.open.get_mut(path).ok_or_else(|| Error::internal("an output that was just opened is gone"))
    }

    /// The rows of each folder, in their order.
    fn split(&self, batch: &RecordBatch) -> Result<Vec<(String, Vec<u32>)>> {
        let text = |index: &usize| Ok(cast(batch.column(*index), &DataType::Utf8)?);
        let values = self.of_folders.iter().map(text).collect::<Result<Vec<ArrayRef>>>()?;
        let mut groups: Vec<(String, Vec<u32>)> = Vec::new();
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        let mut at = None;
        for row in 0..batch.num_rows() {
            // rows of one folder come together, often
            let same = row > 0 && values.iter().all(|values| same_as_before(values, row));
            if !same {
                let path = self.path(&values, row);
                at = Some(*known.entry(path).or_insert_with_key(|path| {
                    groups.push((path.clone(), Vec::new()));
                    groups.len() - 1
                }));
            }
            if let Some((_, rows)) = at.and_then(|at| groups.get_mut(at)) {
                rows.push(u32::try_from(row).unwrap_or(u32::MAX));
            }
        }
        Ok(groups)
    }

    fn path(&self, values: &[ArrayRef], row: usize) -> String {
        let folder = |(name, values): (&String, &ArrayRef)| match values.is_null(row) {
            true => format!("{name}={NULL}"),
            false => format!("{name}={}", encoded(values.as_string::<i32>().value(row))),
        };
        self.names.iter().zip(values).map(folder).collect::<Vec<_>>().join("/")
    }

    /// The folders `name=value` that exist, at any depth: another run may have had other columns.
    fn existing(&self) -> Result<Vec<String>> {
        let failed = |error: io::Error| unwritable(&self.spec.location, &error);
        let (mut found, mut left) = (Vec::new(), vec![String::new()]);
        while let Some(path) = left.pop() {
            let folder = self.folder.join(&path);
            if !folder.is_dir() {
                continue;
            }
            for entry in std::fs::read_dir(&folder).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let child = entry.file_name().to_string_lossy().into_owned();
                if child.contains('=') && entry.path().is_dir() {
                    left.push(if path.is_empty() { child } else { format!("{path}/{child}") });
                }
            }
            found.extend(Some(path).filter(|path| !path.is_empty()));
        }
        // the inner ones first
        found.sort_by(|a, b| b.cmp(a));
        Ok(found)
    }

    /// Whether a folder is one that this output may write to.
    fn is_own(&self, path: &str) -> bool {
        let mut folders = path.split('/');
        let named = self.names.iter().all(|name| {
            folders
                .next()
                .and_then(|folder| folder.strip_prefix(name.as_str()))
                .is_some_and(|rest| rest.starts_with('='))
        });
        named && folders.next().is_none()
    }

    /// Removes parts of other runs: with checkpoints before the first part of this one is seen; without any, where this
    /// one wrote it has replaced them already.
    fn replace(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.replaces) {
            return Ok(());
        }
        let failed = |error: io::Error| unwritable(&self.spec.location, &error);
        let replaced = |path: &&String| self.spec.parts.is_none() && self.open.contains_key(*path);
        for path in self.existing()?.iter().filter(|path| !replaced(path)) {
            let folder = self.folder.join(path);
            for entry in std::fs::read_dir(&folder).map_err(failed)? {
                let file = entry.map_err(failed)?.path();
                let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                let own = self.spec.parts.as_ref().is_some_and(|of| number_of(&name, &of.run).is_some());
                if is_part(&file) && !own {
                    std::fs::remove_file(file).map_err(failed)?;
                }
            }
            // only if nothing else lies there
            drop(std::fs::remove_dir(folder));
        }
        Ok(())
    }
}

/// Where `names` stand among the columns, which must be of a type that a folder's name can hold.
fn places(schema: &SchemaRef, names: &[String]) -> Result<Vec<usize>> {
    let place = |name: &String| {
        let Some((index, field)) = schema.column_with_name(name) else {
            let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            return Err(Error::usage(format!("'partition_by' names '{name}', which is no column of the rows"))
                .hint(format!("the columns are {}", known.join(", "))));
        };
        let data_type = field.data_type();
        let text = matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Boolean);
        if text || data_type.is_integer() || matches!(data_type, DataType::Date32) {
            return Ok(index);
        }
        Err(Error::usage(format!("'partition_by' names '{name}', which is {data_type}"))
            .hint("folders are called after texts, whole numbers and dates: CAST(time AS DATE)"))
    };
    names.iter().map(place).collect()
}

fn same_as_before(values: &ArrayRef, row: usize) -> bool {
    let texts = values.as_string::<i32>();
    texts.is_null(row) == texts.is_null(row - 1) && (texts.is_null(row) || texts.value(row) == texts.value(row - 1))
}

/// A hidden name beside the output.
fn hidden_beside(folder: &Path) -> PathBuf {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    folder.with_file_name(format!(".{name}.probe"))
}

impl Sink for PartitionedSink {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let groups = self.split(batch)?;
        let rest = batch.project(&self.of_files)?;
        for (path, rows) in groups {
            let part = if rows.len() == rest.num_rows() {
                rest.clone()
            } else {
                take_record_batch(&rest, &UInt32Array::from(rows))?
            };
            self.sink(&path)?.write(&part)?;
        }
        Ok(())
    }

    fn prepare(&mut self, part: u64, last: bool) -> Result<Option<String>> {
        let mut prepared = BTreeMap::new();
        let mut idle = Vec::new();
        for (path, sink) in &mut self.open {
            match sink.prepare(part, last)? {
                Some(words) => _ = prepared.insert(path.clone(), words),
                None => idle.push(path.clone()),
            }
        }
        // yesterday's folders are not written to any more
        idle.iter().for_each(|path| drop(self.open.remove(path)));
        if prepared.is_empty() {
            return Ok(None);
        }
        let text = serde_json::to_string(&prepared);
        text.map(Some).map_err(|error| Error::internal("a part can't be named").detail(error))
    }

    fn commit(&mut self, prepared: &str) -> Result<()> {
        let prepared: BTreeMap<String, String> = serde_json::from_str(prepared).map_err(|error| {
            Error::data(format!("the checkpoint names '{prepared}', which are no parts")).detail(error)
        })?;
        self.replace()?;
        for (path, words) in prepared {
            match self.open.get_mut(&path) {
                Some(sink) => sink.commit(&words)?,
                None => self.of_folder(&path)?.commit(&words)?,
            }
        }
        Ok(())
    }

    fn recover(&mut self, part: u64) -> Result<()> {
        // the same sink may go on for another generation, which gets these rows again
        self.open.clear();
        for path in self.existing()?.iter().filter(|path| self.is_own(path)) {
            self.of_folder(path)?.recover(part)?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        for sink in self.open.values_mut() {
            sink.finish()?;
        }
        if self.spec.parts.is_none() { self.replace() } else { Ok(()) }
    }
}
