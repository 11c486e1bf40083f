//! What several tests share: a context with the functions and a way to ask.

use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::error::Result;
use datafusion::prelude::{SessionConfig, SessionContext};

/// A context with `partitions`, small batches, and all functions.
pub fn context(partitions: usize) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(partitions).with_batch_size(64);
    config.options_mut().sql_parser.map_string_types_to_utf8view = false;
    let context = SessionContext::new_with_config(config);
    fyke_functions::scalar_functions().into_iter().for_each(|function| context.register_udf(function));
    fyke_functions::aggregate_functions().into_iter().for_each(|function| context.register_udaf(function));
    context
}

/// One column of text, `out`, from one expression.
pub async fn ask(context: &SessionContext, sql: &str) -> Result<Vec<String>> {
    let batches = context.sql(sql).await?.collect().await?;
    let text = pretty_format_batches(&batches)?.to_string();
    let row = |line: &str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(" ");
    Ok(text.lines().skip(3).filter(|line| line.starts_with('|')).map(row).collect())
}
