//! Topics of a real broker as tables.

mod kafka_support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use fyke_connect::KafkaConnector;
use fyke_types::window::TIME;
use fyke_types::{Connector, Kind, Micros, ReadOptions};
use kafka_support::*;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

#[test]
fn every_start_and_end_gives_its_range() {
    topic("range", 2);
    let writer = Writer::new();
    for n in 0..10 {
        writer.send("range", 0, n * 1_000, &line(n, n));
        writer.send("range", 1, n * 1_000, &line(n, 100 + n));
    }
    writer.flush();
    let both = |range: std::ops::Range<i64>| -> Vec<i64> { range.clone().chain(range.map(|n| 100 + n)).collect() };
    for (settings, expected) in [
        (vec![], both(0..10)),
        (vec![("start", "latest")], vec![]),
        (vec![("start", "1970-01-01T00:00:06Z")], both(6..10)),
        (vec![("start", "1970-01-01T00:00:59Z")], vec![]),
        (vec![("start", "range-0@7")], (7..10).chain(100..110).collect()),
        (vec![("end", "1970-01-01T00:00:03Z")], both(0..3)),
        (vec![("end", "range-0@4, range-1@0")], (0..4).collect()),
        (vec![("start", "1970-01-01T00:00:02Z"), ("end", "range-0@4,range-1@5")], vec![2, 3, 102, 103, 104]),
    ] {
        let settings = [&[("topic", "range")][..], &settings].concat();
        let given = read(table(Some(numbers()), &settings).as_ref(), &options(2)).expect("a reading");
        assert_eq!(given.sorted("n"), expected, "{settings:?}");
        assert_eq!(given.ended.len(), 2);
        // with an end a live reading ends there too
        if settings.iter().any(|(key, _)| *key == "end") {
            let given = read(table(Some(numbers()), &settings).as_ref(), &following(1)).expect("a reading");
            assert_eq!(given.sorted("n"), expected, "{settings:?}");
        }
    }
}

#[test]
fn a_record_brings_columns_of_its_own() {
    topic("own", 1);
    let writer = Writer::new();
    let headers = OwnedHeaders::new()
        .insert(Header { key: "a", value: Some("1") })
        .insert(Header { key: "b", value: Some("2") })
        .insert(Header { key: "a", value: None::<&str> });
    let record = BaseRecord::to("own").key("k\"1").payload("{\"n\":1}").timestamp(1_500).headers(headers);
    writer.0.send(record).map_err(|(error, _)| error).expect("sent");
    writer.send("own", 0, 2_500, "{\"n\":2}");
    let record: BaseRecord<'_, [u8], str> = BaseRecord::to("own").key(&b"\xff"[..]).payload("{\"n\":3}");
    writer.0.send(record).map_err(|(error, _)| error).expect("sent");
    writer.flush();
    let any_time = |column| ReadOptions { event_time: column, ..options(1) };

    // found out from the values: the record's own columns stand behind them, and its time serves as event time
    let source = table(None, &[("topic", "own"), ("start", "own-0@0")]);
    let names: Vec<String> = source.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["n", "topic", "partition", "offset", "timestamp", "key", "headers"]);
    let given = read(source.as_ref(), &any_time(Some(4))).expect("a reading");
    assert_eq!((given.sorted("n"), given.sorted("offset")), (vec![1, 2], vec![0, 1]));
    assert_eq!(given.texts("key"), [Some("k\"1".to_owned()), None]);
    assert_eq!(given.texts("headers"), [Some("{\"a\":[\"1\",null],\"b\":\"2\"}".to_owned()), Some("{}".to_owned())]);
    let times = given.batches[0].column_by_name("timestamp").expect("a column").clone();
    assert_eq!(times.as_primitive::<TimestampMicrosecondType>().value(0), 1_500_000);
    assert!(given.dead[0].1.reason.contains("BYTEA"), "{:?}", given.dead);

    // declared: only what is asked for, in that order, under other names, and keys as they are
    let declared = columns(&[("r_key", DataType::Binary), ("n", DataType::Int64), ("r_partition", DataType::Int64)]);
    let source = table(Some(declared), &[("topic", "own"), ("record_prefix", "r_")]);
    let given = read(source.as_ref(), &any_time(None)).expect("a reading");
    assert_eq!((given.sorted("n"), given.sorted("r_partition")), (vec![1, 2, 3], vec![0, 0, 0]));
    assert_eq!(given.batches[0].column(0).as_binary::<i32>().value(2), b"\xff");
    let given = read(source.as_ref(), &ReadOptions { projection: Some(vec![2]), ..any_time(None) }).expect("a reading");
    assert_eq!((given.batches[0].num_columns(), given.rows()), (1, 3));

    // raw: nothing is decoded
    let source = table(None, &[("topic", "own"), ("format", "raw"), ("end", "own-0@2")]);
    let given = read(source.as_ref(), &any_time(None)).expect("a reading");
    assert_eq!(given.texts("value"), [Some("{\"n\":1}".to_owned()), Some("{\"n\":2}".to_owned())]);
}

