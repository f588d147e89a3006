//! Contracts and policies that the tables name, in force and tried, are refused at their own places.

use super::*;

// C12, K-90
#[test]
fn a_contract_that_is_none_is_refused_at_its_own_place() {
    let text = SERVICE.replace("\"raw\"", "\"none.toml\"");
    only(&text, "segwan.toml:4:12: error[C12]: there is no file `none.toml`", &[]);
    let world = World::new();
    world.file(
        "bad.toml",
        &CONTRACT.replace("expect  = \"forward\"\naction", "expect  = \"invalid\"\naction"),
    );
    let findings = world.refused(&SERVICE.replace("\"raw\"", "\"bad.toml\""));
    assert!(findings[0].starts_with("bad.toml:"), "{findings:?}");
    assert!(findings[0].contains("error[K-90]: test `numbers go through"), "{findings:?}");
}

#[test]
fn the_warnings_of_a_contract_are_told_once() {
    let world = World::new();
    world.file("quiet.toml", &CONTRACT.replace("rate  ", "# rate  "));
    let service = SERVICE.replace("\"raw\"", "\"quiet.toml\"");
    let other = service.replace("service.orders", "service.more").replace("7443", "7444");
    let (config, warnings) = world.load(&format!("{service}{other}")).ok().unwrap();
    let told = world.told(&warnings);
    assert_eq!(told.iter().filter(|w| w.contains("limits.rate")).count(), 1, "{told:?}");
    // Rates are counted in a contract: two services never share one.
    let contracts: Vec<_> =
        config.services.iter().filter_map(|s| s.inspection.contract()).collect();
    assert!(!Arc::ptr_eq(contracts[0], contracts[1]));
}

// K-17
#[test]
fn a_contract_waits_no_longer_than_its_service() {
    let world = World::new();
    let text = CONTRACT.replacen("idle_timeout          = \"30s\"", "idle_timeout = \"11m\"", 1);
    assert_ne!(text, CONTRACT);
    world.file("add-ten.toml", &text);
    let service = SERVICE.replace("\"raw\"", "\"add-ten.toml\"");
    let told = world.refused(&service);
    assert!(told[0].starts_with("segwan.toml:4:1: error[K-17]: the contract's `idle_timeout` is 11 min, longer than the service's, which is 10 min"), "{told:?}");
    let longer = format!("{service}[service.orders.limits]\nidle_timeout = \"11m\"\n");
    assert!(world.load(&longer).is_ok());
}

// contracts.md section 20
#[test]
fn a_contract_in_shadow_mode_takes_the_place_of_raw() {
    let world = World::new();
    world.file("tried.toml", &format!("mode = \"shadow\"\n{CONTRACT}"));
    let text = SERVICE.replace("\"raw\"", "\"tried.toml\"");
    let (config, warnings) = world.load(&text).ok().unwrap();
    assert!(config.services[0].inspection.is_shadow());
    let told = world.told(&warnings);
    assert!(
        told[0].starts_with("tried.toml:1:8: warning[K-92]: the contract is in shadow"),
        "{told:?}"
    );
    let all = format!("{text}audit_messages = \"all\"\n");
    let findings = world.refused(&all);
    assert!(findings.iter().any(|f| f.contains("a contract that is enforced")), "{findings:?}");
}

/// The service above under the article's contract, with a slot; its first line is 7.
fn slot(world: &World, lines: &str) -> String {
    world.file("next.toml", &CONTRACT.replace("add-ten/1", "add-ten/2"));
    let service = SERVICE.replace("\"raw\"", "\"add-ten.toml\"");
    format!("{service}[service.orders.shadow]\n{lines}\n")
}

// contracts.md section 20
#[test]
fn a_contract_is_tried_beside_one_in_force_or_beside_raw() {
    let world = World::new();
    let text = slot(&world, "contract = \"next.toml\"");
    for (text, in_force) in
        [(text.clone(), Some("add-ten/1")), (text.replace("\"add-ten.toml\"", "\"raw\""), None)]
    {
        let (config, _) = world.load(&text).ok().unwrap();
        let service = &config.services[0];
        assert_eq!(service.inspection.contract().map(|contract| contract.name()), in_force);
        assert!(!service.inspection.is_shadow());
        let tried = service.beside.as_ref().unwrap();
        assert_eq!(tried.contract.name(), "add-ten/2");
        // Without rules of its own it is tried under those of the service.
        assert_eq!(tried.policy.ids(), ["allow-app"]);
    }
    world.file("next.cedar", "@id(\"new\")\npermit (principal, action, resource);\n");
    let own = format!("{text}policy = \"next.cedar\"\n");
    let (config, _) = world.load(&own).ok().unwrap();
    assert_eq!(config.services[0].beside.as_ref().unwrap().policy.ids(), ["new"]);
    assert_eq!(policy(&config.services[0]).unwrap().0.ids(), ["allow-app"]);
}

