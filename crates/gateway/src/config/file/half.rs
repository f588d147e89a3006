//! What a service and a client half have in common: a name, an identity, a contract, a TLS version.

use super::{Reading, VALUE, foreign, values};
use crate::config::{IdentitySource, contract, read};
use crate::gateway::{CONTRACT_GRACE, Inspection};
use segwan::TlsFloor;
use segwan_core::contract::Contract;
use segwan_core::document::{Placed, Table};
use segwan_core::finding::Finding;
use segwan_core::identity::{Identity, IdentityError};
use segwan_core::limits::Limits;
use std::sync::Arc;
use std::time::Duration;

/// The table's name is the name in logs, metrics and certificates, so it has their grammar.
pub(super) fn name(table: &Table<'_, '_>, name: &str, reading: &Reading<'_>) -> Option<String> {
    match reading.trust_domain.identity(name) {
        Ok(_) => Some(name.to_owned()),
        Err(error) => {
            table.error(VALUE, table.span(), error.to_string());
            None
        }
    }
}

/// What is looked at: a contract from a file, or nothing, by the word `raw`.
pub(super) fn inspection(table: &Table<'_, '_>, reading: &Reading<'_>) -> Option<Inspection> {
    let Some(text) = table.text("contract") else {
        if !table.has("contract") {
            let hint = "`contract = \"FILE\"`; `contract = \"raw\"` looks at nothing";
            table.missing("C14", "contract", hint);
        }
        return None;
    };
    if text.value == "raw" {
        return Some(Inspection::Raw);
    }
    let hint = "`contract = \"raw\"` looks at nothing";
    contract_of(table, &text, hint, reading).map(Inspection::by)
}

/// The contract that a file holds; `hint` says what else may be meant.
pub(super) fn contract_of(
    table: &Table<'_, '_>,
    text: &Placed<&str>,
    hint: &str,
    reading: &Reading<'_>,
) -> Option<Arc<Contract>> {
    let path = reading.path(text.value);
    let source = match read::text(&path) {
        Ok(source) => source,
        Err(why) => {
            table.error_with_hint("C12", text.span.clone(), why, hint);
            return None;
        }
    };
    let (contract, findings) = match contract::load_text(&path, &source) {
        Ok((contract, warnings)) => (Some(contract), warnings),
        Err(findings) => (None, findings),
    };
    reading.elsewhere.borrow_mut().extend(findings);
    contract
}

/// How long connections go on under a contract that a reload replaces: `0s` to 24 h.
pub(super) fn contract_grace(table: &Table<'_, '_>) -> Duration {
    let most = Duration::from_secs(24 * 3600);
    values::wait(table, "contract_grace", Duration::ZERO, most)
        .map_or(CONTRACT_GRACE, |grace| grace.value)
}

/// K-17: a contract tightens the waits of its table, and never widens them.
pub(super) fn waits(table: &Table<'_, '_>, inspection: Option<&Inspection>, limits: &Limits) {
    let contract = inspection.and_then(Inspection::contract);
    for message in contract.into_iter().flat_map(|of| of.limits().longer_than(limits)) {
        let hint = "a shorter wait in the contract, or a longer one in the table's `limits`";
        table.error_with_hint("K-17", table.key_span("contract"), message, hint);
    }
}

/// Least TLS version; 1.2 must be asked for.
pub(super) fn tls(table: &Table<'_, '_>) -> Option<TlsFloor> {
    values::choice(table, "tls_min", &[("1.3", TlsFloor::V13), ("1.2", TlsFloor::V12)])
}

/// Where certificate, key and roots come from: exactly one source.
pub(super) fn source(
    table: &Table<'_, '_>,
    name: &str,
    reading: &Reading<'_>,
) -> Option<IdentitySource> {
    let from_files = ["credentials", "trust"].map(|key| table.has(key));
    if table.has("identity") && from_files.contains(&true) {
        let message = format!("`{}` has two sources of its identity", table.name());
        let hint =
            "`identity` is a name in the state directory; `credentials` and `trust` are files";
        table.error_with_hint("C6", table.key_span("identity"), message, hint);
    }
    match from_files {
        [false, false] => state(table, name, reading),
        [true, true] => files(table, reading),
        [true, false] => {
            let hint = "`trust = { roots = \"roots.pem\" }`: whom it believes";
            table.missing("C5", "trust", hint);
            files(table, reading)
        }
        [false, true] => {
            let hint =
                "`credentials = { chain = \"chain.pem\", key = \"key.pem\" }`: what it shows";
            table.missing("C6", "credentials", hint);
            files(table, reading)
        }
    }
}

fn state(table: &Table<'_, '_>, name: &str, reading: &Reading<'_>) -> Option<IdentitySource> {
    let Some(text) = table.text("identity") else {
        return (!table.has("identity")).then(|| IdentitySource::State(name.to_owned()));
    };
    if let Err(error) = reading.trust_domain.identity(text.value) {
        let hint = "the name by which it was registered, such as `app`";
        table.error_with_hint(VALUE, text.span, error.to_string(), hint);
        return None;
    }
    Some(IdentitySource::State(text.value.to_owned()))
}

fn files(table: &Table<'_, '_>, reading: &Reading<'_>) -> Option<IdentitySource> {
    let credentials = table.table("credentials").map(|credentials| {
        let path = |key| foreign::path(&credentials, "C6", key, reading);
        let files = (path("chain"), path("key"));
        credentials.finish();
        files
    });
    let trust = table.table("trust").map(|trust| {
        let files = foreign::files(&trust, reading);
        let mapping = foreign::mapping_of_files(&trust, reading);
        trust.finish();
        files.zip(mapping)
    });
    let (chain, key) = credentials?;
    let (trust, mapping) = trust??;
    Some(IdentitySource::Files { chain: chain?, key: key?, trust, mapping })
}

/// Identities as written: a short name is meant in the trust domain.
pub(super) fn identities(
    table: &Table<'_, '_>,
    texts: &[Placed<&str>],
    check: &'static str,
    reading: &Reading<'_>,
) -> Option<Vec<Identity>> {
    let mut identities: Vec<Identity> = Vec::new();
    let mut good = true;
    for text in texts {
        match identity(text.value, reading) {
            Ok(identity) if identities.contains(&identity) => {
                table.error(check, text.span.clone(), format!("`{}` is there twice", text.value));
                good = false;
            }
            Ok(identity) => identities.push(identity),
            Err(error) => {
                let hint = "`app`, `spiffe://shop.example/app` or `dns:app.shop.example`";
                table.error_with_hint(check, text.span.clone(), error.to_string(), hint);
                good = false;
            }
        }
    }
    good.then_some(identities)
}

fn identity(text: &str, reading: &Reading<'_>) -> Result<Identity, IdentityError> {
    if text.contains(':') { text.parse() } else { reading.trust_domain.identity(text) }
}

/// Findings of policies: those about no file of the operator's get the place of the table.
pub(super) fn replaced(
    table: &Table<'_, '_>,
    files: &[String],
    findings: Vec<Finding>,
    reading: &Reading<'_>,
) {
    for finding in findings {
        if files.contains(&finding.file) {
            reading.elsewhere.borrow_mut().push(finding);
        } else {
            let check = finding.check.unwrap_or("C13");
            let here = table.document().error(check, table.span(), finding.message);
            let here = Finding { severity: finding.severity, ..here };
            table.document().find(here.hint_if(finding.hint));
        }
    }
}
