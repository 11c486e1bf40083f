//! Why a client got its score, in words: features whose replacement by the average lowers the score, and nothing else.

use crate::features::{Unit, words_of};
use crate::models::Detector;

/// Reasons are given from this score on, where a client is suspect by default: below it nobody is accused.
pub const REASONS_FROM_SCORE: f64 = 40.0;

/// So many reasons at most.
pub const REASONS_MOST: usize = 3;

/// More are looked at, since some read the same on both sides of the comparison.
const LOOKED_AT: usize = 2 * REASONS_MOST;

/// A feature that a reason cites.
#[derive(Debug, Clone, PartialEq)]
pub struct Cited {
    /// The feature's place in the model's signature.
    pub feature: usize,
    /// What it is compared with: the customer's average, or people's where nobody was compared.
    pub baseline: f64,
    /// How far the score falls with the baseline in its place, in points; above 0.
    pub drop: f64,
    /// For a person.
    pub text: String,
}

impl Detector {
    /// The reasons for the score of an encoded row, the weightiest first. `customer` holds the customer's averages in
    /// the signature's order (NaN or missing: not known).
    pub fn cite(&self, row: &[f32], customer: &[f64]) -> Vec<Cited> {
        let known = |place: usize| customer.get(place).copied().filter(|value| value.is_finite());
        let baselines: Vec<f64> =
            self.typical.iter().enumerate().map(|(place, typical)| known(place).unwrap_or(*typical)).collect();
        let mut cited = Vec::with_capacity(REASONS_MOST);
        for reason in self.model.reasons(row, &baselines, LOOKED_AT) {
            let Some(feature) = self.model.signature().features().get(reason.feature) else { continue };
            let whose = if known(reason.feature).is_some() { "customer's average" } else { "people's average" };
            // as the trees see it: the last digits depend on the order of sums
            let baseline = f64::from(reason.baseline as f32);
            if let Some(text) = in_words(&feature.name, reason.value, baseline, whose) {
                cited.push(Cited { feature: reason.feature, baseline: reason.baseline, drop: reason.drop, text });
            }
            if cited.len() == REASONS_MOST {
                break;
            }
        }
        cited
    }
}

/// None where value and average read the same.
fn in_words(name: &str, value: f64, average: f64, whose: &str) -> Option<String> {
    let words = words_of(name);
    let unit = words.map_or(Unit::Number, |words| words.unit);
    if value.is_nan() {
        return Some(format!("{}: cannot be measured ({whose} {})", name.replace('_', " "), written(average, unit, 0)));
    }
    let digits = (0..4).find(|digits| written(value, unit, *digits) != written(average, unit, *digits))?;
    let (value, average) = (written(value, unit, digits), written(average, unit, digits));
    Some(match words {
        // it is a comparison already
        Some(words) if unit == Unit::Points => words.phrase.replace("{}", &value),
        Some(words) => format!("{} ({whose} {average})", words.phrase.replace("{}", &value)),
        None => format!("{name} is {value} ({whose} {average})"),
    })
}

fn written(value: f64, unit: Unit, more: usize) -> String {
    match unit {
        Unit::Share => format!("{:.*} %", more, 100.0 * value),
        Unit::Points if value < 0.0 => format!("{:.*} points below", more, -100.0 * value),
        Unit::Points => format!("{:.*} points above", more, 100.0 * value),
        Unit::Count => format!("{value:.more$}"),
        Unit::Seconds => format!("{:.*} s", 1 + more, value),
        Unit::Bytes if value >= 10_000.0 => format!("{:.*} kB", more, value / 1_000.0),
        Unit::Bytes => format!("{value:.more$} bytes"),
        Unit::Times => format!("{:.*} times", 1 + more, value),
        Unit::Number => format!("{:.*}", 1 + more, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_value_and_average_with_as_many_digits_as_it_takes() {
        let say = |name, value, average| in_words(name, value, average, "customer's average");
        assert_eq!(
            say("not_found", 0.84, 0.03).as_deref(),
            Some("84 % of requests failed with 404 (customer's average 3 %)")
        );
        assert_eq!(
            say("gap_mean", 2.0, 14.26).as_deref(),
            Some("a request every 2.0 s within a minute (customer's average 14.3 s)")
        );
        assert_eq!(
            say("night", 0.0002, 0.0001).as_deref(),
            Some("0.02 % of requests come at night (customer's average 0.01 %)")
        );
        assert_eq!(
            say("errors_above", -0.35, 0.0).as_deref(),
            Some("the share of failed requests is 35 points below the customer's average")
        );
        assert_eq!(say("night", 0.5, 0.5), None);
        assert_eq!(say("mine", 3.0, 1.0).as_deref(), Some("mine is 3.0 (customer's average 1.0)"));
        assert!(say("gap_cv", f64::NAN, 1.0).is_some_and(|text| text.contains("cannot be measured")));
    }
}
