//! A strict JSON parser (RFC 8259) over one line: the exact way, and the skipping of what nobody asked for.

use std::borrow::Cow;

use crate::text::{number, strings};

/// Deeper nesting is refused: it would cost stack, and no log needs it.
pub(crate) const DEPTH_MAX: usize = 128;

/// A value; numbers keep their text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Number { text: &'a str, integral: bool },
    Text(Cow<'a, str>),
    Array(Vec<Value<'a>>),
    Object(Object<'a>),
}

/// Keys and values in the order of the line, duplicates included.
pub(crate) type Object<'a> = Vec<(Cow<'a, str>, Value<'a>)>;

/// The value of `key`; of several the last one.
pub(crate) fn get<'v, 'a>(object: &'v Object<'a>, key: &str) -> Option<&'v Value<'a>> {
    object.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
}

impl<'a> Value<'a> {
    /// What it is, for messages: with the value itself where that is short.
    pub fn found(&self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Bool(value) => format!("{value}"),
            Self::Number { text, .. } => format!("the number {}", clipped(text)),
            Self::Text(text) => format!("the string \"{}\"", clipped(text)),
            Self::Array(_) => "an array".into(),
            Self::Object(_) => "an object".into(),
        }
    }

    /// Appends the value as JSON.
    pub fn write_json(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number { text, .. } => out.push_str(text),
            Self::Text(text) => strings::write_json(text, out),
            Self::Array(values) => {
                out.push('[');
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    value.write_json(out);
                }
                out.push(']');
            }
            Self::Object(entries) => {
                out.push('{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    strings::write_json(key, out);
                    out.push(':');
                    value.write_json(out);
                }
                out.push('}');
            }
        }
    }
}

/// The first 40 characters.
pub(crate) fn clipped(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Why a text is no JSON: the byte, and what was expected there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad {
    pub at: usize,
    pub expected: &'static str,
}

impl From<strings::Bad> for Bad {
    fn from(bad: strings::Bad) -> Self {
        Self { at: bad.at, expected: bad.expected }
    }
}

/// The whole text as one value.
pub(crate) fn parse(text: &str) -> Result<Value<'_>, Bad> {
    let mut parser = Parser { text, bytes: text.as_bytes(), at: 0 };
    parser.space();
    let value = parser.value(0)?;
    parser.space();
    if parser.at < parser.bytes.len() {
        return parser.bad("the end of the line");
    }
    Ok(value)
}

/// The value that starts at `from`, inside `depth` others, and the byte behind it.
pub(crate) fn parse_at(text: &str, from: usize, depth: usize) -> Result<(Value<'_>, usize), Bad> {
    let mut parser = Parser { text, bytes: text.as_bytes(), at: from };
    let value = parser.value(depth)?;
    Ok((value, parser.at))
}

/// The byte behind the value that starts at `from`, which is checked as [`parse_at`] checks it but not kept.
pub(crate) fn skip_at(text: &str, from: usize, depth: usize) -> Result<usize, Bad> {
    let mut parser = Parser { text, bytes: text.as_bytes(), at: from };
    parser.skip(depth)?;
    Ok(parser.at)
}

