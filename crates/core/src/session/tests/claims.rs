//! What a policy sees of earlier messages, and what it is asked about the service's own.

use super::*;
use crate::audit::Event;
use crate::identity::Peer;
use crate::policy::{ConnectionFacts, Policy, PolicySource};
use crate::rejection::Class;
use crate::session::{Manner, Shadow};

const TOPICS: &str = include_str!("topics.toml");

const POLICIES: &str = r#"
@id("in") permit (principal, action == Action::"connect", resource);

@id("own-name")
permit (principal, action == Action::"topic.follow", resource)
when { context.session has user && context.session.user == principal.last }
unless { context.session has most && context.session.most < 3 };

@id("hears-pay")
permit (principal, action == Action::"topic.receive", resource in Resource::"topics/topic/pay")
when { context.message.level <= 3 && context.session has user };
"#;

/// One connection of `kim` under the policies.
struct Talk {
    policy: Policy,
    session: Session,
    out: Outbox,
}

impl Talk {
    fn of(text: &str, warrant: Option<Warrant>) -> Self {
        let contract = contract(text);
        let policy = policy(&contract);
        let warrant = warrant.unwrap_or_else(|| admitted(&policy));
        let session = Session::open(warrant, contract, &Limits::default(), start());
        Self { policy, session: session.recording_cleared(), out: Outbox::default() }
    }

    /// What the other side sees of it.
    fn say(&mut self, side: Side, line: &str) -> String {
        let bytes = format!("{line}\n");
        self.out.to_client.clear();
        self.out.to_server.clear();
        self.session.receive(side, bytes.as_bytes(), Some(&self.policy), start(), &mut self.out);
        let seen = match side {
            Side::Client => self.out.to_server.as_slice(),
            Side::Server => self.out.to_client.as_slice(),
        };
        String::from_utf8(seen.to_vec()).unwrap()
    }

    fn last(&self) -> &Event {
        self.out.events.last().unwrap()
    }
}

fn policy(contract: &Contract) -> Policy {
    let source = PolicySource { file: "topics.cedar".to_owned(), text: POLICIES.to_owned() };
    let compiled = Policy::compile("topics", &contract.actions(), &[], &[source]);
    compiled.unwrap_or_else(|findings| panic!("{findings:?}")).0
}

fn admitted(policy: &Policy) -> Warrant {
    let peer = Peer::called("spiffe://a.example/kim");
    let facts = ConnectionFacts { address: [127, 0, 0, 1].into(), started_unix_ms: 0, tls: "1.3" };
    Warrant::Permit(policy.admit(peer, facts, start()).unwrap())
}

#[test]
fn the_topics_hold() {
    for outcome in test::run(&contract(TOPICS)) {
        assert_eq!(outcome.failure, None, "{}", outcome.name);
    }
}

// CON-19, section 15.5: what is remembered is typed and optional, for every action alike.
#[test]
fn the_schema_has_what_is_remembered_and_what_is_pushed() {
    let schema = crate::policy::schema::cedar_schema(&contract(TOPICS).actions());
    for (action, message) in [("follow", "\"topic\": String"), ("receive", "\"level\": Long")] {
        let wanted = format!(
            "action \"topic.{action}\" in [Action::\"topic\"] appliesTo {{\n  principal: [Peer], \
             resource: [Resource],\n  context: {{ now: datetime, connection: Connection, message: \
             {{ {message} }}, session: {{ \"user\"?: String, \"most\"?: Long }} }},\n}};"
        );
        assert!(schema.contains(&wanted), "{schema}");
    }
    // Where nothing is remembered there is no such attribute, so no policy can ask for it.
    let plain = crate::policy::schema::cedar_schema(&contract(INVENTORY).actions());
    assert!(!plain.contains("session"), "{plain}");
}

// Section 13: a log-in in plain text is a claim, held against the certificate.
#[test]
fn a_claim_is_held_against_the_certificate() {
    for (name, most, passes) in
        [("kim", 3, true), ("kim", 2, false), ("lee", 3, false), ("root", 999, false)]
    {
        let mut talk = Talk::of(TOPICS, None);
        talk.say(Side::Client, &format!("user {name}"));
        talk.say(Side::Server, &format!("welcome {most}"));
        let seen = talk.say(Side::Client, "follow pay");
        assert_eq!(!seen.is_empty(), passes, "{name} {most}");
        let event = talk.last();
        if passes {
            assert_eq!(event.policies, ["own-name"]);
        } else {
            let refused = (event.class, event.reason);
            assert_eq!(refused, (Some(Class::Denied), Some(Reason::PolicyDenied)));
        }
    }
}

// AZ-3: a claim that changes changes the decision, though it is the same message.
#[test]
fn a_decision_for_one_claim_is_none_for_the_next() {
    let again = TOPICS
        .replace("from = [\"new\"], to = \"asked\"", "from = [\"new\", \"ready\"], to = \"asked\"")
        .replacen("[[test]]", "[reject]\ndenied = { then = \"continue\" }\n\n[[test]]", 1);
    let mut talk = Talk::of(&again, None);
    let mut follow_as = |name: &str| {
        talk.say(Side::Client, &format!("user {name}"));
        talk.say(Side::Server, "welcome 9");
        [(); 2].map(|()| !talk.say(Side::Client, "follow pay").is_empty())
    };
    assert_eq!(follow_as("kim"), [true, true]);
    assert_eq!(follow_as("lee"), [false, false]);
    assert_eq!(follow_as("kim"), [true, true]);
}

