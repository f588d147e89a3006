//! Who may call: the type of a handler's first argument says it, and there is no other way in.

use super::api::Api;
use super::refusal::Refusal;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use segwan::tls::authority::{Caller, Holder};
use segwan_pki::authority::{Admission, AuthorityError, Known};
use std::net::IpAddr;

/// Who called, and from where.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) caller: Caller,
    pub(super) address: IpAddr,
}

/// Whoever calls, unless with a certificate that has ended or is believed no more: that one may
/// renew and nothing else.
pub(super) struct Anybody;

/// The holder of a certificate, also of one that ended within the grace, or whose root or issuing
/// key is believed no more. What the store says of it is a check of the renewal itself.
pub(super) struct Renewing(pub(super) Holder);

/// The holder of a certificate that is in force, as the store says it and not a revocation list
/// (PKI-44).
pub(super) struct OfAgent(pub(super) Known);

fn caller(parts: &Parts) -> Result<&Caller, Refusal> {
    let origin = parts.extensions.get::<Origin>();
    let origin = origin.ok_or_else(|| Refusal::internal("nobody knows who called"))?;
    Ok(&origin.caller)
}

fn certificate_required(sentence: String) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "certificate_required", sentence)
}

impl<S: Sync> FromRequestParts<S> for Anybody {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        match caller(parts)? {
            Caller::Anonymous | Caller::Agent(_) => Ok(Self),
            Caller::ExpiredAgent(holder) => Err(ended(holder)),
            Caller::FormerAgent(holder) => Err(of_before(holder)),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Renewing {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        match caller(parts)? {
            Caller::Agent(holder) | Caller::ExpiredAgent(holder) | Caller::FormerAgent(holder) => {
                Ok(Self(holder.clone()))
            }
            Caller::Anonymous => Err(nothing_shown()),
        }
    }
}

impl FromRequestParts<Api> for OfAgent {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Refusal> {
        let holder = match caller(parts)? {
            Caller::Agent(holder) => holder.clone(),
            Caller::ExpiredAgent(holder) => return Err(ended(holder)),
            Caller::FormerAgent(holder) => return Err(of_before(holder)),
            Caller::Anonymous => return Err(nothing_shown()),
        };
        match api.authority().admit(&holder.certificate).await? {
            Admission::Granted(known) => Ok(Self(known)),
            Admission::Revoked(sentence) => {
                Err(Refusal::new(StatusCode::FORBIDDEN, "revoked", sentence))
            }
            Admission::Unrecorded { serial } => Err(AuthorityError::Unrecorded { serial }.into()),
        }
    }
}

fn ended(holder: &Holder) -> Refusal {
    certificate_required(format!(
        "the certificate of {} has ended; it may renew and nothing else",
        holder.identity
    ))
}

fn of_before(holder: &Holder) -> Refusal {
    certificate_required(format!(
        "the certificate of {} leads over a root or issuing key that is believed no more; it may \
         renew, if it is on the record, and nothing else",
        holder.identity
    ))
}

fn nothing_shown() -> Refusal {
    certificate_required("no certificate was shown".to_owned())
}
