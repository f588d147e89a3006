//! The schema of what was seen at one place (JSON Schema 2020-12), for messages that nest.

use super::rounding::{as_float, outward_float};
use super::{NAMES, SAFE, Shape, TIMES, is_secret};
use crate::contract::value::Value;
use serde_json::{Map, Value as Json, json};

impl Shape {
    /// The schema of these values (JSON Schema 2020-12), and a line for each guess in it.
    pub(in super::super) fn schema(
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

    pub(super) fn string_schema(
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

    pub(super) fn object_schema(
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
}
