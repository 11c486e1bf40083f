//! Functions of a client's address. Text that is no address gives null; a network (`2001:db8::/64`, as grouped
//! clients are written) counts as all of its addresses.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use datafusion::arrow::array::{Array, ArrayRef, StringArray, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Int32Type};
use datafusion::common::{DataFusionError, Result, ScalarValue};

use super::{AddressRange, AddressSet};
use crate::doc::FunctionDoc;
use crate::parameter::{Parameter, refuse};
use crate::scalar::{ScalarFunction, integers, text, text_to_flag, text_to_number, unchecked};

pub(crate) static IP_IN: ScalarFunction = ScalarFunction {
    doc: FunctionDoc {
        name: "ip_in",
        signature: "ip_in(address, 'cidr, cidr, …') -> boolean",
        summary: "Whether the address is in one of the addresses and networks of a constant list; null where the \
                  text is no address.",
    },
    parameters: &[Parameter::Text, Parameter::Text],
    required: 2,
    returns: DataType::Boolean,
    run: is_in,
    check: check_list,
};

pub(crate) static IP_PREFIX: ScalarFunction = ScalarFunction {
    doc: FunctionDoc {
        name: "ip_prefix",
        signature: "ip_prefix(address, bits) -> text",
        summary: "The network of the address's first bits, such as '192.0.2.0/24'. More bits than the address has \
                  keep all of it, so 64 groups IPv6 by network and leaves IPv4 alone. Null for negative bits and \
                  text that is no address.",
    },
    parameters: &[Parameter::Text, Parameter::Integer],
    required: 2,
    returns: DataType::Utf8,
    run: prefixes,
    check: unchecked,
};

pub(crate) static IP_VERSION: ScalarFunction = ScalarFunction {
    doc: FunctionDoc {
        name: "ip_version",
        signature: "ip_version(address) -> int",
        summary: "4 or 6 (4 for IPv4 mapped into IPv6); null where the text is no address.",
    },
    parameters: &[Parameter::Text],
    required: 1,
    returns: DataType::Int32,
    run: |args| {
        text_to_number::<Int32Type>(args, |address| Some(if AddressRange::parse(address)?.is_v4() { 4 } else { 6 }))
    },
    check: unchecked,
};

pub(crate) static IS_PRIVATE_IP: ScalarFunction = ScalarFunction {
    doc: FunctionDoc {
        name: "is_private_ip",
        signature: "is_private_ip(address) -> boolean",
        summary: "Whether the address belongs to a private, shared, link-local or loopback network, which the open \
                  internet does not route (RFC 1918, 6598, 3927, 1122, 4193, 4291); null where the text is no address.",
    },
    parameters: &[Parameter::Text],
    required: 1,
    returns: DataType::Boolean,
    run: |args| text_to_flag(args, |address| PRIVATE.contains_text(address)),
    check: unchecked,
};

const PRIVATE_NETWORKS: &str =
    "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 169.254.0.0/16 127.0.0.0/8 fc00::/7 fe80::/10 ::1/128";

static PRIVATE: LazyLock<AddressSet> =
    LazyLock::new(|| PRIVATE_NETWORKS.split(' ').filter_map(AddressRange::parse).collect());

/// Lists that were parsed: a list is a constant of a query and would else be parsed for every batch.
static LISTS: Mutex<Vec<(String, Arc<AddressSet>)>> = Mutex::new(Vec::new());
/// More lists than one program's queries hold; the oldest goes first.
const LISTS_KEPT: usize = 64;

fn list(text: &str) -> Result<Arc<AddressSet>> {
    let mut lists = LISTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, set)) = lists.iter().find(|(known, _)| known == text) {
        return Ok(Arc::clone(set));
    }
    let set = Arc::new(AddressSet::from_list(text).map_err(|error| DataFusionError::External(Box::new(error)))?);
    if lists.len() >= LISTS_KEPT {
        lists.remove(0);
    }
    lists.push((text.to_owned(), Arc::clone(&set)));
    Ok(set)
}

fn check_list(constants: &[Option<&ScalarValue>]) -> Result<()> {
    match constants.get(1) {
        Some(Some(value)) => match value.try_as_str() {
            Some(Some(text)) => list(text).map(|_| ()),
            _ => Ok(()),
        },
        _ => Err(refuse("the list of ip_in is no constant", "write it as a literal, or join with a table of ranges")),
    }
}

fn is_in(args: &[ArrayRef]) -> Result<ArrayRef> {
    let lists = text(args, 1)?;
    // the list is a constant: every row holds the same
    if lists.is_empty() || lists.is_null(0) {
        return text_to_flag(args, |_| None);
    }
    let set = list(lists.value(0))?;
    text_to_flag(args, |address| set.contains_text(address))
}

fn prefixes(args: &[ArrayRef]) -> Result<ArrayRef> {
    let (addresses, bits): (&StringArray, _) = (text(args, 0)?, integers(args, 1)?);
    let mut out = StringBuilder::new();
    for (address, bits) in addresses.iter().zip(bits) {
        out.append_option(address.zip(bits).and_then(|(address, bits)| prefix_of(address, bits)));
    }
    Ok(Arc::new(out.finish()))
}

fn prefix_of(address: &str, bits: i64) -> Option<String> {
    let bits = u32::try_from(bits.min(128)).ok()?;
    Some(match AddressRange::parse(address)? {
        AddressRange::V4(first, _) => {
            let bits = bits.min(32);
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            format!("{}/{bits}", Ipv4Addr::from_bits(first & mask))
        }
        AddressRange::V6(first, _) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            format!("{}/{bits}", Ipv6Addr::from_bits(first & mask))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_keeps_the_first_bits() {
        for (address, bits, expected) in [
            ("192.0.2.77", 24, Some("192.0.2.0/24")),
            ("192.0.2.77", 64, Some("192.0.2.77/32")),
            ("192.0.2.77", 0, Some("0.0.0.0/0")),
            ("2001:db8:1:2:3::4", 64, Some("2001:db8:1:2::/64")),
            ("2001:db8::1", 999, Some("2001:db8::1/128")),
            ("2001:db8::1", 0, Some("::/0")),
            ("192.0.2.77", -1, None),
            ("somebody", 24, None),
        ] {
            assert_eq!(prefix_of(address, bits).as_deref(), expected, "{address} {bits}");
        }
    }

    #[test]
    fn private_networks_are_all_read() {
        assert_eq!(PRIVATE.intervals(), (6, 3));
        assert_eq!(PRIVATE.contains_text("172.31.255.255"), Some(true));
        assert_eq!(PRIVATE.contains_text("172.32.0.0"), Some(false));
        assert_eq!(PRIVATE.contains_text("fe80::1"), Some(true));
        assert_eq!(PRIVATE.contains_text("8.8.8.8"), Some(false));
    }
}
