//! Rows of simulated worlds with the truth beside them, made by the detector's own SQL.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use fyke::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch};
use fyke::detector::detector_script;
use fyke::{Context, Error, Result};
use fyke_simulate::{LogFormat, World, WorldSettings, export};

/// What names a client.
pub const WORLD_COLUMNS: [&str; 3] = ["customer", "client_ip", "agent"];

/// Which moments of a growing visit are learnt from, besides its end: fewer, the longer it lasts.
const MOMENTS: &str = "1, 2, 3, 5, 8, 13, 21, 34, 55";

/// Visits and growing visits of a world, with `bot` (the truth) and `weight` (each client counts the same in total).
///
/// # Errors
/// When files can't be written or read.
pub async fn world_rows(settings: WorldSettings) -> Result<Vec<RecordBatch>> {
    let failed = |error: std::io::Error| Error::unavailable("a world can't be written").detail(error);
    let folder = std::env::temp_dir().join(format!("fyke-world-{}-{}", std::process::id(), settings.seed));
    let written = export(&World::new(settings)?, &folder, LogFormat::Combined).map_err(failed)?;
    let truth: HashMap<(String, String, String), bool> = written
        .labels
        .clients()
        .map(|client| {
            ((client.customer.to_string(), client.client_ip.to_string(), client.agent.to_string()), client.bot)
        })
        .collect();
    let location = format!("{}/*.log", folder.display());
    let rows = detector_rows(&location, &BTreeMap::from([("lateness".to_owned(), "10 seconds".to_owned())])).await;
    std::fs::remove_dir_all(&folder).map_err(failed)?;
    labelled(rows?, &truth)
}

async fn detector_rows(location: &str, options: &BTreeMap<String, String>) -> Result<Vec<RecordBatch>> {
    let context = fyke::context();
    define(&context, location, options).await?;
    let columns = all_features().collect::<Vec<_>>().join(", ");
    // in a fixed order, since a tree learns from a sample of the rows: the same worlds give the same model
    let columns = format!("{}, first_time, {columns}", WORLD_COLUMNS.join(", "));
    let order = format!("ORDER BY {}, first_time, minutes", WORLD_COLUMNS.join(", "));
    let visits = format!("SELECT {columns} FROM client_sessions {order}");
    let growing = format!(
        "SELECT {columns} FROM client_progress
         WHERE last_minute = so_far['end'] AND minutes IN ({MOMENTS}) {order}, so_far['end']"
    );
    let mut rows = context.sql(&visits).await?.collect().await?;
    rows.extend(context.sql(&growing).await?.collect().await?);
    Ok(rows)
}

fn all_features() -> impl Iterator<Item = &'static str> {
    fyke::detect::DETECTOR_FEATURES.iter().chain(fyke::detect::MORE_FEATURES).map(|words| words.name)
}

/// Declares the detector's views over a combined log.
///
/// # Errors
/// When the log can't be found.
pub async fn define(context: &Context, location: &str, options: &BTreeMap<String, String>) -> Result<()> {
    // the verdicts need a model, which may be the one that is about to be made
    let script = detector_script(location, "combined", options)?;
    let views = script.split("-- From features to verdicts").next().unwrap_or_default();
    context.sql(views).await.map(|_| ())
}

fn labelled(batches: Vec<RecordBatch>, truth: &HashMap<(String, String, String), bool>) -> Result<Vec<RecordBatch>> {
    let mut rows_of: HashMap<(String, String, String), f64> = HashMap::new();
    for batch in &batches {
        keys(batch)?.into_iter().for_each(|key| *rows_of.entry(key).or_default() += 1.0);
    }
    batches
        .into_iter()
        .map(|batch| {
            let keys = keys(&batch)?;
            let bots = keys.iter().map(|key| {
                let unknown = || Error::data(format!("no truth is known of {key:?}"));
                truth.get(key).copied().map(Some).ok_or_else(unknown)
            });
            let bots: BooleanArray = bots.collect::<Result<_>>()?;
            let weights = keys.iter().map(|key| rows_of.get(key).map_or(1.0, |rows| 1.0 / rows));
            let mut columns: Vec<(String, ArrayRef)> = Vec::new();
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                columns.push((field.name().clone(), Arc::clone(column)));
            }
            columns.push(("bot".to_owned(), Arc::new(bots)));
            columns.push(("weight".to_owned(), Arc::new(Float64Array::from_iter_values(weights))));
            Ok(RecordBatch::try_from_iter_with_nullable(
                columns.into_iter().map(|(name, column)| (name, column, true)),
            )?)
        })
        .collect()
}

fn keys(batch: &RecordBatch) -> Result<Vec<(String, String, String)>> {
    let text = |name: &str| {
        let column = batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
        column.ok_or_else(|| Error::internal(format!("no text column '{name}'")))
    };
    let (customers, addresses, agents) = (text("customer")?, text("client_ip")?, text("agent")?);
    Ok((0..batch.num_rows())
        .map(|row| {
            let value = |column: &fyke::arrow::array::StringArray| {
                if column.is_null(row) { String::new() } else { column.value(row).to_owned() }
            };
            (value(customers), value(addresses), value(agents))
        })
        .collect())
}
