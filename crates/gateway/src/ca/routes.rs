//! What can be asked of the Authority, and by whom: the type of a handler's first argument says
//! who may call it.

use super::rate::Rate;
use super::refusal::Refusal;
use crate::http::{Bounds, whole};
use crate::record::Recorder;
use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{Request, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Json, Router};
use hyper::body::Incoming;
use segwan::tls::authority::{Caller, Holder};
use segwan_core::audit::{Event, EventKind, shown};
use segwan_pki::api::{ENROLL, EnrollRequest, HEALTH, IssuedAnswer, RENEW, RenewRequest, der};
use segwan_pki::authority::{Authority, AuthorityError, Issued};
use segwan_pki::certificate::Certificate;
use segwan_pki::key::random;
use segwan_pki::x509::RequestedKey;
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tower_service::Service;

/// Certificates that are made at once, and requests that may wait for that.
const SIGNING: usize = 32;
const QUEUE: usize = 512;
/// One enrollment of an address in so long, after so many at once.
const ENROLLMENT: Duration = Duration::from_secs(6);
const ENROLLMENTS: u32 = 20;
/// Most bytes of a request for a certificate, in DER. The Authority has a smaller bound of its own.
const REQUEST: usize = 16 * 1024;

/// Every route. The test of PKI-29 holds a row for each.
pub(super) fn routes() -> [(&'static str, MethodRouter<Api>); 3] {
    [(ENROLL, post(enroll)), (RENEW, post(renew)), (HEALTH, get(health))]
}

/// Gives a certificate to whoever has a good token.
async fn enroll(
    _: Anybody,
    State(api): State<Api>,
    Extension(from): Extension<Origin>,
    request: Request<Body>,
) -> Result<Json<IssuedAnswer>, Refusal> {
    api.unhurried(from.address)?;
    let EnrollRequest { token, csr } = api.said(request).await?;
    let csr = der(&csr, REQUEST).ok_or_else(no_request)?;
    let alone = api.alone(&csr)?;
    let (authority, address) = (api.0.authority.clone(), from.address.to_string());
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
    let RenewRequest { csr } = api.said(request).await?;
    let csr = der(&csr, REQUEST).ok_or_else(no_request)?;
    let alone = api.alone(&csr)?;
    let authority = api.0.authority.clone();
    let issued = api
        .signed(alone, async move { authority.renew(&holder.certificate, &csr, now_ms()).await })
        .await?;
    Ok(api.issued("renewed", &issued, from.address))
}

/// Says that the port answers, and nothing more.
async fn health(_: Anybody) -> Json<serde_json::Value> {
    Json(serde_json::json!({ "ok": true }))
}

/// Who called, and from where.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) caller: Caller,
    pub(super) address: IpAddr,
}

/// Whoever calls, unless with a certificate that has ended: that one may renew and nothing else.
struct Anybody;

/// The holder of a certificate, also of one that ended within the grace.
struct Renewing(Holder);

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
            Caller::ExpiredAgent(holder) => Err(certificate_required(format!(
                "the certificate of {} has ended; it may renew and nothing else",
                holder.identity
            ))),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Renewing {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        match caller(parts)? {
            Caller::Agent(holder) | Caller::ExpiredAgent(holder) => Ok(Self(holder.clone())),
            Caller::Anonymous => Err(certificate_required("no certificate was shown".to_owned())),
        }
    }
}

/// What the handlers need. Cheap to clone.
#[derive(Clone)]
pub(super) struct Api(Arc<Inner>);

struct Inner {
    authority: Authority,
    recorder: Recorder,
    bounds: Bounds,
    enrollments: Mutex<Rate>,
    /// Keys for which a certificate is being made; never more than may wait.
    at_work: Mutex<HashSet<[u8; 32]>>,
    queue: Arc<Semaphore>,
    signing: Arc<Semaphore>,
}

/// The one request at work for its key; another may follow when this is dropped.
struct Alone {
    api: Api,
    key: [u8; 32],
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.api.at_work().remove(&self.key);
    }
}

impl Api {
    pub(super) fn new(authority: Authority, recorder: Recorder, bounds: Bounds) -> Self {
        Self(Arc::new(Inner {
            authority,
            recorder,
            bounds,
            enrollments: Mutex::new(Rate::new(ENROLLMENT, ENROLLMENTS)),
            at_work: Mutex::default(),
            queue: Arc::new(Semaphore::new(SIGNING + QUEUE)),
            signing: Arc::new(Semaphore::new(SIGNING)),
        }))
    }

    pub(super) fn recorder(&self) -> &Recorder {
        &self.0.recorder
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.0.bounds
    }

