//! `Policy`: who may connect, and who may do which action.
//!
//! A connection is admitted once, which gives its [`Permit`]; every message is authorized against
//! the policies that can fit its peer. Whatever goes wrong while deciding is a denial. What a
//! message says, or the connection remembers, reaches a policy through its context alone, so a
//! decision is the same for every message with that action, that resource and those values that a
//! policy reads, and is kept;
//! only what reads the time is decided anew each time (`crates.md` section 5.1).

mod cache;
mod engine;
pub mod schema;

pub use cache::DecisionCache;

use crate::contract::role::RoleRule;
use crate::contract::value::Value;
use crate::finding::{Finding, Severity};
use crate::identity::{Identity, Peer};
use crate::now::Now;
use crate::rejection::Reason;
use engine::{Engine, Slice};
use schema::ActionShape;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The action of connecting itself.
pub(crate) const CONNECT: &str = "connect";

/// A policy file as its operator wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySource {
    /// The name by which the operator knows it.
    pub file: String,
    /// Its text, in Cedar.
    pub text: String,
}

/// What the gateway knows about a connection, for policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionFacts {
    /// Address of the peer.
    pub address: IpAddr,
    /// When it connected, Unix milliseconds.
    pub started_unix_ms: i64,
    /// The TLS version: `1.3` or `1.2`.
    pub tls: &'static str,
}

/// The policies of one service, compiled against the actions of its contract.
#[derive(Debug)]
pub struct Policy {
    /// Distinguishes this policy from the one it replaces: cached decisions carry it.
    epoch: u64,
    service: Box<str>,
    engine: Engine,
    /// What was compiled.
    said: Box<[PolicySource]>,
}

/// Proof that a peer may connect: only [`Policy::admit`] makes one, and the service is reached
/// with nothing else.
#[derive(Debug, Clone)]
pub struct Permit {
    peer: Arc<Peer>,
    service: Box<str>,
    connection: ConnectionFacts,
    epoch: u64,
    slice: Arc<Slice>,
    policies: Ids,
}

/// Ids of the policies that decided.
pub type Ids = Arc<[Box<str>]>;

/// What a message asks for.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The action of the contract.
    pub action: &'a str,
    /// The resources, without the service's name before them; none means the service itself.
    pub resources: &'a [String],
    /// What the message shows: attribute and value.
    pub context: &'a [(&'a str, &'a Value<'a>)],
    /// What the connection remembers of earlier messages; a claim, and never mixed with the rest.
    pub session: &'a [(&'a str, &'a Value<'a>)],
}

/// An action was permitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Ids of the policies that permitted.
    pub policies: Ids,
    /// Whether it was decided before, for a question that no policy can tell from this one.
    pub cached: bool,
}

/// An action, or a connection, was not permitted. `Display` is the operator's sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct Denial {
    /// `policy_denied`, or `policy_error` for a policy that could not be evaluated.
    pub reason: Reason,
    /// Who, what, and the policy that decided.
    pub sentence: String,
    /// Ids of the policies that forbid or erred; empty if none permits.
    pub policies: Vec<String>,
}

/// One decision, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Decision {
    Permit(Ids),
    Deny { reason: Reason, policies: Ids, detail: Box<str> },
}

impl Policy {
    /// Compiles the policies of one service; gives them with their warnings.
    ///
    /// `allow` names identities that may do everything; each becomes a policy `allow-NAME`.
    ///
    /// # Errors
    /// Every independent error, each with its place: syntax, unknown actions and attributes, a
    /// policy without `@id`, a set that can admit nobody.
    pub fn compile(
        service: &str,
        actions: &[ActionShape],
        allow: &[Identity],
        sources: &[PolicySource],
    ) -> Result<(Self, Vec<Finding>), Vec<Finding>> {
        static EPOCH: AtomicU64 = AtomicU64::new(1);
        let mut all = sources.to_vec();
        if let Some(generated) = engine::allow(service, allow) {
            all.insert(0, generated);
        }
        let said = all.clone().into();
        let (engine, findings) = Engine::compile(service, actions, all)?;
        debug_assert!(findings.iter().all(|f| f.severity == Severity::Warning));
        let epoch = EPOCH.fetch_add(1, Ordering::Relaxed);
        Ok((Self { epoch, service: service.into(), engine, said }, findings))
    }

