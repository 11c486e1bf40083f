//! What is a bot?
//!
//! The reference detector as SQL that a user can read and copy ([`FEATURES`], [`VERDICTS`]), the functions that it calls
//! (`predict`, `predict_against`, `allowed`, `crawler_verified`, `list_contains`), the model that ships with the program,
//! and reasons in words. No connector, no file format, no window: those belong to other rooms.

mod crawlers;
mod features;
mod lists;
mod models;
mod predict;
mod reasons;
mod rules;
mod settings;
mod text_function;

use fyke_query::Context;

pub use crawlers::CrawlerRanges;
pub use features::{DETECTOR_FEATURES, FeatureWords, MORE_FEATURES, SHIPPED_FEATURES, STRICT_FEATURES, Unit, words_of};
pub use lists::{AllowList, Lists};
pub use models::{Detector, Models, SHIPPED, SHIPPED_BYTES, TYPICAL};
pub use reasons::{Cited, REASONS_FROM_SCORE, REASONS_MOST};
pub use rules::Rules;
pub use settings::{DetectorSetting, SETTINGS, fill};

/// Views from `requests` to `client_sessions` and `client_progress`. Its parameters are in [`SETTINGS`].
pub const FEATURES: &str = include_str!("../sql/features.sql");

/// Views `session_verdicts` and `minute_verdicts` over those of [`FEATURES`].
pub const VERDICTS: &str = include_str!("../sql/verdicts.sql");

/// Makes the detector's functions known to a context: models as given, no rules. Registering again replaces them.
pub fn register(context: &Context, models: &Models) {
    for function in predict::functions(models) {
        context.register_function(function);
    }
    register_rules(context, &Rules::default());
}

/// Makes rules known to a context; they replace those that were.
pub fn register_rules(context: &Context, rules: &Rules) {
    for function in rules::functions(rules) {
        context.register_function(function);
    }
}
