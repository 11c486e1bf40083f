//! One client on one site: what it sends becomes requests, and the site's server decides the answer.
//!
//! Status, size and duration depend on what is asked, never on who asks: no class is given away by its answers.

use std::sync::Arc;

use fyke_types::Micros;

use crate::dice::{Dice, millis};
use crate::request::{ActorId, Request};
use crate::site::{Asset, Page, Site};

/// What an actor acts on: the site, the requests that it sends, the actors that it brings along.
pub(crate) struct Scene<'a> {
    pub(crate) site: &'a Site,
    pub(crate) sent: &'a mut Vec<Request>,
    pub(crate) arrivals: &'a mut Vec<(Micros, Box<dyn Behaviour>)>,
}

/// Something that acts, says when it will act again, and is gone when it doesn't.
pub(crate) trait Behaviour: Send {
    /// Acts at `now`; nothing that it sends is earlier. The next moment is later than `now`.
    fn act(&mut self, now: Micros, scene: &mut Scene<'_>) -> Option<Micros>;
}

/// Who sends.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) actor: ActorId,
    pub(crate) ip: Arc<str>,
    pub(crate) agent: Option<Arc<str>>,
    pub(crate) protocol: &'static str,
    pub(crate) user: Option<Arc<str>>,
}

/// What is sent.
pub(crate) struct Ask<'a> {
    pub(crate) method: &'static str,
    pub(crate) path: &'a Arc<str>,
    pub(crate) query: Option<Arc<str>>,
    pub(crate) referrer: Option<Arc<str>>,
}

impl<'a> Ask<'a> {
    pub(crate) fn get(path: &'a Arc<str>) -> Self {
        Self { method: "GET", path, query: None, referrer: None }
    }

    pub(crate) fn post(path: &'a Arc<str>) -> Self {
        Self { method: "POST", path, query: None, referrer: None }
    }

    pub(crate) fn query(mut self, query: Option<Arc<str>>) -> Self {
        self.query = query;
        self
    }

    pub(crate) fn from(mut self, referrer: Option<Arc<str>>) -> Self {
        self.referrer = referrer;
        self
    }
}

/// What the server answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    pub(crate) duration: Micros,
}

impl Answer {
    fn new(status: u16, bytes: f64, median_s: f64, dice: &mut Dice) -> Self {
        Self { status, bytes: bytes as u64, duration: millis(dice.log_normal(median_s, 0.6)) }
    }

    /// Servers fail now and then, whoever asks.
    fn or_failure(self, dice: &mut Dice) -> Self {
        if !dice.chance(0.003) {
            return self;
        }
        let status = [500, 502, 503][dice.below(3)];
        Self { status, bytes: 560, duration: self.duration * 3 }
    }

    pub(crate) fn page(page: &Page, dice: &mut Dice) -> Self {
        Self::new(200, page.bytes as f64 * dice.uniform(0.97, 1.03), 0.07, dice).or_failure(dice)
    }

    pub(crate) fn asset(asset: &Asset, dice: &mut Dice) -> Self {
        if dice.chance(0.002) {
            return Self::missing(dice);
        }
        Self::new(200, asset.bytes as f64, 0.004, dice)
    }

    pub(crate) fn unchanged(dice: &mut Dice) -> Self {
        Self::new(304, 0.0, 0.003, dice)
    }

    pub(crate) fn found(dice: &mut Dice) -> Self {
        let bytes = dice.uniform(9_000.0, 31_000.0);
        Self::new(200, bytes, 0.16, dice).or_failure(dice)
    }

    pub(crate) fn api(dice: &mut Dice) -> Self {
        let bytes = dice.log_normal(2_400.0, 0.9);
        Self::new(200, bytes, 0.03, dice).or_failure(dice)
    }

    pub(crate) fn accepted(dice: &mut Dice) -> Self {
        Self::new(204, 0.0, 0.006, dice)
    }

    pub(crate) fn form(dice: &mut Dice) -> Self {
        Self::new(200, 6_200.0, 0.03, dice)
    }

    pub(crate) fn redirect(dice: &mut Dice) -> Self {
        Self::new(302, 0.0, 0.18, dice)
    }

    pub(crate) fn refused(dice: &mut Dice) -> Self {
        Self::new(401, 1_480.0, 0.22, dice)
    }

    pub(crate) fn throttled(dice: &mut Dice) -> Self {
        Self::new(429, 162.0, 0.002, dice)
    }

    pub(crate) fn forbidden(dice: &mut Dice) -> Self {
        Self::new(403, 548.0, 0.002, dice)
    }

    pub(crate) fn missing(dice: &mut Dice) -> Self {
        Self::new(404, 4_310.0, 0.012, dice)
    }

    pub(crate) fn bad(dice: &mut Dice) -> Self {
        let status = if dice.chance(0.5) { 400 } else { 405 };
        Self::new(status, 157.0, 0.001, dice)
    }

    pub(crate) fn small(dice: &mut Dice) -> Self {
        Self::new(200, 412.0, 0.002, dice)
    }

    pub(crate) fn list(site: &Site, dice: &mut Dice) -> Self {
        Self::new(200, 90.0 * site.pages.len() as f64, 0.05, dice)
    }
}

impl Client {
    /// `HTTP/2.0` for a share of clients, else `HTTP/1.1`.
    pub(crate) fn protocol(share_of_2: f64, dice: &mut Dice) -> &'static str {
        if dice.chance(share_of_2) { "HTTP/2.0" } else { "HTTP/1.1" }
    }

    /// Sends one request.
    pub(crate) fn send(&self, time: Micros, ask: Ask<'_>, answer: Answer, scene: &mut Scene<'_>) {
        let site = scene.site;
        scene.sent.push(Request {
            time,
            customer: site.name.clone(),
            host: site.host.clone(),
            client_ip: self.ip.clone(),
            user: self.user.clone(),
            method: ask.method,
            path: ask.path.clone(),
            query: ask.query,
            protocol: self.protocol,
            status: answer.status,
            bytes: answer.bytes,
            referrer: ask.referrer,
            agent: self.agent.clone(),
            duration: answer.duration,
            label: self.actor.kind.label(),
            actor: self.actor,
        });
    }
}
