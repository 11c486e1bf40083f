//! A generated case: pipelines, rows, and the rows that must come out, by plain arithmetic over what was put in.

use std::collections::BTreeMap;
use std::sync::Arc;

use fyke::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use fyke::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use fyke::connect::time_to_text;
use fyke::types::{Micros, Random, SeededRandom, window};

pub const SECOND: Micros = 1_000_000;
/// 2100-01-01.
pub const START: Micros = 4_102_444_800_000_000;
pub const TUMBLE: Micros = 10 * SECOND;
pub const HOP: (Micros, Micros) = (20 * SECOND, 5 * SECOND);
pub const GAP: Micros = 7 * SECOND;
pub const REACH: Micros = 4 * SECOND;
pub const LATENESS: Micros = 5 * SECOND;

/// What a query asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pipeline {
    /// By host and client, in windows of ten seconds.
    Clients,
    /// The clients of a host, from the rows of the one before.
    Chained,
    /// By host, in overlapping windows.
    Hops,
    /// By host and client.
    Sessions,
    /// By client over all hosts.
    Everybody,
    /// The clients of a host beside their host, in one window: what is chained, joined back.
    JoinedBack,
    /// A client at two hosts in one window.
    Pairs,
    /// Rows of one host and client that are near each other.
    Near,
    /// These by host, in windows: each worker's mark is held by what waits there.
    NearByHost,
    /// Sessions by host, in the window in which they end.
    SessionsByHost,
}

pub const PIPELINES: [Pipeline; 10] = [
    Pipeline::Clients,
    Pipeline::Chained,
    Pipeline::Hops,
    Pipeline::Sessions,
    Pipeline::Everybody,
    Pipeline::JoinedBack,
    Pipeline::Pairs,
    Pipeline::Near,
    Pipeline::NearByHost,
    Pipeline::SessionsByHost,
];

#[derive(Debug, Clone)]
pub struct Row {
    /// None makes a dead letter.
    pub time: Option<Micros>,
    pub host: usize,
    pub client: u64,
    /// Unique, so that a sum tells which rows it is of.
    pub n: i64,
}

#[derive(Debug, Clone)]
pub struct Case {
    pub pipelines: Vec<Pipeline>,
    /// By input, by batch.
    pub inputs: Vec<Vec<Vec<Row>>>,
    /// The customer is a column, else the input.
    pub by_column: bool,
    /// Rows come later than the lateness, inputs fall idle, customers silent: then some rows are late.
    pub unruly: bool,
}

pub const HOSTS: [&str; 3] = ["a", "b", "c"];

struct Draws(SeededRandom);

impl Draws {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound.max(1)
    }
}

impl Case {
    pub fn generated(seed: u64) -> Self {
        let mut draws = Draws(SeededRandom::new(seed ^ 0xca5e));
        let unruly = draws.below(3) == 0;
        let pipelines = match (unruly, draws.below(5)) {
            // a row is late for all or for none of these, so that it can be said which rows the answer is of
            (true, 0) => vec![Pipeline::Everybody],
            (true, 1) => vec![Pipeline::Clients],
            (true, 2) => vec![Pipeline::Chained],
            (true, 3) => vec![Pipeline::JoinedBack],
            (true, _) => vec![Pipeline::Clients, Pipeline::Chained, Pipeline::JoinedBack],
            (false, _) => {
                let chosen: Vec<Pipeline> = PIPELINES.into_iter().filter(|_| draws.below(3) == 0).collect();
                if chosen.is_empty() { vec![Pipeline::Near] } else { chosen }
            }
        };
        let mut n = 0;
        let inputs = (0..1 + draws.below(3) as usize)
            .map(|input| {
                let mut at = START - 3_600 * SECOND + draws.below(20) as Micros * SECOND;
                (0..1 + draws.below(8))
                    .map(|_| {
                        (0..1 + draws.below(6))
                            .map(|_| {
                                n += 1;
                                at += match draws.below(12) {
                                    0 => 40 * SECOND,
                                    1..=3 => 0,
                                    _ => draws.below(4_000) as Micros * 1_000,
                                };
                                let back = if unruly && draws.below(6) == 0 { 60 * SECOND } else { LATENESS };
                                let time = (draws.below(25) > 0)
                                    .then(|| at - draws.below((back / 1_000) as u64 + 1) as Micros * 1_000);
                                Row { time, host: input, client: draws.below(3), n }
                            })
                            .collect()
                    })
                    .collect()
            })
            .collect();
        Self { pipelines, inputs, by_column: draws.below(2) == 0, unruly }
    }

    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.inputs.iter().flatten().flatten()
    }

    /// What must come out of the rows but those of `late`.
    pub fn expected(&self, late: &[i64]) -> Vec<String> {
        let used: Vec<&Row> = self.rows().filter(|row| row.time.is_some() && !late.contains(&row.n)).collect();
        let mut lines: Vec<String> = self.pipelines.iter().flat_map(|pipeline| expected_of(*pipeline, &used)).collect();
        lines.sort();
        lines
    }
}

