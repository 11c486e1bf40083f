//! Documents of an index as it stands at one moment, page by page, in event-time order: a point in time, and for each
//! page the place after which it begins.

use fyke_types::{Error, Result};
use reqwest::Method;
use serde_json::{Value, json};

use super::raw::{elements, member, members};
use super::server::{Product, Server};

/// Which documents.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Index, alias, data stream or pattern.
    pub(super) index: String,
    /// A query in the server's language.
    pub(super) query: Value,
    /// The field of the event time.
    pub(super) time: Option<String>,
    /// Documents of a page.
    pub(super) page_rows: usize,
    /// How long the server keeps the moment between two pages, in seconds.
    pub(super) keep_alive_seconds: u64,
    /// Whether documents are to hold their `_id` and `_index`.
    pub(super) with_place: bool,
}

/// Up to where an earlier reading came.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct After {
    /// The event time of the last document in the server's unit, ms; none: before the first.
    pub(super) time: Option<i64>,
    /// The documents of that very time that were given.
    pub(super) ids: Vec<String>,
}

/// The time of documents without one: they come last.
const NO_TIME: i64 = i64::MAX;

impl After {
    /// One more document was given.
    pub(super) fn gave(&mut self, time: i64, id: &str) {
        if self.time != Some(time) {
            self.time = Some(time);
            self.ids.clear();
        }
        self.ids.push(id.to_owned());
    }
}

/// A document.
#[derive(Debug)]
pub(super) struct Hit {
    /// As JSON in one line.
    pub(super) line: Vec<u8>,
    /// Index and id.
    pub(super) place: String,
    /// Its event time in the server's unit.
    pub(super) time: i64,
}

/// A reading at one moment.
pub(super) struct Pages {
    server: Server,
    wanted: Wanted,
    query: Value,
    skip: Vec<String>,
    point: String,
    after: Option<Value>,
}

impl Pages {
    /// Fixes the moment.
    ///
    /// # Errors
    /// What the server says, for instance that there is no such index.
    pub(super) async fn open(server: Server, wanted: Wanted, resume: &After) -> Result<Self> {
        let index = path_of(&wanted.index);
        let keep = wanted.keep_alive_seconds;
        let (path, key) = match server.product {
            Product::Elasticsearch => (format!("/{index}/_pit?keep_alive={keep}s"), "id"),
            Product::OpenSearch => (
                format!("/{index}/_search/point_in_time?keep_alive={keep}s&allow_partial_pit_creation=false"),
                "pit_id",
            ),
        };
        let opened = server
            .ask(Method::POST, &path, None)
            .await
            .map_err(|error| error.hint(format!("is there an index '{}', and may the user read it?", wanted.index)))?;
        let Some(point) = opened[key].as_str().map(str::to_owned) else {
            return Err(Error::data("the server gives no point in time").detail(opened));
        };
        let query = continued(&wanted, resume);
        Ok(Self { server, query, skip: resume.ids.clone(), wanted, point, after: None })
    }

