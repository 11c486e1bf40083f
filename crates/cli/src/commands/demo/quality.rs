//! The verdicts against the truth, beside a plain rate limit's.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use fyke::learn::metrics::Confusion;
use fyke_simulate::{ClientLabel, Kind, LabelTable};

use super::rate_limit::{RateLimit, WRONGLY_LIMITED_MAX};
use crate::commands::watch::board::{Board, SortBy};
use crate::terminal::{Table, count};

/// Classes that say: a program.
const PROGRAMS: [&str; 3] = ["bot", "declared_bot", "verified_bot"];

/// Both detectors on the judged world. A client is an address and an agent at a customer.
#[derive(Debug, Default)]
pub struct Quality {
    threshold: f64,
    best: f64,
    /// On the kinds that training has seen.
    seen: Both,
    /// People, and the kind that it has not.
    unseen: Both,
    /// By kind: clients, called a program by us, by the limit.
    kinds: BTreeMap<&'static str, (u64, u64, u64)>,
}

#[derive(Debug, Default)]
struct Both {
    ours: Counts,
    limit: Counts,
    best_limit: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    scores: Vec<f64>,
    labels: Vec<bool>,
}

impl Counts {
    fn add(&mut self, called: bool, bot: bool) {
        self.scores.push(f64::from(u8::from(called)));
        self.labels.push(bot);
    }

    fn confusion(&self) -> Confusion {
        Confusion::at(&self.scores, &self.labels, 0.5)
    }
}

impl Quality {
    /// Compares.
    pub fn of(board: &Board, labels: &LabelTable, limit: &RateLimit) -> Self {
        let verdicts: HashMap<(String, String, String), bool> = board
            .sorted(SortBy::Score)
            .into_iter()
            .map(|shown| shown.verdict)
            .map(|v| ((v.customer, v.client_ip, v.agent), PROGRAMS.contains(&v.class.as_str())))
            .collect();
        let mut quality = Self { threshold: limit.threshold, best: limit.best, ..Self::default() };
        for client in labels.clients() {
            let key = (client.customer.to_string(), client.client_ip.to_string(), client.agent.to_string());
            let ours = verdicts.get(&key).copied().unwrap_or(false);
            quality.add(&client, ours, limit.call(&client.customer, &client.client_ip));
        }
        quality
    }

    fn add(&mut self, client: &ClientLabel, ours: bool, (limit, best_limit): (bool, bool)) {
        let kind = self.kinds.entry(client.kind.name()).or_default();
        kind.0 += 1;
        kind.1 += u64::from(ours);
        kind.2 += u64::from(limit);
        let unseen = client.kind == Kind::PriceWatcher;
        // people belong to both comparisons: they are what must not be called bots
        for (both, counts) in [(&mut self.seen, !unseen), (&mut self.unseen, unseen || !client.bot)] {
            if counts {
                both.ours.add(ours, client.bot);
                both.limit.add(limit, client.bot);
                both.best_limit.add(best_limit, client.bot);
            }
        }
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds = Table::new([
            ("kind of client", false),
            ("clients", true),
            ("called a program", true),
            ("by a rate limit", true),
        ]);
        let rows: Vec<Vec<String>> = self
            .kinds
            .iter()
            .map(|(kind, (clients, ours, limit))| {
                let share = |part: u64| format!("{:.1} %", 100.0 * part as f64 / (*clients).max(1) as f64);
                vec![(*kind).to_owned(), count(*clients), share(*ours), share(*limit)]
            })
            .collect();
        writeln!(f, "{}", kinds.rows(&rows))?;
        let mut table = Table::new([("", false), ("precision", true), ("recall", true), ("F1", true)]);
        let wronged = 100.0 * WRONGLY_LIMITED_MAX;
        let limit = format!("a limit of {} a minute, which wrongs {wronged:.0} %", count(self.threshold as u64));
        let best = format!("a limit of {} a minute, the best F1", count(self.best as u64));
        let rows = [
            ("fyke, another seed".to_owned(), &self.seen.ours),
            (limit.clone(), &self.seen.limit),
            (best.clone(), &self.seen.best_limit),
            ("fyke, a kind never seen".to_owned(), &self.unseen.ours),
            (limit, &self.unseen.limit),
            (best, &self.unseen.best_limit),
        ];
        writeln!(f, "{}", table.rows(&rows.map(|(name, counts)| numbers(name, &counts.confusion()))))
    }
}

fn numbers(name: String, counts: &Confusion) -> Vec<String> {
    let text = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.3}"));
    vec![name, text(counts.precision()), text(counts.recall()), text(counts.f1())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_precision_recall_and_f1() {
        let mut counts = Counts::default();
        for (called, bot) in [(true, true), (true, false), (false, true), (true, true), (false, false)] {
            counts.add(called, bot);
        }
        let two_thirds = "0.667";
        assert_eq!(numbers("x".into(), &counts.confusion()), ["x", two_thirds, two_thirds, two_thirds]);
        assert_eq!(numbers("x".into(), &Counts::default().confusion())[1], "–");
    }
}
