//! `explain`: says which rule and which policy decide, by the same engine that decides.
//!
//! A supposed peer is admitted by the service's own policy, and what it would say goes through a
//! session like any other; the steps are read from what the session puts on the record. So an
//! explanation cannot differ from what would happen.

mod beside;
mod rehearsal;
mod words;

pub use beside::Beside;
pub use words::{WordsError, spoken, unspoken};

use crate::gateway::{Inspection, NOT_ENFORCED, Tried};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rehearsal::Rehearsal;
use segwan_core::audit::shown;
use segwan_core::contract::Side;
use segwan_core::finding::nearest;
use segwan_core::identity::{CertificateFacts, Identity, IdentityError, Peer};
use segwan_core::limits::Limits;
use segwan_core::now::Now;
use segwan_core::policy::{ConnectionFacts, Policy};
use segwan_core::rejection::{Class, Reason};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Most bytes that one question may say.
pub const LONGEST: usize = 4 << 20;
/// What decides at one service.
#[derive(Clone)]
pub struct Rules {
    /// The service.
    pub service: String,
    /// What is looked at.
    pub inspection: Inspection,
    /// What is tried beside it.
    pub beside: Option<Tried>,
    /// Who may connect, and who may do what.
    pub policy: Arc<Policy>,
    /// Waits and numbers.
    pub limits: Limits,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The service.
    pub service: String,
    /// The identity of the supposed peer.
    pub peer: String,
    /// Where it is supposed to come from. Default 127.0.0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The role that its certificate is supposed to say. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Bytes that it says, base64; none: only whether it may connect.
    pub message: Option<String>,
}

/// What would happen, step by step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// `accepted`, `invalid`, `forbidden`, `refused`: how it ends. Of several messages the first
    /// that does not pass decides.
    pub verdict: String,
    /// The reason word of what decided, as the audit log would hold it; none where all passes.
    pub reason: Option<String>,
    /// The sentence of what decided.
    pub sentence: String,
    /// The identity that was supposed, in full.
    pub peer: String,
    /// The steps in order.
    pub steps: Vec<Step>,
    /// What the service would be sent, with escapes; none: nothing.
    pub service_sees: Option<String>,
    /// What the peer would be told by the gateway itself, with escapes; none: nothing.
    pub peer_hears: Option<String>,
    /// How the connection would end after this; none: it goes on.
    pub ends: Option<String>,
    /// What a contract that is tried beside the one in force would say; none: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Beside>,
}

/// One step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its name: `connect`, `inspect`, `frame`, `message`, `state`, `limit`, `action`.
    pub step: String,
    /// Whether it lets pass.
    pub passes: bool,
    /// The sentence.
    pub sentence: String,
    /// The reason word, where it refuses.
    pub reason: Option<String>,
    /// Number of the message in what was said, from 1; none: the connection.
    pub frame: Option<u64>,
    /// Name of the message in the contract, where it is known.
    pub message: Option<String>,
    /// Pointer of the value that broke a rule.
    pub pointer: Option<String>,
    /// The action that was asked for.
    pub action: Option<String>,
    /// The resources that it was asked for.
    pub resources: Vec<String>,
    /// Ids of the policies that decided.
    pub policies: Vec<String>,
}

/// Why a question has no answer. `Display` is the operator's sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// There is no such service.
    #[error("there is no service `{}`{}", shown(name.as_bytes()), hint.as_deref().unwrap_or_default())]
    NoService {
        /// The name that was asked for.
        name: String,
        /// What may have been meant.
        hint: Option<String>,
    },
    /// The peer is no identity.
    #[error(transparent)]
    Peer(#[from] IdentityError),
    /// The message is not base64.
    #[error("the message is not base64")]
    Encoding,
    /// The message has no bytes.
    #[error("the message is empty; leave it out to ask only whether the peer may connect")]
    Empty,
    /// The message is too long to be explained.
    #[error("the message of {0} bytes is over the limit of {LONGEST}")]
    TooLong(usize),
}

impl Question {
    /// A question about a peer that says `message`.
    #[must_use]
    pub fn new(service: &str, peer: &Identity, message: Option<&[u8]>) -> Self {
        Self {
            service: service.to_owned(),
            peer: peer.to_string(),
            address: None,
            role: None,
            message: message.map(|bytes| STANDARD.encode(bytes)),
        }
    }

    fn bytes(&self) -> Result<Option<Vec<u8>>, ExplainError> {
        let Some(message) = &self.message else { return Ok(None) };
        if message.len() / 4 * 3 > LONGEST {
            return Err(ExplainError::TooLong(message.len() / 4 * 3));
        }
        match STANDARD.decode(message) {
            Ok(bytes) if bytes.is_empty() => Err(ExplainError::Empty),
            Ok(bytes) => Ok(Some(bytes)),
            Err(_) => Err(ExplainError::Encoding),
        }
    }
}

