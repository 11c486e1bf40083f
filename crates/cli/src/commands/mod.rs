//! The commands: one file each, and one line each in [`Command`] and in [`Command::execute`].

mod batch;
mod checkpoints;
mod columns;
mod completions;
mod demo;
mod evaluate;
mod functions;
mod parity;
mod run;
mod settings;
mod sql;
mod train;
mod watch;

use std::process::ExitCode;

use crate::terminal::Failure;

/// What can be asked for.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Demo(demo::DemoCommand),
    Watch(watch::Watch),
    Run(run::Run),
    Batch(batch::Batch),
    Parity(parity::Parity),
    Checkpoints(checkpoints::Checkpoints),
    Sql(sql::Sql),
    Train(train::Train),
    Evaluate(evaluate::Evaluate),
    Functions(functions::Functions),
    Settings(settings::Settings),
    Completions(completions::Completions),
}

impl Command {
    /// Does what was asked for.
    pub fn execute(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Demo(command) => command.execute(),
            Self::Watch(command) => command.execute(),
            Self::Run(command) => command.execute(),
            Self::Batch(command) => command.execute(),
            Self::Parity(command) => command.execute(),
            Self::Checkpoints(command) => command.execute(),
            Self::Sql(command) => command.execute(),
            Self::Train(command) => command.execute(),
            Self::Evaluate(command) => command.execute(),
            Self::Functions(command) => command.execute(),
            Self::Settings(command) => command.execute(),
            Self::Completions(command) => command.execute(),
        }
    }
}
