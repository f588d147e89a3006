use super::*;
use segwan_core::contract::Contract;
use segwan_core::policy::PolicySource;
use std::time::Instant;

const ADD_TEN: &str = include_str!("../../../../examples/article/add-ten.toml");
const INVENTORY: &str = include_str!("../../../../examples/jsonl/inventory.toml");
const INVENTORY_POLICY: &str = include_str!("../../../../examples/jsonl/inventory.cedar");

fn rules(service: &str, contract: Option<&str>, allow: &[&str], policy: Option<&str>) -> Rules {
    let none = |_: &str| Err("no file".to_owned());
    let contract = contract.map(|text| Contract::load("test.toml", text, &none).unwrap().0);
    let actions = contract.as_ref().map(|contract| contract.actions()).unwrap_or_default();
    let allow: Vec<Identity> = allow.iter().map(|name| identity(name)).collect();
    let sources: Vec<PolicySource> = policy
        .map(|text| PolicySource { file: "test.cedar".to_owned(), text: text.to_owned() })
        .into_iter()
        .collect();
    let (policy, _) = Policy::compile(service, &actions, &allow, &sources).unwrap();
    Rules {
        service: service.to_owned(),
        inspection: contract.map_or(Inspection::Raw, Inspection::Contract),
        beside: None,
        policy: Arc::new(policy),
        limits: Limits::default(),
    }
}

fn add_ten() -> Rules {
    rules("sums", Some(ADD_TEN), &["app"], None)
}

fn identity(name: &str) -> Identity {
    format!("spiffe://segwan.internal/{name}").parse().unwrap()
}

fn ask(rules: &Rules, peer: &str, message: Option<&[u8]>) -> Explanation {
    let now = Now { instant: Instant::now(), unix_ms: 1_800_000_000_000 };
    explain(rules, &Question::new(&rules.service, &identity(peer), message), now).unwrap()
}

fn steps(told: &Explanation) -> Vec<(&str, bool)> {
    told.steps.iter().map(|step| (step.step.as_str(), step.passes)).collect()
}

// SCP-AC-15, CON-20
#[test]
fn an_accepted_message_shows_each_step_and_what_the_service_sees() {
    let told = ask(&add_ten(), "app", Some(b"-7\r\n"));
    assert_eq!(told.verdict, "accepted");
    assert_eq!(
        steps(&told),
        [("connect", true), ("frame", true), ("message", true), ("action", true)]
    );
    assert_eq!(told.service_sees.as_deref(), Some("-7\\n"));
    assert_eq!((&told.peer_hears, &told.ends, &told.reason), (&None, &None, &None));
    let action = &told.steps[3];
    assert_eq!(action.action.as_deref(), Some("add"));
    assert_eq!(action.policies, ["allow-app"]);
    assert!(action.sentence.starts_with("`add` on `sums` permitted by `allow-app`"), "{action:?}");
}

// SCP-AC-15, CON-20
#[test]
fn an_invalid_message_is_told_with_the_rule_and_the_answer() {
    let told = ask(&add_ten(), "app", Some(b"five\n"));
    assert_eq!((told.verdict.as_str(), told.reason.as_deref()), ("invalid", Some("grammar")));
    assert_eq!(steps(&told), [("connect", true), ("frame", true), ("message", false)]);
    assert_eq!((told.service_sees, told.peer_hears.as_deref()), (None, Some("Invalid data\\n")));
    assert!(told.sentence.contains("five"), "{}", told.sentence);
}

// SCP-AC-15, CON-20
#[test]
fn a_broken_frame_ends_the_connection() {
    let told = ask(&add_ten(), "app", Some(b"11111111111111111\n"));
    assert_eq!(
        (told.verdict.as_str(), told.reason.as_deref()),
        ("invalid", Some("frame_too_large"))
    );
    assert_eq!(steps(&told), [("connect", true), ("frame", false)]);
    assert!(told.sentence.contains("16"), "{}", told.sentence);
    assert!(told.ends.unwrap().starts_with("frame_too_large: "));
    // Bytes that end in no frame are judged as the last that the peer says.
    let told = ask(&add_ten(), "app", Some(b"5"));
    assert_eq!(told.reason.as_deref(), Some("truncated_frame"));
    assert_eq!(steps(&told), [("connect", true), ("frame", false)]);
}

// SCP-AC-15, CON-20
#[test]
fn a_forbidden_action_names_who_what_and_no_policy() {
    let rules = rules("inventory", Some(INVENTORY), &[], Some(INVENTORY_POLICY));
    let put = br#"{"op":"put","id":1,"part":"bolt-m8","count":5}"#;
    let mut line = put.to_vec();
    line.push(b'\n');
    let told = ask(&rules, "display", Some(&line));
    assert_eq!(told.verdict, "forbidden", "{told:#?}");
    assert_eq!(told.reason.as_deref(), Some("policy_denied"));
    assert!(told.sentence.starts_with("no policy permits spiffe://segwan.internal/display"));
    let last = told.steps.last().unwrap();
    assert_eq!((last.step.as_str(), last.passes), ("action", false));
    assert_eq!(last.action.as_deref(), Some("part.write"));
    assert_eq!(told.service_sees, None);

    let told = ask(&rules, "clerk", Some(&line));
    assert_eq!(told.verdict, "accepted", "{told:#?}");
    let last = told.steps.last().unwrap();
    assert_eq!(last.policies, ["clerk-writes-small-amounts"]);
    assert!(last.sentence.contains("decided for each message: reads"), "{}", last.sentence);
}

