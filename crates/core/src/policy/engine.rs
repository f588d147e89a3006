//! `Engine`: the one door to Cedar. An error while evaluating is a denial.
//!
//! Cedar by itself skips a policy that errs, so a `forbid` that overflows would not forbid
//! (`crates.md` DEP-30); and it evaluates every policy of a set, so a set is cut once per
//! certificate to what can fit its peer (AZ-1).

mod load;

use super::schema::{ActionShape, cedar_schema};
use super::{Ask, CONNECT, ConnectionFacts, Decision, Ids, PolicySource};
use crate::contract::role::RoleRule;
use crate::contract::value::Value;
use crate::finding::Finding;
use crate::identity::{Identity, Peer};
use crate::now::Now;
use crate::rejection::Reason;
use cedar_policy::{
    ActionConstraint, Authorizer, Context, Entities, Entity, EntityId, EntityTypeName, EntityUid,
    PolicySet, PrincipalConstraint, Request, RestrictedExpression, Schema,
};
use std::collections::{HashMap, HashSet};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

/// Most slices that are kept, one for each certificate that was admitted.
const SLICES: usize = 4096;

/// The compiled policies of one service.
#[derive(Debug)]
pub(super) struct Engine {
    service: EntityUid,
    schema: Schema,
    schema_text: String,
    policies: Vec<Loaded>,
    actions: HashMap<Box<str>, EntityUid>,
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
    /// What of the context its conditions read, as dotted paths.
    reads: Vec<String>,
}

/// The policies that can fit one peer, and the peer as Cedar knows it.
#[derive(Debug)]
pub(super) struct Slice {
    principal: EntityUid,
    peer: Entities,
    /// For each action: its policies, and whether one of them reads the context.
    by_action: HashMap<Box<str>, (PolicySet, bool)>,
    /// The role, or why there is none; nothing where the service has no roles.
    pub(super) role: Option<Result<String, String>>,
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
        let loaded = load::load(sources, &schema, actions)?;
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
        let engine = Self {
            service: service_uid,
            schema,
            schema_text,
            policies: loaded,
            actions: by_name,
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
        let mut by_action = HashMap::new();
        for name in self.actions.keys() {
            let of_action = fitting.iter().filter(|p| self.fits_action(&p.action, name));
            let mut set = PolicySet::new();
            let mut reads = false;
            for loaded in of_action {
                reads |= !loaded.reads.is_empty();
                // A policy that cannot be added must not be missing silently.
                reads |= set.add(loaded.policy.clone()).is_err();
            }
            by_action.insert(name.clone(), (set, reads));
        }
        let principal = principal.unwrap_or_else(|| self.service.clone());
        let parents = domain.into_iter().chain(named).collect();
        let entity = peer_entity(peer, principal.clone(), parents);
        let peer = entity.and_then(|e| Entities::from_entities([e], Some(&self.schema)).ok());
        Slice { principal, peer: peer.unwrap_or_else(Entities::empty), by_action, role }
    }

    pub(super) fn reads_context(&self, slice: &Slice, action: &str) -> bool {
        slice.by_action.get(action).is_none_or(|(_, reads)| *reads)
    }

    pub(super) fn reads(&self, slice: &Slice, action: &str) -> Vec<String> {
        let Some((set, _)) = slice.by_action.get(action) else { return Vec::new() };
        let ids: HashSet<String> = set.policies().map(|p| p.id().to_string()).collect();
        let mut reads: Vec<String> = self
            .policies
            .iter()
            .filter(|p| ids.contains(&*p.id))
            .flat_map(|p| p.reads.iter().cloned())
            .collect();
        reads.sort();
        reads.dedup();
        reads
    }

    /// Asks Cedar, once for each resource; the first denial decides.
    pub(super) fn decide(
        &self,
        slice: &Slice,
        ask: &Ask<'_>,
        connection: &ConnectionFacts,
        now: Now,
    ) -> Decision {
        if ask.resources.is_empty() {
            return self.one(slice, ask, None, connection, now);
        }
        let mut last = error("nothing was asked");
        for name in ask.resources {
            last = self.one(slice, ask, Some(name), connection, now);
            if !matches!(last, Decision::Permit(_)) {
                return last;
            }
        }
        last
    }

