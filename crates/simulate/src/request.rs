//! One simulated request, and what kind of client truly made it.

use std::fmt;
use std::sync::Arc;

use fyke_types::Micros;

/// What a detector should say: the class of the client behind a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Label {
    /// A person, whatever the device, alone or behind a shared address.
    Human,
    /// A search or AI crawler that says so, from its operator's addresses.
    Crawler,
    /// Claims to be a known crawler from somebody else's addresses.
    Impostor,
    /// Copies content.
    Scraper,
    /// Tries stolen passwords.
    CredentialStuffer,
    /// Looks for weaknesses.
    Scanner,
    /// Checks that the site is up.
    Monitor,
    /// Polls the feed.
    FeedReader,
    /// Walks the catalogue in a real browser; generated only on request, so that training never sees it.
    PriceWatcher,
}

impl Label {
    /// All labels.
    pub const ALL: [Self; 9] = [
        Self::Human,
        Self::Crawler,
        Self::Impostor,
        Self::Scraper,
        Self::CredentialStuffer,
        Self::Scanner,
        Self::Monitor,
        Self::FeedReader,
        Self::PriceWatcher,
    ];

    /// The label's text in side tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Crawler => "crawler",
            Self::Impostor => "impostor",
            Self::Scraper => "scraper",
            Self::CredentialStuffer => "credential_stuffer",
            Self::Scanner => "scanner",
            Self::Monitor => "monitor",
            Self::FeedReader => "feed_reader",
            Self::PriceWatcher => "price_watcher",
        }
    }

    /// Whether a program decides what to request.
    pub fn bot(self) -> bool {
        self != Self::Human
    }

    /// Whether a site's operator usually wants it: people, and automation that declares itself.
    pub fn wanted(self) -> bool {
        matches!(self, Self::Human | Self::Crawler | Self::Monitor | Self::FeedReader)
    }
}

/// How an actor behaves: finer than its [`Label`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A person with a browser.
    Browser,
    /// A person with the site's mobile application.
    MobileApp,
    /// A person in an office: many share one address and a few agents.
    Office,
    /// See [`Label::Crawler`].
    Crawler,
    /// See [`Label::Impostor`].
    Impostor,
    /// A plain HTTP library that says its name.
    ScraperLibrary,
    /// A browser's agent, but pages alone.
    ScraperPages,
    /// A browser's agent, assets and jittered times.
    ScraperBrowser,
    /// One campaign over many addresses, each of them slow.
    ScraperSlow,
    /// See [`Label::CredentialStuffer`].
    CredentialStuffer,
    /// See [`Label::Scanner`].
    Scanner,
    /// See [`Label::Monitor`].
    Monitor,
    /// See [`Label::FeedReader`].
    FeedReader,
    /// See [`Label::PriceWatcher`].
    PriceWatcher,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 14] = [
        Self::Browser,
        Self::MobileApp,
        Self::Office,
        Self::Crawler,
        Self::Impostor,
        Self::ScraperLibrary,
        Self::ScraperPages,
        Self::ScraperBrowser,
        Self::ScraperSlow,
        Self::CredentialStuffer,
        Self::Scanner,
        Self::Monitor,
        Self::FeedReader,
        Self::PriceWatcher,
    ];

    /// The kind's text in side tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::MobileApp => "mobile_app",
            Self::Office => "office",
            Self::ScraperLibrary => "scraper_library",
            Self::ScraperPages => "scraper_pages",
            Self::ScraperBrowser => "scraper_browser",
            Self::ScraperSlow => "scraper_slow",
            other => other.label().name(),
        }
    }

    /// The class that it belongs to.
    pub fn label(self) -> Label {
        match self {
            Self::Browser | Self::MobileApp | Self::Office => Label::Human,
            Self::Crawler => Label::Crawler,
            Self::Impostor => Label::Impostor,
            Self::ScraperLibrary | Self::ScraperPages | Self::ScraperBrowser | Self::ScraperSlow => Label::Scraper,
            Self::CredentialStuffer => Label::CredentialStuffer,
            Self::Scanner => Label::Scanner,
            Self::Monitor => Label::Monitor,
            Self::FeedReader => Label::FeedReader,
            Self::PriceWatcher => Label::PriceWatcher,
        }
    }
}

/// Who made a request. One actor may use many addresses (a campaign), and one address serve many actors (an office).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActorId {
    /// The customer's number in the world.
    pub customer: u16,
    /// How it behaves.
    pub kind: Kind,
    /// From 0 within customer and kind; people of office k count from k · 2²⁰ + 1.
    pub number: u32,
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.customer, self.kind.name(), self.number)
    }
}

/// One request as the customer's web server saw it, with the truth beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// When the request began, in whole milliseconds.
    pub time: Micros,
    /// The customer's name, such as `shop-alpha`.
    pub customer: Arc<str>,
    /// The site's host name.
    pub host: Arc<str>,
    /// The client's address.
    pub client_ip: Arc<str>,
    /// The account, where the site logs it and the client is logged in.
    pub user: Option<Arc<str>>,
    /// The HTTP method.
    pub method: &'static str,
    /// The path without its query.
    pub path: Arc<str>,
    /// The query without `?`.
    pub query: Option<Arc<str>>,
    /// Such as `HTTP/2.0`.
    pub protocol: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// Size of the response's body.
    pub bytes: u64,
    /// The `Referer` header.
    pub referrer: Option<Arc<str>>,
    /// The `User-Agent` header.
    pub agent: Option<Arc<str>>,
    /// How long the server took, in microseconds, in whole milliseconds.
    pub duration: Micros,
    /// The truth: never part of a log line.
    pub label: Label,
    /// The truth: never part of a log line.
    pub actor: ActorId,
}
