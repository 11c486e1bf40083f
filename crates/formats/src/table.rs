//! All formats, one line each. A new one costs its own folder and a line here.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use fyke_types::{Error, Format, Result, Settings};

use crate::access::{AccessFormat, RequestSettings, Standard, Variant};
use crate::json::{JsonFormat, TimeFormat, infer_json};
use crate::requests::guess::guess_with;
use crate::requests::subset::Subset;
use crate::vendors::VENDORS;

/// What a format is made from.
struct Wanted<'a> {
    schema: Option<SchemaRef>,
    sample: Option<&'a [u8]>,
    settings: &'a mut Settings,
}

type Make = fn(&mut Wanted<'_>) -> Result<Arc<dyn Format>>;

const TABLE: &[(&str, Make)] = &[
    ("JSON", json),
    ("COMMON", |wanted| standard(wanted, Variant::any_of(Standard::Common))),
    ("COMBINED", |wanted| standard(wanted, Variant::any_of(Standard::Combined))),
    ("VHOST_COMMON", |wanted| standard(wanted, Variant::with_vhost(Standard::Common))),
    ("VHOST_COMBINED", |wanted| standard(wanted, Variant::with_vhost(Standard::Combined))),
    ("NGINX", |wanted| custom(wanted, AccessFormat::nginx)),
    ("APACHE", |wanted| custom(wanted, AccessFormat::apache)),
    ("REQUESTS", requests),
    ("ALB", |wanted| vendor(wanted, "ALB")),
    ("CLOUDFRONT", |wanted| vendor(wanted, "CLOUDFRONT")),
    ("CLOUDFLARE", |wanted| vendor(wanted, "CLOUDFLARE")),
    ("FASTLY", |wanted| vendor(wanted, "FASTLY")),
    ("AKAMAI", |wanted| vendor(wanted, "AKAMAI")),
    ("HAPROXY", |wanted| vendor(wanted, "HAPROXY")),
    ("W3C", |wanted| vendor(wanted, "W3C")),
    ("IIS", |wanted| vendor(wanted, "W3C")),
    ("TRAEFIK", |wanted| vendor(wanted, "TRAEFIK")),
    ("CADDY", |wanted| vendor(wanted, "CADDY")),
    ("NGINX_JSON", |wanted| vendor(wanted, "NGINX_JSON")),
];

/// The names that [`format()`] knows, upper case.
pub fn format_names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(name, _)| *name)
}

/// The format called `name` (in any case).
///
/// | name | lines | settings |
/// |---|---|---|
/// | `JSON` | objects with the columns of `schema`; without one, it is inferred from `sample` | `time_format` |
/// | `COMMON`, `COMBINED` | access logs, with or without a virtual host before and a response time behind | shared |
/// | `VHOST_COMMON`, `VHOST_COMBINED` | the same, where the host is always there and may be an address | shared |
/// | `NGINX`, `APACHE` | access logs by their server's format string | `log_format`, shared |
/// | `REQUESTS` | what [`crate::guess`] makes of `sample` | shared |
/// | `ALB` | AWS Application Load Balancer | shared |
/// | `CLOUDFRONT` | standard and real-time logs, and JSON | `fields`, shared |
/// | `CLOUDFLARE` | Logpush of HTTP requests | shared |
/// | `FASTLY` | JSON, or common and combined lines, also behind a syslog header | shared |
/// | `AKAMAI` | DataStream 2, JSON or structured | `fields`, shared |
/// | `HAPROXY` | the HTTP log | `utc_offset`, `captured_request_headers`, `captured_response_headers`, shared |
/// | `W3C`, `IIS` | W3C extended logs, whose `#Fields:` may change | `fields`, shared |
/// | `TRAEFIK` | JSON or its extended common log | shared |
/// | `CADDY` | JSON | shared |
/// | `NGINX_JSON` | nginx's variables as JSON | shared |
///
/// Settings shared by all but `JSON`: `trusted_proxies`, `client_ip`, `forwarded_header`, `ipv6_prefix`, `customer`
/// (`input` or `host`), `duration_unit`. Those formats give `fyke_types::request::request_schema`; a declared schema
/// chooses among its columns. The caller ends with [`Settings::finish`].
///
/// # Errors
/// `Usage` for an unknown name, wrong settings, or a schema that the format can't give; `Data` when a sample is not
/// what it should be.
pub fn format(
    name: &str,
    schema: Option<SchemaRef>,
    sample: Option<&[u8]>,
    settings: &mut Settings,
) -> Result<Arc<dyn Format>> {
    let Some((_, make)) = TABLE.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) else {
        let known: Vec<&str> = format_names().collect();
        return Err(Error::usage(format!("there is no log format '{name}'"))
            .hint(format!("known formats: {}", known.join(", "))));
    };
    make(&mut Wanted { schema, sample, settings })
}

fn json(wanted: &mut Wanted<'_>) -> Result<Arc<dyn Format>> {
    let time_format = TimeFormat::from_settings(wanted.settings)?;
    let schema = match (wanted.schema.take(), wanted.sample) {
        (Some(schema), _) => schema,
        (None, Some(sample)) => infer_json(sample)?,
        (None, None) => {
            return Err(Error::usage("the columns of a JSON table are not known")
                .hint("declare them: there are no lines yet to infer them from"));
        }
    };
    Ok(Arc::new(JsonFormat::new(schema, time_format)?))
}

fn standard(wanted: &mut Wanted<'_>, variants: Vec<Variant>) -> Result<Arc<dyn Format>> {
    let settings = RequestSettings::from_settings(wanted.settings)?;
    chosen(wanted, Arc::new(AccessFormat::standard(&variants, settings)))
}

fn custom(
    wanted: &mut Wanted<'_>,
    compile: fn(&str, RequestSettings) -> Result<AccessFormat>,
) -> Result<Arc<dyn Format>> {
    let settings = RequestSettings::from_settings(wanted.settings)?;
    let Some(log_format) = wanted.settings.text("log_format") else {
        return Err(Error::usage("the setting 'log_format' is missing")
            .hint("copy the format string from the server's configuration, or use COMMON or COMBINED"));
    };
    chosen(wanted, Arc::new(compile(&log_format, settings)?))
}

fn vendor(wanted: &mut Wanted<'_>, name: &str) -> Result<Arc<dyn Format>> {
    let shared = RequestSettings::from_settings(wanted.settings)?;
    let vendor = VENDORS.iter().find(|vendor| vendor.name == name);
    let vendor = vendor.ok_or_else(|| Error::internal(format!("there is no vendor '{name}'")))?;
    let format = vendor.format(wanted.settings, &shared)?;
    chosen(wanted, Arc::new(format))
}

fn requests(wanted: &mut Wanted<'_>) -> Result<Arc<dyn Format>> {
    let settings = RequestSettings::from_settings(wanted.settings)?;
    let sample = wanted.sample.ok_or_else(|| {
        Error::usage("the log's format can't be guessed without any of its lines").hint("name the format")
    })?;
    let guess = guess_with(sample, &settings).ok_or_else(|| {
        Error::data("the log's format is not recognised")
            .hint("name it: COMBINED, HAPROXY, …, JSON with its columns, or NGINX or APACHE with 'log_format'")
    })?;
    chosen(wanted, guess.format)
}

/// The columns that a schema declares, if there is one.
fn chosen(wanted: &mut Wanted<'_>, format: Arc<dyn Format>) -> Result<Arc<dyn Format>> {
    match wanted.schema.take() {
        Some(schema) => Ok(Arc::new(Subset::new(format, &schema)?)),
        None => Ok(format),
    }
}
