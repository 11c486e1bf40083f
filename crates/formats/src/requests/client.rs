//! Who is the client: the peer's address, or behind trusted proxies the forwarded one; IPv6 grouped by prefix.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

use fyke_types::{Error, Result, Settings};
use ipnet::{IpNet, Ipv6Net};

/// How the client's address is found.
#[derive(Debug, Clone)]
pub(crate) struct ClientRule {
    /// Proxies whose word is believed. Setting `trusted_proxies`: addresses and ranges, by commas; default none.
    trusted: Vec<IpNet>,
    /// Headers that hold one address. Setting `client_ip`: names, by commas, the first present wins; default none.
    single: Vec<String>,
    /// The header that holds the chain of addresses. Setting `forwarded_header`; default none.
    chain: Option<String>,
    /// IPv6 clients of one prefix are one client. Setting `ipv6_prefix`; default 64, 128 keeps addresses.
    prefix: u8,
}

impl Default for ClientRule {
    fn default() -> Self {
        Self { trusted: Vec::new(), single: Vec::new(), chain: None, prefix: 64 }
    }
}

/// A header's name as formats and people write it (`X-Forwarded-For`, `$http_x_forwarded_for`) in one form.
pub(crate) fn header_name(name: &str) -> String {
    let name = name.trim().to_ascii_lowercase().replace('-', "_");
    name.strip_prefix("http_").map_or(name.clone(), str::to_owned)
}

impl ClientRule {
    /// Takes `trusted_proxies`, `client_ip`, `forwarded_header` and `ipv6_prefix`.
    ///
    /// # Errors
    /// `Usage` for what is no address range, for a prefix beyond 128, and for headers that nobody would be believed.
    pub fn from_settings(settings: &mut Settings) -> Result<Self> {
        let list = |text: Option<String>| -> Vec<String> {
            let text = text.unwrap_or_default();
            text.split([',', ' ']).map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        let mut trusted = Vec::new();
        for text in list(settings.text("trusted_proxies")) {
            let range = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
            let range = range.ok_or_else(|| {
                Error::usage(format!("setting 'trusted_proxies' holds '{text}', which is no address or range"))
                    .hint("write ranges such as '10.0.0.0/8, 2001:db8::/32'")
            })?;
            trusted.push(range);
        }
        let single: Vec<String> = list(settings.text("client_ip")).iter().map(|name| header_name(name)).collect();
        let chain = settings.text("forwarded_header").map(|name| header_name(&name));
        if trusted.is_empty() && (chain.is_some() || !single.is_empty()) {
            return Err(Error::usage("a header shall name the client, but no proxy is trusted")
                .hint("name the proxies in 'trusted_proxies': anybody else may write into that header what he likes"));
        }
        let prefix = settings.number::<u8>("ipv6_prefix")?.unwrap_or(64);
        if prefix > 128 {
            return Err(Error::usage(format!("setting 'ipv6_prefix' is {prefix}")).hint("it takes 0 to 128"));
        }
        Ok(Self { trusted, single, chain, prefix })
    }

    /// Whether any header is of use.
    pub fn wants_any(&self) -> bool {
        self.chain.is_some() || !self.single.is_empty()
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|range| range.contains(&address))
    }

    /// The client of a request that came from `peer`, as text. What is no address (a host name) stays as it is.
    /// `header` gives the value of a header by its name in [`header_name`]'s form.
    pub fn client<'a>(&self, peer: Cow<'a, str>, header: impl Fn(&str) -> Option<String>) -> Cow<'a, str> {
        let Some(address) = parse_address(&peer) else { return peer };
        let client = if self.trusts(address) { self.forwarded(address, header) } else { address };
        // addresses stand in logs as they are shown here, nearly always
        match client {
            IpAddr::V4(_) if client == address && !peer.contains(':') => peer,
            _ => Cow::Owned(self.show(client)),
        }
    }

    fn forwarded(&self, peer: IpAddr, header: impl Fn(&str) -> Option<String>) -> IpAddr {
        for name in &self.single {
            if let Some(address) = header(name).as_deref().and_then(parse_address) {
                return address;
            }
        }
        let Some((name, text)) = self.chain.as_ref().and_then(|name| Some((name, header(name)?))) else { return peer };
        let mut client = peer;
        for entry in text.rsplit(',') {
            if !self.trusts(client) {
                break;
            }
            let entry = if name == "forwarded" { forwarded_for(entry) } else { Some(entry) };
            // an unknown or hidden hop: what lies behind it is hearsay
            let Some(address) = entry.and_then(parse_address) else { break };
            client = address;
        }
        client
    }

    fn show(&self, address: IpAddr) -> String {
        match address {
            IpAddr::V6(address) if self.prefix < 128 => match Ipv6Net::new(address, self.prefix) {
                Ok(range) => range.trunc().to_string(),
                Err(_) => address.to_string(),
            },
            other => other.to_string(),
        }
    }
}

