//! A changed contract or policy comes into force while connections run: whole, at once for whoever
//! comes, and for whoever is there as the design says.

use segwan_core::audit::EventKind;
use segwan_core::rejection::Reason;
use segwan_gateway::gateway::Inspection;
use segwan_tests::service::Service;
use segwan_tests::world::{ADD_TEN, POLICY, Plan, World, loaded, policy_of};
use segwan_tests::{PATIENCE, SLACK, eventually, pause};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

const GRACE: Duration = Duration::from_millis(600);

/// The article's contract without a rate, its refusal saying another word. `wide` takes five digits,
/// the narrow one a single one.
fn contract(name: &str, refusal: &str, wide: bool) -> String {
    let rate = ADD_TEN.lines().find(|line| line.starts_with("rate")).unwrap();
    let digits = if wide { "[0-9]{0,8}" } else { "[0-9]{0,0}" };
    let text = ADD_TEN
        .replace(rate, "refusals = 10000")
        .replace(", max = 3", ", max = 10000")
        .replace("add-ten/1", name)
        .replace("Invalid data", refusal)
        .replace("[1-9][0-9]{0,8})'", &format!("[1-9]{digits})'"));
    let vectors = text.find("[[test]]").unwrap();
    text[..vectors].to_owned()
}

fn world(service: &Service, grace: Duration) -> World {
    draining(service, grace, GRACE)
}

fn draining(service: &Service, grace: Duration, drain_timeout: Duration) -> World {
    let plan = Plan::under(&contract("number/1", "Old word", false)).contract_grace(grace);
    plan.limits(|limits| limits.drain_timeout = drain_timeout).before(service.address)
}

// TRAP-28
#[test]
fn who_is_connected_goes_on_under_the_contract_that_it_began_with() {
    let service = Service::numbers();
    // Time enough for all that is asked meanwhile.
    let grace = Duration::from_secs(6);
    let world = world(&service, grace);
    let mut old = world.app();
    assert_eq!(old.ask(b"12\n"), "Old word\n");
    let began = Instant::now();
    world.reload_contract(&contract("number/2", "New word", true));
    let mut new = world.app();
    assert_eq!(new.ask(b"12\n"), "22\n");
    assert_eq!(new.ask(b"x\n"), "New word\n");
    assert_eq!(old.ask(b"12\n"), "Old word\n");
    assert_eq!(old.ask(b"5\n"), "15\n");
    assert_eq!(world.status().contract.as_deref(), Some("number/2"));
    let heard = old.hear_all();
    assert!(heard.close_notify);
    let took = began.elapsed();
    assert!(took >= grace && took < grace + SLACK, "{took:?}");
    let (reason, sentence) = world.ending();
    assert_eq!(reason, Some(Reason::ContractReplaced));
    assert_eq!(
        sentence,
        "the contract `number/2` took the place of the contract `number/1` 6 s ago"
    );
    assert_eq!(new.ask(b"1\n"), "11\n");
}

// TRAP-28
#[test]
fn without_grace_who_is_quiet_ends_at_once_and_who_waits_has_its_answer() {
    let told = Arc::new(AtomicBool::new(false));
    let service = {
        let told = told.clone();
        Service::start(move |conversation| {
            while let Some(line) = conversation.line() {
                let slow = line == b"5\n";
                while slow && !told.load(Ordering::Acquire) {
                    pause(Duration::from_millis(5));
                }
                if conversation.say(if slow { b"15\n" } else { b"16\n" }).is_err() {
                    return;
                }
            }
        })
    };
    let world = draining(&service, Duration::ZERO, PATIENCE);
    let (mut quiet, mut waits) = (world.app(), world.app());
    quiet.say(b"6\n").hear(3);
    waits.say(b"5\n");
    eventually("it is asked", || service.heard().ends_with(b"5\n").then_some(()));
    world.reload_contract(&contract("number/2", "New word", true));
    assert!(quiet.hear_all().close_notify);
    // What it says now is not looked at any more.
    waits.say(b"6\n");
    told.store(true, Ordering::Release);
    let heard = waits.hear_all();
    assert!(heard.close_notify);
    assert_eq!(heard.text(), "15\n");
    let ended = world.ended(2);
    assert!(ended.iter().all(|event| event.reason == Some(Reason::ContractReplaced)), "{ended:#?}");
    assert_eq!(service.heard(), b"6\n5\n");
}

