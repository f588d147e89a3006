//! Who is at the other end, as rules read it: `peer`.

use crate::contract::rule::Look;
use crate::contract::value::{Pointer, Value};
use crate::identity::Identity;

/// The tree of `peer`.
#[derive(Debug)]
pub(super) struct Speaker(Value<'static>);

impl Look for Speaker {
    fn look<'s>(&'s self, at: &Pointer) -> Option<&'s Value<'s>> {
        at.get(&self.0)
    }
}

/// Who speaks. What an identity does not have, such as the trust domain of a DNS name, is absent.
pub(super) fn speaker(identity: &Identity, roles: &[String]) -> Speaker {
    let text = |text: &str| Value::Text(text.to_owned().into());
    let mut members =
        vec![("name".into(), text(&identity.to_string())), ("last".into(), text(identity.last()))];
    members.extend(identity.trust_domain().map(|domain| ("trust_domain".into(), text(domain))));
    let dns = match identity {
        Identity::Dns(name) => vec![text(name)],
        Identity::Spiffe(_) => Vec::new(),
    };
    members.push(("dns".into(), Value::List(dns)));
    members.push(("roles".into(), Value::List(roles.iter().map(|role| text(role)).collect())));
    Speaker(Value::Map(members))
}