// SCP-AC-15
#[test]
fn who_may_not_connect_is_refused_before_any_message() {
    let told = ask(&add_ten(), "web", Some(b"5\n"));
    assert_eq!((told.verdict.as_str(), told.reason.as_deref()), ("refused", Some("policy_denied")));
    assert_eq!(steps(&told), [("connect", false)]);
    assert_eq!(told.sentence, "no policy permits spiffe://segwan.internal/web on `sums`");
    assert_eq!((told.service_sees, told.peer_hears), (None, None));
    let told = ask(&add_ten(), "app", None);
    assert_eq!((told.verdict.as_str(), steps(&told)), ("accepted", vec![("connect", true)]));
}

#[test]
fn of_several_messages_each_is_told_and_the_first_refusal_decides() {
    let told = ask(&add_ten(), "app", Some(b"5\nfive\n6\nsix\n"));
    assert_eq!((told.verdict.as_str(), told.reason.as_deref()), ("invalid", Some("grammar")));
    let frames: Vec<_> = told.steps.iter().filter_map(|step| step.frame).collect();
    assert_eq!(frames, [1, 1, 1, 2, 2, 3, 3, 3, 4, 4]);
    assert_eq!(told.service_sees.as_deref(), Some("5\\n6\\n"));
    // The answers keep their place behind those of the service, and are told all the same.
    assert_eq!(told.peer_hears.as_deref(), Some("Invalid data\\nInvalid data\\n"));
    assert_eq!(told.ends, None);

    let told = ask(&add_ten(), "app", Some(&b"5\n".repeat(12)));
    assert_eq!(told.service_sees.as_deref(), Some("5\\n".repeat(8).as_str()));
    let last = told.steps.last().unwrap();
    assert!(last.passes && last.sentence.contains("was not judged"), "{last:?}");
}

#[test]
fn where_nothing_is_inspected_the_explanation_says_so() {
    let told = ask(&rules("db", None, &["app"], None), "app", Some(b"\x00\xff"));
    assert_eq!((told.verdict.as_str(), steps(&told).len()), ("accepted", 2));
    assert!(told.steps[1].sentence.starts_with("nothing is inspected"));
    assert_eq!(told.service_sees.as_deref(), Some("\\u{0}\\xff"));
}

// CON-28: it is told and decides nothing.
#[test]
fn what_a_contract_beside_would_say_is_told_behind_what_decides() {
    let (next, _) = ADD_TEN.split_once("[[test]]").unwrap();
    let next =
        next.replace("add-ten/1", "add-ten/2").replace("0|-?[1-9][0-9]{0,8}", "[1-9][0-9]{0,8}");
    assert!(next.contains("(?P<n>[1-9]"));
    let tried = rules("sums", Some(&next), &["app"], None);
    let contract = tried.inspection.contract().unwrap().clone();
    let beside = Some(Tried { contract, policy: tried.policy });
    let rules = Rules { beside, ..rules("sums", Some(ADD_TEN), &["app", "web"], None) };

    let told = ask(&rules, "app", Some(b"-7\n"));
    assert_eq!((told.verdict.as_str(), told.service_sees.as_deref()), ("accepted", Some("-7\\n")));
    let beside = told.beside.unwrap();
    assert_eq!((beside.contract.as_str(), beside.verdict.as_str()), ("add-ten/2", "invalid"));
    assert_eq!(beside.reason.as_deref(), Some("grammar"));
    assert!(beside.sentence.contains("-7"), "{}", beside.sentence);

    let beside = ask(&rules, "app", Some(b"7\n")).beside.unwrap();
    assert_eq!((beside.verdict.as_str(), beside.reason), ("accepted", None));
    let told = ask(&rules, "web", None);
    assert_eq!(told.verdict, "accepted");
    let beside = told.beside.unwrap();
    assert_eq!(
        (beside.verdict.as_str(), beside.reason.as_deref()),
        ("refused", Some("policy_denied"))
    );
    // Who is not let in is never looked at.
    assert_eq!(ask(&rules, "nobody", Some(b"7\n")).beside, None);
}

#[test]
fn a_question_that_cannot_be_asked_is_answered_with_a_sentence() {
    let rules = [add_ten()];
    let now = Now { instant: Instant::now(), unix_ms: 0 };
    let question = Question::new("sums", &identity("app"), None);
    let error = |question: &Question| explain(&rules[0], question, now).unwrap_err().to_string();
    let peer = Question { peer: "app".to_owned(), ..question.clone() };
    assert!(error(&peer).contains("`app` is not an identity"));
    let bad = Question { message: Some("!".to_owned()), ..question.clone() };
    assert_eq!(error(&bad), "the message is not base64");
    let empty = Question { message: Some(String::new()), ..question.clone() };
    assert!(error(&empty).starts_with("the message is empty"));
    let long = Question { message: Some("A".repeat(LONGEST * 2)), ..question.clone() };
    assert!(error(&long).contains("over the limit"));
    let near = find(&rules, "sum").err().unwrap().to_string();
    assert_eq!(near, "there is no service `sum`, did you mean `sums`?");

    let json = serde_json::to_string(&question).unwrap();
    assert_eq!(serde_json::from_str::<Question>(&json).unwrap(), question);
}
