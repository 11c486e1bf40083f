//! `fyke sql`: a prompt with history, or statements from standard input.

mod lines;
mod session;
mod statement;

use std::io::IsTerminal;
use std::process::ExitCode;

use fyke::Result;

use self::lines::{Line, Lines};
use self::session::{After, Session};
use self::statement::Pending;
use super::run::Output;
use crate::script::Parameters;
use crate::terminal::{Failure, say};

/// A prompt for SQL: batch by default, `\stream on` streams over what exists now.
///
/// A statement ends with `;` and may take several lines. Arrow keys recall earlier ones. Ctrl-C drops the line or
/// cancels the query, Ctrl-D leaves. Without a terminal the statements come from standard input, and the first one that
/// fails ends it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Sql {
    #[command(flatten)]
    parameters: Parameters,

    #[command(flatten)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  fyke sql
  fyke sql --set LOGS=logs/ < tables.sql
  echo 'SELECT url_path('\\''https://a.example/b?c'\\'');' | fyke sql --format json

At the prompt:
  \\d            tables and views            \\d NAME       the columns of one
  \\stream on    execute as stream           \\stream off   execute as batch (the default)
  \\timing       say how long each took      \\?            this list
  \\q            leave";

impl Sql {
    /// Reads, executes and prints until the end.
    pub fn execute(self) -> Result<ExitCode, Failure> {
        let interactive = std::io::stdin().is_terminal();
        let mut lines = Lines::open(interactive)?;
        let mut session = Session::new(self.output, self.parameters.values(), interactive)?;
        let mut pending = Pending::default();
        if interactive {
            say("fyke: statements end with ';'. \\? lists commands, \\q leaves.");
        }
        loop {
            match lines.next(pending.is_empty())? {
                Line::Text(line) => pending.push(&line),
                Line::Cancelled => pending.clear(),
                Line::End => {
                    pending.end();
                    let _ = run_pending(&mut session, &mut pending, &mut lines, interactive)?;
                    return Ok(ExitCode::SUCCESS);
                }
            }
            if let After::Leave = run_pending(&mut session, &mut pending, &mut lines, interactive)? {
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
}

/// Executes what is complete. At a prompt a failure is said, and the prompt comes back.
fn run_pending(
    session: &mut Session,
    pending: &mut Pending,
    lines: &mut Lines,
    interactive: bool,
) -> Result<After, Failure> {
    while let Some(statement) = pending.take() {
        lines.remember(&statement);
        match session.execute(&statement) {
            Ok(After::Leave) => return Ok(After::Leave),
            Ok(After::GoOn) => {}
            Err(failure) if interactive => failure.say(),
            Err(failure) => return Err(failure),
        }
    }
    Ok(After::GoOn)
}