/// The rules of the service that a question is about.
///
/// # Errors
/// If there is none of that name.
pub fn find<'r>(rules: &'r [Rules], service: &str) -> Result<&'r Rules, ExplainError> {
    rules.iter().find(|rules| rules.service == service).ok_or_else(|| {
        let known: Vec<&str> = rules.iter().map(|rules| rules.service.as_str()).collect();
        let hint = match nearest(service, known.iter().copied()) {
            Some(near) => Some(format!(", did you mean `{near}`?")),
            None if known.is_empty() => None,
            None => Some(format!(", there is `{}`", known.join("`, `"))),
        };
        ExplainError::NoService { name: service.to_owned(), hint }
    })
}

/// Says what would happen if the peer connected now and said its message. Nothing is recorded
/// and no service is reached; a rate that the contract sets for an identity or a service counts
/// the message, because the peer's real connections draw from the same one.
///
/// # Errors
/// If the question cannot be asked: no identity, no bytes.
pub fn explain(rules: &Rules, question: &Question, now: Now) -> Result<Explanation, ExplainError> {
    let identity: Identity = question.peer.parse()?;
    let message = question.bytes()?;
    let address = question.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let facts = ConnectionFacts { address, started_unix_ms: now.unix_ms, tls: "1.3" };
    let mut told = Explanation {
        verdict: ACCEPTED.to_owned(),
        reason: None,
        sentence: "the peer may connect".to_owned(),
        peer: identity.to_string(),
        steps: Vec::new(),
        service_sees: None,
        peer_hears: None,
        ends: None,
        beside: None,
    };
    let peer = supposed(identity, question.role.clone(), now);
    let permit = match rules.policy.admit(peer.clone(), facts.clone(), now) {
        Ok(permit) => permit,
        Err(denial) => {
            told.decide(REFUSED, Some(denial.reason), &denial.sentence);
            told.steps.push(Step {
                reason: Some(denial.reason.as_str().to_owned()),
                policies: denial.policies,
                ..Step::new("connect", false, denial.sentence)
            });
            told.ends = Some("after a finished handshake, without a byte".to_owned());
            return Ok(told);
        }
    };
    let policies: Vec<String> = permit.policies().iter().map(ToString::to_string).collect();
    let sentence = format!("permitted by {}", listed(&policies));
    told.steps.push(Step { policies, ..Step::new("connect", true, sentence) });
    told.beside = rules.beside.as_ref().map(|tried| {
        let of = rules.inspection.contract();
        let hidden = of.is_some_and(|contract| contract.has_secrets(Side::Client));
        let said = (message.as_deref(), hidden);
        Beside::of(tried, (peer, facts), said, &rules.limits, now)
    });
    match (&rules.inspection, message) {
        (Inspection::Raw | Inspection::Recorded(_), message) => {
            let sentence = "nothing is inspected: all bytes pass as they are, in both directions";
            told.steps.push(Step::new("inspect", true, sentence));
            if let Some(bytes) = message {
                told.service_sees = Some(spoken(&bytes));
                told.decide(ACCEPTED, None, "the bytes pass uninspected");
            }
        }
        (Inspection::Contract(_) | Inspection::Shadow(_), None) => {}
        (Inspection::Shadow(contract), Some(bytes)) => {
            let sentence = format!(
                "{NOT_ENFORCED}: the bytes pass as they are; what {} would do is recorded, and follows",
                contract.name()
            );
            told.steps.push(Step::new("inspect", true, sentence));
            Rehearsal { rules, contract, now }.run(permit, &bytes, &mut told);
        }
        (Inspection::Contract(contract), Some(bytes)) => {
            Rehearsal { rules, contract, now }.run(permit, &bytes, &mut told);
        }
    }
    Ok(told)
}

const ACCEPTED: &str = "accepted";
const REFUSED: &str = "refused";
const FORBIDDEN: &str = "forbidden";
const INVALID: &str = "invalid";

/// The peer that an operator supposes: one whose certificate would be believed, and says this role.
pub(crate) fn supposed(identity: Identity, role: Option<String>, now: Now) -> Arc<Peer> {
    let seconds = now.unix_ms.div_euclid(1000);
    let certificate = CertificateFacts {
        serial: "supposed".to_owned(),
        issuer: "supposed".to_owned(),
        issuer_key: String::new(),
        keys: vec![],
        not_before: seconds,
        not_after: seconds + 3600,
    };
    Arc::new(Peer::authenticated(identity, certificate).supposing_role(role))
}

impl Explanation {
    /// Whether all that was asked about passes.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.verdict == ACCEPTED
    }

    fn decide(&mut self, verdict: &str, reason: Option<Reason>, sentence: &str) {
        verdict.clone_into(&mut self.verdict);
        sentence.clone_into(&mut self.sentence);
        self.reason = reason.map(|reason| reason.as_str().to_owned());
    }
}

impl Step {
    fn new(step: &str, passes: bool, sentence: impl Into<String>) -> Self {
        let (step, sentence) = (step.to_owned(), sentence.into());
        Self { step, passes, sentence, ..Self::default() }
    }
}

fn verdict(class: Option<Class>) -> &'static str {
    if class == Some(Class::Denied) { FORBIDDEN } else { INVALID }
}

fn listed(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;
