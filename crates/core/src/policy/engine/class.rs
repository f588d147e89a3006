//! `Sights`: which values the policies of an action cannot tell apart, so that what was decided
//! for one of them holds for all.
//!
//! Where an attribute stands only beside literals (`<`, `<=`, `>`, `>=`, `==`, `!=`,
//! `[..].contains()`), each such expression is true or false by the place of the value among those
//! literals, and never errs, because the value is of its attribute's type. Nothing else in a policy
//! holds the value, so from these expressions upwards the policy gives the same answer, or the same
//! error, for every value of one place. A resource that stands only in `== E`, `in E` and `is T` is
//! known in the same way by the nearest `E` that it is or lies below; whatever stands anywhere else
//! is told apart by its value.

use crate::contract::value::Value;
use cedar_policy::{EntityUid, ResourceConstraint};
use serde_json::{Map, Value as Json};
use std::collections::{BTreeMap, BTreeSet};

/// What policies look at of a message and its resource.
#[derive(Debug, Clone, Default)]
pub(in crate::policy) struct Sights {
    /// The attributes of the message; one that is not listed is told apart by its value.
    attributes: BTreeMap<Box<str>, Sight>,
    /// The message as a whole is looked at.
    whole: bool,
    /// The resource, by names below the service.
    resource: Sight,
}

/// How far values are told apart: against these literals, or each from each.
#[derive(Debug, Clone, Default)]
struct Sight {
    numbers: BTreeSet<i64>,
    texts: BTreeSet<Box<str>>,
    each: bool,
}

/// What of an attribute's value a decision depends on.
#[derive(Debug, PartialEq)]
pub(in crate::policy) enum Class<'v> {
    /// The value.
    Value(&'v Value<'v>),
    /// That it is a number between this literal, if there is one, and the next.
    Above(Option<i64>),
    /// That it is a text which is no literal.
    Other,
}

