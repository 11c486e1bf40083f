//! A declared schema over a log format: a choice among the canonical columns.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use fyke_types::{Decoder, Error, Format, Result};

/// Some columns of another format, in the declared order.
#[derive(Debug)]
pub(crate) struct Subset {
    inner: Arc<dyn Format>,
    schema: SchemaRef,
    given: Vec<usize>,
}

impl Subset {
    /// `inner` with the columns that `declared` names.
    ///
    /// # Errors
    /// `Usage` for a name or type that `inner` does not have.
    pub fn new(inner: Arc<dyn Format>, declared: &SchemaRef) -> Result<Self> {
        let all = inner.schema();
        let columns = || {
            let shown: Vec<String> =
                all.fields().iter().map(|field| format!("{} {}", field.name(), sql_type(field.data_type()))).collect();
            format!("its columns are {}", shown.join(", "))
        };
        let mut given = Vec::with_capacity(declared.fields().len());
        for field in declared.fields() {
            let Some((index, own)) = all.fields().find(field.name()) else {
                return Err(Error::usage(format!("a log format has no column '{}'", field.name())).hint(columns()));
            };
            if family(own.data_type()) != family(field.data_type()) {
                let message = format!("column '{}' is {}", own.name(), sql_type(own.data_type()));
                return Err(Error::usage(message).detail(format!("declared as {}", field.data_type())).hint(columns()));
            }
            given.push(index);
        }
        let schema = crate::project(&all, &given)?;
        Ok(Self { inner, schema, given })
    }
}

/// Types that are declared for each other: text is text, an integer an integer.
fn family(data_type: &DataType) -> u8 {
    match data_type {
        DataType::Timestamp(..) => 1,
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => 2,
        DataType::Float32 | DataType::Float64 => 3,
        integer if integer.is_integer() => 4,
        _ => 0,
    }
}

fn sql_type(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Timestamp(..) => "TIMESTAMP",
        DataType::Int32 => "INT",
        DataType::Int64 => "BIGINT",
        DataType::Float64 => "DOUBLE",
        _ => "VARCHAR",
    }
}

impl Format for Subset {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn directive(&self) -> Option<&'static [u8]> {
        self.inner.directive()
    }

    fn customer_is_input(&self) -> bool {
        self.inner.customer_is_input()
    }

    fn decoder(&self, projection: Option<&[usize]>) -> Result<Box<dyn Decoder>> {
        let Some(projection) = projection else { return self.inner.decoder(Some(&self.given)) };
        let index = |at: &usize| self.given.get(*at).copied();
        let inner: Option<Vec<usize>> = projection.iter().map(index).collect();
        let inner = inner.ok_or_else(|| Error::internal("a projection is out of range"))?;
        self.inner.decoder(Some(&inner))
    }
}
