//! `RoleRule`: where a peer's role is read, which a policy then knows as `Role::"NAME"`.
//!
//! A role is vouched for by whoever issued the certificate. What is not exactly one acceptable
//! role counts as none, and the sentence says why; nothing is guessed, trimmed or folded.

use crate::audit::shown;
use crate::identity::{Identity, Peer};

/// Longest role, in characters.
const LONGEST: usize = 64;

/// `[identity] role` of a contract (`contracts.md` section 15.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRule {
    pub(crate) source: RoleSource,
    /// Whether a peer without a role is refused when it connects. Otherwise it has no `Role`, and
    /// every message is decided without one.
    pub(crate) refuse: bool,
    /// The roles that there are; any other counts as none. Default: any.
    pub(crate) allow: Option<Vec<String>>,
    /// Who may vouch for a role: trust domains, and foreign authorities by their names here.
    /// Default: whoever issues our own identities, and no foreign one.
    pub(crate) issuers: Option<Vec<String>>,
}

/// Where a role stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RoleSource {
    /// An extension of the certificate, and the type of its one string.
    Extension {
        /// Its object identifier, such as `1.3.6.1.4.1.50316.802.1`.
        oid: String,
        /// The type of the string in it.
        of: StringType,
    },
    /// A segment of the identity's path: what stands before and behind it, where `*` is any one.
    Path {
        /// The segments before the role.
        before: Vec<String>,
        /// The segments behind it.
        behind: Vec<String>,
    },
    /// The one organizational unit of the certificate's subject.
    Unit,
    /// The profile by which the certificate was issued.
    Profile,
}

/// The string types of X.680 that may hold a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StringType {
    /// UTF8String.
    Utf8,
    /// IA5String.
    Ia5,
    /// PrintableString.
    Printable,
}

impl StringType {
    /// The types by their names in a contract.
    pub(crate) const NAMES: [(&'static str, Self); 3] =
        [("utf8", Self::Utf8), ("ia5", Self::Ia5), ("printable", Self::Printable)];

    fn tag(self) -> u8 {
        match self {
            Self::Utf8 => 0x0c,
            Self::Ia5 => 0x16,
            Self::Printable => 0x13,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF8String",
            Self::Ia5 => "IA5String",
            Self::Printable => "PrintableString",
        }
    }
}

impl RoleRule {
    /// The role of a peer.
    ///
    /// # Errors
    /// Why it has none, as a clause: `it has no role: the extension is there twice`.
    pub fn of(&self, peer: &Peer) -> Result<String, String> {
        let role = match peer.supposed_role() {
            Some(role) => Ok(role.to_owned()),
            None => self.vouched(peer.identity()).and_then(|()| self.source.read(peer)),
        };
        role.and_then(|role| self.acceptable(role)).map_err(|why| format!("it has no role: {why}"))
    }

    /// Where the role stands, which there are and who vouches for them, in words for a reviewer.
    #[must_use]
    pub fn told(&self) -> String {
        let listed = |all: &[String]| {
            all.iter().map(|one| format!("`{one}`")).collect::<Vec<_>>().join(", ")
        };
        let source = match &self.source {
            RoleSource::Extension { oid, of } => {
                format!("the one {} in extension {oid} of its certificate", of.name())
            }
            RoleSource::Path { before, behind } => {
                let role = ["{role}".to_owned()];
                let path: Vec<&str> =
                    before.iter().chain(&role).chain(behind).map(String::as_str).collect();
                format!("in the path of its identity, `/{}`", path.join("/"))
            }
            RoleSource::Unit => "the one organizational unit of its certificate".to_owned(),
            RoleSource::Profile => "the profile of its certificate".to_owned(),
        };
        let roles = match &self.allow {
            Some(allow) => format!("one of {}", listed(allow)),
            None => "any name; the policies say which of them have rights".to_owned(),
        };
        let issuers = match &self.issuers {
            Some(issuers) => format!(" {} may vouch for it.", listed(issuers)),
            None => String::new(),
        };
        format!("A peer's role is {source}: {roles}.{issuers}")
    }

    /// Whether a peer without a role may not even connect.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.refuse
    }

    /// A foreign authority vouches for names below its own, and for no rights unless it is listed.
    fn vouched(&self, identity: &Identity) -> Result<(), String> {
        let lists =
            |name: &str| self.issuers.as_ref().is_some_and(|all| all.iter().any(|n| n == name));
        match (identity.foreign(), identity.trust_domain()) {
            (Some(authority), _) if lists(authority) => Ok(()),
            (Some(_), _) => Err("a foreign authority vouches for none".to_owned()),
            (None, _) if self.issuers.is_none() => Ok(()),
            (None, Some(domain)) if lists(domain) => Ok(()),
            (None, _) => Err("whoever issued its certificate may vouch for none".to_owned()),
        }
    }

    fn acceptable(&self, role: String) -> Result<String, String> {
        if role.is_empty() {
            return Err("it is empty".to_owned());
        }
        if role.len() > LONGEST {
            return Err(format!("{} bytes are over {LONGEST}", role.len()));
        }
        let told = shown(role.as_bytes());
        if !role.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("`{told}` has other than visible ASCII characters"));
        }
        match &self.allow {
            Some(allow) if !allow.contains(&role) => Err(format!("`{told}` is not allowed")),
            _ => Ok(role),
        }
    }
}

