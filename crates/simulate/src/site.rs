//! A customer's site: its character, its pages and their assets, and the day of its visitors.

use std::sync::Arc;

use fyke_types::Micros;

use crate::dice::{Dice, Zipf};
use crate::words;

/// What a site is about: decides its pages, its visitors' day, and who attacks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SiteKind {
    /// Sells things: a large catalogue, copied by scrapers.
    Shop,
    /// Articles by date, a feed, peaks in the morning.
    News,
    /// Few pages, most visitors log in; attacked with stolen passwords.
    Bank,
    /// Hotels and prices, much searching.
    Travel,
    /// Small, quiet, polled by feed readers.
    Blog,
}

impl SiteKind {
    /// In the order in which a world adds customers.
    pub(crate) const ORDER: [Self; 5] = [Self::Shop, Self::News, Self::Bank, Self::Travel, Self::Blog];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Shop => "shop",
            Self::News => "news",
            Self::Bank => "bank",
            Self::Travel => "travel",
            Self::Blog => "blog",
        }
    }

    /// Relative traffic.
    pub(crate) fn weight(self) -> f64 {
        match self {
            Self::Shop => 5.0,
            Self::News => 3.0,
            Self::Bank => 1.0,
            Self::Travel => 2.0,
            Self::Blog => 0.8,
        }
    }

    fn offset_minutes(self) -> i64 {
        match self {
            Self::Shop => 60,
            Self::News => -300,
            Self::Bank => 0,
            Self::Travel => 330,
            Self::Blog => -480,
        }
    }

    fn sections_and_items(self) -> (usize, usize) {
        match self {
            Self::Shop => (14, 900),
            Self::News => (9, 420),
            Self::Bank => (6, 36),
            Self::Travel => (20, 500),
            Self::Blog => (5, 110),
        }
    }

    /// Images of an item's page: fewest and most.
    fn images(self) -> (usize, usize) {
        match self {
            Self::Shop => (3, 12),
            Self::News => (2, 8),
            Self::Bank => (0, 2),
            Self::Travel => (4, 14),
            Self::Blog => (0, 4),
        }
    }

    /// Share of visitors who log in.
    pub(crate) fn login_share(self) -> f64 {
        match self {
            Self::Bank => 0.6,
            Self::Shop => 0.08,
            Self::Travel => 0.06,
            Self::News => 0.03,
            Self::Blog => 0.01,
        }
    }

    /// Relative traffic by local hour; the mean is about 1.
    fn day(self) -> &'static [f64; 24] {
        match self {
            Self::Bank => &BUSINESS,
            Self::News => &MORNING,
            _ => &LEISURE,
        }
    }
}

const LEISURE: [f64; 24] = [
    0.50, 0.32, 0.24, 0.20, 0.20, 0.28, 0.48, 0.75, 0.95, 1.08, 1.15, 1.20, 1.28, 1.22, 1.15, 1.15, 1.20, 1.30, 1.45,
    1.65, 1.80, 1.75, 1.35, 0.85,
];
const MORNING: [f64; 24] = [
    0.45, 0.30, 0.24, 0.24, 0.34, 0.65, 1.20, 1.75, 1.80, 1.50, 1.25, 1.20, 1.40, 1.25, 1.05, 1.00, 1.05, 1.15, 1.20,
    1.20, 1.15, 1.00, 0.85, 0.65,
];
const BUSINESS: [f64; 24] = [
    0.25, 0.18, 0.15, 0.15, 0.20, 0.35, 0.70, 1.15, 1.70, 1.85, 1.80, 1.65, 1.60, 1.60, 1.60, 1.55, 1.45, 1.30, 1.15,
    1.05, 0.95, 0.80, 0.55, 0.35,
];

/// A file that pages need.
#[derive(Debug)]
pub(crate) struct Asset {
    pub(crate) path: Arc<str>,
    pub(crate) bytes: u64,
}

/// A page and the images that it alone shows.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) path: Arc<str>,
    /// Path with scheme and host, as it stands in a referrer.
    pub(crate) url: Arc<str>,
    pub(crate) bytes: u64,
    pub(crate) images: Vec<Asset>,
}

/// One customer's site.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) number: u16,
    pub(crate) kind: SiteKind,
    pub(crate) name: Arc<str>,
    pub(crate) host: Arc<str>,
    /// Home, then the sections, then the items.
    pub(crate) pages: Vec<Page>,
    pub(crate) sections: usize,
    /// Style sheets, scripts, fonts and logos of every page.
    pub(crate) shared: Vec<Asset>,
    pub(crate) search: Arc<str>,
    pub(crate) terms: Vec<Arc<str>>,
    pub(crate) login: Arc<str>,
    pub(crate) account: Arc<str>,
    pub(crate) api: Vec<Arc<str>>,
    pub(crate) beacon: Arc<str>,
    pub(crate) feed: Arc<str>,
    /// Links that somebody still has and that lead nowhere.
    pub(crate) dead: Vec<Arc<str>>,
    /// Whether the log names the account.
    pub(crate) logs_user: bool,
    popularity: Zipf,
}

impl Site {
    /// The site of customer `number`, the same for the same seed.
    pub(crate) fn new(seed: u64, number: u16) -> Self {
        let kind = SiteKind::ORDER[usize::from(number) % SiteKind::ORDER.len()];
        Self::of_kind(seed, number, kind)
    }

