//! `AuthorityError`: what went wrong, for the operator; what of it is an alarm; and the one word that
//! a peer hears.

use crate::custody::CustodyError;
use crate::directory::DirectoryError;
use crate::key::KeyError;
use crate::store::StoreError;
use crate::x509::X509Error;
use segwan_core::identity::IdentityError;

/// Why the Authority could not do what was asked. `Display` is the operator's sentence; what the
/// peer hears is [`refusal`](Self::refusal).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// The state directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A certificate or request is not acceptable.
    #[error(transparent)]
    X509(#[from] X509Error),
    /// A key cannot be made or read.
    #[error("the Authority's key: {0}")]
    Key(#[from] KeyError),
    /// Something about the custody of keys is refused.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// The clock of this host cannot be right.
    #[error(
        "the clock of this host says {now}, which is before this program was built ({built}): \
         clock_before_build"
    )]
    ClockBeforeBuild {
        /// What it says.
        now: String,
        /// What it should be after.
        built: String,
    },
    /// A name is none.
    #[error(transparent)]
    Name(#[from] IdentityError),
    /// Part of the Authority's state is missing.
    #[error("the Authority's state is not whole: {0}")]
    Broken(String),
    /// The trust domain was fixed when the Authority was made.
    #[error("the Authority's trust domain is `{is}`, not `{asked}`; it was fixed at first start")]
    TrustDomain {
        /// What it is.
        is: String,
        /// What was asked for.
        asked: String,
    },
    /// A name is registered for another use.
    #[error("`{name}` is registered as a {is}, not as a {asked}")]
    OtherProfile {
        /// The name.
        name: String,
        /// What it is.
        is: String,
        /// What was asked for.
        asked: String,
    },
    /// Nobody of that name is registered.
    #[error("no registration is called `{0}`")]
    NotRegistered(String),
    /// Too many tokens are open.
    #[error("{0} tokens are open, which is the most there may be")]
    TooManyTokens(i64),
    /// A token is not good.
    #[error("token refused: {0}")]
    Token(String),
    /// A token was used before, by another key.
    #[error(
        "a token of `{name}` was used a second time, with another key: first from {first}, now from \
         {second}; `segwan revoke lineage:{lineage}` takes back what the first one got"
    )]
    TokenReused {
        /// The registration.
        name: String,
        /// Where it was used first.
        first: String,
        /// Where it came from now.
        second: String,
        /// The lineage that the first use began.
        lineage: String,
    },
    /// A renewal is not granted.
    #[error("renewal refused: {0}")]
    Renewal(String),
    /// A certificate under one of our keys that was never recorded.
    #[error(
        "renewal refused: the certificate {serial} carries our signature and was never recorded here \
         (unrecorded)"
    )]
    Unrecorded {
        /// Its serial number.
        serial: String,
    },
    /// Two holders of one identity.
    #[error(
        "renewal refused: the certificate {serial} of `{name}` was superseded by one that is in use \
         (superseded); somebody else may hold its key: `segwan revoke lineage:{lineage}` ends both"
    )]
    Forked {
        /// The registration.
        name: String,
        /// The certificate that came late.
        serial: String,
        /// The lineage.
        lineage: String,
    },
    /// The issuer's own life is nearly over.
    #[error("the issuing certificate ends on {0}, too soon to issue under it")]
    IssuerExpiring(String),
    /// A registration is not possible as it was asked for.
    #[error("registration `{name}`: {why}")]
    Registration {
        /// Its name.
        name: String,
        /// Why not.
        why: String,
    },
    /// What is to be revoked cannot be found or understood.
    #[error("{0}")]
    Selector(String),
}

impl AuthorityError {
    /// What the peer hears: an HTTP status and one word, the same for every bad token.
    #[must_use]
    pub fn refusal(&self) -> (u16, &'static str) {
        match self {
            Self::Token(_) | Self::TokenReused { .. } => (403, "token_refused"),
            Self::Renewal(_)
            | Self::Unrecorded { .. }
            | Self::Forked { .. }
            | Self::NotRegistered(_) => (403, "renewal_refused"),
            Self::X509(X509Error::Request(_)) => (422, "request_refused"),
            Self::Store(_) | Self::Directory(_) | Self::IssuerExpiring(_) => (503, "unavailable"),
            _ => (500, "internal"),
        }
    }

    /// The alarm that it is, if it is one.
    #[must_use]
    pub fn alarm(&self) -> Option<&'static str> {
        match self {
            Self::TokenReused { .. } => Some("token_reused"),
            Self::Unrecorded { .. } => Some("unrecorded_certificate"),
            Self::Forked { .. } => Some("lineage_forked"),
            Self::X509(X509Error::SelfCheck(_)) => Some("self_check_failed"),
            Self::X509(X509Error::RngSuspect) => Some("rng_suspect"),
            Self::Store(StoreError::Full | StoreError::ReadOnly) => Some("store_read_only"),
            Self::IssuerExpiring(_) => Some("issuing_expiring"),
            _ => None,
        }
    }

    /// The next step, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotRegistered(_) => Some(
                "`segwan ca list` shows who is; `segwan ca register NAME --profile …` registers \
                 another"
                    .to_owned(),
            ),
            Self::TooManyTokens(_) => Some(
                "`segwan ca tokens` lists them, `segwan revoke token:…` takes one back".to_owned(),
            ),
            Self::Custody(error) => error.hint(),
            Self::ClockBeforeBuild { .. } => Some("set the clock, and start again".to_owned()),
            Self::IssuerExpiring(_) => Some(
                "`segwan ca issuing renew --root-key FILE` makes a new issuing certificate"
                    .to_owned(),
            ),
            Self::Store(StoreError::Damaged { .. }) => Some(
                "`segwan ca restore FILE` restores a backup into an empty directory".to_owned(),
            ),
            Self::Store(StoreError::Full | StoreError::ReadOnly) => {
                Some("make room on the disk; issuing goes on by itself".to_owned())
            }
            _ => None,
        }
    }
}
