//! Tables over connectors: what the DDL or a reader's builder said, checked once.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use fyke_stream::{CustomerBy, TimeSettings};
use fyke_types::{Connector, Error, Micros, Result, Settings, Source, TableSpec, window};

use crate::emit::Emit;
use crate::reloads::reload_every;

/// The settings of tables that belong to the engine, with what they mean; all others go to the connector.
pub const TIME_SETTINGS: [(&str, &str); 9] = [
    ("event_time", "column with the event time; without it the table serves only stateless queries"),
    ("lateness", "how far rows may come out of order before they count as late (default '0 seconds')"),
    ("customer", "column that says whose row it is (default: the input: topic, folder or file)"),
    ("idle_after", "wall time after which a silent input holds nobody back, or 'off' (default '1 minute')"),
    ("close_after", "wall time after which a silent customer's open windows close, or 'off' (default '10 minutes')"),
    ("max_ahead", "rows further ahead of the clock than this are dead letters (default '1 day')"),
    ("late_to", "table, or file such as late.parquet, that late rows are written to (default: counted only)"),
    (
        "dead_to",
        "table, or file such as dead.json, that dead letters are written to, an output's refused rows too (default: counted only)",
    ),
    (
        "reload",
        "how often a live run looks whether a static table has changed (default: it is read once, at the start)",
    ),
];

/// The engine's settings of a table.
#[derive(Debug, Clone, Default)]
pub struct TableSettings {
    /// Event time and customers.
    pub time: TimeSettings,
    /// Table for late rows.
    pub late_to: Option<String>,
    /// Table for dead letters.
    pub dead_to: Option<String>,
    /// How often a static table is looked at again, µs.
    pub reload: Option<Micros>,
    /// Early results of what is written to it.
    pub emit: Option<Emit>,
}

impl TableSettings {
    /// Takes the engine's settings out of `options`.
    ///
    /// # Errors
    /// When a value can't be read.
    pub fn take(name: &str, options: &mut BTreeMap<String, String>) -> Result<Self> {
        let mut settings = Settings::new(format!("table {name}"), std::mem::take(options));
        let defaults = TimeSettings::default();
        let switch = |settings: &mut Settings, key: &'static str, default: Option<Micros>| -> Result<Option<Micros>> {
            let mut probe = settings.clone();
            if probe.text(key).is_some_and(|text| text.eq_ignore_ascii_case("off")) {
                *settings = probe;
                return Ok(None);
            }
            Ok(settings.duration(key)?.or(default))
        };
        let time = TimeSettings {
            event_time: settings.text("event_time"),
            lateness: settings.duration("lateness")?.unwrap_or(defaults.lateness),
            customer: settings.text("customer").map_or(CustomerBy::Input, CustomerBy::Column),
            idle_after: switch(&mut settings, "idle_after", defaults.idle_after)?,
            close_after: switch(&mut settings, "close_after", defaults.close_after)?,
            max_ahead: settings.duration("max_ahead")?.unwrap_or(defaults.max_ahead),
        };
        let reload = reload_every(settings.duration("reload")?, name)?;
        let (late_to, dead_to) = (settings.text("late_to"), settings.text("dead_to"));
        *options = settings.rest();
        let emit = Emit::take(&format!("table {name}"), options)?;
        Ok(Self { time, late_to, dead_to, reload, emit })
    }
}

/// A table of this context.
#[derive(Debug)]
pub struct FykeTable {
    /// What was declared, without the engine's settings.
    pub spec: TableSpec,
    /// The engine's settings.
    pub settings: TableSettings,
    /// Whether it is read as a stream.
    pub unbounded: bool,
    connector: Arc<dyn Connector>,
    source: OnceLock<Arc<dyn Source>>,
}

impl FykeTable {
    /// A table; its source is opened when it is first read, or at once where its columns must be found out.
    ///
    /// # Errors
    /// For settings that name no column or one of a wrong type, and what the connector says.
    pub fn new(
        mut spec: TableSpec,
        settings: TableSettings,
        unbounded: bool,
        connector: Arc<dyn Connector>,
    ) -> Result<Self> {
        if unbounded && settings.reload.is_some() {
            return Err(Error::usage(format!("'reload' of table {} is for static tables", spec.name))
                .hint("leave it out: a stream is followed; or leave out UNBOUNDED"));
        }
        spec.schema = spec.schema.map(|schema| in_microseconds(&schema));
        let table = Self { spec, settings, unbounded, connector, source: OnceLock::new() };
        if table.spec.schema.is_none() || unbounded {
            table.check(&table.schema()?)?;
        }
        Ok(table)
    }

