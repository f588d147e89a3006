//! `ChannelError`: why there is no message, or why one was not sent.

use segwan_core::policy::Denial;
use segwan_core::rejection::{Reason, Violation};
use segwan_core::session::Ending;

/// Why there is no message, or why one was not sent. `Display` is the operator's sentence; a peer
/// hears what its contract says and no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// No policy permits the peer to connect. It saw a finished handshake, then an orderly end.
    #[error("{0}")]
    Denied(Denial),
    /// What the program meant to send breaks the contract. Not a byte of it was sent; what the
    /// contract says about such a fault (`[reject]`) was done, which may be the end.
    #[error("not sent: {0}")]
    Refused(Violation),
    /// As many requests as the contract allows wait for their reply: receive one, then send again.
    #[error("not sent: {0} requests wait for their reply; receive one first")]
    Full(usize),
    /// This side has said all that it will ([`Channel::finish`](super::Channel::finish)).
    #[error("not sent: this side has ended what it says")]
    Finished,
    /// The connection is over.
    #[error("{}", sentence(.0))]
    Ended(Ending),
}

impl ChannelError {
    /// The word for machines.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Denied(denial) => denial.reason,
            Self::Refused(violation) => violation.reason,
            Self::Full(_) => Reason::InFlight,
            Self::Finished => Reason::Closed,
            Self::Ended(ending) => ending.reason,
        }
    }
}

fn sentence(ending: &Ending) -> &str {
    if ending.sentence.is_empty() { ending.reason.meaning() } else { &ending.sentence }
}
