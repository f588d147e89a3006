//! State that cannot be trusted is refused with its place, and left as it was.

use segwan_gateway::failure::{Exit, Failure};
use segwan_pki::directory::StateDir;
use segwan_tests::eventually;
use segwan_tests::installation::{Installation, Tree, listens};
use segwan_tests::peer::Peer;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Shows that it does not start, that nothing changed, and that it starts when `mend` has run.
fn is_refused(installation: &Installation, words: &[&str], mend: impl FnOnce()) {
    let before = installation.tree();
    let Err(failure) = installation.start() else { panic!("it started in spite of {words:?}") };
    let told = failure.to_string();
    assert_eq!(failure.exit(), Exit::CannotStart, "{told}");
    for word in words {
        assert!(told.contains(word), "`{word}` is not in {told:?}");
    }
    unchanged(&before, &installation.tree(), words);
    mend();
    let process = installation.start().map_err(|failure| failure.to_string()).unwrap();
    installation.stop(process);
}

fn unchanged(before: &Tree, after: &Tree, words: &[&str]) {
    let names = |tree: &Tree| tree.keys().cloned().collect::<Vec<PathBuf>>();
    assert_eq!(names(before), names(after), "{words:?}");
    for (path, was) in before {
        assert!(after.get(path) == Some(was), "{} changed: {words:?}", path.display());
    }
}

