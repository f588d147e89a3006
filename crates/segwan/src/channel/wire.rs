//! `Wire`: the TLS stream below a channel, driven by polls.
//!
//! It uses the thread's buffers within a poll and owns only what its socket did not take yet.

use crate::tls::buffers::Buffers;
use crate::tls::record::Records;
use segwan_core::audit::shown;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::timeout;

/// How long, and how much, a peer is still read after our last words: closing with unread bytes
/// would send a reset that overtakes them.
const LAST_WORDS: (Duration, usize) = (Duration::from_secs(1), 64 * 1024);

/// How the peer stopped speaking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// With close_notify.
    Clean,
    /// With an end of stream and no close_notify.
    Truncated,
    /// With a reset, or the connection was lost.
    Reset,
    /// By breaking TLS.
    Broken(String),
}

pub(super) struct Wire<S> {
    /// Gone once the connection was left.
    stream: Option<S>,
    records: Records,
    /// Sealed bytes for the socket; `sent` of them are out.
    unsent: Vec<u8>,
    sent: usize,
    /// Since when there are some.
    stalled: Option<Instant>,
    heard: bool,
    leave: Leave,
}

/// How far this side has gone in leaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leave {
    /// It stays.
    Stay,
    /// close_notify is among what is unsent.
    Closed,
    /// No close_notify will come.
    Abandoned,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S, records: Records) -> Self {
        Self {
            stream: Some(stream),
            records,
            unsent: Vec::new(),
            sent: 0,
            stalled: None,
            heard: false,
            leave: Leave::Stay,
        }
    }

    /// Reads once: the plain bytes, and how the peer ended if it did.
    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<(Vec<u8>, Option<Heard>)> {
        let Some(stream) = self.stream.as_mut().filter(|_| !self.heard) else {
            return Poll::Pending;
        };
        let (plain, sealed, heard) = ready!(Buffers::with(|buffers| {
            let Buffers { incoming, plain, sealed } = buffers;
            let mut into = ReadBuf::new(self.records.room(incoming));
            let read = match ready!(Pin::new(stream).poll_read(cx, &mut into)) {
                Ok(()) => into.filled().len(),
                Err(_) => return Poll::Ready((Vec::new(), Vec::new(), Some(Heard::Reset))),
            };
            let heard = match self.records.open(incoming, read, plain, sealed) {
                _ if read == 0 => Some(Heard::Truncated),
                Ok(closed) => closed.then_some(Heard::Clean),
                Err(error) => Some(Heard::Broken(shown(error.to_string().as_bytes()))),
            };
            Poll::Ready((plain.filled().to_vec(), sealed.filled().to_vec(), heard))
        }));
        self.queue(&sealed);
        self.heard = heard.is_some();
        Poll::Ready((plain, heard))
    }

    /// Seals bytes for the peer, behind what waits already.
    pub(super) fn put(&mut self, mut plain: &[u8]) {
        while !plain.is_empty() && self.leave == Leave::Stay {
            let done = Buffers::with(|buffers| {
                let done = self.records.seal(plain, &mut buffers.sealed);
                self.queue(buffers.sealed.filled());
                done
            });
            match done {
                Ok(done) => plain = plain.get(done..).unwrap_or_default(),
                // The keys are worn out or TLS has failed: what was said is no whole any more.
                Err(_) => self.leave = Leave::Abandoned,
            }
        }
    }

    /// Puts close_notify behind what waits: this side says nothing more.
    pub(super) fn finish(&mut self) {
        if self.leave == Leave::Stay {
            let closed = Buffers::with(|buffers| {
                let closed = self.records.close(&mut buffers.sealed);
                self.queue(buffers.sealed.filled());
                closed
            });
            self.leave = if closed.is_ok() { Leave::Closed } else { Leave::Abandoned };
        }
    }

    /// No close_notify will be sent, so that what was said does not look whole.
    pub(super) fn abandon(&mut self) {
        if self.leave == Leave::Stay {
            self.leave = Leave::Abandoned;
        }
    }

    /// Lets go of the stream at once.
    pub(super) fn cut(&mut self) {
        self.stream = None;
        self.leave = Leave::Abandoned;
    }

    fn queue(&mut self, sealed: &[u8]) {
        if !sealed.is_empty() {
            self.stalled.get_or_insert_with(Instant::now);
            self.unsent.extend_from_slice(sealed);
        }
    }

    /// Whether something waits for the socket.
    pub(super) fn waiting(&self) -> bool {
        self.sent < self.unsent.len()
    }

    /// Since when something waits for the socket.
    pub(super) fn stalled(&self) -> Option<Instant> {
        self.stalled
    }

    /// Brings out what waits. A peer that takes nothing any more is heard to its end: there the
    /// reason is.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.waiting() {
            let rest = self.unsent.get(self.sent..).unwrap_or_default();
            let Some(stream) = &mut self.stream else { break };
            match Pin::new(stream).poll_write(cx, rest) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(sent)) if sent > 0 => self.sent += sent,
                Poll::Ready(_) => {
                    self.leave = Leave::Abandoned;
                    break;
                }
            }
        }
        self.unsent = Vec::new();
        self.sent = 0;
        self.stalled = None;
        match &mut self.stream {
            Some(stream) => Pin::new(stream).poll_flush(cx).map(|_| ()),
            None => Poll::Ready(()),
        }
    }

    /// Delivers what waits, ends the stream, and lets go of it.
    pub(super) async fn leave(&mut self, within: Duration) {
        let _ = timeout(within, poll_fn(|cx| self.poll_flush(cx))).await;
        let Some(mut stream) = self.stream.take() else { return };
        if self.leave != Leave::Closed {
            return;
        }
        let heard = self.heard;
        let _ = timeout(within.min(LAST_WORDS.0), async move {
            poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx)).await?;
            let (mut left, mut sink) = (if heard { 0 } else { LAST_WORDS.1 }, [0; 2048]);
            while left > 0 {
                match stream.read(&mut sink).await? {
                    0 => break,
                    read => left = left.saturating_sub(read),
                }
            }
            std::io::Result::Ok(())
        })
        .await;
    }
}
