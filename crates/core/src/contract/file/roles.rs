//! `[identity]` as written: where a peer's role is read.

use super::refuse_later;
use crate::contract::role::{RoleRule, RoleSource, StringType};
use crate::document::Table;

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
    refuse_later(&table, &[("organizational_unit", 1), ("profile", 1), ("issuers", 1)]);
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
    let source = source(&table);
    table.finish();
    Some(RoleRule { source: source?, refuse, allow })
}

fn source(table: &Table<'_, '_>) -> Option<RoleSource> {
    let (oid, path) = (table.text("x509_extension"), table.text("path"));
    let of = table.text("type");
    match (oid, path) {
        (Some(oid), None) => {
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
        (None, Some(path)) => {
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
        _ => {
            let message = "a role has exactly one source: `x509_extension` or `path`";
            table.error("K-02", table.span(), message);
            None
        }
    }
}
