use super::*;
use crate::certificate::Name;
use crate::key::PrivateKey;
use crate::profile::Profile;
use crate::store::{CertificateRow, Filter};
use crate::x509::certificate_request;

mod crash;
mod custody;
mod events;
mod expelling;
mod granting;
mod revoking;
mod rollover;
mod rotating;

pub(super) const NOW: i64 = 1_790_000_000_000;
pub(super) const HOUR: i64 = 3_600_000;

pub(super) fn options() -> AuthorityOptions {
    AuthorityOptions {
        trust_domain: "segwan.internal".parse().unwrap(),
        leaf_lifetime: LEAF_LIFETIME,
        renewal_grace: RENEWAL_GRACE,
    }
}

pub(super) struct World {
    _parent: tempfile::TempDir,
    pub(super) state: StateDir,
    pub(super) authority: Authority,
}

impl World {
    pub(super) async fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let state = StateDir::open(&parent.path().join("state")).unwrap();
        let authority = Authority::open(&state, &options(), NOW).await.unwrap();
        let registration = |name: &str, profile, services: &[&str]| Registration {
            addresses: vec!["10.0.0.5:7443".to_owned()],
            services: services.iter().map(|s| (*s).to_owned()).collect(),
            ..Registration::new(name, profile)
        };
        authority.register(&registration("orders", Profile::Service, &[]), NOW).await.unwrap();
        authority.register(&registration("app", Profile::Client, &["orders"]), NOW).await.unwrap();
        Self { _parent: parent, state, authority }
    }

    pub(super) async fn token(&self) -> Token {
        let ttl = Duration::from_secs(1800);
        self.authority.mint_token("app", vec!["10.0.0.5:7444".to_owned()], ttl, NOW).await.unwrap()
    }

    pub(super) async fn enroll(
        &self,
        token: &Token,
        csr: &[u8],
        now: i64,
    ) -> Result<Issued, AuthorityError> {
        self.authority.enroll(&token.secret(), csr, "10.0.0.9", now).await
    }

    pub(super) async fn certificates(&self, name: &str, now: i64) -> Vec<CertificateRow> {
        let filter = Filter { name: Some(name.to_owned()), ..Filter::default() };
        self.authority.list(&filter, now).await.unwrap()
    }

    pub(super) async fn reopen(self) -> (tempfile::TempDir, PathBuf) {
        let path = self.state.path().to_owned();
        self.authority.close().await;
        drop(self.state);
        (self._parent, path)
    }
}

pub(super) fn csr() -> Vec<u8> {
    certificate_request(&PrivateKey::generate().unwrap()).unwrap()
}

// PKI-01, PKI-58
#[tokio::test]
async fn an_empty_directory_becomes_an_authority_and_stays_the_same_one() {
    let world = World::new().await;
    let (root, token) = (world.authority.root_fingerprint(), world.token().await);
    let (_parent, path) = world.reopen().await;
    let state = StateDir::open(&path).unwrap();
    let again = Authority::open(&state, &options(), NOW + HOUR).await.unwrap();
    assert_eq!(again.root_fingerprint(), root);
    assert_eq!(again.verify_ledger().await.unwrap(), 7);
    let secret = token.secret();
    for file in ["authority/store/authority.db", "authority/store/authority.db-wal"] {
        let bytes = std::fs::read(path.join(file)).unwrap_or_default();
        assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()), "{file}");
    }
    let other = AuthorityOptions { trust_domain: "other.example".parse().unwrap(), ..options() };
    let refused = Authority::open(&state, &other, NOW).await.err().unwrap();
    assert!(matches!(refused, AuthorityError::TrustDomain { .. }), "{refused}");
}

// PKI-02, PKI-04
#[tokio::test]
async fn what_is_missing_or_damaged_is_named_and_nothing_is_made_anew() {
    for (file, expected) in [
        ("store/authority.db", "authority.db` is missing"),
        ("root.pem", "root.pem: does not exist"),
    ] {
        let (_parent, path) = World::new().await.reopen().await;
        std::fs::remove_file(path.join("authority").join(file)).unwrap();
        let state = StateDir::open(&path).unwrap();
        let refused = Authority::open(&state, &options(), NOW).await.err().unwrap();
        assert!(refused.to_string().contains(expected), "{refused}");
    }
    let (_parent, path) = World::new().await.reopen().await;
    let database = path.join("authority/store/authority.db");
    let _ = std::fs::remove_file(path.join("authority/store/authority.db-wal"));
    std::fs::write(&database, b"this is no database, but it is long enough to look at".repeat(40))
        .unwrap();
    let before = std::fs::read(&database).unwrap();
    let state = StateDir::open(&path).unwrap();
    let refused = Authority::open(&state, &options(), NOW).await.err().unwrap();
    assert!(refused.to_string().contains("is damaged"), "{refused}");
    assert!(std::fs::read(&database).unwrap() == before);
}

