//! A process reads its configuration again: all of it is in force, or nothing of it and every error
//! is told (`trust.md` section 6).

use segwan_gateway::admin::wire::ReloadAnswer;
use segwan_gateway::config::Config;
use segwan_gateway::metrics::Standing;
use segwan_gateway::process::Process;
use segwan_pki::directory::StateDir;
use segwan_tests::peer::Peer;
use segwan_tests::pki::{DOMAIN, Leaf, Pki};
use segwan_tests::world::{ADD_TEN, POLICY, loopback};
use segwan_tests::{eventually, service};
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::runtime::Runtime;

/// A process whose one service stands in a file, with a contract and a policy beside it.
struct World {
    folder: tempfile::TempDir,
    pki: Pki,
    app: Leaf,
    address: SocketAddr,
    toml: String,
    process: Option<Process>,
    runtime: Runtime,
    behind: service::Service,
}

const ADDS: &str = r#"
@id("app-adds")
permit (principal == Peer::"spiffe://shop.test/app", action == Action::"add",
        resource == Service::"calculator");
"#;

/// The article's contract that answers what is no number by this word, and takes so many digits.
fn contract(word: &str, digits: &str) -> String {
    let text = ADD_TEN.replace("Invalid data", word).replace(", max = 3", "");
    let vectors = text.find("[[test]]").unwrap();
    text[..vectors].replace("[1-9][0-9]{0,8}", &format!("[1-9]{digits}"))
}

impl World {
    fn new(contract: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::new();
        let (app, behind) = (pki.client("app"), service::Service::numbers());
        let toml = format!(
            r#"trust_domain = "{DOMAIN}"
threads = 2

[service.calculator]
listen = "{}"
upstream = "{}"
contract = "number.toml"
policy = ["number.cedar"]
contract_grace = "1h"
credentials = {{ chain = "chain.pem", key = "key.pem" }}
trust = {{ roots = "roots.pem" }}
"#,
            loopback(),
            behind.address
        );
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
        let address = loopback();
        let mut world = Self { folder, address, runtime, pki, app, toml, process: None, behind };
        let leaf = world.pki.service("calculator");
        for (name, text) in [
            ("chain.pem", leaf.chain.as_str()),
            ("key.pem", &leaf.key),
            ("roots.pem", &world.pki.root),
            ("number.toml", contract),
            ("number.cedar", &format!("{POLICY}{ADDS}")),
            ("segwan.toml", &world.toml),
        ] {
            world.write(name, text);
        }
        use std::os::unix::fs::PermissionsExt;
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(world.path("key.pem"), private).unwrap();
        let config = Config::load(&world.path("segwan.toml"));
        let (config, _) = config.map_err(|e| segwan::report(&e)).unwrap();
        let state = StateDir::open(&world.path("state")).unwrap();
        let process = world.runtime.block_on(Process::start(state, config, Vec::new()));
        let process = process.map_err(|failure| failure.to_string()).unwrap();
        world.address = process.running().gateway.addresses()[0].1;
        world.process = Some(process);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    fn reload(&self) -> ReloadAnswer {
        self.runtime.block_on(self.process().running().reload())
    }

    fn app(&self) -> Peer {
        Peer::connect(self.address, Some(&self.app))
    }

    /// What a newcomer is answered.
    fn says(&self, said: &[u8]) -> String {
        let mut peer = self.app();
        let heard = peer.ask(said);
        peer.close_notify().hear_all();
        heard
    }

    fn alarms(&self) -> Vec<String> {
        let alarms = self.process().running().alarms.list(0);
        alarms.into_iter().map(|raised| raised.alarm).collect()
    }

    /// The number by which monitoring knows it.
    fn last_success(&self) -> bool {
        let running = self.process().running();
        let alarms = running.alarms.list(0);
        let page = running.metrics.render(Standing { alarms: &alarms, ..Standing::default() });
        page.lines().any(|line| line == "segwan_reload_last_success 1")
    }

    /// Lines of the audit log about reloads.
    fn record(&self, event: &str) -> Vec<String> {
        let files = std::fs::read_dir(self.path("state/audit")).unwrap();
        let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
        let word = format!("\"event\":\"{event}\"");
        // A last line may be on its way still.
        texts
            .flat_map(|text| text.split_inclusive('\n').map(str::to_owned).collect::<Vec<_>>())
            .filter(|line| line.ends_with('\n') && line.contains(&word))
            .collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            self.runtime.block_on(process.stop());
        }
    }
}

