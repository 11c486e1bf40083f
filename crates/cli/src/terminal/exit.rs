//! How it went, as a number that scripts can ask for.

use std::process::ExitCode;

use fyke::Kind;

use super::Failure;

/// Parity: rows differ.
pub const DIFFERENT: u8 = 1;
/// Parity: rows were late, so nothing can be said.
pub const LATE: u8 = 2;
/// What was asked for can't be done as written.
pub const USAGE: u8 = 3;
/// The data does not fit.
pub const DATA: u8 = 4;
/// A file or server is not available.
pub const UNAVAILABLE: u8 = 5;
/// A defect of fyke.
pub const INTERNAL: u8 = 70;
/// Stopped by a signal before its end.
pub const INTERRUPTED: u8 = 130;

/// Help and version were asked for, or the arguments can't be read.
pub fn of_arguments(error: &clap::Error) -> ExitCode {
    let printed = error.print();
    match (error.use_stderr(), printed) {
        (false, Ok(())) => ExitCode::SUCCESS,
        _ => ExitCode::from(USAGE),
    }
}

/// Tells the person what failed.
pub fn of_failure(failure: &Failure) -> ExitCode {
    failure.say();
    ExitCode::from(match failure.error().kind() {
        Kind::Usage | Kind::Unsupported => USAGE,
        Kind::Data => DATA,
        Kind::Unavailable => UNAVAILABLE,
        Kind::Internal => INTERNAL,
    })
}
