//! `learn`: drafts a contract from what two programs were heard to say.
//!
//! A draft is a guess, and says so: each line of it names the samples that it rests on. It is
//! given out only if it loads and accepts all that it was drafted from; nothing is ever widened to
//! make that so (`contracts.md` section 20).

mod draft;
mod framing;
mod grouping;
mod lines;
mod modbus;
mod pairing;
mod reading;
mod shape;
#[cfg(test)]
mod tests;

use super::{Contract, Side};
use crate::audit::{EventKind, shown};
use crate::limits::Limits;
use crate::now::Now;
use crate::session::{Outbox, Session, Warrant};
use std::sync::Arc;

/// Parts of names whose values are nobody's business: of a member that is called so no value comes
/// into a record or a draft (P10).
pub const SECRETS: &[&str] = &shape::SECRETS;

/// What was said on one connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conversation {
    /// Bytes in the order in which they passed, as they came.
    pub said: Vec<(Side, Vec<u8>)>,
    /// Whether the record goes to an orderly end of both sides. Otherwise the last frame of a side
    /// may be cut, and is left out.
    pub whole: bool,
}

/// A contract that accepts what it was drafted from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The contract's file.
    pub text: String,
    /// Why the framing is what it is, one line for each that was tried.
    pub evidence: Vec<String>,
    /// Messages of the client and of the server that it was drafted from.
    pub messages: (usize, usize),
}

/// Why there is no draft. `Display` is the operator's sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct Unlearned {
    /// What is in the way.
    pub sentence: String,
    /// What was tried, or what is not covered, one line each.
    pub evidence: Vec<String>,
    /// The next step, where the sentence does not name it.
    pub hint: Option<&'static str>,
}

impl Unlearned {
    fn new(sentence: impl Into<String>, evidence: Vec<String>) -> Self {
        Self { sentence: sentence.into(), evidence, hint: None }
    }

    fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }
}

/// The hint where there is too little to learn from.
const RECORD_MORE: &str = "let clients use the service while it is recorded";

/// A message of the record that a contract refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Number of the connection in the record, from 1.
    pub conversation: usize,
    /// Who said it.
    pub side: Side,
    /// Number of the message among those of its side, from 1.
    pub message: u64,
    /// Why: the operator's sentence.
    pub sentence: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { conversation, side, message, sentence } = self;
        let side = side.as_str();
        write!(f, "connection {conversation}, message {message} of the {side}: {sentence}")
    }
}

/// Whole frames of both sides, in the order in which they were complete.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Message {
    conversation: usize,
    side: Side,
    frame: Vec<u8>,
    payload: Vec<u8>,
}

/// How far guesses go; what is not accepted at first is guessed more coarsely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Manner {
    /// One message for all of a direction, where no tag tells them apart.
    coarse: bool,
    /// With tests that show what is refused.
    refusals: bool,
}

/// Ways to draft, the most precise first.
const MANNERS: [Manner; 3] = [
    Manner { coarse: false, refusals: true },
    Manner { coarse: false, refusals: false },
    Manner { coarse: true, refusals: false },
];
/// Lines of what is not covered.
const TOLD: usize = 5;

/// Why there is no draft of values that no schema describes.
const DEEP: &str = "values lie within each other deeper than 32, which is the most that a schema describes: learn \
    from a record without such messages";

