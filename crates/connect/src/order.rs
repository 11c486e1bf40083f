//! Which input is read next: the one furthest behind in event time. No I/O, no threads.

use fyke_types::Micros;

/// How far an input has come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress(Micros);

impl Progress {
    /// An input that gave nothing goes first: it holds its customer's watermark back as nobody else does. So the first
    /// (small) blocks of all inputs are given before any second one, and the watermark can move from then on.
    pub(crate) fn none() -> Self {
        Self(Micros::MIN)
    }

    /// Rows up to `latest` were given.
    pub(crate) fn gave(&mut self, latest: Option<Micros>) {
        self.0 = self.0.max(latest.unwrap_or(Micros::MIN));
    }

    /// The greatest event time given.
    pub(crate) fn at(&self) -> Micros {
        self.0
    }
}

/// The candidate that is furthest behind; of equals the first.
pub(crate) fn furthest_behind(candidates: impl Iterator<Item = (usize, Micros)>) -> Option<usize> {
    // min_by_key keeps the first of equals
    candidates.min_by_key(|(_, at)| *at).map(|(index, _)| index)
}
