use super::*;
use crate::registering::Registering;
use segwan::{StaleCrl, WhenUnreachable};
use segwan_pki::profile::Profile;
use std::fs;
use std::sync::Arc;
use tempfile::TempDir;

/// A directory with a configuration and what it names.
struct World(TempDir);

const CONTRACT: &str = include_str!("../../../../examples/article/add-ten.toml");

impl World {
    fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        world.file("add-ten.toml", CONTRACT);
        world
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn load(&self, text: &str) -> Result<(Config, Vec<Finding>), Vec<Finding>> {
        Config::load(&self.file("segwan.toml", text))
    }

    /// What is printed, without the directory.
    fn told(&self, findings: &[Finding]) -> Vec<String> {
        let directory = format!("{}/", self.0.path().display());
        findings.iter().map(|finding| finding.to_string().replace(&directory, "")).collect()
    }

    fn refused(&self, text: &str) -> Vec<String> {
        match self.load(text) {
            Err(findings) => self.told(&findings),
            Ok((_, findings)) => panic!("it loads, with {:?}", self.told(&findings)),
        }
    }
}

fn loaded(text: &str) -> Config {
    let world = World::new();
    match world.load(text) {
        Ok((config, findings)) => {
            assert!(findings.iter().all(|finding| !finding.is_error()));
            config
        }
        Err(findings) => panic!("{:?}", world.told(&findings)),
    }
}

fn refused(text: &str) -> Vec<String> {
    World::new().refused(text)
}

/// Exactly one finding, with this beginning and, somewhere, these words.
fn only(text: &str, begins: &str, words: &[&str]) {
    let findings = refused(text);
    assert_eq!(findings.len(), 1, "{text}\n{findings:#?}");
    assert!(findings[0].starts_with(begins), "{text}\n{findings:#?}");
    for word in words {
        assert!(findings[0].contains(word), "{word}: {findings:#?}");
    }
}

