//! `Subscriptions`: what a connection listens to, by what the server confirmed.
//!
//! A server confirms each channel by itself and says how many there are, and between any two answers
//! it may push what came in on one of them. In RESP2 a push is an array like an answer. What keeps
//! them apart is the order: once something is confirmed, all requests that are open are ones whose
//! answers are no pushes (`contracts.md` section 25.3). So client, server and Segwan agree about
//! what is subscribed to after each answer, or the connection ends.

mod heard;

use crate::contract::value::{Pointer, Value};
use crate::contract::{MessageRule, Role};
use crate::rejection::{Reason, Violation};
use crate::session::Kept;
pub(crate) use heard::Heard;
use heard::Told;
use std::collections::{BTreeSet, VecDeque};

/// Most names that a connection listens to or has asked for, and how long they may be together.
const MOST_NAMES: usize = 1024;
/// The same in bytes.
const MOST_BYTES: usize = 64 << 10;

/// They change what is listened to: what each does, and to what.
pub(super) const SUBSCRIBING: [(&str, &str, Kind, bool); 6] = [
    ("PSUBSCRIBE", "psubscribe", Kind::Pattern, true),
    ("PUNSUBSCRIBE", "punsubscribe", Kind::Pattern, false),
    ("SSUBSCRIBE", "ssubscribe", Kind::Shard, true),
    ("SUBSCRIBE", "subscribe", Kind::Channel, true),
    ("SUNSUBSCRIBE", "sunsubscribe", Kind::Shard, false),
    ("UNSUBSCRIBE", "unsubscribe", Kind::Channel, false),
];

/// What is pushed, by what it comes to.
pub(super) const EVENTS: [(&str, Kind); 3] =
    [("message", Kind::Channel), ("pmessage", Kind::Pattern), ("smessage", Kind::Shard)];

/// The others that may be said while something is listened to.
const BESIDE: [&str; 3] = ["PING", "QUIT", "RESET"];

/// What a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Channel,
    Pattern,
    Shard,
}

/// What a connection listens to; owns nothing while that is nothing.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    channels: BTreeSet<Box<[u8]>>,
    patterns: BTreeSet<Box<[u8]>>,
    shards: BTreeSet<Box<[u8]>>,
    /// Changes that are not wholly confirmed, in the order in which they were asked for.
    due: VecDeque<Change>,
    /// Names in all of these, and their bytes.
    names: usize,
    bytes: usize,
    /// The server speaks RESP3, in which what is pushed has a type of its own.
    resp3: bool,
    /// Whether each `HELLO` that is not answered asks for RESP3; nothing where it asks for neither.
    hellos: VecDeque<Option<bool>>,
}

/// One command that changes what is listened to.
#[derive(Debug)]
struct Change {
    word: &'static str,
    kind: Kind,
    adds: bool,
    /// The names that are not confirmed.
    names: VecDeque<Box<[u8]>>,
    /// It named none, which means all of its kind.
    all: bool,
    /// Something of it was confirmed.
    begun: bool,
}

impl Subscriptions {
    /// What connections keep where these requests may be said; nothing if none subscribes.
    pub(crate) fn of(requests: &[MessageRule]) -> Option<Self> {
        requests.iter().any(|message| commands(message).next().is_some()).then(Self::default)
    }

    /// Whether the client may say a command now.
    ///
    /// # Errors
    /// `state` for one that may not be said while something is subscribed to, `resources` for one
    /// that asks for too much.
    pub(crate) fn allow(&self, tree: &Value<'_>) -> Result<(), Violation> {
        let command = command(tree);
        let change = SUBSCRIBING.iter().find(|(name, ..)| *name == command);
        let listens = self.is_subscribed() || self.due.iter().any(|change| change.adds);
        if listens && change.is_none() && !BESIDE.contains(&command) {
            let sentence = format!(
                "`{command}` may not be said while the client is subscribed, only (P|S)SUBSCRIBE, \
                 (P|S)UNSUBSCRIBE, PING, QUIT and RESET"
            );
            return Err(Violation::new(Reason::State, sentence));
        }
        if change.is_some() {
            let (mut names, mut bytes) = (self.names, self.bytes);
            for name in channels(tree) {
                (names, bytes) = (names + 1, bytes + name.len());
            }
            if names > MOST_NAMES || bytes > MOST_BYTES {
                let sentence = format!(
                    "{names} subscriptions of {bytes} bytes; a connection has at most {MOST_NAMES} \
                     of {MOST_BYTES} bytes"
                );
                return Err(Violation::new(Reason::Resources, sentence));
            }
        }
        Ok(())
    }

    /// Whether a command changes how answers are read, so that one that was not followed is missed.
    pub(crate) fn is_moved_by(tree: &Value<'_>) -> bool {
        let command = command(tree);
        is_subscribing(command) || matches!(command, "RESET" | "HELLO" | "MULTI" | "")
    }

