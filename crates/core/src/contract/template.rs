//! `Template`: the names of resources, made of validated fields.

use super::pattern::RuleError;
use super::value::{Pointer, Value};
use crate::rejection::{Reason, Violation};
use std::fmt::Write;

/// Longest resource name, in bytes.
const LONGEST: usize = 1024;

/// A resource name with placeholders, below the service's (`contracts.md` section 15.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    source: Box<str>,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(Box<str>),
    Value {
        pointer: Pointer,
        form: Form,
    },
    /// What the connection remembers under a name.
    Session(Box<str>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One segment.
    One,
    /// Cut at `/` into several.
    Path,
    /// One resource for each element of a list.
    Each,
}

impl Template {
    /// Parses `part/${part}`.
    ///
    /// # Errors
    /// K-44, if it is not segments of literals and placeholders.
    pub fn parse(source: &str) -> Result<Self, RuleError> {
        let bad = |message: String| RuleError::new("K-44", message);
        let mut segments = Vec::new();
        for part in split(source) {
            let segment = match part.strip_prefix("${").and_then(|p| p.strip_suffix('}')) {
                Some(inside) if inside.starts_with("session.") => {
                    let name = inside.trim_start_matches("session.");
                    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
                    if name.is_empty() || !name.bytes().all(word) {
                        return Err(bad(format!("`{name}` is no name of a remembered value")));
                    }
                    Segment::Session(name.into())
                }
                Some(inside) => {
                    let (pointer, form) =
                        match (inside.strip_suffix(":path"), inside.strip_suffix("[*]")) {
                            (Some(pointer), _) => (pointer, Form::Path),
                            (_, Some(pointer)) => (pointer, Form::Each),
                            _ => (inside, Form::One),
                        };
                    let pointer = pointer.parse().map_err(|e| bad(format!("{e}")))?;
                    Segment::Value { pointer, form }
                }
                None if !matches!(part, "" | "." | "..") && part.bytes().all(is_literal) => {
                    Segment::Literal(part.into())
                }
                None => {
                    return Err(bad(format!("`{part}` is no segment of a resource"))
                        .hint("letters, digits, `.`, `_`, `-`, or a placeholder `${field}`"));
                }
            };
            segments.push(segment);
        }
        let each = |s: &&Segment| matches!(s, Segment::Value { form: Form::Each, .. });
        if segments.iter().filter(each).count() > 1 {
            return Err(bad("a resource has at most one `[*]`".to_owned()));
        }
        Ok(Self { source: source.into(), segments })
    }

    /// The template as written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The places that it reads, and whether each is a list.
    pub fn pointers(&self) -> impl Iterator<Item = (&Pointer, bool)> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) | Segment::Session(_) => None,
            Segment::Value { pointer, form } => Some((pointer, *form == Form::Each)),
        })
    }

    /// The names of remembered values that it reads.
    pub(crate) fn session_names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Session(name) => Some(&**name),
            _ => None,
        })
    }

    /// The names of a message's resources, without the service's name before them. `session` is
    /// what the connection remembers, as a map.
    ///
    /// # Errors
    /// `resource_empty`, `resource_length`, or `resources` for more than `most`.
    pub fn names(
        &self,
        tree: &Value<'_>,
        session: &Value<'_>,
        most: usize,
        out: &mut Vec<String>,
    ) -> Result<(), Violation> {
        out.clear();
        let list = self.segments.iter().find_map(|segment| match segment {
            Segment::Value { pointer, form: Form::Each } => pointer.get(tree),
            _ => None,
        });
        let Some(list) = list else {
            out.push(self.name(tree, session, None)?);
            return Ok(());
        };
        let Value::List(elements) = list else {
            return Err(Violation::new(Reason::ResourceEmpty, "a resource is no list"));
        };
        if elements.is_empty() {
            return Err(Violation::new(Reason::ResourceEmpty, "the message names no resource"));
        }
        if elements.len() > most {
            let sentence =
                format!("the message names {} resources, over the limit of {most}", elements.len());
            return Err(Violation::new(Reason::Resources, sentence));
        }
        for element in elements {
            out.push(self.name(tree, session, Some(element))?);
        }
        Ok(())
    }

    fn name(
        &self,
        tree: &Value<'_>,
        session: &Value<'_>,
        element: Option<&Value<'_>>,
    ) -> Result<String, Violation> {
        let mut name = String::with_capacity(64);
        for segment in &self.segments {
            if !name.is_empty() {
                name.push('/');
            }
            match segment {
                Segment::Literal(text) => name.push_str(text),
                Segment::Value { pointer, form } => {
                    let value = if *form == Form::Each { element } else { pointer.get(tree) };
                    put(&mut name, value, *form, pointer)?;
                }
                Segment::Session(of) => {
                    put(&mut name, session.member(of), Form::One, &Pointer::name(of))?;
                }
            }
        }
        if name.len() > LONGEST {
            let sentence = format!("resource name of {} bytes is over {LONGEST}", name.len());
            return Err(Violation::new(Reason::ResourceLength, sentence));
        }
        Ok(name)
    }
}

