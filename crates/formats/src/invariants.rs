//! What holds for any bytes: property tests and fuzzers ask here, users have no need to.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use fyke_types::{DeadLetter, Decoded, Format, Result};

use crate::{JsonFormat, TimeFormat};

/// Decodes a block and checks that its lines add up: rows + dead letters + skipped = lines, and every dead letter is a
/// line of the block.
///
/// # Errors
/// What does not hold.
pub fn lines_add_up(format: &dyn Format, block: &[u8]) -> Result<Decoded, String> {
    let decoded = decode(format, block, None)?;
    let lines =
        block.split(|byte| *byte == b'\n').count() as u64 - u64::from(block.is_empty() || block.ends_with(b"\n"));
    let accounted = decoded.batch.num_rows() as u64 + decoded.dead.len() as u64 + decoded.skipped;
    if decoded.lines != lines || accounted != lines {
        return Err(format!("{lines} lines became {} of which {accounted} are accounted for", decoded.lines));
    }
    for letter in &decoded.dead {
        let at = usize::try_from(letter.offset).unwrap_or(usize::MAX);
        let there = block.get(at..).is_some_and(|rest| rest.starts_with(&letter.raw));
        if letter.reason.is_empty() || letter.line == 0 || letter.line > lines || !there {
            return Err(format!("a dead letter is not of this block: {letter:?}"));
        }
    }
    Ok(decoded)
}

/// Checks that each line becomes the same alone, behind the directive that holds for it, as in the whole block: what a
/// decoder remembers of a line changes nothing. And that a projection drops columns only.
///
/// # Errors
/// What does not hold.
pub fn lines_stand_alone(format: &dyn Format, block: &[u8]) -> Result<(), String> {
    let whole = decode(format, block, None)?;
    let mut decoder = format.decoder(None).map_err(|error| error.to_string())?;
    let (mut batches, mut reasons) = (Vec::new(), Vec::new());
    let mut directive: &[u8] = b"";
    for line in block.split_inclusive(|byte| *byte == b'\n') {
        let alone = decoder.decode(&[directive, line].concat(), "customer").map_err(|error| error.to_string())?;
        batches.push(alone.batch);
        reasons.extend(alone.dead.into_iter().map(|letter| letter.reason));
        if fyke_types::is_directive(format.directive(), line) && line.ends_with(b"\n") {
            directive = line;
        }
    }
    let joined = concat_batches(&format.schema(), &batches).map_err(|error| error.to_string())?;
    if bits(&joined) != bits(&whole.batch) || !reasons.iter().eq(whole.dead.iter().map(|letter| &letter.reason)) {
        return Err("line by line differs from the whole block".into());
    }
    projections_agree(format, block, &whole)
}

fn projections_agree(format: &dyn Format, block: &[u8], whole: &Decoded) -> Result<(), String> {
    let columns = format.schema().fields().len();
    let all_but_the_last: Vec<usize> = (0..columns.saturating_sub(1)).collect();
    let odd: Vec<usize> = (0..columns).rev().filter(|index| index % 2 == 1).collect();
    for chosen in [all_but_the_last, odd, Vec::new()] {
        let found = decode(format, block, Some(&chosen))?;
        let expected = whole.batch.project(&chosen).map_err(|error| error.to_string())?;
        if bits(&found.batch) != bits(&expected) || found.dead != whole.dead {
            return Err(format!("the projection {chosen:?} changes rows or dead letters"));
        }
    }
    Ok(())
}

fn decode(format: &dyn Format, block: &[u8], projection: Option<&[usize]>) -> Result<Decoded, String> {
    let decoder = format.decoder(projection);
    decoder.and_then(|mut decoder| decoder.decode(block, "customer")).map_err(|error| error.to_string())
}

/// Checks that both ways through JSON give the same rows and dead letters, bit for bit; that a decoder's past changes
/// nothing; and that a projection drops columns only.
///
/// # Errors
/// What does not hold.
pub fn json_ways_agree(format: &JsonFormat, block: &[u8]) -> Result<(), String> {
    let exact = lines_add_up(&format.clone().without_shapes(), block)?;
    let fast = lines_add_up(format, block)?;
    same("by shape", &exact, &fast.batch, &fast.dead)?;

    let mut decoder = format.decoder(None).map_err(|error| error.to_string())?;
    let mut batches = Vec::new();
    let mut reasons = Vec::new();
    for line in block.split_inclusive(|byte| *byte == b'\n') {
        let decoded = decoder.decode(line, "customer").map_err(|error| error.to_string())?;
        batches.push(decoded.batch);
        reasons.extend(decoded.dead.into_iter().map(|letter| letter.reason));
    }
    let joined = concat_batches(&format.schema(), &batches).map_err(|error| error.to_string())?;
    if bits(&joined) != bits(&exact.batch) || reasons != exact.dead.iter().map(|l| l.reason.clone()).collect::<Vec<_>>()
    {
        return Err("line by line differs from the whole block".into());
    }

    projections_agree(format, block, &exact)
}

fn same(way: &str, exact: &Decoded, batch: &RecordBatch, dead: &[DeadLetter]) -> Result<(), String> {
    if dead != exact.dead {
        return Err(format!("dead letters {way} are {dead:?}, exactly they are {:?}", exact.dead));
    }
    if bits(batch) != bits(&exact.batch) {
        return Err(format!("rows {way} are {batch:?}, exactly they are {:?}", exact.batch));
    }
    Ok(())
}

/// Arrow compares the data of arrays by bytes where they are not null: 0.0 and -0.0 differ, as is wanted here.
fn bits(batch: &RecordBatch) -> (usize, Vec<arrow::array::ArrayData>) {
    (batch.num_rows(), batch.columns().iter().map(|column| column.to_data()).collect())
}

/// A JSON format with columns of every kind, nested and by path: what fuzzers decode with.
///
/// # Errors
/// Never.
pub fn json_of_every_kind() -> Result<JsonFormat> {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    let list = |item: DataType| DataType::List(std::sync::Arc::new(Field::new_list_field(item, true)));
    let object = DataType::Struct(Fields::from(vec![
        field("x", DataType::Int16),
        Field::new("y", DataType::Utf8, false),
        field("z", list(DataType::Float64)),
    ]));
    let schema = Schema::new(vec![
        field("time", DataType::Timestamp(TimeUnit::Microsecond, None)),
        field("text", DataType::Utf8),
        field("small", DataType::Int8),
        field("long", DataType::Int64),
        field("count", DataType::UInt64),
        field("real", DataType::Float64),
        field("single", DataType::Float32),
        field("flag", DataType::Boolean),
        field("day", DataType::Date32),
        field("object", object),
        field("list", list(DataType::Int32)),
        field("request.headers.agent", DataType::Utf8),
        field("request.id", DataType::Int32),
        field("customer", DataType::Utf8),
        Field::new("must", DataType::Int32, false),
    ]);
    JsonFormat::new(std::sync::Arc::new(schema), TimeFormat::Rfc3339)
}
