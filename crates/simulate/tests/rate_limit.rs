//! The world is no toy: requests per minute and address, at any threshold, are a weak detector.

mod common;

use std::collections::BTreeMap;

use common::world;

/// A client as a log shows it: customer, address, agent.
type Client = (String, String, String);

/// The best F1 over all thresholds of a score, the bots being the positives.
fn best_f1(mut scored: Vec<(u64, bool)>) -> f64 {
    scored.sort_by(|a, b| b.cmp(a));
    let bots = scored.iter().filter(|(_, bot)| *bot).count() as f64;
    let (mut called, mut right, mut best) = (0.0, 0.0, 0.0f64);
    for (index, (score, bot)) in scored.iter().enumerate() {
        called += 1.0;
        right += f64::from(u8::from(*bot));
        // a threshold lies between different scores
        if scored.get(index + 1).is_none_or(|(next, _)| next != score) {
            best = best.max(2.0 * right / (called + bots));
        }
    }
    best
}

#[test]
fn a_plain_rate_limit_is_a_weak_detector() {
    for seed in [1, 2, 3] {
        let mut per_minute: BTreeMap<(String, String), BTreeMap<i64, u64>> = BTreeMap::new();
        let mut clients: BTreeMap<Client, bool> = BTreeMap::new();
        for request in world(|settings| (settings.minutes, settings.seed) = (60, seed)).requests() {
            let (customer, ip) = (request.customer.to_string(), request.client_ip.to_string());
            let minute = request.time / 60_000_000;
            *per_minute.entry((customer.clone(), ip.clone())).or_default().entry(minute).or_default() += 1;
            clients.insert((customer, ip, request.agent.unwrap_or_default().to_string()), request.label.bot());
        }
        let bots = clients.values().filter(|bot| **bot).count();
        let scored: Vec<(u64, bool)> = clients
            .iter()
            .map(|((customer, ip, _), bot)| {
                let minutes = &per_minute[&(customer.clone(), ip.clone())];
                (*minutes.values().max().unwrap(), *bot)
            })
            .collect();
        // a program may also be slow: the other direction counts as well
        let slow: Vec<(u64, bool)> = scored.iter().map(|(rate, bot)| (u64::MAX - rate, *bot)).collect();
        let (fast, slow) = (best_f1(scored), best_f1(slow));
        println!("seed {seed}: {bots} bots of {} clients, best F1 {fast:.3}, upside down {slow:.3}", clients.len());
        assert!(fast < 0.85 && slow < 0.85);
        let share = bots as f64 / clients.len() as f64;
        assert!((0.15..0.6).contains(&share), "{share} of the clients are bots");
    }
}
