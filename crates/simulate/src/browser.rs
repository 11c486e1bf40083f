//! A browser on a site: a page brings its assets, some from the cache. People and the better bots share it.

use std::collections::BTreeSet;
use std::sync::Arc;

use fyke_types::Micros;

use crate::client::{Answer, Ask, Client, Scene};
use crate::dice::Dice;

/// A browser's habits and its cache.
pub(crate) struct Browser {
    pub(crate) client: Client,
    /// Share of a page's images that it asks this site for: lazy loading, blockers.
    images: f64,
    /// Whether style sheets and scripts come at all.
    assets: bool,
    /// Whether the shared assets are in the cache.
    warm: bool,
    /// Whether scripts report views.
    reports: bool,
    /// Whether referrers are sent.
    refers: bool,
    seen: BTreeSet<usize>,
    here: Option<Arc<str>>,
}

impl Browser {
    pub(crate) fn new(client: Client, dice: &mut Dice) -> Self {
        let blocker = dice.chance(0.3);
        Self {
            client,
            images: if dice.chance(0.05) { 0.0 } else { dice.uniform(0.3, 1.0) },
            assets: !dice.chance(0.05),
            warm: dice.chance(0.4),
            reports: !blocker && dice.chance(0.8),
            refers: !dice.chance(0.07),
            seen: BTreeSet::new(),
            here: None,
        }
    }

    /// The address in the bar, as it would be sent.
    pub(crate) fn referrer(&self) -> Option<Arc<str>> {
        self.here.clone().filter(|_| self.refers)
    }

    /// Arrives from elsewhere: the next page names `referrer`.
    pub(crate) fn arrive(&mut self, referrer: Option<Arc<str>>) {
        self.here = referrer;
    }

    /// Loads a page with what it needs; says when the last byte was asked for.
    pub(crate) fn load(
        &mut self,
        index: usize,
        query: Option<Arc<str>>,
        now: Micros,
        scene: &mut Scene<'_>,
        dice: &mut Dice,
    ) -> Micros {
        // links past the catalogue's end lead home
        let index = if index < scene.site.pages.len() { index } else { 0 };
        let page = scene.site.page(index);
        let again = !self.seen.insert(index);
        let answer = if again && dice.chance(0.15) { Answer::unchanged(dice) } else { Answer::page(page, dice) };
        self.client.send(now, Ask::get(&page.path).query(query).from(self.referrer()), answer, scene);
        self.here = Some(page.url.clone());
        if answer.status >= 500 {
            return now;
        }
        let mut time = now + answer.duration + dice.millis_between(20, 260);
        time = self.load_shared(time, scene, dice);
        if !again {
            time = self.load_images(index, time, scene, dice);
        }
        if self.reports && dice.chance(0.6) {
            time += dice.millis_between(80, 900);
            let ask = Ask::post(&scene.site.beacon).from(self.referrer());
            self.client.send(time, ask, Answer::accepted(dice), scene);
        }
        time
    }

    fn load_shared(&mut self, start: Micros, scene: &mut Scene<'_>, dice: &mut Dice) -> Micros {
        let mut time = start;
        let check = if self.warm { 0.03 } else { 0.93 };
        for asset in &scene.site.shared {
            if !self.assets || !dice.chance(check) {
                continue;
            }
            time += dice.millis_between(0, 40);
            let answer = if self.warm { Answer::unchanged(dice) } else { Answer::asset(asset, dice) };
            self.client.send(time, Ask::get(&asset.path).from(self.referrer()), answer, scene);
        }
        self.warm = true;
        time
    }

    fn load_images(&mut self, index: usize, start: Micros, scene: &mut Scene<'_>, dice: &mut Dice) -> Micros {
        let mut time = start;
        for image in &scene.site.page(index).images {
            if !dice.chance(self.images) {
                continue;
            }
            // below the fold they come as the reader scrolls
            time += if dice.chance(0.2) { dice.millis_between(300, 2_500) } else { dice.millis_between(0, 60) };
            self.client.send(time, Ask::get(&image.path).from(self.referrer()), Answer::asset(image, dice), scene);
        }
        time
    }

    /// Searches the site.
    pub(crate) fn search(&mut self, now: Micros, scene: &mut Scene<'_>, dice: &mut Dice) {
        let site = scene.site;
        let Some(term) = site.terms.get(dice.below(site.terms.len())) else { return };
        let ask = Ask::get(&site.search).query(Some(term.clone())).from(self.referrer());
        self.client.send(now, ask, Answer::found(dice), scene);
        self.here = Some(format!("https://{}{}?{term}", site.host, site.search).into());
    }

    /// Opens the login form.
    pub(crate) fn open_login(&mut self, now: Micros, scene: &mut Scene<'_>, dice: &mut Dice) -> Micros {
        let site = scene.site;
        self.client.send(now, Ask::get(&site.login).from(self.referrer()), Answer::form(dice), scene);
        self.here = Some(format!("https://{}{}", site.host, site.login).into());
        self.load_shared(now + dice.millis_between(60, 300), scene, dice)
    }

    /// Sends name and password; the account page follows a success.
    pub(crate) fn submit_login(&mut self, right: bool, now: Micros, scene: &mut Scene<'_>, dice: &mut Dice) {
        let site = scene.site;
        let answer = if right { Answer::redirect(dice) } else { Answer::refused(dice) };
        self.client.send(now, Ask::post(&site.login).from(self.referrer()), answer, scene);
        if !right {
            return;
        }
        if site.logs_user {
            self.client.user = Some(format!("u{:06}", dice.below(400_000)).into());
        }
        let time = now + answer.duration + dice.millis_between(30, 200);
        self.client.send(time, Ask::get(&site.account).from(self.referrer()), Answer::found(dice), scene);
        self.here = Some(format!("https://{}{}", site.host, site.account).into());
    }

    /// Follows a link that leads nowhere.
    pub(crate) fn stray(&mut self, now: Micros, scene: &mut Scene<'_>, dice: &mut Dice) {
        let Some(path) = scene.site.dead.get(dice.below(scene.site.dead.len())) else { return };
        self.client.send(now, Ask::get(path).from(self.referrer()), Answer::missing(dice), scene);
    }
}
