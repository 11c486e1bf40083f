//! Versions of models in a folder laid out as MLflow's: `<name>/<version>/{MLmodel, model.ubj, fyke.json, …}`.
//!
//! A version appears whole or not at all, and is never changed. Aliases move: `<name>/aliases.json`.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use fyke_types::{Error, Result};

use crate::card::Card;
use crate::hash::hash_bytes;
use crate::mlmodel::{REQUIREMENTS, mlmodel};
use crate::model::Model;
use crate::ubj::{from_ubj, to_ubj};

const CARD: &str = "fyke.json";
const TREES: &str = "model.ubj";
const ALIASES: &str = "aliases.json";
/// How often a save looks for the next free version while others save too.
const ATTEMPTS: usize = 1_000;

/// Which version is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Which {
    Latest,
    Version(u64),
    Alias(String),
}

/// A model by name: `name` or `name@latest` (the highest version), `name@3`, `name@champion` (an alias).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    name: String,
    which: Which,
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, which) = text.split_once('@').unwrap_or((text, "latest"));
        check_word("model name", name)?;
        let which = match which {
            "latest" => Which::Latest,
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.is_empty() => Which::Version(
                digits.parse().map_err(|_| Error::usage(format!("version '{digits}' of '{name}' is too large")))?,
            ),
            alias => {
                check_word("alias", alias)?;
                Which::Alias(alias.to_owned())
            }
        };
        Ok(Self { name: name.to_owned(), which })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.which {
            Which::Latest => write!(f, "{}@latest", self.name),
            Which::Version(version) => write!(f, "{}@{version}", self.name),
            Which::Alias(alias) => write!(f, "{}@{alias}", self.name),
        }
    }
}

/// One model's versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its versions, rising.
    pub versions: Vec<u64>,
    /// Its aliases and the versions that they stand for.
    pub aliases: BTreeMap<String, u64>,
}

/// A folder of models.
#[derive(Debug, Clone)]
pub struct Registry {
    root: PathBuf,
}