// TRAP-28
#[test]
fn who_is_never_quiet_is_cut_when_the_time_to_drain_is_over() {
    for (before, after) in [("", "raw"), ("raw", "")] {
        let service = if before == "raw" { Service::echo() } else { Service::silent() };
        let plan = match before {
            "raw" => Plan::raw(),
            _ => Plan::under(&contract("number/1", "Old word", false)),
        };
        let plan = plan.contract_grace(Duration::ZERO).limits(|l| l.drain_timeout = GRACE);
        let world = plan.before(service.address);
        let mut peer = world.app();
        peer.say(b"5\n");
        eventually("it is asked", || (service.heard() == b"5\n").then_some(()));
        let began = Instant::now();
        world.reload(|change| {
            change.inspection = match after {
                "raw" => Inspection::Raw,
                _ => Inspection::by(loaded(&contract("number/1", "Old word", false))),
            };
        });
        peer.hear_all();
        let took = began.elapsed();
        assert!(took >= GRACE && took < GRACE + SLACK, "{took:?}");
        let (reason, sentence) = world.ending();
        assert_eq!(reason, Some(Reason::DrainedLate));
        assert!(sentence.ends_with("ago, and the connection did not end in time"), "{sentence}");
    }
}

// CON-36
#[test]
fn the_same_contract_is_nothing_new_and_ends_nobody() {
    let service = Service::numbers();
    let world = world(&service, Duration::ZERO);
    let mut peer = world.app();
    assert_eq!(peer.ask(b"5\n"), "15\n");
    for _ in 0..3 {
        let swept = world.reload_contract(&contract("number/1", "Old word", false));
        assert_eq!((swept.examined, swept.closed), (0, 0));
    }
    pause(GRACE * 2);
    assert_eq!(peer.ask(b"5\n"), "15\n");
}

// TRAP-24
#[test]
fn a_contract_that_is_only_tried_ends_nobody_when_another_takes_its_place() {
    let service = Service::numbers();
    let shadow = |name, word| format!("mode = \"shadow\"\n{}", contract(name, word, false));
    let plan = Plan::under(&shadow("number/1", "Old word")).contract_grace(Duration::ZERO);
    let world = plan.limits(|l| l.drain_timeout = Duration::ZERO).before(service.address);
    let mut peer = world.app();
    assert_eq!(peer.ask(b"12\n"), "22\n");
    world.reload_contract(&shadow("number/2", "New word"));
    assert_eq!(peer.ask(b"12\n"), "22\n");
    let mut other = world.app();
    assert_eq!(other.ask(b"12\n"), "22\n");
    let tried = |contract: &str| {
        let events = world.events();
        let of = |e: &&_| is_tried(e, contract);
        (events.iter().filter(of).count() > 0).then_some(())
    };
    eventually("both are tried", || tried("number/1").and_then(|()| tried("number/2")));
    world.reload(|change| change.inspection = Inspection::Raw);
    assert_eq!(other.ask(b"12\n"), "22\n");
}

fn is_tried(event: &segwan_core::audit::Event, contract: &str) -> bool {
    event.event == EventKind::WouldReject && event.contract.as_deref() == Some(contract)
}

/// The policy that every test here begins with, with or without the right to add.
fn policy(adds: &str) -> String {
    format!("{POLICY}{adds}")
}

const ADDS: &str = r#"
@id("app-adds")
permit (principal == Peer::"spiffe://shop.test/app", action == Action::"add",
        resource == Service::"calculator");
"#;