    fn one(
        &self,
        slice: &Slice,
        ask: &Ask<'_>,
        resource: Option<&str>,
        connection: &ConnectionFacts,
        now: Now,
    ) -> Decision {
        let (Some(action), Some((set, reads))) =
            (self.actions.get(ask.action), slice.by_action.get(ask.action))
        else {
            return error("no such action");
        };
        let Some(resource) = self.resource(resource) else { return error("no such resource") };
        let Ok(entities) = slice.peer.clone().add_entities(resource.entities, Some(&self.schema))
        else {
            return error("the resource does not fit the schema");
        };
        // A context that nobody reads is not checked; one that is read is held to the schema.
        let (context, schema) = if *reads {
            (context(ask, connection, now), Some(&self.schema))
        } else {
            (Some(Context::empty()), None)
        };
        let Some(context) = context else { return error("the context has no type in the schema") };
        let request =
            Request::new(slice.principal.clone(), action.clone(), resource.uid, context, schema);
        let Ok(request) = request else { return error("the request does not fit the schema") };
        let response = Authorizer::new().is_authorized(&request, set, &entities);
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
            cedar_policy::Decision::Deny => Decision::Deny {
                reason: Reason::PolicyDenied,
                policies: ids.into(),
                detail: "".into(),
            },
        }
    }

    /// A resource with its ancestors: `part/bolt` of service `inventory` is in
    /// `inventory/part` and in the service.
    fn resource(&self, name: Option<&str>) -> Option<Resource> {
        let service = Entity::new_no_attrs(self.service.clone(), HashSet::new());
        let Some(name) = name else {
            return Some(Resource { uid: self.service.clone(), entities: vec![service] });
        };
        let prefix: &str = self.service.id().unescaped();
        let full = format!("{prefix}/{name}");
        let mut entities = vec![service];
        let mut parent = self.service.clone();
        let ends = full.match_indices('/').map(|(at, _)| at).skip(1).chain([full.len()]);
        for end in ends {
            let uid = uid("Resource", full.get(..end)?)?;
            let whole = RestrictedExpression::new_string(uid.id().unescaped().to_owned());
            let attributes = HashMap::from([("name".to_owned(), whole)]);
            let parents = HashSet::from([parent]);
            entities.push(Entity::new(uid.clone(), attributes, parents).ok()?);
            parent = uid;
        }
        Some(Resource { uid: parent, entities })
    }

    pub(super) fn schema_text(&self) -> &str {
        &self.schema_text
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.policies.iter().map(|p| p.id.to_string()).collect()
    }
}

struct Resource {
    uid: EntityUid,
    entities: Vec<Entity>,
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
    let attributes = HashMap::from([
        ("name".to_owned(), text(&identity.to_string())),
        ("trust_domain".to_owned(), text(identity.trust_domain().unwrap_or_default())),
        ("last".to_owned(), text(identity.last())),
        ("certificate".to_owned(), certificate),
    ]);
    Entity::new(principal, attributes, parents).ok()
}

/// What the gateway knows and, apart from it, what the message says.
fn context(ask: &Ask<'_>, connection: &ConnectionFacts, now: Now) -> Option<Context> {
    let known = RestrictedExpression::new_record([
        ("address".to_owned(), RestrictedExpression::new_ip(connection.address.to_string())),
        ("started".to_owned(), datetime(connection.started_unix_ms)),
        ("tls".to_owned(), RestrictedExpression::new_string(connection.tls.to_owned())),
    ])
    .ok()?;
    let mut pairs =
        vec![("now".to_owned(), datetime(now.unix_ms)), ("connection".to_owned(), known)];
    if ask.action != CONNECT {
        let member =
            |(name, value): &(&str, &Value<'_>)| Some(((*name).to_owned(), expression(value)?));
        let members = ask.context.iter().map(member).collect::<Option<Vec<_>>>()?;
        pairs.push(("message".to_owned(), RestrictedExpression::new_record(members).ok()?));
    }
    Context::from_pairs(pairs).ok()
}

fn expression(value: &Value<'_>) -> Option<RestrictedExpression> {
    match value {
        Value::Int(number) => Some(RestrictedExpression::new_long(*number)),
        Value::Bool(flag) => Some(RestrictedExpression::new_bool(*flag)),
        Value::Text(text) => Some(RestrictedExpression::new_string(text.to_string())),
        Value::List(list) => {
            let all = list.iter().map(expression).collect::<Option<Vec<_>>>()?;
            Some(RestrictedExpression::new_set(all))
        }
        Value::Map(members) => {
            let all = members.iter().map(|(k, v)| Some((k.to_string(), expression(v)?)));
            RestrictedExpression::new_record(all.collect::<Option<Vec<_>>>()?).ok()
        }
        // What is no text has no type in a policy, which denies.
        Value::Bytes(bytes) => {
            let text = std::str::from_utf8(bytes).ok()?;
            Some(RestrictedExpression::new_string(text.to_owned()))
        }
        Value::Null | Value::Float(_) => None,
    }
}

/// Unix milliseconds as Cedar reads an instant (Howard Hinnant's civil-from-days).
fn datetime(unix_ms: i64) -> RestrictedExpression {
    let (days, ms) = (unix_ms.div_euclid(86_400_000), unix_ms.rem_euclid(86_400_000));
    let z = days + 719_468;
    let (era, day_of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = (year_of_era + era * 400 + i64::from(month <= 2)).clamp(0, 9999);
    let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let text = format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z", ms % 1000);
    RestrictedExpression::new_datetime(text)
}
