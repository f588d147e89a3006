//! Who is believed (`pki.md` section 4), and until when: every rule with a certificate that breaks
//! it, before a handshake, in one, and after.

mod combinations;
mod foreign;
mod hierarchy;
mod revoked;

use hierarchy::{Ca, Shown, Use, dns, pem, uri};
use proptest::prelude::*;
use rcgen::{
    CertificateParams, DistinguishedName, GeneralSubtree, IsCa, KeyUsagePurpose, NameConstraints,
    SerialNumber,
};
use segwan::Trust;
use segwan::tls::trust::{Tolerate, TrustError, TrustState};
use segwan::{Acceptor, Connector, Credentials, Expected, HandshakeError, Peer, Reason, TlsFloor};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};
use tokio::io::duplex;
use tokio::time::Instant;

pub(crate) fn now() -> i64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// Trust in the roots of an Authority of `shop.test`.
pub(crate) fn native(roots: &[&Ca]) -> Trust {
    Trust::authority(roots_pem(roots).as_bytes(), "shop.test".parse().unwrap()).unwrap()
}

/// Trust in the roots of somebody else.
pub(crate) fn files(roots: &[&Ca]) -> Trust {
    Trust::files(roots_pem(roots).as_bytes()).unwrap()
}

fn roots_pem(roots: &[&Ca]) -> String {
    roots.iter().map(|root| pem(&root.der)).collect()
}

/// Why a client that shows this is refused.
pub(crate) fn refusal(trust: &Trust, shown: &Shown) -> Option<Reason> {
    trust.judge(shown.pem().as_bytes(), false, now()).err().map(|error| error.reason)
}

/// Both sides of handshakes over pipes.
pub(crate) struct Sides {
    acceptor: Acceptor,
    connector: Connector,
}

/// What the service and the client made of each other.
type Met = (Result<Arc<Peer>, HandshakeError>, Result<Arc<Peer>, HandshakeError>);

impl Sides {
    pub(crate) fn new(service: (&Shown, Arc<Trust>), client: (&Shown, Arc<Trust>)) -> Self {
        let show = |shown: &Shown| {
            let shown = Credentials::from_pem(shown.pem().as_bytes(), shown.key.as_bytes());
            Arc::new(shown.unwrap())
        };
        let floor = TlsFloor::default();
        let acceptor = Acceptor::new(show(service.0), service.1, floor).unwrap();
        let expected = Expected::one("spiffe://shop.test/service".parse().unwrap());
        let connector = Connector::new(show(client.0), client.1, expected, floor).unwrap();
        Self { acceptor, connector }
    }

    pub(crate) async fn meet(&self) -> Met {
        let (mut near, mut far) = duplex(64 * 1024);
        let deadline = Instant::now() + Duration::from_secs(20);
        let (accepted, connected) = tokio::join!(
            self.acceptor.accept(&mut near, deadline),
            self.connector.connect(&mut far, "pipe", deadline)
        );
        (accepted.map(|secured| secured.peer), connected.map(|secured| secured.peer))
    }
}

pub(crate) async fn handshake(service: (&Shown, Arc<Trust>), client: (&Shown, Arc<Trust>)) -> Met {
    Sides::new(service, client).meet().await
}

pub(crate) fn service(ca: &Ca) -> Shown {
    ca.leaf_with(|params| {
        params.subject_alt_names = vec![uri("spiffe://shop.test/service")];
        params.extended_key_usages = vec![Use::ServerAuth];
    })
}

// PKI-13 (at verify), V2
#[test]
fn a_certificate_holds_exactly_one_identity_of_our_trust_domain() {
    let root = Ca::root("root");
    let trust = native(&[&root]);
    let named = |names: &[&str]| {
        root.leaf_with(|params| {
            params.subject_alt_names = names.iter().map(|name| uri(name)).collect();
        })
    };
    assert_eq!(refusal(&trust, &root.leaf()), None);
    for names in [
        &[][..],
        &["spiffe://shop.test/app", "spiffe://shop.test/app"],
        &["spiffe://shop.test/app", "https://shop.test/"],
        &["spiffe://shop.test/App/"],
        &["spiffe://SHOP.test/app"],
        &["SPIFFE://shop.test/app"],
        &["spiffe://shop.test/a/../b"],
        &["spiffe://shop.test/%2e"],
        &["spiffe://shop.test/app?x"],
        &["spiffe://shop.test/app#x"],
        &["spiffe://shop.test"],
        &["spiffe://shop.test:1/app"],
    ] {
        assert_eq!(refusal(&trust, &named(names)), Some(Reason::IdentityInvalid), "{names:?}");
    }
    for other in ["spiffe://other.test/app", "spiffe://shop.test.evil/app"] {
        assert_eq!(refusal(&trust, &named(&[other])), Some(Reason::WrongTrustDomain), "{other}");
    }
    let dns_alone = root.leaf_with(|params| params.subject_alt_names = vec![dns("app.shop.test")]);
    assert_eq!(refusal(&trust, &dns_alone), Some(Reason::IdentityInvalid));
    assert_eq!(refusal(&files(&[&root]), &dns_alone), None);
}

