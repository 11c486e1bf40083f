//! Static tables that change while a run goes on.

use std::path::Path;
use std::time::Duration;

use fyke::testing::StreamTest;

fn script(list: &Path, query: &str) -> String {
    format!(
        "CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, host VARCHAR) STORED AS JSON LOCATION '/nowhere' \
         OPTIONS ('event_time' 'time');\
         CREATE EXTERNAL TABLE limits (host VARCHAR, most BIGINT) STORED AS JSON LOCATION '{}' OPTIONS ('reload' '10 seconds');\
         {query}",
        list.display()
    )
}

const LOOKUP: &str = "SELECT r.host, l.most FROM requests r LEFT JOIN (SELECT host, max(most) AS most FROM limits GROUP BY host) l \
     ON r.host = l.host";

fn request(host: &str) -> String {
    format!(r#"{{"time": "2026-01-01T00:00:00Z", "host": "{host}"}}"#)
}

fn limit(host: &str, most: i64) -> String {
    format!("{{\"host\": \"{host}\", \"most\": {most}}}\n")
}

fn joined(host: &str, most: Option<i64>) -> String {
    format!(r#"{{"host": "{host}", "most": {}}}"#, most.map_or("null".to_owned(), |most| most.to_string()))
}

const LOOK: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_file_comes_into_force_between_epochs_and_a_resumed_run_goes_on_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("limits.json");
    std::fs::write(&list, limit("a", 1)).unwrap();
    let mut test = StreamTest::start(&script(&list, LOOKUP), &["requests"]).await.unwrap();
    test.add("requests", &request("a")).unwrap();
    test.expect("select 1", &joined("a", Some(1))).unwrap();
    std::fs::write(&list, limit("a", 2) + &limit("b", 3)).unwrap();
    // it is looked at twice: the second time it has been still
    test.advance_clock(LOOK).unwrap();
    test.add("requests", &request("a")).unwrap();
    test.expect("select 1", &joined("a", Some(1))).unwrap();
    test.advance_clock(LOOK).unwrap();
    test.add("requests", &[request("a"), request("b"), request("c")].join("\n")).unwrap();
    test.expect("select 1", &[joined("a", Some(2)), joined("b", Some(3)), joined("c", None)].join("\n")).unwrap();
    let progress = test.progress().unwrap();
    let table = progress.static_tables.first().unwrap();
    assert_eq!((table.name.as_str(), table.version, table.rows, table.broken), ("limits", 2, 2, 0));
    // the file changes while the process is dead: what a checkpoint holds stays in force until the change is seen
    std::fs::write(&list, limit("a", 40)).unwrap();
    test.kill_and_resume().await.unwrap();
    test.add("requests", &request("a")).unwrap();
    test.expect("select 1", &joined("a", Some(2))).unwrap();
    assert_eq!(test.progress().unwrap().static_tables.first().unwrap().version, 2);
    test.advance_clock(LOOK).unwrap();
    test.advance_clock(LOOK).unwrap();
    test.add("requests", &request("a")).unwrap();
    test.expect("select 1", &joined("a", Some(40))).unwrap();
    assert_eq!(test.progress().unwrap().static_tables.first().unwrap().version, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_file_keeps_the_old_version_and_is_said_by_name_once() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("limits.json");
    std::fs::write(&list, limit("a", 1)).unwrap();
    let mut test = StreamTest::start(&script(&list, LOOKUP), &["requests"]).await.unwrap();
    // half a line, and later no file at all
    std::fs::write(&list, limit("a", 2) + "{\"host\": \"b\", \"mo").unwrap();
    for _ in 0..4 {
        test.advance_clock(LOOK).unwrap();
    }
    test.add("requests", &request("a")).unwrap();
    test.expect("select 1", &joined("a", Some(1))).unwrap();
    let progress = test.progress().unwrap();
    let table = progress.static_tables.first().unwrap();
    assert_eq!((table.version, table.broken), (1, 1));
    let warning = table.warning.clone().unwrap();
    assert!(warning.starts_with("limits: version 1 stays in force") && warning.contains("line 2"), "{warning}");
    std::fs::remove_file(&list).unwrap();
    test.advance_clock(LOOK).unwrap();
    test.advance_clock(LOOK).unwrap();
    assert_eq!(test.progress().unwrap().static_tables.first().unwrap().broken, 2);
    std::fs::write(&list, limit("a", 3)).unwrap();
    test.advance_clock(LOOK).unwrap();
    test.advance_clock(LOOK).unwrap();
    test.add("requests", &request("a")).unwrap();
    test.expect("select 1", &joined("a", Some(3))).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reload_is_refused_where_it_can_not_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("limits.json");
    std::fs::write(&list, limit("a", 1)).unwrap();
    for (query, words) in [
        ("SELECT host FROM requests UNION ALL SELECT host FROM limits", "'reload' of table limits here"),
        ("SELECT r.host FROM requests r RIGHT JOIN limits l ON r.host = l.host", "'reload' of table limits here"),
    ] {
        let error = StreamTest::start(&script(&list, query), &["requests"]).await.map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("hint:"), "{error}");
    }
    let text = script(&list, LOOKUP).replace("'event_time' 'time'", "'event_time' 'time', 'reload' '1 second'");
    let error = StreamTest::start(&text, &["requests"]).await.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("is for static tables"), "{error}");
}
