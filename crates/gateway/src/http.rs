//! One HTTP/1.1 connection as the Authority's port and the admin socket serve it: every wait and
//! every size has a bound, so a caller who stays silent or says too much costs little and not long.

use axum::body::Body;
use axum::response::Response;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::Request;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Most bytes of a head; hyper takes no lower limit.
const HEAD: usize = 8192;
/// Most headers of a head.
const HEADERS: usize = 32;
/// What a request at work gets after the stop.
const LAST: Duration = Duration::from_secs(5);

/// The bounds of one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The wait for a whole head. It begins when the answer before it is sent, so it is also how
    /// long a connection may lie idle.
    pub(crate) head: Duration,
    /// The wait for a whole body.
    pub(crate) body: Duration,
    /// Most bytes of a body.
    pub(crate) body_bytes: usize,
    /// From the head of a request to its answer.
    pub(crate) request: Duration,
    /// The life of the connection, which also ends one whose peer takes no answer.
    pub(crate) connection: Duration,
}

/// Answers the requests of one connection until it ends, its time is over, or `stop` finds it idle.
pub(crate) async fn converse<S, F>(
    stream: S,
    bounds: Bounds,
    stop: &CancellationToken,
    answer: impl Fn(Request<Incoming>) -> F,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Response>,
{
    let service = service_fn(|request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_buf_size(HEAD)
        .max_header_size(HEAD)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = timeout(bounds.connection, &mut connection) => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            timeout(LAST, connection).await
        }
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("an HTTP connection ended: {error}"),
        Err(_) => tracing::debug!("an HTTP connection reached its longest life"),
    }
}

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It is larger than it may be.
    TooLarge,
    /// It did not come in time.
    Late,
    /// It ended early, or is not framed well.
    Broken,
}

/// The whole body, if it comes in time and is no larger than it may be. One that announces more
/// is refused before it is read.
pub(crate) async fn whole(body: Body, bounds: Bounds) -> Result<Bytes, Unread> {
    if body.size_hint().lower() > bounds.body_bytes as u64 {
        return Err(Unread::TooLarge);
    }
    match timeout(bounds.body, Limited::new(body, bounds.body_bytes).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Unread::TooLarge),
        Ok(Err(_)) => Err(Unread::Broken),
        Err(_) => Err(Unread::Late),
    }
}

/// The wait after an `accept` that failed: 10 ms, doubling to 1 s (ADV-08).
#[derive(Debug, Default)]
pub(crate) struct Pause(Option<Duration>);

impl Pause {
    /// The next wait.
    pub(crate) fn next(&mut self) -> Duration {
        let next = self.0.map_or(Duration::from_millis(10), |last| last * 2);
        *self.0.insert(next.min(Duration::from_secs(1)))
    }

    /// An `accept` worked.
    pub(crate) fn over(&mut self) {
        self.0 = None;
    }

    /// Whether the failure is the first since one worked, so that it is told once.
    pub(crate) fn is_first(&self) -> bool {
        self.0.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // ADV-08
    #[test]
    fn a_failing_accept_is_tried_again_ever_more_slowly() {
        let mut pause = Pause::default();
        assert!(pause.is_first());
        let waits: Vec<_> = (0..9).map(|_| pause.next().as_millis()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        pause.over();
        assert_eq!(pause.next().as_millis(), 10);
    }
}
