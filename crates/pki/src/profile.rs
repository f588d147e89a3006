//! `Profile`: what a certificate may be used for.

/// The uses of a leaf (`pki.md` section 3.2): listening and dialling are told apart, so that the
/// certificate of a service opens no door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// The identity a gateway shows to its peers: may listen.
    Service,
    /// A peer that connects: may dial.
    Client,
    /// Where one identity really does both.
    Peer,
    /// The Authority itself: may listen.
    Authority,
}

impl Profile {
    /// Its word in the store, the command line and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Client => "client",
            Self::Peer => "peer",
            Self::Authority => "authority",
        }
    }

    /// The profile of a word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        [Self::Service, Self::Client, Self::Peer, Self::Authority]
            .into_iter()
            .find(|p| p.as_str() == word)
    }

    /// Whether its certificates say `serverAuth`.
    #[must_use]
    pub fn listens(self) -> bool {
        matches!(self, Self::Service | Self::Peer | Self::Authority)
    }

    /// Whether its certificates say `clientAuth`.
    #[must_use]
    pub fn dials(self) -> bool {
        matches!(self, Self::Client | Self::Peer)
    }

    /// Shortest and longest life of its certificates, in seconds: 5 minutes to 90 days, and the
    /// 5 minutes for which each begins before it is made.
    #[must_use]
    pub fn life(self) -> (i64, i64) {
        (300, 90 * 86_400 + 300)
    }
}
