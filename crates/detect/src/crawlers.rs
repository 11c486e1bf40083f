//! Whether a claimed crawler comes from addresses that its operator publishes. None are compiled in, since they age:
//! a crawler of 2012 outside today's ranges is no impostor.

use std::collections::BTreeMap;
use std::path::Path;

use fyke_functions::AddressSet;
use fyke_types::{Error, Result};

use crate::lists::read;

/// File names that do not bear the family's name that `crawler_claim` gives.
const FILE_NAMES: &[(&str, &str)] = &[("bing", "bingbot"), ("openai", "gptbot")];

/// Published addresses by crawler.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CrawlerRanges(BTreeMap<String, AddressSet>);

impl CrawlerRanges {
    /// From a folder of `<crawler>.v4.txt` and `<crawler>.v6.txt`, one address or network a line. The crawler is a
    /// family as `crawler_claim` names it (`googlebot`, `bingbot`, …; also `bing` and `openai`). Other files are ignored.
    ///
    /// # Errors
    /// `Unavailable` where the folder can't be read, `Data` for a line that is no address, `Usage` for a folder
    /// without any such file.
    pub fn load(folder: &Path) -> Result<Self> {
        let failed = |error| Error::unavailable(format!("'{}' can't be read", folder.display())).detail(error);
        let mut texts: BTreeMap<String, String> = BTreeMap::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(family) = name.strip_suffix(".v4.txt").or_else(|| name.strip_suffix(".v6.txt")) else { continue };
            let text = texts.entry(family_of(family).to_owned()).or_default();
            text.push_str(&read(&path)?);
            text.push('\n');
        }
        if texts.is_empty() {
            return Err(Error::usage(format!("'{}' holds no addresses of crawlers", folder.display()))
                .hint("it takes files such as googlebot.v4.txt, one network a line"));
        }
        let mut ranges = Self::default();
        for (family, text) in &texts {
            ranges.insert(family, text)?;
        }
        Ok(ranges)
    }

    /// Sets the addresses of a crawler from text, one address or network a line.
    ///
    /// # Errors
    /// `Data` for a line that is no address.
    pub fn insert(&mut self, family: &str, text: &str) -> Result<()> {
        let set = AddressSet::from_lines(text)
            .map_err(|error| Error::data(format!("the addresses of '{family}' can't be read")).detail(error))?;
        self.0.insert(family.to_owned(), set);
        Ok(())
    }

    /// True inside the claimed crawler's addresses, false outside; none without a claim or without its addresses.
    pub fn verify(&self, claim: Option<&str>, client_ip: Option<&str>) -> Option<bool> {
        let set = self.0.get(claim?).filter(|set| !set.is_empty())?;
        set.contains_text(client_ip?)
    }
}

fn family_of(file: &str) -> &str {
    FILE_NAMES.iter().find(|(name, _)| *name == file).map_or(file, |(_, family)| family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_true_inside_false_outside_and_unknown_without_ranges() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("bing.v4.txt"), "203.0.113.0/24\n").unwrap();
        std::fs::write(folder.path().join("bing.v6.txt"), "2001:db8::/32\n").unwrap();
        std::fs::write(folder.path().join("notes.txt"), "not addresses").unwrap();
        let ranges = CrawlerRanges::load(folder.path()).unwrap();
        assert_eq!(ranges.verify(Some("bingbot"), Some("203.0.113.9")), Some(true));
        assert_eq!(ranges.verify(Some("bingbot"), Some("2001:db8:1::/64")), Some(true));
        assert_eq!(ranges.verify(Some("bingbot"), Some("192.0.2.1")), Some(false));
        assert_eq!(ranges.verify(Some("googlebot"), Some("192.0.2.1")), None);
        assert_eq!(ranges.verify(None, Some("192.0.2.1")), None);
        assert_eq!(ranges.verify(Some("bingbot"), Some("nobody")), None);
    }

    #[test]
    fn a_folder_without_ranges_and_a_bad_line_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(CrawlerRanges::load(folder.path()).is_err());
        std::fs::write(folder.path().join("applebot.v4.txt"), "203.0.113.0/24\nhello\n").unwrap();
        let error = CrawlerRanges::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("applebot") && error.contains("line 2"), "{error}");
    }
}
