//! `Identity`, `TrustDomain`, `Peer`: who is at the other end.
//!
//! Identities are compared byte for byte after their grammar was checked (`pki.md` section 3.1):
//! nothing is folded, normalised or matched by prefix.

use std::fmt;
use std::str::FromStr;

/// The realm in which one Authority hands out names, such as `shop.example`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(Box<str>);

/// Why a text is no identity or trust domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The text is no trust domain.
    #[error("`{0}` is not a trust domain: 1 to 255 of `a-z`, `0-9`, `-`, `.`, `_`")]
    TrustDomain(String),
    /// The text is no SPIFFE identity.
    #[error("`{0}` is not an identity of the form `spiffe://trust-domain/path`")]
    Spiffe(String),
    /// The text is no DNS name.
    #[error("`{0}` is not a lower-case DNS name")]
    Dns(String),
    /// The name is no path below a trust domain.
    #[error("`{0}` is not a name: segments of `A-Z`, `a-z`, `0-9`, `-`, `.`, `_` joined by `/`")]
    Name(String),
}

impl TrustDomain {
    /// The domain as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The identity of `name` in this domain: `app` is `spiffe://DOMAIN/app`.
    ///
    /// # Errors
    /// If `name` is not a path of allowed segments, or longer than 200 bytes.
    pub fn identity(&self, name: &str) -> Result<Identity, IdentityError> {
        if name.len() > 200 || !is_path(name) {
            return Err(IdentityError::Name(name.to_owned()));
        }
        Ok(Identity::Spiffe(format!("spiffe://{}/{name}", self.0).into()))
    }
}

impl FromStr for TrustDomain {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_');
        if (1..=255).contains(&text.len()) && text.bytes().all(good) {
            Ok(Self(text.into()))
        } else {
            Err(IdentityError::TrustDomain(text.to_owned()))
        }
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who somebody is, as a certificate says it.
///
/// The text form parses back: `spiffe://shop.example/app`, or `dns:app.shop.example` for
/// certificates of a foreign Authority that carry a DNS name. A common name is never an identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identity {
    /// A SPIFFE id, kept whole: `spiffe://trust-domain/path`.
    Spiffe(Box<str>),
    /// A DNS name in lower case, kept without the `dns:` of the text form.
    Dns(Box<str>),
}

impl Identity {
    /// A DNS identity.
    ///
    /// # Errors
    /// If `name` is not a lower-case DNS name without wildcard or trailing dot.
    pub fn dns(name: &str) -> Result<Self, IdentityError> {
        let label = |l: &str| {
            (1..=63).contains(&l.len())
                && !l.starts_with('-')
                && !l.ends_with('-')
                && l.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
        };
        if name.len() <= 253 && name.split('.').all(label) {
            Ok(Self::Dns(name.into()))
        } else {
            Err(IdentityError::Dns(name.to_owned()))
        }
    }

    /// A SPIFFE identity (SPIFFE-ID section 2; `pki.md` section 3.1).
    ///
    /// # Errors
    /// If the trust domain or the path breaks the grammar, or the whole exceeds 2048 bytes.
    pub fn spiffe(uri: &str) -> Result<Self, IdentityError> {
        let bad = || IdentityError::Spiffe(uri.to_owned());
        let rest = uri.strip_prefix("spiffe://").ok_or_else(bad)?;
        let (domain, path) = rest.split_once('/').ok_or_else(bad)?;
        if uri.len() > 2048 || domain.parse::<TrustDomain>().is_err() || !is_path(path) {
            return Err(bad());
        }
        Ok(Self::Spiffe(uri.into()))
    }

    /// The trust domain of a SPIFFE identity.
    #[must_use]
    pub fn trust_domain(&self) -> Option<&str> {
        match self {
            Self::Spiffe(uri) => uri.strip_prefix("spiffe://")?.split('/').next(),
            Self::Dns(_) => None,
        }
    }

    /// The path of a SPIFFE identity without its leading `/`, which is its registration name.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Spiffe(uri) => Some(uri.strip_prefix("spiffe://")?.split_once('/')?.1),
            Self::Dns(_) => None,
        }
    }

    /// Whether it is a name for whom a foreign authority vouches: `foreign/…`.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.path().is_some_and(|path| path.split('/').next() == Some(FOREIGN))
    }

    /// The foreign authority that vouches for it, as it is called here.
    #[must_use]
    pub fn foreign(&self) -> Option<&str> {
        let mut path = self.path()?.split('/');
        path.next().filter(|first| *first == FOREIGN).and_then(|_| path.next())
    }

    /// The last segment: what people call it.
    #[must_use]
    pub fn last(&self) -> &str {
        match self {
            Self::Spiffe(uri) => uri.rsplit('/').next().unwrap_or_default(),
            Self::Dns(name) => name,
        }
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("dns:") {
            Some(name) => Self::dns(name),
            None => Self::spiffe(text),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spiffe(uri) => f.write_str(uri),
            Self::Dns(name) => write!(f, "dns:{name}"),
        }
    }
}

