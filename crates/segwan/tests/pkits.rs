//! NIST's PKITS: what it refuses is refused here too, or stands in a table with its reason.
//!
//! Which tests there are is public data beside the checkout; `scripts/interop` fetches the
//! certificates. Segwan refuses much that PKITS believes (policies, directory names, old forms);
//! that is no fault, as long as the plain cases are believed.

#[path = "limbo/data.rs"]
mod data;

use segwan::Trust;
use segwan::tls::trust::{StaleCrl, Tolerate, TrustState};
use segwan_pki::revocation::{Accepted, Crl};
use serde_json::Value;
use std::path::PathBuf;

/// Tests that should be refused and are believed.
const BELIEVED: &[(&str, &str)] = &[
    ("Section8AllCertificatesSamePolicyTest1Subpart3", POLICIES),
    ("Section8AllCertificatesNoPoliciesTest2Subpart2", POLICIES),
    ("Section8DifferentPoliciesTest3Subpart2", POLICIES),
    ("Section8DifferentPoliciesTest3Subpart3", POLICIES),
    ("Section15InvaliddeltaCRLTest4", DELTA),
];

const POLICIES: &str = "the caller demands a certificate policy, which Segwan has no words for; what a certificate itself demands of policies is refused";
const DELTA: &str =
    "the complete list does not name it, only a delta list, and those are not taken";

/// Tests that are believed as they should be; fewer would mean that all is refused.
const RIGHTLY_BELIEVED: usize = 30;
/// 2020: inside the life of all that has not ended on purpose.
const AT: i64 = 1_577_836_800;

// PKI-60
#[test]
fn what_pkits_refuses_is_refused_or_has_its_reason() {
    let Some(tests) = data::suite("pkits_expected.json") else { return };
    let tests: Vec<Value> = serde_json::from_slice(&tests).unwrap();
    let certificates = folder();
    if !certificates.is_dir() {
        println!(
            "{} is absent (scripts/interop fetches it), so nothing was tested",
            certificates.display()
        );
        return;
    }
    let (mut believed, mut right, mut refused) = (vec![], 0, 0);
    for test in &tests {
        let name = test["name"].as_str().unwrap();
        match (test["valid"].as_bool().unwrap(), judge(test)) {
            (false, Ok(())) => believed.push(name),
            (true, Ok(())) => right += 1,
            (true, Err(why)) => println!("refused: {name}: {why}"),
            (false, Err(_)) => refused += 1,
        }
    }
    BELIEVED.iter().for_each(|(name, reason)| println!("believed: {name}: {reason}"));
    println!(
        "{} tests: {refused} refused and {right} believed rightly, {} believed wrongly",
        tests.len(),
        believed.len()
    );
    let listed: Vec<_> = BELIEVED.iter().map(|(name, _)| *name).collect();
    assert_eq!(believed, listed);
    assert!(right >= RIGHTLY_BELIEVED, "{right} tests are believed");
}

fn folder() -> PathBuf {
    let workspace = || concat!(env!("CARGO_MANIFEST_DIR"), "/../../target").into();
    let target: PathBuf =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(workspace, PathBuf::from);
    target.join("interop/pkits")
}

/// The first certificate is the root, the last one the peer's. PKITS has lists of all issuers, and
/// its certificates do not say what they are for.
fn judge(test: &Value) -> Result<(), String> {
    let read = |kind: &str, end: &str| -> Vec<Vec<u8>> {
        let names = test[kind].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
        let at = folder().join(kind);
        names.map(|name| std::fs::read(at.join(format!("{name}.{end}"))).unwrap()).collect()
    };
    let issuers = read("certs", "crt");
    let accept = |der: &Vec<u8>| match Crl::accept(der, &issuers, None, AT * 1000) {
        Ok(Accepted::Newer(crl)) => Some(crl),
        Ok(Accepted::Same) | Err(_) => None,
    };
    let state = TrustState {
        roots: issuers.first().cloned().into_iter().collect(),
        crls: read("crls", "crl").iter().filter_map(accept).collect(),
        needs_crl: true,
        ..TrustState::default()
    };
    let tolerate = Tolerate { missing_eku: true, ..Tolerate::default() };
    let trust = Trust::files_of(state, tolerate).map_err(|error| error.to_string())?;
    trust.set_stale_crl(StaleCrl::Refuse);
    let chain: Vec<_> = issuers.into_iter().skip(1).rev().collect();
    trust.judge_path(&chain, false, AT).map(|_| ()).map_err(|error| error.to_string())
}
