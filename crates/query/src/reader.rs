//! `ctx.read()` and `ctx.read_stream()`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::arrow::datatypes::SchemaRef;
use fyke_types::{Error, Result, TableSpec};

use crate::context::Context;
use crate::frame::DataFrame;
use crate::script::put_once;

/// A table being described; [`ReadBuilder::load`] opens it.
#[derive(Debug, Clone)]
pub struct ReadBuilder {
    context: Context,
    unbounded: bool,
    format: Option<String>,
    schema: Option<SchemaRef>,
    options: Vec<(String, String)>,
}

static NEXT: AtomicU64 = AtomicU64::new(1);

impl ReadBuilder {
    pub(crate) fn new(context: Context, unbounded: bool) -> Self {
        Self { context, unbounded, format: None, schema: None, options: Vec::new() }
    }

    /// `json`, `combined`, `parquet`, …: what `STORED AS` takes.
    #[must_use]
    pub fn format(mut self, format: &str) -> Self {
        self.format = Some(format.to_uppercase());
        self
    }

    /// The columns; without them the format's own, or inferred.
    #[must_use]
    pub fn schema(mut self, schema: SchemaRef) -> Self {
        self.schema = Some(schema);
        self
    }

    /// A setting: what `OPTIONS` takes.
    #[must_use]
    pub fn option(mut self, key: &str, value: &str) -> Self {
        self.options.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Opens a file, glob or folder.
    ///
    /// # Errors
    /// `Usage` for wrong settings or a location that holds nothing.
    pub fn load(self, location: &str) -> Result<DataFrame> {
        let Some(format) = self.format else {
            return Err(Error::usage("the format is missing").hint(".format(\"json\") before .load(…)"));
        };
        let mut options = BTreeMap::new();
        for (key, value) in &self.options {
            put_once(&mut options, key, value.clone())?;
        }
        let name = format!("__read_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let spec = TableSpec {
            name: name.clone(),
            format,
            location: location.to_owned(),
            schema: self.schema.map(|schema| Arc::new(schema.as_ref().clone())),
            options,
        };
        let table = self.context.declare(spec, self.unbounded)?;
        self.context.register_table(&name, table)?;
        let plan = self.context.scan(&name)?;
        Ok(DataFrame::new(self.context, plan))
    }
}
