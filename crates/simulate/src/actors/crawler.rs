//! Crawlers: declared ones from their operator's blocks, and impostors that borrow the name.

use std::sync::Arc;

use fyke_types::Micros;

use crate::addresses::{self, Network};
use crate::agents;
use crate::client::{Answer, Ask, Behaviour, Client, Scene};
use crate::dice::Dice;
use crate::request::ActorId;
use crate::site::Site;

pub(super) struct Crawler {
    /// The same crawler through several addresses.
    clients: Vec<Client>,
    dice: Dice,
    gap_s: f64,
    /// Walks in order with this probability, else jumps.
    in_order: f64,
    /// How often robots.txt is read again.
    robots: f64,
    /// How often the page's scripts and styles are fetched for rendering.
    renders: f64,
    at: usize,
    left: Option<usize>,
    first: bool,
}

impl Crawler {
    pub(super) fn declared(actor: ActorId, site: &Site, mut dice: Dice) -> Self {
        let which = agents::crawler(&mut dice);
        let addresses = dice.between(1, 4);
        let protocol = Client::protocol(0.4, &mut dice);
        let clients = (0..addresses)
            .map(|_| {
                super::client(actor, addresses::within(which.blocks, &mut dice), Some(which.agent.into()), protocol)
            })
            .collect();
        Self {
            clients,
            gap_s: dice.uniform(5.0, 13.0),
            in_order: dice.uniform(0.2, 0.8),
            robots: 0.01,
            renders: if dice.chance(0.5) { 0.08 } else { 0.0 },
            at: dice.below(site.pages.len()),
            left: None,
            first: true,
            dice,
        }
    }

    /// Some are as polite as the original, so manners alone do not tell.
    pub(super) fn impostor(actor: ActorId, site: &Site, mut dice: Dice) -> Self {
        let which = agents::crawler(&mut dice);
        let polite = dice.chance(0.4);
        let protocol = Client::protocol(0.3, &mut dice);
        let clients = (0..dice.between(1, 3))
            .map(|_| {
                let network = if dice.chance(0.8) { Network::Hosting } else { Network::Home };
                super::client(actor, addresses::address(network, &mut dice), Some(which.agent.into()), protocol)
            })
            .collect();
        Self {
            clients,
            gap_s: if polite { dice.uniform(5.0, 12.0) } else { dice.log_normal(1.2, 0.7) },
            in_order: dice.uniform(0.2, 1.0),
            robots: if polite { 0.01 } else { 0.0 },
            renders: 0.0,
            at: dice.below(site.pages.len()),
            left: Some((dice.log_normal(90.0, 0.7) as usize).clamp(15, 500)),
            first: polite,
            dice,
        }
    }

    fn client(&mut self) -> Option<Client> {
        self.clients.get(self.dice.below(self.clients.len())).cloned()
    }

    fn read_robots(&mut self, client: &Client, now: Micros, scene: &mut Scene<'_>) {
        let robots: Arc<str> = "/robots.txt".into();
        client.send(now, Ask::get(&robots), Answer::small(&mut self.dice), scene);
        if self.dice.chance(0.3) {
            let map: Arc<str> = "/sitemap.xml".into();
            let time = now + self.dice.span(2.0, 0.5);
            client.send(time, Ask::get(&map), Answer::list(scene.site, &mut self.dice), scene);
        }
    }

    fn fetch(&mut self, client: &Client, now: Micros, scene: &mut Scene<'_>) {
        let site = scene.site;
        if self.dice.chance(0.03) {
            let Some(path) = site.dead.get(self.dice.below(site.dead.len())) else { return };
            return client.send(now, Ask::get(path), Answer::missing(&mut self.dice), scene);
        }
        let jump = !self.dice.chance(self.in_order);
        self.at = if jump { self.dice.below(site.pages.len()) } else { (self.at + 1) % site.pages.len() };
        let page = site.page(self.at);
        let unchanged = self.dice.chance(0.12);
        let answer = if unchanged { Answer::unchanged(&mut self.dice) } else { Answer::page(page, &mut self.dice) };
        client.send(now, Ask::get(&page.path), answer, scene);
        if self.dice.chance(self.renders) {
            self.render(client, page.url.clone(), now, scene);
        }
    }

    fn render(&mut self, client: &Client, from: Arc<str>, now: Micros, scene: &mut Scene<'_>) {
        let mut time = now + self.dice.span(1.5, 0.5);
        for asset in scene.site.shared.iter().take(5) {
            client.send(
                time,
                Ask::get(&asset.path).from(Some(from.clone())),
                Answer::asset(asset, &mut self.dice),
                scene,
            );
            time += self.dice.millis_between(5, 120);
        }
    }
}

impl Behaviour for Crawler {
    fn act(&mut self, now: Micros, scene: &mut Scene<'_>) -> Option<Micros> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(1)?;
        }
        let client = self.client()?;
        if std::mem::take(&mut self.first) || self.dice.chance(self.robots) {
            self.read_robots(&client, now, scene);
        } else {
            self.fetch(&client, now, scene);
        }
        Some(now + self.dice.span(self.gap_s, 0.5))
    }
}
