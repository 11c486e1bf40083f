//! The end of a dataflow in update mode: each row replaces the one of its key, and keys that are no longer true are
//! deleted.
//!
//! Remembers the keys that were given early and are not final yet, with a hash of the row: a row that is the same again
//! is not given again, and one that went away (a filter that no longer holds, a session that became part of another)
//! is deleted. After its final row a key is forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::{cast, filter_record_batch};
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::arrow::row::{RowConverter, Rows, SortField};
use fyke_types::{Error, Micros, Result, WATERMARK_END, key_columns, key_schema};
use twox_hash::XxHash64;

use super::Collected;
use crate::state::PieceNumbers;
use crate::{
    Ask, Customer, Early, EarlyOperator, Give, Marks, Memo, Operator, Output, Piece, Place, Scope, Snapshot, StateSize,
    Tagged, Touched,
};

/// What rows of an output are unique by.
#[derive(Debug, Clone)]
pub struct UpsertsOf {
    /// The output's columns.
    pub schema: SchemaRef,
    /// The key's columns, as in [`fyke_types::SinkSpec::key`].
    pub key: Vec<String>,
    /// Of the keys of changed groups, those that `key` begins with: the rest of `key` is not among them.
    pub touched: Vec<usize>,
    /// A column more says whether the row is final: its name.
    pub final_column: Option<String>,
}

impl UpsertsOf {
    /// The columns that the sink gets.
    pub fn sink_schema(&self) -> SchemaRef {
        let Some(name) = &self.final_column else { return Arc::clone(&self.schema) };
        let mut fields = self.schema.fields().to_vec();
        fields.push(Arc::new(Field::new(name, datafusion::arrow::datatypes::DataType::Boolean, false)));
        Arc::new(Schema::new(fields))
    }
}

/// In place of a row's hash, so that the row is given again: the checkpoint has the key.
const RESTORED: u64 = 0;
/// The same of a key that was noted after the checkpoint.
const NOTED: u64 = 1;

/// Customer, then the key as comparable bytes.
type Key = Box<[u8]>;

/// See the module.
pub struct Upserts {
    of: UpsertsOf,
    name: String,
    out: Collected,
    key_schema: SchemaRef,
    keys: RowConverter,
    /// The columns of `of.touched` alone.
    touched: RowConverter,
    rows: RowConverter,
    given: BTreeMap<Key, u64>,
    /// Whether everything is given next, so that what was given before the checkpoint and is not among it is gone.
    just_restored: bool,
    /// Whether the input has come to its end: nothing is open any more.
    at_end: bool,
    /// Keys of final rows of this epoch.
    finals: BTreeSet<Key>,
    numbers: PieceNumbers,
    /// By customer: the piece that the last snapshot gave, until something changes.
    pieces: BTreeMap<Customer, u64>,
}

impl Upserts {
    /// Puts rows into `out`; `name` is the sink's, for EXPLAIN.
    ///
    /// # Errors
    /// When a column can't be compared.
    pub fn new(out: Collected, name: impl Into<String>, of: UpsertsOf) -> Result<Self> {
        let key_schema = key_schema(&of.schema, &of.key)?;
        let sorted = |schema: &SchemaRef, count: usize| -> Result<RowConverter> {
            let fields = schema.fields().iter().take(count).map(|field| SortField::new(field.data_type().clone()));
            Ok(RowConverter::new(fields.collect())?)
        };
        Ok(Self {
            keys: sorted(&key_schema, usize::MAX)?,
            touched: sorted(&key_schema, of.touched.len())?,
            rows: sorted(&of.schema, usize::MAX)?,
            of,
            name: name.into(),
            out,
            key_schema,
            given: BTreeMap::new(),
            just_restored: false,
            at_end: false,
            finals: BTreeSet::new(),
            numbers: PieceNumbers::default(),
            pieces: BTreeMap::new(),
        })
    }

