//! What Cedar is told of a message: only what a policy reads, and only what fits the schema.

use super::class::Sights;
use super::load::Path;
use crate::contract::calendar::unix_ms;
use crate::contract::value::Value;
use crate::now::Now;
use crate::policy::schema::{ActionShape, Attribute, AttributeKind};
use crate::policy::{Ask, ConnectionFacts};
use cedar_policy::{Context, RestrictedExpression};

/// What the policies of an action read of the context. An attribute that none of them names
/// cannot change what they say, so it is not built.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// Whether they read the time, so that no decision holds longer than its instant.
    pub(super) now: bool,
    connection: bool,
    message: Members,
    session: Members,
    /// How far they tell apart what they read of the message, and the resource.
    pub(super) sights: Sights,
}

/// What is read of the message, or of what the connection remembers.
#[derive(Debug)]
enum Members {
    /// Attributes of these names.
    Some(Vec<Box<str>>),
    /// It is read as a whole.
    Whole,
}

impl Default for Members {
    fn default() -> Self {
        Self::Some(Vec::new())
    }
}

impl Reads {
    pub(super) fn add(&mut self, path: &Path) {
        let mut names = path.iter().map(String::as_str);
        match (names.next(), names.next()) {
            (Some("now"), _) => self.now = true,
            (Some("connection"), _) => self.connection = true,
            (Some("message"), name) => self.message.add(name),
            (Some("session"), name) => self.session.add(name),
            // The context itself is handed on, or what is read is not known.
            _ => {
                (self.now, self.connection) = (true, true);
                (self.message, self.session) = (Members::Whole, Members::Whole);
            }
        }
    }

    pub(super) fn nothing(&self) -> bool {
        !self.now && !self.connection && self.message.nothing() && self.session.nothing()
    }

    /// The values of a message that are read, by their names.
    pub(super) fn of<'a>(&self, ask: &Ask<'a>) -> impl Iterator<Item = (&'a str, &'a Value<'a>)> {
        ask.context.iter().copied().filter(|(name, _)| self.message.names(name))
    }

    /// The values that are read of what the connection remembers.
    pub(super) fn of_session<'a>(
        &self,
        ask: &Ask<'a>,
    ) -> impl Iterator<Item = (&'a str, &'a Value<'a>)> {
        ask.session.iter().copied().filter(|(name, _)| self.session.names(name))
    }

    /// What is read, as Cedar knows it: what the gateway knows and, apart from it, what the
    /// message says.
    pub(super) fn context(
        &self,
        ask: &Ask<'_>,
        shape: Option<&ActionShape>,
        connection: &ConnectionFacts,
        now: Now,
    ) -> Option<Context> {
        let mut pairs = Vec::new();
        if self.now {
            pairs.push(("now".to_owned(), datetime(now.unix_ms)));
        }
        if self.connection {
            let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
            let known = RestrictedExpression::new_record([
                (
                    "address".to_owned(),
                    RestrictedExpression::new_ip(connection.address.to_string()),
                ),
                ("started".to_owned(), datetime(connection.started_unix_ms)),
                ("tls".to_owned(), text(connection.tls)),
            ]);
            pairs.push(("connection".to_owned(), known.ok()?));
        }
        if !self.message.nothing() {
            pairs.push(("message".to_owned(), members(&shape?.context, self.of(ask))?));
        }
        if !self.session.nothing() {
            pairs.push(("session".to_owned(), members(&shape?.session, self.of_session(ask))?));
        }
        Context::from_pairs(pairs).ok()
    }
}

impl Members {
    fn add(&mut self, name: Option<&str>) {
        match (&mut *self, name) {
            (Self::Some(known), Some(name)) => {
                if !known.iter().any(|one| **one == *name) {
                    known.push(name.into());
                }
            }
            (Self::Whole, _) => {}
            (_, None) => *self = Self::Whole,
        }
    }

    fn nothing(&self) -> bool {
        matches!(self, Self::Some(names) if names.is_empty())
    }

    fn names(&self, name: &str) -> bool {
        match self {
            Self::Some(names) => names.iter().any(|one| **one == *name),
            Self::Whole => true,
        }
    }
}

/// Named values as a record; what is of no declared type has none in a policy, which denies.
fn members<'v>(
    declared: &[Attribute],
    mut read: impl Iterator<Item = (&'v str, &'v Value<'v>)>,
) -> Option<RestrictedExpression> {
    let member = |(name, value): (&str, &Value<'_>)| {
        let of = declared.iter().find(|attribute| attribute.name == name)?;
        Some((name.to_owned(), typed(value, &of.kind)?))
    };
    let all: Option<Vec<_>> = read.by_ref().map(member).collect();
    RestrictedExpression::new_record(all?).ok()
}

