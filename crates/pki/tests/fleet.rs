//! A fleet against a real Authority, by a virtual clock: days of it in seconds.

use segwan_pki::authority::{
    Authority, AuthorityOptions, Issued, LEAF_LIFETIME, RENEWAL_GRACE, Registration, Selector,
};
use segwan_pki::certificate::Certificate;
use segwan_pki::directory::StateDir;
use segwan_pki::key::{PrivateKey, hex};
use segwan_pki::profile::Profile;
use segwan_pki::renewal::{renew_at, retry_after};
use segwan_pki::revocation::{Crl, RevocationReason};
use segwan_pki::x509::certificate_request;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

const START: i64 = 1_790_000_000_000;
const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const AGENTS: usize = 200;
/// Certificates that are signed at once; more wait.
const SIGNING: usize = 32;

struct World {
    _folder: tempfile::TempDir,
    _state: StateDir,
    authority: Authority,
    seed: u64,
}

impl World {
    async fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(&folder.path().join("state")).unwrap();
        let options = AuthorityOptions {
            trust_domain: "segwan.internal".parse().unwrap(),
            leaf_lifetime: LEAF_LIFETIME,
            renewal_grace: RENEWAL_GRACE,
        };
        let authority = Authority::open(&state, &options, START).await.unwrap();
        Self { _folder: folder, _state: state, authority, seed }
    }

    /// An even draw that is the same in each run.
    fn draw(&mut self) -> u16 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_041);
        u16::try_from(self.seed >> 48).unwrap()
    }

    async fn enroll(&self, registration: &Registration, now: i64) -> Issued {
        let name = registration.name.as_str();
        self.authority.register(registration, now).await.unwrap();
        let (to, ttl) = (vec!["10.0.0.5:7444".to_owned()], Duration::from_secs(1800));
        let token = self.authority.mint_token(name, to, ttl, now).await.unwrap();
        self.authority.enroll(&token.secret(), &request(), "10.0.0.9", now).await.unwrap()
    }
}

/// What an agent knows of its certificate.
struct Agent {
    leaf: Vec<u8>,
    made: i64,
    ends: i64,
    failures: u32,
}

impl Agent {
    fn of(issued: &Issued, made: i64) -> Self {
        let leaf = issued.chain[0].clone();
        Self { leaf, made, ends: issued.not_after_ms, failures: 0 }
    }
}

fn request() -> Vec<u8> {
    certificate_request(&PrivateKey::generate().unwrap()).unwrap()
}

/// The smallest remaining life.
fn budget(agents: &[Agent], now: i64) -> i64 {
    agents.iter().map(|agent| agent.ends - now).min().unwrap()
}

