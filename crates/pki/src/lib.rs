//! Keys, certificates and the Authority: who may be believed.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

pub mod api;
pub mod authority;
pub mod certificate;
pub mod directory;
pub mod enrollment;
pub mod key;
mod ledger;
pub mod profile;
pub mod renewal;
pub mod store;
pub mod x509;
