//! `Endpoint`: one request to the Authority, one answer; every step has a deadline and a size.

use super::AgentError;
use crate::credentials::Credentials;
use crate::tls::HandshakeError;
use crate::tls::authority::AuthorityConnector;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, RETRY_AFTER};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use segwan_core::audit::shown;
use segwan_core::identity::TrustDomain;
use segwan_pki::api::{ErrorAnswer, IssuedAnswer};
use serde::Serialize;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

const CONNECT: Duration = Duration::from_secs(5);
const HANDSHAKE: Duration = Duration::from_secs(10);
const EXCHANGE: Duration = Duration::from_secs(30);
/// Most bytes of an answer.
const ANSWER: usize = 256 * 1024;

/// Where the Authority is, and by what it is known.
pub(super) struct Endpoint<'a> {
    /// `host:port`, tried in this order.
    pub(super) addresses: &'a [String],
    /// SHA-256 of the root, hex.
    pub(super) root: &'a str,
    pub(super) domain: &'a TrustDomain,
    /// What to show, once there is something.
    pub(super) credentials: Option<&'a Credentials>,
}

impl Endpoint<'_> {
    /// Sends `body` to the first address that proves to be the Authority.
    ///
    /// # Errors
    /// If none does, or the Authority refuses, or its answer is none.
    pub(super) async fn post(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<IssuedAnswer, AgentError> {
        let connector = AuthorityConnector::new(self.root, self.domain.clone(), self.credentials)
            .map_err(|error| AgentError::NotTheAuthority(error.to_string()))?;
        let body = serde_json::to_vec(body)
            .map_err(|_| AgentError::Answer("the request cannot be written".to_owned()))?;
        let mut last = None;
        for address in self.addresses {
            let tried = timeout(EXCHANGE, exchange(&connector, address, path, &body)).await;
            match tried.unwrap_or_else(|_| Err(unreachable(address, "no answer within 30 s"))) {
                // The Authority itself was not there: perhaps at the next address.
                Err(error @ (AgentError::Unreachable(_) | AgentError::NotTheAuthority(_))) => {
                    // A server that is not the Authority is the more telling news.
                    if !matches!(last, Some(AgentError::NotTheAuthority(_))) {
                        last = Some(error);
                    }
                }
                answered => return answered,
            }
        }
        Err(last.unwrap_or_else(|| AgentError::Unreachable("it has no address".to_owned())))
    }
}

async fn exchange(
    connector: &AuthorityConnector,
    address: &str,
    path: &str,
    body: &[u8],
) -> Result<IssuedAnswer, AgentError> {
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
    let request = Request::post(path)
        .header(HOST, address)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::copy_from_slice(body)))
        .map_err(|error| unreachable(address, &error.to_string()))?;
    let answered = async move {
        let answer = sender.send_request(request).await.map_err(broken)?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER).collect().await;
        let body = body.map_err(|error| unreachable(address, &shown(error.to_string().as_bytes())));
        Ok::<_, AgentError>((head.status, retry_after(&head.headers), body?.to_bytes()))
    };
    let mut connection = std::pin::pin!(connection);
    let mut answered = std::pin::pin!(answered);
    let mut open = true;
    let (status, retry, body) = loop {
        tokio::select! {
            biased;
            done = &mut answered => break done?,
            _ = &mut connection, if open => open = false,
        }
    };
    read(status, retry, &body)
}

fn read(status: StatusCode, retry: Option<u64>, body: &[u8]) -> Result<IssuedAnswer, AgentError> {
    if status == StatusCode::OK {
        return serde_json::from_slice(body)
            .map_err(|_| AgentError::Answer("it is not of the form that was agreed".to_owned()));
    }
    let (reason, request) = serde_json::from_slice::<ErrorAnswer>(body).map_or_else(
        |_| (format!("status {}", status.as_u16()), String::new()),
        |answer| (word(&answer.error.reason), word(&answer.error.request)),
    );
    Err(AgentError::Refused { status: status.as_u16(), reason, request, retry })
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

fn not_it(error: HandshakeError) -> AgentError {
    AgentError::NotTheAuthority(error.sentence)
}
