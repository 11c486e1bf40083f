//! Rules that come before the model, as functions of SQL: `allowed(client_ip, agent)`,
//! `crawler_verified(crawler_claim(agent), client_ip)` and `list_contains('name', client_ip)`.

use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::logical_expr::ScalarUDF;

use crate::crawlers::CrawlerRanges;
use crate::lists::{AllowList, Lists};
use crate::text_function::of_two_texts;

/// What is known of clients besides their behaviour. Empty by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Who is allowed whatever it does.
    pub allow: AllowList,
    /// Where known crawlers come from.
    pub crawlers: CrawlerRanges,
    /// Lists that queries name.
    pub lists: Lists,
}

pub(crate) fn functions(rules: &Rules) -> [ScalarUDF; 3] {
    let Rules { allow, crawlers, lists } = rules.clone();
    [
        of_two_texts("allowed", Arc::new(move |client_ip, agent| Ok(Some(allow.holds(client_ip, agent))))),
        of_two_texts("crawler_verified", Arc::new(move |claim, client_ip| Ok(crawlers.verify(claim, client_ip)))),
        of_two_texts(
            "list_contains",
            Arc::new(move |name, address| {
                let (Some(name), Some(address)) = (name, address) else { return Ok(None) };
                lists.contains(name, address).map_err(|error| DataFusionError::External(Box::new(error)))
            }),
        ),
    ]
}