const SERVICE: &str = "\
[service.orders]
listen   = \"127.0.0.1:7443\"
upstream = \"127.0.0.1:8000\"
contract = \"raw\"
allow    = [\"app\"]
";
const CLIENT: &str = "\
[client.stock]
listen   = \"127.0.0.1:8100\"
connect  = \"gw.example:7443\"
peer     = \"stock\"
contract = \"raw\"
";

/// The service above with more lines; the first of them is line 6.
fn service(more: &str) -> String {
    format!("{SERVICE}{more}\n")
}

fn client(more: &str) -> String {
    format!("{CLIENT}{more}\n")
}

#[test]
fn what_is_written_is_what_is_meant() {
    let world = World::new();
    world.file(
        "orders.cedar",
        "@id(\"all\") permit (principal, action, resource in Service::\"orders\");",
    );
    let loaded = world.load(
        r#"
state_dir = "state"
threads = 3
trust_domain = "shop.example"
drain_timeout = "5s"
[trust]
stale_crl = "refuse"
when_unreachable = "refuse_new"
[admin]
listen = "127.0.0.1:9443"
[authority]
listen = "0.0.0.0:7444"
advertise = ["ca.shop.example:7444"]
init = "never"
root_fingerprint = "sha256:ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB"
leaf_lifetime = "1h"
renewal_grace = "2d"
danger_root_online = true
[[authority.registration]]
name = "team/backup"
profile = "peer"
[[authority.registration]]
name = "edge"
profile = "service"
dns = "edge.shop.example"
ips = ["10.0.0.5", "2001:db8::5"]
leaf_lifetime = "24h"
max_lineages = 50
on_reenroll = "add"
display_name = true
shared = false
[service.zebra]
listen = "0.0.0.0:7443"
upstream = "unix:/run/zebra.sock"
contract = "raw"
allow = ["dns:old.example", "spiffe://else.example/app"]
tls_min = "1.2"
credentials = { chain = "chain.pem", key = "key.pem" }
trust = { roots = "/etc/roots.pem" }
[service.orders]
listen = "0.0.0.0:7445"
upstream = "127.0.0.1:8000"
contract = "add-ten.toml"
allow = ["app"]
policy = ["orders.cedar"]
audit_messages = "all"
[service.orders.limits]
idle_timeout = "1m"
max_connections = 100
[client.stock]
listen = "127.0.0.1:8100"
connect = ["a.example:7443", "10.0.0.2:7443"]
peer = ["stock-1", "stock-2"]
contract = "raw"
identity = "app"
"#,
    );
    let (config, _) = loaded.unwrap_or_else(|findings| panic!("{:?}", world.told(&findings)));
    assert_eq!(config.state_dir, Some(world.0.path().join("state")));
    assert_eq!((config.threads, config.trust_domain.as_str()), (Some(3), "shop.example"));
    assert_eq!(config.drain_timeout, Duration::from_secs(5));
    assert_eq!(config.admin, Some("127.0.0.1:9443".parse().unwrap()));
    let caution =
        Caution { stale_crl: StaleCrl::Refuse, when_unreachable: WhenUnreachable::RefuseNew };
    assert_eq!(config.caution, caution);
    let authority = config.authority.unwrap();
    assert_eq!(authority.advertise, ["ca.shop.example:7444"]);
    assert!(authority.must_exist);
    assert_eq!(authority.root_fingerprint, Some("ab".repeat(32)));
    assert_eq!(authority.leaf_lifetime, Duration::from_secs(3600));
    assert_eq!(authority.renewal_grace, Duration::from_secs(2 * 86_400));
    let [backup, edge] = authority.registrations.as_slice() else { panic!("two names") };
    assert_eq!(*backup, Registering::new("team/backup", Profile::Peer));
    let wanted = Registering {
        dns: Some(vec!["edge.shop.example".to_owned()]),
        ips: Some(vec!["10.0.0.5".parse().unwrap(), "2001:db8::5".parse().unwrap()]),
        leaf_lifetime: Some(Duration::from_secs(86_400)),
        max_lineages: Some(50),
        on_reenroll: Some("add".to_owned()),
        display_name: Some(true),
        shared: Some(false),
        ..Registering::new("edge", Profile::Service)
    };
    assert_eq!(*edge, wanted);
    assert!(authority.danger_root_online);

    // In the order of the file.
    let [zebra, orders] = config.services.as_slice() else { panic!("two services") };
    assert_eq!(zebra.upstream, "unix:/run/zebra.sock".parse().unwrap());
    assert!(matches!(zebra.inspection, Inspection::Raw));
    assert_eq!(zebra.tls, TlsFloor::V12);
    let files = IdentitySource::Files {
        chain: world.0.path().join("chain.pem"),
        key: world.0.path().join("key.pem"),
        trust: TrustFiles { roots: "/etc/roots.pem".into(), ..TrustFiles::default() },
        mapping: None,
    };
    assert_eq!(zebra.identity, files);
    let texts: Vec<String> = zebra.allow.iter().map(Identity::to_string).collect();
    assert_eq!(texts, ["dns:old.example", "spiffe://else.example/app"]);

    assert_eq!(orders.inspection.contract().map(|c| c.name()), Some("add-ten/1"));
    assert_eq!(orders.allow[0].to_string(), "spiffe://shop.example/app");
    assert_eq!(orders.identity, IdentitySource::State("orders".to_owned()));
    assert_eq!((orders.tls, orders.audit_all), (TlsFloor::V13, true));
    assert_eq!(orders.limits.idle_timeout, Duration::from_secs(60));
    assert_eq!(orders.limits.drain_timeout, Duration::from_secs(5));
    assert_eq!(orders.limits.max_connections_per_identity, 50);
    let (policy, _) = policy(orders).unwrap();
    assert_eq!(policy.ids(), ["allow-app", "all"]);

    let client = &config.clients[0];
    assert_eq!(client.connect, ["a.example:7443", "10.0.0.2:7443"]);
    assert_eq!(client.peer.identities().len(), 2);
    assert_eq!(client.peer.identities()[1].to_string(), "spiffe://shop.example/stock-2");
    assert_eq!(client.identity, IdentitySource::State("app".to_owned()));
}

#[test]
fn what_is_not_written_has_its_default() {
    let config = loaded(SERVICE);
    assert_eq!(config.trust_domain.as_str(), "segwan.internal");
    assert!(config.threads.is_none() && config.authority.is_none() && config.admin.is_none());
    assert_eq!(config.services[0].limits, Limits::default());
    assert_eq!(config.drain_timeout, Duration::from_secs(30));
    assert_eq!(config.caution, Caution::default());
    let half = loaded(&format!("[trust]\nwhen_unreachable = \"refuse_new\"\n{SERVICE}")).caution;
    assert_eq!(half.stale_crl, StaleCrl::Keep);
    assert_eq!(half.when_unreachable, WhenUnreachable::RefuseNew);
    let authority = loaded("[authority]\nlisten = \"0.0.0.0:7444\"\ntrust_domain = \"a.b\"\n");
    assert_eq!(authority.trust_domain.as_str(), "a.b");
    let authority = authority.authority.unwrap();
    assert!(!authority.must_exist && authority.root_fingerprint.is_none());
    assert_eq!(authority.leaf_lifetime, Duration::from_secs(96 * 3600));
}

#[test]
fn the_example_loads() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (config, _) = Config::load(&root.join("examples/segwan.toml")).unwrap();
    assert_eq!((config.services.len(), config.clients.len()), (2, 1));
    assert!(config.authority.is_some());
}

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

