//! Which verified-crawler family an agent claims to be: the ones whose operators publish addresses or reverse names.

/// Token in lower case, and the family; the first that is found counts.
const CLAIMS: &[(&str, &str)] = &[
    ("googlebot", "googlebot"),
    ("mediapartners-google", "googlebot"),
    ("adsbot-google", "googlebot"),
    ("storebot-google", "googlebot"),
    ("google-inspectiontool", "googlebot"),
    ("apis-google", "googlebot"),
    ("googleother", "googlebot"),
    ("feedfetcher-google", "googlebot"),
    ("bingbot", "bingbot"),
    ("bingpreview", "bingbot"),
    ("adidxbot", "bingbot"),
    ("msnbot", "bingbot"),
    ("applebot", "applebot"),
    ("yandex.com/bots", "yandex"),
    ("yandexbot", "yandex"),
    ("yandeximages", "yandex"),
    ("yandexmobilebot", "yandex"),
    ("baiduspider", "baidu"),
    ("duckduckbot", "duckduckbot"),
    ("duckassistbot", "duckduckbot"),
    ("gptbot", "gptbot"),
    ("oai-searchbot", "gptbot"),
    ("chatgpt-user", "gptbot"),
    ("claudebot", "claudebot"),
    ("claude-user", "claudebot"),
    ("claude-searchbot", "claudebot"),
    ("perplexitybot", "perplexity"),
    ("perplexity-user", "perplexity"),
    ("amazonbot", "amazonbot"),
    ("facebookexternalhit", "facebook"),
    ("facebookcatalog", "facebook"),
    ("facebookbot", "facebook"),
    ("meta-externalagent", "facebook"),
    ("meta-externalfetcher", "facebook"),
    ("linkedinbot", "linkedin"),
    ("twitterbot", "twitter"),
    ("pinterestbot", "pinterest"),
    ("petalbot", "petalbot"),
    ("semrushbot", "semrush"),
    ("ahrefsbot", "ahrefs"),
    ("ahrefssiteaudit", "ahrefs"),
    ("mj12bot", "majestic"),
    ("dotbot", "moz"),
    ("rogerbot", "moz"),
    ("bytespider", "bytespider"),
    ("ccbot", "commoncrawl"),
    ("ia_archiver", "archive"),
    ("archive.org_bot", "archive"),
    ("sogou", "sogou"),
    ("seznambot", "seznam"),
    ("qwantify", "qwant"),
    ("qwantbot", "qwant"),
    ("mojeekbot", "mojeek"),
    ("slurp", "yahoo"),
    ("yeti/", "naver"),
    ("uptimerobot", "uptimerobot"),
    ("pingdom", "pingdom"),
    ("telegrambot", "telegram"),
    ("slackbot", "slack"),
    ("discordbot", "discord"),
];

/// The family, or none where the agent claims none.
pub(super) fn claim(agent: &str) -> Option<&'static str> {
    let agent = agent.to_ascii_lowercase();
    CLAIMS.iter().find(|(token, _)| agent.contains(token)).map(|(_, family)| *family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_told_from_the_token() {
        assert_eq!(
            claim("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"),
            Some("googlebot")
        );
        assert_eq!(claim("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)"), Some("bingbot"));
        assert_eq!(claim("Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)"), Some("yandex"));
        assert_eq!(claim("facebookexternalhit/1.1"), Some("facebook"));
        assert_eq!(claim("Mozilla/5.0 (Windows NT 10.0) Firefox/127.0"), None);
    }

    #[test]
    fn no_token_is_hidden_by_an_earlier_one_of_another_family() {
        for (index, (token, family)) in CLAIMS.iter().enumerate() {
            let hiding = CLAIMS.iter().take(index).find(|(earlier, other)| token.contains(earlier) && other != family);
            assert_eq!(hiding, None, "{token}");
        }
    }
}
