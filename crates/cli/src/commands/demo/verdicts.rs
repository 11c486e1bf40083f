//! Training on one world, and the verdicts on the other.

use std::collections::BTreeMap;
use std::path::Path;

use fyke::arrow::datatypes::SchemaRef;
use fyke::detect::{SHIPPED, SHIPPED_FEATURES};
use fyke::detector::{TrainReport, TrainSettings, train as train_model};
use fyke::learn::{Registry, TableColumns};
use fyke::types::Sink;
use fyke::{Context, Progress, Result, RunSettings, Script, SinkMode};

use super::file_in;
use super::worlds::Demo;
use crate::commands::watch::board::{Board, SortBy};
use crate::commands::watch::verdicts::{COLUMNS, Collected};
use crate::drive::drive;
use crate::terminal::{Bar, Table, count, out, shortened};

/// The name of the demo's model.
const NAME: &str = "demo";
/// Moments of a growing visit that are learnt from, besides its end: fewer, the longer it lasts.
const MOMENTS: &str = "1, 2, 3, 5, 8, 13, 21, 34";
/// Verdicts in the table: so many bots, so many of each other class, and no more of them from one customer.
const OF_BOTS: usize = 10;
const OF_OTHERS: usize = 3;
const OF_CUSTOMER: usize = 2;

/// Trains the demo's model on visits, whole and growing, with the truth beside them.
///
/// # Errors
/// What planning, reading or the learner fails with.
pub async fn train(demo: &Demo, registry: &Path) -> Result<TrainReport> {
    let features: Vec<String> = SHIPPED_FEATURES.iter().map(|name| (*name).to_owned()).collect();
    let columns: Vec<String> = features.iter().map(|name| format!("f.{name}")).collect();
    let columns = columns.join(", ");
    let of = |view: &str, condition: &str| {
        format!(
            "SELECT f.customer, f.client_ip, f.agent, f.first_time, l.bot, {columns} FROM {view} f JOIN labels l \
             ON l.customer = f.customer AND l.client_ip = f.client_ip AND coalesce(l.agent, '') = f.agent {condition}"
        )
    };
    let growing = format!("WHERE f.last_minute = f.so_far['end'] AND f.minutes IN ({MOMENTS})");
    let (visits, parts) = (of("client_sessions", ""), of("client_progress", &growing));
    let query = format!("{visits} UNION ALL {parts};");
    let text = format!("{}{}\n{query}", demo.known.detector(SHIPPED)?, demo.known.labels());
    let mut settings = TrainSettings::new(NAME, "bot");
    settings.columns = TableColumns {
        features,
        time: Some("first_time".to_owned()),
        group: ["customer", "client_ip", "agent"].map(str::to_owned).to_vec(),
        ..TableColumns::new("bot")
    };
    settings.params.rounds = 120;
    settings.params.depth = 5;
    settings.params.min_child_weight = 10.0;
    settings.params.subsample = 0.8;
    settings.params.column_sample = 0.5;
    settings.params.balanced = true;
    // one partition: sums of doubles depend on the order of rows
    let context = fyke::context_with(|builder| builder.partitions(1));
    train_model(&context, &text, &settings, &Registry::open(registry)?).await
}

/// Streams the other world through the detector, into Parquet and onto a board.
///
/// # Errors
/// What planning, reading or writing fails with.
pub async fn stream(context: &Context, demo: &Demo, folder: &Path, mode: SinkMode) -> Result<(Progress, Board)> {
    let file = file_in(folder).display().to_string().replace('\'', "''");
    let text = format!(
        "{}\nCOPY (SELECT * FROM session_verdicts) TO '{file}' STORED AS PARQUET;\nSELECT {COLUMNS} FROM session_verdicts;",
        demo.judged.detector(&format!("{NAME}@latest"))?
    );
    let script = Script::parse(&text, "<demo>", &BTreeMap::new())?;
    let rows = Collected::default();
    let select = |_: &SchemaRef| -> Result<Box<dyn Sink>> { Ok(Box::new(rows.clone())) };
    let mut explain = |_| {};
    let settings = RunSettings { mode, ..RunSettings::default() };
    let driver = context.stream_script(&script, &settings, &select, &mut explain).await?;
    let progress = drive(driver, Bar::new(true, Some(demo.judged.exported.bytes)), false).await?;
    let mut board = Board::default();
    rows.drain().into_iter().for_each(|row| board.take(row));
    Ok((progress, board))
}

/// Prints some verdicts of each class, the gravest first, of as many customers as there are.
///
/// # Errors
/// When standard output can't be written.
pub fn table(board: &Board) -> Result<()> {
    let columns =
        [("class", false), ("score", true), ("customer", false), ("client", false), ("requests", true), ("why", false)];
    let (mut of_class, mut of_customer) =
        (BTreeMap::<String, usize>::new(), BTreeMap::<(String, String), usize>::new());
    let few_of_each = board.sorted(SortBy::Score).into_iter().filter(|shown| {
        let verdict = &shown.verdict;
        let customer = of_customer.entry((verdict.class.clone(), verdict.customer.clone())).or_default();
        let class = of_class.entry(verdict.class.clone()).or_default();
        let wanted = *customer < OF_CUSTOMER && *class < if verdict.class == "bot" { OF_BOTS } else { OF_OTHERS };
        *customer += usize::from(wanted);
        *class += usize::from(wanted);
        wanted
    });
    let rows: Vec<Vec<String>> = few_of_each
        .map(|shown| {
            let verdict = shown.verdict;
            vec![
                verdict.class,
                format!("{:.0}", verdict.score),
                verdict.customer,
                verdict.client_ip,
                count(verdict.requests),
                shortened(&verdict.reasons.join("; "), 90),
            ]
        })
        .collect();
    out("")?;
    out(Table::new(columns).rows(&rows))
}
