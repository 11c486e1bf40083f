//! What the detector says of real logs, against weak labels. Prints numbers; judges nothing that it has learnt from.
//!
//! `FYKE_DATA=../shared/data cargo run --release -p fyke --example judge_real`
//!
//! Three models:
//! - `detector@shipped`: learnt from simulated traffic alone;
//! - `strict@simulated`: also simulated traffic alone, all features but those of pages, assets, interfaces and referrers, since "probably human" is
//!   labelled by those;
//! - `strict@wordpress`: strict features, learnt from simulated traffic and the first 60 % of wordpress-2016 by time;
//!   it is judged on the last 40 %, and on the other logs, of which it has seen nothing.

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use fyke::arrow::array::{Array, AsArray, RecordBatch};
use fyke::arrow::datatypes::{DataType, Float64Type, Int64Type};
use fyke::detect::{Models, SHIPPED, SHIPPED_FEATURES, STRICT_FEATURES, VERDICTS, fill, register};
use fyke::detector::{TrainSettings, fit};
use fyke::learn::metrics::{Z_95, wilson_interval};
use fyke::learn::{FeatureTable, Params, TableColumns};
use fyke::{Context, Error, Result};
use fyke_simulate::WorldSettings;
use support::{define, world_rows};

const WORLDS: [(u64, u16, f64, u32); 4] =
    [(301, 5, 2_500.0, 45), (303, 5, 500.0, 120), (305, 10, 100.0, 720), (306, 10, 40.0, 1_440)];

/// Who a visit of wordpress-2016 probably was. Sources: the agent; paths that only attackers ask for, `wp-login.php`
/// and `xmlrpc.php`; pages, assets and referrers.
const LABELS: &str = "
CREATE VIEW attackers AS
SELECT client_ip, coalesce(agent, '') AS agent, count(*) AS hits FROM requests
WHERE is_attack_path(path) OR is_attack_path(query) OR path LIKE '%wp-login.php%' OR path LIKE '%xmlrpc.php%'
GROUP BY client_ip, coalesce(agent, '');
CREATE VIEW labelled AS
SELECT s.*, CASE
    WHEN agent_is_declared_bot(s.agent) THEN 'declared bot'
    WHEN a.hits IS NOT NULL THEN 'undeclared, on attack paths'
    WHEN agent_class(s.agent) = 'browser' AND pages > 0 AND assets > 0 AND no_referrer < 1 THEN 'probably human'
    ELSE 'unknown' END AS who
FROM client_sessions s LEFT JOIN attackers a ON s.client_ip = a.client_ip AND s.agent = a.agent;";

struct Site {
    title: &'static str,
    context: Context,
    /// Columns `who`, the detector's features and baselines; a row is a client's visit.
    visits: &'static str,
    /// What is counted: visits, or addresses by their highest score.
    unit: &'static str,
}

fn data() -> PathBuf {
    std::env::var_os("FYKE_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from)
}

async fn wordpress(models: &Models) -> Result<Site> {
    let context = fyke::context();
    register(&context, models);
    let log = data().join("logs/wordpress-2016.combined.log.zip");
    define(&context, &log.display().to_string(), &options("180 seconds")).await?;
    context.sql(LABELS).await?;
    // the moment that parts the first 60 % of visits from the others
    let times = context.sql("SELECT date_part('epoch', first_time) AS t FROM client_sessions").await?.collect().await?;
    let mut times: Vec<f64> =
        times.iter().flat_map(|batch| batch.column(0).as_primitive::<Float64Type>().values().to_vec()).collect();
    times.sort_by(f64::total_cmp);
    let cut = *times.get(times.len() * 6 / 10).ok_or_else(|| Error::data("wordpress-2016 has no visits"))?;
    context
        .sql(&format!("CREATE VIEW early AS SELECT * FROM labelled WHERE date_part('epoch', first_time) < {cut:.0}"))
        .await?;
    context
        .sql(&format!("CREATE VIEW late AS SELECT * FROM labelled WHERE date_part('epoch', first_time) >= {cut:.0}"))
        .await?;
    Ok(Site { title: "wordpress-2016, last 40 % by time", context, visits: "late", unit: "visits" })
}

/// Blog and honeypot as one site.
async fn mixed(models: &Models) -> Result<Site> {
    let logs = data().join("logs");
    let folder = std::env::temp_dir().join(format!("fyke-judge-{}/site", std::process::id()));
    let failed = |error: std::io::Error| Error::unavailable("the logs can't be copied").detail(error);
    std::fs::create_dir_all(&folder).map_err(failed)?;
    for name in ["blog-2015.combined.log.gz", "honeypot-2015.combined.log.gz"] {
        std::fs::copy(logs.join(name), folder.join(name)).map_err(failed)?;
    }
    let context = fyke::context();
    register(&context, models);
    let mut settings = options("180 seconds");
    settings.insert("customer_from".to_owned(), "folder".to_owned());
    define(&context, &folder.display().to_string(), &settings).await?;
    let honeypot = logs.join("honeypot-2015.combined.log.gz");
    context
        .sql(&format!(
            "CREATE EXTERNAL TABLE honeypot STORED AS COMBINED LOCATION '{}';
             CREATE VIEW caught AS SELECT DISTINCT client_ip AS caught_ip FROM honeypot;
             {LABELS}
             CREATE VIEW visits AS SELECT * EXCLUDE (who), CASE
                 WHEN caught_ip IS NOT NULL THEN 'honeypot' ELSE concat('others: ', who) END AS who
             FROM labelled LEFT JOIN caught ON client_ip = caught_ip;",
            honeypot.display()
        ))
        .await?;
    Ok(Site { title: "blog-2015 and honeypot-2015 as one site", context, visits: "visits", unit: "addresses" })
}

fn options(lateness: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("lateness".to_owned(), lateness.to_owned())])
}

