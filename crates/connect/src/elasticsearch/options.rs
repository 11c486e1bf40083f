//! Settings of outputs to Elasticsearch and OpenSearch, checked once.

use fyke_types::{Error, Result, Settings, SinkSpec, key_schema};

use super::layout::Layout;
use super::naming::IndexName;
use crate::outbound::{ClientSettings, Defaults, Limits};

/// 5 MB a request is what the servers' makers advise to start with; two at once keep a node busy while one is written.
const DEFAULTS: Defaults = Defaults { load_bytes: 5_000_000, load_documents: 5_000, lanes: 2 };

/// What a document is called.
#[derive(Debug, Clone)]
pub(super) enum IdFrom {
    /// A hash of these columns.
    Columns(Vec<usize>),
    /// Update mode: a hash of the key, by which the index is named too.
    Key(Vec<String>, IndexName),
    /// The server makes one: what is sent twice is there twice.
    Server,
}

/// A checked output.
#[derive(Debug)]
pub(super) struct SinkOptions {
    pub(super) client: ClientSettings,
    pub(super) limits: Limits,
    pub(super) index: IndexName,
    pub(super) id: IdFrom,
    pub(super) layout: Layout,
    pub(super) data_stream: bool,
    pub(super) template: bool,
}

impl SinkOptions {
    /// The settings of `spec`.
    ///
    /// # Errors
    /// `Usage` for what can't be.
    pub(super) fn new(spec: &SinkSpec) -> Result<Self> {
        let mut settings = Settings::new(format!("the {} sink", spec.format), spec.options.clone());
        let client = ClientSettings::from_settings(&spec.location, &mut settings)?;
        let mut limits = Limits::from_settings(&mut settings, DEFAULTS)?;
        let Some(template) = settings.text("index") else {
            return Err(Error::usage(format!("the {} sink needs an index", spec.format))
                .hint("OPTIONS ('index' 'fyke-verdicts-{customer}-{w.start|%Y.%m}')"));
        };
        let index = IndexName::new(&template, &spec.schema)?;
        let id = match (&spec.key, settings.text("id")) {
            (Some(key), None) => IdFrom::Key(key.clone(), index_by_key(&template, spec, key)?),
            (Some(_), Some(_)) => {
                return Err(Error::usage("in update mode the query's keys tell documents apart").hint("leave out 'id'"));
            }
            (None, text) => id_from(text.as_deref(), spec)?,
        };
        let data_stream = settings.flag("data_stream")?.unwrap_or(false);
        let ecs = settings.flag("ecs")?.unwrap_or(true);
        let timestamp = settings.text("timestamp");
        let with_template = settings.flag("template")?.unwrap_or(true);
        settings.finish()?;
        let layout = Layout::new(&spec.schema, ecs, timestamp.as_deref())?;
        if data_stream && !layout.has_timestamp() {
            return Err(Error::usage("documents of a data stream need a time")
                .hint("name the column that holds it: 'timestamp' 'COLUMN'"));
        }
        if data_stream && spec.key.is_some() {
            return Err(Error::usage("a data stream takes no updates")
                .hint("write to an index ('data_stream' 'false'), or in append mode"));
        }
        limits.heads_identify = !matches!(id, IdFrom::Server) && !data_stream;
        Ok(Self { client, limits, index, id, layout, data_stream, template: with_template })
    }
}

/// The index's name for a key alone: that is all that is known of a row that is taken back.
fn index_by_key(template: &str, spec: &SinkSpec, key: &[String]) -> Result<IndexName> {
    IndexName::new(template, &key_schema(&spec.schema, key)?).map_err(|error| {
        let detail = error.detail_text().unwrap_or_default().to_owned();
        Error::usage("in update mode the index's name holds columns of the key alone")
            .detail(detail)
            .hint(format!("the key is ({})", key.join(", ")))
    })
}

fn id_from(text: Option<&str>, spec: &SinkSpec) -> Result<IdFrom> {
    let all = || (0..spec.schema.fields().len()).collect();
    match text {
        None => Ok(IdFrom::Columns(spec.unique.clone().filter(|unique| !unique.is_empty()).unwrap_or_else(all))),
        Some("server") => Ok(IdFrom::Server),
        Some("row") => Ok(IdFrom::Columns(all())),
        Some(names) => {
            let find = |name: &str| {
                spec.schema.index_of(name).map_err(|_| {
                    let known: Vec<&str> = spec.schema.fields().iter().map(|field| field.name().as_str()).collect();
                    Error::usage(format!("setting 'id' names '{name}', which is no column"))
                        .hint(format!("it takes columns ({}), 'row' for all of them, or 'server'", known.join(", ")))
                })
            };
            names.split(',').map(|name| find(name.trim())).collect::<Result<_>>().map(IdFrom::Columns)
        }
    }
}
