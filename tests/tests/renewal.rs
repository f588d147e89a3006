//! Certificates that change while connections run, and an Authority that stays the same one.

use segwan_tests::installation::{Installation, listens};
use segwan_tests::peer::Peer;
use segwan_tests::world::says_nothing_of_the_inside;

// S2f, F7, PKI-35, PKI-39
#[test]
fn a_renewed_certificate_is_shown_to_newcomers_and_disturbs_nobody() {
    let installation = Installation::used();
    let process = installation.start().map_err(|failure| failure.to_string()).unwrap();
    let app = installation.join(&installation.token(&process, "app"), "app", "app").unwrap();
    let (address, leaf) = (listens(&process), installation.leaf("app", "app"));
    let mut early = Peer::connect(address, Some(&leaf));
    assert_eq!(early.say(b"5\n").hear(3).text(), "15\n");

    let agent =
        process.running().agents.iter().find(|agent| agent.identity().path() == Some("calculator"));
    let before = agent.unwrap().credentials().serial();
    installation.runtime.block_on(agent.unwrap().renew()).unwrap();
    assert_ne!(agent.unwrap().credentials().serial(), before);

    let mut late = Peer::connect(address, Some(&leaf));
    assert_eq!(late.say(b"6\n").hear(3).text(), "16\n");
    assert_ne!(late.shown(), early.shown());
    assert_eq!(early.say(b"7\n").hear(6).text(), "15\n17\n");

    // The client's renewal: the same identity with another certificate, at once.
    installation.runtime.block_on(app.renew()).unwrap();
    let renewed = installation.leaf("app", "app");
    assert_ne!((&renewed.chain, &renewed.key), (&leaf.chain, &leaf.key));
    let mut with_it = Peer::connect(address, Some(&renewed));
    assert_eq!(with_it.say(b"8\n").hear(3).text(), "18\n");
    assert!(with_it.close_notify().hear_all().close_notify);
    assert_eq!(early.say(b"9\n").hear(9).text(), "15\n17\n19\n");
    installation.stop(process);
}

// S2f, PKI-03, PKI-05
#[test]
fn an_authority_that_starts_again_is_the_same_one() {
    let installation = Installation::used();
    let process = installation.start().map_err(|failure| failure.to_string()).unwrap();
    let root = process.running().authority.as_ref().unwrap().authority.root_fingerprint();
    let _app = installation.join(&installation.token(&process, "app"), "app", "app").unwrap();
    let mut open = Peer::connect(listens(&process), Some(&installation.leaf("app", "app")));
    assert_eq!(open.say(b"5\n").hear(3).text(), "15\n");
    let shown = open.shown();
    installation.stop(process);
    assert!(open.hear_all().close_notify);

    let process = installation.start().map_err(|failure| failure.to_string()).unwrap();
    let again = process.running().authority.as_ref().unwrap();
    assert_eq!(again.authority.root_fingerprint(), root);
    assert!(installation.runtime.block_on(again.authority.verify_ledger()).unwrap() > 0);
    let mut peer = Peer::connect(listens(&process), Some(&installation.leaf("app", "app")));
    assert_eq!(peer.say(b"5\n").hear(3).text(), "15\n");
    assert_eq!(peer.shown(), shown);
    installation.stop(process);
}

// PKI-16, PKI-24, S2b
#[test]
fn a_token_is_good_once_and_for_one_name() {
    let installation = Installation::used();
    let process = installation.start().map_err(|failure| failure.to_string()).unwrap();
    let token = installation.token(&process, "app");
    let app = installation.join(&token, "app", "app").unwrap();
    assert_eq!(app.identity().to_string(), "spiffe://shop.test/app");
    let Err(error) = installation.join(&token, "app", "thief") else { panic!("it was good twice") };
    says_nothing_of_the_inside(error.to_string().replace("127.0.0.1", "").as_bytes());
    let keys = installation.leaf("app", "app").key;
    assert!(!installation.tree().values().any(|(_, bytes)| bytes == keys.as_bytes()));
    installation.stop(process);
}
