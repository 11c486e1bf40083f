//! Which model a name means: the one in the program, or one of a registry's folder. Loaded once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use fyke_learn::{Model, Registry};
use fyke_types::{Error, Result};

/// The name of the model in the program.
pub const SHIPPED: &str = "detector@shipped";

/// Its bytes, made by `cargo run --release -p fyke --example train_shipped`.
pub const SHIPPED_BYTES: &[u8] = include_bytes!("../models/detector.fyke");

/// A model keeps, among its metrics, what is typical for the negatives that it learnt from: `typical.<feature>`.
pub const TYPICAL: &str = "typical.";

/// A model as it is applied: with the text that verdicts name it by, and what is typical for people.
#[derive(Debug)]
pub struct Detector {
    /// Such as `detector@3`.
    pub version: String,
    /// The model.
    pub model: Model,
    /// What people's average is, in the signature's order; NaN where the model does not know it.
    pub typical: Vec<f64>,
}

impl Detector {
    /// A model under a name.
    pub fn new(version: impl Into<String>, model: Model) -> Self {
        let of = |name: &str| model.metrics().get(&format!("{TYPICAL}{name}")).copied().unwrap_or(f64::NAN);
        let typical = model.signature().features().iter().map(|feature| of(&feature.name)).collect();
        Self { version: version.into(), model, typical }
    }
}

/// Finds models by name. Cheap to clone; clones share what is loaded.
#[derive(Debug, Clone, Default)]
pub struct Models {
    registry: Option<PathBuf>,
    loaded: Arc<Mutex<BTreeMap<String, Arc<Detector>>>>,
}

impl Models {
    /// The model in the program alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// Also those of the registry in `folder`, which may come into being later.
    pub fn with_registry(folder: impl Into<PathBuf>) -> Self {
        Self { registry: Some(folder.into()), ..Self::default() }
    }

    /// Puts a model under a name, for this program's run alone.
    pub fn insert(&self, name: &str, model: Model) {
        self.lock().insert(name.to_owned(), Arc::new(Detector::new(name, model)));
    }

    /// Forgets what was loaded: aliases and latest versions are looked up again. Queries that are planned already keep
    /// their model.
    pub fn refresh(&self) {
        self.lock().clear();
    }

    /// The model that `name@version` means.
    ///
    /// # Errors
    /// `Usage` where there is none, `Data` where its files are corrupt.
    pub fn resolve(&self, reference: &str) -> Result<Arc<Detector>> {
        if let Some(found) = self.lock().get(reference) {
            return Ok(Arc::clone(found));
        }
        let found = Arc::new(self.load(reference)?);
        self.lock().insert(reference.to_owned(), Arc::clone(&found));
        Ok(found)
    }

    fn load(&self, reference: &str) -> Result<Detector> {
        if reference == SHIPPED {
            return Ok(Detector::new(SHIPPED, Model::from_bytes(SHIPPED_BYTES)?));
        }
        let Some(folder) = &self.registry else {
            return Err(Error::usage(format!("there is no model '{reference}': no registry was given"))
                .hint(format!("name the folder of models, or use '{SHIPPED}', which is part of the program")));
        };
        let (model, version) = Registry::open(folder)?.load_version(reference)?;
        let name = reference.split_once('@').map_or(reference, |(name, _)| name);
        Ok(Detector::new(format!("{name}@{version}"), model))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Detector>>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_model_takes_the_detectors_features_and_knows_what_is_typical() {
        let detector = Models::new().resolve(SHIPPED).unwrap();
        let names: Vec<&str> = detector.model.signature().features().iter().map(|f| f.name.as_str()).collect();
        let expected: Vec<&str> = crate::DETECTOR_FEATURES.iter().map(|words| words.name).collect();
        assert_eq!(names, expected);
        assert!(detector.typical.iter().filter(|value| value.is_finite()).count() > expected.len() / 2);
        assert!(SHIPPED_BYTES.len() < 1_000_000);
    }

    #[test]
    fn a_model_that_is_not_there_is_named_with_the_remedy() {
        let error = Models::new().resolve("mine@1").unwrap_err();
        assert!(error.message().contains("mine@1") && error.hint_text().is_some_and(|hint| hint.contains(SHIPPED)));
        let folder = tempfile::tempdir().unwrap();
        assert!(Models::with_registry(folder.path()).resolve("mine@1").is_err());
    }
}
