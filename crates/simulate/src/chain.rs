//! The input of the chained benchmark: four customers' JSON logs with a fixed number of lines and of open groups.
//!
//! Who is behind a line does not matter here, only the shape: about 300 bytes a line, four customers as 5 : 3 : 1 : 2,
//! and about 255 clients (address and agent) a minute that share about 3,660 lines. Each customer is generated from a
//! stream of its own, so customers are written in parallel and the bytes don't depend on it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fyke_types::Micros;

use crate::agents;
use crate::client::Answer;
use crate::dice::{Dice, mix};
use crate::request::{ActorId, Kind, Label, Request};
use crate::site::{Site, SiteKind};
use crate::write::write_json;

const START: Micros = 1_772_438_400_000_000;
const MINUTE: Micros = 60_000_000;
/// Lines a minute over all customers.
const LINES_PER_MINUTE: f64 = 3_660.0;
/// Clients that are present at a time over all customers; measured so that 1 M lines make about 70,000 groups.
const CLIENTS: f64 = 246.0;
/// Lines are out of order by less than 10 s.
const DELAY_MS: usize = 9_500;
/// The customers in the order of their numbers, and their shares.
const CUSTOMERS: [(SiteKind, u64); 4] =
    [(SiteKind::Shop, 5), (SiteKind::News, 3), (SiteKind::Bank, 1), (SiteKind::Travel, 2)];

/// What a chain input is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct ChainSettings {
    /// Of all randomness.
    pub seed: u64,
    /// Lines at `duration` 1. Default: 1,000,000, which span about 4.5 hours.
    pub lines: u64,
    /// Factor on the number of clients present at a time, thus on open groups; the lines a minute stay, so each client
    /// asks for less. Default: 1.
    pub clients: f64,
    /// Factor on the minutes, and so on the lines: the rate and the number of open groups stay. Default: 1.
    pub duration: u64,
}

impl Default for ChainSettings {
    fn default() -> Self {
        Self { seed: 1, lines: 1_000_000, clients: 1.0, duration: 1 }
    }
}

/// One customer's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerStats {
    /// Where it was written.
    pub path: PathBuf,
    /// Its lines.
    pub lines: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Distinct (minute, address, agent).
    pub groups: u64,
    /// The earliest event time.
    pub first: Micros,
    /// The latest event time.
    pub last: Micros,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainStats {
    /// Lines of all files.
    pub lines: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Distinct (minute, customer, address, agent): the rows that the chained job must give.
    pub groups: u64,
    /// Each file.
    pub customers: Vec<CustomerStats>,
}

/// Writes `lines` lines into `dir`: `shop-alpha.json`, `news-beta.json`, `bank-gamma.json`, `travel-delta.json`.
///
/// # Errors
/// When a file can't be written.
pub fn write_chain(dir: &Path, lines: u64, seed: u64) -> io::Result<ChainStats> {
    write_chain_with(dir, &ChainSettings { lines, seed, ..ChainSettings::default() })
}

/// [`write_chain`] with factors.
///
/// # Errors
/// When a file can't be written.
pub fn write_chain_with(dir: &Path, settings: &ChainSettings) -> io::Result<ChainStats> {
    std::fs::create_dir_all(dir)?;
    let total = settings.lines.saturating_mul(settings.duration.max(1));
    let shares: u64 = CUSTOMERS.iter().map(|(_, share)| share).sum();
    let written: Vec<io::Result<CustomerStats>> = std::thread::scope(|scope| {
        let mut before = 0;
        let mut started = Vec::new();
        for (number, (kind, share)) in (0u16..).zip(CUSTOMERS) {
            // cumulated shares, so that the lines add up to the total
            let (from, to) = (part(total, before, shares), part(total, before + share, shares));
            before += share;
            let fraction = share as f64 / shares as f64;
            started.push(scope.spawn(move || {
                let site = Site::of_kind(settings.seed, number, kind);
                let path = dir.join(format!("{}.json", site.name));
                Traffic::new(site, fraction, settings).write(path, to - from)
            }));
        }
        started
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(io::Error::other("a writer failed"))))
            .collect()
    });
    let customers = written.into_iter().collect::<io::Result<Vec<_>>>()?;
    Ok(ChainStats {
        lines: customers.iter().map(|customer| customer.lines).sum(),
        bytes: customers.iter().map(|customer| customer.bytes).sum(),
        groups: customers.iter().map(|customer| customer.groups).sum(),
        customers,
    })
}

fn part(total: u64, share: u64, shares: u64) -> u64 {
    (u128::from(total) * u128::from(share) / u128::from(shares)) as u64
}

/// A client that is present.
struct Present {
    ip: Arc<str>,
    agent: Arc<str>,
    gap_s: f64,
    leaves: Micros,
    /// The last minute in which it asked.
    minute: i64,
    /// The page that it came from.
    from: Option<Arc<str>>,
}

/// One customer's lines.
struct Traffic {
    site: Site,
    dice: Dice,
    clients: Vec<Present>,
    turns: BinaryHeap<Reverse<(Micros, usize)>>,
    mean_gap_s: f64,
    born: u64,
    groups: u64,
}

