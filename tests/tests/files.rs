//! Certificates in files that somebody else replaces: the new ones are shown without a restart,
//! half of them never (F7).

use segwan::Reason;
use segwan_gateway::config::Config;
use segwan_gateway::process::Process;
use segwan_pki::directory::StateDir;
use segwan_tests::peer::Peer;
use segwan_tests::pki::{DOMAIN, Leaf, Pki, expired};
use segwan_tests::world::loopback;
use segwan_tests::{PATIENCE, eventually, pause, service};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// A process whose one service shows what lies in a folder.
struct World {
    folder: tempfile::TempDir,
    pki: Pki,
    app: Leaf,
    address: SocketAddr,
    process: Option<Process>,
    runtime: Runtime,
    behind: service::Service,
}

impl World {
    fn new() -> Self {
        Self::of("")
    }

    fn of(top: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::new();
        let (app, plain) = (pki.client("app"), service::Service::echo());
        let files = folder.path().join("files");
        std::fs::create_dir(&files).unwrap();
        std::fs::write(files.join("roots.pem"), &pki.root).unwrap();
        std::fs::write(files.join("revoked.crl"), pki.list(1, &[])).unwrap();
        write(&files, &pki.service("calculator"));
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
        let mut world =
            Self { address: loopback(), runtime, folder, pki, app, process: None, behind: plain };
        world.start(top);
        world
    }

    /// Starts it as its configuration says, with these lines at the beginning.
    fn start(&mut self, top: &str) {
        let upstream = self.behind.address;
        let file = self.folder.path().join("segwan.toml");
        let text = format!(
            r#"
trust_domain = "{DOMAIN}"
threads = 2
{top}
[service.calculator]
listen = "{}"
upstream = "{upstream}"
contract = "raw"
allow = ["app"]
credentials = {{ chain = "files/chain.pem", key = "files/key.pem" }}
trust = {{ roots = "files/roots.pem", crls = ["files/revoked.crl"] }}
"#,
            loopback()
        );
        std::fs::write(&file, text).unwrap();
        let (config, _) = Config::load(&file).map_err(|e| segwan::report(&e)).unwrap();
        let state = StateDir::open(&self.folder.path().join("state")).unwrap();
        let process = self.runtime.block_on(Process::start(state, config, Vec::new()));
        let process = process.map_err(|failure| failure.to_string()).unwrap();
        self.address = process.running().gateway.addresses()[0].1;
        self.process = Some(process);
    }

    fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    /// The certificate that a newcomer is shown.
    fn shown(&self) -> Vec<u8> {
        let mut peer = Peer::connect(self.address, Some(&self.app));
        assert_eq!(peer.say(b"x").hear(1).text(), "x");
        peer.close_notify().hear_all();
        peer.shown().unwrap()
    }

    fn alarms(&self) -> Vec<String> {
        let alarms = self.process.as_ref().unwrap().running().alarms.list(0);
        alarms.into_iter().map(|raised| raised.sentence).collect()
    }

    /// Waits until newcomers are shown this one; how long it took.
    fn shows(&self, leaf: &Leaf) -> Duration {
        let began = Instant::now();
        let expected = leaf.parts().0[0].to_vec();
        eventually("the new certificate", || (self.shown() == expected).then_some(()));
        began.elapsed()
    }

    /// Shows that what lies there now is refused, in these words, and the old one shown.
    fn refuses(&self, old: &Leaf, words: &str) {
        eventually(words, || self.alarms().iter().any(|said| said.contains(words)).then_some(()));
        assert_eq!(self.shown(), old.parts().0[0].to_vec());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            self.runtime.block_on(process.stop());
        }
    }
}

fn write(folder: &Path, leaf: &Leaf) {
    std::fs::write(folder.join("chain.pem"), &leaf.chain).unwrap();
    std::fs::write(folder.join("key.pem"), &leaf.key).unwrap();
}

// F7
#[test]
fn files_that_were_replaced_are_shown_within_two_seconds_and_disturb_nobody() {
    let world = World::new();
    let mut early = Peer::connect(world.address, Some(&world.app));
    assert_eq!(early.say(b"1").hear(1).text(), "1");
    // Where the machine was busy with others, the next one is.
    let in_time = (0..5).any(|_| {
        let next = world.pki.service("calculator");
        write(&world.files(), &next);
        world.shows(&next) < Duration::from_secs(2)
    });
    assert!(in_time);
    assert_eq!(early.say(b"2").hear(2).text(), "12");
    assert!(world.alarms().is_empty(), "{:?}", world.alarms());
}

