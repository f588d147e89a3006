use super::*;
use crate::key::PrivateKey;
use crate::profile::Profile;
use crate::x509::{Authority, Leaf, RequestedKey, certificate_request};
use std::os::unix::fs::PermissionsExt;

const NOW: i64 = 1_790_000_000;

fn credentials(serial: u8) -> StoredCredentials {
    let root = Authority::root("td", PrivateKey::generate_root().unwrap(), [1; 16], NOW).unwrap();
    let issuing = root.issuing("td", PrivateKey::generate().unwrap(), [2; 16], NOW, 365).unwrap();
    let key = PrivateKey::generate().unwrap();
    let identity: segwan_core::identity::Identity = "spiffe://td/app".parse().unwrap();
    let leaf = Leaf::new(identity.clone(), Profile::Client, [serial; 16], NOW, NOW + 3600);
    let requested = RequestedKey::read(&certificate_request(&key).unwrap()).unwrap();
    let intent = issuing.intent(&leaf, &requested).unwrap();
    let der = issuing.sign(&leaf, &requested, intent, &root.der).unwrap();
    let meta = Meta {
        identity: identity.to_string(),
        not_after_ms: (NOW + 3600) * 1000,
        renew_at_ms: 0,
        trust_domain: "td".to_owned(),
        authority: Vec::new(),
        root: String::new(),
        services: Vec::new(),
        lineage: String::new(),
    };
    StoredCredentials { chain: vec![der, issuing.der], roots: vec![root.der], key, meta }
}

fn serial(stored: &StoredCredentials) -> u8 {
    crate::certificate::Certificate::read(&stored.chain[0]).unwrap().serial[0]
}

fn opened() -> (tempfile::TempDir, StateDir) {
    let parent = tempfile::tempdir().unwrap();
    let state = StateDir::open(&parent.path().join("state")).unwrap();
    (parent, state)
}

#[test]
fn a_new_state_directory_is_private_and_has_one_owner() {
    let (_parent, state) = opened();
    assert_eq!(state.path().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert!(state.path().join("trust").is_dir());
    // PKI-05
    assert!(matches!(StateDir::open(state.path()), Err(DirectoryError::Locked(_))));
    assert!(StateDir::open_shared(state.path()).is_ok());
    let path = state.path().to_owned();
    drop(state);
    assert!(StateDir::open(&path).is_ok());
}

// PKI-02: as a full disk or a kill at the very first start leaves it.
#[test]
fn a_layout_that_was_only_half_written_is_written_again() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("state");
    make_private(&path).unwrap();
    write_private(&path.join("VERSION.tmp"), b"").unwrap();
    assert!(StateDir::open_shared(&path).is_ok());
    assert!(!path.join("VERSION").exists(), "looking at a directory leaves nothing there");
    drop(StateDir::open(&path).unwrap());
    assert_eq!(std::fs::read(path.join("VERSION")).unwrap(), b"1\n");
    assert!(!path.join("VERSION.tmp").exists());
}

// PKI-04
#[test]
fn what_a_gateway_keeps_beside_its_credentials_is_its_own() {
    let (parent, state) = opened();
    for folder in ["captures", "quota"] {
        make_private(&state.path().join(folder)).unwrap();
    }
    let path = parent.path().join("state");
    drop(state);
    drop(StateDir::open(&path).unwrap());
    // Who could change what was counted is somebody else.
    let open = std::fs::Permissions::from_mode(0o770);
    std::fs::set_permissions(path.join("quota"), open).unwrap();
    assert!(StateDir::open(&path).unwrap_err().to_string().contains("by its group"));
}

#[test]
fn a_directory_that_is_somebody_elses_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    std::fs::write(parent.path().join("letter.txt"), "x").unwrap();
    let refused = StateDir::open(parent.path()).unwrap_err();
    assert!(refused.to_string().contains("`letter.txt`"), "{refused}");
    std::fs::remove_file(parent.path().join("letter.txt")).unwrap();
    std::fs::write(parent.path().join("VERSION"), "9").unwrap();
    std::fs::set_permissions(parent.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    assert!(matches!(StateDir::open(parent.path()), Err(DirectoryError::Layout(..))));
}

