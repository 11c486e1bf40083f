//! What others send, by HTTP and by syslog, over real sockets: rows of their customers, refusals, and a spool that
//! loses nothing that was acknowledged.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers fail as their tests do")]

mod common;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use common::{options, spec};
use fyke_connect::{HttpSource, SyslogSource};
use fyke_types::{Event, ReadOptions, Reader, Source, TableSpec};

/// A table of JSON lines with a number `n`, which has no event time.
fn numbers(format: &str, location: &str, settings: &[(&str, &str)]) -> TableSpec {
    let schema = Schema::new(vec![Field::new("n", DataType::Int64, true)]);
    TableSpec { schema: Some(Arc::new(schema)), ..spec(format, location, settings) }
}

fn live(resume: Option<String>) -> ReadOptions {
    ReadOptions { event_time: None, follow: true, resume, ..options(0, 1 << 20) }
}

/// Sends a request; gives the status and the whole answer.
fn send(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(to).unwrap();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    // a sender that is refused before its body was read may find the connection closed
    drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)));
    let mut answer = String::new();
    drop(stream.read_to_string(&mut answer));
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("an answer: {answer:?}")), answer)
}

fn post(to: SocketAddr, path: &str, body: &str) -> u16 {
    send(to, "POST", path, &[], body.as_bytes()).0
}

/// What was given: numbers by customer, and reasons of dead letters.
#[derive(Debug, Default)]
struct Given {
    customers: BTreeMap<u32, String>,
    numbers: BTreeMap<String, Vec<i64>>,
    dead: Vec<(String, u64, String)>,
    rows: usize,
}

impl Given {
    /// Takes one event; false where there is none.
    fn take(&mut self, reader: &mut dyn Reader, wait: Duration) -> bool {
        match reader.next(wait).unwrap() {
            Event::Opened(input) => _ = self.customers.insert(input.id.0, input.customer.to_string()),
            Event::Rows(rows) => {
                assert_eq!(rows.read, (rows.batch.num_rows() + rows.dead.len()) as u64);
                let customer = &self.customers[&rows.input.0];
                self.rows += rows.batch.num_rows();
                let values = rows.batch.column_by_name("n").map(|column| column.as_primitive::<Int64Type>().values());
                self.numbers.entry(customer.clone()).or_default().extend(values.into_iter().flatten());
                let dead = rows.dead.into_iter().map(|letter| (customer.clone(), letter.line, letter.reason));
                self.dead.extend(dead);
            }
            Event::Waiting => return false,
            other => panic!("{other:?}"),
        }
        true
    }

    fn until(&mut self, reader: &mut dyn Reader, done: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !done(self) {
            assert!(started.elapsed() < Duration::from_secs(10), "not within 10 s: {self:?}");
            self.take(reader, Duration::from_millis(50));
        }
    }
}

#[test]
fn bodies_become_rows_of_the_customer_that_their_sender_names() {
    let source = HttpSource::new(&numbers("HTTP", "http://127.0.0.1:0/logs/", &[])).unwrap();
    let mut reader = source.open(&live(None)).unwrap();
    let to = source.addresses()[0];
    assert_eq!(post(to, "/logs/acme", "{\"n\":1}\n{\"n\":2}"), 202);
    assert_eq!(post(to, "/logs", "{\"n\":3}\n\nbroken\n{\"n\":4}\n"), 202);
    assert_eq!(send(to, "PUT", "/logs", &[("x-customer", "shop.example")], b"{\"n\":5}\n").0, 202);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"{\"n\":6}\n").unwrap();
    let gzip = gzip.finish().unwrap();
    assert_eq!(send(to, "POST", "/logs/acme", &[("content-encoding", "gzip")], &gzip).0, 202);
    let zstd = zstd::stream::encode_all(b"{\"n\":7}\n".as_slice(), 1).unwrap();
    let (status, answer) = send(to, "POST", "/logs/acme", &[("content-encoding", "zstd")], &zstd);
    assert!(status == 202 && answer.ends_with("accepted 1 lines\n"), "{answer}");
    let mut given = Given::default();
    given.until(reader.as_mut(), |given| given.rows == 7);
    let expected = [("acme", vec![1, 2, 6, 7]), ("http", vec![3, 4]), ("shop.example", vec![5])];
    assert_eq!(given.numbers, expected.map(|(customer, numbers)| (customer.to_owned(), numbers)).into());
    let [(customer, line, reason)] = given.dead.as_slice() else { panic!("{:?}", given.dead) };
    assert!(customer == "http" && *line == 3 && reason.contains("not JSON"), "{line} {reason}");
}

