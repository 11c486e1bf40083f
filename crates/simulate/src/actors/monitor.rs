//! Checks every minute that one page answers.

use fyke_types::Micros;

use crate::addresses::{self, Network};
use crate::agents;
use crate::client::{Answer, Ask, Behaviour, Client, Scene};
use crate::dice::Dice;
use crate::request::ActorId;

/// How often a monitor asks.
const EVERY: Micros = 60_000_000;

pub(super) struct Monitor {
    client: Client,
    dice: Dice,
    page: usize,
    method: &'static str,
    /// When the check is due; the request follows a little later.
    due: Option<Micros>,
}

impl Monitor {
    pub(super) fn new(actor: ActorId, mut dice: Dice) -> Self {
        let ip = addresses::address(Network::Hosting, &mut dice);
        let client = super::client(actor, ip, Some(agents::uptime(&mut dice)), Client::protocol(0.2, &mut dice));
        let method = if dice.chance(0.3) { "HEAD" } else { "GET" };
        Self { client, page: if dice.chance(0.7) { 0 } else { dice.between(1, 3) }, method, due: None, dice }
    }
}

impl Behaviour for Monitor {
    fn act(&mut self, now: Micros, scene: &mut Scene<'_>) -> Option<Micros> {
        let page = scene.site.page(self.page);
        let mut answer = Answer::page(page, &mut self.dice);
        if self.method == "HEAD" {
            answer.bytes = 0;
        }
        let ask = Ask { method: self.method, path: &page.path, query: None, referrer: None };
        self.client.send(now, ask, answer, scene);
        // drift does not add up: each check is due on the schedule, not after the previous one
        let due = self.due.unwrap_or(now) + EVERY;
        self.due = Some(due);
        Some(due + self.dice.millis_between(0, 400))
    }
}
