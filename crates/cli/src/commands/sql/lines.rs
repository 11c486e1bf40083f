//! Lines from a person, with editing and history, or from standard input.

use std::io::BufRead;
use std::path::PathBuf;

use fyke::{Error, Result};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

/// What came.
pub enum Line {
    /// A line without its end.
    Text(String),
    /// Ctrl-C.
    Cancelled,
    /// Ctrl-D, or the end of standard input.
    End,
}

/// Where lines come from.
pub enum Lines {
    /// A terminal.
    Prompt { editor: Box<DefaultEditor>, history: Option<PathBuf> },
    /// Anything else.
    Piped,
}

impl Lines {
    /// Opens standard input.
    ///
    /// # Errors
    /// When the terminal can't be used.
    pub fn open(interactive: bool) -> Result<Self> {
        if !interactive {
            return Ok(Self::Piped);
        }
        let mut editor = Box::new(DefaultEditor::new().map_err(failed)?);
        let history = history_file();
        if let Some(file) = &history {
            // there is none before the first statement
            let _ = editor.load_history(file);
        }
        Ok(Self::Prompt { editor, history })
    }

    /// The next line; `fresh`: a statement begins with it.
    ///
    /// # Errors
    /// When the input fails.
    pub fn next(&mut self, fresh: bool) -> Result<Line> {
        match self {
            Self::Prompt { editor, .. } => match editor.readline(if fresh { "fyke> " } else { "   -> " }) {
                Ok(line) => Ok(Line::Text(line)),
                Err(ReadlineError::Interrupted) => Ok(Line::Cancelled),
                Err(ReadlineError::Eof) => Ok(Line::End),
                Err(error) => Err(failed(error)),
            },
            Self::Piped => {
                let mut line = String::new();
                let read = std::io::stdin().lock().read_line(&mut line);
                match read.map_err(|error| Error::usage("standard input is no text").detail(error))? {
                    0 => Ok(Line::End),
                    _ => Ok(Line::Text(line.trim_end_matches(['\r', '\n']).to_owned())),
                }
            }
        }
    }

    /// Keeps a statement for later sessions. A history that can't be kept is no reason to stop.
    pub fn remember(&mut self, statement: &str) {
        if let Self::Prompt { editor, history } = self {
            let _ = editor.add_history_entry(statement.trim());
            if let Some(file) = history {
                let _ = editor.append_history(file);
            }
        }
    }
}

fn failed(error: ReadlineError) -> Error {
    Error::unavailable("the terminal can't be read").detail(error)
}

/// `$XDG_STATE_HOME/fyke/history`, by default below `~/.local/state`; its folder is made.
fn history_file() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    let folder = state.join("fyke");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("history"))
}
