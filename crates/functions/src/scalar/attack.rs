//! Paths and queries that only attackers ask for. A short list of certain signs, not a firewall: a site's own pages
//! must never match, and what it misses other features see.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use percent_encoding::percent_decode_str;

use super::arrays::text_to_flag;
use super::function::{ScalarFunction, unchecked};
use crate::doc::FunctionDoc;
use crate::parameter::{Parameter, defect};

pub(crate) static IS_ATTACK_PATH: ScalarFunction = ScalarFunction {
    doc: FunctionDoc {
        name: "is_attack_path",
        signature: "is_attack_path(path_or_query) -> boolean",
        summary: "Whether a path or query holds one of a short list of signs that only attackers send (secret files, \
                  shells, injections, traversals), in any case, after one percent-decoding.",
    },
    parameters: &[Parameter::Text],
    required: 1,
    returns: DataType::Boolean,
    run: attacks,
    check: unchecked,
};

/// Parts of a decoded path or query, lower case.
const SIGNS: &[&str] = &[
    // files that hold secrets, and copies of configurations
    "/.env",
    "/.git/",
    "/.gitconfig",
    "/.svn/",
    "/.hg/",
    "/.aws/",
    "/.ssh/",
    "/id_rsa",
    "/.htpasswd",
    "/.ds_store",
    "/.bash_history",
    "/.vscode/sftp",
    "wp-config.php.",
    "wp-config.php~",
    "wp-config.bak",
    "wp-config.old",
    "wp-config.txt",
    "/web.config.bak",
    "/etc/passwd",
    "/etc/shadow",
    "/proc/self/",
    "/windows/win.ini",
    "boot.ini",
    "/web-inf/web.xml",
    "/database.sql",
    "/dump.sql",
    "/backup.sql",
    // consoles of administration that the open net has no business with
    "/phpmyadmin",
    "/phpunit/",
    "/pma/",
    "/mysqladmin",
    "/dbadmin",
    "/myadmin",
    "/adminer.php",
    "/solr/admin",
    "/actuator/env",
    "/actuator/heapdump",
    "/actuator/gateway",
    "/manager/html",
    "/jmx-console",
    "/hnap1",
    "/boaform/",
    "/gponform/",
    "/cgi-bin/",
    "/console/css/%",
    "/owa/auth/x.js",
    "/remote/fgt_lang",
    "/dana-na/",
    "/_ignition/execute-solution",
    "/telescope/requests",
    "/server-status",
    "/invoker/jmxinvokerservlet",
    "/struts2-showcase",
    "/phpinfo.php",
    "/setup.cgi",
    "/shell?cd",
    // shells left behind
    "/wso.php",
    "/c99.php",
    "/r57.php",
    "/alfa.php",
    "/webshell",
    "/eval-stdin.php",
    "/shell.php",
    "/cmd.php",
    // traversal, plain and encoded twice
    "../",
    "..\\",
    "%2e%2e",
    "..;/",
    // code in the address
    "eval(",
    "base64_decode(",
    "system(",
    "phpinfo(",
    "<?php",
    "php://input",
    "php://filter",
    "allow_url_include",
    "auto_prepend_file",
    "invokefunction",
    "call_user_func_array",
    "${jndi:",
    "() { :;};",
    "/bin/sh",
    "/bin/bash",
    "wget http",
    "wget+http",
    "curl http",
    "curl+http",
    // queries in the address
    "union select",
    "union+select",
    "union all select",
    "union+all+select",
    "union/**/select",
    "information_schema",
    "' or '1'='1",
    "'+or+'1'='1",
    "' or 1=1",
    "'+or+1=1",
    "sleep(",
    "benchmark(",
    "waitfor delay",
    "waitfor+delay",
    "xp_cmdshell",
    "load_file(",
    "into outfile",
    "into+outfile",
    // script in the address
    "<script",
    "javascript:alert",
    "onerror=",
    "document.cookie",
];

static MATCHER: LazyLock<Option<AhoCorasick>> =
    LazyLock::new(|| AhoCorasick::builder().ascii_case_insensitive(true).build(SIGNS).ok());

fn attacks(args: &[ArrayRef]) -> Result<ArrayRef> {
    let matcher = MATCHER.as_ref().ok_or_else(|| defect("the list of attack signs does not compile"))?;
    text_to_flag(args, |text| Some(is_attack(matcher, text)))
}

fn is_attack(matcher: &AhoCorasick, text: &str) -> bool {
    if !text.contains('%') {
        return matcher.is_match(text);
    }
    let decoded: Vec<u8> = percent_decode_str(text).collect();
    matcher.is_match(&decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_found_in_any_case_and_percent_encoded() {
        let matcher = MATCHER.as_ref().unwrap();
        for attack in [
            "/.env",
            "/app/.git/config",
            "/wp-config.php.bak",
            "/PHPMyAdmin/index.php",
            "/%2e%2e/%2e%2e/etc/passwd",
            "/%252e%252e/x",
            "/a?x=1%27%20UNION%20SELECT%201",
            "id=1+union+select+2",
            "/?q=%3Cscript%3Ealert(1)",
            "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php",
            "/cgi-bin/luci",
            "/actuator/env",
            "/solr/admin/info",
            "/?x=${jndi:ldap://a}",
        ] {
            assert!(is_attack(matcher, attack), "{attack}");
        }
    }

    #[test]
    fn ordinary_paths_are_no_attack() {
        let matcher = MATCHER.as_ref().unwrap();
        for path in [
            "/",
            "/wp-login.php",
            "/blog/2015/the-environment",
            "/union/select-committee",
            "/evaluation(2)",
            "/search?q=100%25+cotton",
            "/git/tutorial",
            "/a..b/c",
            "/wp-content/themes/x/style.css",
        ] {
            assert!(!is_attack(matcher, path), "{path}");
        }
    }

    #[test]
    fn signs_are_lower_case_and_none_is_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for sign in SIGNS {
            assert_eq!(*sign, sign.to_ascii_lowercase());
            assert!(seen.insert(sign), "{sign} is twice");
        }
    }
}
