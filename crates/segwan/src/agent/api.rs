//! `Endpoint`: one request to the Authority, one answer; every step has a deadline and a size.

use super::AgentError;
use super::stream::{Driver, LINE, NetworkLines};
use crate::credentials::Credentials;
use crate::tls::HandshakeError;
use crate::tls::authority::AuthorityConnector;
use crate::tls::trust::TrustState;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use segwan_core::audit::shown;
use segwan_core::identity::TrustDomain;
use segwan_core::rejection::Reason;
use segwan_pki::api::{ErrorAnswer, IssuedAnswer};
use serde::Serialize;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

const CONNECT: Duration = Duration::from_secs(5);
const HANDSHAKE: Duration = Duration::from_secs(10);
const EXCHANGE: Duration = Duration::from_secs(30);

/// Where the Authority is, and by what it is known.
pub(super) struct Endpoint<'a> {
    /// `host:port`, tried in this order.
    pub(super) addresses: &'a [String],
    /// SHA-256 of the roots, hex: one of them has to be the Authority's.
    pub(super) roots: Vec<String>,
    pub(super) domain: &'a TrustDomain,
    /// What to show, once there is something.
    pub(super) credentials: Option<&'a Credentials>,
    /// What is not believed any more, also of the Authority.
    pub(super) known: TrustState,
}

/// A request.
struct Ask<'a> {
    method: Method,
    path: &'a str,
    body: Vec<u8>,
}

impl Endpoint<'_> {
    /// Sends `body`, and takes a certificate for it.
    ///
    /// # Errors
    /// If nobody proves to be the Authority, or it refuses, or its answer is none.
    pub(super) async fn post(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<IssuedAnswer, AgentError> {
        let answer = self.whole(&posted(path, body)?, LINE).await?;
        serde_json::from_slice(&answer)
            .map_err(|_| AgentError::Answer("it is not of the form that was agreed".to_owned()))
    }

    /// Sends `body`; there is nothing to be answered.
    ///
    /// # Errors
    /// As [`post`](Self::post).
    pub(super) async fn tell(&self, path: &str, body: &impl Serialize) -> Result<(), AgentError> {
        self.whole(&posted(path, body)?, 1024).await.map(|_| ())
    }

    /// Gets at most `most` bytes.
    ///
    /// # Errors
    /// As [`post`](Self::post).
    pub(super) async fn get(&self, path: &str, most: usize) -> Result<Vec<u8>, AgentError> {
        self.whole(&Ask { method: Method::GET, path, body: Vec::new() }, most).await
    }

    /// Opens a stream of lines.
    ///
    /// # Errors
    /// As [`post`](Self::post).
    pub(super) async fn listen(&self, path: &str) -> Result<NetworkLines, AgentError> {
        let ask = Ask { method: Method::GET, path, body: Vec::new() };
        let (mut exchange, address) = self.begin(&ask).await?;
        if exchange.answer.status() == StatusCode::OK {
            return Ok(NetworkLines::new(exchange.answer.into_body(), exchange.driver, &address));
        }
        exchange.rest(&address, 0).await.and(Err(unreachable(&address, "it opened no stream")))
    }

    async fn whole(&self, ask: &Ask<'_>, most: usize) -> Result<Vec<u8>, AgentError> {
        let (mut exchange, address) = self.begin(ask).await?;
        exchange.rest(&address, most).await
    }

    /// Asks at the first address that proves to be the Authority, and waits for the head of its
    /// answer.
    async fn begin(&self, ask: &Ask<'_>) -> Result<(Exchange, String), AgentError> {
        let roots: Vec<_> = self.roots.iter().map(String::as_str).collect();
        let connector = AuthorityConnector::new(
            &roots,
            self.domain.clone(),
            self.credentials,
            self.known.clone(),
        )
        .map_err(|error| AgentError::NotTheAuthority(error.to_string()))?;
        let mut last = None;
        for address in self.addresses {
            let tried = timeout(EXCHANGE, begin(&connector, address, ask)).await;
            match tried.unwrap_or_else(|_| Err(unreachable(address, "no answer within 30 s"))) {
                // The Authority itself was not there: perhaps at the next address.
                Err(error @ (AgentError::Unreachable(_) | AgentError::NotTheAuthority(_))) => {
                    // A server that is not the Authority is the more telling news.
                    if !matches!(last, Some(AgentError::NotTheAuthority(_))) {
                        last = Some(error);
                    }
                }
                answered => return answered.map(|exchange| (exchange, address.clone())),
            }
        }
        Err(last.unwrap_or_else(|| AgentError::Unreachable("it has no address".to_owned())))
    }
}

