//! Tests of the maker.

use super::*;
use crate::certificate::{Certificate, Name};
use rcgen::{CertificateParams, KeyPair, KeyUsagePurpose};

pub(crate) const NOW: i64 = 1_790_000_000;

pub(crate) fn root() -> Authority {
    Authority::root("td.example", PrivateKey::generate_root().unwrap(), [1; 16], NOW).unwrap()
}

pub(crate) fn hierarchy() -> (Authority, Authority) {
    let root = root();
    let key = PrivateKey::generate().unwrap();
    let issuing = root.issuing("td.example", key, [2; 16], NOW, 365).unwrap();
    (root, issuing)
}

pub(crate) fn leaf(profile: Profile) -> Leaf {
    let identity = "spiffe://td.example/app".parse().unwrap();
    Leaf::new(identity, profile, [3; 16], NOW - 300, NOW + 96 * 3600)
}

pub(crate) fn requested(key: &PrivateKey) -> RequestedKey {
    RequestedKey::read(&certificate_request(key).unwrap()).unwrap()
}

/// A key's signature over bytes that are no certificate of ours.
pub(crate) fn signature(key: &PrivateKey, bytes: &[u8]) -> Vec<u8> {
    rcgen::SigningKey::sign(key.pair(), bytes).unwrap()
}

fn signed(
    issuing: &Authority,
    leaf: &Leaf,
    key: &RequestedKey,
    root: &[u8],
) -> Result<Vec<u8>, X509Error> {
    let intent = issuing.intent(leaf, key)?;
    issuing.release(leaf, key, &Release { intent, root, now: NOW, denied: &[] })
}
// PKI-16, PKI-62, section 14
#[test]
fn a_leaf_of_each_profile_passes_its_self_check() {
    let (root, issuing) = hierarchy();
    let key = PrivateKey::generate().unwrap();
    for profile in [Profile::Service, Profile::Client, Profile::Peer, Profile::Authority] {
        let (leaf, key) = (leaf(profile), requested(&key));
        let intent = issuing.intent(&leaf, &key).unwrap();
        let der = issuing.sign(&leaf, &key, intent, &root.der).unwrap();
        let purposes = Certificate::read(&der).unwrap().purposes.unwrap();
        assert_eq!((purposes.server, purposes.client), (profile.listens(), profile.dials()));
    }
}

// K26: what is signed is what was recorded.
#[test]
fn a_leaf_that_differs_from_its_intent_is_not_signed() {
    let (root, issuing) = hierarchy();
    let key = requested(&PrivateKey::generate().unwrap());
    let intent = issuing.intent(&leaf(Profile::Client), &key).unwrap();
    let other = Leaf { serial: [4; 16], ..leaf(Profile::Client) };
    assert!(matches!(issuing.sign(&other, &key, intent, &root.der), Err(X509Error::Signing(_))));
}

// DEP-20, PKI-19, PKI-26: nothing that a hostile request asks for is in the certificate.
#[test]
fn only_the_public_key_of_a_request_is_taken() {
    let (root, issuing) = hierarchy();
    let pair = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["evil.example".to_owned()]).unwrap();
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let hostile = params.serialize_request(&pair).unwrap();
    let key = RequestedKey::read(hostile.der()).unwrap();
    let leaf = leaf(Profile::Client);
    let intent = issuing.intent(&leaf, &key).unwrap();
    let read = Certificate::read(&issuing.sign(&leaf, &key, intent, &root.der).unwrap()).unwrap();
    assert_eq!(read.names, [Name::Uri("spiffe://td.example/app".to_owned())]);
    assert!(!read.is_ca && read.may_sign_certificates == Some(false));
}

// PKI-26
#[test]
fn a_request_that_is_not_its_keys_own_is_refused() {
    let mut bad = certificate_request(&PrivateKey::generate().unwrap()).unwrap();
    if let Some(last) = bad.last_mut() {
        *last ^= 1;
    }
    assert!(RequestedKey::read(&bad).is_err());
    assert!(RequestedKey::read(&[0; REQUEST_BYTES + 1]).is_err());
    assert!(RequestedKey::read(b"").is_err());
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let request = CertificateParams::default().serialize_request(&ed25519).unwrap();
    assert!(RequestedKey::read(request.der()).is_err());
}

