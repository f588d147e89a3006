//! `[[trust.foreign]]`, and `trust = { .. }` of a table with files: roots, lists, and the rules by
//! which their certificates become identities.
//!
//! An identity is written as it is: `foreign/NAME/..`. Of a list entry NAME is the entry's own name;
//! of a table with files it is whatever the first rule says, the same for all.

use super::{Reading, VALUE, values};
use crate::config::{Foreign, TrustFiles};
use segwan::tls::verify::RulePart;
use segwan::{ForeignRealm, Mapping, Tolerate};
use segwan_core::document::Table;
use std::path::PathBuf;

/// Most revocation lists of one table.
const LISTS: usize = 32;
/// Most foreign authorities: each is asked about a certificate that none before it knows.
const MOST: usize = 16;

/// Reads `[[trust.foreign]]` of the table `[trust]`.
pub(super) fn foreign(trust: &Table<'_, '_>, reading: &Reading<'_>) -> Option<Vec<Foreign>> {
    let tables = trust.tables("foreign");
    let mut good = tables.len() <= MOST && trust.has("foreign") != tables.is_empty();
    if tables.len() > MOST {
        let message =
            format!("{} foreign authorities are listed; {MOST} are the most", tables.len());
        trust.error(VALUE, trust.key_span("foreign"), message);
    }
    let mut all: Vec<Foreign> = Vec::new();
    for table in &tables {
        let read = one(table, reading);
        table.finish();
        let Some(read) = read else {
            good = false;
            continue;
        };
        if all.iter().any(|other| other.mapping.realm() == read.mapping.realm()) {
            let message = format!("two foreign authorities are called `{}`", read.name());
            table.error(VALUE, table.key_span("name"), message);
            good = false;
        }
        all.push(read);
    }
    good.then_some(all)
}

fn one(table: &Table<'_, '_>, reading: &Reading<'_>) -> Option<Foreign> {
    let name = table.text("name");
    if !table.has("name") {
        let hint = "`name = \"plant\"`: its peers are `foreign/plant/..`";
        table.missing(VALUE, "name", hint);
    }
    let trust = files(table, reading);
    if !table.has("map") {
        let hint = "`map = [{ from = \"dns_san\", match = \"*.plant.example\", identity = \
                    \"foreign/plant/{1}\" }]`: no name of a foreign certificate counts by itself";
        table.missing(VALUE, "map", hint);
    }
    let realm = name.and_then(|name| realm(table, name.value, name.span, reading));
    let mapping = realm.and_then(|realm| mapping(table, realm));
    Some(Foreign { trust: trust?, mapping: mapping? })
}

impl Foreign {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        self.mapping.realm().name()
    }
}

fn realm(
    table: &Table<'_, '_>,
    name: &str,
    at: std::ops::Range<usize>,
    reading: &Reading<'_>,
) -> Option<ForeignRealm> {
    match ForeignRealm::new(&reading.trust_domain, name) {
        Ok(realm) => Some(realm),
        Err(_) => {
            let message = format!("`{name}` is no name of a foreign authority");
            let hint = "one segment of `A-Z`, `a-z`, `0-9`, `-`, `.`, `_`";
            table.error_with_hint(VALUE, at, message, hint);
            None
        }
    }
}

/// `map` of a table with files; without one, names are taken as they are.
pub(super) fn mapping_of_files(
    trust: &Table<'_, '_>,
    reading: &Reading<'_>,
) -> Option<Option<Mapping>> {
    if !trust.has("map") {
        return Some(None);
    }
    let tables = trust.tables("map");
    let Some(first) = tables.first() else {
        return nobody(trust);
    };
    let identity = text(first, "identity")?;
    let Some(name) = identity.value.strip_prefix("foreign/").and_then(|it| it.split('/').next())
    else {
        let message = format!("`{}` does not begin with `foreign/`", identity.value);
        let hint = "`foreign/plant/{1}`: who is mapped is never one of the Authority's own";
        first.error_with_hint(VALUE, identity.span, message, hint);
        return None;
    };
    let realm = realm(first, name, identity.span, reading)?;
    mapping(trust, realm).map(Some)
}

/// An empty `map` would let nobody in, which nobody means.
fn nobody<T>(table: &Table<'_, '_>) -> Option<T> {
    if table.value("map").is_some_and(|map| map.get_ref().as_array().is_some()) {
        table.error(VALUE, table.key_span("map"), "`map` is an empty list");
    }
    None
}

fn mapping(table: &Table<'_, '_>, realm: ForeignRealm) -> Option<Mapping> {
    let rules = table.tables("map");
    if rules.is_empty() && table.has("map") {
        return nobody(table);
    }
    let (mut mapping, mut good) = (Mapping::new(realm), !rules.is_empty());
    for rule in &rules {
        let texts = (text(rule, "from"), text(rule, "match"), text(rule, "identity"));
        rule.finish();
        let (Some(from), Some(matches), Some(identity)) = texts else {
            good = false;
            continue;
        };
        if let Err(error) = mapping.add(from.value, matches.value, identity.value) {
            let at = match error.part {
                RulePart::From => from.span,
                RulePart::Match => matches.span,
                RulePart::Identity => identity.span,
            };
            match error.hint {
                Some(hint) => rule.error_with_hint(VALUE, at, error.to_string(), hint),
                None => rule.error(VALUE, at, error.to_string()),
            }
            good = false;
        }
    }
    good.then_some(mapping)
}

fn text<'d>(
    rule: &Table<'d, '_>,
    key: &'static str,
) -> Option<segwan_core::document::Placed<&'d str>> {
    if !rule.has(key) {
        let hint = "a rule has `from`, `match` and `identity`";
        rule.missing(VALUE, key, hint);
    }
    rule.text(key)
}

/// A file that has to be named.
pub(super) fn path(
    table: &Table<'_, '_>,
    check: &'static str,
    key: &'static str,
    reading: &Reading<'_>,
) -> Option<PathBuf> {
    if !table.has(key) {
        table.missing(check, key, format!("`{key} = \"{key}.pem\"`"));
    }
    table.text(key).map(|text| reading.path(text.value))
}

/// `roots`, `crls` and `danger_tolerate`.
pub(super) fn files(table: &Table<'_, '_>, reading: &Reading<'_>) -> Option<TrustFiles> {
    let roots = path(table, "C5", "roots", reading);
    let lists = table.has("crls").then(|| values::texts(table, "crls", LISTS));
    let lists = lists.unwrap_or_else(|| Some(Vec::new()));
    let danger_tolerate = tolerate(table);
    let crls = lists?.into_iter().map(|text| reading.path(text.value)).collect();
    Some(TrustFiles { roots: roots?, crls, danger_tolerate: danger_tolerate? })
}

fn tolerate(table: &Table<'_, '_>) -> Option<Tolerate> {
    let mut tolerate = Tolerate::default();
    if !table.has("danger_tolerate") {
        return Some(tolerate);
    }
    for word in values::texts(table, "danger_tolerate", 2)? {
        match word.value {
            "missing_aki" => tolerate.missing_aki = true,
            "missing_eku" => tolerate.missing_eku = true,
            other => {
                let message = format!("`{other}` is not `missing_aki` or `missing_eku`");
                table.error(VALUE, word.span, message);
                return None;
            }
        }
    }
    Some(tolerate)
}
