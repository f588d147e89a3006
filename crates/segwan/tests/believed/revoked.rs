//! Revocation by list and by set (V8), in handshakes and for connections that are already there.

use crate::hierarchy::{Ca, Shown};
use crate::{Sides, files, handshake, native, now, refusal, service};
use segwan::tls::trust::StaleCrl;
use segwan::{Reason, Trust};
use segwan_core::identity::Peer;
use segwan_pki::certificate::Certificate;
use segwan_pki::key::hex;
use segwan_pki::revocation::{Crl, RevokedSet};
use std::sync::Arc;

const SERIAL: [u8; 16] = [5; 16];

/// Puts the lists in force.
fn install(trust: &Trust, lists: &[&Arc<Crl>]) {
    let lists = lists.iter().map(|list| (*list).clone()).collect();
    trust.change(|state| state.crls = lists).unwrap();
}

/// A list of now that is good for a week.
fn list(ca: &Ca, serials: &[&[u8]]) -> Arc<Crl> {
    ca.list(serials, now() * 1000, (now() + 7 * 86_400) * 1000)
}

fn key_id(ca: &Ca) -> String {
    hex(&Certificate::read(&ca.der).unwrap().subject_key.unwrap())
}

// V8
#[test]
fn a_certificate_on_its_issuers_list_is_refused() {
    let root = Ca::root("root");
    let issuing = root.issuing("issuing");
    let shown = || issuing.leaf().with(&[&issuing]);
    for trust in [native(&[&root]), files(&[&root])] {
        assert_eq!(refusal(&trust, &shown()), None);
        install(&trust, &[&list(&issuing, &[&SERIAL])]);
        assert_eq!(refusal(&trust, &shown()), Some(Reason::CertificateRevoked));
        install(&trust, &[&list(&issuing, &[&[6; 16]])]);
        assert_eq!(refusal(&trust, &shown()), None);
    }
}

// PKI-15 (at verify): two issuing keys alive, one serial under both.
#[test]
fn a_list_never_answers_for_another_issuer() {
    let root = Ca::root("root");
    // One name, to make it hard; ours differ.
    let (one, two) = (root.issuing("issuing"), root.issuing("issuing"));
    let trust = native(&[&root]);
    let shown = |ca: &Ca| ca.leaf().with(&[&one, &two]);
    install(&trust, &[&list(&one, &[&SERIAL]), &list(&two, &[])]);
    assert_eq!(refusal(&trust, &shown(&one)), Some(Reason::CertificateRevoked));
    assert_eq!(refusal(&trust, &shown(&two)), None);
    install(&trust, &[&list(&one, &[&SERIAL])]);
    assert_eq!(refusal(&trust, &shown(&two)), None);
    trust.change(|state| state.needs_crl = true).unwrap();
    assert_eq!(refusal(&trust, &shown(&two)), Some(Reason::CrlStale));
    install(&trust, &[&list(&two, &[]), &list(&one, &[])]);
    assert_eq!(refusal(&trust, &shown(&two)), None);
    assert_eq!(refusal(&trust, &shown(&one)), None);
}

// PKI-44
#[test]
fn an_empty_list_locks_nobody_out() {
    let root = Ca::root("root");
    let trust = native(&[&root]);
    trust.change(|state| state.needs_crl = true).unwrap();
    assert_eq!(refusal(&trust, &root.leaf()), Some(Reason::CrlStale));
    install(&trust, &[&list(&root, &[])]);
    assert_eq!(refusal(&trust, &root.leaf()), None);
}

// PKI-44
#[test]
fn a_stale_list_stays_in_force_or_refuses_as_configured() {
    let root = Ca::root("root");
    let trust = native(&[&root]);
    let lapsed =
        |serials: &[&[u8]]| root.list(serials, (now() - 86_400) * 1000, (now() - 3_600) * 1000);
    install(&trust, &[&lapsed(&[])]);
    assert_eq!(refusal(&trust, &root.leaf()), None);
    install(&trust, &[&lapsed(&[&SERIAL])]);
    assert_eq!(refusal(&trust, &root.leaf()), Some(Reason::CertificateRevoked));
    trust.set_stale_crl(StaleCrl::Refuse);
    install(&trust, &[&lapsed(&[])]);
    let refused = trust.judge(root.leaf().pem().as_bytes(), false, now()).unwrap_err();
    assert_eq!(refused.reason, Reason::CrlStale);
    assert!(refused.sentence.contains("whose revocation list ended on 20"), "{refused}");
    install(&trust, &[&list(&root, &[])]);
    assert_eq!(refusal(&trust, &root.leaf()), None);
}

