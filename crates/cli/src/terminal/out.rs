//! The only way to standard output and standard error.
//!
//! A reader that goes away (`fyke … | head`) is no failure: from then on output is dropped, and [`is_gone`] says so.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use fyke::{Error, Result};

static GONE: AtomicBool = AtomicBool::new(false);

/// Whether nobody reads standard output any more.
pub fn is_gone() -> bool {
    GONE.load(Ordering::Relaxed)
}

/// Writes bytes to standard output and makes them visible.
///
/// # Errors
/// When it can't be written for another reason than that its reader went away.
pub fn write(bytes: &[u8]) -> Result<()> {
    if is_gone() {
        return Ok(());
    }
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            GONE.store(true, Ordering::Relaxed);
            Ok(())
        }
        Err(error) => Err(Error::unavailable("standard output can't be written").detail(error)),
    }
}

/// The same for what the library wrote to standard output.
///
/// # Errors
/// `outcome`'s, unless it says that nobody reads.
pub fn unless_gone(outcome: Result<()>) -> Result<()> {
    match outcome {
        // the library keeps the cause as text alone
        Err(error) if error.detail_text().is_some_and(|detail| detail.starts_with("Broken pipe")) => {
            GONE.store(true, Ordering::Relaxed);
            Ok(())
        }
        outcome => outcome,
    }
}

/// Writes a line to standard output.
///
/// # Errors
/// As [`write`].
pub fn out(line: impl AsRef<str>) -> Result<()> {
    write(format!("{}\n", line.as_ref()).as_bytes())
}

/// Writes a line to standard error. What can't be said is not said.
pub fn say(line: impl AsRef<str>) {
    // one write, so that lines of several programs do not mix
    let _ = io::stderr().lock().write_all(format!("{}\n", line.as_ref()).as_bytes());
}