// Section 4 step 11, 4.1: a push that the peer may not have is a fault of the service; nothing of
// it leaves, and nothing says why.
#[test]
fn a_push_that_is_not_permitted_does_not_leave() {
    for (line, passes) in [("news pay 3", true), ("news pay 4", false), ("news stock 1", false)] {
        let mut talk = Talk::of(TOPICS, None);
        assert_eq!(talk.say(Side::Server, "tick"), "tick\n");
        talk.say(Side::Client, "user kim");
        talk.say(Side::Server, "welcome 3");
        let seen = talk.say(Side::Server, line);
        assert_eq!(seen, if passes { format!("{line}\n") } else { String::new() });
        let event = talk.last();
        assert_eq!(event.action.as_deref(), Some("topic.receive"), "{line}");
        if passes {
            assert_eq!((&event.policies[..], event.class), (&["hears-pay".to_owned()][..], None));
            assert_eq!(event.resources, ["topic/pay"]);
        } else {
            let refused = (event.class, event.reason, event.alarm);
            assert_eq!(refused, (Some(Class::Server), Some(Reason::PolicyDenied), true));
            assert!(event.sentence.contains("spiffe://a.example/kim"), "{}", event.sentence);
            assert_eq!(talk.out.end.as_ref().unwrap().client, Manner::Reset);
        }
    }
}

// Section 3.2: in client mode the far gateway decides, about what is pushed too.
#[test]
fn in_client_mode_a_push_is_not_judged() {
    let mut talk = Talk::of(TOPICS, Some(Warrant::NotJudged));
    talk.say(Side::Client, "user lee");
    talk.say(Side::Server, "welcome 3");
    assert_eq!(talk.say(Side::Server, "news stock 9"), "news stock 9\n");
}

// Without a policy nothing is permitted; what has no action asks none.
#[test]
fn without_a_policy_a_push_with_an_action_does_not_leave() {
    let mut talk = Talk::of(TOPICS, None);
    talk.say(Side::Client, "user kim");
    talk.say(Side::Server, "welcome 3");
    talk.session.receive(Side::Server, b"tick\nnews pay 1\n", None, start(), &mut talk.out);
    assert_eq!(talk.out.to_client.as_slice(), b"welcome 3\ntick\n");
    assert_eq!(talk.last().reason, Some(Reason::PolicyError));
}

// CON-28: beside a connection the same is told, and nothing is held back.
#[test]
fn a_shadow_tells_of_claims_and_pushes() {
    let contract = contract(TOPICS);
    let policy = policy(&contract);
    let mut shadow = Shadow::open(admitted(&policy), contract, &Limits::default(), start());
    let mut told = Vec::new();
    for (side, line) in [
        (Side::Client, "user lee\n"),
        (Side::Server, "welcome 9\n"),
        (Side::Client, "follow pay\n"),
        (Side::Server, "news pay 1\nnews stock 1\n"),
    ] {
        shadow.receive(side, line.as_bytes(), Some(&policy), start(), &mut told);
    }
    let told: Vec<_> = told
        .into_iter()
        .map(|verdict| {
            let event = verdict.into_event();
            (event.class, event.reason, event.action)
        })
        .collect();
    let denied = Some(Reason::PolicyDenied);
    assert_eq!(
        told,
        [
            (Some(Class::Denied), denied, Some("topic.follow".to_owned())),
            (Some(Class::Server), denied, Some("topic.receive".to_owned())),
        ]
    );
}

#[track_caller]
fn refused(from: &str, to: &str, wanted: &str) {
    assert!(TOPICS.contains(from), "{from}");
    let head = TOPICS.split("[[test]]").next().unwrap();
    let read = |_: &str| Err("no file".to_owned());
    let found = match Contract::load("t.toml", &head.replacen(from, to, 1), &read) {
        Ok((_, warnings)) => warnings,
        Err(findings) => findings,
    };
    let all: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(all.iter().any(|one| one.contains(wanted)), "{wanted}:\n{}", all.join("\n"));
}

// K-18, K-21, K-44 to K-47, CON-06
#[test]
fn a_push_asks_as_a_request_does() {
    refused("action       = \"topic.receive\"\n", "", "error[K-18]: this push has no action");
    refused("action       = \"topic.receive\"", "action = \"connect\"", "error[K-18]: the action");
    refused(
        "action       = \"topic.receive\"\nresource     = \"topic/${topic}\"",
        "action = \"topic.follow\"",
        "error[K-45]: action `topic.follow` has a resource in one message",
    );
    refused(
        "action       = \"topic.receive\"\nresource     = \"topic/${topic}\"\ncontext      = { level = \"level\" }",
        "action = \"topic.follow\"\nresource = \"topic/${topic}\"\ncontext = { topic = \"level\" }",
        "error[K-46]: attribute `topic` of action `topic.follow` has two types",
    );
    refused(
        "{ level = \"level\" }",
        "{ level = \"lvl\" }",
        "error[K-30]: the context names `/lvl`",
    );
    refused(
        "answers     = [\"user\"]",
        "answers = [\"user\"]\naction = \"topic.receive\"",
        "error[K-21]: `action` belongs to a client's message or to a push",
    );
}

