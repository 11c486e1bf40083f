//! Columns of a row by their names, as text: for topics, keys and headers.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit, TimestampMillisecondType};
use fyke_types::{Error, Result};

use super::settings::valid_topic;
use crate::json::Column;

/// A column, or a member of a struct: `w.end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// As the person wrote it.
    pub(super) name: String,
    /// Indices from the row down.
    path: Vec<usize>,
}

impl Place {
    /// The column called `name`; `what` is the setting that names it.
    ///
    /// # Errors
    /// `Usage` where there is none.
    pub(super) fn find(schema: &SchemaRef, name: &str, what: &str) -> Result<Self> {
        let missing = || {
            let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            Error::usage(format!("'{what}' of the KAFKA sink names '{name}', which is no column"))
                .hint(format!("its columns: {}", columns.join(", ")))
        };
        if let Ok(at) = schema.index_of(name) {
            return Ok(Self { name: name.to_owned(), path: vec![at] });
        }
        let mut parts = name.split('.');
        let at = schema.index_of(parts.next().unwrap_or_default()).map_err(|_| missing())?;
        let mut path = vec![at];
        let mut data_type = schema.field(at).data_type();
        for part in parts {
            let DataType::Struct(fields) = data_type else { return Err(missing()) };
            let (at, field) = fields.find(part).ok_or_else(missing)?;
            path.push(at);
            data_type = field.data_type();
        }
        Ok(Self { name: name.to_owned(), path })
    }

    /// The same for a point in time.
    ///
    /// # Errors
    /// `Usage` where it is none.
    pub(super) fn time(schema: &SchemaRef, name: &str) -> Result<Self> {
        let place = Self::find(schema, name, "timestamp")?;
        let data_type = place.data_type(schema);
        if matches!(data_type, Some(DataType::Timestamp(_, _))) {
            return Ok(place);
        }
        let hint = match data_type {
            Some(DataType::Struct(_)) => format!("of a window: '{name}.start' or '{name}.end'"),
            _ => "name a column of type TIMESTAMP".to_owned(),
        };
        Err(Error::usage(format!("'timestamp' of the KAFKA sink names '{name}', which is no timestamp")).hint(hint))
    }

    fn data_type(&self, schema: &SchemaRef) -> Option<DataType> {
        let mut path = self.path.iter();
        let mut data_type = schema.field(*path.next()?).data_type();
        for at in path {
            let DataType::Struct(fields) = data_type else { return None };
            data_type = fields.get(*at)?.data_type();
        }
        Some(data_type.clone())
    }

    /// Its values in a batch, null where a struct above is.
    fn of(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let mut path = self.path.iter();
        let Some(first) = path.next() else { return Err(Error::internal("a place without a column")) };
        let mut array = ArrayRef::clone(batch.column(*first));
        for at in path {
            let above = array.as_struct();
            let nulls = arrow::buffer::NullBuffer::union(above.nulls(), above.column(*at).logical_nulls().as_ref());
            array = arrow::array::make_array(above.column(*at).to_data().into_builder().nulls(nulls).build()?);
        }
        Ok(array)
    }

    /// Its values as milliseconds since 1970.
    ///
    /// # Errors
    /// None that is known of.
    pub(super) fn millis(&self, batch: &RecordBatch) -> Result<arrow::array::TimestampMillisecondArray> {
        let array = cast(&self.of(batch)?, &DataType::Timestamp(TimeUnit::Millisecond, None))?;
        Ok(array.as_primitive::<TimestampMillisecondType>().clone())
    }

    /// Its values, ready to be written as text.
    ///
    /// # Errors
    /// Where Arrow can't show a type.
    pub(super) fn values(&self, batch: &RecordBatch) -> Result<Values> {
        Ok(Values { array: self.of(batch)? })
    }
}

/// The values of a place in a batch.
pub(super) struct Values {
    array: ArrayRef,
}

impl Values {
    /// Of a column.
    pub(super) fn new(array: ArrayRef) -> Self {
        Self { array }
    }

