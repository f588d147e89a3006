//! A line of the event stream of any bytes: it is refused, or reads back as the same line; what it
//! tells is taken as an agent takes it, and nothing in it is believed without a root.
#![no_main]

use libfuzzer_sys::fuzz_target;
use segwan_core::identity::TrustDomain;
use segwan_pki::api::{self, AgentEvent, EventLine, RevokedCertificate, SignedBundle};
use segwan_pki::bundle::Bundle;
use segwan_pki::key::from_hex;
use segwan_pki::revocation::{CRL_BYTES, Crl, CrlError, RevokedSet};

const NOW: i64 = 1_790_000_000_000;

fuzz_target!(|bytes: &[u8]| {
    let Ok(line) = serde_json::from_slice::<EventLine>(bytes) else { return };
    let again = serde_json::to_vec(&line).expect("a line is JSON");
    assert_eq!(serde_json::from_slice::<EventLine>(&again).expect("a line reads back"), line);
    assert!(!again.contains(&b'\n'), "a line is one line");
    match &line.event {
        AgentEvent::Hello | AgentEvent::Keepalive | AgentEvent::RenewNow { .. } => {}
        AgentEvent::Revoked { certificates, crls } => {
            revoked(certificates);
            lists(crls);
        }
        AgentEvent::Bundle { bundle, crls } => {
            believed_by_nobody(bundle);
            lists(crls);
        }
        AgentEvent::Snapshot { trust } => {
            believed_by_nobody(&trust.bundle);
            lists(&trust.crls);
            revoked(&trust.revoked);
        }
    }
});

/// Whoever is told of is refused from then on, however the number is spelt.
fn revoked(certificates: &[RevokedCertificate]) {
    let mut set = RevokedSet::default();
    for one in certificates {
        match &one.key {
            None => {
                set.insert(&one.issuer, &one.serial).expect("a line is shorter than the set");
                assert!(set.has_serial(&one.issuer, &format!("00{}", one.serial)));
            }
            Some(key) => {
                let Some(key) = from_hex(key).and_then(|key| key.try_into().ok()) else { continue };
                set.insert_key(key).expect("a line is shorter than the set");
                assert!(set.is_revoked("", "", &key));
            }
        }
    }
    assert!(set.len() <= certificates.len());
}

fn lists(crls: &[String]) {
    for der in crls.iter().filter_map(|text| api::der(text, CRL_BYTES)) {
        assert_ne!(Crl::read(&der).err(), Some(CrlError::Panicked), "the parser panicked");
    }
}

fn believed_by_nobody(bundle: &SignedBundle) {
    let domain: TrustDomain = "segwan.internal".parse().expect("a trust domain");
    assert!(Bundle::accept(bundle, &[], &domain, (None, &[]), NOW).is_err());
}
