//! Depth and extension of a request path. What stands behind `?` or `#` is left out of both.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;

use super::arrays::{text, text_to_number};
use super::function::{ScalarFunction, unchecked};
use crate::doc::FunctionDoc;
use crate::parameter::Parameter;

pub(crate) static PATH_DEPTH: ScalarFunction = ScalarFunction {
    doc: FunctionDoc {
        name: "path_depth",
        signature: "path_depth(path) -> bigint",
        summary: "Number of non-empty segments of a path: 0 for '/', 2 for '/a/b' and '/a/b/'.",
    },
    parameters: &[Parameter::Text],
    required: 1,
    returns: DataType::Int64,
    run: |args| text_to_number::<Int64Type>(args, |path| Some(depth_of(path))),
    check: unchecked,
};

pub(crate) static PATH_EXTENSION: ScalarFunction = ScalarFunction {
    doc: FunctionDoc {
        name: "path_extension",
        signature: "path_extension(path) -> text",
        summary: "What follows the last dot of the last segment, in lower case; '' where there is none (also '/.env').",
    },
    parameters: &[Parameter::Text],
    required: 1,
    returns: DataType::Utf8,
    run: extensions,
    check: unchecked,
};

fn extensions(args: &[ArrayRef]) -> Result<ArrayRef> {
    let mut out = StringBuilder::new();
    for path in text(args, 0)? {
        out.append_option(path.map(|path| extension_of(path).to_ascii_lowercase()));
    }
    Ok(Arc::new(out.finish()))
}

/// The path alone, where a whole request target was given.
pub(super) fn without_query(path: &str) -> &str {
    path.split_once(['?', '#']).map_or(path, |(before, _)| before)
}

fn depth_of(path: &str) -> i64 {
    without_query(path).split('/').map(|segment| i64::from(!segment.is_empty())).sum()
}

/// The extension in the case it was written in. A dot that begins the segment hides a file, it begins no extension.
pub(super) fn extension_of(path: &str) -> &str {
    let path = without_query(path);
    let last = path.rsplit_once('/').map_or(path, |(_, last)| last);
    match last.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => extension,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_segments_that_are_not_empty() {
        for (path, depth) in [("/", 0), ("", 0), ("/a", 1), ("/a/b", 2), ("/a/b/", 2), ("//a", 1), ("/a?b/c", 1)] {
            assert_eq!(depth_of(path), depth, "{path}");
        }
    }

    #[test]
    fn the_extension_is_of_the_last_segment() {
        for (path, extension) in
            [("/a.CSS", "CSS"), ("/a.tar.gz", "gz"), ("/v1.2/a", ""), ("/.env", ""), ("/a.", ""), ("/a.js?v=1.2", "js")]
        {
            assert_eq!(extension_of(path), extension, "{path}");
        }
    }
}
