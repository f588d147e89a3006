use super::*;
use crate::key::PrivateKey;
use proptest::prelude::*;
use rcgen::SigningKey;
use std::cell::Cell;
use std::sync::{Arc, LazyLock};

thread_local! {
    /// Whether the parser of this thread's lists panics.
    static PANICS: Cell<bool> = const { Cell::new(false) };
}

/// What a hostile list might do to a parser.
pub(super) fn panic_if_told() {
    assert!(!PANICS.get(), "the hook");
}

const NOW: i64 = 1_790_000_000_000;
const WEEK: i64 = 7 * 86_400_000;

/// An issuing certificate under a root; each call makes others of the same trust domain.
fn issuing() -> Authority {
    let now = NOW / 1000;
    let root = PrivateKey::generate_root().unwrap();
    let root = Authority::root("td.example", root, [1; 16], now).unwrap();
    root.issuing("td.example", PrivateKey::generate().unwrap(), [2; 16], now, 365).unwrap()
}

/// One for all tests that need no other.
static ISSUER: LazyLock<Authority> = LazyLock::new(issuing);

fn entry(serial: u8) -> Entry {
    Entry { serial: vec![serial; 16], at_ms: NOW - 1000, reason: RevocationReason::KeyCompromise }
}

fn signed(number: u64, entries: &[Entry]) -> Vec<u8> {
    sign(&ISSUER, number, NOW - 300_000, NOW + WEEK, entries).unwrap()
}

fn accept(der: &[u8], installed: Option<&Crl>) -> Result<Accepted, CrlError> {
    Crl::accept(der, &[&ISSUER.der], installed, NOW)
}

fn newer(accepted: Result<Accepted, CrlError>) -> Arc<Crl> {
    match accepted.unwrap() {
        Accepted::Newer(crl) => crl,
        Accepted::Same => panic!("it is the installed one"),
    }
}

#[test]
fn a_list_says_what_was_signed() {
    let entries = [entry(3), entry(1), entry(2), entry(1)];
    let crl = newer(accept(&signed(7, &entries), None));
    assert_eq!((crl.number, crl.len()), (7, 3));
    assert_eq!((crl.this_update_ms, crl.next_update_ms), (NOW - 300_000, NOW + WEEK));
    assert_eq!(crl.issuer_key, ISSUER.key_id());
    assert!(crl.revokes(&[3; 16]) && !crl.revokes(&[4; 16]));
    assert!(crl.serials().all(|serial| serial.len() == 16));
    assert!(!crl.is_stale(NOW) && crl.is_stale(NOW + WEEK));
}

#[test]
fn a_list_of_any_order_is_the_same_list() {
    use x509_parser::prelude::{CertificateRevocationList, FromDer};
    let body = |entries: &[Entry]| {
        let der = signed(7, entries);
        let (_, list) = CertificateRevocationList::from_der(&der).unwrap();
        list.tbs_cert_list.as_ref().to_vec()
    };
    let later = Entry { at_ms: NOW, ..entry(3) };
    assert_eq!(body(&[later, entry(3), entry(1)]), body(&[entry(1), entry(3)]));
}

// PKI-44 (the list; the verifier has the rest)
#[test]
fn an_empty_list_is_a_list() {
    assert!(newer(accept(&signed(1, &[]), None)).is_empty());
}

#[test]
fn serials_are_numbers_whatever_zeros_stand_in_front() {
    let odd = |serial: &[u8]| Entry { serial: serial.to_vec(), ..entry(0) };
    let crl = newer(accept(&signed(1, &[odd(&[0, 0, 5]), odd(&[0x90, 1])]), None));
    assert!(crl.revokes(&[5]) && crl.revokes(&[0, 5]));
    assert!(crl.revokes(&[0, 0x90, 1]) && crl.revokes(&[0x90, 1]));
}

#[test]
fn each_reason_has_one_word_and_its_number() {
    for reason in RevocationReason::ALL {
        assert_eq!(RevocationReason::named(reason.as_str()), Some(reason));
        assert_eq!(reason.in_a_list() as u8, reason.code());
    }
    assert_eq!(RevocationReason::named("removed"), None);
}