#[test]
fn garbage_goes_to_dead_letters_at_its_place() {
    topic("garbage", 1);
    let two = format!("{}\n{}", line(1, 1), line(2, 2));
    let far = "{\"time\":\"2099-01-01T00:00:00Z\",\"n\":9}";
    let spread = line(7, 7).replace(',', ",\n") + "\n";
    send_all("garbage", &[&line(0, 0), &two, "nonsense", "", far, &spread, "{\"n\":1}", &line(8, 8)]);
    let writer = Writer::new();
    writer.0.send(BaseRecord::<str, str>::to("garbage").key("gone")).map_err(|(error, _)| error).expect("sent");
    writer.flush();
    for threads in [0, 2] {
        for block_bytes in [1, 1 << 20] {
            let options = ReadOptions { block_bytes, ..options(threads) };
            let given = read(table(Some(numbers()), &[("topic", "garbage")]).as_ref(), &options).expect("a reading");
            assert_eq!(given.numbers("n"), [0, 7, 8]);
            let places: Vec<(&str, u64, u64)> =
                given.dead.iter().map(|(input, dead)| (input.as_str(), dead.offset, dead.line)).collect();
            assert_eq!(places, [1, 2, 3, 4, 6, 8].map(|offset| ("garbage-0", offset, offset + 1)));
            assert_eq!(given.dead[0].1.raw, two.as_bytes(), "with its newline");
            let reasons: Vec<&str> = given.dead.iter().map(|(_, dead)| dead.reason.as_str()).collect();
            assert!(reasons[2].contains("empty") && reasons[3].contains("ahead"), "{reasons:?}");
            assert!(reasons[4].contains("missing") && reasons[5].contains("tombstone"), "{reasons:?}");
            assert_eq!(given.read, 9);
        }
    }
}

#[test]
fn lines_of_logs_are_read_like_those_of_files() {
    topic("access", 1);
    let line = "10.0.0.1 - - [01/Jan/1970:00:00:01 +0000] \"GET /a HTTP/1.1\" 200 12 \"-\" \"curl/8\"";
    let two = format!("{line}\n{line}");
    send_all("access", &[line, &two, "no log line", &format!("{line}\r\n")]);
    for format in ["combined", "requests"] {
        let source = table(None, &[("topic", "access"), ("format", format)]);
        let given = read(source.as_ref(), &options(1)).expect("a reading");
        assert_eq!(given.numbers("bytes"), [12, 12], "{format}");
        assert_eq!(given.texts("customer"), vec![Some("access".to_owned()); 2]);
        let dead: Vec<u64> = given.dead.iter().map(|(_, dead)| dead.offset).collect();
        assert_eq!(dead, [1, 2]);
        assert!(given.dead[0].1.reason.contains("more than one line"), "{:?}", given.dead[0]);
    }
}

