//! Whose an input is, from its path.

use fyke_types::{Error, Result};
use regex::Regex;

use super::compression;
use super::discover::Found;
use super::partition;

/// Extensions that say how lines look, not whose they are.
const LOG_EXTENSIONS: [&str; 13] = [
    "log", "json", "jsonl", "ndjson", "txt", "csv", "tsv", "parquet", "combined", "common", "vhost", "access",
    "requests",
];

/// The setting `customer_from`.
#[derive(Debug, Clone)]
pub(crate) enum CustomerFrom {
    /// What a folder `customer=…` says, else as `File`.
    Usual,
    /// The file's name without extensions.
    File,
    /// The name of the folder that holds the file.
    Folder,
    /// What the group `customer` (else the first group, else the whole match) of the pattern finds in the path.
    Path(Box<Regex>),
}

impl CustomerFrom {
    /// Reads `file`, `folder` or `path:PATTERN`.
    pub(crate) fn new(text: Option<&str>) -> Result<Self> {
        match text {
            None => Ok(Self::Usual),
            Some("file") => Ok(Self::File),
            Some("folder") => Ok(Self::Folder),
            Some(text) => match text.strip_prefix("path:") {
                Some(pattern) => Regex::new(pattern).map(|pattern| Self::Path(Box::new(pattern))).map_err(|e| {
                    Error::usage(format!("'{pattern}' in customer_from is no regular expression")).detail(e)
                }),
                None => Err(Error::usage(format!("setting 'customer_from' is '{text}'"))
                    .hint("it takes file, folder, or path:PATTERN with a group (?<customer>…)")),
            },
        }
    }

    /// The customer of an input.
    pub(crate) fn of(&self, found: &Found) -> String {
        let name = found.name();
        let mut parts = name.rsplit(['/', std::path::MAIN_SEPARATOR]);
        let file = parts.next().unwrap_or_default();
        match self {
            Self::Usual => {
                let folder = partition::of_path(&found.path).into_iter().rev().find(|(name, _)| name == "customer");
                folder.and_then(|(_, value)| value).unwrap_or_else(|| without_extensions(file).to_owned())
            }
            Self::File => without_extensions(file).to_owned(),
            Self::Folder => folder_of(found),
            Self::Path(pattern) => {
                let Some(found) = pattern.captures(&name) else { return without_extensions(file).to_owned() };
                let group = found.name("customer").or_else(|| found.get(1)).or_else(|| found.get(0));
                group.map_or_else(String::new, |group| group.as_str().to_owned())
            }
        }
    }
}

/// The folder in the archive, if there is one, else that of the file.
fn folder_of(found: &Found) -> String {
    if let Some(entry) = &found.entry
        && let Some((folders, _)) = entry.name.rsplit_once('/')
    {
        return folders.rsplit('/').next().unwrap_or(folders).to_owned();
    }
    // a bare file name stands in the current folder, whose name must be asked for
    let full = std::path::absolute(&found.path).unwrap_or_else(|_| found.path.clone());
    full.parent().and_then(|p| p.file_name()).map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// `shop.example.com.log.2.gz` → `shop.example.com`: compression, rotation, then extensions of logs. Other dots are
/// part of the name.
fn without_extensions(name: &str) -> &str {
    let mut rest = name;
    if let Some((stem, extension)) = split(rest)
        && compression::EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known))
    {
        rest = stem;
    }
    if let Some((stem, extension)) = split(rest)
        && extension.bytes().all(|byte| byte.is_ascii_digit())
        && split(stem).is_some_and(|(_, inner)| is_log_extension(inner))
    {
        rest = stem;
    }
    while let Some((stem, extension)) = split(rest)
        && is_log_extension(extension)
    {
        rest = stem;
    }
    rest
}

/// `log`, and `log-20261123` as date-named rotations have it.
fn is_log_extension(extension: &str) -> bool {
    let bare = match extension.split_once('-') {
        Some((bare, date)) if date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') => bare,
        _ => extension,
    };
    LOG_EXTENSIONS.iter().any(|known| bare.eq_ignore_ascii_case(known))
}

fn split(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_name_loses_compression_rotation_and_log_extensions() {
        for (name, customer) in [
            ("shop.log", "shop"),
            ("shop.example.com.log", "shop.example.com"),
            ("shop.log.1", "shop"),
            ("shop.log.2.gz", "shop"),
            ("shop.log-20261123.zst", "shop"),
            ("blog-2015.combined.log.gz", "blog-2015"),
            ("10.0.0.1.log", "10.0.0.1"),
            ("10.0.0.1", "10.0.0.1"),
            ("access_log", "access_log"),
            (".log", ".log"),
        ] {
            assert_eq!(without_extensions(name), customer, "{name}");
        }
    }

    #[test]
    fn customer_is_found_in_folder_or_path() {
        let found = Found { path: "/logs/acme/2026/app.log".into(), entry: None };
        let usual = CustomerFrom::new(None).unwrap();
        assert_eq!(usual.of(&found), "app");
        let of_folder = Found { path: "/logs/customer=acme%20inc/date=2026-01-01/part-0.parquet".into(), entry: None };
        assert_eq!(usual.of(&of_folder), "acme inc");
        assert_eq!(CustomerFrom::new(Some("file")).unwrap().of(&of_folder), "part-0");
        assert_eq!(CustomerFrom::new(Some("folder")).unwrap().of(&found), "2026");
        assert_eq!(CustomerFrom::new(Some("path:/logs/([^/]+)/")).unwrap().of(&found), "acme");
        assert_eq!(CustomerFrom::new(Some("path:(?<x>l)ogs/(?<customer>[a-z]+)")).unwrap().of(&found), "acme");
        assert!(CustomerFrom::new(Some("path:(")).is_err());
        assert!(CustomerFrom::new(Some("host")).is_err());
    }
}