// PKI-43
#[test]
fn a_list_replaces_only_an_older_one() {
    let first = signed(5, &[entry(1)]);
    let installed = newer(accept(&first, None));
    assert!(matches!(accept(&first, Some(&installed)), Ok(Accepted::Same)));
    let fork = signed(5, &[entry(1), entry(2)]);
    assert_eq!(accept(&fork, Some(&installed)).unwrap_err(), CrlError::Fork(5));
    let older = accept(&signed(4, &[]), Some(&installed)).unwrap_err();
    assert_eq!(older, CrlError::Older { number: 4, installed: 5 });
    assert_eq!(older.to_string(), "the revocation list has the number 4, and 5 is in force");
    assert_eq!(newer(accept(&signed(6, &[]), Some(&installed))).number, 6);
}

// PKI-15, PKI-43: two issuing keys of one trust domain never answer for each other.
#[test]
fn a_list_is_its_issuers_alone() {
    let other = issuing();
    let [own, others] = [&*ISSUER, &other].map(|it| Certificate::read(&it.der).unwrap().subject);
    assert_ne!(own, others);
    let der = signed(1, &[entry(1)]);
    let refused = Crl::accept(&der, &[&other.der], None, NOW).unwrap_err();
    assert!(matches!(refused, CrlError::UnknownIssuer(_)), "{refused}");
    assert!(refused.to_string().contains("Segwan issuing"), "{refused}");
    assert!(Crl::accept(&der, &[&other.der, &ISSUER.der], None, NOW).is_ok());
    // The number of another issuer's list is of no account.
    let theirs = sign(&other, 9, NOW, NOW + WEEK, &[]).unwrap();
    let theirs = newer(Crl::accept(&theirs, &[&other.der], None, NOW));
    assert!(accept(&der, Some(&theirs)).is_ok());
}

// PKI-43
#[test]
fn a_list_under_a_name_of_ours_needs_the_key_too() {
    let (forger, own) = (issuing(), Certificate::read(&ISSUER.der).unwrap());
    // Our issuer's name, the forger's key, and either key identifier.
    let forged = Forged { issuer: own.subject, ..Forged::default() };
    let named = Forged { key: own.subject_key, ..forged.clone() };
    assert!(matches!(accept(&named.sign(&forger), None), Err(CrlError::Signature(_))));
    let key = Certificate::read(&forger.der).unwrap().subject_key;
    let honest = Forged { key, ..forged };
    assert!(matches!(accept(&honest.sign(&forger), None), Err(CrlError::OtherKey(_))));
}

// PKI-43
#[test]
fn an_issuer_without_crl_sign_signs_no_list() {
    let key = PrivateKey::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    let der = params.self_signed(key.pair()).unwrap().der().to_vec();
    let issuer = Authority { der, key };
    let own = Certificate::read(&issuer.der).unwrap();
    let forged = Forged { issuer: own.subject, key: own.subject_key, ..Forged::default() };
    let refused = Crl::accept(&forged.sign(&issuer), &[&issuer.der], None, NOW).unwrap_err();
    assert!(matches!(refused, CrlError::NotAllowed(_)), "{refused}");
    assert!(sign(&issuer, 1, NOW, NOW + WEEK, &[]).is_err());
}

