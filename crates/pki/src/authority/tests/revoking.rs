use super::*;
use crate::certificate::Certificate;
use crate::revocation::{Crl, RevocationReason};
use proptest::prelude::*;

const DAY: i64 = 24 * HOUR;

fn serial(issued: &Issued) -> String {
    Certificate::read(&issued.chain[0]).unwrap().serial_hex()
}

async fn revoke(world: &World, what: &str, reason: RevocationReason) -> Revocation {
    let selector = Selector::parse(what, world.authority.trust_domain()).unwrap();
    world.authority.revoke(&selector, reason, NOW).await.unwrap()
}

/// The serial numbers on the list of the active key.
async fn listed(authority: &Authority) -> Vec<String> {
    let id = authority.keys().active().unwrap().id.clone();
    let (number, der) = authority.crl(&id).await.unwrap().unwrap();
    let crl = Crl::read(&der).unwrap();
    assert_eq!(i64::try_from(crl.number).unwrap(), number);
    crl.serials().map(hex).collect()
}

// PKI-39: what is revoked stands on the list, cannot renew, and its name cannot enroll.
#[tokio::test]
async fn a_revoked_name_is_on_the_list_and_gets_nothing_more() {
    let world = World::new().await;
    let issued = world.enroll(&world.token().await, &csr(), NOW).await.unwrap();
    let spare = world.token().await;
    let done = revoke(&world, "app", RevocationReason::PrivilegeWithdrawn).await;
    assert_eq!((done.certificates.len(), done.tokens), (1, 1));
    assert_eq!(done.disabled.as_deref(), Some("app"));
    assert_eq!(listed(&world.authority).await, [serial(&issued)]);

    let refused = world.authority.renew(&issued.chain[0], &csr(), NOW).await.unwrap_err();
    assert_eq!(refused.refusal(), (403, "renewal_refused"));
    assert!(refused.to_string().contains("privilege_withdrawn"), "{refused}");
    let refused = world.enroll(&spare, &csr(), NOW).await.unwrap_err();
    assert_eq!(refused.refusal(), (403, "token_refused"));
    let minted = world.authority.mint_token("app", Vec::new(), Duration::from_secs(600), NOW).await;
    assert!(minted.err().unwrap().to_string().contains("disabled"));

    // Enabled again it enrolls anew; what was revoked stays so.
    world.authority.enable("app", NOW).await.unwrap();
    let anew = world.enroll(&world.token().await, &csr(), NOW).await.unwrap();
    assert_eq!(listed(&world.authority).await, [serial(&issued)]);
    assert!(world.authority.renew(&anew.chain[0], &csr(), NOW).await.is_ok());
    assert!(world.authority.renew(&issued.chain[0], &csr(), NOW).await.is_err());
    assert!(world.authority.verify_ledger().await.is_ok());
}

// PKI-39: by each selector.
#[tokio::test]
async fn every_selector_finds_its_certificates_and_no_other() {
    let world = World::new().await;
    let orders = world.authority.issue_local("orders", &csr(), NOW + HOUR).await.unwrap();
    for kind in ["serial", "lineage", "key", "identity", "before"] {
        world.authority.enable("app", NOW).await.unwrap();
        let issued = world.enroll(&world.token().await, &csr(), NOW).await.unwrap();
        let leaf = Certificate::read(&issued.chain[0]).unwrap();
        let what = match kind {
            "serial" => format!("serial:{}", serial(&issued).to_uppercase()),
            "lineage" => format!("lineage:{}", issued.lineage),
            "key" => format!("key:{}", hex(&sha256(&leaf.public_key))),
            "identity" => "spiffe://segwan.internal/app".to_owned(),
            _ => format!("before:{}", jiff::Timestamp::from_millisecond(NOW + 1).unwrap()),
        };
        let done = revoke(&world, &what, RevocationReason::Unspecified).await;
        let serials: Vec<_> = done.certificates.into_iter().map(|(_, serial)| serial).collect();
        assert_eq!(serials, [serial(&issued)], "{kind}");
        assert_eq!(done.names, ["app"], "{kind}");
    }
    assert!(world.authority.renew(&orders.chain[0], &csr(), NOW).await.is_ok());
    for (what, expected) in [
        ("serial:00ff", "no certificate in force has the serial number `00ff`"),
        ("serial:xyz", "`serial:xyz` names no serial number: at least 2 hexadecimal digits follow"),
        ("token:abcd", "no open token is called `abcd`"),
        ("colour:red", "`colour:` is unknown"),
        ("before:noon", "`noon` is no time"),
        ("spiffe://elsewhere/app", "is not of the trust domain `segwan.internal`"),
        ("nobody", "no registration is called `nobody`"),
        ("../x", "registration"),
    ] {
        let domain = world.authority.trust_domain().clone();
        let refused = match Selector::parse(what, &domain) {
            Ok(selector) => {
                let reason = RevocationReason::Unspecified;
                world.authority.revoke(&selector, reason, NOW).await.unwrap_err()
            }
            Err(error) => error,
        };
        let text = refused.to_string();
        assert!(text.contains(expected) || what == "../x", "{what}: {text}");
    }
}

