//! One HTTP/1.1 connection as the Authority's port and the admin socket serve it: every wait and
//! every size has a bound, so a caller who stays silent or says too much costs little and not long.

use axum::body::Body;
use axum::response::Response;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::Request;
use hyper::body::{Body as _, Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Sleep, timeout};
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

/// Marks an answer that has no end of its own, by an extension of the response: its connection
/// outlives [`Bounds::connection`]. [`Taken`] then ends it if the peer takes nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Endless;

/// The body of such an answer; it ends when its sender is dropped.
pub(crate) struct Lines(pub(crate) mpsc::Receiver<Bytes>);

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
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
    let endless = AtomicBool::new(false);
    let service = service_fn(|request| {
        let (answer, endless) = (answer(request), &endless);
        async move {
            let answer = answer.await;
            if answer.extensions().get::<Endless>().is_some() {
                endless.store(true, Ordering::Relaxed);
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let life = async {
        tokio::time::sleep(bounds.connection).await;
        if endless.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_buf_size(HEAD)
        .max_header_size(HEAD)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => Some(ended),
        () = life => None,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            timeout(LAST, connection).await.ok()
        }
    };
    match ended {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!("an HTTP connection ended: {error}"),
        None => tracing::debug!("an HTTP connection reached its longest life"),
    }
}

/// A stream whose peer must take what is written to it: a write that waits for too long fails. It
/// stands below TLS, whose buffers would hide that nothing is taken.
pub(crate) struct Taken<S> {
    stream: S,
    stall: Duration,
    /// While a write waits: when it has waited for too long.
    waits: Option<Pin<Box<Sleep>>>,
}

impl<S> Taken<S> {
    /// `stall` is how long a write may wait.
    pub(crate) fn by(stream: S, stall: Duration) -> Self {
        Self { stream, stall, waits: None }
    }

    fn judge<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waits = None;
            return written;
        }
        let stall = self.stall;
        let waits = self.waits.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        match waits.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                let why = "the peer takes nothing of what is sent to it";
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Taken<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Taken<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(written, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(shut, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.judge(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
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

    #[tokio::test]
    async fn a_peer_that_takes_nothing_ends_the_stream_and_a_slow_one_does_not() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let stall = Duration::from_secs(2);
        let (ours, _silent) = tokio::io::duplex(16);
        let refused = Taken::by(ours, stall).write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);

        let (ours, mut slow) = tokio::io::duplex(16);
        let reading = tokio::spawn(async move {
            let mut taken = [0; 16];
            for _ in 0..4 {
                tokio::time::sleep(stall / 2).await;
                slow.read_exact(&mut taken).await.unwrap();
            }
        });
        Taken::by(ours, stall).write_all(&[0; 64]).await.unwrap();
        reading.await.unwrap();
    }
}
