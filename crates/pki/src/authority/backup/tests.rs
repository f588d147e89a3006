use super::super::tests::{HOUR, NOW, World, csr, options};
use super::*;
use crate::authority::{Adopted, AuthorityError, Custody, restore, verify};
use crate::directory::StateDir;
use crate::enrollment::Token;
use crate::revocation::Crl;
use std::path::Path;

const BACKED_UP: i64 = NOW + HOUR / 6;

fn passphrase() -> Passphrase {
    Passphrase::new("correct horse battery".to_owned()).unwrap()
}

/// A backup in a file of its own, as a command moves it.
async fn backed_up(world: &World, to: &Path) {
    let made = world.authority.backup(&passphrase(), BACKED_UP).await.unwrap();
    std::fs::rename(&made.path, to).unwrap();
    world.authority.note_backup(BACKED_UP).await.unwrap();
    assert_eq!(std::fs::metadata(to).unwrap().len(), made.bytes);
    assert_eq!(made.keys, 2);
}

async fn opened(state: &Path, now: i64) -> Authority {
    let state = StateDir::open(state).unwrap();
    Authority::open(&state, &options(), now).await.unwrap()
}

// PKI-56
#[tokio::test]
async fn a_restore_is_a_new_epoch_of_the_same_authority() {
    let (world, folder) = (World::new().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("segwan.tar");
    let token = world.token().await;
    let before = world.authority.issue_local("orders", &csr(), NOW).await.unwrap();
    backed_up(&world, &file).await;
    assert_eq!(world.authority.custody().await.unwrap().backup_ms, Some(BACKED_UP));
    // What happens after the backup is lost.
    let mut lost = Vec::new();
    let used = world.enroll(&token, &csr(), NOW + HOUR / 3).await.unwrap();
    let mut last = before.chain[0].clone();
    for n in 0..10 {
        let renewed = world.authority.renew(&last, &csr(), NOW + (2 + n) * HOUR).await.unwrap();
        last.clone_from(&renewed.chain[0]);
        lost.push(renewed);
    }
    let keys = world.authority.issuing(NOW).await.unwrap();
    let numbers = async |authority: &Authority| {
        let mut numbers = Vec::new();
        for key in &keys {
            numbers.push(authority.crl(&key.id).await.unwrap().unwrap().0);
        }
        numbers
    };
    world.authority.maintain(NOW + 12 * HOUR).await.unwrap();
    let numbers_before = numbers(&world.authority).await;

    let (state, now) = (folder.path().join("restored"), NOW + 20 * HOUR);
    let restored = restore(&file, &passphrase(), &state, None, now).await.unwrap();
    assert_eq!((restored.epoch, restored.tokens), (2, 1));
    assert_eq!(restored.root, world.authority.root_fingerprint());
    let again = opened(&state, now).await;
    assert_eq!(again.epoch(), 2);
    assert!(again.verify_ledger().await.is_ok());
    assert_eq!(again.open_tokens(now).await.unwrap(), 0);
    let refused = again.enroll(&token.secret(), &csr(), "10.0.0.9", NOW + HOUR).await;
    assert!(matches!(refused, Err(AuthorityError::Token(_))));
    for (before, after) in numbers_before.iter().zip(numbers(&again).await) {
        assert!(after > *before);
    }
    // Agents take its bundle, because the epoch is higher.
    let roots = [again.root().to_vec()];
    let (_, signed) = again.bundle(now).await.unwrap();
    let in_force = Some((1, i64::MAX));
    let bundle =
        crate::bundle::Bundle::accept(&signed, &roots, again.trust_domain(), (in_force, &[]), now);
    assert_eq!(bundle.unwrap().epoch, 2);
    // The ten are unknown: no renewal, until each is adopted.
    let head = lost.last().unwrap().chain[0].clone();
    for one in &lost {
        let refused = again.renew(&one.chain[0], &csr(), now).await.unwrap_err();
        assert!(matches!(refused, AuthorityError::Unrecorded { .. }), "{refused}");
    }
    let adopted = again.adopt(&head, now).await.unwrap();
    let Adopted::Now { name, .. } = adopted else { panic!("{adopted:?}") };
    assert_eq!(name, "orders");
    again.renew(&head, &csr(), now).await.unwrap();
    assert!(again.adopt(&head, now).await.unwrap_err().to_string().contains("on record already"));
    let enrolled = again.adopt(&used.chain[0], now).await.unwrap();
    assert!(matches!(enrolled, Adopted::Now { name, .. } if name == "app"));
    assert!(again.verify_ledger().await.is_ok());
    again.close().await;
}

// PKI-56: by its serial number alone.
#[tokio::test]
async fn a_certificate_that_a_gateway_saw_is_adopted_when_its_holder_comes() {
    let (world, folder) = (World::new().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("segwan.tar");
    backed_up(&world, &file).await;
    let lost = world.enroll(&world.token().await, &csr(), NOW + HOUR / 3).await.unwrap();
    let (state, now) = (folder.path().join("restored"), NOW + 20 * HOUR);
    restore(&file, &passphrase(), &state, None, now).await.unwrap();
    let again = opened(&state, now).await;
    let read = crate::certificate::Certificate::read(&lost.chain[0]).unwrap();
    let (issuer, serial) = (hex(read.authority_key.as_deref().unwrap()), read.serial_hex());
    assert!(again.adopt_serial(&serial, now).await.is_err());
    let mut writing = again.0.store.write().await.unwrap();
    writing.saw_unrecorded(&issuer, &serial, (now, now), "orders").await.unwrap();
    writing.commit().await.unwrap();
    assert!(matches!(again.adopt_serial(&serial, now).await.unwrap(), Adopted::When { .. }));
    again.renew(&lost.chain[0], &csr(), now).await.unwrap();
    assert!(again.unrecorded().await.unwrap().is_empty());
    // Another Authority's certificate of the same names is not taken.
    let stranger = World::new().await;
    let foreign = stranger.authority.issue_local("app", &csr(), now).await.unwrap();
    let refused = again.adopt(&foreign.chain[0], now).await.unwrap_err();
    assert!(refused.to_string().contains("the signature of no issuing key here"), "{refused}");
    again.close().await;
}

// PKI-57
#[tokio::test]
async fn a_restore_that_is_refused_writes_nothing() {
    let (world, folder) = (World::new().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("segwan.tar");
    backed_up(&world, &file).await;
    let refused = async |file: &Path, passphrase: &Passphrase, state: &Path| {
        let done = restore(file, passphrase, state, None, NOW + 2 * HOUR).await;
        done.unwrap_err().to_string()
    };
    // Over live state.
    let live = world.state.path();
    let sentence = refused(&file, &passphrase(), live).await;
    assert!(sentence.ends_with("authority` holds state already"), "{sentence}");
    world.authority.issue_local("orders", &csr(), NOW).await.unwrap();
    // A wrong passphrase.
    let state = folder.path().join("restored");
    let wrong = Passphrase::new("another passphrase".to_owned()).unwrap();
    let sentence = refused(&file, &wrong, &state).await;
    assert!(sentence.ends_with("its passphrase does not fit"), "{sentence}");
    assert!(!state.exists());
    // A changed manifest, a changed file, one byte of any block, a cut.
    let whole = std::fs::read(&file).unwrap();
    let changed = folder.path().join("changed.tar");
    let said = whole.windows(9).position(|text| text == b"\"epoch\":1").unwrap() + 8;
    let mut places: Vec<usize> = (0..whole.len()).step_by(whole.len() / 40).collect();
    // The filling of the last file, and both blocks at the end.
    places.extend([said, whole.len() - 1025, whole.len() - 1024, whole.len() - 1]);
    for at in places {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&changed, &bytes).unwrap();
        let sentence = refused(&changed, &passphrase(), &state).await;
        assert!(!sentence.is_empty() && !state.exists(), "byte {at}");
    }
    // Something behind the end, and less than the end.
    for more in [&b"x"[..], &[0; 1], &[0; 512], &whole] {
        std::fs::write(&changed, [&whole, more].concat()).unwrap();
        let sentence = refused(&changed, &passphrase(), &state).await;
        assert!(sentence.ends_with("bytes stand behind its end"), "{sentence}");
        assert!(!state.exists());
        assert!(verify(&changed, &passphrase(), NOW + HOUR).await.is_err());
    }
    for less in [1, 512, 513, 1024] {
        std::fs::write(&changed, &whole[..whole.len() - less]).unwrap();
        let sentence = refused(&changed, &passphrase(), &state).await;
        assert!(sentence.ends_with("it ends early"), "{sentence}");
    }
    std::fs::write(&changed, &whole[..whole.len() / 2]).unwrap();
    refused(&changed, &passphrase(), &state).await;
    std::fs::write(&changed, "this is no archive").unwrap();
    let sentence = refused(&changed, &passphrase(), &state).await;
    assert!(sentence.contains("is no backup"), "{sentence}");
    // A directory that was there stays as it was.
    make_private(&state).unwrap();
    refused(&changed, &passphrase(), &state).await;
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 0);
    restore(&file, &passphrase(), &state, None, NOW + 2 * HOUR).await.unwrap();
}

// PKI-58
#[tokio::test]
async fn no_secret_is_in_database_ledger_or_backup() {
    let (world, folder) = (World::new().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("segwan.tar");
    let tokens: Vec<Token> = vec![world.token().await, world.token().await];
    let enrolled = world.enroll(&tokens[0], &csr(), NOW).await.unwrap();
    world.authority.leave_token(&tokens[1]).unwrap();
    world.authority.renew(&enrolled.chain[0], &csr(), NOW + 40 * HOUR).await.unwrap();
    world
        .authority
        .mint_token("orders", vec!["h:1".to_owned()], std::time::Duration::from_secs(600), NOW)
        .await
        .unwrap();
    let selector = crate::authority::Selector::Name("app".to_owned());
    let reason = crate::revocation::RevocationReason::KeyCompromise;
    world.authority.revoke(&selector, reason, NOW + 40 * HOUR).await.unwrap();
    backed_up(&world, &file).await;
    verify(&file, &passphrase(), NOW + HOUR).await.unwrap();

    let place = world.authority.place().to_owned();
    let mut secrets: Vec<Vec<u8>> = Vec::new();
    for token in &tokens {
        secrets.push(token.secret().as_bytes().to_vec());
        secrets.push(token.reveal().as_bytes().to_vec());
    }
    for key in &world.authority.keys().issuing {
        let der = key.authority.key.to_der();
        // The private number itself, and the file that holds it.
        secrets.push(der[36..68].to_vec());
        secrets.push(key.authority.key.to_pem().unwrap().lines().nth(1).unwrap().into());
    }
    let root = crate::custody::text(&place.join("root/passphrase")).unwrap();
    secrets.push(root.as_bytes().to_vec());
    secrets.push(passphrase().reveal().as_bytes().to_vec());
    world.authority.close().await;
    for path in [place.join("store/authority.db"), file] {
        let bytes = std::fs::read(&path).unwrap();
        for secret in &secrets {
            assert!(secret.len() >= 16);
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_slice());
            assert!(!found, "{}", path.display());
        }
        // Nothing of the root's key is in a backup.
        let name = b"root.key.pem";
        assert!(!bytes.windows(name.len()).any(|window| window == name));
    }
}

// PKI-10
#[tokio::test]
async fn a_restore_seals_issuing_keys_where_they_are_to_be_sealed() {
    let (world, folder) = (World::new().await, tempfile::tempdir().unwrap());
    let (file, state) = (folder.path().join("segwan.tar"), folder.path().join("restored"));
    backed_up(&world, &file).await;
    let here = Passphrase::new("the passphrase of this host".to_owned()).unwrap();
    restore(&file, &passphrase(), &state, Some(&here), NOW + HOUR).await.unwrap();
    let directory = StateDir::open(&state).unwrap();
    let plain = Authority::open(&directory, &options(), NOW + HOUR).await.err().unwrap();
    assert!(plain.to_string().contains("no passphrase was given"), "{plain}");
    let custody = Custody { key_passphrase: Some(here), ..Custody::default() };
    let again = Authority::open_with(&directory, &options(), &custody, NOW + HOUR).await.unwrap();
    again.issue_local("orders", &csr(), NOW + HOUR).await.unwrap();
    let list = again.crl(&again.issuing(NOW).await.unwrap()[0].id).await.unwrap().unwrap().1;
    assert!(Crl::read(&list).is_ok());
    again.close().await;
}

// Section 15: what `tar` reads, and what of other archives is refused.
#[test]
fn an_archive_is_one_that_tar_reads_and_others_are_not_ours() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar");
    let mut archive = Archive::new(&path, NOW).unwrap();
    archive.add("a", b"hello").unwrap();
    archive.add("b/c", &[7; 1024]).unwrap();
    archive.finish().unwrap();
    let listed = std::process::Command::new("tar").arg("-tf").arg(&path).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "a\nb/c\n");
    std::fs::write(folder.path().join("x"), "hello").unwrap();
    let foreign = folder.path().join("foreign.tar");
    let made = std::process::Command::new("tar")
        .args(["--format=ustar", "-cf"])
        .arg(&foreign)
        .arg("-C")
        .arg(folder.path())
        .arg("x")
        .status();
    assert!(made.unwrap().success());
    let bytes = std::fs::read(&foreign).unwrap();
    assert!(tar::Files::new(bytes.as_slice()).next().is_err());
}
