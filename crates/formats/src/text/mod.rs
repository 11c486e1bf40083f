//! The pieces of text that several formats read: lines, numbers, strings, times. Nothing here knows a column.

pub(crate) mod lines;
pub(crate) mod number;
pub(crate) mod percent;
pub(crate) mod scan;
pub(crate) mod strings;
pub(crate) mod syslog;
pub(crate) mod time;
