//! `Mapping`: the names by which certificates of a foreign authority are known here.
//!
//! A rule is read where it is written: the pattern says unambiguously what each `*` stands for, and
//! the identity lies in the authority's own [`ForeignRealm`]. Subjects and common names are no
//! sources.

use super::Refusal;
use segwan_core::audit::shown;
use segwan_core::identity::{FOREIGN, ForeignRealm, Identity};
use segwan_core::rejection::Reason;
use segwan_pki::certificate::{Certificate, Name};

/// Most rules of one authority.
pub const RULES: usize = 64;

/// The rules of one foreign authority: exactly one of them has to match exactly one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    realm: ForeignRealm,
    rules: Vec<MapRule>,
}

/// One rule: where a value comes from, how it has to look, and which identity follows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct MapRule {
    from: Source,
    pattern: Pattern,
    /// What stands behind `foreign/NAME/`.
    template: Vec<Part>,
}

/// Which part of a rule is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RulePart {
    /// `from`.
    From,
    /// `match`.
    Match,
    /// `identity`.
    Identity,
}

/// Why a text is no rule. `Display` is the operator's sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct MapError {
    /// Which of its texts it is.
    pub part: RulePart,
    /// The next step, where there is one.
    pub hint: Option<&'static str>,
    why: String,
}

impl MapError {
    fn new(part: RulePart, why: String) -> Self {
        Self { part, hint: None, why }
    }
}

/// Where in a certificate a value is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    DnsSan,
    UriSan,
    /// An extension, by its dotted OID, whose value is one text.
    Extension(String),
}

/// A text cut at its separators. Each piece holds one `*` at most, so there is one way to match.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    separator: char,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// What stands before and behind the `*`.
    Star(String, String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// What a `*` stands for, counted from 0.
    Star(usize),
}

impl Mapping {
    /// No rules yet: nobody is known.
    #[must_use]
    pub fn new(realm: ForeignRealm) -> Self {
        Self { realm, rules: Vec::new() }
    }

    /// Where every identity of it lies.
    #[must_use]
    pub fn realm(&self) -> &ForeignRealm {
        &self.realm
    }

    /// Adds the rule `from`, `match`, `identity`, as written.
    ///
    /// # Errors
    /// If it is none, or its identity would not lie in the realm.
    pub fn add(&mut self, from: &str, matches: &str, identity: &str) -> Result<(), MapError> {
        if self.rules.len() == RULES {
            let why = format!("there are more than {RULES} rules");
            return Err(MapError::new(RulePart::From, why));
        }
        let from = Source::read(from)?;
        let pattern = Pattern::read(matches, from.separator())?;
        let template = template(identity, &pattern, &self.realm)?;
        let rule = MapRule { from, pattern, template };
        if self.rules.contains(&rule) {
            // Both would match, so neither ever does.
            let why = format!("the rule for `{matches}` is there twice");
            return Err(MapError::new(RulePart::Match, why));
        }
        self.rules.push(rule);
        Ok(())
    }

    /// Whom a certificate of this authority names.
    pub(super) fn identify(&self, leaf: &Certificate) -> Result<Identity, Refusal> {
        let mut found = self.rules.iter().flat_map(|rule| {
            let values = rule.from.values(leaf).into_iter();
            values.filter_map(move |value| Some((rule, value, rule.pattern.matches(value)?)))
        });
        let Some((rule, value, stars)) = found.next() else {
            let why = format!("fits no rule of the authority `{}`", self.realm.name());
            return Err((Reason::IdentityUnmapped, why));
        };
        let value = shown(value.as_bytes());
        if let Some((_, other, _)) = found.next() {
            let other = shown(other.as_bytes());
            let why = format!("would be known by `{value}` and by `{other}`");
            return Err((Reason::IdentityAmbiguous, why));
        }
        self.realm.identity(&rule.fill(&stars)).map_err(|_| {
            let why = format!("holds `{value}`, of which no identity can be made");
            (Reason::IdentityUnmapped, why)
        })
    }
}

impl MapRule {
    fn fill(&self, stars: &[&str]) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Star(at) => stars.get(*at).copied().unwrap_or_default().to_owned(),
        };
        self.template.iter().map(part).collect()
    }
}

impl Source {
    fn read(text: &str) -> Result<Self, MapError> {
        match text.split_once(':') {
            None if text == "dns_san" => Ok(Self::DnsSan),
            None if text == "uri_san" => Ok(Self::UriSan),
            Some(("extension", oid)) if is_oid(oid) => Ok(Self::Extension(oid.to_owned())),
            Some(("extension", oid)) => {
                let why = format!("`{oid}` is no OID, such as `1.3.6.1.4.1.50316.802.1`");
                Err(MapError::new(RulePart::From, why))
            }
            _ => {
                let why = format!("`{text}` is not `dns_san`, `uri_san` or `extension:OID`");
                Err(MapError::new(RulePart::From, why))
            }
        }
    }

    fn separator(&self) -> char {
        match self {
            Self::DnsSan => '.',
            Self::UriSan | Self::Extension(_) => '/',
        }
    }

