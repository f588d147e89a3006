//! `Direction` and `MessageRule`: what one side may say, each message with what it asks for and what
//! is answered.

use super::charset;
use super::codec::hl7::Segments;
use super::decode::{DecodeRule, Layout};
use super::field::FieldRule;
use super::frame::FrameRule;
use super::pattern::Pattern;
use super::quota::Quota;
use super::reject::Reject;
use super::rule::Rule;
use super::schema::Schema;
use super::state::{Remember, StateRule};
use super::template::Template;
use super::text::TextRule;
use super::value::{Pointer, Value};
use crate::policy::schema::ActionShape;
use crate::rejection::Class;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// One direction: its frames, its encoding, its messages.
#[derive(Debug)]
pub struct Direction {
    pub(crate) frame: FrameRule,
    pub(crate) decode: DecodeRule,
    /// A grammar that all messages of the direction share; it yields the tag.
    pub(crate) grammar: Option<Pattern>,
    pub(crate) canonical: bool,
    pub(crate) tag: Option<Pointer>,
    pub(crate) text: TextRule,
    pub(crate) messages: Vec<MessageRule>,
}

/// One message that a direction may say.
#[derive(Debug)]
pub struct MessageRule {
    pub(crate) name: String,
    pub(crate) matches: Vec<Value<'static>>,
    pub(crate) has: Vec<Pointer>,
    pub(crate) lacks: Vec<Pointer>,
    pub(crate) grammar: Option<Pattern>,
    /// All of its items, those of the direction's head first, where the decoder is `struct`.
    pub(crate) layout: Option<Layout>,
    /// The segments that it has, where the codec is `hl7`.
    pub(crate) segments: Option<Segments>,
    /// Rules of fields, with their pointer as text for sentences.
    pub(crate) fields: Vec<(Pointer, String, FieldRule)>,
    pub(crate) schema: Option<Schema>,
    pub(crate) hazard: Option<String>,
    /// Places whose value must be one of those listed, beside the tag's.
    pub(crate) wheres: Vec<(Pointer, Vec<Value<'static>>)>,
    /// Places whose values appear nowhere; each covers what lies below it.
    pub(crate) secrets: Vec<Pointer>,
    /// What must be true across its fields.
    pub(crate) rules: Vec<Rule>,
    /// When it may be said; none where the contract has no states.
    pub(crate) state: Option<StateRule>,
    /// Values that the connection keeps under a name once the message was cleared.
    pub(crate) remember: Vec<Remember>,
    /// Of a reply to a request that expects many: whether it is the last one.
    pub(crate) last: bool,
    pub(crate) role: Role,
}

/// What a message is in the exchange.
#[derive(Debug)]
pub(crate) enum Role {
    /// A client's message.
    Request(Box<Request>),
    /// A reply of the service to requests of these names.
    Reply(Vec<String>),
    /// What the service may say unasked; where it has an action, only to a peer that may have it.
    Push(Option<Box<Asking>>),
    /// What the service asks the client.
    Ask,
}

/// What a policy is asked about a message.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) action: String,
    pub(crate) resource: Option<Template>,
    pub(crate) context: Vec<(String, Pointer)>,
    /// What a policy sees of it.
    pub(crate) shape: ActionShape,
}

/// What a client's message asks for.
#[derive(Debug)]
pub(crate) struct Request {
    /// None for one that opens, checks and closes the exchange itself (`setup`): the Permit covers
    /// it, and no policy is asked.
    pub(crate) asking: Option<Asking>,
    /// Whether a reply is due.
    pub(crate) expects: bool,
    /// Whether replies are due until one is the last.
    pub(crate) many: bool,
    /// Names of the service's questions that it answers.
    pub(crate) answers: Vec<String>,
    /// What is kept of it while it is open, for its reply to be checked against; at most 1 KiB.
    pub(crate) keeps: Arc<[Pointer]>,
    /// How much of it may be asked for in a window of time.
    pub(crate) quota: Option<Quota>,
    pub(crate) reply_timeout: Option<Duration>,
    pub(crate) rejects: Vec<(Class, Reject)>,
}

impl Direction {
    /// One of the messages that it may say, by its place in the contract.
    #[must_use]
    pub fn message(&self, index: usize) -> Option<&MessageRule> {
        self.messages.get(index)
    }

    /// Whether its texts can only be ASCII.
    pub(crate) fn is_ascii(&self) -> bool {
        self.decode.charset() == Some(charset::Charset::Ascii)
    }

    /// Where the payload stands in one cleared frame. A last line that the stream's end closed has
    /// no end of its own, so all of it is payload.
    pub(crate) fn payload_of(&self, frame: &[u8]) -> Range<usize> {
        let cut = self.frame.cut(frame, &mut 0, frame.len()).ok().flatten();
        cut.map_or(0..frame.len(), |cut| cut.payload)
    }
}

impl MessageRule {
    /// Its name in the contract.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The action that a policy is asked about: what a client's message wants done, or a push
    /// that not every peer may have.
    #[must_use]
    pub fn action(&self) -> Option<&str> {
        self.asking().map(|asking| asking.action.as_str())
    }

    pub(crate) fn asking(&self) -> Option<&Asking> {
        match &self.role {
            Role::Request(request) => request.asking.as_ref(),
            Role::Push(asking) => asking.as_deref(),
            Role::Reply(_) | Role::Ask => None,
        }
    }

    pub(crate) fn request(&self) -> Option<&Request> {
        match &self.role {
            Role::Request(request) => Some(request),
            _ => None,
        }
    }
}
