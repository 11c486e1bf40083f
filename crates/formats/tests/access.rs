//! Access logs of every declared kind, exactly.

#![expect(clippy::expect_used, reason = "a test's helpers fail the test")]

mod common;

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use common::{check, settings, shown};
use fyke_formats::{format, guess};
use insta::assert_snapshot;

#[test]
fn combined_lines_with_and_without_host_and_duration() {
    let block = r#"203.0.113.9 - jane [02/Mar/2026:09:00:00 +0100] "GET /p?q=1 HTTP/1.1" 200 512 "https://a.example/" "Mozilla/5.0 \"x\""
shop.example:443 203.0.113.9 - - [02/Mar/2026:08:00:00 +0000] "POST / HTTP/2.0" 302 - "-" "-"

2001:db8:1:2:3::4 - - [02/Mar/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 0 "-" "curl" 0.250
203.0.113.9 - - [02/Mar/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 0 "-" "curl" 250000
203.0.113.9 - john doe [02/Mar/2026:08:00:00 +0000] "quit" 400 0 "-" "-"
203.0.113.9 - - [02/Mar/2026:08:00:00 +0000] "-" 408 - "-" "-"
203.0.113.9 - - [02/Mar/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 0 "-" "an "inner" quote""#;
    assert_snapshot!(check("COMBINED", &[], block), @r#"
    time=2026-03-02T08:00:00 | client_ip=203.0.113.9 | user=jane | method=GET | path=/p | query=q=1 | protocol=HTTP/1.1 | status=200 | bytes=512 | referrer=https://a.example/ | agent=Mozilla/5.0 "x"
    time=2026-03-02T08:00:00 | host=shop.example | client_ip=203.0.113.9 | method=POST | path=/ | protocol=HTTP/2.0 | status=302
    time=2026-03-02T08:00:00 | client_ip=2001:db8:1:2::/64 | method=GET | path=/ | protocol=HTTP/1.1 | status=200 | bytes=0 | agent=curl | duration=0.25
    time=2026-03-02T08:00:00 | client_ip=203.0.113.9 | method=GET | path=/ | protocol=HTTP/1.1 | status=200 | bytes=0 | agent=curl | duration=0.25
    time=2026-03-02T08:00:00 | client_ip=203.0.113.9 | user=john doe | path=quit | status=400 | bytes=0
    time=2026-03-02T08:00:00 | client_ip=203.0.113.9 | status=408
    time=2026-03-02T08:00:00 | client_ip=203.0.113.9 | method=GET | path=/ | protocol=HTTP/1.1 | status=200 | bytes=0 | agent=an "inner" quote
    "#);
}

#[test]
fn broken_lines_say_what_was_expected_where() {
    let block = r#"203.0.113.9 - - 02/Mar/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 0
203.0.113.9 - - [32/Mar/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 0
203.0.113.9 - - [02/Mar/2026:08:00:00 +0000] "GET / HTTP/1.1 200 0
203.0.113.9 - - [02/Mar/2026:08:00:00 +0000] "GET / HTTP/1.1" ok 0
203.0.113.9 - - [02/Mar/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 0 more
hello"#;
    assert_snapshot!(check("COMMON", &[], block), @r#"
    DEAD 1@0: expected '[' before the time at byte 16
    DEAD 2@67: expected a time such as 17/May/2015:10:05:03 +0000 at byte 17
    DEAD 3@135: expected '" ' behind the request at byte 66
    DEAD 4@202: expected a status such as 200 at byte 62
    DEAD 5@269: expected a duration at byte 68
    DEAD 6@342: expected ' ' behind the client's address at byte 5
    "#);
}

#[test]
fn nginx_strings_are_compiled() {
    let log_format = r#"log_format main '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
        '"$http_referer" "$http_user_agent" rt=$request_time uct=${upstream_connect_time} "$http_x_forwarded_for"';"#;
    let line = r#"10.0.0.1 - - [02/Mar/2026:08:00:00 +0000] "GET /a?b HTTP/1.1" 200 5 "-" "x \x22y\x22" rt=0.003 uct=- "6.6.6.6, 203.0.113.9""#;
    let pairs =
        [("log_format", log_format), ("trusted_proxies", "10.0.0.0/8"), ("forwarded_header", "x-forwarded-for")];
    assert_snapshot!(check("NGINX", &pairs, line), @r#"time=2026-03-02T08:00:00 | client_ip=203.0.113.9 | method=GET | path=/a | query=b | protocol=HTTP/1.1 | status=200 | bytes=5 | agent=x "y" | duration=0.003 | extra={"http_x_forwarded_for":"6.6.6.6, 203.0.113.9"}"#);
    let log_format = "$time_iso8601|$msec|$host|$request_method|$uri$is_args$args|$server_protocol|$upstream_response_time|$request_length|$request_time";
    let line = "2026-03-02T09:00:00+01:00|1772438400.125|a.example:8080|GET|/x?y|HTTP/1.1|0.1, 0.2|77|1.5";
    assert_snapshot!(check("NGINX", &[("log_format", log_format)], line), @r#"time=2026-03-02T08:00:00.125 | host=a.example | method=GET | path=/x | query=y | protocol=HTTP/1.1 | duration=1.5 | extra={"upstream_response_time":"0.1, 0.2","request_length":"77"}"#);
}

#[test]
fn apache_strings_are_compiled() {
    let log_format = r#"%v:%p %{c}a %a %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\" %D %{ms}T \"%{session}C\" \"%{X-Cache}o\" 100%%"#;
    let line = r#"a.example:80 10.0.0.1 203.0.113.9 - - [02/Mar/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 12 "-" "curl \\ \x41" 1500 1 "s1" "HIT" 100%"#;
    assert_snapshot!(check("APACHE", &[("log_format", log_format)], line), @r#"time=2026-03-02T08:00:00 | host=a.example | client_ip=203.0.113.9 | method=GET | path=/ | protocol=HTTP/1.1 | status=200 | agent=curl \ A | duration=0.001 | extra={"port":"80","bytes_out":"12","cookie_session":"s1","sent_x-cache":"HIT"}"#);
    let log_format = "%{%Y-%m-%dT%H:%M:%S}t.%{usec_frac}t%{%z}t %m %U%q %H %s %B %{us}T";
    let line = "2026-03-02T09:00:00.000250+0100 GET /a/b?c=d HTTP/1.1 404 99 1500000";
    assert_snapshot!(check("APACHE", &[("log_format", log_format)], line), @"time=2026-03-02T08:00:00.000250 | method=GET | path=/a/b | query=c=d | protocol=HTTP/1.1 | status=404 | bytes=99 | duration=1.5");
}

#[test]
fn format_strings_that_cannot_be_read_are_refused() {
    for (name, text) in [
        ("NGINX", "plain"),
        ("NGINX", "$remote_addr$status"),
        ("NGINX", "$ x"),
        ("APACHE", "%h %y"),
        ("APACHE", "%{%Q}t"),
        ("APACHE", "%"),
    ] {
        assert!(format(name, None, None, &mut settings(&[("log_format", text)])).is_err(), "{name} {text}");
    }
    assert!(format("NGINX", None, None, &mut settings(&[])).is_err());
}

#[test]
fn a_host_may_be_an_address_only_where_there_always_is_one() {
    let line = r#"192.0.2.1:80 203.0.113.9 - - [02/Mar/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "-""#;
    assert!(check("VHOST_COMBINED", &[], line).contains("host=192.0.2.1 | client_ip=203.0.113.9"));
}

#[test]
fn a_declared_schema_chooses_columns() {
    let declared = |name: &str, data_type| {
        Some(Arc::new(Schema::new(vec![
            Field::new("status", DataType::Int64, true),
            Field::new(name, data_type, true),
        ])))
    };
    let line = b"203.0.113.9 - - [02/Mar/2026:08:00:00 +0000] \"GET / HTTP/1.1\" 200 5";
    let nanos = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let chosen = format("COMMON", declared("time", nanos), None, &mut settings(&[])).expect("a format");
    let decoded = chosen.decoder(Some(&[1, 0])).and_then(|mut decoder| decoder.decode(line, "")).expect("decodes");
    assert_eq!(decoded.batch.schema().field(0).name(), "time");
    assert_eq!(decoded.batch.schema().field(1).data_type(), &DataType::Int32);
    for (name, data_type) in [("stauts", DataType::Utf8), ("path", DataType::Int32)] {
        let refused = format("COMMON", declared(name, data_type), None, &mut settings(&[]));
        assert!(refused.is_err_and(|error| error.to_string().contains("client_ip")), "{name}");
    }
}

#[test]
fn customers_are_inputs_or_hosts() {
    let line = r#"a.example 203.0.113.9 - - [02/Mar/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 5"#;
    for (pairs, expected) in [(&[][..], "alpha"), (&[("customer", "host")][..], "a.example")] {
        let format = format("COMMON", None, None, &mut settings(pairs)).expect("a format");
        let decoded = format
            .decoder(Some(&[1]))
            .and_then(|mut decoder| decoder.decode(line.as_bytes(), "alpha"))
            .expect("decodes");
        assert_eq!(decoded.batch.column(0).as_string::<i32>().value(0), expected);
    }
}

#[test]
fn logs_are_recognised_by_their_lines() {
    let common = r#"203.0.113.9 - - [02/Mar/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 5"#;
    let json = r#"{"msec":1772438400.5,"remote_addr":"::ffff:203.0.113.9","request":"GET /a?b HTTP/1.1","status":"404","body_bytes_sent":7,"http_user_agent":"curl","request_time":"0.5","upstream":{"a":1}}"#;
    let ecs = r#"{"@timestamp":"2026-03-02T08:00:00Z","source":{"ip":"203.0.113.9"},"url":{"path":"/x","query":"y=1","domain":"a.example"},"http":{"request":{"method":"GET"},"response":{"status_code":200}},"user_agent.original":"curl"}"#;
    let mut found = Vec::new();
    for sample in [
        common.to_owned(),
        format!("{common} \"-\" \"curl\""),
        format!("a.example:80 {common} \"-\" \"curl\" 0.5"),
        json.to_owned(),
        ecs.to_owned(),
    ] {
        let guess = guess(sample.as_bytes()).expect("recognised");
        found.push(guess.description);
        found.push(shown(guess.format.as_ref(), &sample));
    }
    assert_snapshot!(found.join("\n"), @r#"
    common
    time=2026-03-02T08:00:00 | client_ip=203.0.113.9 | method=GET | path=/ | protocol=HTTP/1.1 | status=200 | bytes=5
    combined
    time=2026-03-02T08:00:00 | client_ip=203.0.113.9 | method=GET | path=/ | protocol=HTTP/1.1 | status=200 | bytes=5 | agent=curl
    vhost_combined with response time
    time=2026-03-02T08:00:00 | host=a.example | client_ip=203.0.113.9 | method=GET | path=/ | protocol=HTTP/1.1 | status=200 | bytes=5 | agent=curl | duration=0.5
    JSON: time from 'msec', client_ip from 'remote_addr', path from 'request', status from 'status', agent from 'http_user_agent'
    time=2026-03-02T08:00:00.500 | client_ip=203.0.113.9 | method=GET | path=/a | query=b | protocol=HTTP/1.1 | status=404 | bytes=7 | agent=curl | duration=0.5 | extra={"request":"GET /a?b HTTP/1.1","upstream":{"a":1}}
    JSON: time from '@timestamp', client_ip from 'source.ip', host from 'url.domain', method from 'http.request.method', path from 'url.path', status from 'http.response.status_code', agent from 'user_agent.original'
    time=2026-03-02T08:00:00 | host=a.example | client_ip=203.0.113.9 | method=GET | path=/x | query=y=1 | status=200 | agent=curl | extra={"source":{"ip":"203.0.113.9"},"url":{"path":"/x","query":"y=1","domain":"a.example"},"http":{"request":{"method":"GET"},"response":{"status_code":200}}}
    "#);
    assert!(guess(b"a,b,c\n1,2,3\n").is_none());
    assert!(guess(b"{\"a\":1}\n").is_none());
    assert!(guess(b"").is_none());
}
