//! What anybody may read: the bundle, revocation lists, and when a certificate should be renewed.

use super::api::{Api, now_ms};
use super::callers::Anybody;
use super::refusal::Refusal;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use segwan_pki::api::{CRL, RENEWAL, RenewalInfo, SuggestedWindow};
use segwan_pki::key::{from_hex, hex};

/// How often a renewal window is worth a look, in seconds (RFC 9773 section 4.3).
const LOOK_AGAIN: u64 = 21_600;
/// Longest identifier of a certificate, in characters.
const LONGEST: usize = 200;

/// The signed bundle; its tag is its version.
pub(super) async fn bundle(
    _: Anybody,
    State(api): State<Api>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let version = api.authority().bundle_version().await?;
    if is_known(&headers, version) {
        return Ok(not_modified(version));
    }
    let (version, bundle) = api.authority().bundle(now_ms()).await?;
    Ok(([(ETAG, tag(version))], Json(bundle)).into_response())
}

/// The revocation list of one issuing key, or of the root; its tag is its number.
pub(super) async fn crl(
    _: Anybody,
    State(api): State<Api>,
    request: Request<Body>,
) -> Result<Response, Refusal> {
    let issuer = request.uri().path().strip_prefix(CRL).unwrap_or_default();
    let found = api.authority().crl(issuer).await?;
    let (number, der) = found.ok_or_else(|| none("no issuing key has this key id"))?;
    if is_known(request.headers(), number) {
        return Ok(not_modified(number));
    }
    let headers = [(ETAG, tag(number)), (CONTENT_TYPE, "application/pkix-crl".to_owned())];
    Ok((headers, der).into_response())
}

/// When a certificate should be renewed (RFC 9773).
pub(super) async fn renewal(
    _: Anybody,
    State(api): State<Api>,
    request: Request<Body>,
) -> Result<Response, Refusal> {
    let asked = request.uri().path().strip_prefix(RENEWAL).unwrap_or_default();
    let malformed = || Refusal::malformed("the path does not end in `AKI.SERIAL`");
    if asked.len() > LONGEST {
        return Err(malformed());
    }
    let (issuer, serial) = asked.split_once('.').ok_or_else(malformed)?;
    let written: Vec<_> =
        [in_hex(issuer, serial), in_base64url(issuer, serial)].into_iter().flatten().collect();
    if written.is_empty() {
        return Err(malformed());
    }
    for (issuer, serial) in written {
        let window = api.authority().renewal_window(&issuer, &serial, now_ms()).await?;
        if let Some((start, end)) = window {
            let suggested_window = SuggestedWindow { start: rfc3339(start)?, end: rfc3339(end)? };
            let answer = Json(RenewalInfo { suggested_window });
            return Ok(([(RETRY_AFTER, LOOK_AGAIN.to_string())], answer).into_response());
        }
    }
    Err(none("no certificate is known by this issuer and serial number"))
}

fn in_hex(issuer: &str, serial: &str) -> Option<(String, String)> {
    Some((hex(&from_hex(issuer)?), hex(&from_hex(serial)?)))
}

/// As the RFC writes it. A serial number whose first bit is set has a zero before it in DER.
fn in_base64url(issuer: &str, serial: &str) -> Option<(String, String)> {
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    Some((hex(&bytes(issuer)?), hex(&bytes(serial)?)))
}

fn rfc3339(ms: i64) -> Result<String, Refusal> {
    let seconds = jiff::Timestamp::from_second(ms.div_euclid(1000));
    let seconds = seconds.map_err(|_| Refusal::internal(format!("{ms} ms is no time")))?;
    Ok(seconds.to_string())
}

fn none(sentence: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "not_found", sentence)
}

fn tag(number: i64) -> String {
    format!("\"{number}\"")
}

fn not_modified(number: i64) -> Response {
    (StatusCode::NOT_MODIFIED, [(ETAG, tag(number))]).into_response()
}

/// Whether the caller says that it has this one.
fn is_known(headers: &HeaderMap, number: i64) -> bool {
    let tag = tag(number);
    let said = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = said.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}
