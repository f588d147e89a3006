//! What values were seen at one place, and the rule that they suggest.
//!
//! Ranges are rounded outward to 1, 2 or 5 times a power of ten, lengths up to a power of two: a
//! record is a sample, and the next one will be a little larger.

use crate::contract::value::Value;
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// Distinct values that are remembered.
const REMEMBERED: usize = 33;
/// Most values of an `enum`, and how often each must have been seen.
const LISTED: usize = 8;
const TIMES: usize = 10;
/// Samples for a guess at a pattern.
const PATTERN: usize = 8;
/// An object with more names than this, none of them always there, is a map.
const NAMES: usize = 32;
/// The largest integer that every JSON reader reads alike.
const SAFE: i64 = (1 << 53) - 1;

/// A class as a pattern writes it, and whether a character is in it.
type Class = (&'static str, fn(char) -> bool);

/// Classes of characters, the narrowest first.
const CLASSES: [Class; 10] = [
    ("[0-9]", |c| c.is_ascii_digit()),
    ("[a-z]", |c| c.is_ascii_lowercase()),
    ("[A-Z]", |c| c.is_ascii_uppercase()),
    ("[a-z0-9]", |c| c.is_ascii_lowercase() || c.is_ascii_digit()),
    ("[A-Z0-9]", |c| c.is_ascii_uppercase() || c.is_ascii_digit()),
    ("[a-z0-9-]", |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
    ("[a-z0-9_.-]", |c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.-".contains(c)),
    ("[A-Za-z0-9]", |c| c.is_ascii_alphanumeric()),
    ("[A-Za-z0-9_.-]", |c| c.is_ascii_alphanumeric() || "_.-".contains(c)),
    ("[A-Za-z0-9_.:/@+-]", |c| c.is_ascii_alphanumeric() || "_.:/@+-".contains(c)),
];

/// Parts of names whose values are nobody's business (P10).
pub(super) const SECRETS: [&str; 9] = [
    "password",
    "passwd",
    "secret",
    "token",
    "passphrase",
    "api_key",
    "apikey",
    "credential",
    "authorization",
];

/// Whether a name says that its value is a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    name == "pin" || SECRETS.iter().any(|secret| name.contains(secret))
}

/// All values at one place.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    pub(super) samples: usize,
    nulls: usize,
    bools: BTreeSet<bool>,
    ints: usize,
    int_range: Option<(i64, i64)>,
    int_values: BTreeSet<i64>,
    floats: Option<(f64, f64)>,
    texts: usize,
    lengths: Option<(usize, usize)>,
    values: BTreeSet<String>,
    /// One bit for each class that some character is not in.
    outside: u16,
    bytes: Option<(usize, usize)>,
    lists: usize,
    elements: usize,
    each: Option<Box<Self>>,
    maps: usize,
    members: BTreeMap<String, Self>,
    order: Vec<String>,
}

impl Shape {
    /// The shape of some values.
    pub(super) fn of<'v>(values: impl IntoIterator<Item = &'v Value<'static>>) -> Self {
        let mut shape = Self::default();
        values.into_iter().for_each(|value| shape.add(value));
        shape
    }

    fn add(&mut self, value: &Value<'_>) {
        self.samples += 1;
        match value {
            Value::Null => self.nulls += 1,
            Value::Bool(flag) => {
                self.bools.insert(*flag);
            }
            Value::Int(number) => {
                self.ints += 1;
                widen(&mut self.int_range, *number);
                if self.int_values.len() < REMEMBERED {
                    self.int_values.insert(*number);
                }
            }
            Value::Float(number) => {
                let (lo, hi) = self.floats.unwrap_or((*number, *number));
                self.floats = Some((lo.min(*number), hi.max(*number)));
            }
            Value::Text(text) => self.text(text),
            Value::Bytes(bytes) => widen(&mut self.bytes, bytes.len()),
            Value::List(list) => {
                self.lists += 1;
                self.elements = self.elements.max(list.len());
                let each = self.each.get_or_insert_default();
                list.iter().for_each(|element| each.add(element));
            }
            Value::Map(members) => {
                self.maps += 1;
                for (name, member) in members {
                    if !self.members.contains_key(&**name) {
                        self.order.push(name.to_string());
                    }
                    self.members.entry(name.to_string()).or_default().add(member);
                }
            }
        }
    }

    fn text(&mut self, text: &str) {
        self.texts += 1;
        widen(&mut self.lengths, text.chars().count());
        if self.values.len() < REMEMBERED {
            self.values.insert(text.to_owned());
        }
        for (bit, (_, is_in)) in CLASSES.iter().enumerate() {
            if !text.chars().all(is_in) {
                self.outside |= 1 << bit;
            }
        }
    }

    /// Names of members in the order in which they were first seen, with their shapes.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.order.iter().filter_map(|name| Some((name.as_str(), self.members.get(name)?)))
    }

    /// Whether every one of these objects had a member of this name.
    pub(super) fn always_has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|member| member.samples == self.maps)
    }

    /// The kinds of value that were seen.
    fn kinds(&self) -> Vec<&'static str> {
        let seen = [
            ("null", self.nulls > 0),
            ("boolean", !self.bools.is_empty()),
            ("integer", self.ints > 0 && self.floats.is_none()),
            ("number", self.floats.is_some()),
            ("string", self.texts > 0),
            ("array", self.lists > 0),
            ("object", self.maps > 0),
        ];
        seen.into_iter().filter(|(_, seen)| *seen).map(|(kind, _)| kind).collect()
    }

    /// Whether the short form can describe these objects.
    pub(super) fn is_flat(&self) -> bool {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        self.maps == self.samples
            && self.maps > 0
            && self.members.iter().all(|(name, member)| {
                !name.is_empty() && name.bytes().all(plain) && member.is_scalar_or_list()
            })
    }

    fn is_scalar_or_list(&self) -> bool {
        match self.kinds().as_slice() {
            ["boolean" | "integer" | "string"] => true,
            ["array"] => self.each.as_ref().is_some_and(|each| {
                each.samples == 0 || matches!(each.kinds().as_slice(), ["integer" | "string"])
            }),
            _ => false,
        }
    }

    /// The short form of a rule for these values, and what it rests on. `whole` asks for the whole
    /// range of integers: of a key, which only grows.
    pub(super) fn rule(&self, name: &str, whole: bool) -> (Vec<String>, String) {
        let mut keys = Vec::new();
        let mut words = format!("{} samples", self.samples);
        if is_secret(name) {
            let (lo, hi) = self.rounded_lengths();
            if self.texts > 0 {
                keys.push(format!("len = [{lo}, {hi}], secret = true"));
            } else {
                keys.push(format!("int = [{}, {SAFE}], secret = true", self.lowest()));
            }
            return (keys, format!("{words}, a secret by its name"));
        }
        match self.kinds().as_slice() {
            ["boolean"] => {
                let seen: Vec<String> = self.bools.iter().map(ToString::to_string).collect();
                keys.push(match seen.as_slice() {
                    [one] if self.samples >= TIMES => format!("const = {one}"),
                    _ => "enum = [false, true]".to_owned(),
                });
            }
            ["integer"] => keys.push(self.integer(whole, &mut words)),
            ["string"] => keys.push(self.string(&mut words)),
            ["array"] => {
                let most = self.rounded_elements();
                let each = self.each.as_deref();
                let inner = match each.map(|each| each.kinds()).as_deref() {
                    Some(["integer"]) => {
                        let (lo, hi) = each.map(Self::rounded_ints).unwrap_or_default();
                        format!("each_int = [{lo}, {hi}]")
                    }
                    Some(["string"]) => {
                        let rule = each.map(|each| each.string(&mut String::new()));
                        format!("each = {{ {} }}", rule.unwrap_or_default())
                    }
                    _ => "each = { const = \"\" }".to_owned(),
                };
                keys.push(format!("len = [0, {most}], {inner}"));
                words = format!("{words}, up to {} elements", self.elements);
            }
            _ => {}
        }
        (keys, words)
    }

    fn integer(&self, whole: bool, words: &mut String) -> String {
        let (lo, hi) = self.int_range.unwrap_or_default();
        if whole {
            *words = format!("{words}, {lo} to {hi}; a key, so the whole range");
            return format!("int = [{}, {SAFE}]", self.lowest());
        }
        if let Some(values) = self.listed_ints() {
            let list: Vec<String> = values.iter().map(ToString::to_string).collect();
            return format!("enum = [{}]", list.join(", "));
        }
        *words = format!("{words}, {lo} to {hi}");
        let (lo, hi) = self.rounded_ints();
        format!("int = [{lo}, {hi}]")
    }

    /// The integers that were seen, at most 33 of them.
    pub(super) fn int_values(&self) -> &BTreeSet<i64> {
        &self.int_values
    }

    /// What the elements of lists were.
    pub(super) fn each(&self) -> Option<&Self> {
        self.each.as_deref()
    }

    /// The values, where they are so few and so often seen that others are unlikely.
    fn listed_ints(&self) -> Option<&BTreeSet<i64>> {
        let few = self.int_values.len() <= LISTED / 2
            && self.ints >= TIMES * self.int_values.len().max(1);
        few.then_some(&self.int_values)
    }

    fn listed_texts(&self) -> Option<&BTreeSet<String>> {
        let few = self.values.len() <= LISTED
            && self.texts >= TIMES * self.values.len().max(1)
            && self.values.iter().all(|text| text.len() <= 64);
        few.then_some(&self.values)
    }

    fn string(&self, words: &mut String) -> String {
        if let Some(values) = self.listed_texts() {
            *words = match values.len() {
                1 => format!("{words}, all the same"),
                count => format!("{words} of {count} values"),
            };
            let list: Vec<String> = values.iter().map(|text| quoted(text)).collect();
            return match list.as_slice() {
                [one] => format!("const = {one}"),
                list => format!("enum = [{}]", list.join(", ")),
            };
        }
        let (least, longest) = self.lengths.unwrap_or_default();
        *words = format!("{words}, {least} to {longest} long");
        match self.pattern() {
            Some(pattern) => format!("regex = '{pattern}'"),
            None => {
                let (lo, hi) = self.rounded_lengths();
                format!("len = [{lo}, {hi}]")
            }
        }
    }

    /// A pattern that all texts match, if they have a narrow class of characters in common.
    pub(super) fn pattern(&self) -> Option<String> {
        if self.texts < PATTERN {
            return None;
        }
        let (lo, hi) = self.rounded_lengths();
        // A longer count makes a large program.
        if hi > 256 {
            return None;
        }
        let at = (0..CLASSES.len()).find(|bit| self.outside & (1 << bit) == 0)?;
        let (class, _) = CLASSES.get(at)?;
        Some(if lo == hi { format!("{class}{{{lo}}}") } else { format!("{class}{{{lo},{hi}}}") })
    }

    fn lowest(&self) -> i64 {
        match self.int_range {
            Some((lo, _)) if lo >= 1 => 1,
            Some((0, _)) | None => 0,
            _ => -SAFE,
        }
    }

    pub(super) fn rounded_ints(&self) -> (i64, i64) {
        let (lo, hi) = self.int_range.unwrap_or_default();
        let down = |n: i64| match n {
            1 => 1,
            n if n < 0 => -outward(-n),
            n if n < 100 => 0,
            n => inward(n),
        };
        let up = |n: i64| if n < 0 { -inward(-n) } else { outward(n) };
        (down(lo), up(hi))
    }

    pub(super) fn rounded_lengths(&self) -> (usize, usize) {
        let (lo, hi) = self.lengths.unwrap_or_default();
        if lo == hi && self.texts >= 2 * TIMES {
            return (lo, hi);
        }
        (lo.min(1), hi.next_power_of_two().max(8))
    }

    pub(super) fn bytes(&self) -> (usize, usize) {
        let (lo, hi) = self.bytes.unwrap_or_default();
        (lo.min(1), hi.next_power_of_two().max(8))
    }

    fn rounded_elements(&self) -> usize {
        self.elements.next_power_of_two().max(8)
    }

    /// The schema of these values (JSON Schema 2020-12), and a line for each guess in it.
    pub(super) fn schema(
        &self,
        at: &str,
        name: &str,
        whole: &dyn Fn(&str) -> bool,
        lines: &mut Vec<String>,
    ) -> Json {
        let kinds = self.kinds();
        let mut schema = Map::new();
        match kinds.as_slice() {
            [one] => schema.insert("type".to_owned(), json!(one)),
            all => schema.insert("type".to_owned(), json!(all)),
        };
        let mut words = format!("{} samples", self.samples);
        if kinds == ["boolean"]
            && self.samples >= TIMES
            && let (Some(flag), 1) = (self.bools.first(), self.bools.len())
        {
            schema.insert("const".to_owned(), json!(flag));
        }
        if kinds.contains(&"integer") {
            let (seen_lo, seen_hi) = self.int_range.unwrap_or_default();
            words = format!("{words}, {seen_lo} to {seen_hi}");
            let (lo, hi) = if whole(at) { (self.lowest(), SAFE) } else { self.rounded_ints() };
            schema.insert("minimum".to_owned(), json!(lo));
            schema.insert("maximum".to_owned(), json!(hi));
        }
        if let Some((seen_lo, seen_hi)) = self.floats {
            words = format!("{words}, {seen_lo} to {seen_hi}");
            let (lo, hi) = self.int_range.map_or((seen_lo, seen_hi), |(lo, hi)| {
                (seen_lo.min(as_float(lo)), seen_hi.max(as_float(hi)))
            });
            schema.insert("minimum".to_owned(), json!(-outward_float(-lo)));
            schema.insert("maximum".to_owned(), json!(outward_float(hi)));
        }
        if kinds.contains(&"string") {
            self.string_schema(is_secret(name), kinds.len() == 1, &mut schema, &mut words);
        }
        let leaf = self.lists == 0 && self.maps == 0;
        if leaf && !at.is_empty() {
            lines.push(format!("{at}: {}, {words}", kinds.join(" or ")));
        }
        if self.lists > 0 {
            lines.push(format!("{at}: {words}, up to {} elements", self.elements));
            schema.insert("maxItems".to_owned(), json!(self.rounded_elements()));
            let each = self.each.as_deref().filter(|each| each.samples > 0);
            let items = each.map(|each| each.schema(&format!("{at}/*"), name, whole, lines));
            schema.insert("items".to_owned(), items.unwrap_or(json!(false)));
        }
        if self.maps > 0 {
            self.object_schema(at, whole, lines, &mut schema);
        }
        Json::Object(schema)
    }

    fn string_schema(
        &self,
        secret: bool,
        alone: bool,
        schema: &mut Map<String, Json>,
        words: &mut String,
    ) {
        let (least, longest) = self.lengths.unwrap_or_default();
        let (_, most) = self.rounded_lengths();
        if secret {
            schema.insert("maxLength".to_owned(), json!(most));
            words.push_str(", a secret by its name");
            return;
        }
        match self.listed_texts().filter(|_| alone) {
            Some(values) => {
                *words = format!("{words} of {} values", values.len());
                schema.insert("enum".to_owned(), json!(values));
            }
            None => {
                *words = format!("{words}, {least} to {longest} long");
                schema.insert("maxLength".to_owned(), json!(most));
                if let Some(pattern) = self.pattern() {
                    schema.insert("pattern".to_owned(), json!(format!("^{pattern}$")));
                }
            }
        }
    }

    fn object_schema(
        &self,
        at: &str,
        whole: &dyn Fn(&str) -> bool,
        lines: &mut Vec<String>,
        schema: &mut Map<String, Json>,
    ) {
        let required: Vec<&str> =
            self.order.iter().map(String::as_str).filter(|name| self.always_has(name)).collect();
        if self.members.len() > NAMES && required.is_empty() {
            let mut any = Self::default();
            self.members.values().for_each(|member| any.absorb(member));
            let names = Self::of(
                &self.order.iter().map(|name| Value::Text(name.clone().into())).collect::<Vec<_>>(),
            );
            lines.push(format!(
                "{at}: a map, {} names in {} samples",
                self.members.len(),
                self.maps
            ));
            let (_, longest) = names.rounded_lengths();
            schema
                .insert("maxProperties".to_owned(), json!(self.members.len().next_power_of_two()));
            schema.insert("propertyNames".to_owned(), json!({ "maxLength": longest }));
            let value = any.schema(&format!("{at}/*"), "", whole, lines);
            schema.insert("additionalProperties".to_owned(), value);
            return;
        }
        schema.insert("additionalProperties".to_owned(), json!(false));
        schema.insert("required".to_owned(), json!(required));
        let mut properties = Map::new();
        for (name, member) in self.members() {
            let place = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
            let mut own = Vec::new();
            let below = member.schema(&place, name, whole, &mut own);
            if member.samples < self.maps
                && let Some(first) = own.first_mut()
            {
                first.push_str(&format!(", absent in {}", self.maps - member.samples));
            }
            lines.append(&mut own);
            properties.insert(name.to_owned(), below);
        }
        schema.insert("properties".to_owned(), Json::Object(properties));
    }

    /// Adds what was seen elsewhere.
    fn absorb(&mut self, other: &Self) {
        self.samples += other.samples;
        self.nulls += other.nulls;
        self.bools.extend(&other.bools);
        self.ints += other.ints;
        if let Some((lo, hi)) = other.int_range {
            widen(&mut self.int_range, lo);
            widen(&mut self.int_range, hi);
        }
        self.int_values.extend(&other.int_values);
        if let Some((lo, hi)) = other.floats {
            let (a, b) = self.floats.unwrap_or((lo, hi));
            self.floats = Some((a.min(lo), b.max(hi)));
        }
        self.texts += other.texts;
        if let Some((lo, hi)) = other.lengths {
            widen(&mut self.lengths, lo);
            widen(&mut self.lengths, hi);
        }
        self.values.extend(other.values.iter().cloned());
        self.outside |= other.outside;
        self.lists += other.lists;
        self.elements = self.elements.max(other.elements);
        if let Some(each) = &other.each {
            self.each.get_or_insert_default().absorb(each);
        }
        self.maps += other.maps;
        for (name, member) in other.members() {
            if !self.members.contains_key(name) {
                self.order.push(name.to_owned());
            }
            self.members.entry(name.to_owned()).or_default().absorb(member);
        }
    }
}