/// The parts between slashes; a slash inside a placeholder belongs to its pointer.
fn split(source: &str) -> Vec<&str> {
    let (mut parts, mut start, mut inside) = (Vec::new(), 0, false);
    for (at, c) in source.char_indices() {
        match c {
            '{' => inside = true,
            '}' => inside = false,
            '/' if !inside => {
                parts.push(source.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(source.get(start..).unwrap_or_default());
    parts
}

fn is_literal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// Writes one value, so that different values give different segments.
fn put(
    name: &mut String,
    value: Option<&Value<'_>>,
    form: Form,
    at: &Pointer,
) -> Result<(), Violation> {
    let empty = || {
        let sentence = format!("`{at}` is empty, and it names a resource");
        Violation::at(Reason::ResourceEmpty, at.to_string(), sentence)
    };
    match value {
        Some(Value::Text(text)) if text.is_empty() => Err(empty()),
        Some(Value::Text(text)) if form == Form::Path => {
            for (count, segment) in text.split('/').enumerate() {
                if count > 0 {
                    name.push('/');
                }
                if segment.is_empty() { name.push('%') } else { escape(name, segment) }
            }
            Ok(())
        }
        Some(Value::Text(text)) => {
            escape(name, text);
            Ok(())
        }
        Some(Value::Int(number)) => {
            let _ = write!(name, "{number}");
            Ok(())
        }
        Some(Value::Bool(flag)) => {
            let _ = write!(name, "{flag}");
            Ok(())
        }
        Some(Value::Bytes(bytes)) if !bytes.is_empty() => {
            match std::str::from_utf8(bytes) {
                Ok(text) => escape(name, text),
                Err(_) => {
                    name.push_str("%x");
                    for byte in bytes.iter() {
                        let _ = write!(name, "{byte:02x}");
                    }
                }
            }
            Ok(())
        }
        _ => Err(empty()),
    }
}

/// Letters, digits and `. _ ~ : @ + , = -` stand for themselves, every other byte is `%XX`.
fn escape(name: &mut String, text: &str) {
    if matches!(text, "." | "..") {
        name.push_str(&text.replace('.', "%2E"));
        return;
    }
    for c in text.chars() {
        if c.is_alphanumeric() || matches!(c, '.' | '_' | '~' | ':' | '@' | '+' | ',' | '=' | '-') {
            name.push(c);
        } else {
            let mut buffer = [0; 4];
            for byte in c.encode_utf8(&mut buffer).bytes() {
                let _ = write!(name, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(template: &str, value: Value<'_>) -> Result<String, Reason> {
        let tree = Value::Map(vec![("x".into(), value)]);
        let mut out = Vec::new();
        let template = Template::parse(template).unwrap();
        let session = Value::Map(vec![("user".into(), Value::Text("kim".into()))]);
        template.names(&tree, &session, 4, &mut out).map_err(|v| v.reason)?;
        Ok(out.join(" "))
    }

    // TRAP-22
    #[test]
    fn a_value_is_one_segment_whatever_it_holds() {
        let text = |s: &str| Value::Text(s.to_owned().into());
        assert_eq!(name("part/${x}", text("a/b")), Ok("part/a%2Fb".into()));
        assert_eq!(name("part/${x}", text("..")), Ok("part/%2E%2E".into()));
        assert_eq!(name("part/${x}", text("%2F")), Ok("part/%252F".into()));
        assert_eq!(name("part/${x}", text("홍 길동")), Ok("part/홍%20길동".into()));
        assert_eq!(name("unit/${/x}", Value::Int(-3)), Ok("unit/-3".into()));
        assert_eq!(name("part/${x}", text("")), Err(Reason::ResourceEmpty));
        assert_eq!(name("part/${x}", text(&"x".repeat(2048))), Err(Reason::ResourceLength));
        assert_eq!(name("t/${x:path}", text("a//b")), Ok("t/a/%/b".into()));
        let list = |n: usize| Value::List(vec![text("k"); n]);
        assert_eq!(name("key/${x[*]}", list(2)), Ok("key/k key/k".into()));
        assert_eq!(name("key/${x[*]}", list(5)), Err(Reason::Resources));
        assert_eq!(name("key/${x[*]}", list(0)), Err(Reason::ResourceEmpty));
        assert_eq!(name("of/${session.user}/${x}", text("a")), Ok("of/kim/a".into()));
        assert_eq!(name("of/${session.team}", text("a")), Err(Reason::ResourceEmpty));
    }

    // K-44
    #[test]
    fn a_template_is_segments_and_placeholders() {
        for bad in [
            "",
            "a//b",
            "a b",
            "/a",
            "a/${}",
            "${x}y",
            "${x[*]}/${y[*]}",
            "a/../b c",
            "${session.}",
        ] {
            assert_eq!(Template::parse(bad).unwrap_err().check, "K-44", "{bad}");
        }
    }

    proptest! {
        // CON-22, TRAP-22
        #[test]
        fn different_values_give_different_names(a in "\\PC{1,12}", b in "\\PC{1,12}") {
            let made = |s: &str| name("${x}", Value::Text(s.to_owned().into())).unwrap();
            prop_assert_eq!(a == b, made(&a) == made(&b));
        }
    }
}
