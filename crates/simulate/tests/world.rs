//! What a world promises: determinism, order, everybody present, and no truth in the lines.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use common::{hash, lines, world};
use fyke_simulate::{Kind, Label, LabelTable, LogFormat, Mix, Request, World, WorldSettings, export, write_combined};

#[test]
fn same_seed_gives_the_same_bytes_and_another_seed_does_not() {
    let first = hash(&lines(&world(|_| ())));
    assert_eq!(first, hash(&lines(&world(|_| ()))));
    assert_ne!(first, hash(&lines(&world(|settings| settings.seed = 2))));
}

#[test]
fn bytes_of_a_known_seed_never_change_by_accident() {
    // a change of behaviour changes this number on purpose: models and reports made before are not comparable
    assert_eq!(hash(&lines(&world(|settings| settings.minutes = 5))), 7_024_052_225_806_999_695);
}

#[test]
fn worlds_made_on_different_threads_are_equal() {
    let here = hash(&lines(&world(|_| ())));
    let there: Vec<_> = (0..3).map(|_| std::thread::spawn(|| hash(&lines(&world(|_| ()))))).collect();
    assert!(there.into_iter().all(|thread| thread.join().unwrap() == here));
    let mut half = world(|_| ()).requests();
    half.by_ref().take(1_000).for_each(drop);
    assert!(std::thread::spawn(move || half.next()).join().unwrap().is_some(), "a stream may move between threads");
}

#[test]
fn lines_are_out_of_order_by_no_more_than_the_disorder() {
    for disorder_ms in [0u32, 700, 5_000] {
        let mut latest: BTreeMap<String, i64> = BTreeMap::new();
        let mut worst = 0;
        for request in world(|settings| settings.disorder_ms = disorder_ms).requests() {
            let latest = latest.entry(request.customer.to_string()).or_insert(i64::MIN);
            worst = worst.max(latest.saturating_sub(request.time));
            *latest = (*latest).max(request.time);
        }
        assert!(worst <= i64::from(disorder_ms) * 1_000, "{worst} µs at {disorder_ms} ms");
        assert_eq!(worst > 0, disorder_ms > 0);
    }
}

#[test]
fn disorder_changes_the_order_alone() {
    let sorted = |disorder_ms| {
        let world = world(|settings| settings.disorder_ms = disorder_ms);
        let mut requests: Vec<String> = world.requests().map(|request| format!("{request:?}")).collect();
        requests.sort();
        requests
    };
    assert_eq!(sorted(0), sorted(3_000));
}

#[test]
fn times_are_whole_milliseconds_inside_the_span() {
    let world = world(|_| ());
    let start = world.settings().start;
    for request in world.requests() {
        assert_eq!((request.time % 1_000, request.duration % 1_000), (0, 0));
        assert!((start..start + 20 * 60_000_000).contains(&request.time) && request.duration > 0);
    }
}

#[test]
fn every_class_and_kind_is_there_and_the_unseen_one_only_on_request() {
    let kinds = |unseen_kind| -> BTreeSet<Kind> {
        world(|settings| settings.unseen_kind = unseen_kind).requests().map(|request| request.actor.kind).collect()
    };
    let mut usual = kinds(false);
    assert!(!usual.contains(&Kind::PriceWatcher));
    usual.insert(Kind::PriceWatcher);
    assert_eq!(usual, Kind::ALL.into_iter().collect());
    assert_eq!(kinds(true), usual);
    let labels: BTreeSet<Label> = usual.iter().map(|kind| kind.label()).collect();
    assert_eq!(labels, Label::ALL.into_iter().collect());
}

#[test]
fn the_unseen_kind_comes_on_top_and_changes_nobody_else() {
    let without: Vec<Request> = world(|_| ()).requests().collect();
    let with = world(|settings| settings.unseen_kind = true).requests();
    let others: Vec<Request> = with.filter(|request| request.label != Label::PriceWatcher).collect();
    assert!(without == others);
}

