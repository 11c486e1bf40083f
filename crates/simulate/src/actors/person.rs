//! A person with a browser: arrives, reads, searches, logs in, opens many tabs, leaves, perhaps comes back.

use std::sync::Arc;

use fyke_types::Micros;

use crate::addresses::{self, Network};
use crate::agents;
use crate::browser::Browser;
use crate::client::{Behaviour, Client, Scene};
use crate::dice::Dice;
use crate::request::ActorId;
use crate::site::Site;
use crate::words;

/// What comes next.
enum Step {
    Arrive,
    Roam,
    Submit { right: bool },
}

pub(super) struct Person {
    browser: Browser,
    dice: Dice,
    step: Step,
    pages_left: usize,
    visits_left: usize,
    /// Median time on a page.
    think_s: f64,
    /// How often several links open at once.
    tabs: f64,
    login: f64,
    here: usize,
}

impl Person {
    pub(super) fn at_home(actor: ActorId, site: &Site, ipv6_share: f64, mut dice: Dice) -> Self {
        let on_phone = dice.chance(0.5);
        let agent = if on_phone { agents::mobile(&mut dice) } else { agents::desktop(&mut dice) };
        // some people surf through a rented server or a company's cloud proxy
        let network = match dice.weighted(&[0.7, if on_phone { 0.6 } else { 0.03 }, 0.07]) {
            0 => Network::Home,
            1 => Network::Mobile,
            _ => Network::Hosting,
        };
        let over_v6 = dice.chance(ipv6_share);
        let ip = if over_v6 { addresses::address_v6(&mut dice) } else { addresses::address(network, &mut dice) };
        Self::new(actor, site, ip, agent, dice)
    }

    pub(super) fn new(actor: ActorId, site: &Site, ip: Arc<str>, agent: Arc<str>, mut dice: Dice) -> Self {
        let client = super::client(actor, ip, Some(agent), Client::protocol(0.9, &mut dice));
        let power = dice.chance(0.04);
        let pages = if power { dice.log_normal(60.0, 0.5) } else { dice.log_normal(4.5, 0.85) };
        let login = if dice.chance(site.kind.login_share()) { 0.5 } else { 0.01 };
        Self {
            browser: Browser::new(client, &mut dice),
            step: Step::Arrive,
            pages_left: (pages as usize).clamp(1, 220),
            visits_left: if dice.chance(0.15) { dice.between(1, 3) } else { 0 },
            think_s: if power { dice.uniform(0.9, 3.0) } else { dice.log_normal(13.0, 0.7) },
            tabs: if dice.chance(0.2) { 0.15 } else { 0.01 },
            login,
            here: 0,
            dice,
        }
    }

    /// Lands on the home page or, from a search engine or a friend, deep inside.
    fn arrive(&mut self, now: Micros, scene: &mut Scene<'_>) -> Micros {
        let (landing, outside, query) = match self.dice.weighted(&[0.3, 0.55, 0.05, 0.1]) {
            0 => (0, None, None),
            1 => (scene.site.popular_item(&mut self.dice), Some(words::outside(&mut self.dice).into()), None),
            2 => (scene.site.section(self.dice.below(64)), Some("https://www.google.com/".into()), None),
            _ => (
                scene.site.popular_item(&mut self.dice),
                None,
                Some("utm_source=newsletter&utm_medium=email&utm_campaign=spring".into()),
            ),
        };
        self.browser.arrive(outside);
        self.here = landing;
        self.step = Step::Roam;
        self.browser.load(landing, query, now, scene, &mut self.dice)
    }

    fn roam(&mut self, now: Micros, scene: &mut Scene<'_>) -> Micros {
        match self.dice.weighted(&[0.8, 0.1, 0.02, self.login, self.tabs]) {
            0 => {
                self.here = self.follow(scene.site);
                self.browser.load(self.here, None, now, scene, &mut self.dice)
            }
            1 => {
                self.browser.search(now, scene, &mut self.dice);
                now
            }
            2 => {
                self.browser.stray(now, scene, &mut self.dice);
                now
            }
            3 => {
                self.login = 0.01;
                self.step = Step::Submit { right: self.dice.chance(0.85) };
                self.browser.open_login(now, scene, &mut self.dice)
            }
            _ => self.open_tabs(now, scene),
        }
    }

    /// The link that is followed from where the person is.
    fn follow(&mut self, site: &Site) -> usize {
        match self.dice.weighted(&[0.46, 0.2, 0.16, 0.12, 0.06]) {
            0 => site.popular_item(&mut self.dice),
            1 => site.section(self.dice.below(64)),
            2 => self.here + self.dice.between(1, 6),
            3 => site.item(self.dice.below(site.items())),
            _ => 0,
        }
    }

    fn open_tabs(&mut self, now: Micros, scene: &mut Scene<'_>) -> Micros {
        let mut time = now;
        for _ in 0..self.dice.between(3, 9) {
            let page = scene.site.popular_item(&mut self.dice);
            self.browser.load(page, None, time, scene, &mut self.dice);
            time += self.dice.span(0.5, 0.6);
        }
        time
    }

    fn submit(&mut self, right: bool, now: Micros, scene: &mut Scene<'_>) -> Micros {
        self.browser.submit_login(right, now, scene, &mut self.dice);
        // most mistype once, a few have forgotten it and go on trying
        self.step = if right { Step::Roam } else { Step::Submit { right: self.dice.chance(0.6) } };
        now
    }

    /// Leaves; the next visit starts with a page from elsewhere.
    fn leave(&mut self, now: Micros) -> Option<Micros> {
        self.visits_left = self.visits_left.checked_sub(1)?;
        self.step = Step::Arrive;
        self.pages_left = self.dice.between(1, 6);
        Some(now + self.dice.span(1_500.0, 0.7))
    }
}

impl Behaviour for Person {
    fn act(&mut self, now: Micros, scene: &mut Scene<'_>) -> Option<Micros> {
        if self.pages_left == 0 {
            return self.leave(now);
        }
        self.pages_left -= 1;
        let done = match self.step {
            Step::Arrive => self.arrive(now, scene),
            Step::Roam => self.roam(now, scene),
            Step::Submit { right } => self.submit(right, now, scene),
        };
        Some(done + self.dice.span(self.think_s, 0.9))
    }
}