/// A request that asks for everything it should not get.
fn hostile(names: &[String], extra: usize) -> (KeyPair, Vec<u8>) {
    let pair = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "root");
    let dns = |name: &String| rcgen::SanType::DnsName(name.as_str().try_into().unwrap());
    params.subject_alt_names = names.iter().map(dns).collect();
    let uri = "spiffe://td.example/segwan/authority".try_into().unwrap();
    params.subject_alt_names.push(rcgen::SanType::URI(uri));
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::Any];
    let role = crate::lint::der::write(0x0c, &vec![b'a'; extra]);
    params.custom_extensions = vec![rcgen::CustomExtension::from_oid_content(ROLE_OID, role)];
    let request = params.serialize_request(&pair).unwrap();
    (pair, request.der().to_vec())
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(48))]

    // PKI-19, PKI-26: the names are the registration's, whatever the request says.
    #[test]
    fn a_certificate_names_what_its_registration_names(
        path in "[A-Za-z0-9_-]{1,40}(/[A-Za-z0-9_-]{1,20}){0,3}",
        labels in proptest::collection::vec("[a-z][a-z0-9-]{0,10}[a-z0-9]", 0..4),
        asked in proptest::collection::vec("[a-z]{1,10}\\.example", 0..4),
        display in proptest::bool::ANY,
        extra in 0_usize..4000,
    ) {
        let (root, issuing) = hierarchy();
        let (_, request) = hostile(&asked, extra);
        let key = RequestedKey::read(&request).unwrap();
        let identity: Identity = format!("spiffe://td.example/{path}").parse().unwrap();
        let mut leaf = leaf(Profile::Client);
        leaf.identity = identity.clone();
        leaf.dns = labels.iter().map(|label| format!("{label}.td.example")).collect();
        leaf.display_name = display.then(|| path.chars().take(64).collect());
        let read = Certificate::read(&signed(&issuing, &leaf, &key, &root.der).unwrap()).unwrap();
        let mut names = vec![Name::Uri(identity.to_string())];
        names.extend(leaf.dns.iter().cloned().map(Name::Dns));
        proptest::prop_assert_eq!(read.names, names);
        proptest::prop_assert_eq!(read.subject_is_empty, !display);
        proptest::prop_assert!(!read.is_ca && read.only_signs_data && read.public_key == key.public_key());
    }
}

// CON-21: what a role may be read from, as a certificate of any issuer says it.
#[test]
fn a_certificate_says_its_units_and_its_profile() {
    use rcgen::{DnType, DnValue, ExtendedKeyUsagePurpose as Usage};
    let read = |units: &[DnValue], usages: &[Usage]| {
        let mut params = CertificateParams::default();
        // A name holds one value of each type, and this is one type in two spellings.
        let types = [DnType::OrganizationalUnitName, DnType::CustomDnType(vec![2, 5, 4, 11])];
        for (of, unit) in types.into_iter().zip(units) {
            params.distinguished_name.push(of, unit.clone());
        }
        params.extended_key_usages = usages.to_vec();
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let read = Certificate::read(made.der()).unwrap();
        (read.units, read.purposes.and_then(crate::certificate::Purposes::profile))
    };
    let operator = DnValue::Utf8String("Operator".to_owned());
    let bmp = DnValue::BmpString(rcgen::string::BmpString::try_from("Operator").unwrap());
    let said = || Some("Operator".to_owned());
    assert_eq!(read(&[], &[]), (vec![], None));
    assert_eq!(
        read(std::slice::from_ref(&operator), &[Usage::ClientAuth]),
        (vec![said()], Some("client"))
    );
    assert_eq!(
        read(&[operator.clone(), operator], &[Usage::ServerAuth]),
        (vec![said(), said()], Some("service"))
    );
    assert_eq!(read(&[bmp], &[Usage::ServerAuth, Usage::ClientAuth]), (vec![None], Some("peer")));
    assert_eq!(read(&[], &[Usage::ClientAuth, Usage::Any]).1, None);
}

