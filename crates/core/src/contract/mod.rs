//! `Contract`: what two programs may say to each other over one connection.
//!
//! One that exists is usable: its file was read, every static check holds, and its own test
//! vectors gave the verdicts that they expect. The steps a message goes through are the modules
//! below, in this order: `frame`, `decode` (with `charset` and `text`), `select`, `field` and
//! `schema`, `rule`, `pair`, `template`; [`crate::session`] calls them.

pub mod accounts;
mod actions;
pub(crate) mod calendar;
pub mod charset;
pub(crate) mod codec;
pub mod cost;
pub mod decode;
pub mod doc;
pub mod field;
mod file;
pub(crate) mod fingerprint;
pub mod frame;
pub mod journal;
pub mod learn;
pub mod limit;
mod message;
pub mod pattern;
#[cfg(test)]
mod purse;
pub(crate) mod quota;
pub mod reject;
pub mod role;
pub mod rule;
pub(crate) mod scan;
pub mod schema;
pub(crate) mod secret;
pub mod select;
pub(crate) mod state;
pub mod template;
pub mod test;
pub mod text;
pub mod units;
pub mod value;

pub(crate) use message::{Asking, Request, Role};
pub use message::{Direction, MessageRule};

use crate::finding::{Finding, MOST, first};
use crate::limits::Limits;
use crate::rejection::{Class, Reason, Violation};
use accounts::Held;
use decode::{DecodeRule, WireLimits};
use frame::FrameRule;
use limit::Rate;
use reject::{Reject, ReplyValue};
use state::States;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;
use value::{Pointer, Value};

/// One of the two programs of a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The program that opens the connection.
    Client,
    /// The program that is connected to.
    Server,
}

impl Side {
    /// The word of the contract file, the audit log and the metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }

    /// The other program.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// Everything that two programs may say, and what is answered to who breaks it.
#[derive(Debug)]
pub struct Contract {
    pub(crate) name: String,
    pub(crate) fingerprint: fingerprint::Fingerprint,
    pub(crate) title: String,
    /// It is tried, and not enforced.
    pub(crate) shadow: bool,
    /// The protocol that fixes frames, decoding and pairing, where one does.
    pub(crate) codec: Option<codec::Codec>,
    pub(crate) role: Option<role::RoleRule>,
    /// How many bytes of a refused frame are put on record. At most 64; 0 beside secrets.
    pub(crate) audit_bytes: usize,
    pub(crate) pairing: Pairing,
    /// When a request's key may come again.
    pub(crate) reuse: Reuse,
    pub(crate) states: States,
    pub(crate) limits: ContractLimits,
    pub(crate) client: Direction,
    pub(crate) server: Direction,
    pub(crate) rejects: Vec<(Class, Reject)>,
    pub(crate) reply_values: Vec<(String, ReplyValue)>,
    /// What its clients have used up.
    pub(crate) accounts: Held,
    pub(crate) tests: Vec<test::Vector>,
    /// What it was read from: its own text, then each schema file.
    pub(crate) source: Vec<Box<str>>,
}

/// How replies belong to requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pairing {
    /// In the order of the requests.
    Order,
    /// By a value that the reply repeats.
    Key(Pointer),
    /// There are no replies.
    None,
}

/// When the key of a request may be used again (`contracts.md` section 14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Reuse {
    /// Once its reply has come.
    #[default]
    AfterReply,
    /// Once 1,024 other keys of the connection came after it.
    Recent,
    /// Never: keys are integers, each larger than the one before.
    Increasing,
}

/// `[limits]`: sizes, waits and rates of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractLimits {
    /// Sizes of the client's messages.
    pub wire: WireLimits,
    /// Largest frame of the service, in bytes.
    pub server_message: usize,
    /// Tightens the service's `first_message_timeout`.
    pub first_message_timeout: Option<Duration>,
    /// Tightens the service's `message_timeout`.
    pub message_timeout: Option<Duration>,
    /// Tightens the service's `idle_timeout`.
    pub idle_timeout: Option<Duration>,
    /// Tightens the service's `session_lifetime`.
    pub session_lifetime: Option<Duration>,
    /// A request's wait for its reply. Default 30 s.
    pub reply_timeout: Duration,
    /// Requests that may be open. Default 64.
    pub in_flight: usize,
    /// Refusals in one connection; the next one closes it. Default 100.
    pub refusals: u32,
    /// Resources of one message. Default 64.
    pub resources: usize,
    /// How fast the client may speak.
    pub rate: Vec<Rate>,
}