    /// Whether both decide the same: they say the same, about the same actions and roles.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        let decides_by = |policy: &'_ Self| (policy.engine.roles.clone(), policy.service.clone());
        self.said == other.said
            && self.schema_text() == other.schema_text()
            && decides_by(self) == decides_by(other)
    }

    /// Whether both are written alike, whatever the actions are that they are about.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.said == other.said
    }

    /// The same policy for a contract that says where roles are read (`[identity] role`).
    #[must_use]
    pub fn with_roles(mut self, rule: Option<&RoleRule>) -> Self {
        self.engine.roles = rule.cloned();
        self
    }

    /// Decides whether a peer may connect.
    ///
    /// # Errors
    /// The denial, if no policy permits it, one forbids it, or one cannot be evaluated.
    pub fn admit(
        &self,
        peer: Arc<Peer>,
        connection: ConnectionFacts,
        now: Now,
    ) -> Result<Permit, Denial> {
        let slice = self.engine.slice(&peer);
        if let (Some(Err(why)), Some(true)) =
            (&slice.role, self.engine.roles.as_ref().map(RoleRule::refuses))
        {
            let sentence = format!("{} may not connect: {why}", peer.identity());
            let reason = Reason::RoleMissing;
            return Err(Denial { reason, sentence, policies: Vec::new() });
        }
        let ask = Ask { action: CONNECT, resources: &[], context: &[], session: &[] };
        match self.engine.decide(&slice, &ask, None, (&connection, now), &mut None) {
            Decision::Permit(policies) => Ok(Permit {
                peer,
                service: self.service.clone(),
                connection,
                epoch: self.epoch,
                slice,
                policies,
            }),
            denied => Err(self.denial(peer.identity(), &slice, &ask, denied)),
        }
    }

    /// Decides whether an admitted peer may do an action. Every resource must be permitted.
    ///
    /// # Errors
    /// The denial, if no policy permits it, one forbids it, or one cannot be evaluated.
    pub fn authorize(
        &self,
        permit: &Permit,
        cache: &mut DecisionCache,
        ask: &Ask<'_>,
        now: Now,
    ) -> Result<Grant, Denial> {
        // Where the policy was replaced since the peer was admitted, its slice is taken anew.
        let taken = (permit.epoch != self.epoch).then(|| self.engine.slice(&permit.peer));
        let slice: &Slice = taken.as_ref().unwrap_or(&permit.slice);
        if ask.resources.is_empty() {
            return self.one(permit, slice, cache, ask, None, now);
        }
        let mut grant = None;
        for name in ask.resources {
            grant = Some(self.one(permit, slice, cache, ask, Some(name), now)?);
        }
        grant.ok_or_else(|| Denial {
            reason: Reason::PolicyError,
            sentence: "nothing was asked".to_owned(),
            policies: Vec::new(),
        })
    }

    /// Decides about one resource: as before, where all that the decision is made of is the same.
    fn one(
        &self,
        permit: &Permit,
        slice: &Slice,
        cache: &mut DecisionCache,
        ask: &Ask<'_>,
        resource: Option<&String>,
        now: Now,
    ) -> Result<Grant, Denial> {
        let name = resource.map(String::as_str);
        let key = self.engine.key(slice, ask, name, cache.room());
        let known = key.as_ref().and_then(|key| cache.get(self.epoch, key)).cloned();
        let cached = known.is_some();
        let decision = known.unwrap_or_else(|| {
            let (facts, placed) = ((&permit.connection, now), cache.placed(self.epoch));
            let decision = self.engine.decide(slice, ask, name, facts, placed);
            if let Some(key) = &key {
                cache.put(self.epoch, key, decision.clone());
            }
            decision
        });
        if let Some(key) = key {
            cache.give_back(key);
        }
        match decision {
            Decision::Permit(policies) => Ok(Grant { policies, cached }),
            denied => {
                let alone = Ask { resources: resource.map_or(&[], std::slice::from_ref), ..*ask };
                Err(self.denial(permit.peer.identity(), slice, &alone, denied))
            }
        }
    }

    /// Whether some policy that can fit this peer reads what an action's messages say; then each
    /// message is decided anew. Gives the names of what is read.
    #[must_use]
    pub fn reads(&self, permit: &Permit, action: &str) -> Vec<String> {
        self.engine.reads(&permit.slice, action)
    }

    /// Whether the context of this action's messages must be built for this peer.
    #[must_use]
    pub fn needs_context(&self, permit: &Permit, action: &str) -> bool {
        permit.epoch != self.epoch || self.engine.reads_context(&permit.slice, action)
    }

    /// The schema that the policies were checked against, in Cedar's own language.
    #[must_use]
    pub fn schema_text(&self) -> &str {
        self.engine.schema_text()
    }

    /// The service that it protects.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Ids of all its policies, in order.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.engine.ids()
    }

    fn denial(
        &self,
        identity: &Identity,
        slice: &Slice,
        ask: &Ask<'_>,
        decision: Decision,
    ) -> Denial {
        let Decision::Deny { reason, policies, detail } = decision else {
            let sentence = "a permit is no denial".to_owned();
            return Denial { reason: Reason::PolicyError, sentence, policies: Vec::new() };
        };
        let what = if ask.action == CONNECT {
            format!("on `{}`", self.service)
        } else {
            let on = match ask.resources {
                [] => self.service.to_string(),
                names => names
                    .iter()
                    .map(|n| format!("{}/{n}", self.service))
                    .collect::<Vec<_>>()
                    .join(", "),
            };
            format!("the action `{}` on `{on}`", ask.action)
        };
        let named = policies.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ");
        let sentence = match (reason, policies.is_empty()) {
            (Reason::PolicyError, true) => {
                format!("no policy could be asked about {identity}, which denies {what}: {detail}")
            }
            (Reason::PolicyError, false) => {
                format!(
                    "policy {named} could not be evaluated for {identity}, which denies {what}: {detail}"
                )
            }
            (_, true) => format!("no policy permits {identity} {what}"),
            (_, false) => format!("policy {named} forbids {identity} {what}"),
        };
        let sentence = match &slice.role {
            Some(Err(why)) => format!("{sentence}; {why}"),
            _ => sentence,
        };
        let policies = policies.iter().map(|id| id.to_string()).collect();
        Denial { reason, sentence, policies }
    }
}

impl Permit {
    /// Who was admitted.
    #[must_use]
    pub fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// Its role, where the service has roles and it has one.
    #[must_use]
    pub fn role(&self) -> Option<&str> {
        self.slice.role.as_ref()?.as_deref().ok()
    }

    /// The service that it may reach.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Ids of the policies that admitted it.
    #[must_use]
    pub fn policies(&self) -> &[Box<str>] {
        &self.policies
    }
}

#[cfg(test)]
mod tests;