#[test]
fn a_live_reading_finds_new_topics_and_partitions() {
    topic("live.a", 1);
    send_all("live.a", &[&line(0, 0)]);
    let settings = [("topic_pattern", r"live\.(?<customer>.+)"), ("start", "latest"), ("discover_every", "200ms")];
    let mut reader = table(Some(numbers()), &settings).open(&following(2)).expect("a reading");
    let mut given = Given::default();
    until(reader.as_mut(), &mut given, |given| given.inputs.len() == 1);
    send_all("live.a", &[&line(1, 1)]);
    until(reader.as_mut(), &mut given, |given| given.rows() == 1);
    // all that a new topic and a new partition hold is read, however late they are found
    topic("live.b", 1);
    send_all("live.b", &[&line(1, 2), &line(2, 3)]);
    broker().add_partitions("live.a", 2).expect("a partition");
    let writer = Writer::new();
    // the producer must learn of the partition first
    std::thread::sleep(Duration::from_millis(500));
    writer.send("live.a", 1, 0, &line(3, 4));
    writer.flush();
    until(reader.as_mut(), &mut given, |given| given.rows() == 4);
    assert_eq!(given.sorted("n"), [1, 2, 3, 4], "what was there before 'latest' is not read");
    let mut names = given.names();
    names.sort();
    assert_eq!(names, ["live.a-0", "live.a-1", "live.b-0"]);
    assert!(given.inputs.iter().all(|input| input.name.contains(&*input.customer)), "{:?}", given.inputs);
    assert!(given.troubles.is_empty(), "{:?}", given.troubles);
}

#[test]
fn a_resumed_reading_loses_and_repeats_nothing() {
    topic("resume", 3);
    let writer = Writer::new();
    for n in 0..3_000 {
        writer.send("resume", (n % 3) as i32, n, &line(n / 10, n));
    }
    writer.flush();
    let source = table(Some(numbers()), &[("topic", "resume")]);
    let (mut position, mut numbers, mut all, mut inputs) = (None, Vec::new(), false, Vec::new());
    for process in 0..1_000 {
        if all {
            break;
        }
        let threads = process % 3;
        let small = ReadOptions { block_bytes: 2_000, resume: position.take(), ..options(threads) };
        let mut reader = source.open(&small).expect("a reading");
        let mut given = Given::default();
        for _ in 0..12 {
            if !given.take(reader.next(Duration::from_secs(5)).expect("an event")) {
                all = true;
                break;
            }
        }
        numbers.extend(given.numbers("n"));
        inputs.extend(given.inputs.iter().map(|input| (input.id.0, input.name.to_string())));
        position = reader.position().expect("a position");
        // what comes meanwhile is not part of a bounded run
        writer.send("resume", 0, 0, &line(0, 9_999));
        writer.flush();
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..3_000).collect::<Vec<i64>>());
    inputs.sort();
    inputs.dedup();
    assert_eq!(inputs.len(), 3, "partitions keep their numbers: {inputs:?}");
}

#[test]
fn a_bounded_reading_ends_what_a_live_one_has_begun() {
    topic("handed-over", 2);
    let writer = Writer::new();
    for n in 0..10 {
        writer.send("handed-over", (n % 2) as i32, n, &line(n, n));
    }
    writer.flush();
    let source = table(Some(numbers()), &[("topic", "handed-over")]);
    let mut live = source.open(&following(1)).expect("a reading");
    let mut given = Given::default();
    until(live.as_mut(), &mut given, |given| given.rows() == 10);
    let position = live.position().expect("a position");
    drop(live);
    // with nothing left to read, and with something in one of the partitions
    for meanwhile in [vec![], vec![line(20, 20)]] {
        meanwhile.iter().for_each(|line| writer.send("handed-over", 1, 20, line));
        writer.flush();
        let resumed = ReadOptions { resume: position.clone(), ..options(1) };
        let given = read(source.as_ref(), &resumed).expect("a reading");
        assert_eq!((given.rows(), given.ended.len()), (meanwhile.len(), 2));
    }
}

#[test]
fn a_live_reading_goes_on_from_its_position_with_what_came_meanwhile() {
    topic("onward", 1);
    send_all("onward", &[&line(0, 0), &line(1, 1)]);
    let settings = [("topic", "onward"), ("start", "onward-0@1"), ("discover_every", "200ms")];
    let source = table(Some(numbers()), &settings);
    let mut reader = source.open(&following(1)).expect("a reading");
    let mut given = Given::default();
    until(reader.as_mut(), &mut given, |given| given.rows() == 1);
    let resume = reader.position().expect("a position");
    drop(reader);
    broker().add_partitions("onward", 2).expect("a partition");
    std::thread::sleep(Duration::from_millis(300));
    let writer = Writer::new();
    writer.send("onward", 0, 0, &line(2, 2));
    writer.send("onward", 1, 0, &line(3, 3));
    writer.flush();
    let mut reader = source.open(&ReadOptions { resume, ..following(1) }).expect("a reading");
    let mut given = Given::default();
    until(reader.as_mut(), &mut given, |given| given.rows() == 2);
    assert_eq!(given.sorted("n"), [2, 3]);
    assert_eq!(given.names(), ["onward-0", "onward-1"]);
}

