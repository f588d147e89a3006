//! `Codec`: a protocol that Segwan knows, so that a contract says only which messages exist.
//!
//! As far as it can a codec is written in what every contract has: a frame rule, a decode rule, a
//! tag, a pairing, limits, answers to refusals. Beyond that it checks a reply against its request,
//! and makes refusals in the protocol's own form (`contracts.md` section 25). It is named by
//! `codec = "modbus"`, and each kind has a file of its own below this one.

pub(crate) mod hl7;
pub(crate) mod json_rpc;
pub(crate) mod modbus;
pub(crate) mod resp;

use super::decode::DecodeRule;
use super::frame::FrameRule;
use super::pattern::RuleError;
use super::reject::{Form, Reject};
use super::value::{Pointer, Value};
use super::{ContractLimits, MessageRule, Pairing, Reuse, Role, Side};
use crate::policy::schema::AttributeKind;
use crate::rejection::{Class, Violation};
use crate::session::Kept;
use hl7::Hl7;
use json_rpc::JsonRpc;
use modbus::Modbus;
use resp::Resp;
use resp::decode::RespDecode;
use resp::subscriptions::Subscriptions;

/// The protocol of a contract, one variant for each kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Codec {
    /// Modbus/TCP, Modbus/TCP Security, Secure SunSpec Modbus.
    Modbus(Modbus),
    /// Redis and Valkey.
    Resp(Resp),
    /// JSON-RPC 2.0, and MCP.
    JsonRpc(JsonRpc),
    /// HL7 version 2 over MLLP.
    Hl7(Hl7),
}

/// Most bytes of a text by which a reply is paired, where the protocol does not say.
pub(crate) const LONGEST_KEY: usize = 64;

