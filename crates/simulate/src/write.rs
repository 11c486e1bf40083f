//! Requests as log lines. The truth stays out of them.

use fyke_types::Micros;

use crate::request::Request;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Appends a line of the combined format, as Apache writes it, with its newline:
/// `ip - user [02/Mar/2026:08:00:00 +0000] "GET /path HTTP/1.1" 200 12393 "referrer" "agent"`.
pub fn write_combined(out: &mut Vec<u8>, request: &Request) {
    out.extend_from_slice(request.client_ip.as_bytes());
    out.extend_from_slice(b" - ");
    out.extend_from_slice(request.user.as_deref().unwrap_or("-").as_bytes());
    out.extend_from_slice(b" [");
    write_clf_time(out, request.time);
    out.extend_from_slice(b"] \"");
    out.extend_from_slice(request.method.as_bytes());
    out.push(b' ');
    escape_apache(out, &request.path);
    if let Some(query) = &request.query {
        out.push(b'?');
        escape_apache(out, query);
    }
    out.push(b' ');
    out.extend_from_slice(request.protocol.as_bytes());
    out.extend_from_slice(b"\" ");
    write_number(out, u64::from(request.status));
    out.push(b' ');
    match request.bytes {
        0 => out.push(b'-'),
        bytes => write_number(out, bytes),
    }
    for field in [&request.referrer, &request.agent] {
        out.extend_from_slice(b" \"");
        escape_apache(out, field.as_deref().unwrap_or("-"));
        out.push(b'"');
    }
    out.push(b'\n');
}

/// Appends a JSON object with its newline, in the shape that the benchmark reads: `time`, `remote_addr`, `method`,
/// `uri`, `status`, `bytes`, `referer`, `user_agent`, `host`, `request_time` (seconds). What is absent is `-`.
pub fn write_json(out: &mut Vec<u8>, request: &Request) {
    out.extend_from_slice(b"{\"time\":\"");
    write_iso_time(out, request.time);
    out.extend_from_slice(b"\",\"remote_addr\":\"");
    escape_json(out, &request.client_ip);
    out.extend_from_slice(b"\",\"method\":\"");
    escape_json(out, request.method);
    out.extend_from_slice(b"\",\"uri\":\"");
    escape_json(out, &request.path);
    if let Some(query) = &request.query {
        out.push(b'?');
        escape_json(out, query);
    }
    out.extend_from_slice(b"\",\"status\":");
    write_number(out, u64::from(request.status));
    out.extend_from_slice(b",\"bytes\":");
    write_number(out, request.bytes);
    out.extend_from_slice(b",\"referer\":\"");
    escape_json(out, request.referrer.as_deref().unwrap_or("-"));
    out.extend_from_slice(b"\",\"user_agent\":\"");
    escape_json(out, request.agent.as_deref().unwrap_or("-"));
    out.extend_from_slice(b"\",\"host\":\"");
    escape_json(out, &request.host);
    out.extend_from_slice(b"\",\"request_time\":");
    let millis = request.duration.unsigned_abs() / 1_000;
    write_number(out, millis / 1_000);
    out.push(b'.');
    write_padded(out, millis % 1_000, 3);
    out.extend_from_slice(b"}\n");
}

/// Decimal digits without formatting machinery.
fn write_number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
        used += 1;
        if value == 0 {
            break;
        }
    }
    out.extend(digits.iter().skip(20 - used));
}

fn write_padded(out: &mut Vec<u8>, value: u64, width: u32) {
    for place in (0..width).rev() {
        out.push(b'0' + (value / 10u64.pow(place) % 10) as u8);
    }
}

/// A moment taken apart.
struct Civil {
    year: u64,
    /// From 1.
    month: u64,
    day: u64,
    second_of_day: u64,
    milli: u64,
}

/// The proleptic Gregorian calendar from days since 1970, counted in eras of 400 years that begin on 1 March.
fn civil(time: Micros) -> Civil {
    let millis = time.div_euclid(1_000);
    let days = millis.div_euclid(86_400_000);
    let in_day = millis.rem_euclid(86_400_000) as u64;
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Civil {
        year: year.unsigned_abs(),
        month: month as u64,
        day: day as u64,
        second_of_day: in_day / 1_000,
        milli: in_day % 1_000,
    }
}

