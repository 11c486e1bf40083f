//! When rows of an output leave: as their windows close, or early and again.

use std::collections::BTreeMap;

use fyke_types::{Error, Micros, Result, Settings};

/// The settings of outputs that belong to the engine, with what they mean; all others go to the connector.
pub const EMIT_SETTINGS: [(&str, &str); 3] = [
    (
        "emit",
        "`close` (default): each row once, when its window closes; `update`: early too, each row replacing the one of \
         its key; `changelog`: the same as rows with a column `op`, for outputs that only append",
    ),
    ("every", "update and changelog: a changed group is given at most this often (default '1 second')"),
    ("final", "update and changelog: name of one column more that says whether the row is final (default: none)"),
];

/// How often changed groups are given where nothing is said: a second.
const EVERY: Micros = 1_000_000;

/// Early results of one output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emit {
    /// A changed group is given at most this often, in microseconds of wall time.
    pub every: Micros,
    /// Name of a column that says whether a row is final.
    pub final_column: Option<String>,
    /// Changes as rows with a column `op`, for sinks that only append.
    pub changelog: bool,
}

impl Emit {
    /// Upserts, changed groups at most every so many microseconds.
    pub fn update(every: Micros) -> Self {
        Self { every, final_column: None, changelog: false }
    }

    /// Takes the settings out of an output's; none: rows leave as their windows close.
    ///
    /// # Errors
    /// `Usage` for values that can't be read, and for settings without a meaning here.
    pub fn take(of: &str, options: &mut BTreeMap<String, String>) -> Result<Option<Self>> {
        let mut settings = Settings::new(of, std::mem::take(options));
        let emit = settings.text("emit").unwrap_or_else(|| "close".to_owned());
        let changelog = match emit.to_ascii_lowercase().as_str() {
            "close" | "append" => None,
            "update" => Some(false),
            "changelog" => Some(true),
            _ => {
                return Err(Error::usage(format!("setting 'emit' of {of} is '{emit}'"))
                    .hint("it takes 'close', 'update' or 'changelog'"));
            }
        };
        let (every, final_column) = (settings.duration("every")?, settings.text("final"));
        *options = settings.rest();
        let Some(changelog) = changelog else {
            if let Some((key, _)) =
                [("every", every.is_some()), ("final", final_column.is_some())].iter().find(|(_, set)| *set)
            {
                return Err(Error::usage(format!("setting '{key}' of {of} has no meaning when windows close"))
                    .hint("add 'emit' 'update' for early results"));
            }
            return Ok(None);
        };
        let every = every.unwrap_or(EVERY);
        if every <= 0 {
            return Err(Error::usage(format!("setting 'every' of {of} must be above zero")));
        }
        Ok(Some(Self { every, final_column, changelog }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(pairs: &[(&str, &str)]) -> Result<Option<Emit>> {
        let mut options = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Emit::take("the sink", &mut options)
    }

    #[test]
    fn update_mode_has_a_second_by_default() {
        assert_eq!(take(&[("emit", "update")]).expect("read"), Some(Emit::update(1_000_000)));
        assert_eq!(take(&[]).expect("read"), None);
    }

    #[test]
    fn wrong_words_are_refused_with_the_right_ones() {
        for wrong in [&[("emit", "updates")][..], &[("every", "1 second")], &[("emit", "update"), ("every", "0s")]] {
            assert!(take(wrong).is_err(), "{wrong:?}");
        }
    }
}
