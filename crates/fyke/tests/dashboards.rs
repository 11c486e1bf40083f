//! The saved dashboards: well-formed, whole, and about fields that documents of verdicts have. Whether a page draws them,
//! only Kibana and OpenSearch Dashboards can tell, and neither is at hand in tests.
#![expect(clippy::expect_used, reason = "a test that can not go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

fn objects(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dashboards").join(name);
    let text = std::fs::read_to_string(path).expect("a file");
    text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

/// The fields of documents of verdicts, by path.
async fn fields() -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.log");
    let line = "192.0.2.1 - - [02/Mar/2026:08:00:00 +0000] \"GET / HTTP/1.1\" 200 12 \"-\" \"curl/8\"\n";
    std::fs::write(&log, line).expect("written");
    let settings = BTreeMap::new();
    let script = fyke::detector::detector_script(&log.display().to_string(), "requests", &settings).expect("a script");
    let values = BTreeMap::new();
    let script = fyke::Script::parse(&format!("{script}\nSELECT * FROM session_verdicts"), "x.sql", &values);
    let schema = std::sync::Mutex::new(None);
    let select = |found: &fyke::arrow::datatypes::SchemaRef| -> fyke::Result<Box<dyn fyke::types::Sink>> {
        *schema.lock().expect("no panic") = Some(found.clone());
        Err(fyke::Error::usage("only the columns are wanted"))
    };
    let script = script.expect("parses");
    let stopped = fyke::context().batch_script(&script, fyke::SinkMode::Append, &select, &mut |_| {}).await;
    assert!(stopped.is_err());
    let schema = schema.lock().expect("no panic").clone().expect("the columns");
    let template = fyke::connect::search_template(&schema, "fyke-verdicts-*").expect("a template");
    let mut fields = BTreeMap::new();
    gather(&template["template"]["mappings"]["properties"], "", &mut fields);
    fields
}

fn gather(properties: &Value, prefix: &str, fields: &mut BTreeMap<String, String>) {
    for (name, field) in properties.as_object().expect("an object") {
        let path = format!("{prefix}{name}");
        match field["type"].as_str() {
            Some(kind) => drop(fields.insert(path, kind.to_owned())),
            None => gather(&field["properties"], &format!("{path}."), fields),
        }
    }
}

/// JSON inside a JSON text.
fn inner(object: &Value, pointer: &str) -> Option<Value> {
    let text = object.pointer(pointer)?.as_str()?;
    Some(serde_json::from_str(text).expect("JSON in a text"))
}

/// The fields that an object names, with what they are used for.
fn named(object: &Value) -> BTreeSet<(String, String)> {
    let mut named = BTreeSet::new();
    if let Some(time) = object["attributes"]["timeFieldName"].as_str() {
        named.insert((time.to_owned(), "time".to_owned()));
    }
    for column in object["attributes"]["columns"].as_array().into_iter().flatten() {
        named.insert((column.as_str().expect("a name").to_owned(), "column".to_owned()));
    }
    let state = inner(object, "/attributes/visState").unwrap_or_default();
    for aggregation in state["aggs"].as_array().into_iter().flatten() {
        if let Some(field) = aggregation["params"]["field"].as_str() {
            named.insert((field.to_owned(), aggregation["type"].as_str().expect("a type").to_owned()));
        }
    }
    let search = inner(object, "/attributes/kibanaSavedObjectMeta/searchSourceJSON").unwrap_or_default();
    let query = search["query"]["query"].as_str().unwrap_or_default();
    for part in query.split(" and ").filter(|part| !part.is_empty()) {
        let (field, _) = part.split_once(" : ").expect("field : value");
        named.insert((field.to_owned(), "query".to_owned()));
    }
    named
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_field_of_the_dashboards_is_one_of_the_verdicts() {
    let fields = fields().await;
    for file in ["kibana.ndjson", "opensearch-dashboards.ndjson"] {
        let mut count = 0;
        for object in objects(file) {
            for (field, used_as) in named(&object) {
                let kind = fields.get(&field).unwrap_or_else(|| panic!("{file}: {} names {field}", object["id"]));
                let fits = match used_as.as_str() {
                    "sum" | "max" | "histogram" => ["long", "double"].contains(&kind.as_str()),
                    "date_histogram" | "time" => kind == "date",
                    "terms" => kind == "keyword",
                    _ => true,
                };
                assert!(fits, "{file}: {} uses {field}, a {kind}, for {used_as}", object["id"]);
                count += 1;
            }
        }
        assert!(count > 15, "{count} fields were found");
    }
}

#[test]
fn every_reference_of_the_dashboards_resolves() {
    for file in ["kibana.ndjson", "opensearch-dashboards.ndjson"] {
        let objects = objects(file);
        let key = |object: &Value| {
            let text = |key: &str| object[key].as_str().expect("a text").to_owned();
            (text("type"), text("id"))
        };
        let known: BTreeSet<(String, String)> = objects.iter().map(key).collect();
        assert_eq!(known.len(), objects.len(), "{file}: an object twice");
        let mut panels = 0;
        for object in &objects {
            let references = object["references"].as_array().expect("references");
            let names: BTreeSet<&str> = references.iter().filter_map(|r| r["name"].as_str()).collect();
            for reference in references {
                assert!(known.contains(&key(reference)), "{file}: {} → {reference}", object["id"]);
            }
            let search = inner(object, "/attributes/kibanaSavedObjectMeta/searchSourceJSON").unwrap_or_default();
            if let Some(name) = search["indexRefName"].as_str() {
                assert!(names.contains(name), "{file}: {} has no {name}", object["id"]);
            }
            for panel in
                inner(object, "/attributes/panelsJSON").as_ref().and_then(Value::as_array).into_iter().flatten()
            {
                assert!(names.contains(panel["panelRefName"].as_str().expect("a name")), "{file}: {panel}");
                panels += 1;
            }
        }
        assert_eq!(panels, 9, "{file}");
    }
}
