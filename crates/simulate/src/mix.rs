//! How much of the traffic each class makes, and how many actors that takes.

use fyke_types::{Error, Result};

use crate::request::Kind;
use crate::site::SiteKind;

/// Shares of the requests, before each site's character tilts them. They need not add up to 1: only their ratios count.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix {
    /// People with a browser or the mobile application.
    pub human: f64,
    /// People behind shared office addresses.
    pub office: f64,
    /// Declared crawlers.
    pub crawler: f64,
    /// Crawlers' names from elsewhere.
    pub impostor: f64,
    /// Scrapers of four strengths.
    pub scraper: f64,
    /// Stolen passwords.
    pub credential_stuffer: f64,
    /// Attack paths.
    pub scanner: f64,
    /// Uptime checks.
    pub monitor: f64,
    /// Feed polling.
    pub feed_reader: f64,
    /// The kind that training never sees; counts only where the world asks for it, on top of the others.
    pub price_watcher: f64,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            human: 0.56,
            office: 0.11,
            crawler: 0.07,
            impostor: 0.02,
            scraper: 0.15,
            credential_stuffer: 0.04,
            scanner: 0.025,
            monitor: 0.006,
            feed_reader: 0.01,
            price_watcher: 0.05,
        }
    }
}

/// How a kind comes to a site.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Presence {
    /// Actors come and go; each makes so many requests on average.
    Visits { requests: f64 },
    /// Actors stay; each makes so many requests a minute on average.
    Stays { per_minute: f64 },
}

/// Averages of the actors' behaviour on a site, measured; the test `classes_keep_their_shares` holds them.
pub(crate) fn presence(kind: Kind, site: SiteKind) -> Presence {
    // pages of catalogues bring more images than those of banks
    let images = match site {
        SiteKind::Shop => 1.0,
        SiteKind::News => 0.86,
        SiteKind::Bank => 0.6,
        SiteKind::Travel => 1.1,
        SiteKind::Blog => 0.65,
    };
    match kind {
        Kind::Browser => Presence::Visits { requests: 52.0 * images },
        Kind::MobileApp => Presence::Visits { requests: 25.0 },
        Kind::Office => Presence::Stays { per_minute: 58.0 * images },
        Kind::Crawler => Presence::Stays { per_minute: 9.2 },
        Kind::Impostor => Presence::Visits { requests: 78.0 },
        Kind::ScraperLibrary => Presence::Visits { requests: 120.0 },
        Kind::ScraperPages => Presence::Visits { requests: 72.0 },
        Kind::ScraperBrowser => Presence::Visits { requests: 210.0 * images },
        Kind::ScraperSlow => Presence::Stays { per_minute: 21.0 },
        Kind::CredentialStuffer => Presence::Visits { requests: 420.0 },
        Kind::Scanner => Presence::Visits { requests: 44.0 },
        Kind::Monitor => Presence::Stays { per_minute: 1.0 },
        Kind::FeedReader => Presence::Stays { per_minute: 0.22 },
        Kind::PriceWatcher => Presence::Visits { requests: 600.0 * images },
    }
}

impl Mix {
    fn shares(&self) -> [(&'static str, f64); 10] {
        [
            ("human", self.human),
            ("office", self.office),
            ("crawler", self.crawler),
            ("impostor", self.impostor),
            ("scraper", self.scraper),
            ("credential_stuffer", self.credential_stuffer),
            ("scanner", self.scanner),
            ("monitor", self.monitor),
            ("feed_reader", self.feed_reader),
            ("price_watcher", self.price_watcher),
        ]
    }

    pub(crate) fn check(&self) -> Result<()> {
        for (name, share) in self.shares() {
            if !share.is_finite() || share < 0.0 {
                return Err(Error::usage(format!("the share of {name} is {share}")).hint("shares are 0 or more"));
            }
        }
        if self.shares().iter().take(9).map(|(_, share)| share).sum::<f64>() <= 0.0 {
            return Err(Error::usage("every class has a share of 0").hint("give at least one class a share"));
        }
        Ok(())
    }

    /// Share of a kind among a site's requests; all kinds but the price watcher add up to 1.
    pub(crate) fn share(&self, kind: Kind, site: SiteKind) -> f64 {
        let sum: f64 = Kind::ALL.iter().filter(|k| **k != Kind::PriceWatcher).map(|k| self.tilted(*k, site)).sum();
        self.tilted(kind, site) / sum
    }

    fn tilted(&self, kind: Kind, site: SiteKind) -> f64 {
        let base = match kind {
            Kind::Browser => self.human * 0.88,
            Kind::MobileApp => self.human * 0.12,
            Kind::Office => self.office,
            Kind::Crawler => self.crawler,
            Kind::Impostor => self.impostor,
            Kind::ScraperLibrary => self.scraper * 0.26,
            Kind::ScraperPages => self.scraper * 0.24,
            Kind::ScraperBrowser => self.scraper * 0.3,
            Kind::ScraperSlow => self.scraper * 0.2,
            Kind::CredentialStuffer => self.credential_stuffer,
            Kind::Scanner => self.scanner,
            Kind::Monitor => self.monitor,
            Kind::FeedReader => self.feed_reader,
            Kind::PriceWatcher => self.price_watcher,
        };
        base * tilt(kind, site)
    }
}

/// What a site's character draws.
fn tilt(kind: Kind, site: SiteKind) -> f64 {
    match (site, kind) {
        (SiteKind::Bank, Kind::CredentialStuffer) => 3.0,
        (SiteKind::Bank, Kind::MobileApp) => 2.5,
        (SiteKind::Bank, Kind::ScraperLibrary | Kind::ScraperPages | Kind::ScraperBrowser | Kind::ScraperSlow) => 0.3,
        (SiteKind::Bank | SiteKind::Travel, Kind::FeedReader) => 0.2,
        (SiteKind::Shop, Kind::FeedReader) => 0.3,
        (SiteKind::News, Kind::Crawler | Kind::FeedReader) => 1.6,
        (SiteKind::News, Kind::CredentialStuffer) => 0.5,
        (SiteKind::Travel, Kind::ScraperBrowser | Kind::ScraperSlow) => 1.5,
        (SiteKind::Blog, Kind::FeedReader) => 4.0,
        (SiteKind::Blog, Kind::Crawler | Kind::Scanner) => 2.0,
        (SiteKind::Blog, Kind::Office | Kind::MobileApp) => 0.0,
        _ => 1.0,
    }
}