    fn router(self) -> Router {
        let mut router = Router::new();
        for (path, route) in routes() {
            router = router.route(path, route);
        }
        let not_found =
            || async { Refusal::new(StatusCode::NOT_FOUND, "not_found", "no such path") };
        let method =
            || async { Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method", "no such method") };
        router.fallback(not_found).method_not_allowed_fallback(method).with_state(self)
    }

    /// Answers one request, whatever it is, in bounded time; the one place that tells refusals.
    pub(super) async fn answer(self, from: Origin, mut request: Request<Incoming>) -> Response {
        let path = shown(request.uri().path().as_bytes());
        let asked = format!("{} {path}", shown(request.method().as_str().as_bytes()));
        let address = from.address.to_string();
        let mut response = match well_framed(&request) {
            Err(refusal) => refusal.into_response(),
            Ok(()) => {
                request.extensions_mut().insert(from);
                let answering = self.clone().router().call(request);
                match timeout(self.0.bounds.request, answering).await {
                    Ok(answer) => answer.unwrap_or_else(|never: Infallible| match never {}),
                    Err(_) => Refusal::timeout("no answer was found in time").into_response(),
                }
            }
        };
        let Some(refusal) = response.extensions_mut().remove::<Refusal>() else { return response };
        let (event, response) = refusal.tell(&asked, &address);
        self.0.recorder.record(event);
        response
    }

    /// The body of a request, as the type that the route expects.
    async fn said<T: DeserializeOwned>(&self, request: Request<Body>) -> Result<T, Refusal> {
        let kind = request.headers().get(CONTENT_TYPE).map(|kind| kind.as_bytes());
        if kind != Some(b"application/json") {
            let sentence = "the body is not said to be `application/json`";
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", sentence));
        }
        let body = whole(request.into_body(), self.0.bounds).await?;
        serde_json::from_slice(&body).map_err(|error| {
            // The text of the error may quote the body, where a token could stand.
            let (line, column) = (error.line(), error.column());
            Refusal::malformed(format!(
                "the body is not the JSON of this route, at line {line}, column {column}"
            ))
        })
    }

    fn unhurried(&self, address: IpAddr) -> Result<(), Refusal> {
        let mut rate = self.0.enrollments.lock().unwrap_or_else(PoisonError::into_inner);
        rate.take(address, Instant::now()).map_err(|wait| {
            Refusal::slow_down(wait, format!("{address} enrolls more often than 10 times a minute"))
        })
    }

    /// Lets one request of a key through at a time: between the record of an intent and the
    /// signature, a second one would take the first for a crash and get a certificate more
    /// (PKI-22). Only the holder of a key gets as far as this.
    fn alone(&self, csr: &[u8]) -> Result<Alone, Refusal> {
        let key = RequestedKey::read(csr).map_err(AuthorityError::from)?.sha256();
        if self.at_work().insert(key) {
            Ok(Alone { api: self.clone(), key })
        } else {
            Err(Refusal::in_progress("a certificate for the same key is being made"))
        }
    }

    fn at_work(&self) -> MutexGuard<'_, HashSet<[u8; 32]>> {
        self.0.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs what makes a certificate, so many at once, and so many waiting.
    ///
    /// Once begun it is finished, also for a caller who has gone: the caller who comes again then
    /// finds a certificate in place of half of one.
    async fn signed<F>(&self, alone: Alone, making: F) -> Result<Issued, Refusal>
    where
        F: Future<Output = Result<Issued, AuthorityError>> + Send + 'static,
    {
        let fault =
            |what: String| Refusal::internal(format!("making a certificate broke off: {what}"));
        let place = self.0.queue.clone().try_acquire_owned().map_err(|_| {
            let sentence = format!("{QUEUE} requests already wait for a certificate");
            Refusal::slow_down(Duration::from_secs(5 + draw(55)), sentence)
        })?;
        let turn =
            self.0.signing.clone().acquire_owned().await.map_err(|e| fault(e.to_string()))?;
        let made = tokio::spawn(async move {
            let _held = (place, turn, alone);
            making.await
        });
        Ok(made.await.map_err(|error| fault(error.to_string()))??)
    }

    /// Puts what was issued on the record.
    fn issued(&self, how: &str, issued: &Issued, address: IpAddr) -> Json<IssuedAnswer> {
        let serial = issued.chain.first().and_then(|leaf| Certificate::read(leaf).ok());
        let serial = serial.map(|leaf| leaf.serial_hex());
        let ends = crate::status::when::instant(issued.not_after_ms);
        let mut event = Event::new(EventKind::Admin);
        event.sentence = format!("{} {how} from {address}, until {ends}", issued.identity);
        event.peer = Some(issued.identity.to_string());
        event.serial = serial;
        event.address = Some(address.to_string());
        tracing::info!("{}", event.sentence);
        self.0.recorder.record(event);
        Json(IssuedAnswer::from(issued))
    }
}

/// What hyper lets pass and we do not: another version, and a length said twice.
fn well_framed<B>(request: &Request<B>) -> Result<(), Refusal> {
    if request.version() != Version::HTTP_11 {
        return Err(Refusal::malformed("only HTTP/1.1 is spoken here"));
    }
    if request.headers().get_all(CONTENT_LENGTH).iter().count() > 1 {
        return Err(Refusal::malformed("the length of the body is said twice"));
    }
    Ok(())
}

fn no_request() -> Refusal {
    Refusal::malformed("`csr` is not base64 of at most 16 KiB")
}

/// A number from 0 to `most`.
fn draw(most: u64) -> u64 {
    random::<8>().map_or(0, |bytes| u64::from_be_bytes(bytes) % (most + 1))
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
