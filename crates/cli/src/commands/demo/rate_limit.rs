//! What a plain rate limit would do: so many requests in a minute from an address, and it is called a bot.

use std::collections::HashMap;

use fyke::arrow::array::{AsArray, RecordBatch};
use fyke::arrow::compute::cast;
use fyke::arrow::datatypes::{DataType, Float64Type};
use fyke::detect::SHIPPED;
use fyke::learn::metrics::{best_f1, threshold_at_false_positive_rate};
use fyke::{Error, Result};
use fyke_simulate::LabelTable;

use super::worlds::{Demo, Written};

/// So many of those who are no bots may be limited: what an operator would put up with.
pub const WRONGLY_LIMITED_MAX: f64 = 0.01;

/// A customer and an address.
type Address = (String, String);

/// Two limits found on the known world, and what addresses did in the judged one. A limit is the number of requests in a
/// minute from which an address is called a bot.
pub struct RateLimit {
    /// The lowest that wrongs few enough.
    pub threshold: f64,
    /// The one of the highest F1, whomever it wrongs.
    pub best: f64,
    peaks: HashMap<Address, f64>,
}

impl RateLimit {
    /// Whether they call a client a bot: the one that wrongs few, and the one of the highest F1.
    pub fn call(&self, customer: &str, client_ip: &str) -> (bool, bool) {
        let peak = peak_of(&self.peaks, customer, client_ip);
        (peak >= self.threshold, peak >= self.best)
    }
}

/// Finds the thresholds with the known world's truth.
///
/// # Errors
/// What planning or reading fails with.
pub async fn learn(demo: &Demo) -> Result<RateLimit> {
    let known = peaks(&demo.known).await?;
    let (scores, labels) = with_truth(&known, &demo.known.exported.labels);
    let few = threshold_at_false_positive_rate(&scores, &labels, WRONGLY_LIMITED_MAX);
    let (Some(few), Some(best)) = (few, best_f1(&scores, &labels)) else {
        return Err(
            Error::data("the traffic to learn from has no bot, or nobody else").hint("make more of it: --minutes")
        );
    };
    Ok(RateLimit { threshold: few.threshold, best: best.threshold, peaks: peaks(&demo.judged).await? })
}

fn with_truth(peaks: &HashMap<Address, f64>, labels: &LabelTable) -> (Vec<f64>, Vec<bool>) {
    labels.clients().map(|client| (peak_of(peaks, &client.customer, &client.client_ip), client.bot)).unzip()
}

fn peak_of(peaks: &HashMap<Address, f64>, customer: &str, client_ip: &str) -> f64 {
    peaks.get(&(customer.to_owned(), client_ip.to_owned())).copied().unwrap_or(0.0)
}

/// The most requests in a minute, by customer and address.
async fn peaks(world: &Written) -> Result<HashMap<Address, f64>> {
    let query = "SELECT customer, client_ip, max(n) AS peak FROM (
        SELECT tumble(time, INTERVAL '1 minute') AS w, customer, client_ip, count(*) AS n
        FROM requests GROUP BY w, customer, client_ip) GROUP BY customer, client_ip;";
    let text = format!("{}\n{query}", world.detector(SHIPPED)?);
    let batches = fyke::context().sql(&text).await?.collect().await?;
    let mut peaks = HashMap::new();
    for batch in &batches {
        let column = |at: usize, data_type| cast(batch.column(at), data_type);
        let (customers, addresses) = (column(0, &DataType::Utf8)?, column(1, &DataType::Utf8)?);
        let most = column(2, &DataType::Float64)?;
        let (customers, addresses) = (customers.as_string::<i32>(), addresses.as_string::<i32>());
        let most = most.as_primitive::<Float64Type>();
        peaks.extend(
            rows(batch)
                .map(|row| ((customers.value(row).to_owned(), addresses.value(row).to_owned()), most.value(row))),
        );
    }
    Ok(peaks)
}

fn rows(batch: &RecordBatch) -> std::ops::Range<usize> {
    0..batch.num_rows()
}