/// A field that every message of a kind has by the protocol: its name, and the type that a policy
/// sees; `None` for one that no policy can see.
pub(crate) type Known = (&'static str, Option<AttributeKind>);

impl Codec {
    /// The kinds by their names in a contract.
    pub(crate) const NAMES: [&'static str; 4] = ["modbus", "resp", "json-rpc", "hl7"];

    /// The same codec within a contract's limits.
    pub(crate) fn within(self, limits: &ContractLimits) -> Self {
        match self {
            Self::Modbus(_) | Self::JsonRpc(_) | Self::Hl7(_) => self,
            Self::Resp(resp) => Self::Resp(resp.within(limits)),
        }
    }

    /// How a side's bytes become frames.
    pub(crate) fn frame(&self, side: Side) -> FrameRule {
        match self {
            Self::Modbus(_) => FrameRule::Mbap,
            Self::Resp(resp) => FrameRule::Resp(resp.frame(side)),
            Self::JsonRpc(codec) => codec.frame(),
            Self::Hl7(_) => FrameRule::Mllp,
        }
    }

    /// How a side's payloads become trees.
    pub(crate) fn decode(&self, side: Side) -> DecodeRule {
        match self {
            Self::Modbus(_) => DecodeRule::Modbus(side),
            Self::Resp(_) => DecodeRule::Resp(RespDecode::new(side, Vec::new())),
            Self::JsonRpc(_) => DecodeRule::Json(json_rpc::decode()),
            Self::Hl7(hl7) => DecodeRule::Hl7(hl7.decode(side)),
        }
    }

    /// What says of which kind a message is, unless the contract names another place.
    pub(crate) fn tag(&self, side: Side) -> Option<Pointer> {
        match self {
            Self::Modbus(_) => Some(Pointer::name("fc")),
            Self::Resp(_) => Some(Pointer::name(match side {
                Side::Client => "cmd",
                Side::Server => "event",
            })),
            Self::JsonRpc(_) => Some(Pointer::name("method")),
            Self::Hl7(_) => Some(Pointer::name("event")),
        }
    }

    /// How replies belong to requests.
    pub(crate) fn pairing(&self) -> Pairing {
        match self {
            Self::Modbus(_) => Pairing::Key(Pointer::name("tid")),
            Self::Resp(_) => Pairing::Order,
            Self::JsonRpc(_) => Pairing::Key(Pointer::name("id")),
            Self::Hl7(_) => Pairing::Key(Pointer::name(hl7::PAIR)),
        }
    }

    /// When the key of a request may be used again.
    pub(crate) fn reuse(&self) -> Reuse {
        match self {
            Self::Modbus(_) | Self::Resp(_) | Self::Hl7(_) => Reuse::default(),
            Self::JsonRpc(codec) => codec.reuse(),
        }
    }

    /// The messages of a profile, as a contract writes them.
    pub(crate) fn profile(&self) -> Option<String> {
        match self {
            Self::Modbus(_) | Self::Resp(_) | Self::Hl7(_) => None,
            Self::JsonRpc(codec) => codec.profile(),
        }
    }

    /// The one state in which a message may be said that names none; replies have none.
    pub(crate) fn usual_state(&self) -> Option<&'static str> {
        match self {
            Self::Modbus(_) | Self::Resp(_) | Self::Hl7(_) => None,
            Self::JsonRpc(codec) => codec.usual_state(),
        }
    }

    /// Limits where the contract gives none.
    pub(crate) fn limits(&self) -> ContractLimits {
        match self {
            Self::Modbus(modbus) => modbus.limits(),
            Self::Resp(resp) => resp.limits(),
            Self::JsonRpc(_) => ContractLimits::default(),
            Self::Hl7(_) => Hl7::limits(),
        }
    }

    /// Largest `message` and `server_message` that a contract may allow, in bytes.
    pub(crate) fn largest(&self) -> usize {
        match self {
            Self::Modbus(_) => modbus::ADU,
            Self::Resp(_) => usize::MAX,
            Self::JsonRpc(_) => usize::MAX,
            Self::Hl7(_) => hl7::LARGEST,
        }
    }

    /// Most elements of a list, where the protocol bounds all of them; then `each` needs no `len`.
    pub(crate) fn list_bound(&self) -> Option<usize> {
        match self {
            Self::Modbus(_) => Some(modbus::LIST),
            Self::Resp(resp) => Some(resp.args()),
            Self::JsonRpc(_) => None,
            Self::Hl7(_) => None,
        }
    }

    /// So many refusals of one class may pass where the contract does not say.
    pub(crate) fn patience(&self) -> u32 {
        match self {
            // A master that may not ask is told so each time, and stays (Modbus/TCP Security).
            Self::Modbus(_) => u32::MAX,
            Self::Resp(_) | Self::JsonRpc(_) | Self::Hl7(_) => 10,
        }
    }

    /// Whether a peer without a role is told of every fault only that it may not: in Modbus/TCP
    /// Security each of its requests gets exception 1, a malformed one too.
    pub(crate) fn denies_without_role(&self) -> bool {
        match self {
            Self::Modbus(_) => true,
            Self::Resp(_) | Self::JsonRpc(_) | Self::Hl7(_) => false,
        }
    }

    /// Whether some of these requests bind others to be carried out together or not at all.
    pub(crate) fn has_transactions(&self, requests: &[&MessageRule]) -> bool {
        match self {
            Self::Resp(_) => Resp::has_transactions(requests),
            Self::Modbus(_) | Self::JsonRpc(_) | Self::Hl7(_) => false,
        }
    }

    /// Answers of the classes that the contract does not list.
    pub(crate) fn rejects(&self, requests: &[&MessageRule]) -> Vec<(Class, Reject)> {
        match self {
            Self::Modbus(modbus) => modbus.rejects(),
            Self::Resp(resp) => resp.rejects(requests),
            Self::JsonRpc(codec) => codec.rejects(),
            Self::Hl7(_) => Hl7::rejects(),
        }
    }

    /// The fields that all messages with these tags have; `None` if the protocol does not say.
    pub(crate) fn fields(&self, side: Side, matches: &[Value<'_>]) -> Option<Vec<Known>> {
        match self {
            Self::Modbus(modbus) => Some(modbus.fields(side, matches)),
            Self::Resp(_) => Some(Resp::fields(side, matches)),
            Self::JsonRpc(_) => None,
            Self::Hl7(_) => Some(Hl7::fields(side)),
        }
    }

    /// Whether there are places beside the known fields, by number: `/PID/0/3`.
    pub(crate) fn has_place(&self, at: &Pointer) -> bool {
        match self {
            Self::Modbus(_) | Self::Resp(_) | Self::JsonRpc(_) => false,
            Self::Hl7(_) => Hl7::has_place(at),
        }
    }

    /// K-80: what a declared message breaks of the codec's own rules.
    pub(crate) fn lint(&self, side: Side, message: &MessageRule) -> Vec<RuleError> {
        match self {
            Self::Modbus(modbus) => modbus.lint(side, message),
            Self::Resp(resp) => resp.lint(side, message),
            Self::JsonRpc(codec) => codec.lint(message),
            Self::Hl7(_) => Hl7::lint(side, message),
        }
    }

    /// Rules that a request is held to beside its own, by what its fields say.
    pub(crate) fn bounds(&self, request: &MessageRule) -> Vec<String> {
        match self {
            Self::Modbus(modbus) => modbus.bounds(request),
            Self::Resp(_) | Self::JsonRpc(_) | Self::Hl7(_) => Vec::new(),
        }
    }

    /// Most bytes of a text by which a reply is paired.
    pub(crate) fn longest_key(&self) -> usize {
        match self {
            Self::Modbus(_) | Self::Resp(_) | Self::JsonRpc(_) => LONGEST_KEY,
            Self::Hl7(_) => hl7::LONGEST_ID,
        }
    }

    /// Completes the server's messages: whatever request no declared message answers, and what the
    /// protocol may always reply.
    pub(crate) fn complete(&self, requests: &[&MessageRule], replies: &mut Vec<MessageRule>) {
        match self {
            Self::Modbus(modbus) => modbus.complete(requests, replies),
            Self::Resp(resp) => resp.complete(requests, replies),
            Self::JsonRpc(codec) => codec.complete(requests, replies),
            Self::Hl7(_) => Hl7::complete(requests, replies),
        }
    }

    /// Places of a message whose values are secrets by the protocol.
    pub(crate) fn secrets(&self, message: &MessageRule) -> Vec<Pointer> {
        match self {
            Self::Modbus(_) | Self::JsonRpc(_) | Self::Hl7(_) => Vec::new(),
            Self::Resp(resp) => resp.secrets(message),
        }
    }

    /// What a client may always answer to a question of the service.
    pub(crate) fn answers(&self, said: &[MessageRule], asked: &[MessageRule]) -> Vec<MessageRule> {
        match self {
            Self::Modbus(_) | Self::Resp(_) | Self::Hl7(_) => Vec::new(),
            Self::JsonRpc(codec) => codec.answers(said, asked),
        }
    }

    /// Checks what every message of the protocol must have, before one is chosen.
    ///
    /// # Errors
    /// The first rule of the protocol that the tree breaks.
    pub(crate) fn check_envelope(&self, tree: &Value<'_>) -> Result<(), Violation> {
        match self {
            Self::Modbus(_) | Self::Resp(_) | Self::Hl7(_) => Ok(()),
            Self::JsonRpc(codec) => codec.envelope.check(tree),
        }
    }

    /// Whether a refused message is answered at all.
    pub(crate) fn is_answered(&self, side: Side, tree: &Value<'_>) -> bool {
        match self {
            Self::Modbus(_) | Self::Resp(_) | Self::Hl7(_) => true,
            Self::JsonRpc(codec) => codec.is_answered(side, tree),
        }
    }

    /// Values of a request, one of these, that its reply is checked against.
    pub(crate) fn keeps(&self, requests: &[MessageRule], request: &MessageRule) -> Vec<Pointer> {
        match self {
            Self::Modbus(_) => Modbus::keeps(request),
            Self::Resp(_) => Resp::keeps(requests),
            Self::JsonRpc(_) => Vec::new(),
            Self::Hl7(_) => Vec::new(),
        }
    }

    /// What a connection keeps of subscriptions, where some of these requests subscribe.
    pub(crate) fn subscriptions(&self, requests: &[MessageRule]) -> Option<Subscriptions> {
        match self {
            Self::Resp(_) => Subscriptions::of(requests),
            Self::Modbus(_) | Self::JsonRpc(_) | Self::Hl7(_) => None,
        }
    }

    /// Checks a reply against what is kept of its request.
    ///
    /// # Errors
    /// `reply_mismatch`, with what differs.
    pub(crate) fn check_reply(&self, kept: &Kept, reply: &Value<'_>) -> Result<(), Violation> {
        match self {
            Self::Modbus(_) => modbus::reply::check(kept, reply),
            Self::Resp(_) => Ok(()),
            // The envelope was judged, and an answer repeats nothing but the id.
            Self::JsonRpc(_) => Ok(()),
            // An answer belongs to its request by the control id alone.
            Self::Hl7(_) => Ok(()),
        }
    }

    /// A refusal's form as `[reject]` names it, such as `exception:1`.
    ///
    /// # Errors
    /// K-74 for a form that the protocol does not have, or not for this class.
    pub(crate) fn parse_reply(&self, class: Class, form: &str) -> Result<Form, RuleError> {
        match self {
            Self::Modbus(modbus) => modbus.parse_reply(class, form),
            Self::Resp(resp) => resp.parse_reply(class, form),
            Self::JsonRpc(codec) => codec.parse_reply(form),
            Self::Hl7(_) => Hl7::parse_reply(class, form),
        }
    }

    /// The payload that refuses `frame`, if one can be made of what the frame says.
    ///
    /// `tree` is what was decoded, where decoding got that far.
    pub(crate) fn refusal(
        &self,
        form: &Form,
        frame: &[u8],
        tree: Option<&Value<'_>>,
    ) -> Option<Vec<u8>> {
        match (self, form) {
            (Self::Modbus(modbus), Form::Exception(code)) => modbus.exception(*code, frame),
            (Self::Resp(_), Form::Error(text)) => Some(resp::error(text)),
            (Self::JsonRpc(codec), Form::Code(code)) => Some(codec.refusal(*code, tree)),
            (Self::Hl7(hl7), Form::Ack(verdict)) => Some(hl7.ack(*verdict, frame)),
            // A contract has the forms of its own codec.
            _ => None,
        }
    }
}

/// One message `reply` for the requests that nothing declared answers.
pub(crate) fn answer_the_rest(requests: &[&MessageRule], replies: &mut Vec<MessageRule>) {
    let answered = |name: &String| {
        replies.iter().any(|reply| match &reply.role {
            Role::Reply(names) => names.contains(name),
            _ => false,
        })
    };
    let open = requests.iter().filter(|m| m.request().is_some_and(|request| request.expects));
    let open: Vec<String> = open.map(|m| m.name.clone()).filter(|name| !answered(name)).collect();
    if !open.is_empty() {
        let name = free_name("reply", replies);
        replies.push(plain_reply(&name, open));
    }
}

/// A name that no reply has yet.
pub(crate) fn free_name(name: &str, replies: &[MessageRule]) -> String {
    let taken = |name: &String| replies.iter().any(|reply| reply.name == *name);
    let others = (2..).map(|number: u32| format!("{name}-{number}"));
    std::iter::once(name.to_owned())
        .chain(others)
        .find(|name| !taken(name))
        .unwrap_or_else(|| name.to_owned())
}

/// A reply that the codec's own checks judge, and nothing else.
pub(crate) fn plain_reply(name: &str, answers: Vec<String>) -> MessageRule {
    MessageRule {
        wheres: Vec::new(),
        secrets: Vec::new(),
        state: None,
        rules: Vec::new(),
        layout: None,
        segments: None,
        remember: Vec::new(),
        last: false,
        name: name.to_owned(),
        matches: Vec::new(),
        has: Vec::new(),
        lacks: Vec::new(),
        grammar: None,
        fields: Vec::new(),
        schema: None,
        hazard: None,
        role: Role::Reply(answers),
    }
}

/// The refusal of a reply that does not fit its request.
pub(crate) fn mismatch(sentence: impl Into<String>) -> Violation {
    Violation::new(crate::rejection::Reason::ReplyMismatch, sentence)
}