// PKI-26: a compromised key is denied for good, whoever brings it.
#[tokio::test]
async fn a_compromised_key_is_never_certified_again() {
    let world = World::new().await;
    let request = csr();
    world.enroll(&world.token().await, &request, NOW).await.unwrap();
    revoke(&world, "app", RevocationReason::KeyCompromise).await;
    world.authority.enable("app", NOW).await.unwrap();
    let refused = world.enroll(&world.token().await, &request, NOW).await.unwrap_err();
    assert_eq!(refused.refusal(), (422, "request_refused"));
    assert!(refused.to_string().contains("denied"), "{refused}");
    let trust = world.authority.trust(NOW).await.unwrap();
    assert_eq!(trust.revoked.len(), 1);
    assert_eq!(trust.revoked[0].key.as_ref().unwrap().len(), 64);
}

// A rebuilt machine takes the place of the old one (pki.md section 9.1).
#[tokio::test]
async fn a_new_enrollment_revokes_the_machine_that_it_replaces() {
    let world = World::new().await;
    let old = world.enroll(&world.token().await, &csr(), NOW).await.unwrap();
    let new = world.enroll(&world.token().await, &csr(), NOW).await.unwrap();
    assert_eq!(listed(&world.authority).await, [serial(&old)]);
    assert!(world.authority.renew(&old.chain[0], &csr(), NOW).await.is_err());

    // A fleet that shares a name has as many places as it was given.
    let registration = Registration {
        on_reenroll: OnReenroll::Add,
        max_lineages: 2,
        ..Registration::new("app", Profile::Client)
    };
    world.authority.register(&registration, NOW).await.unwrap();
    world.enroll(&world.token().await, &csr(), NOW).await.unwrap();
    let third = world.enroll(&world.token().await, &csr(), NOW).await.unwrap_err();
    assert_eq!(third.refusal(), (403, "token_refused"));
    assert!(third.to_string().contains("2 machines hold it already"), "{third}");
    assert!(world.authority.renew(&new.chain[0], &csr(), NOW).await.is_ok());
    assert_eq!(listed(&world.authority).await, [serial(&old)]);
}

// PKI-31, PKI-39: what has ended and could still renew is revoked too, whoever asks by what.
#[tokio::test]
async fn a_certificate_in_its_grace_is_revoked_by_each_selector() {
    for kind in ["key", "lineage", "serial", "name", "before"] {
        let world = World::new().await;
        let issued = world.enroll(&world.token().await, &csr(), NOW).await.unwrap();
        let leaf = Certificate::read(&issued.chain[0]).unwrap();
        let ended = NOW + 97 * HOUR;
        let what = match kind {
            "key" => format!("key:{}", hex(&sha256(&leaf.public_key))),
            "lineage" => format!("lineage:{}", issued.lineage),
            "serial" => format!("serial:{}", leaf.serial_hex()),
            "name" => "app".to_owned(),
            _ => format!("before:{}", jiff::Timestamp::from_millisecond(NOW + 1).unwrap()),
        };
        let selector = Selector::parse(&what, world.authority.trust_domain()).unwrap();
        let reason = RevocationReason::Unspecified;
        let done = world.authority.revoke(&selector, reason, ended).await.unwrap();
        assert_eq!(done.certificates.len(), 1, "{kind}");
        // Enabling the name brings nothing back: its holder needs a new token.
        world.authority.enable("app", ended).await.unwrap();
        let refused = world.authority.renew(&issued.chain[0], &csr(), ended).await.unwrap_err();
        assert_eq!(refused.refusal(), (403, "renewal_refused"), "{kind}");
    }
}

// PKI-39, PKI-56: a key, and a certificate that only gateways know, are told of to everybody.
#[tokio::test]
async fn what_is_not_on_record_is_revoked_all_the_same() {
    let world = World::new().await;
    let domain = world.authority.trust_domain().clone();
    let reason = RevocationReason::Unspecified;
    let key = Selector::parse(&format!("key:{}", "ab".repeat(32)), &domain).unwrap();
    let done = world.authority.revoke(&key, reason, NOW).await.unwrap();
    assert!(done.seq > 0 && done.certificates.is_empty());
    // What the command names as the number to look at later is there.
    let spread = world.authority.spread(Some(done.seq), NOW).await.unwrap();
    assert_eq!((spread.seq, spread.certificates.len()), (done.seq, 0));
    assert!(world.authority.spread(Some(done.seq + 1), NOW).await.is_err());
    let trust = world.authority.trust(NOW).await.unwrap();
    assert_eq!(trust.revoked[0].key.as_deref(), Some("ab".repeat(32).as_str()));

    let issuer = world.authority.keys().active().unwrap().id.clone();
    let mut writing = world.authority.0.store.write().await.unwrap();
    writing.saw_unrecorded(&issuer, "40c0ffee", (NOW, NOW), "orders").await.unwrap();
    writing.commit().await.unwrap();
    let ghost = Selector::parse("serial:40c0ffee", &domain).unwrap();
    let done = world.authority.revoke(&ghost, reason, NOW).await.unwrap();
    assert_eq!(done.certificates, [(issuer, "40c0ffee".to_owned())]);
    assert_eq!(listed(&world.authority).await, ["40c0ffee"]);
    assert!(world.authority.revoke(&ghost, reason, NOW).await.is_err());
    world.authority.verify_ledger().await.unwrap();

    // The Authority does not end itself by a slip of the hand.
    let own = Selector::parse("segwan/authority", &domain).unwrap();
    let refused = world.authority.revoke(&own, reason, NOW).await.unwrap_err().to_string();
    assert!(refused.contains("segwan ca issuing distrust"), "{refused}");
}

