//! A set of addresses given by ranges: sorted, disjoint intervals, found by binary search.

use std::net::IpAddr;

use fyke_types::{Error, Result};

use super::AddressRange;

/// Addresses of both families. Overlapping and adjacent ranges are merged, so a look-up is one binary search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressSet {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl AddressSet {
    /// From text of one address or CIDR a line; `#` and `;` begin comments, blank lines are ignored.
    ///
    /// # Errors
    /// `Data`, naming the line, where a line is neither.
    pub fn from_lines(text: &str) -> Result<Self> {
        let mut ranges = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let entry = line.split(['#', ';']).next().unwrap_or_default().trim();
            if entry.is_empty() {
                continue;
            }
            let range = AddressRange::parse(entry).ok_or_else(|| {
                Error::data(format!("line {} of an address list is '{entry}'", index + 1)).hint(EXPECTED)
            })?;
            ranges.push(range);
        }
        Ok(ranges.into_iter().collect())
    }

    /// From addresses or CIDRs that are separated by commas or spaces.
    ///
    /// # Errors
    /// `Usage`, naming the entry, where one is neither.
    pub fn from_list(text: &str) -> Result<Self> {
        let entries = text.split([',', ' ', '\n', '\t']).map(str::trim).filter(|entry| !entry.is_empty());
        entries
            .map(|entry| {
                let wrong = || Error::usage(format!("a list of addresses holds '{entry}'")).hint(EXPECTED);
                AddressRange::parse(entry).ok_or_else(wrong)
            })
            .collect()
    }

    /// Whether the address is in the set.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.contains_range(&address.into())
    }

    /// Whether all of the range is in the set.
    pub fn contains_range(&self, range: &AddressRange) -> bool {
        match range {
            AddressRange::V4(first, last) => holds(&self.v4, *first, *last),
            AddressRange::V6(first, last) => holds(&self.v6, *first, *last),
        }
    }

    /// Whether the text is an address (or a network) that is in the set; none where it is no address.
    pub fn contains_text(&self, address: &str) -> Option<bool> {
        AddressRange::parse(address).map(|range| self.contains_range(&range))
    }

    /// Number of disjoint intervals: IPv4, IPv6.
    pub fn intervals(&self) -> (usize, usize) {
        (self.v4.len(), self.v6.len())
    }

    /// Number of IPv4 addresses.
    pub fn v4_addresses(&self) -> u64 {
        self.v4.iter().map(|(first, last)| u64::from(last - first) + 1).sum()
    }

    /// Whether no address is in it.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

const EXPECTED: &str = "it takes addresses and networks such as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32";

impl FromIterator<AddressRange> for AddressSet {
    fn from_iter<I: IntoIterator<Item = AddressRange>>(ranges: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for range in ranges {
            match range {
                AddressRange::V4(first, last) => v4.push((first, last)),
                AddressRange::V6(first, last) => v6.push((first, last)),
            }
        }
        Self { v4: merged(v4, |last| last.saturating_add(1)), v6: merged(v6, |last| last.saturating_add(1)) }
    }
}

/// Sorted, with what overlaps or touches made one. `next` is the number after a last one.
fn merged<T: Ord + Copy>(mut ranges: Vec<(T, T)>, next: impl Fn(T) -> T) -> Vec<(T, T)> {
    ranges.sort_unstable();
    let mut out: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match out.last_mut() {
            Some(open) if first <= next(open.1) => open.1 = open.1.max(last),
            _ => out.push((first, last)),
        }
    }
    out.shrink_to_fit();
    out
}

fn holds<T: Ord + Copy>(ranges: &[(T, T)], first: T, last: T) -> bool {
    let after = ranges.partition_point(|range| range.0 <= first);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|range| last <= range.1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn comments_and_blank_lines_are_ignored() {
        let set = AddressSet::from_lines("# list\n\n192.0.2.0/24 ; office\n2001:db8::/32\n10.0.0.1\n").unwrap();
        assert_eq!(set.intervals(), (2, 1));
        assert_eq!(set.v4_addresses(), 257);
        assert_eq!(set.contains_text("192.0.2.255"), Some(true));
        assert_eq!(set.contains_text("192.0.3.0"), Some(false));
        assert_eq!(set.contains_text("2001:db8:1:2::/64"), Some(true));
        assert_eq!(set.contains_text("2001::/16"), Some(false));
        assert_eq!(set.contains_text("nobody"), None);
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = AddressSet::from_lines("10.0.0.0/8\n\n10.0.0.0/99\n").unwrap_err();
        assert!(error.to_string().contains("line 3") && error.to_string().contains("10.0.0.0/99"), "{error}");
    }

    #[test]
    fn touching_ranges_are_one_and_the_ends_of_the_line_hold() {
        let set = AddressSet::from_list("0.0.0.0/1,128.0.0.0/1").unwrap();
        assert_eq!((set.intervals(), set.v4_addresses()), ((1, 0), 1 << 32));
        assert_eq!(set.contains_text("255.255.255.255"), Some(true));
        assert_eq!(set.contains_text("::1"), Some(false));
        assert!(AddressSet::from_list("").unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn a_look_up_equals_a_search_of_all_ranges(
            ranges in proptest::collection::vec((any::<u16>(), 0u32..600), 0..40), probes in proptest::collection::vec(any::<u16>(), 50)
        ) {
            let ranges: Vec<(u32, u32)> = ranges.iter().map(|(first, len)| (u32::from(*first), u32::from(*first) + len)).collect();
            let set: AddressSet = ranges.iter().map(|(first, last)| AddressRange::V4(*first, *last)).collect();
            for probe in probes.into_iter().map(u32::from) {
                let expected = ranges.iter().any(|(first, last)| (*first..=*last).contains(&probe));
                prop_assert_eq!(set.contains(IpAddr::V4(probe.into())), expected);
            }
        }
    }
}