// contracts.md section 20: what is tried is held to as much as what is in force.
#[test]
fn what_cannot_be_tried_is_refused_at_its_place() {
    let world = World::new();
    let refused = |text: &str| {
        let findings = world.refused(text);
        assert_eq!(findings.len(), 1, "{text}\n{findings:#?}");
        findings.into_iter().next().unwrap()
    };
    let text = slot(&world, "contract = \"next.toml\"");
    world.file("bad.toml", &CONTRACT.replace("message               = 16", "message = \"x\""));
    let bad = refused(&text.replace("next.toml", "bad.toml"));
    assert!(bad.starts_with("bad.toml:5:11: error"), "{bad}");
    let none = refused(&text.replace("next.toml", "none.toml"));
    assert!(none.starts_with("segwan.toml:7:12: error[C12]: there is no file"), "{none}");
    let raw = refused(&text.replace("next.toml", "raw"));
    assert!(raw.starts_with("segwan.toml:7:12: error[C22]: `raw`"), "{raw}");
    let empty = refused(&text.replace("contract = \"next.toml\"", ""));
    assert!(empty.contains("error[C14]"), "{empty}");
    let unknown = refused(&format!("{text}mode = \"shadow\"\n"));
    assert!(unknown.starts_with("segwan.toml:8:1: error[C22]"), "{unknown}");

    world.file("tried.toml", &format!("mode = \"shadow\"\n{CONTRACT}"));
    let both = world.refused(&text.replace("\"add-ten.toml\"", "\"tried.toml\""));
    assert!(both[0].contains("beside a contract that is itself in shadow mode"), "{both:?}");
    let recorded = text.replace("\"add-ten.toml\"", "\"raw\"\nrecord = \"frames\"");
    assert!(refused(&recorded).contains("beside `record = \"frames\"`"));
}

// The policy in force names actions that the new contract does not have.
#[test]
fn a_policy_that_does_not_fit_what_is_tried_is_refused() {
    let world = World::new();
    let renamed = CONTRACT.replace("action   = \"add\"", "action   = \"sum\"");
    world.file("renamed.toml", &renamed.replace("action  = \"add\"", "action  = \"sum\""));
    world.file(
        "orders.cedar",
        "@id(\"a\")\npermit (principal, action == Action::\"add\", resource);\n\
         @id(\"c\")\npermit (principal, action == Action::\"connect\", resource);\n",
    );
    let text = slot(&world, "contract = \"renamed.toml\"");
    let text = text.replace("allow    = [\"app\"]", "policy   = \"orders.cedar\"");
    let findings = world.refused(&text);
    assert!(findings.iter().any(|f| f.starts_with("orders.cedar:2:")), "{findings:#?}");
    let why = "error[C13]: the policy of `[service.orders]` does not fit `add-ten/1`";
    assert!(
        findings.iter().any(|f| f.starts_with(&format!("segwan.toml:7:1: {why}"))),
        "{findings:#?}"
    );
    let (config, _) = world.load(&format!("{text}allow = [\"app\"]\n")).ok().unwrap();
    assert_eq!(config.services[0].beside.as_ref().unwrap().policy.ids(), ["allow-app"]);
}

// C13
#[test]
fn a_policy_with_an_unknown_action_is_refused_at_its_own_place() {
    let world = World::new();
    world.file(
        "orders.cedar",
        "@id(\"a\")\npermit (principal, action == Action::\"ad\", resource);\n",
    );
    let text = service("policy = \"orders.cedar\"").replace("\"raw\"", "\"add-ten.toml\"");
    let findings = world.refused(&text);
    assert!(findings[0].starts_with("orders.cedar:2:"), "{findings:?}");
    assert!(
        findings[0].contains("error[C13]")
            && findings[0].contains("did you mean `Action::\"add\"`?"),
        "{findings:?}"
    );
    only(
        &service("policy = \"none.cedar\""),
        "segwan.toml:6:10: error[C13]: there is no file",
        &[],
    );
}

// C14
#[test]
fn no_contract_must_be_said_by_its_word() {
    let text = SERVICE.replace("contract = \"raw\"\n", "");
    only(
        &text,
        "segwan.toml:1:10: error[C14]: `[service.orders]` has no `contract`",
        &["`contract = \"raw\"`"],
    );
}

// C14
#[test]
fn an_action_that_no_policy_permits_is_a_warning_at_its_service() {
    let world = World::new();
    let connect = "@id(\"c\") permit (principal, action == Action::\"connect\", resource);";
    world.file("connect.cedar", connect);
    let text = SERVICE
        .replace("\"raw\"", "\"add-ten.toml\"")
        .replace("allow    = [\"app\"]", "policy = \"connect.cedar\"");
    let (_, warnings) = world.load(&text).ok().unwrap();
    let told = world.told(&warnings);
    assert_eq!(told, ["segwan.toml:1:10: warning[C14]: no policy permits the action `add`"]);
}
