//! The short form of a rule for what was seen at one place, for fields of flat messages.

use super::{CLASSES, LISTED, PATTERN, SAFE, Shape, TIMES, is_secret, quoted};
use std::collections::BTreeSet;

impl Shape {
    /// The short form of a rule for these values, and what it rests on. `whole` asks for the whole
    /// range of integers: of a key, which only grows.
    pub(in super::super) fn rule(&self, name: &str, whole: bool) -> (Vec<String>, String) {
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

    pub(super) fn integer(&self, whole: bool, words: &mut String) -> String {
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

    /// The values, where they are so few and so often seen that others are unlikely.
    pub(super) fn listed_ints(&self) -> Option<&BTreeSet<i64>> {
        let few = self.int_values.len() <= LISTED / 2
            && self.ints >= TIMES * self.int_values.len().max(1);
        few.then_some(&self.int_values)
    }

    pub(super) fn listed_texts(&self) -> Option<&BTreeSet<String>> {
        let few = self.values.len() <= LISTED
            && self.texts >= TIMES * self.values.len().max(1)
            && self.values.iter().all(|text| text.len() <= 64);
        few.then_some(&self.values)
    }

    pub(super) fn string(&self, words: &mut String) -> String {
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
    pub(in super::super) fn pattern(&self) -> Option<String> {
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
}
