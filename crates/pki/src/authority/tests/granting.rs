use super::*;
use crate::authority::founding::drawing;
use crate::certificate::Certificate;
use crate::revocation::{Crl, RevocationReason};
use crate::x509::spoiling;

fn leaf(issued: &Issued) -> Certificate {
    Certificate::read(&issued.chain[0]).unwrap()
}

fn serial_of(issued: &Issued) -> [u8; 16] {
    leaf(issued).serial.try_into().unwrap()
}

// PKI-27: a serial number is never used twice, and random numbers that repeat end signing.
#[tokio::test]
async fn a_serial_number_that_was_used_is_drawn_again_and_three_in_a_row_end_signing() {
    let world = World::new().await;
    let before = world.authority.signing();
    let first = world.authority.issue_local("orders", &csr(), NOW).await.unwrap();
    let after = world.authority.signing();
    assert!(after.count > before.count && after.took > before.took, "{after:?}");
    let used = serial_of(&first);
    // Drawn from the end.
    drawing::with(vec![[0x55; 16], used, used]);
    let second = world.authority.issue_local("orders", &csr(), NOW).await.unwrap();
    assert_eq!(serial_of(&second), [0x55; 16]);
    drawing::with(vec![[0x56; 16], used, [0x55; 16], used]);
    let refused = world.authority.issue_local("orders", &csr(), NOW).await.unwrap_err();
    assert_eq!((refused.refusal(), refused.alarm()), ((500, "internal"), Some("rng_suspect")));
    drawing::with(Vec::new());
    // Nothing was signed, and the identity in force is still the second one.
    assert_eq!(world.certificates("orders", NOW).await.len(), 2);
    assert!(world.authority.renew(&second.chain[0], &csr(), NOW).await.is_ok());
}

// PKI-64: what fails its self-check is not released, and stands on the list.
#[tokio::test]
async fn what_fails_its_self_check_is_not_released() {
    let world = World::new().await;
    let token = world.token().await;
    spoiling::next();
    let refused = world.enroll(&token, &csr(), NOW).await.unwrap_err();
    assert_eq!(refused.alarm(), Some("self_check_failed"), "{refused}");
    assert_eq!(refused.refusal(), (500, "internal"));
    let listed = world.certificates("app", NOW).await;
    assert_eq!((listed.len(), listed[0].state.as_str()), (1, "void"));
    let (_, der) = world.authority.crl(&listed[0].issuer).await.unwrap().unwrap();
    let serial = crate::key::from_hex(&listed[0].serial).unwrap();
    assert!(Crl::read(&der).unwrap().revokes(&serial));
    assert!(world.authority.verify_ledger().await.is_ok());
}

// PKI-33: whoever comes with the old key once the new one is in use shows that there are two.
#[tokio::test]
async fn an_old_key_that_renews_after_its_successor_was_seen_is_a_fork() {
    let world = World::new().await;
    let first = world.enroll(&world.token().await, &csr(), NOW).await.unwrap();
    let second = world.authority.renew(&first.chain[0], &csr(), NOW).await.unwrap();
    let head = leaf(&second);
    let agent = Agent {
        instance: "a".to_owned(),
        name: "app".to_owned(),
        serial: head.serial_hex(),
        issuer: hex(head.authority_key.as_deref().unwrap()),
        kind: "client".to_owned(),
        version: "0".to_owned(),
        host: "pump".to_owned(),
        address: "10.0.0.9".to_owned(),
    };
    drop(world.authority.subscribe(agent, None, NOW).await.unwrap());
    let refused = world.authority.renew(&first.chain[0], &csr(), NOW).await.unwrap_err();
    assert_eq!(refused.alarm(), Some("lineage_forked"), "{refused}");
    assert_eq!(refused.refusal(), (403, "renewal_refused"));
    assert!(refused.to_string().contains(&format!("lineage:{}", first.lineage)), "{refused}");
    // The rightful holder goes on.
    assert!(world.authority.renew(&second.chain[0], &csr(), NOW).await.is_ok());
}

