//! `[service.NAME]` as written.

use super::{Reading, VALUE, half, limits, listeners, slot, values};
use crate::capture::Capture;
use crate::config::{Service, policy, read};
use crate::gateway::{Inspection, Upstream};
use segwan_core::document::{Placed, Table};
use segwan_core::identity::Identity;
use segwan_core::policy::PolicySource;
use std::net::SocketAddr;

/// Most policy files of one service.
const POLICIES: usize = 64;
/// Most names of members that a record masks.
const MASKS: usize = 64;

/// Reads one service.
pub(super) fn service(table: &Table<'_, '_>, name: &str, reading: &Reading<'_>) -> Option<Service> {
    let name = half::name(table, name, reading);
    let listen = values::needed_address(table, "listen", "0.0.0.0:7443");
    if let Some(listen) = &listen {
        reading.listens(format!("`{}`", table.name()), listen);
    }
    let upstream = upstream(table, listen.as_ref());
    let inspection = half::inspection(table, reading);
    let inspection = recorded(table, inspection);
    let slot = slot::slot(table, reading);
    let allow = allow(table, reading);
    let policies = policies(table, reading);
    if !table.has("allow") && !table.has("policy")
        || allow.as_ref().is_some_and(Vec::is_empty) && !table.has("policy")
    {
        let message = format!("`{}` names nobody who may connect", table.name());
        let hint = "`allow = [\"app\"]`, or `policy = \"FILE\"` in Cedar";
        table.error_with_hint("C2", table.span(), message, hint);
        return None;
    }
    let limits = limits::limits(table, reading.drain);
    let contract_grace = half::contract_grace(table);
    half::waits(table, inspection.as_ref(), &limits);
    let tls = half::tls(table);
    let identity = half::source(table, name.as_deref().unwrap_or_default(), reading);
    let audit_all = values::choice(table, "audit_messages", &[("denied", false), ("all", true)]);
    let service = Service {
        name: name?,
        listen: listen?.value,
        upstream: upstream?,
        inspection: inspection?,
        beside: None,
        allow: allow?,
        policies: policies?,
        limits,
        contract_grace,
        tls: tls?,
        identity: identity?,
        audit_all: audit_all?,
    };
    if service.audit_all && !matches!(service.inspection, Inspection::Contract(_)) {
        let message = "`audit_messages` does nothing without a contract that is enforced";
        table.error(VALUE, table.key_span("audit_messages"), message);
    }
    let files: Vec<String> = service.policies.iter().map(|source| source.file.clone()).collect();
    let findings = match policy(&service) {
        Ok((_, warnings)) => warnings,
        Err(findings) => findings,
    };
    half::replaced(table, &files, findings, reading);
    let beside = match slot? {
        Some(slot) => Some(slot.tried(table, &service, reading)?),
        None => None,
    };
    Some(Service { beside, ..service })
}

/// `record = "frames"`: what passes is recorded, where nothing is inspected.
fn recorded(table: &Table<'_, '_>, inspection: Option<Inspection>) -> Option<Inspection> {
    let wanted = values::choice(table, "record", &[("off", false), ("frames", true)])?;
    let masked = if table.has("record_mask") {
        values::texts(table, "record_mask", MASKS)?.iter().map(|m| m.value.to_owned()).collect()
    } else {
        Vec::new()
    };
    match inspection? {
        Inspection::Raw if wanted => Some(Inspection::Recorded(Capture::masking(masked))),
        Inspection::Contract(_) | Inspection::Shadow(_) if wanted => {
            let message =
                "`record` has no meaning beside a contract, which records refusals itself";
            let hint = "`contract = \"raw\"`, or `audit_messages = \"all\"`";
            table.error_with_hint(VALUE, table.key_span("record"), message, hint);
            None
        }
        inspection => {
            if table.has("record_mask") {
                let message = "`record_mask` does nothing without `record = \"frames\"`";
                table.error(VALUE, table.key_span("record_mask"), message);
            }
            Some(inspection)
        }
    }
}

/// C4: what is sent to another host in the clear has to be asked for. C21: no way back.
fn upstream(table: &Table<'_, '_>, listen: Option<&Placed<SocketAddr>>) -> Option<Upstream> {
    const DANGER: &str = "danger_plaintext_upstream";
    let accepted = table.boolean(DANGER).is_some_and(|danger| danger.value);
    let Some(text) = table.text("upstream") else {
        if !table.has("upstream") {
            let hint = "`upstream = \"127.0.0.1:8000\"` or `\"unix:/run/app.sock\"`";
            table.missing(VALUE, "upstream", hint);
        }
        return None;
    };
    let upstream = match text.value.parse::<Upstream>() {
        Ok(upstream) => upstream,
        Err(error) => {
            table.error(VALUE, text.span, error.to_string());
            return None;
        }
    };
    if let (Upstream::Tcp(to), Some(listen)) = (&upstream, listen)
        && listeners::leads_back(listen.value, *to)
    {
        let message = format!("upstream `{upstream}` is where `{}` itself listens", table.name());
        table.error("C21", text.span.clone(), message);
    }
    match (upstream.is_local(), accepted) {
        (false, false) => {
            let message = format!(
                "upstream `{upstream}` is not on this host, so messages would cross the network in the clear"
            );
            let hint = "run segwan beside the service, or reach it through a `[client.NAME]`; \
                        `danger_plaintext_upstream = true` accepts it";
            table.error_with_hint("C4", text.span, message, hint);
        }
        (true, true) => {
            let message =
                format!("`{DANGER}` does nothing here: upstream `{upstream}` is on this host");
            table.error_with_hint(VALUE, table.key_span(DANGER), message, "remove it");
        }
        _ => {}
    }
    Some(upstream)
}

pub(super) fn allow(table: &Table<'_, '_>, reading: &Reading<'_>) -> Option<Vec<Identity>> {
    let Some(texts) = table.texts("allow") else {
        return (!table.has("allow")).then(Vec::new);
    };
    half::identities(table, &texts, "C3", reading)
}

pub(super) fn policies(table: &Table<'_, '_>, reading: &Reading<'_>) -> Option<Vec<PolicySource>> {
    if !table.has("policy") {
        return Some(Vec::new());
    }
    let mut sources = Vec::new();
    let mut good = true;
    for text in values::texts(table, "policy", POLICIES)? {
        let path = reading.path(text.value);
        match read::text(&path) {
            Ok(text) => sources.push(PolicySource { file: path.display().to_string(), text }),
            Err(why) => {
                table.error("C13", text.span, why);
                good = false;
            }
        }
    }
    good.then_some(sources)
}
