//! What Cedar is told of a message: only what a policy reads, and only what fits the schema.

use super::class::Sights;
use super::load::Path;
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
    message: Message,
    /// How far they tell apart what they read, and the resource.
    pub(super) sights: Sights,
}

/// What is read of the message.
#[derive(Debug)]
enum Message {
    /// Attributes of these names.
    Some(Vec<Box<str>>),
    /// It is read as a whole.
    Whole,
}

impl Default for Message {
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
            (Some("message"), Some(name)) => {
                if let Message::Some(known) = &mut self.message
                    && !known.iter().any(|one| **one == *name)
                {
                    known.push(name.into());
                }
            }
            (Some("message"), None) => self.message = Message::Whole,
            // The context itself is handed on, or what is read is not known.
            _ => (self.now, self.connection, self.message) = (true, true, Message::Whole),
        }
    }

    pub(super) fn nothing(&self) -> bool {
        !self.now && !self.connection && !self.reads_message()
    }

    fn reads_message(&self) -> bool {
        !matches!(&self.message, Message::Some(names) if names.is_empty())
    }

    fn names(&self, name: &str) -> bool {
        match &self.message {
            Message::Some(names) => names.iter().any(|one| **one == *name),
            Message::Whole => true,
        }
    }

    /// The values of a message that are read, by their names.
    pub(super) fn of<'a>(&self, ask: &Ask<'a>) -> impl Iterator<Item = (&'a str, &'a Value<'a>)> {
        ask.context.iter().copied().filter(|(name, _)| self.names(name))
    }

    /// What is read, as Cedar knows it: what the gateway knows and, apart from it, what the
    /// message says.
    pub(super) fn context(
        &self,
        ask: &Ask<'_>,
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
        if self.reads_message() {
            let member =
                |(name, value): (&str, &Value<'_>)| Some((name.to_owned(), expression(value)?));
            let members = self.of(ask).map(member).collect::<Option<Vec<_>>>()?;
            let record = RestrictedExpression::new_record(members).ok()?;
            pairs.push(("message".to_owned(), record));
        }
        Context::from_pairs(pairs).ok()
    }
}

/// Whether a question is of the types that the policies were checked against: what Cedar itself
/// would say of a request of the action's schema, without building it.
pub(super) fn fits(shape: &ActionShape, on_resource: bool, context: &[(&str, &Value<'_>)]) -> bool {
    shape.on_resource == on_resource
        && record(&shape.context, context.len(), &context.iter().copied())
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
        (AttributeKind::Set(of), Value::List(list)) => list.iter().all(|element| is(element, of)),
        (AttributeKind::Record(attributes), Value::Map(members)) => {
            let named = members.iter().map(|(name, value)| (name.as_ref(), value));
            record(attributes, members.len(), &named)
        }
        _ => false,
    }
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
