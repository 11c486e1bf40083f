//! The two weaker scrapers: a library that says its name, and pages alone under a browser's agent.

use std::sync::Arc;

use fyke_types::Micros;

use crate::addresses::{self, Network};
use crate::agents;
use crate::client::{Answer, Ask, Behaviour, Client, Scene};
use crate::dice::Dice;
use crate::request::ActorId;
use crate::site::Site;

pub(super) struct FastScraper {
    client: Client,
    dice: Dice,
    gap_s: f64,
    jitter: f64,
    in_order: f64,
    /// What it sends as the referrer of every page.
    referrer: Option<Arc<str>>,
    /// Whether the previous page is sent instead.
    follows: bool,
    at: usize,
    left: usize,
}

impl FastScraper {
    pub(super) fn library(actor: ActorId, site: &Site, mut dice: Dice) -> Self {
        let network = if dice.chance(0.75) { Network::Hosting } else { Network::Home };
        let ip = addresses::address(network, &mut dice);
        let client = super::client(actor, ip, Some(agents::library(&mut dice)), Client::protocol(0.2, &mut dice));
        Self {
            gap_s: dice.log_normal(1.3, 0.9),
            jitter: dice.uniform(0.05, 0.5),
            in_order: dice.uniform(0.6, 1.0),
            referrer: None,
            follows: false,
            at: dice.below(site.pages.len()),
            left: (dice.log_normal(80.0, 0.9) as usize).clamp(6, 900),
            client,
            dice,
        }
    }

    pub(super) fn posing(actor: ActorId, site: &Site, mut dice: Dice) -> Self {
        let client = super::posing(actor, 0.45, &mut dice);
        let referrer = dice.chance(0.3).then(|| "https://www.google.com/".into());
        Self {
            gap_s: dice.log_normal(3.2, 0.8),
            jitter: dice.uniform(0.2, 0.9),
            in_order: dice.uniform(0.2, 1.0),
            referrer,
            follows: dice.chance(0.3),
            at: dice.below(site.pages.len()),
            left: (dice.log_normal(48.0, 0.8) as usize).clamp(4, 600),
            client,
            dice,
        }
    }

    fn ask(&mut self, now: Micros, scene: &mut Scene<'_>) {
        let site = scene.site;
        if self.dice.chance(0.06) {
            let path: &Arc<str> = &site.search;
            let term = site.terms.get(self.dice.below(site.terms.len())).cloned();
            let ask = Ask::get(path).query(term).from(self.referrer.clone());
            return self.client.send(now, ask, Answer::found(&mut self.dice), scene);
        }
        if self.dice.chance(0.025) {
            let Some(path) = site.dead.get(self.dice.below(site.dead.len())) else { return };
            let ask = Ask::get(path).from(self.referrer.clone());
            return self.client.send(now, ask, Answer::missing(&mut self.dice), scene);
        }
        let jump = !self.dice.chance(self.in_order);
        self.at = if jump { self.dice.below(site.pages.len()) } else { (self.at + 1) % site.pages.len() };
        let page = site.page(self.at);
        let ask = Ask::get(&page.path).from(self.referrer.clone());
        self.client.send(now, ask, Answer::page(page, &mut self.dice), scene);
        if self.follows {
            self.referrer = Some(page.url.clone());
        }
    }
}

impl Behaviour for FastScraper {
    fn act(&mut self, now: Micros, scene: &mut Scene<'_>) -> Option<Micros> {
        self.left = self.left.checked_sub(1)?;
        self.ask(now, scene);
        // pauses to parse, to store, to be restarted
        let pause = if self.dice.chance(0.015) { self.dice.span(25.0, 0.8) } else { 0 };
        Some(now + pause + self.dice.span(self.gap_s, self.jitter))
    }
}