// PKI-13, PKI-16, PKI-61
#[tokio::test]
async fn a_token_gives_a_certificate_of_its_registration() {
    let world = World::new().await;
    let issued = world.enroll(&world.token().await, &csr(), NOW).await.unwrap();
    let read = crate::certificate::Certificate::read(&issued.chain[0]).unwrap();
    assert_eq!(read.names, [Name::Uri("spiffe://segwan.internal/app".to_owned())]);
    assert_eq!(read.not_after, NOW / 1000 + 96 * 3600);
    assert!(!read.purposes.unwrap().server && read.purposes.unwrap().client);
    assert_eq!(issued.services[0].identity, "spiffe://segwan.internal/orders");
    assert_eq!(issued.services[0].addresses, ["10.0.0.5:7443"]);
    assert_eq!(issued.renew_after_ms, NOW + 32 * HOUR);
    assert!(world.authority.verify_ledger().await.is_ok());
}

// PKI-20
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_at_once_one_gets_the_certificate() {
    let world = World::new().await;
    let token = world.token().await;
    let secret = token.secret().to_string();
    let mut tasks = Vec::new();
    for _ in 0..100 {
        let (authority, secret) = (world.authority.clone(), secret.clone());
        tasks.push(tokio::spawn(async move {
            authority.enroll(&secret, &csr(), "10.0.0.9", NOW).await
        }));
    }
    let (mut good, mut reused) = (0, 0);
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => good += 1,
            Err(AuthorityError::TokenReused { .. }) => reused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((good, reused), (1, 99));
    assert_eq!(world.certificates("app", NOW).await.len(), 1);
}

// PKI-21
#[tokio::test]
async fn a_lost_answer_is_given_again_to_the_same_key() {
    let world = World::new().await;
    let (token, csr) = (world.token().await, csr());
    let first = world.enroll(&token, &csr, NOW).await.unwrap();
    for _ in 0..10 {
        assert_eq!(world.enroll(&token, &csr, NOW).await.unwrap().chain, first.chain);
    }
    let late = world.enroll(&token, &csr, NOW + HOUR).await.unwrap_err();
    assert_eq!(late.refusal(), (403, "token_refused"));
}

// PKI-24: one answer for the peer, the reason for the operator.
#[tokio::test]
async fn every_bad_token_gets_the_same_answer() {
    let world = World::new().await;
    let used = world.token().await;
    world.enroll(&used, &csr(), NOW).await.unwrap();
    let expired = world.token().await;
    let unknown = Token::new(
        vec!["h:1".to_owned()],
        "segwan.internal".parse().unwrap(),
        "app".to_owned(),
        b"",
        0,
        [9; 32],
    );
    for (token, now) in [(&used, NOW), (&expired, NOW + HOUR), (&unknown, NOW)] {
        let refused = world.enroll(token, &csr(), now).await.unwrap_err();
        assert_eq!(refused.refusal(), (403, "token_refused"), "{refused}");
    }
    let garbage = world.authority.enroll("x", &csr(), "10.0.0.9", NOW).await.unwrap_err();
    assert_eq!(garbage.refusal(), (403, "token_refused"));
}

// PKI-31, PKI-32, PKI-33
#[tokio::test]
async fn renewal_is_bound_to_its_lineage() {
    let world = World::new().await;
    let authority = &world.authority;
    let first = world.enroll(&world.token().await, &csr(), NOW).await.unwrap();
    let request = csr();
    let second = authority.renew(&first.chain[0], &request, NOW + HOUR).await.unwrap();
    // The answer was lost: the same key gets the same certificate, a new key a new one.
    assert_eq!(
        authority.renew(&first.chain[0], &request, NOW + HOUR).await.unwrap().chain,
        second.chain
    );
    let third = authority.renew(&first.chain[0], &csr(), NOW + HOUR).await.unwrap();
    assert_ne!(third.chain, second.chain);
    // The one that was voided, and the old one once the head renewed, are refused.
    let refused = |result: Result<Issued, AuthorityError>| result.unwrap_err().refusal();
    assert_eq!(
        refused(authority.renew(&second.chain[0], &csr(), NOW).await),
        (403, "renewal_refused")
    );
    let fourth = authority.renew(&third.chain[0], &csr(), NOW + 2 * HOUR).await.unwrap();
    assert_eq!(
        refused(authority.renew(&first.chain[0], &csr(), NOW).await),
        (403, "renewal_refused")
    );
    // After the end, within the grace and past it.
    let ended = NOW + 2 * HOUR + 96 * HOUR;
    assert_eq!(
        refused(authority.renew(&fourth.chain[0], &csr(), ended + 7 * 24 * HOUR + 1000).await),
        (403, "renewal_refused")
    );
    assert!(authority.renew(&fourth.chain[0], &csr(), ended + HOUR).await.is_ok());
    // A new enrollment ends the lineage.
    let anew = world.enroll(&world.token().await, &csr(), NOW).await.unwrap();
    assert!(authority.renew(&anew.chain[0], &csr(), NOW).await.is_ok());
    assert_eq!(
        refused(authority.renew(&fourth.chain[0], &csr(), NOW).await),
        (403, "renewal_refused")
    );
    assert!(authority.verify_ledger().await.is_ok());
}

