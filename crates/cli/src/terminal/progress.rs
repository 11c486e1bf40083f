//! A bar on standard error, if that is a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use fyke::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::numbers::count;

/// How often it is drawn again.
pub const REFRESH: Duration = Duration::from_millis(100);

/// A progress bar, or nothing.
#[derive(Debug)]
pub struct Bar(Option<ProgressBar>);

impl Bar {
    /// A bar over `bytes_total` if they are known, unless it is not wanted or standard error is no terminal.
    pub fn new(wanted: bool, bytes_total: Option<u64>) -> Self {
        if !wanted || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let (bar, template) = match bytes_total.filter(|total| *total > 0) {
            Some(total) => (
                ProgressBar::new(total),
                "{bar:30} {percent:>3} %  {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}  {msg}",
            ),
            None => (ProgressBar::no_length(), "{spinner} {decimal_bytes}  {decimal_bytes_per_sec}  {msg}"),
        };
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(Some(bar))
    }

    /// Shows how far a run is.
    pub fn show(&self, progress: &Progress) {
        let Some(bar) = &self.0 else { return };
        let (read, _, late, dead) = progress.totals();
        let given: u64 = progress.sinks.iter().map(|sink| sink.rows).sum();
        let mut message = format!("{} read → {} rows", count(read), count(given));
        for (number, what) in [(late, "late"), (dead, "dead")] {
            if number > 0 {
                message.push_str(&format!(", {} {what}", count(number)));
            }
        }
        if let Some(trouble) = progress.sinks.iter().find_map(|sink| sink.health.as_ref()?.trouble.as_ref()) {
            message.push_str(&format!(", waiting for an output: {trouble}"));
        }
        bar.set_message(message);
        bar.set_position(progress.sources.iter().map(|source| source.bytes).sum());
        bar.tick();
    }

    /// Takes the bar away.
    pub fn finish(self) {
        if let Some(bar) = self.0 {
            bar.finish_and_clear();
        }
    }
}
