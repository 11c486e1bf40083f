//! A 64-bit hash that is the same on every machine and in every version: lineage, signatures, checksums.
//!
//! FNV-1a (Fowler, Noll, Vo; draft-eastlake-fnv). Not for adversaries: it finds accidents.

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// A running FNV-1a hash.
#[derive(Debug, Clone)]
pub(crate) struct StableHash(u64);

impl StableHash {
    pub(crate) fn new() -> Self {
        Self(OFFSET)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }

    /// Hashes the length first, so that ("ab", "c") and ("a", "bc") differ.
    pub(crate) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    pub(crate) fn finish(&self) -> u64 {
        self.0
    }

    /// 16 hexadecimal digits.
    pub(crate) fn hex(&self) -> String {
        format!("{:016x}", self.0)
    }
}

/// The hash of one piece of bytes.
pub(crate) fn hash_bytes(bytes: &[u8]) -> StableHash {
    let mut hash = StableHash::new();
    hash.bytes(bytes);
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors_are_met() {
        // test vectors of draft-eastlake-fnv, appendix C
        for (text, expected) in
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            assert_eq!(hash_bytes(text.as_bytes()).finish(), expected, "{text}");
        }
    }
}