// V8: the pushed set is asked whatever the lists say.
#[test]
fn what_the_set_names_is_refused() {
    let root = Ca::root("root");
    let issuing = root.issuing("issuing");
    let shown = issuing.leaf().with(&[&issuing]);
    let trust = native(&[&root]);
    install(&trust, &[&list(&issuing, &[])]);
    let push = |fill: &dyn Fn(&mut RevokedSet)| {
        let mut set = RevokedSet::default();
        fill(&mut set);
        trust.change(|state| state.revoked = Arc::new(set)).unwrap();
        refusal(&trust, &shown)
    };
    let revoked = Some(Reason::CertificateRevoked);
    let (issuer, serial) = (key_id(&issuing), hex(&SERIAL));
    assert_eq!(push(&|set| assert!(set.insert(&issuer, &serial).unwrap())), revoked);
    assert_eq!(push(&|set| assert!(set.insert(&key_id(&root), &serial).unwrap())), None);
    assert_eq!(push(&|set| assert!(set.insert_key(shown.spki()).unwrap())), revoked);
    assert_eq!(push(&|set| assert!(set.insert_key(issuing.spki()).unwrap())), revoked);
    assert_eq!(push(&|_| {}), None);
}

/// Whom a handshake makes of a client.
async fn peer(trust: Arc<Trust>, ca: &Ca, shown: &Shown) -> Arc<Peer> {
    let (accepted, _) = handshake((&service(ca), trust.clone()), (shown, trust)).await;
    accepted.unwrap()
}

// DEP-02, trust.md section 5: a listener asks the state in force, at each handshake anew.
#[tokio::test]
async fn a_state_that_is_installed_judges_the_next_handshake() {
    let root = Ca::root("root");
    let (own, far) = (Arc::new(native(&[&root])), Arc::new(native(&[&root])));
    let (service, client) = (service(&root), root.leaf());
    let sides = Sides::new((&service, own.clone()), (&client, far.clone()));
    let reasons = || async {
        let (accepted, connected) = sides.meet().await;
        (accepted.err().map(|e| e.reason), connected.err().map(|e| e.reason))
    };
    assert_eq!(reasons().await, (None, None));
    own.change(|state| state.distrusted = Arc::new([client.spki()].into())).unwrap();
    assert_eq!(reasons().await.0, Some(Reason::TrustWithdrawn));
    own.change(|state| state.distrusted = Arc::default()).unwrap();
    assert_eq!(reasons().await, (None, None));
    far.change(|state| state.distrusted = Arc::new([service.spki()].into())).unwrap();
    assert_eq!(reasons().await.1, Some(Reason::TrustWithdrawn));
}

// trust.md section 4, V3, V8
#[tokio::test]
async fn a_live_connection_is_judged_again_by_lookups() {
    let root = Ca::root("root");
    let other = Ca::root("other");
    let issuing = root.issuing("issuing");
    let shown = issuing.leaf().with(&[&issuing]);
    let trust = Arc::new(native(&[&root]));
    let peer = peer(trust.clone(), &root, &shown).await;
    let facts = peer.certificate();
    assert_eq!(facts.keys, [shown.spki(), issuing.spki(), root.spki()]);
    assert_eq!((facts.issuer_key.clone(), facts.serial.clone()), (key_id(&issuing), hex(&SERIAL)));
    let again = || trust.judge_again(&peer, now()).map(|(reason, _)| reason);
    let before = trust.in_force();
    let back = || trust.install(before.clone()).unwrap();
    assert_eq!(again(), None);

    install(&trust, &[&list(&issuing, &[&SERIAL])]);
    assert_eq!(again(), Some(Reason::CertificateRevoked));
    back();
    let mut set = RevokedSet::default();
    set.insert(&key_id(&issuing), &hex(&SERIAL)).unwrap();
    trust.change(|state| state.revoked = Arc::new(set)).unwrap();
    let (reason, why) = trust.judge_again(&peer, now()).unwrap();
    assert_eq!(reason, Reason::CertificateRevoked);
    assert_eq!(why, format!("certificate with the serial {} was revoked", hex(&SERIAL)));
    back();
    let mut set = RevokedSet::default();
    set.insert_key(issuing.spki()).unwrap();
    trust.change(|state| state.revoked = Arc::new(set)).unwrap();
    assert_eq!(again(), Some(Reason::CertificateRevoked));
    back();
    for key in [shown.spki(), issuing.spki(), root.spki()] {
        trust.change(|state| state.distrusted = Arc::new([key].into())).unwrap();
        assert_eq!(again(), Some(Reason::TrustWithdrawn));
    }
    back();
    trust.change(|state| state.roots = vec![other.der.clone()]).unwrap();
    assert_eq!(again(), Some(Reason::TrustWithdrawn));
    trust.change(|state| state.roots.push(root.der.clone())).unwrap();
    assert_eq!(again(), None);
    let over = |at: i64| trust.judge_again(&peer, at).map(|(reason, _)| reason);
    assert_eq!(over(facts.not_after), None);
    assert_eq!(over(facts.not_after + 1), Some(Reason::CertificateExpired));
    // A lapsed list is for newcomers.
    let lapsed = issuing.list(&[], (now() - 86_400) * 1000, (now() - 3_600) * 1000);
    install(&trust, &[&lapsed]);
    trust.set_stale_crl(StaleCrl::Refuse);
    assert_eq!(again(), None);
    assert_eq!(refusal(&trust, &shown), Some(Reason::CrlStale));
}

