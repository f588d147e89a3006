//! `Refusal`: what a caller is told (a status, a word, an id) and what the operator is told more.

use crate::http::Unread;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use segwan_core::audit::{Event, EventKind};
use segwan_pki::api::{ErrorAnswer, ErrorBody};
use segwan_pki::authority::AuthorityError;
use segwan_pki::key::{hex, random};
use std::time::Duration;

/// Why a request is not granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    /// The caller's one word (`pki.md` section 9.5).
    reason: &'static str,
    /// The operator's sentence.
    sentence: String,
    /// Seconds after which another try may help.
    retry_after: Option<u64>,
    /// Whether the operator has to look at it.
    is_alarm: bool,
    /// The alarm that it is, and what about, if it has a word.
    alarm: Option<(&'static str, String)>,
}

impl Refusal {
    pub(super) fn new(
        status: StatusCode,
        reason: &'static str,
        sentence: impl Into<String>,
    ) -> Self {
        Self {
            status,
            reason,
            sentence: sentence.into(),
            retry_after: None,
            is_alarm: false,
            alarm: None,
        }
    }

    /// The caller's word.
    pub(super) fn reason(&self) -> &'static str {
        self.reason
    }

    /// The operator's sentence.
    pub(super) fn sentence(&self) -> &str {
        &self.sentence
    }

    /// The alarm that it is, and what about.
    pub(super) fn alarm(&self) -> Option<(&'static str, &str)> {
        self.alarm.as_ref().map(|(word, about)| (*word, about.as_str()))
    }

    pub(super) fn malformed(sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", sentence)
    }

    pub(super) fn timeout(sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", sentence)
    }

    pub(super) fn in_progress(sentence: impl Into<String>) -> Self {
        let refusal = Self::new(StatusCode::CONFLICT, "in_progress", sentence);
        Self { retry_after: Some(1), ..refusal }
    }

    pub(super) fn internal(sentence: impl Into<String>) -> Self {
        Self {
            is_alarm: true,
            ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", sentence)
        }
    }

    pub(super) fn slow_down(wait: Duration, sentence: impl Into<String>) -> Self {
        let refusal = Self::new(StatusCode::TOO_MANY_REQUESTS, "slow_down", sentence);
        Self { retry_after: Some(wait.as_secs().max(1)), ..refusal }
    }

    /// The same refusal in the words of enrollment: whoever has no good token learns nothing
    /// about what is registered (PKI-24).
    pub(super) fn of_token(self) -> Self {
        let reason =
            if self.status == StatusCode::FORBIDDEN { "token_refused" } else { self.reason };
        Self { reason, ..self }
    }

    /// Tells the operator, under an id that the caller gets too.
    pub(super) fn tell(self, asked: &str, address: &str) -> (Event, Response) {
        let id = random::<8>().map_or_else(|_| "0".repeat(16), |id| hex(&id));
        let Self { status, reason, sentence, retry_after, is_alarm, .. } = self;
        let sentence = format!(
            "request {id}: {asked} from {address}: {sentence} ({} {reason})",
            status.as_u16()
        );
        if is_alarm {
            tracing::error!("{sentence}");
        } else {
            tracing::warn!("{sentence}");
        }
        let mut event = Event::new(if is_alarm { EventKind::Alarm } else { EventKind::Admin });
        event.sentence = sentence;
        event.address = Some(address.to_owned());
        let answer = ErrorAnswer { error: ErrorBody { reason: reason.to_owned(), request: id } };
        let mut response = (status, axum::Json(answer)).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        (event, response)
    }
}

impl From<AuthorityError> for Refusal {
    fn from(error: AuthorityError) -> Self {
        let (status, reason) = error.refusal();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self {
            retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(5),
            is_alarm: error.alarm().is_some() || status.is_server_error(),
            alarm: error.alarm().map(|word| (word, about(&error))),
            ..Self::new(status, reason, error.to_string())
        }
    }
}

/// What an alarm is about, so that the same one is not raised twice.
fn about(error: &AuthorityError) -> String {
    match error {
        AuthorityError::TokenReused { name, .. } => name.clone(),
        AuthorityError::Unrecorded { serial } => serial.clone(),
        AuthorityError::Forked { lineage, .. } => lineage.clone(),
        _ => String::new(),
    }
}

impl From<Unread> for Refusal {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::TooLarge => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is over the limit")
            }
            Unread::Late => Self::timeout("the body did not come in time"),
            Unread::Broken => Self::malformed("the body ended early or is not framed well"),
        }
    }
}

/// It travels through the router as an extension, to the one place that tells it.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
