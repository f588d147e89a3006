//! `End`: one side of a relayed connection, plain or TLS.

use super::upstream::Socket;
use segwan::tls::buffers::{Buffers, CHUNK, Space};
use segwan::tls::record::{RecordError, Records};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// One side: its socket, its TLS state if it has one, and what its socket did not take yet.
pub(super) struct End {
    socket: Socket,
    records: Option<Box<Records>>,
    /// Bytes for the socket, sealed where this side has TLS; `sent` of them are out.
    unsent: Vec<u8>,
    sent: usize,
    /// Since when there are such bytes.
    stalled: Option<Instant>,
    /// Nothing more will be said to this side once `unsent` is out.
    finishing: bool,
    /// Its end of stream is sent.
    finished: bool,
    /// How this side ended what it says.
    pub(super) ended: Option<Ended>,
    /// Why it takes nothing any more.
    pub(super) deaf: Option<io::ErrorKind>,
}

/// How a side stopped speaking.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ended {
    /// In order: close_notify, or the FIN of a plain side.
    Clean,
    /// FIN without close_notify.
    Truncated,
    /// FIN inside a TLS record: something was being said.
    Cut,
    /// TCP reset, or a connection lost.
    Reset,
    /// TLS was broken, or a fatal alert came.
    Broken(RecordError),
}

/// How a side is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// What is unsent is delivered, then close_notify (TLS), then FIN.
    Close,
    /// What is unsent is delivered, without close_notify: nothing must look complete.
    Abandon,
    /// Reset, now.
    Reset,
}

impl End {
    pub(super) fn new(socket: Socket, records: Option<Box<Records>>) -> Self {
        Self {
            socket,
            records,
            unsent: Vec::new(),
            sent: 0,
            stalled: None,
            finishing: false,
            finished: false,
            ended: None,
            deaf: None,
        }
    }

