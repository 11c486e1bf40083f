//! User agents: what browsers, applications, libraries and crawlers send.

use std::sync::Arc;

use crate::addresses::{APPLE, BING, GOOGLE, META, OPENAI, YANDEX};
use crate::dice::Dice;

const WINDOWS: &[&str] = &["Windows NT 10.0; Win64; x64", "Windows NT 10.0; WOW64", "Windows NT 6.1; Win64; x64"];
const MAC: &str = "Macintosh; Intel Mac OS X 10_15_7";
const LINUX: &[&str] = &["X11; Linux x86_64", "X11; Ubuntu; Linux x86_64"];
const ANDROID: &[&str] = &["K", "SM-S918B", "SM-A546B", "Pixel 7", "Pixel 8 Pro", "M2101K6G", "CPH2451", "SM-A127F"];

/// How old browsers are: most people are a few versions behind at most, some are years behind.
fn version(newest: usize, span: usize, dice: &mut Dice) -> usize {
    let behind = if dice.chance(0.75) { dice.below(4) } else { dice.below(span) };
    newest.saturating_sub(behind)
}

fn desktop_platform(dice: &mut Dice) -> &'static str {
    match dice.weighted(&[0.68, 0.24, 0.08]) {
        0 => match dice.weighted(&[0.9, 0.06, 0.04]) {
            0 => WINDOWS[0],
            1 => WINDOWS[1],
            _ => WINDOWS[2],
        },
        1 => MAC,
        _ => dice.pick(LINUX, LINUX[0]),
    }
}

fn chromium(dice: &mut Dice) -> String {
    let platform = desktop_platform(dice);
    let version = version(144, 38, dice);
    let base =
        format!("Mozilla/5.0 ({platform}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36");
    match dice.weighted(&[0.8, 0.14, 0.06]) {
        0 => base,
        1 => format!("{base} Edg/{version}.0.0.0"),
        _ => format!("{base} OPR/{}.0.0.0", version.saturating_sub(15)),
    }
}

fn firefox(dice: &mut Dice) -> String {
    let (platform, version) = (desktop_platform(dice), version(147, 32, dice));
    format!("Mozilla/5.0 ({platform}; rv:{version}.0) Gecko/20100101 Firefox/{version}.0")
}

fn safari(dice: &mut Dice) -> String {
    let (major, minor) = (dice.between(16, 18), dice.below(7));
    format!("Mozilla/5.0 ({MAC}) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{major}.{minor} Safari/605.1.15")
}

fn iphone(dice: &mut Dice) -> String {
    let (major, minor) = (dice.between(15, 18), dice.below(7));
    let device = if dice.chance(0.9) { "iPhone; CPU iPhone OS" } else { "iPad; CPU OS" };
    let build = if dice.chance(0.12) { String::from("GSA/402.0.748021") } else { format!("Version/{major}.{minor}") };
    format!(
        "Mozilla/5.0 ({device} {major}_{minor} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) {build} Mobile/15E148 Safari/604.1"
    )
}

fn android(dice: &mut Dice) -> String {
    let (release, version) = (dice.between(10, 15), version(144, 38, dice));
    let model = dice.pick(ANDROID, "K");
    let samsung = if dice.chance(0.2) { format!(" SamsungBrowser/{}.0", dice.between(20, 28)) } else { String::new() };
    format!(
        "Mozilla/5.0 (Linux; Android {release}; {model}) AppleWebKit/537.36 (KHTML, like Gecko){samsung} Chrome/{version}.0.0.0 Mobile Safari/537.36"
    )
}

/// A desktop browser.
pub(crate) fn desktop(dice: &mut Dice) -> Arc<str> {
    match dice.weighted(&[0.72, 0.16, 0.12]) {
        0 => chromium(dice),
        1 => firefox(dice),
        _ => safari(dice),
    }
    .into()
}

/// A telephone's or tablet's browser.
pub(crate) fn mobile(dice: &mut Dice) -> Arc<str> {
    if dice.chance(0.48) { iphone(dice).into() } else { android(dice).into() }
}

/// Any browser, as programs that pose as one choose it: a list copied from somewhere, mostly fresh, some stale.
pub(crate) fn posed(dice: &mut Dice) -> Arc<str> {
    if dice.chance(0.8) { desktop(dice) } else { mobile(dice) }
}

