//! Rows as documents of an index. A document's id is a hash of what tells rows apart, so a row that is written again
//! (after a crash, or with a later state) takes its own place.

use std::sync::Arc;

use arrow::array::RecordBatch;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fyke_types::{Error, Result, Sink, SinkHealth, SinkSpec, key_columns};
use reqwest::Method;
use ring::digest::{Context, SHA256};

use super::bulk::Bulk;
use super::naming::Names;
use super::options::{IdFrom, SinkOptions};
use super::server::Server;
use super::template;
use crate::json::Column;
use crate::outbound::{Carrier, Delivery, wait_for};

/// Bytes of a hash that make an id: 16 are enough for any number of rows.
const ID_BYTES: usize = 16;

/// See the module.
pub(super) struct SearchSink {
    options: SinkOptions,
    delivery: Delivery,
    head: Head,
    /// Of the row at hand; kept for its room.
    document: Vec<u8>,
}

/// The line that says what to do with a document; kept for its room.
#[derive(Default)]
struct Head {
    line: Vec<u8>,
    index: String,
    scratch: Vec<u8>,
}

impl Head {
    /// Writes the line for a row, and gives the document's lane.
    fn write(&mut self, action: &str, names: &Names<'_>, keys: Option<&[Column<'_>]>, row: usize) -> Result<u64> {
        let Self { line, index, scratch } = self;
        names.write(row, index);
        line.clear();
        // neither a checked name nor an id needs escapes
        line.extend_from_slice(format!("{{\"{action}\":{{\"_index\":\"{index}\"").as_bytes());
        let lane = match keys {
            None => row as u64,
            Some(keys) => {
                let id = id_of(keys, row, scratch)?;
                line.extend_from_slice(b",\"_id\":\"");
                line.extend_from_slice(URL_SAFE_NO_PAD.encode(id).as_bytes());
                line.push(b'"');
                u64::from(id[0])
            }
        };
        line.extend_from_slice(b"}}\n");
        Ok(lane)
    }
}

fn columns_of(batch: &RecordBatch) -> Result<Vec<Column<'_>>> {
    batch.columns().iter().map(Column::new).collect()
}

impl SearchSink {
    /// An output as `spec` says it; its server is there, and its index template is put.
    ///
    /// # Errors
    /// `Usage` for wrong settings and credentials, `Unavailable` when no server answers.
    pub(super) fn new(spec: &SinkSpec) -> Result<Self> {
        let options = SinkOptions::new(spec)?;
        wait_for(prepare_server(&options))?;
        let client = options.client.clone();
        let delivery = Delivery::start(options.limits.clone(), move || {
            let carrier: Arc<dyn Carrier> = Arc::new(Bulk::new(&client)?);
            Ok(carrier)
        })?;
        Ok(Self { options, delivery, head: Head::default(), document: Vec::new() })
    }
}

async fn prepare_server(options: &SinkOptions) -> Result<()> {
    let server = Server::meet(&options.client).await?;
    if !options.template {
        return Ok(());
    }
    let pattern = options.index.pattern();
    let path = format!("/_index_template/{}", template::name(&pattern));
    let found = server.reply(Method::GET, &path, None).await?;
    if found.is_success() {
        let found = serde_json::from_slice(&found.body).unwrap_or_default();
        match template::may_replace(&found) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(why) => {
                return Err(Error::usage(format!("the index template {path} can't be put"))
                    .detail(why)
                    .hint("keep it with 'template' 'off', or call the index differently"));
            }
        }
    }
    let body = template::body(&options.layout, &pattern, options.data_stream);
    let reply = server.reply(Method::PUT, &path, Some(&body)).await?;
    if reply.is_success() {
        return Ok(());
    }
    Err(server.failed(&path, &reply).hint("put a template of your own, and set 'template' 'off'"))
}

impl Sink for SearchSink {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let Self { options, delivery, head, document } = self;
        let values = options.layout.of(batch)?;
        let documents = values.documents()?;
        let action = if options.data_stream { "create" } else { "index" };
        let of_key;
        let (names, keys) = match &options.id {
            IdFrom::Server => (options.index.of(batch)?, None),
            IdFrom::Columns(columns) => {
                let columns = columns.iter().filter_map(|at| batch.columns().get(*at));
                (options.index.of(batch)?, Some(columns.map(Column::new).collect::<Result<Vec<_>>>()?))
            }
            IdFrom::Key(key, index) => {
                of_key = key_columns(batch, key)?;
                (index.of(&of_key)?, Some(columns_of(&of_key)?))
            }
        };
        for row in 0..batch.num_rows() {
            document.clear();
            documents.write(row, document)?;
            let lane = head.write(action, &names, keys.as_deref(), row)?;
            delivery.push(lane, &head.line, document)?;
        }
        Ok(())
    }

    fn delete(&mut self, keys: &RecordBatch) -> Result<()> {
        let Self { options, delivery, head, .. } = self;
        let IdFrom::Key(_, index) = &options.id else {
            return Err(Error::internal("rows were taken back from an index that only grows"));
        };
        let (names, columns) = (index.of(keys)?, columns_of(keys)?);
        for row in 0..keys.num_rows() {
            let lane = head.write("delete", &names, Some(&columns), row)?;
            delivery.push(lane, &head.line, b"")?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        // documents leave by themselves, within `batch_wait`
        self.delivery.look()
    }

    fn shows_at_once(&self) -> bool {
        true
    }

    fn prepare(&mut self, part: u64, last: bool) -> Result<Option<String>> {
        self.delivery.prepare(part, last)
    }

    fn commit(&mut self, prepared: &str) -> Result<()> {
        self.delivery.commit(prepared)
    }

    fn recover(&mut self, part: u64) -> Result<()> {
        self.delivery.recover(part)
    }

    fn finish(&mut self) -> Result<()> {
        self.delivery.finish()
    }

    fn health(&self) -> Option<SinkHealth> {
        Some(self.delivery.health())
    }

    fn dead_letters_to(&mut self, sink: Box<dyn Sink>) -> Result<()> {
        self.delivery.dead_letters_to(sink);
        Ok(())
    }
}

/// The hash of a row's key columns: of their JSON, which holds no control characters, so one separates them.
fn id_of(keys: &[Column<'_>], row: usize, scratch: &mut Vec<u8>) -> Result<[u8; ID_BYTES]> {
    scratch.clear();
    for key in keys {
        key.write(row, scratch)?;
        scratch.push(0x1f);
    }
    let mut hash = Context::new(&SHA256);
    hash.update(scratch);
    let mut id = [0; ID_BYTES];
    id.iter_mut().zip(hash.finish().as_ref()).for_each(|(to, from)| *to = *from);
    Ok(id)
}
