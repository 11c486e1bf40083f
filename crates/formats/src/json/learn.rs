//! Learns the shape of a line that the exact way has accepted.

use crate::text::strings;

use super::column::{Columns, Found};
use super::shape::{Shape, ShapeBuilder, Target};
use super::value::{Object, skip_at, space_end};

/// A line with more values than this is left to the exact way.
const STEPS_MAX: usize = 1_000;

/// A column that is read by its path, and what of the path lies below the object that is walked.
type Below<'c> = (usize, &'c [String]);

/// The shape of `line`, which was parsed as `object`; `None` where a fixed order of values can't say all (duplicate or
/// escaped keys, two columns on one value).
pub(super) fn learn(line: &str, object: &Object<'_>, columns: &Columns) -> Option<Shape> {
    let below: Vec<Below<'_>> = (columns.all.iter().enumerate())
        .filter(|(_, column)| !column.path.is_empty() && !matches!(column.find(object), Found::Key(_)))
        .map(|(index, column)| (index, column.path.as_slice()))
        .collect();
    let mut learner = Learner { line, columns, at: 0, behind: 0, builder: ShapeBuilder::default() };
    learner.at = space_end(line.as_bytes(), 0);
    learner.object(&below, 1)?;
    let tail = line.as_bytes().get(learner.behind..)?;
    Some(learner.builder.finish(tail, columns))
}

struct Learner<'a> {
    line: &'a str,
    columns: &'a Columns,
    /// Where the walk stands.
    at: usize,
    /// The byte behind the last value: the next literal begins there.
    behind: usize,
    builder: ShapeBuilder,
}

impl Learner<'_> {
    fn byte(&self) -> Option<u8> {
        self.line.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        self.at = space_end(self.line.as_bytes(), self.at);
    }

    /// Walks the object at whose brace it stands; `depth` counts that object.
    fn object(&mut self, below: &[Below<'_>], depth: usize) -> Option<()> {
        let mut seen: Vec<&str> = Vec::new();
        loop {
            // at the opening brace or at a comma
            self.at += 1;
            self.space();
            if self.byte() == Some(b'}') {
                break;
            }
            let token = strings::token(self.line.as_bytes(), self.at + 1).ok().filter(|token| !token.escaped)?;
            let key = self.line.get(self.at + 1..token.close)?;
            if seen.contains(&key) {
                return None;
            }
            seen.push(key);
            self.at = token.close + 1;
            self.space();
            // the colon
            self.at += 1;
            self.space();
            self.entry(key, below, depth)?;
            self.space();
            if self.byte() == Some(b'}') {
                break;
            }
        }
        self.at += 1;
        Some(())
    }

    fn entry(&mut self, key: &str, below: &[Below<'_>], depth: usize) -> Option<()> {
        let mut ends: Vec<usize> = Vec::new();
        if depth == 1 {
            let named = self.columns.all.iter().enumerate().filter(|(_, column)| column.name == key);
            ends.extend(named.map(|(index, _)| index));
        }
        let mut inside: Vec<Below<'_>> = Vec::new();
        for (index, path) in below {
            match path.split_first() {
                Some((first, [])) if first == key => ends.push(*index),
                Some((first, rest)) if first == key => inside.push((*index, rest)),
                _ => {}
            }
        }
        match (ends.as_slice(), inside.is_empty()) {
            ([], true) => self.value(Target::Skip, depth),
            ([index], true) => self.value(Target::Column(*index), depth),
            ([], false) if self.byte() == Some(b'{') => self.object(&inside, depth + 1),
            ([], false) if self.byte() == Some(b'n') => self.value(Target::Null, depth),
            _ => None,
        }
    }

    fn value(&mut self, target: Target, depth: usize) -> Option<()> {
        if self.builder.len() >= STEPS_MAX {
            return None;
        }
        let literal = self.line.as_bytes().get(self.behind..self.at)?;
        self.builder.push(literal, target, depth);
        self.at = skip_at(self.line, self.at, depth).ok()?;
        self.behind = self.at;
        Some(())
    }
}
