//! `frame` as written: one kind, and its own keys.

use crate::contract::frame::{
    AtEof, Case, Delimiter, Fixed, FrameRule, Headers, Length, LengthType, Lines, OctetCount,
    Switch,
};
use crate::contract::units;
use crate::document::{Placed, Table};
use crate::finding::nearest;

const NAMES: [&str; 11] = [
    "lines",
    "delimiter",
    "length",
    "netstring",
    "fixed",
    "eof",
    "headers",
    "switch",
    "octet-count",
    "mllp",
    "raw",
];

pub(super) fn frame(direction: &Table<'_, '_>) -> Option<FrameRule> {
    let Some(table) = direction.table("frame") else {
        if !direction.has("frame") {
            direction.missing("K-10", "frame", "`frame = { kind = \"lines\" }`");
        }
        return None;
    };
    let kind = table.text("kind");
    let frame = match kind.as_ref().map(|kind| kind.value) {
        Some("lines") => lines(&table).map(FrameRule::Lines),
        Some("delimiter") => delimiter(&table),
        Some("length") => length(&table).map(FrameRule::Length),
        Some("netstring") => Some(FrameRule::Netstring),
        Some("fixed") => fixed(&table).map(FrameRule::Fixed),
        Some("eof") => Some(FrameRule::Eof),
        Some("mllp") => Some(FrameRule::Mllp),
        Some("headers") => headers(&table),
        Some("octet-count") => octet_count(&table),
        Some("switch") => switch(&table),
        Some("raw") => raw(&table),
        Some(other) => {
            let span = kind.as_ref().map_or(0..0, |kind| kind.span.clone());
            let message = format!("there is no frame kind `{other}`");
            let near = nearest(other, NAMES).map(|near| format!("did you mean `{near}`?"));
            let hint = near.unwrap_or_else(|| NAMES.join(", "));
            table.error_with_hint("K-10", span, message, hint);
            return None;
        }
        None => {
            if !table.has("kind") {
                table.missing("K-10", "kind", NAMES.join(", "));
            }
            return None;
        }
    };
    table.finish();
    frame
}

/// K-14: uninspected under a name that says so, with the reason.
fn raw(table: &Table<'_, '_>) -> Option<FrameRule> {
    const KEY: &str = "danger_uninspected";
    let Some(reason) = table.text(KEY) else {
        if !table.has(KEY) {
            let hint = "`danger_uninspected = \"who vouches for what passes, and why\"`";
            table.missing("K-14", KEY, hint);
        }
        return None;
    };
    is_reason(table, "K-14", KEY, &reason).then(|| FrameRule::Raw(reason.value.into()))
}

/// Whether a sentence says why something is as it is: at a terminal, in a table and in the record,
/// so it is one line.
pub(super) fn is_reason(
    table: &Table<'_, '_>,
    check: &'static str,
    key: &str,
    text: &Placed<&str>,
) -> bool {
    let is_line = text.value.trim() == text.value && !text.value.chars().any(char::is_control);
    let fault = if !(10..=300).contains(&text.value.chars().count()) {
        format!("`{key}` says why, in 10 to 300 characters")
    } else if !is_line {
        format!("`{key}` is one line, without control characters or space around it")
    } else {
        return true;
    };
    table.error(check, text.span.clone(), fault);
    false
}

/// Nothing where `ends` is none: what is said of the lines would be no fault of its own.
fn lines(table: &Table<'_, '_>) -> Option<Lines> {
    let mut lines = Lines {
        lf: true,
        crlf: false,
        writes_crlf: false,
        at_eof: AtEof::Reject,
        skip_empty: false,
    };
    let mut known = true;
    if let Some(ends) = table.texts("ends") {
        lines.lf = false;
        for end in &ends {
            match end.value {
                "\n" => lines.lf = true,
                "\r\n" => lines.crlf = true,
                _ => table.error("K-02", end.span.clone(), "a line ends with `\\n` or `\\r\\n`"),
            }
        }
        lines.writes_crlf = ends.first().is_some_and(|end| end.value == "\r\n");
        if ends.is_empty() {
            table.error("K-02", table.key_span("ends"), "`ends` is empty");
        }
        known = lines.lf || lines.crlf;
    }
    let word = |key: &'static str, on: &str, off: &str| -> bool {
        let Some(text) = table.text(key) else { return false };
        if text.value != on && text.value != off {
            table.error(
                "K-02",
                text.span,
                format!("`{key}` is `{}`, not `{off}` or `{on}`", text.value),
            );
        }
        text.value == on
    };
    if word("at_eof", "accept", "reject") {
        lines.at_eof = AtEof::Accept;
    }
    lines.skip_empty = word("empty", "skip", "frame");
    known.then_some(lines)
}

fn delimiter(table: &Table<'_, '_>) -> Option<FrameRule> {
    let Some(text) = table.text("bytes") else {
        if !table.has("bytes") {
            table.missing("K-02", "bytes", "`bytes = \"\\u0000\"`, or `hex:` and digits");
        }
        return None;
    };
    if let Some(at_eof) = table.text("at_eof").filter(|at_eof| at_eof.value != "reject") {
        let message = format!("`at_eof` is `{}`; a frame without its end is refused", at_eof.value);
        table.error_with_hint("K-02", at_eof.span, message, "`at_eof = \"reject\"`");
    }
    let made = units::bytes(text.value).and_then(|bytes| Delimiter::new(&bytes));
    made.map_err(|sentence| table.error("K-12", text.span, sentence)).ok().map(FrameRule::Delimiter)
}

