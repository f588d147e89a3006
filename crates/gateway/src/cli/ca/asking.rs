//! Asking the Authority: the process that serves it, or the state itself where none does.

use super::with_authority;
use crate::admin::{Fault, client};
use crate::cli::Failure;
use crate::cli::status::socket;
use segwan_pki::authority::Authority;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;

/// Asks for what stands at `path`; where no process serves the state, `here` answers.
pub(super) fn ask<Q: Serialize, A: DeserializeOwned>(
    state: &Path,
    path: &str,
    question: Q,
    here: impl AsyncFnOnce(&Authority, Q) -> Result<A, Fault>,
) -> Result<A, Failure> {
    if client::is_served(&socket(state)) {
        client::post(&socket(state), path, &question)
    } else {
        with_authority(state, async |authority| here(authority, question).await)
    }
}