fn widen<T: Ord + Copy>(range: &mut Option<(T, T)>, value: T) {
    let (lo, hi) = range.unwrap_or((value, value));
    *range = Some((lo.min(value), hi.max(value)));
}

/// The next of 1, 2 or 5 times a power of ten that is not below `n`.
fn outward(n: i64) -> i64 {
    steps().find(|step| *step >= n).unwrap_or(SAFE).max(n)
}

/// The last of them that is not above `n`.
fn inward(n: i64) -> i64 {
    steps().take_while(|step| *step <= n).last().unwrap_or(0)
}

fn steps() -> impl Iterator<Item = i64> {
    let powers = std::iter::successors(Some(1_i64), |power| power.checked_mul(10)).take(15);
    std::iter::once(0).chain(powers.flat_map(|power| [power, 2 * power, 5 * power]))
}

fn outward_float(x: f64) -> f64 {
    if x <= 0.0 {
        return -inward_float(-x);
    }
    let power = 10_f64.powf(x.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= x).unwrap_or(x)
}

fn inward_float(x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let power = 10_f64.powf(x.log10().floor());
    [5.0, 2.0, 1.0].into_iter().map(|step| step * power).find(|step| *step <= x).unwrap_or(0.0)
}

#[allow(clippy::cast_precision_loss, reason = "a bound that is rounded outward anyway")]
fn as_float(n: i64) -> f64 {
    n as f64
}

/// A text as TOML writes it.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
