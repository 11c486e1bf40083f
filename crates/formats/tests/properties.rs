//! What holds for any bytes.

#![expect(clippy::expect_used, reason = "a test's helpers fail the test")]

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use fyke_formats::invariants::{json_of_every_kind, json_ways_agree, lines_add_up, lines_stand_alone};
use fyke_formats::{format, format_names, guess};
use fyke_types::{Format, Settings};
use proptest::prelude::*;

/// A value for a column, right most of the time.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        (-200i64..200).prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("JSON knows no infinities", |n| n.is_finite()).prop_map(|n| format!("{n:?}")),
        "-?[0-9]{1,20}(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        any::<String>().prop_map(|text| serde_json::to_string(&text).expect("a string")),
        "\"([ -~]|\\\\[nt\"u]){0,40}\"",
        Just("\"2026-03-02T08:00:00.385Z\"".to_owned()),
        Just("\"2026-03-02\"".to_owned()),
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("[1,2,null]".to_owned()),
        Just(r#"{"x":1,"y":"a","z":[1.5]}"#.to_owned()),
        Just(r#"{"headers":{"agent":"curl","other":1},"id":7}"#.to_owned()),
        Just(r#"{"headers":null,"id":"x"}"#.to_owned()),
    ]
}

const KEYS: [&str; 17] = [
    "time",
    "text",
    "small",
    "long",
    "count",
    "real",
    "single",
    "flag",
    "day",
    "object",
    "list",
    "request",
    "customer",
    "must",
    "request.id",
    "unknown",
    "te\\u0078t",
];

/// A value that its key may hold.
fn fitting(key: &str) -> BoxedStrategy<String> {
    match key {
        "time" => {
            "\"20[0-9]{2}-0[1-9]-[0-2][1-9]T[01][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]0[0-9]:30)?\"".boxed()
        }
        "text" | "customer" => any::<String>().prop_map(|text| serde_json::to_string(&text).expect("a string")).boxed(),
        "small" | "must" | "request.id" => (-128i64..128).prop_map(|n| n.to_string()).boxed(),
        "long" => any::<i64>().prop_map(|n| n.to_string()).boxed(),
        "count" => any::<u64>().prop_map(|n| n.to_string()).boxed(),
        "real" | "single" => "-?(0|[1-9][0-9]{0,18})(\\.[0-9]{1,10})?".boxed(),
        "flag" => prop_oneof![Just("true".to_owned()), Just("false".to_owned())].boxed(),
        "day" => Just("\"2026-03-02\"".to_owned()).boxed(),
        "object" => Just(r#"{"x":1,"y":"a","z":[1.5]}"#.to_owned()).boxed(),
        "list" => Just("[1,2,null]".to_owned()).boxed(),
        "request" => Just(r#"{"headers":{"agent":"curl","other":1},"id":7}"#.to_owned()).boxed(),
        _ => value().boxed(),
    }
}

fn line() -> impl Strategy<Value = String> {
    let entry = prop::sample::select(&KEYS[..]).prop_flat_map(|key| {
        let value = prop_oneof![8 => fitting(key), 1 => value(), 1 => Just("null".to_owned())];
        value.prop_map(move |value| format!("\"{key}\":{value}"))
    });
    let broken = prop_oneof![Just(String::new()), Just("{".to_owned()), Just("[]".to_owned()), "[ -~]{0,20}"];
    let object =
        (proptest::collection::vec(entry, 0..8), 0i64..9, any::<bool>()).prop_map(|(mut entries, must, spaced)| {
            entries.insert(0, format!("\"must\":{must}"));
            if spaced { format!("{{ {} }}", entries.join(" , ")) } else { format!("{{{}}}", entries.join(",")) }
        });
    prop_oneof![9 => object, 1 => broken]
}

/// Lines of one shape with changing values: the way that the shape is for.
fn alike() -> impl Strategy<Value = Vec<String>> {
    prop::sample::subsequence(KEYS.to_vec(), 1..8).prop_shuffle().prop_flat_map(|keys| {
        let values: Vec<_> = keys.iter().map(|key| prop_oneof![9 => fitting(key), 1 => value()]).collect();
        proptest::collection::vec(values, 1..8).prop_map(move |lines| {
            let line = |values: &Vec<String>| {
                let entries: Vec<String> =
                    keys.iter().zip(values).map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{\"must\":1,{}}}", entries.join(","))
            };
            lines.iter().map(line).collect()
        })
    })
}

/// What vendors' lines are made of.
const PIECES: [&str; 32] = [
    "\n",
    "\n",
    " ",
    " ",
    "\t",
    "-",
    "\"",
    "{",
    "}",
    "/",
    "\"GET https://a.example:443/b?c HTTP/1.1\"",
    "2026-03-02",
    "08:00:00",
    "2026-03-02T08:00:00.5Z",
    "[02/Mar/2026:08:00:00.655]",
    "192.0.2.1",
    "192.0.2.1:4711",
    "[2001:db8::1]:443",
    "200",
    "0.5",
    "1/2/3/4/5",
    "#Fields: date time c-ip sc-status\n",
    "#Fields: time-taken cs(Referer) date time\n",
    "#Fields:\n",
    "<134>",
    "Mar  2 08:00:00 host app[1]: ",
    "a+b++c%20d%zz#22",
    "GET",
    "\"ts\":1772438400,",
    "\"request\":{\"uri\":\"/\",\"headers\":{\"User-Agent\":[\"x\"]}}",
    "\"StartUTC\":\"2026-03-02T08:00:00Z\",",
    "ok",
];

fn every_format(sample: &[u8]) -> Vec<std::sync::Arc<dyn Format>> {
    let log_format =
        r#"$remote_addr [$time_local] "$request" $status $body_bytes_sent "$http_user_agent" $request_time $foo"#;
    let apache = r#"%h %l %u %t "%r" %>s %b "%{Referer}i" %{%F %T}t.%{msec_frac}t %D"#;
    format_names()
        .filter_map(|name| {
            let text = if name == "NGINX" { log_format } else { apache };
            let fields = "date time cs-method cs-uri-stem c-ip sc-status cs(User-Agent)";
            let all = BTreeMap::from([("log_format".into(), text.into()), ("fields".into(), fields.into())]);
            format(name, None, Some(sample), &mut Settings::new("t", all)).ok()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn fast_way_equals_exact_way(lines in proptest::collection::vec(line(), 0..12), newline in prop_oneof![Just("\n"), Just("\r\n")]) {
        let format = json_of_every_kind().expect("a format");
        let held = json_ways_agree(&format, lines.join(newline).as_bytes());
        prop_assert!(held.is_ok(), "{:?} in {:?}", held, lines);
    }

    #[test]
    fn fast_way_equals_exact_way_on_lines_of_one_shape(lines in alike()) {
        let format = json_of_every_kind().expect("a format");
        let held = json_ways_agree(&format, lines.join("\n").as_bytes());
        prop_assert!(held.is_ok(), "{:?} in {:?}", held, lines);
    }

    #[test]
    fn any_bytes_are_accounted_for(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let format = json_of_every_kind().expect("a format");
        prop_assert_eq!(json_ways_agree(&format, &bytes), Ok(()));
        guess(&bytes);
        for format in every_format(&bytes) {
            prop_assert!(lines_add_up(format.as_ref(), &bytes).is_ok());
            prop_assert_eq!(lines_stand_alone(format.as_ref(), &bytes), Ok(()));
        }
    }

    #[test]
    fn anything_like_an_access_log_is_accounted_for(bytes in "([0-9.:a-f -]{0,9}|\\[17/May/2015:10:05:03 \\+0000\\]|\"GET /[a-z?]{0,3} HTTP/1.1\"|\\\\x?[0-9a-f\"]{0,2}|\"[^\"]{0,3}\"| |\n){0,20}") {
        guess(bytes.as_bytes());
        for format in every_format(bytes.as_bytes()) {
            prop_assert!(lines_add_up(format.as_ref(), bytes.as_bytes()).is_ok());
            prop_assert_eq!(lines_stand_alone(format.as_ref(), bytes.as_bytes()), Ok(()));
        }
    }

    #[test]
    fn anything_like_a_vendors_log_is_accounted_for(pieces in proptest::collection::vec(prop::sample::select(&PIECES[..]), 0..40)) {
        let text = pieces.concat();
        guess(text.as_bytes());
        for format in every_format(text.as_bytes()) {
            prop_assert!(lines_add_up(format.as_ref(), text.as_bytes()).is_ok());
            prop_assert_eq!(lines_stand_alone(format.as_ref(), text.as_bytes()), Ok(()));
        }
    }

    #[test]
    fn valid_rows_round_trip(rows in proptest::collection::vec((any::<String>(), any::<i64>(), any::<f64>().prop_filter("finite", |n| n.is_finite()), 0i64..4_000_000_000_000_000), 1..20)) {
        let format = json_of_every_kind().expect("a format");
        let lines: Vec<String> = rows.iter().map(|(text, long, real, micros)| {
            // days since 1970 as a date, by the other algorithm: Arrow's
            let time = arrow::temporal_conversions::timestamp_us_to_datetime(*micros).expect("a date");
            serde_json::json!({"must": 1, "text": text, "long": long, "real": real, "time": time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()}).to_string()
        }).collect();
        let decoded = lines_add_up(&format, lines.join("\n").as_bytes()).expect("holds");
        prop_assert!(decoded.dead.is_empty(), "{:?}", decoded.dead);
        let column = |name: &str| decoded.batch.column_by_name(name).expect("a column").clone();
        let texts = column("text");
        for (row, (text, long, real, micros)) in rows.iter().enumerate() {
            prop_assert_eq!(texts.as_string::<i32>().value(row), text);
            prop_assert_eq!(column("long").as_primitive::<Int64Type>().value(row), *long);
            prop_assert_eq!(column("real").as_primitive::<Float64Type>().value(row).to_bits(), real.to_bits());
            prop_assert_eq!(column("time").as_primitive::<TimestampMicrosecondType>().value(row), *micros);
        }
        prop_assert_eq!(column("list").null_count(), rows.len());
    }

    #[test]
    fn access_log_rows_round_trip(
        agent in "[ -~é]{1,40}", path in "/[!-~é]{0,30}", status in 100i32..600, bytes in 0i64..1_000_000_000, second in 0i64..4_000_000_000,
    ) {
        let escape = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let time = arrow::temporal_conversions::timestamp_s_to_datetime(second).expect("a date").format("%d/%b/%Y:%H:%M:%S +0000");
        let line = format!("192.0.2.1 - - [{time}] \"GET {} HTTP/1.1\" {status} {bytes} \"-\" \"{}\"", escape(&path), escape(&agent));
        let combined = format("COMBINED", None, None, &mut Settings::new("t", BTreeMap::new())).expect("a format");
        let decoded = lines_add_up(combined.as_ref(), line.as_bytes()).expect("holds");
        prop_assert!(decoded.dead.is_empty(), "{:?}", decoded.dead);
        let text = |name: &str| {
            let column = decoded.batch.column_by_name(name).expect("a column").clone();
            (!column.is_null(0)).then(|| column.as_string::<i32>().value(0).to_owned())
        };
        let target = match text("query") { Some(query) => format!("{}?{query}", text("path").unwrap_or_default()), None => text("path").unwrap_or_default() };
        prop_assert_eq!(target, path.strip_suffix('?').filter(|path| !path.contains('?')).unwrap_or(&path));
        prop_assert_eq!(text("agent"), Some(agent).filter(|agent| agent != "-"));
        let time = decoded.batch.column_by_name("time").expect("a column").as_primitive::<TimestampMicrosecondType>().value(0);
        prop_assert_eq!(time, second * 1_000_000);
    }
}
