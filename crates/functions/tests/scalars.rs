//! Every scalar function through SQL, on literals and on columns.

mod common;

use common::{ask, context};

#[tokio::test]
async fn literals_give_the_values_by_hand() {
    let context = context(2);
    for (expression, expected) in [
        ("url_path('https://x.example/a/b?c=1')", "/a/b"),
        ("url_query('/a?b=1#c')", "b=1"),
        ("url_host('https://User@X.example:8/a')", "x.example"),
        ("query_parameters('a=1&b=2')", "2"),
        ("path_depth('/a/b/')", "2"),
        ("path_extension('/a/B.TAR.GZ')", "gz"),
        ("path_class('/a/b.css')", "asset"),
        ("is_attack_path('/%2Egit/HEAD')", "true"),
        ("is_attack_path('/blog')", "false"),
        ("entropy('abab')", "1.0"),
        ("digit_ratio('a1')", "0.5"),
        ("hour_of_day(TIMESTAMP '2016-02-20T23:59:59.999999')", "23"),
        ("is_night(TIMESTAMP '2016-02-20T05:59:59')", "true"),
        ("is_night(TIMESTAMP '2016-02-20T23:00:00', 22, 4)", "true"),
        ("agent_class('curl/8.0')", "library"),
        ("agent_class(NULL)", "empty"),
        ("agent_is_declared_bot('curl/8.0')", "true"),
        ("agent_family('Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0')", "Firefox"),
        ("agent_version('Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0')", "127"),
        ("agent_os('Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0')", "Linux"),
        ("crawler_claim('Mozilla/5.0 (compatible; bingbot/2.0)')", "bingbot"),
        ("ip_in('192.0.2.7', '10.0.0.0/8, 192.0.2.0/24')", "true"),
        ("ip_in('2001:db8::1', '10.0.0.0/8, 192.0.2.0/24')", "false"),
        ("ip_in('nobody', '10.0.0.0/8')", ""),
        ("ip_prefix('2001:db8:1:2:3::1', 64)", "2001:db8:1:2::/64"),
        ("ip_version('::ffff:1.2.3.4')", "4"),
        ("is_private_ip('192.168.1.1')", "true"),
    ] {
        assert_eq!(ask(&context, &format!("SELECT {expression} AS out")).await.unwrap(), [expected], "{expression}");
    }
}

#[tokio::test]
async fn null_gives_null() {
    let context = context(2);
    for call in [
        "url_path(NULL)",
        "url_query(NULL)",
        "url_host(NULL)",
        "query_parameters(NULL)",
        "path_depth(NULL)",
        "path_extension(NULL)",
        "path_class(NULL)",
        "is_attack_path(NULL)",
        "entropy(NULL)",
        "digit_ratio(NULL)",
        "hour_of_day(NULL)",
        "is_night(NULL)",
        "agent_is_declared_bot(NULL)",
        "agent_family(NULL)",
        "agent_version(NULL)",
        "agent_os(NULL)",
        "crawler_claim(NULL)",
        "ip_in(NULL, '10.0.0.0/8')",
        "ip_prefix(NULL, 24)",
        "ip_version(NULL)",
        "is_private_ip(NULL)",
    ] {
        let sql = format!("SELECT {call} IS NULL AS out");
        assert_eq!(ask(&context, &sql).await.unwrap(), ["true"], "{call}");
    }
}

#[tokio::test]
async fn every_layout_of_text_is_taken() {
    let context = context(2);
    for layout in ["Utf8", "LargeUtf8", "Utf8View", "Dictionary(Int32, Utf8)"] {
        let sql = format!(
            "SELECT path_depth(arrow_cast(column1, '{layout}')) AS out FROM (VALUES ('/a/b'), ('/'), (NULL)) ORDER BY out"
        );
        assert_eq!(ask(&context, &sql).await.unwrap(), ["0", "2", ""], "{layout}");
    }
}

#[tokio::test]
async fn columns_and_literals_agree() {
    let context = context(2);
    let sql = "SELECT concat_ws(' ', path_class(column1), ip_in(column2, '10.0.0.0/8'), agent_class(column3)) AS out \
               FROM (VALUES ('/a.js', '10.1.1.1', 'curl/8'), ('/', '11.1.1.1', 'curl/8'), (NULL, 'x', NULL))";
    assert_eq!(ask(&context, sql).await.unwrap(), ["asset true library", "page false library", "empty"]);
}

#[tokio::test]
async fn mistakes_are_refused_with_the_remedy() {
    let context = context(2);
    for (call, words) in [
        ("url_path(1)", "it takes text"),
        ("url_path('a', 'b')", "it takes 1"),
        ("hour_of_day('monday')", "it takes a timestamp"),
        ("ip_in('10.0.0.1', '10.0.0.0/99')", "10.0.0.0/99"),
        ("ip_in('10.0.0.1', column1)", "is no constant"),
        ("is_night(TIMESTAMP '2016-02-20T05:59:59', 25)", "hours go from 0 to 24"),
    ] {
        let error = ask(&context, &format!("SELECT {call} AS out FROM (VALUES ('10.0.0.0/8'))")).await.unwrap_err();
        assert!(error.to_string().contains(words), "{call}: {error}");
    }
}
