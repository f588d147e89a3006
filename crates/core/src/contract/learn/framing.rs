//! How bytes become frames, guessed: every way is tried, and one that is left with a byte that
//! does not fit is out.
//!
//! The ways are written as a contract would write them and read by the contract's own reader, so a
//! draft can hold no frame that this build does not cut.

use super::{Conversation, Message, Unlearned};
use crate::contract::{Contract, Side};
use crate::rejection::Violation;
use std::sync::Arc;

/// Largest frame that is looked for, in bytes.
const LARGEST: usize = 1 << 20;

/// The hint where no way cuts what was said.
const CUT_BY_HAND: &str = "say how frames are cut in a contract of your own: `segwan contract new length-binary` begins \
    one, docs/reference/contract.md lists every `frame`";

/// The framing, and what it cuts.
pub(super) struct Found {
    /// The table `frame` of both directions; none for a codec.
    pub(super) frame: Option<&'static str>,
    pub(super) messages: Vec<Message>,
    pub(super) evidence: Vec<String>,
}

/// What is tried, the most telling first: a way that needs more to be true by accident comes
/// before one that needs less.
const WAYS: [(&str, &str); 33] = [
    ("modbus", ""),
    ("lines that end with CR LF", r#"{ kind = "lines", ends = ["\r\n"] }"#),
    ("lines that end with LF", r#"{ kind = "lines", ends = ["\n"] }"#),
    ("lines that end with LF or CR LF", r#"{ kind = "lines", ends = ["\n", "\r\n"] }"#),
    ("mllp", r#"{ kind = "mllp" }"#),
    ("netstring", r#"{ kind = "netstring" }"#),
    ("headers and a body", r#"{ kind = "headers" }"#),
    ("octet-count", r#"{ kind = "octet-count" }"#),
    ("u64be", r#"{ kind = "length", type = "u64be" }"#),
    ("u64le", r#"{ kind = "length", type = "u64le" }"#),
    ("u32be", r#"{ kind = "length", type = "u32be" }"#),
    ("u32be, its header counted", r#"{ kind = "length", type = "u32be", includes_header = true }"#),
    ("u32le", r#"{ kind = "length", type = "u32le" }"#),
    ("u32le, its header counted", r#"{ kind = "length", type = "u32le", includes_header = true }"#),
    ("u32be behind one byte", r#"{ kind = "length", type = "u32be", at = 1, adjust = -4 }"#),
    (
        "TPKT",
        r#"{ kind = "length", type = "u16be", at = 2, includes_header = true, magic = "hex:03 00" }"#,
    ),
    ("u24be", r#"{ kind = "length", type = "u24be" }"#),
    ("u24le", r#"{ kind = "length", type = "u24le" }"#),
    ("u24le before one byte", r#"{ kind = "length", type = "u24le", adjust = 1 }"#),
    ("9 digits", r#"{ kind = "length", type = "ascii-dec", digits = 9 }"#),
    ("8 digits", r#"{ kind = "length", type = "ascii-dec", digits = 8 }"#),
    (
        "8 digits, themselves counted",
        r#"{ kind = "length", type = "ascii-dec", digits = 8, includes_header = true }"#,
    ),
    ("6 digits", r#"{ kind = "length", type = "ascii-dec", digits = 6 }"#),
    ("5 digits", r#"{ kind = "length", type = "ascii-dec", digits = 5 }"#),
    ("4 digits", r#"{ kind = "length", type = "ascii-dec", digits = 4 }"#),
    (
        "4 digits, themselves counted",
        r#"{ kind = "length", type = "ascii-dec", digits = 4, includes_header = true }"#,
    ),
    ("u16be", r#"{ kind = "length", type = "u16be" }"#),
    ("u16be, its header counted", r#"{ kind = "length", type = "u16be", includes_header = true }"#),
    ("u16le", r#"{ kind = "length", type = "u16le" }"#),
    ("u16le, its header counted", r#"{ kind = "length", type = "u16le", includes_header = true }"#),
    ("varint", r#"{ kind = "length", type = "varint" }"#),
    ("u8", r#"{ kind = "length", type = "u8" }"#),
    ("frames that end with NUL", r#"{ kind = "delimiter", bytes = "\u0000" }"#),
];

/// Tries every way on all that was said.
pub(super) fn find(conversations: &[Conversation]) -> Result<Found, Unlearned> {
    if conversations.iter().all(|conversation| conversation.said.is_empty()) {
        let nothing = Unlearned::new("nothing was said in the record", Vec::new());
        return Err(nothing.hint(super::RECORD_MORE));
    }
    if resp().is_some_and(|resp| cut_all(&resp, conversations, false).is_ok()) {
        return Err(not_drafted("RESP, the protocol of Redis", "resp", "redis/cache.toml"));
    }
    let mut evidence = Vec::new();
    let mut cuts: Vec<(usize, usize, Vec<Message>)> = Vec::new();
    for (at, (words, frame)) in WAYS.iter().enumerate() {
        // A kind that this build does not have is no way.
        let Some(skeleton) = skeleton(frame) else { continue };
        match cut_all(&skeleton, conversations, frame.is_empty()) {
            Ok((left, messages)) => {
                let count = |side| messages.iter().filter(|m| m.side == side).count();
                let (client, server) = (count(Side::Client), count(Side::Server));
                let but = match left {
                    0 => String::new(),
                    left => format!(" but {left} bytes at cut ends"),
                };
                evidence.push(format!(
                    "{words}: cuts everything{but}, {client} messages of the client and {server} of the server"
                ));
                cuts.push((left, at, messages));
            }
            Err(why) => evidence.push(format!("{words}: {why}")),
        }
    }
    // Of several ways one that leaves more, or gives empty frames, is less likely.
    let empty = |messages: &[Message]| messages.iter().any(|message| message.payload.is_empty());
    let best = cuts.into_iter().min_by_key(|(left, _, messages)| (*left, empty(messages)));
    let Some((_, at, messages)) = best else {
        let none = Unlearned::new("no framing cuts all that was said", evidence);
        return Err(none.hint(CUT_BY_HAND));
    };
    let hl7 = |message: &Message| message.payload.starts_with(b"MSH");
    if WAYS.get(at).is_some_and(|(words, _)| *words == "mllp") && messages.iter().all(hl7) {
        return Err(not_drafted("HL7 v2 over MLLP", "hl7", "hl7/admit.toml"));
    }
    let frame = WAYS.get(at).map(|(_, frame)| *frame).filter(|frame| !frame.is_empty());
    Ok(Found { frame, messages, evidence })
}

/// What a codec knows far better than any guess: a draft of plain frames would let pass whatever is
/// said within them.
fn not_drafted(protocol: &str, codec: &str, example: &str) -> Unlearned {
    let sentence = format!(
        "what was said is {protocol}, and no draft is made for it: write a contract with \
         `codec = \"{codec}\"`, as `examples/{example}` has it"
    );
    Unlearned::new(sentence, Vec::new())
}

/// A contract that cuts commands and replies of RESP.
fn resp() -> Option<Arc<Contract>> {
    let text = format!(
        "contract = \"learn/1\"\ncodec = \"resp\"\n[limits]\nmessage = {LARGEST}\n\
         server_message = {LARGEST}\n[client]\n[[client.message]]\nname = \"any\"\n\
         match = [\"PING\"]\naction = \"any\"\n"
    );
    let read = Contract::read("skeleton", &text, &|_| Err("none".to_owned()));
    read.ok().map(|(contract, _)| contract)
}

/// A contract that holds the frame rule and little else.
fn skeleton(frame: &str) -> Option<Arc<Contract>> {
    let text = if frame.is_empty() {
        "contract = \"learn/1\"\ncodec = \"modbus\"\n[client]\n[[client.message]]\nname = \"any\"\n\
         match = [3]\nfields.unit = { enum = [1] }\naction = \"any\"\n[server]\n"
            .to_owned()
    } else {
        let side = |side: &str, says: &str| {
            format!(
                "[{side}]\nframe = {frame}\ndecode = {{ kind = \"bytes\" }}\n[[{side}.message]]\n\
                 name = \"any\"\n{says}\nfields.data = {{ bytes = [0, {LARGEST}] }}\n"
            )
        };
        format!(
            "contract = \"learn/1\"\n[limits]\nmessage = {LARGEST}\nserver_message = {LARGEST}\n{}{}",
            side("client", "action = \"any\""),
            side("server", "answers = [\"any\"]")
        )
    };
    let read = Contract::read("skeleton", &text, &|_| Err("none".to_owned()));
    read.ok().map(|(contract, _)| contract)
}

/// The messages of all conversations, if not a byte is left over but at ends that were cut off, and
/// how many are there; with `decoded`, if they are also what the rule's own decoder reads.
fn cut_all(
    skeleton: &Contract,
    conversations: &[Conversation],
    decoded: bool,
) -> Result<(usize, Vec<Message>), String> {
    let (mut left, mut messages) = (0, Vec::new());
    for (number, conversation) in conversations.iter().enumerate() {
        let mut cutter = Cutter {
            skeleton,
            number,
            decoded,
            at: [0, 0],
            scanned: [0, 0],
            rest: Default::default(),
        };
        for (side, bytes) in &conversation.said {
            cutter.take(*side, bytes, &mut messages)?;
        }
        if conversation.whole {
            cutter.end()?;
        }
        left += cutter.rest.iter().map(Vec::len).sum::<usize>();
    }
    for side in [Side::Client, Side::Server] {
        let spoke = conversations.iter().any(|c| c.said.iter().any(|(by, _)| *by == side));
        if spoke && !messages.iter().any(|message: &Message| message.side == side) {
            return Err(format!("gives no whole frame of the {}", side.as_str()));
        }
    }
    Ok((left, messages))
}

struct Cutter<'c> {
    skeleton: &'c Contract,
    number: usize,
    decoded: bool,
    /// Bytes of each side that were cut.
    at: [usize; 2],
    /// How much of what is left of each side was searched in vain.
    scanned: [usize; 2],
    rest: [Vec<u8>; 2],
}

impl Cutter<'_> {
    fn take(
        &mut self,
        side: Side,
        bytes: &[u8],
        messages: &mut Vec<Message>,
    ) -> Result<(), String> {
        let rule = &self.skeleton.direction(side).frame;
        let limit = self.skeleton.frame_limit(side);
        let mut rest = std::mem::take(self.rest_of(side));
        let mut scanned = self.scanned.get(index(side)).copied().unwrap_or(0);
        rest.extend_from_slice(bytes);
        let mut used = 0;
        loop {
            let left = rest.get(used..).unwrap_or_default();
            if left.is_empty() {
                break;
            }
            let cut =
                rule.cut(left, &mut scanned, limit).map_err(|why| self.stops(side, used, &why))?;
            let Some(cut) = cut else { break };
            let frame = left.get(..cut.size).unwrap_or_default().to_vec();
            let payload = left.get(cut.payload).unwrap_or_default().to_vec();
            if self.decoded {
                let read = self.skeleton.direction(side).decode.read(&payload, &self.limits());
                read.map_err(|why| self.stops(side, used, &why))?;
            }
            messages.push(Message { conversation: self.number, side, frame, payload });
            used += cut.size;
        }
        rest.drain(..used.min(rest.len()));
        if let Some(at) = self.at.get_mut(index(side)) {
            *at += used;
        }
        if let Some(searched) = self.scanned.get_mut(index(side)) {
            *searched = scanned;
        }
        *self.rest_of(side) = rest;
        Ok(())
    }

    fn limits(&self) -> crate::contract::decode::WireLimits {
        self.skeleton.limits.wire
    }

    fn end(&mut self) -> Result<(), String> {
        for side in [Side::Client, Side::Server] {
            let left = self.rest_of(side).len();
            if left > 0 {
                let (side, number) = (side.as_str(), self.number + 1);
                return Err(format!(
                    "{left} bytes are left at the end of the {side}'s side of connection {number}"
                ));
            }
        }
        Ok(())
    }

    fn rest_of(&mut self, side: Side) -> &mut Vec<u8> {
        let [client, server] = &mut self.rest;
        if side == Side::Client { client } else { server }
    }

    fn stops(&self, side: Side, used: usize, why: &Violation) -> String {
        let at = self.at.get(index(side)).copied().unwrap_or(0) + used;
        let (side, number) = (side.as_str(), self.number + 1);
        format!("stops at byte {at} of the {side}'s side of connection {number}: {}", why.sentence)
    }
}

fn index(side: Side) -> usize {
    usize::from(side == Side::Server)
}