// PKI-16, V1: before a handshake, of an Authority and of files, in both directions.
#[test]
fn a_certificate_is_good_for_what_it_names_and_for_nothing_else() {
    let root = Ca::root("root");
    let made = |uses: &[Use]| root.leaf_with(|params| params.extended_key_usages = uses.to_vec());
    for trust in [native(&[&root]), files(&[&root])] {
        let verdict = |uses: &[Use], listens: bool| {
            let judged = trust.judge(made(uses).pem().as_bytes(), listens, now());
            judged.err().map(|error| error.reason)
        };
        let wrong = Some(Reason::WrongUsage);
        for listens in [true, false] {
            assert_eq!(verdict(&[], listens), wrong);
            assert_eq!(verdict(&[Use::Any], listens), wrong);
            assert_eq!(verdict(&[Use::Any, Use::ServerAuth, Use::ClientAuth], listens), wrong);
            assert_eq!(verdict(&[Use::EmailProtection], listens), wrong);
            assert_eq!(verdict(&[Use::ServerAuth, Use::ClientAuth], listens), None);
            assert_eq!(verdict(&[Use::ServerAuth], listens), wrong.filter(|_| !listens));
            assert_eq!(verdict(&[Use::ClientAuth], listens), wrong.filter(|_| listens));
        }
    }
}

// PKI-16, T-19: in handshakes; the other side hears one alert, whatever the fault.
#[tokio::test]
async fn every_fault_of_a_certificate_is_one_alert_and_a_sentence() {
    let (root, other) = (Ca::root("root"), Ca::root("root"));
    let trust = || Arc::new(native(&[&root]));
    let good = (service(&root), root.leaf());
    let (accepted, connected) = handshake((&good.0, trust()), (&good.1, trust())).await;
    assert_eq!(accepted.unwrap().identity().to_string(), "spiffe://shop.test/app");
    assert_eq!(connected.unwrap().identity().to_string(), "spiffe://shop.test/service");

    let with = |edit: &dyn Fn(&mut CertificateParams)| root.leaf_with(|params| edit(params));
    let revoked = trust();
    let now_ms = now() * 1000;
    let list = root.list(&[&[5; 16]], now_ms - 1000, now_ms + 60_000);
    revoked.change(|state| state.crls = vec![list]).unwrap();
    let cases = [
        (service(&root), trust(), Reason::WrongUsage),
        (with(&|params| params.extended_key_usages = vec![]), trust(), Reason::WrongUsage),
        (with(&|params| params.extended_key_usages = vec![Use::Any]), trust(), Reason::WrongUsage),
        (with(&|params| params.subject_alt_names = vec![]), trust(), Reason::IdentityInvalid),
        (other.leaf(), trust(), Reason::UnknownIssuer),
        (
            with(&|params| params.not_after = rcgen::date_time_ymd(2021, 1, 1)),
            trust(),
            Reason::CertificateExpired,
        ),
        (root.leaf(), revoked, Reason::CertificateRevoked),
    ];
    for (shown, trusted, reason) in cases {
        let (accepted, _) = handshake((&good.0, trusted), (&shown, trust())).await;
        let error = accepted.unwrap_err();
        assert_eq!(error.reason, reason, "{error}");
        assert!(error.sentence.starts_with("certificate "), "{error}");
        assert!(error.presented.is_some(), "{error}");
    }
    // The other direction: what a server shows, and the alert that it hears.
    for shown in [root.leaf(), service(&other)] {
        let (accepted, connected) = handshake((&shown, trust()), (&good.1, trust())).await;
        let (heard, error) = (accepted.unwrap_err(), connected.unwrap_err());
        assert!(error.sentence.starts_with("server at pipe: certificate of"), "{error}");
        assert_eq!(heard.sentence, "the peer broke off with the alert `access denied`");
    }
}

