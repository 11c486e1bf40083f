//! Which windows a moment belongs to: pure arithmetic, the one definition that batch and stream share.

use crate::{Error, Micros, Result};

/// A window's width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Span {
    /// A fixed number of microseconds, above zero.
    Micros(Micros),
    /// Calendar months, above zero.
    Months(u32),
}

/// A checked window function call without its time argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WindowSpec {
    /// `tumble(t, width [, offset])`.
    Tumble {
        /// The width.
        width: Span,
        /// Shifts the alignment to 1970-01-01 UTC.
        offset: Micros,
    },
    /// `hop(t, width, slide [, offset])`: slide ≤ width.
    Hop {
        /// The width.
        width: Micros,
        /// The distance of two starts.
        slide: Micros,
        /// Shifts the alignment to 1970-01-01 UTC.
        offset: Micros,
    },
    /// `cumulate(t, width, step [, offset])`: width is a multiple of step.
    Cumulate {
        /// The greatest width.
        width: Micros,
        /// By how much a window is longer than the one before.
        step: Micros,
        /// Shifts the alignment to 1970-01-01 UTC.
        offset: Micros,
    },
    /// `session(t, gap)`: ends at its last event + gap; a distance of exactly the gap joins.
    Session {
        /// The gap.
        gap: Micros,
    },
}

impl WindowSpec {
    /// The same, if its numbers make sense.
    ///
    /// # Errors
    /// `Usage` with the remedy: zero or negative widths, slide > width, a width that is no multiple of the step.
    pub fn checked(self) -> Result<Self> {
        let positive = |what: &str, value: Micros| {
            if value > 0 { Ok(()) } else { Err(Error::usage(format!("the {what} of a window must be above zero"))) }
        };
        match self {
            Self::Tumble { width: Span::Micros(width), .. } => positive("width", width)?,
            Self::Tumble { width: Span::Months(months), .. } => positive("width", i64::from(months))?,
            Self::Hop { width, slide, .. } => {
                positive("width", width)?;
                positive("slide", slide)?;
                if slide > width {
                    return Err(Error::usage("the slide of hop is longer than its width")
                        .hint("are width and slide swapped? hop(t, width, slide)"));
                }
            }
            Self::Cumulate { width, step, .. } => {
                positive("width", width)?;
                positive("step", step)?;
                if width % step != 0 {
                    return Err(Error::usage("the width of cumulate is no multiple of its step")
                        .hint("cumulate(t, width, step): for example one hour by one minute"));
                }
            }
            Self::Session { gap } => positive("gap", gap)?,
        }
        Ok(self)
    }

    /// The function's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Tumble { .. } => "tumble",
            Self::Hop { .. } => "hop",
            Self::Cumulate { .. } => "cumulate",
            Self::Session { .. } => "session",
        }
    }

    /// Whether all its windows are of one width and alignment, so that a start determines an end.
    pub fn is_fixed(&self) -> bool {
        matches!(self, Self::Tumble { .. } | Self::Hop { .. })
    }

    /// Calls `give(start, end)` for each window that holds `t`, earliest end first. A session gives `[t, t + gap)`,
    /// which the caller merges.
    pub fn each_window(&self, t: Micros, mut give: impl FnMut(Micros, Micros)) {
        match *self {
            Self::Tumble { width, offset } => {
                let (start, end) = tumble(t, width, offset);
                give(start, end);
            }
            Self::Hop { width, slide, offset } => {
                let last = align(t, slide, offset);
                // starts s with s <= t < s + width, from the earliest
                let count = (width - (t - last) + slide - 1) / slide;
                for back in (0..count).rev() {
                    let start = last.saturating_sub(back * slide);
                    give(start, start.saturating_add(width));
                }
            }
            Self::Cumulate { width, step, offset } => {
                let start = align(t, width, offset);
                let mut end = align(t, step, offset).saturating_add(step);
                while end <= start.saturating_add(width) {
                    give(start, end);
                    end += step;
                }
            }
            Self::Session { gap } => give(t, t.saturating_add(gap)),
        }
    }

    /// The end of the last window to close among those that hold `t`: a row is late only once this one is closed.
    pub fn last_end(&self, t: Micros) -> Micros {
        let mut last = t;
        self.each_window(t, |_, end| last = end);
        last
    }

    /// Rows within one pane belong to the same windows: the pane's width, where there is such a thing.
    pub fn pane(&self) -> Option<Micros> {
        match *self {
            Self::Hop { width, slide, .. } => Some(greatest_common_divisor(width, slide)),
            Self::Cumulate { step, .. } => Some(step),
            Self::Session { gap } => Some(gap),
            Self::Tumble { .. } => None,
        }
    }

    /// The offset of the alignment.
    pub fn offset(&self) -> Micros {
        match *self {
            Self::Tumble { offset, .. } | Self::Hop { offset, .. } | Self::Cumulate { offset, .. } => offset,
            Self::Session { .. } => 0,
        }
    }
}

