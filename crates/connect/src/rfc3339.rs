//! Event times as RFC 3339 in UTC. Writes only; reading times is the formats' business.

use std::io::Write;

use fyke_types::Micros;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400;

/// `2026-11-23T19:02:14Z`, with six digits of fraction where there is one (`…14.000250Z`).
pub fn time_to_text(time: Micros) -> String {
    let mut out = Vec::with_capacity(27);
    write_time(time, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Appends [`time_to_text`] to `out`.
pub(crate) fn write_time(time: Micros, out: &mut Vec<u8>) {
    let (seconds, micros) = (time.div_euclid(SECOND), time.rem_euclid(SECOND));
    write_date(seconds.div_euclid(DAY), out);
    out.push(b'T');
    write_time_of_day(seconds.rem_euclid(DAY), micros, out);
    out.push(b'Z');
}

/// Appends the date that is `days` after 1970-01-01, as `YYYY-MM-DD`.
pub(crate) fn write_date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil_from_days(days);
    if (0..=9999).contains(&year) {
        digits(year as u32, 4, out);
    } else {
        // writing to a Vec can't fail
        let _ = write!(out, "{year:+05}");
    }
    out.push(b'-');
    digits(month, 2, out);
    out.push(b'-');
    digits(day, 2, out);
}

/// Appends `HH:MM:SS`, and six digits of fraction unless `micros` is 0.
pub(crate) fn write_time_of_day(second_of_day: i64, micros: i64, out: &mut Vec<u8>) {
    let second_of_day = second_of_day as u32;
    digits(second_of_day / 3600, 2, out);
    out.push(b':');
    digits(second_of_day / 60 % 60, 2, out);
    out.push(b':');
    digits(second_of_day % 60, 2, out);
    if micros != 0 {
        out.push(b'.');
        digits(micros as u32, 6, out);
    }
}

fn digits(value: u32, width: u32, out: &mut Vec<u8>) {
    for place in (0..width).rev() {
        out.push(b'0' + (value / 10u32.pow(place) % 10) as u8);
    }
}

/// Year, month and day (from 1) of a day number: Howard Hinnant's `civil_from_days`, proleptic Gregorian.
pub(crate) fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u32, day as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_with_a_fraction_only_where_there_is_one() {
        assert_eq!(time_to_text(0), "1970-01-01T00:00:00Z");
        assert_eq!(time_to_text(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(time_to_text(951_827_696_000_250), "2000-02-29T12:34:56.000250Z");
        assert_eq!(time_to_text(4_102_444_799_000_000), "2099-12-31T23:59:59Z");
    }

    #[test]
    fn the_whole_range_has_a_text() {
        assert_eq!(time_to_text(i64::MAX), "+294247-01-10T04:00:54.775807Z");
        assert_eq!(time_to_text(i64::MIN), "-290308-12-21T19:59:05.224192Z");
    }
}
