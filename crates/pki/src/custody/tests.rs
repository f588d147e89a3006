use super::*;
use crate::key::PrivateKey;

const NOW: i64 = 1_790_000_000_000;

fn made() -> Root {
    let key = PrivateKey::generate_root().unwrap();
    Root(Authority::root("td.example", key, [0x41; 16], NOW / 1000).unwrap())
}

fn passphrase() -> Passphrase {
    Passphrase::new("correct horse battery\n".to_owned()).unwrap()
}

// PKI-08, PKI-10
#[test]
fn an_export_is_tried_before_it_is_believed() {
    let (root, to) = (made(), tempfile::tempdir().unwrap());
    let exported = root.export(to.path(), &passphrase()).unwrap();
    let again = Root::open(&exported.key, Some(&passphrase()), root.certificate()).unwrap();
    assert_eq!(again.certificate(), root.certificate());
    let readme = std::fs::read_to_string(exported.readme).unwrap();
    assert!(readme.contains("openssl x509 -req") && readme.contains("segwan ca issuing import"));
    // What is there is not written over.
    let refused = root.export(to.path(), &passphrase()).unwrap_err();
    assert!(refused.to_string().ends_with("exists already"), "{refused}");
    assert!(exported.key.exists());
}

// PKI-08
#[test]
fn what_cannot_be_written_leaves_nothing_behind() {
    let root = made();
    let missing = Path::new("/nonexistent/medium");
    assert!(matches!(root.export(missing, &passphrase()), Err(CustodyError::Directory(_))));
    let full = Path::new("/dev/full");
    assert!(root.export(full, &passphrase()).is_err());
    let to = tempfile::tempdir().unwrap();
    // The last of the files cannot be written: the key goes too.
    std::fs::create_dir(to.path().join("README.txt")).unwrap();
    assert!(root.export(to.path(), &passphrase()).is_err());
    assert!(!to.path().join("root.key.pem").exists());
    assert!(!to.path().join("root.pem").exists());
}

#[test]
fn a_short_passphrase_seals_nothing() {
    let to = tempfile::tempdir().unwrap();
    let short = Passphrase::new("fifteen letters".to_owned()).unwrap();
    let refused = made().export(to.path(), &short).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the passphrase has 15 characters; 16 are the fewest that protect a key"
    );
    assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 0);
    assert!(Passphrase::new("\n".to_owned()).is_err());
    assert_eq!(format!("{:?}", passphrase()), "Passphrase");
}

#[test]
fn a_key_of_another_root_opens_no_root() {
    let (root, other) = (made(), made());
    let to = tempfile::tempdir().unwrap();
    let key = root.export(to.path(), &passphrase()).unwrap().key;
    let refused = Root::open(&key, Some(&passphrase()), other.certificate()).err().unwrap();
    assert!(refused.to_string().contains("not the one of the root certificate"), "{refused}");
    let refused = Root::open(&key, None, root.certificate()).err().unwrap();
    assert!(refused.to_string().contains("needs its passphrase"), "{refused}");
    let wrong = Passphrase::new("another passphrase".to_owned()).unwrap();
    let refused = Root::open(&key, Some(&wrong), root.certificate()).err().unwrap();
    assert!(refused.to_string().ends_with("its passphrase does not fit"), "{refused}");
}

// PKI-07
#[test]
fn what_is_removed_is_gone_and_a_second_time_is_no_error() {
    let authority = tempfile::tempdir().unwrap();
    std::fs::create_dir(authority.path().join("root")).unwrap();
    std::fs::write(authority.path().join("root/root.key.pem"), "key").unwrap();
    std::fs::write(authority.path().join("root/passphrase"), "words").unwrap();
    remove_local(authority.path()).unwrap();
    assert!(!authority.path().join("root").exists());
    remove_local(authority.path()).unwrap();
}