// PKI-43: each other way to be no list that is taken.
#[test]
fn what_is_not_one_complete_list_in_time_is_refused() {
    let own = Forged::of_issuer;
    let with = |oid: &[u8], critical: bool, value: Vec<u8>| {
        let mut forged = own();
        forged.more.push(extension(oid, critical, &value));
        forged
    };
    let critical = |forged: Forged| Forged { critical_number: true, ..forged };
    let entry_with = |oid: &[u8], value: &[u8]| {
        let inside = [integer(&[9]), time(NOW), tlv(0x30, &extension(oid, true, value))].concat();
        Forged { entries: tlv(0x30, &inside), ..own() }
    };
    let indirect = tlv(0x30, &[0x84, 1, 0xff]);
    let users_only = tlv(0x30, &[0x81, 1, 0xff]);
    let in_an_hour = NOW + 3_600_000;
    let cases: [(Forged, CrlError); 13] = [
        (Forged { number: None, ..own() }, CrlError::NoNumber),
        (critical(own()), CrlError::CriticalNumber),
        (Forged { next: None, ..own() }, CrlError::NoNextUpdate),
        (Forged { key: None, ..own() }, CrlError::NoIssuerKey),
        (Forged { this: in_an_hour, ..own() }, CrlError::Future(3_600_000)),
        (with(&[0x55, 0x1d, 0x1b], true, integer(&[1])), CrlError::Delta),
        (with(&[0x55, 0x1d, 0x1b], false, integer(&[1])), CrlError::Delta),
        (with(&[0x55, 0x1d, 0x1c], true, indirect), CrlError::Indirect),
        (with(&[0x55, 0x1d, 0x1c], true, users_only), CrlError::Partial),
        (with(&[0x2a, 3, 4], true, vec![5, 0]), CrlError::UnknownCritical("1.2.3.4".to_owned())),
        (entry_with(&[0x55, 0x1d, 0x1d], &tlv(0x30, &[])), CrlError::Indirect),
        (entry_with(&[0x2a, 3, 5], &[5, 0]), CrlError::UnknownCritical("1.2.3.5".to_owned())),
        (
            Forged { next: Some(NOW - WEEK), ..own() },
            CrlError::Malformed("it ends before it begins".to_owned()),
        ),
    ];
    let installed = newer(accept(&signed(1, &[entry(1)]), None));
    for (forged, why) in cases {
        assert_eq!(accept(&forged.sign(&ISSUER), Some(&installed)).unwrap_err(), why);
    }
    assert_eq!(newer(accept(&own().sign(&ISSUER), Some(&installed))).number, 77);
    assert!(accept(&with(&[0x2a, 3, 4], false, vec![5, 0]).sign(&ISSUER), None).is_ok());
}

// PKI-43
#[test]
fn a_list_over_a_bound_is_not_looked_at() {
    assert_eq!(Crl::read(&vec![0x30; CRL_BYTES + 1]).unwrap_err(), CrlError::TooLarge(8_388_609));
    let one = tlv(0x30, &[integer(&[9]), time(NOW)].concat());
    let many = Forged { entries: one.repeat(REVOKED + 1), ..Forged::of_issuer() };
    assert_eq!(accept(&many.sign(&ISSUER), None).unwrap_err(), CrlError::TooMany(REVOKED + 1));
    for junk in [&b""[..], b"\x30", b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", b"\x30\x00"] {
        assert!(matches!(Crl::read(junk), Err(CrlError::Malformed(_))), "{junk:?}");
    }
    let mut longer = signed(1, &[]);
    longer.push(0);
    assert!(matches!(Crl::read(&longer), Err(CrlError::Malformed(_))));
}

// PKI-66
#[test]
fn a_list_that_breaks_the_parser_is_refused_and_the_process_lives() {
    let installed = newer(accept(&signed(1, &[entry(1)]), None));
    PANICS.set(true);
    let refused = accept(&signed(2, &[]), Some(&installed)).unwrap_err();
    PANICS.set(false);
    assert_eq!(refused, CrlError::Panicked);
    assert!(installed.revokes(&[1; 16]));
    assert_eq!(newer(accept(&signed(2, &[]), Some(&installed))).number, 2);
}

proptest! {
    // PKI-43
    #[test]
    fn a_list_with_any_byte_changed_is_never_accepted(place: prop::sample::Index, flip in 1u8..) {
        static LIST: LazyLock<Vec<u8>> = LazyLock::new(|| signed(7, &[entry(1), entry(2)]));
        let mut der = LIST.clone();
        *place.get_mut(&mut der) ^= flip;
        prop_assert!(accept(&der, None).is_err());
    }

    #[test]
    fn bytes_that_are_no_list_are_an_error_and_nothing_else(bytes: Vec<u8>) {
        prop_assert!(Crl::read(&bytes).is_err());
    }
}