impl RoleSource {
    fn read(&self, peer: &Peer) -> Result<String, String> {
        match self {
            Self::Extension { oid, of } => {
                let mut found = peer.extensions().iter().filter(|e| e.oid == *oid);
                match (found.next(), found.next()) {
                    (None, _) => Err(format!("there is no extension {oid}")),
                    (Some(one), None) => string(&one.value, *of),
                    (Some(_), Some(_)) => Err(format!("the extension {oid} is there twice")),
                }
            }
            Self::Path { before, behind } => {
                let path: Vec<&str> =
                    peer.identity().path().unwrap_or_default().split('/').collect();
                let fits = |wanted: &str, is: &str| wanted == "*" || wanted == is;
                let role = path.get(before.len()).filter(|_| {
                    let all = before.iter().map(String::as_str).chain(["*"]);
                    let all = all.chain(behind.iter().map(String::as_str));
                    path.len() == before.len() + 1 + behind.len()
                        && all.zip(&path).all(|(wanted, is)| fits(wanted, is))
                });
                role.map(|role| (*role).to_owned())
                    .ok_or_else(|| "its identity's path names none".to_owned())
            }
            Self::Unit => match peer.claims().units.as_slice() {
                [] => Err("its subject has no organizational unit".to_owned()),
                [Some(unit)] => Ok(unit.clone()),
                [None] => Err("its organizational unit is no text".to_owned()),
                [_, _, ..] => Err("its subject has more than one organizational unit".to_owned()),
            },
            Self::Profile => peer
                .claims()
                .profile
                .map(str::to_owned)
                .ok_or_else(|| "its key usages are those of no profile".to_owned()),
        }
    }
}

/// The one DER string that a value holds: its type, a short length, all of the rest.
fn string(value: &[u8], of: StringType) -> Result<String, String> {
    let [tag, length, content @ ..] = value else {
        return Err(format!("the extension holds no {}", of.name()));
    };
    if *tag != of.tag() {
        return Err(format!("the extension holds type {tag:#04x}, not a {}", of.name()));
    }
    // Lengths from 128 have another form, and no role is so long.
    if *length >= 0x80 {
        return Err(format!("it is over {LONGEST} bytes"));
    }
    if usize::from(*length) != content.len() {
        return Err("the extension's length is not that of its content".to_owned());
    }
    String::from_utf8(content.to_vec()).map_err(|_| "it is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests;