    /// Reads once, as much as there is. The plain bytes are then in [`plain`](Self::plain); the
    /// number is for it.
    pub(super) fn receive(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers) -> Poll<usize> {
        let room = match &self.records {
            None => &mut buffers.incoming[..CHUNK],
            Some(records) => records.room(&mut buffers.incoming),
        };
        let mut into = ReadBuf::new(room);
        let read = match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut into)) {
            Ok(()) => into.filled().len(),
            Err(_) => {
                self.ended = Some(Ended::Reset);
                return Poll::Ready(0);
            }
        };
        if read == 0 {
            // A write that failed for any other reason than a closed end tells of a lost one.
            let lost = self.deaf.is_some_and(|why| why != io::ErrorKind::BrokenPipe);
            self.ended = Some(match &self.records {
                _ if lost => Ended::Reset,
                None => Ended::Clean,
                Some(records) if records.is_inside_a_record() => Ended::Cut,
                Some(_) => Ended::Truncated,
            });
            return Poll::Ready(0);
        }
        let Some(records) = &mut self.records else { return Poll::Ready(read) };
        let Buffers { incoming, plain, sealed } = buffers;
        match records.open(incoming, read, plain, sealed) {
            Ok(true) => self.ended = Some(Ended::Clean),
            Ok(false) => {}
            Err(error) => self.ended = Some(Ended::Broken(error)),
        }
        if !sealed.is_empty() {
            self.put(cx, sealed.filled());
            sealed.clear();
        }
        Poll::Ready(plain.filled().len())
    }

    /// The plain bytes of the last [`receive`](Self::receive).
    pub(super) fn plain<'b>(&self, incoming: &'b [u8], plain: &'b Space, size: usize) -> &'b [u8] {
        let from = if self.records.is_some() { plain.filled() } else { incoming };
        from.get(..size).unwrap_or_default()
    }

    /// Says `plain` to this side; what its socket does not take is kept.
    pub(super) fn send(&mut self, cx: &mut Context<'_>, mut plain: &[u8], sealed: &mut Space) {
        while !plain.is_empty() && self.deaf.is_none() {
            let Some(records) = &mut self.records else {
                self.put(cx, plain);
                return;
            };
            sealed.clear();
            match records.seal(plain, sealed) {
                Ok(done) => plain = plain.get(done..).unwrap_or_default(),
                Err(_) => self.deaf = Some(io::ErrorKind::Other),
            }
            self.put(cx, sealed.filled());
        }
        sealed.clear();
    }

    /// Nothing more will be said: close_notify where there is TLS, then FIN.
    pub(super) fn finish(&mut self, cx: &mut Context<'_>, sealed: &mut Space) {
        if self.finishing {
            return;
        }
        self.finishing = true;
        if let Some(records) = &mut self.records {
            sealed.clear();
            if records.close(sealed).is_ok() {
                self.put(cx, sealed.filled());
            }
            sealed.clear();
        }
        self.flush(cx);
    }

    /// Brings out what is unsent, and the end of stream behind it.
    pub(super) fn flush(&mut self, cx: &mut Context<'_>) {
        while self.sent < self.unsent.len() && self.deaf.is_none() {
            match Pin::new(&mut self.socket).poll_write(cx, &self.unsent[self.sent..]) {
                Poll::Pending => return,
                Poll::Ready(Ok(0)) => self.deaf = Some(io::ErrorKind::WriteZero),
                Poll::Ready(Ok(sent)) => self.sent += sent,
                Poll::Ready(Err(error)) => self.deaf = Some(error.kind()),
            }
        }
        // An idle connection owns no buffer.
        self.unsent = Vec::new();
        self.sent = 0;
        self.stalled = None;
        if self.finishing && !self.finished {
            match Pin::new(&mut self.socket).poll_shutdown(cx) {
                Poll::Pending => {}
                Poll::Ready(_) => self.finished = true,
            }
        }
    }

    /// Bytes that wait for this side to read.
    pub(super) fn waiting(&self) -> usize {
        self.unsent.len() - self.sent
    }

    /// Since when this side has not taken all that it should.
    pub(super) fn stalled(&self) -> Option<Instant> {
        self.stalled
    }

    /// Whether all was said, and the end of it is out.
    pub(super) fn is_finished(&self) -> bool {
        self.finished || (self.finishing && self.deaf.is_some())
    }

    /// Whether [`finish`](Self::finish) was called.
    pub(super) fn is_finishing(&self) -> bool {
        self.finishing
    }

    /// Leaves this side; an orderly end takes at most `close_timeout`.
    pub(super) async fn leave(mut self, how: Leave, close_timeout: Duration) {
        if how == Leave::Reset || self.deaf.is_some() {
            self.socket.reset_on_drop();
            return;
        }
        let delivered = tokio::time::timeout(close_timeout, async {
            std::future::poll_fn(|cx| {
                match how {
                    Leave::Close => Buffers::with(|b| self.finish(cx, &mut b.sealed)),
                    _ => self.flush(cx),
                }
                let done = self.deaf.is_some()
                    || (self.waiting() == 0 && (self.finished || how != Leave::Close));
                if done { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        });
        let delivered = delivered.await.is_ok();
        if how == Leave::Abandon || !delivered {
            self.socket.reset_on_drop();
            return;
        }
        if self.ended.is_none() {
            self.drain().await;
        }
    }

    /// Reads for a while what the other still says: closing with unread bytes would send a reset
    /// that overtakes our last bytes.
    async fn drain(&mut self) {
        let mut left = 64 * 1024_usize;
        let mut sink = [0; 2048];
        let _ = tokio::time::timeout(Duration::from_secs(1), async {
            while left > 0 {
                match self.socket.read(&mut sink).await {
                    Ok(0) | Err(_) => break,
                    Ok(read) => left = left.saturating_sub(read),
                }
            }
        })
        .await;
    }

    /// Writes, behind what waits already; keeps the rest.
    fn put(&mut self, cx: &mut Context<'_>, mut bytes: &[u8]) {
        if self.waiting() == 0 {
            while !bytes.is_empty() && self.deaf.is_none() {
                match Pin::new(&mut self.socket).poll_write(cx, bytes) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(0)) => self.deaf = Some(io::ErrorKind::WriteZero),
                    Poll::Ready(Ok(sent)) => bytes = bytes.get(sent..).unwrap_or_default(),
                    Poll::Ready(Err(error)) => self.deaf = Some(error.kind()),
                }
            }
        }
        if !bytes.is_empty() && self.deaf.is_none() {
            self.stalled.get_or_insert_with(Instant::now);
            self.unsent.extend_from_slice(bytes);
        }
    }
}
