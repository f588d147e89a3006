//! Keys, certificates and the Authority: who may be believed.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

pub mod api;
pub mod authority;
pub mod bundle;
pub mod certificate;
pub mod custody;
pub mod directory;
pub mod enrollment;
pub mod key;
mod ledger;
pub mod lint;
pub mod profile;
pub mod renewal;
pub mod revocation;
pub mod store;
#[cfg(test)]
mod watching;
pub mod x509;