#[test]
fn classes_keep_their_shares() {
    let world = world(|settings| (settings.minutes, settings.unseen_kind) = (120, true));
    let mut counts: BTreeMap<Kind, f64> = BTreeMap::new();
    let mut clients: BTreeMap<Kind, BTreeSet<(String, String)>> = BTreeMap::new();
    for request in world.requests() {
        *counts.entry(request.actor.kind).or_default() += 1.0;
        let agent = request.agent.as_deref().unwrap_or_default().to_owned();
        clients.entry(request.actor.kind).or_default().insert((request.client_ip.to_string(), agent));
    }
    let total: f64 = counts.values().sum();
    for (kind, count) in &counts {
        println!("{:<20} {:>8} {:.3} {:>6} clients", kind.name(), count, count / total, clients[kind].len());
    }
    println!("{:.0} a minute", total / 120.0);
    let share = |kinds: &[Kind]| kinds.iter().map(|kind| counts[kind]).sum::<f64>() / total;
    let mix = Mix::default();
    let near = |share: f64, wanted: f64| (0.6..1.6).contains(&(share / wanted));
    assert!(near(share(&[Kind::Browser, Kind::MobileApp]), mix.human));
    assert!(near(share(&[Kind::Office]), mix.office));
    assert!(near(share(&[Kind::Crawler]), mix.crawler));
    let scrapers = [Kind::ScraperLibrary, Kind::ScraperPages, Kind::ScraperBrowser, Kind::ScraperSlow];
    assert!(near(share(&scrapers), mix.scraper));
    assert!(near(share(&[Kind::CredentialStuffer]), mix.credential_stuffer));
    assert!(near(share(&[Kind::Scanner]), mix.scanner));
    assert!(near(total / 120.0, 2_500.0));
}

#[test]
fn customers_differ_in_size_and_night_is_quiet() {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    world(|_| ()).requests().for_each(|request| *counts.entry(request.customer.to_string()).or_default() += 1);
    assert_eq!(counts.len(), 5);
    assert!(counts["shop-alpha"] > 4 * counts["blog-epsilon"]);
    // the shop is in UTC+1: 20:00 and 03:00 there
    let people = |hour: i64| {
        let world =
            world(|settings| (settings.start, settings.customers) = (1_772_409_600_000_000 + hour * 3_600_000_000, 1));
        world.requests().filter(|request| request.actor.kind == Kind::Browser).count()
    };
    assert!(people(19) > 3 * people(2));
}

#[test]
fn an_office_address_has_many_people_and_several_agents() {
    let mut offices: BTreeMap<String, (BTreeSet<u32>, BTreeSet<String>)> = BTreeMap::new();
    for request in world(|settings| settings.minutes = 60).requests() {
        if request.actor.kind == Kind::Office {
            let office = offices.entry(request.client_ip.to_string()).or_default();
            office.0.insert(request.actor.number);
            office.1.insert(request.agent.unwrap().to_string());
        }
    }
    assert!(offices.len() >= 2);
    assert!(offices.values().all(|(people, agents)| people.len() > 10 && agents.len() >= 3));
}

#[test]
fn monitors_ask_for_the_same_page_every_minute() {
    let mut monitors: BTreeMap<_, Vec<(i64, String)>> = BTreeMap::new();
    for request in world(|settings| settings.disorder_ms = 0).requests() {
        if request.label == Label::Monitor {
            monitors.entry(request.actor).or_default().push((request.time, request.path.to_string()));
        }
    }
    assert!(!monitors.is_empty());
    for checks in monitors.values() {
        assert!(checks.len() >= 19);
        for pair in checks.windows(2) {
            assert!(((pair[1].0 - pair[0].0) - 60_000_000).abs() <= 400_000);
            assert_eq!(pair[0].1, pair[1].1);
        }
    }
}

#[test]
fn declared_crawlers_stay_in_their_blocks_and_impostors_outside() {
    for request in world(|_| ()).requests() {
        let Some(agent) = &request.agent else { continue };
        if agent.contains("Googlebot/2.1") {
            assert_eq!(request.client_ip.starts_with("66.249."), request.label == Label::Crawler, "{request:?}");
        }
    }
}

#[test]
fn json_lines_parse_with_the_agreed_fields() {
    let text = lines(&world(|settings| settings.minutes = 5));
    let mut number = 0;
    for value in serde_json::Deserializer::from_reader(Cursor::new(&text)).into_iter::<serde_json::Value>() {
        let value = value.unwrap();
        let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
        assert_eq!(keys.len(), 10, "{keys:?}");
        assert!(value["request_time"].as_f64().unwrap() > 0.0 && value["uri"].as_str().unwrap().starts_with('/'));
        number += 1;
    }
    assert_eq!(number, text.iter().filter(|byte| **byte == b'\n').count());
}

