//! `ActionShape`: what a contract's actions show to a policy, and the Cedar schema made of them.

use std::fmt::Write;

/// One action of a contract, as policies see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionShape {
    /// The name; dots form groups (`part.read` is in group `part`).
    pub name: String,
    /// Whether it acts on resources below the service, or on the service itself.
    pub on_resource: bool,
    /// What `context.message` holds.
    pub context: Vec<Attribute>,
    /// What `context.session` may hold: what the connection remembers. Nothing may be there yet, so
    /// each attribute is optional.
    pub session: Vec<Attribute>,
}

/// One attribute of `context.message` or `context.session`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// The name.
    pub name: String,
    /// The type.
    pub kind: AttributeKind,
    /// Whether it may be absent, so that a policy must ask with `has`.
    pub optional: bool,
}

/// A type that Cedar has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeKind {
    /// A 64-bit integer.
    Long,
    /// A text.
    String,
    /// True or false.
    Bool,
    /// A number with at most four digits behind the point, as text.
    Decimal,
    /// A day or a date and time, as text. A day is the instant at which it begins in UTC.
    Datetime,
    /// A list whose order and repetition are lost.
    Set(Box<Self>),
    /// Named attributes.
    Record(Vec<Attribute>),
}

/// The schema of a service in Cedar's language: the fixed part, then one action for each of the
/// contract's (`contracts.md` section 15.5).
#[must_use]
pub fn cedar_schema(actions: &[ActionShape]) -> String {
    let mut text = String::from(FIXED);
    let mut groups: Vec<&str> = Vec::new();
    for action in actions {
        for (at, _) in action.name.match_indices('.') {
            let group = action.name.get(..at).unwrap_or_default();
            if !groups.contains(&group) && !actions.iter().any(|a| a.name == group) {
                groups.push(group);
            }
        }
    }
    for group in groups {
        let _ = writeln!(text, "action \"{group}\"{};", parents(group));
    }
    for action in actions {
        let resource = if action.on_resource { "Resource" } else { "Service" };
        let remembered = if action.session.is_empty() {
            String::new()
        } else {
            format!(", session: {}", record(&action.session))
        };
        let _ = writeln!(
            text,
            "action \"{}\"{} appliesTo {{\n  principal: [Peer], resource: [{resource}],\n  \
             context: {{ now: datetime, connection: Connection, message: {}{remembered} }},\n}};",
            action.name,
            parents(&action.name),
            record(&action.context),
        );
    }
    text
}

const FIXED: &str = "\
// the same for every contract
entity TrustDomain;
entity Role;
entity Peer in [TrustDomain, Role] = {
  name: String,
  trust_domain: String,
  last: String,
  profile?: String,
  certificate: { serial: String, issuer: String, not_before: datetime, not_after: datetime },
};
entity Service;
entity Resource in [Resource, Service] = { name: String };
type Connection = { address: ipaddr, started: datetime, tls: String };
action \"connect\" appliesTo {
  principal: [Peer], resource: [Service],
  context: { now: datetime, connection: Connection },
};
// from the contract
";

fn parents(name: &str) -> String {
    name.rsplit_once('.')
        .map_or_else(String::new, |(group, _)| format!(" in [Action::\"{group}\"]"))
}

fn record(attributes: &[Attribute]) -> String {
    let member = |a: &Attribute| {
        format!("\"{}\"{}: {}", a.name, if a.optional { "?" } else { "" }, cedar_type(&a.kind))
    };
    format!("{{ {} }}", attributes.iter().map(member).collect::<Vec<_>>().join(", "))
}

/// A type in Cedar's own words.
pub(crate) fn cedar_type(kind: &AttributeKind) -> String {
    match kind {
        AttributeKind::Long => "Long".to_owned(),
        AttributeKind::String => "String".to_owned(),
        AttributeKind::Bool => "Bool".to_owned(),
        AttributeKind::Decimal => "decimal".to_owned(),
        AttributeKind::Datetime => "datetime".to_owned(),
        AttributeKind::Set(of) => format!("Set<{}>", cedar_type(of)),
        AttributeKind::Record(attributes) => record(attributes),
    }
}