    fn key_rows(&self, batch: &RecordBatch) -> Result<Option<Rows>> {
        let keys = key_columns(batch, &self.of.key)?;
        // the one row of an aggregate over everything has no key
        if self.of.key.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.keys.convert_columns(keys.columns())?))
    }

    fn keys_of(&self, customer: Customer, batch: &RecordBatch) -> Result<Vec<Key>> {
        Ok(match self.key_rows(batch)? {
            Some(rows) => rows.iter().map(|row| key_of(customer, row.as_ref())).collect(),
            None => vec![key_of(customer, &[]); batch.num_rows()],
        })
    }

    fn twice(&self) -> Error {
        Error::data(format!("two rows of {} have the same key ({})", self.name, self.of.key.join(", ")))
            .detail("in update mode one would replace the other")
            .hint("a join may find several rows for one: aggregate it first; or leave out 'emit'")
    }

    fn put_rows(&self, batch: RecordBatch, is_final: bool) -> Result<()> {
        let batch = match self.of.final_column {
            None => batch,
            Some(_) => {
                let flag: ArrayRef = Arc::new(BooleanArray::from(vec![is_final; batch.num_rows()]));
                let columns = batch.columns().iter().cloned().chain([flag]).collect();
                RecordBatch::try_new(self.of.sink_schema(), columns)?
            }
        };
        match is_final {
            true => self.out.put(batch),
            false => self.out.with_early(|early| early.upserts.push(batch)),
        }
        Ok(())
    }

    /// Early rows that are new or other than before; their keys.
    fn changed_rows(&mut self, early: Vec<Tagged>, seen: &mut BTreeSet<Key>) -> Result<Vec<RecordBatch>> {
        let mut changed = Vec::new();
        for Tagged { customer, batch } in early {
            let keys = self.keys_of(customer, &batch)?;
            let rows = self.rows.convert_columns(batch.columns())?;
            let (mut differs, mut is_new) = (Vec::with_capacity(keys.len()), Vec::with_capacity(keys.len()));
            for (key, row) in keys.into_iter().zip(rows.iter()) {
                let hash = hash_of(row.as_ref());
                let before = self.given.insert(key.clone(), hash);
                differs.push(before != Some(hash));
                is_new.push(before.is_none());
                if !seen.insert(key) {
                    return Err(self.twice());
                }
            }
            if is_new.iter().any(|new| *new) {
                self.pieces.remove(&customer);
                let keys = key_columns(&batch, &self.of.key)?;
                let new = filter_record_batch(&keys, &BooleanArray::from(is_new))?;
                self.out.with_early(|early| early.new_keys.push((customer, new)));
            }
            let batch = filter_record_batch(&batch, &BooleanArray::from(differs))?;
            if batch.num_rows() > 0 {
                changed.push(batch);
            }
        }
        Ok(changed)
    }

    /// Keys that were given, begin so, and are not true any more.
    fn gone(&self, prefix: &[u8], seen: &BTreeSet<Key>, gone: &mut BTreeSet<Key>) {
        let from = self.given.range::<[u8], _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
        for (key, _) in from.take_while(|(key, _)| key.starts_with(prefix)) {
            if !seen.contains(key) {
                gone.insert(key.clone());
            }
        }
    }

    fn gone_groups(&self, touched: &Touched, seen: &BTreeSet<Key>, gone: &mut BTreeSet<Key>) -> Result<()> {
        if self.of.touched.is_empty() {
            self.gone(&key_of(touched.customer, &[]), seen, gone);
            return Ok(());
        }
        let columns = self
            .of
            .touched
            .iter()
            .zip(self.key_schema.fields())
            .map(|(at, field)| {
                let column = touched.keys.get(*at).ok_or_else(|| Error::internal("a changed group has no such key"))?;
                Ok(cast(column, field.data_type())?)
            })
            .collect::<Result<Vec<_>>>()?;
        for row in self.touched.convert_columns(&columns)?.iter() {
            self.gone(&key_of(touched.customer, row.as_ref()), seen, gone);
        }
        Ok(())
    }

    /// The columns of keys, as the sink gets them.
    fn columns_of<'a>(&self, keys: impl ExactSizeIterator<Item = &'a Key>) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(keys.len()));
        let columns = match self.of.key.is_empty() {
            true => Vec::new(),
            false => {
                let parser = self.keys.parser();
                self.keys.convert_rows(keys.map(|key| parser.parse(key.get(4..).unwrap_or_default())))?
            }
        };
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.key_schema), columns, &options)?)
    }

    fn recall_keys(&mut self, customer: Customer, keys: &RecordBatch, as_hash: u64) -> Result<()> {
        let rows = match self.of.key.is_empty() {
            true => vec![key_of(customer, &[]); keys.num_rows()],
            false => {
                let rows = self.keys.convert_columns(keys.columns())?;
                rows.iter().map(|row| key_of(customer, row.as_ref())).collect()
            }
        };
        for key in rows {
            self.given.entry(key).or_insert(as_hash);
        }
        self.pieces.remove(&customer);
        Ok(())
    }
}

fn key_of(customer: Customer, bytes: &[u8]) -> Key {
    [&customer.0.to_be_bytes(), bytes].concat().into_boxed_slice()
}

