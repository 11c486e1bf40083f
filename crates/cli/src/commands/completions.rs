//! `fyke completions`: what the shell may offer after the Tab key.

use std::process::ExitCode;

use clap::CommandFactory;

use crate::Arguments;
use crate::terminal::{Failure, out};

/// Print completions for a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Completions {
    /// For which shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

const EXAMPLES: &str = "\
Examples:
  fyke completions bash > ~/.local/share/bash-completion/completions/fyke
  fyke completions zsh > ~/.zfunc/_fyke
  fyke completions fish > ~/.config/fish/completions/fyke.fish";

impl Completions {
    /// Prints them.
    pub fn execute(self) -> Result<ExitCode, Failure> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "fyke", &mut text);
        out::write(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}
