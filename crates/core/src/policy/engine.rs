//! `Engine`: the one door to Cedar. An error while evaluating is a denial.
//!
//! Cedar by itself skips a policy that errs, so a `forbid` that overflows would not forbid
//! (`crates.md` DEP-30); and it evaluates every policy of a set, so a set is cut once per
//! certificate to what can fit its peer (AZ-1).

mod class;
mod context;
mod load;

pub(super) use class::{Class, Place, Sights};

use super::cache::Key;
use super::schema::{ActionShape, cedar_schema};
use super::{Ask, CONNECT, ConnectionFacts, Decision, Ids, PolicySource};
use crate::contract::role::RoleRule;
use crate::finding::Finding;
use crate::identity::{Identity, Peer};
use crate::now::Now;
use crate::rejection::Reason;
use cedar_policy::{
    ActionConstraint, Authorizer, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet,
    PrincipalConstraint, Request, Response, RestrictedExpression, Schema,
};
use context::{Reads, datetime, fits};
use load::Path;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

/// Most slices that are kept, one for each certificate that was admitted.
const SLICES: usize = 4096;

/// The compiled policies of one service.
#[derive(Debug)]
pub(super) struct Engine {
    service: EntityUid,
    resources: EntityTypeName,
    schema: Schema,
    schema_text: String,
    policies: Vec<Loaded>,
    actions: HashMap<Box<str>, EntityUid>,
    /// What the contract's actions show.
    shapes: BTreeMap<Box<str>, ActionShape>,
    /// Groups that an action is in, itself included.
    groups: HashMap<Box<str>, Vec<EntityUid>>,
    slices: Mutex<HashMap<String, Arc<Slice>>>,
    /// Where the role of a peer is read; none where the service has no roles.
    pub(super) roles: Option<RoleRule>,
}

/// One policy, with what is known of it without evaluating.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    id: Box<str>,
    policy: cedar_policy::Policy,
    principal: PrincipalConstraint,
    action: ActionConstraint,
    permits: bool,
    /// What of the context its conditions read.
    reads: Vec<Path>,
    /// How far it tells apart what it looks at.
    sights: Sights,
}

/// The policies that can fit one peer, and the peer as Cedar knows it.
#[derive(Debug)]
pub(super) struct Slice {
    principal: EntityUid,
    peer: Entities,
    by_action: BTreeMap<Box<str>, Cut>,
    /// The role, or why there is none; nothing where the service has no roles.
    pub(super) role: Option<Result<String, String>>,
}

/// The policies that can fit one peer and one action.
#[derive(Debug)]
struct Cut {
    action: EntityUid,
    policies: PolicySet,
    reads: Reads,
}

/// One policy for each identity that may do everything.
pub(super) fn allow(service: &str, allow: &[Identity]) -> Option<PolicySource> {
    let policy = |identity: &Identity| {
        let name = identity.path().map_or_else(|| identity.to_string(), str::to_owned);
        format!(
            "@id(\"allow-{name}\")\npermit (principal == Peer::\"{identity}\", action, resource in Service::\"{service}\");\n"
        )
    };
    let text: String = allow.iter().map(policy).collect();
    (!allow.is_empty()).then(|| PolicySource { file: "allow".to_owned(), text })
}

