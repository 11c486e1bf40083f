//! Times as logs write them: RFC 3339 and its relatives, the access log's own, seconds since 1970. Always UTC.

use arrow::datatypes::TimeUnit;

/// An instant: whole seconds since 1970-01-01 UTC (rounded down) and the nanoseconds above them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instant {
    pub seconds: i64,
    pub nanos: u32,
}

impl Instant {
    /// Counts of `unit` since 1970, finer digits cut off; `None` where they don't fit.
    #[inline]
    pub fn in_unit(self, unit: TimeUnit) -> Option<i64> {
        let (per_second, per_nano) = match unit {
            TimeUnit::Second => (1, 1_000_000_000),
            TimeUnit::Millisecond => (1_000, 1_000_000),
            TimeUnit::Microsecond => (1_000_000, 1_000),
            TimeUnit::Nanosecond => (1_000_000_000, 1),
        };
        self.seconds.checked_mul(per_second)?.checked_add(i64::from(self.nanos) / per_nano)
    }

    /// Microseconds since 1970.
    #[inline]
    pub fn micros(self) -> Option<i64> {
        self.in_unit(TimeUnit::Microsecond)
    }
}

/// The last date read: logs repeat it for a whole day.
#[derive(Debug, Clone, Default)]
pub(crate) struct DayCache {
    text: [u8; 10],
    day: i64,
}

/// Days since 1970-01-01 of a date of the Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date
/// algorithms", 2013); `None` if there is no such date.
pub(crate) fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=last).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

#[inline]
fn two(bytes: &[u8], at: usize) -> Option<i64> {
    let pair = bytes.get(at..)?.first_chunk::<2>()?;
    let (tens, ones) = (pair[0].wrapping_sub(b'0'), pair[1].wrapping_sub(b'0'));
    if tens > 9 || ones > 9 {
        return None;
    }
    Some(i64::from(tens) * 10 + i64::from(ones))
}

/// `YYYY-MM-DD` (the first ten bytes) as days since 1970.
fn date10(bytes: &[u8; 10]) -> Option<i64> {
    if bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    days(two(bytes, 0)? * 100 + two(bytes, 2)?, two(bytes, 5)?, two(bytes, 8)?)
}

/// `YYYY-MM-DD` and nothing else, as days since 1970.
pub(crate) fn date(text: &str) -> Option<i32> {
    let bytes: &[u8; 10] = text.as_bytes().try_into().ok()?;
    i32::try_from(date10(bytes)?).ok()
}