// ADV-39, TRAP-28, F8
#[test]
fn what_is_broken_changes_nothing_whatever_else_is_good() {
    let world = World::new(&contract("Old word", "[0-9]{0,8}"));
    let good = world.toml.clone();
    let new_contract = contract("New word", "[0-9]{0,8}");
    let denies = POLICY.to_owned();
    let broken_contract = new_contract.replace("kind = \"text\"", "kind = \"texts\"");
    let fails_its_test = format!(
        "{new_contract}\n[[test]]\nname = \"it does not\"\nclient = [\"x\\n\"]\nexpect = \"forward\"\n"
    );
    let broken_policy = format!(
        "{denies}\n@id(\"x\") permit (principal, action == Action::\"subtract\", resource);"
    );
    let mut live = world.app();
    assert_eq!(live.ask(b"x\n"), "Old word\n");
    let cases: [(&str, &str, &str, &[&str]); 6] = [
        ("listen = [", &new_contract, &denies, &["segwan.toml:1:"]),
        (&good, &broken_contract, &denies, &["number.toml:"]),
        (&good, &fails_its_test, &denies, &["number.toml:"]),
        (&good, &new_contract, &broken_policy, &["number.cedar:"]),
        (&good, &broken_contract, &broken_policy, &["number.toml:"]),
        (
            &good.replace("contract_grace = \"1h\"", "contract_grace = \"25h\""),
            &new_contract,
            &broken_policy,
            &["segwan.toml:9:18", "number.cedar:"],
        ),
    ];
    for (round, (toml, contract, policy, places)) in cases.into_iter().enumerate() {
        world.write("segwan.toml", toml);
        world.write("number.toml", contract);
        world.write("number.cedar", policy);
        let answer = world.reload();
        assert!(!answer.reloaded && answer.tables.is_empty(), "{answer:#?}");
        let found: Vec<String> =
            answer.findings.into_iter().map(|found| found.shown().to_string()).collect();
        for place in places {
            assert!(found.iter().any(|it| it.contains(place)), "{place}: {found:#?}");
        }
        // What was in force is, whole: contract, policy, and who is connected.
        assert_eq!(live.ask(b"x\n"), "Old word\n");
        assert_eq!(live.ask(b"5\n"), "15\n");
        assert_eq!((world.says(b"x\n"), world.says(b"5\n")), ("Old word\n".into(), "15\n".into()));
        assert_eq!((world.alarms(), world.last_success()), (vec!["reload_refused".into()], false));
        let told = eventually("its record", || {
            Some(world.record("reload_refused")).filter(|told| told.len() > round)
        });
        assert!(places.iter().all(|place| told[round].contains(place)), "{told:#?}");
    }
    world.write("segwan.toml", &good);
    world.write("number.cedar", &format!("{POLICY}{ADDS}"));
    world.write("number.toml", &new_contract);
    let answer = world.reload();
    assert!(answer.reloaded, "{answer:#?}");
    assert_eq!((world.says(b"x\n"), live.ask(b"x\n")), ("New word\n".into(), "Old word\n".into()));
    assert_eq!((world.alarms(), world.last_success()), (vec![], true));
    eventually("its record", || (world.record("reloaded").len() == 1).then_some(()));
}

