//! Logs of load balancers, CDNs, proxies and servers, exactly. Lines are made after the vendors' documentation.

#![expect(clippy::expect_used, reason = "a test's helpers fail the test")]

mod common;

use common::{check, decoded, settings, shown};
use fyke_formats::{format, format_names, guess};
use insta::assert_snapshot;

const ALB: &str = r#"https 2026-03-02T08:00:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 192.0.2.7:2817 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 "GET https://www.example.com:443/shop?q=a%20b HTTP/1.1" "curl/7.46.0 \"x\" \x22y\x22" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067 "Root=1-58337281-1d84f3d73c47ec4e58577259" "www.example.com" "arn:aws:acm:us-east-2:123456789012:certificate/12345678-1234-1234-1234-123456789012" 1 2026-03-02T08:00:00.000000Z "authenticate,forward" "-" "-" "10.0.0.1:80" "200" "-" "-" TID_1234abcd5678ef90"#;

#[test]
fn alb_lines_are_read() {
    assert_snapshot!(check("ALB", &[], ALB), @r#"time=2026-03-02T08:00:00.186641 | host=www.example.com | client_ip=192.0.2.7 | method=GET | path=/shop | query=q=a%20b | protocol=HTTP/1.1 | status=200 | bytes=57 | agent=curl/7.46.0 "x" "y" | duration=0.171 | extra={"type":"https","elb":"app/my-loadbalancer/50dc6c495c0c9188","target:port":"10.0.0.1:80","target_status_code":"200","received_bytes":"0","ssl_cipher":"ECDHE-RSA-AES128-GCM-SHA256","ssl_protocol":"TLSv1.2","target_group_arn":"arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067","trace_id":"Root=1-58337281-1d84f3d73c47ec4e58577259","domain_name":"www.example.com","chosen_cert_arn":"arn:aws:acm:us-east-2:123456789012:certificate/12345678-1234-1234-1234-123456789012","matched_rule_priority":"1","request_creation_time":"2026-03-02T08:00:00.000000Z","actions_executed":"authenticate,forward","target:port_list":"10.0.0.1:80","target_status_code_list":"200","conn_trace_id":"TID_1234abcd5678ef90"}"#);
    // an old line without what was appended since; one whose client is IPv6; one that no target answered and that was
    // no request; one with columns that are not known yet
    let short = r#"http 2026-03-02T08:00:00.186641Z app/lb/50dc 192.0.2.7:2817 10.0.0.1:80 0.000 0.001 0.000 200 200 34 366 "GET http://www.example.com:80/ HTTP/1.1" "curl/7.46.0" - - arn:tg"#;
    let v6 = r#"h2 2026-03-02T08:00:01Z app/lb/50dc 2001:db8:1:2::7:48160 10.0.0.1:80 0.000 0.001 0.000 200 200 34 366 "GET https://[2001:db8::1]:443/ HTTP/2.0" "-" - - arn:tg"#;
    let bad = r#"http 2026-03-02T08:00:02Z app/lb/50dc [2001:db8:1:2::7]:48160 - -1 -1 -1 400 - 0 272 "- http://www.example.com:80- -" "-" - - - "-" "-" "-" - 2026-03-02T08:00:02Z "-" "-" "-" "-" "-" "-" "-" - "new one" 7"#;
    assert_snapshot!(check("ALB", &[], &format!("{short}\n{v6}\n{bad}")), @r#"
    time=2026-03-02T08:00:00.186641 | host=www.example.com | client_ip=192.0.2.7 | method=GET | path=/ | protocol=HTTP/1.1 | status=200 | bytes=366 | agent=curl/7.46.0 | duration=0.001 | extra={"type":"http","elb":"app/lb/50dc","target:port":"10.0.0.1:80","target_status_code":"200","received_bytes":"34","target_group_arn":"arn:tg"}
    time=2026-03-02T08:00:01 | host=[2001:db8::1] | client_ip=2001:db8:1:2::/64 | method=GET | path=/ | protocol=HTTP/2.0 | status=200 | bytes=366 | duration=0.001 | extra={"type":"h2","elb":"app/lb/50dc","target:port":"10.0.0.1:80","target_status_code":"200","received_bytes":"34","target_group_arn":"arn:tg"}
    time=2026-03-02T08:00:02 | host=www.example.com | client_ip=2001:db8:1:2::/64 | path=/ | status=400 | bytes=272 | extra={"type":"http","elb":"app/lb/50dc","received_bytes":"0","request_creation_time":"2026-03-02T08:00:02Z","column_31":"new one","column_32":"7"}
    "#);
}

#[test]
fn alb_lines_that_are_none_name_the_column() {
    let block = [
        ALB.replace(" 200 200 ", " ok 200 "),
        ALB.replace("2026-03-02T08:00:00.186641Z", "yesterday"),
        ALB.split(" \"curl").next().unwrap_or_default().to_owned(),
        ALB.replace("curl/7.46.0", "curl").replace(" 0.086 ", " fast "),
        ALB.replace("HTTP/1.1\"", "HTTP/1.1"),
    ];
    assert_snapshot!(check("ALB", &[], &block.join("\n")), @r#"
    DEAD 1@0: column 'elb_status_code': expected a status such as 200, found 'ok'
    DEAD 2@599: column 'time': expected a time such as 2026-03-02T08:00:00.385Z, found 'yesterday'
    DEAD 3@1181: expected column 'user_agent', found the end of the line behind 13 columns
    DEAD 4@1366: column 'request_processing_time': expected seconds, found 'fast'
    DEAD 5@1958: column 'request': expected a space behind the closing quote
    "#);
}

/// 33 columns by tabs; the values of the example in the documentation.
fn cloudfront(agent: &str, tail: &[&str]) -> String {
    let columns = [
        "2026-03-02",
        "08:00:00",
        "LAX1",
        "2390",
        "192.0.2.100",
        "GET",
        "d111111abcdef8.cloudfront.net",
        "/view/my%20file.html",
        "200",
        "https://www.example.com/a%2520b",
        agent,
        "a=b&c=d",
        "-",
        "Hit",
        "SOX4xwn4XV6Q4rgb7XiVGOHms_BGlTAC4KyHmureZmBNrjGdRLiNIQ==",
        "shop.example.com",
        "https",
        "23",
        "0.001",
        "-",
        "TLSv1.2",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "Hit",
        "HTTP/2.0",
    ];
    [&columns, tail].concat().join("\t")
}

#[test]
fn cloudfront_lines_are_read_with_and_without_their_fields_line() {
    let tail = ["-", "-", "11040", "0.001", "Hit", "text/html", "78", "-", "-"];
    let new = cloudfront("Mozilla/5.0%20(X11)", &tail);
    let old = cloudfront("Mozilla/5.0%2520(X11)", &[]);
    let fields = "#Version: 1.0\n#Fields: date time c-ip cs-method cs-uri-stem sc-status time-taken\n";
    let block = format!("{new}\n{old}\n{fields}2026-03-02\t08:00:01\t2001:db8::7\tHEAD\t/\t304\t0.250");
    assert_snapshot!(check("CLOUDFRONT", &[], &block), @r#"
    time=2026-03-02T08:00:00 | host=shop.example.com | client_ip=192.0.2.100 | method=GET | path=/view/my%20file.html | query=a=b&c=d | protocol=HTTP/2.0 | status=200 | bytes=2390 | referrer=https://www.example.com/a%20b | agent=Mozilla/5.0 (X11) | duration=0.001 | extra={"x-edge-location":"LAX1","host":"d111111abcdef8.cloudfront.net","x-edge-result-type":"Hit","x-edge-request-id":"SOX4xwn4XV6Q4rgb7XiVGOHms_BGlTAC4KyHmureZmBNrjGdRLiNIQ==","cs-protocol":"https","cs-bytes":"23","ssl-protocol":"TLSv1.2","ssl-cipher":"ECDHE-RSA-AES128-GCM-SHA256","x-edge-response-result-type":"Hit","c-port":"11040","time-to-first-byte":"0.001","x-edge-detailed-result-type":"Hit","sc-content-type":"text/html","sc-content-len":"78"}
    time=2026-03-02T08:00:00 | host=shop.example.com | client_ip=192.0.2.100 | method=GET | path=/view/my%20file.html | query=a=b&c=d | protocol=HTTP/2.0 | status=200 | bytes=2390 | referrer=https://www.example.com/a%20b | agent=Mozilla/5.0 (X11) | duration=0.001 | extra={"x-edge-location":"LAX1","host":"d111111abcdef8.cloudfront.net","x-edge-result-type":"Hit","x-edge-request-id":"SOX4xwn4XV6Q4rgb7XiVGOHms_BGlTAC4KyHmureZmBNrjGdRLiNIQ==","cs-protocol":"https","cs-bytes":"23","ssl-protocol":"TLSv1.2","ssl-cipher":"ECDHE-RSA-AES128-GCM-SHA256","x-edge-response-result-type":"Hit"}
    time=2026-03-02T08:00:01 | client_ip=2001:db8::/64 | method=HEAD | path=/ | status=304 | duration=0.25
    "#);
}

#[test]
fn cloudfront_real_time_lines_are_read_by_their_fields() {
    let fields = "timestamp c-ip sc-status cs-method cs-host x-host-header cs-uri-stem cs-user-agent";
    let line = "1772438400.385\t192.0.2.100\t200\tGET\td1.cloudfront.net\tshop.example.com\t/a\tcurl/8";
    assert_snapshot!(check("CLOUDFRONT", &[("fields", fields)], line), @r#"time=2026-03-02T08:00:00.385 | host=shop.example.com | client_ip=192.0.2.100 | method=GET | path=/a | status=200 | agent=curl/8 | extra={"cs-host":"d1.cloudfront.net"}"#);
}

#[test]
fn cloudfront_json_is_read() {
    let line = r#"{"date":"2026-03-02","time":"08:00:00","x-edge-location":"LAX1","c-ip":"192.0.2.100","cs-method":"GET","cs(Host)":"d1.cloudfront.net","cs-uri-stem":"/a","sc-status":"200","sc-bytes":"23","cs(User-Agent)":"Mozilla/5.0%20(X11)","cs-uri-query":"-","x-host-header":"shop.example.com","time-taken":"0.001","cs-protocol-version":"HTTP/2.0"}"#;
    assert_snapshot!(check("CLOUDFRONT", &[], line), @r#"time=2026-03-02T08:00:00 | host=shop.example.com | client_ip=192.0.2.100 | method=GET | path=/a | protocol=HTTP/2.0 | status=200 | bytes=23 | agent=Mozilla/5.0 (X11) | duration=0.001 | extra={"date":"2026-03-02","time":"08:00:00","x-edge-location":"LAX1","cs(Host)":"d1.cloudfront.net"}"#);
}

#[test]
fn cloudflare_lines_are_read() {
    let line = r#"{"ClientIP":"2001:db8:1:2::9","ClientRequestHost":"shop.example.com","ClientRequestMethod":"GET","ClientRequestURI":"/a?b=c","ClientRequestProtocol":"HTTP/2","ClientRequestReferer":"","ClientRequestUserAgent":"curl/8 \"x\"","EdgeEndTimestamp":"2026-03-02T08:00:01Z","EdgeResponseBytes":1043,"EdgeResponseStatus":200,"EdgeStartTimestamp":"2026-03-02T08:00:00Z","RayID":"3a6050bcbe121a87"}"#;
    let nanos = r#"{"ClientIP":"192.0.2.1","ClientRequestHost":"shop.example.com:8443","ClientRequestMethod":"POST","ClientRequestPath":"/a","EdgeResponseStatus":"499","EdgeStartTimestamp":1772438400385000000,"JA4":"t13d"}"#;
    let broken =
        r#"{"ClientIP":"192.0.2.1","ClientRequestURI":"/a","EdgeResponseStatus":"ok","EdgeStartTimestamp":1772438400}"#;
    assert_snapshot!(check("CLOUDFLARE", &[], &format!("{line}\n{nanos}\n{broken}\n{{\"a\":1}}")), @r#"
    time=2026-03-02T08:00:00 | host=shop.example.com | client_ip=2001:db8:1:2::/64 | method=GET | path=/a | query=b=c | protocol=HTTP/2 | status=200 | bytes=1043 | agent=curl/8 "x" | extra={"EdgeEndTimestamp":"2026-03-02T08:00:01Z","RayID":"3a6050bcbe121a87"}
    time=2026-03-02T08:00:00.385 | host=shop.example.com | client_ip=192.0.2.1 | method=POST | path=/a | status=499 | extra={"JA4":"t13d"}
    DEAD 3@592: key 'EdgeResponseStatus': expected a status such as 200, found the string "ok"
    DEAD 4@699: expected a request, found '{"a":1}'
    "#);
}

#[test]
fn fastly_lines_are_read_as_json_and_text_with_and_without_a_syslog_header() {
    let json = r#"{"timestamp":"2026-03-02T08:00:00+0000","client_ip":"192.0.2.1","geo_country":"united states","host":"shop.example.com","url":"/a?b","request_method":"GET","request_protocol":"HTTP/1.1","request_referer":"","request_user_agent":"curl/8","response_state":"HIT-CLUSTER","response_status":200,"response_reason":"OK","response_body_size":1234,"fastly_server":"cache-sjc1000","fastly_is_edge":true}"#;
    let text = r#"192.0.2.1 "-" "-" [Mon, 02 Mar 2026]"#;
    let common = r#"192.0.2.1 - - [02/Mar/2026:08:00:00 +0000] "GET /a?b HTTP/1.1" 200 1234"#;
    let header = "<134>2026-03-02T08:00:00Z cache-sjc3128 LogTest[62959]: ";
    assert_snapshot!(check("FASTLY", &[], &format!("{json}\n{header}{json}\n{common}\n{header}{common}\n{text}")), @r#"
    time=2026-03-02T08:00:00 | host=shop.example.com | client_ip=192.0.2.1 | method=GET | path=/a | query=b | protocol=HTTP/1.1 | status=200 | bytes=1234 | agent=curl/8 | extra={"geo_country":"united states","response_state":"HIT-CLUSTER","response_reason":"OK","fastly_server":"cache-sjc1000","fastly_is_edge":true}
    time=2026-03-02T08:00:00 | host=shop.example.com | client_ip=192.0.2.1 | method=GET | path=/a | query=b | protocol=HTTP/1.1 | status=200 | bytes=1234 | agent=curl/8 | extra={"geo_country":"united states","response_state":"HIT-CLUSTER","response_reason":"OK","fastly_server":"cache-sjc1000","fastly_is_edge":true}
    time=2026-03-02T08:00:00 | client_ip=192.0.2.1 | method=GET | path=/a | query=b | protocol=HTTP/1.1 | status=200 | bytes=1234
    time=2026-03-02T08:00:00 | client_ip=192.0.2.1 | method=GET | path=/a | query=b | protocol=HTTP/1.1 | status=200 | bytes=1234
    DEAD 5@1044: expected '] "' behind the time at byte 36
    "#);
}

#[test]
fn haproxy_lines_are_read() {
    let plain = r#"10.0.1.2:33317 [02/Mar/2026:08:00:00.655] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {1wt.eu} {} "GET /index.html?a=b HTTP/1.1""#;
    let syslog = format!("<134>Mar  2 08:00:00 localhost haproxy[14389]: {plain}");
    let bad = r#"2001:db8:1:2::7:39759 [02/Mar/2026:08:00:01.012] http-in http-in/<NOSRV> -1/-1/-1/-1/+50001 408 +212 - - cR-- 2/2/2/0/0 0/0 "<BADREQ>""#;
    let https = r##"10.0.1.2:33317 [02/Mar/2026:08:00:02.655] https-in~ static/srv1 10/0/30/69/109 -1 2750 - - ---- 1/1/1/1/0 0/0 {a.example:443|Mozilla/5.0 #7BX11#7D} "GET https://a.example/%C3%A9?x HTTP/2.0" 0/0/0/0/0 -/TLSv1.3/TLS_AES_256_GCM_SHA384"##;
    let pairs = [("captured_request_headers", "Host, User-Agent"), ("utc_offset", "+01:00")];
    assert_snapshot!(check("HAPROXY", &[], &format!("{plain}\n{syslog}\n{bad}")), @r#"
    time=2026-03-02T08:00:00.655 | client_ip=10.0.1.2 | method=GET | path=/index.html | query=a=b | protocol=HTTP/1.1 | status=200 | bytes=2750 | duration=0.109 | extra={"frontend":"http-in","backend":"static","server":"srv1","timers":"10/0/30/69/109","termination_state":"----","connections":"1/1/1/1/0","queues":"0/0","captured_request_headers":"1wt.eu"}
    time=2026-03-02T08:00:00.655 | client_ip=10.0.1.2 | method=GET | path=/index.html | query=a=b | protocol=HTTP/1.1 | status=200 | bytes=2750 | duration=0.109 | extra={"frontend":"http-in","backend":"static","server":"srv1","timers":"10/0/30/69/109","termination_state":"----","connections":"1/1/1/1/0","queues":"0/0","captured_request_headers":"1wt.eu"}
    time=2026-03-02T08:00:01.012 | client_ip=2001:db8:1:2::/64 | status=408 | bytes=212 | duration=50.001 | extra={"frontend":"http-in","backend":"http-in","server":"<NOSRV>","timers":"-1/-1/-1/-1/+50001","termination_state":"cR--","connections":"2/2/2/0/0","queues":"0/0"}
    "#);
    assert_snapshot!(check("HAPROXY", &pairs, https), @r#"time=2026-03-02T07:00:02.655 | host=a.example | client_ip=10.0.1.2 | method=GET | path=/%C3%A9 | query=x | protocol=HTTP/2.0 | bytes=2750 | agent=Mozilla/5.0 {X11} | duration=0.109 | extra={"frontend":"https-in~","backend":"static","server":"srv1","timers":"10/0/30/69/109","termination_state":"----","connections":"1/1/1/1/0","queues":"0/0","tls":"0/0/0/0/0 -/TLSv1.3/TLS_AES_256_GCM_SHA384"}"#);
    let broken = [
        plain.replace(" http-in static/srv1", " static"),
        plain.replace("200 2750", "ok 2750"),
        plain.replace("10/0/30/69/109", "10/0/109"),
        plain.replace("02/Mar", "32/Mar"),
        plain.replace("{}", "{"),
        plain.split(" \"GET").next().unwrap_or_default().to_owned(),
        "10.0.1.2:33317 [02/Mar/2026:08:00:02.655] http-in/1: SSL handshake failure".to_owned(),
    ];
    assert_snapshot!(check("HAPROXY", &[], &broken.join("\n")), @r#"
    DEAD 1@0: expected five timers at byte 64
    DEAD 2@139: expected a status such as 200 at byte 77
    DEAD 3@290: expected five timers at byte 62
    DEAD 4@436: expected a time such as 14/Jan/2015:12:48:57.127 at byte 16
    DEAD 5@588: expected '}' at byte 119
    DEAD 6@739: expected a space behind '}' at byte 120
    DEAD 7@860: expected the backend and server at byte 53
    "#);
}

const IIS: &str = "#Software: Microsoft Internet Information Services 10.0
#Version: 1.0
#Date: 2026-03-02 08:00:00
#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken
2026-03-02 08:00:00 10.0.0.4 GET /a.aspx x=1 443 CORP\\jane 192.0.2.1 Mozilla/5.0+(compatible;+Bot/2.1;++http://b.example/) - 200 0 0 250
#Fields: date time c-ip cs-method cs-uri-stem sc-status time-taken cs-host cs(X-Forwarded-For) sc-bytes
2026-03-02 08:00:01 2001:db8:1:2::9 POST /b 404 1.5 shop.example.com:443 203.0.113.9,+10.0.0.1 17
2026-03-02 08:00:02 192.0.2.1 GET /c ok 3 - - 17
2026-03-02 08:00:03 192.0.2.1 GET /c 200
";

#[test]
fn w3c_columns_may_change_within_a_file() {
    assert_snapshot!(check("W3C", &[], IIS), @r#"
    time=2026-03-02T08:00:00 | client_ip=192.0.2.1 | user=CORP\jane | method=GET | path=/a.aspx | query=x=1 | status=200 | agent=Mozilla/5.0 (compatible; Bot/2.1; +http://b.example/) | duration=0.25 | extra={"s-ip":"10.0.0.4","s-port":"443","sc-substatus":"0","sc-win32-status":"0"}
    time=2026-03-02T08:00:01 | host=shop.example.com | client_ip=2001:db8:1:2::/64 | method=POST | path=/b | status=404 | bytes=17 | duration=1.5 | extra={"x-forwarded-for":"203.0.113.9, 10.0.0.1"}
    DEAD 8@596: column 'sc-status': expected a status such as 200, found 'ok'
    DEAD 9@645: expected column 'time-taken', found the end of the line behind 6 columns
    "#);
    assert_snapshot!(check("IIS", &[("fields", "date time c-ip cs-uri-stem")], "2026-03-02 08:00:00 192.0.2.1 /a\n\"quoted\""), @r#"
    time=2026-03-02T08:00:00 | client_ip=192.0.2.1 | path=/a
    DEAD 2@33: expected column 'time', found the end of the line behind 1 columns
    "#);
    assert_snapshot!(check("W3C", &[], "2026-03-02 08:00:00 192.0.2.1 /a"), @r#"DEAD 1@0: no '#Fields:' line before it says what its columns are; the setting 'fields' can"#);
}

#[test]
fn a_forwarded_client_is_found_in_a_header_column() {
    let pairs = [("trusted_proxies", "2001:db8::/32, 10.0.0.0/8"), ("forwarded_header", "x-forwarded-for")];
    assert!(check("W3C", &pairs, IIS).contains("client_ip=203.0.113.9 | method=POST"));
}

#[test]
fn traefik_lines_are_read_as_json_and_text() {
    let json = r#"{"ClientAddr":"172.17.0.1:39496","ClientHost":"172.17.0.1","ClientUsername":"-","DownstreamContentSize":357,"DownstreamStatus":200,"Duration":357313,"RequestHost":"shop.example","RequestMethod":"GET","RequestPath":"/a?b","RequestProtocol":"HTTP/1.1","RouterName":"r@docker","StartUTC":"2026-03-02T08:00:00.587782192Z","request_User-Agent":"Nikto","time":"2026-03-02T08:00:01Z"}"#;
    let text = r#"192.168.32.1 - jane [02/Mar/2026:08:00:00 +0000] "GET /a?b HTTP/1.1" 401 17 "https://a.example/" "curl \"x\"" 3 "r@docker" "http://10.0.0.1:80" 25ms"#;
    assert_snapshot!(check("TRAEFIK", &[], &format!("{json}\n{text}\n{}", text.replace("25ms", "soon"))), @r#"
    time=2026-03-02T08:00:00.587782 | host=shop.example | client_ip=172.17.0.1 | method=GET | path=/a | query=b | protocol=HTTP/1.1 | status=200 | bytes=357 | agent=Nikto | duration=0.000357313 | extra={"ClientAddr":"172.17.0.1:39496","RouterName":"r@docker","time":"2026-03-02T08:00:01Z"}
    time=2026-03-02T08:00:00 | client_ip=192.168.32.1 | user=jane | method=GET | path=/a | query=b | protocol=HTTP/1.1 | status=401 | bytes=17 | referrer=https://a.example/ | agent=curl "x" | duration=0.025 | extra={"RequestCount":"3","RouterName":"r@docker","ServiceURL":"http://10.0.0.1:80"}
    DEAD 3@527: expected 'ms' behind the duration at byte 148
    "#);
}

#[test]
fn caddy_lines_are_read() {
    let line = r#"{"level":"info","ts":1772438400.385,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"10.0.0.1","remote_port":"41342","client_ip":"203.0.113.9","proto":"HTTP/2.0","method":"GET","host":"localhost:8443","uri":"/a?b","headers":{"User-Agent":["curl/7.82.0"],"Referer":["https://a.example/"],"X-Forwarded-For":["198.51.100.7"]},"tls":{"version":772}},"bytes_read":0,"user_id":"","duration":0.000929675,"size":10900,"status":200}"#;
    assert_snapshot!(check("CADDY", &[], line), @r#"time=2026-03-02T08:00:00.385 | host=localhost | client_ip=203.0.113.9 | method=GET | path=/a | query=b | protocol=HTTP/2.0 | status=200 | bytes=10900 | referrer=https://a.example/ | agent=curl/7.82.0 | duration=0.000929675 | extra={"level":"info","logger":"http.log.access","msg":"handled request","request":{"remote_ip":"10.0.0.1","remote_port":"41342","client_ip":"203.0.113.9","proto":"HTTP/2.0","method":"GET","host":"localhost:8443","uri":"/a?b","headers":{"User-Agent":["curl/7.82.0"],"Referer":["https://a.example/"],"X-Forwarded-For":["198.51.100.7"]},"tls":{"version":772}},"bytes_read":0}"#);
    let pairs = [("trusted_proxies", "10.0.0.0/8"), ("forwarded_header", "x-forwarded-for")];
    assert!(check("CADDY", &pairs, line).contains("client_ip=198.51.100.7"), "the headers are asked");
    let wall = line.replace("1772438400.385", "\"2026/03/02 08:00:00.385\"");
    assert!(check("CADDY", &[], &wall).starts_with("time=2026-03-02T08:00:00.385 "));
}

#[test]
fn akamai_lines_are_read_as_json_and_in_columns() {
    let json = r#"{"version":1,"reqId":"1239f220","reqTimeSec":"1772438400.385","cliIP":"192.0.2.1","statusCode":"206","proto":"HTTPS","reqHost":"shop.example","reqMethod":"GET","reqPath":"/a/b.ext","queryStr":"c=d","bytes":"4995","UA":"Mozilla%2F5.0+%28X11%3B+Linux%29","referer":"https%3A%2F%2Fa.example%2F","turnAroundTimeMSec":"11","transferTimeMSec":"125","tlsVersion":"TLSv1.3"}"#;
    let fields = "reqTimeSec cliIP statusCode reqHost reqMethod reqPath queryStr bytes UA turnAroundTimeMSec transferTimeMSec country";
    let spaced = "1772438400.385 2001:db8:1:2::9 206 shop.example GET /a/b.ext - 4995 Mozilla/5.0%20(X11) 11 125 US";
    let tabbed = spaced.replace(' ', "\t");
    assert_snapshot!(check("AKAMAI", &[("fields", fields)], &format!("{json}\n{spaced}\n{tabbed}\n1 2 3")), @r#"
    time=2026-03-02T08:00:00.385 | host=shop.example | client_ip=192.0.2.1 | method=GET | path=/a/b.ext | query=c=d | status=206 | bytes=4995 | referrer=https://a.example/ | agent=Mozilla/5.0 (X11; Linux) | duration=0.136 | extra={"version":1,"reqId":"1239f220","proto":"HTTPS","turnAroundTimeMSec":"11","transferTimeMSec":"125","tlsVersion":"TLSv1.3"}
    time=2026-03-02T08:00:00.385 | host=shop.example | client_ip=2001:db8:1:2::/64 | method=GET | path=/a/b.ext | status=206 | bytes=4995 | agent=Mozilla/5.0 (X11) | duration=0.136 | extra={"country":"US"}
    time=2026-03-02T08:00:00.385 | host=shop.example | client_ip=2001:db8:1:2::/64 | method=GET | path=/a/b.ext | status=206 | bytes=4995 | agent=Mozilla/5.0 (X11) | duration=0.136 | extra={"country":"US"}
    DEAD 4@563: expected column 'reqHost', found the end of the line behind 3 columns
    "#);
    assert_snapshot!(check("AKAMAI", &[], spaced), @r#"DEAD 1@0: expected JSON: the columns of a structured line are told by the setting 'fields'"#);
}

#[test]
fn nginx_json_is_read() {
    let line = r#"{"time_iso8601":"2026-03-02T09:00:00+01:00","msec":"1772438400.385","remote_addr":"192.0.2.1","remote_user":"-","request":"GET /a?b HTTP/1.1","status":"200","body_bytes_sent":"17","http_referer":"","http_user_agent":"caf\u00e9 \"x\"","request_time":"0.003","http_host":"shop.example:8080","http_x_forwarded_for":"","upstream_response_time":"0.001, 0.002"}"#;
    assert_snapshot!(check("NGINX_JSON", &[], line), @r#"time=2026-03-02T08:00:00.385 | host=shop.example | client_ip=192.0.2.1 | method=GET | path=/a | query=b | protocol=HTTP/1.1 | status=200 | bytes=17 | agent=café "x" | duration=0.003 | extra={"time_iso8601":"2026-03-02T09:00:00+01:00","request":"GET /a?b HTTP/1.1","upstream_response_time":"0.001, 0.002"}"#);
}

#[test]
fn vendors_logs_are_recognised_by_their_lines() {
    let haproxy = r#"10.0.1.2:33317 [02/Mar/2026:08:00:00.655] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 "GET / HTTP/1.1""#;
    let traefik =
        r#"192.168.32.1 - - [02/Mar/2026:08:00:00 +0000] "GET / HTTP/1.1" 401 17 "-" "-" 3 "r@docker" "-" 25ms"#;
    let header = r#"<134>2026-03-02T08:00:00Z cache-sjc3128 Log[62]: 192.0.2.1 - - [02/Mar/2026:08:00:00 +0000] "GET /a?b HTTP/1.1" 200 1234"#;
    let cloudfront = cloudfront("curl", &["-", "-", "11040", "0.001", "Hit", "text/html", "78", "-", "-"]);
    let json = [
        r#"{"ClientIP":"192.0.2.1","ClientRequestURI":"/","EdgeStartTimestamp":1772438400}"#,
        r#"{"DownstreamStatus":200,"RequestPath":"/","ClientHost":"192.0.2.1","StartUTC":"2026-03-02T08:00:00Z"}"#,
        r#"{"ts":1772438400,"request":{"remote_ip":"192.0.2.1","proto":"HTTP/1.1","method":"GET","uri":"/"}}"#,
        r#"{"reqTimeSec":"1772438400","cliIP":"192.0.2.1","reqPath":"/"}"#,
        r#"{"timestamp":"2026-03-02T08:00:00Z","client_ip":"192.0.2.1","url":"/","request_method":"GET","response_status":200}"#,
    ];
    let found = [ALB, haproxy, IIS, traefik, header, cloudfront.as_str()].into_iter().chain(json).map(|sample| {
        let guess = guess(sample.as_bytes()).expect(sample);
        let rows = decoded(guess.format.as_ref(), sample).batch.num_rows();
        format!("{}: {rows}", guess.description)
    });
    assert_snapshot!(found.collect::<Vec<_>>().join("\n"), @r#"
    ALB: 1
    HAPROXY: 1
    W3C: 2
    TRAEFIK: 1
    FASTLY: 1
    CLOUDFRONT: 1
    CLOUDFLARE (JSON): 1
    TRAEFIK (JSON): 1
    CADDY (JSON): 1
    AKAMAI (JSON): 1
    FASTLY (JSON): 1
    "#);
}

#[test]
fn settings_that_cannot_be_are_refused() {
    for (name, pairs) in [
        ("HAPROXY", [("utc_offset", "CET")]),
        ("W3C", [("fields", " ")]),
        ("AKAMAI", [("fields", "")]),
        ("CADDY", [("ipv6_prefix", "200")]),
    ] {
        assert!(format(name, None, None, &mut settings(&pairs)).is_err(), "{name}");
    }
    let mut unknown = settings(&[("fields", "date time")]);
    format("CADDY", None, None, &mut unknown).expect("a format");
    assert!(unknown.finish().is_err(), "CADDY takes no fields");
}

#[test]
fn a_line_makes_the_same_row_whatever_came_before_it() {
    let lines = r#"{"ts":1772438400,"status":200,"request":{"remote_ip":"192.0.2.1","proto":"HTTP/1.1","method":"GET","uri":"/a"}}
{"ts":1772438401,"status":"-","request":{"remote_ip":"192.0.2.1","proto":"HTTP/1.1","method":"GET","uri":"/b","client_ip":"192.0.2.9"}}
{"status":201,"ts":1772438402,"request":{"uri":"/c"},"x":{"y":1}}
{"ts":1772438403,"ts":1772438404,"status":202,"request":{"uri":"/d"}}
{"status":203,"ts":1772438405,"request":null,"x":{"y":2}}
{"status":204,"ts":1772438406,"request":{"uri":"/e"},"x":{"y":3}}"#;
    for name in ["CADDY", "NGINX_JSON"] {
        let format = format(name, None, None, &mut settings(&[])).expect("a format");
        let alone: Vec<String> = lines.lines().map(|line| shown(format.as_ref(), line)).collect();
        let rows = |text: &str| -> Vec<String> {
            text.lines().map(|line| line.split_once(": ").map_or(line, |(_, reason)| reason).to_owned()).collect()
        };
        let mut together = rows(&shown(format.as_ref(), lines));
        let mut alone: Vec<String> = alone.iter().flat_map(|text| rows(text)).collect();
        together.sort();
        alone.sort();
        assert_eq!(together, alone, "{name}");
    }
    assert_eq!(format_names().filter(|name| *name == "CADDY").count(), 1);
}