// K-31, K-46, K-60
#[test]
fn what_is_remembered_is_of_one_bounded_type() {
    refused(
        "remember    = { most = \"most\" }",
        "remember    = { user = \"most\" }",
        "error[K-46]: `user` is remembered with two types",
    );
    refused(
        "fields.name = { regex = \"[a-z]{1,8}\" }",
        "fields.name = { regex = \"[a-z]{1,8}\", secret = true }",
        "error[K-60]",
    );
    let text = r#"
contract = "t/1"
[client]
frame = { kind = "lines", ends = ["\n"] }
decode = { kind = "json", numbers = "i64" }
[[client.message]]
name = "a"
action = "a"
expects = "none"
schema = '{ "type": "object", "additionalProperties": false, "required": ["n"], "properties": { "n": { "type": "integer" } } }'
remember = { n = "/n" }
[server]
frame = { kind = "lines", ends = ["\n"] }
decode = { kind = "json" }
[[server.message]]
name = "b"
pushes = true
fields.n = { int = [1, 2] }
"#;
    let found = Contract::load("t.toml", text, &|_| Err("no file".to_owned())).unwrap_err();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].check, found[0].line), (Some("K-31"), 11));
    let bounded = text.replace("\"integer\"", "\"integer\", \"minimum\": 0, \"maximum\": 9");
    assert!(Contract::load("t.toml", &bounded, &|_| Err("no file".to_owned())).is_ok());
}

// K-90
#[test]
fn a_test_supposes_only_what_may_be_remembered() {
    let load = |from: &str, to: &str| {
        let text = TOPICS.replacen(from, to, 1);
        let found = Contract::load("t.toml", &text, &|_| Err("no file".to_owned())).unwrap_err();
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let unknown = load("user = \"kim\", most", "usr = \"kim\", most");
    assert!(unknown.contains("[K-90]: no message has `usr` remembered"), "{unknown}");
    assert!(unknown.contains("did you mean `user`?"), "{unknown}");
    let unlike = load("most = 3", "most = \"3\"");
    assert!(unlike.contains("[K-90]: `most` is remembered as another type"), "{unlike}");
}

// Section 15.5, K-47: what a field is written as is its type in a policy, where Cedar has one.
#[test]
fn decimals_and_dates_have_types_of_their_own() {
    let text = r#"
contract = "t/1"
[client]
frame = { kind = "lines" }
decode = { kind = "kv", charset = "ascii", sep = ";", eq = "=", names = ["won", "fine", "huge", "few", "day", "at", "short"] }
[[client.message]]
name = "pay"
action = "pay"
expects = "none"
fields.won = { decimal = { digits = 14, scale = 4 } }
fields.fine = { decimal = { digits = 3, scale = 5 } }
fields.huge = { decimal = { digits = 18, scale = 0 } }
fields.few = { decimal = { digits = 18, scale = 0, min = "0", max = "922337203685477" } }
fields.day = { date = "YYYYMMDD" }
fields.at = { date = "rfc3339", optional = true }
fields.short = { date = "YYMMDD" }
[server]
frame = { kind = "lines" }
decode = { kind = "text", charset = "ascii" }
[[server.message]]
name = "b"
grammar = "b"
pushes = true
"#;
    let schema = crate::policy::schema::cedar_schema(&contract(text).actions());
    for wanted in [
        "\"won\": decimal",
        "\"fine\": String",
        "\"huge\": String",
        "\"few\": decimal",
        "\"day\": datetime",
        "\"at\"?: datetime",
        "\"short\": String",
    ] {
        assert!(schema.contains(wanted), "{wanted}: {schema}");
    }
    // A number of JSON is no text, so one that is no `decimal` cannot be shown.
    let json = |scale: u8| {
        let text = format!(
            "contract = \"t/1\"\n[client]\nframe = {{ kind = \"lines\" }}\ndecode = {{ kind = \"json\" }}\n\
             [[client.message]]\nname = \"pay\"\naction = \"pay\"\nexpects = \"none\"\ncontext = {{ won = \"/won\" }}\n\
             fields.won = {{ decimal = {{ digits = 9, scale = {scale} }} }}\n[server]\nframe = {{ kind = \"lines\" }}\n\
             decode = {{ kind = \"json\" }}\n[[server.message]]\nname = \"b\"\npushes = true\nfields.b = {{ int = [1, 2] }}\n"
        );
        Contract::load("t.toml", &text, &|_| Err("no file".to_owned())).map(|_| ())
    };
    assert_eq!(json(4), Ok(()));
    let found = json(5).unwrap_err();
    assert_eq!((found.len(), found[0].check, found[0].line), (1, Some("K-47"), 9), "{found:?}");
}