// PKI-30, PKI-35, PKI-75
#[tokio::test]
async fn a_fleet_outlives_an_authority_that_is_down_for_47_hours() {
    let mut world = World::new(7).await;
    let (down, up) = (START + 40 * HOUR, START + 87 * HOUR);
    let mut agents = Vec::new();
    // Whose turn is when; the first thing that happens is on top.
    let mut turns = BinaryHeap::new();
    for number in 0..AGENTS {
        let name = format!("agent-{number}");
        let issued = world.enroll(&Registration::new(&name, Profile::Client), START).await;
        let agent = Agent::of(&issued, START);
        turns.push(Reverse((renew_at(START, agent.ends, world.draw()), number)));
        agents.push(agent);
    }
    let mut looks = (0..=100).map(|hour| START + hour * HOUR).peekable();
    let (mut first, mut after_up, mut tenths) = (0, BTreeMap::<i64, usize>::new(), [0; 10]);
    let mut before = i64::MAX;
    while let Some(Reverse((now, number))) = turns.pop() {
        // Every hour: what the Authority says of the fleet is what the fleet knows.
        while let Some(look) = looks.next_if(|look| *look <= now) {
            let (live, left) = world.authority.outage_budget(look).await.unwrap();
            assert_eq!((live, left), (200, Some(budget(&agents, look))), "{look}");
            let is_down = (down..up).contains(&look);
            assert!(!is_down || left < Some(before), "it does not fall while it is down");
            before = if is_down { left.unwrap() } else { i64::MAX };
        }
        if looks.peek().is_none() {
            break;
        }
        assert!(budget(&agents, now) > 0, "a certificate ended {} h after the start", now / HOUR);
        if (down..up).contains(&now) {
            let wait = retry_after(agents[number].failures, world.draw());
            agents[number].failures += 1;
            turns.push(Reverse((now + wait, number)));
            continue;
        }
        let agent = &agents[number];
        if agent.failures == 0 {
            // Undisturbed, it comes between a third and half of its certificate's life.
            let life = agent.ends - agent.made;
            let at = now - agent.made;
            assert!((life / 3..=life / 2).contains(&at), "{at} of {life}");
            if agent.made == START {
                tenths[usize::try_from((at - life / 3) * 10 / (life / 6 + 1)).unwrap()] += 1;
                first += 1;
            }
        }
        if now >= up {
            *after_up.entry(now / SECOND).or_default() += 1;
        }
        let issued = world.authority.renew(&agent.leaf, &request(), now).await.unwrap();
        assert_eq!(issued.not_after_ms, (now + 96 * HOUR) / SECOND * SECOND);
        agents[number] = Agent::of(&issued, now);
        let next = renew_at(now, issued.not_after_ms, world.draw());
        turns.push(Reverse((next, number)));
    }
    // Half of the window was open before it went down: half of the fleet had come, evenly.
    assert!((70..=130).contains(&first), "{first}");
    assert!(tenths[..5].iter().all(|count| (8..=35).contains(count)), "{tenths:?}");
    // Everybody came within the longest wait, and never more in a second than are signed at once.
    let late = agents.iter().filter(|agent| agent.made < up && agent.made < START + 80 * HOUR);
    assert_eq!(late.count(), 0, "somebody did not come back");
    let most = after_up.values().max().copied().unwrap();
    assert!(most <= SIGNING, "{most} in one second");
    let (first, last) = (after_up.keys().min().unwrap(), up / SECOND + 36 * 60);
    let waited = after_up.range(first..=&last).map(|(_, count)| count).sum::<usize>();
    assert_eq!(waited, AGENTS, "not all came within 36 minutes");
}

// PKI-45
#[tokio::test]
async fn what_is_revoked_is_on_the_list_at_every_instant_before_its_end() {
    let mut world = World::new(11).await;
    let mut issued = Vec::new();
    for number in 0..60 {
        let minutes = 5 + u64::from(world.draw()) % (60 * 72);
        let registration = Registration {
            leaf_lifetime: Some(Duration::from_secs(60 * minutes)),
            ..Registration::new(&format!("agent-{number}"), Profile::Client)
        };
        let one = world.enroll(&registration, START).await;
        let read = Certificate::read(&one.chain[0]).unwrap();
        let revoked = START + i64::from(world.draw()) * 72 * HOUR / i64::from(u16::MAX);
        let issuer = hex(&read.authority_key.unwrap());
        issued.push((revoked, one.not_after_ms, issuer, read.serial));
    }
    let mut now = START;
    let (mut listed, mut longest) = (0, 0);
    // The steps are uneven: sometimes several lists in an hour, sometimes none for half a day.
    while now < START + 6 * 24 * HOUR {
        let step = i64::from(world.draw() % 6 + 1).pow(2) * 20 * MINUTE;
        for (at, ends, _, serial) in &issued {
            if (now..now + step).contains(at) && at < ends {
                let selector = Selector::Serial(hex(serial));
                let reason = RevocationReason::Superseded;
                world.authority.revoke(&selector, reason, *at).await.unwrap();
            }
        }
        now += step;
        world.authority.maintain(now).await.unwrap();
        for (at, ends, issuer, serial) in &issued {
            let (_, der) = world.authority.crl(issuer).await.unwrap().unwrap();
            let list = Crl::read(&der).unwrap();
            longest = longest.max(list.len());
            if at < ends && *at <= now && now < *ends {
                assert!(list.revokes(serial), "{} min before its end", (ends - now) / MINUTE);
                listed += 1;
            }
            // A day after its end it is gone, with the next hourly list: the list is bounded.
            if ends + 26 * HOUR < now {
                assert!(!list.revokes(serial), "{} min after its end", (now - ends) / MINUTE);
            }
        }
    }
    let revoked = issued.iter().filter(|(at, ends, ..)| at < ends).count();
    assert!(revoked > 10 && listed > revoked && longest <= revoked, "{revoked} {listed} {longest}");
}
