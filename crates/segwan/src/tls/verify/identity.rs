//! V2 and V10: whom a certificate names, and whether that is who was meant.

use super::{Refusal, Verifier};
use crate::tls::trust::Rule;
use segwan_core::audit::shown;
use segwan_core::identity::{FOREIGN, Identity};
use segwan_core::rejection::Reason;
use segwan_pki::certificate::{Certificate, Name};

/// Whom a client means to reach: one identity, or a list of which any will do.
///
/// There is no default and no empty one: a client half that knows no name would hand its bytes to
/// whoever holds any certificate of the same Authority (F1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected(Vec<Identity>);

impl Expected {
    /// Exactly this identity.
    #[must_use]
    pub fn one(identity: Identity) -> Self {
        Self(vec![identity])
    }

    /// Any of these; `None` if there are none.
    #[must_use]
    pub fn any_of(identities: Vec<Identity>) -> Option<Self> {
        (!identities.is_empty()).then_some(Self(identities))
    }

    /// The identities.
    #[must_use]
    pub fn identities(&self) -> &[Identity] {
        &self.0
    }

    /// The identities as an operator reads them.
    pub(crate) fn text(&self) -> String {
        self.0.iter().map(Identity::to_string).collect::<Vec<_>>().join(" or ")
    }
}

impl Verifier {
    /// Exactly one identity, in our trust domain, and the expected one.
    pub(super) fn identify(&self, leaf: &Certificate) -> Result<Identity, Refusal> {
        let identity = match &self.rule {
            Rule::Mapped(mapping, _) => mapping.identify(leaf)?,
            Rule::Authority(_) | Rule::Files(_) => self.named(leaf)?,
        };
        if let Rule::Authority(domain) = &self.rule {
            if identity.trust_domain() != Some(domain.as_str()) {
                let why = format!("belongs to another trust domain than `{domain}`");
                return Err((Reason::WrongTrustDomain, why));
            }
            if identity.is_foreign() {
                let why = format!("holds a name below `{FOREIGN}/`, which no Authority hands out");
                return Err((Reason::IdentityInvalid, why));
            }
        }
        match &self.expected {
            Some(expected) if !expected.0.contains(&identity) => {
                Err((Reason::PeerNameMismatch, "is not the expected one".to_owned()))
            }
            _ => Ok(identity),
        }
    }

    /// The one identity that a certificate holds as it is.
    fn named(&self, leaf: &Certificate) -> Result<Identity, Refusal> {
        let invalid = |why: String| (Reason::IdentityInvalid, why);
        let uris: Vec<&str> = leaf.names.iter().filter_map(as_uri).collect();
        let dns: Vec<&str> = leaf.names.iter().filter_map(as_dns).collect();
        if let (Rule::Files(_), Some(expected)) = (&self.rule, &self.expected) {
            let named = |identity: &&Identity| matches!(identity, Identity::Dns(name) if dns.contains(&name.as_ref()));
            if let Some(identity) = expected.0.iter().find(named) {
                return Ok(identity.clone());
            }
        }
        match (&self.rule, uris.as_slice(), dns.as_slice()) {
            (_, [uri], _) => Identity::spiffe(uri).map_err(|_| {
                invalid(format!("holds `{}`, which is no identity", shown(uri.as_bytes())))
            }),
            (Rule::Files(_), [], [name]) => Identity::dns(name).map_err(|_| {
                invalid(format!("holds `{}`, which is no identity", shown(name.as_bytes())))
            }),
            (Rule::Files(_), [], several) if self.expected.is_some() && !several.is_empty() => {
                let names = shown(several.join(", ").as_bytes());
                Err((Reason::PeerNameMismatch, format!("holds the names `{names}`")))
            }
            (_, uris, dns) => {
                let (uris, dns) = (uris.len(), dns.len());
                Err(invalid(format!(
                    "holds {uris} URI names and {dns} DNS names, not exactly one identity"
                )))
            }
        }
    }
}

fn as_uri(name: &Name) -> Option<&str> {
    match name {
        Name::Uri(uri) => Some(uri),
        _ => None,
    }
}

fn as_dns(name: &Name) -> Option<&str> {
    match name {
        Name::Dns(dns) => Some(dns),
        _ => None,
    }
}