fn line(pipeline: Pipeline, window: (&str, &str), host: &str, client: &str, count: i64, sum: Option<i64>) -> String {
    let sum = sum.map_or("null".to_owned(), |sum| sum.to_string());
    format!("{pipeline:?} {} {} host={host} client={client} c={count} s={sum}", window.0, window.1)
}

/// Window, host, client: count and sum.
type Groups = BTreeMap<(Micros, Micros, String, String), (i64, i64)>;

fn add(groups: &mut Groups, window: (Micros, Micros), host: &str, client: &str, count: i64, sum: i64) {
    let group = groups.entry((window.0, window.1, host.to_owned(), client.to_owned())).or_default();
    group.0 += count;
    group.1 += sum;
}

fn tumbled(time: Micros) -> (Micros, Micros) {
    let start = time - time.rem_euclid(TUMBLE);
    (start, start + TUMBLE)
}

fn expected_of(pipeline: Pipeline, rows: &[&Row]) -> Vec<String> {
    let mut groups = Groups::new();
    let timed = rows.iter().filter_map(|row| Some((row.time?, HOSTS[row.host], format!("c{}", row.client), row.n)));
    match pipeline {
        Pipeline::Clients => return lines_of(pipeline, clients_of(rows)),
        Pipeline::JoinedBack => return joined_back(rows),
        Pipeline::Pairs => return pairs(rows),
        Pipeline::Near => return near(rows),
        Pipeline::NearByHost => return near_by_host(rows),
        Pipeline::Everybody => timed.for_each(|(t, _, client, n)| add(&mut groups, tumbled(t), "", &client, 1, n)),
        Pipeline::Chained => {
            for ((start, end, host, _), (_, sum)) in &clients_of(rows) {
                add(&mut groups, (*start, *end), host, "", 1, *sum);
            }
        }
        Pipeline::Hops => timed.for_each(|(t, host, _, n)| {
            let mut start = t - t.rem_euclid(HOP.1);
            while start + HOP.0 > t {
                add(&mut groups, (start, start + HOP.0), host, "", 1, n);
                start -= HOP.1;
            }
        }),
        Pipeline::Sessions => groups = sessions(rows),
        Pipeline::SessionsByHost => {
            for ((_, end, host, _), (_, sum)) in sessions(rows) {
                add(&mut groups, tumbled(end - 1), &host, "", 1, sum);
            }
        }
    }
    lines_of(pipeline, groups)
}

fn lines_of(pipeline: Pipeline, groups: Groups) -> Vec<String> {
    let line = |((start, end, host, client), (count, sum)): ((Micros, Micros, String, String), (i64, i64))| {
        line(pipeline, (&time_to_text(start), &time_to_text(end)), &host, &client, count, Some(sum))
    };
    groups.into_iter().map(line).collect()
}

fn clients_of(rows: &[&Row]) -> Groups {
    let mut groups = Groups::new();
    for row in rows {
        if let Some(time) = row.time {
            add(&mut groups, tumbled(time), HOSTS[row.host], &format!("c{}", row.client), 1, row.n);
        }
    }
    groups
}