// F8: a policy that was replaced decides nothing any more, at no connection
#[test]
fn another_policy_holds_for_the_next_message_and_ends_whom_it_does_not_admit() {
    let service = Service::numbers();
    let world = world(&service, GRACE);
    let (mut app, mut guest) = (world.app(), world.guest());
    assert_eq!(app.ask(b"5\n"), "15\n");
    assert_eq!(guest.ask(b"5\n"), "Not allowed\n");
    let contract = loaded(&contract("number/1", "Old word", false));
    let put = |text: String| {
        world.reload(|change| change.policy = Some(Arc::new(policy_of(Some(&contract), text))))
    };
    let swept = put(policy(&ADDS.replace("app", "guest")));
    assert_eq!((swept.examined, swept.closed), (2, 0));
    assert_eq!(app.ask(b"5\n"), "Not allowed\n");
    assert_eq!(guest.ask(b"5\n"), "15\n");
    let only_guest = policy(ADDS).replace("shop.test/app", "shop.test/nobody");
    let swept = put(only_guest);
    assert_eq!((swept.examined, swept.closed), (2, 1));
    app.hear_all();
    let (reason, sentence) = world.ending();
    assert_eq!(reason, Some(Reason::PolicyDenied));
    assert_eq!(sentence, "no policy permits spiffe://shop.test/app on `calculator`");
    // Nobody resumes what was denied either.
    assert_eq!(world.app().say(b"5\n").hear_all().text(), "");
    assert_eq!(guest.ask(b"5\n"), "Not allowed\n");
}

// contracts.md section 19: an attribute that the contract of a connection does not supply
#[test]
fn a_policy_that_reads_what_an_older_contract_does_not_show_denies_there() {
    let service = Service::numbers();
    let world = world(&service, Duration::from_secs(60));
    let mut old = world.app();
    assert_eq!(old.ask(b"5\n"), "15\n");
    let shows = contract("number/2", "New word", true)
        .replace("action   = \"add\"", "action   = \"add\"\ncontext  = { amount = \"/n\" }");
    let shows = loaded(&shows);
    let small = ADDS.replace(");\n", ")\nwhen { context.message.amount < 100 };\n");
    world.reload(|change| {
        change.policy = Some(Arc::new(policy_of(Some(&shows), policy(&small))));
        change.inspection = Inspection::by(shows.clone());
    });
    let mut new = world.app();
    assert_eq!(new.ask(b"99\n"), "109\n");
    assert_eq!(new.ask(b"100\n"), "Not allowed\n");
    assert_eq!(old.ask(b"5\n"), "Not allowed\n");
    eventually("its record", || {
        let told = world.events().into_iter();
        let mut rejected = told.filter(|event| event.event == EventKind::Rejected);
        rejected.any(|event| event.reason == Some(Reason::PolicyError)).then_some(())
    });
}

// TRAP-27
#[test]
fn a_reload_gives_nobody_a_second_quota_nor_a_full_bucket() {
    let service = Service::numbers();
    let limited = |name: &str, word: &str| {
        contract(name, word, false)
            .replace(
                "refusals = 10000",
                "rate = { per = \"identity\", messages = \"1/h\", burst = 10, over = \"refuse\" }",
            )
            .replace(
                "action   = \"add\"",
                "action   = \"add\"\nquota    = { per = \"identity\", count = true, max = 4, window = \"1h\" }",
            )
    };
    let plan = Plan::under(&limited("number/1", "Old word"));
    let world = plan.contract_grace(Duration::from_secs(60)).before(service.address);
    let mut passed = 0;
    let mut peers = Vec::new();
    for round in 0..8 {
        let name = format!("number/{}", round + 1);
        world.reload_contract(&limited(&name, &format!("Word {round}")));
        peers.push(world.app());
        for peer in &mut peers {
            passed += usize::from(peer.heard().end.is_none() && peer.ask(b"5\n") == "15\n");
        }
    }
    assert_eq!(passed, 4);
    assert_eq!(service.heard().len(), 2 * 4);
    let of = |reason| world.rejections().into_iter().filter(|it| *it == reason).count();
    // The rate has room for ten, of which the quota refused six.
    eventually("all are on record", || {
        (of(Reason::Quota) >= 6 && of(Reason::Rate) > 0).then_some(())
    });
    assert_eq!(of(Reason::Quota), 6);
}

