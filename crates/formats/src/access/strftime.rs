//! Times in parts: the pieces of Apache's `%{…}t`, put together into one instant.

use fyke_types::{Error, Micros, Result};

use crate::text::time::{days, month, offset};

/// A piece of a time format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Stands as it is.
    Text(String),
    /// `%Y`, `%m`, …
    Field(u8),
    /// Digits of the fraction of a second: 3 or 6.
    Fraction(usize),
    /// Counts since 1970: how many in a second.
    Epoch(i64),
}

/// Compiles a time format of Apache's: strftime, or `sec`, `msec`, `usec`, `msec_frac`, `usec_frac`, with `begin:` or
/// `end:` before them.
///
/// # Errors
/// `Usage` for a conversion that can't be read back.
pub(super) fn compile(format: &str) -> Result<Vec<Piece>> {
    let format = format.strip_prefix("begin:").or_else(|| format.strip_prefix("end:")).unwrap_or(format);
    match format {
        "sec" => return Ok(vec![Piece::Epoch(1)]),
        "msec" => return Ok(vec![Piece::Epoch(1_000)]),
        "usec" => return Ok(vec![Piece::Epoch(1_000_000)]),
        "msec_frac" => return Ok(vec![Piece::Fraction(3)]),
        "usec_frac" => return Ok(vec![Piece::Fraction(6)]),
        _ => {}
    }
    let mut pieces = Vec::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            text(&mut pieces, character);
            continue;
        }
        let expanded = match characters.next() {
            Some('%') => {
                text(&mut pieces, '%');
                continue;
            }
            Some('s') => {
                pieces.push(Piece::Epoch(1));
                continue;
            }
            Some('T') => "H:M:S",
            Some('R') => "H:M",
            Some('F') => "Y-m-d",
            Some('D') => "m/d/y",
            Some('h') => "b",
            Some(one @ ('Y' | 'm' | 'd' | 'H' | 'M' | 'S' | 'b' | 'y' | 'e' | 'z' | 'a')) => {
                pieces.push(Piece::Field(one as u8));
                continue;
            }
            other => {
                let shown = other.map(String::from).unwrap_or_default();
                return Err(Error::usage(format!("a time format holds '%{shown}', which can't be read back"))
                    .hint("known are %Y %m %d %H %M %S %b %y %e %z %a %s %T %R %F %D, and sec, msec, usec, msec_frac, usec_frac"));
            }
        };
        for part in expanded.chars() {
            if part.is_ascii_alphabetic() {
                pieces.push(Piece::Field(part as u8));
            } else {
                text(&mut pieces, part);
            }
        }
    }
    Ok(pieces)
}

fn text(pieces: &mut Vec<Piece>, character: char) {
    match pieces.last_mut() {
        Some(Piece::Text(text)) => text.push(character),
        _ => pieces.push(Piece::Text(character.into())),
    }
}

/// What the pieces of a line's time have said so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TimeParts {
    date: (Option<i64>, Option<i64>, Option<i64>),
    clock: i64,
    east: i64,
    micros: i64,
    epoch: Option<Micros>,
}

impl TimeParts {
    /// The instant, if there is one.
    pub fn instant(&self) -> Option<Micros> {
        if let Some(epoch) = self.epoch {
            // a fraction beside a count of whole seconds adds to it
            let whole = epoch % 1_000_000 == 0;
            return epoch.checked_add(if whole { self.micros } else { 0 });
        }
        let (Some(year), Some(month), Some(day)) = self.date else { return None };
        Some((days(year, month, day)? * 86_400 + self.clock - self.east) * 1_000_000 + self.micros)
    }

