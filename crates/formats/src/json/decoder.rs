//! Blocks of JSON lines into batches: the shapes of the last lines first, then the exact way.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use fyke_types::{Decoded, Decoder, Error, Result};

use crate::text::lines::{Content, Utf8Block};
use crate::text::time::DayCache;

use super::column::Columns;
use super::learn::learn;
use super::row;
use super::shape::Shape;
use super::store::Store;

/// Shapes that are kept: a few kinds of lines may alternate.
const SHAPES_MAX: usize = 4;

/// Decodes the lines of one table.
#[derive(Debug)]
pub(super) struct JsonDecoder {
    schema: SchemaRef,
    columns: Arc<Columns>,
    /// Indices of the columns to give, in order.
    given: Vec<usize>,
    /// The last one used stands first.
    shapes: Vec<Shape>,
    cache: DayCache,
    fast: bool,
    sizes: Sizes,
}

/// What the last block took, as a guess for the next.
#[derive(Debug, Default)]
struct Sizes {
    block: usize,
    rows: usize,
    text: Vec<usize>,
}

impl Sizes {
    /// Capacity for rows and for the strings of a column in a block of `bytes`.
    fn guess(&self, bytes: usize, index: usize) -> (usize, usize) {
        let scaled = |last: usize| {
            let exact = last as f64 * bytes as f64 / self.block as f64;
            // a tenth more saves most blocks from growing once
            (exact * 1.1) as usize + 64
        };
        if self.block == 0 {
            return (bytes / 256 + 16, bytes / 16);
        }
        (scaled(self.rows), scaled(self.text.get(index).copied().unwrap_or(0)).min(bytes.saturating_mul(2)))
    }
}

impl JsonDecoder {
    pub fn new(schema: &SchemaRef, columns: Arc<Columns>, projection: Option<&[usize]>, fast: bool) -> Result<Self> {
        let given: Vec<usize> = match projection {
            Some(indices) => indices.to_vec(),
            None => (0..columns.all.len()).collect(),
        };
        let schema = crate::project(schema, &given)?;
        let shapes = Vec::with_capacity(SHAPES_MAX + 1);
        Ok(Self { schema, columns, given, shapes, cache: DayCache::default(), fast, sizes: Sizes::default() })
    }

    fn stores(&self, bytes: usize) -> Vec<Option<Store>> {
        let store = |(index, column)| {
            let (rows, text) = self.sizes.guess(bytes, index);
            self.given.contains(&index).then(|| Store::new(column, rows, text))
        };
        self.columns.all.iter().enumerate().map(store).collect()
    }

    /// Reads one line; on an error the stores hold no more rows than before.
    #[inline]
    fn line(&mut self, text: &str, stores: &mut [Option<Store>], rows: usize, customer: &str) -> Result<(), String> {
        for index in 0..self.shapes.len() {
            let Some(shape) = self.shapes.get(index) else { break };
            if shape.read(text, &self.columns, stores, customer, &mut self.cache) {
                if index > 0 {
                    self.shapes.swap(0, index);
                }
                return Ok(());
            }
            truncate(stores, rows);
        }
        self.exact(text, stores, rows, customer)
    }

    fn exact(&mut self, text: &str, stores: &mut [Option<Store>], rows: usize, customer: &str) -> Result<(), String> {
        let read = row::read(text, &self.columns, stores, customer, &mut self.cache);
        if read.is_err() {
            truncate(stores, rows);
        }
        let object = read?;
        if self.fast
            && let Some(shape) = learn(text, &object, &self.columns)
            && !self.shapes.contains(&shape)
        {
            self.shapes.insert(0, shape);
            self.shapes.truncate(SHAPES_MAX);
        }
        Ok(())
    }

    fn finish(&mut self, stores: Vec<Option<Store>>, rows: usize, block: usize) -> Result<RecordBatch> {
        let text = stores.iter().map(|store| store.as_ref().map_or(0, Store::text_len)).collect();
        self.sizes = Sizes { block, rows, text };
        let mut arrays: Vec<Option<ArrayRef>> = Vec::with_capacity(stores.len());
        for (store, column) in stores.into_iter().zip(&self.columns.all) {
            arrays.push(store.map(|store| store.finish(column)).transpose()?);
        }
        let array = |index: &usize| arrays.get(*index).cloned().flatten();
        let given: Option<Vec<ArrayRef>> = self.given.iter().map(array).collect();
        let given = given.ok_or_else(|| Error::internal("a projected JSON column was not built"))?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), given, &options)?)
    }
}

fn truncate(stores: &mut [Option<Store>], rows: usize) {
    stores.iter_mut().flatten().for_each(|store| store.truncate(rows));
}

impl Decoder for JsonDecoder {
    fn decode(&mut self, block: &[u8], customer: &str) -> Result<Decoded> {
        // a line that makes a row has at least three bytes; strings are counted in 31 bits
        let longest = (block.len() / 3 + 1).saturating_mul(customer.len()).saturating_add(block.len());
        if longest > i32::MAX as usize {
            return Err(Error::internal(format!("a block of {} bytes is too large to decode at once", block.len()))
                .hint("read smaller blocks"));
        }
        let utf8 = Utf8Block::new(block);
        let mut stores = self.stores(block.len());
        let (mut rows, mut lines, mut skipped, mut dead) = (0, 0, 0, Vec::new());
        for line in utf8.lines() {
            lines += 1;
            match utf8.content(&line) {
                Content::Blank => skipped += 1,
                Content::NotUtf8(at) => dead.push(line.dead(format!("not UTF-8 at byte {at}"))),
                Content::Text(text) => match self.line(text, &mut stores, rows, customer) {
                    Ok(()) => rows += 1,
                    Err(reason) => dead.push(line.dead(reason)),
                },
            }
        }
        let batch = self.finish(stores, rows, block.len())?;
        Ok(Decoded { batch, dead, lines, skipped })
    }
}
