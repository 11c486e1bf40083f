//! How fast JSON lines become batches: `cargo run --release -p fyke-formats --example decode_speed [MEGABYTES]`.
//!
//! Prints the best of ten, in seconds of processor time where the system tells it. Lines are made in memory in the shape
//! of the chained job: ten fields, six of them strings, about 300 bytes; of other formats one line again and again.

#![expect(clippy::print_stdout, reason = "a program for people at a terminal")]

use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use fyke_formats::{JsonFormat, TimeFormat};
use fyke_types::{Format, Random, Result, SeededRandom, Settings};

const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101";

/// A line of each of some vendors.
const VENDORS: &[(&str, &str)] = &[
    (
        "COMBINED",
        r#"203.0.113.9 - - [02/Mar/2026:08:00:00 +0000] "GET /shop/a?b=c HTTP/1.1" 200 5120 "https://a.example/" "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101""#,
    ),
    (
        "HAPROXY",
        r#"10.0.1.2:33317 [02/Mar/2026:08:00:00.655] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {a.example} {} "GET /shop/a?b=c HTTP/1.1""#,
    ),
    (
        "ALB",
        r#"https 2026-03-02T08:00:00.186641Z app/lb/50dc6c495c0c9188 192.0.2.7:2817 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 "GET https://www.example.com:443/shop?q=a%20b HTTP/1.1" "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/t/73e2d6bc24d8a067 "Root=1-58337281-1d84f3d73c47ec4e58577259" "www.example.com" "-" 1 2026-03-02T08:00:00.000000Z "forward" "-" "-" "10.0.0.1:80" "200" "-" "-""#,
    ),
    (
        "CLOUDFRONT",
        "2026-03-02\t08:00:00\tLAX1\t2390\t192.0.2.100\tGET\td111111abcdef8.cloudfront.net\t/shop/a\t200\t-\tMozilla/5.0%20(X11;%20Linux%20x86_64;%20rv:128.0)%20Gecko/20100101\tb=c\t-\tHit\tSOX4xwn4XV6Q4rgb7XiVGOHms==\tshop.example.com\thttps\t23\t0.001\t-\tTLSv1.2\tECDHE-RSA-AES128-GCM-SHA256\tHit\tHTTP/2.0\t-\t-\t11040\t0.001\tHit\ttext/html\t78\t-\t-",
    ),
    (
        "CADDY",
        r#"{"level":"info","ts":1772438400.385,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"10.0.0.1","remote_port":"41342","client_ip":"203.0.113.9","proto":"HTTP/2.0","method":"GET","host":"localhost:8443","uri":"/shop/a?b=c","headers":{"User-Agent":["Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101"],"Accept":["*/*"]}},"bytes_read":0,"user_id":"","duration":0.000929675,"size":10900,"status":200}"#,
    ),
];

fn settings() -> Settings {
    Settings::new("speed", std::collections::BTreeMap::new())
}

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

fn measure(name: &str, format: &dyn Format, projection: Option<&[usize]>, blocks: &[&[u8]]) -> Result<()> {
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
    // what the detector asks of a request
    let wanted: Vec<usize> = (0..14).collect();
    let sample = all.get(..all.len().min(64 << 10));
    let requests = fyke_formats::format("REQUESTS", None, sample, &mut settings())?;
    measure("as requests, without extra", requests.as_ref(), Some(&wanted), &blocks)?;
    measure("as requests, all columns", requests.as_ref(), None, &blocks)?;
    for (name, line) in VENDORS {
        let line = format!("{line}\n");
        let text = line.repeat(megabytes * 250_000 / line.len() + 1);
        let format = fyke_formats::format(name, None, None, &mut settings())?;
        measure(name, format.as_ref(), Some(&wanted), &self::blocks(text.as_bytes()))?;
    }
    measure("by shape, all columns", &format, None, &blocks)?;
    measure("by shape, without uri, referer", &format, Some(&[0, 1, 2, 4, 5, 7, 8, 9]), &blocks)?;
    measure("exact way alone", &format.without_shapes(), None, &blocks)
}
