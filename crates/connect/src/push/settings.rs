//! The settings that all sources share that are sent to.

use std::path::PathBuf;
use std::sync::Arc;

use fyke_types::{Error, Format, Result, Settings, TableSpec, parse_bytes};

const INBOX_BYTES: u64 = 64 << 20;
const SPOOL_BYTES: u64 = 4 << 30;
/// More would not be taken for a record when a spool is read.
const RECORD_BYTES_MAX: usize = 512_000_000;

/// How lines are decoded, and how many may wait.
#[derive(Debug, Clone)]
pub(crate) struct PushSettings {
    pub(crate) format: Arc<dyn Format>,
    /// Bytes that were accepted and not yet read.
    pub(crate) inbox_bytes: usize,
    /// A folder for what was accepted, until a checkpoint holds it.
    pub(crate) spool: Option<PathBuf>,
    /// Bytes in that folder.
    pub(crate) spool_bytes: u64,
}

impl PushSettings {
    /// Takes `format` (how lines look: JSON with the declared columns, or any format of logs), `inbox_bytes` (64 MiB),
    /// `spool`, `spool_bytes` (4 GiB), and the format's own.
    ///
    /// # Errors
    /// `Usage` for wrong values, or columns that are not known.
    pub(crate) fn take(spec: &TableSpec, settings: &mut Settings) -> Result<Self> {
        let name = settings.text("format").unwrap_or_else(|| "JSON".to_owned()).to_uppercase();
        if name == "REQUESTS" {
            return Err(Error::usage("the format of what will be sent can't be guessed before anything is")
                .hint("name it in the setting 'format', such as 'combined', 'nginx_json' or 'json'"));
        }
        let inbox_bytes = bytes(settings, "inbox_bytes", INBOX_BYTES)?;
        let spool_bytes = bytes(settings, "spool_bytes", SPOOL_BYTES)?;
        let spool = settings.text("spool").map(PathBuf::from);
        let format = fyke_formats::format(&name, spec.schema.clone(), None, settings)?;
        Ok(Self { format, inbox_bytes: usize::try_from(inbox_bytes).unwrap_or(usize::MAX), spool, spool_bytes })
    }
}

/// A setting that counts the bytes of something that is kept whole.
///
/// # Errors
/// `Usage` for what is no such number, or for more than a record may have.
pub(crate) fn record_bytes(settings: &mut Settings, key: &'static str, default: u64) -> Result<usize> {
    let bytes = bytes(settings, key, default)?;
    match usize::try_from(bytes) {
        Ok(bytes) if bytes <= RECORD_BYTES_MAX => Ok(bytes),
        _ => Err(Error::usage(format!("setting '{key}' is {bytes} bytes")).hint("it takes up to 512MB: send parts")),
    }
}

/// A setting that counts bytes.
///
/// # Errors
/// `Usage` for what is no such number.
fn bytes(settings: &mut Settings, key: &'static str, default: u64) -> Result<u64> {
    let Some(text) = settings.text(key) else { return Ok(default) };
    parse_bytes(&text).filter(|bytes| *bytes > 0).ok_or_else(|| {
        Error::usage(format!("setting '{key}' is '{text}'")).hint("it takes bytes such as '64MB' or '1 GiB'")
    })
}
