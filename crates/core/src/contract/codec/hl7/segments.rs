//! `segments`: which segments a message has, in which order and how many.

use crate::audit::shown;
use crate::contract::value::{Pointer, Value};
use crate::rejection::{Reason, Violation};

/// The segments of one message, as `["MSH", "EVN", "PID", "PV1?", "OBX*"]` has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segments(Vec<Listed>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    name: Box<str>,
    required: bool,
    many: bool,
}

impl Segments {
    /// A list as written.
    ///
    /// # Errors
    /// The entry and a sentence, if it is no segment, a batch's, stands behind itself, or MSH is not the
    /// first.
    pub(crate) fn parse(entries: &[&str]) -> Result<Self, (usize, String)> {
        let mut listed: Vec<Listed> = Vec::with_capacity(entries.len());
        for (at, entry) in entries.iter().enumerate() {
            let fault = |sentence: String| Err((at, sentence));
            let name = entry.trim_end_matches(['?', '*', '+']);
            let (required, many) = match entry.strip_prefix(name) {
                Some("") => (true, false),
                Some("?") => (false, false),
                Some("*") => (false, true),
                Some("+") => (true, true),
                _ => return fault(format!("`{entry}` ends with more than one of `?`, `*`, `+`")),
            };
            if !is_name(name) {
                return fault(format!("`{entry}` is no segment: `PID`, `PV1?`, `OBX*`, `NTE+`"));
            }
            if super::decode::BATCH.contains(&name) {
                return fault(format!("`{name}` belongs to a batch, which is no message"));
            }
            if listed.last().is_some_and(|last| *last.name == *name) {
                return fault(format!(
                    "`{name}` stands behind itself: write `{name}*` or `{name}+`"
                ));
            }
            if listed.is_empty() != (name == "MSH") || (name == "MSH" && *entry != "MSH") {
                return fault("`MSH` is the first segment, and stands there once".to_owned());
            }
            listed.push(Listed { name: name.into(), required, many });
        }
        if listed.is_empty() {
            return Err((0, "`segments` is empty; the first is `MSH`".to_owned()));
        }
        Ok(Self(listed))
    }

    /// `["MSH", "MSA", "ERR*"]`.
    pub(super) fn acknowledgement() -> Self {
        let one = |name: &str, required, many| Listed { name: name.into(), required, many };
        Self(vec![one("MSH", true, false), one("MSA", true, false), one("ERR", false, true)])
    }

    /// The list as a contract writes it.
    pub(crate) fn told(&self) -> String {
        let entry = |listed: &Listed| {
            let count = match (listed.required, listed.many) {
                (true, false) => "",
                (false, false) => "?",
                (false, true) => "*",
                (true, true) => "+",
            };
            format!("{}{count}", listed.name)
        };
        self.0.iter().map(entry).collect::<Vec<_>>().join(" ")
    }

    /// Whether a segment may be there.
    pub(crate) fn lists(&self, name: &str) -> bool {
        self.0.iter().any(|listed| *listed.name == *name)
    }

    /// Whether a segment is there always.
    pub(crate) fn requires(&self, name: &str) -> bool {
        self.0.iter().any(|listed| listed.required && *listed.name == *name)
    }

    /// The places that are secret: all segments but MSH.
    pub(crate) fn secrets(&self) -> Vec<Pointer> {
        let mut secrets: Vec<Pointer> = Vec::new();
        for listed in self.0.iter().filter(|listed| &*listed.name != "MSH") {
            let at = Pointer::name(&listed.name);
            if !secrets.contains(&at) {
                secrets.push(at);
            }
        }
        secrets
    }

    /// Holds a message to the list.
    ///
    /// # Errors
    /// `field_unknown` for a segment that is not listed, or not there; `field_missing` for one that
    /// has to be there.
    pub(crate) fn check(&self, tree: &Value<'_>) -> Result<(), Violation> {
        let Some(Value::List(all)) = tree.member("segments") else { return Ok(()) };
        let mut rest = all.iter().filter_map(Value::as_text).peekable();
        for listed in &self.0 {
            let mut count = 0_usize;
            while (count == 0 || listed.many)
                && rest.next_if(|name| **name == *listed.name).is_some()
            {
                count += 1;
            }
            if listed.required && count == 0 {
                return Err(self.absent(&listed.name, rest.peek().copied()));
            }
        }
        match rest.next() {
            None => Ok(()),
            Some(name) => Err(self.unknown(name)),
        }
    }

    fn absent(&self, name: &str, instead: Option<&str>) -> Violation {
        match instead.filter(|instead| !self.lists(instead)) {
            Some(unlisted) => self.unknown(unlisted),
            None => {
                let sentence = format!("segment `{name}` is missing, or not in its place");
                Violation::new(Reason::FieldMissing, sentence)
            }
        }
    }

    fn unknown(&self, name: &str) -> Violation {
        let listed = self.lists(name);
        let name = shown(name.as_bytes());
        let sentence = if listed {
            format!("segment `{name}` stands where none may, or once too often")
        } else {
            format!("segment `{name}` is not listed")
        };
        Violation::new(Reason::FieldUnknown, sentence)
    }
}

/// Whether a text is a segment's name: a capital letter, then two capitals or digits.
pub(super) fn is_name(name: &str) -> bool {
    let rest = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    match name.as_bytes() {
        [first, others @ ..] => {
            first.is_ascii_uppercase() && others.len() == 2 && others.iter().all(rest)
        }
        [] => false,
    }
}
