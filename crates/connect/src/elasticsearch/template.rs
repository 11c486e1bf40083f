//! The index template of an output: which field is held how. Put at the start, versioned, and only over one of our own.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::layout::{Kind, Layout};

/// Raised with every change of what this module writes; a server's higher version is left alone.
pub(super) const VERSION: u64 = 1;

/// Texts beyond are kept but can't be searched: the longest that a server's index takes is 32,766 bytes, and a character
/// may have four.
const KEYWORD_CHARACTERS: u64 = 8191;

/// The body of a template for indices of `pattern`.
pub(super) fn body(layout: &Layout, pattern: &str, data_stream: bool) -> Value {
    let mut template = json!({
        "index_patterns": [pattern],
        // above the servers' own, which have up to 200
        "priority": 300,
        "version": VERSION,
        "_meta": {"managed_by": "fyke"},
        "template": {
            "mappings": {
                // a column that comes later is held as its first value suggests, but texts always as words
                "dynamic_templates": [{"texts": {"match_mapping_type": "string", "mapping": keyword()}}],
                "properties": properties(&layout.kinds()),
            }
        }
    });
    if let (true, Some(template)) = (data_stream, template.as_object_mut()) {
        template.insert("data_stream".into(), json!({}));
    }
    template
}

/// A name for the template of a pattern: `fyke-verdicts-*-*` → `fyke-verdicts`.
pub(super) fn name(pattern: &str) -> String {
    let name: String = pattern.chars().filter(|c| *c != '*').collect();
    let parts: Vec<&str> = name.split(['-', '.']).filter(|part| !part.is_empty()).collect();
    parts.join("-")
}

fn properties(kinds: &BTreeMap<String, Kind>) -> Value {
    let mut properties = Map::new();
    for (name, kind) in kinds {
        properties.insert(name.clone(), property(kind));
    }
    Value::Object(properties)
}

fn property(kind: &Kind) -> Value {
    match kind {
        Kind::Keyword => keyword(),
        Kind::Ip => json!({"type": "ip"}),
        Kind::Long => json!({"type": "long"}),
        Kind::Double => json!({"type": "double"}),
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::Date => json!({"type": "date"}),
        Kind::Object(members) => json!({"properties": properties(members)}),
        Kind::Any => json!({"type": "object"}),
    }
}

fn keyword() -> Value {
    json!({"type": "keyword", "ignore_above": KEYWORD_CHARACTERS})
}

/// Whether ours may take the place of what a server has under its name.
pub(super) fn may_replace(found: &Value) -> Result<bool, String> {
    let template = &found["index_templates"][0]["index_template"];
    if template["_meta"]["managed_by"] != "fyke" {
        return Err("the server has a template of that name which is not Fyke's".into());
    }
    Ok(template["version"].as_u64().is_none_or(|version| version <= VERSION))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn template_is_named_by_what_stays_of_its_pattern() {
        assert_eq!(name("fyke-verdicts-*-*"), "fyke-verdicts");
        assert_eq!(name("fyke.*.x"), "fyke-x");
    }

    #[test]
    fn a_template_of_somebody_else_or_a_newer_one_stays() {
        let of = |meta: Value, version: u64| json!({"index_templates": [{"index_template": {"_meta": meta, "version": version}}]});
        assert_eq!(may_replace(&of(json!({"managed_by": "fyke"}), VERSION)), Ok(true));
        assert_eq!(may_replace(&of(json!({"managed_by": "fyke"}), VERSION + 1)), Ok(false));
        assert!(may_replace(&of(json!({}), 1)).is_err());
    }
}