/// What of a resource a decision depends on.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::policy) enum Place<'n> {
    /// Its name.
    Name(&'n str),
    /// That it lies below this one, and in no nearer one that a policy names.
    Below(&'n str),
    /// That it is in none that a policy names.
    Elsewhere,
}

impl Sights {
    /// What one policy looks at: its conditions, in Cedar's JSON form, and its scope.
    pub(in crate::policy) fn of(conditions: &Json, scope: &ResourceConstraint) -> Self {
        let mut sights = Self::default();
        match scope {
            ResourceConstraint::Eq(one)
            | ResourceConstraint::In(one)
            | ResourceConstraint::IsIn(_, one) => sights.resource.entity(one),
            ResourceConstraint::Any | ResourceConstraint::Is(_) => {}
        }
        sights.look(conditions);
        sights
    }

    /// The same with resources named as below this service.
    pub(in crate::policy) fn below(mut self, service: &str) -> Self {
        let inner = |full: &str| Some(full.strip_prefix(service)?.strip_prefix('/')?.into());
        let full = self.resource.texts.iter().map(AsRef::as_ref);
        self.resource.texts = full.filter_map(inner).collect();
        // Then it is not known where the service ends and a resource begins.
        self.resource.each |= service.contains('/');
        self
    }

    /// Looks at what another policy looks at too.
    pub(super) fn join(&mut self, other: &Self) {
        for (name, sight) in &other.attributes {
            self.attributes.entry(name.clone()).or_default().join(sight);
        }
        self.whole |= other.whole;
        self.resource.join(&other.resource);
    }

    /// What a decision depends on of an attribute's value.
    pub(in crate::policy) fn class<'v>(&self, name: &str, value: &'v Value<'v>) -> Class<'v> {
        let sight = self.attributes.get(name).filter(|sight| !sight.each && !self.whole);
        match (sight, value) {
            (Some(sight), Value::Int(number)) => match sight.numbers.range(..=number).next_back() {
                Some(literal) if literal == number => Class::Value(value),
                below => Class::Above(below.copied()),
            },
            (Some(sight), Value::Text(text)) if !sight.texts.contains(&**text) => Class::Other,
            _ => Class::Value(value),
        }
    }

    /// What a decision depends on of a resource, by its name below the service.
    pub(in crate::policy) fn place<'n>(&self, name: &'n str) -> Place<'n> {
        let literals = &self.resource.texts;
        if self.resource.each || literals.contains(name) {
            return Place::Name(name);
        }
        if literals.is_empty() {
            return Place::Elsewhere;
        }
        let mut ends = name.rmatch_indices('/');
        let above = ends.find_map(|(end, _)| name.get(..end).filter(|n| literals.contains(*n)));
        above.map_or(Place::Elsewhere, Place::Below)
    }

    /// What the policy of a text looks at.
    #[cfg(test)]
    pub(in crate::policy) fn of_text(text: &str) -> Self {
        let policy: cedar_policy::Policy = text.parse().unwrap();
        let json = policy.to_json().unwrap();
        Self::of(json.get("conditions").unwrap(), &policy.resource_constraint())
    }

    /// Tells everything apart.
    #[cfg(test)]
    pub(in crate::policy) fn each() -> Self {
        let resource = Sight { each: true, ..Sight::default() };
        Self { whole: true, resource, ..Self::default() }
    }

    /// Looks through an expression. What is told by literals alone is noted as such; the rest is
    /// searched for what is read. Record keys cannot be confused with operators, because the
    /// values below them are expressions.
    fn look(&mut self, json: &Json) {
        if self.against_literals(json).is_some() {
            return;
        }
        if let Some(name) = attribute(json) {
            self.attribute(name).each = true;
        } else if let Some((of, name)) = selected(json)
            && is_variable(of, "context")
        {
            // What else there is beside the message says nothing about it.
            self.whole |= name == "message";
        } else if is_variable(json, "context") {
            self.whole = true;
        } else if is_variable(json, "resource") || entity(json).is_some_and(is_resource) {
            self.resource.each = true;
        } else {
            match json {
                Json::Array(list) => list.iter().for_each(|below| self.look(below)),
                Json::Object(object) => object.values().for_each(|below| self.look(below)),
                _ => {}
            }
        }
    }

    /// Notes an expression of a kind that the head of this file lists; nothing for another one.
    fn against_literals(&mut self, json: &Json) -> Option<()> {
        let (operator, operands) = json.as_object().filter(|one| one.len() == 1)?.iter().next()?;
        let operands = operands.as_object()?;
        let side = |name: &str| operands.get(name);
        match operator.as_str() {
            "<" | "<=" | ">" | ">=" | "==" | "!=" => {
                let (left, right) = (side("left")?, side("right")?);
                self.compared(left, right).or_else(|| self.compared(right, left))
            }
            "contains" => {
                let (list, name) = (elements(side("left")?)?, attribute(side("right")?)?);
                let all = list.iter().map(Literal::of).collect::<Option<Vec<_>>>()?;
                let sight = self.attribute(name);
                all.into_iter().for_each(|literal| sight.literal(literal));
                Some(())
            }
            "has" => {
                is_message(side("left")?).then_some(())?;
                self.attribute(side("attr")?.as_str()?);
                Some(())
            }
            "in" => self.within(side("left")?, side("right")?),
            "is" => self.is_of(operands),
            _ => None,
        }
    }

    fn compared(&mut self, one: &Json, other: &Json) -> Option<()> {
        if let Some(name) = attribute(one) {
            let literal = Literal::of(other)?;
            self.attribute(name).literal(literal);
            return Some(());
        }
        is_variable(one, "resource").then_some(())?;
        self.resource.resource(entity(other)?);
        Some(())
    }

    fn within(&mut self, one: &Json, other: &Json) -> Option<()> {
        is_variable(one, "resource").then_some(())?;
        let single = std::slice::from_ref(other);
        let list = elements(other).unwrap_or(single);
        let all = list.iter().map(entity).collect::<Option<Vec<_>>>()?;
        all.into_iter().for_each(|one| self.resource.resource(one));
        Some(())
    }

    /// `is T` is told by whether the service itself is meant, which every key says.
    fn is_of(&mut self, operands: &Map<String, Json>) -> Option<()> {
        let left = operands.get("left")?;
        match operands.get("in") {
            Some(other) => self.within(left, other),
            None => is_variable(left, "resource").then_some(()),
        }
    }

    fn attribute(&mut self, name: &str) -> &mut Sight {
        self.attributes.entry(name.into()).or_default()
    }
}