fn length(table: &Table<'_, '_>) -> Option<Length> {
    let number = |key: &'static str| table.integer(key);
    let byte = |key| number(key).map(|n| u8::try_from(n.value).unwrap_or(u8::MAX));
    let (digits, max_bytes) = (byte("digits"), byte("max_bytes"));
    let at = number("at").map_or(0, |at| usize::try_from(at.value).unwrap_or(usize::MAX));
    let adjust = number("adjust").map_or(0, |adjust| adjust.value);
    let min = number("min").map_or(0, |min| {
        u64::try_from(min.value).unwrap_or_else(|_| {
            table.error("K-02", min.span, "`min` is the least payload, in bytes");
            0
        })
    });
    let includes_header = table.boolean("includes_header").is_some_and(|flag| flag.value);
    let magic = table.text("magic").map(|text| (units::bytes(text.value), text.span));
    let magic = match magic {
        Some((Err(sentence), span)) => {
            table.error("K-02", span, sentence);
            return None;
        }
        Some((Ok(magic), _)) => magic,
        None => Vec::new(),
    };
    let Some(kind) = table.text("type") else {
        if !table.has("type") {
            table.missing("K-02", "type", LengthType::NAMES.join(", "));
        }
        return None;
    };
    let made = LengthType::new(kind.value, digits, max_bytes)
        .and_then(|kind| Length::new(kind, at, includes_header, adjust, &magic, min));
    match made {
        Ok(length) => Some(length),
        Err(sentence) => {
            let hint = nearest(kind.value, LengthType::NAMES)
                .map(|near| format!("did you mean `{near}`?"));
            let hint = hint.filter(|_| !LengthType::NAMES.contains(&kind.value));
            let finding = table.document().error("K-02", kind.span, sentence);
            table.document().find(finding.hint_if(hint));
            None
        }
    }
}

fn fixed(table: &Table<'_, '_>) -> Option<Fixed> {
    let Some(size) = table.integer("size") else {
        if !table.has("size") {
            table.missing("K-02", "size", "bytes of every frame: `size = 64`");
        }
        return None;
    };
    let made = Fixed::new(usize::try_from(size.value).unwrap_or(0));
    made.map_err(|sentence| table.error("K-02", size.span, sentence)).ok()
}

fn octet_count(table: &Table<'_, '_>) -> Option<FrameRule> {
    let digits = table.integer("max_digits").map_or(9, |digits| digits.value);
    let made = OctetCount::new(u8::try_from(digits).unwrap_or(0));
    let fault = |sentence| table.error("K-02", table.key_span("max_digits"), sentence);
    made.map_err(fault).ok().map(FrameRule::OctetCount)
}

fn headers(table: &Table<'_, '_>) -> Option<FrameRule> {
    let length = table.text("length").map_or("Content-Length", |length| length.value);
    let allow = table.texts("allow");
    let allow: Vec<&str> = allow.as_ref().map_or_else(
        || vec!["Content-Length", "Content-Type"],
        |allow| allow.iter().map(|name| name.value).collect(),
    );
    let bound = |key, default| {
        table.integer(key).map_or(default, |n| usize::try_from(n.value).unwrap_or(0))
    };
    let (count, bytes) = (bound("max_headers", 16), bound("max_header_bytes", 4096));
    let made = Headers::new(length, &allow, count, bytes);
    made.map_err(|sentence| table.error("K-02", table.span(), sentence))
        .ok()
        .map(FrameRule::Headers)
}

fn switch(table: &Table<'_, '_>) -> Option<FrameRule> {
    let at = table.integer("at").map_or(0, |at| usize::try_from(at.value).unwrap_or(usize::MAX));
    let name = table.text("type").map_or("u8", |name| name.value);
    let Some(cases) = table.table("cases") else {
        if !table.has("cases") {
            let hint = "`cases = { \"0x01\" = { kind = \"fixed\", size = 8 } }`";
            table.missing("K-02", "cases", hint);
        }
        return None;
    };
    let read: Vec<_> = cases
        .entries()
        .map(|(key, value)| {
            let digits = key.value.strip_prefix("0x");
            let number = digits.map_or_else(|| key.value.parse(), |d| u64::from_str_radix(d, 16));
            let Ok(number) = number else {
                let message = format!("`{}` is not a value of the type field", key.value);
                cases.error_with_hint("K-02", key.span.clone(), message, "`\"0x01\"`");
                return None;
            };
            Some((number, case(&cases.named(&key, value)?)?))
        })
        .collect();
    let read: Vec<(u64, Case)> = read.into_iter().collect::<Option<_>>()?;
    let twice =
        read.iter().enumerate().any(|(at, (n, _))| read.iter().skip(at + 1).any(|(m, _)| n == m));
    if twice {
        cases.error("K-02", cases.span(), "two cases have one value");
        return None;
    }
    let made = LengthType::new(name, None, None).and_then(|kind| Switch::new(at, kind, read));
    made.map_err(|sentence| table.error("K-02", table.span(), sentence)).ok().map(FrameRule::Switch)
}

fn case(table: &Table<'_, '_>) -> Option<Case> {
    let kind = table.text("kind");
    let made = match kind.as_ref().map(|kind| kind.value) {
        Some("fixed") => fixed(table).map(Case::Fixed),
        Some("length") => length(table).map(Case::Length),
        _ => {
            let at = kind.map_or_else(|| table.span(), |kind| kind.span);
            table.error("K-10", at, "a case is a frame of kind `fixed` or `length`");
            return None;
        }
    };
    table.finish();
    made
}