    /// The next documents; none at the end.
    ///
    /// # Errors
    /// What the server says; an answer that lacks a part of the index is an error too.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Hit>>> {
        loop {
            let answer = self.search().await?;
            let page = self.page(&answer)?;
            let Some(hits) = page else { return Ok(None) };
            if !hits.is_empty() {
                return Ok(Some(hits));
            }
        }
    }

    async fn search(&self) -> Result<Vec<u8>> {
        let mut body = json!({
            "pit": {"id": self.point, "keep_alive": format!("{}s", self.wanted.keep_alive_seconds)},
            "size": self.wanted.page_rows,
            "track_total_hits": false,
            "query": self.query,
            "sort": self.sort(),
        });
        if let (Some(after), Some(body)) = (&self.after, body.as_object_mut()) {
            body.insert("search_after".into(), after.clone());
        }
        let path = "/_search?allow_partial_search_results=false";
        let reply = self.server.reply(Method::POST, path, Some(&body)).await?;
        if reply.is_success() {
            return Ok(reply.body.to_vec());
        }
        let error = self.server.failed(path, &reply);
        Err(match reply.status {
            404 => error.hint("the server has let go of the moment: raise 'keep_alive'"),
            _ => error.hint("check 'query' and the event time"),
        })
    }

    /// Event time first, then what makes the order whole: within one moment each server has its own.
    fn sort(&self) -> Value {
        let mut sort = Vec::new();
        if let Some(time) = &self.wanted.time {
            let how = json!({"order": "asc", "missing": "_last", "unmapped_type": "date", "numeric_type": "date"});
            sort.push(json!({time.as_str(): how}));
        }
        match self.server.product {
            Product::Elasticsearch => sort.push(json!({"_shard_doc": "asc"})),
            Product::OpenSearch => sort.extend([json!({"_id": "asc"}), json!({"_index": "asc"})]),
        }
        Value::Array(sort)
    }

    fn page(&mut self, answer: &[u8]) -> Result<Option<Vec<Hit>>> {
        let answer = members(answer)?;
        if let Some(point) = member(&answer, "pit_id").and_then(|id| serde_json::from_slice::<String>(id).ok()) {
            self.point = point;
        }
        let shards: Value = member(&answer, "_shards").and_then(|s| serde_json::from_slice(s).ok()).unwrap_or_default();
        if shards["failed"].as_u64() != Some(0) || member(&answer, "timed_out") == Some(b"true") {
            return Err(Error::unavailable("the server answers for a part of the index only").detail(shards));
        }
        let lacks = || Error::data("the server's answer has no hits");
        let hits = members(member(&answer, "hits").ok_or_else(lacks)?)?;
        let hits = elements(member(&hits, "hits").ok_or_else(lacks)?)?;
        if hits.is_empty() {
            return Ok(None);
        }
        let mut found = Vec::with_capacity(hits.len());
        for hit in hits {
            let (hit, sort) = self.hit(&members(hit)?)?;
            self.after = Some(sort);
            if !self.skip.contains(&hit.place) {
                found.push(hit);
            }
        }
        Ok(Some(found))
    }

    fn hit(&self, hit: &[(&[u8], &[u8])]) -> Result<(Hit, Value)> {
        let text = |key: &str| member(hit, key).and_then(|text| serde_json::from_slice::<String>(text).ok());
        let (Some(id), Some(index)) = (text("_id"), text("_index")) else {
            return Err(Error::data("a hit has no '_id' or no '_index'"));
        };
        let Some(source) = member(hit, "_source") else {
            return Err(Error::data(format!("document {index}/{id} has no '_source'"))
                .hint("its index keeps none: it can be searched, but not read"));
        };
        let sort: Value = member(hit, "sort").and_then(|sort| serde_json::from_slice(sort).ok()).unwrap_or_default();
        let time = match self.wanted.time {
            Some(_) => sort[0].as_i64().unwrap_or(NO_TIME),
            None => 0,
        };
        let line = self.line(source, &id, &index)?;
        Ok((Hit { line, place: format!("{index}/{id}"), time }, sort))
    }

    fn line(&self, source: &[u8], id: &str, index: &str) -> Result<Vec<u8>> {
        let mut line = Vec::with_capacity(source.len() + 1);
        let mut rest = source;
        if self.wanted.with_place {
            let place = serde_json::to_string(&json!({"_id": id, "_index": index}));
            let place = place.map_err(|error| Error::internal("a name can't be written as JSON").detail(error))?;
            line.extend_from_slice(place.trim_end_matches('}').as_bytes());
            rest = source.strip_prefix(b"{").unwrap_or(source).trim_ascii_start();
            if rest != b"}" {
                line.push(b',');
            }
        }
        // outside of strings a line's end is but white space, and inside it can't stand
        line.extend(rest.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
        Ok(line)
    }

    /// Lets go of the moment; that it can't is no loss: the server does so by itself.
    pub(super) async fn close(self) {
        let (path, body) = match self.server.product {
            Product::Elasticsearch => ("/_pit", json!({"id": self.point})),
            Product::OpenSearch => ("/_search/point_in_time", json!({"pit_id": [self.point]})),
        };
        _ = self.server.reply(Method::DELETE, path, Some(&body)).await;
    }
}

/// The query for what an earlier reading did not give.
fn continued(wanted: &Wanted, resume: &After) -> Value {
    let (Some(field), Some(time)) = (&wanted.time, resume.time) else { return wanted.query.clone() };
    let missing = json!({"bool": {"must_not": [{"exists": {"field": field}}]}});
    let rest = match time {
        NO_TIME => missing,
        time => {
            let later = json!({"range": {field.as_str(): {"gte": time, "format": "epoch_millis"}}});
            json!({"bool": {"should": [later, missing], "minimum_should_match": 1}})
        }
    };
    json!({"bool": {"must": [wanted.query], "filter": [rest]}})
}

/// An index in a URL's path.
pub(super) fn path_of(index: &str) -> String {
    index.bytes().fold(String::new(), |mut path, byte| {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'A'..=b'Z' | b'-' | b'_' | b'.' | b'*' | b',' | b'~' => {
                path.push(char::from(byte));
            }
            _ => path.push_str(&format!("%{byte:02X}")),
        }
        path
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_of_the_last_time_are_remembered_by_name() {
        let mut after = After::default();
        after.gave(5, "i/a");
        after.gave(7, "i/b");
        after.gave(7, "i/c");
        assert_eq!(after, After { time: Some(7), ids: vec!["i/b".into(), "i/c".into()] });
    }

    #[test]
    fn an_index_is_no_path_of_its_own() {
        assert_eq!(path_of("a-*,b"), "a-*,b");
        assert_eq!(path_of("../_all?x"), "..%2F_all%3Fx");
    }
}
