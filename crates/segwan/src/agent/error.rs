//! `AgentError`: why there are no credentials, or no new ones.

use segwan_pki::authority::AuthorityError;
use segwan_pki::directory::DirectoryError;
use segwan_pki::key::KeyError;
use segwan_pki::x509::X509Error;

/// Why there are no credentials, or no new ones. `Display` is the operator's sentence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The state directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A key cannot be made.
    #[error("a key cannot be made: {0}")]
    Key(#[from] KeyError),
    /// A request cannot be made.
    #[error("a certificate request cannot be made: {0}")]
    Request(#[from] X509Error),
    /// The stored credentials are none.
    #[error("the credentials of `{name}` cannot be used: {why}")]
    Stored {
        /// Whose.
        name: String,
        /// Why not.
        why: String,
    },
    /// The token's time is over.
    #[error("the token ended at {0}, by this host's clock")]
    TokenExpired(String),
    /// Nobody answers.
    #[error("the Authority cannot be reached: {0}")]
    Unreachable(String),
    /// Somebody else answers.
    #[error("{0}")]
    NotTheAuthority(String),
    /// The Authority says no.
    #[error("the Authority refused: {reason}{}", request_text(.request))]
    Refused {
        /// The status of its answer.
        status: u16,
        /// Its word for it.
        reason: String,
        /// Under which its operator finds more.
        request: String,
        /// Seconds after which another try may help.
        retry: Option<u64>,
    },
    /// The Authority's answer is not believed.
    #[error("the Authority's answer is not acceptable: {0}")]
    Answer(String),
    /// The Authority in this process could not.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

fn request_text(request: &str) -> String {
    if request.is_empty() { String::new() } else { format!(" (request {request})") }
}

impl AgentError {
    /// Whether the same request may do better in a while.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused { status, .. } => matches!(status, 408 | 409 | 429 | 500..=599),
            _ => false,
        }
    }

    /// Whether the Authority does not take the certificate that was shown, but for its renewal.
    pub(super) fn wants_another_certificate(&self) -> bool {
        matches!(self, Self::Refused { status: 401, reason, .. } if reason == "certificate_required")
    }

    /// The next step, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Directory(error) => error.hint(),
            Self::TokenExpired(_) => Some(
                "`segwan token new NAME` where the Authority runs makes a new one; if it should \
                 not have ended, compare the clocks"
                    .to_owned(),
            ),
            Self::Refused { reason, .. } if reason == "token_refused" => Some(
                "a token is good once and for half an hour; `segwan token new NAME` where the \
                 Authority runs makes a new one"
                    .to_owned(),
            ),
            Self::Unreachable(_) => Some(
                "is `segwan serve` running there, and its Authority's port open? `--authority \
                 HOST:PORT` names another address"
                    .to_owned(),
            ),
            Self::NotTheAuthority(_) => Some(
                "nothing of the token was sent; somebody else answers at that address, or the \
                 token is of another Authority"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}
