//! `${NAME}` in a text that goes on as text: values stay values, and lines stay where they are.

use std::collections::BTreeMap;

use fyke::{Error, Result};

/// `text` with its parameters replaced, by `values`, else by the environment.
///
/// # Errors
/// `Usage` for a parameter without a value, or one outside of quotes whose value is neither a number nor a word.
pub fn expand(text: &str, values: &BTreeMap<String, String>) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut quoted) = (text, false);
    while let Some(at) = rest.find(['\'', '$']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let name = from.strip_prefix("${").and_then(|inside| inside.split_once('}'));
        rest = match name {
            Some((name, after)) => {
                out.push_str(&value_of(name, values, quoted)?);
                after
            }
            None => {
                quoted ^= from.starts_with('\'');
                let (one, after) = from.split_at(1);
                out.push_str(one);
                after
            }
        };
    }
    out.push_str(rest);
    Ok(out)
}

fn value_of(name: &str, values: &BTreeMap<String, String>, quoted: bool) -> Result<String> {
    let Some(value) = values.get(name).cloned().or_else(|| std::env::var(name).ok()) else {
        return Err(Error::usage(format!("parameter ${{{name}}} has no value"))
            .hint(format!("give it with --set {name}=VALUE or as an environment variable")));
    };
    if quoted {
        return Ok(value.replace('\'', "''"));
    }
    let number = value.parse::<f64>().is_ok();
    let word = !value.is_empty() && value.chars().all(|c| c.is_alphanumeric() || c == '_');
    if number || word {
        return Ok(value);
    }
    Err(Error::usage(format!("the value of ${{{name}}} is neither a number nor a single word"))
        .hint(format!("write '${{{name}}}' in quotes to use it as text")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn value_in_quotes_cannot_end_them() {
        let text = expand("LOCATION 'a''${X}/b' $1 '$'", &values(&[("X", "it's; DROP")]));
        assert_eq!(text.expect("expanded"), "LOCATION 'a''it''s; DROP/b' $1 '$'");
    }

    #[test]
    fn value_outside_of_quotes_is_a_number_or_a_word() {
        assert_eq!(expand("LIMIT ${N}", &values(&[("N", "10")])).expect("expanded"), "LIMIT 10");
        assert!(expand("LIMIT ${N}", &values(&[("N", "1; DROP")])).is_err());
        assert!(expand("LIMIT ${NO_SUCH_PARAMETER}", &values(&[])).is_err());
    }
}