// PKI-71
#[test]
fn half_a_pair_a_wrong_one_and_an_expired_one_change_nothing() {
    let world = World::new();
    let first = world.pki.service("calculator");
    write(&world.files(), &first);
    world.shows(&first);

    // Half: another certificate, the key is still to come.
    let second = world.pki.service("calculator");
    std::fs::write(world.files().join("chain.pem"), &second.chain).unwrap();
    world.refuses(&first, "does not belong to the first certificate");
    std::fs::write(world.files().join("key.pem"), &second.key).unwrap();
    world.shows(&second);
    eventually("the alarm is over", || world.alarms().is_empty().then_some(()));

    // Cut in the middle, swapped, and gone.
    std::fs::write(world.files().join("key.pem"), &second.key[..40]).unwrap();
    world.refuses(&second, "the private key is not readable");
    std::fs::write(world.files().join("chain.pem"), &second.key).unwrap();
    std::fs::write(world.files().join("key.pem"), &second.chain).unwrap();
    world.refuses(&second, "the certificate chain");
    std::fs::remove_file(world.files().join("key.pem")).unwrap();
    world.refuses(&second, "there is no file");

    // Expired.
    write(&world.files(), &world.pki.leaf("calculator", expired));
    world.refuses(&second, "the certificate has ended");

    // A switch of one link, as secret stores do it.
    let (third, folder) = (world.pki.service("calculator"), world.files());
    let elsewhere = world.folder.path().join("v3");
    std::fs::create_dir(&elsewhere).unwrap();
    write(&elsewhere, &third);
    for name in ["chain.pem", "key.pem"] {
        let part = folder.join("next");
        std::os::unix::fs::symlink(elsewhere.join(name), &part).unwrap();
        std::fs::rename(part, folder.join(name)).unwrap();
    }
    world.shows(&third);
    eventually("the alarm is over", || world.alarms().is_empty().then_some(()));
}

// PKI-71, F7: whom to believe waits for no pair.
#[test]
fn a_list_and_roots_are_in_force_beside_a_pair_that_is_not() {
    let world = World::new();
    let first = world.pki.service("calculator");
    write(&world.files(), &first);
    world.shows(&first);
    let (withdrawn, other) = (world.pki.client("app"), Pki::new());
    let comes = |leaf: &Leaf| {
        let mut peer = Peer::connect(world.address, Some(leaf));
        peer.say(b"x");
        peer.close_notify().hear_all().plain == b"x"
    };
    let lay = |name: &str, text: &str| std::fs::write(world.files().join(name), text).unwrap();
    let mut early = Peer::connect(world.address, Some(&withdrawn));
    assert_eq!(early.say(b"x").hear(1).text(), "x");

    let ended = world.pki.leaf("calculator", expired);
    write(&world.files(), &ended);
    world.refuses(&first, "the certificate has ended");
    lay("revoked.crl", &world.pki.list(2, &[&withdrawn]));
    assert!(early.hear_all().end.is_some());
    assert!(!comes(&withdrawn) && comes(&world.app));
    world.refuses(&first, "the certificate has ended");
    // Another root, while half of a pair is there.
    lay("key.pem", &first.key);
    world.refuses(&first, "does not belong to the first certificate");
    lay("roots.pem", &format!("{}{}", world.pki.root, other.root));
    eventually("the new root", || comes(&other.client("app")).then_some(()));
    assert!(!comes(&withdrawn) && comes(&world.app));

    // The other way round: a pair waits for no list. Each says what is wrong with it.
    lay("revoked.crl", "no list");
    world.refuses(&first, "revoked.crl`: ");
    world.refuses(&first, "does not belong to the first certificate");
    let second = world.pki.service("calculator");
    write(&world.files(), &second);
    world.shows(&second);
    world.refuses(&second, "revoked.crl`: ");
    assert!(!comes(&withdrawn));
    lay("revoked.crl", &world.pki.list(3, &[]));
    eventually("the alarm is over", || world.alarms().is_empty().then_some(()));
    assert!(comes(&withdrawn));
}

