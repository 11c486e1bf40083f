//! The classes of user agents. How one is told is `classify`'s.

/// What kind of program an agent says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AgentClass {
    /// A browser that a person uses, or a program that says so.
    Browser,
    /// A declared crawler or another bot that names itself.
    Crawler,
    /// A library, command or service that fetches for a program: also whatever names neither engine nor platform.
    Library,
    /// A service that watches whether a site is up.
    Monitor,
    /// A browser without a screen, or one that a script drives.
    Headless,
    /// A reader of feeds.
    Feed,
    /// No agent at all.
    Empty,
    /// None of these, but on a platform that people hold: mostly applications of telephones and devices.
    Other,
}

impl AgentClass {
    /// As SQL shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Crawler => "crawler",
            Self::Library => "library",
            Self::Monitor => "monitor",
            Self::Headless => "headless",
            Self::Feed => "feed",
            Self::Empty => "empty",
            Self::Other => "other",
        }
    }

    /// Whether the agent itself says that no person sits behind it.
    pub fn is_declared_bot(self) -> bool {
        matches!(self, Self::Crawler | Self::Library | Self::Monitor | Self::Headless | Self::Feed)
    }
}