impl Traffic {
    fn new(site: Site, fraction: f64, settings: &ChainSettings) -> Self {
        let factor = if settings.clients.is_finite() { settings.clients.max(0.01) } else { 1.0 };
        let number = ((CLIENTS * fraction * factor) as usize).max(1);
        let mut traffic = Self {
            dice: Dice::for_name(settings.seed, &[u64::from(site.number), 0xc4a1]),
            site,
            clients: Vec::with_capacity(number),
            turns: BinaryHeap::with_capacity(number),
            mean_gap_s: 60.0 * number as f64 / (LINES_PER_MINUTE * fraction),
            born: 0,
            groups: 0,
        };
        for slot in 0..number {
            let arrived = traffic.arrival(START);
            traffic.clients.push(arrived);
            let first = START + traffic.dice.wait(traffic.mean_gap_s);
            traffic.turns.push(Reverse((first, slot)));
        }
        traffic
    }

    /// A new client: its address never comes again, so groups can be counted without remembering them.
    fn arrival(&mut self, now: Micros) -> Present {
        self.born += 1;
        let [_, a, b, c] = (self.born as u32).wrapping_mul(0x9e_3779).to_be_bytes();
        let first = [81u8, 24, 73, 90][(mix(self.born) % 4) as usize];
        let dice = &mut self.dice;
        let agent = match dice.weighted(&[0.32, 0.3, 0.38]) {
            0 => agents::desktop(dice),
            1 => agents::mobile(dice),
            _ => agents::library(dice),
        };
        // gaps differ between clients, within bounds: their rates add up to the customer's
        let gap_s = self.mean_gap_s * [0.6, 0.8, 1.0, 1.2, 1.6, 2.6][dice.below(6)] * 0.905;
        Present {
            ip: format!("{first}.{a}.{b}.{c}").into(),
            agent,
            gap_s,
            leaves: now + dice.wait(420.0),
            minute: i64::MIN,
            from: None,
        }
    }

    /// The next line in the order of event time.
    fn next(&mut self) -> Option<Request> {
        let Reverse((now, slot)) = self.turns.pop()?;
        if self.clients.get(slot)?.leaves < now {
            let arrived = self.arrival(now);
            *self.clients.get_mut(slot)? = arrived;
        }
        let client = self.clients.get_mut(slot)?;
        let minute = now.div_euclid(MINUTE);
        if client.minute != minute {
            client.minute = minute;
            self.groups += 1;
        }
        self.turns.push(Reverse((now + self.dice.wait(client.gap_s), slot)));
        Some(ask(&self.site, client, now, &mut self.dice))
    }

    fn write(mut self, path: PathBuf, lines: u64) -> io::Result<CustomerStats> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&path)?);
        let mut stats = CustomerStats { path, lines: 0, bytes: 0, groups: 0, first: Micros::MAX, last: Micros::MIN };
        let mut waiting: BinaryHeap<Reverse<Delayed>> = BinaryHeap::new();
        let mut text = Vec::with_capacity(1024);
        for number in 0..lines {
            let Some(request) = self.next() else { break };
            stats.first = stats.first.min(request.time);
            stats.last = stats.last.max(request.time);
            let now = request.time;
            // nine in ten lines come at once
            let delay = if self.dice.chance(0.9) { 0 } else { self.dice.millis_between(0, DELAY_MS) };
            text.clear();
            write_json(&mut text, &request);
            stats.lines += 1;
            stats.bytes += text.len() as u64;
            waiting.push(Reverse((now + delay, number, text.as_slice().into())));
            while let Some(Reverse((arrival, ..))) = waiting.peek() {
                if *arrival > now {
                    break;
                }
                let Some(Reverse((.., line))) = waiting.pop() else { break };
                out.write_all(&line)?;
            }
        }
        while let Some(Reverse((.., line))) = waiting.pop() {
            out.write_all(&line)?;
        }
        out.flush()?;
        stats.groups = self.groups;
        Ok(stats)
    }
}

/// When a line reaches the log, its number, and its text.
type Delayed = (Micros, u64, Box<[u8]>);

/// What a client asks for at `time`.
fn ask(site: &Site, client: &mut Present, time: Micros, dice: &mut Dice) -> Request {
    let page = site.page(site.popular_item(dice));
    let (method, path, query, answer) = match dice.weighted(&[0.42, 0.36, 0.08, 0.06, 0.05, 0.03]) {
        0 => ("GET", page.path.clone(), None, Answer::page(page, dice)),
        1 => match page.images.get(dice.below(page.images.len())).or(site.shared.first()) {
            Some(asset) => ("GET", asset.path.clone(), None, Answer::asset(asset, dice)),
            None => ("GET", page.path.clone(), None, Answer::page(page, dice)),
        },
        2 => {
            let term = site.terms.get(dice.below(site.terms.len())).cloned();
            ("GET", site.search.clone(), term, Answer::found(dice))
        }
        3 => ("POST", site.beacon.clone(), None, Answer::accepted(dice)),
        4 => {
            let right = dice.chance(0.6);
            ("POST", site.login.clone(), None, if right { Answer::redirect(dice) } else { Answer::refused(dice) })
        }
        _ => ("GET", page.path.clone(), Some("utm_source=letter&ref=gone".into()), Answer::missing(dice)),
    };
    let referrer = client.from.replace(page.url.clone()).filter(|_| dice.chance(0.1));
    Request {
        time,
        customer: site.name.clone(),
        host: site.host.clone(),
        client_ip: client.ip.clone(),
        user: None,
        method,
        path,
        query,
        protocol: "HTTP/2.0",
        status: answer.status,
        bytes: answer.bytes,
        referrer,
        agent: Some(client.agent.clone()),
        duration: answer.duration,
        label: Label::Human,
        actor: ActorId { customer: site.number, kind: Kind::Browser, number: 0 },
    }
}
