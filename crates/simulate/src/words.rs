//! The words that sites are made of: names, paths, search terms.

use std::sync::Arc;

use crate::dice::Dice;
use crate::site::SiteKind;

const GREEK: &[&str] = &[
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "omicron", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega",
];
const SHOP: &[&str] = &[
    "blue", "wool", "trail", "shoes", "jacket", "lamp", "oak", "table", "steel", "kettle", "linen", "shirt", "garden",
    "chair", "travel", "bag", "running", "socks", "ceramic", "mug", "winter", "boots", "leather", "belt",
];
const NEWS: &[&str] = &[
    "council", "votes", "river", "bridge", "budget", "minister", "storm", "league", "final", "rates", "harbour",
    "strike", "school", "reform", "market", "energy", "housing", "talks", "museum", "opens", "record", "summer",
];
const BANK: &[&str] =
    &["savings", "mortgage", "rates", "cards", "loans", "pension", "help", "fees", "branch", "security", "terms"];
const TRAVEL: &[&str] = &[
    "lisbon", "porto", "oslo", "kyoto", "lima", "cusco", "hanoi", "bergen", "naples", "split", "casa", "villa",
    "harbour", "garden", "azul", "grand", "old-town", "beach", "lodge", "palace", "station", "view",
];
const BLOG: &[&str] = &[
    "sourdough",
    "notes",
    "compiler",
    "garden",
    "bicycle",
    "weekend",
    "rust",
    "keyboard",
    "letters",
    "walking",
    "coffee",
    "photos",
    "reading",
    "list",
    "homelab",
    "winter",
    "repair",
    "synth",
    "maps",
    "diary",
];

fn list(kind: SiteKind) -> &'static [&'static str] {
    match kind {
        SiteKind::Shop => SHOP,
        SiteKind::News => NEWS,
        SiteKind::Bank => BANK,
        SiteKind::Travel => TRAVEL,
        SiteKind::Blog => BLOG,
    }
}

/// `shop-alpha`; past the alphabet's end with a number.
pub(crate) fn customer(kind: &str, number: u16) -> String {
    let number = usize::from(number);
    match GREEK.get(number) {
        Some(letter) => format!("{kind}-{letter}"),
        None => format!("{kind}-{number}"),
    }
}

fn slug(kind: SiteKind, words: usize, dice: &mut Dice) -> String {
    let picked: Vec<&str> = (0..words).map(|_| dice.pick(list(kind), "notes")).collect();
    picked.join("-")
}

pub(crate) fn section_path(kind: SiteKind, section: usize) -> String {
    let words = list(kind);
    let word = words.get(section % words.len()).copied().unwrap_or("all");
    match kind {
        SiteKind::Shop => format!("/c/{word}/"),
        SiteKind::News => format!("/section/{word}"),
        SiteKind::Bank => format!("/{word}/"),
        SiteKind::Travel => format!("/places/{word}/"),
        SiteKind::Blog => format!("/tag/{word}/"),
    }
}

pub(crate) fn item_path(kind: SiteKind, item: usize, dice: &mut Dice) -> String {
    match kind {
        SiteKind::Shop => format!("/p/{}-{}", 10_000 + item, slug(kind, 3, dice)),
        SiteKind::News => {
            let (month, day) = (1 + item / 28 % 12, 1 + item % 28);
            format!("/2026/{month:02}/{day:02}/{}-{item}", slug(kind, 4, dice))
        }
        SiteKind::Bank => format!("/info/{}-{item}", slug(kind, 2, dice)),
        SiteKind::Travel => format!("/hotels/{}/{}-{item}", slug(kind, 1, dice), slug(kind, 2, dice)),
        SiteKind::Blog => format!("/posts/{}-{item}/", slug(kind, 2, dice)),
    }
}

pub(crate) fn image_path(image: usize, dice: &mut Dice) -> String {
    let extension = dice.pick(&["webp", "jpg", "jpg", "png", "avif"], "jpg");
    format!("/media/{:02x}/{image}.{extension}", image % 251)
}

/// What people search for, already encoded.
pub(crate) fn terms(kind: SiteKind, dice: &mut Dice) -> Vec<Arc<str>> {
    (0..160)
        .map(|_| {
            let words = dice.between(1, 3);
            format!("q={}", slug(kind, words, dice).replace('-', "+")).into()
        })
        .collect()
}

/// Where visitors come from when they come from elsewhere.
pub(crate) fn outside(dice: &mut Dice) -> &'static str {
    match dice.weighted(&[0.6, 0.1, 0.06, 0.08, 0.06, 0.1]) {
        0 => "https://www.google.com/",
        1 => "https://www.bing.com/",
        2 => "https://duckduckgo.com/",
        3 => "https://www.facebook.com/",
        4 => "https://t.co/",
        _ => "https://www.reddit.com/",
    }
}

/// Paths that tools which look for weaknesses try.
pub(crate) const PROBES: &[&str] = &[
    "/.env",
    "/.git/config",
    "/wp-login.php",
    "/wp-admin/setup-config.php",
    "/xmlrpc.php",
    "/phpmyadmin/index.php",
    "/pma/",
    "/admin/",
    "/admin/login",
    "/administrator/index.php",
    "/cgi-bin/luci",
    "/boaform/admin/formLogin",
    "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php",
    "/actuator/env",
    "/actuator/health",
    "/server-status",
    "/backup.zip",
    "/backup.sql",
    "/db.sql",
    "/config.php.bak",
    "/.aws/credentials",
    "/.ssh/id_rsa",
    "/.DS_Store",
    "/shell.php",
    "/c99.php",
    "/owa/auth/logon.aspx",
    "/solr/admin/info/system",
    "/console/",
    "/manager/html",
    "/HNAP1",
    "/_ignition/execute-solution",
    "/telescope/requests",
    "/api/.env",
    "/old/",
    "/test.php",
    "/info.php",
    "/wp-content/plugins/file-manager/readme.txt",
    "/wp-json/wp/v2/users",
    "/debug/default/view",
    "/login.action",
];
