//! Brings actors into the world: residents at its beginning, visitors as time goes by.

use fyke_types::Micros;

use crate::actors;
use crate::client::{Behaviour, Scene};
use crate::dice::Dice;
use crate::mix::Presence;
use crate::request::{ActorId, Kind};
use crate::site::Site;

/// Visitors come this long before the world begins, so that it begins in full swing.
pub(crate) const WARM_UP: Micros = 25 * 60_000_000;

/// The most that a site's rhythm reaches: arrivals are drawn at this rate, then thinned.
const RHYTHM_MAX: f64 = 2.0;

/// What spawning needs to know of the world.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ground {
    pub(crate) seed: u64,
    pub(crate) start: Micros,
    pub(crate) ipv6_share: f64,
}

/// Visitors of one kind on one site.
struct Spawner {
    ground: Ground,
    kind: Kind,
    /// Mean time between arrivals at the rhythm's peak.
    mean_s: f64,
    keeps_hours: bool,
    born: u32,
    dice: Dice,
}

/// Everybody of `kind` on `site`, with the moment when each first acts.
pub(crate) fn populate(
    ground: Ground,
    site: &Site,
    kind: Kind,
    presence: Presence,
    per_minute: f64,
) -> Vec<(Micros, Box<dyn Behaviour>)> {
    if per_minute <= 0.0 {
        return Vec::new();
    }
    let mut dice = Dice::for_name(ground.seed, &[u64::from(site.number), kind as u64, 0x5aa0]);
    match presence {
        Presence::Visits { requests } => {
            let keeps_hours = matches!(kind, Kind::Browser | Kind::MobileApp);
            let mean_s = 60.0 * requests / per_minute / if keeps_hours { RHYTHM_MAX } else { 1.0 };
            let first = ground.start - WARM_UP + dice.wait(mean_s);
            vec![(first, Box::new(Spawner { ground, kind, mean_s, keeps_hours, born: 0, dice }))]
        }
        Presence::Stays { per_minute: each } => {
            let number = residents(kind, per_minute / each, &mut dice);
            (0..number)
                .map(|number| (ground.start - dice.millis_between(1, 900_000), ground.born(kind, number, site)))
                .collect()
        }
    }
}

/// A whole number with this mean; small automated classes are present everywhere.
fn residents(kind: Kind, expected: f64, dice: &mut Dice) -> u32 {
    let number = expected as u32 + u32::from(dice.chance(expected - expected.floor()));
    let least = u32::from(matches!(kind, Kind::Crawler | Kind::Monitor | Kind::FeedReader));
    number.max(least)
}

impl Ground {
    fn born(&self, kind: Kind, number: u32, site: &Site) -> Box<dyn Behaviour> {
        let dice = Dice::for_name(self.seed, &[u64::from(site.number), kind as u64, u64::from(number)]);
        actors::build(ActorId { customer: site.number, kind, number }, site, self.ipv6_share, dice)
    }
}

impl Behaviour for Spawner {
    fn act(&mut self, now: Micros, scene: &mut Scene<'_>) -> Option<Micros> {
        if !self.keeps_hours || self.dice.chance(scene.site.rhythm(now) / RHYTHM_MAX) {
            scene.arrivals.push((now, self.ground.born(self.kind, self.born, scene.site)));
            self.born += 1;
        }
        Some(now + self.dice.wait(self.mean_s))
    }
}
