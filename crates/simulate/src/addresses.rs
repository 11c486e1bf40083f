//! Where clients come from: blocks of consumer, mobile and hosting networks, and the ones that crawlers publish.
//!
//! The blocks are real allocations, so that range checks mean something; the addresses inside are drawn at random.

use std::sync::Arc;

use crate::dice::Dice;

/// A block of IPv4 addresses: first address and prefix length.
type Block = ([u8; 4], u8);

const HOME: &[Block] = &[
    ([81, 96, 0, 0], 12),
    ([86, 128, 0, 0], 11),
    ([92, 224, 0, 0], 13),
    ([79, 192, 0, 0], 12),
    ([90, 0, 0, 0], 11),
    ([80, 116, 0, 0], 14),
    ([83, 32, 0, 0], 12),
    ([24, 16, 0, 0], 12),
    ([73, 128, 0, 0], 10),
    ([98, 192, 0, 0], 12),
    ([71, 160, 0, 0], 12),
    ([126, 64, 0, 0], 11),
    ([189, 32, 0, 0], 12),
    ([122, 160, 0, 0], 12),
];

const MOBILE: &[Block] = &[
    ([80, 187, 96, 0], 20),
    ([82, 132, 208, 0], 21),
    ([92, 40, 192, 0], 20),
    ([172, 56, 0, 0], 19),
    ([107, 77, 192, 0], 20),
    ([31, 94, 16, 0], 21),
];

const OFFICE: &[Block] = &[([62, 154, 0, 0], 16), ([194, 73, 0, 0], 16), ([12, 144, 0, 0], 14), ([213, 208, 0, 0], 16)];

const HOSTING: &[Block] = &[
    ([138, 68, 0, 0], 19),
    ([51, 75, 0, 0], 16),
    ([5, 9, 0, 0], 16),
    ([95, 216, 0, 0], 15),
    ([165, 227, 0, 0], 16),
    ([45, 76, 0, 0], 15),
    ([54, 36, 0, 0], 14),
    ([35, 160, 0, 0], 13),
    ([167, 99, 0, 0], 16),
];

pub(crate) const GOOGLE: &[Block] =
    &[([66, 249, 66, 0], 27), ([66, 249, 73, 64], 27), ([66, 249, 79, 0], 27), ([66, 249, 64, 32], 27)];
pub(crate) const BING: &[Block] =
    &[([40, 77, 167, 0], 24), ([157, 55, 39, 0], 24), ([207, 46, 13, 0], 24), ([52, 167, 144, 0], 24)];
pub(crate) const OPENAI: &[Block] = &[([20, 171, 206, 0], 24), ([52, 230, 152, 0], 24), ([4, 227, 36, 0], 25)];
pub(crate) const META: &[Block] = &[([69, 171, 224, 0], 24), ([173, 252, 64, 0], 24), ([66, 220, 144, 0], 24)];
pub(crate) const APPLE: &[Block] = &[([17, 241, 64, 0], 20), ([17, 22, 232, 0], 22)];
pub(crate) const YANDEX: &[Block] = &[([5, 255, 253, 0], 24), ([213, 180, 203, 0], 24)];

/// What sort of network a client sits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    Home,
    Mobile,
    Office,
    Hosting,
}

/// A random address of a network.
pub(crate) fn address(network: Network, dice: &mut Dice) -> Arc<str> {
    let blocks = match network {
        Network::Home => HOME,
        Network::Mobile => MOBILE,
        Network::Office => OFFICE,
        Network::Hosting => HOSTING,
    };
    within(blocks, dice)
}

/// A random address within one of the blocks.
pub(crate) fn within(blocks: &[Block], dice: &mut Dice) -> Arc<str> {
    let (first, prefix) = blocks.get(dice.below(blocks.len())).copied().unwrap_or(([198, 18, 0, 0], 15));
    let hosts = (1usize << (32 - prefix)) - 2;
    let value = u32::from_be_bytes(first) + 1 + dice.below(hosts) as u32;
    let [a, b, c, d] = value.to_be_bytes();
    format!("{a}.{b}.{c}.{d}").into()
}

/// A random IPv6 client of a consumer network, in its shortest form.
pub(crate) fn address_v6(dice: &mut Dice) -> Arc<str> {
    let bits = dice.bits();
    let groups = [0x2a02, 0x8100 | (bits & 0xff) as u16, (bits >> 8) as u16, (bits >> 24) as u16 & 0xff00];
    let host = dice.bits();
    let [a, b, c, d] = groups;
    let tail = [(host >> 48) as u16, (host >> 32) as u16, (host >> 16) as u16, host as u16];
    std::net::Ipv6Addr::new(a, b, c, d, tail[0], tail[1], tail[2], tail[3]).to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_stay_inside_their_block() {
        let mut dice = Dice::new(3);
        for _ in 0..200 {
            let address: std::net::Ipv4Addr = within(&[([66, 249, 73, 64], 27)], &mut dice).parse().unwrap();
            assert!((64..96).contains(&address.octets()[3]), "{address}");
            assert!(address_v6(&mut dice).parse::<std::net::Ipv6Addr>().is_ok());
        }
    }
}
