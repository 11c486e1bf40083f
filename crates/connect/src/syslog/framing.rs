//! Where a message ends in a stream of bytes (RFC 6587): its length comes before it, or a newline behind it. Pure.

/// Digits of a message's length.
const DIGITS: usize = 10;

/// Cuts a connection's bytes into messages. Each message may be framed either way, as its first byte says.
#[derive(Debug)]
pub(super) struct Framing {
    kept: Vec<u8>,
    message_bytes: usize,
    /// Bytes of a message that is too long, of which the rest is skipped.
    skipping: Option<Skipping>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skipping {
    ToNewline,
    Bytes(usize),
}

/// A message, or what came in place of one, and why.
pub(super) type Framed = (Vec<u8>, Option<String>);

impl Framing {
    /// A connection whose messages have at most `message_bytes`.
    pub(super) fn new(message_bytes: usize) -> Self {
        Self { kept: Vec::new(), message_bytes: message_bytes.max(1), skipping: None }
    }

    /// Takes bytes, gives the messages that they complete.
    pub(super) fn take(&mut self, bytes: &[u8], out: &mut Vec<Framed>) {
        self.kept.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(used) = self.step(at, out) {
            at += used;
        }
        self.kept.drain(..at);
    }

    /// The connection has ended: what is left is a message if a newline would have ended it.
    pub(super) fn end(&mut self, out: &mut Vec<Framed>) {
        let rest = std::mem::take(&mut self.kept);
        if rest.is_empty() || self.skipping.is_some() {
            return;
        }
        let counted = rest.first().is_some_and(u8::is_ascii_digit);
        let reason = counted.then(|| "the connection ended inside the message".to_owned());
        out.push((rest, reason));
    }

    /// One step from `at`: the bytes that it used up, or none where more must come.
    fn step(&mut self, at: usize, out: &mut Vec<Framed>) -> Option<usize> {
        let rest = self.kept.get(at..).filter(|rest| !rest.is_empty())?;
        match self.skipping {
            Some(Skipping::Bytes(left)) => {
                let used = left.min(rest.len());
                self.skipping = (left > used).then_some(Skipping::Bytes(left - used));
                return Some(used);
            }
            Some(Skipping::ToNewline) => {
                let newline = memchr::memchr(b'\n', rest);
                let used = newline.map_or(rest.len(), |newline| newline + 1);
                self.skipping = newline.is_none().then_some(Skipping::ToNewline);
                return Some(used);
            }
            None => {}
        }
        match rest.first() {
            // between messages
            Some(b'\n' | b'\r' | 0 | b' ') => Some(1),
            Some(b'1'..=b'9') => self.counted(at, out),
            _ => self.until_newline(at, out),
        }
    }

    /// `123 <34>1 …`
    fn counted(&mut self, at: usize, out: &mut Vec<Framed>) -> Option<usize> {
        let rest = self.kept.get(at..)?;
        let digits = rest.iter().take(DIGITS).take_while(|byte| byte.is_ascii_digit()).count();
        let behind = rest.get(digits)?;
        let length: Option<usize> = std::str::from_utf8(rest.get(..digits)?).ok().and_then(|text| text.parse().ok());
        let Some(length) = length.filter(|_| *behind == b' ') else { return self.until_newline(at, out) };
        let from = digits + 1;
        if length > self.message_bytes {
            let reason = format!("the message has {length} bytes, more than message_bytes {}", self.message_bytes);
            out.push((rest.get(..from)?.to_vec(), Some(reason)));
            self.skipping = Some(Skipping::Bytes(length));
            return Some(from);
        }
        let message = rest.get(from..from + length)?;
        out.push((message.to_vec(), None));
        Some(from + length)
    }

    fn until_newline(&mut self, at: usize, out: &mut Vec<Framed>) -> Option<usize> {
        let rest = self.kept.get(at..)?;
        match memchr::memchr(b'\n', rest) {
            Some(newline) if newline <= self.message_bytes => {
                let message = rest.get(..newline)?;
                out.push((message.strip_suffix(b"\r").unwrap_or(message).to_vec(), None));
                Some(newline + 1)
            }
            None if rest.len() <= self.message_bytes => None,
            _ => {
                let reason = format!("the message has more than message_bytes {} bytes", self.message_bytes);
                out.push((rest.get(..self.message_bytes)?.to_vec(), Some(reason)));
                self.skipping = Some(Skipping::ToNewline);
                Some(self.message_bytes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(pieces: &[&[u8]], message_bytes: usize) -> Vec<(String, bool)> {
        let mut framing = Framing::new(message_bytes);
        let mut out = Vec::new();
        for piece in pieces {
            framing.take(piece, &mut out);
        }
        framing.end(&mut out);
        let shown = |(bytes, reason): Framed| (String::from_utf8_lossy(&bytes).into_owned(), reason.is_none());
        out.into_iter().map(shown).collect()
    }

    fn whole(messages: &[&str]) -> Vec<(String, bool)> {
        messages.iter().map(|message| ((*message).to_owned(), true)).collect()
    }

    #[test]
    fn both_framings_are_cut_also_in_one_connection() {
        assert_eq!(framed(&[b"<1>a\n<1>b\r\n<1>c"], 100), whole(&["<1>a", "<1>b", "<1>c"]));
        assert_eq!(framed(&[b"4 <1>a6 <1>b\nc<1>d\n"], 100), whole(&["<1>a", "<1>b\nc", "<1>d"]));
        assert_eq!(framed(&[b"12:00 is no length\n"], 100), whole(&["12:00 is no length"]));
    }

    #[test]
    fn messages_that_are_too_long_or_cut_off_say_so_and_the_next_is_read() {
        assert_eq!(framed(&[b"9 <1>45678955 x", b""], 8)[..1], [("9 ".to_owned(), false)]);
        assert_eq!(framed(&[b"9 <1>4567894 <1>a"], 8), [("9 ".to_owned(), false), ("<1>a".to_owned(), true)]);
        assert_eq!(
            framed(&[b"<1>3456789", b"more\n<1>a\n"], 8),
            [("<1>34567".to_owned(), false), ("<1>a".to_owned(), true)]
        );
        assert_eq!(framed(&[b"9 <1>a"], 100), [("9 <1>a".to_owned(), false)]);
    }

    proptest! {
        #[test]
        fn how_the_network_cuts_the_bytes_changes_nothing(
            messages in proptest::collection::vec(("<[a-z ]{0,12}", any::<bool>()), 0..6),
            cuts in proptest::collection::vec(1usize..9, 1..40),
        ) {
            let mut bytes = Vec::new();
            for (message, counted) in &messages {
                let framed = if *counted { format!("{} {message}", message.len()) } else { format!("{message}\n") };
                bytes.extend_from_slice(framed.as_bytes());
            }
            let mut pieces = Vec::new();
            let mut rest = bytes.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            let expected: Vec<&str> = messages.iter().map(|(message, _)| message.as_str()).collect();
            prop_assert_eq!(framed(&pieces, 100), whole(&expected));
        }

        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..60), limit in 1usize..20) {
            for (message, reason) in framed(&[&bytes], limit) {
                prop_assert!(message.len() <= 60 * 3, "{} {}", message, reason);
            }
        }
    }
}
