//! V1, V4 and V7: what a peer's own certificate has to be.

use super::path::is_strong;
use super::{Purpose, Refusal, Verifier};
use segwan_core::rejection::Reason;
use segwan_pki::certificate::Certificate;

impl Verifier {
    /// V1: the key usage has to be there and name the purpose; webpki lets an absent one pass.
    pub(super) fn check_usage(&self, leaf: &Certificate) -> Result<(), Refusal> {
        let needed = self.purpose.needed();
        let fault = |why: String| Err((Reason::WrongUsage, why));
        match leaf.purposes {
            None if self.rule.tolerates().missing_eku => Ok(()),
            None => fault(format!("has no extended key usage; it needs {needed}")),
            Some(purposes) if purposes.any => fault("may be used for anything".to_owned()),
            Some(purposes) => {
                let fits = match self.purpose {
                    Purpose::Listening => purposes.server,
                    Purpose::Dialling => purposes.client,
                    Purpose::Either => purposes.server || purposes.client,
                };
                if fits { Ok(()) } else { fault(format!("is not made for {needed}")) }
            }
        }
    }

    /// V4 and V7 for the leaf.
    pub(super) fn check_leaf(&self, leaf: &Certificate) -> Result<(), Refusal> {
        let fault = |why: &str| Err((Reason::CertificateInvalid, why.to_owned()));
        if leaf.is_ca || leaf.may_sign_certificates == Some(true) {
            return fault("may issue certificates, so it speaks for nobody");
        }
        if leaf.name_constraints.is_some() {
            return fault("has name constraints, which belong to issuers");
        }
        let serial = leaf.serial.as_slice();
        let positive = serial.first().is_some_and(|first| *first < 0x80)
            && serial.iter().any(|byte| *byte != 0);
        if !positive || serial.len() > 20 {
            return fault("has no positive serial number of at most 20 octets");
        }
        if leaf.subject_is_empty && !leaf.names_are_critical {
            return fault("has neither a subject nor critical alternative names");
        }
        if leaf.authority_key.is_none() && !self.rule.tolerates().missing_aki {
            return fault("does not name its issuer's key");
        }
        if leaf.key_identifiers_are_critical {
            return fault("has a critical key identifier");
        }
        if !is_strong(leaf.key) {
            return fault("has a key that is too weak or of an unknown kind");
        }
        Ok(())
    }
}
