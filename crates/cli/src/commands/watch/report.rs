//! The report of `fyke watch --once`: text for people, or one JSON object a client.

use fyke::Result;
use fyke::connect::time_to_text;
use serde_json::json;

use super::board::{Board, Shown, SortBy};
use crate::terminal::{Table, count, out, plural, shortened};

/// Clients that the text shows; JSON has all of them.
const CLIENTS_SHOWN: usize = 40;

/// Prints the text.
///
/// # Errors
/// When standard output can't be written.
pub fn print_text(board: &Board) -> Result<()> {
    out::write(text(board).as_bytes())
}

/// Prints the JSON lines.
///
/// # Errors
/// When standard output can't be written.
pub fn print_json(board: &Board) -> Result<()> {
    board.sorted(SortBy::Score).iter().try_for_each(|shown| out(json_of(shown)))
}

fn text(board: &Board) -> String {
    let classes = board.classes();
    let requests: u64 = classes.iter().map(|(_, _, requests)| requests).sum();
    let mut text = format!("{} made {}\n\n", plural(board.count() as u64, "client"), plural(requests, "request"));
    let mut table = Table::new([("class", false), ("clients", true), ("requests", true), ("share", true)]);
    let rows: Vec<Vec<String>> = classes
        .into_iter()
        .map(|(class, clients, of_class)| {
            let share = 100.0 * of_class as f64 / requests.max(1) as f64;
            vec![class, count(clients), count(of_class), format!("{share:.1} %")]
        })
        .collect();
    text.push_str(&table.rows(&rows));
    let order = board.sorted(SortBy::Score);
    let grave: Vec<&Shown> = order.iter().filter(|shown| shown.verdict.class != "human").collect();
    if grave.is_empty() {
        return text + "\nnobody looks like a bot\n";
    }
    text.push('\n');
    for shown in grave.iter().take(CLIENTS_SHOWN) {
        text.push_str(&paragraph(shown));
    }
    if let Some(more) = grave.len().checked_sub(CLIENTS_SHOWN).filter(|more| *more > 0) {
        text.push_str(&format!("and {} more: --format json shows all\n", count(more as u64)));
    }
    text
}

fn paragraph(shown: &Shown) -> String {
    let verdict = &shown.verdict;
    let agent = if verdict.agent.is_empty() { "no agent".to_owned() } else { shortened(&verdict.agent, 60) };
    let mut text = format!(
        "{:<12} {:>3.0}  {:<24} {} in {}  {agent}\n",
        shortened(&verdict.class, 12),
        verdict.score,
        shortened(&verdict.client_ip, 40),
        plural(verdict.requests, "request"),
        plural(shown.visits, "visit"),
    );
    for reason in &verdict.reasons {
        text.push_str(&format!("                  · {}\n", shortened(reason, 100)));
    }
    text
}

fn json_of(shown: &Shown) -> String {
    let verdict = &shown.verdict;
    json!({
        "customer": verdict.customer,
        "client_ip": verdict.client_ip,
        "agent": verdict.agent,
        "class": verdict.class,
        "score": verdict.score,
        "reasons": verdict.reasons,
        "requests": verdict.requests,
        "visits": shown.visits,
        "last_time": time_to_text(verdict.last_time),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::super::board::testing::row;
    use super::*;

    #[test]
    fn report_shows_shares_and_reasons_of_all_but_humans() {
        let mut board = Board::default();
        board.take(row("10.0.0.1", "bot", 97.0, 30, 0));
        board.take(row("10.0.0.2", "human", 3.0, 10, 0));
        let text = text(&board);
        assert!(text.starts_with("2 clients made 40 requests\n"), "{text}");
        assert!(text.contains("75.0 %") && text.contains("· reason of 10.0.0.1"), "{text}");
        assert!(!text.contains("reason of 10.0.0.2"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&json_of(&board.sorted(SortBy::Score)[0])).expect("JSON");
        assert_eq!((json["class"].as_str(), json["requests"].as_u64()), (Some("bot"), Some(30)));
    }

    #[test]
    fn without_bots_it_says_so() {
        let mut board = Board::default();
        board.take(row("10.0.0.2", "human", 3.0, 10, 0));
        assert!(text(&board).contains("nobody looks like a bot"));
    }
}