/// Says numbers and rubbish on connections, one after the other, until it is told to stop; counts
/// answers. An answer is the whole verdict of one contract.
fn load(world: &World, over: &AtomicBool, answers: &AtomicUsize) {
    while !over.load(Ordering::Relaxed) {
        let mut peer = world.app();
        // One connection is under one contract, whatever is in force meanwhile.
        let mut of = None;
        for _ in 0..20 {
            // Both contracts differ in both: whether 12 passes, and the word.
            let (sum, word) = (peer.ask(b"12\n"), peer.ask(b"x\n"));
            if sum.is_empty() || word.is_empty() {
                break;
            }
            let which = match (sum.as_str(), word.as_str()) {
                ("Old word\n", "Old word\n") => 1,
                ("22\n", "New word\n") => 2,
                mixed => panic!("{mixed:?}"),
            };
            assert_eq!(*of.get_or_insert(which), which, "one connection, two contracts");
            answers.fetch_add(1, Ordering::Relaxed);
        }
        peer.close_notify();
    }
}

// CON-36, TRAP-28
#[test]
fn a_thousand_reloads_under_load_mix_no_verdict_and_leave_nothing_behind() {
    let service = Service::numbers();
    let world = world(&service, Duration::ZERO);
    let (over, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (narrow, wide) =
        (contract("number/1", "Old word", false), contract("number/2", "New word", true));
    let mut known: Vec<Weak<_>> = Vec::new();
    std::thread::scope(|scope| {
        let loads: Vec<_> = (0..3).map(|_| scope.spawn(|| load(&world, &over, &answers))).collect();
        // A thousand, and more where those who load get little of the machine.
        for round in 0..100_000 {
            if round >= 1000 && answers.load(Ordering::Relaxed) > 100 {
                break;
            }
            let contract = loaded(if round % 2 == 0 { &wide } else { &narrow });
            known.push(Arc::downgrade(&contract));
            world.reload(|change| change.inspection = Inspection::by(contract));
            if loads.iter().any(|load| load.is_finished()) {
                break;
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(known.len() >= 1000, "{}", known.len());
    assert!(answers.load(Ordering::Relaxed) > 100, "{answers:?}");
    world.empty();
    eventually("nothing is kept of contracts that nobody is under any more", || {
        let alive = known.iter().filter(|contract| contract.upgrade().is_some());
        (alive.count() == 1).then_some(())
    });
    assert!(world.events().iter().all(|event| event.reason != Some(Reason::Internal)));
}

// ADV-51
#[test]
fn a_policy_that_flips_under_load_decides_each_message_and_never_after_it_was_replaced() {
    let service = Service::numbers();
    let world = world(&service, GRACE);
    let contract = loaded(&contract("number/1", "Old word", false));
    let compiled = |adds| Arc::new(policy_of(Some(&contract), policy(adds)));
    let (allow, deny) = (compiled(ADDS), compiled(""));
    let (over, permitted) = (AtomicBool::new(false), AtomicUsize::new(0));
    let denied = [AtomicUsize::new(0), AtomicUsize::new(0)];
    std::thread::scope(|scope| {
        for denied in &denied {
            let (over, permitted, world) = (&over, &permitted, &world);
            scope.spawn(move || {
                let mut peer = world.app();
                for said in 1.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    // No connection is refused as often as it may be.
                    if said % 5000 == 0 {
                        peer = world.app();
                    }
                    match peer.ask(b"5\n").as_str() {
                        "15\n" => permitted.fetch_add(1, Ordering::Relaxed),
                        "Not allowed\n" => denied.fetch_add(1, Ordering::Relaxed),
                        other => panic!("{other:?}"),
                    };
                }
                peer.close_notify();
            });
        }
        let mut probe = world.app();
        for round in 0..1000 {
            let (now, answer) = match round % 2 {
                0 => (&deny, "Not allowed\n"),
                _ => (&allow, "15\n"),
            };
            world.reload(|change| change.policy = Some(now.clone()));
            // What begins after the reload came back is decided by the new one.
            assert_eq!(probe.ask(b"5\n"), answer, "{round}");
            if round % 100 == 0 {
                // And nothing is on its way that the older one had let through: each has had the
                // answer to what it said before, and to one thing more.
                for denied in &denied {
                    let before = denied.load(Ordering::Relaxed);
                    eventually("it is denied", || {
                        (denied.load(Ordering::Relaxed) >= before + 2).then_some(())
                    });
                }
                let heard = service.heard().len();
                pause(Duration::from_millis(20));
                assert_eq!(service.heard().len(), heard, "{round}");
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(permitted.load(Ordering::Relaxed) > 10, "{permitted:?}");
}
