//! `[service]` and `[client]`: who may come, whom they reach, and numbers that fit each other.

use super::*;

// C1, F1
#[test]
fn a_client_without_peer_is_refused() {
    let text = CLIENT.replace("peer     = \"stock\"\n", "");
    let begins =
        "segwan.toml:1:9: error[C1]: `[client.stock]` does not say who the far side must be";
    only(&text, begins, &["`peer = \"orders\"`", "spiffe://"]);
    only(
        &CLIENT.replace("\"stock\"\nc", "[]\nc"),
        "segwan.toml:4:12: error[C22]: ",
        &["empty list"],
    );
    only(
        &CLIENT.replace("\"stock\"\nc", "\"*\"\nc"),
        "segwan.toml:4:12: error[C1]: `*` is not a name",
        &[],
    );
}

// C2
#[test]
fn a_service_that_nobody_may_reach_is_refused() {
    let begins = "segwan.toml:1:10: error[C2]: ";
    only(
        &SERVICE.replace("allow    = [\"app\"]\n", ""),
        begins,
        &["names nobody", "allow = [\"app\"]"],
    );
    only(&SERVICE.replace("[\"app\"]", "[]"), begins, &["names nobody"]);
    let world = World::new();
    world.file("never.cedar", "@id(\"never\") forbid (principal, action, resource);");
    let text = SERVICE.replace("allow    = [\"app\"]", "policy = \"never.cedar\"");
    let findings = world.refused(&text);
    assert!(findings[0].starts_with(begins), "{findings:?}");
    assert!(findings[0].contains("no policy permits anybody to connect"), "{findings:?}");
}

// C3: the grammar of identities; the trust domain is the check's.
#[test]
fn what_is_no_identity_is_refused_at_its_place() {
    for (bad, column) in
        [("\"*\"", 13), ("\"app\", \"\"", 20), ("\"spiffe://x\"", 13), ("\"dns:A.b\"", 13)]
    {
        let text = SERVICE.replace("\"app\"", bad);
        only(&text, &format!("segwan.toml:5:{column}: error[C3]: "), &["hint: `app`"]);
    }
    only(
        &SERVICE.replace("[\"app\"]", "[\"app\", \"app\"]"),
        "segwan.toml:5:20: error[C3]: `app` is there twice",
        &[],
    );
}

// C4
#[test]
fn plaintext_to_another_host_must_be_asked_for() {
    let far = SERVICE.replace("127.0.0.1:8000", "10.0.0.9:8000");
    only(
        &far,
        "segwan.toml:3:12: error[C4]: upstream `10.0.0.9:8000` is not on this host",
        &["in the clear", "danger_plaintext_upstream = true"],
    );
    let accepted = loaded(&format!("{far}danger_plaintext_upstream = true\n"));
    assert!(!accepted.services[0].upstream.is_local());
}

// C5, C6: one source of identity, and all of it.
#[test]
fn an_identity_has_one_source() {
    let credentials = "credentials = { chain = \"c.pem\", key = \"k.pem\" }\n";
    let trust = "trust = { roots = \"r.pem\" }\n";
    only(
        &service(credentials),
        "segwan.toml:1:10: error[C5]: `[service.orders]` has no `trust`",
        &[],
    );
    only(
        &service(trust),
        "segwan.toml:1:10: error[C6]: `[service.orders]` has no `credentials`",
        &[],
    );
    let both = format!("identity = \"x\"\n{credentials}{trust}");
    only(&service(&both), "segwan.toml:6:1: error[C6]: ", &["two sources"]);
    let keyless = format!("credentials = {{ chain = \"c.pem\" }}\n{trust}");
    only(&service(&keyless), "segwan.toml:6:15: error[C6]: ", &["has no `key`"]);
    only(&service("identity = \"../x\""), "segwan.toml:6:12: error[C22]: ", &["is not a name"]);
}

