//! `fyke settings`: the reference of the settings that every table takes.

use std::process::ExitCode;

use crate::terminal::{Failure, out};

/// Print the settings that a table takes in OPTIONS, whatever its format.
#[derive(Debug, clap::Args)]
pub struct Settings {}

impl Settings {
    /// Prints them.
    pub fn execute(self) -> Result<ExitCode, Failure> {
        let widest = fyke::TIME_SETTINGS.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, meaning) in fyke::TIME_SETTINGS {
            out(format!("{name:widest$}  {meaning}"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
