//! Columns of a source from what its indices say of their fields, and from a sample: a mapping says which type a value
//! has, but not whether there are several.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use fyke_types::{Error, Result, window};
use serde_json::Value;

/// The columns of indices, by the answers to `_mapping` and to a search for some documents: each field is a column
/// called by its path.
///
/// # Errors
/// `Usage` where no field has a type that a column can have.
pub(super) fn columns(mappings: &Value, sample: &Value, index: &str) -> Result<SchemaRef> {
    let mut types = BTreeMap::new();
    for mapping in mappings.as_object().into_iter().flat_map(|indices| indices.values()) {
        gather(&mapping["mappings"]["properties"], "", &mut types);
    }
    let documents: Vec<&Value> =
        sample["hits"]["hits"].as_array().into_iter().flatten().map(|hit| &hit["_source"]).collect();
    let fields: Vec<Field> = types
        .into_iter()
        .filter_map(|(path, data_type)| {
            let data_type = data_type?;
            let several = documents.iter().any(|document| value_at(document, &path).is_some_and(Value::is_array));
            let data_type = match several {
                true => DataType::List(Arc::new(Field::new("item", data_type, true))),
                false => data_type,
            };
            Some(Field::new(path, data_type, true))
        })
        .collect();
    if fields.is_empty() {
        return Err(Error::usage(format!("no columns are known for '{index}'"))
            .detail("there is no such index, or it has no fields")
            .hint("check 'index', or declare the columns"));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// A field with two types in two indices is a text if both are, else none.
fn gather(properties: &Value, prefix: &str, types: &mut BTreeMap<String, Option<DataType>>) {
    for (name, field) in properties.as_object().into_iter().flatten() {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        if field["properties"].is_object() && field["type"].as_str() != Some("nested") {
            gather(&field["properties"], &path, types);
            continue;
        }
        let Some(data_type) = type_of(field["type"].as_str().unwrap_or_default()) else { continue };
        types
            .entry(path)
            .and_modify(|known| {
                if known.as_ref() != Some(&data_type) {
                    *known = None;
                }
            })
            .or_insert(Some(data_type.clone()));
    }
}

fn type_of(name: &str) -> Option<DataType> {
    Some(match name {
        "keyword" | "text" | "ip" | "wildcard" | "constant_keyword" | "version" | "match_only_text" => DataType::Utf8,
        "long" | "integer" | "short" | "byte" => DataType::Int64,
        "unsigned_long" => DataType::UInt64,
        "double" | "float" | "half_float" | "scaled_float" => DataType::Float64,
        "boolean" => DataType::Boolean,
        "date" | "date_nanos" => window::TIME,
        _ => return None,
    })
}

/// The value under a path, whether it is nested or its key holds dots.
fn value_at<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    if let Some(found) = document.get(path) {
        return Some(found);
    }
    path.match_indices('.').find_map(|(dot, _)| {
        let (first, rest) = path.split_at(dot);
        value_at(document.get(first)?, rest.get(1..)?)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_become_columns_called_by_their_path() {
        let mappings = json!({"a-1": {"mappings": {"properties": {
            "@timestamp": {"type": "date"},
            "source": {"properties": {"ip": {"type": "ip"}, "port": {"type": "integer"}}},
            "event": {"properties": {"reason": {"type": "keyword"}}},
            "place": {"type": "geo_point"},
            "unsure": {"type": "long"},
        }}}, "a-2": {"mappings": {"properties": {"unsure": {"type": "keyword"}, "ok": {"type": "boolean"}}}}});
        let sample = json!({"hits": {"hits": [
            {"_source": {"event": {"reason": "one"}}}, {"_source": {"event.reason": ["one", "two"]}},
        ]}});
        let schema = columns(&mappings, &sample, "a-*").unwrap();
        let found: Vec<(&str, &DataType)> =
            schema.fields().iter().map(|f| (f.name().as_str(), f.data_type())).collect();
        let texts = DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
        assert_eq!(
            found,
            [
                ("@timestamp", &window::TIME),
                ("event.reason", &texts),
                ("ok", &DataType::Boolean),
                ("source.ip", &DataType::Utf8),
                ("source.port", &DataType::Int64),
            ]
        );
        assert!(columns(&json!({}), &json!({}), "nothing-*").is_err());
    }
}
