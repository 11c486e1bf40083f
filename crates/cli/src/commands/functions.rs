//! `fyke functions`: the reference of the SQL functions that are Fyke's own.

use std::process::ExitCode;

use crate::terminal::{Failure, out};

/// Print the SQL functions that fyke brings, beside DataFusion's own.
#[derive(Debug, clap::Args)]
pub struct Functions {
    /// Only those with this in their name or description
    word: Option<String>,
}

impl Functions {
    /// Prints them.
    pub fn execute(self) -> Result<ExitCode, Failure> {
        let word = self.word.unwrap_or_default().to_lowercase();
        for function in fyke::function_reference() {
            let text = format!("{}\n    {}", function.signature, function.summary);
            if text.to_lowercase().contains(&word) {
                out(text)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