#[test]
fn no_truth_leaks_into_the_lines() {
    let world = world(|settings| settings.unseen_kind = true);
    let mut text = lines(&world);
    world.requests().for_each(|request| write_combined(&mut text, &request));
    let text = String::from_utf8(text).unwrap();
    let secrets = ["human", "impostor", "scraper", "stuffer", "feed_reader", "office", "price_watcher"];
    for secret in secrets {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[test]
fn answers_do_not_give_a_class_away() {
    let world = world(|settings| (settings.minutes, settings.unseen_kind) = (60, true));
    let mut statuses: BTreeMap<u16, BTreeSet<Label>> = BTreeMap::new();
    let mut agents: BTreeMap<String, BTreeSet<bool>> = BTreeMap::new();
    for request in world.requests() {
        statuses.entry(request.status).or_default().insert(request.label);
        agents.entry(request.agent.unwrap_or_default().to_string()).or_default().insert(request.label.bot());
    }
    for status in [200, 302, 304, 401, 404] {
        let labels = &statuses[&status];
        assert!(labels.contains(&Label::Human) && labels.len() > 1, "{status}: {labels:?}");
    }
    let shared = agents.values().filter(|bots| bots.len() == 2).count();
    assert!(shared > 100, "{shared} agents are used by people and programs alike");
}

#[test]
fn export_writes_a_truth_for_every_line() {
    let folder = tempfile::tempdir().unwrap();
    for (format, extension) in [(LogFormat::Json, "json"), (LogFormat::Combined, "log")] {
        let exported = export(&world(|settings| settings.minutes = 3), folder.path(), format).unwrap();
        let mut lines = 0;
        for log in &exported.logs {
            assert_eq!(log.extension().unwrap(), extension);
            let name = log.file_stem().unwrap().to_str().unwrap();
            let log = std::fs::read_to_string(log).unwrap().lines().count();
            let truth = std::fs::read_to_string(folder.path().join(format!("labels/{name}.lines.csv"))).unwrap();
            assert_eq!(truth.lines().count(), log + 1);
            lines += log as u64;
        }
        assert_eq!(lines, exported.lines);
        let requests: u64 = exported.labels.clients().map(|client| client.requests).sum();
        assert_eq!(requests, exported.lines);
        let clients = std::fs::read_to_string(folder.path().join("labels/clients.csv")).unwrap();
        assert_eq!(clients.lines().count(), exported.labels.len() + 1);
    }
}

#[test]
fn a_client_has_one_truth_nearly_always() {
    let mut table = LabelTable::new();
    world(|settings| settings.minutes = 60).requests().for_each(|request| table.observe(&request));
    let mixed = table.clients().filter(|client| client.others > 0).count();
    assert!(mixed * 200 < table.len(), "{mixed} of {}", table.len());
}

#[test]
fn memory_follows_the_actors_present_not_the_length() {
    let most = |minutes| {
        let world = world(|settings| (settings.minutes, settings.customers) = (minutes, 1));
        let mut requests = world.requests();
        let mut most = 0;
        while requests.next().is_some() {
            most = most.max(requests.actors());
        }
        most
    };
    let (short, long) = (most(40), most(240));
    assert!(long < 3 * short, "{short} and {long} actors");
}

#[test]
fn people_may_come_over_ipv6() {
    let world = world(|settings| settings.ipv6_share = 0.5);
    assert!(world.requests().any(|request| request.client_ip.contains(':') && request.label == Label::Human));
}

#[test]
fn senseless_settings_are_refused_with_a_hint() {
    let bad: [fn(&mut WorldSettings); 6] = [
        |settings| settings.customers = 0,
        |settings| settings.requests_per_minute = f64::NAN,
        |settings| settings.start = -1,
        |settings| settings.start = i64::MAX,
        |settings| settings.mix.human = -0.1,
        |settings| settings.ipv6_share = 2.0,
    ];
    for change in bad {
        let mut settings = WorldSettings::default();
        change(&mut settings);
        let error = World::new(settings).unwrap_err();
        assert!(error.hint_text().is_some(), "{error}");
    }
}
