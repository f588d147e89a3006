//! `[identity]` as written: where a peer's role is read.

use crate::contract::role::{RoleRule, RoleSource, StringType};
use crate::document::Table;
use crate::identity::TrustDomain;

/// The rule of `[identity] role`, if there is one.
pub(super) fn role(top: &Table<'_, '_>) -> Option<RoleRule> {
    let identity = top.table("identity")?;
    let table = identity.table("role");
    if !identity.has("role") {
        identity.missing(
            "K-02",
            "role",
            "`role = { x509_extension = \"1.2.3\", type = \"utf8\" }`",
        );
    }
    identity.finish();
    let table = table?;
    if let Some(exactly) = table.integer("exactly")
        && exactly.value != 1
    {
        table.error("K-02", exactly.span, "a peer has exactly one role: `exactly = 1`");
    }
    let refuse = match table.text("missing").map(|text| (text.value, text.span)) {
        None | Some(("refuse", _)) => true,
        Some(("null-role", _)) => false,
        Some((other, span)) => {
            let message = format!("`missing` is `{other}`, not `refuse` or `null-role`");
            table.error("K-02", span, message);
            true
        }
    };
    let allow = table.texts("allow");
    let allow = allow.map(|names| names.into_iter().map(|name| name.value.to_owned()).collect());
    let issuers = issuers(&table);
    let source = source(&table);
    table.finish();
    Some(RoleRule { source: source?, refuse, allow, issuers })
}

/// Trust domains, and names of foreign authorities.
fn issuers(table: &Table<'_, '_>) -> Option<Vec<String>> {
    let written = table.texts("issuers")?;
    if written.is_empty() {
        let hint = "leave it out for the own Authority alone";
        table.error_with_hint("K-02", table.key_span("issuers"), "`issuers` is empty", hint);
    }
    let segment = |name: &str| {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        (1..=200).contains(&name.len()) && name.bytes().all(good)
    };
    for name in &written {
        if name.value.parse::<TrustDomain>().is_err() && !segment(name.value) {
            let text = format!("`{}` is no trust domain, and no name of an authority", name.value);
            let hint = "a name of `[[trust.foreign]]`, or a trust domain";
            table.error_with_hint("K-02", name.span.clone(), text, hint);
        }
    }
    Some(written.into_iter().map(|name| name.value.to_owned()).collect())
}

/// A source that is there or not: `true`, or left out.
fn flag(table: &Table<'_, '_>, key: &'static str) -> bool {
    let Some(flag) = table.boolean(key) else { return false };
    if !flag.value {
        let message = format!("`{key}` is `true`, or left out");
        table.error("K-02", flag.span, message);
    }
    flag.value
}

fn source(table: &Table<'_, '_>) -> Option<RoleSource> {
    let (oid, path) = (table.text("x509_extension"), table.text("path"));
    let of = table.text("type");
    let (unit, profile) = (flag(table, "organizational_unit"), flag(table, "profile"));
    match (oid, path) {
        (None, None) if unit != profile && of.is_none() => {
            Some(if unit { RoleSource::Unit } else { RoleSource::Profile })
        }
        (oid, path) if unit || profile || oid.is_some() == path.is_some() => {
            let message = "a role has exactly one source";
            let hint =
                "`x509_extension` with its `type`, `path`, `organizational_unit` or `profile`";
            table.error_with_hint("K-02", table.span(), message, hint);
            None
        }
        (Some(oid), _) => {
            let arcs: Vec<&str> = oid.value.split('.').collect();
            let arc =
                |arc: &&str| arc.parse::<u64>().is_ok_and(|number| number.to_string() == **arc);
            if arcs.len() < 3 || !arcs.iter().all(arc) {
                let message = format!("`{}` is not an object identifier", oid.value);
                table.error_with_hint("K-02", oid.span, message, "numbers joined by dots");
                return None;
            }
            let Some(of) = of else {
                if !table.has("type") {
                    table.missing("K-02", "type", "`utf8`, `ia5` or `printable`");
                }
                return None;
            };
            let known = StringType::NAMES.iter().find(|(name, _)| *name == of.value);
            if known.is_none() {
                let message = format!("there is no string type `{}`", of.value);
                table.error_with_hint("K-02", of.span, message, "`utf8`, `ia5` or `printable`");
            }
            let (_, of) = known?;
            Some(RoleSource::Extension { oid: oid.value.to_owned(), of: *of })
        }
        (None, path) => {
            let path = path?;
            let segments: Vec<String> =
                path.value.trim_start_matches('/').split('/').map(str::to_owned).collect();
            let mut parts = segments.split(|segment| segment == "{role}");
            match (parts.next(), parts.next(), parts.next(), of) {
                (Some(before), Some(behind), None, None)
                    if !segments.iter().any(String::is_empty) =>
                {
                    Some(RoleSource::Path { before: before.to_vec(), behind: behind.to_vec() })
                }
                _ => {
                    let message = format!("`{}` does not say where the role is", path.value);
                    let hint = "one segment is `{role}`: `path = \"/role/{role}/*\"`";
                    table.error_with_hint("K-02", path.span, message, hint);
                    None
                }
            }
        }
    }
}
