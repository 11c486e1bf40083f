//! Syslog messages, RFC 5424 and RFC 3164 with what servers make of it: who sent them, and what they carry.

/// One message. Times, process and message ids and structured data are read over: the payload has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyslogMessage<'a> {
    /// Facility × 8 + severity.
    pub priority: u8,
    /// Who logged, if it says so.
    pub host: Option<&'a str>,
    /// The program, if it says so: RFC 5424's app name, RFC 3164's tag.
    pub app: Option<&'a str>,
    /// What was logged.
    pub payload: &'a [u8],
}

/// Reads a message, without its framing.
///
/// # Errors
/// What was expected where.
pub fn parse_syslog(message: &[u8]) -> Result<SyslogMessage<'_>, String> {
    let (priority, rest) = priority(message).ok_or("expected a syslog priority such as <134> at byte 0")?;
    let at = |rest: &[u8]| message.len() - rest.len();
    if let Some(rest) = rest.strip_prefix(b"1 ") {
        let (host, app, payload) =
            modern(rest).map_err(|(what, rest)| format!("expected {what} at byte {}", at(rest)))?;
        return Ok(SyslogMessage { priority, host, app, payload });
    }
    let (host, app, payload) = legacy(rest);
    Ok(SyslogMessage { priority, host, app, payload })
}

/// What a line of a file carries behind the header that syslog has put before it, with or without priority. A line
/// without such a header stays whole.
pub(crate) fn without_header(line: &str) -> &str {
    if line.starts_with('<') {
        let payload = parse_syslog(line.as_bytes()).map(|message| message.payload.len());
        return payload.ok().and_then(|length| line.get(line.len() - length..)).unwrap_or(line);
    }
    let bytes = line.as_bytes();
    match timestamp(bytes) {
        Some(_) => {
            let (_, app, payload) = legacy(bytes);
            // a line that only begins with a time is no syslog
            app.and_then(|_| line.get(line.len() - payload.len()..)).unwrap_or(line)
        }
        None => line,
    }
}

fn priority(message: &[u8]) -> Option<(u8, &[u8])> {
    let rest = message.strip_prefix(b"<")?;
    let end = rest.iter().take(4).position(|byte| *byte == b'>')?;
    let (digits, rest) = rest.split_at_checked(end)?;
    let value: u8 = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?.parse().ok()?;
    // 23 facilities of 8 severities
    (value <= 191).then_some((value, rest.get(1..)?))
}

type Parts<'a> = (Option<&'a str>, Option<&'a str>, &'a [u8]);

/// RFC 5424 behind its version.
fn modern(rest: &[u8]) -> Result<Parts<'_>, (&'static str, &[u8])> {
    let (_, rest) = token(rest).ok_or(("a time", rest))?;
    let (host, rest) = token(rest).ok_or(("a host", rest))?;
    let (app, rest) = token(rest).ok_or(("an app name", rest))?;
    let (_, rest) = token(rest).ok_or(("a process", rest))?;
    let (_, rest) = token(rest).ok_or(("a message id", rest))?;
    let behind = structured(rest).ok_or(("structured data or '-'", rest))?;
    let payload = match behind {
        [] => behind,
        [b' ', payload @ ..] => payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload),
        _ => return Err(("a space behind the structured data", behind)),
    };
    Ok((named(host), named(app), payload))
}

/// What follows the structured data.
fn structured(rest: &[u8]) -> Option<&[u8]> {
    if let Some(behind) = rest.strip_prefix(b"-") {
        return Some(behind);
    }
    let mut rest = rest;
    let mut any = false;
    while let Some(inside) = rest.strip_prefix(b"[") {
        any = true;
        let (mut quoted, mut at) = (false, 0);
        loop {
            match inside.get(at)? {
                b'\\' if quoted => at += 1,
                b'"' => quoted = !quoted,
                b']' if !quoted => break,
                _ => {}
            }
            at += 1;
        }
        rest = inside.get(at + 1..)?;
    }
    any.then_some(rest)
}

/// RFC 3164 behind its priority: time, host, tag, of which programs leave out what they like.
fn legacy(message: &[u8]) -> Parts<'_> {
    let Some(rest) = timestamp(message) else {
        return match tag(message) {
            Some((app, payload)) => (None, Some(app), payload),
            None => (None, None, message),
        };
    };
    if let Some((app, payload)) = tag(rest) {
        return (None, Some(app), payload);
    }
    let Some((host, behind)) = token(rest) else { return (None, None, rest) };
    match tag(behind) {
        Some((app, payload)) => (named(host), Some(app), payload),
        None => (named(host), None, behind),
    }
}

