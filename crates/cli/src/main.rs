//! What did the person type? The only main, print and exit.
//!
//! The path: arguments → one function per command → what it found, as an exit code. Everything that a command does to
//! data is in the library `fyke`; this crate reads arguments, draws, and says how it went.

mod commands;
mod drive;
mod parameters;
mod script;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use crate::commands::Command;
use crate::terminal::exit;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bot detection over web logs: the same SQL over stored logs and live ones.
#[derive(Debug, Parser)]
#[command(name = "fyke", version, max_term_width = 100, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  fyke demo                                     see it work on made-up traffic, within a minute
  fyke watch /var/log/nginx/access.log          who are the bots on my site?
  fyke run job.sql --set LOGS=logs/ --once      a pipeline over what exists now
  fyke run job.sql --set LOGS=logs/             the same, live
  fyke parity job.sql --set LOGS=logs/          do batch and stream give the same rows?
  fyke sql                                      a prompt

Exit codes:
  0 done               3 what was asked for can't be done     5 a file or server is not available
  1 parity: different  4 the data does not fit               70 a defect of fyke
  2 parity: late rows                                       130 interrupted";

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return exit::of_arguments(&error),
    };
    match arguments.command.execute() {
        Ok(code) => code,
        Err(failure) => exit::of_failure(&failure),
    }
}