impl Sight {
    fn literal(&mut self, literal: Literal<'_>) {
        match literal {
            Literal::Number(number) => drop(self.numbers.insert(number)),
            Literal::Text(text) => drop(self.texts.insert(text.into())),
            // Both are told apart anyway.
            Literal::Bool => {}
        }
    }

    fn resource(&mut self, (kind, id): (&str, &str)) {
        if kind == "Resource" {
            self.texts.insert(id.into());
        }
    }

    fn entity(&mut self, one: &EntityUid) {
        self.resource((&one.type_name().to_string(), one.id().unescaped()));
    }

    fn join(&mut self, other: &Self) {
        self.numbers.extend(&other.numbers);
        self.texts.extend(other.texts.iter().cloned());
        self.each |= other.each;
    }
}

#[derive(Clone, Copy)]
enum Literal<'j> {
    Number(i64),
    Text(&'j str),
    Bool,
}

impl<'j> Literal<'j> {
    fn of(json: &'j Json) -> Option<Self> {
        match member(json, "Value")? {
            Json::Number(number) => number.as_i64().map(Self::Number),
            Json::String(text) => Some(Self::Text(text)),
            Json::Bool(_) => Some(Self::Bool),
            _ => None,
        }
    }
}

/// The one member of an object that has no other.
fn member<'j>(json: &'j Json, name: &str) -> Option<&'j Json> {
    json.as_object().filter(|object| object.len() == 1)?.get(name)
}

fn is_variable(json: &Json, name: &str) -> bool {
    member(json, "Var").and_then(Json::as_str) == Some(name)
}

/// What is written before a point, and the name behind it.
fn selected(json: &Json) -> Option<(&Json, &str)> {
    let inner = member(json, ".")?;
    Some((inner.get("left")?, inner.get("attr")?.as_str()?))
}

/// Whether it is `context.message`.
fn is_message(json: &Json) -> bool {
    selected(json).is_some_and(|(of, name)| name == "message" && is_variable(of, "context"))
}

/// The name behind `context.message`.
fn attribute(json: &Json) -> Option<&str> {
    selected(json).filter(|(of, _)| is_message(of)).map(|(_, name)| name)
}

/// The elements of a list that is written in a policy.
fn elements(json: &Json) -> Option<&[Json]> {
    member(json, "Set")?.as_array().map(Vec::as_slice)
}

/// Type and id of an entity that is written in a policy.
fn entity(json: &Json) -> Option<(&str, &str)> {
    let entity = member(member(json, "Value")?, "__entity")?;
    Some((entity.get("type")?.as_str()?, entity.get("id")?.as_str()?))
}