impl ContractLimits {
    /// Waits that are longer than the service's own, which hold all the same (K-17): a sentence for
    /// each.
    #[must_use]
    pub fn longer_than(&self, service: &Limits) -> Vec<String> {
        let waits = [
            ("first_message_timeout", self.first_message_timeout, service.first_message_timeout),
            ("message_timeout", self.message_timeout, service.message_timeout),
            ("idle_timeout", self.idle_timeout, service.idle_timeout),
            ("session_lifetime", self.session_lifetime, service.session_lifetime),
        ];
        let longer = waits.into_iter().filter_map(|(key, of, own)| {
            let of = of.filter(|of| *of > own)?;
            let (of, own) = (units::shown(of), units::shown(own));
            Some(format!(
                "the contract's `{key}` is {of}, longer than the service's, which is {own}"
            ))
        });
        longer.collect()
    }
}

impl Default for ContractLimits {
    fn default() -> Self {
        Self {
            wire: WireLimits::default(),
            server_message: WireLimits::default().message,
            first_message_timeout: None,
            message_timeout: None,
            idle_timeout: None,
            session_lifetime: None,
            reply_timeout: Duration::from_secs(30),
            in_flight: 64,
            refusals: 100,
            resources: 64,
            rate: Vec::new(),
        }
    }
}