/// `HH:MM:SS` at `at` in seconds; 60 is a leap second and counts on.
#[inline]
fn clock(bytes: &[u8], at: usize) -> Option<i64> {
    let (hour, minute, second) = (two(bytes, at)?, two(bytes, at + 3)?, two(bytes, at + 6)?);
    if bytes.get(at + 2) != Some(&b':') || bytes.get(at + 5) != Some(&b':') {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(hour * 3600 + minute * 60 + second)
}

/// `Z`, `+HH:MM`, `+HHMM`, `+HH` or nothing (UTC), up to the end: seconds east of Greenwich.
#[inline]
pub(crate) fn offset(bytes: &[u8]) -> Option<i64> {
    let (sign, rest) = match bytes {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest.len() {
        2 => (two(rest, 0)?, 0),
        4 => (two(rest, 0)?, two(rest, 2)?),
        5 if rest.get(2) == Some(&b':') => (two(rest, 0)?, two(rest, 3)?),
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    Some(sign * (hours * 3600 + minutes * 60))
}

/// The digits behind a decimal point that start at `at`, as nanoseconds, and the byte behind them. Digits beyond the
/// ninth are cut off.
#[inline]
fn fraction(bytes: &[u8], at: usize) -> Option<(u32, usize)> {
    let mut end = at;
    let (mut nanos, mut scale) = (0, 100_000_000);
    while let Some(digit) = bytes.get(end).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit <= 9) {
        nanos += u32::from(digit) * scale;
        scale /= 10;
        end += 1;
    }
    (end > at).then_some((nanos, end))
}

/// `2026-03-02T08:00:00.385Z`: date, `T` or a space, clock, fraction if any, zone (none: UTC).
#[inline]
pub(crate) fn rfc3339(bytes: &[u8], cache: &mut DayCache) -> Option<Instant> {
    let day_text = bytes.first_chunk::<10>()?;
    if !matches!(bytes.get(10), Some(b'T' | b't' | b' ')) {
        return None;
    }
    // before anything was read the cache holds zeros, which are no date's text
    let day = if *day_text == cache.text {
        cache.day
    } else {
        let day = date10(day_text)?;
        *cache = DayCache { text: *day_text, day };
        day
    };
    let seconds = clock(bytes, 11)?;
    let (nanos, end) = match bytes.get(19) {
        Some(b'.' | b',') => fraction(bytes, 20)?,
        _ => (0, 19),
    };
    let east = offset(bytes.get(end..)?)?;
    Some(Instant { seconds: day * 86_400 + seconds - east, nanos })
}

/// `2026-03-02` and `08:00:00`, with a fraction or not: the two columns that W3C logs write. UTC.
pub(crate) fn date_and_clock(date_text: &str, clock_text: &str) -> Option<Instant> {
    let bytes = clock_text.as_bytes();
    let seconds = clock(bytes, 0)?;
    let (nanos, end) = match bytes.get(8) {
        Some(b'.' | b',') => fraction(bytes, 9)?,
        _ => (0, 8),
    };
    (end == bytes.len()).then_some(())?;
    Some(Instant { seconds: i64::from(date(date_text)?) * 86_400 + seconds, nanos })
}

const MONTHS: [&[u8; 3]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

/// The number of a month's English abbreviation, from 1.
pub(crate) fn month(text: &[u8]) -> Option<i64> {
    let lower = text.first_chunk::<3>()?.map(|byte| byte.to_ascii_lowercase());
    MONTHS.iter().position(|name| **name == lower).map(|index| index as i64 + 1)
}

/// `17/May/2015:10:05:03 +0000`, the time of access logs: its 26 bytes exactly.
pub(crate) fn common_log(bytes: &[u8]) -> Option<Instant> {
    let punctuation = [(2, b'/'), (6, b'/'), (11, b':'), (20, b' ')];
    if bytes.len() != 26 || punctuation.iter().any(|(at, byte)| bytes.get(*at) != Some(byte)) {
        return None;
    }
    let year = two(bytes, 7)? * 100 + two(bytes, 9)?;
    let day = days(year, month(bytes.get(3..6)?)?, two(bytes, 0)?)?;
    let east = offset(bytes.get(21..)?)?;
    Some(Instant { seconds: day * 86_400 + clock(bytes, 12)? - east, nanos: 0 })
}

/// `14/Jan/2015:12:48:57.127`, which HAProxy writes in its own zone: `east` seconds east of Greenwich.
pub(crate) fn local_log(bytes: &[u8], east: i64) -> Option<Instant> {
    let (whole, behind) = bytes.split_at_checked(20)?;
    let mut common = *b"dd/Mon/yyyy:hh:mm:ss +0000";
    common.get_mut(..20)?.copy_from_slice(whole);
    let instant = common_log(&common)?;
    let nanos = match behind {
        [] => 0,
        [b'.', digits @ ..] => fraction(digits, 0).filter(|(_, end)| *end == digits.len())?.0,
        _ => return None,
    };
    Some(Instant { seconds: instant.seconds - east, nanos })
}

/// What a bare number of time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Epoch {
    Seconds,
    Millis,
    /// Seconds, ms, µs or ns by its size: no log was written before 1973 or after 5138.
    BySize,
}

/// A decimal number (no exponent) since 1970, exactly.
pub(crate) fn epoch(text: &str, unit: Epoch) -> Option<Instant> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    if whole.is_empty() || !whole.bytes().chain(part.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let (part_nanos, _) = fraction(part.as_bytes(), 0)?;
    let per_second: i64 = match unit {
        Epoch::Seconds => 1,
        Epoch::Millis => 1_000,
        Epoch::BySize => match whole {
            0..100_000_000_000 => 1,
            100_000_000_000..100_000_000_000_000 => 1_000,
            100_000_000_000_000..100_000_000_000_000_000 => 1_000_000,
            _ => 1_000_000_000,
        },
    };
    let nanos = (whole % per_second) * (1_000_000_000 / per_second) + i64::from(part_nanos) / per_second;
    let seconds = whole / per_second;
    if !negative {
        return Some(Instant { seconds, nanos: u32::try_from(nanos).ok()? });
    }
    let borrow = i64::from(nanos > 0);
    Some(Instant { seconds: -seconds - borrow, nanos: u32::try_from((1_000_000_000 - nanos) % 1_000_000_000).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn micros(text: &str) -> Option<i64> {
        rfc3339(text.as_bytes(), &mut DayCache::default()).and_then(Instant::micros)
    }

    #[test]
    fn times_with_and_without_zone_are_utc() {
        let expected = Some(1_772_438_400_385_000);
        for text in [
            "2026-03-02T08:00:00.385Z",
            "2026-03-02 08:00:00.385",
            "2026-03-02t08:00:00,385z",
            "2026-03-02T09:30:00.385+01:30",
            "2026-03-02T03:00:00.385-0500",
            "2026-03-02T10:00:00.385000999+02",
        ] {
            assert_eq!(micros(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "-",
            "2026-03-02",
            "2026-03-02T08:00",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-03-02T24:00:00Z",
            "2026-03-02T08:00:00.Z",
            "2026-03-02T08:00:00Zx",
            "2026-03-02T08:00:00+1",
            "1772438400",
            "20260302T080000Z",
        ] {
            assert_eq!(micros(text), None, "{text}");
        }
    }

    #[test]
    fn access_log_times_keep_their_zone() {
        let time = |text: &str| common_log(text.as_bytes()).map(|instant| instant.seconds);
        assert_eq!(time("17/May/2015:10:05:03 +0000"), Some(1_431_857_103));
        assert_eq!(time("20/Feb/2016:00:00:45 -0500"), Some(1_455_944_445));
        assert_eq!(time("30/Feb/2016:00:00:45 -0500"), None);
        assert_eq!(time("17/Mai/2015:10:05:03 +0000"), None);
    }

    #[test]
    fn epochs_are_exact() {
        let check = |text, unit| epoch(text, unit).map(|instant| (instant.seconds, instant.nanos));
        assert_eq!(check("1700000000.123456789", Epoch::Seconds), Some((1_700_000_000, 123_456_789)));
        assert_eq!(check("1700000000123", Epoch::Millis), Some((1_700_000_000, 123_000_000)));
        assert_eq!(check("1700000000123", Epoch::BySize), Some((1_700_000_000, 123_000_000)));
        assert_eq!(check("1700000000123456", Epoch::BySize), Some((1_700_000_000, 123_456_000)));
        assert_eq!(check("-1.25", Epoch::Seconds), Some((-2, 750_000_000)));
        assert_eq!(check("1e9", Epoch::Seconds), None);
        assert_eq!(check("", Epoch::Seconds), None);
    }

    proptest! {
        #[test]
        fn a_warm_cache_changes_nothing(texts in proptest::collection::vec("(2026|2027)-0[12]-[0-3][0-9]T1[0-9]:00:00Z", 1..20)) {
            let mut cache = DayCache::default();
            for text in texts {
                prop_assert_eq!(rfc3339(text.as_bytes(), &mut cache).and_then(Instant::micros), micros(&text));
            }
        }
    }
}
