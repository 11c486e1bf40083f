//! `fyke sql` without a terminal.

mod support;

use support::Fyke;

fn table() -> String {
    let job = support::job();
    job.split_once("COPY").map_or(String::new(), |(table, _)| table.to_owned())
}

#[test]
fn statements_come_from_standard_input() {
    let fyke = Fyke::with_log(60);
    let text = format!(
        "{}SELECT count(*) AS n\nFROM requests; SELECT host, count(*) AS n FROM requests\nGROUP BY host ORDER BY host;",
        table()
    );
    for switch in ["", "\\stream on\n"] {
        let run = fyke.run_with(&["sql", "--format", "json"], &format!("{switch}{text}"), &[]);
        run.succeeds();
        let expected =
            "{\"n\":60}\n{\"host\":\"h0\",\"n\":20}\n{\"host\":\"h1\",\"n\":20}\n{\"host\":\"h2\",\"n\":20}\n";
        assert_eq!(run.out, expected, "{switch}");
    }
}

#[test]
fn parameters_serve_definitions_too() {
    let fyke = Fyke::with_log(7);
    let text = format!("{}SELECT count(*) AS n FROM requests;", table().replace("log.json", "${LOG}"));
    let run = fyke.run_with(&["sql", "--format", "csv", "--set", "LOG=log.json"], &text, &[]);
    run.succeeds();
    assert_eq!(run.out, "n\n7\n");
}

#[test]
fn tables_and_columns_are_listed() {
    let fyke = Fyke::with_log(1);
    let text = format!("{}CREATE VIEW v AS SELECT host FROM requests;\n\\d\n\\d requests\n\\q\nSELECT broken", table());
    let run = fyke.run_with(&["sql"], &text, &[]);
    run.succeeds();
    for word in ["requests", "VIEW", "client", "status"] {
        assert!(run.out.contains(word), "{word}: {}", run.out);
    }
}

#[test]
fn explain_shows_the_plan_of_the_chosen_execution() {
    let fyke = Fyke::with_log(1);
    let text =
        format!("{}EXPLAIN SELECT host FROM requests;\n\\stream on\nEXPLAIN SELECT host FROM requests;", table());
    let run = fyke.run_with(&["sql"], &text, &[]);
    run.succeeds();
    assert!(run.out.contains("TableScan: requests") && run.out.contains("source 0: table requests"), "{}", run.out);
}

#[test]
fn first_failure_ends_it_with_its_place() {
    let fyke = Fyke::with_log(1);
    let run = fyke.run_with(&["sql"], "SELECT 1 AS a;\nSELECT\n nothing;\nSELECT 2 AS b;", &[]);
    assert_eq!(run.code, 3);
    assert!(run.err.contains("<prompt>") && run.err.contains(" nothing;\n"), "{}", run.err);
    assert!(run.out.contains('1') && !run.out.contains('2'), "{}", run.out);
    assert_eq!(fyke.run_with(&["sql"], "\\nonsense\n", &[]).code, 3);
}