#[test]
fn what_changed_is_told_and_what_did_not_is_left_alone() {
    let world = World::new(&contract("Old word", "[0-9]{0,8}"));
    let mut live = world.app();
    assert_eq!(live.ask(b"5\n"), "15\n");
    let changes = |answer: &ReloadAnswer| answer.tables[0].changes();
    let same = world.reload();
    assert!(same.reloaded && changes(&same).is_empty(), "{same:#?}");
    // A policy in other words, limits, and what is tried beside it.
    world.write("number.cedar", POLICY);
    let toml = world.toml.replace("contract_grace = \"1h\"", "contract_grace = \"2h\"");
    world.write(
        "segwan.toml",
        &format!(
            "{toml}\n[service.calculator.limits]\nmax_connections = 1\n[service.calculator.shadow]\ncontract = \"next.toml\"\n"
        ),
    );
    world
        .write("next.toml", &contract("Next word", "[0-9]{0,8}").replace("add-ten/1", "add-ten/2"));
    let answer = world.reload();
    assert!(answer.reloaded, "{answer:#?}");
    assert_eq!(changes(&answer), ["policy", "shadow", "limits", "contract_grace"]);
    assert_eq!(live.ask(b"5\n"), "Not allowed\n");
    assert_eq!(world.process().running().gateway.status(0)[0].beside.as_deref(), Some("add-ten/2"));
    // One is connected, so a second finds no place.
    // The reset may come before the connect returns.
    if let Ok(mut second) = std::net::TcpStream::connect(world.address) {
        assert!(segwan_tests::peer::read_all(&mut second).0.is_empty());
    }
    // And what took its place is told by its name.
    world.write(
        "number.toml",
        &contract("Old word", "[0-9]{0,1}").replace("add-ten/1", "add-ten/3"),
    );
    let answer = world.reload();
    assert_eq!(changes(&answer), ["contract add-ten/1 → add-ten/3"]);
    assert_eq!(answer.tables[0].contract.as_ref().unwrap().grace_ms, Some(2 * 3_600_000));
}

// F8, ADV-39
#[test]
fn what_was_written_is_named_and_what_follows_from_it_is_not() {
    let world = World::new(&contract("Old word", "[0-9]{0,8}"));
    let allow = |names: &str| {
        let toml = world.toml.replace("policy = [\"number.cedar\"]", &format!("allow = [{names}]"));
        format!("{toml}\n[service.calculator.shadow]\ncontract = \"next.toml\"\n")
    };
    let next = contract("Next word", "[0-9]{0,8}").replace("add-ten/1", "add-ten/2");
    world.write("next.toml", &next);
    let put = |toml: &str| {
        world.write("segwan.toml", toml);
        let answer = world.reload();
        assert!(answer.reloaded, "{answer:#?}");
        let warned = answer.findings.iter().any(|it| it.message.contains("it is uninspected"));
        (answer.tables[0].changes(), warned)
    };
    let named = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let first = allow("\"app\"");
    assert_eq!(put(&first), (named(&["allow", "policy", "shadow"]), false));
    let mut live = world.app();
    assert_eq!(live.ask(b"5\n"), "15\n");
    let second = allow("\"app\", \"web\"");
    assert_eq!(put(&second), (named(&["allow"]), false));
    // Who is let in by the policy that followed is known to both.
    let beside = |running: &segwan_gateway::process::Running| {
        running.rules.load()[0].beside.as_ref().unwrap().policy.ids().len()
    };
    assert_eq!(beside(world.process().running()), 2);
    let replaced = || world.process().running().gateway.status(0)[0].counts.replaced.clone();
    assert_eq!(replaced(), []);
    let raw = second.replace("contract = \"number.toml\"", "contract = \"raw\"");
    assert_eq!(put(&raw), (named(&["contract add-ten/1 → raw (uninspected)"]), true));
    let going_on = replaced();
    assert_eq!(going_on.len(), 1);
    assert_eq!((going_on[0].contract.as_deref(), going_on[0].connections), (Some("add-ten/1"), 1));
    assert_eq!(put(&raw), (vec![], false));
}

// ADV-39
#[test]
fn beside_errors_no_warning_is_told() {
    let world = World::new(&contract("Old word", "[0-9]{0,8}"));
    let weak = world.toml.replace("contract = \"number.toml\"", "contract = \"raw\"");
    world.write("segwan.toml", &weak.replace("threads = 2", "threads = 3"));
    world.write("number.cedar", POLICY);
    let answer = world.reload();
    assert!(!answer.reloaded && !answer.findings.is_empty());
    assert!(answer.findings.iter().all(|it| it.severity == "error"), "{answer:#?}");
}