    pub(crate) fn of_kind(seed: u64, number: u16, kind: SiteKind) -> Self {
        let mut dice = Dice::for_name(seed, &[u64::from(number), 0x517e]);
        let name = words::customer(kind.name(), number);
        let host: Arc<str> = format!("{name}.example").into();
        let (sections, items) = kind.sections_and_items();
        let path = |text: &str| -> Arc<str> { text.into() };
        Self {
            number,
            kind,
            pages: pages(kind, &host, sections, items, &mut dice),
            sections,
            shared: shared_assets(&mut dice),
            search: path(if kind == SiteKind::Blog { "/" } else { "/search" }),
            terms: words::terms(kind, &mut dice),
            login: path(if kind == SiteKind::Blog { "/wp-login.php" } else { "/login" }),
            account: path("/account"),
            api: ["/api/v1/session", "/api/v1/items", "/api/v1/suggest", "/api/v1/basket", "/api/v1/messages"]
                .map(path)
                .to_vec(),
            beacon: path("/api/v1/events"),
            feed: path(if kind == SiteKind::Blog { "/feed/" } else { "/rss.xml" }),
            dead: (0..12).map(|_| words::item_path(kind, 90_000 + dice.below(9_000), &mut dice).into()).collect(),
            logs_user: matches!(kind, SiteKind::Bank | SiteKind::Travel),
            popularity: Zipf::new(items, 4.0),
            host,
            name: name.into(),
        }
    }

    /// The page with this index; the home page for any other.
    pub(crate) fn page(&self, index: usize) -> &Page {
        &self.pages[if index < self.pages.len() { index } else { 0 }]
    }

    pub(crate) fn items(&self) -> usize {
        self.pages.len() - 1 - self.sections
    }

    /// The index of item `rank`, wrapping around.
    pub(crate) fn item(&self, rank: usize) -> usize {
        1 + self.sections + rank % self.items()
    }

    /// The index of a section's page, wrapping around.
    pub(crate) fn section(&self, rank: usize) -> usize {
        1 + rank % self.sections
    }

    /// An item by popularity.
    pub(crate) fn popular_item(&self, dice: &mut Dice) -> usize {
        self.item(self.popularity.draw(dice))
    }

    /// Relative traffic of people at a moment, interpolated between hours of the site's own time zone.
    pub(crate) fn rhythm(&self, time: Micros) -> f64 {
        const HOUR: i64 = 3_600_000_000;
        let local = (time + self.kind.offset_minutes() * 60_000_000).rem_euclid(24 * HOUR);
        let (hour, within) = ((local / HOUR) as usize, (local % HOUR) as f64 / HOUR as f64);
        let day = self.kind.day();
        // a tenth of the people keep no hours
        0.1 + 0.9 * (day[hour % 24] * (1.0 - within) + day[(hour + 1) % 24] * within)
    }
}

fn pages(kind: SiteKind, host: &str, sections: usize, items: usize, dice: &mut Dice) -> Vec<Page> {
    let (fewest, most) = kind.images();
    let mut image = 1_000 + dice.below(500);
    let mut page = |path: String, bytes: u64, images: usize, dice: &mut Dice| -> Page {
        let images = (0..images)
            .map(|_| {
                image += 1 + dice.below(3);
                Asset {
                    path: words::image_path(image, dice).into(),
                    bytes: dice.log_normal(28_000.0, 0.8) as u64 + 400,
                }
            })
            .collect();
        Page { url: format!("https://{host}{path}").into(), path: path.into(), bytes, images }
    };
    let mut pages = vec![page("/".to_owned(), 48_000, 6, dice)];
    for section in 0..sections {
        let (bytes, images) = (dice.log_normal(36_000.0, 0.3) as u64, dice.between(fewest, most));
        pages.push(page(words::section_path(kind, section), bytes, images, dice));
    }
    for item in 0..items {
        let path = words::item_path(kind, item, dice);
        let (bytes, images) = (dice.log_normal(22_000.0, 0.45) as u64, dice.between(fewest, most));
        pages.push(page(path, bytes, images, dice));
    }
    pages
}

fn shared_assets(dice: &mut Dice) -> Vec<Asset> {
    let names = [
        ("/assets/app", "css"),
        ("/assets/theme", "css"),
        ("/assets/app", "js"),
        ("/assets/vendor", "js"),
        ("/assets/consent", "js"),
        ("/fonts/inter-regular", "woff2"),
        ("/fonts/inter-bold", "woff2"),
        ("/images/logo", "svg"),
        ("/favicon", "ico"),
    ];
    names
        .iter()
        .map(|(name, extension)| {
            let fingerprint = dice.bits() & 0x00ff_ffff;
            let path = match *extension {
                "ico" | "svg" => format!("{name}.{extension}"),
                _ => format!("{name}.{fingerprint:06x}.{extension}"),
            };
            Asset { path: path.into(), bytes: dice.log_normal(42_000.0, 0.9) as u64 + 500 }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_day_has_a_mean_of_about_one() {
        for kind in SiteKind::ORDER {
            let mean = kind.day().iter().sum::<f64>() / 24.0;
            assert!((0.94..1.06).contains(&mean), "{kind:?}: {mean}");
        }
    }

    #[test]
    fn a_site_has_distinct_pages_and_is_the_same_for_a_seed() {
        for number in 0..7 {
            let (site, again) = (Site::new(5, number), Site::new(5, number));
            let paths: BTreeSet<_> = site.pages.iter().map(|page| page.path.clone()).collect();
            assert_eq!(paths.len(), site.pages.len(), "{}", site.name);
            assert_eq!(format!("{site:?}"), format!("{again:?}"));
        }
    }
}
