//! What kind of thing a path asks for: the parts of a page, an interface for programs, a feed, or a page.

use datafusion::arrow::datatypes::DataType;

use super::arrays::text_to_text;
use super::function::{ScalarFunction, unchecked};
use super::path::{extension_of, without_query};
use crate::doc::FunctionDoc;
use crate::parameter::Parameter;

pub(crate) static PATH_CLASS: ScalarFunction = ScalarFunction {
    doc: FunctionDoc {
        name: "path_class",
        signature: "path_class(path) -> text",
        summary: "'asset' (style, script, image, font, media, download), 'feed' (/feed, rss, atom), 'api' (/api/, \
                  /graphql, /xmlrpc.php, /wp-json/, .json, .xml), 'other' (robots.txt, sitemaps, .well-known, '*'), \
                  else 'page'.",
    },
    parameters: &[Parameter::Text],
    required: 1,
    returns: DataType::Utf8,
    run: |args| text_to_text(args, |path| Some(class_of(path))),
    check: unchecked,
};

/// What a browser fetches on its own account for a page, and files to keep.
const ASSETS: &[&str] = &[
    "css",
    "js",
    "mjs",
    "map",
    "wasm",
    "png",
    "jpg",
    "jpeg",
    "gif",
    "svg",
    "ico",
    "webp",
    "avif",
    "bmp",
    "cur",
    "woff",
    "woff2",
    "ttf",
    "otf",
    "eot",
    "mp3",
    "mp4",
    "m4a",
    "m4s",
    "m3u8",
    "ts",
    "ogg",
    "ogv",
    "wav",
    "webm",
    "mov",
    "avi",
    "swf",
    "pdf",
    "zip",
    "gz",
    "vtt",
    "webmanifest",
];

/// Folders that hold interfaces for programs.
const API_FOLDERS: &[&str] = &["/api/", "/wp-json/", "/graphql/", "/rest/", "/ajax/"];
/// Paths that are such an interface themselves.
const API_PATHS: &[&str] = &["/api", "/wp-json", "/graphql", "/xmlrpc.php", "/admin-ajax.php"];
const API_EXTENSIONS: &[&str] = &["json", "xml"];

const FEED_NAMES: &[&str] = &["feed", "feeds", "rss", "atom", "rss.xml", "atom.xml", "feed.xml", "index.rdf"];
const FEED_EXTENSIONS: &[&str] = &["rss", "atom", "rdf"];

fn class_of(path: &str) -> &'static str {
    let path = without_query(path);
    let extension = extension_of(path);
    let is_one_of = |list: &[&str], what: &str| list.iter().any(|known| known.eq_ignore_ascii_case(what));
    if is_about_the_site(path) {
        "other"
    } else if is_one_of(ASSETS, extension) {
        "asset"
    } else if is_one_of(FEED_EXTENSIONS, extension) || is_one_of(FEED_NAMES, last_segment(path)) {
        "feed"
    } else if is_one_of(API_EXTENSIONS, extension) || is_api(path) {
        "api"
    } else {
        "page"
    }
}

/// Files that tell programs about the site.
fn is_about_the_site(path: &str) -> bool {
    let last = last_segment(path);
    path == "*"
        || starts_with(path, "/.well-known/")
        || ["robots.txt", "ads.txt", "humans.txt", "security.txt"].iter().any(|name| last.eq_ignore_ascii_case(name))
        || (starts_with(last, "sitemap") || starts_with(last, "wp-sitemap")) && last.contains('.')
}

fn is_api(path: &str) -> bool {
    API_PATHS.iter().any(|api| ends_with(path, api))
        || API_FOLDERS.iter().any(|folder| {
            path.as_bytes().windows(folder.len()).any(|window| window.eq_ignore_ascii_case(folder.as_bytes()))
        })
}

/// The last segment that is not empty.
fn last_segment(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rsplit_once('/').map_or(path, |(_, last)| last)
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn ends_with(text: &str, suffix: &str) -> bool {
    let start = text.len().checked_sub(suffix.len());
    start.and_then(|start| text.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_is_told_by_name_or_folder() {
        for (class, paths) in [
            ("page", vec!["/", "/about", "/shop/item.html", "/index.php?a=b.css", "/apiary", "/feedback", ""]),
            ("asset", vec!["/a.css", "/x/LOGO.PNG", "/favicon.ico", "/f.woff2?v=3"]),
            ("api", vec!["/api/v1/users", "/v2/api/x", "/graphql", "/xmlrpc.php", "/wp-json/wp/v2", "/data.json"]),
            ("feed", vec!["/feed", "/blog/feed/", "/rss.xml", "/atom.xml", "/news.rss"]),
            ("other", vec!["/robots.txt", "/sitemap.xml", "/sitemap_index.xml.gz", "/.well-known/acme", "*"]),
        ] {
            for path in paths {
                assert_eq!(class_of(path), class, "{path}");
            }
        }
    }
}