/// The byte behind the white space that starts at `from`.
pub(crate) fn space_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        at += 1;
    }
    at
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn space(&mut self) {
        self.at = space_end(self.bytes, self.at);
    }

    fn bad<T>(&self, expected: &'static str) -> Result<T, Bad> {
        Err(Bad { at: self.at, expected })
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, Bad> {
        match self.bytes.get(self.at) {
            Some(b'"') => Ok(Value::Text(self.string()?)),
            Some(b'{') => {
                let mut entries = Vec::new();
                self.object(depth, |parser, depth, key| {
                    let key = parser.text_of(key);
                    let value = parser.value(depth)?;
                    entries.push((key, value));
                    Ok(())
                })?;
                Ok(Value::Object(entries))
            }
            Some(b'[') => {
                let mut values = Vec::new();
                self.array(depth, |parser, depth| {
                    values.push(parser.value(depth)?);
                    Ok(())
                })?;
                Ok(Value::Array(values))
            }
            Some(b'-' | b'0'..=b'9') => {
                let (start, token) = (self.at, self.number()?);
                let text = self.text.get(start..token.end).unwrap_or_default();
                Ok(Value::Number { text, integral: token.integral })
            }
            _ => self.word(),
        }
    }

    fn skip(&mut self, depth: usize) -> Result<(), Bad> {
        match self.bytes.get(self.at) {
            Some(b'"') => self.raw_string().map(|_| ()),
            Some(b'{') => self.object(depth, |parser, depth, _| parser.skip(depth)),
            Some(b'[') => self.array(depth, Self::skip),
            Some(b'-' | b'0'..=b'9') => self.number().map(|_| ()),
            _ => self.word().map(|_| ()),
        }
    }

    fn word(&mut self) -> Result<Value<'a>, Bad> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (value, length) = match rest {
            [b'n', b'u', b'l', b'l', ..] => (Value::Null, 4),
            [b't', b'r', b'u', b'e', ..] => (Value::Bool(true), 4),
            [b'f', b'a', b'l', b's', b'e', ..] => (Value::Bool(false), 5),
            _ => return self.bad("a value"),
        };
        self.at += length;
        Ok(value)
    }

    fn number(&mut self) -> Result<number::Token, Bad> {
        let Some(token) = number::token(self.bytes, self.at) else { return self.bad("a number") };
        self.at = token.end;
        Ok(token)
    }

    /// The start of a string's text and its token; the parser stands at the opening quote.
    fn raw_string(&mut self) -> Result<(usize, strings::Token), Bad> {
        let start = self.at + 1;
        let token = strings::token(self.bytes, start)?;
        self.at = token.close + 1;
        Ok((start, token))
    }

    fn text_of(&self, (start, token): (usize, strings::Token)) -> Cow<'a, str> {
        let inner = self.text.get(start..token.close).unwrap_or_default();
        if token.escaped { Cow::Owned(strings::unescaped(inner)) } else { Cow::Borrowed(inner) }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Bad> {
        let raw = self.raw_string()?;
        Ok(self.text_of(raw))
    }

    fn enter(&mut self, depth: usize) -> Result<usize, Bad> {
        if depth >= DEPTH_MAX {
            return self.bad("no more than 128 levels of nesting");
        }
        self.at += 1;
        self.space();
        Ok(depth + 1)
    }

    fn object(
        &mut self,
        depth: usize,
        mut entry: impl FnMut(&mut Self, usize, (usize, strings::Token)) -> Result<(), Bad>,
    ) -> Result<(), Bad> {
        let depth = self.enter(depth)?;
        if self.bytes.get(self.at) == Some(&b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.bytes.get(self.at) != Some(&b'"') {
                return self.bad("'\"' before a key");
            }
            let key = self.raw_string()?;
            self.space();
            if self.bytes.get(self.at) != Some(&b':') {
                return self.bad("':' behind a key");
            }
            self.at += 1;
            self.space();
            entry(self, depth, key)?;
            self.space();
            match self.bytes.get(self.at) {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.bad("',' or '}'"),
            }
            self.space();
        }
    }

    fn array(&mut self, depth: usize, mut item: impl FnMut(&mut Self, usize) -> Result<(), Bad>) -> Result<(), Bad> {
        let depth = self.enter(depth)?;
        if self.bytes.get(self.at) == Some(&b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            item(self, depth)?;
            self.space();
            match self.bytes.get(self.at) {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.bad("',' or ']'"),
            }
            self.space();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Texts that are JSON, nearly JSON, and not.
    pub(crate) fn jsonish() -> impl Strategy<Value = String> {
        let token = prop_oneof![
            Just("{"),
            Just("}"),
            Just("["),
            Just("]"),
            Just(","),
            Just(":"),
            Just(" "),
            Just("\"a\""),
            Just("\"a\":1"),
            Just("\"\\u00e9\""),
            Just("\"b\":\"x\""),
            Just("null"),
            Just("true"),
            Just("1"),
            Just("-1.5e3"),
            Just("01"),
            Just("{}"),
            Just("[1,2]"),
            Just("\"\u{1}\""),
            Just("nul"),
        ];
        proptest::collection::vec(token, 0..14).prop_map(|tokens| tokens.concat())
    }

    proptest! {
        #[test]
        fn accepts_what_another_strict_parser_accepts(text in jsonish()) {
            let other = serde_json::from_str::<serde_json::Value>(&text);
            // the other refuses numbers beyond doubles, of which there are none here
            prop_assert_eq!(parse(&text).is_ok(), other.is_ok(), "{:?}", other);
        }

        #[test]
        fn skipping_is_parsing_without_keeping(text in jsonish()) {
            let parsed = parse_at(&text, 0, 0).map(|(_, end)| end);
            prop_assert_eq!(skip_at(&text, 0, 0), parsed);
        }

        #[test]
        fn written_values_read_back(text in jsonish()) {
            if let Ok(value) = parse(&text) {
                let mut json = String::new();
                value.write_json(&mut json);
                prop_assert_eq!(parse(&json).expect("own JSON"), value);
            }
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(&nested(DEPTH_MAX)).is_ok());
        assert!(parse(&nested(DEPTH_MAX + 1)).is_err());
        assert!(parse(&"[".repeat(1_000_000)).is_err());
    }

    #[test]
    fn the_last_of_duplicate_keys_wins() {
        let Ok(Value::Object(object)) = parse(r#"{"a":1,"a":2}"#) else { panic!("an object") };
        assert_eq!(get(&object, "a"), Some(&Value::Number { text: "2", integral: true }));
    }
}
