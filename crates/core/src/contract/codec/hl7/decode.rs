//! A message as a tree: what MSH says under names, and every segment's fields by their numbers.
//!
//! MSH is read first and as ASCII, for it says in which charset the rest is written. The
//! delimiters are fixed: with others two readers may split one message differently.

use super::Hl7;
use super::segments::is_name;
use super::{LONGEST_ID, PAIR};
use crate::audit::shown;
use crate::contract::Side;
use crate::contract::charset::Charset;
use crate::contract::value::Value;
use crate::rejection::{Reason, Violation};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// How the messages of one side are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hl7Rule {
    pub(super) side: Side,
    pub(super) charsets: Vec<Charset>,
    pub(super) segment_end: SegmentEnd,
}

/// What ends a segment; one value, never mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SegmentEnd {
    /// As the standard has it.
    Cr,
    /// As some programs write it.
    Lf,
    /// As others do.
    CrLf,
}

impl SegmentEnd {
    /// The words of a contract.
    pub(crate) const NAMES: [(&'static str, Self); 3] =
        [("cr", Self::Cr), ("lf", Self::Lf), ("crlf", Self::CrLf)];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Cr => "\r",
            Self::Lf => "\n",
            Self::CrLf => "\r\n",
        }
    }
}

/// The fields of MSH that have names, by their numbers.
pub(super) const HEADER: [(&str, usize); 6] = [
    ("control_id", 10),
    ("version", 12),
    ("sending_app", 3),
    ("sending_facility", 4),
    ("receiving_app", 5),
    ("receiving_facility", 6),
];

/// What MSH begins with: the delimiters.
pub(super) const DELIMITERS: &str = "MSH|^~\\&";

/// Segments around a batch of messages or a file of batches.
pub(super) const BATCH: [&str; 4] = ["FHS", "BHS", "BTS", "FTS"];

/// The verdicts of MSA-1.
const VERDICTS: [&str; 6] = ["AA", "AE", "AR", "CA", "CE", "CR"];

impl Hl7Rule {
    /// Whose messages these are.
    pub(crate) fn side(&self) -> Side {
        self.side
    }

