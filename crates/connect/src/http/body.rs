//! A request's body: decompressed within bounds.

use std::io::Read;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Gzip,
    Zstd,
}

/// Why there is no body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Bad {
    TooLarge,
    Corrupt(String),
}

impl Encoding {
    /// What `Content-Encoding` says; none for what is not known.
    pub(super) fn of(header: Option<&str>) -> Option<Self> {
        match header.map(|text| text.trim().to_ascii_lowercase()).as_deref() {
            None | Some("" | "identity") => Some(Self::Plain),
            Some("gzip" | "x-gzip") => Some(Self::Gzip),
            Some("zstd") => Some(Self::Zstd),
            Some(_) => None,
        }
    }

    /// The bytes that `body` stands for, at most `most` of them.
    pub(super) fn decode(self, body: &[u8], most: usize) -> Result<Vec<u8>, Bad> {
        let corrupt = |error: std::io::Error| Bad::Corrupt(error.to_string());
        let mut from: Box<dyn Read + '_> = match self {
            Self::Plain => Box::new(body),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(body)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(body).map_err(corrupt)?),
        };
        let mut out = Vec::new();
        from.by_ref().take(most as u64 + 1).read_to_end(&mut out).map_err(corrupt)?;
        if out.len() > most { Err(Bad::TooLarge) } else { Ok(out) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn bodies_are_decompressed_up_to_their_bound() {
        let text = "{\"a\":1}\n".repeat(1_000);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        let gzip = gzip.finish().unwrap();
        let zstd = zstd::stream::encode_all(text.as_bytes(), 1).unwrap();
        for (header, body) in [(None, text.as_bytes()), (Some("gzip"), &gzip), (Some("zstd"), &zstd)] {
            let encoding = Encoding::of(header).unwrap();
            assert_eq!(encoding.decode(body, text.len()).as_deref(), Ok(text.as_bytes()), "{header:?}");
            assert_eq!(encoding.decode(body, text.len() - 1), Err(Bad::TooLarge), "{header:?}");
        }
        assert!(matches!(Encoding::Gzip.decode(&gzip[..gzip.len() - 9], 1 << 20), Err(Bad::Corrupt(_))));
        assert!(matches!(Encoding::Zstd.decode(b"no zstd", 1 << 20), Err(Bad::Corrupt(_))));
        assert_eq!(Encoding::of(Some("br")), None);
    }
}