#[test]
fn a_list_in_a_file_ends_connections_too() {
    let world = World::new();
    let mut peer = Peer::connect(world.address, Some(&world.app));
    assert_eq!(peer.say(b"x").hear(1).text(), "x");
    std::fs::write(world.files().join("revoked.crl"), world.pki.list(2, &[&world.app])).unwrap();
    assert!(peer.hear_all().end.is_some());
    let mut late = Peer::connect(world.address, Some(&world.app));
    late.hear_all();
    assert!(late.heard().plain.is_empty());
    // An older one does not bring anybody back.
    std::fs::write(world.files().join("revoked.crl"), world.pki.list(1, &[])).unwrap();
    eventually("it is refused", || {
        world.alarms().iter().any(|said| said.contains("is in force")).then_some(())
    });
    let mut late = Peer::connect(world.address, Some(&world.app));
    assert!(late.hear_all().plain.is_empty());
}

// PKI-44
#[test]
fn a_lapsed_list_stays_in_force_or_stops_newcomers_as_configured() {
    for (stale_crl, refuses) in [("keep", false), ("refuse", true)] {
        let world = World::of(&format!("[trust]\nstale_crl = \"{stale_crl}\""));
        let withdrawn = world.pki.client("app");
        let lay = |list: String| std::fs::write(world.files().join("revoked.crl"), list).unwrap();
        let comes = |leaf: &Leaf| {
            let mut peer = Peer::connect(world.address, Some(leaf));
            let heard = peer.say(b"x").hear(1).text();
            peer.close_notify().hear_all();
            heard == "x"
        };
        let mut early = Peer::connect(world.address, Some(&world.app));
        assert_eq!(early.say(b"1").hear(1).text(), "1");
        // Twice, because what is put in force later says nothing of it.
        for (number, said) in [(2, "12"), (4, "122")] {
            lay(world.pki.list(number, &[]));
            eventually("a good list", || comes(&withdrawn).then_some(()));
            assert!(comes(&world.app));
            lay(world.pki.list_until(2025, number + 1, &[&withdrawn]));
            eventually("a lapsed list", || (!comes(&withdrawn)).then_some(()));
            assert_eq!(comes(&world.app), !refuses, "{stale_crl}");
            assert_eq!(early.say(b"2").hear(said.len()).text(), said);
        }
        let counted = || {
            let gates = world.process.as_ref().unwrap().running().gateway.status(0);
            gates[0].counts.refused.contains_key(&Reason::CrlStale)
        };
        if refuses {
            eventually("they are counted", || counted().then_some(()));
        }
        assert_eq!(counted(), refuses);
    }
}

// PKI-37
#[test]
fn no_handshake_fails_while_credentials_are_replaced() {
    let pki = Pki::new();
    let (app, plain) = (pki.client("app"), service::Service::echo());
    let pairs = [pki.service("calculator"), pki.service("calculator")];
    let plan = segwan_tests::world::Plan::raw().believing(Arc::new(pki));
    let world = plan.before(plain.address);
    let stop = Arc::new(AtomicBool::new(false));
    let replacing = {
        let (credentials, stop) = (world.credentials.clone(), stop.clone());
        let pairs = pairs.clone();
        std::thread::spawn(move || {
            let mut replaced = 0;
            while !stop.load(Ordering::Relaxed) {
                let pair = &pairs[replaced % 2];
                credentials.replace(pair.chain.as_bytes(), pair.key.as_bytes()).unwrap();
                replaced += 1;
                pause(Duration::from_micros(200));
            }
            replaced
        })
    };
    let mut seen = [0, 0];
    let (mut met, began) = (0, Instant::now());
    // Longer where one of the two threads gets little of the machine.
    while met < 400 || (seen.iter().any(|times| *times <= 50) && began.elapsed() < PATIENCE) {
        met += 1;
        // The peer checks the signature of the handshake by the certificate that it was shown.
        let mut peer = Peer::connect(world.address, Some(&app));
        assert_eq!(peer.say(b"x").hear(1).text(), "x");
        let shown = peer.shown().unwrap();
        for (pair, seen) in pairs.iter().zip(&mut seen) {
            *seen += usize::from(pair.parts().0[0].to_vec() == shown);
        }
        peer.close_notify().hear_all();
    }
    stop.store(true, Ordering::Relaxed);
    let replaced = replacing.join().unwrap();
    assert!(replaced > 400 && seen.iter().all(|times| *times > 50), "{replaced} {seen:?}");
}
