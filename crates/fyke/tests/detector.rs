//! The reference detector, end to end: both executions, reasons, rules, training.

#![expect(clippy::unwrap_used, reason = "helpers fail as their tests do")]

mod support;

use std::collections::BTreeMap;

use fyke::arrow::array::{Array, AsArray, Float64Array, RecordBatch};
use fyke::arrow::datatypes::Float64Type;
use fyke::detect::{AllowList, CrawlerRanges, DETECTOR_FEATURES, Models, Rules, SHIPPED, register, register_rules};
use fyke::detector::{TrainSettings, detector_script, evaluate, train};
use fyke::learn::{Registry, TableColumns};
use fyke::{Context, Script};
use support::{columns, real_log, world_folder};

fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

async fn detector(location: &str, lateness: &str) -> Context {
    let context = fyke::context();
    let script = detector_script(location, "combined", &options(&[("lateness", lateness)])).unwrap();
    context.sql(&script).await.unwrap();
    context
}

async fn assert_parity(location: &str, lateness: &str, rows_expected: u64) {
    let context = detector(location, lateness).await;
    let text = "SELECT * FROM session_verdicts; SELECT * FROM minute_verdicts";
    let report = context.parity_script(&Script::parse(text, "verdicts", &BTreeMap::new()).unwrap()).await.unwrap();
    assert_eq!(report.late(), 0, "{:?}", report.stream);
    assert!(report.is_equal(), "{:?}", report.sinks);
    assert!(report.sinks.iter().all(|(_, found)| found.left > 0));
    let (read, used, late, dead) = report.stream.totals();
    assert_eq!((read, read), (rows_expected, used + late + dead));
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_and_stream_give_the_same_verdicts_on_a_world() {
    let (folder, lines) = world_folder(7, 3, 300.0, 40);
    assert_parity(&format!("{}/*.log", folder.path().display()), "10 seconds", lines).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_and_stream_give_the_same_verdicts_on_a_real_blog() {
    let Some(log) = real_log("blog-2015.combined.log.gz") else { return };
    assert_parity(&log, "60 seconds", 10_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_and_stream_give_the_same_verdicts_on_a_large_real_site() {
    let Some(log) = real_log("wordpress-2016.combined.log.zip") else { return };
    assert_parity(&log, "180 seconds", 206_860).await;
}

/// Reasons are true: with the cited average in place of a cited feature, the score falls.
async fn assert_reasons_true(context: &Context, least: usize) {
    let detector = Models::new().resolve(SHIPPED).unwrap();
    let model = &detector.model;
    let batches = context.sql("SELECT * FROM client_sessions").await.unwrap().collect().await.unwrap();
    let mut checked = 0;
    for batch in &batches {
        let rows = model.encode_batch(batch).unwrap();
        let scores = model.scores(&rows);
        let averages: Vec<Option<Float64Array>> =
            DETECTOR_FEATURES.iter().map(|words| number(batch, &format!("base_{}", words.name))).collect();
        for (place, (row, score)) in rows.iter().zip(scores).enumerate().filter(|(_, (_, score))| *score >= 40.0) {
            let customer: Vec<f64> = averages
                .iter()
                .map(|column| {
                    column.as_ref().filter(|column| column.is_valid(place)).map_or(f64::NAN, |c| c.value(place))
                })
                .collect();
            for cited in detector.cite(row, &customer) {
                let mut other = row.to_vec();
                other[cited.feature] = cited.baseline as f32;
                let after = model.score_row(&other);
                assert!(after < score, "{}: {score} -> {after}", cited.text);
                assert!((score - after - cited.drop).abs() < 1e-9, "{}: fell by another amount", cited.text);
                checked += 1;
            }
        }
    }
    assert!(checked >= least, "only {checked} reasons were checked");
}

fn number(batch: &RecordBatch, name: &str) -> Option<Float64Array> {
    let column = fyke::arrow::compute::cast(batch.column_by_name(name)?, &fyke::arrow::datatypes::DataType::Float64);
    Some(column.unwrap().as_primitive::<Float64Type>().clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn reasons_are_true() {
    let (folder, _) = world_folder(8, 3, 400.0, 30);
    assert_reasons_true(&detector(&format!("{}/*.log", folder.path().display()), "10 seconds").await, 200).await;
    if let Some(log) = real_log("blog-2015.combined.log.gz") {
        assert_reasons_true(&detector(&log, "60 seconds").await, 200).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bots_have_reasons_and_people_are_mostly_left_alone() {
    let (folder, _) = world_folder(9, 3, 400.0, 60);
    let context = detector(&format!("{}/*.log", folder.path().display()), "10 seconds").await;
    let sql = "SELECT class, score, array_length(reasons) AS reasons FROM session_verdicts WHERE class = 'bot' AND score >= 60";
    let rows = columns(&context, sql).await;
    let with_reasons = rows.iter().filter(|row| !row[2].is_empty()).count();
    assert!(rows.len() > 50 && with_reasons * 10 >= rows.len() * 9, "{with_reasons} of {}", rows.len());
}

const LINES: &str = r#"192.0.2.10 - - [02/Mar/2026:08:00:01 +0000] "GET / HTTP/1.1" 200 512 "-" "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
203.0.113.9 - - [02/Mar/2026:08:00:02 +0000] "GET / HTTP/1.1" 200 512 "-" "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
203.0.113.10 - - [02/Mar/2026:08:00:03 +0000] "GET / HTTP/1.1" 200 512 "-" "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)"
203.0.113.11 - - [02/Mar/2026:08:00:04 +0000] "GET /.env HTTP/1.1" 404 512 "-" "Mozilla/5.0 (Windows NT 10.0) Firefox/127.0"
203.0.113.11 - - [02/Mar/2026:08:00:05 +0000] "GET /.git/config HTTP/1.1" 404 512 "-" "Mozilla/5.0 (Windows NT 10.0) Firefox/127.0"
203.0.113.11 - - [02/Mar/2026:08:00:06 +0000] "GET /wp-config.php.bak HTTP/1.1" 404 512 "-" "Mozilla/5.0 (Windows NT 10.0) Firefox/127.0"
198.51.100.1 - - [02/Mar/2026:08:00:07 +0000] "GET /.env HTTP/1.1" 404 512 "-" "curl/8.0"
198.51.100.1 - - [02/Mar/2026:08:00:08 +0000] "GET /.git/config HTTP/1.1" 404 512 "-" "curl/8.0"
198.51.100.1 - - [02/Mar/2026:08:00:09 +0000] "GET /wp-config.php.bak HTTP/1.1" 404 512 "-" "curl/8.0"
198.51.100.2 - - [02/Mar/2026:08:00:10 +0000] "GET / HTTP/1.1" 200 512 "-" "Our Monitor/1"
"#;

#[tokio::test]
async fn rules_come_before_the_model_and_the_allow_list_before_all() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("site.log"), LINES).unwrap();
    let mut crawlers = CrawlerRanges::default();
    crawlers.insert("googlebot", "192.0.2.0/24").unwrap();
    let allow = AllowList::from_lines("198.51.100.1/32\nagent: our monitor").unwrap();
    let log = folder.path().join("site.log").display().to_string();
    // views keep the functions that they were made with: rules first
    let context = fyke::context();
    register_rules(&context, &Rules { allow, crawlers, ..Rules::default() });
    context.sql(&detector_script(&log, "combined", &options(&[])).unwrap()).await.unwrap();
    let found = columns(
        &context,
        "SELECT client_ip, class, array_to_string(reasons, '; ') FROM session_verdicts ORDER BY client_ip",
    )
    .await;
    let classes: Vec<(&str, &str)> = found.iter().map(|row| (row[0].as_str(), row[1].as_str())).collect();
    let expected = [
        ("192.0.2.10", "verified_bot"),
        ("198.51.100.1", "allowed"),
        ("198.51.100.2", "allowed"),
        ("203.0.113.10", "declared_bot"),
        ("203.0.113.11", "bot"),
        ("203.0.113.9", "bot"),
    ];
    assert_eq!(classes, expected, "{found:?}");
    let reason = |ip: &str| found.iter().find(|row| row[0] == ip).unwrap()[2].clone();
    assert!(reason("203.0.113.9").starts_with("claims to be googlebot, but comes from outside"));
    assert!(reason("203.0.113.11").starts_with("3 requests for what only attackers ask for"));
}

#[tokio::test]
async fn a_model_that_gets_other_features_than_it_takes_is_refused_by_name() {
    let context = fyke::context();
    let error = context.sql(&format!("SELECT predict('{SHIPPED}', 1.0, 2.0)")).await.unwrap_err().to_string();
    assert!(error.contains("'active_share' is missing") && error.contains("20 features"), "{error}");
    let others = vec!["1.0"; DETECTOR_FEATURES.len() - 1].join(", ");
    let error = context.sql(&format!("SELECT predict('{SHIPPED}', 'x', {others})")).await.unwrap_err().to_string();
    assert!(error.contains("'requests'") && error.contains("a number"), "{error}");
    let error = context.sql("SELECT predict('nobody@1', 1.0)").await.unwrap_err().to_string();
    assert!(error.contains("nobody@1"), "{error}");
    let ok = format!("SELECT predict('{SHIPPED}', 1.0, {others})['score'] AS s");
    let score: f64 = columns(&context, &ok).await[0][0].parse().unwrap();
    assert!((0.0..=100.0).contains(&score));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_trained_on_the_earlier_rows_judged_on_the_later_ones_and_applied_by_name() {
    let (folder, _) = world_folder(11, 3, 400.0, 60);
    let models_folder = tempfile::tempdir().unwrap();
    let context = detector(&format!("{}/*.log", folder.path().display()), "10 seconds").await;
    let models = Models::with_registry(models_folder.path());
    register(&context, &models);
    // a label that the agent gives, and features that know nothing of it
    let sql = "SELECT first_time AS time, agent_is_declared_bot(agent) AS declared, requests, rate, path_ratio, assets, no_referrer FROM client_sessions";
    let settings = TrainSettings::new("declared", "declared");
    let registry = Registry::open(models_folder.path()).unwrap();
    let report = train(&context, sql, &settings, &registry).await.unwrap();
    assert_eq!(report.version, "declared@1");
    assert!(report.evaluation.roc_auc.is_some_and(|auc| auc > 0.8), "{report}");
    assert!(report.to_string().contains("ROC AUC"));
    let loaded = models.resolve("declared@latest").unwrap();
    assert_eq!(loaded.version, "declared@1");
    assert_eq!(loaded.model.lineage().rows as usize, report.train_rows);
    assert!(loaded.model.lineage().sql_hash.is_some() && loaded.model.lineage().created_at.is_some());
    let columns_of = TableColumns { time: None, ..TableColumns::new("declared") };
    let judged = evaluate(&context, sql, &models, "declared@1", &columns_of).await.unwrap();
    assert_eq!(judged.evaluation.rows as usize, report.train_rows + report.test_rows);
    let applied = "SELECT predict('declared@1', requests, rate, path_ratio, assets, no_referrer)['version'] AS v FROM client_sessions LIMIT 1";
    assert_eq!(columns(&context, applied).await[0][0], "declared@1");
}

#[test]
fn a_location_with_a_quote_stays_a_location() {
    let script =
        detector_script("/logs/o'brien.log", "combined", &options(&[("min_clients", "9"), ("lateness", "1 minute")]))
            .unwrap();
    assert!(script.contains("LOCATION '/logs/o''brien.log'") && script.contains("HAVING count(*) >= 9"));
    assert!(script.contains("'lateness' '1 minute'") && !script.contains("${"));
    assert!(detector_script("x", "combined'; DROP", &options(&[])).is_err());
    assert!(detector_script("x", "combined", &options(&[("bot_score", "many")])).is_err());
}