#[test]
fn the_authority_says_what_it_cannot_be() {
    let authority = |line: &str| format!("[authority]\nlisten = \"0.0.0.0:7444\"\n{line}\n");
    for (line, words) in [
        ("root_fingerprint = \"3f9a\"", "no fingerprint of a root"),
        ("leaf_lifetime = \"1s\"", "outside 5 min to 90 d"),
        ("advertise = [\"a:1\", \"b:1\", \"c:1\", \"d:1\", \"e:1\"]", "4 are the most"),
        ("init = \"always\"", "not `auto` or `never`"),
        ("trust_domain = \"Shop\"", "is not a trust domain"),
        ("[[authority.registration]]\nname = \"a\"\nprofile = \"authority\"", "not `client` or"),
        ("[[authority.registration]]\nname = \"a\"", "has no `profile`"),
    ] {
        only(&authority(line), "segwan.toml:", &[words]);
    }
    let twice =
        format!("trust_domain = \"a.example\"\n{}", authority("trust_domain = \"b.example\""));
    only(&twice, "segwan.toml:4:16: error[C22]: ", &["`b.example`", "`a.example`"]);
    only(
        "[admin]\nlisten = \"0.0.0.0:9443\"\n[authority]\nlisten = \"0.0.0.0:7444\"\n",
        "segwan.toml:2:10: ",
        &["not loopback"],
    );
}

#[test]
fn a_name_has_the_grammar_of_a_registration() {
    only(
        &SERVICE.replace("service.orders", "service.\"a b\""),
        "segwan.toml:1:10: error[C22]: `a b` is not a name",
        &[],
    );
    let config = loaded(&SERVICE.replace("service.orders", "service.\"team/orders\""));
    assert_eq!(config.services[0].name, "team/orders");
}

#[test]
fn each_wrong_key_of_a_registration_is_told_at_its_place() {
    let world = World::new();
    let text = r#"
[authority]
listen = "127.0.0.1:7444"
[[authority.registration]]
name = "edge"
profile = "service"
ips = ["10.0.0"]
[[authority.registration]]
name = "b"
profile = "service"
on_reenroll = "often"
leaf_lifetime = "1m"
max_lineages = 0
color = "red"
"#;
    let told = world.refused(text);
    for (at, expected) in [
        (":7:", "`10.0.0` is no IP address"),
        (":11:", "`on_reenroll` is `often`, not `replace` or `add`"),
        (":12:", "`leaf_lifetime` is 1 min, outside 5 min to 90 d"),
        (":13:", "`max_lineages` is 0, outside 1 to 10000"),
        (":14:", "color"),
    ] {
        let found = |line: &&String| line.contains(at) && line.contains(expected);
        assert!(told.iter().any(|line| found(&line)), "{at} {expected}: {told:#?}");
    }
}

