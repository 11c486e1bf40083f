//! Logs of load balancers, CDNs, proxies and servers as their vendors write them: each format its own file, and a line
//! in [`VENDORS`].

mod akamai;
mod alb;
mod caddy;
mod cloudflare;
mod cloudfront;
mod columns;
mod fastly;
mod haproxy;
mod nginx_json;
mod traefik;
mod w3c;

use std::collections::BTreeMap;
use std::sync::Arc;

use fyke_types::{Format, Result, Settings};

use crate::access::RequestSettings;
use crate::requests::reader::LinesFormat;

type Make = fn(&mut Settings, &RequestSettings) -> Result<LinesFormat>;

/// How a vendor's log is told from others.
#[derive(Clone, Copy)]
enum Mark {
    /// It is named, never guessed: its lines say nothing of whose they are, or need settings.
    None,
    /// JSON objects that hold all of these keys.
    Keys(&'static [&'static str]),
    /// A sample that may be its own; whether its lines can be read decides.
    Lines(fn(&[&str]) -> bool),
}

/// A vendor's format.
#[derive(Clone, Copy)]
pub(crate) struct Vendor {
    /// Its name after `STORED AS`.
    pub name: &'static str,
    make: Make,
    text: Mark,
    json: Mark,
}

/// All of them; the first that fits a sample is what it is taken for.
pub(crate) const VENDORS: &[Vendor] = &[
    Vendor { name: "ALB", make: alb::format, text: Mark::Lines(alb::likely), json: Mark::None },
    Vendor {
        name: "CLOUDFRONT",
        make: cloudfront::format,
        text: Mark::Lines(cloudfront::likely),
        json: Mark::Keys(&["c-ip", "cs-uri-stem"]),
    },
    Vendor {
        name: "CLOUDFLARE",
        make: cloudflare::format,
        text: Mark::None,
        json: Mark::Keys(&["EdgeStartTimestamp", "ClientIP"]),
    },
    Vendor { name: "HAPROXY", make: haproxy::format, text: Mark::Lines(haproxy::likely), json: Mark::None },
    Vendor { name: "W3C", make: w3c::format, text: Mark::Lines(w3c::likely), json: Mark::None },
    Vendor {
        name: "TRAEFIK",
        make: traefik::format,
        text: Mark::Lines(traefik::likely),
        json: Mark::Keys(&["DownstreamStatus", "RequestPath"]),
    },
    Vendor {
        name: "CADDY",
        make: caddy::format,
        text: Mark::None,
        json: Mark::Keys(&["request.uri", "request.proto", "request.method"]),
    },
    Vendor {
        name: "AKAMAI",
        make: akamai::format,
        text: Mark::None,
        json: Mark::Keys(&["reqTimeSec", "cliIP", "reqPath"]),
    },
    Vendor {
        name: "FASTLY",
        make: fastly::format,
        text: Mark::Lines(fastly::likely),
        json: Mark::Keys(&["request_method", "url", "response_status"]),
    },
    Vendor { name: "NGINX_JSON", make: nginx_json::format, text: Mark::None, json: Mark::None },
];

impl Vendor {
    /// The format, by its settings.
    ///
    /// # Errors
    /// `Usage` for wrong values.
    pub fn format(&self, settings: &mut Settings, shared: &RequestSettings) -> Result<LinesFormat> {
        (self.make)(settings, shared)
    }

    /// The keys by which its JSON is known.
    pub fn json_keys(&self) -> Option<&'static [&'static str]> {
        match self.json {
            Mark::Keys(keys) => Some(keys),
            _ => None,
        }
    }

    /// The format by the settings that all share, if it reads at least half of the lines of `sample`.
    pub fn reads(&self, sample: &[&str], shared: &RequestSettings) -> Option<Arc<dyn Format>> {
        let Mark::Lines(likely) = self.text else { return None };
        if !likely(sample) {
            return None;
        }
        let format = self.format(&mut Settings::new("a guess", BTreeMap::new()), shared).ok()?;
        let decoded =
            format.decoder(Some(&[])).and_then(|mut decoder| decoder.decode(sample.join("\n").as_bytes(), ""));
        let decoded = decoded.ok()?;
        let (rows, dead) = (decoded.batch.num_rows(), decoded.dead.len());
        (rows > 0 && rows >= dead).then(|| -> Arc<dyn Format> { Arc::new(format) })
    }
}
