//! Looks for weaknesses: known paths, odd methods, mostly nothing found.

use std::sync::Arc;

use fyke_types::Micros;

use crate::agents;
use crate::client::{Answer, Ask, Behaviour, Client, Scene};
use crate::dice::Dice;
use crate::request::ActorId;
use crate::words::PROBES;

pub(super) struct Scanner {
    client: Client,
    dice: Dice,
    gap_s: f64,
    left: usize,
}

impl Scanner {
    pub(super) fn new(actor: ActorId, mut dice: Dice) -> Self {
        let mut client = super::posing(actor, 0.35, &mut dice);
        client.agent = agents::probing(&mut dice);
        let left = (dice.log_normal(24.0, 1.0) as usize).clamp(2, 400);
        Self { client, gap_s: dice.log_normal(1.2, 1.0), left, dice }
    }

    fn method(&mut self) -> &'static str {
        match self.dice.weighted(&[0.78, 0.1, 0.07, 0.02, 0.02, 0.01]) {
            0 => "GET",
            1 => "POST",
            2 => "HEAD",
            3 => "OPTIONS",
            4 => "PROPFIND",
            _ => "TRACE",
        }
    }

    fn probe(&mut self, now: Micros, scene: &mut Scene<'_>) {
        let path: Arc<str> = self.dice.pick(PROBES, "/.env").into();
        let injected = self.dice.chance(0.05).then(|| "id=1%27%20OR%20%271%27=%271".into());
        let method = self.method();
        let answer = match method {
            "OPTIONS" | "PROPFIND" | "TRACE" => Answer::bad(&mut self.dice),
            _ => match self.dice.weighted(&[0.87, 0.08, 0.03, 0.02]) {
                0 => Answer::missing(&mut self.dice),
                1 => Answer::forbidden(&mut self.dice),
                2 => Answer::redirect(&mut self.dice),
                _ => Answer::small(&mut self.dice),
            },
        };
        let bytes = if method == "HEAD" { 0 } else { answer.bytes };
        let ask = Ask { method, path: &path, query: injected, referrer: None };
        self.client.send(now, ask, Answer { bytes, ..answer }, scene);
    }
}

impl Behaviour for Scanner {
    fn act(&mut self, now: Micros, scene: &mut Scene<'_>) -> Option<Micros> {
        self.left = self.left.checked_sub(1)?;
        if self.dice.chance(0.15) {
            let page = scene.site.page(self.dice.below(8));
            self.client.send(now, Ask::get(&page.path), Answer::page(page, &mut self.dice), scene);
        } else {
            self.probe(now, scene);
        }
        Some(now + self.dice.span(self.gap_s, 0.6))
    }
}
