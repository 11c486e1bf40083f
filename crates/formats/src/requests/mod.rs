//! The canonical request: how a line's parts become one row of `fyke_types::request::request_schema`.

pub(crate) mod client;
pub(crate) mod guess;
pub(crate) mod json;
pub(crate) mod keys;
mod plan;
pub(crate) mod reader;
pub(crate) mod rows;
pub(crate) mod subset;
