//! `segwan join` as a process: how it ends before it has begun to serve.

use rustix::process::{Pid, Signal, kill_process};
use segwan_core::identity::TrustDomain;
use segwan_pki::enrollment::Token;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Far ahead of every clock, Unix seconds.
const NEVER: i64 = 32_503_680_000;

// Whoever waits for an Authority that says nothing can stop waiting.
#[test]
fn a_join_whose_authority_is_silent_ends_at_the_first_signal() {
    let authority = TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = vec![authority.local_addr().unwrap().to_string()];
    let domain: TrustDomain = "segwan.internal".parse().unwrap();
    let token = Token::new(addresses, domain, "app".to_owned(), b"root", NEVER, [7; 32]);
    let state = tempfile::tempdir().unwrap();
    let mut join = Command::new(env!("CARGO_BIN_EXE_segwan"))
        .args(["join", token.reveal().as_str(), "--as", "app", "--state"])
        .arg(state.path().join("state"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Once it calls it hears signals.
    authority.set_nonblocking(true).unwrap();
    let mut call = None;
    until(|| {
        call = authority.accept().ok();
        call.is_some()
    });
    kill_process(Pid::from_child(&join), Signal::TERM).unwrap();
    until(|| join.try_wait().unwrap().is_some());
    let ended = join.try_wait().unwrap();
    let _ = join.kill();
    let said = join.wait_with_output().unwrap().stderr;
    let said = String::from_utf8_lossy(&said);
    assert!(call.is_some() && said.contains("stopped before it had enrolled"), "{said}");
    assert_eq!(ended.and_then(|status| status.code()), Some(1));
}

/// Looks again and again, for a while.
fn until(mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() && began.elapsed() < Duration::from_secs(30) {
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