#[test]
fn aborted_transactions_are_not_read_and_an_open_one_is_not_waited_for() {
    topic("transactions", 1);
    let mut config = broker().client();
    config.set("transactional.id", "source-test");
    let writer = Writer::with(&config);
    writer.0.init_transactions(LONG).expect("initialised");
    let transaction = |numbers: std::ops::Range<i64>, commits: Option<bool>| {
        writer.0.begin_transaction().expect("begun");
        numbers.for_each(|n| writer.send("transactions", 0, 0, &line(n, n)));
        writer.flush();
        match commits {
            Some(true) => writer.0.commit_transaction(LONG).expect("committed"),
            Some(false) => writer.0.abort_transaction(LONG).expect("aborted"),
            None => {}
        }
    };
    let read_now = |settings: &[(&str, &str)]| {
        let settings = [&[("topic", "transactions")][..], settings].concat();
        read(table(Some(numbers()), &settings).as_ref(), &options(1)).expect("a reading").sorted("n")
    };
    // a commit is answered before its mark is written
    let reads_soon = |settings: &[(&str, &str)], expected: &[i64], what: &str| {
        let started = Instant::now();
        while read_now(settings) != expected {
            assert!(started.elapsed() < LONG, "{what}: {:?} is not {expected:?}", read_now(settings));
        }
    };
    let (first, committed): (Vec<i64>, Vec<i64>) = ((0..5).collect(), (0..5).chain(10..15).collect());
    transaction(0..5, Some(true));
    reads_soon(&[], &first, "the last offset is a mark, no record");
    transaction(5..10, Some(false));
    reads_soon(&[], &first, "nothing but aborted records at the end");
    transaction(10..15, Some(true));
    transaction(15..20, None);
    reads_soon(&[], &committed, "what is committed, and nothing of what is open");
    assert_eq!(read_now(&[("kafka.isolation.level", "read_uncommitted")]), (0..20).collect::<Vec<_>>());
    writer.0.abort_transaction(LONG).expect("aborted");
    // a live reading passes the marks behind the last record, and says so to monitors
    let settings = [("topic", "transactions"), ("kafka.group.id", "monitored"), ("discover_every", "off")];
    let mut reader = table(Some(numbers()), &settings).open(&following(1)).expect("a reading");
    let mut given = Given::default();
    until(reader.as_mut(), &mut given, |given| given.rows() == 10);
    let end = broker().client().create::<BaseConsumer>().expect("a consumer");
    let end = end.fetch_watermarks("transactions", 0, LONG).expect("watermarks").1;
    let stands = |reader: &dyn fyke_types::Reader| reader.position().ok().flatten().unwrap_or_default();
    let started = Instant::now();
    while !stands(reader.as_ref()).contains(&format!("\"next\":{end},")) {
        assert!(started.elapsed() < LONG, "{end}: {}", stands(reader.as_ref()));
        given.take(reader.next(Duration::from_millis(50)).expect("an event"));
    }
    drop(reader);
    let mut config = broker().client();
    let monitor: BaseConsumer = config.set("group.id", "monitored").create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition("transactions", 0);
    let committed = monitor.committed_offsets(list, LONG).expect("offsets");
    assert_eq!(committed.elements()[0].offset(), Offset::Offset(end));
}

/// The place of each block's input among all when the block was given: the one furthest behind.
#[test]
fn a_backlog_is_read_in_event_time_order() {
    topic("order", 4);
    let writer = Writer::new();
    // partitions of very different density, and far apart at the start
    let times = |partition: i64| (0..5_000).map(move |n| partition * 300 + n * (partition + 1) / 5);
    for partition in 0..4 {
        for (n, second) in times(partition).enumerate() {
            writer.send("order", partition as i32, 0, &line(second, n as i64));
            if n % 10_000 == 0 {
                writer.0.poll(Duration::ZERO);
            }
        }
        writer.flush();
    }
    for threads in [0, 2] {
        let source = table(Some(numbers()), &[("topic", "order"), ("queue_bytes", "1MB")]);
        let options = ReadOptions { block_bytes: 20_000, ..options(threads) };
        let given = read(source.as_ref(), &options).expect("a reading");
        assert_eq!(given.rows(), 20_000);
        let mut at = [Micros::MIN; 4];
        let ends: Vec<Micros> = (0..4).map(|p| times(p).max().unwrap_or(0) * 1_000_000).collect();
        for (input, latest, _) in &given.blocks {
            let open = (0..4).filter(|p| at[*p] < ends[*p]);
            let behind = open.map(|p| at[p]).min().expect("an open partition");
            assert_eq!(at[*input as usize], behind, "input {input} was read before one that was further behind");
            at[*input as usize] = *latest;
        }
    }
}