/// Learns the strict features from simulated worlds and, where given, from labelled visits.
async fn strict(seen: Option<&Site>) -> Result<fyke::learn::Model> {
    let mut how = TrainSettings::new("strict", "bot");
    how.columns = TableColumns {
        features: STRICT_FEATURES.iter().map(|name| (*name).to_owned()).collect(),
        time: None,
        weight: Some("weight".to_owned()),
        ..TableColumns::new("bot")
    };
    how.params =
        Params { rounds: 160, depth: 5, learning_rate: 0.08, subsample: 0.8, column_sample: 0.5, ..Params::default() };
    let mut batches = Vec::new();
    for (seed, customers, requests_per_minute, minutes) in WORLDS {
        let world = WorldSettings { seed, customers, requests_per_minute, minutes, ..WorldSettings::default() };
        batches.extend(world_rows(world).await?);
    }
    if let Some(site) = seen {
        // each label counts as 2,000 clients
        let sql = format!(
            "SELECT {}, who <> 'probably human' AS bot, 2000.0 / count(*) OVER (PARTITION BY who) AS weight
             FROM early WHERE who <> 'unknown' ORDER BY first_time, client_ip, agent",
            STRICT_FEATURES.join(", ")
        );
        batches.extend(site.context.sql(&sql).await?.collect().await?);
    }
    how.params.balanced = true;
    let table = FeatureTable::from_batches(&batches, &how.columns)?;
    fit(&table, &how)
}

async fn judge(site: &Site, model: &str, features: &[&str]) -> Result<String> {
    let scored = format!(
        "SELECT who, client_ip, predict('{model}', {})['score'] AS score FROM {}",
        features.join(", "),
        site.visits
    );
    let counted = match site.unit {
        "addresses" => format!("SELECT who, client_ip, max(score) AS score FROM ({scored}) GROUP BY who, client_ip"),
        _ => scored,
    };
    let sql = format!(
        "SELECT who, count(*) AS n, count(*) FILTER (WHERE score >= 60) AS at_60, count(*) FILTER (WHERE score >= 40) AS at_40
         FROM ({counted}) GROUP BY who ORDER BY who"
    );
    let mut text = format!("{} by {model} ({}):\n", site.title, site.unit);
    let mut others = (0, 0, 0);
    for batch in site.context.sql(&sql).await?.collect().await? {
        for row in 0..batch.num_rows() {
            let who = batch.column(0).as_string_opt::<i32>().map_or("", |column| column.value(row));
            let (n, at_60, at_40) = (count(&batch, 1, row), count(&batch, 2, row), count(&batch, 3, row));
            if who.starts_with("others") {
                others = (others.0 + n, others.1 + at_60, others.2 + at_40);
            }
            text += &format!(
                "  {who:<36} {n:>6}   bot (score >= 60): {}   score >= 40: {}\n",
                share(at_60, n),
                share(at_40, n)
            );
        }
    }
    if others.0 > 0 {
        // an address whose visits have two labels is in both
        let (n, at_60, at_40) = others;
        text += &format!(
            "  {:<36} {n:>6}   bot (score >= 60): {}   score >= 40: {}\n",
            "others together",
            share(at_60, n),
            share(at_40, n)
        );
    }
    Ok(text)
}

fn count(batch: &RecordBatch, column: usize, row: usize) -> u64 {
    let column = batch.column(column);
    if column.data_type() != &DataType::Int64 || column.is_null(row) {
        return 0;
    }
    u64::try_from(column.as_primitive::<Int64Type>().value(row)).unwrap_or(0)
}

fn share(part: u64, whole: u64) -> String {
    match wilson_interval(part, whole, Z_95) {
        Some(sure) => {
            format!("{:>5.1} % ({:.1}–{:.1})", 100.0 * part as f64 / whole as f64, 100.0 * sure.low, 100.0 * sure.high)
        }
        None => "none".to_owned(),
    }
}

/// What a user sees: rules and model together.
async fn verdicts(site: &Site) -> Result<String> {
    site.context.sql(&fill(VERDICTS, &BTreeMap::new())?).await?;
    let sql = "SELECT class, count(*) AS visits, count(DISTINCT client_ip) AS addresses FROM session_verdicts GROUP BY class ORDER BY visits DESC";
    Ok(format!("{}, all visits, verdicts with rules:\n{}\n", site.title, site.context.sql(sql).await?.show(20).await?))
}

async fn run() -> Result<String> {
    let models = Models::new();
    let (wordpress, mixed) = (wordpress(&models).await?, mixed(&models).await?);
    let mut text = String::new();
    models.insert("strict@simulated", strict(None).await?);
    models.insert("strict@wordpress", strict(Some(&wordpress)).await?);
    for site in [&mixed, &wordpress] {
        for (model, features) in
            [(SHIPPED, SHIPPED_FEATURES), ("strict@simulated", STRICT_FEATURES), ("strict@wordpress", STRICT_FEATURES)]
        {
            text += &judge(site, model, features).await?;
            text.push('\n');
        }
        text += &verdicts(site).await?;
    }
    Ok(text)
}

#[tokio::main]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "an example speaks to the person who runs it")]
async fn main() -> ExitCode {
    if !data().is_dir() {
        println!("no data: set FYKE_DATA to the folder that holds logs/");
        return ExitCode::SUCCESS;
    }
    match run().await {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("judge_real: {error}");
            ExitCode::FAILURE
        }
    }
}