/// Whether an entity is among those that come with the resource of a question.
fn is_resource((kind, _): (&str, &str)) -> bool {
    matches!(kind, "Resource" | "Service")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sights(condition: &str) -> Sights {
        let text = format!("permit (principal, action, resource) when {{ {condition} }};");
        let policy: cedar_policy::Policy = text.parse().unwrap();
        let json = policy.to_json().unwrap();
        Sights::of(json.get("conditions").unwrap(), &policy.resource_constraint()).below("plc")
    }

    fn number(condition: &str, number: i64) -> String {
        let value = Value::Int(number);
        match sights(condition).class("n", &value) {
            Class::Value(_) => "itself".to_owned(),
            Class::Above(literal) => format!("{literal:?}"),
            Class::Other => "other".to_owned(),
        }
    }

    // AZ-3
    #[test]
    fn a_number_beside_literals_is_its_place_among_them() {
        let written = "context.message.n < 10 || 20 >= context.message.n && \
                       ![context.message.n != -3, [40, 50].contains(context.message.n)].contains(true)";
        for (n, place) in [(-4, "None"), (-3, "itself"), (-2, "Some(-3)"), (9, "Some(-3)")] {
            assert_eq!(number(written, n), place, "{n}");
        }
        let beside =
            format!("context.session.n == 4 && context.connection.tls != \"x\" && {written}");
        assert_eq!(number(&beside, 9), "Some(-3)");
        for (n, place) in [(10, "itself"), (11, "Some(10)"), (50, "itself"), (51, "Some(50)")] {
            assert_eq!(number(written, n), place, "{n}");
        }
        assert_eq!(number("context.message has n && context.message.n == 1", i64::MIN), "None");
        let min = "context.message.n > -9223372036854775808";
        assert_eq!(number(min, i64::MIN), "itself");
    }

    // AZ-3
    #[test]
    fn what_stands_elsewhere_is_told_apart_by_its_value() {
        for condition in [
            "context.message.n + 1 < 10",
            "-context.message.n < 10",
            "context.message.n < context.message.m",
            "context.message.n == context.message.n",
            "[1, context.message.m].contains(context.message.n)",
            "[context.message.n].contains(1)",
            "context.message.n == principal",
            "context.message == {n: 1}",
            "context.message.n < 1 && [context].contains(context)",
            "context has message && context.message.n < 1",
            "context.session.n < 1",
            "context.message.n == context.session.n",
            "{a: context.message.n}.a < 1",
            "(if true then context.message.n else 1) < 1",
            "principal[\"n\"] == context.message.n",
            "context.message.n in resource",
            "context.message.n.m < 1",
            "context.message.m < 1",
        ] {
            assert_eq!(number(condition, 7), "itself", "{condition}");
        }
    }

    // AZ-3
    #[test]
    fn a_text_is_one_of_the_literals_or_another() {
        let seen = sights("context.message.t == \"a\" || [\"b\"].contains(context.message.t)");
        for (text, other) in [("a", false), ("b", false), ("c", true)] {
            let value = Value::Text(text.into());
            assert_eq!(seen.class("t", &value) == Class::Other, other, "{text}");
        }
        let value = Value::Text("c".into());
        let like = sights("context.message.t == \"a\" || context.message.t like \"b*\"");
        assert_eq!(like.class("t", &value), Class::Value(&value));
    }

    // AZ-3
    #[test]
    fn a_resource_is_known_by_the_nearest_literal() {
        let seen = sights(
            "resource == Resource::\"plc/a/b\" || resource in [Resource::\"plc/a\", Service::\"plc\"] \
             || resource is Resource in Resource::\"plc/c\" || resource in Resource::\"other/d\"",
        );
        for (name, place) in [
            ("a", Place::Name("a")),
            ("a/b", Place::Name("a/b")),
            ("a/b/c", Place::Below("a/b")),
            ("a/bc", Place::Below("a")),
            ("ab", Place::Elsewhere),
            ("c/x/y", Place::Below("c")),
            ("d", Place::Elsewhere),
            ("", Place::Elsewhere),
        ] {
            assert_eq!(seen.place(name), place, "{name}");
        }
        for condition in [
            "resource.name == \"x\"",
            "resource == principal",
            "principal in resource",
            "resource in [Resource::\"plc/a\", principal]",
            "Resource::\"plc/a\" in Resource::\"plc/b\"",
            "Service::\"plc\" == Service::\"plc\"",
            "resource has name",
            "[resource].contains(Resource::\"plc/a\")",
        ] {
            assert_eq!(sights(condition).place("x"), Place::Name("x"), "{condition}");
        }
    }
}