impl Registry {
    /// The registry in this folder, which is made at the first save.
    ///
    /// # Errors
    /// `Usage` where the path is no folder.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        if root.exists() && !root.is_dir() {
            return Err(Error::usage(format!("the registry '{}' is no folder", root.display())));
        }
        Ok(Self { root })
    }

    /// Saves a model as the next version of `name`, and says which that is. Concurrent saves get different versions.
    ///
    /// # Errors
    /// `Usage` for a name that is no word, `Unavailable` where the folder can't be written.
    pub fn save(&self, name: &str, model: &Model) -> Result<u64> {
        static SAVES: AtomicU64 = AtomicU64::new(0);
        check_word("model name", name)?;
        let folder = self.root.join(name);
        let draft = folder.join(format!(".writing-{}-{}", std::process::id(), SAVES.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir_all(&draft).map_err(|error| failed("can't make", &draft, &error))?;
        let saved = self.save_draft(name, model, &draft);
        if saved.is_err() {
            // the error that matters is the first one
            let _ = fs::remove_dir_all(&draft);
        }
        saved
    }

    fn save_draft(&self, name: &str, model: &Model, draft: &Path) -> Result<u64> {
        let trees = to_ubj(model.forest())?;
        let mut card = Card::of(model);
        card.trees_hash = Some(hash_bytes(&trees).hex());
        let card = card.write()?;
        write(&draft.join(TREES), &trees)?;
        write(&draft.join(CARD), &card)?;
        write(&draft.join("requirements.txt"), REQUIREMENTS.as_bytes())?;
        let mut version = self.versions(name)?.last().copied().unwrap_or(0);
        for _ in 0..ATTEMPTS {
            version += 1;
            write(&draft.join("MLmodel"), mlmodel(name, version, model, &card)?.as_bytes())?;
            let target = self.root.join(name).join(version.to_string());
            // a folder with something in it is never replaced, so this creates the version only if it is absent
            match fs::rename(draft, &target) {
                Ok(()) => return Ok(version),
                Err(_) if target.exists() => {}
                Err(error) => return Err(failed("can't make", &target, &error)),
            }
        }
        Err(Error::unavailable(format!("no free version of '{name}' was found in {ATTEMPTS} attempts")))
    }

    /// Loads a model by reference (see [`Reference`]).
    ///
    /// # Errors
    /// `Usage` where there is no such model, version or alias (the message lists those that are); `Data` where its files
    /// are corrupt.
    pub fn load(&self, reference: &str) -> Result<Model> {
        self.load_version(reference).map(|(model, _)| model)
    }

    /// Loads a model by reference, and says which version it is.
    ///
    /// # Errors
    /// As [`Registry::load`].
    pub fn load_version(&self, reference: &str) -> Result<(Model, u64)> {
        let reference: Reference = reference.parse()?;
        let version = self.resolve(&reference)?;
        let folder = self.root.join(&reference.name).join(version.to_string());
        let model = load_folder(&folder).map_err(|error| {
            let message = format!("model '{}@{version}' can't be loaded", reference.name);
            Error::new(error.kind(), message).detail(error).hint(format!("look at {}", folder.display()))
        })?;
        Ok((model, version))
    }

    fn resolve(&self, reference: &Reference) -> Result<u64> {
        let name = &reference.name;
        let versions = self.versions(name)?;
        let Some(latest) = versions.last().copied() else {
            let known: Vec<String> = self.list()?.into_iter().map(|entry| entry.name).collect();
            let hint = if known.is_empty() {
                "the registry is empty".into()
            } else {
                format!("there are {}", known.join(", "))
            };
            return Err(Error::usage(format!("there is no model '{name}' in {}", self.root.display())).hint(hint));
        };
        let version = match &reference.which {
            Which::Latest => latest,
            Which::Version(version) => *version,
            Which::Alias(alias) => *self.aliases(name)?.get(alias).ok_or_else(|| self.no_alias(name, alias))?,
        };
        if versions.binary_search(&version).is_err() {
            let known: Vec<String> = versions.iter().map(u64::to_string).collect();
            return Err(Error::usage(format!("there is no version {version} of '{name}'"))
                .hint(format!("there are {}", known.join(", "))));
        }
        Ok(version)
    }

    fn no_alias(&self, name: &str, alias: &str) -> Error {
        let known: Vec<String> = self.aliases(name).unwrap_or_default().into_keys().collect();
        let hint = if known.is_empty() { "it has none".into() } else { format!("there are {}", known.join(", ")) };
        Error::usage(format!("'{name}' has no alias '{alias}'")).hint(hint)
    }

    /// All models, by name.
    ///
    /// # Errors
    /// `Unavailable` where the folder can't be read, `Data` for broken aliases.
    pub fn list(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for name in folders(&self.root)? {
            let versions = self.versions(&name)?;
            if !versions.is_empty() {
                let aliases = self.aliases(&name)?;
                entries.push(Entry { name, versions, aliases });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Lets an alias stand for a version from now on.
    ///
    /// # Errors
    /// `Usage` for a version that is not there, or an alias that is no word, a number, or `latest`.
    pub fn set_alias(&self, name: &str, alias: &str, version: u64) -> Result<()> {
        check_word("alias", alias)?;
        if alias == "latest" || alias.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Error::usage(format!("'{alias}' can't be an alias: it already means a version")));
        }
        check_word("model name", name)?;
        self.resolve(&Reference { name: name.to_owned(), which: Which::Version(version) })?;
        let mut aliases = self.aliases(name)?;
        aliases.insert(alias.to_owned(), version);
        let text = serde_json::to_vec_pretty(&aliases);
        let text = text.map_err(|error| Error::internal("aliases can't be written").detail(error))?;
        // a reader sees the old file or the new one
        let folder = self.root.join(name);
        let draft = folder.join(format!(".{ALIASES}-{}", std::process::id()));
        write(&draft, &text)?;
        let target = folder.join(ALIASES);
        fs::rename(&draft, &target).map_err(|error| failed("can't write", &target, &error))
    }

    fn versions(&self, name: &str) -> Result<Vec<u64>> {
        // only what we would write ourselves: no "+1", no "01"
        let canonical = |folder: &String| folder.parse().ok().filter(|version: &u64| version.to_string() == *folder);
        let mut versions: Vec<u64> = folders(&self.root.join(name))?.iter().filter_map(canonical).collect();
        versions.sort_unstable();
        Ok(versions)
    }

    fn aliases(&self, name: &str) -> Result<BTreeMap<String, u64>> {
        let path = self.root.join(name).join(ALIASES);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| Error::data(format!("'{}' can't be read", path.display())).detail(error)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(failed("can't read", &path, &error)),
        }
    }
}

fn load_folder(folder: &Path) -> Result<Model> {
    let card = Card::read(&read(&folder.join(CARD))?)?;
    let trees = read(&folder.join(TREES))?;
    // looked at before a foreign parser gets to see the bytes
    if card.trees_hash.as_deref() != Some(hash_bytes(&trees).hex().as_str()) {
        return Err(Error::data(format!("'{TREES}' is altered, cut off, or another model's: its hash differs")));
    }
    let forest = from_ubj(&trees, card.base_margin())?;
    card.into_model(forest)
}

/// The names of the folders in a folder; none where that is not there.
fn folders(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("can't read", folder, &error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| failed("can't read", folder, &error))?;
        // a draft of a save starts with a dot
        if let (true, Ok(name)) = (entry.path().is_dir(), entry.file_name().into_string())
            && !name.starts_with('.')
        {
            names.push(name);
        }
    }
    Ok(names)
}

/// Letters, digits, `_`, `-`, `.` (not first): what is safe as a folder and in a reference.
fn check_word(what: &str, word: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if !word.is_empty() && word.len() <= 200 && !word.starts_with('.') && word.bytes().all(allowed) {
        return Ok(());
    }
    Err(Error::usage(format!("'{word}' is no {what}")).hint("letters, digits, '_', '-' and '.' (not first)"))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|error| failed("can't write", path, &error))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::data(format!("'{}' is missing", path.display())),
        _ => failed("can't read", path, &error),
    })
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::unavailable(format!("{what} '{}'", path.display())).detail(error)
}
