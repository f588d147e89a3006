//! What can be asked of the Authority, and by whom: the type of a handler's first argument says
//! who may call it.

use super::api::{Api, now_ms};
use super::callers::{Anybody, Origin, Renewing};
use super::refusal::Refusal;
use super::{agents, looking, stream};
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Json};
use segwan_pki::api::{
    ACK, BUNDLE, ENROLL, EVENTS, EnrollRequest, HEALTH, IssuedAnswer, RENEW, REPORT, RenewRequest,
    der,
};
use segwan_pki::authority::Admission;

/// Most bytes of a request for a certificate, in DER. The Authority has a smaller bound of its own.
const REQUEST: usize = 16 * 1024;

/// Every route. The test of PKI-29 holds a row for each.
pub(super) fn routes() -> [(&'static str, MethodRouter<Api>); 9] {
    [
        (ENROLL, post(enroll)),
        (RENEW, post(renew)),
        (HEALTH, get(health)),
        (BUNDLE, get(looking::bundle)),
        ("/v1/crl/{issuer}", get(looking::crl)),
        ("/v1/renewal/{certificate}", get(looking::renewal)),
        (EVENTS, get(stream::events)),
        (ACK, post(agents::ack)),
        (REPORT, post(agents::report)),
    ]
}

/// Gives a certificate to whoever has a good token.
async fn enroll(
    _: Anybody,
    State(api): State<Api>,
    Extension(from): Extension<Origin>,
    request: Request<Body>,
) -> Result<Json<IssuedAnswer>, Refusal> {
    api.unhurried(from.address)?;
    let EnrollRequest { token, csr } = api.said(request, api.bounds().body_bytes).await?;
    let csr = der(&csr, REQUEST).ok_or_else(no_request)?;
    let alone = api.alone(&csr)?;
    let (authority, address) = (api.authority().clone(), from.address.to_string());
    let issued = api
        .signed(alone, async move { authority.enroll(&token.0, &csr, &address, now_ms()).await })
        .await
        .map_err(Refusal::of_token)?;
    Ok(api.issued("enrolled", &issued, from.address))
}

/// Gives a new certificate to the holder of an old one, as the handshake saw it.
async fn renew(
    Renewing(holder): Renewing,
    State(api): State<Api>,
    Extension(from): Extension<Origin>,
    request: Request<Body>,
) -> Result<Json<IssuedAnswer>, Refusal> {
    let RenewRequest { csr } = api.said(request, api.bounds().body_bytes).await?;
    let csr = der(&csr, REQUEST).ok_or_else(no_request)?;
    let lineage = match api.authority().admit(&holder.certificate).await? {
        Admission::Granted(known) => known.lineage,
        // The renewal itself says what is wrong; until then it is counted all the same.
        Admission::Revoked(_) | Admission::Unrecorded { .. } => holder.identity.to_string(),
    };
    api.renews_seldom(lineage)?;
    let alone = api.alone(&csr)?;
    let authority = api.authority().clone();
    let issued = api
        .signed(alone, async move { authority.renew(&holder.certificate, &csr, now_ms()).await })
        .await?;
    Ok(api.issued("renewed", &issued, from.address))
}

/// Says that the port answers, and nothing more.
async fn health(_: Anybody) -> Json<serde_json::Value> {
    Json(serde_json::json!({ "ok": true }))
}

fn no_request() -> Refusal {
    Refusal::malformed("`csr` is not base64 of at most 16 KiB")
}
