//! Makes the model that ships in the binary, from simulated traffic alone: `crates/detect/models/detector.fyke`.
//!
//! `cargo run --release -p fyke --example train_shipped [-- OUT.fyke]`
//!
//! Worlds of several sizes are written as Apache combined logs (times of whole seconds, as most sites have them), go
//! through the detector's own SQL, and are labelled with the simulator's truth. The last world judges alone. No real log
//! is read, and no feature holds an agent, an address or an attack path.

#[path = "support/mod.rs"]
mod support;

use std::path::Path;
use std::process::ExitCode;

use fyke::detect::DETECTOR_FEATURES;
use fyke::detector::{TrainSettings, fit};
use fyke::learn::{CalibrationKind, FeatureTable, Params, TableColumns};
use fyke::{Error, Result};
use fyke_simulate::WorldSettings;
use support::{WORLD_COLUMNS, world_rows};

/// Seed, customers, requests a minute over all of them, minutes: busy sites, where clients are compared, and quiet ones,
/// where nobody is.
const WORLDS: [(u64, u16, f64, u32); 7] = [
    (101, 5, 2_500.0, 45),
    (102, 5, 1_200.0, 60),
    (103, 5, 500.0, 120),
    (104, 10, 300.0, 240),
    (105, 10, 100.0, 720),
    (106, 10, 40.0, 1_440),
    (107, 10, 20.0, 1_440),
];
/// The world that judges.
const JUDGE: (u64, u16, f64, u32) = (201, 10, 600.0, 120);

fn settings((seed, customers, requests_per_minute, minutes): (u64, u16, f64, u32)) -> WorldSettings {
    WorldSettings { seed, customers, requests_per_minute, minutes, ..WorldSettings::default() }
}

/// How the shipped model learns.
fn how() -> TrainSettings {
    let mut how = TrainSettings::new("detector", "bot");
    how.columns = TableColumns {
        features: DETECTOR_FEATURES.iter().map(|words| words.name.to_owned()).collect(),
        time: Some("first_time".to_owned()),
        group: WORLD_COLUMNS.iter().map(|name| (*name).to_owned()).collect(),
        weight: Some("weight".to_owned()),
        ..TableColumns::new("bot")
    };
    // the default of the setting bot_score
    how.threshold = 60.0;
    how.params = Params {
        rounds: 160,
        depth: 5,
        learning_rate: 0.08,
        min_child_weight: 20.0,
        subsample: 0.8,
        column_sample: 0.5,
        balanced: true,
        calibration: CalibrationKind::None,
        ..Params::default()
    };
    how
}

async fn run(out: &Path) -> Result<String> {
    let how = how();
    let mut batches = Vec::new();
    for world in WORLDS {
        batches.extend(world_rows(settings(world)).await?);
    }
    let table = FeatureTable::from_batches(&batches, &how.columns)?;
    let mut model = fit(&table, &how)?;
    let judge = world_rows(settings(JUDGE)).await?;
    let judge = FeatureTable::with_encoder(model.encoder().clone(), &judge, &how.columns)?;
    let evaluation = fyke::learn::evaluate(&model, &judge)?;
    let mut metrics = model.metrics().clone();
    metrics.extend(evaluation.metrics());
    model.set_metrics(metrics);
    let bytes = model.to_bytes()?;
    std::fs::write(out, &bytes).map_err(|error| Error::unavailable("the model can't be written").detail(error))?;
    Ok(format!("{} bytes\n{}", bytes.len(), model.describe()))
}

#[tokio::main]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "an example speaks to the person who runs it")]
async fn main() -> ExitCode {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../detect/models/detector.fyke");
    let out = std::env::args().nth(1).unwrap_or_else(|| shipped.to_owned());
    match run(Path::new(&out)).await {
        Ok(report) => {
            println!("{out}: {report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("train_shipped: {error}");
            ExitCode::FAILURE
        }
    }
}