fn write_clock(out: &mut Vec<u8>, second_of_day: u64) {
    write_padded(out, second_of_day / 3_600, 2);
    out.push(b':');
    write_padded(out, second_of_day / 60 % 60, 2);
    out.push(b':');
    write_padded(out, second_of_day % 60, 2);
}

fn write_iso_time(out: &mut Vec<u8>, time: Micros) {
    let civil = civil(time);
    write_padded(out, civil.year, 4);
    out.push(b'-');
    write_padded(out, civil.month, 2);
    out.push(b'-');
    write_padded(out, civil.day, 2);
    out.push(b'T');
    write_clock(out, civil.second_of_day);
    out.push(b'.');
    write_padded(out, civil.milli, 3);
    out.push(b'Z');
}

fn write_clf_time(out: &mut Vec<u8>, time: Micros) {
    let civil = civil(time);
    write_padded(out, civil.day, 2);
    out.push(b'/');
    let month = MONTHS.get(civil.month as usize - 1).copied().unwrap_or("Jan");
    out.extend_from_slice(month.as_bytes());
    out.push(b'/');
    write_padded(out, civil.year, 4);
    out.push(b':');
    write_clock(out, civil.second_of_day);
    out.extend_from_slice(b" +0000");
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn hex(byte: u8) -> [u8; 2] {
    [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
}

fn escape_json(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        return out.extend_from_slice(text.as_bytes());
    }
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&hex(byte));
            }
            _ => out.push(byte),
        }
    }
}

/// As Apache's `ap_escape_logitem` does it: a backslash before quotes and backslashes, `\xhh` for what is not printable.
fn escape_apache(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0x20..0x7f => out.push(byte),
            _ => {
                out.extend_from_slice(b"\\x");
                out.extend_from_slice(&hex(byte));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{ActorId, Kind, Label};

    fn request() -> Request {
        Request {
            time: 1_772_438_400_385_000,
            customer: "shop-alpha".into(),
            host: "shop-alpha.example".into(),
            client_ip: "81.96.0.7".into(),
            user: None,
            method: "GET",
            path: "/search".into(),
            query: Some("q=a\"b\\c\u{1}é".into()),
            protocol: "HTTP/1.1",
            status: 200,
            bytes: 12_393,
            referrer: None,
            agent: Some("say \"hi\"\n".into()),
            duration: 69_000,
            label: Label::Human,
            actor: ActorId { customer: 0, kind: Kind::Browser, number: 0 },
        }
    }

    fn line(write: fn(&mut Vec<u8>, &Request), request: &Request) -> String {
        let mut out = Vec::new();
        write(&mut out, request);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_line_reads_back_whatever_the_text() {
        let line = line(write_json, &request());
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["time"], "2026-03-02T08:00:00.385Z");
        assert_eq!(value["uri"], "/search?q=a\"b\\c\u{1}é");
        assert_eq!(value["user_agent"], "say \"hi\"\n");
        assert_eq!(value["referer"], "-");
        assert_eq!((value["bytes"].as_u64(), value["request_time"].as_f64()), (Some(12_393), Some(0.069)));
    }

    #[test]
    fn combined_line_escapes_as_apache_does() {
        let expected = concat!(
            r#"81.96.0.7 - - [02/Mar/2026:08:00:00 +0000] "GET /search?q=a\"b\\c\x01\xc3\xa9 HTTP/1.1" 200 12393 "#,
            r#""-" "say \"hi\"\n""#,
            "\n"
        );
        assert_eq!(line(write_combined, &request()), expected);
        let empty = Request { bytes: 0, user: Some("u1".into()), ..request() };
        assert!(
            line(write_combined, &empty).contains(" - u1 [") && line(write_combined, &empty).contains("\" 200 - \"")
        );
    }

    #[test]
    fn dates_follow_the_calendar() {
        for (time, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999_000, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000Z"),
            (1_798_761_599_000_000, "2026-12-31T23:59:59.000Z"),
        ] {
            let mut out = Vec::new();
            write_iso_time(&mut out, time);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
