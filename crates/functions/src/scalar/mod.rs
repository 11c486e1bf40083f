//! Functions of one row, and the one table of them.

mod arrays;
mod attack;
mod function;
mod path;
mod path_class;
mod text;
mod time;
mod url;

pub(crate) use arrays::{integers, text, text_to_flag, text_to_number};
pub(crate) use function::{ScalarFunction, unchecked};

use crate::address::functions as address;
use crate::agent::functions as agent;

/// All scalar functions: a new one is its own file and one line here.
pub(crate) static SCALARS: &[&ScalarFunction] = &[
    &url::URL_PATH,
    &url::URL_QUERY,
    &url::URL_HOST,
    &url::QUERY_PARAMETERS,
    &path::PATH_DEPTH,
    &path::PATH_EXTENSION,
    &path_class::PATH_CLASS,
    &attack::IS_ATTACK_PATH,
    &text::ENTROPY,
    &text::DIGIT_RATIO,
    &time::HOUR_OF_DAY,
    &time::IS_NIGHT,
    &agent::AGENT_CLASS,
    &agent::AGENT_IS_DECLARED_BOT,
    &agent::AGENT_FAMILY,
    &agent::AGENT_VERSION,
    &agent::AGENT_OS,
    &agent::CRAWLER_CLAIM,
    &address::IP_IN,
    &address::IP_PREFIX,
    &address::IP_VERSION,
    &address::IS_PRIVATE_IP,
];