fn customer_of(key: &[u8]) -> Customer {
    Customer(key.iter().take(4).fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

fn hash_of(row: &[u8]) -> u64 {
    let mut hash = XxHash64::with_seed(0);
    hash.write(row);
    hash.finish().max(NOTED + 1)
}

impl EarlyOperator for Upserts {
    fn begin_early(&mut self, _: bool) {}

    fn take_changed(&mut self) -> BTreeSet<Customer> {
        BTreeSet::new()
    }

    fn spans_customers(&self) -> bool {
        false
    }

    fn early(&mut self, inputs: Vec<Early>, ask: &Ask) -> Result<Early> {
        for input in inputs {
            let (mut seen, mut gone) = (BTreeSet::new(), BTreeSet::new());
            let changed = self.changed_rows(input.rows, &mut seen)?;
            match (&input.scope, &ask.customers) {
                (Scope::Groups(touched), _) => {
                    touched.iter().try_for_each(|touched| self.gone_groups(touched, &seen, &mut gone))?;
                }
                (Scope::Customers, None) => self.gone(&[], &seen, &mut gone),
                (Scope::Customers, Some(customers)) => {
                    customers.iter().for_each(|customer| self.gone(&key_of(*customer, &[]), &seen, &mut gone));
                }
            }
            if std::mem::take(&mut self.just_restored) {
                let left = self.given.iter().filter(|(_, hash)| **hash == RESTORED);
                gone.extend(left.map(|(key, _)| key).filter(|key| !seen.contains(*key)).cloned());
            }
            if self.at_end {
                self.gone(&[], &seen, &mut gone);
            }
            if !gone.is_empty() {
                let keys = self.columns_of(gone.iter())?;
                self.out.with_early(|early| early.deletes.push(keys));
            }
            for key in gone {
                self.given.remove(&key);
                self.pieces.remove(&customer_of(&key));
            }
            changed.into_iter().try_for_each(|batch| self.put_rows(batch, false))?;
        }
        Ok(Early::nothing())
    }

    fn recall(&mut self, customer: Customer, keys: &RecordBatch) -> Result<()> {
        self.recall_keys(customer, keys, NOTED)
    }
}

impl Operator for Upserts {
    fn on_batch(&mut self, _: usize, rows: Tagged, _: &mut Output) -> Result<()> {
        for key in self.keys_of(rows.customer, &rows.batch)? {
            if self.given.remove(&key).is_some() {
                self.pieces.remove(&rows.customer);
            }
            if !self.finals.insert(key) {
                return Err(self.twice());
            }
        }
        self.put_rows(rows.batch, true)
    }

    fn on_epoch_close(&mut self, inputs: &[Marks], _: &mut Output) -> Result<Marks> {
        self.finals.clear();
        let marks = crate::operator::combined(inputs);
        self.at_end = marks.all == WATERMARK_END;
        Ok(marks)
    }

    fn describe(&self) -> String {
        format!("Sink {} upserts by [{}]", self.name, self.of.key.join(", "))
    }

    fn remembers(&self) -> Option<&'static str> {
        Some("the keys that were given early and are not final")
    }

    fn snapshot(&mut self, give: Give<'_>) -> Result<Option<Memo>> {
        let mut by: BTreeMap<Customer, Vec<&Key>> = BTreeMap::new();
        self.given.keys().for_each(|key| by.entry(customer_of(key)).or_default().push(key));
        for (customer, keys) in by {
            let place = Place { customer, port: 0, start: Micros::MIN, end: Micros::MAX };
            if let Some(number) = self.pieces.get(&customer) {
                give(Piece { number: *number, place, rows: None, alive: None, kept: false })?;
                continue;
            }
            let number = self.numbers.take();
            let rows = self.columns_of(keys.into_iter())?;
            self.pieces.insert(customer, number);
            give(Piece { number, place, rows: Some(rows), alive: None, kept: false })?;
        }
        Ok(Some(Memo { next_piece: self.numbers.next(), ..Memo::default() }))
    }

    fn restore(&mut self, snapshot: Snapshot) -> Result<()> {
        self.numbers = PieceNumbers::from(snapshot.memo.next_piece);
        for piece in &snapshot.pieces {
            self.recall_keys(piece.place.customer, piece.content()?, RESTORED)?;
            self.just_restored = true;
            if piece.kept {
                self.pieces.insert(piece.place.customer, piece.number);
            }
        }
        Ok(())
    }

    fn as_early(&mut self) -> Option<&mut dyn EarlyOperator> {
        Some(self)
    }

    fn state_size(&self) -> StateSize {
        let bytes = self.given.keys().map(|key| key.len() + size_of::<Key>() + size_of::<u64>()).sum();
        StateSize { rows: self.given.len(), bytes }
    }
}