    /// Takes note of a command that was cleared.
    pub(crate) fn asked(&mut self, tree: &Value<'_>) {
        let command = command(tree);
        if command == "HELLO" {
            let version = args(tree).next();
            self.hellos.push_back(version.map(|version| version == b"3"));
        }
        let Some((_, word, kind, adds)) = SUBSCRIBING.iter().find(|(name, ..)| *name == command)
        else {
            return;
        };
        let names: VecDeque<Box<[u8]>> = channels(tree).map(Box::from).collect();
        self.names += names.len();
        self.bytes += names.iter().map(|name| name.len()).sum::<usize>();
        let all = names.is_empty();
        let (kind, adds) = (*kind, *adds);
        self.due.push_back(Change { word, kind, adds, names, all, begun: false });
    }

    /// What a frame of the server is; `request` is what is kept of the oldest open one.
    ///
    /// # Errors
    /// `unasked` for a push to nobody, `reply_mismatch` for an answer that confirms something else,
    /// `no_message` for other pushes, `size` for a push of another form.
    pub(crate) fn hear(
        &self,
        request: Option<&Kept>,
        tree: &Value<'_>,
    ) -> Result<Heard, Violation> {
        let told = Told::of(tree);
        let list = told.list.filter(|_| told.kind == self.listed());
        let event = list.and_then(event).filter(|_| self.resp3 || self.is_subscribed());
        if let (Some((kind, name)), Some(list)) = (event, list) {
            return self.push(kind, name, list);
        }
        let asked = request.map(asked).unwrap_or_default();
        if is_subscribing(asked) {
            return self.confirms(&told, list).map(|()| Heard::Answer);
        }
        if told.kind == "push" {
            let sentence = "the service pushes what comes in on no subscription";
            return Err(Violation::new(Reason::NoMessage, sentence));
        }
        let hello = self.hellos.front().filter(|_| asked == "HELLO" && told.kind != "error");
        if hello.is_some_and(|resp3| resp3.unwrap_or(self.resp3) != (told.kind == "map")) {
            let sentence = "the answer to `HELLO` is of another protocol than the one asked for";
            return Err(mismatch(sentence));
        }
        // Only here an answer to PING has another form than elsewhere.
        let pong = list.is_some_and(|list| list.len() == 2 && first(list) == b"pong");
        if asked == "PING" && self.is_subscribed() && !self.resp3 && !pong && told.kind != "error" {
            return Err(mismatch("while subscribed the answer to `PING` is an array of two"));
        }
        Ok(Heard::Answer)
    }

    /// Takes note of an answer that was cleared; says whether its request has all that it expects.
    pub(crate) fn answered(&mut self, request: &Kept, tree: &Value<'_>) -> bool {
        let told = Told::of(tree);
        let refused = told.kind == "error";
        match asked(request) {
            command if is_subscribing(command) && refused => {
                if let Some(change) = self.due.pop_front() {
                    change.names.iter().for_each(|name| self.release(name));
                }
                true
            }
            command if is_subscribing(command) => self.confirmed(told.list.unwrap_or_default()),
            "RESET" if !refused => {
                for kind in [Kind::Channel, Kind::Pattern, Kind::Shard] {
                    let all = std::mem::take(self.of_kind(kind));
                    all.iter().for_each(|name| self.release(name));
                }
                self.resp3 = false;
                true
            }
            "HELLO" => {
                self.hellos.pop_front();
                if !refused {
                    self.resp3 = told.kind == "map";
                }
                true
            }
            _ => true,
        }
    }

    /// Whether something is subscribed to.
    fn is_subscribed(&self) -> bool {
        !(self.channels.is_empty() && self.patterns.is_empty() && self.shards.is_empty())
    }

