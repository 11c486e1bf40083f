//! The names that tell one class of agents from another, lower case where they are sought in any case.
//! Declared crawlers are mostly the `isbot` crate's; here is what it does not hold.

/// Browsers that scripts drive, lower case.
#[rustfmt::skip]
pub(super) const HEADLESS: &[&str] = &[
    "headless", "phantomjs", "puppeteer", "playwright", "selenium", "webdriver", "slimerjs", "casperjs", "htmlunit",
    "zombie.js", "cypress/", "chrome-lighthouse", "splash version",
];

/// Watchers of sites.
#[rustfmt::skip]
pub(super) const MONITORS: &[&str] = &[
    "uptime", "monitor", "monitis", "synthetic", "pingdom", "statuscake", "nagios", "check_http", "zabbix",
    "site24x7", "datadog", "newrelicpinger", "updown.io", "freshping", "hetrixtools", "better stack", "kube-probe",
    "elb-healthchecker", "googlehc", "healthservice", "health-check", "health check", "healthcheck", "montastic",
    "host-tracker", "hosttracker", "alertsite", "dejaclick", "catchpoint", "gomezagent", "ruxit", "dynatrace",
    "appinsights", "websitepulse", "server density", "panopta", "checkly", "oh dear", "prtg", "nodeping", "wormly",
    "binarycanary", "blackbox exporter", "blackbox-exporter", "downnotifier", "monit/", "icinga", "cachet",
    "pingadmin", "internetvista", "jetmon", "munin/", "prometheus/", "xymon", "bbtest-net", "rigor)", "ptst/",
    "speedcurve",
];

/// Readers of feeds.
#[rustfmt::skip]
pub(super) const FEEDS: &[&str] = &[
    "feedly", "feedburner", "feedfetcher", "tiny tiny rss", "inoreader", "newsblur", "theoldreader", "netnewswire",
    "reeder/", "feedbin", "freshrss", "miniflux", "liferea", "akregator", "rssowl", "newsgator", "bloglovin",
    "netvibes", "feedparser", "simplepie", "magpierss", "windows-rss-platform", "newsbeuter", "newsboat", "feedspot",
    "feedwind", "blogtrottr", "superfeedr", "bazqux", "fever/", "feeddemon", "feedbooster", "rssradio", "rss reader",
    "feed reader", "feedreader", "feedvalidator", "librss", "apple-pubsub", "overcast/", "pocketcasts", "commafeed",
    "selfoss", "vienna/", "quiterss", "greatnews", "sharpreader", "rss2", "rssbot", "feedhq", "g2reader",
    "nextcloud-news", "rss/", "feeder.co", "feeddlerrss", "rss junkie", "readkit", "downcast/",
];

/// Libraries and commands.
#[rustfmt::skip]
pub(super) const LIBRARIES: &[&str] = &[
    "curl/", "libcurl", "pycurl", "wget", "python-requests", "python-urllib", "python/", "python-httpx", "aiohttp",
    "httplib2", "go-http-client", "package http", "okhttp", "java/", "apache-httpclient", "httpclient", "libwww-perl",
    "lwp::simple", "lwp-", "lwp/", "www-mechanize", "mechanize", "axios", "node-fetch", "node.js", "undici", "got/",
    "got (", "superagent", "request-promise", "scrapy", "guzzle", "php/", "php-curl", "php_curl", "phpcrawl",
    "pear http", "zend_http", "typhoeus", "faraday", "ruby", "rest-client", "http.rb", "httparty", "httpie",
    "postmanruntime", "insomnia/", "aria2", "winhttp", "wininet", "indy library", "powershell", "http_request",
    "http-request", "reqwest", "hyper/", "ureq", "deno/", "bun/", "dart/", "dart:io", "cpp-httplib",
    "jakarta commons", "apachebench", "siege/", "jmeter", "gatling", "wrk/", "k6/", "vegeta", "anyevent-http",
    "snoopy", "colly", "urlgrabber", "lua-resty", "perl/", "asynchttpclient", "ahc/", "restsharp", "unirest",
    "jersey/", "reactor-netty", "spring-web", "poe-component", "eventmachine", "em-http", "httpx", "httpunit",
    "axel ", "axel/", "restify", "serf/", "neon/", "http client", "grpc-", "cryptoapi", "azure-logic-apps", "swcd",
];

