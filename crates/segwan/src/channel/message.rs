//! `Message`: what a channel gives, with its place in the contract.

use segwan_core::contract::{Contract, MessageRule, Side};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// One whole message that met its contract, and of a client also its policy.
#[derive(Clone)]
pub struct Message {
    pub(super) contract: Arc<Contract>,
    pub(super) by: Side,
    pub(super) index: usize,
    pub(super) frame: Vec<u8>,
    pub(super) payload: Range<usize>,
}

impl Message {
    /// What the message says, without line end or length: the bytes that were checked.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.frame.get(self.payload.clone()).unwrap_or_default()
    }

    /// The payload as text; `None` if it is none, which a contract of text or JSON rules out.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(self.payload()).ok()
    }

    /// The whole frame, as it would go to a service behind a gateway.
    #[must_use]
    pub fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// The name of the message in the contract.
    #[must_use]
    pub fn name(&self) -> &str {
        self.rule().map_or("", MessageRule::name)
    }

    /// The action that it asks for, which the policy permitted; none for what a service says.
    #[must_use]
    pub fn action(&self) -> Option<&str> {
        self.rule().and_then(MessageRule::action)
    }

    fn rule(&self) -> Option<&MessageRule> {
        self.contract.direction(self.by).message(self.index)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload = segwan_core::audit::shown(self.payload());
        f.debug_struct("Message").field("name", &self.name()).field("payload", &payload).finish()
    }
}