const FOREIGN: &str = "\
[[trust.foreign]]
name  = \"plant\"
roots = \"plant.pem\"
map   = [{ from = \"dns_san\", match = \"*.plant.example\", identity = \"foreign/plant/{1}\" }]
";

#[test]
fn a_foreign_authority_is_read_with_its_rules() {
    let more = "crls = [\"a.crl\", \"b.crl\"]\ndanger_tolerate = [\"missing_aki\"]\n";
    let config = loaded(&format!("{FOREIGN}{more}{SERVICE}"));
    let [plant] = config.foreign.as_slice() else { panic!("one authority") };
    assert_eq!(plant.name(), "plant");
    assert_eq!(plant.trust.crls.len(), 2);
    let tolerate = plant.trust.danger_tolerate;
    assert!(tolerate.missing_aki && !tolerate.missing_eku);
    assert!(loaded(SERVICE).foreign.is_empty());

    let files = "credentials = { chain = \"c.pem\", key = \"k.pem\" }\n\
                 [service.orders.trust]\nroots = \"r.pem\"\ndanger_tolerate = \"missing_eku\"\n\
                 map = [{ from = \"uri_san\", match = \"urn:*\", identity = \"foreign/x/{1}\" }]";
    let config = loaded(&service(files));
    let IdentitySource::Files { trust, mapping: Some(mapping), .. } = &config.services[0].identity
    else {
        panic!("files with rules")
    };
    assert_eq!(mapping.realm().name(), "x");
    assert!(trust.danger_tolerate.missing_eku && !trust.danger_tolerate.missing_aki);
}

#[test]
fn a_rule_for_foreign_certificates_is_refused_at_its_place() {
    let with = |from: &str, to: &str| {
        let text = FOREIGN.replace(from, to);
        assert_ne!(text, FOREIGN);
        format!("{text}{SERVICE}")
    };
    for (from, to, begins, words) in [
        ("dns_san", "cn", "segwan.toml:4:19: error[C22]: ", "`cn` is not `dns_san`"),
        ("*.plant", "**.plant", "segwan.toml:4:38: error[C22]: ", "has two `*`"),
        ("foreign/plant/{1}", "app", "segwan.toml:4:68: error[C22]: ", "does not begin with"),
        (
            "foreign/plant/{1}",
            "foreign/x/{1}",
            "segwan.toml:4:68: error[C22]: ",
            "`foreign/plant/`",
        ),
        ("foreign/plant/{1}", "foreign/plant/{2}", "segwan.toml:4:68: error[C22]: ", "{1}"),
        (
            "*.plant.example\", identity = \"foreign/plant/{1}",
            "*.*.example\", identity = \"foreign/plant/{1}-{2}",
            "segwan.toml:4:64: error[C22]: ",
            "hint: put `/` between them",
        ),
        ("\"plant\"\n", "\"a/b\"\n", "segwan.toml:2:9: error[C22]: ", "no name of a foreign"),
        ("name  = \"plant\"\n", "", "segwan.toml:1:1: error[C22]: ", "has no `name`"),
        ("roots = \"plant.pem\"\n", "", "segwan.toml:1:1: error[C5]: ", "has no `roots`"),
    ] {
        only(&with(from, to), begins, &[words]);
    }
    let no_map = FOREIGN.lines().take(3).collect::<Vec<_>>().join("\n");
    only(&format!("{no_map}\n{SERVICE}"), "segwan.toml:1:1: error[C22]: ", &["has no `map`"]);
    only(&format!("{no_map}\nmap = []\n{SERVICE}"), "segwan.toml:4:1: ", &["an empty list"]);
    let twice = format!("{FOREIGN}{FOREIGN}{SERVICE}");
    only(&twice, "segwan.toml:6:1: error[C22]: ", &["are called `plant`"]);
    let unknown = format!("{FOREIGN}danger_tolerate = [\"expired\"]\n{SERVICE}");
    only(&unknown, "segwan.toml:5:20: error[C22]: ", &["`expired` is not `missing_aki`"]);
    let files = "credentials = { chain = \"c.pem\", key = \"k.pem\" }\n\
                 [service.orders.trust]\nroots = \"r.pem\"\n\
                 map = [{ from = \"uri_san\", match = \"urn:*\", identity = \"app\" }]";
    only(&service(files), "segwan.toml:9:", &["does not begin with `foreign/`"]);
}