    /// The tree of a payload; `nodes` bounds its segments and fields together.
    ///
    /// # Errors
    /// `grammar` for what is not cut into segments as it must be, `constant` for other delimiters,
    /// `charset` for one that is not declared or not held to, `field_missing` and `regex` for a
    /// header that cannot be used, `enum` for an answer that is no verdict.
    pub(crate) fn read<'a>(&self, payload: &'a [u8], nodes: usize) -> Result<Value<'a>, Violation> {
        let header = self.header(payload)?;
        let text = self.charset(header)?.decode(payload)?;
        match text {
            Cow::Borrowed(text) => self.tree(text, nodes),
            Cow::Owned(text) => self.tree(&text, nodes).map(Value::into_owned),
        }
    }

    /// MSH without its end, as ASCII.
    fn header<'a>(&self, payload: &'a [u8]) -> Result<&'a str, Violation> {
        let end = payload.iter().position(|byte| matches!(*byte, b'\r' | b'\n'));
        let header = end.and_then(|end| payload.get(..end)).unwrap_or(payload);
        let header = Charset::Ascii.decode(header)?;
        let Cow::Borrowed(header) = header else { return Err(grammar("MSH is no ASCII")) };
        if let Some(name) = header.get(..3).filter(|name| BATCH.contains(name)) {
            let sentence = format!("`{name}` begins a batch, which is no message");
            return Err(Violation::new(Reason::FieldUnknown, sentence));
        }
        if !header.starts_with("MSH") {
            return Err(grammar("the message does not begin with MSH"));
        }
        if header.strip_prefix(DELIMITERS).is_none_or(|rest| !rest.starts_with('|')) {
            let sentence = "MSH does not begin with the delimiters `|^~\\&`";
            return Err(Violation::at(Reason::Constant, "/MSH/0/1", sentence));
        }
        Ok(header)
    }

    /// The charset that MSH-18 names. Where it names none the message is ASCII (HL7 section
    /// 2.14.9.18), which has to be among the contract's then.
    fn charset(&self, header: &str) -> Result<Charset, Violation> {
        let named = field(header, 18).unwrap_or_default();
        if named.is_empty() {
            let allowed = self.charsets.contains(&Charset::Ascii).then_some(Charset::Ascii);
            return allowed.ok_or_else(|| {
                let sentence =
                    "MSH-18 is empty, which means ASCII, and the contract has no `ASCII`";
                Violation::at(Reason::Charset, "/MSH/0/18", sentence)
            });
        }
        let known = Hl7::CHARSETS.iter().find(|(name, _)| *name == named).map(|(_, of)| *of);
        known.filter(|charset| self.charsets.contains(charset)).ok_or_else(|| {
            let sentence =
                format!("MSH-18 is `{}`, no charset of the contract", shown(named.as_bytes()));
            Violation::at(Reason::Charset, "/MSH/0/18", sentence)
        })
    }

    fn tree<'a>(&self, text: &'a str, nodes: usize) -> Result<Value<'a>, Violation> {
        let end = self.segment_end.as_str();
        let Some(body) = text.strip_suffix(end) else {
            return Err(grammar("the last segment does not end as the contract says"));
        };
        let mut names = Vec::new();
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        let mut all: Vec<(&str, Vec<Value<'a>>)> = Vec::new();
        let mut count = 0;
        for segment in body.split(end) {
            if segment.contains(['\r', '\n']) {
                return Err(grammar("segments end in more than one way"));
            }
            let name = segment.get(..3).filter(|name| is_name(name));
            let rest = segment.get(3..).unwrap_or_default();
            let Some(name) = name.filter(|_| rest.is_empty() || rest.starts_with('|')) else {
                return Err(grammar("a segment does not begin with its name"));
            };
            let fields = fields(name, segment);
            count += 1 + fields.len();
            if count > nodes {
                let sentence = format!("the message has over {nodes} segments and fields");
                return Err(Violation::new(Reason::JsonNodes, sentence));
            }
            names.push(Value::Text(name.into()));
            let place = *places.entry(name).or_insert(all.len());
            match all.get_mut(place) {
                Some((_, list)) => list.push(Value::List(fields)),
                None => all.push((name, vec![Value::List(fields)])),
            }
        }
        let header = body.split(end).next().unwrap_or_default();
        let mut members = self.named(header, &all)?;
        members.push(("segments".into(), Value::List(names)));
        members.extend(all.into_iter().map(|(name, list)| (name.into(), Value::List(list))));
        Ok(Value::Map(members))
    }

    /// The members with names.
    fn named<'a>(
        &self,
        header: &'a str,
        all: &[(&str, Vec<Value<'a>>)],
    ) -> Result<Vec<(Cow<'a, str>, Value<'a>)>, Violation> {
        let of = |number| field(header, number).unwrap_or_default();
        let mut parts = of(9).split('^');
        let (kind, trigger) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if !is_name(kind) || !(trigger.is_empty() || is_name(trigger)) {
            let sentence = "MSH-9 names no type of message and its trigger";
            return Err(Violation::at(Reason::TagMissing, "/event", sentence));
        }
        // A receiver may choose its parser by the structure, so it is of the same type.
        let structure = parts.next().unwrap_or(kind);
        let other = !structure
            .strip_prefix(kind)
            .is_some_and(|rest| rest.is_empty() || rest.strip_prefix('_').is_some_and(is_name));
        if other || parts.next().is_some() {
            let sentence = "MSH-9 names a structure that is not of its type of message";
            return Err(Violation::at(Reason::Constant, "/MSH/0/9", sentence));
        }
        let id = of(10);
        check_id(id, "/control_id", "MSH-10")?;
        let event: Cow<'a, str> = match trigger {
            "" => kind.into(),
            _ => of(9).get(..7).unwrap_or(kind).into(),
        };
        let text = |text: &'a str| Value::Text(text.into());
        let mut members: Vec<(Cow<'a, str>, Value<'a>)> = vec![
            ("type".into(), text(kind)),
            ("trigger".into(), text(trigger)),
            ("event".into(), Value::Text(event)),
        ];
        members.extend(HEADER.iter().map(|(name, number)| ((*name).into(), text(of(*number)))));
        let acknowledged = all.iter().find(|(name, _)| *name == "MSA").map(|(_, list)| list);
        match (self.side, acknowledged.and_then(|list| list.first())) {
            (Side::Client, _) => members.push((PAIR.into(), text(id))),
            (Side::Server, None) => {}
            (Side::Server, Some(msa)) => {
                let of = |at: usize| match msa {
                    Value::List(fields) => fields.get(at).cloned(),
                    _ => None,
                };
                let verdict = of(1).unwrap_or(Value::Null);
                if !verdict.as_text().is_some_and(|verdict| VERDICTS.contains(&verdict)) {
                    let sentence = "MSA-1 is no verdict";
                    return Err(Violation::at(Reason::Enum, "/ack", sentence));
                }
                members.push(("ack".into(), verdict));
                let pair = of(2).unwrap_or(Value::Null);
                check_id(pair.as_text().unwrap_or_default(), "/pair_id", "MSA-2")?;
                members.push((PAIR.into(), pair));
            }
        }
        Ok(members)
    }
}

/// Fields by their numbers; 0 is the name. In MSH the first bar is field 1 itself.
fn fields<'a>(name: &str, segment: &'a str) -> Vec<Value<'a>> {
    let mut fields: Vec<Value<'a>> =
        segment.split('|').map(|field| Value::Text(field.into())).collect();
    if name == "MSH" {
        fields.insert(1, Value::Text("|".into()));
    }
    fields
}

/// A field of MSH by its number, 3 or higher.
pub(super) fn field(header: &str, number: usize) -> Option<&str> {
    header.split('|').nth(number.checked_sub(1)?)
}

/// Whether a byte is visible ASCII and no delimiter.
pub(super) fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"|^~\\&".contains(&byte)
}

/// Whether a text can be a control id: 1 to 199 visible characters that delimit nothing.
pub(super) fn is_id(text: &str) -> bool {
    (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(is_plain)
}

fn check_id(id: &str, at: &str, what: &str) -> Result<(), Violation> {
    if is_id(id) {
        return Ok(());
    }
    let (reason, sentence) = if id.is_empty() {
        (Reason::FieldMissing, format!("{what}, the control id, is empty"))
    } else {
        (Reason::Regex, format!("{what} is no control id: 1 to 199 visible characters of ASCII"))
    };
    Err(Violation::at(reason, at, sentence))
}

fn grammar(sentence: &str) -> Violation {
    Violation::new(Reason::Grammar, sentence)
}
