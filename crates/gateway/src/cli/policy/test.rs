//! A file of questions about policies, each with the answer that it should have.

use super::{compile, identity};
use crate::cli::report::Look;
use crate::cli::{Exit, Failure, Global};
use crate::config::read;
use crate::explain::supposed;
use segwan_core::contract::value::Value;
use segwan_core::document::{Document, Table, integer, kind};
use segwan_core::finding::nearest;
use segwan_core::identity::Identity;
use segwan_core::now::Now;
use segwan_core::policy::schema::ActionShape;
use segwan_core::policy::{Ask, ConnectionFacts, DecisionCache, Policy};
use segwan_core::rejection::Reason;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Instant;
use toml::de::DeValue;

/// Unix milliseconds of the questions' moment, unless one says another: 2026-01-01 12:00 UTC.
const MOMENT: i64 = 1_767_268_800_000;

/// What is asked, and what the answer should be.
struct Question {
    name: String,
    principal: Identity,
    role: Option<String>,
    address: IpAddr,
    action: String,
    resources: Vec<String>,
    context: Vec<(String, Value<'static>)>,
    session: Vec<(String, Value<'static>)>,
    now_ms: i64,
    allowed: bool,
    by: Option<String>,
}

/// The service's policies and the questions about them.
struct Questions {
    policy: Policy,
    actions: Vec<ActionShape>,
    all: Vec<Question>,
}

/// Asks every question of every file.
pub(super) fn run(files: &[PathBuf], global: &Global) -> Result<Exit, Failure> {
    let report = &global.report;
    let (mut held, mut failed) = (0, 0);
    for file in files {
        let questions = read_questions(file)?;
        report.line(format_args!("{}", report.style(Look::Bold, file.display().to_string())));
        for question in &questions.all {
            match ask(&questions.policy, &questions.actions, question) {
                Ok(()) => {
                    held += 1;
                    let pass = report.style(Look::Good, "pass");
                    report.line(format_args!("  {pass}  {}", question.name));
                }
                Err(why) => {
                    failed += 1;
                    let fail = report.style(Look::Bad, "fail");
                    report.line(format_args!("  {fail}  {}", question.name));
                    report.line(format_args!("        {why}"));
                }
            }
        }
    }
    let questions = if held == 1 { "1 question".to_owned() } else { format!("{held} questions") };
    if failed == 0 {
        report.line(format_args!("\n{questions} answered as expected"));
        return Ok(Exit::Done);
    }
    report.line(format_args!("\n{questions} answered as expected, {failed} otherwise"));
    Ok(Exit::Refused)
}

/// Asks one question; says what is otherwise than it should be. Every message is of somebody who
/// was admitted, so whoever may not connect may do nothing.
fn ask(policy: &Policy, actions: &[ActionShape], question: &Question) -> Result<(), String> {
    // Whatever does not fit is denied, but that is no answer to what was meant.
    misfit(actions, question).map_or(Ok(()), Err)?;
    let now = Now { instant: Instant::now(), unix_ms: question.now_ms };
    let peer = supposed(question.principal.clone(), question.role.clone(), now);
    let connection =
        ConnectionFacts { address: question.address, started_unix_ms: question.now_ms, tls: "1.3" };
    let answer = policy.admit(peer, connection, now).and_then(|permit| {
        if question.action == "connect" {
            return Ok(permit.policies().iter().map(ToString::to_string).collect::<Vec<_>>());
        }
        let [context, session] = [&question.context, &question.session].map(|shown| {
            let named = shown.iter().map(|(name, value)| (name.as_str(), value));
            named.collect::<Vec<(&str, &Value<'_>)>>()
        });
        let asked = Ask {
            action: &question.action,
            resources: &question.resources,
            context: &context,
            session: &session,
        };
        let grant = policy.authorize(&permit, &mut DecisionCache::default(), &asked, now)?;
        Ok(grant.policies.iter().map(ToString::to_string).collect())
    });
    let (allowed, policies, sentence) = match answer {
        Ok(policies) => (true, policies, String::new()),
        Err(denial) if denial.reason == Reason::PolicyError && denial.policies.is_empty() => {
            return Err(lacking(actions, question));
        }
        Err(denial) => (false, denial.policies, denial.sentence),
    };
    let by = if policies.is_empty() { "no policy".to_owned() } else { policies.join(", ") };
    if allowed != question.allowed {
        return Err(if allowed {
            format!("should be denied, and is allowed by `{by}`")
        } else {
            format!("should be allowed, but {sentence}")
        });
    }
    match &question.by {
        Some(wanted) if !policies.contains(wanted) => {
            Err(format!("should be decided by `{wanted}`, and is by `{by}`"))
        }
        _ => Ok(()),
    }
}

/// Why no message could ask this, if so: an action that the contract has not, or a context that is
/// none of its messages.
fn misfit(actions: &[ActionShape], question: &Question) -> Option<String> {
    let action = question.action.as_str();
    if action == "connect" {
        return None;
    }
    let Some(shape) = actions.iter().find(|shape| shape.name == action) else {
        let near = nearest(action, actions.iter().map(|shape| shape.name.as_str()));
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        return Some(format!("no message of the contract asks for `{action}`{near}"));
    };
    let unknown = |(name, _): &&(String, Value<'_>)| !shape.context.iter().any(|a| a.name == *name);
    if let Some((name, _)) = question.context.iter().find(unknown) {
        let near = nearest(name, shape.context.iter().map(|shown| shown.name.as_str()));
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        return Some(format!("`{action}` shows no `{name}` in its context{near}"));
    }
    None
}

/// What a question lacks that could not be asked. Where policies read nothing of the context it may
/// be left out, so this is looked at only then.
fn lacking(actions: &[ActionShape], question: &Question) -> String {
    let shape = actions.iter().find(|shape| shape.name == question.action);
    let shown = shape.map(|shape| shape.context.as_slice()).unwrap_or_default();
    let given = |name: &str| question.context.iter().any(|(own, _)| own == name);
    let absent = shown.iter().filter(|shown| !shown.optional && !given(&shown.name));
    let absent: Vec<String> = absent.map(|shown| format!("`{}`", shown.name)).collect();
    let action = &question.action;
    if absent.is_empty() {
        return format!(
            "it is no question about `{action}`: its resource and the types of its context are not those that \
             `segwan contract schema` prints"
        );
    }
    format!("its context has no {}, which `{action}` always shows", absent.join(", "))
}

fn read_questions(file: &Path) -> Result<Questions, Failure> {
    let text = read::text(file).map_err(Failure::cannot_start)?;
    let shown = file.display().to_string();
    let document = Document::new(&shown, &text);
    let table = document.parse()?;
    let top = Table::top(&document, &table, "P1");
    let service = needed(&top, "service", "orders");
    let contract = needed(&top, "contract", "orders.toml");
    let domain = top.text("trust_domain").map(|text| text.value.to_owned());
    let policies = match top.value("policy").map(|value| value.get_ref()) {
        None => Vec::new(),
        Some(DeValue::String(_)) => {
            top.text("policy").map(|text| text.value.to_owned()).into_iter().collect()
        }
        Some(_) => texts(&top, "policy"),
    };
    let mut allow = Vec::new();
    for name in top.texts("allow").unwrap_or_default() {
        match identity(name.value, domain.as_deref()) {
            Ok(identity) => allow.push(identity),
            Err(why) => top.error("P1", name.span, why),
        }
    }
    let all: Vec<Option<Question>> =
        top.tables("test").iter().map(|table| question(table, domain.as_deref())).collect();
    if all.is_empty() {
        top.missing("P1", "test", "`[[test]]` with `principal`, `action` and `expect`");
    }
    top.finish();
    if document.has_errors() {
        return Err(Failure::findings(document.into_findings()));
    }
    let beside = |name: &str| match name {
        "raw" => PathBuf::from(name),
        name => file.parent().unwrap_or_else(|| Path::new("")).join(name),
    };
    let files: Vec<PathBuf> = policies.iter().map(|name| beside(name)).collect();
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let contract = beside(&contract.unwrap_or_default());
    let (policy, actions, _) = compile(&service.unwrap_or_default(), &contract, &files, &allow)?;
    Ok(Questions { policy, actions, all: all.into_iter().flatten().collect() })
}

fn question(table: &Table<'_, '_>, domain: Option<&str>) -> Option<Question> {
    let principal = table.text("principal");
    if !table.has("principal") {
        table.missing("P1", "principal", "`principal = \"app\"`");
    }
    let action = table.text("action").map_or("connect", |text| text.value).to_owned();
    let resources = match table.value("resource").map(|value| value.get_ref()) {
        Some(DeValue::Array(_)) => texts(table, "resource"),
        _ => table.text("resource").map(|text| text.value.to_owned()).into_iter().collect(),
    };
    let address = table.text("address").map(|text| (text.value.parse(), text.span));
    let address = match address {
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some((Ok(address), _)) => address,
        Some((Err(_), span)) => {
            table.error("P1", span, "this is no IP address");
            return None;
        }
    };
    let now_ms =
        match table.text("now").map(|text| (text.value.parse::<jiff::Timestamp>(), text.span)) {
            None => MOMENT,
            Some((Ok(now), _)) => now.as_millisecond(),
            Some((Err(_), span)) => {
                table.error_with_hint(
                    "P1",
                    span,
                    "this is no time",
                    "`now = \"2026-01-01T03:00:00Z\"`",
                );
                return None;
            }
        };
    let [context, session] = ["context", "session"].map(|key| shown(table, key));
    let expect = table.text("expect");
    let allowed = match expect.as_ref().map(|text| text.value) {
        Some("allow") => true,
        Some("deny") => false,
        _ => {
            let at = expect.map_or_else(|| table.span(), |text| text.span);
            table.error_with_hint("P1", at, "`expect` is `allow` or `deny`", "`expect = \"deny\"`");
            return None;
        }
    };
    let by = table.text("by").map(|text| text.value.to_owned());
    let role = table.text("role").map(|text| text.value.to_owned());
    let name = table.text("name").map(|text| text.value.to_owned());
    table.finish();
    let principal = principal?;
    let who = identity(principal.value, domain);
    let who = who.map_err(|why| table.error("P1", principal.span, why)).ok()?;
    let name = name.unwrap_or_else(|| {
        let verb = if allowed { "may" } else { "may not" };
        let on = resources.join(", ");
        format!("{} {verb} {action} {on}", principal.value).trim_end().to_owned()
    });
    Some(Question {
        name,
        principal: who,
        role,
        address,
        action,
        resources,
        context,
        session,
        now_ms,
        allowed,
        by,
    })
}

/// Values by their names, of the message or of what is remembered.
fn shown(table: &Table<'_, '_>, key: &'static str) -> Vec<(String, Value<'static>)> {
    let mut all = Vec::new();
    let shown = table.table(key);
    for (key, entry) in shown.iter().flat_map(Table::entries) {
        match value(entry.get_ref()) {
            Some(value) => all.push((key.value.to_owned(), value)),
            None => {
                let what = kind(entry.get_ref());
                table.error("P1", key.span, format!("{what} is nothing that a message shows"));
            }
        }
    }
    all
}

fn needed(table: &Table<'_, '_>, key: &'static str, example: &str) -> Option<String> {
    if !table.has(key) {
        table.missing("P1", key, format!("`{key} = \"{example}\"`"));
    }
    table.text(key).map(|text| text.value.to_owned())
}

fn texts(table: &Table<'_, '_>, key: &'static str) -> Vec<String> {
    let all = table.texts(key).unwrap_or_default();
    all.into_iter().map(|text| text.value.to_owned()).collect()
}

fn value(value: &DeValue<'_>) -> Option<Value<'static>> {
    match value {
        DeValue::String(text) => Some(Value::Text(text.to_string().into())),
        DeValue::Boolean(flag) => Some(Value::Bool(*flag)),
        DeValue::Array(list) => list
            .iter()
            .map(|one| self::value(one.get_ref()))
            .collect::<Option<_>>()
            .map(Value::List),
        other => integer(other).map(Value::Int),
    }
}