#[test]
fn a_flooding_customer_takes_no_other_customers_turn() {
    topic("share.flood", 2);
    topic("share.calm", 1);
    let writer = Writer::new();
    for n in 0..20_000 {
        writer.send("share.flood", (n % 2) as i32, 0, &line(n / 10, n));
    }
    writer.send("share.calm", 0, 0, &line(80_000, -1));
    writer.flush();
    let source = table(Some(numbers()), &[("topic_pattern", r"share\.(.+)")]);
    let mut reader = source.open(&ReadOptions { block_bytes: 10_000, ..following(1) }).expect("a reading");
    let mut given = Given::default();
    until(reader.as_mut(), &mut given, |given| given.rows() == 20_001);
    let calm = given.inputs.iter().find(|input| &*input.customer == "calm").expect("an input").id.0;
    let before: usize = given.blocks.iter().take_while(|(input, _, _)| *input != calm).map(|(_, _, rows)| rows).sum();
    // its partition may answer later than the others, by some blocks
    assert!(before < 10_000, "{before} rows of the flood came before the one that is far ahead in event time");
    assert!(given.numbers("n").iter().take_while(|n| **n != -1).count() == before);
}

#[test]
fn a_deleted_topic_is_told_and_the_others_go_on() {
    topic("stays", 1);
    topic("goes", 1);
    send_all("stays", &[&line(0, 0)]);
    send_all("goes", &[&line(0, 100)]);
    let settings = [("topic", "stays,goes"), ("discover_every", "200ms")];
    let mut reader = table(Some(numbers()), &settings).open(&following(1)).expect("a reading");
    let mut given = Given::default();
    until(reader.as_mut(), &mut given, |given| given.rows() == 2);
    broker().delete_topic("goes").expect("deleted");
    until(reader.as_mut(), &mut given, |given| !given.troubles.is_empty());
    assert!(given.troubles[0].message().contains("'goes' was deleted"), "{}", given.troubles[0]);
    until(reader.as_mut(), &mut given, |given| given.ended.len() == 1);
    send_all("stays", &[&line(1, 1)]);
    until(reader.as_mut(), &mut given, |given| given.rows() == 3);
    // made again it is read from its start, as another input
    topic("goes", 1);
    send_all("goes", &[&line(2, 101)]);
    until(reader.as_mut(), &mut given, |given| given.rows() == 4);
    assert_eq!(given.sorted("n"), [0, 1, 100, 101]);
    assert_eq!(given.inputs.len(), 3);
}

#[test]
fn a_truncated_partition_is_told_and_skipped_where_that_is_wanted() {
    topic("short", 1);
    topic("whole", 1);
    send_all("whole", &[&line(0, 100)]);
    send_all("short", &(0..10).map(|n| line(n, n)).collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>());
    broker().delete_records("short", 0, 6).expect("deleted");
    let settings = [("topic", "short,whole"), ("start", "short-0@2, whole-0@0")];
    let given = read(table(Some(numbers()), &settings).as_ref(), &options(1)).expect("a reading");
    assert_eq!(given.sorted("n"), [100]);
    let told = given.troubles[0].to_string();
    assert!(told.contains("offset 2 of short-0") && told.contains("4 records") && told.contains("skip"), "{told}");
    let settings = [&settings[..], &[("truncated", "skip")]].concat();
    let given = read(table(Some(numbers()), &settings).as_ref(), &options(1)).expect("a reading");
    assert_eq!(given.sorted("n"), [6, 7, 8, 9, 100]);
    assert!(given.troubles[0].message().contains("4 records of short-0 were removed"), "{}", given.troubles[0]);
    // alone it is an error
    let settings = [("topic", "short"), ("start", "short-0@2")];
    let Err(error) = read(table(Some(numbers()), &settings).as_ref(), &options(1)) else { panic!("refused") };
    assert_eq!(error.kind(), Kind::Data);
}

