//! `Fault`: why the admin socket, or a command in its place, could not do what was asked.

use super::wire::ErrorAnswer;
use crate::failure::Failure;
use crate::http::Unread;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use segwan_pki::authority::AuthorityError;

/// A sentence for the operator, who is the only one who is answered here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    status: StatusCode,
    pub(crate) sentence: String,
    pub(crate) hint: Option<String>,
}

impl Fault {
    pub(super) fn new(status: StatusCode, sentence: impl Into<String>) -> Self {
        Self { status, sentence: sentence.into(), hint: None }
    }

    /// What was asked cannot be meant.
    pub(super) fn asked(sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, sentence)
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl From<AuthorityError> for Fault {
    fn from(error: AuthorityError) -> Self {
        let status = match &error {
            AuthorityError::Name(_)
            | AuthorityError::Custody(_)
            | AuthorityError::OtherProfile { .. }
            | AuthorityError::NotRegistered(_)
            | AuthorityError::Registration { .. }
            | AuthorityError::Selector(_)
            | AuthorityError::TooManyTokens(_) => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self { hint: error.hint(), ..Self::new(status, error.to_string()) }
    }
}

impl From<Unread> for Fault {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::TooLarge => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "the request is over the limit of 1 MiB")
            }
            Unread::Late => {
                Self::new(StatusCode::REQUEST_TIMEOUT, "the request did not come in time")
            }
            Unread::Broken => Self::new(StatusCode::BAD_REQUEST, "the request ended early"),
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::refused(fault.sentence).hint_if(fault.hint)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let answer = ErrorAnswer { error: self.sentence, hint: self.hint };
        (self.status, axum::Json(answer)).into_response()
    }
}