/// What a refusal of a request says.
fn refusal(request: &[u8]) -> String {
    RequestedKey::read(request).err().unwrap().to_string()
}

// PKI-26
#[test]
fn each_hostile_request_is_refused_by_name() {
    let good = certificate_request(&PrivateKey::generate().unwrap()).unwrap();
    let trailing = [good.as_slice(), &[0]].concat();
    assert_eq!(
        refusal(&trailing),
        "the certificate request is refused: it is not well-formed: 1 bytes follow it"
    );
    let (_, large) = hostile(&[], 1 << 20);
    assert!(refusal(&large).ends_with("bytes, over 8192"), "{}", refusal(&large));
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    assert!(refusal(&bad).ends_with("it is not signed by its own key"));
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 0x20;
        assert!(RequestedKey::read(&changed).is_err(), "byte {at}");
        assert!(RequestedKey::read(&good[..at]).is_err(), "cut at {at}");
    }
}

// PKI-26
#[test]
fn keys_of_other_kinds_are_refused_with_their_kind_and_size() {
    let taken = "taken are ECDSA on P-256 or P-384 and RSA of 2048, 3072 or 4096 bits";
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let request = CertificateParams::default().serialize_request(&ed25519).unwrap();
    let start = "the certificate request is refused: its key is";
    assert_eq!(refusal(request.der()), format!("{start} Ed25519; {taken}"));
    let p521 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
    let request = CertificateParams::default().serialize_request(&p521).unwrap();
    assert_eq!(refusal(request.der()), format!("{start} ECDSA on P-521; {taken}"));
    // Made with `openssl req -new -subj / -nodes -newkey`.
    for (file, name) in [
        (include_str!("../../tests/requests/rsa-1024.pem"), "RSA of 1024 bits"),
        (include_str!("../../tests/requests/rsa-2056.pem"), "RSA of 2056 bits"),
        (include_str!("../../tests/requests/p-192.pem"), "ECDSA on P-192"),
        (include_str!("../../tests/requests/secp256k1.pem"), "ECDSA on secp256k1"),
    ] {
        assert_eq!(refusal(&from_pem(file)), format!("{start} {name}; {taken}"));
    }
    let exponent = from_pem(include_str!("../../tests/requests/rsa-exponent-3.pem"));
    let sentence = "its RSA key has the exponent 3, not 65537";
    assert_eq!(refusal(&exponent), format!("the certificate request is refused: {sentence}"));
}

fn from_pem(text: &str) -> Vec<u8> {
    use rustls_pki_types::pem::PemObject;
    rustls_pki_types::CertificateSigningRequestDer::from_pem_slice(text.as_bytes())
        .unwrap()
        .to_vec()
}

#[test]
fn rsa_and_p384_keys_are_certified() {
    let (root, issuing) = hierarchy();
    let rsa = from_pem(include_str!("../../tests/requests/rsa-3072.pem"));
    let p384 = certificate_request(&PrivateKey::generate_root().unwrap()).unwrap();
    for request in [rsa, p384] {
        let key = RequestedKey::read(&request).unwrap();
        signed(&issuing, &leaf(Profile::Peer), &key, &root.der).unwrap();
    }
}

// PKI-64
#[test]
fn a_failed_self_check_releases_nothing() {
    let (root, issuing) = hierarchy();
    let key = requested(&PrivateKey::generate().unwrap());
    spoiling::next();
    let error = signed(&issuing, &leaf(Profile::Client), &key, &root.der).unwrap_err();
    let sentence = "self-check failed: K13: its issuer's key did not sign it";
    assert_eq!(error.to_string(), sentence);
    assert!(signed(&issuing, &leaf(Profile::Client), &key, &root.der).is_ok());
}

