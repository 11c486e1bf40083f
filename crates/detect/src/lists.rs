//! Lists of clients: who is allowed whatever it does, and named lists that a query may ask.

use std::collections::BTreeMap;
use std::path::Path;

use fyke_functions::{AddressRange, AddressSet};
use fyke_types::{Error, Result};

/// Clients that are never called bots: by address, network, or a part of the agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList {
    addresses: AddressSet,
    /// Lower case.
    agents: Vec<String>,
}

impl AllowList {
    /// From lines: an address or network, or `agent: part of its text` (in any case). `#` begins a comment.
    ///
    /// # Errors
    /// `Usage`, naming the line, for anything else.
    pub fn from_lines(text: &str) -> Result<Self> {
        let (mut ranges, mut agents) = (Vec::new(), Vec::new());
        for (number, line) in text.lines().enumerate() {
            // an agent may hold a '#', so only a line of its own is a comment there
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = || {
                Error::usage(format!("line {} of the allow list is '{line}'", number + 1))
                    .hint("an address, a network such as 192.0.2.0/24, or 'agent: text'")
            };
            if let Some(agent) = line.strip_prefix("agent:") {
                let agent = agent.trim().to_ascii_lowercase();
                // an empty part would be found in every agent
                if agent.is_empty() {
                    return Err(wrong());
                }
                agents.push(agent);
                continue;
            }
            let address = line.split('#').next().unwrap_or_default();
            ranges.push(AddressRange::parse(address).ok_or_else(wrong)?);
        }
        Ok(Self { addresses: ranges.into_iter().collect(), agents })
    }

    /// The same from a file.
    ///
    /// # Errors
    /// `Unavailable` where it can't be read, else as [`AllowList::from_lines`].
    pub fn load(path: &Path) -> Result<Self> {
        Self::from_lines(&read(path)?)
    }

    /// Whether a client is on it.
    pub fn holds(&self, client_ip: Option<&str>, agent: Option<&str>) -> bool {
        let by_address = client_ip.is_some_and(|address| self.addresses.contains_text(address).unwrap_or(false));
        by_address || (!self.agents.is_empty() && agent.is_some_and(|agent| self.holds_agent(agent)))
    }

    fn holds_agent(&self, agent: &str) -> bool {
        let agent = agent.to_ascii_lowercase();
        self.agents.iter().any(|part| agent.contains(part))
    }
}

/// Address lists by name, for `list_contains('name', client_ip)`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists(BTreeMap<String, AddressSet>);

impl Lists {
    /// Adds a list of addresses and networks, one a line; `#` begins a comment.
    ///
    /// # Errors
    /// `Data`, naming the line.
    pub fn insert(&mut self, name: &str, text: &str) -> Result<()> {
        self.0.insert(name.to_owned(), AddressSet::from_lines(text)?);
        Ok(())
    }

    /// Adds the list in a file.
    ///
    /// # Errors
    /// `Unavailable` where it can't be read, `Data` naming the line.
    pub fn load(&mut self, name: &str, path: &Path) -> Result<()> {
        self.insert(name, &read(path)?)
    }

    /// Whether the list holds the address; none where the text is no address.
    ///
    /// # Errors
    /// `Usage` where there is no such list.
    pub fn contains(&self, name: &str, address: &str) -> Result<Option<bool>> {
        let list = self.0.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
            Error::usage(format!("there is no list '{name}'")).hint(format!("known lists: {}", known.join(", ")))
        })?;
        Ok(list.contains_text(address))
    }
}

pub(crate) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| Error::unavailable(format!("'{}' can't be read", path.display())).detail(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_networks_and_agents_are_allowed() {
        let list =
            AllowList::from_lines("# office\n192.0.2.0/24 # first floor\n2001:db8::7\n\nagent: UptimeCheck #3\n")
                .unwrap();
        assert!(list.holds(Some("192.0.2.9"), None));
        assert!(list.holds(Some("2001:db8::7"), Some("x")));
        assert!(list.holds(Some("203.0.113.1"), Some("Mozilla uptimecheck #3/1")));
        assert!(!list.holds(Some("203.0.113.1"), Some("Mozilla")));
        assert!(!list.holds(None, None));
        assert!(!AllowList::default().holds(Some("192.0.2.9"), Some("x")));
    }

    #[test]
    fn a_bad_line_is_named() {
        for text in ["192.0.2.0/24\noffice", "\nagent:  "] {
            assert!(AllowList::from_lines(text).unwrap_err().message().contains("line 2"));
        }
    }

    #[test]
    fn an_unknown_list_is_refused_with_those_that_are() {
        let mut lists = Lists::default();
        lists.insert("vpn", "203.0.113.0/24").unwrap();
        assert_eq!(lists.contains("vpn", "203.0.113.77").unwrap(), Some(true));
        assert_eq!(lists.contains("vpn", "nobody").unwrap(), None);
        assert!(
            lists.contains("tor", "203.0.113.77").unwrap_err().hint_text().is_some_and(|hint| hint.contains("vpn"))
        );
    }
}