// PKI-31, PKI-32: an answer that was lost leaves no second certificate in force.
#[tokio::test]
async fn the_certificate_of_a_lost_answer_is_revoked_once_another_is_issued() {
    let world = World::new().await;
    let first = world.enroll(&world.token().await, &csr(), NOW).await.unwrap();
    let lost = world.authority.renew(&first.chain[0], &csr(), NOW).await.unwrap();
    let third = world.authority.renew(&first.chain[0], &csr(), NOW).await.unwrap();
    let state = |issued: &Issued, all: &[CertificateRow]| {
        let serial = leaf(issued).serial_hex();
        all.iter().find(|row| row.serial == serial).map(|row| row.state.clone()).unwrap()
    };
    let all = world.certificates("app", NOW).await;
    assert_eq!(state(&lost, &all), "revoked");
    assert_eq!((state(&first, &all), state(&third, &all)), ("issued".into(), "issued".into()));
    let refused = world.authority.renew(&lost.chain[0], &csr(), NOW).await.unwrap_err();
    assert!(refused.to_string().contains("was revoked (superseded)"), "{refused}");
}

// PKI-34: names and permission are those of the registration as it is now.
#[tokio::test]
async fn a_registration_that_changed_is_what_a_renewal_gets() {
    let world = World::new().await;
    let wide = Registration {
        dns: vec!["app.segwan.internal".to_owned()],
        ..Registration::new("app", Profile::Client)
    };
    world.authority.register(&wide, NOW).await.unwrap();
    let first = world.enroll(&world.token().await, &csr(), NOW).await.unwrap();
    assert!(leaf(&first).names.contains(&Name::Dns("app.segwan.internal".to_owned())));
    let narrow = Registration {
        leaf_lifetime: Some(Duration::from_secs(3600)),
        ..Registration::new("app", Profile::Client)
    };
    world.authority.register(&narrow, NOW).await.unwrap();
    let second = world.authority.renew(&first.chain[0], &csr(), NOW).await.unwrap();
    let read = leaf(&second);
    assert_eq!(read.names, [Name::Uri("spiffe://segwan.internal/app".to_owned())]);
    assert_eq!(read.not_after, NOW / 1000 + 3600);
    let selector = Selector::Name("app".to_owned());
    let reason = RevocationReason::Cessation;
    world.authority.revoke(&selector, reason, NOW).await.unwrap();
    assert!(world.authority.renew(&second.chain[0], &csr(), NOW).await.is_err());
}

// PKI-18
#[tokio::test]
async fn a_name_outside_the_constraints_is_refused_when_it_is_written() {
    let world = World::new().await;
    for (dns, ip, expected) in [
        (
            Some("shop.example"),
            None,
            "DNS name `shop.example` is outside the issuing certificate's constraints (segwan.internal, localhost)",
        ),
        (Some("*.segwan.internal"), None, "wildcard"),
        (None, Some("10.0.0.5"), "10.0.0.5"),
    ] {
        let registration = Registration {
            dns: dns.into_iter().map(str::to_owned).collect(),
            ips: ip.into_iter().map(|ip: &str| ip.parse().unwrap()).collect(),
            ..Registration::new("web", Profile::Service)
        };
        let refused = world.authority.register(&registration, NOW).await.unwrap_err().to_string();
        assert!(refused.starts_with("registration `web`: "), "{refused}");
        assert!(refused.contains(expected), "{refused}");
        assert!(world.authority.registration("web").await.unwrap().is_none());
    }
}

// Never past the issuer (pki.md section 2).
#[tokio::test]
async fn a_leaf_ends_before_its_issuer_and_none_is_issued_in_its_last_minutes() {
    let world = World::new().await;
    let end = world.authority.keys().active().unwrap().not_after * 1000;
    let shortened = world.authority.issue_local("orders", &csr(), end - HOUR).await.unwrap();
    assert_eq!(leaf(&shortened).not_after, end / 1000 - 1);
    let refused = world.authority.issue_local("orders", &csr(), end - 60_000).await.unwrap_err();
    assert_eq!(refused.refusal(), (503, "unavailable"));
    assert!(refused.hint().unwrap().contains("segwan ca issuing renew"), "{refused}");
}