    /// Each value of this kind. A DNS name that is not in lower case, or holds a wildcard, is none.
    fn values<'c>(&self, leaf: &'c Certificate) -> Vec<&'c str> {
        let named = |name: &'c Name| match (self, name) {
            (Self::DnsSan, Name::Dns(dns)) => Identity::dns(dns).is_ok().then_some(dns.as_str()),
            (Self::UriSan, Name::Uri(uri)) => Some(uri.as_str()),
            _ => None,
        };
        match self {
            Self::Extension(oid) => {
                let all = leaf.texts.iter().filter(|(of, _)| of == oid);
                all.map(|(_, text)| text.as_str()).collect()
            }
            _ => leaf.names.iter().filter_map(named).collect(),
        }
    }
}

/// Numbers joined by dots, in the one form in which X.660 has them.
fn is_oid(text: &str) -> bool {
    let number = |part: &str| {
        let canonical = part == "0" || !part.starts_with('0');
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        (digits && canonical).then(|| part.parse::<u64>().ok()).flatten()
    };
    let parts: Option<Vec<u64>> = text.split('.').map(number).collect();
    match parts.as_deref() {
        Some([0 | 1, second, _, ..]) => *second < 40,
        Some([2, _, _, ..]) => true,
        _ => false,
    }
}

impl Pattern {
    fn read(text: &str, separator: char) -> Result<Self, MapError> {
        let wrong = |why: String| Err(MapError::new(RulePart::Match, why));
        if text.is_empty() || text.len() > 255 {
            return wrong("`match` has 1 to 255 bytes".to_owned());
        }
        if text.chars().any(char::is_control) {
            return wrong("`match` holds a control character".to_owned());
        }
        let mut pieces = Vec::new();
        for piece in text.split(separator) {
            pieces.push(match piece.split('*').collect::<Vec<_>>().as_slice() {
                [before, behind] => Piece::Star((*before).to_owned(), (*behind).to_owned()),
                [text] => Piece::Text((*text).to_owned()),
                _ => {
                    return wrong(format!(
                        "`{text}` has two `*` without a `{separator}` between them, so it is not \
                         clear what each stands for"
                    ));
                }
            });
        }
        Ok(Self { separator, pieces })
    }

    fn stars(&self) -> usize {
        self.pieces.iter().filter(|piece| matches!(piece, Piece::Star(..))).count()
    }

    /// What each `*` stands for: at least one character, and no separator.
    fn matches<'v>(&self, value: &'v str) -> Option<Vec<&'v str>> {
        let mut stars = Vec::new();
        let mut pieces = self.pieces.iter();
        for part in value.split(self.separator) {
            match pieces.next()? {
                Piece::Text(text) if text == part => {}
                Piece::Text(_) => return None,
                Piece::Star(before, behind) => {
                    let star = part.strip_prefix(before.as_str())?.strip_suffix(behind.as_str())?;
                    stars.push(Some(star).filter(|star| !star.is_empty())?);
                }
            }
        }
        pieces.next().is_none().then_some(stars)
    }
}

/// What stands behind `foreign/NAME/`, where it is a name whatever a `*` stands for.
///
/// No `*` stands for a `/` or the separator of its pattern. One of them between two placeholders
/// says where the first ends, so the name tells what each stood for, and certificates that differ
/// there have different names: `{1}-{2}` would give `a-b` and `c` the name of `a` and `b-c`.
fn template(text: &str, pattern: &Pattern, realm: &ForeignRealm) -> Result<Vec<Part>, MapError> {
    let stars = pattern.stars();
    let wrong = |why: String| MapError::new(RulePart::Identity, why);
    let begins = format!("{FOREIGN}/{}/", realm.name());
    let Some(mut rest) = text.strip_prefix(&begins) else {
        return Err(wrong(format!("`{text}` does not begin with `{begins}`")));
    };
    let mut parts = Vec::new();
    while let Some((before, after)) = rest.split_once('{') {
        if !parts.is_empty() && !before.contains(['/', pattern.separator]) {
            let why = format!(
                "`{text}` has two placeholders with nothing between them that a value cannot hold, \
                 so two certificates could have one name"
            );
            let hint = Some("put `/` between them, as in `{1}/{2}`");
            return Err(MapError { hint, ..wrong(why) });
        }
        parts.push(Part::Text(before.to_owned()));
        let number = after.split_once('}').and_then(|(number, after)| {
            rest = after;
            // One digit or two, in one form: `{1}`, not `{01}` or `{+1}`.
            let known = (1..=stars).find(|star| star.to_string() == number)?;
            Some(known - 1)
        });
        let unknown =
            || wrong(format!("`{text}` has a `{{` that begins no `{{1}}` to `{{{stars}}}`"));
        parts.push(Part::Star(number.ok_or_else(unknown)?));
    }
    parts.push(Part::Text(rest.to_owned()));
    parts.retain(|part| *part != Part::Text(String::new()));
    let example = parts.iter().map(|part| match part {
        Part::Text(text) => text.as_str(),
        Part::Star(_) => "x",
    });
    realm.identity(&example.collect::<String>()).map_err(|_| {
        wrong(format!("`{text}` is no name: segments of letters, digits, `-`, `.`, `_`"))
    })?;
    Ok(parts)
}

#[cfg(test)]
mod tests;