// PKI-17, V3
#[test]
fn a_distrusted_issuer_that_is_sent_along_is_not_believed() {
    let (root, leaf_key) = (Ca::root("root"), Ca::root("other"));
    let (bad, good) = (root.issuing("bad"), root.issuing("good"));
    let trust = native(&[&root, &leaf_key]);
    assert_eq!(refusal(&trust, &bad.leaf().with(&[&bad])), None);
    let distrust = |keys: &[[u8; 32]]| {
        let keys = keys.iter().copied().collect();
        trust.change(|state| state.distrusted = Arc::new(keys)).unwrap();
    };
    distrust(&[bad.spki()]);
    assert_eq!(refusal(&trust, &bad.leaf().with(&[&bad])), Some(Reason::TrustWithdrawn));
    assert_eq!(refusal(&trust, &bad.leaf().with(&[&good, &bad])), Some(Reason::TrustWithdrawn));
    assert_eq!(refusal(&trust, &good.leaf().with(&[&bad, &good])), None);
    // A root, and a leaf.
    distrust(&[root.spki()]);
    assert_eq!(refusal(&trust, &good.leaf().with(&[&good])), Some(Reason::TrustWithdrawn));
    let leaf = leaf_key.leaf();
    assert_eq!(refusal(&trust, &leaf), None);
    distrust(&[leaf.spki()]);
    assert_eq!(refusal(&trust, &leaf), Some(Reason::TrustWithdrawn));
}

// V3: an issuer that two roots certified is believed for the sake of the one that is not distrusted.
#[test]
fn another_path_is_looked_for_when_one_is_distrusted() {
    let (old, new) = (Ca::root("old"), Ca::root("new"));
    let trust = native(&[&old, &new]);
    let issuing = old.issuing("issuing");
    let leaf = issuing.leaf().with(&[&issuing, &new.cross(&issuing)]);
    let distrusting = |keys: &[&Ca]| {
        let keys = keys.iter().map(|ca| ca.spki()).collect();
        trust.change(|state| state.distrusted = Arc::new(keys)).unwrap();
        refusal(&trust, &leaf)
    };
    assert_eq!(distrusting(&[&old]), None);
    assert_eq!(distrusting(&[&new]), None);
    assert_eq!(distrusting(&[&old, &new]), Some(Reason::TrustWithdrawn));
}

// V4, V7
#[test]
fn a_leaf_that_breaks_a_rule_is_refused_wherever_it_is_from() {
    let root = Ca::root("root");
    type Edit = fn(&mut CertificateParams);
    let wrong: [Edit; 6] = [
        |params| params.key_usages.push(KeyUsagePurpose::KeyCertSign),
        |params| params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained),
        |params| params.serial_number = Some(SerialNumber::from_slice(&[0])),
        |params| params.serial_number = Some(SerialNumber::from_slice(&[1; 21])),
        |params| params.use_authority_key_identifier_extension = false,
        |params| {
            let extension = rcgen::CustomExtension::from_oid_content(
                &[2, 5, 29, 30],
                vec![0x30, 9, 0xa0, 7, 0x30, 5, 0x82, 3, b'a', b'.', b'b'],
            );
            params.custom_extensions = vec![extension];
        },
    ];
    for trust in [native(&[&root]), files(&[&root])] {
        for (at, edit) in wrong.into_iter().enumerate() {
            let refused = refusal(&trust, &root.leaf_with(edit));
            assert_eq!(refused, Some(Reason::CertificateInvalid), "edit {at}");
        }
        let nameless =
            root.leaf_with(|params| params.distinguished_name = DistinguishedName::new());
        assert_eq!(refusal(&trust, &nameless), None, "rcgen makes its names critical then");
    }
}

// V4 and V1 have an exception for certificates from elsewhere, under a name that warns.
#[test]
fn what_is_tolerated_is_what_was_named_and_no_more() {
    let root = Ca::root("root");
    let without_aki =
        || root.leaf_with(|params| params.use_authority_key_identifier_extension = false);
    let without_eku = || root.leaf_with(|params| params.extended_key_usages = vec![]);
    let any_eku = || root.leaf_with(|params| params.extended_key_usages = vec![Use::Any]);
    let pem = roots_pem(&[&root]);
    let tolerating = |missing_aki, missing_eku| {
        let tolerate = Tolerate { missing_aki, missing_eku };
        Trust::files_tolerating(pem.as_bytes(), tolerate).unwrap()
    };
    let verdicts = |trust: &Trust| {
        [without_aki(), without_eku(), any_eku()].map(|leaf| refusal(trust, &leaf).is_none())
    };
    assert_eq!(verdicts(&tolerating(false, false)), [false, false, false]);
    assert_eq!(verdicts(&tolerating(true, false)), [true, false, false]);
    assert_eq!(verdicts(&tolerating(false, true)), [false, true, false]);
    assert_eq!(refusal(&tolerating(true, true), &root.leaf()), None);
}

