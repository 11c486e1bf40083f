//! Verdicts by client, sorted: what the screen and the report show. No drawing here.

use std::collections::BTreeMap;

use super::verdicts::VerdictRow;

/// So many clients are kept; beyond that those that were not seen for longest are forgotten, the harmless ones first.
const CLIENTS_MAX: usize = 50_000;

/// What the table is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortBy {
    /// The gravest first.
    #[default]
    Score,
    /// The busiest first.
    Requests,
    /// The latest first.
    LastSeen,
}

type Key = (String, String, String);

/// All clients.
#[derive(Debug, Default)]
pub struct Board {
    clients: BTreeMap<Key, Client>,
}

/// A client: its visit now, and what is known of those before.
#[derive(Debug)]
struct Client {
    now: VerdictRow,
    /// The gravest of the earlier visits.
    before: Option<VerdictRow>,
    requests_before: u64,
    visits: u64,
}

/// A client as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// Of its gravest visit; `requests` and the times are over all visits.
    pub verdict: VerdictRow,
    /// How many visits.
    pub visits: u64,
}

impl Board {
    /// Takes a verdict: it replaces an earlier one on the same visit.
    pub fn take(&mut self, row: VerdictRow) {
        let key = (row.customer.clone(), row.client_ip.clone(), row.agent.clone());
        match self.clients.get_mut(&key) {
            Some(client) => client.take(row),
            None => drop(self.clients.insert(key, Client { now: row, before: None, requests_before: 0, visits: 1 })),
        }
        // dropping a tenth at a time keeps this rare
        if self.clients.len() > CLIENTS_MAX {
            self.forget(CLIENTS_MAX / 10);
        }
    }

    fn forget(&mut self, count: usize) {
        let worth = |client: &Client| (client.shown().verdict.gravity().0, client.now.last_time);
        let mut order: Vec<(Key, (u8, i64))> = self.clients.iter().map(|(key, c)| (key.clone(), worth(c))).collect();
        order.sort_by_key(|(_, worth)| *worth);
        for (key, _) in order.into_iter().take(count) {
            self.clients.remove(&key);
        }
    }

    /// How many clients.
    pub fn count(&self) -> usize {
        self.clients.len()
    }

    /// The clients in order.
    pub fn sorted(&self, by: SortBy) -> Vec<Shown> {
        let mut shown: Vec<Shown> = self.clients.values().map(Client::shown).collect();
        let gravity = |s: &Shown| s.verdict.gravity();
        shown.sort_by(|a, b| {
            let by_gravity = gravity(b).0.cmp(&gravity(a).0).then(gravity(b).1.total_cmp(&gravity(a).1));
            let by_requests = b.verdict.requests.cmp(&a.verdict.requests);
            match by {
                SortBy::Score => by_gravity.then(by_requests),
                SortBy::Requests => by_requests.then(by_gravity),
                SortBy::LastSeen => b.verdict.last_time.cmp(&a.verdict.last_time).then(by_gravity),
            }
        });
        shown
    }

    /// Clients and requests by class, the gravest class first.
    pub fn classes(&self) -> Vec<(String, u64, u64)> {
        let mut classes: BTreeMap<String, (u8, u64, u64)> = BTreeMap::new();
        for shown in self.clients.values().map(Client::shown) {
            let class = classes.entry(shown.verdict.class.clone()).or_insert((shown.verdict.gravity().0, 0, 0));
            class.1 += 1;
            class.2 += shown.verdict.requests;
        }
        let mut classes: Vec<_> = classes.into_iter().collect();
        classes.sort_by_key(|(_, (gravity, _, _))| std::cmp::Reverse(*gravity));
        classes.into_iter().map(|(class, (_, clients, requests))| (class, clients, requests)).collect()
    }
}

impl Client {
    fn take(&mut self, row: VerdictRow) {
        if row.visit != self.now.visit {
            let ended = std::mem::replace(&mut self.now, row);
            self.requests_before += ended.requests;
            self.visits += 1;
            let graver = self.before.as_ref().is_none_or(|before| before.gravity() < ended.gravity());
            if graver {
                self.before = Some(ended);
            }
            return;
        }
        self.now = row;
    }

    fn shown(&self) -> Shown {
        let gravest = match &self.before {
            Some(before) if before.gravity() > self.now.gravity() => before,
            _ => &self.now,
        };
        let mut verdict = gravest.clone();
        verdict.requests = self.requests_before + self.now.requests;
        verdict.last_time = self.now.last_time.max(gravest.last_time);
        Shown { verdict, visits: self.visits }
    }
}

#[cfg(test)]
pub mod testing {
    use super::*;

    /// A verdict on a visit that began at `visit`.
    pub fn row(client: &str, class: &str, score: f64, requests: u64, visit: i64) -> VerdictRow {
        VerdictRow {
            customer: "shop".into(),
            client_ip: client.into(),
            agent: "agent".into(),
            class: class.into(),
            score,
            reasons: vec![format!("reason of {client}")],
            requests,
            visit,
            first_time: visit,
            last_time: visit + requests as i64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::row;
    use super::*;

    #[test]
    fn later_verdict_on_a_visit_replaces_the_earlier_one() {
        let mut board = Board::default();
        board.take(row("a", "bot", 90.0, 3, 0));
        board.take(row("a", "human", 10.0, 9, 0));
        let shown = board.sorted(SortBy::Score);
        assert_eq!((shown.len(), shown[0].verdict.class.as_str(), shown[0].verdict.requests), (1, "human", 9));
    }

    #[test]
    fn gravest_visit_speaks_for_the_client_and_requests_add_up() {
        let mut board = Board::default();
        board.take(row("a", "human", 5.0, 3, 0));
        board.take(row("a", "bot", 95.0, 50, 100));
        board.take(row("a", "human", 9.0, 2, 500));
        let shown = board.sorted(SortBy::Score);
        assert_eq!((shown[0].verdict.class.as_str(), shown[0].verdict.requests, shown[0].visits), ("bot", 55, 3));
        assert_eq!(shown[0].verdict.last_time, 502);
    }

    #[test]
    fn order_follows_what_was_asked_for() {
        let mut board = Board::default();
        board.take(row("busy", "human", 99.0, 500, 0));
        board.take(row("grave", "bot", 81.0, 3, 10));
        board.take(row("late", "suspect", 60.0, 1, 9_000));
        let first = |by| board.sorted(by)[0].verdict.client_ip.clone();
        assert_eq!([first(SortBy::Score), first(SortBy::Requests), first(SortBy::LastSeen)], ["grave", "busy", "late"]);
        assert_eq!(board.classes(), [("bot".into(), 1, 3), ("suspect".into(), 1, 1), ("human".into(), 1, 500)]);
    }

    #[test]
    fn kept_clients_are_bounded_and_bots_stay() {
        let mut board = Board::default();
        board.take(row("bot", "bot", 90.0, 1, -1));
        for at in 0..=CLIENTS_MAX {
            board.take(row(&at.to_string(), "human", 1.0, 1, at as i64));
        }
        assert!(board.count() <= CLIENTS_MAX);
        assert_eq!(board.sorted(SortBy::Score)[0].verdict.client_ip, "bot");
    }
}
