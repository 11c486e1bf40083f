//! How fast JSON lines become batches: `cargo run --release -p fyke-formats --example decode_speed [MEGABYTES]`.
//!
//! Prints the best of ten, in seconds of processor time where the system tells it. Lines are made in memory in the shape of the chained job: ten fields, six of them strings, about 300 bytes.

#![expect(clippy::print_stdout, reason = "a program for people at a terminal")]

use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use fyke_formats::{JsonFormat, TimeFormat};
use fyke_types::{Format, Random, Result, SeededRandom};

const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101";

/// About `bytes` bytes of lines.
fn lines(bytes: usize) -> (Vec<u8>, usize) {
    let mut random = SeededRandom::new(1);
    let mut out = Vec::with_capacity(bytes + 1_000);
    let mut count = 0;
    while out.len() < bytes {
        let r = random.next_u64();
        let second = (count / 100) % 86_400;
        let line = format!(
            concat!(
                r#"{{"time":"2026-03-02T{:02}:{:02}:{:02}.{:03}Z","remote_addr":"{}.{}.{}.{}","method":"{}","uri":"/shop/category-{}/item-{}?r={}","#,
                r#""status":{},"bytes":{},"referer":"{}","user_agent":"{}","host":"shop-{}.example","request_time":0.{:03}}}"#,
                "\n"
            ),
            second / 3600,
            second / 60 % 60,
            second % 60,
            r % 1000,
            r >> 8 & 255,
            r >> 16 & 255,
            r >> 24 & 255,
            r >> 32 & 255,
            if r.is_multiple_of(7) { "POST" } else { "GET" },
            r >> 40 & 63,
            r >> 20 & 0xffff,
            r >> 5 & 0xffff_ffff,
            if r.is_multiple_of(11) { 404 } else { 200 },
            r >> 33 & 0xffff,
            if r.is_multiple_of(3) { "-" } else { "https://search.example/results?q=something" },
            AGENT,
            r % 4,
            r >> 12 & 511,
        );
        out.extend_from_slice(line.as_bytes());
        count += 1;
    }
    (out, count)
}

/// Blocks of whole lines of about a mebibyte.
fn blocks(all: &[u8]) -> Vec<&[u8]> {
    let mut blocks = Vec::new();
    let mut rest = all;
    while !rest.is_empty() {
        let from = rest.len().min(1 << 20) - 1;
        let end = memchr::memchr(b'\n', &rest[from..]).map_or(rest.len(), |found| from + found + 1);
        let (block, after) = rest.split_at(end);
        blocks.push(block);
        rest = after;
    }
    blocks
}

/// Seconds that this thread has had of a processor: on a busy machine the clock on the wall says little.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(stat.split(' ').next()?.parse::<f64>().ok()? / 1e9)
}

fn measure(name: &str, format: &JsonFormat, projection: Option<&[usize]>, blocks: &[&[u8]]) -> Result<()> {
    let bytes: usize = blocks.iter().map(|block| block.len()).sum();
    let (mut best, mut rows, mut dead) = (f64::MAX, 0, 0);
    for _ in 0..10 {
        let (start, cpu) = (Instant::now(), cpu_seconds());
        let mut decoder = format.decoder(projection)?;
        (rows, dead) = (0, 0);
        for block in blocks {
            let decoded = decoder.decode(block, "customer")?;
            rows += decoded.batch.num_rows();
            dead += decoded.dead.len();
        }
        let wall = start.elapsed().as_secs_f64();
        best = best.min(cpu.zip(cpu_seconds()).map_or(wall, |(before, after)| after - before));
    }
    let rate = bytes as f64 / best / 1e9;
    println!("{name:<28} {best:.3} s  {rate:.2} GB/s  {:.3} s for 300 MB  {rows} rows, {dead} dead", 0.3 / rate);
    Ok(())
}

fn main() -> Result<()> {
    let megabytes: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(100);
    let (all, count) = lines(megabytes * 1_000_000);
    println!("{count} lines, {} bytes", all.len());
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let text = |name: &str| field(name, DataType::Utf8);
    let schema = Arc::new(Schema::new(vec![
        field("time", DataType::Timestamp(TimeUnit::Microsecond, None)),
        text("remote_addr"),
        text("method"),
        text("uri"),
        field("status", DataType::Int32),
        field("bytes", DataType::Int64),
        text("referer"),
        text("user_agent"),
        text("host"),
        field("request_time", DataType::Float64),
    ]));
    let format = JsonFormat::new(schema, TimeFormat::Rfc3339)?;
    let blocks = blocks(&all);
    measure("by shape, all columns", &format, None, &blocks)?;
    measure("by shape, without uri, referer", &format, Some(&[0, 1, 2, 4, 5, 7, 8, 9]), &blocks)?;
    measure("exact way alone", &format.without_shapes(), None, &blocks)
}
