//! Logs to test on: simulated worlds, and real ones where they lie.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests may, and say what they skip")]

use std::path::{Path, PathBuf};

use fyke::Context;
use fyke::arrow::array::RecordBatch;
use fyke::arrow::util::display::array_value_to_string;
use fyke_simulate::{LogFormat, World, WorldSettings, export};

/// The folder of real data, if it is there.
fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("FYKE_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    folder.is_dir().then_some(folder)
}

/// A real log; none, with a message, where it is not there.
pub fn real_log(name: &str) -> Option<String> {
    let path = data().map(|folder| folder.join("logs").join(name)).filter(|path| path.is_file());
    if path.is_none() {
        println!("skipped: there is no {name} (set FYKE_DATA)");
    }
    path.map(|path| path.display().to_string())
}

/// A world as combined logs, one file a customer, and the number of lines.
pub fn world_folder(seed: u64, customers: u16, requests_per_minute: f64, minutes: u32) -> (tempfile::TempDir, u64) {
    let folder = tempfile::tempdir().unwrap();
    let settings = WorldSettings { seed, customers, requests_per_minute, minutes, ..WorldSettings::default() };
    let written = export(&World::new(settings).unwrap(), folder.path(), LogFormat::Combined).unwrap();
    (folder, written.lines)
}

/// Rows of a query, executed as batch, as text; nulls are empty.
pub async fn columns(context: &Context, sql: &str) -> Vec<Vec<String>> {
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    batches.iter().flat_map(text).collect()
}

fn text(batch: &RecordBatch) -> Vec<Vec<String>> {
    let row = |row| batch.columns().iter().map(|column| array_value_to_string(column, row).unwrap()).collect();
    (0..batch.num_rows()).map(row).collect()
}
