//! Polls the feed, and sometimes fetches what is new.

use fyke_types::Micros;

use crate::addresses::{self, Network};
use crate::agents;
use crate::client::{Answer, Ask, Behaviour, Client, Scene};
use crate::dice::Dice;
use crate::request::ActorId;

pub(super) struct FeedReader {
    client: Client,
    dice: Dice,
    every_s: f64,
    fetches: f64,
}

impl FeedReader {
    pub(super) fn new(actor: ActorId, mut dice: Dice) -> Self {
        let network = if dice.chance(0.5) { Network::Home } else { Network::Hosting };
        let ip = addresses::address(network, &mut dice);
        let client = super::client(actor, ip, Some(agents::feed(&mut dice)), Client::protocol(0.5, &mut dice));
        let every_s = 60.0 * [3.0, 5.0, 10.0, 15.0][dice.below(4)];
        Self { client, every_s, fetches: if dice.chance(0.5) { 0.8 } else { 0.1 }, dice }
    }
}

impl Behaviour for FeedReader {
    fn act(&mut self, now: Micros, scene: &mut Scene<'_>) -> Option<Micros> {
        let site = scene.site;
        let fresh = self.dice.chance(0.25);
        let answer = if fresh { Answer::list(site, &mut self.dice) } else { Answer::unchanged(&mut self.dice) };
        self.client.send(now, Ask::get(&site.feed), answer, scene);
        if fresh && self.dice.chance(self.fetches) {
            let page = site.page(site.popular_item(&mut self.dice));
            let mut time = now + self.dice.span(0.8, 0.5);
            self.client.send(time, Ask::get(&page.path), Answer::page(page, &mut self.dice), scene);
            for image in page.images.iter().take(3) {
                time += self.dice.millis_between(30, 400);
                self.client.send(time, Ask::get(&image.path), Answer::asset(image, &mut self.dice), scene);
            }
        }
        Some(now + self.dice.span(self.every_s, 0.03))
    }
}