/// The site's own application.
pub(crate) fn application(name: &str, dice: &mut Dice) -> Arc<str> {
    let (major, minor, patch) = (dice.between(4, 6), dice.below(13), dice.below(5));
    match dice.below(3) {
        0 => format!("{name}/{major}.{minor}.{patch} (iPhone; iOS 17.{}; Scale/3.00)", dice.below(7)),
        1 => format!("{name}/{minor} CFNetwork/1494.0.7 Darwin/23.{}.0", dice.below(7)),
        _ => format!("okhttp/4.{}.{}", dice.between(9, 12), dice.below(3)),
    }
    .into()
}

/// An HTTP library that says its name.
pub(crate) fn library(dice: &mut Dice) -> Arc<str> {
    match dice.below(9) {
        0 | 1 => format!("python-requests/2.{}.{}", dice.between(25, 32), dice.below(4)),
        2 => format!("Scrapy/2.{}.0 (+https://scrapy.org)", dice.between(5, 12)),
        3 => String::from("Go-http-client/1.1"),
        4 => format!("curl/8.{}.0", dice.between(1, 11)),
        5 => format!("okhttp/4.{}.{}", dice.between(9, 12), dice.below(3)),
        6 => format!("axios/1.{}.{}", dice.between(4, 8), dice.below(8)),
        7 => format!("Java/17.0.{}", dice.between(2, 12)),
        _ => format!("python-httpx/0.{}.0", dice.between(24, 28)),
    }
    .into()
}

/// What tools that look for weaknesses send; some send nothing, many pose.
pub(crate) fn probing(dice: &mut Dice) -> Option<Arc<str>> {
    match dice.weighted(&[0.12, 0.1, 0.08, 0.05, 0.15, 0.5]) {
        0 => None,
        1 => Some("Mozilla/5.0 zgrab/0.x".into()),
        2 => Some("Mozilla/5.0 (compatible; Nmap Scripting Engine; https://nmap.org/book/nse.html)".into()),
        3 => Some("masscan/1.3 (https://github.com/robertdavidgraham/masscan)".into()),
        4 => Some(library(dice)),
        _ => Some(posed(dice)),
    }
}

/// A service that checks that sites are up.
pub(crate) fn uptime(dice: &mut Dice) -> Arc<str> {
    match dice.below(6) {
        0 | 1 => "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
        2 => "Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)",
        3 => "Better Stack Better Uptime Bot Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36",
        4 => "Mozilla/5.0 (compatible; StatusCake)",
        _ => "curl/8.5.0",
    }
    .into()
}

/// A feed reader, of a service or on a person's machine.
pub(crate) fn feed(dice: &mut Dice) -> Arc<str> {
    match dice.below(7) {
        0 => format!("Feedly/1.0 (+http://www.feedly.com/fetcher.html; {} subscribers)", dice.between(3, 900)),
        1 => format!("Mozilla/5.0 (compatible; inoreader.com; {} subscribers)", dice.between(3, 400)),
        2 => String::from("NetNewsWire (RSS Reader; https://netnewswire.com/)"),
        3 => format!("FreshRSS/1.2{}.0 (Linux; https://freshrss.org)", dice.below(6)),
        4 => String::from("Tiny Tiny RSS/24.04 (https://tt-rss.org/)"),
        5 => format!("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.{}.0", dice.below(9)),
        _ => String::from("newsboat/2.35.0 (Linux x86_64)"),
    }
    .into()
}

/// A declared crawler: its agent and the blocks that it comes from.
pub(crate) struct Crawler {
    pub(crate) agent: &'static str,
    pub(crate) blocks: &'static [([u8; 4], u8)],
}

/// A crawler by how often sites see it.
pub(crate) fn crawler(dice: &mut Dice) -> Crawler {
    let (agent, blocks): (_, &'static [_]) = match dice.weighted(&[0.2, 0.15, 0.25, 0.15, 0.1, 0.08, 0.07]) {
        0 => ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", GOOGLE),
        1 => (
            "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            GOOGLE,
        ),
        2 => (
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) Chrome/116.0.1938.76 Safari/537.36",
            BING,
        ),
        3 => (
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
            OPENAI,
        ),
        4 => (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.1.1 Safari/605.1.15 (Applebot/0.1; +http://www.apple.com/go/applebot)",
            APPLE,
        ),
        5 => ("Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)", YANDEX),
        _ => ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", META),
    };
    Crawler { agent, blocks }
}