    /// Reads the pieces at the start of `text`: the bytes that they took, or where and what was expected.
    pub fn read(&mut self, pieces: &[Piece], text: &str) -> std::result::Result<usize, (usize, String)> {
        let bytes = text.as_bytes();
        let mut at = 0;
        for piece in pieces {
            let rest = bytes.get(at..).unwrap_or_default();
            let used = match piece {
                Piece::Text(literal) if rest.starts_with(literal.as_bytes()) => literal.len(),
                Piece::Text(literal) => return Err((at, format!("'{literal}' in the time"))),
                Piece::Field(code) => {
                    self.field(*code, rest).ok_or_else(|| (at, format!("%{} of the time", char::from(*code))))?
                }
                Piece::Fraction(digits) => {
                    let value = number(rest, *digits).ok_or_else(|| (at, format!("{digits} digits of a fraction")))?;
                    self.micros = if *digits == 3 { value * 1_000 } else { value };
                    *digits
                }
                Piece::Epoch(per_second) => {
                    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                    let count = number(rest, digits).filter(|_| digits > 0);
                    let micros = count.and_then(|count| count.checked_mul(1_000_000 / per_second));
                    self.epoch = Some(micros.ok_or_else(|| (at, "a time since 1970".to_owned()))?);
                    digits
                }
            };
            at += used;
        }
        Ok(at)
    }

    fn field(&mut self, code: u8, rest: &[u8]) -> Option<usize> {
        match code {
            b'Y' => self.date.0 = Some(number(rest, 4)?),
            b'm' => self.date.1 = Some(number(rest, 2)?),
            b'd' => self.date.2 = Some(number(rest, 2)?),
            b'e' => {
                let padded = rest.first() == Some(&b' ');
                self.date.2 = Some(if padded { number(rest.get(1..)?, 1)? } else { number(rest, 2)? });
                return Some(2);
            }
            b'b' => {
                self.date.1 = Some(month(rest)?);
                return Some(3);
            }
            // POSIX: 69 to 99 are 19xx
            b'y' => {
                let year = number(rest, 2)?;
                self.date.0 = Some(if year < 69 { 2000 + year } else { 1900 + year });
            }
            b'H' => self.clock += number(rest, 2).filter(|hour| *hour < 24)? * 3600,
            b'M' => self.clock += number(rest, 2).filter(|minute| *minute < 60)? * 60,
            b'S' => self.clock += number(rest, 2).filter(|second| *second <= 60)?,
            b'a' => return rest.get(..3)?.iter().all(u8::is_ascii_alphabetic).then_some(3),
            b'z' => {
                let length = if rest.first() == Some(&b'Z') { 1 } else { 5 };
                self.east = offset(rest.get(..length)?)?;
                return Some(length);
            }
            _ => return None,
        }
        Some(if code == b'Y' { 4 } else { 2 })
    }
}

/// The first `digits` bytes as a number.
fn number(bytes: &[u8], digits: usize) -> Option<i64> {
    let text = bytes.get(..digits)?;
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: &str, text: &str) -> Option<Micros> {
        let mut parts = TimeParts::default();
        let used = parts.read(&compile(format).ok()?, text).ok()?;
        parts.instant().filter(|_| used == text.len())
    }

    #[test]
    fn usual_formats_give_the_same_instant() {
        for (format, text) in [
            ("%d/%b/%Y:%H:%M:%S %z", "17/May/2015:10:05:03 +0000"),
            ("%Y-%m-%dT%H:%M:%S%z", "2015-05-17T12:05:03+0200"),
            ("%F %T", "2015-05-17 10:05:03"),
            ("%a %e %b %Y %T", "Sun 17 May 2015 10:05:03"),
            ("%D %T", "05/17/15 10:05:03"),
            ("sec", "1431857103"),
            ("msec", "1431857103000"),
            ("begin:usec", "1431857103000000"),
        ] {
            assert_eq!(read(format, text), Some(1_431_857_103_000_000), "{format}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        assert_eq!(read("%F %T", "2015-02-30 10:05:03"), None);
        assert_eq!(read("%F %T", "2015-05-17 25:05:03"), None);
        assert_eq!(read("sec", ""), None);
        assert_eq!(read("%H:%M", "10:05"), None);
        assert!(compile("%Y %Q").is_err());
    }
}
