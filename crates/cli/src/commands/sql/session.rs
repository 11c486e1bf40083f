//! What a prompt remembers between statements, and how it executes one.

use std::collections::BTreeMap;
use std::time::Instant;

use fyke::arrow::datatypes::SchemaRef;
use fyke::{Context, Error, Result, RunSettings, Script, StatementKind};

use super::Output;
use crate::commands::run::asks_for_rows;
use crate::drive::{batch_runtime, drive};
use crate::script::Text;
use crate::terminal::{Bar, Failure, duration, out, say};

/// Whether the prompt comes back.
pub enum After {
    /// It does.
    GoOn,
    /// The person wants to leave.
    Leave,
}

/// A prompt's tables, settings and switches.
pub struct Session {
    output: Output,
    values: BTreeMap<String, String>,
    context: Context,
    runtime: tokio::runtime::Runtime,
    interactive: bool,
    stream: bool,
    timing: bool,
}

const COMMANDS: &str = "\\d [NAME]  \\stream on|off  \\timing  \\q";
const TABLES: &str = "SELECT table_name AS name, table_type AS kind FROM information_schema.tables \
                      WHERE table_schema = 'public' ORDER BY table_name";

impl Session {
    /// A session without tables.
    ///
    /// # Errors
    /// When the runtime can't start.
    pub fn new(output: Output, values: BTreeMap<String, String>, interactive: bool) -> Result<Self> {
        let context = output.context();
        Ok(Self { output, values, context, runtime: batch_runtime()?, interactive, stream: false, timing: false })
    }

    /// Executes a statement or a `\` command.
    pub fn execute(&mut self, text: &str) -> Result<After, Failure> {
        if let Some(command) = text.trim().strip_prefix('\\') {
            return self.command(command.trim_end_matches(';'));
        }
        let started = Instant::now();
        let text = Text { name: "<prompt>".to_owned(), content: as_query(text) };
        self.script(&text).map_err(|error| text.failure(error))?;
        if self.timing {
            say(format!("took {}", duration(started.elapsed())));
        }
        Ok(After::GoOn)
    }

    fn command(&mut self, command: &str) -> Result<After, Failure> {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            ["q" | "quit"] => return Ok(After::Leave),
            ["d"] => self.query(TABLES.to_owned())?,
            ["d", name] => self.query(columns_of(name))?,
            ["timing"] => {
                self.timing = !self.timing;
                say(if self.timing { "timing is on" } else { "timing is off" });
            }
            ["stream", switch @ ("on" | "off")] => {
                self.stream = *switch == "on";
                say(if self.stream { "queries run as streams over what exists now" } else { "queries run as batch" });
            }
            ["?" | "help"] => out(COMMANDS)?,
            _ => return Err(Error::usage(format!("there is no command \\{command}")).hint(COMMANDS).into()),
        }
        Ok(After::GoOn)
    }

    /// A query of the prompt's own, which is no stream.
    fn query(&mut self, text: String) -> Result<()> {
        let stream = std::mem::replace(&mut self.stream, false);
        let outcome = self.script(&Text { name: "<prompt>".to_owned(), content: text });
        self.stream = stream;
        outcome
    }

    fn script(&self, text: &Text) -> Result<()> {
        let mut script = Script::parse(&text.content, &text.name, &self.values)?;
        if script.statements.is_empty() {
            return Ok(());
        }
        let asks = asks_for_rows(&script);
        let mut plans = Vec::new();
        let outcome = match (asks, self.stream) {
            (true, false) => self.batch(&script, &mut plans),
            (true, true) => self.stream(&script, &mut plans),
            (false, stream) => self.define(&mut script, stream, &mut plans),
        };
        plans.iter().try_for_each(out)?;
        outcome
    }

    fn batch(&self, script: &Script, plans: &mut Vec<String>) -> Result<()> {
        let select = |schema: &SchemaRef| self.output.printer(schema);
        let mut explain = |plan| plans.push(plan);
        let run = self.context.batch_script(script, self.output.mode(), &select, &mut explain);
        self.runtime.block_on(async {
            tokio::select! {
                done = run => done.map(|_| ()),
                _ = tokio::signal::ctrl_c() => Err(Error::usage("the query was cancelled")),
            }
        })
    }

    fn stream(&self, script: &Script, plans: &mut Vec<String>) -> Result<()> {
        let select = |schema: &SchemaRef| self.output.printer(schema);
        let mut explain = |plan| plans.push(plan);
        let settings = RunSettings { mode: self.output.mode(), ..RunSettings::default() };
        self.runtime.block_on(async {
            let run = self.context.stream_script(script, &settings, &select, &mut explain);
            let driver = run.await?;
            // rows and a bar would be drawn over each other
            let progress = drive(driver, Bar::new(false, None), true).await?;
            if !self.output.quiet() && self.interactive {
                crate::drive::lines(&progress).into_iter().for_each(say);
            }
            crate::drive::check(&progress)
        })
    }

    /// Definitions and EXPLAINs: nothing is read or written.
    fn define(&self, script: &mut Script, stream: bool, plans: &mut Vec<String>) -> Result<()> {
        let explains = script.statements.iter().any(|s| matches!(s.kind, StatementKind::Explain { .. }));
        if explains && !stream {
            return self.batch(script, plans);
        }
        if !explains {
            // a script that asks for nothing is refused by the library, since in a file that is a mistake
            script.statements.extend(Script::parse("EXPLAIN SELECT 1", "<prompt>", &BTreeMap::new())?.statements);
        }
        let select = |schema: &SchemaRef| self.output.printer(schema);
        let mut explain = |plan| plans.extend(explains.then_some(plan));
        let settings = RunSettings { mode: self.output.mode(), ..RunSettings::default() };
        self.runtime.block_on(self.context.stream_script(script, &settings, &select, &mut explain)).map(|_| ())
    }
}

/// `SHOW TABLES` and `DESCRIBE name` give rows, so they are asked as the queries that they stand for.
fn as_query(text: &str) -> String {
    let words: Vec<String> = text.trim().trim_end_matches(';').split_whitespace().map(str::to_lowercase).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["show", "tables"] => TABLES.to_owned(),
        ["describe" | "desc", name] => columns_of(name),
        _ => text.to_owned(),
    }
}

fn columns_of(table: &str) -> String {
    // the name is a value here: quotes in it must not end it
    let name = table.trim_matches('"').replace('\'', "''");
    format!(
        "SELECT column_name AS \"column\", data_type AS type, is_nullable AS nullable \
         FROM information_schema.columns WHERE table_name = '{name}' ORDER BY ordinal_position"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn show_and_describe_are_queries() {
        assert_eq!(as_query("show  TABLES;"), TABLES);
        assert!(as_query("DESCRIBE log;").contains("table_name = 'log'"));
        assert_eq!(as_query("SELECT 1;"), "SELECT 1;");
        assert!(columns_of("x' OR '1").contains("'x'' OR ''1'"));
    }
}