    /// The type in which the server says what has to do with subscriptions.
    fn listed(&self) -> &'static str {
        if self.resp3 { "push" } else { "array" }
    }

    fn kind(&self, kind: Kind) -> &BTreeSet<Box<[u8]>> {
        match kind {
            Kind::Channel => &self.channels,
            Kind::Pattern => &self.patterns,
            Kind::Shard => &self.shards,
        }
    }

    fn of_kind(&mut self, kind: Kind) -> &mut BTreeSet<Box<[u8]>> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::Shard => &mut self.shards,
        }
    }

    fn release(&mut self, name: &[u8]) {
        self.names = self.names.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(name.len());
    }

    /// What came in must have come in on something.
    fn push(&self, kind: Kind, name: &str, list: &[Value<'_>]) -> Result<Heard, Violation> {
        let due = if kind == Kind::Pattern { 4 } else { 3 };
        if list.len() != due || !list.iter().all(|value| matches!(value, Value::Bytes(_))) {
            let sentence = format!("`{name}` is an array of {due} strings");
            return Err(Violation::new(Reason::Size, sentence));
        }
        if !self.kind(kind).contains(list.get(1).map(bytes).unwrap_or_default()) {
            let sentence = format!("a `{name}` came in on what the client is not subscribed to");
            return Err(Violation::new(Reason::Unasked, sentence));
        }
        Ok(Heard::Push)
    }

    /// What confirms must confirm what is next, and count as is counted here.
    fn confirms(&self, told: &Told<'_, '_>, list: Option<&[Value<'_>]>) -> Result<(), Violation> {
        let change = self.due.front();
        let change = change.ok_or_else(|| mismatch("nothing is to be confirmed"))?;
        if told.kind == "error" && !change.begun {
            return Ok(());
        }
        let word = change.word;
        let list = list.filter(|list| first(list) == word.as_bytes());
        let Some([_, name, Value::Int(count)]) = list else {
            return Err(mismatch(format!(
                "the answer is no `{word}` with a name and a number, as an array or, after `HELLO 3`, \
                 a push"
            )));
        };
        let of_kind = self.kind(change.kind);
        let fits = match (name, change.names.front()) {
            (Value::Bytes(name), Some(next)) => **name == **next,
            (Value::Bytes(name), None) => change.all && of_kind.contains(&**name),
            (Value::Null, None) => change.all && of_kind.is_empty(),
            _ => false,
        };
        if !fits {
            return Err(mismatch(format!("the `{word}` confirms what is not next")));
        }
        let known = of_kind.contains(bytes(name));
        let after =
            of_kind.len() + usize::from(change.adds && !known) - usize::from(!change.adds && known);
        let expected = match change.kind {
            Kind::Channel => after + self.patterns.len(),
            Kind::Pattern => after + self.channels.len(),
            Kind::Shard => after,
        };
        if usize::try_from(*count) != Ok(expected) {
            let sentence =
                format!("the `{word}` counts {count} subscriptions; there are {expected}");
            return Err(mismatch(sentence));
        }
        Ok(())
    }

    /// Takes over one confirmation; says whether it was the last of its command.
    fn confirmed(&mut self, list: &[Value<'_>]) -> bool {
        let name = list.get(1).map(bytes).unwrap_or_default();
        let Some(mut change) = self.due.pop_front() else { return true };
        let named = change.names.pop_front();
        let of_kind = self.of_kind(change.kind);
        let held = match (change.adds, named) {
            // Its place in the count goes on to the set, unless it was there already.
            (true, Some(named)) => of_kind.insert(named),
            (true, None) => true,
            (false, named) => {
                let gone = of_kind.remove(name);
                // One for the set, and one for the request.
                if gone && named.is_some() {
                    self.release(name);
                }
                !gone && named.is_none()
            }
        };
        if !held {
            self.release(name);
        }
        let more =
            if change.all { !self.kind(change.kind).is_empty() } else { !change.names.is_empty() };
        if more {
            change.begun = true;
            self.due.push_front(change);
        }
        !more
    }
}

/// The subscribing commands of a message.
pub(super) fn commands(message: &MessageRule) -> impl Iterator<Item = &str> {
    let requests = matches!(message.role, Role::Request(_));
    let names = message.matches.iter().filter_map(Value::as_text);
    names.filter(move |name| requests && is_subscribing(name))
}

/// Whether a command changes what is listened to.
pub(super) fn is_subscribing(command: &str) -> bool {
    SUBSCRIBING.iter().any(|(name, ..)| *name == command)
}

fn command<'t>(tree: &'t Value<'_>) -> &'t str {
    tree.member("cmd").and_then(Value::as_text).unwrap_or_default()
}

/// The command of an open request.
fn asked(request: &Kept) -> &str {
    request.get(&Pointer::name("cmd")).and_then(Value::as_text).unwrap_or_default()
}

fn channels<'t>(tree: &'t Value<'_>) -> impl Iterator<Item = &'t [u8]> {
    words(tree, "channels")
}

fn args<'t>(tree: &'t Value<'_>) -> impl Iterator<Item = &'t [u8]> {
    words(tree, "args")
}

fn words<'t>(tree: &'t Value<'_>, name: &str) -> impl Iterator<Item = &'t [u8]> {
    let list = match tree.member(name) {
        Some(Value::List(list)) => list.as_slice(),
        _ => &[],
    };
    list.iter().map(bytes)
}

/// Which push a list would be.
fn event(list: &[Value<'_>]) -> Option<(Kind, &'static str)> {
    let name = first(list);
    EVENTS.iter().find(|(event, _)| event.as_bytes() == name).map(|(event, kind)| (*kind, *event))
}

fn first<'t>(list: &'t [Value<'_>]) -> &'t [u8] {
    list.first().map(bytes).unwrap_or_default()
}

fn bytes<'t>(value: &'t Value<'_>) -> &'t [u8] {
    match value {
        Value::Bytes(bytes) => bytes,
        _ => b"",
    }
}

fn mismatch(sentence: impl Into<String>) -> Violation {
    Violation::new(Reason::ReplyMismatch, sentence)
}
