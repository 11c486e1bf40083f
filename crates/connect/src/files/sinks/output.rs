//! Where bytes of a result go: a file that appears when it is whole, or standard output as it goes.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use fyke_types::{Result, SinkMode, SinkSpec};

use super::{held, unwritable};
use crate::files::discover::is_hidden;

const BUFFER_BYTES: usize = 1024 * 1024;

/// An open output. Dropped before [`Output::publish`], it leaves nothing behind.
pub(super) struct Output {
    to: BufWriter<Box<dyn Write + Send>>,
    name: String,
    file: Option<Hidden>,
}

/// A file under a name that nobody reads.
struct Hidden {
    hidden: PathBuf,
    wanted: PathBuf,
    /// A folder whose former parts are to be replaced.
    replaces: Option<PathBuf>,
    published: bool,
}

impl Output {
    /// The output of `spec`: `-` for standard output; a folder (or a name with a `/` at its end) gets a part in it.
    ///
    /// # Errors
    /// `Usage` where it holds rows of another run, `Unavailable` where it can't be created.
    pub(super) fn open(spec: &SinkSpec, extension: &str) -> Result<Self> {
        let location = spec.location.strip_prefix("file://").unwrap_or(&spec.location);
        if location == "-" {
            let to: Box<dyn Write + Send> = Box::new(io::stdout());
            return Ok(Self {
                to: BufWriter::with_capacity(BUFFER_BYTES, to),
                name: "standard output".into(),
                file: None,
            });
        }
        let path = Path::new(location);
        let folder = (location.ends_with('/') || path.is_dir()).then(|| path.to_path_buf());
        let wanted = folder.as_ref().map_or_else(|| path.to_path_buf(), |f| f.join(format!("part-00000.{extension}")));
        if spec.mode == SinkMode::Append && holds_rows(folder.as_deref(), &wanted)? {
            return Err(held(location));
        }
        let failed = |error: io::Error| unwritable(location, &error);
        if let Some(parent) = wanted.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        let hidden = hidden_name(&wanted);
        let file = File::create(&hidden).map_err(failed)?;
        let to: Box<dyn Write + Send> = Box::new(file);
        let file = Some(Hidden { hidden, wanted, replaces: folder, published: false });
        Ok(Self { to: BufWriter::with_capacity(BUFFER_BYTES, to), name: location.to_owned(), file })
    }

    /// Writes all of `bytes`.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.to.write_all(bytes).map_err(|e| unwritable(&self.name, &e))
    }

    /// What was written is seen, where that is not before the end.
    pub(super) fn flush(&mut self) -> Result<()> {
        if self.file.is_some() {
            return Ok(());
        }
        self.to.flush().map_err(|e| unwritable(&self.name, &e))
    }

    /// Makes the result visible under its name.
    pub(super) fn publish(&mut self) -> Result<()> {
        self.to.flush().map_err(|e| unwritable(&self.name, &e))?;
        match &mut self.file {
            Some(file) => file.publish().map_err(|e| unwritable(&self.name, &e)),
            None => Ok(()),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl Hidden {
    fn publish(&mut self) -> io::Result<()> {
        std::fs::rename(&self.hidden, &self.wanted)?;
        self.published = true;
        let Some(folder) = &self.replaces else { return Ok(()) };
        for child in std::fs::read_dir(folder)? {
            let path = child?.path();
            if is_part(&path) && path != self.wanted {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if !self.published {
            // nobody is left to be told
            _ = std::fs::remove_file(&self.hidden);
        }
    }
}

fn hidden_name(wanted: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = wanted.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    wanted.with_file_name(format!(".{name}.{process}-{count}.tmp"))
}

/// Whether a file in a folder of results is one of them.
pub(super) fn is_part(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("part-"))
}

/// Whether there is a visible file in the folder, or bytes in the file. An empty file was only made for its name.
pub(super) fn holds_rows(folder: Option<&Path>, wanted: &Path) -> Result<bool> {
    let Some(folder) = folder else {
        return Ok(std::fs::metadata(wanted).is_ok_and(|metadata| metadata.len() > 0));
    };
    if !folder.exists() {
        return Ok(false);
    }
    let failed = |error: io::Error| unwritable(&folder.display().to_string(), &error);
    for child in std::fs::read_dir(folder).map_err(failed)? {
        if !is_hidden(&child.map_err(failed)?.file_name().to_string_lossy()) {
            return Ok(true);
        }
    }
    Ok(false)
}
