//! The stronger scraper: a real browser without a person, its assets, its referrers and jittered times.

use fyke_types::Micros;

use crate::browser::Browser;
use crate::client::{Behaviour, Scene};
use crate::dice::Dice;
use crate::request::ActorId;

pub(super) struct Headless {
    browser: Browser,
    dice: Dice,
    gap_s: f64,
    jitter: f64,
    in_order: f64,
    at: usize,
    left: usize,
}

impl Headless {
    pub(super) fn new(actor: ActorId, mut dice: Dice) -> Self {
        let client = super::posing(actor, 0.6, &mut dice);
        Self {
            browser: Browser::new(client, &mut dice),
            gap_s: dice.log_normal(7.0, 0.5),
            jitter: dice.uniform(0.25, 0.7),
            in_order: dice.uniform(0.1, 0.7),
            at: dice.below(10_000),
            left: (dice.log_normal(24.0, 0.8) as usize).clamp(5, 200),
            dice,
        }
    }
}

impl Behaviour for Headless {
    fn act(&mut self, now: Micros, scene: &mut Scene<'_>) -> Option<Micros> {
        self.left = self.left.checked_sub(1)?;
        let done = if self.dice.chance(0.08) {
            self.browser.search(now, scene, &mut self.dice);
            now
        } else {
            let next = self.dice.chance(self.in_order);
            self.at = if next { self.at + 1 } else { self.dice.below(10_000) };
            let section = self.dice.chance(0.15);
            let page = if section { scene.site.section(self.at) } else { scene.site.item(self.at) };
            self.browser.load(page, None, now, scene, &mut self.dice)
        };
        Some(done + self.dice.span(self.gap_s, self.jitter))
    }
}
