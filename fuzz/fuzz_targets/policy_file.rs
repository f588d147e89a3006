//! A policy file of any text: it compiles or is refused with places inside of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use segwan_core::contract::Contract;
use segwan_core::policy::schema::ActionShape;
use segwan_core::policy::{Policy, PolicySource};
use std::sync::LazyLock;

static ACTIONS: LazyLock<Vec<ActionShape>> = LazyLock::new(|| {
    let text = include_str!("../../examples/jsonl/inventory.toml");
    let none = |_: &str| Err("no file".to_owned());
    Contract::load("inventory.toml", text, &none).expect("an example").0.actions()
});

fuzz_target!(|text: &str| {
    let source = PolicySource { file: "fuzz.cedar".to_owned(), text: text.to_owned() };
    match Policy::compile("inventory", &ACTIONS, &[], &[source]) {
        Err(findings) => {
            assert!(findings.iter().any(|finding| finding.is_error()), "refused without a reason");
            let lines = text.split('\n').count();
            assert!(findings.iter().all(|finding| finding.line <= lines), "a place outside");
        }
        Ok((policy, _)) => assert!(!policy.ids().is_empty(), "a policy that admits nobody"),
    }
});
