//! `hl7`: HL7 version 2 over MLLP (`contracts.md` section 25.4).
//!
//! What a message says of itself stands in MSH, and that is what policies and audit logs see. All
//! other segments are a patient's data, so they are secret without being declared so.

pub(crate) mod ack;
pub(crate) mod decode;
pub(crate) mod segments;
#[cfg(test)]
mod tests;

use decode::Hl7Rule;
pub(crate) use decode::SegmentEnd;
pub(crate) use segments::Segments;

use super::{Known, answer_the_rest};
use crate::contract::charset::Charset;
use crate::contract::pattern::RuleError;
use crate::contract::reject::{Form, Reject, Reply, Then};
use crate::contract::value::{Pointer, Value};
use crate::contract::{ContractLimits, MessageRule, Role, Side};
use crate::policy::schema::AttributeKind;
use crate::rejection::Class;
use ack::Verdict;
use std::time::Duration;

/// Largest message that a contract may allow, in bytes: a document in an OBX may be large.
pub(super) const LARGEST: usize = 16 << 20;

/// Most bytes of a control id (MSH-10).
pub(super) const LONGEST_ID: usize = 199;

/// The codec, with what a contract chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hl7 {
    /// The charsets that MSH-18 may name.
    charsets: Vec<Charset>,
    segment_end: SegmentEnd,
    /// MSH-3 and MSH-4 of an answer that the contract gives by itself.
    ack_app: String,
    ack_facility: String,
}