// V5
#[test]
fn an_issuer_that_breaks_a_rule_is_refused_wherever_it_is_from() {
    let root = Ca::root("root");
    type Edit = fn(&mut CertificateParams);
    let wrong: [Edit; 5] = [
        |params| params.is_ca = IsCa::ExplicitNoCa,
        |params| params.key_usages = vec![KeyUsagePurpose::CrlSign],
        |params| params.key_usages = vec![],
        |params| params.use_authority_key_identifier_extension = false,
        |params| params.distinguished_name = DistinguishedName::new(),
    ];
    for trust in [native(&[&root]), files(&[&root])] {
        for (at, edit) in wrong.into_iter().enumerate() {
            let issuing = root.issuing_with("issuing", edit);
            let refused = refusal(&trust, &issuing.leaf().with(&[&issuing]));
            assert_eq!(refused, Some(Reason::CertificateInvalid), "edit {at}");
        }
        let limited = root.issuing_with("limited", |params| {
            let permitted_subtrees = vec![GeneralSubtree::DnsName("shop.test".to_owned())];
            params.name_constraints =
                Some(NameConstraints { permitted_subtrees, excluded_subtrees: vec![] });
        });
        assert_eq!(refusal(&trust, &limited.leaf().with(&[&limited])), None);
    }
}

// V6
#[test]
fn a_root_that_breaks_a_rule_is_not_installed_and_nothing_changes() {
    let good = Ca::root("good");
    let trust = native(&[&good]);
    type Edit = fn(&mut CertificateParams);
    let wrong: [Edit; 5] = [
        |params| params.is_ca = IsCa::ExplicitNoCa,
        |params| params.key_usages = vec![KeyUsagePurpose::CrlSign],
        |params| params.key_usages = vec![],
        |params| params.extended_key_usages = vec![Use::ClientAuth],
        |params| params.not_after = rcgen::date_time_ymd(2021, 1, 1),
    ];
    for (at, edit) in wrong.into_iter().enumerate() {
        let bad = Ca::root_with("bad", edit);
        let roots = vec![good.der.clone(), bad.der.clone()];
        let refused = trust.install(TrustState { roots, ..TrustState::default() }).unwrap_err();
        assert!(refused.to_string().starts_with("certificate 2 of the roots"), "{at}: {refused}");
        assert_eq!(trust.in_force().roots, std::slice::from_ref(&good.der));
    }
    assert_eq!(trust.install(TrustState::default()), Err(TrustError::Empty));
    assert_eq!(trust.check_roots(now()), Ok(()));
    let root_2021 = Ca::root_with("old", |p| p.not_after = rcgen::date_time_ymd(2021, 1, 1));
    let old = native(&[&root_2021]);
    assert_eq!(old.check_roots(now()), Err(TrustError::Outdated(1)));
    assert_eq!(refusal(&old, &root_2021.leaf()), Some(Reason::UnknownIssuer));
    // It keeps no revocation out.
    old.change(|state| state.needs_crl = true).unwrap();
    assert!(old.in_force().needs_crl);
}

// V9
#[test]
fn a_peer_that_shows_too_much_is_not_looked_at() {
    let root = Ca::root("root");
    let trust = native(&[&root]);
    let other = Ca::root("other");
    let many = |count: usize| root.leaf().with(&vec![&other; count]);
    assert_eq!(refusal(&trust, &many(4)), None);
    assert_eq!(refusal(&trust, &many(5)), Some(Reason::CertificateInvalid));
    let long = Ca::root_with("long", |params| {
        let names = (0..1000).map(|at| dns(&format!("a-long-name-{at}.shop.test")));
        params.subject_alt_names = names.collect();
    });
    assert_eq!(refusal(&trust, &root.leaf().with(&[&long])), Some(Reason::CertificateInvalid));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    // PKI-60: no panic, and nothing that was changed is believed.
    #[test]
    fn a_chain_with_any_byte_changed_is_refused(
        which in 0..2_usize,
        place: prop::sample::Index,
        flip in 1u8..,
    ) {
        static MADE: LazyLock<(Trust, Shown)> = LazyLock::new(|| {
            let root = Ca::root("root");
            let issuing = root.issuing("issuing");
            (native(&[&root]), issuing.leaf().with(&[&issuing]))
        });
        let (trust, shown) = &*MADE;
        let mut chain = shown.chain.clone();
        *place.get_mut(&mut chain[which]) ^= flip;
        prop_assert!(trust.judge_path(&chain, false, now()).is_err());
    }

    // PKI-60
    #[test]
    fn bytes_that_are_no_certificate_are_refused(leaf: Vec<u8>, other: Vec<u8>) {
        static TRUST: LazyLock<Trust> = LazyLock::new(|| native(&[&Ca::root("root")]));
        prop_assert!(TRUST.judge_path(&[leaf, other], true, now()).is_err());
    }
}