// V8: what ends an issuing certificate ends whoever came under it, here or new.
#[tokio::test]
async fn a_live_connection_ends_with_the_issuing_certificate_above_it() {
    let root = Ca::root("root");
    let (upper, other) = (root.issuing("upper"), root.issuing("other"));
    let lower = upper.issuing("lower");
    let shown = lower.leaf().with(&[&lower, &upper]);
    let trust = Arc::new(native(&[&root]));
    let peer = peer(trust.clone(), &root, &shown).await;
    let before = trust.in_force();
    let verdict = || {
        let again = trust.judge_again(&peer, now()).map(|(reason, _)| reason);
        assert_eq!(again, refusal(&trust, &shown));
        again
    };
    let serial = |ca: &Ca| Certificate::read(&ca.der).unwrap().serial;
    // Who is above it says so; nobody else's word counts.
    for (by, whose, expected) in [
        (&root, &upper, Some(Reason::CertificateRevoked)),
        (&upper, &lower, Some(Reason::CertificateRevoked)),
        (&root, &other, None),
        (&root, &lower, None),
    ] {
        // The leaf's own issuer has a list, too, as it is where lists are.
        install(&trust, &[&list(by, &[&serial(whose)]), &list(&lower, &[])]);
        assert_eq!(verdict(), expected);
        trust.install(before.clone()).unwrap();
        let mut set = RevokedSet::default();
        set.insert(&key_id(by), &hex(&serial(whose))).unwrap();
        trust.change(|state| state.revoked = Arc::new(set)).unwrap();
        assert_eq!(verdict(), expected);
        trust.install(before.clone()).unwrap();
    }
    install(&trust, &[&list(&root, &[&serial(&upper)])]);
    let (_, why) = trust.judge_again(&peer, now()).unwrap();
    assert!(why.ends_with("was issued by a certificate that was revoked"), "{why}");
}

// V3: a root that is shown along makes more paths, and none of them hides why the first was refused.
#[test]
fn a_distrusted_issuer_is_named_also_when_the_root_is_shown_along() {
    let root = Ca::root("root");
    let issuing = root.issuing("issuing");
    let trust = native(&[&root]);
    let shown = issuing.leaf().with(&[&issuing, &root]);
    assert_eq!(refusal(&trust, &shown), None);
    trust.change(|state| state.distrusted = Arc::new([issuing.spki()].into())).unwrap();
    assert_eq!(refusal(&trust, &shown), Some(Reason::TrustWithdrawn));
}

// RFC 5280 section 4.1.2.5: the second of `notAfter` belongs to the validity, for whoever comes and
// for whoever is there.
#[tokio::test]
async fn newcomers_and_live_connections_end_with_the_same_second() {
    let root = Ca::root("root");
    let shown = root.leaf();
    let trust = Arc::new(native(&[&root]));
    let peer = peer(trust.clone(), &root, &shown).await;
    let newcomer = |at| trust.judge(shown.pem().as_bytes(), false, at).err().map(|e| e.reason);
    let live = |at| trust.judge_again(&peer, at).map(|(reason, _)| reason);
    let expired = Some(Reason::CertificateExpired);
    for (after, verdict) in [(-1, None), (0, None), (1, expired)] {
        let at = peer.certificate().not_after + after;
        assert_eq!((newcomer(at), live(at)), (verdict, verdict), "{after}");
    }
}

// trust.md section 3: what is replaced is replaced alone.
#[test]
fn other_roots_leave_lists_and_revocations_in_force() {
    let (old, new) = (Ca::root("old"), Ca::root("new"));
    let trust = native(&[&old]);
    install(&trust, &[&list(&new, &[&SERIAL])]);
    trust.replace(crate::pem(&new.der).as_bytes()).unwrap();
    assert_eq!(refusal(&trust, &new.leaf()), Some(Reason::CertificateRevoked));
    assert_eq!(refusal(&trust, &old.leaf()), Some(Reason::UnknownIssuer));
    assert!(trust.replace(b"no roots").is_err());
    assert_eq!(trust.in_force().roots, std::slice::from_ref(&new.der));
}
