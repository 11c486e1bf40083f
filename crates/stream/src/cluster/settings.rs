//! Which processes make up a cluster, and how long they wait for each other.

use std::time::Duration;

use fyke_types::{Error, Result};

/// A process of a cluster. The first host is the coordinator: it reads sources, writes sinks and checkpoints.
#[derive(Clone)]
pub struct ClusterSettings {
    /// `host:port` of each process: where it listens for the others.
    pub hosts: Vec<String>,
    /// Which of them this process is.
    pub index: usize,
    /// What all of them know: who does not is turned away.
    pub token: Vec<u8>,
    /// How often a process says that it is alive (default 500 ms).
    pub heartbeat: Duration,
    /// A process that was not heard of for so long is lost (default 5 s).
    pub peer_timeout: Duration,
    /// How long the coordinator waits for processes that are not there before it goes on without them (default 30 s).
    pub peer_wait: Duration,
    /// A process is lost, although it says that it is alive, if one of its workers does not answer for so long although it
    /// was asked (default 5 minutes).
    pub worker_timeout: Duration,
}

impl std::fmt::Debug for ClusterSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} of {:?}", self.index, self.hosts)
    }
}

impl ClusterSettings {
    /// Settings from the text of a hosts file: a `host:port` a line; `#` begins a comment.
    ///
    /// # Errors
    /// `Usage` for a file without hosts, a line that is none, an index outside of it, or a token that is too short.
    pub fn new(hosts: &str, index: usize, token: &str) -> Result<Self> {
        let mut all = Vec::new();
        for (number, line) in hosts.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let port =
                line.rsplit_once(':').and_then(|(host, port)| (!host.is_empty()).then(|| port.parse::<u16>().ok()));
            if port.flatten().is_none() {
                return Err(Error::usage(format!("line {} of the hosts is no host:port: {line}", number + 1))
                    .hint("write one process a line, such as 10.0.0.1:7946"));
            }
            all.push(line.to_owned());
        }
        if index >= all.len() {
            return Err(Error::usage(format!("there is no host {index} among {} hosts", all.len()))
                .hint("--index counts the lines of the hosts file from 0"));
        }
        if token.trim().len() < 16 {
            return Err(Error::usage("the cluster's token is too short").hint("let it have 16 characters at least"));
        }
        Ok(Self {
            hosts: all,
            index,
            token: token.trim().as_bytes().to_vec(),
            heartbeat: Duration::from_millis(500),
            peer_timeout: Duration::from_secs(5),
            peer_wait: Duration::from_secs(30),
            worker_timeout: Duration::from_secs(300),
        })
    }

    /// Whether this process is the coordinator.
    pub fn is_coordinator(&self) -> bool {
        self.index == 0
    }

    pub(super) fn host(&self, index: usize) -> Result<&str> {
        let host = self.hosts.get(index).map(String::as_str);
        host.ok_or_else(|| Error::internal(format!("there is no host {index}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    #[test]
    fn hosts_are_lines_and_comments_are_left_out() {
        let settings =
            ClusterSettings::new("# all of them\n10.0.0.1:7946\n\n[::1]:7947 # ours\n", 1, TOKEN).expect("fits");
        assert_eq!(settings.hosts, ["10.0.0.1:7946", "[::1]:7947"]);
        assert!(!settings.is_coordinator());
    }

    #[test]
    fn wrong_settings_are_named_with_the_remedy() {
        for (hosts, index, token, words) in [
            ("a:1\nb\n", 0, TOKEN, "line 2"),
            ("a:1\nb:99999\n", 0, TOKEN, "line 2"),
            (":7946\n", 0, TOKEN, "line 1"),
            ("a:1\n", 1, TOKEN, "no host 1"),
            ("", 0, TOKEN, "no host 0"),
            ("a:1\n", 0, "short", "token"),
        ] {
            let error = ClusterSettings::new(hosts, index, token).expect_err("refused").to_string();
            assert!(error.contains(words) && error.contains("hint"), "{error}");
        }
    }
}
