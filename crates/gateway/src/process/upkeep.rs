//! What a process does by itself while it serves: agents renew and follow, files are watched, and
//! what the operator should know of them is told once.

use super::{Running, now_ms};
use crate::alarms::Alarms;
use crate::audit::OVER;
use crate::gateway::{GateStatus, Swept};
use crate::process::files::Watched;
use segwan::agent::Installation;
use segwan::tls::authority::AUTHORITY_NAME;
use segwan::{Agent, Trust};
use segwan_core::audit::{Event, EventKind};
use segwan_core::rejection::Reason;
use segwan_pki::authority::Authority;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often the alarms of agents are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// When a renewal that failed is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// Starts all of it; it ends when `stop` is cancelled.
pub(super) fn begin(
    running: &Arc<Running>,
    files: Vec<Watched>,
    who: &Installation,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    for agent in &running.agents {
        // The Authority's own port judges by its store; it has no connections to sweep.
        if agent.identity().path() == Some(AUTHORITY_NAME) {
            if let Some(at_work) = &running.authority {
                let (agent, authority) = (agent.clone(), at_work.authority.clone());
                tasks.spawn(show_who_signs(agent, authority, stop.clone()));
            }
            continue;
        }
        let (running, trust) = (running.clone(), agent.trust());
        let sweep = move || sweep(running.clone(), trust.clone());
        tasks.spawn(agent.clone().follow(who.clone(), stop.clone(), sweep));
    }
    for watched in files {
        let (running, alarms) = (running.clone(), running.alarms.clone());
        let sweep = move |trust| sweep(running.clone(), trust);
        tasks.spawn(watched.watch(alarms, stop.clone(), sweep));
    }
    tasks.spawn(mirror(running.clone(), stop.clone()));
}

/// The Authority's own port shows a certificate by the key that signs: when another one takes over,
/// or the roots are others, it renews at once, because agents will believe the one before no more.
async fn show_who_signs(agent: Arc<Agent>, authority: Authority, stop: CancellationToken) {
    let mut wait = LOOK;
    let mut anchors = authority.anchors();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = LOOK;
        let (signs, known) = (authority.signing_key(), authority.anchors());
        let same = signs.is_none_or(|key| key == agent.credentials().issuer());
        if same && known == anchors {
            continue;
        }
        if let Err(error) = agent.renew().await {
            tracing::warn!("the Authority's port does not get its new certificate: {error}");
            wait = AGAIN;
        } else {
            anchors = known;
        }
    }
}

/// Renews the credentials of each agent in time.
pub(super) fn keep_fresh(agents: &[Arc<Agent>], tasks: &TaskTracker, stop: &CancellationToken) {
    for agent in agents {
        let (agent, stop) = (agent.clone(), stop.clone());
        tasks.spawn(async move { agent.keep_fresh(stop).await });
    }
}

/// Judges the live connections under this trust again; gives how many were ended.
async fn sweep(running: Arc<Running>, trust: Arc<Trust>) -> u64 {
    let swept = running.gateway.sweep(&trust).await;
    tell_failed(&running, &swept);
    let took = swept.took.as_millis();
    tracing::debug!(
        "{} connections judged again, {} ended, {took} ms",
        swept.examined,
        swept.closed
    );
    swept.closed
}

/// Tells of tables whose connections could not be judged.
pub(super) fn tell_failed(running: &Running, swept: &Swept) {
    for table in &swept.failed {
        let sentence = format!(
            "the live connections of `{table}` could not be judged again, so all of them were ended"
        );
        if running.alarms.happened("sweep_failed", table, &sentence, now_ms()) {
            tell(running, "sweep_failed", &sentence);
        }
    }
}

/// The listeners that met more resumed handshakes than at the last look, each with a sentence.
fn resumed(gates: &[GateStatus], known: &mut HashMap<String, u64>) -> Vec<(String, String)> {
    let more = |gate: &GateStatus| {
        let count = *gate.counts.refused.get(&Reason::ResumptionSeen)?;
        let before = known.insert(gate.name.clone(), count).unwrap_or(0);
        let sentence = format!(
            "`{}` ended {count} handshakes that were resumed, although resumption is off; none of \
             them passed a byte",
            gate.name
        );
        (count > before).then(|| (gate.name.clone(), sentence))
    };
    gates.iter().filter_map(more).collect()
}

/// Tells what agents raise, what listeners met, and what is over.
async fn mirror(running: Arc<Running>, stop: CancellationToken) {
    let mut raised: HashSet<(&'static str, String)> = HashSet::new();
    let mut resumptions = HashMap::new();
    loop {
        let mut now = HashSet::new();
        for agent in &running.agents {
            let about = agent.identity().to_string();
            for alarm in agent.status().alarms {
                raise(&running, alarm.word, &about, &alarm.sentence);
                now.insert((alarm.word, about.clone()));
            }
        }
        for (service, why) in running.unwritten.list() {
            let sentence = format!(
                "what the quotas of `{service}` count cannot be written, and no message that they \
                 count passes: {why}"
            );
            raise(&running, "quota_unwritten", &service, &sentence);
            now.insert(("quota_unwritten", service));
        }
        for (gate, sentence) in resumed(&running.gateway.status(0), &mut resumptions) {
            if running.alarms.happened("resumption_seen", &gate, &sentence, now_ms()) {
                tell(&running, "resumption_seen", &sentence);
            }
        }
        for (word, about) in raised.difference(&now) {
            end(&running, word, about);
        }
        raised = now;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

pub(super) fn raise(running: &Running, word: &'static str, about: &str, sentence: &str) {
    if running.alarms.raise(word, about, sentence, now_ms()) {
        tell(running, word, sentence);
    }
}

pub(super) fn end(running: &Running, word: &'static str, about: &str) {
    if Alarms::clear(&running.alarms, word, about) {
        record(running, format!("{word}{OVER}"));
    }
}

fn tell(running: &Running, word: &'static str, sentence: &str) {
    record(running, format!("{word}: {sentence}"));
}

/// Of what is on record, the log tells by itself.
fn record(running: &Running, sentence: String) {
    let mut event = Event::new(EventKind::Alarm);
    event.sentence = sentence;
    running.recorder.record(event);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::Counts;

    // ADV-11
    #[test]
    fn each_further_resumption_of_a_listener_is_told_and_other_refusals_are_not() {
        let gate = |name: &str, reason, count| {
            let counts = Counts { refused: [(reason, count)].into(), ..Counts::default() };
            GateStatus::of_numbers(name, counts)
        };
        let mut known = HashMap::new();
        let mut told = |gates: &[GateStatus]| {
            resumed(gates, &mut known).into_iter().map(|(gate, _)| gate).collect::<Vec<_>>()
        };
        let other = gate("stock", Reason::TlsError, 9);
        assert!(told(std::slice::from_ref(&other)).is_empty());
        let seen = |count| gate("orders", Reason::ResumptionSeen, count);
        assert_eq!(told(&[seen(1), other]), ["orders"]);
        assert!(told(&[seen(1)]).is_empty());
        assert_eq!(told(&[seen(3)]), ["orders"]);
    }
}