/// Drafts a contract called `name` (without a version) from `conversations`.
///
/// # Errors
/// If there is too little to learn from, no framing cuts all of it, or no draft accepts all of it.
pub fn learn(name: &str, conversations: &[Conversation]) -> Result<Draft, Unlearned> {
    let found = framing::find(conversations)?;
    let count = |side| found.messages.iter().filter(|message| message.side == side).count();
    let messages = (count(Side::Client), count(Side::Server));
    if messages.0 == 0 {
        let nothing = Unlearned::new("the client said nothing whole", found.evidence);
        return Err(nothing.hint(RECORD_MORE));
    }
    let mut not_covered = Vec::new();
    for manner in MANNERS {
        let text = draft::draft(name, &found, conversations.len(), manner);
        if let Some(why) = oversized(&text) {
            return Err(why);
        }
        match Contract::load("draft", &text, &|_| Err("a draft has no files".to_owned())) {
            Err(findings) => {
                // The one thing that values in themselves can have and a schema cannot.
                if findings.iter().any(|one| one.message.contains("nested deeper")) {
                    return Err(Unlearned::new(DEEP, found.evidence));
                }
                not_covered = findings.iter().map(ToString::to_string).take(TOLD).collect();
            }
            Ok((contract, _)) => {
                let refused = refused(&contract, conversations);
                if refused.is_empty() {
                    return Ok(Draft { text, evidence: found.evidence, messages });
                }
                not_covered = refused.iter().map(ToString::to_string).take(TOLD).collect();
            }
        }
    }
    let none = Unlearned::new("no draft accepts all of the record", not_covered);
    Err(none.hint("`segwan contract new` begins a contract by hand"))
}

/// Why a draft is too long to be a contract, if it is.
fn oversized(text: &str) -> Option<Unlearned> {
    let (size, most) = (text.len(), crate::document::LARGEST);
    (size > most).then(|| {
        let sentence = format!(
            "the draft has {size} bytes, and a contract at most {most}: learn from fewer kinds of \
             messages or shorter ones"
        );
        let line = text.lines().max_by_key(|line| line.len()).unwrap_or_default();
        let longest = line.len();
        Unlearned::new(sentence, vec![format!("its longest line has {longest} bytes")])
    })
}

/// What a contract refuses of a record, each connection alone, every action allowed.
#[must_use]
pub fn refused(contract: &Arc<Contract>, conversations: &[Conversation]) -> Vec<Refused> {
    let mut refused = Vec::new();
    for (at, conversation) in conversations.iter().enumerate() {
        let mut replay = Replay::new(contract);
        for (side, bytes) in &conversation.said {
            replay.say(*side, bytes);
        }
        if conversation.whole {
            replay.end();
        }
        refused.extend(replay.refused.into_iter().map(|(side, message, sentence)| Refused {
            conversation: at + 1,
            side,
            message,
            sentence,
        }));
    }
    refused
}

/// One connection, said again.
struct Replay {
    session: Session,
    out: Outbox,
    now: Now,
    refused: Vec<(Side, u64, String)>,
    passed: (Vec<u8>, Vec<u8>),
}

impl Replay {
    fn new(contract: &Arc<Contract>) -> Self {
        let now = Now { instant: super::test::start(), unix_ms: 0 };
        let warrant = Warrant::Rehearsed(true);
        let session = Session::open(warrant, Arc::clone(contract), &Limits::default(), now);
        let (out, refused, passed) = (Outbox::default(), Vec::new(), (Vec::new(), Vec::new()));
        Self { session, out, now, refused, passed }
    }

    fn say(&mut self, side: Side, bytes: &[u8]) {
        self.session.receive(side, bytes, None, self.now, &mut self.out);
        self.take(side);
    }

    fn end(&mut self) {
        for side in [Side::Client, Side::Server] {
            self.session.end(side, true, None, self.now, &mut self.out);
            self.take(side);
        }
    }

    fn take(&mut self, speaker: Side) {
        for event in self.out.events.drain(..) {
            if event.event == EventKind::Rejected {
                let side = match event.direction {
                    Some("client") => Side::Client,
                    Some("server") => Side::Server,
                    _ => speaker,
                };
                self.refused.push((side, event.frame.unwrap_or(0), event.sentence));
            }
        }
        self.passed.0.extend_from_slice(self.out.to_server.as_slice());
        self.passed.1.extend_from_slice(self.out.to_client.as_slice());
        self.out.to_server.clear();
        self.out.to_client.clear();
        if let Some(end) = self.out.end.take()
            && self.refused.is_empty()
            && end.reason != crate::rejection::Reason::Closed
        {
            let sentence = format!("{} {}", end.reason, shown(end.sentence.as_bytes()));
            self.refused.push((speaker, 0, sentence));
        }
    }
}
