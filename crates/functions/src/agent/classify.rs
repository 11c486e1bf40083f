//! The class of a user agent. Declared bots by the patterns of the `isbot` crate; programs by their own name.

use std::borrow::Cow;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use isbot::Bots;
use regex::Regex;

use super::class::AgentClass;
use super::names::{COMPATIBLE, CRAWLERS, ENGINES, FEEDS, HEADLESS, LIBRARIES, MONITORS, NO_CRAWLERS, PLATFORMS};

/// An address to complain to, which nothing but a program for itself carries.
const CONTACT: &str = r"(?i)https?://|[a-z0-9]\.(com|org|net|io|ai|co)\b|[a-z0-9]@[a-z][a-z0-9-]*\.[a-z]{2,}|\(at\)";

fn matcher(list: &[&str]) -> Option<AhoCorasick> {
    AhoCorasick::builder().ascii_case_insensitive(true).build(list).ok()
}

struct Rules {
    headless: Option<AhoCorasick>,
    monitors: Option<AhoCorasick>,
    feeds: Option<AhoCorasick>,
    libraries: Option<AhoCorasick>,
    crawlers: Option<AhoCorasick>,
    exceptions: Option<AhoCorasick>,
    engines: Option<AhoCorasick>,
    platforms: Option<AhoCorasick>,
    contact: Option<Regex>,
    declared: Bots,
}

static RULES: LazyLock<Rules> = LazyLock::new(|| Rules {
    headless: matcher(HEADLESS),
    monitors: matcher(MONITORS),
    feeds: matcher(FEEDS),
    libraries: matcher(LIBRARIES),
    crawlers: matcher(CRAWLERS),
    exceptions: matcher(NO_CRAWLERS),
    engines: matcher(ENGINES),
    platforms: matcher(PLATFORMS),
    contact: Regex::new(CONTACT).ok(),
    declared: Bots::default(),
});

fn has(list: &Option<AhoCorasick>, agent: &str) -> bool {
    list.as_ref().is_some_and(|list| list.is_match(agent))
}

/// The class of an agent, the most telling first: a headless browser that calls itself a monitor is headless.
pub fn classify(agent: &str) -> AgentClass {
    let agent = agent.trim();
    if agent.is_empty() || agent == "-" {
        return AgentClass::Empty;
    }
    let rules = &*RULES;
    if has(&rules.headless, agent) {
        AgentClass::Headless
    } else if has(&rules.monitors, agent) {
        AgentClass::Monitor
    } else if has(&rules.feeds, agent) {
        AgentClass::Feed
    } else if !is_browser(agent) && has(&rules.libraries, agent) {
        AgentClass::Library
    } else if rules.is_crawler(agent) {
        AgentClass::Crawler
    } else if is_browser(agent) {
        AgentClass::Browser
    } else if has(&rules.platforms, agent) {
        AgentClass::Other
    } else {
        AgentClass::Library
    }
}

impl Rules {
    fn is_crawler(&self, agent: &str) -> bool {
        let without_exceptions = match &self.exceptions {
            Some(exceptions) if exceptions.is_match(agent) => {
                Cow::Owned(exceptions.replace_all(agent, &[""; NO_CRAWLERS.len()]))
            }
            _ => Cow::Borrowed(agent),
        };
        self.declared.is_bot(&without_exceptions)
            || has(&self.crawlers, &without_exceptions)
            || self.contact.as_ref().is_some_and(|contact| contact.is_match(&without_exceptions))
            || self.imitates(agent)
    }

    /// An agent in a browser's form that no browser has: none of the fifth Mozilla is without an engine, and none but
    /// Internet Explorer and its time says that it is compatible.
    fn imitates(&self, agent: &str) -> bool {
        let says_compatible = agent.contains("compatible;") && !COMPATIBLE.iter().any(|old| agent.contains(old));
        agent.starts_with("Mozilla/5.0") && (says_compatible || !has(&self.engines, agent))
    }
}

/// Browsers have begun with Mozilla or Opera since the nineties; those for text have not.
fn is_browser(agent: &str) -> bool {
    const STARTS: [&str; 10] =
        ["Mozilla/", "AppleWebKit/", "Opera/", "Opera ", "Lynx/", "Links", "ELinks", "w3m/", "NCSA_Mosaic/", "Dillo/"];
    STARTS.iter().any(|start| agent.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_by_a_known_agent() {
        use AgentClass::{Browser, Crawler, Empty, Feed, Headless, Library, Monitor, Other};
        for (class, agent) in [
            (Empty, ""),
            (Empty, " - "),
            (
                Browser,
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
            ),
            (Browser, "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0"),
            (Crawler, "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"),
            (
                Crawler,
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
            ),
            (Library, "curl/8.5.0"),
            (Library, "python-requests/2.31.0"),
            (Library, "Go-http-client/1.1"),
            (Library, "Java/17.0.2"),
            (Monitor, "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)"),
            (
                Headless,
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.0.0 Safari/537.36",
            ),
            (Feed, "Tiny Tiny RSS/21.05 (http://tt-rss.org/)"),
            (Feed, "Feedly/1.0 (+http://www.feedly.com/fetcher.html; 12 subscribers)"),
            (Other, "ExampleApp/1 iPhone5,2 iOS/10_1 CFNetwork/808.3 Darwin/16.3.0"),
        ] {
            assert_eq!(classify(agent), class, "{agent}");
        }
    }
}
