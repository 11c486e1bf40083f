//! The parts of a URL or request target, by the generic syntax of RFC 3986. Not a validator: it takes what logs hold.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;

use super::arrays::{text, text_to_number, text_to_text};
use super::function::{ScalarFunction, unchecked};
use crate::doc::FunctionDoc;
use crate::parameter::Parameter;

pub(crate) static URL_PATH: ScalarFunction = ScalarFunction {
    doc: FunctionDoc {
        name: "url_path",
        signature: "url_path(url) -> text",
        summary: "Path of a URL or request target, without query and fragment; '/' where a URL has none.",
    },
    parameters: &[Parameter::Text],
    required: 1,
    returns: DataType::Utf8,
    run: |args| text_to_text(args, |url| Some(path_of(url))),
    check: unchecked,
};

pub(crate) static URL_QUERY: ScalarFunction = ScalarFunction {
    doc: FunctionDoc {
        name: "url_query",
        signature: "url_query(url) -> text",
        summary: "What stands between '?' and '#'; null where there is no '?'.",
    },
    parameters: &[Parameter::Text],
    required: 1,
    returns: DataType::Utf8,
    run: |args| text_to_text(args, query_of),
    check: unchecked,
};

pub(crate) static URL_HOST: ScalarFunction = ScalarFunction {
    doc: FunctionDoc {
        name: "url_host",
        signature: "url_host(url) -> text",
        summary: "Host of a URL in lower case, without user and port, IPv6 without brackets; null where there is none.",
    },
    parameters: &[Parameter::Text],
    required: 1,
    returns: DataType::Utf8,
    run: hosts,
    check: unchecked,
};

pub(crate) static QUERY_PARAMETERS: ScalarFunction = ScalarFunction {
    doc: FunctionDoc {
        name: "query_parameters",
        signature: "query_parameters(query) -> bigint",
        summary: "Number of non-empty parameters of a query (separated by '&' or ';'); a leading '?' is ignored.",
    },
    parameters: &[Parameter::Text],
    required: 1,
    returns: DataType::Int64,
    run: |args| text_to_number::<Int64Type>(args, |query| Some(parameters_of(query))),
    check: unchecked,
};

fn hosts(args: &[ArrayRef]) -> Result<ArrayRef> {
    let mut out = StringBuilder::new();
    for url in text(args, 0)? {
        out.append_option(url.and_then(host_of).map(str::to_ascii_lowercase));
    }
    Ok(Arc::new(out.finish()))
}

/// The authority and what follows it: (authority, rest).
fn split_authority(url: &str) -> Option<(&str, &str)> {
    let after = match url.strip_prefix("//") {
        Some(after) => after,
        None => {
            let (scheme, after) = url.split_once("://")?;
            let is_scheme = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
            if scheme.is_empty() || !is_scheme {
                return None;
            }
            after
        }
    };
    let end = after.find(['/', '?', '#']).unwrap_or(after.len());
    Some(after.split_at(end))
}

fn path_of(url: &str) -> &str {
    let (in_url, target) = match split_authority(url) {
        Some((_, rest)) => (true, rest),
        None => (false, url),
    };
    let end = target.find(['?', '#']).unwrap_or(target.len());
    match target.split_at(end).0 {
        "" if in_url => "/",
        path => path,
    }
}

fn query_of(url: &str) -> Option<&str> {
    let before_fragment = url.split_once('#').map_or(url, |(before, _)| before);
    before_fragment.split_once('?').map(|(_, query)| query)
}

fn host_of(url: &str) -> Option<&str> {
    let (authority, _) = split_authority(url)?;
    let server = authority.rsplit_once('@').map_or(authority, |(_, server)| server);
    let host = match server.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?.0,
        None => server.split_once(':').map_or(server, |(host, _)| host),
    };
    (!host.is_empty()).then_some(host)
}

fn parameters_of(query: &str) -> i64 {
    let query = query.strip_prefix('?').unwrap_or(query);
    query.split(['&', ';']).map(|parameter| i64::from(!parameter.is_empty())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_ends_at_the_query_or_fragment() {
        assert_eq!(path_of("/a/b?c=d#e"), "/a/b");
        assert_eq!(path_of("/a#b?c"), "/a");
        assert_eq!(path_of("https://x.example/a/b?q=http://y/z"), "/a/b");
        assert_eq!(path_of("https://x.example"), "/");
        assert_eq!(path_of("https://x.example?q"), "/");
        assert_eq!(path_of("/redirect?to=https://y/z"), "/redirect");
        assert_eq!(path_of("*"), "*");
        assert_eq!(path_of(""), "");
    }

    #[test]
    fn the_query_stands_between_question_mark_and_fragment() {
        assert_eq!(query_of("/a?b=1&c=2#d"), Some("b=1&c=2"));
        assert_eq!(query_of("/a?"), Some(""));
        assert_eq!(query_of("/a"), None);
        assert_eq!(query_of("/a#x?y"), None);
    }

    #[test]
    fn the_host_is_without_user_and_port() {
        assert_eq!(host_of("http://user:pw@Site.example:8080/x"), Some("Site.example"));
        assert_eq!(host_of("//cdn.example/x"), Some("cdn.example"));
        assert_eq!(host_of("http://[2001:db8::1]:80/"), Some("2001:db8::1"));
        assert_eq!(host_of("/path?u=http://x.example"), None);
        assert_eq!(host_of("http:///x"), None);
    }

    #[test]
    fn empty_parameters_do_not_count() {
        for (query, count) in [("", 0), ("a", 1), ("a=1&b=2", 2), ("?a=1&&b=2&", 2), ("a;b", 2)] {
            assert_eq!(parameters_of(query), count, "{query}");
        }
    }
}
