//! Campaigns over many addresses: each address is slow, together they are not.

use std::sync::Arc;

use fyke_types::Micros;

use crate::client::{Answer, Ask, Behaviour, Client, Scene};
use crate::dice::Dice;
use crate::request::ActorId;

/// The addresses that a campaign rents; worn-out ones are replaced.
struct Pool {
    actor: ActorId,
    members: Vec<Member>,
    home_share: f64,
    uses: (usize, usize),
}

struct Member {
    client: Client,
    left: usize,
    referrer: Option<Arc<str>>,
    assets: bool,
}

impl Pool {
    fn new(actor: ActorId, size: usize, home_share: f64, uses: (usize, usize), dice: &mut Dice) -> Self {
        let members = (0..size).map(|_| Member::new(actor, home_share, uses, dice)).collect();
        Self { actor, members, home_share, uses }
    }

    fn next(&mut self, dice: &mut Dice) -> Option<&mut Member> {
        let at = dice.below(self.members.len());
        let member = self.members.get_mut(at)?;
        match member.left.checked_sub(1) {
            Some(left) => member.left = left,
            None => *member = Member::new(self.actor, self.home_share, self.uses, dice),
        }
        Some(member)
    }
}

impl Member {
    fn new(actor: ActorId, home_share: f64, uses: (usize, usize), dice: &mut Dice) -> Self {
        Self {
            client: super::posing(actor, home_share, dice),
            left: dice.between(uses.0, uses.1),
            referrer: dice.chance(0.5).then(|| "https://www.google.com/".into()),
            assets: dice.chance(0.5),
        }
    }
}

/// Copies content through homes' addresses, each of which asks for a page every few minutes.
pub(super) struct SlowScraper {
    pool: Pool,
    dice: Dice,
    gap_s: f64,
    at: usize,
}

impl SlowScraper {
    pub(super) fn new(actor: ActorId, dice: &mut Dice) -> Self {
        let size = dice.between(14, 30);
        let pool = Pool::new(actor, size, 0.85, (12, 30), dice);
        Self { pool, gap_s: dice.uniform(3.5, 6.5), at: dice.below(10_000), dice: Dice::new(dice.bits()) }
    }
}

impl Behaviour for SlowScraper {
    fn act(&mut self, now: Micros, scene: &mut Scene<'_>) -> Option<Micros> {
        let (site, dice) = (scene.site, &mut self.dice);
        let member = self.pool.next(dice)?;
        self.at += dice.between(1, 3);
        let page = site.page(site.item(self.at));
        let ask = Ask::get(&page.path).from(member.referrer.clone());
        member.client.send(now, ask, Answer::page(page, dice), scene);
        if member.assets && dice.chance(0.7) {
            let mut time = now + dice.millis_between(150, 600);
            for image in page.images.iter().take(dice.between(1, 6)) {
                let ask = Ask::get(&image.path).from(Some(page.url.clone()));
                member.client.send(time, ask, Answer::asset(image, dice), scene);
                time += dice.millis_between(0, 90);
            }
        }
        if dice.chance(0.5) {
            member.referrer = Some(page.url.clone());
        }
        Some(now + dice.span(self.gap_s, 0.8))
    }
}

/// Tries stolen names and passwords.
pub(super) struct Stuffer {
    pool: Pool,
    dice: Dice,
    gap_s: f64,
    /// Whether the form is fetched before it is sent.
    opens: f64,
    left: usize,
}

impl Stuffer {
    pub(super) fn new(actor: ActorId, dice: &mut Dice) -> Self {
        let size = dice.between(8, 36);
        let pool = Pool::new(actor, size, 0.6, (8, 22), dice);
        Self {
            pool,
            gap_s: dice.log_normal(1.5, 0.6),
            opens: if dice.chance(0.5) { 0.7 } else { 0.05 },
            left: (dice.log_normal(14.0 * size as f64, 0.4) as usize).clamp(60, 1_500),
            dice: Dice::new(dice.bits()),
        }
    }

    fn answer(dice: &mut Dice) -> Answer {
        match dice.weighted(&[0.93, 0.02, 0.03, 0.02]) {
            0 => Answer::refused(dice),
            1 => Answer::redirect(dice),
            2 => Answer::throttled(dice),
            _ => Answer::forbidden(dice),
        }
    }
}

impl Behaviour for Stuffer {
    fn act(&mut self, now: Micros, scene: &mut Scene<'_>) -> Option<Micros> {
        self.left = self.left.checked_sub(1)?;
        let (site, dice) = (scene.site, &mut self.dice);
        let member = self.pool.next(dice)?;
        let form: Arc<str> = format!("https://{}{}", site.host, site.login).into();
        let mut time = now;
        if dice.chance(self.opens) {
            member.client.send(time, Ask::get(&site.login), Answer::form(dice), scene);
            time += dice.span(1.8, 0.6);
        }
        let ask = Ask::post(&site.login).from(member.assets.then_some(form));
        member.client.send(time, ask, Self::answer(dice), scene);
        let pause = if dice.chance(0.01) { dice.span(40.0, 0.6) } else { 0 };
        Some(now + pause + dice.span(self.gap_s, 0.7))
    }
}
