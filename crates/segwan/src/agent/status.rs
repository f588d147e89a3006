//! How things stand with an agent.

use super::{Agent, AgentAlarm, lock};
use crate::tls::trust::WhenUnreachable;
use segwan_core::identity::Identity;

/// What `segwan status` shows of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentStatus {
    /// Whose credentials.
    pub identity: Identity,
    /// When they end, Unix milliseconds.
    pub not_after_ms: i64,
    /// When they will be renewed, Unix milliseconds.
    pub renew_at_ms: i64,
    /// Renewals that failed one after the other.
    pub failures: u32,
    /// Why the last one did.
    pub last_error: Option<String>,
    /// How it follows the Authority.
    pub following: Following,
    /// What the operator should know.
    pub alarms: Vec<AgentAlarm>,
}

/// How an agent follows the Authority.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Following {
    /// The Authority's epoch; it rises with a restore.
    pub epoch: i64,
    /// Version of the bundle in force; 0: none yet.
    pub bundle_version: i64,
    /// The last event that is in force here.
    pub seq: i64,
    /// The last event that the Authority was told of; 0: none since the start.
    pub acked: i64,
    /// Since when the event stream is open, Unix milliseconds.
    pub stream_since_ms: Option<i64>,
    /// When the Authority was heard last, Unix milliseconds; none since the start.
    pub contact_ms: Option<i64>,
}

/// What is known of the way to the Authority.
#[derive(Debug, Clone)]
pub(super) struct Contact {
    /// When the Authority was heard last, before this began too; `None` if nobody knows.
    pub(super) last_ms: Option<i64>,
    /// When this began; an earlier time, if the clock was set back since.
    pub(super) began_ms: i64,
    /// When it was heard last since this began.
    pub(super) heard_ms: Option<i64>,
    /// When that was noted on the disk last.
    pub(super) noted_ms: Option<i64>,
    pub(super) stream_since_ms: Option<i64>,
    pub(super) acked: i64,
    pub(super) when_unreachable: WhenUnreachable,
}

impl Contact {
    /// `earlier` are times at which the Authority was heard. One that is still to come is not
    /// believed: it would be long until an hour has passed since.
    pub(super) fn beginning_at(now: i64, earlier: impl IntoIterator<Item = i64>) -> Self {
        Self {
            last_ms: earlier.into_iter().filter(|at| *at <= now).max(),
            began_ms: now,
            heard_ms: None,
            noted_ms: None,
            stream_since_ms: None,
            acked: 0,
            when_unreachable: WhenUnreachable::default(),
        }
    }
}

impl Agent {
    /// How things stand.
    #[must_use]
    pub fn status(&self) -> AgentStatus {
        let known = self.known().clone();
        let contact = lock(&self.contact).clone();
        let (version, (epoch, seq)) = lock(&self.belief)
            .as_ref()
            .map_or((0, (0, 0)), |belief| (belief.version().1, belief.after()));
        AgentStatus {
            identity: self.identity.clone(),
            not_after_ms: known.meta.not_after_ms,
            renew_at_ms: known.due_ms,
            failures: known.failures,
            last_error: known.last_error,
            following: Following {
                epoch,
                bundle_version: version,
                seq,
                acked: contact.acked,
                stream_since_ms: contact.stream_since_ms,
                contact_ms: contact.heard_ms,
            },
            alarms: self.alarms.list(),
        }
    }
}
