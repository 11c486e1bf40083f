//! A person with the site's mobile application: calls to the API, no pages, no referrers.

use std::sync::Arc;

use fyke_types::Micros;

use crate::addresses::{self, Network};
use crate::agents;
use crate::client::{Answer, Ask, Behaviour, Client, Scene};
use crate::dice::Dice;
use crate::request::ActorId;
use crate::site::Site;

pub(super) struct App {
    client: Client,
    dice: Dice,
    screens_left: usize,
    started: bool,
    think_s: f64,
}

impl App {
    pub(super) fn new(actor: ActorId, site: &Site, mut dice: Dice) -> Self {
        let network = if dice.chance(0.5) { Network::Mobile } else { Network::Home };
        let ip = addresses::address(network, &mut dice);
        let agent = agents::application(&site.name, &mut dice);
        let mut client = super::client(actor, ip, Some(agent), Client::protocol(0.92, &mut dice));
        if site.logs_user {
            client.user = Some(format!("u{:06}", dice.below(400_000)).into());
        }
        let screens_left = (dice.log_normal(7.0, 0.7) as usize).clamp(1, 60);
        let think_s = dice.log_normal(7.0, 0.5);
        Self { client, screens_left, started: false, think_s, dice }
    }

    fn call(&mut self, time: Micros, ask: Ask<'_>, scene: &mut Scene<'_>) {
        let answer = Answer::api(&mut self.dice);
        self.client.send(time, ask, answer, scene);
    }

    /// The token may have expired: one refusal, then a new session.
    fn start(&mut self, now: Micros, scene: &mut Scene<'_>) {
        let Some(session) = scene.site.api.first() else { return };
        if self.dice.chance(0.2) {
            let refused = Answer::refused(&mut self.dice);
            self.client.send(now, Ask::get(session), refused, scene);
        }
        let answered = now + self.dice.millis_between(150, 600);
        self.call(answered, Ask::post(session), scene);
    }

    fn screen(&mut self, now: Micros, scene: &mut Scene<'_>) -> Micros {
        let mut time = now;
        for _ in 0..self.dice.between(1, 4) {
            let endpoint = 1 + self.dice.below(scene.site.api.len().saturating_sub(1));
            let Some(path) = scene.site.api.get(endpoint) else { return time };
            let query: Arc<str> = format!("page={}&size=20", self.dice.between(1, 5)).into();
            self.call(time, Ask::get(path).query(Some(query)), scene);
            time += self.dice.millis_between(5, 400);
        }
        if self.dice.chance(0.3) {
            let answer = Answer::accepted(&mut self.dice);
            self.client.send(time, Ask::post(&scene.site.beacon), answer, scene);
        }
        time
    }
}

impl Behaviour for App {
    fn act(&mut self, now: Micros, scene: &mut Scene<'_>) -> Option<Micros> {
        self.screens_left = self.screens_left.checked_sub(1)?;
        let mut time = now;
        if !self.started {
            self.started = true;
            self.start(now, scene);
            time += self.dice.millis_between(700, 1_500);
        }
        let done = self.screen(time, scene);
        Some(done + self.dice.span(self.think_s, 0.8))
    }
}