#[test]
fn what_a_leaf_cannot_hold_is_refused_before_it_is_recorded() {
    let (_, issuing) = hierarchy();
    let key = requested(&PrivateKey::generate().unwrap());
    let mut two = leaf(Profile::Client);
    two.roles = vec!["a".to_owned(), "b".to_owned()];
    let mut long = leaf(Profile::Client);
    long.display_name = Some("a".repeat(65));
    let mut foreign = leaf(Profile::Client);
    foreign.dns = vec!["bücher.example".to_owned()];
    for (leaf, sentence) in [
        (two, "2 roles need an extension each; one is supported"),
        (long, "a display name has 1 to 64 characters, not 65"),
        (foreign, "the name `bücher.example` is not ASCII"),
    ] {
        let error = issuing.intent(&leaf, &key).unwrap_err();
        assert_eq!(error.to_string(), format!("no certificate could be signed: {sentence}"));
    }
}

// PKI-15
#[test]
fn subjects_of_two_keys_differ() {
    let (root, one) = hierarchy();
    let key = PrivateKey::generate().unwrap();
    let two = root.issuing("td.example", key, [4; 16], NOW, 365).unwrap();
    let issuers = [&one, &two].map(|issuing| {
        let key = requested(&PrivateKey::generate().unwrap());
        let leaf = signed(issuing, &leaf(Profile::Client), &key, &root.der).unwrap();
        Certificate::read(&leaf).unwrap().issuer
    });
    for (issuer, issuing) in issuers.iter().zip([&one, &two]) {
        let id = &issuing.key_id()[..8];
        assert_eq!(*issuer, format!("O=td.example, CN=Segwan issuing {id}"));
    }
    let roots = [&root, &tests::root()].map(|root| Certificate::read(&root.der).unwrap().issuer);
    assert_ne!(issuers[0], issuers[1]);
    assert_ne!(roots[0], roots[1]);
}

// PKI-12
#[test]
fn a_request_from_an_air_gap_is_signed_and_imported() {
    let root = root();
    let key = PrivateKey::generate().unwrap();
    let constraints = Constraints::new("td.example", &["shop.example".to_owned()], &[]).unwrap();
    let request = issuing_request(&key, "td.example", &constraints).unwrap();
    let terms = IssuingTerms { serial: [5; 16], now: NOW, days: 365, constraints: &constraints };
    let der = root.sign_issuing_request(&request, &terms).unwrap();
    assert_eq!(crate::lint::check_issuing(&der, &root.der, &key.public_key(), NOW), Ok(()));
    let issuing = Authority { der, key };
    issuing.trial(&"td.example".parse().unwrap(), &root.der, NOW).unwrap();
    let foreign = tests::root();
    let error = issuing.trial(&"td.example".parse().unwrap(), &foreign.der, NOW).unwrap_err();
    assert!(error.to_string().contains("K13: it does not lead to the root"), "{error}");
}

// PKI-12: a leaf's request is none for an issuing certificate.
#[test]
fn a_request_with_another_subject_is_not_signed_by_the_root() {
    let constraints = Constraints::of("td.example");
    let terms = IssuingTerms { serial: [5; 16], now: NOW, days: 365, constraints: &constraints };
    let key = PrivateKey::generate().unwrap();
    let plain = certificate_request(&key).unwrap();
    let error = root().sign_issuing_request(&plain, &terms).unwrap_err();
    assert!(error.to_string().ends_with("its subject names no trust domain"), "{error}");
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::OrganizationName, "td.example");
    params.distinguished_name.push(rcgen::DnType::CommonName, "Segwan issuing 00000000");
    let request = params.serialize_request(key.pair()).unwrap();
    let error = root().sign_issuing_request(request.der(), &terms).unwrap_err().to_string();
    let found = "its subject is `O=td.example, CN=Segwan issuing 00000000`, and for its key";
    assert!(error.contains(found), "{error}");
}

// PKI-48 (the cross certificate)
#[test]
fn a_leaf_of_a_new_root_leads_to_the_old_one_by_a_cross_certificate() {
    let old = root();
    let (new, issuing) = hierarchy();
    let key = requested(&PrivateKey::generate().unwrap());
    let leaf = signed(&issuing, &leaf(Profile::Service), &key, &new.der).unwrap();
    let cross = old.cross_sign(&new.der, [6; 16], NOW).unwrap();
    let chain = vec![leaf.clone(), issuing.der.clone(), cross];
    assert_eq!(verify_chain(&chain, &old.der, true, NOW), Ok(()));
    assert!(verify_chain(&[leaf, issuing.der], &old.der, true, NOW).is_err());
}

