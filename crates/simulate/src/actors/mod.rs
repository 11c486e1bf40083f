//! The actors, one file each. A new one costs its file and one line in [`build`].

mod app;
mod campaign;
mod crawler;
mod fast_scraper;
mod feed;
mod headless;
mod monitor;
mod office;
mod person;
mod price_watcher;
mod scanner;

use std::sync::Arc;

use crate::addresses::{self, Network};
use crate::client::{Behaviour, Client};
use crate::dice::Dice;
use crate::request::{ActorId, Kind};
use crate::site::Site;

/// An actor of a kind, with a stream of draws of its own.
pub(crate) fn build(actor: ActorId, site: &Site, ipv6_share: f64, mut dice: Dice) -> Box<dyn Behaviour> {
    match actor.kind {
        Kind::Browser => Box::new(person::Person::at_home(actor, site, ipv6_share, dice)),
        Kind::MobileApp => Box::new(app::App::new(actor, site, dice)),
        Kind::Office => Box::new(office::Office::new(actor, dice)),
        Kind::Crawler => Box::new(crawler::Crawler::declared(actor, site, dice)),
        Kind::Impostor => Box::new(crawler::Crawler::impostor(actor, site, dice)),
        Kind::ScraperLibrary => Box::new(fast_scraper::FastScraper::library(actor, site, dice)),
        Kind::ScraperPages => Box::new(fast_scraper::FastScraper::posing(actor, site, dice)),
        Kind::ScraperBrowser => Box::new(headless::Headless::new(actor, dice)),
        Kind::ScraperSlow => Box::new(campaign::SlowScraper::new(actor, &mut dice)),
        Kind::CredentialStuffer => Box::new(campaign::Stuffer::new(actor, &mut dice)),
        Kind::Scanner => Box::new(scanner::Scanner::new(actor, dice)),
        Kind::Monitor => Box::new(monitor::Monitor::new(actor, dice)),
        Kind::FeedReader => Box::new(feed::FeedReader::new(actor, dice)),
        Kind::PriceWatcher => Box::new(price_watcher::PriceWatcher::new(actor, site, dice)),
    }
}

/// Something that poses as a browser: mostly a desktop's agent, from a hosting network or through a home's address.
fn posing(actor: ActorId, home_share: f64, dice: &mut Dice) -> Client {
    let network = if dice.chance(home_share) { Network::Home } else { Network::Hosting };
    Client {
        actor,
        ip: addresses::address(network, dice),
        agent: Some(crate::agents::posed(dice)),
        protocol: Client::protocol(0.6, dice),
        user: None,
    }
}

fn client(actor: ActorId, ip: Arc<str>, agent: Option<Arc<str>>, protocol: &'static str) -> Client {
    Client { actor, ip, agent, protocol, user: None }
}