#[test]
fn what_is_not_taken_is_told_why() {
    let settings = [("token", "secret"), ("body_bytes", "100")];
    let source = HttpSource::new(&numbers("HTTP", "127.0.0.1:0/in", &settings)).unwrap();
    let mut reader = source.open(&live(None)).unwrap();
    let to = source.addresses()[0];
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![b'x'; 100_000]).unwrap();
    let bomb = bomb.finish().unwrap();
    let long = [b'x'; 101];
    let token = ("authorization", "Bearer secret");
    let gzip = ("content-encoding", "gzip");
    for (method, path, headers, body, expected) in [
        ("POST", "/in", &[][..], &b"{}"[..], 401),
        ("POST", "/in", &[("authorization", "Bearer secreT")], b"{}", 401),
        ("POST", "/in", &[("authorization", "secret")], b"{}", 401),
        ("GET", "/in", &[token], b"", 405),
        ("POST", "/other", &[token], b"{}", 404),
        ("POST", "/innocent", &[token], b"{}", 404),
        ("POST", "/in/a/b", &[token], b"{}", 404),
        ("POST", "/in/a%2Fb", &[token], b"{}", 404),
        ("POST", "/in", &[token, ("content-encoding", "br")], b"{}", 415),
        ("POST", "/in", &[token], &long, 413),
        ("POST", "/in", &[token, gzip], &bomb, 413),
        ("POST", "/in", &[token, gzip], b"no gzip", 400),
        ("POST", "/in", &[token], b"{\"n\":1}", 202),
    ] {
        let (status, answer) = send(to, method, path, headers, body);
        assert_eq!(status, expected, "{method} {path}: {answer}");
    }
    let mut given = Given::default();
    given.until(reader.as_mut(), |given| given.rows == 1);
    assert!(!given.take(reader.as_mut(), Duration::from_millis(50)), "nothing that was refused is given");
}

#[test]
fn a_sender_is_told_to_wait_while_nobody_reads() {
    let source = HttpSource::new(&numbers("HTTP", "127.0.0.1:0", &[("inbox_bytes", "1000")])).unwrap();
    let mut reader = source.open(&live(None)).unwrap();
    let to = source.addresses()[0];
    let body = "{\"n\":1}\n".repeat(50);
    let statuses: Vec<u16> = (0..10).map(|_| post(to, "/a", &body)).collect();
    let accepted = statuses.iter().filter(|status| **status == 202).count();
    assert!((2..=4).contains(&accepted) && statuses[9] == 429, "{statuses:?}");
    let (_, answer) = send(to, "POST", "/a", &[], body.as_bytes());
    assert!(answer.to_lowercase().contains("retry-after: 1"), "{answer}");
    let mut given = Given::default();
    given.until(reader.as_mut(), |given| given.rows == accepted * 50);
    assert_eq!(post(to, "/a", &body), 202);
    given.until(reader.as_mut(), |given| given.rows == (accepted + 1) * 50);
}

#[test]
fn what_was_acknowledged_is_given_once_whenever_the_reading_stops() {
    for each in [1, 2, 3, 7] {
        let folder = tempfile::tempdir().unwrap();
        let spool = folder.path().join("spool").display().to_string();
        let source = HttpSource::new(&numbers("HTTP", "127.0.0.1:0", &[("spool", &spool)])).unwrap();
        let (mut given, mut resume, mut sent) = (Given::default(), None, BTreeMap::new());
        let mut next = 0;
        for round in 0..6 {
            let mut reader = source.open(&live(resume.take())).unwrap();
            let to = source.addresses()[0];
            // of the last rounds there is only what the spool holds
            for post_number in 0..if round < 4 { 5 } else { 0 } {
                let customer = ["a", "b", "c"][post_number % 3];
                assert_eq!(post(to, &format!("/{customer}"), &format!("{{\"n\":{next}}}\n")), 202);
                sent.entry(customer.to_owned()).or_insert_with(Vec::new).push(next);
                next += 1;
            }
            let mut events = 0;
            while (round > 3 || events < each) && given.take(reader.as_mut(), Duration::from_millis(100)) {
                events += 1;
            }
            resume = reader.position().unwrap();
            assert!(resume.is_some());
        }
        assert_eq!(given.numbers, sent, "stopped after {each} events");
    }
}

