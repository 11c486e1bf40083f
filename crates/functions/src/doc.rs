//! What the reference of SQL functions is made from. Not the text itself: each function brings its own.

/// One SQL function as a person reads of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionDoc {
    /// As it is called in SQL.
    pub name: &'static str,
    /// Name, arguments and result: `url_path(text) -> text`.
    pub signature: &'static str,
    /// What it gives, its unit, and what becomes of nulls and of values that do not fit.
    pub summary: &'static str,
}
