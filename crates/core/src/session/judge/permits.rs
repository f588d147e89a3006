//! The step of policy: whether this peer may do what a message asks, or have what is pushed.

use super::{Authorized, Valid};
use crate::contract::value::Value;
use crate::contract::{Asking, Contract};
use crate::now::Now;
use crate::policy::{Ask, Ids, Policy};
use crate::rejection::{Class, Reason, Violation};
use crate::session::open::Key;
use crate::session::refuse::{Denied, Refusal};
use crate::session::{Kept, Session, Warrant};

/// A value that a policy sees, by its name.
type Shown<'v> = (&'v str, &'v Value<'v>);

impl Session {
    /// Asks the policy in force about a message. A push is asked about as a request is: whether the
    /// peer may have it.
    pub(super) fn authorize<'a>(
        &mut self,
        contract: &Contract,
        asking: Option<&Asking>,
        valid: Valid<'a>,
        (key, kept): (Option<Key>, Kept),
        policy: Option<&Policy>,
        now: Now,
    ) -> Result<Authorized<'a>, Refusal<'a>> {
        let Valid { message, tree } = valid;
        let mut resources = Vec::new();
        let Some(asking) = asking else {
            // The Permit of the connection covers it.
            return Ok(Authorized { message, tree, key, resources, policies: None, kept });
        };
        if let Some(template) = &asking.resource
            && let Err(violation) = template.names(
                &tree,
                self.remembered.as_value(),
                contract.limits.resources,
                &mut resources,
            )
        {
            let class = if violation.reason == Reason::ResourceEmpty {
                Class::Invalid
            } else {
                Class::Limit
            };
            return Err(Refusal::of(violation, message, tree).class(class));
        }
        let (violation, policies) = match self.permits(asking, &tree, &resources, policy, now) {
            Ok(policies) => {
                return Ok(Authorized { message, tree, key, resources, policies, kept });
            }
            Err(denial) => denial,
        };
        let refusal = Refusal::of(violation, message, tree).class(Class::Denied);
        Err(Refusal { denied: Some(Box::new(Denied { resources, policies })), ..refusal })
    }

    /// Whether the peer may have an action done, and the policies that decided.
    fn permits(
        &mut self,
        asking: &Asking,
        tree: &Value<'_>,
        resources: &[String],
        policy: Option<&Policy>,
        now: Now,
    ) -> Result<Option<Ids>, (Violation, Vec<String>)> {
        let denied = |reason, sentence| Err((Violation::new(reason, sentence), Vec::new()));
        let (permit, policy) = match (&self.warrant, policy) {
            (Warrant::NotJudged, _) | (Warrant::Rehearsed(true), _) => return Ok(None),
            (Warrant::Rehearsed(false), _) => {
                return denied(Reason::PolicyDenied, "no policy permits it");
            }
            (Warrant::Permit(_), None) => {
                return denied(Reason::PolicyError, "there is no policy in force");
            }
            (Warrant::Permit(permit), Some(policy)) => (permit, policy),
        };
        // A context is built only where a policy of this peer reads it.
        let (mut context, mut session): (Vec<Shown<'_>>, Vec<Shown<'_>>) = Default::default();
        if policy.needs_context(permit, &asking.action) {
            let shown = asking.context.iter();
            context.extend(shown.filter_map(|(name, at)| Some((name.as_str(), at.get(tree)?))));
            let (names, known) = (asking.shape.session.iter(), self.remembered.as_value());
            session.extend(names.filter_map(|of| Some((&*of.name, known.member(&of.name)?))));
        }
        let (action, context, session) = (&*asking.action, &*context, &*session);
        let ask = Ask { action, resources, context, session };
        match policy.authorize(permit, &mut self.cache, &ask, now) {
            Ok(grant) => Ok(Some(grant.policies)),
            Err(denial) => Err((Violation::new(denial.reason, denial.sentence), denial.policies)),
        }
    }
}