fn greatest_common_divisor(a: Micros, b: Micros) -> Micros {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// The latest multiple of `width` (+ `offset`) at or before `t`.
pub fn align(t: Micros, width: Micros, offset: Micros) -> Micros {
    let shifted = t.saturating_sub(offset);
    (shifted - shifted.rem_euclid(width)).saturating_add(offset)
}

/// The tumbling window that holds `t`.
pub fn tumble(t: Micros, width: Span, offset: Micros) -> (Micros, Micros) {
    match width {
        Span::Micros(width) => {
            let start = align(t, width, offset);
            (start, start.saturating_add(width))
        }
        Span::Months(months) => {
            let months = i64::from(months);
            let month = month_of(t.saturating_sub(offset));
            let first = month - month.rem_euclid(months);
            (month_start(first).saturating_add(offset), month_start(first + months).saturating_add(offset))
        }
    }
}

const DAY: Micros = 86_400_000_000;

/// Months since January 1970.
fn month_of(t: Micros) -> i64 {
    // civil calendar from days, Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"
    let days = t.div_euclid(DAY) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year - 1970) * 12 + month - 1
}

/// The first moment of a month, given in months since January 1970.
fn month_start(months: i64) -> Micros {
    let (year, month) = (1970 + months.div_euclid(12), months.rem_euclid(12) + 1);
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * from_march + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era - 719_468).saturating_mul(DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(spec: WindowSpec, t: Micros) -> Vec<(Micros, Micros)> {
        let mut out = Vec::new();
        spec.each_window(t, |start, end| out.push((start, end)));
        out
    }

    #[test]
    fn hop_gives_every_window_that_holds_the_moment_and_no_other() {
        for (width, slide) in [(10, 5), (10, 3), (7, 7), (9, 4), (5, 1)] {
            let spec = WindowSpec::Hop { width, slide, offset: 2 };
            for t in -40..40 {
                let expected: Vec<_> = (-100..100)
                    .map(|k| k * slide + 2)
                    .filter(|start| (*start..start + width).contains(&t))
                    .map(|start| (start, start + width))
                    .collect();
                assert_eq!(windows(spec, t), expected, "{spec:?} at {t}");
            }
        }
    }

    #[test]
    fn cumulate_grows_by_step_from_the_aligned_start() {
        let spec = WindowSpec::Cumulate { width: 10, step: 5, offset: 0 };
        assert_eq!(windows(spec, 3), [(0, 5), (0, 10)]);
        assert_eq!(windows(spec, 5), [(0, 10)]);
        assert_eq!(windows(spec, -1), [(-10, 0)]);
    }

    #[test]
    fn weeks_start_on_thursday_and_months_on_the_first() {
        let day = |d: i64| d * DAY;
        assert_eq!(tumble(day(5), Span::Micros(7 * DAY), 0), (0, day(7)));
        // 2016-02-29 is day 16860; February 2016 runs from day 16832 to day 16861
        assert_eq!(tumble(day(16_860) + 5, Span::Months(1), 0), (day(16_832), day(16_861)));
        assert_eq!(tumble(-1, Span::Months(12), 0), (day(-365), 0));
    }

    #[test]
    fn senseless_widths_are_refused_with_the_remedy() {
        let swapped = WindowSpec::Hop { width: 30, slide: 60, offset: 0 }.checked();
        assert!(swapped.is_err_and(|e| e.to_string().contains("swapped")));
        assert!(WindowSpec::Tumble { width: Span::Micros(0), offset: 0 }.checked().is_err());
        assert!(WindowSpec::Cumulate { width: 10, step: 3, offset: 0 }.checked().is_err());
        assert!(WindowSpec::Session { gap: -1 }.checked().is_err());
    }
}
