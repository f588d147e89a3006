//! `Plain`: Cedar as it comes, which says what the engine must decide.

use super::actions;
use crate::contract::value::Value;
use crate::policy::engine::context::{datetime, expression};
use crate::policy::engine::*;
use cedar_policy::Context;

/// Every policy of the file, uncut, with every entity and the whole context, held to the schema by
/// Cedar itself; an error is a denial.
pub(super) struct Plain {
    policies: PolicySet,
    schema: Schema,
}

impl Plain {
    pub(super) fn of(text: &str) -> Self {
        let mut policies = PolicySet::new();
        for policy in PolicySet::from_str(text).unwrap().policies() {
            let id = policy.annotation("id").unwrap();
            policies.add(policy.new_id(cedar_policy::PolicyId::new(id))).unwrap();
        }
        let (schema, _) = Schema::from_cedarschema_str(&cedar_schema(&actions())).unwrap();
        Self { policies, schema }
    }

    fn entities(&self, peer: &Peer, resource: Option<&str>) -> (EntityUid, Entities) {
        let service = uid("Service", "plc").unwrap();
        let principal = uid("Peer", &peer.identity().to_string()).unwrap();
        let domain = uid("TrustDomain", peer.identity().trust_domain().unwrap()).unwrap();
        let mut all = vec![
            peer_entity(peer, principal, HashSet::from([domain])).unwrap(),
            Entity::new_no_attrs(service.clone(), HashSet::new()),
        ];
        let (mut name, mut parent) = ("plc".to_owned(), service);
        for segment in resource.iter().flat_map(|resource| resource.split('/')) {
            name = format!("{name}/{segment}");
            let one = uid("Resource", &name).unwrap();
            let attributes = HashMap::from([(
                "name".to_owned(),
                RestrictedExpression::new_string(name.clone()),
            )]);
            all.push(Entity::new(one.clone(), attributes, HashSet::from([parent])).unwrap());
            parent = one;
        }
        (parent, Entities::from_entities(all, Some(&self.schema)).unwrap())
    }

    fn context(ask: &Ask<'_>, connection: &ConnectionFacts, now: Now) -> Option<Context> {
        let known = RestrictedExpression::new_record([
            ("address".to_owned(), RestrictedExpression::new_ip(connection.address.to_string())),
            ("started".to_owned(), datetime(connection.started_unix_ms)),
            ("tls".to_owned(), RestrictedExpression::new_string(connection.tls.to_owned())),
        ]);
        let record = |named: &[(&str, &Value<'_>)]| {
            let members = named.iter().map(|(name, v)| Some(((*name).to_owned(), expression(v)?)));
            RestrictedExpression::new_record(members.collect::<Option<Vec<_>>>()?).ok()
        };
        let pairs = [
            ("now".to_owned(), datetime(now.unix_ms)),
            ("connection".to_owned(), known.unwrap()),
            ("message".to_owned(), record(ask.context)?),
            ("session".to_owned(), record(ask.session)?),
        ];
        Some(Context::from_pairs(pairs).unwrap())
    }

    /// The policies that permit, or the reason why not and those that forbid or err; all in order.
    pub(super) fn one(
        &self,
        peer: &Peer,
        ask: &Ask<'_>,
        resource: Option<&str>,
        connection: &ConnectionFacts,
        (now, reads): (Now, bool),
    ) -> Result<Vec<String>, (Reason, Vec<String>)> {
        let refused = Err((Reason::PolicyError, Vec::new()));
        let (resource, entities) = self.entities(peer, resource);
        // What no policy reads is neither built nor checked.
        let context =
            if reads { Self::context(ask, connection, now) } else { Some(Context::empty()) };
        let Some(context) = context else { return refused };
        let principal = uid("Peer", &peer.identity().to_string()).unwrap();
        let action = uid("Action", ask.action).unwrap();
        let schema = reads.then_some(&self.schema);
        let Ok(request) = Request::new(principal, action, resource, context, schema) else {
            return refused;
        };
        let response = Authorizer::new().is_authorized(&request, &self.policies, &entities);
        let (mut erred, mut decided): (Vec<_>, Vec<_>) = (
            response
                .diagnostics()
                .errors()
                .map(|cedar_policy::AuthorizationError::PolicyEvaluationError(e)| {
                    e.policy_id().to_string()
                })
                .collect(),
            response.diagnostics().reason().map(ToString::to_string).collect(),
        );
        erred.sort();
        decided.sort();
        match response.decision() {
            _ if !erred.is_empty() => Err((Reason::PolicyError, erred)),
            cedar_policy::Decision::Allow => Ok(decided),
            cedar_policy::Decision::Deny => Err((Reason::PolicyDenied, decided)),
        }
    }
}
