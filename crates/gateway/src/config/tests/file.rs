//! The file as such: every key is known and does something, and all errors are told in one run.

use super::*;

// C22
#[test]
fn an_unknown_key_is_answered_with_the_nearest_known_one() {
    only(
        &service("upstreem = \"x\""),
        "segwan.toml:6:1: error[C22]: unknown key `upstreem` in `[service.orders]`",
        &["did you mean `upstream`?"],
    );
    only(
        &service("[service.orders.limits]\nidle = \"5s\""),
        "segwan.toml:7:1: error[C22]: unknown key `idle` in `[service.orders.limits]`",
        &[],
    );
    only(
        &format!("[servise.a]\n{SERVICE}"),
        "segwan.toml:1:2: error[C22]: unknown key `servise`",
        &["did you mean `service`?"],
    );
    only(
        &client("upstream = \"127.0.0.1:1\""),
        "segwan.toml:6:1: error[C22]: unknown key `upstream` in `[client.stock]`",
        &[],
    );
}

// C22
#[test]
fn how_careful_a_node_is_has_two_words_each() {
    only(
        &format!("[trust]\nstale_crl = \"refuse_new\"\n{SERVICE}"),
        "segwan.toml:2:13: error[C22]: `stale_crl` is `refuse_new`, not `keep` or `refuse`",
        &[],
    );
    only(
        &format!("[trust]\nwhen_unreachable = \"refuse\"\n{SERVICE}"),
        "segwan.toml:2:20: error[C22]: `when_unreachable` is `refuse`, not `keep` or `refuse_new`",
        &[],
    );
    only(
        &format!("[trust]\nstale_crls = \"keep\"\n{SERVICE}"),
        "segwan.toml:2:1: error[C22]: unknown key `stale_crls` in `[trust]`",
        &["did you mean `stale_crl`?"],
    );
    only(&format!("trust = \"keep\"\n{SERVICE}"), "segwan.toml:1:9: error[C22]", &["table"]);
}

// C22: a key that does nothing in this mode.
#[test]
fn a_key_that_does_nothing_is_refused() {
    only(
        &service("danger_plaintext_upstream = true"),
        "segwan.toml:6:1: error[C22]: `danger_plaintext_upstream` does nothing here",
        &["hint: remove it"],
    );
    only(
        &service("audit_messages = \"all\""),
        "segwan.toml:6:1: error[C22]: `audit_messages` does nothing without a contract",
        &[],
    );
}

#[test]
fn all_independent_errors_are_told_in_one_run() {
    let findings = refused(
        "threads = 0\n[service.orders]\nlisten = \"localhost:7443\"\nupstream = 8000\ncontract = \"none.toml\"\n\
         allow = [\"a b\", \"app\"]\n[client.stock]\nlisten = \"127.0.0.1:8100\"\nconnect = \"gw\"\ncontract = \"raw\"\n",
    );
    let begins: Vec<&str> = findings.iter().map(|f| f.split(": ").next().unwrap()).collect();
    assert_eq!(
        begins,
        [
            "segwan.toml:1:11",
            "segwan.toml:3:10",
            "segwan.toml:4:12",
            "segwan.toml:5:12",
            "segwan.toml:6:10",
            "segwan.toml:7:9",
            "segwan.toml:9:11",
        ],
        "{findings:#?}"
    );
}

#[test]
fn a_file_that_is_not_there_or_no_toml_says_so() {
    let Err(findings) = Config::load(Path::new("/nonexistent/segwan.toml")) else { panic!() };
    assert!(findings[0].to_string().contains("there is no file `/nonexistent/segwan.toml`"));
    only("listen = \n", "segwan.toml:1:10: error: ", &[]);
    only("", "segwan.toml:1:1: error[C22]: the file names nothing to run", &["[service.NAME]"]);
    let Err(findings) = Config::load(Path::new("/dev/zero")) else { panic!() };
    assert!(findings[0].to_string().contains("no regular file"), "{}", findings[0]);
}
