//! How soon a request is in an early row of its client: from the moment that it is handed to the producer to the moment
//! that a reader has a row which counts it.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use fyke_testbed::Kafka;
use serde_json::Value;

use super::latency::{Arrival, MINUTE_US, WARM_UP, micros, observe};

/// For the table.
pub(super) const WHAT: &str = "update mode every 10 ms, at least once: each request to the first row that counts it";

/// Minute, customer, address, agent.
type Client = (i64, String, String, String);

fn client(row: &Value, time: &str) -> Result<Client> {
    let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let minute = micros(time).context("a row without time")?.div_euclid(MINUTE_US);
    Ok((minute, text("host"), text("remote_addr"), text("user_agent")))
}

/// One live run; milliseconds of each request, sorted.
pub(super) fn live(kafka: &Kafka, binary: &Path, prefix: &str, records: &[Arrival]) -> Result<Vec<f64>> {
    // parsed ahead: the producer has a rate to keep
    let clients = records.iter().map(|record| {
        let row: Value = serde_json::from_slice(&record.line)?;
        client(&row, row["time"].as_str().unwrap_or_default())
    });
    let clients = clients.collect::<Result<Vec<Client>>>()?;
    let mut sent: Vec<Instant> = Vec::with_capacity(records.len());
    let rows = observe(kafka, binary, prefix, ("live_early.sql", &[]), records, |_| sent.push(Instant::now()))?;
    let mut of: HashMap<&Client, (Vec<Instant>, usize)> = HashMap::new();
    for (client, sent) in clients.iter().zip(&sent) {
        of.entry(client).or_default().0.push(*sent);
    }
    let first = sent.first().copied().context("nothing was sent")?;
    let mut delays = Vec::with_capacity(records.len());
    for (text, came) in &rows {
        let row: Value = serde_json::from_str(text)?;
        let client = client(&row, row["w"]["start"].as_str().unwrap_or_default())?;
        let count = row["n"].as_u64().context("a row without its count")? as usize;
        let Some((sent, counted)) = of.get_mut(&client) else { bail!("a row of nobody: {text}") };
        for sent in sent.iter().take(count).skip(*counted).filter(|sent| **sent > first + WARM_UP) {
            delays.push(1e3 * came.saturating_duration_since(*sent).as_secs_f64());
        }
        *counted = count.max(*counted);
    }
    if let Some((client, (sent, counted))) = of.iter().find(|(_, (sent, counted))| sent.len() != *counted) {
        bail!("{counted} of {} requests of {client:?} were counted", sent.len());
    }
    delays.sort_by(f64::total_cmp);
    Ok(delays)
}
