//! An address or a network as a closed interval of numbers. IPv4 and IPv6 are different lines, never compared.

use std::net::IpAddr;

use ipnet::IpNet;

/// An address (`first == last`) or a network. IPv4 addresses that are mapped into IPv6 (`::ffff:a.b.c.d`) are IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressRange {
    /// First and last IPv4 address as numbers.
    V4(u32, u32),
    /// First and last IPv6 address as numbers.
    V6(u128, u128),
}

impl AddressRange {
    /// From `192.0.2.1`, `192.0.2.0/24`, `2001:db8::1`, `[2001:db8::1]` or `2001:db8::/32`, with spaces around it;
    /// bits behind the prefix are ignored. None for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(text);
        if text.contains('/') {
            return text.parse::<IpNet>().ok().map(Self::from);
        }
        text.parse::<IpAddr>().ok().map(Self::from)
    }

    /// Whether it is IPv4.
    pub fn is_v4(&self) -> bool {
        matches!(self, Self::V4(_, _))
    }
}

impl From<IpAddr> for AddressRange {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.to_bits(), v4.to_bits()),
            IpAddr::V6(v6) => Self::V6(v6.to_bits(), v6.to_bits()),
        }
    }
}

impl From<IpNet> for AddressRange {
    fn from(network: IpNet) -> Self {
        match network {
            IpNet::V4(v4) => Self::V4(v4.network().to_bits(), v4.broadcast().to_bits()),
            // ::ffff:0:0/96 and below is IPv4 in other words
            IpNet::V6(v6) => match (v6.network().to_ipv4_mapped(), v6.broadcast().to_ipv4_mapped()) {
                (Some(first), Some(last)) => Self::V4(first.to_bits(), last.to_bits()),
                _ => Self::V6(v6.network().to_bits(), v6.broadcast().to_bits()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks_are_read() {
        assert_eq!(AddressRange::parse("0.0.1.2"), Some(AddressRange::V4(258, 258)));
        assert_eq!(AddressRange::parse(" 0.0.1.7/24 "), Some(AddressRange::V4(256, 511)));
        assert_eq!(AddressRange::parse("::ffff:0.0.0.9"), Some(AddressRange::V4(9, 9)));
        assert_eq!(AddressRange::parse("::ffff:0.0.0.0/120"), Some(AddressRange::V4(0, 255)));
        assert_eq!(AddressRange::parse("[::5]"), Some(AddressRange::V6(5, 5)));
        assert_eq!(AddressRange::parse("::/127"), Some(AddressRange::V6(0, 1)));
    }

    #[test]
    fn other_text_is_no_address() {
        for text in ["", "-", "1.2.3", "1.2.3.4.5", "1.2.3.4/33", "host.example", "::/129", "1.2.3.4:80"] {
            assert_eq!(AddressRange::parse(text), None, "{text}");
        }
    }
}
