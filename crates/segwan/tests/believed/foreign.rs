//! Certificates of a foreign authority: known by its rules, below its own names, and by nothing
//! else (`pki.md` section 17).

use crate::hierarchy::{Ca, Shown, Use, dns, pem, uri};
use crate::{handshake, native, now, refusal, service};
use rcgen::{CertificateParams, CustomExtension, DnType};
use segwan::tls::trust::TrustError;
use segwan::{
    ForeignRealm, ForeignTrust, Mapping, Peer, Reason, StaleCrl, Tolerate, Trust, TrustState,
};
use std::sync::Arc;

/// A rule as it is written: `from`, `match`, `identity`.
pub(crate) type Rule<'a> = (&'a str, &'a str, &'a str);

pub(crate) const PRESSES: Rule<'_> = ("dns_san", "*.plant.example", "foreign/plant/{1}");
const OID: &[u64] = &[1, 3, 6, 1, 4, 1, 50316, 9];

/// The authority `name` with these roots and rules.
pub(crate) fn authority(name: &str, roots: &[&Ca], rules: &[Rule<'_>]) -> ForeignTrust {
    let realm = ForeignRealm::new(&"shop.test".parse().unwrap(), name).unwrap();
    let mut mapping = Mapping::new(realm);
    for (from, matches, identity) in rules {
        mapping.add(from, matches, identity).unwrap();
    }
    let pem: String = roots.iter().map(|root| pem(&root.der)).collect();
    let state = TrustState::of_roots(pem.as_bytes()).unwrap();
    ForeignTrust { mapping, tolerate: Tolerate::default(), state }
}

/// A device of the plant with an own name in it.
pub(crate) fn device(ca: &Ca, edit: impl FnOnce(&mut CertificateParams)) -> Shown {
    ca.leaf_with(|params| {
        params.subject_alt_names = vec![dns("press-7.plant.example")];
        edit(params);
    })
}

fn text(value: &[u8]) -> CustomExtension {
    CustomExtension::from_oid_content(OID, value.to_vec())
}

/// Whom a service makes of a client.
async fn met(trust: &Arc<Trust>, ours: &Ca, shown: &Shown) -> Result<Arc<Peer>, Reason> {
    let far = Arc::new(native(&[ours]));
    let (accepted, _) = handshake((&service(ours), trust.clone()), (shown, far)).await;
    accepted.map_err(|error| error.reason)
}

async fn name(trust: &Arc<Trust>, ours: &Ca, shown: &Shown) -> Result<String, Reason> {
    met(trust, ours, shown).await.map(|peer| peer.identity().to_string())
}

/// Our Authority, and trust in it and in the plant by these rules.
fn beside(plant: &Ca, rules: &[Rule<'_>]) -> (Ca, Arc<Trust>) {
    let ours = Ca::root("ours");
    let trust = native(&[&ours]);
    trust.believe(authority("plant", &[plant], rules)).unwrap();
    (ours, Arc::new(trust))
}

// PKI-72
#[tokio::test]
async fn a_foreign_authority_speaks_for_no_identity_of_ours() {
    let plant = Ca::root("plant");
    let (ours, trust) = beside(&plant, &[PRESSES]);
    assert_eq!(name(&trust, &ours, &ours.leaf()).await.unwrap(), "spiffe://shop.test/app");
    let press = device(&plant, |_| {});
    let mapped = "spiffe://shop.test/foreign/plant/press-7";
    assert_eq!(name(&trust, &ours, &press).await.unwrap(), mapped);

    // Our names in its certificates: no rule knows them.
    for named in ["spiffe://shop.test/app", mapped] {
        let claims = plant.leaf_with(|params| params.subject_alt_names = vec![uri(named)]);
        assert_eq!(name(&trust, &ours, &claims).await, Err(Reason::IdentityUnmapped), "{named}");
        // Beside a name that is known, they have no effect.
        let both = device(&plant, |params| params.subject_alt_names.push(uri(named)));
        assert_eq!(name(&trust, &ours, &both).await.unwrap(), mapped, "{named}");
    }
    // A rule that takes them gives another name.
    let (ours, trust) = beside(&plant, &[("uri_san", "spiffe://shop.test/*", "foreign/plant/{1}")]);
    let claims = plant.leaf();
    let given = name(&trust, &ours, &claims).await.unwrap();
    assert_eq!(given, "spiffe://shop.test/foreign/plant/app");

    // What our Authority signs is never mapped, and never foreign.
    let (ours, trust) = beside(&plant, &[PRESSES]);
    let refused = name(&trust, &ours, &device(&ours, |_| {})).await;
    assert_eq!(refused, Err(Reason::IdentityInvalid));
    let foreign = ours.leaf_with(|params| params.subject_alt_names = vec![uri(mapped)]);
    assert_eq!(name(&trust, &ours, &foreign).await, Err(Reason::IdentityInvalid));
}

// PKI-72
#[tokio::test]
async fn two_rules_or_two_values_that_fit_are_refused() {
    let plant = Ca::root("plant");
    let second = ("uri_san", "urn:dev:*", "foreign/plant/{1}");
    let (ours, trust) =
        beside(&plant, &[PRESSES, second, ("dns_san", "door.*.*", "foreign/plant/{1}")]);
    let named = |names: &[rcgen::SanType]| {
        plant.leaf_with(|params| params.subject_alt_names = names.to_vec())
    };
    let press = dns("press-7.plant.example");
    let ambiguous = Err(Reason::IdentityAmbiguous);
    // Two rules by two values, two rules by one value, one rule by two values, and by one twice.
    for names in [
        vec![press.clone(), uri("urn:dev:press-7")],
        vec![dns("door.plant.example")],
        vec![press.clone(), dns("press-8.plant.example")],
        vec![press.clone(), press.clone()],
        vec![press.clone(), uri("urn:dev:no name")],
    ] {
        assert_eq!(name(&trust, &ours, &named(&names)).await, ambiguous, "{names:?}");
    }
    let unmapped = Err(Reason::IdentityUnmapped);
    for names in [
        vec![],
        vec![dns("press-7.other.example")],
        vec![dns("a.press-7.plant.example")],
        vec![dns("*.plant.example")],
        vec![dns("PRESS-7.plant.example")],
        vec![dns("press-7.plant.example.")],
        vec![uri("urn:dev:mac:1")],
        vec![uri("urn:dev:..")],
        vec![uri("urn:dev:%2e")],
        vec![uri("https://plant.example/press-7")],
    ] {
        assert_eq!(name(&trust, &ours, &named(&names)).await, unmapped, "{names:?}");
    }
    let one = named(&[press, uri("https://plant.example/press-7")]);
    assert!(name(&trust, &ours, &one).await.is_ok());
}

// PKI-72
#[tokio::test]
async fn a_common_name_has_no_effect() {
    let plant = Ca::root("plant");
    let (ours, trust) = beside(&plant, &[PRESSES]);
    for common in
        ["spiffe://shop.test/app", "press-8.plant.example", "spiffe://shop.test/foreign/plant/a"]
    {
        let called = |params: &mut CertificateParams| {
            params.distinguished_name.push(DnType::CommonName, common);
        };
        let given = name(&trust, &ours, &device(&plant, called)).await.unwrap();
        assert_eq!(given, "spiffe://shop.test/foreign/plant/press-7");
        let alone = plant.leaf_with(|params| {
            called(params);
            params.subject_alt_names = Vec::new();
        });
        assert_eq!(name(&trust, &ours, &alone).await, Err(Reason::IdentityUnmapped));
    }
}

#[tokio::test]
async fn an_extension_names_a_device_by_one_text() {
    let plant = Ca::root("plant");
    let rule = ("extension:1.3.6.1.4.1.50316.9", "line-1/*", "foreign/plant/line-1/{1}");
    let (ours, trust) = beside(&plant, &[rule]);
    let with = |extension: CustomExtension| {
        device(&plant, |params| params.custom_extensions = vec![extension])
    };
    let press = || b"\x0c\x0eline-1/press-7".to_vec();
    let given = name(&trust, &ours, &with(text(&press()))).await.unwrap();
    assert_eq!(given, "spiffe://shop.test/foreign/plant/line-1/press-7");
    let mut more = press();
    more.push(0);
    let sequence = [b"\x30\x10".as_slice(), &press()].concat();
    for value in [&more[..], &sequence, b"line-1/press-7", b"\x04\x0eline-1/press-7", b""] {
        let refused = name(&trust, &ours, &with(text(value))).await;
        assert_eq!(refused, Err(Reason::IdentityUnmapped), "{value:?}");
    }
    let mut critical = text(&press());
    critical.set_criticality(true);
    assert_eq!(refusal(&trust, &with(critical)), Some(Reason::CertificateInvalid));
}

// V8 for foreign authorities, in handshakes and for connections that are there.
#[tokio::test]
async fn each_authority_has_its_own_lists_and_its_own_end() {
    let (plant, depot) = (Ca::root("plant"), Ca::root("depot"));
    let (ours, trust) = beside(&plant, &[PRESSES]);
    let doors = ("dns_san", "*.plant.example", "foreign/depot/{1}");
    trust.believe(authority("depot", &[&depot], &[doors])).unwrap();
    let (press, door) = (device(&plant, |_| {}), device(&depot, |_| {}));
    let peers = [
        met(&trust, &ours, &press).await.unwrap(),
        met(&trust, &ours, &door).await.unwrap(),
        met(&trust, &ours, &ours.leaf()).await.unwrap(),
    ];
    let again =
        || peers.each_ref().map(|peer| trust.judge_again(peer, now()).map(|(reason, _)| reason));
    assert_eq!(again(), [None; 3]);

    // All three certificates have one serial number.
    let list = plant.list(&[&[5; 16]], (now() - 1) * 1000, (now() + 60) * 1000);
    let mut listed = authority("plant", &[&plant], &[PRESSES]);
    listed.state.crls = vec![list.clone()];
    trust.believe(listed).unwrap();
    let revoked = Some(Reason::CertificateRevoked);
    assert_eq!(again(), [revoked, None, None]);
    let after = [&press, &door, &ours.leaf()].map(|shown| refusal(&trust, shown));
    assert_eq!(after, [revoked, None, None]);
    // A list in another's place answers for nobody.
    trust.believe(authority("plant", &[&plant], &[PRESSES])).unwrap();
    trust.change(|state| state.crls = vec![list]).unwrap();
    assert_eq!(again(), [None; 3]);

    // What a list past its time means is one word of the operator for all of them.
    let stale = plant.list(&[], (now() - 120) * 1000, (now() - 60) * 1000);
    let mut old = authority("plant", &[&plant], &[PRESSES]);
    old.state.crls = vec![stale];
    for (meaning, verdict) in [(StaleCrl::Keep, None), (StaleCrl::Refuse, Some(Reason::CrlStale))] {
        trust.set_stale_crl(meaning);
        trust.believe(old.clone()).unwrap();
        assert_eq!(refusal(&trust, &press), verdict, "{meaning:?}");
    }
    trust.set_stale_crl(StaleCrl::Keep);

    // Other roots: whoever was believed by the old ones is not any more; nor is the same root
    // under another name.
    let new = Ca::root("new");
    trust.believe(authority("plant", &[&new], &[PRESSES])).unwrap();
    assert_eq!(again(), [Some(Reason::TrustWithdrawn), None, None]);
    assert_eq!(refusal(&trust, &press), Some(Reason::UnknownIssuer));
    // Nor does our Authority's root hold a foreign one's peers, or the other way round.
    trust.change(|state| state.roots = vec![plant.der.clone()]).unwrap();
    let gone = Some(Reason::TrustWithdrawn);
    assert_eq!(again(), [gone, None, gone]);
}

// PKI-72: what was believed by our root is not believed by the same root in foreign hands.
#[tokio::test]
async fn a_root_that_changes_hands_takes_nobody_along() {
    let (old, new) = (Ca::root("old"), Ca::root("new"));
    let trust = Arc::new(native(&[&old, &new]));
    let peer = met(&trust, &new, &old.leaf()).await.unwrap();
    assert_eq!(peer.identity().to_string(), "spiffe://shop.test/app");
    trust.believe(authority("plant", &[&old], &[PRESSES])).unwrap();
    // While it is ours, it is judged as ours.
    assert!(met(&trust, &new, &old.leaf()).await.is_ok());
    trust.change(|state| state.roots = vec![new.der.clone()]).unwrap();
    let reason = trust.judge_again(&peer, now()).map(|(reason, _)| reason);
    assert_eq!(reason, Some(Reason::TrustWithdrawn));
    assert_eq!(name(&trust, &new, &old.leaf()).await, Err(Reason::IdentityUnmapped));
}

// PKI-72: webpki says "expired" of a path that leads nowhere, and no more of the one that does.
#[tokio::test]
async fn what_is_sent_along_in_vain_keeps_no_foreign_authority_from_being_asked() {
    let (plant, elsewhere) = (Ca::root("plant"), Ca::root("elsewhere"));
    let (ours, trust) = beside(&plant, &[PRESSES]);
    let issuing = plant.issuing("presses");
    let ended =
        |params: &mut CertificateParams| params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let narrow =
        |params: &mut CertificateParams| params.extended_key_usages = vec![Use::TimeStamping];
    let useless = [
        elsewhere.cross_with(&plant, ended),
        elsewhere.cross_with(&issuing, ended),
        elsewhere.cross_with(&issuing, narrow),
        ours.cross_with(&plant, ended),
        ours.cross_with(&issuing, ended),
        // Not ours, but with our name.
        Ca::root("ours").cross(&issuing),
    ];
    let press = device(&issuing, |_| {});
    let mapped = "spiffe://shop.test/foreign/plant/press-7";
    for (at, cross) in useless.iter().enumerate() {
        for chain in
            [press.clone().with(&[&issuing, cross]), press.clone().with(&[cross, &issuing])]
        {
            assert_eq!(name(&trust, &ours, &chain).await.as_deref(), Ok(mapped), "{at}");
        }
        // Without a path to the plant, it is for nobody.
        let alone = refusal(&trust, &device(&elsewhere.issuing("presses"), |_| {}).with(&[cross]));
        assert!(alone.is_some(), "{at}");
    }
}

// PKI-72: the first to whose roots a path leads has the word, whatever its verdict is.
#[test]
fn what_one_authority_refuses_no_other_lets_in() {
    let plant = Ca::root("plant");
    let (ours, trust) = beside(&plant, &[PRESSES]);
    let issuing = plant.issuing("presses");
    let limited = |params: &mut CertificateParams| {
        let excluded_subtrees = vec![rcgen::GeneralSubtree::DnsName("plant.example".to_owned())];
        let name_constraints =
            rcgen::NameConstraints { permitted_subtrees: vec![], excluded_subtrees };
        params.name_constraints = Some(name_constraints);
    };
    let ended =
        ours.cross_with(&plant, |params| params.not_after = rcgen::date_time_ymd(2021, 1, 1));
    let press = device(&issuing, |_| {}).with(&[&issuing, &ended]);
    assert_eq!(refusal(&trust, &press), None);
    // A path of ours that breaks a rule, beside the plant's, which breaks none.
    let cross = ours.cross_with(&issuing, limited);
    let press = device(&issuing, |_| {}).with(&[&issuing, &cross, &ended]);
    assert!(refusal(&trust, &press).is_some());
    // And one that breaks none, for a name that is not ours.
    let cross = ours.cross(&issuing);
    let press = device(&issuing, |_| {}).with(&[&issuing, &cross, &ended]);
    assert_eq!(refusal(&trust, &press), Some(Reason::IdentityInvalid));
    // It is on the list that its issuer made for us; webpki still says what it ranks higher.
    let list = issuing.list(&[&[5; 16]], (now() - 1) * 1000, (now() + 60) * 1000);
    trust.change(|state| state.crls = vec![list]).unwrap();
    assert_eq!(refusal(&trust, &press), Some(Reason::CertificateExpired));
    let press = device(&issuing, |_| {}).with(&[&issuing, &cross]);
    assert_eq!(refusal(&trust, &press), Some(Reason::CertificateRevoked));
}

#[test]
fn a_foreign_authority_that_cannot_be_believed_changes_nothing() {
    let (plant, ours) = (Ca::root("plant"), Ca::root("ours"));
    let trust = native(&[&ours]);
    trust.believe(authority("plant", &[&plant], &[PRESSES])).unwrap();
    let press = device(&plant, |_| {});
    let leaf = Ca::root_with("leaf", |params| params.is_ca = rcgen::IsCa::ExplicitNoCa);
    let over = Ca::root_with("old", |p| p.not_after = rcgen::date_time_ymd(2021, 1, 1));
    for (roots, error) in [
        (&[][..], TrustError::Empty),
        (&[&leaf], TrustError::NotARoot(1)),
        (&[&plant, &over], TrustError::Outdated(2)),
    ] {
        let refused = trust.believe(authority("plant", roots, &[PRESSES]));
        assert_eq!(refused, Err(error));
        assert_eq!(refusal(&trust, &press), None);
    }
    let second = authority("depot", &[&ours, &plant], &[]);
    assert_eq!(trust.believe(second), Err(TrustError::Shared(2, "plant".to_owned())));
    let of_files = crate::files(&[&ours]);
    let refused = of_files.believe(authority("plant", &[&plant], &[PRESSES]));
    assert_eq!(refused, Err(TrustError::NotBeside));
}