impl Hl7 {
    /// The charsets by their names in HL7's table 0211.
    pub(crate) const CHARSETS: [(&'static str, Charset); 4] = [
        ("ASCII", Charset::Ascii),
        ("8859/1", Charset::Latin1),
        ("UNICODE UTF-8", Charset::Utf8),
        ("KS X 1001", Charset::EucKr),
    ];

    /// A codec of these keys.
    ///
    /// # Errors
    /// A sentence, if there is no charset or a name of an answer cannot stand in MSH.
    pub(crate) fn new(
        charsets: Vec<Charset>,
        segment_end: SegmentEnd,
        ack_app: &str,
        ack_facility: &str,
    ) -> Result<Self, String> {
        if charsets.is_empty() {
            return Err("`charsets` is empty".to_owned());
        }
        for (key, name) in [("ack_app", ack_app), ("ack_facility", ack_facility)] {
            if name.len() > 180 || !name.bytes().all(|b| b == b' ' || decode::is_plain(b)) {
                return Err(format!(
                    "`{key}` is at most 180 visible characters of ASCII without `|`, `^`, `~`, `\\`, `&`"
                ));
            }
        }
        let (ack_app, ack_facility) = (ack_app.to_owned(), ack_facility.to_owned());
        Ok(Self { charsets, segment_end, ack_app, ack_facility })
    }

    pub(super) fn decode(&self, side: Side) -> Hl7Rule {
        Hl7Rule { side, charsets: self.charsets.clone(), segment_end: self.segment_end }
    }

    /// How messages are written, and whose a refusal is, in words for a reviewer.
    pub(crate) fn told(&self) -> String {
        let named = Self::CHARSETS.iter().filter(|(_, known)| self.charsets.contains(known));
        let named: Vec<String> = named.map(|(name, _)| format!("`{name}`")).collect();
        let absent = match self.charsets.contains(&Charset::Ascii) {
            true => "ASCII where it names none",
            false => "and is never empty",
        };
        let end = match self.segment_end {
            SegmentEnd::Cr => "CR",
            SegmentEnd::Lf => "LF",
            SegmentEnd::CrLf => "CR LF",
        };
        let at = match self.ack_facility.as_str() {
            "" => String::new(),
            facility => format!(" at `{facility}`"),
        };
        format!(
            "Segments end with {end}: `?` is at most one, `*` any number, `+` at least one. MSH-18 names the charset, {} ({absent}). \
             An acknowledgement that refuses is from `{}`{at}.",
            named.join(" or "),
            self.ack_app
        )
    }

    /// One message at a time, as the lower layer protocol demands.
    pub(super) fn limits() -> ContractLimits {
        let mut limits = ContractLimits::default();
        limits.wire.message = 1 << 20;
        limits.reply_timeout = Duration::from_secs(60);
        limits.in_flight = 1;
        limits
    }

    /// What may not be is rejected; what is wrong is an error.
    pub(super) fn rejects() -> Vec<(Class, Reject)> {
        let ack = |verdict| Reject {
            reply: Some(Reply::Codec(Form::Ack(verdict))),
            then: Then::Continue,
            ..Reject::CLOSE
        };
        vec![
            (Class::Undeclared, ack(Verdict::Reject)),
            (Class::Denied, ack(Verdict::Reject)),
            (Class::State, ack(Verdict::Reject)),
            (Class::Invalid, ack(Verdict::Error)),
        ]
    }

    /// The fields of MSH that a policy sees, and in an answer its verdict.
    pub(crate) fn fields(side: Side) -> Vec<Known> {
        let text = |name| (name, Some(AttributeKind::String));
        let mut known: Vec<Known> = decode::HEADER.iter().map(|(name, _)| text(*name)).collect();
        known.extend(["type", "trigger", "event", PAIR].map(text));
        if side == Side::Server {
            known.push(text("ack"));
        }
        known
    }

    /// Whether a pointer leads to a field of a segment: `/PID/0/3`.
    pub(crate) fn has_place(at: &Pointer) -> bool {
        let number = |text: &str| {
            text == "0" || (!text.starts_with(['0', '+']) && text.parse::<u16>().is_ok())
        };
        let mut segments = at.segments();
        let name = segments.next().is_some_and(segments::is_name);
        name && segments.len() == 2 && segments.all(number)
    }

    pub(super) fn lint(side: Side, message: &MessageRule) -> Vec<RuleError> {
        let mut errors = Vec::new();
        let mut fault = |text: String, hint: &str| {
            errors.push(RuleError::new("K-80", text).hint(hint));
        };
        let name = &message.name;
        let texts = message.matches.iter().all(|value| matches!(value, Value::Text(_)));
        if !texts || (side == Side::Client && message.matches.is_empty()) {
            fault(format!("`{name}` does not say which events it is"), "`match = [\"ADT^A01\"]`");
        }
        let Some(segments) = &message.segments else {
            let hint = "`segments = [\"MSH\", \"EVN\", \"PID\", \"PV1?\", \"OBX*\"]`";
            fault(format!("`{name}` does not say which segments it has"), hint);
            return errors;
        };
        if side == Side::Server
            && matches!(message.role, Role::Reply(_))
            && !segments.requires("MSA")
        {
            fault(format!("`{name}` is an answer without MSA"), "`segments = [\"MSH\", \"MSA\"]`");
        }
        for (at, place, rule) in &message.fields {
            let segment = at.segments().next().filter(|_| at.top().is_none());
            if let Some(segment) = segment.filter(|segment| !segments.lists(segment)) {
                let text =
                    format!("`{place}` is a field of `{segment}`, which `{name}` does not have");
                fault(text, "add it to `segments`");
            }
            if rule.int.is_some() || rule.each.is_some() {
                fault(format!("`{place}` is a text"), "`regex`, `enum` or `bytes`");
            }
        }
        errors
    }

    /// A plain acknowledgement for the requests that nothing declared answers.
    pub(super) fn complete(requests: &[&MessageRule], replies: &mut Vec<MessageRule>) {
        let declared = replies.len();
        answer_the_rest(requests, replies);
        for reply in replies.iter_mut().skip(declared) {
            let segments = Segments::acknowledgement();
            reply.secrets = segments.secrets();
            reply.segments = Some(segments);
            reply.wheres.push((Pointer::name("type"), vec![Value::Text("ACK".into())]));
        }
    }

    pub(super) fn parse_reply(class: Class, form: &str) -> Result<Form, RuleError> {
        let verdict = match form {
            "ack:AR" => Verdict::Reject,
            "ack:AE" => Verdict::Error,
            _ => {
                let text = format!("`{form}` is no acknowledgement");
                let hint = "`ack:AR` (rejected) or `ack:AE` (error)";
                return Err(RuleError::new("K-74", text).hint(hint));
            }
        };
        match class {
            Class::Frame | Class::Server => {
                let text =
                    format!("an acknowledgement answers a message, which class `{class}` has not");
                Err(RuleError::new("K-74", text).hint("leave `reply` out"))
            }
            _ => Ok(Form::Ack(verdict)),
        }
    }
}

/// The name under which both sides have what pairs them: MSH-10 of a request, MSA-2 of its answer.
pub(crate) const PAIR: &str = "pair_id";