/// What follows `Nov  4 22:37:26 ` (with a year before or behind it, as some write) or an ISO time.
fn timestamp(message: &[u8]) -> Option<&[u8]> {
    let is_clock = |text: &[u8]| matches!(text, [a, b, b':', c, d, b':', e, f, ..] if [a, b, c, d, e, f].iter().all(|byte| byte.is_ascii_digit()));
    let month = message.first_chunk::<3>()?;
    if super::time::month(month).is_some() && message.get(3) == Some(&b' ') && is_clock(message.get(7..)?) {
        let (_, rest) = token(message.get(7..)?)?;
        return Some(rest);
    }
    let iso = matches!(message, [a, b, c, d, b'-', ..] if [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()));
    if iso && message.get(10) == Some(&b'T') && is_clock(message.get(11..)?) {
        return token(message).map(|(_, rest)| rest);
    }
    None
}

/// `nginx: `, `haproxy[123]: `: the program, and what follows.
fn tag(rest: &[u8]) -> Option<(&str, &[u8])> {
    let end = rest.iter().take(49).position(|byte| matches!(byte, b':' | b'[' | b' '))?;
    let (name, mut behind) = rest.split_at_checked(end)?;
    if name.is_empty()
        || !name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/'))
    {
        return None;
    }
    if behind.first() == Some(&b'[') {
        let close = behind.iter().take(32).position(|byte| *byte == b']')?;
        behind = behind.get(close + 1..)?;
    }
    let behind = behind.strip_prefix(b":")?;
    // `10:05` is a time, not a program
    match behind {
        [] => Some((std::str::from_utf8(name).ok()?, behind)),
        [b' ', payload @ ..] => Some((std::str::from_utf8(name).ok()?, payload)),
        _ => None,
    }
}

/// The text up to a space, which is taken too.
fn token(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b' ', rest).filter(|end| *end > 0)?;
    Some((rest.get(..end)?, rest.get(end + 1..)?))
}

fn named(text: &[u8]) -> Option<&str> {
    std::str::from_utf8(text).ok().filter(|text| *text != "-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(message: &str) -> (u8, Option<&str>, Option<&str>, &str) {
        let read = parse_syslog(message.as_bytes()).unwrap();
        (read.priority, read.host, read.app, std::str::from_utf8(read.payload).unwrap())
    }

    // the first two are the examples of RFC 5424, section 6.5, and of RFC 3164, section 5.4
    #[test]
    fn both_kinds_are_read() {
        for (message, expected) in [
            (
                "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut=\"3\" eventSource=\"Appl\\]\\\"ication\" eventID=\"1011\"][examplePriority@32473 class=\"high\"] \u{feff}An application event",
                (165, Some("mymachine.example.com"), Some("evntslog"), "An application event"),
            ),
            (
                "<34>Oct 11 22:14:15 mymachine su: 'su root' failed",
                (34, Some("mymachine"), Some("su"), "'su root' failed"),
            ),
            ("<34>1 - - - - - -", (34, None, None, "")),
            ("<190>Nov  4 22:37:26 web1 nginx: 10.0.0.1 - -", (190, Some("web1"), Some("nginx"), "10.0.0.1 - -")),
            ("<190>Nov  4 22:37:26 nginx: 10.0.0.1 - -", (190, None, Some("nginx"), "10.0.0.1 - -")),
            (
                "<134>2016-07-04T22:37:26Z cache-sjc3128 LogTest[62959]: {\"a\":1}",
                (134, Some("cache-sjc3128"), Some("LogTest"), "{\"a\":1}"),
            ),
            (
                "<158>Nov 24 12:59:46 lb1 haproxy[21843]: 10.0.0.1:5000 [x",
                (158, Some("lb1"), Some("haproxy"), "10.0.0.1:5000 [x"),
            ),
            ("<13>just text", (13, None, None, "just text")),
        ] {
            assert_eq!(parts(message), expected, "{message}");
        }
    }

    #[test]
    fn what_is_no_message_says_where() {
        for (message, at) in
            [("", 0), ("text", 0), ("<192>x", 0), ("<1", 0), ("<34>1 - - - - -", 14), ("<34>1 - - - - - [a", 16)]
        {
            let reason = parse_syslog(message.as_bytes()).unwrap_err();
            assert!(reason.ends_with(&format!("at byte {at}")), "{message}: {reason}");
        }
    }

    #[test]
    fn headers_of_files_are_taken_off() {
        for (line, payload) in [
            ("Nov 24 12:59:46 lb1 haproxy[21843]: 10.0.0.1:5000", "10.0.0.1:5000"),
            ("<13>Nov 24 12:59:46 lb1 fastly: {}", "{}"),
            ("10.0.0.1 - - [x", "10.0.0.1 - - [x"),
            ("2026-01-01T00:00:00Z GET /a", "2026-01-01T00:00:00Z GET /a"),
        ] {
            assert_eq!(without_header(line), payload, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80), head in prop_oneof![Just(""), Just("<34>"), Just("<34>1 "), Just("<34>1 - - - - - "), Just("<13>Nov  4 22:37:26 ")]) {
            let message = [head.as_bytes(), &bytes].concat();
            if let Ok(read) = parse_syslog(&message) {
                prop_assert!(message.ends_with(read.payload));
            }
            let text = String::from_utf8_lossy(&message);
            prop_assert!(text.ends_with(without_header(&text)));
        }
    }
}
