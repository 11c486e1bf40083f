//! Classes of agents against lists that others labelled: agents of crawlers and of browsers.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail as tests do, and what they measure is printed"
)]

use std::path::PathBuf;

use fyke_functions::{AgentClass, classify};

/// A file of agents, or none where the data is not there.
fn data(file: &str) -> Option<PathBuf> {
    let root = std::env::var_os("FYKE_DATA").map(PathBuf::from);
    let root = root.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"));
    let path = root.join("agents").join(file);
    if !path.exists() {
        println!("skipped: {} is absent", path.display());
        return None;
    }
    Some(path)
}

/// The agents of a YAML map of names to lists of texts, but for the lists under a heading that calls them bots.
fn agents(file: &str) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(data(file)?).unwrap();
    let (mut agents, mut under_bots) = (Vec::new(), false);
    for line in text.lines() {
        match line.trim_start().strip_prefix("- ") {
            Some(agent) if !under_bots && !agent.trim().is_empty() => agents.push(unquoted(agent.trim())),
            Some(_) => {}
            None => under_bots = line.contains("Insignificat bots"),
        }
    }
    Some(agents)
}

fn unquoted(text: &str) -> String {
    let inner = |quote: char| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    match (inner('"'), inner('\'')) {
        (Some(inner), _) => inner.replace("\\\"", "\""),
        (_, Some(inner)) => inner.replace("''", "'"),
        _ => text.to_owned(),
    }
}

fn report(file: &str, agents: Vec<String>, right: impl Fn(AgentClass) -> bool, floor: f64) {
    let wrong: Vec<&String> = agents.iter().filter(|agent| !right(classify(agent))).collect();
    let share = 1.0 - wrong.len() as f64 / agents.len() as f64;
    println!("{file}: {} of {} right, {:.2} %", agents.len() - wrong.len(), agents.len(), share * 100.0);
    for agent in &wrong {
        println!("  {} {agent}", classify(agent).name());
    }
    assert!(share >= floor, "{file}: {share}");
}

#[test]
fn crawlers_are_declared_bots() {
    let Some(agents) = agents("crawlers.yml") else { return };
    report("crawlers.yml", agents, AgentClass::is_declared_bot, 0.97);
}

#[test]
fn browsers_are_no_declared_bots() {
    let Some(agents) = agents("browsers.yml") else { return };
    report("browsers.yml", agents, |class| !class.is_declared_bot(), 0.98);
}

/// A list that the rules were not written by.
#[test]
fn instances_of_another_list_are_declared_bots() {
    let Some(path) = data("crawler-user-agents.json") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    let entries = list.as_array().unwrap().iter();
    let instances = entries.flat_map(|entry| entry["instances"].as_array().cloned().unwrap_or_default());
    let agents = instances.filter_map(|agent| agent.as_str().map(str::to_owned)).collect();
    report("crawler-user-agents.json", agents, AgentClass::is_declared_bot, 0.95);
}

#[test]
fn agents_of_this_test_are_told_apart_without_the_data() {
    for (agent, bot) in [
        ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", true),
        ("Wget/1.21", true),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1",
            false,
        ),
        (
            "Mozilla/5.0 (Linux; Android 9; CUBOT X19) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/99.0 Mobile Safari/537.36",
            false,
        ),
    ] {
        assert_eq!(classify(agent).is_declared_bot(), bot, "{agent}");
    }
}