/// First segment of the names of whom a foreign authority vouches for; no Authority hands it out.
pub const FOREIGN: &str = "foreign";

/// The names that one foreign authority may speak for: `spiffe://TRUST-DOMAIN/foreign/NAME/` and
/// what is below it. It makes no other identity, so whoever names peers by it cannot name one of
/// ours (`pki.md` section 17).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ForeignRealm {
    domain: TrustDomain,
    name: Box<str>,
}

impl ForeignRealm {
    /// The names below `foreign/NAME/`.
    ///
    /// # Errors
    /// If `name` is not one segment of a path.
    pub fn new(domain: &TrustDomain, name: &str) -> Result<Self, IdentityError> {
        domain.identity(name)?;
        if name.contains('/') {
            return Err(IdentityError::Name(name.to_owned()));
        }
        Ok(Self { domain: domain.clone(), name: name.into() })
    }

    /// What the foreign authority is called here.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The identity `foreign/NAME/REST`.
    ///
    /// # Errors
    /// If that is no name.
    pub fn identity(&self, rest: &str) -> Result<Identity, IdentityError> {
        self.domain.identity(&format!("{FOREIGN}/{}/{rest}", self.name))
    }

    /// Whether an identity is one of these.
    #[must_use]
    pub fn holds(&self, identity: &Identity) -> bool {
        let rest = || {
            let rest = identity.path()?.strip_prefix(FOREIGN)?.strip_prefix('/')?;
            rest.strip_prefix(&*self.name)?.strip_prefix('/')
        };
        identity.trust_domain() == Some(self.domain.as_str()) && rest().is_some()
    }
}

/// One or more segments of unreserved characters, none empty, `.` or `..`.
fn is_path(path: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    path.split('/').all(|s| !s.is_empty() && s != "." && s != ".." && s.bytes().all(good))
}

/// A peer whose certificate was verified: its identity, and the facts of the certificate.
///
/// A `Peer` is made by the verifier after a finished handshake (`segwan/tls/verify.rs`), and by
/// `segwan explain` for a peer that an operator supposes; `scripts/check` holds the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    identity: Identity,
    certificate: CertificateFacts,
    issued_under: Vec<IssuedUnder>,
    extensions: Vec<Extension>,
    claims: Claims,
    supposed_role: Option<String>,
}

/// What else a certificate says that may be read as a role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// Organizational units of its subject, in their order; `None` is one whose value is no text.
    pub units: Vec<Option<String>>,
    /// The word of the profile that its extended key usages are those of.
    pub profile: Option<&'static str>,
}

/// An extension of a certificate that verification does not read, such as one that names a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// Object identifier, as numbers joined by dots.
    pub oid: String,
    /// Its value, whatever that is; cut where it is longer than any role.
    pub value: Vec<u8>,
}

/// An issuing certificate between a peer's and the root, by what a revocation would name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedUnder {
    /// Key identifier, in lower-case hex, of the certificate that did issue it.
    pub issuer_key: String,
    /// Its serial number.
    pub serial: Vec<u8>,
}

/// What is kept of a verified certificate, for policies and the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Serial number in lower-case hex.
    pub serial: String,
    /// Key identifier of the issuer in lower-case hex, or its subject where it has none.
    pub issuer: String,
    /// Key identifier, in lower-case hex, of the certificate that did issue it; empty if neither
    /// it nor the certificate says one.
    pub issuer_key: String,
    /// SHA-256 of the `SubjectPublicKeyInfo` of each certificate of the verified path: the
    /// peer's own first, the root's last.
    pub keys: Vec<[u8; 32]>,
    /// First second of validity, Unix seconds.
    pub not_before: i64,
    /// Earliest end of validity on the verified path, Unix seconds.
    pub not_after: i64,
}

impl Peer {
    /// A peer that a finished handshake proved.
    #[must_use]
    pub fn authenticated(identity: Identity, certificate: CertificateFacts) -> Self {
        let (issued_under, extensions) = (Vec::new(), Vec::new());
        let claims = Claims::default();
        Self { identity, certificate, issued_under, extensions, claims, supposed_role: None }
    }

    /// With the issuing certificates of the verified path, the root not among them: the one that
    /// issued its own first.
    #[must_use]
    pub fn with_issued_under(self, issued_under: Vec<IssuedUnder>) -> Self {
        Self { issued_under, ..self }
    }

