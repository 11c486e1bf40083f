//! What all commands share on their way to the person: text out, tables, progress, errors, exit codes.

mod errors;
pub mod exit;
mod numbers;
pub mod out;
mod print;
mod progress;
mod report;
mod table;

use std::io::IsTerminal;

pub use errors::Failure;
pub use numbers::{count, duration, plural};
pub use out::{out, say};
pub use print::{PrintFormat, Printer};
pub use progress::{Bar, REFRESH};
pub use report::ReportFormat;
pub use table::{Table, printable, shortened};

/// Whether standard output and standard error would be drawn over each other.
pub fn draws_on_one_screen() -> bool {
    std::io::stdout().is_terminal() && std::io::stderr().is_terminal()
}