/// The `for=` of one element of a `Forwarded` header (RFC 7239).
fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })
}

/// An address, with or without brackets, port and zone; IPv4 mapped into IPv6 is IPv4.
pub(crate) fn parse_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let plain = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => match text.split_once(':') {
            Some((address, port)) if !port.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => address,
            _ => text,
        },
    };
    let plain = plain.split_once('%').map_or(plain, |(address, _zone)| address);
    Some(match plain.parse::<IpAddr>().ok()? {
        IpAddr::V6(address) => unmapped(address),
        v4 => v4,
    })
}

fn unmapped(address: Ipv6Addr) -> IpAddr {
    address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn rule(settings: &[(&str, &str)]) -> Result<ClientRule> {
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        ClientRule::from_settings(&mut Settings::new("test", settings.collect::<BTreeMap<_, _>>()))
    }

    fn client(rule: &ClientRule, peer: &str, header: &str) -> String {
        rule.client(Cow::Borrowed(peer), |_| (!header.is_empty()).then(|| header.to_owned())).into_owned()
    }

    #[test]
    fn addresses_take_their_shortest_text() {
        let rule = ClientRule::default();
        for (peer, expected) in [
            ("203.0.113.9", "203.0.113.9"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:0DB8:0001:0002::1", "2001:db8:1:2::/64"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("203.0.113.9:4711", "203.0.113.9"),
            ("[2001:db8::1]:443", "2001:db8::/64"),
            ("client.example", "client.example"),
            ("unix:", "unix:"),
        ] {
            assert_eq!(client(&rule, peer, ""), expected, "{peer}");
        }
        let whole = rule_or_panic(&[("ipv6_prefix", "128")]);
        assert_eq!(client(&whole, "2001:0db8::0001", ""), "2001:db8::1");
    }

    fn rule_or_panic(settings: &[(&str, &str)]) -> ClientRule {
        rule(settings).expect("settings are right")
    }

    #[test]
    fn a_header_is_believed_from_trusted_proxies_alone() {
        let rule =
            rule_or_panic(&[("trusted_proxies", "10.0.0.0/8, 192.0.2.1"), ("forwarded_header", "X-Forwarded-For")]);
        for (peer, header, expected) in [
            ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
            ("203.0.113.1", "198.51.100.7", "203.0.113.1"),
            // the client wrote the first one himself
            ("10.0.0.1", "6.6.6.6, 203.0.113.9, 192.0.2.1", "203.0.113.9"),
            ("10.0.0.1", "10.1.1.1, 10.2.2.2", "10.1.1.1"),
            ("10.0.0.1", "203.0.113.9, unknown", "10.0.0.1"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("10.0.0.1", "2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ] {
            assert_eq!(client(&rule, peer, header), expected, "{peer} {header}");
        }
    }

    #[test]
    fn the_standard_header_is_read_too() {
        let rule = rule_or_panic(&[("trusted_proxies", "10.0.0.0/8"), ("forwarded_header", "forwarded")]);
        let header = r#"for=6.6.6.6, For="[2001:db8:cafe::17]:4711";proto=https;by=10.0.0.1"#;
        assert_eq!(client(&rule, "10.0.0.1", header), "2001:db8:cafe::/64");
        assert_eq!(client(&rule, "10.0.0.1", "for=_hidden"), "10.0.0.1");
    }

    #[test]
    fn wrong_settings_are_refused() {
        assert!(rule(&[("trusted_proxies", "10.0.0.0/8, nonsense")]).is_err());
        assert!(rule(&[("forwarded_header", "x-forwarded-for")]).is_err());
        assert!(rule(&[("ipv6_prefix", "129")]).is_err());
    }
}
