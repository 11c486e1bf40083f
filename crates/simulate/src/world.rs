//! Several customers' sites and everybody on them.

use std::sync::Arc;

use fyke_types::{Error, Micros, Result};

use crate::mix::{Mix, presence};
use crate::request::Kind;
use crate::site::{Site, SiteKind};
use crate::spawn::{Ground, populate};
use crate::stream::{Delays, Requests};

/// What a world is made from: the same settings give the same requests.
#[derive(Debug, Clone, PartialEq)]
pub struct WorldSettings {
    /// Of all randomness.
    pub seed: u64,
    /// When the world begins, microseconds since 1970-01-01 UTC, in whole milliseconds. Default: Monday,
    /// 2026-03-02T08:00Z.
    pub start: Micros,
    /// How long it lasts, in minutes of event time. Default: 90.
    pub minutes: u32,
    /// Number of customers, at least 1. Kinds of sites alternate: shop, news, bank, travel, blog. Default: 5.
    pub customers: u16,
    /// Requests a minute over all customers, as a mean over whole days: people keep each site's local hours.
    /// Default: 2,500.
    pub requests_per_minute: f64,
    /// Which classes make them.
    pub mix: Mix,
    /// The most that a line may take to the log, in milliseconds: lines are out of order by no more. Default: 2,000.
    pub disorder_ms: u32,
    /// Whether the kind that training must not see (price watchers) comes on top. All other actors' requests stay the
    /// same. Default: false.
    pub unseen_kind: bool,
    /// Share of people at home who come over IPv6, 0 to 1. Default: 0.
    pub ipv6_share: f64,
}

impl Default for WorldSettings {
    fn default() -> Self {
        Self {
            seed: 1,
            start: 1_772_438_400_000_000,
            minutes: 90,
            customers: 5,
            requests_per_minute: 2_500.0,
            mix: Mix::default(),
            disorder_ms: 2_000,
            unseen_kind: false,
            ipv6_share: 0.0,
        }
    }
}

/// A customer as its consumers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// Such as `shop-alpha`.
    pub name: Arc<str>,
    /// Such as `shop-alpha.example`.
    pub host: Arc<str>,
    /// What the site is about.
    pub kind: SiteKind,
}

/// Several customers' sites and everybody on them.
#[derive(Debug)]
pub struct World {
    settings: WorldSettings,
    sites: Arc<[Site]>,
}

impl World {
    /// Builds the sites.
    ///
    /// # Errors
    /// `Usage` when a setting is out of its range.
    pub fn new(settings: WorldSettings) -> Result<Self> {
        settings.check()?;
        let sites = (0..settings.customers).map(|number| Site::new(settings.seed, number)).collect();
        Ok(Self { settings, sites })
    }

    /// What it was made from.
    pub fn settings(&self) -> &WorldSettings {
        &self.settings
    }

    /// The customers, in order of their number.
    pub fn customers(&self) -> Vec<Customer> {
        self.sites
            .iter()
            .map(|site| Customer { name: site.name.clone(), host: site.host.clone(), kind: site.kind })
            .collect()
    }

    /// Everything that happens, from the beginning.
    pub fn requests(&self) -> Requests {
        let settings = &self.settings;
        let end = settings.start + Micros::from(settings.minutes) * 60_000_000;
        let delays = Delays { seed: settings.seed, most_ms: settings.disorder_ms };
        let ground = Ground { seed: settings.seed, start: settings.start, ipv6_share: settings.ipv6_share };
        let mut requests = Requests::new(self.sites.clone(), (settings.start, end), delays);
        let weights: f64 = self.sites.iter().map(|site| site.kind.weight()).sum();
        for (index, site) in self.sites.iter().enumerate() {
            let rate = settings.requests_per_minute * site.kind.weight() / weights;
            for kind in Kind::ALL {
                if kind == Kind::PriceWatcher && !settings.unseen_kind {
                    continue;
                }
                let rate = rate * settings.mix.share(kind, site.kind);
                for (at, behaviour) in populate(ground, site, kind, presence(kind, site.kind), rate) {
                    requests.add(index, at, behaviour);
                }
            }
        }
        requests
    }
}

impl WorldSettings {
    fn check(&self) -> Result<()> {
        // year 9999: log formats write four digits
        const LAST: Micros = 253_402_300_799_000_000;
        let end = self.start.checked_add(Micros::from(self.minutes) * 60_000_000);
        if self.start < 0 || self.start % 1_000 != 0 || end.is_none_or(|end| end > LAST) {
            return Err(Error::usage(format!("a world cannot begin at {} µs", self.start))
                .hint("whole milliseconds between 1970 and 9999"));
        }
        if self.customers == 0 {
            return Err(Error::usage("a world without customers").hint("customers must be 1 or more"));
        }
        if !(self.requests_per_minute.is_finite() && self.requests_per_minute > 0.0) {
            return Err(Error::usage(format!("{} requests a minute", self.requests_per_minute))
                .hint("requests_per_minute must be above 0"));
        }
        if !(0.0..=1.0).contains(&self.ipv6_share) {
            return Err(Error::usage(format!("an IPv6 share of {}", self.ipv6_share)).hint("between 0 and 1"));
        }
        self.mix.check()
    }
}