#[test]
fn the_set_knows_serials_under_their_issuer_and_keys() {
    let mut set = RevokedSet::default();
    assert!(set.is_empty());
    assert_eq!(set.insert("ab", "00Ff"), Ok(true));
    assert_eq!(set.insert("AB", "ff"), Ok(false));
    assert_eq!(set.insert_key([7; 32]), Ok(true));
    assert_eq!(set.insert_key([7; 32]), Ok(false));
    assert_eq!(set.len(), 2);
    assert!(set.is_revoked("ab", "ff", &[0; 32]) && set.is_revoked("AB", "00ff", &[0; 32]));
    assert!(!set.is_revoked("ac", "ff", &[0; 32]) && !set.is_revoked("ab", "fe", &[0; 32]));
    assert!(set.is_revoked("", "", &[7; 32]) && set.has_key(&[7; 32]));
}

#[test]
fn a_full_set_says_so() {
    let mut set = RevokedSet::default();
    for serial in 0..REVOKED {
        assert_eq!(set.insert("ab", &format!("{serial:x}")), Ok(true));
    }
    assert_eq!(set.insert("cd", "1"), Err(SetFull));
    assert_eq!(set.insert("ab", "1"), Ok(false));
    assert_eq!(set.insert_key([1; 32]), Ok(true));
}

/// A list of any shape, signed well.
#[derive(Clone)]
struct Forged {
    issuer: Vec<u8>,
    this: i64,
    next: Option<i64>,
    /// Entries in DER, one after the other.
    entries: Vec<u8>,
    key: Option<Vec<u8>>,
    number: Option<u8>,
    critical_number: bool,
    /// Extensions in DER.
    more: Vec<Vec<u8>>,
}

impl Default for Forged {
    fn default() -> Self {
        Self {
            issuer: vec![],
            this: NOW,
            next: Some(NOW + WEEK),
            entries: vec![],
            key: None,
            number: Some(77),
            critical_number: false,
            more: vec![],
        }
    }
}

impl Forged {
    fn of_issuer() -> Self {
        let own = Certificate::read(&ISSUER.der).unwrap();
        Self { issuer: own.subject, key: own.subject_key, ..Self::default() }
    }

    fn sign(&self, issuer: &Authority) -> Vec<u8> {
        const ECDSA_WITH_SHA256: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
        let algorithm = tlv(0x30, &tlv(6, &ECDSA_WITH_SHA256));
        let mut extensions = self.more.concat();
        if let Some(key) = &self.key {
            let id = tlv(0x30, &tlv(0x80, key));
            extensions.extend(extension(&[0x55, 0x1d, 0x23], false, &id));
        }
        if let Some(number) = self.number {
            let number = integer(&[number]);
            extensions.extend(extension(&[0x55, 0x1d, 0x14], self.critical_number, &number));
        }
        let entries = if self.entries.is_empty() { vec![] } else { tlv(0x30, &self.entries) };
        let body = [
            integer(&[1]),
            algorithm.clone(),
            self.issuer.clone(),
            time(self.this),
            self.next.map_or_else(Vec::new, time),
            entries,
            tlv(0xa0, &tlv(0x30, &extensions)),
        ];
        let body = tlv(0x30, &body.concat());
        let signature = issuer.key.pair().sign(&body).unwrap();
        let signature = tlv(3, &[vec![0], signature].concat());
        tlv(0x30, &[body, algorithm, signature].concat())
    }
}

fn tlv(tag: u8, inside: &[u8]) -> Vec<u8> {
    let size = u32::try_from(inside.len()).unwrap().to_be_bytes();
    let size = match inside.len() {
        0..128 => vec![size[3]],
        _ => {
            let octets: Vec<u8> = size.into_iter().skip_while(|octet| *octet == 0).collect();
            [vec![0x80 | u8::try_from(octets.len()).unwrap()], octets].concat()
        }
    };
    [vec![tag], size, inside.to_vec()].concat()
}

fn integer(octets: &[u8]) -> Vec<u8> {
    tlv(2, octets)
}

fn time(ms: i64) -> Vec<u8> {
    let at = jiff::Timestamp::from_millisecond(ms).unwrap();
    tlv(0x17, at.strftime("%y%m%d%H%M%SZ").to_string().as_bytes())
}

fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { vec![1, 1, 0xff] } else { vec![] };
    tlv(0x30, &[tlv(6, oid), critical, tlv(4, value)].concat())
}