// PKI-65: around the second in which 32-bit clocks end, and the one in which the form changes.
#[test]
fn validity_is_written_and_verified_across_2038_and_2050() {
    for (edge, forms) in [(2_147_483_648_i64, [0x17, 0x17]), (2_524_608_000, [0x17, 0x18])] {
        let begin = edge - 40 * DAY;
        let key = PrivateKey::generate_root().unwrap();
        let root = Authority::root("td.example", key, [1; 16], begin).unwrap();
        let key = PrivateKey::generate().unwrap();
        let issuing = root.issuing("td.example", key, [2; 16], begin, 365).unwrap();
        for (first, last) in
            [(edge - 300, edge - 1), (edge - 300, edge), (edge - 1, edge + DAY), (edge, edge + DAY)]
        {
            let leaf = Leaf::new(
                "spiffe://td.example/app".parse().unwrap(),
                Profile::Peer,
                [3; 16],
                first,
                last.max(first + 300),
            );
            let key = requested(&PrivateKey::generate().unwrap());
            let intent = issuing.intent(&leaf, &key).unwrap();
            let der = issuing.sign(&leaf, &key, intent, &root.der).unwrap();
            let read = Certificate::read(&der).unwrap();
            assert_eq!((read.not_before, read.not_after), (leaf.not_before, leaf.not_after));
            let form = |at: i64| if at < edge { forms[0] } else { forms[1] };
            for at in [leaf.not_before, leaf.not_after] {
                let text =
                    jiff::Timestamp::from_second(at).unwrap().strftime("%Y%m%d%H%M%SZ").to_string();
                let text = if form(at) == 0x17 { &text[2..] } else { &text };
                let written = crate::lint::der::write(form(at), text.as_bytes());
                assert!(der.windows(written.len()).any(|window| window == written), "{at}");
            }
            let chain = vec![der, issuing.der.clone()];
            for (at, good) in [(-1, false), (0, true)] {
                assert_eq!(
                    verify_chain(&chain, &root.der, true, leaf.not_before + at).is_ok(),
                    good
                );
            }
            for (at, good) in [(0, true), (1, false)] {
                assert_eq!(
                    verify_chain(&chain, &root.der, true, leaf.not_after + at).is_ok(),
                    good
                );
            }
        }
    }
}

// PKI-12
#[test]
fn the_extension_file_for_openssl_says_what_the_certificate_says() {
    let key = PrivateKey::generate().unwrap();
    let root = root();
    let id = Certificate::read(&root.der).unwrap().subject_key.unwrap();
    assert_eq!(crate::key::hex(&id), root.key_id());
    let text = issuing_extensions(&key, &Constraints::of("td.example"));
    let id = &crate::key::hex(&key.public_key_sha256())[..40];
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[..2],
        ["basicConstraints=critical,CA:TRUE,pathlen:0", "keyUsage=critical,keyCertSign,cRLSign"]
    );
    assert_eq!(lines[2], format!("subjectKeyIdentifier={id}"));
    assert_eq!(lines[3], "authorityKeyIdentifier=keyid:always");
    let constraints = "nameConstraints=critical,permitted;DNS:td.example,permitted;DNS:localhost,\
                       excluded;IP:0.0.0.0/0.0.0.0,excluded;IP:0:0:0:0:0:0:0:0/0:0:0:0:0:0:0:0";
    assert_eq!(lines[4..], [constraints]);
    let ranges = ["10.0.0.0/9".parse().unwrap(), "fd00:8000::/17".parse().unwrap()];
    let permitted = Constraints::new("td.example", &["shop.example".to_owned()], &ranges).unwrap();
    let text = issuing_extensions(&key, &permitted);
    let constraints = "nameConstraints=critical,permitted;DNS:shop.example,permitted;\
                       IP:10.0.0.0/255.128.0.0,permitted;IP:fd00:8000::/ffff:8000:0000:0000:0000:0000:0000:0000";
    assert_eq!(text.lines().last(), Some(constraints));
}
