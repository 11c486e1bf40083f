//! The script that a command is given: a file, standard input or text, with its parameters.

use std::collections::BTreeMap;
use std::io::Read;

use fyke::{Error, Result, Script};

use crate::parameters::expand;
use crate::terminal::Failure;

/// Which script, with which parameters.
#[derive(Debug, clap::Args)]
pub struct ScriptArguments {
    /// The script; `-` reads it from standard input
    #[arg(value_name = "FILE.sql", required_unless_present = "execute", conflicts_with = "execute")]
    file: Option<String>,

    /// The script's text itself, in place of a file
    #[arg(short = 'e', long = "execute", value_name = "SQL")]
    execute: Option<String>,

    #[command(flatten)]
    parameters: Parameters,
}

/// Values for `${NAME}`.
#[derive(Debug, Clone, clap::Args)]
pub struct Parameters {
    /// Replaces ${NAME} in the script; without it the environment does. May be given several times
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = name_and_value)]
    set: Vec<(String, String)>,
}

impl Parameters {
    /// By name; of several values for a name the last one counts.
    pub fn values(&self) -> BTreeMap<String, String> {
        self.set.iter().cloned().collect()
    }
}

/// Splits `NAME=VALUE`.
pub fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}

/// A text that messages can point into.
#[derive(Debug, Clone)]
pub struct Text {
    /// The file's path, or what it is called (`<stdin>`, `<command line>`, `<prompt>`).
    pub name: String,
    /// All of it.
    pub content: String,
}

impl Text {
    /// The failure that shows where in this text the mistake is.
    pub fn failure(&self, error: Error) -> Failure {
        Failure::in_text(error, self)
    }
}

impl ScriptArguments {
    /// The script and its text.
    ///
    /// # Errors
    /// When the file can't be read, or its text is no SQL.
    pub fn load(&self) -> Result<(Script, Text), Failure> {
        let text = self.text()?;
        match Script::parse(&text.content, &text.name, &self.parameters.values()) {
            Ok(script) => Ok((script, text)),
            Err(error) => Err(text.failure(error)),
        }
    }

    /// The script's text with its parameters replaced, for what takes text. Lines stay where they are.
    ///
    /// # Errors
    /// When the file can't be read, or a parameter has no value.
    pub fn expanded(&self) -> Result<Text> {
        let text = self.text()?;
        // the library calls a text without a file so
        Ok(Text { name: "<sql>".to_owned(), content: expand(&text.content, &self.parameters.values())? })
    }

    fn text(&self) -> Result<Text> {
        if let Some(content) = &self.execute {
            return Ok(Text { name: "<command line>".to_owned(), content: content.clone() });
        }
        // clap asks for one of the two
        let file = self.file.as_deref().unwrap_or("-");
        if file == "-" {
            let mut content = String::new();
            let read = std::io::stdin().read_to_string(&mut content);
            read.map_err(|error| Error::usage("standard input is no text").detail(error))?;
            return Ok(Text { name: "<stdin>".to_owned(), content });
        }
        let content = std::fs::read_to_string(file).map_err(|error| {
            Error::usage(format!("the script '{file}' can't be read"))
                .detail(error)
                .hint("give a file with SQL, or -e 'SELECT …'")
        })?;
        Ok(Text { name: file.to_owned(), content })
    }
}
