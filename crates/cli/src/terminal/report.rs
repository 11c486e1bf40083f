//! A command's result, for people or for programs.

use std::fmt::Display;

use fyke::{Error, Result};
use serde::Serialize;

use super::out;

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ReportFormat {
    /// For people
    #[default]
    Text,
    /// For programs, one JSON object a line
    Json,
}

impl ReportFormat {
    /// Prints a report that can be shown either way.
    ///
    /// # Errors
    /// When standard output can't be written.
    pub fn print<R: Display + Serialize>(self, report: &R) -> Result<()> {
        match self {
            Self::Text => out(report.to_string().trim_end()),
            Self::Json => {
                let text = serde_json::to_string(report);
                out(text.map_err(|error| Error::internal("the report has no JSON form").detail(error))?)
            }
        }
    }
}
