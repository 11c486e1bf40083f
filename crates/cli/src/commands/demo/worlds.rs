//! The traffic of the demo: one world to learn from, another to judge.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fyke::detector::detector_script;
use fyke::{Error, Result};
use fyke_simulate::{Exported, LogFormat, World, WorldSettings, export};

use crate::terminal::count;

/// Lines come out of order by up to 2 s: with this, none is late.
const LATENESS: &str = "10 seconds";
/// Between the two seeds of a demo, so that neighbouring seeds share no world.
const OTHER_SEED: u64 = 0x5eed;

/// Both worlds.
pub struct Demo {
    /// To learn from.
    pub known: Written,
    /// To judge: another seed, and a kind of bot more.
    pub judged: Written,
}

/// A world on disk.
pub struct Written {
    folder: PathBuf,
    customers: u16,
    /// Its files and the truth.
    pub exported: Exported,
}

impl Demo {
    /// Writes both worlds below `folder`.
    ///
    /// # Errors
    /// For settings out of range, and when files can't be written.
    pub fn make(folder: &Path, seed: u64, minutes: u32, rate: f64) -> Result<Self> {
        let settings = WorldSettings { seed, minutes, requests_per_minute: rate, ..WorldSettings::default() };
        let judged = WorldSettings { seed: seed.wrapping_add(OTHER_SEED), unseen_kind: true, ..settings.clone() };
        Ok(Self {
            known: Written::make(folder.join("known"), settings)?,
            judged: Written::make(folder.join("judged"), judged)?,
        })
    }
}

impl Written {
    fn make(folder: PathBuf, settings: WorldSettings) -> Result<Self> {
        let customers = settings.customers;
        let exported = export(&World::new(settings)?, &folder, LogFormat::Combined)
            .map_err(|error| Error::unavailable("the traffic can't be written").detail(error))?;
        Ok(Self { folder, customers, exported })
    }

    /// `45,123 requests of 5 customers`.
    pub fn describe(&self) -> String {
        format!("{} requests of {} customers", count(self.exported.lines), self.customers)
    }

    /// The detector over this world's logs, with a model of this name.
    ///
    /// # Errors
    /// When the detector refuses, which would be a defect.
    pub fn detector(&self, model: &str) -> Result<String> {
        let options = [("lateness", LATENESS), ("model", model)];
        let options: BTreeMap<String, String> = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        detector_script(&format!("{}/*.log", self.folder.display()), "combined", &options)
    }

    /// The truth about each client as a table `labels`.
    pub fn labels(&self) -> String {
        let file = self.folder.join("labels").join("clients.csv").display().to_string().replace('\'', "''");
        format!(
            "CREATE EXTERNAL TABLE labels (customer VARCHAR, client_ip VARCHAR, agent VARCHAR, label VARCHAR, \
             kind VARCHAR, actor VARCHAR, bot BOOLEAN, requests BIGINT) STORED AS CSV LOCATION '{file}';\n"
        )
    }
}
