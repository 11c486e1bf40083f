//! The product that an agent names, and its major version: the first rule whose token is found.

/// A product: its token, the name to show, and the token that its version follows.
struct Product {
    token: &'static str,
    family: &'static str,
    version_after: &'static str,
}

const fn product(token: &'static str, family: &'static str) -> Product {
    Product { token, family, version_after: token }
}

/// The special ones before those whose token they also carry: Edge and Opera say Chrome, Chrome says Safari.
const PRODUCTS: &[Product] = &[
    product("Googlebot", "Googlebot"),
    product("bingbot", "bingbot"),
    product("YandexBot", "YandexBot"),
    product("Baiduspider", "Baiduspider"),
    product("DuckDuckBot", "DuckDuckBot"),
    product("Applebot", "Applebot"),
    product("GPTBot", "GPTBot"),
    product("ClaudeBot", "ClaudeBot"),
    product("PerplexityBot", "PerplexityBot"),
    product("Amazonbot", "Amazonbot"),
    product("Bytespider", "Bytespider"),
    product("CCBot", "CCBot"),
    product("PetalBot", "PetalBot"),
    product("SemrushBot", "SemrushBot"),
    product("AhrefsBot", "AhrefsBot"),
    product("MJ12bot", "MJ12bot"),
    product("DotBot", "DotBot"),
    product("facebookexternalhit", "facebookexternalhit"),
    product("Twitterbot", "Twitterbot"),
    product("LinkedInBot", "LinkedInBot"),
    product("Slackbot", "Slackbot"),
    product("Slurp", "Slurp"),
    product("UptimeRobot", "UptimeRobot"),
    product("Pingdom", "Pingdom"),
    product("HeadlessChrome", "HeadlessChrome"),
    product("PhantomJS", "PhantomJS"),
    product("curl/", "curl"),
    product("Wget", "Wget"),
    product("python-requests", "python-requests"),
    product("Python-urllib", "Python-urllib"),
    product("aiohttp", "aiohttp"),
    product("Go-http-client", "Go-http-client"),
    product("okhttp", "okhttp"),
    product("Apache-HttpClient", "Apache-HttpClient"),
    product("libwww-perl", "libwww-perl"),
    product("Scrapy", "Scrapy"),
    product("axios", "axios"),
    product("node-fetch", "node-fetch"),
    product("GuzzleHttp", "GuzzleHttp"),
    product("WordPress", "WordPress"),
    product("Java/", "Java"),
    product("PHP/", "PHP"),
    product("EdgiOS", "Edge"),
    product("EdgA", "Edge"),
    product("Edg/", "Edge"),
    product("Edge/", "Edge"),
    product("OPR/", "Opera"),
    product("OPiOS", "Opera"),
    Product { token: "Opera Mini", family: "Opera", version_after: "Opera Mini" },
    Product { token: "Opera", family: "Opera", version_after: "Version/" },
    product("SamsungBrowser", "Samsung Internet"),
    product("YaBrowser", "Yandex Browser"),
    product("Vivaldi", "Vivaldi"),
    product("UCBrowser", "UC Browser"),
    product("MiuiBrowser", "Miui Browser"),
    product("DuckDuckGo/", "DuckDuckGo"),
    product("SeaMonkey", "SeaMonkey"),
    product("PaleMoon", "Pale Moon"),
    product("FxiOS", "Firefox"),
    product("Firefox", "Firefox"),
    product("CriOS", "Chrome"),
    product("Chromium", "Chromium"),
    product("Chrome", "Chrome"),
    product("MSIE", "IE"),
    Product { token: "Trident/", family: "IE", version_after: "rv:" },
    product("Konqueror", "Konqueror"),
    Product { token: "Android", family: "Android Browser", version_after: "Version/" },
    Product { token: "Safari", family: "Safari", version_after: "Version/" },
    Product { token: "AppleWebKit", family: "WebKit", version_after: "AppleWebKit" },
];

fn product_of(agent: &str) -> Option<&'static Product> {
    PRODUCTS.iter().find(|product| agent.contains(product.token))
}

/// The product's name, or `other`.
pub(super) fn family(agent: &str) -> &'static str {
    product_of(agent).map_or("other", |product| product.family)
}

/// The product's major version, or none where it has none.
pub(super) fn major_version(agent: &str) -> Option<i32> {
    let product = product_of(agent)?;
    // old Opera has no Version/ and writes its own number
    version_after(agent, product.version_after).or_else(|| version_after(agent, product.token))
}

fn version_after(agent: &str, token: &str) -> Option<i32> {
    let after = agent.split_once(token)?.1;
    let number = after.trim_start_matches(['/', ' ', '-', ':', 'v']);
    let end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn family_and_version_of_known_agents() {
        for (agent, expected, version) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
                "Chrome",
                Some(126),
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36 Edg/125.1",
                "Edge",
                Some(125),
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15",
                "Safari",
                Some(17),
            ),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0", "Firefox", Some(127)),
            ("Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko", "IE", Some(11)),
            ("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)", "IE", Some(6)),
            ("Opera/9.80 (Windows NT 6.1) Presto/2.12 Version/12.16", "Opera", Some(12)),
            ("Opera/9.60 (Windows NT 6.0; U; en) Presto/2.1.1", "Opera", Some(9)),
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot", Some(2)),
            ("curl/8.5.0", "curl", Some(8)),
            ("something else", "other", None),
            ("Chrome/99999999999999999999", "Chrome", None),
        ] {
            assert_eq!((family(agent), major_version(agent)), (expected, version), "{agent}");
        }
    }
}