    /// A table that is only written to: whether it can be read is not asked.
    pub fn for_output(spec: TableSpec, settings: TableSettings, connector: Arc<dyn Connector>) -> Self {
        Self { spec, settings, unbounded: false, connector, source: OnceLock::new() }
    }

    /// A table over a source that exists already.
    ///
    /// # Errors
    /// For settings that name no column or one of a wrong type.
    pub fn over(
        name: &str,
        source: Arc<dyn Source>,
        settings: TableSettings,
        unbounded: bool,
        connector: Arc<dyn Connector>,
    ) -> Result<Self> {
        let spec = TableSpec {
            name: name.to_owned(),
            format: "MEMORY".to_owned(),
            location: String::new(),
            schema: Some(source.schema()),
            options: BTreeMap::new(),
        };
        let table = Self { spec, settings, unbounded, connector, source: OnceLock::from(source) };
        table.check(&table.schema()?)?;
        Ok(table)
    }

    /// The source behind it.
    ///
    /// # Errors
    /// The connector's.
    pub fn source(&self) -> Result<Arc<dyn Source>> {
        if let Some(source) = self.source.get() {
            return Ok(Arc::clone(source));
        }
        let source = self.connector.source(&self.spec)?;
        Ok(Arc::clone(self.source.get_or_init(|| source)))
    }

    /// Its columns.
    ///
    /// # Errors
    /// The connector's, where they must be found out.
    pub fn schema(&self) -> Result<SchemaRef> {
        match (&self.spec.schema, self.unbounded) {
            (Some(schema), false) => Ok(Arc::clone(schema)),
            _ => Ok(self.source()?.schema()),
        }
    }

    /// The connector, for writing into the table.
    pub fn connector(&self) -> &Arc<dyn Connector> {
        &self.connector
    }

    /// Index of the event time.
    pub fn event_time_at(&self) -> Option<usize> {
        let name = self.settings.time.event_time.as_ref()?;
        self.schema().ok()?.index_of(name).ok()
    }

    /// How its event times are followed. Where each input holds one customer alone, whatever column says so, an input
    /// holds back nobody but its own.
    ///
    /// # Errors
    /// What the connector says.
    pub fn time_settings(&self) -> Result<TimeSettings> {
        let time = self.settings.time.clone();
        match &time.customer {
            CustomerBy::Column(name) if self.source()?.is_customer_of_input(name) => {
                Ok(TimeSettings { customer: CustomerBy::Input, ..time })
            }
            _ => Ok(time),
        }
    }

    /// The column that holds the customer, named or the canonical one.
    pub fn customer_column(&self) -> Option<String> {
        match &self.settings.time.customer {
            CustomerBy::Column(name) => Some(name.clone()),
            CustomerBy::Input => {
                let schema = self.schema().ok()?;
                // formats fill this column with the input's customer
                schema.field_with_name("customer").ok().map(|field| field.name().clone())
            }
        }
    }

    fn check(&self, schema: &SchemaRef) -> Result<()> {
        let columns = || schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", ");
        let missing = |key: &str, name: &str| {
            Error::usage(format!("'{key}' of table {} names '{name}', which is no column", self.spec.name))
                .hint(format!("its columns: {}", columns()))
        };
        if let Some(name) = &self.settings.time.event_time {
            let field = schema.field_with_name(name).map_err(|_| missing("event_time", name))?;
            if !matches!(field.data_type(), DataType::Timestamp(_, _)) {
                return Err(Error::usage(format!("event time '{name}' of table {} is no timestamp", self.spec.name))
                    .detail(format!("it is {}", field.data_type()))
                    .hint("declare it as TIMESTAMP"));
            }
        }
        if let CustomerBy::Column(name) = &self.settings.time.customer {
            schema.field_with_name(name).map_err(|_| missing("customer", name))?;
        }
        Ok(())
    }
}

/// SQL's `TIMESTAMP` is nanoseconds in DataFusion; inside Fyke event times are microseconds.
pub fn in_microseconds(schema: &SchemaRef) -> SchemaRef {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| match field.data_type() {
            DataType::Timestamp(_, _) => field.as_ref().clone().with_data_type(window::TIME),
            DataType::Utf8View => field.as_ref().clone().with_data_type(DataType::Utf8),
            _ => field.as_ref().clone(),
        })
        .collect();
    Arc::new(Schema::new(fields))
}