/// Whether a question is of the types that the policies were checked against: what Cedar itself
/// would say of a request of the action's schema, without building it.
pub(super) fn fits(shape: &ActionShape, on_resource: bool, ask: &Ask<'_>) -> bool {
    shape.on_resource == on_resource
        && record(&shape.context, ask.context.len(), &ask.context.iter().copied())
        && record(&shape.session, ask.session.len(), &ask.session.iter().copied())
}

/// Whether members are of their types, none is unknown and none is missing. Names come once.
fn record<'v>(
    attributes: &[Attribute],
    count: usize,
    members: &(impl Iterator<Item = (&'v str, &'v Value<'v>)> + Clone),
) -> bool {
    let due = attributes.iter().filter(|attribute| !attribute.optional);
    let known = |(name, value): (&str, &Value<'_>)| {
        let attribute = attributes.iter().find(|attribute| attribute.name == name);
        attribute.is_some_and(|attribute| is(value, &attribute.kind))
    };
    count <= attributes.len()
        && members.clone().all(known)
        && due.clone().all(|one| members.clone().any(|(name, _)| name == one.name))
}

fn is(value: &Value<'_>, kind: &AttributeKind) -> bool {
    match (kind, value) {
        (AttributeKind::Long, Value::Int(_)) | (AttributeKind::Bool, Value::Bool(_)) => true,
        (AttributeKind::String, Value::Text(_)) => true,
        (AttributeKind::String, Value::Bytes(bytes)) => std::str::from_utf8(bytes).is_ok(),
        (AttributeKind::Decimal, value) => decimal(value).is_some(),
        (AttributeKind::Datetime, Value::Text(text)) => unix_ms(text.as_bytes()).is_some(),
        (AttributeKind::Set(of), Value::List(list)) => list.iter().all(|element| is(element, of)),
        (AttributeKind::Record(attributes), Value::Map(members)) => {
            let named = members.iter().map(|(name, value)| (name.as_ref(), value));
            record(attributes, members.len(), &named)
        }
        _ => false,
    }
}

/// A value as Cedar knows its type.
fn typed(value: &Value<'_>, kind: &AttributeKind) -> Option<RestrictedExpression> {
    match (kind, value) {
        (AttributeKind::Decimal, value) => decimal(value).map(RestrictedExpression::new_decimal),
        (AttributeKind::Datetime, Value::Text(text)) => unix_ms(text.as_bytes()).map(datetime),
        (AttributeKind::Datetime, _) => None,
        (AttributeKind::Set(of), Value::List(list)) => {
            let all = list.iter().map(|element| typed(element, of)).collect::<Option<Vec<_>>>()?;
            Some(RestrictedExpression::new_set(all))
        }
        (AttributeKind::Record(declared), Value::Map(named)) => {
            members(declared, named.iter().map(|(name, value)| (name.as_ref(), value)))
        }
        _ => expression(value),
    }
}

/// A number as Cedar writes one: one to four digits behind the point, and in all what a count of
/// ten-thousandths in 64 bits holds.
fn decimal(value: &Value<'_>) -> Option<String> {
    let text = match value {
        Value::Text(text) => text.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        _ => return None,
    };
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let are_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !are_digits(whole) || !are_digits(part) || part.len() > 4 {
        return None;
    }
    // Padded to four places, the digits alone are that count.
    format!("{sign}{whole}{part:0<4}").parse::<i64>().ok()?;
    Some(format!("{sign}{whole}.{part}"))
}

pub(super) fn expression(value: &Value<'_>) -> Option<RestrictedExpression> {
    match value {
        Value::Int(number) => Some(RestrictedExpression::new_long(*number)),
        Value::Bool(flag) => Some(RestrictedExpression::new_bool(*flag)),
        Value::Text(text) => Some(RestrictedExpression::new_string(text.to_string())),
        Value::List(list) => {
            let all = list.iter().map(expression).collect::<Option<Vec<_>>>()?;
            Some(RestrictedExpression::new_set(all))
        }
        Value::Map(members) => {
            let all = members.iter().map(|(k, v)| Some((k.to_string(), expression(v)?)));
            RestrictedExpression::new_record(all.collect::<Option<Vec<_>>>()?).ok()
        }
        // What is no text has no type in a policy, which denies.
        Value::Bytes(bytes) => {
            let text = std::str::from_utf8(bytes).ok()?;
            Some(RestrictedExpression::new_string(text.to_owned()))
        }
        Value::Null | Value::Float(_) => None,
    }
}

/// Unix milliseconds as Cedar reads an instant (Howard Hinnant's civil-from-days).
pub(super) fn datetime(unix_ms: i64) -> RestrictedExpression {
    let (days, ms) = (unix_ms.div_euclid(86_400_000), unix_ms.rem_euclid(86_400_000));
    let z = days + 719_468;
    let (era, day_of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = (year_of_era + era * 400 + i64::from(month <= 2)).clamp(0, 9999);
    let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let text = format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z", ms % 1000);
    RestrictedExpression::new_datetime(text)
}