/// Names of crawlers and of scanners that the crate's patterns of its version do not hold, lower case.
#[rustfmt::skip]
pub(super) const CRAWLERS: &[&str] = &[
    "bot/", "bot;", "-bot", "bot ", "crawl", "spider", "slurp", "scraper", "archiver", "archivebox", "validator",
    "indexer", "auditor", "classifier", "chatgpt-user", "claude-web", "claude-user", "anthropic-ai", "perplexity",
    "manus-user", "google-inspectiontool", "google-extended", "googleother", "google-read-aloud", "googleweblight",
    "meta-externalagent", "meta-externalfetcher", "facebookcatalog", "cohere-ai", "diffbot", "dataforseo",
    "screaming frog", "duckassist", "censysinspect", "internet-measurement", "ia_archiver", "iframely",
    "link preview", "link check", "linkcheck", "linkwalker", "w3c_", "w3c-", "html5 validator", "webcopier",
    "teleport", "offline explorer", "getright", "flashget", "webzip", "masscan", "zgrab", "nmap", "sqlmap", "nikto",
    "wpscan", "gobuster", "dirbuster", "feroxbuster", "fuzz faster", "nuclei", "acunetix", "nessus", "openvas",
    "w3af", "zmeu", "jorgee", "whatweb", "httprint", "burpcollaborator", "load_file(", "foregenix", "onetrust",
    "securityheaders", "taginspector", "marketgoo", "mixnode", "collapsify", "webmoney advisor", "wechatdevtools",
    "_scanner", "hydra", "clamav", ", mozilla/5.0 (", "rb.gy/",
];

/// Names that hold one of those or of the crate's, and belong to browsers and applications of people.
#[rustfmt::skip]
pub(super) const NO_CRAWLERS: &[&str] = &[
    "cubot", "fubotv", "banca caboto", "turbotabbee", "staticlogin:productcbox",
];

/// What a browser names besides its own name: the engine that it is built on, or is compatible with.
#[rustfmt::skip]
pub(super) const ENGINES: &[&str] = &[
    "gecko", "applewebkit", "khtml", "presto", "trident", "msie", "opera", "netfront", "blink", "goanna", "servo",
    "konqueror", "nokia", "symbian", "netscape", "icab", "ibrowse", "webpositive", "ucbrowser", "navigator",
    "nintendo",
];

/// Browsers that say that they are compatible, as crawlers do.
#[rustfmt::skip]
pub(super) const COMPATIBLE: &[&str] = &[
    "MSIE", "Trident", "Konqueror", "Opera", "iCab", "IBrowse", "ABrowse", "Webpositive", "NetFront",
];

/// Where a program that a person holds runs. A server's program names none of them.
#[rustfmt::skip]
pub(super) const PLATFORMS: &[&str] = &[
    "android", "ios", "iphone", "ipad", "ipod", "cfnetwork", "darwin", "windows", "win32", "win64", "macintosh",
    "mac os", "macos", "x11", "linux", "symbian", "series60", "series40", "s60", "blackberry", "j2me", "midp", "brew",
    "playstation", "nintendo", "xbox", "smarttv", "smart-tv", "web0s", "tizen", "roku", "kindle", "nokia", "samsung",
    "sonyericsson", "lg-", "mot-", "palm", "up.browser", "amiga", "beos", "os/2", "risc os", "dreamcast", "webtv",
    "appletv", "dalvik", "ucweb", "watchos", "tvos", "haiku", "bsd", "sunos", "cros", "win10", "mac 10", "htc",
    "googleapp/", "mozac",
];
