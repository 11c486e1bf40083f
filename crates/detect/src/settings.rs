//! The parameters of the detector's SQL: names, defaults, meaning. The texts hold no other number that decides.

use std::collections::BTreeMap;

use fyke_types::{Error, Result, parse_duration_us};

/// A parameter `${name}` of the detector's SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DetectorSetting {
    /// As the SQL and `--set` name it.
    pub name: &'static str,
    /// What counts where nobody sets it.
    pub default: &'static str,
    /// What it means, with its unit.
    pub meaning: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Duration,
    Whole { most: u64 },
    Score,
    Model,
}

/// All of them.
pub const SETTINGS: &[DetectorSetting] = &[
    setting("session_gap", "30 minutes", "a visit ends after so long without a request", Kind::Duration),
    setting("min_clients", "5", "a minute with fewer clients compares nobody", Kind::Whole { most: 1_000_000 }),
    setting("night_from", "0", "the first hour (UTC) that counts as night", Kind::Whole { most: 24 }),
    setting("night_to", "6", "the first hour (UTC) after the night", Kind::Whole { most: 24 }),
    setting("model", "detector@shipped", "the model that judges: name@version, name@alias or name@latest", Kind::Model),
    setting("bot_score", "60", "the score (0 to 100) from which a client is called a bot", Kind::Score),
    setting("suspect_score", "40", "the score (0 to 100) from which a client is called suspect", Kind::Score),
    setting(
        "attack_requests",
        "3",
        "so many requests for what only attackers ask for make a bot, whatever the score",
        Kind::Whole { most: u64::MAX },
    ),
];

const fn setting(name: &'static str, default: &'static str, meaning: &'static str, kind: Kind) -> DetectorSetting {
    DetectorSetting { name, default, meaning, kind }
}

impl DetectorSetting {
    fn check(&self, value: &str) -> Result<()> {
        let (fits, expected) = match self.kind {
            Kind::Duration => (parse_duration_us(value).is_some(), "a duration such as '30 minutes'".to_owned()),
            Kind::Whole { most } => {
                (value.parse::<u64>().is_ok_and(|number| number <= most), "a whole number in its range".to_owned())
            }
            Kind::Score => {
                (value.parse::<f64>().is_ok_and(|score| (0.0..=100.0).contains(&score)), "0 to 100".to_owned())
            }
            Kind::Model => {
                let word = |c: char| c.is_ascii_alphanumeric() || "_-.@".contains(c);
                (!value.is_empty() && value.chars().all(word), "a model such as detector@champion".to_owned())
            }
        };
        if fits {
            return Ok(());
        }
        Err(Error::usage(format!("the detector's setting '{}' is '{value}'", self.name))
            .hint(format!("it takes {expected}")))
    }
}

/// `sql` with its detector parameters replaced: by `values`, else by their defaults. Other parameters stay.
///
/// # Errors
/// `Usage` for a value that does not fit, or a name that is no setting of the detector.
pub fn fill(sql: &str, values: &BTreeMap<String, String>) -> Result<String> {
    if let Some(unknown) = values.keys().find(|name| !SETTINGS.iter().any(|setting| setting.name == *name)) {
        let known: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
        return Err(Error::usage(format!("the detector has no setting '{unknown}'"))
            .hint(format!("it has {}", known.join(", "))));
    }
    let mut text = sql.to_owned();
    for setting in SETTINGS {
        let value = values.get(setting.name).map_or(setting.default, String::as_str);
        setting.check(value)?;
        text = text.replace(&format!("${{{}}}", setting.name), value);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_of_the_texts_is_a_documented_setting() {
        let texts = [crate::FEATURES, crate::VERDICTS];
        let filled = texts.map(|text| fill(text, &BTreeMap::new()).unwrap());
        for text in &filled {
            assert!(!text.contains("${"), "{text}");
        }
        for setting in SETTINGS {
            let name = format!("${{{}}}", setting.name);
            assert!(texts.iter().any(|text| text.contains(&name)), "{name} is in no text");
            assert!(
                texts.iter().any(|text| text.contains(setting.default)),
                "{name}: default is not in the text's head"
            );
        }
    }

    #[test]
    fn values_that_do_not_fit_are_refused_by_name() {
        for (name, value) in
            [("bot_score", "101"), ("min_clients", "-1"), ("session_gap", "soon"), ("model", "a'b"), ("x", "1")]
        {
            let error = fill("", &BTreeMap::from([(name.to_owned(), value.to_owned())])).unwrap_err();
            assert!(error.message().contains(name), "{error}");
        }
    }
}
