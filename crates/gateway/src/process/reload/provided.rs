//! `Provided`: what a changed table needs on the disk. It is looked at before anything changes, and
//! written when the reload is in force.

use super::Running;
use crate::capture::{self, Capture};
use crate::gateway::{Change, Inspection};
use crate::process::now_ms;
use crate::quotas;
use segwan_core::contract::{Contract, journal};
use segwan_core::finding::Finding;
use segwan_core::now::Now;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// What a table needs on the disk, looked at and not yet changed: another table may be refused.
pub(super) enum Provided {
    Quotas(Arc<Contract>, journal::Ready),
    Record(Arc<Capture>, capture::Ready),
}

impl Provided {
    pub(super) fn install(self) {
        match self {
            Self::Quotas(contract, ready) => {
                let now = Now { instant: Instant::now(), unix_ms: now_ms() };
                if let Err(why) = contract.keep_quotas(ready, now) {
                    // Its messages are refused until it can be written, and there is an alarm.
                    tracing::error!("`{}`: {why}", contract.name());
                }
            }
            Self::Record(capture, ready) => {
                if let Err(error) = capture.start(ready) {
                    tracing::error!("nothing is recorded: {error}");
                }
            }
        }
    }
}

/// What is needed on the disk before a table can change: a journal of its quotas, a record.
pub(super) fn provide(
    running: &Running,
    state: &Path,
    change: &Change,
) -> Result<Option<Provided>, Finding> {
    let table = &change.table;
    match &change.inspection {
        Inspection::Contract(contract) if contract.persists_quotas() => {
            if let Some(accounts) = running.gateway.accounts(table) {
                contract.continue_with(&accounts);
            }
            if contract.keeps_quotas() {
                return Ok(None);
            }
            let now = Now { instant: Instant::now(), unix_ms: now_ms() };
            quotas::ready(state, table, contract, now, &running.unwritten)
                .map(|ready| Some(Provided::Quotas(contract.clone(), ready)))
                .map_err(|failure| Finding::whole(table, failure.to_string()))
        }
        Inspection::Recorded(capture) if !capture.is_open() => {
            let unwritable = |error| format!("the record of `{table}` cannot be written: {error}");
            let ready = Capture::ready(state, table);
            ready
                .map(|ready| Some(Provided::Record(capture.clone(), ready)))
                .map_err(|error| Finding::whole(table, unwritable(error)))
        }
        _ => Ok(None),
    }
}
