//! What JSON logs call the parts of a request, the surest names first. Dots are paths, where there is no such key.

use crate::access::DurationUnit;

pub(super) const TIME: &[&str] = &[
    "@timestamp",
    "timestamp",
    "time",
    "time_iso8601",
    "ts",
    "msec",
    "datestamp",
    "time_local",
    "datetime",
    "date",
    "StartUTC",
    "ts_timestamp",
];
pub(super) const HOST: &[&str] = &[
    "client_request_host",
    "request_host",
    "http_host",
    "url.domain",
    "vhost",
    "virtual_host",
    "server_name",
    "request.host",
    "RequestHost",
    "host",
    "hostname",
    "domain",
    "host.name",
];
pub(super) const ADDRESS: &[&str] = &[
    "client_ip",
    "remote_addr",
    "source.ip",
    "client.ip",
    "source.address",
    "clientip",
    "remote_ip",
    "remote_host",
    "request.client_ip",
    "request.remote_ip",
    "ClientHost",
    "ip",
    "c-ip",
    "client",
    "remote",
];
pub(super) const USER: &[&str] =
    &["user", "remote_user", "user.name", "client_user", "auth", "ClientUsername", "user_id"];
pub(super) const METHOD: &[&str] = &[
    "method",
    "request_method",
    "http.request.method",
    "client_request_method",
    "http_method",
    "request.method",
    "RequestMethod",
    "verb",
];
pub(super) const TARGET: &[&str] = &[
    "request_uri",
    "uri",
    "url.original",
    "url.path",
    "client_url",
    "url",
    "path",
    "request_path",
    "request.uri",
    "RequestPath",
    "http.url",
    "url.full",
];
pub(super) const QUERY: &[&str] = &["query", "query_string", "querystring", "args", "url.query"];
pub(super) const PROTOCOL: &[&str] = &[
    "protocol",
    "server_protocol",
    "http_request_version",
    "request.proto",
    "RequestProtocol",
    "http.version",
    "http_version",
];
pub(super) const STATUS: &[&str] = &[
    "status",
    "status_code",
    "http_response_code",
    "http.response.status_code",
    "response",
    "response_code",
    "DownstreamStatus",
    "code",
];
pub(super) const BYTES: &[&str] = &[
    "bytes",
    "body_bytes_sent",
    "bytes_sent",
    "size",
    "reply_length_bytes",
    "http.response.body.bytes",
    "http.response.bytes",
    "response_size",
    "DownstreamContentSize",
];
pub(super) const REFERRER: &[&str] =
    &["referer", "referrer", "http_referer", "http_referrer", "http.request.referrer", "request_Referer"];
pub(super) const AGENT: &[&str] = &[
    "user_agent",
    "agent",
    "http_user_agent",
    "client_ua",
    "user_agent.original",
    "useragent",
    "ua",
    "request_User-Agent",
];
pub(super) const REQUEST: &[&str] = &["request", "request_line", "http_request"];

/// Durations, with what each counts.
pub(super) const DURATION: &[(&str, DurationUnit)] = &[
    ("request_time", DurationUnit::Seconds),
    ("duration_ms", DurationUnit::Millis),
    ("response_time_ms", DurationUnit::Millis),
    ("request_time_ms", DurationUnit::Millis),
    ("latency_ms", DurationUnit::Millis),
    ("ts_process_time", DurationUnit::Millis),
    ("duration_us", DurationUnit::Micros),
    ("duration", DurationUnit::Seconds),
    ("response_time", DurationUnit::Seconds),
];
