//! The text of parts of a JSON answer, as they stand there: a document's numbers must not change by being read and
//! written again.

use fyke_types::{Error, Result};

/// Keys (as JSON strings without their quotes; a key with an escape is none that is looked for) and values of an object.
pub(super) fn members(object: &[u8]) -> Result<Vec<(&[u8], &[u8])>> {
    let mut scan = Scan { bytes: object, at: 0 };
    let mut found = Vec::new();
    scan.expect(b'{')?;
    if scan.peek()? == b'}' {
        return Ok(found);
    }
    loop {
        let key = scan.value()?;
        let key = key.strip_prefix(b"\"").and_then(|key| key.strip_suffix(b"\"")).ok_or_else(malformed)?;
        scan.expect(b':')?;
        found.push((key, scan.value()?));
        if scan.separator(b'}')? {
            return Ok(found);
        }
    }
}

/// The value of a key.
pub(super) fn member<'a>(members: &[(&'a [u8], &'a [u8])], key: &str) -> Option<&'a [u8]> {
    members.iter().find(|(name, _)| *name == key.as_bytes()).map(|(_, value)| *value)
}

/// The values of a list.
pub(super) fn elements(list: &[u8]) -> Result<Vec<&[u8]>> {
    let mut scan = Scan { bytes: list, at: 0 };
    let mut found = Vec::new();
    scan.expect(b'[')?;
    if scan.peek()? == b']' {
        return Ok(found);
    }
    loop {
        found.push(scan.value()?);
        if scan.separator(b']')? {
            return Ok(found);
        }
    }
}

fn malformed() -> Error {
    Error::data("the server's answer is no JSON")
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&mut self) -> Result<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(byte) => return Ok(*byte),
                None => return Err(malformed()),
            }
        }
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.peek()? != byte {
            return Err(malformed());
        }
        self.at += 1;
        Ok(())
    }

    /// Past a comma, or past `end`: then true.
    fn separator(&mut self, end: u8) -> Result<bool> {
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b',' => Ok(false),
            byte if byte == end => Ok(true),
            _ => Err(malformed()),
        }
    }

    /// The next value, whole.
    fn value(&mut self) -> Result<&'a [u8]> {
        self.peek()?;
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.bytes.get(self.at).copied().ok_or_else(malformed)? {
                b'"' => self.string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1).ok_or_else(malformed)?;
                    self.at += 1;
                }
                _ if depth > 0 => self.at += 1,
                _ => {
                    self.scalar();
                    if self.at == start {
                        return Err(malformed());
                    }
                }
            }
            if depth == 0 {
                return self.bytes.get(start..self.at).ok_or_else(malformed);
            }
        }
    }

    fn string(&mut self) -> Result<()> {
        self.at += 1;
        loop {
            match self.bytes.get(self.at).ok_or_else(malformed)? {
                b'\\' => self.at += 2,
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                _ => self.at += 1,
            }
        }
    }

    fn scalar(&mut self) {
        while let Some(byte) = self.bytes.get(self.at) {
            if matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t') {
                return;
            }
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_as_they_stand() {
        let text = br#" { "a" : 1.50 , "b":{"c":[1,{"]":"}\""}]},"d":[ ], "e":"x\\" } "#;
        let found = members(text).unwrap();
        assert_eq!(member(&found, "a"), Some(b"1.50".as_slice()));
        assert_eq!(member(&found, "b"), Some(br#"{"c":[1,{"]":"}\""}]}"#.as_slice()));
        assert_eq!(member(&found, "e"), Some(br#""x\\""#.as_slice()));
        assert_eq!(member(&found, "x"), None);
        assert_eq!(elements(member(&found, "d").unwrap()).unwrap().len(), 0);
        assert_eq!(elements(b"[1, [2,3] ,\"4,5\"]").unwrap(), [b"1".as_slice(), b"[2,3]", b"\"4,5\""]);
    }

    #[test]
    fn what_is_no_json_is_refused_and_never_panics() {
        for text in ["", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "[1", "[", "[,]", "{]", "{\"a\":\"\\", "[}]", "{\"a\"1}"]
        {
            assert!(members(text.as_bytes()).is_err(), "{text}");
            assert!(elements(text.as_bytes()).is_err(), "{text}");
        }
    }
}
