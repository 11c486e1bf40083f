//! Fuzzes every format on stable Rust: `cargo run -p fyke-formats --example fuzz_formats -- SECONDS [SEED]`.
//!
//! Mutates seed lines, decodes them by every format and checks `fyke_formats::invariants`. Prints the iterations; ends
//! with status 1 and the offending bytes in hex when something does not hold.

#![expect(clippy::print_stdout, reason = "a program for people at a terminal")]

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fyke_formats::invariants::{json_of_every_kind, json_ways_agree, lines_add_up, lines_stand_alone};
use fyke_formats::{format, format_names, guess};
use fyke_types::{Random, SeededRandom, Settings};

const SEEDS: &[&str] = &[
    r#"{"must":1,"time":"2026-03-02T08:00:00.385Z","text":"a \"b\" \u00e9","small":-7,"long":123456789012,"count":18446744073709551615,"real":0.069,"flag":true}"#,
    r#"{"must":2,"day":"2026-03-02","single":1.5,"object":{"x":1,"y":"a","z":[1.5,null]},"list":[1,2,null],"request":{"headers":{"agent":"curl"},"id":7},"customer":"c"}"#,
    r#"{"must":3,"request":null,"unknown":{"a":[1,{"b":"\\"}]},"real":1e-7}"#,
    r#"{"@timestamp":"2026-03-02T08:00:00Z","client_ip":"203.0.113.9","client_url":"\/a?b","http_response_code":200,"duration":0.5,"user_agent":"curl"}"#,
    r#"203.0.113.9 - jane [02/Mar/2026:09:00:00 +0100] "GET /p?q=1 HTTP/1.1" 200 512 "https://a.example/" "Mozilla/5.0 \"x\" \x22""#,
    r#"a.example:443 2001:db8::1 - - [02/Mar/2026:09:00:00 +0100] "\x16\x03" 400 - "-" "-" 0.250"#,
    r#"203.0.113.9 - - [02/Mar/2026:09:00:00 +0100] "-" 408 0"#,
    "2026-03-02T09:00:00.000250+0100 GET /a/b?c=d HTTP/1.1 404 99 1500000",
    r#"https 2026-03-02T08:00:00.186641Z app/lb/50dc 192.0.2.7:2817 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 "GET https://www.example.com:443/a?b HTTP/1.1" "curl \"x\"" - TLSv1.2 arn:tg "Root=1-5" "www.example.com" "-" 1 2026-03-02T08:00:00Z "forward" "-" "-""#,
    "2026-03-02\t08:00:00\tLAX1\t2390\t192.0.2.100\tGET\td1.cloudfront.net\t/a\t200\t-\tMozilla/5.0%20(X11)\tb=c\t-\tHit\tid\tshop.example\thttps\t23\t0.001\t-\tTLSv1.2\tECDHE\tHit\tHTTP/2.0",
    "#Fields: date time c-ip cs-method cs-uri-stem cs(User-Agent) sc-status time-taken",
    "#Fields: time date cs-host c-ip cs(X-Forwarded-For) sc-bytes",
    "2026-03-02 08:00:00 2001:db8::9 GET /a Bot/2.1;++http://b.example/ 200 250",
    r#"<134>Mar  2 08:00:00 lb haproxy[1]: 10.0.1.2:33317 [02/Mar/2026:08:00:00.655] in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {a#22b|c} {} "GET /a?b HTTP/1.1""#,
    r#"192.168.32.1 - jane [02/Mar/2026:08:00:00 +0000] "GET /a?b HTTP/1.1" 401 17 "-" "curl" 3 "r@docker" "http://10.0.0.1:80" 25ms"#,
    r#"{"ClientHost":"172.17.0.1","DownstreamStatus":200,"Duration":357313,"RequestMethod":"GET","RequestPath":"/a?b","StartUTC":"2026-03-02T08:00:00.587782192Z"}"#,
    r#"{"ts":1772438400.385,"request":{"remote_ip":"10.0.0.1","proto":"HTTP/2.0","method":"GET","host":"a:8443","uri":"/a?b","headers":{"User-Agent":["curl"]}},"duration":0.0009,"size":10900,"status":200}"#,
    r#"{"ClientIP":"2001:db8::9","ClientRequestURI":"/a?b=c","EdgeStartTimestamp":1772438400385000000,"EdgeResponseStatus":"200"}"#,
    r#"{"reqTimeSec":"1772438400.385","cliIP":"192.0.2.1","statusCode":"206","reqPath":"/a","UA":"Mozilla%2F5.0+%28X11%29","turnAroundTimeMSec":"11","transferTimeMSec":"125"}"#,
    r#"<134>2026-03-02T08:00:00Z cache LogTest[6]: {"timestamp":"2026-03-02T08:00:00+0000","client_ip":"192.0.2.1","url":"/a?b","request_method":"GET","response_status":200,"fastly_server":"c"}"#,
    r#"{"msec":"1772438400.385","remote_addr":"192.0.2.1","request":"GET /a?b HTTP/1.1","status":"200","body_bytes_sent":"17","request_time":"0.003"}"#,
    "",
];

