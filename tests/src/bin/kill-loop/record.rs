//! `Record`: what the clients were given and told, against which the store is held at the end.

use segwan_pki::certificate::Certificate;
use segwan_pki::directory::StoredCredentials;
use segwan_pki::key::hex;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shared by all clients.
#[derive(Default)]
pub(crate) struct Record(Mutex<Known>);

/// One certificate that a client received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) name: String,
    pub(crate) issuer: String,
    pub(crate) der: Vec<u8>,
}

#[derive(Default)]
struct Known {
    held: BTreeMap<String, Held>,
    ended: BTreeSet<String>,
    enrolled: usize,
    renewed: usize,
    revoked: usize,
    /// Answers that a kill cut off.
    lost: usize,
    fault: Option<String>,
}

impl Record {
    /// A client received this certificate; gives its serial number.
    pub(crate) fn received(&self, name: &str, stored: &StoredCredentials) -> String {
        let der = stored.chain.first().cloned().unwrap_or_default();
        let mut known = self.lock();
        let Ok(read) = Certificate::read(&der) else {
            known.fault = Some(format!("`{name}` was given what is no certificate"));
            return String::new();
        };
        let (serial, issuer) = (hex(&read.serial), hex(&read.authority_key.unwrap_or_default()));
        let held = Held { name: name.to_owned(), issuer, der };
        let before = known.held.insert(serial.clone(), held.clone());
        if before.is_some_and(|before| before != held) {
            known.fault = Some(format!("two certificates have the serial number {serial}"));
        }
        serial
    }

    /// The Authority has said that these are revoked.
    pub(crate) fn ended(&self, serials: impl IntoIterator<Item = String>) {
        self.lock().ended.extend(serials);
    }

    pub(crate) fn enrolled(&self) {
        self.lock().enrolled += 1;
    }

    pub(crate) fn renewed(&self) {
        self.lock().renewed += 1;
    }

    pub(crate) fn revoked(&self) {
        self.lock().revoked += 1;
    }

    pub(crate) fn lost(&self) {
        self.lock().lost += 1;
    }

    /// Something that must not be.
    pub(crate) fn wrong(&self, what: String) {
        self.lock().fault.get_or_insert(what);
    }

    /// The first thing that must not be.
    pub(crate) fn fault(&self) -> Result<(), Box<dyn Error>> {
        self.lock().fault.clone().map_or(Ok(()), |what| Err(what.into()))
    }

    /// By serial number: what clients received.
    pub(crate) fn held(&self) -> BTreeMap<String, Held> {
        self.lock().held.clone()
    }

    /// Serial numbers of which the Authority has said that they are revoked.
    pub(crate) fn all_ended(&self) -> BTreeSet<String> {
        self.lock().ended.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.lock();
        let Known { enrolled, renewed, revoked, lost, .. } = &*known;
        write!(f, "{enrolled} enrollments, {renewed} renewals, {revoked} revocations, ")?;
        write!(f, "{lost} answers cut off")
    }
}
