//! JSON lines: what makes a row, what a dead letter, and why.

#![expect(clippy::expect_used, reason = "a test's helpers fail the test")]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::util::pretty::pretty_format_batches;
use fyke_formats::{JsonFormat, TimeFormat, format, infer_json};
use fyke_types::{Format, Settings};
use insta::assert_snapshot;

fn field(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

fn micros() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

/// Rows as a table, then dead letters as `line@offset: reason`.
fn shown(format: &dyn Format, block: &str) -> String {
    let mut decoder = format.decoder(None).expect("a decoder");
    let decoded = decoder.decode(block.as_bytes(), "alpha").expect("only bad lines are bad");
    assert_eq!(decoded.lines, decoded.batch.num_rows() as u64 + decoded.dead.len() as u64 + decoded.skipped);
    let mut shown = pretty_format_batches(&[decoded.batch]).expect("a table").to_string();
    for letter in decoded.dead {
        shown.push_str(&format!("\n{}@{}: {}", letter.line, letter.offset, letter.reason));
    }
    shown
}

fn check(fields: Vec<Field>, block: &str) -> String {
    let format = JsonFormat::new(schema(fields), TimeFormat::Rfc3339).expect("readable types");
    let fast = shown(&format, block);
    assert_eq!(fast, shown(&format.without_shapes(), block));
    fast
}

#[test]
fn lines_become_rows_whatever_their_order_of_keys() {
    let block = concat!(
        r#"{"time":"2026-03-02T08:00:00.385Z","path":"/a","status":200,"took":0.069,"new":{"x":[1]}}"#,
        "\n",
        r#"{"time":"2026-03-02T08:00:01Z","path":"/b","status":404,"took":1,"new":null}"#,
        "\r\n",
        "\n",
        r#" { "status" : 301 , "path" : "\u00e9\/\"q\"" } "#,
        "\n",
        r#"{"path":"/c","status":1,"status":2,"time":null}"#,
    );
    let fields = vec![
        field("time", micros()),
        field("path", DataType::Utf8),
        field("status", DataType::Int32),
        field("took", DataType::Float64),
    ];
    assert_snapshot!(check(fields, block), @r#"
    +-------------------------+-------+--------+-------+
    | time                    | path  | status | took  |
    +-------------------------+-------+--------+-------+
    | 2026-03-02T08:00:00.385 | /a    | 200    | 0.069 |
    | 2026-03-02T08:00:01     | /b    | 404    | 1.0   |
    |                         | é/"q" | 301    |       |
    |                         | /c    | 2      |       |
    +-------------------------+-------+--------+-------+
    "#);
}

#[test]
fn wrong_types_name_column_expectation_and_finding() {
    let block = r#"{"n":1,"s":"a","b":true,"t":"2026-03-02T08:00:00Z"}
{"n":1.0}
{"n":128}
{"n":"1"}
{"s":1}
{"b":"true"}
{"t":1772438400}
{"t":"yesterday"}
{"s":"\ud800"}
{"n":1}x
[1]
{"n":1
nonsense
{"n":-128}"#;
    let fields = vec![
        field("n", DataType::Int8),
        field("s", DataType::Utf8),
        field("b", DataType::Boolean),
        field("t", micros()),
    ];
    assert_snapshot!(check(fields, block), @r#"
    +------+---+------+---------------------+
    | n    | s | b    | t                   |
    +------+---+------+---------------------+
    | 1    | a | true | 2026-03-02T08:00:00 |
    | -128 |   |      |                     |
    +------+---+------+---------------------+
    2@52: column 'n': expected an integer from -128 to 127, found the number 1.0
    3@62: column 'n': expected an integer from -128 to 127, found the number 128
    4@72: column 'n': expected an integer from -128 to 127, found the string "1"
    5@82: column 's': expected a string, found the number 1
    6@90: column 'b': expected true or false, found the string "true"
    7@103: column 't': expected a time such as "2026-03-02T08:00:00Z", found the number 1772438400
    8@120: column 't': expected a time such as "2026-03-02T08:00:00Z", found the string "yesterday"
    9@138: not JSON: expected four hexadecimal digits, and no half of a surrogate pair, at byte 6
    10@153: not JSON: expected the end of the line at byte 7
    11@162: expected an object, found an array
    12@166: not JSON: expected ',' or '}' at byte 6
    13@173: not JSON: expected a value at byte 0
    "#);
}

#[test]
fn a_wrong_type_kills_the_line_even_if_its_column_is_not_asked_for() {
    let format =
        JsonFormat::new(schema(vec![field("a", DataType::Int64), field("b", DataType::Int64)]), TimeFormat::Rfc3339);
    let mut decoder = format.expect("readable types").decoder(Some(&[0])).expect("a decoder");
    let block = b"{\"a\":1,\"b\":2}\n{\"a\":1,\"b\":\"x\"}\n{\"a\":3,\"b\":4}";
    let decoded = decoder.decode(block, "").expect("decodes");
    assert_eq!((decoded.batch.num_rows(), decoded.batch.num_columns(), decoded.dead.len()), (2, 1, 1));
}

#[test]
fn rows_are_counted_without_any_column() {
    let format =
        JsonFormat::new(schema(vec![field("a", DataType::Int64)]), TimeFormat::Rfc3339).expect("readable types");
    let decoded =
        format.decoder(Some(&[])).and_then(|mut decoder| decoder.decode(b"{}\n{\"a\":2}\n{\"a\":\"\"}\n", ""));
    assert_eq!(decoded.map(|decoded| decoded.batch.num_rows()).ok(), Some(2));
}

#[test]
fn names_with_dots_are_keys_first_and_paths_else() {
    let block = r#"{"request":{"headers":{"agent":"curl"},"id":1}}
{"request":{"headers":{"agent":"wget"},"id":2}}
{"request":{"headers":null,"id":3}}
{"request":null}
{"request.headers.agent":"literal","request":{"headers":"no object","id":4}}
{"request":{"headers":"no object","id":5}}
{"request":{"headers":{"agent":"lynx","agent":"last"},"id":6}}"#;
    let fields = vec![field("request.headers.agent", DataType::Utf8), field("request.id", DataType::Int32)];
    assert_snapshot!(check(fields, block), @r#"
    +-----------------------+------------+
    | request.headers.agent | request.id |
    +-----------------------+------------+
    | curl                  | 1          |
    | wget                  | 2          |
    |                       | 3          |
    |                       |            |
    | literal               | 4          |
    | last                  | 6          |
    +-----------------------+------------+
    6@226: column 'request.headers.agent': expected an object at 'headers', found the string "no object"
    "#);
}

#[test]
fn structs_and_lists_roll_back_whole() {
    let object = DataType::Struct(vec![field("x", DataType::Int16), Field::new("y", DataType::Utf8, false)].into());
    let list = DataType::List(Arc::new(Field::new_list_field(object.clone(), true)));
    let block = r#"{"o":{"x":1,"y":"a"},"l":[{"x":2,"y":"b"},null]}
{"o":{"x":1,"y":"a"},"l":[{"x":2,"y":"b"},{"x":3}]}
{"o":{"y":1},"l":[]}
{"l":[]}"#;
    assert_snapshot!(check(vec![field("o", object), field("l", list)], block), @r#"
    +--------------+------------------+
    | o            | l                |
    +--------------+------------------+
    | {x: 1, y: a} | [{x: 2, y: b}, ] |
    |              | []               |
    +--------------+------------------+
    2@49: column 'l[].y': expected a string, found null or nothing
    3@101: column 'o.y': expected a string, found the number 1
    "#);
}

#[test]
fn missing_values_of_not_null_columns_are_dead_and_customers_are_filled() {
    let fields = vec![Field::new("n", DataType::UInt8, false), Field::new("customer", DataType::Utf8, false)];
    let block = "{\"n\":1}\n{\"n\":null}\n{}\n{\"n\":255,\"customer\":\"own\"}\n{\"n\":0,\"customer\":null}";
    assert_snapshot!(check(fields, block), @r"
    +-----+----------+
    | n   | customer |
    +-----+----------+
    | 1   | alpha    |
    | 255 | own      |
    | 0   | alpha    |
    +-----+----------+
    2@8: column 'n': expected an integer from 0 to 255, found null or nothing
    3@19: column 'n': expected an integer from 0 to 255, found null or nothing
    ");
}

#[test]
fn numbers_are_times_only_where_the_format_says_so() {
    let format = JsonFormat::new(schema(vec![field("t", micros())]), TimeFormat::EpochSeconds).expect("readable types");
    assert_snapshot!(shown(&format, "{\"t\":1772438400.385}\n{\"t\":\"2026-03-02T08:00:00Z\"}"), @r#"
    +-------------------------+
    | t                       |
    +-------------------------+
    | 2026-03-02T08:00:00.385 |
    +-------------------------+
    2@21: column 't': expected a number of seconds since 1970, found the string "2026-03-02T08:00:00Z"
    "#);
}

#[test]
fn a_schema_is_inferred_in_order_of_appearance() {
    let sample = br#"{"t":"2026-03-02T08:00:00Z","n":1,"mixed":1,"o":{"a":1}}
{"n":1.5,"mixed":"x","o":{"b":[1,2.5]},"late":true,"none":null}
{"n":2,"cut o"#;
    let schema = infer_json(sample).expect("a schema");
    let shown: Vec<String> =
        schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect();
    assert_snapshot!(shown.join("\n"), @r#"
    t Timestamp(µs)
    n Float64
    mixed Utf8
    o Struct("a": Int64, "b": List(Float64))
    late Boolean
    none Utf8
    "#);
    assert!(infer_json(b"127.0.0.1 - - nothing").is_err());
}

#[test]
fn the_table_knows_the_format_by_name_and_refuses_unknown_settings() {
    let mut settings = Settings::new("t", BTreeMap::from([("time_format".into(), "epoch_m".into())]));
    assert!(format("json", None, Some(b"{\"a\":1}"), &mut settings).is_err());
    let mut settings = Settings::new("t", BTreeMap::from([("tiem_format".into(), "epoch_s".into())]));
    assert!(format("JSON", None, Some(b"{\"a\":1}"), &mut settings).is_ok());
    assert!(settings.finish().is_err());
    let unknown = format("YAML", None, None, &mut Settings::new("t", BTreeMap::new()));
    assert!(unknown.is_err_and(|error| error.to_string().contains("COMBINED")));
}

#[test]
fn object_without_fields_has_as_many_rows_as_its_neighbours() {
    // found by fuzzing: only the object's own nulls said how many rows there are, and it had none
    let block = "{\"a\":1,\"o\":{}}\n{\"a\":2,\"o\":{}}\n{\"a\":3}\n";
    for sample in [&block[..15], block] {
        let settings = &mut Settings::new("a test", BTreeMap::new());
        let format = format("JSON", None, Some(sample.as_bytes()), settings).expect("a format");
        let decoded = format.decoder(None).expect("a decoder").decode(block.as_bytes(), "alpha").expect("rows");
        assert_eq!((decoded.batch.num_rows(), decoded.dead.len()), (3, 0));
    }
    let empty = DataType::Struct(arrow::datatypes::Fields::empty());
    let format = JsonFormat::new(schema(vec![field("o", empty)]), TimeFormat::Rfc3339).expect("readable types");
    let rows = format.decoder(None).expect("a decoder").decode(b"{\"o\":{}}\n{\"o\":{}}\n", "alpha").expect("rows");
    assert_eq!(rows.batch.num_rows(), 2);
}
