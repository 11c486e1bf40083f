//! The operating system that an agent names: the first rule whose token is found.

/// The special ones before those whose token they also carry: Android says Linux, telephones of Apple say Mac OS X.
const SYSTEMS: &[(&str, &str)] = &[
    ("Windows Phone", "Windows Phone"),
    ("Windows", "Windows"),
    ("Win64", "Windows"),
    ("Win98", "Windows"),
    ("iPhone", "iOS"),
    ("iPad", "iOS"),
    ("iPod", "iOS"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"),
    ("Macintosh", "macOS"),
    ("Darwin", "macOS"),
    ("Tizen", "Tizen"),
    ("Web0S", "webOS"),
    ("PlayStation", "PlayStation"),
    ("Nintendo", "Nintendo"),
    ("Symbian", "Symbian"),
    ("BlackBerry", "BlackBerry"),
    ("FreeBSD", "BSD"),
    ("OpenBSD", "BSD"),
    ("NetBSD", "BSD"),
    ("SunOS", "Solaris"),
    ("Linux", "Linux"),
    ("linux", "Linux"),
    ("Ubuntu", "Linux"),
    ("X11", "Unix"),
];

/// The system's name, or `other`.
pub(super) fn system(agent: &str) -> &'static str {
    SYSTEMS.iter().find(|(token, _)| agent.contains(token)).map_or("other", |(_, system)| *system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_special_system_wins() {
        for (agent, expected) in [
            ("Mozilla/5.0 (Linux; Android 14; Pixel 8)", "Android"),
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X)", "iOS"),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)", "macOS"),
            ("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0)", "ChromeOS"),
            ("Mozilla/5.0 (X11; Linux x86_64)", "Linux"),
            ("Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1)", "Windows Phone"),
            ("curl/8.0", "other"),
        ] {
            assert_eq!(system(agent), expected, "{agent}");
        }
    }
}
