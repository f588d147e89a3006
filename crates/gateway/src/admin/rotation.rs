//! Rotation of the root over the admin socket.

use super::Fault;
use super::custody::{Nothing, answer, finished};
use super::routes::{Admin, now_ms};
use axum::http::StatusCode;
use axum::routing::{MethodRouter, post};
use segwan_pki::authority::{Authority, Rotation, Step, Stepped};
use segwan_pki::custody::chain_text;
use segwan_pki::key::{from_hex, hex, sha256};
use segwan_pki::store::AgentRow;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The path of [`rotation`].
pub(crate) const ROTATION: &str = "/v1/ca/rotation";
/// The path of [`prepare`].
pub(crate) const PREPARE: &str = "/v1/ca/rotation/prepare";
/// The path of [`next`].
pub(crate) const NEXT: &str = "/v1/ca/rotation/next";
/// The path of [`expel`].
pub(crate) const EXPEL: &str = "/v1/ca/rotation/expel";

/// How long an expulsion waits for agents that listen, before it goes on without them.
const HEARD: Duration = Duration::from_secs(8);

/// An agent, as far as a rotation waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waited {
    /// Name of its registration.
    pub(crate) name: String,
    /// What its host calls itself.
    pub(crate) host: String,
    /// When it was heard last, Unix milliseconds.
    pub(crate) heard_ms: i64,
}

/// How far a rotation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RotationAnswer {
    /// The trust domain.
    pub(crate) trust_domain: String,
    /// `steady`, `prepared`, `active` or `tainted`.
    pub(crate) step: String,
    /// Since when, Unix milliseconds; 0: it was always so.
    pub(crate) since_ms: i64,
    /// SHA-256 of each root that is believed; the Authority's own first.
    pub(crate) roots: Vec<String>,
    /// The same roots, as certificates in PEM.
    pub(crate) certificates: Vec<String>,
    /// Who the next step waits for.
    pub(crate) missing: Vec<Waited>,
    /// Issuing certificates under the new root.
    pub(crate) issuing: usize,
    /// What else it waits for.
    pub(crate) waits: Option<String>,
    /// Who was not heard of for so long that nothing waits for them.
    pub(crate) stale: Vec<Waited>,
    /// Whether the step that was asked for is made.
    pub(crate) done: bool,
}

/// A new root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRoot {
    /// Its certificate in DER, hex.
    pub(crate) root: String,
    /// The same by the present root, DER in hex; none: the present one is lost.
    pub(crate) cross: Option<String>,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Next {
    /// `active`, `tainted` or `steady`.
    pub(crate) to: String,
    /// Names that are not waited for.
    pub(crate) without: Vec<String>,
    /// In how long everybody renews, milliseconds.
    pub(crate) window_ms: i64,
}

/// How long the old root is believed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grace {
    /// Milliseconds; 0: not at all.
    pub(crate) grace_ms: i64,
    /// In how long everybody renews, milliseconds.
    pub(crate) window_ms: i64,
}

/// Who needs a new token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Left {
    /// Agents that do not have the new root.
    pub(crate) behind: Vec<Waited>,
}

fn waited(agents: Vec<AgentRow>) -> Vec<Waited> {
    let one =
        |agent: AgentRow| Waited { name: agent.name, host: agent.host, heard_ms: agent.heard_ms };
    agents.into_iter().map(one).collect()
}

fn told(authority: &Authority, rotation: Rotation, done: bool) -> RotationAnswer {
    RotationAnswer {
        trust_domain: authority.trust_domain().to_string(),
        step: rotation.step.as_str().to_owned(),
        since_ms: rotation.since_ms,
        roots: rotation.roots.iter().map(|root| hex(&sha256(root))).collect(),
        certificates: rotation
            .roots
            .iter()
            .map(|root| chain_text(std::slice::from_ref(root)))
            .collect(),
        missing: waited(rotation.missing),
        issuing: rotation.issuing,
        waits: rotation.waits,
        stale: waited(rotation.stale),
        done,
    }
}

/// How far a rotation is.
pub(crate) async fn rotation(authority: &Authority, _: Nothing) -> Result<RotationAnswer, Fault> {
    Ok(told(authority, authority.rotation(now_ms()).await?, false))
}

/// Takes a new root beside the present one.
pub(crate) async fn prepare(authority: &Authority, new: NewRoot) -> Result<RotationAnswer, Fault> {
    let der = |text: &str| {
        from_hex(text).ok_or_else(|| Fault::new(StatusCode::BAD_REQUEST, "no hexadecimal"))
    };
    let cross = new.cross.as_deref().map(der).transpose()?;
    let done = authority.prepare_root(&der(&new.root)?, cross.as_deref(), now_ms()).await?;
    Ok(told(authority, done, true))
}

/// Makes the next step, or says who it waits for.
pub(crate) async fn next(authority: &Authority, next: Next) -> Result<RotationAnswer, Fault> {
    let steps = [Step::Active, Step::Tainted, Step::Steady];
    let to = steps.into_iter().find(|step| step.as_str() == next.to);
    let to = to.ok_or_else(|| Fault::asked("there is no such step"))?;
    let window_ms = next.window_ms.clamp(1_000, 7 * 86_400_000);
    Ok(match authority.next_step(to, &next.without, window_ms, now_ms()).await? {
        Stepped::Done(rotation) => told(authority, rotation, true),
        Stepped::Blocked(rotation) => told(authority, rotation, false),
    })
}

/// Ends belief in a root whose key somebody else may have.
pub(crate) async fn expel(authority: &Authority, grace: Grace) -> Result<Left, Fault> {
    let heard = async {
        loop {
            let rotation = authority.rotation(now_ms()).await;
            let listening = authority.listening();
            let waits = rotation.is_ok_and(|rotation| {
                let listens =
                    |one: &AgentRow| listening.contains(&(one.instance.clone(), one.name.clone()));
                rotation.missing.iter().any(listens)
            });
            // The Authority's own port is an agent that has to know the new root too.
            if !waits && authority.port_has_followed().await.unwrap_or(true) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let _ = tokio::time::timeout(HEARD, heard).await;
    let (grace_ms, window_ms) =
        (grace.grace_ms.clamp(0, 86_400_000), grace.window_ms.clamp(1_000, 86_400_000));
    let behind = authority.expel_root(grace_ms, window_ms, now_ms()).await?;
    Ok(Left { behind: waited(behind) })
}

/// The routes, for the socket alone.
pub(super) fn routes() -> Vec<(&'static str, MethodRouter<Admin>)> {
    vec![
        (ROTATION, post(|admin, body| answer(admin, body, "", rotation))),
        (
            PREPARE,
            post(|admin, body| finished(answer(admin, body, "a new root was prepared", prepare))),
        ),
        (
            NEXT,
            post(|admin, body| {
                finished(answer(admin, body, "a step of a rotation was asked for", next))
            }),
        ),
        (EXPEL, post(|admin, body| finished(answer(admin, body, "the root was expelled", expel)))),
    ]
}
