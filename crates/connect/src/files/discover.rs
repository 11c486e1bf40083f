//! Which inputs a location names: a file, a glob, a folder with all below it, objects of a bucket, or standard input.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fyke_types::{Error, Result};

use super::compression::{self, Entry};
use super::origin::{Identity, identity};
use super::{handle, objects};

/// What a location means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    Stdin,
    File(PathBuf),
    Folder(PathBuf),
    Glob(String),
    /// `s3://bucket/…`: an object, a prefix or a glob.
    Objects(String),
}

/// A file, or a file inside a zip archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) entry: Option<Entry>,
}

impl Found {
    /// `folder/app.log`, `folder/logs.zip/app.log`.
    pub(crate) fn name(&self) -> String {
        match &self.entry {
            Some(entry) => format!("{}/{}", self.path.display(), entry.name),
            None => self.path.display().to_string(),
        }
    }

    /// Bytes on disk; 0 if that can't be known.
    pub(crate) fn bytes(&self) -> u64 {
        match &self.entry {
            Some(entry) => entry.compressed(),
            None => handle::len(&self.path).unwrap_or(0),
        }
    }
}

impl Location {
    /// Reads a location; nothing needs to exist yet.
    pub(crate) fn new(text: &str) -> Self {
        let text = text.strip_prefix("file://").unwrap_or(text);
        let path = Path::new(text);
        if text == "-" {
            return Self::Stdin;
        }
        if objects::is_location(text) {
            return Self::Objects(text.to_owned());
        }
        if path.is_dir() || text.ends_with('/') {
            return Self::Folder(path.to_path_buf());
        }
        // a file may be called so
        if text.contains(['*', '?', '[']) && !path.exists() {
            return Self::Glob(text.to_owned());
        }
        Self::File(path.to_path_buf())
    }

    /// Whether files may appear here later.
    pub(crate) fn may_grow(&self) -> bool {
        matches!(self, Self::Folder(_) | Self::Glob(_) | Self::Objects(_))
    }

    /// The paths that exist now, in the order of their bytes.
    ///
    /// # Errors
    /// `Usage` for a malformed glob, `Unavailable` where a folder can't be read. A missing file is no error here.
    pub(crate) fn paths(&self) -> Result<Vec<PathBuf>> {
        let mut paths = BTreeSet::new();
        match self {
            Self::Stdin => {}
            Self::Objects(location) => return objects::paths(location),
            Self::File(path) => {
                if path.is_file() || path.exists() {
                    paths.insert(path.clone());
                }
            }
            Self::Folder(path) => {
                if path.exists() {
                    walk(path, &mut BTreeSet::new(), &mut paths)?;
                }
            }
            Self::Glob(pattern) => {
                let options = glob::MatchOptions { require_literal_leading_dot: true, ..Default::default() };
                let matches = glob::glob_with(pattern, options)
                    .map_err(|e| Error::usage(format!("'{pattern}' is no glob pattern")).detail(e))?;
                for path in matches {
                    let path = path.map_err(|e| super::unreadable(e.path(), e.error()))?;
                    match path.is_dir() {
                        true => walk(&path, &mut BTreeSet::new(), &mut paths)?,
                        false => _ = paths.insert(path),
                    }
                }
            }
        }
        Ok(paths.into_iter().collect())
    }

    /// The inputs of `paths`: archives are opened for their entries.
    pub(crate) fn inputs(paths: Vec<PathBuf>) -> Result<Vec<Found>> {
        let mut found = Vec::with_capacity(paths.len());
        for path in paths {
            // only regular files have a beginning that can be looked at without taking it
            if handle::is_regular(&path) && compression::is_zip(&path).map_err(|e| super::unreadable(&path, &e))? {
                let entries = compression::entries(&path)?;
                found.extend(entries.into_iter().map(|entry| Found { path: path.clone(), entry: Some(entry) }));
            } else {
                found.push(Found { path, entry: None });
            }
        }
        Ok(found)
    }

    /// The error of a location that names nothing.
    pub(crate) fn nothing(&self) -> Error {
        match self {
            Self::Stdin => Error::usage("standard input can be read only once"),
            Self::File(path) => {
                let missing = Error::usage(format!("{} does not exist", path.display()));
                match nearest_existing(path) {
                    Some(folder) => missing.hint(format!("the nearest folder that exists is {}", folder.display())),
                    None => missing.hint("give a file, a glob, a folder, or - for standard input"),
                }
            }
            Self::Folder(path) if !path.exists() => {
                Error::usage(format!("the folder {} does not exist", path.display()))
                    .hint("give a file, a glob, a folder, or - for standard input")
            }
            Self::Folder(path) => Error::usage(format!("the folder {} holds no file", path.display()))
                .hint("hidden files and those whose name begins with _ are skipped"),
            Self::Objects(location) => Error::usage(format!("there is no object at {location}")).hint(
                "give an object, a prefix or a glob; hidden objects and those whose name begins with _ are skipped",
            ),
            Self::Glob(pattern) => Error::usage(format!("no file matches '{pattern}'"))
                .hint("quote the pattern, and use ** for folders of any depth"),
        }
    }
}

fn nearest_existing(path: &Path) -> Option<&Path> {
    path.ancestors().skip(1).find(|folder| !folder.as_os_str().is_empty() && folder.is_dir())
}

/// Whether a file or folder of this name is skipped in a folder.
pub(crate) fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

fn walk(folder: &Path, seen: &mut BTreeSet<Identity>, paths: &mut BTreeSet<PathBuf>) -> Result<()> {
    let unreadable = |error: std::io::Error| super::unreadable(folder, &error);
    let own = identity(&std::fs::metadata(folder).map_err(unreadable)?);
    // links may lead in a circle
    if cfg!(unix) && !seen.insert(own) {
        return Ok(());
    }
    for child in std::fs::read_dir(folder).map_err(unreadable)? {
        let child = child.map_err(unreadable)?;
        if is_hidden(&child.file_name().to_string_lossy()) {
            continue;
        }
        let path = child.path();
        // what vanishes meanwhile, or is a dangling link, is no input
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        if metadata.is_dir() {
            walk(&path, seen, paths)?;
        } else if metadata.is_file() {
            paths.insert(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(location: &str) -> Vec<String> {
        let location = Location::new(location);
        location.paths().unwrap().iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn folder_gives_all_files_below_it_but_hidden_ones() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.log", "a.log", ".hidden.log", "_SUCCESS"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        for name in ["deep", ".git", "_temporary"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join("c.log"), "x").unwrap();
        }
        let path = folder.path().display().to_string();
        assert_eq!(names(&path), ["a.log", "b.log", "c.log"]);
        assert_eq!(names(&format!("file://{path}")), ["a.log", "b.log", "c.log"]);
        assert_eq!(names(&format!("{path}/*.log")), ["a.log", "b.log"]);
        assert_eq!(names(&format!("{path}/**/c.log")), ["c.log", "c.log"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_in_a_circle_end() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.log"), "x").unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("again")).unwrap();
        assert_eq!(names(&folder.path().display().to_string()), ["a.log"]);
    }

    #[test]
    fn nothing_is_named_with_a_hint() {
        for location in ["/nowhere/at/all.log", "/nowhere/*.log", "/nowhere/"] {
            let text = Location::new(location).nothing().to_string();
            assert!(text.contains("/nowhere") && text.contains("hint"), "{text}");
        }
    }
}