// PKI-09
#[test]
fn what_others_could_read_is_refused_with_its_mode() {
    let (_parent, state) = opened();
    let store = state.credentials("app");
    store.publish(&credentials(3)).unwrap();
    let path = state.path().to_owned();
    drop(state);
    let key = path.join("credentials/app/v1/key.pem");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    let refused = StateDir::open(&path).unwrap_err();
    assert!(
        refused.to_string().ends_with("v1/key.pem is readable by its group (mode 0640)"),
        "{refused}"
    );
    assert!(refused.hint().unwrap().starts_with("chmod 600 "));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::remove_file(path.join("credentials/app/v1/chain.pem")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", path.join("credentials/app/v1/chain.pem")).unwrap();
    assert!(matches!(StateDir::open(&path), Err(DirectoryError::Mode { .. })));
}

#[test]
fn publishing_switches_key_and_chain_as_one() {
    let (_parent, state) = opened();
    let store = state.credentials("team/app");
    assert!(store.current().unwrap().is_none());
    let pending = store.pending().unwrap().public_key();
    assert_eq!(store.pending().unwrap().public_key(), pending);
    for n in 3..7 {
        store.publish(&credentials(n)).unwrap();
        assert_eq!(serial(&store.current().unwrap().unwrap()), n);
    }
    assert_ne!(store.pending().unwrap().public_key(), pending);
    assert_eq!(state.credential_names(), ["team/app"]);
    let mut mixed = credentials(8);
    mixed.key = PrivateKey::generate().unwrap();
    assert!(store.publish(&mixed).is_err());
    assert_eq!(serial(&store.current().unwrap().unwrap()), 6);
}

// PKI-38, PKI-52: half-written credentials are never used, and the version before them is.
#[test]
fn a_broken_version_falls_back_to_the_one_before() {
    let (_parent, state) = opened();
    let store = state.credentials("app");
    store.publish(&credentials(3)).unwrap();
    store.publish(&credentials(4)).unwrap();
    std::fs::write(store.path().join("v2/chain.pem"), "-----BEGIN CERT").unwrap();
    assert_eq!(serial(&store.current().unwrap().unwrap()), 3);
    std::fs::remove_file(store.path().join("v1/key.pem")).unwrap();
    let refused = store.current().err().unwrap();
    assert!(
        refused.to_string().contains("v2: ") && refused.to_string().contains("v1: "),
        "{refused}"
    );
    make_private(&store.path().join("v3.tmp")).unwrap();
    let path = state.path().to_owned();
    drop(state);
    let state = StateDir::open(&path).unwrap();
    assert!(!state.path().join("credentials/app/v3.tmp").exists());
}

// PKI-38: what a full disk leaves of a version is in nobody's way.
#[test]
fn a_version_that_cannot_be_written_leaves_the_one_before() {
    let (_parent, state) = opened();
    let store = state.credentials("app");
    store.publish(&credentials(3)).unwrap();
    // A file where the folder should be does what a full disk does.
    let part = store.path().join("v2.tmp");
    std::fs::write(&part, "").unwrap();
    assert!(store.publish(&credentials(4)).is_err());
    let found = store.found().unwrap().unwrap();
    assert_eq!((serial(&found.stored), found.fell_back), (3, None));
    std::fs::remove_file(&part).unwrap();
    store.publish(&credentials(5)).unwrap();
    assert_eq!(serial(&store.current().unwrap().unwrap()), 5);

    std::fs::write(store.path().join("v2/meta.json"), "{").unwrap();
    let found = store.found().unwrap().unwrap();
    assert_eq!(serial(&found.stored), 3);
    let said = found.fell_back.unwrap();
    assert!(said.ends_with("v1 is used, because v2: meta.json is not well-formed"), "{said}");
}