// A clock that ran ahead for a while costs nothing (pki.md section 11.4).
#[tokio::test]
async fn a_clock_that_ran_ahead_leaves_lists_and_keys_that_are_good_afterwards() {
    let world = World::new().await;
    let id = world.authority.keys().active().unwrap().id.clone();
    world.authority.bundle(NOW + 600 * DAY).await.unwrap_err();
    let _ = world.authority.maintain(NOW + 600 * DAY).await;
    world.authority.maintain(NOW + 60_000).await.unwrap();
    assert_eq!(world.authority.keys().issuing.len(), 2);
    let (_, der) = world.authority.crl(&id).await.unwrap().unwrap();
    let list = Crl::read(&der).unwrap();
    assert!(list.this_update_ms <= NOW + 60_000);
    assert!(world.enroll(&world.token().await, &csr(), NOW + 60_000).await.is_ok());
}

// PKI-43, PKI-44: the list is there from the first second, and only rises.
#[tokio::test]
async fn lists_are_made_anew_every_hour_and_their_numbers_rise() {
    let world = World::new().await;
    let id = world.authority.keys().active().unwrap().id.clone();
    let (first, _) = world.authority.crl(&id).await.unwrap().unwrap();
    world.authority.maintain(NOW + HOUR - 1).await.unwrap();
    assert_eq!(world.authority.crl(&id).await.unwrap().unwrap().0, first);
    world.authority.maintain(NOW + HOUR).await.unwrap();
    let (second, der) = world.authority.crl(&id).await.unwrap().unwrap();
    assert!(second > first);
    let crl = Crl::read(&der).unwrap();
    assert!(crl.is_empty() && !crl.is_stale(NOW + HOUR + 7 * DAY - 1));
    // A clock that was set back does not take the number back.
    world.authority.maintain(NOW - 30 * DAY).await.unwrap();
    let done = revoke_serialless(&world).await;
    assert!(done > second);
}

async fn revoke_serialless(world: &World) -> i64 {
    world.enroll(&world.token().await, &csr(), NOW).await.unwrap();
    let domain = world.authority.trust_domain().clone();
    let selector = Selector::parse("app", &domain).unwrap();
    let reason = RevocationReason::Unspecified;
    world.authority.revoke(&selector, reason, NOW - DAY).await.unwrap();
    let id = world.authority.keys().active().unwrap().id.clone();
    world.authority.crl(&id).await.unwrap().unwrap().0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    // PKI-45
    #[test]
    fn a_revoked_certificate_is_on_the_list_until_it_has_ended(
        lives in proptest::collection::vec((5_i64..2000, 0_i64..2000), 1..8),
        looks in proptest::collection::vec(0_i64..4000, 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::new().await;
            let mut deeds = Vec::new();
            for (minutes, after) in lives {
                let life = Duration::from_secs(u64::try_from(minutes).unwrap() * 60);
                let registration = Registration {
                    leaf_lifetime: Some(life),
                    on_reenroll: OnReenroll::Add,
                    max_lineages: 10,
                    ..Registration::new("app", Profile::Client)
                };
                world.authority.register(&registration, NOW).await.unwrap();
                let issued = world.enroll(&world.token().await, &csr(), NOW).await.unwrap();
                let end = issued.not_after_ms;
                deeds.push((after.min(minutes - 1), Some((serial(&issued), end))));
            }
            deeds.extend(looks.into_iter().map(|look| (look, None)));
            // Time runs forward only.
            deeds.sort();
            let mut revoked = Vec::new();
            for (minute, deed) in deeds {
                let now = NOW + minute * 60_000;
                if let Some((serial, end)) = deed {
                    let selector = Selector::Serial(serial.clone());
                    let reason = RevocationReason::Unspecified;
                    world.authority.revoke(&selector, reason, now).await.unwrap();
                    revoked.push((serial, end));
                }
                world.authority.maintain(now).await.unwrap();
                let on = listed(&world.authority).await;
                for (serial, end) in &revoked {
                    assert!(now >= *end || on.contains(serial), "{serial} is missing at {minute} min");
                }
            }
        });
    }
}