/// Each client beside its host's sum, in one window.
fn joined_back(rows: &[&Row]) -> Vec<String> {
    let clients = clients_of(rows);
    let mut beside = Groups::new();
    for ((start, end, host, client), (count, _)) in &clients {
        let same = clients.iter().filter(|(other, _)| (other.0, &other.2) == (*start, host));
        add(&mut beside, (*start, *end), host, client, *count, same.map(|(_, (_, sum))| sum).sum());
    }
    lines_of(Pipeline::JoinedBack, beside)
}

/// Each client's count at one host with its sum at another, or the same.
fn pairs(rows: &[&Row]) -> Vec<String> {
    let clients = clients_of(rows);
    let mut lines = Vec::new();
    for ((start, end, host, client), (count, _)) in &clients {
        for (_, (_, sum)) in clients.iter().filter(|(other, _)| (other.0, &other.3) == (*start, client)) {
            let window = (time_to_text(*start), time_to_text(*end));
            lines.push(line(Pipeline::Pairs, (&window.0, &window.1), host, client, *count, Some(*sum)));
        }
    }
    lines
}

fn sessions(rows: &[&Row]) -> Groups {
    let mut by_client: BTreeMap<(&str, String), Vec<(Micros, i64)>> = BTreeMap::new();
    for row in rows {
        let client = (HOSTS[row.host], format!("c{}", row.client));
        by_client.entry(client).or_default().extend(row.time.map(|time| (time, row.n)));
    }
    let mut groups = Groups::new();
    for ((host, client), mut events) in by_client {
        events.sort_unstable();
        let mut sessions: Vec<(Micros, Micros, i64, i64)> = Vec::new();
        for (t, n) in events {
            match sessions.last_mut() {
                Some(last) if t - last.1 <= GAP => *last = (last.0, t, last.2 + 1, last.3 + n),
                _ => sessions.push((t, t, 1, n)),
            }
        }
        for (first, last, count, sum) in sessions {
            add(&mut groups, (first, last + GAP), host, &client, count, sum);
        }
    }
    groups
}

/// The even numbers near a row, or none for a row that is alone.
fn partners(rows: &[&Row], row: &Row) -> Vec<Option<i64>> {
    let is_near = |other: &&&Row| {
        let apart = row.time.zip(other.time).map(|(one, other)| (one - other).abs());
        (other.host, other.client) == (row.host, row.client) && apart.is_some_and(|apart| apart <= REACH)
    };
    let even = rows.iter().filter(|other| other.n % 2 == 0);
    let partners: Vec<Option<i64>> = even.filter(is_near).map(|other| Some(other.n)).collect();
    if partners.is_empty() { vec![None] } else { partners }
}

fn near(rows: &[&Row]) -> Vec<String> {
    let mut lines = Vec::new();
    for row in rows {
        let (host, client) = (HOSTS[row.host], format!("c{}", row.client));
        let partners = partners(rows, row).into_iter();
        lines.extend(partners.map(|other| line(Pipeline::Near, ("", ""), host, &client, row.n, other)));
    }
    lines
}

fn near_by_host(rows: &[&Row]) -> Vec<String> {
    // window and host: how many, and the sum of the even ones, if there is any
    let mut groups = BTreeMap::<(Micros, Micros, usize), (i64, Option<i64>)>::new();
    for row in rows {
        let Some(time) = row.time else { continue };
        let (start, end) = tumbled(time);
        let group = groups.entry((start, end, row.host)).or_default();
        for other in partners(rows, row) {
            group.0 += 1;
            group.1 = group.1.map_or(other, |sum| Some(sum + other.unwrap_or_default()));
        }
    }
    let of = |((start, end, host), (count, sum))| {
        let window = (time_to_text(start), time_to_text(end));
        line(Pipeline::NearByHost, (&window.0, &window.1), HOSTS[host], "", count, sum)
    };
    groups.into_iter().map(of).collect()
}

pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("time", window::TIME, true),
        Field::new("host", DataType::Utf8, true),
        Field::new("client", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
    ]))
}

pub fn batch(rows: &[Row]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from_iter(rows.iter().map(|row| row.time))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| HOSTS[row.host]))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| format!("c{}", row.client)))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.n))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}
