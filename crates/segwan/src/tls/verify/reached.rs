//! `Reached`: whether a walk came from a root down to the leaf, whatever was found on the way.
//!
//! webpki names the gravest fault of all paths that it tried, and that may be of a path which leads
//! nowhere. It checks signatures from a root downwards and the leaf's last of all, so the leaf's
//! holds only at the end of a path that begins at a root and is inside its validity.

use rustls::pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm,
};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Notes when a signature over one certificate, in this very place in memory, holds.
#[derive(Debug)]
pub(super) struct Reached<'l> {
    leaf: &'l [u8],
    noted: AtomicBool,
}

impl<'l> Reached<'l> {
    pub(super) fn of(leaf: &'l CertificateDer<'_>) -> Self {
        Self { leaf, noted: AtomicBool::new(false) }
    }

    pub(super) fn yes(&self) -> bool {
        self.noted.load(Ordering::Relaxed)
    }

    /// The same algorithms, listened to.
    pub(super) fn heard(
        &'l self,
        algorithms: &[&'static dyn SignatureVerificationAlgorithm],
    ) -> Vec<Heard<'l>> {
        algorithms.iter().map(|inner| Heard { inner: *inner, reached: self }).collect()
    }

    fn is_of_leaf(&self, message: &[u8]) -> bool {
        let Range { start, end } = self.leaf.as_ptr_range();
        !message.is_empty() && (start..end).contains(&message.as_ptr())
    }
}

/// An algorithm that tells what holds by it.
#[derive(Debug)]
pub(super) struct Heard<'l> {
    inner: &'static dyn SignatureVerificationAlgorithm,
    reached: &'l Reached<'l>,
}

impl SignatureVerificationAlgorithm for Heard<'_> {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        self.inner.verify_signature(public_key, message, signature)?;
        if self.reached.is_of_leaf(message) {
            self.reached.noted.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.inner.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.inner.signature_alg_id()
    }

    fn fips(&self) -> bool {
        self.inner.fips()
    }
}