    /// Writes them as text: strings and bytes as they are, all else as JSON, without the quotes of times.
    ///
    /// # Errors
    /// Where Arrow can't show a type.
    pub(super) fn writer(&self) -> Result<Text<'_>> {
        Ok(match self.array.data_type() {
            DataType::Utf8 => Text::Bytes(&self.array, |array, row| array.as_string::<i32>().value(row).as_bytes()),
            DataType::LargeUtf8 => {
                Text::Bytes(&self.array, |array, row| array.as_string::<i64>().value(row).as_bytes())
            }
            DataType::Utf8View => Text::Bytes(&self.array, |array, row| array.as_string_view().value(row).as_bytes()),
            DataType::Binary => Text::Bytes(&self.array, |array, row| array.as_binary::<i32>().value(row)),
            DataType::LargeBinary => Text::Bytes(&self.array, |array, row| array.as_binary::<i64>().value(row)),
            DataType::BinaryView => Text::Bytes(&self.array, |array, row| array.as_binary_view().value(row)),
            _ => Text::Json(Column::new(&self.array)?),
        })
    }
}

/// See [`Values::writer`].
pub(super) enum Text<'a> {
    /// As they are.
    Bytes(&'a ArrayRef, fn(&ArrayRef, usize) -> &[u8]),
    /// As JSON.
    Json(Column<'a>),
}

impl Text<'_> {
    /// Appends the value of a row; false where it is null.
    ///
    /// # Errors
    /// Where Arrow can't show it.
    pub(super) fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<bool> {
        match self {
            Self::Bytes(array, _) if array.is_null(row) => Ok(false),
            Self::Bytes(array, bytes) => {
                out.extend_from_slice(bytes(array, row));
                Ok(true)
            }
            Self::Json(column) if column.is_null(row) => Ok(false),
            Self::Json(column) => {
                let start = out.len();
                column.write(row, out)?;
                let text = out.get(start..).unwrap_or_default();
                if text.first() == Some(&b'"')
                    && let Ok(bare) = serde_json::from_slice::<String>(text)
                {
                    out.truncate(start);
                    out.extend_from_slice(bare.as_bytes());
                }
                Ok(true)
            }
        }
    }
}

/// A topic that may hold columns: `verdicts.{customer}`.
#[derive(Debug, Clone)]
pub(super) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Column(Place),
}

impl Template {
    /// Reads the text of a template.
    ///
    /// # Errors
    /// `Usage` for braces without a column in them, and for names that no topic can have.
    pub(super) fn parse(text: &str, schema: &SchemaRef) -> Result<Self> {
        let unclosed = || Error::usage(format!("'{text}' is no topic: a '{{' has no '}}'"));
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}').ok_or_else(unclosed)?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(Piece::Column(Place::find(schema, name.trim(), "topic")?));
            rest = behind;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        let template = Self { pieces };
        // with some letter for each column it must be a topic
        let sample: String =
            template.pieces.iter().map(|piece| if let Piece::Text(text) = piece { text } else { "x" }).collect();
        valid_topic(&sample)?;
        Ok(template)
    }

    /// The topic, if it is one for all rows.
    pub(super) fn fixed(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The columns' values in a batch, in the order of the template.
    ///
    /// # Errors
    /// Where Arrow can't show a type.
    pub(super) fn values(&self, batch: &RecordBatch) -> Result<Vec<Values>> {
        let columns = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Column(place) => Some(place),
            Piece::Text(_) => None,
        });
        columns.map(|place| place.values(batch)).collect()
    }

    /// Appends the topic of a row; false where one of its columns is null.
    ///
    /// # Errors
    /// Where Arrow can't show a value.
    pub(super) fn write(&self, columns: &[Text<'_>], row: usize, out: &mut Vec<u8>) -> Result<bool> {
        let mut columns = columns.iter();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Column(_) => {
                    let present = columns.next().map(|column| column.write(row, out)).transpose()?;
                    if present != Some(true) {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    /// As the person wrote it.
    pub(super) fn text(&self) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Column(place) => format!("{{{}}}", place.name),
        };
        self.pieces.iter().map(piece).collect()
    }
}