#[test]
fn a_missing_topic_is_named_and_the_others_go_on() {
    topic("there", 1);
    send_all("there", &[&line(0, 0)]);
    let settings = [("topic", "not-there"), ("discover_every", "200ms")];
    let Err(error) = table(Some(numbers()), &settings).open(&following(1)) else { panic!("refused") };
    assert!(error.to_string().contains("'not-there'") && error.to_string().contains("there"), "{error}");
    let settings = [("topic", "there,not-there"), ("discover_every", "200ms")];
    assert!(table(Some(numbers()), &settings).open(&options(1)).is_err(), "a bounded run would be incomplete");
    let mut reader = table(Some(numbers()), &settings).open(&following(1)).expect("a reading");
    let mut given = Given::default();
    until(reader.as_mut(), &mut given, |given| given.rows() == 1 && !given.troubles.is_empty());
    topic("not-there", 1);
    send_all("not-there", &[&line(0, 1)]);
    until(reader.as_mut(), &mut given, |given| given.rows() == 2);
    let Err(error) = table(Some(numbers()), &[("topic_pattern", "none.*")]).open(&options(1)) else {
        panic!("refused")
    };
    assert!(error.to_string().contains("none.*"), "{error}");
}

#[test]
fn an_unreachable_broker_is_named_with_the_remedy() {
    let spec = spec("127.0.0.1:1", Some(numbers()), &[("topic", "a"), ("connect_timeout", "1 second")]);
    let source = fyke_types::Connector::source(&fyke_connect::KafkaConnector, &spec).expect("not asked yet");
    let started = Instant::now();
    let Err(error) = source.open(&options(1)) else { panic!("refused") };
    assert!(started.elapsed() < Duration::from_secs(6));
    assert_eq!(error.kind(), Kind::Unavailable);
    let text = error.to_string();
    assert!(text.contains("127.0.0.1:1 can't be reached") && text.contains("security.protocol"), "{text}");
}

#[test]
fn wrong_settings_of_the_client_are_refused() {
    let source = table(Some(numbers()), &[("topic", "a"), ("kafka.fetch.wait.max.ms", "soon")]);
    let Err(error) = source.open(&options(1)) else { panic!("refused") };
    assert!(error.to_string().contains("kafka.fetch.wait.max.ms"), "{error}");
    assert_eq!(error.kind(), Kind::Usage);
    let unknown = spec(&broker().bootstrap(), Some(numbers()), &[("topic", "a"), ("topics", "b")]);
    let error = fyke_types::Connector::source(&fyke_connect::KafkaConnector, &unknown).expect_err("refused");
    assert!(error.to_string().contains("'topics'") && error.to_string().contains("topic_pattern"), "{error}");
    let declared = columns(&[("time", TIME), ("offset", DataType::Utf8)]);
    let wrong = spec(&broker().bootstrap(), Some(declared), &[("topic", "a")]);
    let error = fyke_types::Connector::source(&fyke_connect::KafkaConnector, &wrong).expect_err("refused");
    assert!(error.to_string().contains("record_prefix"), "{error}");
}

#[test]
fn customer_of_a_log_line_is_its_topics_and_that_of_a_json_value_may_be_any() {
    let columns = columns(&[("time", TIME), ("customer", DataType::Utf8), ("topic", DataType::Utf8)]);
    let of = |settings: &[(&str, &str)]| {
        let source =
            KafkaConnector.source(&spec("127.0.0.1:1", Some(Arc::clone(&columns)), settings)).expect("a table");
        ["customer", "topic", "time", "nothing"].map(|column| source.is_customer_of_input(column))
    };
    let pattern = ("topic_pattern", r"logs\.(?<customer>.+)");
    assert_eq!(of(&[pattern, ("format", "combined")]), [true, false, false, false]);
    assert_eq!(of(&[("topic", "a,b"), ("format", "combined")]), [true, true, false, false]);
    assert_eq!(of(&[("topic_pattern", "logs.*")]), [false, true, false, false]);
    assert_eq!(of(&[pattern]), [false; 4]);
}
