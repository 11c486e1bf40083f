//! `fyke watch` and `fyke demo`: from logs to verdicts.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that can not go on has failed")]

mod support;

use support::Fyke;

/// A combined log: people who read pages with their images, and one client that asks for attack paths.
fn log() -> String {
    let mut lines = String::new();
    for second in 0..1_200 {
        let (minute, at) = (second / 60, second % 60);
        let client = second % 7;
        let (path, referrer) = match second % 3 {
            0 => (format!("/page/{}", second % 11), "https://site.example/"),
            _ => (format!("/images/{}.png", second % 13), "https://site.example/page/1"),
        };
        lines.push_str(&format!(
            "10.0.0.{client} - - [02/Mar/2026:08:{minute:02}:{at:02} +0000] \"GET {path} HTTP/1.1\" 200 5120 \"{referrer}\" \
             \"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:124.0) Gecko/20100101 Firefox/124.0\"\n"
        ));
        if second % 5 == 0 {
            lines.push_str(&format!(
                "10.9.9.9 - - [02/Mar/2026:08:{minute:02}:{at:02} +0000] \"GET /.env?{second} HTTP/1.1\" 404 12 \"-\" \"curl/8.5.0\"\n"
            ));
        }
    }
    lines
}

fn verdict_of<'a>(verdicts: &'a [serde_json::Value], client: &str) -> &'a serde_json::Value {
    verdicts.iter().find(|verdict| verdict["client_ip"] == client).unwrap_or_else(|| panic!("{client} in {verdicts:?}"))
}

fn json_lines(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn watch_once_finds_the_scanner_and_says_why() {
    let fyke = Fyke::new();
    fyke.write("access.log", &log());
    let run = fyke.run(&["watch", "--once", "access.log"]);
    run.succeeds();
    assert!(run.out.starts_with("8 clients made 1,440 requests\n"), "{}", run.out);
    assert!(run.err.contains("requests: read 1440 = used 1440 + late 0 + dead 0"), "{}", run.err);
    let run = fyke.run(&["watch", "--once", "--format", "json", "access.log"]);
    let verdicts = json_lines(&run.out);
    let scanner = verdict_of(&verdicts, "10.9.9.9");
    assert_eq!((scanner["class"].as_str(), scanner["requests"].as_u64()), (Some("bot"), Some(240)));
    assert!(scanner["reasons"][0].as_str().is_some_and(|reason| reason.contains("attackers")), "{scanner}");
}

#[test]
fn allow_list_beats_the_verdict() {
    let fyke = Fyke::new();
    fyke.write("access.log", &log());
    fyke.write("friends.txt", "# our own scanner\n10.9.9.0/24\n");
    let run = fyke.run(&["watch", "--format", "json", "access.log", "--allow", "friends.txt"]);
    run.succeeds();
    assert_eq!(verdict_of(&json_lines(&run.out), "10.9.9.9")["class"], "allowed");
    fyke.write("friends.txt", "nonsense\n");
    assert_eq!(fyke.run(&["watch", "access.log", "--allow", "friends.txt"]).code, 3);
}

#[test]
fn several_logs_and_standard_input_are_watched() {
    let fyke = Fyke::new();
    let log = log();
    let (first, second) = log.split_at(log[..log.len() / 2].rfind('\n').map_or(0, |at| at + 1));
    fyke.write("a.log", first);
    fyke.write("b.log", second);
    let run = fyke.run(&["watch", "a.log", "b.log"]);
    run.succeeds();
    assert!(run.out.contains("made 1,440 requests"), "{}", run.out);
    let run = fyke.run_with(&["watch", "-"], &log, &[]);
    run.succeeds();
    assert!(run.out.contains("made 1,440 requests"), "{}", run.out);
}

#[test]
fn settings_of_the_detector_are_taken_and_checked() {
    let fyke = Fyke::new();
    fyke.write("access.log", &log());
    fyke.run(&["watch", "access.log", "--set", "bot_score=99"]).succeeds();
    let run = fyke.run(&["watch", "access.log", "--set", "bot_score=many"]);
    assert_eq!(run.code, 3);
    assert!(run.err.contains("bot_score"), "{}", run.err);
}

#[test]
fn demo_trains_judges_and_writes_parquet_the_same_for_the_same_seed() {
    let fyke = Fyke::new();
    let demo = |out: &str| fyke.run(&["demo", "--minutes", "12", "--rate", "400", "--seed", "3", "--out", out]);
    let first = demo("first");
    first.succeeds();
    for word in ["fyke, a kind never seen", "rate limit", "price_watcher", "bot "] {
        assert!(first.out.contains(word), "{word}: {}", first.out);
    }
    assert!(first.err.contains("late 0 + dead 0"), "{}", first.err);
    assert!(fyke.path("first/verdicts.parquet").exists());
    let second = demo("second");
    assert_eq!(first.out.replace("first/", ""), second.out.replace("second/", ""));
    assert_eq!(demo("first").code, 3, "an output of another run is refused");
}

#[test]
fn train_and_evaluate_work_on_a_users_own_query() {
    let fyke = Fyke::new();
    let mut rows = String::from("time,rate,noise,client,bot\n");
    for at in 0..600 {
        let bot = at % 3 == 0;
        let rate = if bot { 50 + at % 17 } else { 3 + at % 5 };
        let (minute, second) = (at / 60, at % 60);
        rows.push_str(&format!("2026-03-02T08:{minute:02}:{second:02}Z,{rate},{},c{at},{}\n", at % 7, u8::from(bot)));
    }
    fyke.write("rows.csv", &rows);
    fyke.write(
        "rows.sql",
        "CREATE EXTERNAL TABLE rows (time TIMESTAMP, rate DOUBLE, noise DOUBLE, client VARCHAR, bot INT)
  STORED AS CSV LOCATION '${ROWS}';
SELECT time, rate, noise, client, bot FROM rows;",
    );
    let common = ["--set", "ROWS=rows.csv", "--label", "bot", "--group", "client"];
    let run = fyke.run(&[&["train", "rows.sql", "--name", "mine", "--param", "rounds=20"][..], &common].concat());
    run.succeeds();
    assert!(run.out.starts_with("mine@1: learnt from 420 rows, judged on 180 later ones"), "{}", run.out);
    let run =
        fyke.run(&[&["evaluate", "rows.sql", "--model", "mine@latest", "--format", "json"][..], &common].concat());
    run.succeeds();
    assert!(json_lines(&run.out)[0]["evaluation"]["f1"].as_f64().is_some_and(|f1| f1 > 0.99), "{}", run.out);
    let query = "SELECT predict('mine@1', 60.0, 1.0)['score'] > 50 AS bot";
    assert_eq!(fyke.run(&["batch", "-e", query, "--format", "csv"]).out, "bot\ntrue\n");
    let run = fyke.run(&[&["evaluate", "rows.sql", "--model", "mine@7"][..], &common].concat());
    assert_eq!(run.code, 3, "{}", run.err);
}
