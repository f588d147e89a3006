//! What is written is what is meant, and what is not written has its default.

use super::*;

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