#[test]
fn without_a_checkpoint_a_spool_gives_all_again_and_with_them_it_empties() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().display().to_string();
    let settings = [("spool", spool.as_str()), ("spool_bytes", "4000")];
    let source = HttpSource::new(&numbers("HTTP", "127.0.0.1:0", &settings)).unwrap();
    let body = "{\"n\":1}\n".repeat(50);
    let mut reader = source.open(&live(None)).unwrap();
    let mut accepted = 0;
    let mut given = Given::default();
    // read, but not in any checkpoint
    for _ in 0..20 {
        let taken = post(source.addresses()[0], "/a", &body) == 202;
        accepted += usize::from(taken);
        given.until(reader.as_mut(), |given| given.rows == accepted * 50);
        given.take(reader.as_mut(), Duration::from_millis(1));
    }
    assert!((8..=12).contains(&accepted), "{accepted}");
    drop(reader);
    let mut reader = source.open(&live(None)).unwrap();
    let mut again = Given::default();
    again.until(reader.as_mut(), |given| given.rows == accepted * 50);
    assert_eq!(post(source.addresses()[0], "/a", &body), 429);
    for _ in 0..5 {
        reader.position().unwrap();
    }
    again.take(reader.as_mut(), Duration::from_millis(1));
    assert_eq!(post(source.addresses()[0], "/a", &body), 202);
    again.until(reader.as_mut(), |given| given.rows == (accepted + 1) * 50);
}

#[test]
fn a_spool_that_cannot_be_written_refuses_until_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    let settings = [("spool", spool.to_str().unwrap()), ("spool_bytes", "8000")];
    let source = HttpSource::new(&numbers("HTTP", "127.0.0.1:0", &settings)).unwrap();
    let mut reader = source.open(&live(None)).unwrap();
    let to = source.addresses()[0];
    // more than a segment, so that the next one needs another file
    let body = "{\"n\":1}\n".repeat(150);
    assert_eq!(post(to, "/a", &body), 202);
    let mut given = Given::default();
    given.until(reader.as_mut(), |given| given.rows == 150);
    std::fs::remove_dir_all(&spool).unwrap();
    for _ in 0..2 {
        let (status, answer) = send(to, "POST", "/a", &[], body.as_bytes());
        assert!(status == 503 && answer.to_lowercase().contains("retry-after"), "{answer}");
    }
    let Event::Trouble { error, .. } = reader.next(Duration::from_secs(5)).unwrap() else { panic!("no trouble") };
    assert!(error.to_string().contains("spool") && error.to_string().contains("disk"), "{error}");
    assert!(!given.take(reader.as_mut(), Duration::from_millis(20)), "it is told once");
    std::fs::create_dir(&spool).unwrap();
    assert_eq!(post(to, "/a", &body), 202);
    given.until(reader.as_mut(), |given| given.rows == 300);
}

