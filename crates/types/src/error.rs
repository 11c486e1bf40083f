//! Few public kinds, each telling the caller what to do; message, detail and hint for the person.

use std::fmt;

use crate::Place;

/// What the caller should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The person's text or setting is wrong: correct it and call again.
    Usage,
    /// The data does not fit (a corrupt file, a schema that differs): correct the data or the schema.
    Data,
    /// A server, file or network failed: trying again may help.
    Unavailable,
    /// The plan asks for what is not supported as a stream: rewrite as the hint says.
    Unsupported,
    /// A defect of Fyke.
    Internal,
}

/// An error: what happened, the detail below it, what to do, and where in the person's text.
#[derive(Debug, Clone)]
pub struct Error {
    inner: Box<Inner>,
}

#[derive(Debug, Clone)]
struct Inner {
    kind: Kind,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    place: Option<Place>,
}

/// `Result` with Fyke's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` that says what happened.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { inner: Box::new(Inner { kind, message: message.into(), detail: None, hint: None, place: None }) }
    }

    /// The person's text or setting is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// The data does not fit.
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(Kind::Data, message)
    }

    /// A server, file or network failed.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, message)
    }

    /// Not supported as a stream.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Kind::Unsupported, message)
    }

    /// A defect of Fyke.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// The same error with the cause below it.
    #[must_use]
    pub fn detail(mut self, detail: impl fmt::Display) -> Self {
        self.inner.detail = Some(detail.to_string());
        self
    }

    /// The same error with the remedy.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.inner.hint = Some(hint.into());
        self
    }

    /// The same error, pointing at a place of the person's text. The innermost place wins.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.inner.place.get_or_insert(place);
        self
    }

    /// What the caller should do.
    pub fn kind(&self) -> Kind {
        self.inner.kind
    }

    /// What happened.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// The cause below it.
    pub fn detail_text(&self) -> Option<&str> {
        self.inner.detail.as_deref()
    }

    /// The remedy.
    pub fn hint_text(&self) -> Option<&str> {
        self.inner.hint.as_deref()
    }

    /// Where in the person's text.
    pub fn place(&self) -> Option<&Place> {
        self.inner.place.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)?;
        if let Some(detail) = &self.inner.detail {
            write!(f, ": {detail}")?;
        }
        if let Some(place) = &self.inner.place {
            write!(f, " (at {place})")?;
        }
        if let Some(hint) = &self.inner.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::internal("an Arrow computation failed").detail(error)
    }
}
