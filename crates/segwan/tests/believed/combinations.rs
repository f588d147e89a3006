//! Every way to say whom to believe, and what follows from it: one table of who is accepted as
//! whom, by real handshakes in both modes.

use crate::foreign::{PRESSES, authority};
use crate::hierarchy::{Ca, Shown, Use, dns, uri};
use crate::now;
use rcgen::CertificateParams;
use segwan::tls::trust::TrustError;
use segwan::{
    Acceptor, Connector, Credentials, Expected, ForeignTrust, Identity, Reason, TlsFloor, Tolerate,
    Trust, TrustState,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::duplex;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Who issues certificates in this table. `public` stands for an authority that the system knows.
struct World {
    ours: Ca,
    plant: Ca,
    public: Ca,
}

/// One kind of certificate.
type Edit = fn(&mut CertificateParams);

const APP: &str = "spiffe://shop.test/app";
const PRESS: &str = "spiffe://shop.test/foreign/plant/press-7";
const PRESS_DNS: &str = "dns:press-7.plant.example";

impl World {
    /// By their names in the table: certificates as a peer might show them.
    fn shown(&self, kind: &str, mode: Use) -> Shown {
        let (ca, edit): (&Ca, Edit) = match kind {
            "native" => (&self.ours, |_| {}),
            "native no aki" => (&self.ours, no_aki),
            "native no eku" => (&self.ours, no_eku),
            "native expired" => (&self.ours, expired),
            "native by dns" => (&self.ours, press),
            "foreign" => (&self.plant, press),
            "foreign as ours" => (&self.plant, |_| {}),
            "foreign no aki" => (&self.plant, |params| {
                press(params);
                no_aki(params);
            }),
            "foreign no eku" => (&self.plant, |params| {
                press(params);
                no_eku(params);
            }),
            "foreign expired" => (&self.plant, |params| {
                press(params);
                expired(params);
            }),
            "public" => (&self.public, press),
            "public as ours" => (&self.public, |_| {}),
            other => panic!("{other}"),
        };
        ca.leaf_with(|params| {
            params.extended_key_usages = vec![mode];
            edit(params);
        })
    }

    /// By their names in the table: ways to say whom to believe.
    fn trust(&self, source: &str) -> Trust {
        let aki_and_eku = Tolerate { missing_aki: true, missing_eku: true };
        let files = |ca: &Ca, tolerate| {
            let state = TrustState { roots: vec![ca.der.clone()], ..TrustState::default() };
            Trust::files_of(state, tolerate).unwrap()
        };
        let plant =
            |tolerate| ForeignTrust { tolerate, ..authority("plant", &[&self.plant], &[PRESSES]) };
        let beside = |foreign| {
            let trust = crate::native(&[&self.ours]);
            trust.believe(foreign).unwrap();
            trust
        };
        let listed = |ca: &Ca| vec![ca.list(&[&[5; 16]], (now() - 9) * 1000, (now() + 99) * 1000)];
        let none = Tolerate::default();
        match source {
            "authority" => crate::native(&[&self.ours]),
            "files" => files(&self.plant, none),
            "files tolerating" => files(&self.plant, aki_and_eku),
            "files mapped" => Trust::mapped(plant(none)).unwrap(),
            "beside" => beside(plant(none)),
            "beside tolerating" => beside(plant(aki_and_eku)),
            "beside listed" => {
                let mut listed_plant = plant(none);
                listed_plant.state.crls = listed(&self.plant);
                beside(listed_plant)
            }
            "authority listed" => {
                let trust = beside(plant(none));
                trust.change(|state| state.crls = listed(&self.ours)).unwrap();
                trust
            }
            other => panic!("{other}"),
        }
    }
}

fn press(params: &mut CertificateParams) {
    params.subject_alt_names = vec![dns("press-7.plant.example")];
}

fn no_aki(params: &mut CertificateParams) {
    params.use_authority_key_identifier_extension = false;
}

fn no_eku(params: &mut CertificateParams) {
    params.extended_key_usages = Vec::new();
}

fn expired(params: &mut CertificateParams) {
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
}

/// What `trust` makes of a peer that shows this, as a service or as a client.
async fn verdict(trust: Trust, shown: &Shown, as_service: bool) -> Result<String, Reason> {
    // The other side believes whatever it is shown, so that the verdict is of one side alone.
    let other = Ca::root("other side");
    let own = other.leaf_with(|params| {
        params.subject_alt_names = vec![uri(APP)];
        params.extended_key_usages = vec![Use::ServerAuth, Use::ClientAuth];
    });
    let far = Arc::new(crate::native(&[&other]));
    let of = |shown: &Shown| {
        Arc::new(Credentials::from_pem(shown.pem().as_bytes(), shown.key.as_bytes()).unwrap())
    };
    let names = [APP, PRESS, PRESS_DNS].map(|name| name.parse::<Identity>().unwrap());
    let expected = Expected::any_of(names.to_vec()).unwrap();
    let trust = Arc::new(trust);
    let (listening, dialling) = if as_service { (trust, far) } else { (far, trust) };
    let (listens, dials) = if as_service { (of(&own), of(shown)) } else { (of(shown), of(&own)) };
    let acceptor = Acceptor::new(listens, listening, TlsFloor::V13).unwrap();
    let connector = Connector::new(dials, dialling, expected, TlsFloor::V13).unwrap();
    let (mut near, mut away) = duplex(64 * 1024);
    let deadline = Instant::now() + Duration::from_secs(20);
    let (accepted, connected) = tokio::join!(
        acceptor.accept(&mut near, deadline),
        connector.connect(&mut away, "pipe", deadline)
    );
    let judged = if as_service { accepted } else { connected };
    judged.map(|secured| secured.peer.identity().to_string()).map_err(|error| error.reason)
}

const UNKNOWN: Result<&str, Reason> = Err(Reason::UnknownIssuer);
const EXPIRED: Result<&str, Reason> = Err(Reason::CertificateExpired);
const UNMAPPED: Result<&str, Reason> = Err(Reason::IdentityUnmapped);
const REVOKED: Result<&str, Reason> = Err(Reason::CertificateRevoked);
const NO_AKI: Result<&str, Reason> = Err(Reason::CertificateInvalid);
const NO_EKU: Result<&str, Reason> = Err(Reason::WrongUsage);
const NO_NAME: Result<&str, Reason> = Err(Reason::IdentityInvalid);

/// The columns of [`TABLE`].
const KINDS: [&str; 12] = [
    "native",
    "native no aki",
    "native no eku",
    "native expired",
    "native by dns",
    "foreign",
    "foreign as ours",
    "foreign no aki",
    "foreign no eku",
    "foreign expired",
    "public",
    "public as ours",
];

/// Source, and what becomes of each kind of certificate under it.
#[rustfmt::skip]
const TABLE: [(&str, [Result<&str, Reason>; 12]); 8] = [
    ("authority", [Ok(APP), NO_AKI, NO_EKU, EXPIRED, NO_NAME,
        UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, EXPIRED, UNKNOWN, UNKNOWN]),
    ("files", [UNKNOWN, UNKNOWN, UNKNOWN, EXPIRED, UNKNOWN,
        Ok(PRESS_DNS), Ok(APP), NO_AKI, NO_EKU, EXPIRED, UNKNOWN, UNKNOWN]),
    ("files tolerating", [UNKNOWN, UNKNOWN, UNKNOWN, EXPIRED, UNKNOWN,
        Ok(PRESS_DNS), Ok(APP), Ok(PRESS_DNS), Ok(PRESS_DNS), EXPIRED, UNKNOWN, UNKNOWN]),
    ("files mapped", [UNKNOWN, UNKNOWN, UNKNOWN, EXPIRED, UNKNOWN,
        Ok(PRESS), UNMAPPED, NO_AKI, NO_EKU, EXPIRED, UNKNOWN, UNKNOWN]),
    ("beside", [Ok(APP), NO_AKI, NO_EKU, EXPIRED, NO_NAME,
        Ok(PRESS), UNMAPPED, NO_AKI, NO_EKU, EXPIRED, UNKNOWN, UNKNOWN]),
    // What the foreign authority is let off is no matter of ours.
    ("beside tolerating", [Ok(APP), NO_AKI, NO_EKU, EXPIRED, NO_NAME,
        Ok(PRESS), UNMAPPED, Ok(PRESS), Ok(PRESS), EXPIRED, UNKNOWN, UNKNOWN]),
    // All certificates have one serial number: each list is of its issuer alone.
    ("beside listed", [Ok(APP), NO_AKI, NO_EKU, EXPIRED, NO_NAME,
        REVOKED, REVOKED, REVOKED, REVOKED, EXPIRED, UNKNOWN, UNKNOWN]),
    ("authority listed", [REVOKED, REVOKED, REVOKED, EXPIRED, REVOKED,
        Ok(PRESS), UNMAPPED, NO_AKI, NO_EKU, EXPIRED, UNKNOWN, UNKNOWN]),
];

// PKI-70: source of certificates, mode and setting of the authorities → whom the verifier believes.
#[tokio::test]
async fn each_way_to_say_whom_to_believe_believes_them_and_nobody_else() {
    let world = World {
        ours: Ca::root("ours"),
        plant: Ca::root("plant"),
        public: Ca::root("ISRG Root X1"),
    };
    // Whoever is refused is given a second to hear it: all at once, not one after the other.
    let mut handshakes = JoinSet::new();
    for (source, row) in TABLE {
        for (kind, expected) in KINDS.into_iter().zip(row) {
            for (as_service, needed, other) in [
                (true, Use::ClientAuth, Use::ServerAuth),
                (false, Use::ServerAuth, Use::ClientAuth),
            ] {
                let mut cell = |usage, expected: Result<&'static str, Reason>| {
                    let (trust, shown) = (world.trust(source), world.shown(kind, usage));
                    let cell = format!("{source}, {kind}, as service: {as_service}");
                    handshakes.spawn(async move {
                        let found = verdict(trust, &shown, as_service).await;
                        let wrong = format!("{cell}: {found:?}, not {expected:?}");
                        (found != expected.map(str::to_owned)).then_some(wrong)
                    });
                };
                cell(needed, expected);
                // Whoever was believed is not for the other use.
                if expected.is_ok() && !kind.contains("no eku") {
                    cell(other, NO_EKU);
                }
            }
        }
    }
    let wrong: Vec<String> = handshakes.join_all().await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

// PKI-70: no roots are nobody's roots; the system's never stand in for them.
#[test]
fn no_setting_believes_anybody_without_roots() {
    let ours = Ca::root("ours");
    let none = TrustState::default();
    let domain = || "shop.test".parse().unwrap();
    let tolerate = Tolerate { missing_aki: true, missing_eku: true };
    let empty = ForeignTrust { tolerate, ..authority("plant", &[], &[PRESSES]) };
    for refused in [
        Trust::authority(b"", domain()).map(|_| ()),
        Trust::files(b"").map(|_| ()),
        Trust::files_tolerating(b"", tolerate).map(|_| ()),
        Trust::files_of(none.clone(), tolerate).map(|_| ()),
        Trust::mapped(empty.clone()).map(|_| ()),
        crate::native(&[&ours]).believe(empty),
        crate::native(&[&ours]).install(none.clone()),
        crate::files(&[&ours]).install(none),
        crate::files(&[&ours]).replace(b""),
    ] {
        assert_eq!(refused, Err(TrustError::Empty));
    }
}