    /// With the extensions of its certificate that nobody read, in their order.
    #[must_use]
    pub fn with_extensions(self, extensions: Vec<Extension>) -> Self {
        Self { extensions, ..self }
    }

    /// With the units and the profile that its certificate says.
    #[must_use]
    pub fn with_claims(self, claims: Claims) -> Self {
        Self { claims, ..self }
    }

    /// With a role that an operator supposes for it; it counts instead of what a certificate says.
    #[must_use]
    pub fn supposing_role(self, role: Option<String>) -> Self {
        Self { supposed_role: role, ..self }
    }

    /// The issuing certificates of its path, the root not among them.
    #[must_use]
    pub fn issued_under(&self) -> &[IssuedUnder] {
        &self.issued_under
    }

    /// The extensions of its certificate that nobody read.
    #[must_use]
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// The units and the profile that its certificate says.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The role that an operator supposes for it.
    #[must_use]
    pub fn supposed_role(&self) -> Option<&str> {
        self.supposed_role.as_deref()
    }

    /// Who it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What its certificate says.
    #[must_use]
    pub fn certificate(&self) -> &CertificateFacts {
        &self.certificate
    }
}

#[cfg(test)]
impl CertificateFacts {
    /// Of a certificate that no test asks about.
    pub(crate) fn of_no_interest() -> Self {
        Self {
            serial: "01".to_owned(),
            issuer: "aa".to_owned(),
            issuer_key: "aa".to_owned(),
            keys: vec![],
            not_before: 0,
            not_after: 4_000_000_000,
        }
    }
}

#[cfg(test)]
impl Peer {
    /// Whoever calls itself so in a test.
    pub(crate) fn called(identity: &str) -> std::sync::Arc<Self> {
        let certificate = CertificateFacts::of_no_interest();
        std::sync::Arc::new(Self::authenticated(identity.parse().unwrap(), certificate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // PKI-13 (the grammar; the verifier has the rest)
    #[test]
    fn an_identity_outside_the_grammar_does_not_parse() {
        for bad in [
            "spiffe://TD/app",
            "spiffe://td",
            "spiffe://td/",
            "spiffe://td/a/",
            "spiffe://td//a",
            "spiffe://td/../a",
            "spiffe://td/.",
            "spiffe://td/%2e",
            "spiffe://td/a?x",
            "spiffe://td/a#x",
            "spiffe://td:1/a",
            "spiffe://u@td/a",
            "https://td/a",
            "SPIFFE://td/a",
            "spiffe:///a",
            "",
            "dns:",
            "dns:*.example",
            "dns:A.example",
            "dns:a.example.",
            "dns:-a.example",
        ] {
            assert!(bad.parse::<Identity>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_identity_prints_as_it_was_read() {
        for good in ["spiffe://shop.example/app", "spiffe://td/a/b_c-D.9", "dns:a.example"] {
            assert_eq!(good.parse::<Identity>().unwrap().to_string(), good);
        }
    }

    // PKI-72 (what a foreign authority can be mapped to)
    #[test]
    fn a_foreign_realm_makes_no_name_outside_itself() {
        let domain: TrustDomain = "shop.example".parse().unwrap();
        let realm = ForeignRealm::new(&domain, "plant").unwrap();
        let press = realm.identity("press-7").unwrap();
        assert_eq!(press.to_string(), "spiffe://shop.example/foreign/plant/press-7");
        assert!(press.is_foreign() && realm.holds(&press));
        for rest in ["", "..", "../app", "../../app", "a//b", "/a", "a/", "a b", "a%2f", "a\0"] {
            assert!(realm.identity(rest).is_err(), "{rest}");
        }
        for name in ["", ".", "..", "a/b", "plant/../.."] {
            assert!(ForeignRealm::new(&domain, name).is_err(), "{name}");
        }
        for other in
            ["app", "foreign/plant2/a", "foreign/plan/a", "foreignplant/a", "x/foreign/plant/a"]
        {
            assert!(!realm.holds(&domain.identity(other).unwrap()), "{other}");
        }
        assert!(!realm.holds(&"spiffe://other.example/foreign/plant/a".parse().unwrap()));
        assert!(!domain.identity("foreigner/a").unwrap().is_foreign());
    }

    #[test]
    fn a_name_belongs_to_its_trust_domain() {
        let domain: TrustDomain = "shop.example".parse().unwrap();
        let identity = domain.identity("team/app").unwrap();
        assert_eq!(identity.to_string(), "spiffe://shop.example/team/app");
        assert_eq!(identity.trust_domain(), Some("shop.example"));
        assert_eq!(identity.path(), Some("team/app"));
        assert_eq!(identity.last(), "app");
        assert!(domain.identity("../root").is_err());
    }
}
