//! How a command asks the process that serves its state: one request, one answer, soon.

use super::wire::ErrorAnswer;
use crate::failure::Failure;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use segwan_core::audit::shown;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// From the connection to the last byte of the answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
/// Most bytes of an answer: every certificate that an Authority lists.
const ANSWER: usize = 16 << 20;

/// Whether a process answers at the socket; also so if it may not be asked.
#[must_use]
pub fn is_served(socket: &Path) -> bool {
    match std::os::unix::net::UnixStream::connect(socket) {
        Ok(_) => true,
        Err(error) => !is_nobody(&error),
    }
}

/// Asks for what stands at `path`. Blocks; not to be called within a runtime.
///
/// # Errors
/// If no process serves the state, or it may not be asked, or it refuses.
pub fn get<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T, Failure> {
    ask(socket, Method::GET, path, Bytes::new(), PATIENCE)
}

/// Asks for what stands at `path`, with a query. Blocks; not to be called within a runtime.
///
/// # Errors
/// As [`get`].
pub fn find<T: DeserializeOwned>(
    socket: &Path,
    path: &str,
    query: &[(&str, String)],
) -> Result<T, Failure> {
    let pair = |(key, value): &(&str, String)| format!("{key}={}", escaped(value));
    let query: Vec<String> = query.iter().map(pair).collect();
    get(socket, &format!("{path}?{}", query.join("&")))
}

/// A text as it stands in a query (RFC 3986 section 2.1).
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// Sends `body` to `path`. Blocks; not to be called within a runtime.
///
/// # Errors
/// As [`get`].
pub fn post<T: DeserializeOwned>(
    socket: &Path,
    path: &str,
    body: &impl Serialize,
) -> Result<T, Failure> {
    post_within(socket, path, body, PATIENCE)
}

/// Sends `body` to `path`, whose answer may take that long. Blocks; not to be called within a
/// runtime.
///
/// # Errors
/// As [`get`].
pub fn post_within<T: DeserializeOwned>(
    socket: &Path,
    path: &str,
    body: &impl Serialize,
    patience: Duration,
) -> Result<T, Failure> {
    let body = serde_json::to_vec(body)
        .map_err(|error| Failure::refused(format!("the request cannot be written: {error}")))?;
    ask(socket, Method::POST, path, body.into(), patience)
}

fn ask<T: DeserializeOwned>(
    socket: &Path,
    method: Method,
    path: &str,
    body: Bytes,
    patience: Duration,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::cannot_start(format!("no runtime: {error}")))?;
    let asking = async { timeout(patience, exchange(socket, method, path, body)).await };
    let (status, body) = runtime.block_on(asking).unwrap_or_else(|_| {
        Err(Failure::refused("the process that serves the state did not answer in time"))
    })?;
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|_| {
            Failure::refused("the answer of the process is not of the form that was agreed")
                .hint("it may be of another version; `segwan version` shows this one's")
        });
    }
    Err(match serde_json::from_slice::<ErrorAnswer>(&body) {
        Ok(answer) => Failure::refused(answer.error).hint_if(answer.hint),
        Err(_) => Failure::refused(format!("the process answered with status {status}")),
    })
}

async fn exchange(
    socket: &Path,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<(StatusCode, Bytes), Failure> {
    let stream = UnixStream::connect(socket).await.map_err(|error| unserved(socket, &error))?;
    let broken = |error: &dyn std::fmt::Display| {
        let why = shown(error.to_string().as_bytes());
        Failure::refused(format!("the process that serves the state broke off: {why}"))
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(&error))?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "segwan")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(|error| broken(&error))?;
    let answered = async move {
        let answer = sender.send_request(request).await.map_err(|error| broken(&error))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER).collect().await.map_err(|error| broken(&error))?;
        Ok((head.status, body.to_bytes()))
    };
    let mut answered = std::pin::pin!(answered);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        done = &mut answered => return done,
        _ = &mut connection => {}
    }
    answered.await
}

/// Nobody listens there: no file, or one that a process left.
fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn unserved(socket: &Path, error: &io::Error) -> Failure {
    // The socket stands in `run/` of the state directory.
    let state = socket.parent().and_then(Path::parent).unwrap_or(socket).display();
    if is_nobody(error) {
        return Failure::cannot_start(format!("no process serves `{state}`"))
            .hint("start `segwan serve` or `segwan join`, or name its state with `--state DIR`");
    }
    if error.kind() == io::ErrorKind::PermissionDenied {
        return Failure::cannot_start(format!("`{}` may not be opened", socket.display()))
            .hint("run this as root, or as the user whose process serves it");
    }
    Failure::cannot_start(format!("`{}` cannot be reached: {error}", socket.display()))
}