impl Contract {
    /// Reads a contract, checks it and runs its vectors; gives it with its warnings.
    ///
    /// `file` is the name by which the operator knows it; `read` gives the text of a schema file
    /// that the contract names, or a sentence why not.
    ///
    /// # Errors
    /// Every independent error, each with its place.
    pub fn load(
        file: &str,
        text: &str,
        read: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<(Arc<Self>, Vec<Finding>), Vec<Finding>> {
        let told = |findings| first(file, findings, MOST);
        let (contract, mut findings) = Self::read_all(file, text, read).map_err(told)?;
        findings.extend(test::check(&contract, file, text));
        let findings = told(findings);
        if findings.iter().any(Finding::is_error) {
            Err(findings)
        } else {
            Ok((contract, findings))
        }
    }

    /// Reads a contract without running its vectors, for a report on each of them.
    ///
    /// # Errors
    /// Every independent error, each with its place.
    pub fn read(
        file: &str,
        text: &str,
        read: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<(Arc<Self>, Vec<Finding>), Vec<Finding>> {
        let told = |findings| first(file, findings, MOST);
        let (contract, findings) = Self::read_all(file, text, read).map_err(told)?;
        Ok((contract, told(findings)))
    }

    /// As [`read`](Self::read), with all that was found.
    fn read_all(
        file: &str,
        text: &str,
        read: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<(Arc<Self>, Vec<Finding>), Vec<Finding>> {
        let source = RefCell::new(vec![text.into()]);
        let noted = |name: &str| {
            let text = read(name)?;
            source.borrow_mut().push(text.as_str().into());
            Ok(text)
        };
        let (contract, findings) = file::read(file, text, &noted)?;
        let contract = Self { source: source.into_inner(), ..contract };
        Ok((Arc::new(contract), findings))
    }

    /// Whether both say the same: they were read from the same texts, whatever the files are called.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.source == other.source
    }

    /// `name/version`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 over its file and the schema files that it names, as 64 lower-case hexadecimal digits
    /// (`contracts.md` section 3.1): contracts with one hash are one contract. Of a contract without
    /// schema files it is what `sha256sum` prints.
    #[must_use]
    pub fn hash(&self) -> &str {
        self.fingerprint.as_str()
    }

    /// The first 16 digits of its [`hash`](Self::hash): `contract_hash` on the record.
    #[must_use]
    pub fn short_hash(&self) -> &str {
        self.fingerprint.short()
    }

    /// What it is, for people.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Whether it says `mode = "shadow"`: a gateway judges by it and enforces nothing of it
    /// (`contracts.md` section 20). A [`Session`](crate::session::Session) enforces what it is given;
    /// whoever binds a contract asks this first.
    #[must_use]
    pub fn is_shadow(&self) -> bool {
        self.shadow
    }

    /// Where the role of a peer is read, if roles are.
    #[must_use]
    pub fn role(&self) -> Option<&role::RoleRule> {
        self.role.as_ref()
    }

    /// Sizes, waits and rates.
    #[must_use]
    pub fn limits(&self) -> &ContractLimits {
        &self.limits
    }

    /// The test vectors that it carries.
    #[must_use]
    pub fn tests(&self) -> &[test::Vector] {
        &self.tests
    }

    /// What a side may say.
    #[must_use]
    pub fn direction(&self, side: Side) -> &Direction {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    /// What passes uninspected, and why: a sentence for whoever looks at the service.
    #[must_use]
    pub fn uninspected(&self) -> Option<String> {
        let side = |side: Side| {
            let reason = self.direction(side).frame.uninspected()?;
            Some(format!("what the {} says is not inspected: {reason}", side.as_str()))
        };
        match (side(Side::Client), side(Side::Server)) {
            (Some(client), Some(server)) => Some(format!("{client}; {server}")),
            (client, server) => client.or(server),
        }
    }

    /// A payload as one frame of a side, for a program that speaks this contract itself. Whether
    /// the message may be said is for a [`crate::session::Session`] to judge.
    ///
    /// # Errors
    /// If no frame of this side can hold the payload, such as a line feed in a line.
    pub fn framed(&self, side: Side, payload: &[u8]) -> Result<Vec<u8>, Violation> {
        let mut frame = Vec::with_capacity(payload.len() + 8);
        self.direction(side).frame.put(payload, &mut frame)?;
        self.one_frame(side, &frame)?;
        Ok(frame)
    }

    /// Whether `bytes` are exactly one frame of a side.
    ///
    /// # Errors
    /// If they break the frame's rule or its limit, end inside a frame, or go on behind one.
    pub fn one_frame(&self, side: Side, bytes: &[u8]) -> Result<(), Violation> {
        let limit = self.frame_limit(side);
        let frame = &self.direction(side).frame;
        let sentence = match frame.cut(bytes, &mut 0, limit)? {
            None if *frame == FrameRule::Eof && !bytes.is_empty() => return Ok(()),
            Some(frame) if frame.skipped => "an empty line is no message",
            Some(frame) if frame.size == bytes.len() => return Ok(()),
            Some(_) => "bytes follow the frame",
            None => "the frame is not whole",
        };
        Err(Violation::new(Reason::LengthRange, sentence))
    }

    /// Largest frame that a side may send, in bytes.
    pub(crate) fn frame_limit(&self, side: Side) -> usize {
        match side {
            Side::Client => self.limits.wire.message,
            Side::Server => self.limits.server_message,
        }
    }

    /// Whether the service may ask the client something.
    pub(crate) fn asks(&self) -> bool {
        self.server.messages.iter().any(|message| matches!(message.role, Role::Ask))
    }

    /// Whether some rule asks who is at the other end.
    pub(crate) fn reads_peer(&self) -> bool {
        self.messages().flat_map(|message| &message.rules).any(|rule| rule.reads(rule::Root::Peer))
    }

    /// The sizes that a side's messages are decoded with.
    pub(crate) fn wire_of(limits: &ContractLimits, side: Side) -> WireLimits {
        match side {
            Side::Client => limits.wire,
            Side::Server => WireLimits { message: limits.server_message, ..limits.wire },
        }
    }

    /// What is answered to a fault of this class, for a message of its own or for all.
    pub(crate) fn reject<'c>(&'c self, class: Class, request: Option<&'c Request>) -> &'c Reject {
        let own = request.and_then(|request| find(&request.rejects, class));
        let default = if class == Class::Server { &Reject::SERVER } else { &Reject::CLOSE };
        own.or_else(|| find(&self.rejects, class)).unwrap_or(default)
    }
}

fn find(rejects: &[(Class, Reject)], class: Class) -> Option<&Reject> {
    rejects.iter().find(|(of, _)| *of == class).map(|(_, reject)| reject)
}

impl Contract {
    /// Most bytes of a text by which a reply is paired.
    pub(crate) fn longest_key(&self) -> usize {
        self.codec.as_ref().map_or(codec::LONGEST_KEY, codec::Codec::longest_key)
    }

    /// The tree of one whole frame of a side, for a look at it outside a session.
    pub(crate) fn decoded<'a>(&self, side: Side, frame: &'a [u8]) -> Result<Value<'a>, String> {
        let direction = self.direction(side);
        let limit = self.frame_limit(side);
        let cut = direction.frame.cut(frame, &mut 0, limit).and_then(|cut| match cut {
            None => direction.frame.end(frame, true, limit),
            cut => Ok(cut),
        });
        let cut = cut.map_err(|violation| violation.sentence)?;
        let payload = cut.and_then(|cut| frame.get(cut.payload)).unwrap_or_default();
        let input = direction.decode.input(frame, payload);
        let tree = direction.decode.read(input, &self.limits.wire);
        let tree = tree.map_err(|violation| violation.sentence)?;
        let selected = direction.select(tree, |_| true);
        let (at, mut tree) = selected.map_err(|fault| fault.violation.sentence)?;
        if let Some(message) = direction.messages.get(at) {
            let completed = direction.completed(message, input, &self.limits.wire);
            tree = completed.map_err(|violation| violation.sentence)?.unwrap_or(tree);
        }
        let from_text = direction.decode.integers_in_text();
        for (pointer, place, rule) in direction.messages.get(at).map_or(&[][..], |m| &m.fields) {
            if let (Value::Map(members), Some(name)) = (&mut tree, pointer.top())
                && let Some((_, value)) = members.iter_mut().find(|(key, _)| key == name)
            {
                rule.check(place, value, from_text).map_err(|violation| violation.sentence)?;
            }
        }
        Ok(tree)
    }
}