// PKI-31: a certificate of our name that our store never recorded.
#[tokio::test]
async fn a_certificate_that_was_never_recorded_does_not_renew() {
    let (world, other) = (World::new().await, World::new().await);
    let foreign = other.enroll(&other.token().await, &csr(), NOW).await.unwrap();
    let refused = world.authority.renew(&foreign.chain[0], &csr(), NOW).await.unwrap_err();
    assert!(refused.to_string().contains("unrecorded"), "{refused}");
}

// PKI-26: a key of another identity cannot be taken over.
#[tokio::test]
async fn a_key_belongs_to_one_identity() {
    let world = World::new().await;
    let request = csr();
    world.authority.issue_local("orders", &request, NOW).await.unwrap();
    let refused = world.enroll(&world.token().await, &request, NOW).await.unwrap_err();
    assert_eq!(refused.refusal(), (422, "request_refused"));
}

// PKI-23: a crash between intent and signature leaves a void, and the retry is served.
#[tokio::test]
async fn an_intent_that_a_crash_left_is_void_and_the_client_is_served() {
    let world = World::new().await;
    let (token, request) = (world.token().await, csr());
    let first = world.enroll(&token, &request, NOW).await.unwrap();
    {
        let issuer = world.authority.keys().active().unwrap().id.clone();
        let serial = hex(&crate::certificate::Certificate::read(&first.chain[0]).unwrap().serial);
        let mut writing = world.authority.0.store.write().await.unwrap();
        writing.unissue(&issuer, &serial).await.unwrap();
        writing.commit().await.unwrap();
    }
    let (_parent, path) = world.reopen().await;
    let state = StateDir::open(&path).unwrap();
    let authority = Authority::open(&state, &options(), NOW).await.unwrap();
    let again = authority.enroll(&token.secret(), &request, "10.0.0.9", NOW).await.unwrap();
    assert_ne!(again.chain, first.chain);
    let filter = Filter { name: Some("app".to_owned()), ..Filter::default() };
    let listed = authority.list(&filter, NOW).await.unwrap();
    let states: Vec<String> = listed.into_iter().map(|row| row.state).collect();
    assert_eq!(states.iter().filter(|s| *s == "issued").count(), 1, "{states:?}");
    assert_eq!(states.iter().filter(|s| *s == "void").count(), 1, "{states:?}");
}

#[tokio::test]
async fn a_name_keeps_its_profile_and_reserved_names_are_refused() {
    let world = World::new().await;
    let mut registration = Registration::new("orders", Profile::Client);
    let refused = world.authority.register(&registration, NOW).await.unwrap_err();
    assert_eq!(refused.to_string(), "`orders` is registered as a service, not as a client");
    for name in ["segwan/authority", "../x", "a b", ""] {
        name.clone_into(&mut registration.name);
        assert!(world.authority.register(&registration, NOW).await.is_err(), "{name}");
    }
    // PKI-72: names of whom a foreign authority vouches for are handed out to nobody.
    for profile in [Profile::Client, Profile::Service, Profile::Peer, Profile::Authority] {
        for name in ["foreign", "foreign/plant/press-7"] {
            let registration = Registration::new(name, profile);
            assert!(world.authority.register(&registration, NOW).await.is_err(), "{name}");
        }
    }
    let token =
        world.authority.mint_token("nobody", Vec::new(), Duration::from_secs(60), NOW).await;
    assert!(matches!(token, Err(AuthorityError::NotRegistered(_))));
}

// PKI-01
#[tokio::test]
async fn a_token_that_was_left_in_a_file_goes_when_it_is_used_or_has_ended() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new().await;
    let token = world.token().await;
    let path = world.authority.leave_token(&token).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let left = std::fs::read_to_string(&path).unwrap();
    assert_eq!(Token::parse(&left).unwrap().secret_sha256(), token.secret_sha256());

    world.enroll(&token, &csr(), NOW).await.unwrap();
    assert!(!path.exists());

    let path = world.authority.leave_token(&world.token().await).unwrap();
    world.authority.forget_ended_tokens(NOW);
    assert!(path.exists());
    world.authority.forget_ended_tokens(NOW + HOUR);
    assert!(!path.exists());

    // Half of one is on its way to the disk; when it is old nobody will finish it.
    std::fs::write(&path, "segwan-enroll-1.").unwrap();
    let written = path.metadata().unwrap().modified().unwrap();
    let written = written.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let written = i64::try_from(written).unwrap();
    world.authority.forget_ended_tokens(written + 30_000);
    assert!(path.exists());
    world.authority.forget_ended_tokens(written + 61_000);
    assert!(!path.exists());
}

// PKI-22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_that_asks_many_times_at_once_gets_one_certificate() {
    let world = World::new().await;
    let (token, csr) = (world.token().await, csr());
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (authority, secret, csr) = (world.authority.clone(), token.secret(), csr.clone());
        asking.spawn(async move { authority.enroll(&secret, &csr, "10.0.0.9", NOW).await });
    }
    let mut leaves = Vec::new();
    while let Some(answer) = asking.join_next().await {
        leaves.push(answer.unwrap().unwrap().chain[0].clone());
    }
    leaves.dedup();
    assert_eq!(leaves.len(), 1);
}