// C9
#[test]
fn waits_have_bounds_and_fit_into_each_other() {
    let limits = |lines: &str| service(&format!("[service.orders.limits]\n{lines}"));
    only(
        &limits("idle_timeout = \"0s\""),
        "segwan.toml:7:16: error[C9]: `idle_timeout` is 0 ms, outside 1 s to 1 d",
        &[],
    );
    only(&limits("idle_timeout = \"never\""), "segwan.toml:7:16: error[C9]: `never` is not", &[]);
    only(
        &limits("session_lifetime = \"2m\"\nidle_timeout = \"5m\""),
        "segwan.toml:8:16: error[C9]: `idle_timeout` is 5 min, longer than `session_lifetime`, which is 2 min",
        &[],
    );
    only(
        "drain_timeout = \"2h\"\n[authority]\nlisten = \"0.0.0.0:1\"",
        "segwan.toml:1:17: error[C9]: ",
        &[],
    );
    // A wait that nobody wrote follows the session.
    let config = loaded(&limits("session_lifetime = \"2m\""));
    assert_eq!(config.services[0].limits.idle_timeout, Duration::from_secs(120));
}

// C10
#[test]
fn numbers_agree_with_each_other() {
    let limits = |lines: &str| service(&format!("[service.orders.limits]\n{lines}"));
    for key in ["max_connections_per_address", "max_connections_per_identity"] {
        let line = format!("max_connections = 10\n{key} = 11");
        only(
            &limits(&line),
            "segwan.toml:8:",
            &["error[C10]", "is 11, over `max_connections`, which is 10"],
        );
    }
    let line = "max_handshakes = 10\nmax_handshakes_per_address = 11";
    only(&limits(line), "segwan.toml:8:30: error[C10]: ", &["over `max_handshakes`"]);
    only(&limits("max_connections = 0"), "segwan.toml:7:19: error[C10]: ", &["outside 1 to"]);
    let one = loaded(&limits("max_connections = 1\nmax_handshakes = 1")).services[0].limits.clone();
    assert_eq!((one.max_connections_per_identity, one.max_handshakes_per_address), (1, 1));
}

// C11
#[test]
fn two_listeners_on_one_address_are_refused() {
    let two = |a: &str, b: &str| {
        SERVICE.replace("127.0.0.1:7443", a) + &CLIENT.replace("127.0.0.1:8100", b)
    };
    only(
        &two("0.0.0.0:7443", "127.0.0.1:7443"),
        "segwan.toml:7:12: error[C11]: `[client.stock]` listens on `127.0.0.1:7443`, where `[service.orders]`",
        &[],
    );
    let authority = "[authority]\nlisten = \"0.0.0.0:7443\"\n";
    only(
        &format!("{authority}{SERVICE}"),
        "segwan.toml:4:12: error[C11]: ",
        &["where the Authority listens"],
    );
    let admin = "[admin]\nlisten = \"127.0.0.1:7443\"\n";
    only(
        &format!("{admin}{SERVICE}"),
        "segwan.toml:4:12: error[C11]: ",
        &["where `[admin]` listens"],
    );
    let config = loaded(&two("127.0.0.1:0", "127.0.0.1:0"));
    assert_eq!(config.clients.len(), 1);
}

// C11
#[test]
fn a_service_and_a_client_of_one_name_are_refused() {
    let text = format!("{SERVICE}{}", CLIENT.replace("client.stock", "client.orders"));
    only(&text, "segwan.toml:6:9: error[C11]: ", &["both called `orders`"]);
}

// C21
#[test]
fn a_loop_is_refused() {
    only(
        &SERVICE.replace("127.0.0.1:8000", "127.0.0.1:7443"),
        "segwan.toml:3:12: error[C21]: upstream `127.0.0.1:7443` is where `[service.orders]` itself listens",
        &[],
    );
    for back in ["127.0.0.1:8100", "localhost:8100"] {
        only(&CLIENT.replace("gw.example:7443", back), "segwan.toml:3:12: error[C21]: ", &[back]);
    }
}
