use super::*;
use base64::prelude::{BASE64_STANDARD, Engine};
use segwan_pki::key::PrivateKey;
use segwan_pki::profile::Profile;
use segwan_pki::x509::{Authority, Leaf, RequestedKey, certificate_request};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tempfile::TempDir;

const DAY: i64 = 86_400;

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

fn pem(all: &[&[u8]]) -> String {
    let one = |der: &&[u8]| {
        let text = BASE64_STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    };
    all.iter().map(one).collect()
}

/// A root, an issuing certificate below it, and a directory for what they sign.
struct World {
    directory: TempDir,
    root: Authority,
    issuing: Authority,
}

impl World {
    fn new() -> Self {
        let begin = now() - 400 * DAY;
        let key = PrivateKey::generate_root().unwrap();
        let root = Authority::root("shop.example", key, [1; 16], begin).unwrap();
        let key = PrivateKey::generate().unwrap();
        let issuing = root.issuing("shop.example", key, [2; 16], begin, 1000).unwrap();
        let world = Self { directory: tempfile::tempdir().unwrap(), root, issuing };
        world.file("roots.pem", &pem(&[&world.root.der]));
        world
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// `chain.pem` and `key.pem` of one leaf that is valid from `begin` to `end`.
    fn leaf(&self, profile: Profile, begin: i64, end: i64) {
        let key = PrivateKey::generate().unwrap();
        let requested = RequestedKey::read(&certificate_request(&key).unwrap()).unwrap();
        let identity = "spiffe://shop.example/orders".parse().unwrap();
        let leaf = Leaf::new(identity, profile, [3; 16], begin, end);
        let intent = self.issuing.intent(&leaf, &requested).unwrap();
        let der = self.issuing.sign(&leaf, &requested, intent, &self.root.der).unwrap();
        self.file("chain.pem", &pem(&[&der, &self.issuing.der]));
        self.file("key.pem", &key.to_pem().unwrap());
    }

    /// A service with a fine certificate.
    fn fine() -> Self {
        let world = Self::new();
        world.leaf(Profile::Service, now() - DAY, now() + 30 * DAY);
        world
    }

    /// Findings beside the one about user root.
    fn check(&self, text: &str) -> Vec<String> {
        let path = self.file("segwan.toml", text);
        let (config, _) = Config::load(&path).unwrap_or_else(|findings| panic!("{findings:#?}"));
        let directory = format!("{}/", self.directory.path().display());
        let told = |finding: Finding| finding.to_string().replace(&directory, "");
        let all = findings(&config, &path.display().to_string());
        all.into_iter().map(told).filter(|text| !text.contains("user root")).collect()
    }

    fn only(&self, text: &str, begins: &str, words: &[&str]) {
        let findings = self.check(text);
        assert_eq!(findings.len(), 1, "{findings:#?}");
        assert!(findings[0].starts_with(begins), "{findings:#?}");
        for word in words {
            assert!(findings[0].contains(word), "{word}: {findings:#?}");
        }
    }
}

const STATE: &str = "\
[service.orders]
listen   = \"127.0.0.1:7443\"
upstream = \"127.0.0.1:8000\"
contract = \"raw\"
allow    = [\"app\"]
";

/// The service above with certificates from files, in lines 6 and 7.
fn from_files() -> String {
    format!(
        "{STATE}credentials = {{ chain = \"chain.pem\", key = \"key.pem\" }}\ntrust = {{ roots = \"roots.pem\" }}\n"
    )
}

const CHAIN: &str = "segwan.toml:6:25: ";
const KEY: &str = "segwan.toml:6:44: ";
const ROOTS: &str = "segwan.toml:7:19: ";

fn at(place: &str, rest: &str) -> String {
    format!("{place}{rest}")
}

#[test]
fn a_configuration_without_fault_has_no_finding() {
    assert_eq!(World::new().check(STATE), [""; 0]);
    assert_eq!(World::fine().check(&from_files()), [""; 0]);
}

// C3
#[test]
fn an_identity_that_no_certificate_can_hold_is_refused() {
    let world = World::fine();
    for foreign in ["spiffe://else.example/backup", "dns:app.example"] {
        let with = |text: &str| text.replace("[\"app\"]", &format!("[\"app\", \"{foreign}\"]"));
        world.only(
            &with(STATE),
            "segwan.toml:5:20: error[C3]: ",
            &[foreign, "can never connect", "`segwan.internal`"],
        );
        // Existing certificates have the names that they have.
        assert_eq!(world.check(&with(&from_files())), [""; 0]);
    }
    let client = "[client.a]\nlisten = \"127.0.0.1:1\"\nconnect = \"a:1\"\npeer = \"spiffe://else.example/a\"\ncontract = \"raw\"\n";
    world.only(client, "segwan.toml:4:8: warning[C3]: ", &["spiffe://else.example/a"]);
}

// C5
#[test]
fn roots_must_be_roots() {
    let world = World::fine();
    let text = from_files();
    let chain = fs::read_to_string(world.directory.path().join("chain.pem")).unwrap();
    let root = pem(&[&world.root.der]);
    world.file("roots.pem", &(root.clone() + &root));
    world.only(&text, &at(ROOTS, "error[C5]: "), &["certificate 2 is there twice"]);
    world.file("roots.pem", &chain);
    world.only(&text, &at(ROOTS, "error[C5]: "), &["certificate 1", "it is no root"]);
    world.file("roots.pem", "");
    world.only(&text, &at(ROOTS, "error[C5]: "), &["there is no root certificate"]);
    fs::remove_file(world.directory.path().join("roots.pem")).unwrap();
    world.only(&text, &at(ROOTS, "error[C5]: there is no file `roots.pem`"), &[]);
    let old = PrivateKey::generate_root().unwrap();
    let old = Authority::root("shop.example", old, [9; 16], now() - 3700 * DAY).unwrap();
    world.file("roots.pem", &(root + &pem(&[&old.der])));
    world.only(&text, &at(ROOTS, "error[C5]: "), &["certificate 2 ended on 20"]);
}

// C6
#[test]
fn certificate_and_key_must_fit() {
    let world = World::fine();
    let text = from_files();
    world.file("key.pem", &PrivateKey::generate().unwrap().to_pem().unwrap());
    world.only(&text, &at(CHAIN, "error[C6]: "), &["does not belong to the first certificate"]);
    world.file("key.pem", "no key");
    world.only(&text, &at(CHAIN, "error[C6]: "), &["must be one unencrypted PEM key"]);
    fs::remove_file(world.directory.path().join("key.pem")).unwrap();
    world.only(&text, &at(KEY, "error[C6]: there is no file `key.pem`"), &[]);
}

// C6
#[test]
fn a_certificate_must_be_in_its_life_and_of_its_use() {
    let world = World::new();
    let text = from_files();
    world.leaf(Profile::Service, now() - 30 * DAY, now() - DAY);
    world.only(&text, &at(CHAIN, "error[C6]: the certificate ended on "), &[]);
    world.leaf(Profile::Service, now() + DAY, now() + 30 * DAY);
    world.only(&text, &at(CHAIN, "error[C6]: the certificate begins on "), &[]);
    world.leaf(Profile::Service, now() - 29 * DAY, now() + DAY);
    world.only(
        &text,
        &at(CHAIN, "warning[C6]: the certificate ends on "),
        &["under 1/8 of its life"],
    );
    world.leaf(Profile::Client, now() - DAY, now() + 30 * DAY);
    world.only(&text, &at(CHAIN, "error[C6]: "), &["not made for"]);
}

// C6
#[test]
fn a_chain_that_leads_to_no_root_here_is_a_warning() {
    let world = World::fine();
    world.file("roots.pem", &pem(&[&World::new().root.der]));
    world.only(
        &from_files(),
        &at(CHAIN, "warning[C6]: the chain leads to no root of `roots.pem`"),
        &[],
    );
}

// C7
#[test]
fn a_key_that_others_can_read_is_refused() {
    let world = World::fine();
    let key = world.directory.path().join("key.pem");
    for (mode, words) in [
        (0o644, "readable by others (mode 0644)"),
        (0o640, "readable by its group (mode 0640)"),
        (0o660, "changeable by its group (mode 0660)"),
    ] {
        fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
        world.only(&from_files(), &at(KEY, "error[C7]: "), &[words, "hint: chmod 600"]);
    }
}

// C7
#[test]
fn a_state_directory_that_anybody_can_exchange_is_refused() {
    let world = World::new();
    let open = world.directory.path().join("open");
    fs::create_dir(&open).unwrap();
    let text = format!("state_dir = \"open/state\"\n{STATE}");
    assert_eq!(world.check(&text), [""; 0]);
    fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
    world.only(&text, "segwan.toml:1:13: error[C7]: ", &["`open` is changeable by all"]);
    fs::set_permissions(&open, Permissions::from_mode(0o1777)).unwrap();
    assert_eq!(world.check(&text), [""; 0]);
}

// C10
#[test]
fn connections_that_the_descriptors_do_not_allow_are_refused() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let share = limit.map_or(u64::MAX, |limit| (limit - KEPT) / 2);
    let limits = |n: u64| format!("{STATE}[service.orders.limits]\nmax_connections = {n}\n");
    assert_eq!(World::new().check(&limits(1)), [""; 0]);
    if share < 1_000_000 {
        let begins = "segwan.toml:7:19: error[C10]: ";
        World::new().only(&limits(share + 1), begins, &["descriptors allow"]);
        assert_eq!(World::new().check(&limits(share)), [""; 0]);
    }
}

// C16
#[test]
fn a_dangerous_choice_is_always_told() {
    let text = STATE.replace("127.0.0.1:8000", "10.0.0.9:8000");
    World::new().only(
        &format!("{text}danger_plaintext_upstream = true\n"),
        "segwan.toml:6:29: warning[C16]: ",
        &["`10.0.0.9:8000` in the clear"],
    );
}

// C19
#[test]
fn a_root_key_on_this_host_is_told() {
    let world = World::new();
    let root = world.directory.path().join("state/authority/root");
    fs::create_dir_all(&root).unwrap();
    let text = "state_dir = \"state\"\n[authority]\nlisten = \"127.0.0.1:7444\"\n";
    assert_eq!(world.check(text), [""; 0]);
    fs::write(root.join("root.key.pem"), "").unwrap();
    world.only(text, "segwan.toml:2:2: warning[C19]: ", &["the root's key lies on this host"]);
}

// C20
#[test]
fn an_older_tls_is_told() {
    let text = format!("{STATE}tls_min = \"1.2\"\n");
    World::new().only(&text, "segwan.toml:6:11: warning[C20]: `orders` also speaks TLS 1.2", &[]);
}

#[test]
fn what_comes_from_flags_has_findings_without_a_place() {
    let world = World::new();
    let path = world.file("segwan.toml", &format!("{STATE}tls_min = \"1.2\"\n"));
    let (config, _) = Config::load(&path).ok().unwrap();
    let found = findings(&config, "the command line");
    assert!(found.iter().all(|finding| finding.line == 0), "{found:?}");
    assert!(found.iter().any(|finding| finding.check == Some("C20")), "{found:?}");
}

// C3, C5, C20
#[test]
fn a_foreign_authority_is_looked_at() {
    let world = World::fine();
    let foreign = |more: &str| {
        format!(
            "[[trust.foreign]]\nname = \"plant\"\nroots = \"roots.pem\"\nmap = [{{ from = \
             \"dns_san\", match = \"*.plant.example\", identity = \"foreign/plant/{{1}}\" }}]\n{more}"
        )
    };
    let allowing = |name: &str| STATE.replace("\"app\"", &format!("\"foreign/{name}/press-7\""));
    assert_eq!(world.check(&format!("{}{}", foreign(""), allowing("plant"))), [""; 0]);
    let unknown = format!("{}{}", foreign(""), allowing("plan"));
    world.only(&unknown, "segwan.toml:9:", &["error[C3]", "foreign/plan/press-7", "no `map`"]);
    let tolerating = format!("{}{STATE}", foreign("danger_tolerate = [\"missing_aki\"]\n"));
    world.only(&tolerating, "segwan.toml:1:1: warning[C20]: ", &["`plant`", "issuer's key"]);
    let gone = foreign("").replace("roots.pem", "gone.pem");
    world.only(&format!("{gone}{STATE}"), "segwan.toml:1:1: error[C5]: ", &["`plant`", "gone.pem"]);
}