const LOG_FORMATS: &[&str] = &[
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" rt=$request_time"#,
    r#"%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %D"#,
    "%{%Y-%m-%dT%H:%M:%S}t.%{usec_frac}t%{%z}t %m %U%q %H %s %B %{us}T",
    "$time_iso8601|$msec|$host|$request_method|$uri$is_args$args|$foo",
];

const PIECES: &[&str] = &[
    "\"", "\\", "\\u", "\\ud83d", "{", "}", "[", "]", ",", ":", " ", "\n", "\r\n", "null", "-", "0", "1e999", "\u{0}",
    "é", "\u{feff}",
];

fn below(random: &mut SeededRandom, bound: usize) -> usize {
    (random.next_u64() % bound.max(1) as u64) as usize
}

/// One to five seed lines with some bytes changed, cut, doubled or put in.
fn block(random: &mut SeededRandom) -> Vec<u8> {
    let mut lines = Vec::new();
    for _ in 0..=below(random, 5) {
        // the same line often comes again: the shape is learnt from the first
        let seed = if lines.is_empty() || random.next_u64().is_multiple_of(3) {
            SEEDS[below(random, SEEDS.len())]
        } else {
            lines[lines.len() - 1]
        };
        lines.push(seed);
    }
    let mut bytes = lines.join("\n").into_bytes();
    for _ in 0..below(random, 8) {
        let at = below(random, bytes.len() + 1);
        match random.next_u64() % 5 {
            0 if at < bytes.len() => bytes[at] = random.next_u64() as u8,
            1 if at < bytes.len() => drop(bytes.drain(at..(at + 1 + below(random, 6)).min(bytes.len()))),
            2 => drop(bytes.splice(at..at, PIECES[below(random, PIECES.len())].bytes())),
            3 => {
                let copied = bytes[at..(at + below(random, 20)).min(bytes.len())].to_vec();
                let to = below(random, bytes.len() + 1);
                drop(bytes.splice(to..to, copied));
            }
            _ if at < bytes.len() && bytes[at].is_ascii_digit() => bytes[at] = b'0' + (random.next_u64() % 10) as u8,
            _ => {}
        }
    }
    bytes
}

/// Checks JSON both ways, and one other format, or what is guessed.
fn check(block: &[u8], log_format: &str, name: Option<&str>) -> Result<(), String> {
    let json = json_of_every_kind().map_err(|error| error.to_string())?;
    json_ways_agree(&json, block)?;
    let Some(name) = name else {
        return guess(block).map_or(Ok(()), |guess| lines_add_up(guess.format.as_ref(), block).map(|_| ()));
    };
    let pairs = [
        ("log_format", log_format),
        ("trusted_proxies", "203.0.113.0/24"),
        ("forwarded_header", "forwarded"),
        ("fields", "date time c-ip cs-method cs-uri-stem cs(User-Agent) sc-status time-taken"),
        ("captured_request_headers", "host, user-agent"),
    ];
    let settings = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect::<BTreeMap<_, _>>();
    if let Ok(format) = format(name, None, Some(block), &mut Settings::new("fuzz", settings)) {
        lines_add_up(format.as_ref(), block).map_err(|problem| format!("{name}: {problem}"))?;
        lines_stand_alone(format.as_ref(), block).map_err(|problem| format!("{name}: {problem}"))?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let seconds: u64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(10);
    let seed: u64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut random = SeededRandom::new(seed);
    let names: Vec<&str> = format_names().collect();
    let (start, mut iterations) = (Instant::now(), 0u64);
    while start.elapsed() < Duration::from_secs(seconds) {
        let block = block(&mut random);
        let mut log_format = LOG_FORMATS[below(&mut random, LOG_FORMATS.len())].to_owned();
        if random.next_u64().is_multiple_of(4) {
            let at = below(&mut random, log_format.len());
            log_format.remove(at);
        }
        // one index beyond the names stands for a guess
        let name = names.get(below(&mut random, names.len() + 1)).copied();
        let held = catch_unwind(AssertUnwindSafe(|| check(&block, &log_format, name)));
        let problem = match held {
            Ok(Ok(())) => None,
            Ok(Err(problem)) => Some(problem),
            Err(_) => Some("panicked".to_owned()),
        };
        if let Some(problem) = problem {
            let hex: String = block.iter().map(|byte| format!("{byte:02x}")).collect();
            println!("seed {seed}, iteration {iterations}, log_format {log_format:?}: {problem}\n{hex}");
            return ExitCode::FAILURE;
        }
        iterations += 1;
    }
    println!("{iterations} iterations in {seconds} s from seed {seed}: all hold");
    ExitCode::SUCCESS
}
