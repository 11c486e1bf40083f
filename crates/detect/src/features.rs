//! What each feature of the reference detector measures, and how a person would say it.

/// How a feature's value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// 0 to 1, written as percent.
    Share,
    /// The difference of two shares, written in points above or below.
    Points,
    /// A number of things.
    Count,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A factor.
    Times,
    /// A number without a unit.
    Number,
}

/// A feature in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureWords {
    /// The column's name in `client_sessions` and `client_progress`.
    pub name: &'static str,
    /// A phrase with `{}` where the value stands.
    pub phrase: &'static str,
    /// How values are written.
    pub unit: Unit,
}

/// The features that the detector's model takes, in the order in which `verdicts.sql` gives them. They measure the same
/// on any site; each is a column of `client_sessions` and `client_progress`.
pub const DETECTOR_FEATURES: &[FeatureWords] = &[
    words("requests", "{} requests in the visit", Unit::Count),
    words("minutes", "{} minutes with requests", Unit::Count),
    words("active_share", "requests in {} of the visit's minutes", Unit::Share),
    words("rate", "{} requests a minute", Unit::Number),
    words("peak", "{} requests in the busiest minute", Unit::Count),
    words("rate_ratio", "{} the requests of the customer's average client", Unit::Times),
    words("client_errors", "{} of requests failed with a 4xx status", Unit::Share),
    words("not_found", "{} of requests failed with 404", Unit::Share),
    words("denied", "{} of requests were denied (401, 403)", Unit::Share),
    words("server_errors", "{} of requests ended in a server's error (5xx)", Unit::Share),
    words("errors_above", "the share of failed requests is {} the customer's average", Unit::Points),
    words("heads", "{} of requests are HEAD", Unit::Share),
    words("other_methods", "{} of requests use rare methods", Unit::Share),
    words("one_path", "a single path all along: {}", Unit::Number),
    words("pages", "{} of requests are for pages", Unit::Share),
    words("assets", "{} of requests are for images, styles and scripts", Unit::Share),
    words("apis", "{} of requests are for interfaces and feeds", Unit::Share),
    words("robots", "{} of requests are for robots.txt, sitemaps and the like", Unit::Share),
    words("no_referrer", "{} of requests come from nowhere (no referrer)", Unit::Share),
    words("night", "{} of requests come at night", Unit::Share),
];

/// What the views measure besides: depth of paths, sizes, intervals in seconds and the like differ from site to site more
/// than from people to programs. A model that is trained on the site itself should have them too.
pub const MORE_FEATURES: &[FeatureWords] = &[
    words("gap_mean", "a request every {} within a minute", Unit::Seconds),
    words("gap_cv", "intervals between requests vary by {} of their mean", Unit::Share),
    words("redirects", "{} of requests were redirected", Unit::Share),
    words("posts", "{} of requests are POST", Unit::Share),
    words("path_ratio", "{} of a minute's requests go to different paths", Unit::Share),
    words("query_ratio", "{} of a minute's requests carry different queries", Unit::Share),
    words("path_entropy", "the paths are {} as spread as they could be", Unit::Share),
    words("depth_mean", "paths are {} segments deep", Unit::Number),
    words("depth_var", "the depth of paths has a variance of {}", Unit::Number),
    words("bytes_mean", "answers of {} on average", Unit::Bytes),
    words("bytes_cv", "sizes of answers vary by {} of their mean", Unit::Share),
];

/// The names of [`DETECTOR_FEATURES`]: what the shipped model takes.
pub const SHIPPED_FEATURES: &[&str] = &{
    let mut names = [""; DETECTOR_FEATURES.len()];
    let mut place = 0;
    while place < names.len() {
        names[place] = DETECTOR_FEATURES[place].name;
        place += 1;
    }
    names
};

/// Those of both that say nothing about pages, assets, interfaces or referrers: for judging on labels that were made
/// from these.
pub const STRICT_FEATURES: &[&str] = &[
    "requests",
    "minutes",
    "active_share",
    "rate",
    "peak",
    "rate_ratio",
    "gap_mean",
    "gap_cv",
    "redirects",
    "client_errors",
    "not_found",
    "denied",
    "server_errors",
    "errors_above",
    "posts",
    "heads",
    "other_methods",
    "path_ratio",
    "query_ratio",
    "one_path",
    "path_entropy",
    "depth_mean",
    "depth_var",
    "bytes_mean",
    "bytes_cv",
    "night",
];

const fn words(name: &'static str, phrase: &'static str, unit: Unit) -> FeatureWords {
    FeatureWords { name, phrase, unit }
}

/// The words for a feature, if it is one of the reference detector's.
pub fn words_of(name: &str) -> Option<&'static FeatureWords> {
    DETECTOR_FEATURES.iter().chain(MORE_FEATURES).find(|words| words.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sql_gives_the_models_features_in_this_order_with_its_baseline() {
        for view in ["session_verdicts", "minute_verdicts"] {
            let text = crate::VERDICTS.split_once(&format!("VIEW {view}")).unwrap().1;
            let call = text.split_once("predict_against('${model}',").unwrap().1.split_once(") AS model").unwrap().0;
            let arguments: Vec<&str> = call.split(',').map(str::trim).collect();
            let names: Vec<&str> = DETECTOR_FEATURES.iter().map(|words| words.name).collect();
            assert_eq!(arguments.len(), 2 * names.len());
            assert_eq!(&arguments[..names.len()], names);
            for (baseline, name) in arguments[names.len()..].iter().zip(names) {
                assert!(*baseline == "NULL" || *baseline == format!("base_{name}"), "{baseline}");
            }
        }
    }

    #[test]
    fn visits_and_progress_measure_the_same() {
        let part = |view: &str| {
            let text = crate::FEATURES.split_once(&format!("VIEW {view}")).unwrap().1;
            let (_, list) = text.split_once("AS attacks,").unwrap();
            list.split_once("AS base_night").unwrap().0.to_owned()
        };
        assert_eq!(part("client_sessions"), part("client_progress"));
        for words in DETECTOR_FEATURES.iter().chain(MORE_FEATURES) {
            assert!(part("client_sessions").contains(&format!(" AS {},", words.name)), "{}", words.name);
            assert!(words.phrase.contains("{}"));
        }
        assert!(STRICT_FEATURES.iter().all(|name| words_of(name).is_some()));
    }
}
