//! `Api`: what every handler needs: bounds, turns and rates, and the one place that tells refusals.

use super::rate::{Attempts, Rate};
use super::refusal::Refusal;
use super::routes::routes;
use super::slots::network;
use super::{Told, callers::Origin};
use crate::http::{Bounds, whole};
use crate::record::Recorder;
use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{Request, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use hyper::body::Incoming;
use segwan_core::audit::{Event, EventKind, shown};
use segwan_pki::api::{ENROLL, IssuedAnswer, RENEW};
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
use tokio_util::sync::CancellationToken;
use tower_service::Service;

/// Certificates that are made at once, and requests that may wait for that.
const SIGNING: usize = 32;
const QUEUE: usize = 512;
/// One enrollment of an address in so long, after so many at once.
const ENROLLMENT: Duration = Duration::from_secs(6);
const ENROLLMENTS: u32 = 20;
/// One renewal of a lineage in so long, after so many at once.
const RENEWAL: Duration = Duration::from_secs(600);
const RENEWALS: u32 = 6;

/// What the handlers need. Cheap to clone.
#[derive(Clone)]
pub(super) struct Api(Arc<Inner>);

struct Inner {
    authority: Authority,
    told: Told,
    bounds: Bounds,
    stop: CancellationToken,
    /// By address.
    enrollments: Mutex<Rate<IpAddr>>,
    /// By lineage.
    renewals: Mutex<Rate<String>>,
    /// Tokens that were not good.
    attempts: Mutex<Attempts>,
    /// Keys for which a certificate is being made; never more than may wait.
    at_work: Mutex<HashSet<[u8; 32]>>,
    queue: Arc<Semaphore>,
    signing: Arc<Semaphore>,
}

/// The one request at work for its key; another may follow when this is dropped.
pub(super) struct Alone {
    api: Api,
    key: [u8; 32],
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.api.at_work().remove(&self.key);
    }
}

impl Api {
    pub(super) fn new(
        authority: Authority,
        told: Told,
        bounds: Bounds,
        stop: CancellationToken,
    ) -> Self {
        Self(Arc::new(Inner {
            authority,
            told,
            bounds,
            stop,
            enrollments: Mutex::new(Rate::new(ENROLLMENT, ENROLLMENTS)),
            renewals: Mutex::new(Rate::new(RENEWAL, RENEWALS)),
            attempts: Mutex::default(),
            at_work: Mutex::default(),
            queue: Arc::new(Semaphore::new(SIGNING + QUEUE)),
            signing: Arc::new(Semaphore::new(SIGNING)),
        }))
    }

    pub(super) fn authority(&self) -> &Authority {
        &self.0.authority
    }

    pub(super) fn recorder(&self) -> &Recorder {
        &self.0.told.recorder
    }

    pub(super) fn told(&self) -> &Told {
        &self.0.told
    }

    pub(super) fn stop(&self) -> &CancellationToken {
        &self.0.stop
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
        let counted = request.uri().path().to_owned();
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
        let refusal = response.extensions_mut().remove::<Refusal>();
        let outcome = refusal.as_ref().map_or("issued", Refusal::reason);
        match counted.as_str() {
            ENROLL => self.0.told.metrics.enrolled(outcome),
            RENEW => self.0.told.metrics.renewed(outcome),
            _ => {}
        }
        let Some(refusal) = refusal else { return response };
        self.raise(&refusal);
        let (event, response) = refusal.tell(&asked, &address);
        self.0.told.recorder.record(event);
        response
    }

    /// Raises the alarm that a refusal is, and the one that too many bad tokens are.
    fn raise(&self, refusal: &Refusal) {
        let (alarms, now_ms) = (&self.0.told.alarms, now_ms());
        if let Some((word, about)) = refusal.alarm() {
            alarms.happened(word, about, refusal.sentence(), now_ms);
        }
        if refusal.reason() != "token_refused" {
            return;
        }
        let mut attempts = self.0.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(window) = attempts.count(Instant::now()) else { return };
        drop(attempts);
        let window_ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX / 2);
        let sentence = "100 tokens or more were refused within 10 min (enrollment_attack); \
                        guessing one is hopeless, so nobody is locked out";
        let alarm = ("enrollment_attack", "");
        if alarms.until(now_ms.saturating_add(window_ms), alarm, sentence, now_ms) {
            tracing::error!("{sentence}");
            let mut event = Event::new(EventKind::Alarm);
            event.sentence = sentence.to_owned();
            self.0.told.recorder.record(event);
        }
    }

    /// The body of a request, as the type that the route expects; no larger than `bytes`.
    pub(super) async fn said<T: DeserializeOwned>(
        &self,
        request: Request<Body>,
        bytes: usize,
    ) -> Result<T, Refusal> {
        let kind = request.headers().get(CONTENT_TYPE).map(|kind| kind.as_bytes());
        if kind != Some(b"application/json") {
            let sentence = "the body is not said to be `application/json`";
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", sentence));
        }
        let bounds = Bounds { body_bytes: bytes, ..self.0.bounds };
        let body = whole(request.into_body(), bounds).await?;
        serde_json::from_slice(&body).map_err(|error| {
            // The text of the error may quote the body, where a token could stand.
            let (line, column) = (error.line(), error.column());
            Refusal::malformed(format!(
                "the body is not the JSON of this route, at line {line}, column {column}"
            ))
        })
    }

    /// Whether an address enrolls no more often than it may. This host itself is not limited.
    pub(super) fn unhurried(&self, address: IpAddr) -> Result<(), Refusal> {
        let Some(network) = network(address) else { return Ok(()) };
        let mut rate = self.0.enrollments.lock().unwrap_or_else(PoisonError::into_inner);
        rate.take(network, Instant::now()).map_err(|wait| {
            Refusal::slow_down(wait, format!("{address} enrolls more often than 10 times a minute"))
        })
    }

    /// Whether a lineage renews no more often than it may.
    pub(super) fn renews_seldom(&self, lineage: String) -> Result<(), Refusal> {
        let mut rate = self.0.renewals.lock().unwrap_or_else(PoisonError::into_inner);
        let sentence = format!("the lineage {lineage} renews more often than 6 times an hour");
        rate.take(lineage, Instant::now()).map_err(|wait| Refusal::slow_down(wait, sentence))
    }

    /// Lets one request of a key through at a time: between the record of an intent and the
    /// signature, a second one would take the first for a crash and get a certificate more
    /// (PKI-22). Only the holder of a key gets as far as this.
    pub(super) fn alone(&self, csr: &[u8]) -> Result<Alone, Refusal> {
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
    pub(super) async fn signed<F>(&self, alone: Alone, making: F) -> Result<Issued, Refusal>
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
    pub(super) fn issued(&self, how: &str, issued: &Issued, address: IpAddr) -> Json<IssuedAnswer> {
        let serial = issued.chain.first().and_then(|leaf| Certificate::read(leaf).ok());
        let serial = serial.map(|leaf| leaf.serial_hex());
        let ends = crate::status::when::instant(issued.not_after_ms);
        let mut event = Event::new(EventKind::Admin);
        event.sentence = format!("{} {how} from {address}, until {ends}", issued.identity);
        event.peer = Some(issued.identity.to_string());
        event.serial = serial;
        event.address = Some(address.to_string());
        tracing::info!("{}", event.sentence);
        self.0.told.recorder.record(event);
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

/// A number from 0 to `most`.
fn draw(most: u64) -> u64 {
    random::<8>().map_or(0, |bytes| u64::from_be_bytes(bytes) % (most + 1))
}

pub(super) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
