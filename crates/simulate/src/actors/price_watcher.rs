//! The kind that training never sees: a real browser with a reader's pace and assets, from homes' addresses, that
//! walks the catalogue in order and hands over to the next address.

use fyke_types::Micros;

use crate::browser::Browser;
use crate::client::{Behaviour, Scene};
use crate::dice::Dice;
use crate::request::ActorId;
use crate::site::Site;

pub(super) struct PriceWatcher {
    browser: Browser,
    actor: ActorId,
    dice: Dice,
    at: usize,
    /// Items until the next address takes over.
    here: usize,
    left: usize,
}

impl PriceWatcher {
    pub(super) fn new(actor: ActorId, site: &Site, mut dice: Dice) -> Self {
        Self {
            browser: Browser::new(super::posing(actor, 1.0, &mut dice), &mut dice),
            actor,
            at: dice.below(site.items()),
            here: dice.between(10, 26),
            left: dice.between(40, 160),
            dice,
        }
    }
}

impl Behaviour for PriceWatcher {
    fn act(&mut self, now: Micros, scene: &mut Scene<'_>) -> Option<Micros> {
        self.left = self.left.checked_sub(1)?;
        if self.here == 0 {
            self.here = self.dice.between(10, 26);
            let client = super::posing(self.actor, 1.0, &mut self.dice);
            self.browser = Browser::new(client, &mut self.dice);
        }
        self.here -= 1;
        self.at += 1;
        let done = self.browser.load(scene.site.item(self.at), None, now, scene, &mut self.dice);
        Some(done + self.dice.span(11.0, 0.8))
    }
}
