//! `[service.NAME.shadow]` as written: a contract that is tried beside what is in force.
//!
//! It is held to as much as one in force, so that it can take that place as it is.

use super::{Reading, VALUE, half, service};
use crate::config::{Service, compile};
use crate::gateway::{Inspection, Tried};
use segwan_core::contract::Contract;
use segwan_core::document::Table;
use segwan_core::identity::Identity;
use segwan_core::policy::PolicySource;
use std::sync::Arc;

/// The slot of a service, before it is known what is in force beside it.
pub(super) struct Slot<'d, 't> {
    table: Table<'d, 't>,
    contract: Arc<Contract>,
    /// None: those of the service.
    rules: Option<(Vec<Identity>, Vec<PolicySource>)>,
}

/// Reads the slot of a service, if it has one.
pub(super) fn slot<'d, 't>(
    service: &Table<'d, 't>,
    reading: &Reading<'_>,
) -> Option<Option<Slot<'d, 't>>> {
    let Some(table) = service.table("shadow") else {
        return (!service.has("shadow")).then_some(None);
    };
    let contract = contract(&table, reading);
    let own = table.has("allow") || table.has("policy");
    let allow = service::allow(&table, reading);
    let policies = service::policies(&table, reading);
    table.finish();
    let (contract, rules) = (contract?, allow?);
    let rules = (rules, policies?);
    Some(Some(Slot { table, contract, rules: own.then_some(rules) }))
}

impl Slot<'_, '_> {
    /// What is tried beside this service.
    pub(super) fn tried(
        self,
        table: &Table<'_, '_>,
        of: &Service,
        reading: &Reading<'_>,
    ) -> Option<Tried> {
        let Self { table: slot, contract, rules } = self;
        let other = match of.inspection {
            Inspection::Raw | Inspection::Contract(_) => None,
            Inspection::Recorded(_) => Some("`record = \"frames\"`"),
            Inspection::Shadow(_) => Some("a contract that is itself in shadow mode"),
        };
        if let Some(other) = other {
            let message = format!("`{}` tries nothing beside {other}", slot.name());
            let hint = "beside a contract that is enforced, or `contract = \"raw\"`";
            table.error_with_hint(VALUE, table.key_span("shadow"), message, hint);
            return None;
        }
        let own = rules.is_some();
        let (allow, policies) = rules.unwrap_or_else(|| (of.allow.clone(), of.policies.clone()));
        let files: Vec<String> = policies.iter().map(|source| source.file.clone()).collect();
        match compile(&of.name, Some(&contract), &allow, &policies) {
            Ok((policy, warnings)) => {
                half::replaced(&slot, &files, warnings, reading);
                Some(Tried { contract, policy: Arc::new(policy) })
            }
            Err(findings) => {
                half::replaced(&slot, &files, findings, reading);
                if !own {
                    let (service, tried) = (table.name(), contract.name());
                    let message = format!("the policy of `{service}` does not fit `{tried}`");
                    let hint = "a `policy` beside that `contract` is tried with it";
                    slot.error_with_hint("C13", slot.key_span("contract"), message, hint);
                }
                None
            }
        }
    }
}

fn contract(slot: &Table<'_, '_>, reading: &Reading<'_>) -> Option<Arc<Contract>> {
    let hint = "`contract = \"FILE\"`: what is tried";
    let Some(text) = slot.text("contract") else {
        if !slot.has("contract") {
            slot.missing("C14", "contract", hint);
        }
        return None;
    };
    if text.value == "raw" {
        let message = format!("`raw` in `{}` tries nothing", slot.name());
        slot.error_with_hint(VALUE, text.span, message, hint);
        return None;
    }
    half::contract_of(slot, &text, hint, reading)
}