#[test]
fn syslog_messages_come_by_datagram_and_by_connection() {
    let settings = [("customer_from", "hostname"), ("message_bytes", "200")];
    let source = SyslogSource::new(&numbers("SYSLOG", "syslog://127.0.0.1:0", &settings)).unwrap();
    let mut reader = source.open(&live(None)).unwrap();
    let [udp, tcp] = source.addresses()[..] else { panic!("two addresses") };
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for message in [
        "<134>1 2026-03-02T08:00:00Z web1 nginx - - - {\"n\":1}\n",
        "<134>Mar  2 08:00:00 web2 nginx: {\"n\":2}",
        "lost",
    ] {
        socket.send_to(message.as_bytes(), udp).unwrap();
    }
    let mut stream = TcpStream::connect(tcp).unwrap();
    let counted = "<134>1 - web1 nginx - - [a@1 b=\"]\"] {\"n\":\n3}";
    let text = format!(
        "{} {counted}<134>1 - web2 nginx - - - {{\"n\":4}}\n<134>{}\n<134>1 - web2 x - - - {{\"n\":5}}",
        counted.len(),
        "x".repeat(300)
    );
    for piece in text.as_bytes().chunks(7) {
        stream.write_all(piece).unwrap();
    }
    drop(stream);
    let mut given = Given::default();
    given.until(reader.as_mut(), |given| given.rows == 5 && given.dead.len() == 2);
    given.numbers.values_mut().for_each(|numbers| numbers.sort_unstable());
    given.numbers.retain(|_, numbers| !numbers.is_empty());
    let expected = [("web1", vec![1, 3]), ("web2", vec![2, 4, 5])];
    assert_eq!(given.numbers, expected.map(|(customer, numbers)| (customer.to_owned(), numbers)).into());
    let reasons: Vec<&str> = given.dead.iter().map(|(_, _, reason)| reason.as_str()).collect();
    assert!(reasons.iter().any(|reason| reason.contains("expected a syslog priority")), "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason.contains("more than message_bytes 200")), "{reasons:?}");
    assert!(given.dead.iter().all(|(customer, _, _)| customer == "127.0.0.1"), "{:?}", given.dead);
}

#[test]
fn syslog_payloads_are_read_by_any_line_format() {
    let settings = [("format", "haproxy"), ("customer_from", "app_name")];
    let source = SyslogSource::new(&spec("SYSLOG", "udp://127.0.0.1:0", &settings)).unwrap();
    let time = source.schema().index_of("time").unwrap();
    let clock = Arc::new(fyke_types::SystemClock);
    let mut reader = source.open(&ReadOptions { event_time: Some(time), clock, ..live(None) }).unwrap();
    let line = r#"10.0.1.2:33317 [02/Mar/2026:08:00:00.655] in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 "GET / HTTP/1.1""#;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(format!("<158>Mar  2 08:00:00 haproxy[12]: {line}").as_bytes(), source.addresses()[0]).unwrap();
    let mut given = Given::default();
    given.until(reader.as_mut(), |given| given.rows == 1);
    assert_eq!(given.customers[&0], "haproxy");
}

#[test]
fn tables_that_cannot_be_are_refused_with_the_remedy() {
    let refused = |spec: &TableSpec| {
        let error = if spec.format == "HTTP" { HttpSource::new(spec).err() } else { SyslogSource::new(spec).err() };
        error.unwrap_or_else(|| panic!("{} is refused", spec.location)).to_string()
    };
    assert!(refused(&numbers("HTTP", "https://0.0.0.0:1/x", &[])).contains("proxy"));
    assert!(refused(&numbers("HTTP", "localhost", &[])).contains("http://0.0.0.0:8080/logs"));
    assert!(refused(&numbers("HTTP", "127.0.0.1:0", &[("tokn", "x")])).contains("'tokn'"));
    assert!(refused(&spec("HTTP", "127.0.0.1:0", &[("format", "requests")])).contains("guessed"));
    assert!(refused(&spec("HTTP", "127.0.0.1:0", &[])).contains("declare"));
    assert!(refused(&numbers("HTTP", "127.0.0.1:0", &[("inbox_bytes", "lots")])).contains("64MB"));
    assert!(refused(&numbers("HTTP", "127.0.0.1:0", &[("body_bytes", "2GB")])).contains("512MB"));
    assert!(refused(&numbers("SYSLOG", "ftp://127.0.0.1:0", &[])).contains("udp://"));
    assert!(refused(&numbers("SYSLOG", "127.0.0.1:0", &[("customer_from", "file")])).contains("app_name"));
    let source = HttpSource::new(&numbers("HTTP", "127.0.0.1:0", &[])).unwrap();
    let bounded = source.open(&ReadOptions { follow: false, ..live(None) }).err().unwrap().to_string();
    assert!(bounded.contains("--once"), "{bounded}");
    let _open = source.open(&live(None)).unwrap();
    let taken = source.addresses()[0].to_string();
    let second = HttpSource::new(&numbers("HTTP", &taken, &[])).unwrap().open(&live(None)).err().unwrap().to_string();
    assert!(second.contains(&taken) && second.contains("hint"), "{second}");
}