fn posted<'a>(path: &'a str, body: &impl Serialize) -> Result<Ask<'a>, AgentError> {
    let body = serde_json::to_vec(body)
        .map_err(|_| AgentError::Answer("the request cannot be written".to_owned()))?;
    Ok(Ask { method: Method::POST, path, body })
}

/// An answer whose head is here, and what brings the rest of it.
struct Exchange {
    answer: Response<Incoming>,
    driver: Driver,
}

impl Exchange {
    /// The body of a good answer, at most `most` bytes; what another one says.
    async fn rest(&mut self, address: &str, most: usize) -> Result<Vec<u8>, AgentError> {
        let (status, retry) = (self.answer.status(), retry_after(self.answer.headers()));
        let most = if status.is_success() { most } else { 64 * 1024 };
        let body = Limited::new(self.answer.body_mut(), most).collect();
        let body = timeout(EXCHANGE, self.driver.during(body)).await;
        let body = body.map_err(|_| unreachable(address, "no whole answer within 30 s"))?;
        let broken = |why: Box<dyn std::error::Error + Send + Sync>| {
            unreachable(address, &shown(why.to_string().as_bytes()))
        };
        let body = body.map_err(broken)?.to_bytes();
        if status.is_success() { Ok(body.to_vec()) } else { Err(refused(status, retry, &body)) }
    }
}

async fn begin(
    connector: &AuthorityConnector,
    address: &str,
    ask: &Ask<'_>,
) -> Result<Exchange, AgentError> {
    let stream = match timeout(CONNECT, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(unreachable(address, &error.kind().to_string())),
        Err(_) => return Err(unreachable(address, "no connection within 5 s")),
    };
    let deadline = Instant::now() + HANDSHAKE;
    let stream = connector.connect(stream, address, deadline).await.map_err(not_it)?;
    let broken = |error: hyper::Error| unreachable(address, &shown(error.to_string().as_bytes()));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let request = Request::builder()
        .method(ask.method.clone())
        .uri(ask.path)
        .header(HOST, address)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::copy_from_slice(&ask.body)))
        .map_err(|error| unreachable(address, &error.to_string()))?;
    let mut driver = Driver::new(async move {
        // What ends it shows in the answer or its body.
        let _ = connection.await;
    });
    let answer = driver.during(sender.send_request(request)).await.map_err(broken)?;
    Ok(Exchange { answer, driver })
}

fn refused(status: StatusCode, retry: Option<u64>, body: &[u8]) -> AgentError {
    let (reason, request) = serde_json::from_slice::<ErrorAnswer>(body).map_or_else(
        |_| (format!("status {}", status.as_u16()), String::new()),
        |answer| (word(&answer.error.reason), word(&answer.error.request)),
    );
    AgentError::Refused { status: status.as_u16(), reason, request, retry }
}

/// A word of the other side, as it may be shown.
fn word(text: &str) -> String {
    shown(text.get(..text.len().min(64)).unwrap_or_default().as_bytes())
}

fn retry_after(headers: &HeaderMap) -> Option<u64> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()
}

fn unreachable(address: &str, why: &str) -> AgentError {
    AgentError::Unreachable(format!("{address}: {why}"))
}

/// Who was cut off, or heard nothing, has not met somebody else: it may ask again.
fn not_it(error: HandshakeError) -> AgentError {
    match error.reason {
        Reason::ResetByPeer | Reason::HandshakeTimeout => AgentError::Unreachable(error.sentence),
        _ => AgentError::NotTheAuthority(error.sentence),
    }
}