fn find(installation: &Installation, ends_with: &str) -> PathBuf {
    let tree = installation.tree();
    let found = tree.keys().find(|path| path.to_string_lossy().ends_with(ends_with));
    found.unwrap_or_else(|| panic!("no {ends_with} in {:#?}", tree.keys())).clone()
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

// S1a: a script that waits until `segwan status` answers finds the token of the first start
#[test]
fn tokens_are_told_before_anybody_gets_an_answer() {
    let installation = Installation::new();
    let socket = installation.state().join("run/admin.sock");
    let process = installation.start_telling(|process| {
        assert_eq!(process.take_tokens().len(), 1);
        assert!(!socket.exists(), "somebody could have asked already");
        Ok(())
    });
    let process = process.map_err(|failure| failure.to_string()).unwrap();
    assert!(socket.exists());
    installation.stop(process);

    let installation = Installation::new();
    let refused = installation.start_telling(|_| Err(Failure::refused("the disk is full")));
    assert_eq!(
        refused.err().map(|failure| failure.to_string()).as_deref(),
        Some("the disk is full")
    );
    assert!(!installation.state().join("run/admin.sock").exists());
    let process = installation.start().map_err(|failure| failure.to_string()).unwrap();
    installation.stop(process);
}

// PKI-09
#[test]
fn what_others_could_have_read_is_refused() {
    let installation = Installation::used();
    for file in ["calculator/v1/key.pem", "authority.db", "calculator", "audit.jsonl"] {
        let path = find(&installation, file);
        let (was, wide) = if path.is_dir() { (0o700, 0o755) } else { (0o600, 0o644) };
        mode(&path, wide);
        let place = path.display().to_string();
        is_refused(&installation, &[&place, "readable by others"], || mode(&path, was));
    }
}

// PKI-09: a link would lead the private key to a place that others choose
#[test]
fn a_link_in_the_place_of_a_key_is_refused() {
    let installation = Installation::used();
    let key = find(&installation, "calculator/v1/key.pem");
    let elsewhere = installation.state().parent().unwrap().join("elsewhere.pem");
    std::fs::rename(&key, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &key).unwrap();
    let place = key.display().to_string();
    is_refused(&installation, &[&place, "link"], || {
        std::fs::remove_file(&key).unwrap();
        std::fs::rename(&elsewhere, &key).unwrap();
    });
}

// PKI-03, PKI-05
#[test]
fn a_corrupt_store_is_refused_and_no_new_authority_is_made() {
    let installation = Installation::used();
    let store = find(&installation, "authority.db");
    let good = std::fs::read(&store).unwrap();
    let broken: [Vec<u8>; 4] = [
        vec![0; good.len()],
        b"no database at all".to_vec(),
        good[..good.len() / 2].to_vec(),
        [&good[..100], &vec![0xa5; good.len() - 100][..]].concat(),
    ];
    for bytes in broken {
        std::fs::write(&store, &bytes).unwrap();
        is_refused(&installation, &["authority.db"], || std::fs::write(&store, &good).unwrap());
    }
}

// PKI-38, PKI-52
#[test]
fn half_written_credentials_are_refused_with_what_is_missing() {
    let installation = Installation::used();
    for (file, keep) in [("chain.pem", 0), ("key.pem", 40), ("meta.json", 10), ("roots.pem", 0)] {
        let path = find(&installation, &format!("calculator/v1/{file}"));
        let good = std::fs::read(&path).unwrap();
        std::fs::write(&path, &good[..keep]).unwrap();
        is_refused(&installation, &["calculator", file], || std::fs::write(&path, &good).unwrap());
    }
}

// PKI-38: what an interrupted start left is in nobody's way
#[test]
fn what_an_interrupted_start_left_is_removed() {
    let installation = Installation::used();
    let torn = find(&installation, "calculator").join("v2.tmp");
    std::fs::create_dir(&torn).unwrap();
    mode(&torn, 0o700);
    std::fs::write(torn.join("key.pem"), "half").unwrap();
    let process = installation.start().map_err(|failure| failure.to_string()).unwrap();
    assert!(!torn.exists());
    installation.stop(process);
}

// PKI-04
#[test]
fn a_state_that_another_process_holds_is_refused() {
    let installation = Installation::used();
    let held = StateDir::open(&installation.state()).unwrap();
    is_refused(&installation, &["in use"], || drop(held));
}

// PKI-04
#[test]
fn a_directory_with_somebody_elses_files_is_refused() {
    let installation = Installation::new();
    std::fs::create_dir(installation.state()).unwrap();
    mode(&installation.state(), 0o700);
    let theirs = installation.state().join("thesis.tex");
    std::fs::write(&theirs, "much work").unwrap();
    is_refused(&installation, &["thesis.tex"], || std::fs::remove_file(&theirs).unwrap());
}

// PKI-03: a volume that is not mounted is no reason for a new root
#[test]
fn a_lost_authority_is_not_made_anew() {
    let mut installation = Installation::used();
    let process = installation.start().map_err(|failure| failure.to_string()).unwrap();
    let at = process.running().authority.as_ref().unwrap();
    installation.root = Some(at.authority.root_fingerprint());
    installation.stop(process);
    let (here, away) =
        (installation.state().join("authority"), installation.state().with_file_name("away"));
    std::fs::rename(&here, &away).unwrap();
    is_refused(&installation, &["there is no Authority"], || {
        std::fs::rename(&away, &here).unwrap();
    });
    installation.root = Some("0".repeat(64));
    let Err(failure) = installation.start() else { panic!("another root was taken") };
    assert!(failure.to_string().contains("not `sha256:0000"), "{failure}");
}

// ADV-38: the last line without its end is cut off and told; the chain goes on
#[test]
fn a_torn_last_line_of_the_record_does_not_stop_the_start() {
    let installation = Installation::used();
    let log = find(&installation, "audit.jsonl");
    let mut bytes = std::fs::read(&log).unwrap();
    bytes.truncate(bytes.len() - 20);
    std::fs::write(&log, &bytes).unwrap();
    let process = installation.start().map_err(|failure| failure.to_string()).unwrap();
    assert_eq!(Peer::connect(listens(&process), None).hear_all().text(), "");
    let text = eventually("the refusal on record", || {
        let text = std::fs::read_to_string(&log).unwrap();
        text.contains("refused").then_some(text)
    });
    installation.stop(process);
    assert!(text.contains("had no end") && text.contains("certificate_required"), "{text}");
    let verified = segwan_gateway::audit::verify(&installation.state().join("audit"));
    assert!(verified.is_ok(), "{:?}", verified.err());
}