#[test]
fn what_needs_a_restart_is_refused_at_its_place() {
    let world = World::new(&contract("Old word", "[0-9]{0,8}"));
    let listen = world.toml.lines().find(|line| line.starts_with("listen")).unwrap();
    let elsewhere = world.toml.replace(listen, "listen = \"127.0.0.1:7450\"");
    let more = format!(
        "{}\n[client.stock]\nlisten = \"127.0.0.1:0\"\nconnect = \"127.0.0.1:9\"\npeer = \"stock\"\ncontract = \"raw\"\n",
        world.toml
    );
    let other = world.toml.replace("service.calculator", "service.other");
    for (toml, places) in [
        (&elsewhere, &["segwan.toml:5:10: error: `listen` of `[service.calculator]`"][..]),
        (
            &world.toml.replace("threads = 2", "threads = 3"),
            &["segwan.toml:2:11: error: `threads`"],
        ),
        (&more, &["segwan.toml:13:9: error: `[client.stock]` does not run yet"]),
        (&other, &["`[service.other]` does not run yet", "`[service.calculator]` runs"]),
    ] {
        world.write("segwan.toml", toml);
        world.write("number.toml", &contract("New word", "[0-9]{0,8}"));
        let answer = world.reload();
        assert!(!answer.reloaded, "{answer:#?}");
        let found: Vec<String> =
            answer.findings.into_iter().map(|found| found.shown().to_string()).collect();
        for place in places {
            assert!(found.iter().any(|it| it.contains(place)), "{place}: {found:#?}");
        }
        assert!(found.iter().any(|it| it.contains("hint: restart the process")), "{found:#?}");
        assert_eq!(world.says(b"x\n"), "Old word\n");
    }
}

// ADV-41: serialized, and what was asked for while one ran is done after it, once
#[test]
fn many_who_ask_at_once_share_a_reload_and_have_what_was_written_before() {
    let world = World::new(&contract("Word 0", "[0-9]{0,8}"));
    for round in 1..=5 {
        let word = format!("Word {round}");
        world.write("number.toml", &contract(&word, "[0-9]{0,8}"));
        let running = world.process().running().clone();
        let all: Vec<_> = (0..100)
            .map(|_| {
                let running = running.clone();
                world.runtime.spawn(async move { running.reload().await })
            })
            .collect();
        drop(running);
        for one in all {
            assert!(world.runtime.block_on(one).unwrap().reloaded);
        }
        assert_eq!(world.says(b"x\n"), format!("{word}\n"));
    }
    eventually("its record", || (world.record("reloaded").len() >= 5).then_some(()));
    let reloads = world.record("reloaded").len();
    assert!(reloads <= 5 * 10, "{reloads} reloads of 500 that were asked for");
}

// TRAP-27, CON-25
#[test]
fn a_quota_on_the_disk_goes_on_in_the_same_journal() {
    let counted = |word: &str, persist: &str| {
        let quota = format!(
            "action   = \"add\"\nquota    = {{ per = \"identity\", count = true, max = 4, window = \"1h\"{persist} }}"
        );
        contract(word, "[0-9]{0,8}").replace("action   = \"add\"", &quota)
    };
    let world = World::new(&counted("Word 0", ""));
    let mut passed = 0;
    for (round, persist) in ["", ", persist = true", ", persist = true", ""].iter().enumerate() {
        world.write("number.toml", &counted(&format!("Word {}", round + 1), persist));
        let answer = world.reload();
        assert!(answer.reloaded, "{answer:#?}");
        passed +=
            usize::from(world.says(b"5\n") == "15\n") + usize::from(world.says(b"6\n") == "16\n");
    }
    assert_eq!(passed, 4);
    let journal = std::fs::read_to_string(world.path("state/quota/calculator.journal")).unwrap();
    let booked: u64 = journal
        .lines()
        .skip(1)
        .filter_map(|line| line.split(' ').nth(2)?.parse::<u64>().ok())
        .sum();
    assert_eq!(booked, 4, "{journal}");
    assert_eq!(world.behind.heard().len(), 4 * 2);
}