fn uid(kind: &str, id: &str) -> Option<EntityUid> {
    let kind = EntityTypeName::from_str(kind).ok()?;
    Some(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

impl Engine {
    pub(super) fn compile(
        service: &str,
        actions: &[ActionShape],
        sources: Vec<PolicySource>,
    ) -> Result<(Self, Vec<Finding>), Vec<Finding>> {
        let schema_text = cedar_schema(actions);
        let internal = |what: &str| vec![Finding::whole("schema", what)];
        let (schema, _) = Schema::from_cedarschema_str(&schema_text)
            .map_err(|error| internal(&format!("the contract's schema is refused: {error}")))?;
        let mut loaded = load::load(sources, &schema, actions)?;
        for policy in &mut loaded {
            policy.sights = std::mem::take(&mut policy.sights).below(service);
        }
        let mut by_name = HashMap::new();
        let mut groups = HashMap::new();
        for name in actions.iter().map(|a| a.name.as_str()).chain([CONNECT]) {
            let action = uid("Action", name).ok_or_else(|| internal("no such action"))?;
            let upward =
                name.match_indices('.').filter_map(|(at, _)| uid("Action", name.get(..at)?));
            groups.insert(name.into(), upward.chain([action.clone()]).collect());
            by_name.insert(name.into(), action);
        }
        let service_uid = uid("Service", service).ok_or_else(|| internal("no such service"))?;
        let resources =
            EntityTypeName::from_str("Resource").map_err(|_| internal("no such resource"))?;
        let engine = Self {
            service: service_uid,
            resources,
            schema,
            schema_text,
            policies: loaded,
            actions: by_name,
            shapes: actions
                .iter()
                .map(|shape| (shape.name.as_str().into(), shape.clone()))
                .collect(),
            groups,
            slices: Mutex::default(),
            roles: None,
        };
        engine.admits_somebody(service)?;
        let warnings = engine.unused(actions);
        Ok((engine, warnings))
    }

    /// C2: a set in which no `permit` can fit the action `connect` admits nobody.
    fn admits_somebody(&self, service: &str) -> Result<(), Vec<Finding>> {
        if self.policies.iter().any(|p| p.permits && self.fits_action(&p.action, CONNECT)) {
            return Ok(());
        }
        let message = format!("service `{service}`: no policy permits anybody to connect");
        let hint = "`--allow NAME`, or a `permit` whose action is `connect`";
        Err(vec![Finding::whole("policy", message).check("C2").hint(hint)])
    }

    /// C14: an action that no policy permits is likely forgotten.
    fn unused(&self, actions: &[ActionShape]) -> Vec<Finding> {
        let permitted = |name: &str| {
            self.policies.iter().any(|p| p.permits && self.fits_action(&p.action, name))
        };
        actions
            .iter()
            .filter(|action| !permitted(&action.name))
            .map(|action| {
                let message = format!("no policy permits the action `{}`", action.name);
                Finding::whole("policy", message).check("C14").warning()
            })
            .collect()
    }

    fn fits_action(&self, constraint: &ActionConstraint, action: &str) -> bool {
        let Some(groups) = self.groups.get(action) else { return true };
        match constraint {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(one) => groups.last() == Some(one),
            ActionConstraint::In(list) => list.iter().any(|one| groups.contains(one)),
        }
    }

    /// The slice of a peer; connections with one certificate share it.
    pub(super) fn slice(&self, peer: &Peer) -> Arc<Slice> {
        let certificate = peer.certificate();
        let role = self.roles.as_ref().map(|rule| rule.of(peer));
        let named = role.as_ref().and_then(|role| role.as_deref().ok()).unwrap_or_default();
        let (issuer, serial) = (&certificate.issuer, &certificate.serial);
        let key = format!("{} {issuer} {serial} {named}", peer.identity());
        let mut slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slice) = slices.get(&key) {
            return Arc::clone(slice);
        }
        let slice = Arc::new(self.cut(peer, role));
        if slices.len() >= SLICES {
            slices.clear();
        }
        slices.insert(key, Arc::clone(&slice));
        slice
    }

    fn cut(&self, peer: &Peer, role: Option<Result<String, String>>) -> Slice {
        let identity = peer.identity().to_string();
        let principal = uid("Peer", &identity);
        let domain = peer.identity().trust_domain().and_then(|domain| uid("TrustDomain", domain));
        let named = role.as_ref().and_then(|role| uid("Role", role.as_deref().ok()?));
        let fits = |loaded: &&Loaded| match &loaded.principal {
            PrincipalConstraint::Eq(one) => Some(one) == principal.as_ref(),
            PrincipalConstraint::In(one) | PrincipalConstraint::IsIn(_, one) => {
                [&principal, &domain, &named].into_iter().any(|known| known.as_ref() == Some(one))
            }
            PrincipalConstraint::Any | PrincipalConstraint::Is(_) => true,
        };
        let fitting: Vec<&Loaded> = self.policies.iter().filter(fits).collect();
        let mut by_action = BTreeMap::new();
        for (name, action) in &self.actions {
            let of_action = fitting.iter().filter(|p| self.fits_action(&p.action, name));
            let (mut policies, mut reads) = (PolicySet::new(), Reads::default());
            let mut whole = true;
            for loaded in of_action {
                loaded.reads.iter().for_each(|path| reads.add(path));
                reads.sights.join(&loaded.sights);
                whole &= policies.add(loaded.policy.clone()).is_ok();
            }
            // Where a policy could not be added there is no such action, which denies.
            if whole {
                by_action.insert(name.clone(), Cut { action: action.clone(), policies, reads });
            }
        }
        let principal = principal.unwrap_or_else(|| self.service.clone());
        let parents = domain.into_iter().chain(named).collect();
        let entity = peer_entity(peer, principal.clone(), parents);
        let peer = entity.and_then(|e| Entities::from_entities([e], Some(&self.schema)).ok());
        Slice { principal, peer: peer.unwrap_or_else(Entities::empty), by_action, role }
    }

    pub(super) fn reads_context(&self, slice: &Slice, action: &str) -> bool {
        slice.by_action.get(action).is_none_or(|cut| !cut.reads.nothing())
    }

    pub(super) fn reads(&self, slice: &Slice, action: &str) -> Vec<String> {
        let Some(cut) = slice.by_action.get(action) else { return Vec::new() };
        let ids: HashSet<String> = cut.policies.policies().map(|p| p.id().to_string()).collect();
        let mut reads: Vec<String> = self
            .policies
            .iter()
            .filter(|p| ids.contains(&*p.id))
            .flat_map(|p| p.reads.iter())
            .map(|path| if path.is_empty() { "context".to_owned() } else { path.join(".") })
            .collect();
        reads.sort();
        reads.dedup();
        reads
    }

    /// What a decision about one resource is made of beside the connection, if that is all that
    /// it is made of: the key under which it may be kept, written into `room`.
    pub(super) fn key(
        &self,
        slice: &Slice,
        ask: &Ask<'_>,
        resource: Option<&str>,
        room: Vec<u8>,
    ) -> Option<Key> {
        let cut = slice.by_action.get(ask.action).filter(|cut| !cut.reads.now)?;
        let (read, session) = (cut.reads.of(ask), cut.reads.of_session(ask));
        let sights = &cut.reads.sights;
        self.fits(cut, ask, resource).then(|| Key::of(ask, resource, (read, session), sights, room))
    }

    /// Whether a question is of the types that the policies were checked against. What nobody
    /// reads is not looked at.
    fn fits(&self, cut: &Cut, ask: &Ask<'_>, resource: Option<&str>) -> bool {
        cut.reads.nothing()
            || match self.shapes.get(ask.action) {
                Some(shape) => fits(shape, resource.is_some(), ask),
                None => ask.action == CONNECT && resource.is_none(),
            }
    }

    /// Asks Cedar about one resource, or about the service itself. `placed` is that of this
    /// connection and slice.
    pub(super) fn decide(
        &self,
        slice: &Slice,
        ask: &Ask<'_>,
        resource: Option<&str>,
        (connection, now): (&ConnectionFacts, Now),
        placed: &mut Option<Placed>,
    ) -> Decision {
        let Some(cut) = slice.by_action.get(ask.action) else { return error("no such action") };
        if !self.fits(cut, ask, resource) {
            return error("the request does not fit the schema");
        }
        // Entities and context are of the schema by how they are made, and by `fits`; Cedar would
        // look at all of it again for every message.
        let known = placed.take().filter(|known| known.name.as_deref() == resource);
        let Some(known) = known.or_else(|| self.place(slice, resource)) else {
            return error("no such resource");
        };
        let Placed { uid, entities, .. } = &*placed.insert(known);
        let shape = self.shapes.get(ask.action);
        let Some(context) = cut.reads.context(ask, shape, connection, now) else {
            return error("the context has no type in the schema");
        };
        let (principal, action) = (slice.principal.clone(), cut.action.clone());
        let request = Request::new(principal, action, uid.clone(), context, None);
        let Ok(request) = request else { return error("the request does not fit the schema") };
        verdict(&Authorizer::new().is_authorized(&request, &cut.policies, entities))
    }

    /// A resource with its ancestors, beside the peer: `part/bolt` of service `inventory` is in
    /// `inventory/part` and in the service.
    fn place(&self, slice: &Slice, name: Option<&str>) -> Option<Placed> {
        let service = Entity::new_no_attrs(self.service.clone(), HashSet::new());
        let (mut all, mut parent) = (vec![service], self.service.clone());
        if let Some(name) = name {
            let prefix: &str = self.service.id().unescaped();
            let full = format!("{prefix}/{name}");
            let ends = full.match_indices('/').map(|(at, _)| at).skip(1).chain([full.len()]);
            for end in ends {
                let id = EntityId::new(full.get(..end)?);
                let uid = EntityUid::from_type_name_and_id(self.resources.clone(), id);
                let whole = RestrictedExpression::new_string(uid.id().unescaped().to_owned());
                let attributes = HashMap::from([("name".to_owned(), whole)]);
                all.push(Entity::new(uid.clone(), attributes, HashSet::from([parent])).ok()?);
                parent = uid;
            }
        }
        let entities = slice.peer.clone().add_entities(all, None).ok()?;
        Some(Placed { name: name.map(Into::into), uid: parent, entities })
    }

    pub(super) fn schema_text(&self) -> &str {
        &self.schema_text
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.policies.iter().map(|p| p.id.to_string()).collect()
    }
}

/// A peer beside a resource, as Cedar knows them: the next message is often about the same one.
#[derive(Debug)]
pub(super) struct Placed {
    /// The resource; none is the service itself.
    name: Option<Box<str>>,
    uid: EntityUid,
    entities: Entities,
}

/// What Cedar said, with every policy that erred as a denial.
fn verdict(response: &Response) -> Decision {
    let diagnostics = response.diagnostics();
    if let Some(first) = diagnostics.errors().next() {
        let ids: Vec<Box<str>> = diagnostics
            .errors()
            .map(|cedar_policy::AuthorizationError::PolicyEvaluationError(e)| {
                e.policy_id().to_string().into()
            })
            .collect();
        let detail = first.to_string().into();
        return Decision::Deny { reason: Reason::PolicyError, policies: ids.into(), detail };
    }
    let ids: Vec<Box<str>> = diagnostics.reason().map(|id| id.to_string().into()).collect();
    match response.decision() {
        cedar_policy::Decision::Allow => Decision::Permit(Ids::from(ids)),
        cedar_policy::Decision::Deny => {
            Decision::Deny { reason: Reason::PolicyDenied, policies: ids.into(), detail: "".into() }
        }
    }
}

fn error(detail: &str) -> Decision {
    Decision::Deny { reason: Reason::PolicyError, policies: Ids::from([]), detail: detail.into() }
}

fn peer_entity(peer: &Peer, principal: EntityUid, parents: HashSet<EntityUid>) -> Option<Entity> {
    let text = |s: &str| RestrictedExpression::new_string(s.to_owned());
    let facts = peer.certificate();
    let certificate = RestrictedExpression::new_record([
        ("serial".to_owned(), text(&facts.serial)),
        ("issuer".to_owned(), text(&facts.issuer)),
        ("not_before".to_owned(), datetime(facts.not_before.saturating_mul(1000))),
        ("not_after".to_owned(), datetime(facts.not_after.saturating_mul(1000))),
    ])
    .ok()?;
    let identity = peer.identity();
    let mut attributes = HashMap::from([
        ("name".to_owned(), text(&identity.to_string())),
        ("trust_domain".to_owned(), text(identity.trust_domain().unwrap_or_default())),
        ("last".to_owned(), text(identity.last())),
        ("certificate".to_owned(), certificate),
    ]);
    let profile = peer.claims().profile.map(|profile| ("profile".to_owned(), text(profile)));
    attributes.extend(profile);
    Entity::new(principal, attributes, parents).ok()
}

#[cfg(test)]
mod tests;
