//! What drives a channel: reads and writes in turn, deadlines, and what the session says to both.

use super::{Channel, ChannelError, INBOX, Message};
use crate::channel::wire::Heard;
use segwan_core::audit::EventKind;
use segwan_core::contract::Side;
use segwan_core::now::Now;
use segwan_core::rejection::{Reason, Violation};
use segwan_core::session::{Ending, Manner, Outbox};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout_at;

impl<S: AsyncRead + AsyncWrite + Unpin> Channel<S> {
    /// Brings out what is for the peer.
    pub(super) async fn flush(&mut self) -> Result<(), ChannelError> {
        while self.ended.is_none() && self.wire.waiting() {
            self.step(|channel, cx| channel.wire.poll_flush(cx)).await;
        }
        self.check_ended().await
    }

    /// Waits for something to happen, or for the nearest deadline.
    pub(super) async fn step(
        &mut self,
        mut turn: impl FnMut(&mut Self, &mut Context<'_>) -> Poll<()>,
    ) {
        let due = self.due();
        if timeout_at(due.into(), poll_fn(|cx| turn(self, cx))).await.is_err() {
            self.look_at_the_clock();
        }
    }

    /// Sends what waits, then reads once if there is room for more.
    pub(super) fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let waited = self.wire.waiting();
        let flushed = self.wire.poll_flush(cx);
        if self.ended.is_none() && !self.wire.waiting() && self.session.is_held_back() {
            // The peer has taken what it was answered: what it said behind that is judged.
            let mut out = Outbox::default();
            self.session.delivered(self.policy.as_deref(), now(), &mut out);
            self.apply(out);
            return Poll::Ready(());
        }
        if !self.may_read() {
            return if waited { flushed } else { Poll::Pending };
        }
        let (plain, heard) = ready!(self.wire.poll_receive(cx));
        self.hear(&plain, heard);
        Poll::Ready(())
    }

    /// Back-pressure: the peer is read while the program takes what it said, and while the peer
    /// takes what it is answered.
    fn may_read(&self) -> bool {
        self.ended.is_none()
            && !self.heard_all
            && self.inbox.len() < INBOX
            && !self.wire.waiting()
            && self.session.wants(self.side.other())
    }

    /// Takes what the peer said, and how it ended if it did.
    pub(super) fn hear(&mut self, plain: &[u8], heard: Option<Heard>) {
        let (peer, now) = (self.side.other(), now());
        let mut out = Outbox::default();
        self.session.receive(peer, plain, self.policy.as_deref(), now, &mut out);
        self.apply(out);
        let Some(heard) = heard.filter(|_| self.ended.is_none()) else { return };
        if let Heard::Broken(sentence) = heard {
            self.end(Reason::TlsError, format!("the peer broke TLS: {sentence}"));
            return;
        }
        let mut out = Outbox::default();
        let clean = heard == Heard::Clean;
        self.session.end(peer, clean, self.policy.as_deref(), now, &mut out);
        self.apply(out);
        if heard == Heard::Reset && self.ended.is_none() {
            self.end(Reason::ResetByPeer, "the peer reset the connection".to_owned());
        }
    }

    /// Does what the session said; gives what it found wrong in what the program said.
    pub(super) fn apply(&mut self, mut out: Outbox) -> Option<Violation> {
        let mut refused = None;
        for event in &mut out.events {
            if event.event == EventKind::Rejected && event.direction == Some(self.side.as_str()) {
                refused.get_or_insert_with(|| Violation {
                    reason: event.reason.unwrap_or(Reason::Internal),
                    pointer: event.pointer.clone(),
                    sentence: event.sentence.clone(),
                });
            }
            event.peer = Some(self.peer.identity().to_string());
            event.serial = Some(self.peer.certificate().serial.clone());
            match &mut self.recorder {
                Some(record) => record(event),
                None => tracing::info!(
                    peer = event.peer,
                    reason = event.reason.map(Reason::as_str),
                    direction = event.direction,
                    message = event.message,
                    "{}",
                    event.sentence
                ),
            }
        }
        let (for_program, for_peer, said, heard, manner) = match (self.side, &out.end) {
            (Side::Server, end) => (
                &out.to_server,
                &out.to_client,
                out.fin_to_client,
                out.fin_to_server,
                end.as_ref().map(|end| end.client),
            ),
            (Side::Client, end) => (
                &out.to_client,
                &out.to_server,
                out.fin_to_server,
                out.fin_to_client,
                end.as_ref().map(|end| end.server),
            ),
        };
        for passed in out.passed.iter().filter(|passed| passed.by != self.side) {
            let bytes = for_program.as_slice();
            self.inbox.push_back(Message {
                contract: Arc::clone(self.session.contract()),
                by: passed.by,
                index: passed.message,
                frame: bytes.get(passed.frame.clone()).unwrap_or_default().to_vec(),
                payload: passed.payload.start - passed.frame.start
                    ..passed.payload.end - passed.frame.start,
            });
        }
        self.heard_all |= heard;
        self.wire.put(for_peer.as_slice());
        if said || manner == Some(Manner::Orderly) {
            self.wire.finish();
        }
        if manner == Some(Manner::Reset) {
            self.wire.abandon();
        }
        self.ended = self.ended.take().or(out.end);
        refused
    }

    /// The nearest deadline.
    fn due(&self) -> Instant {
        let stalled = self.wire.stalled().map(|since| since + self.write_timeout);
        let others = [self.session.deadline(), stalled];
        others.into_iter().flatten().fold(self.trust_ends, Instant::min)
    }

    /// Ends what is over.
    pub(super) fn look_at_the_clock(&mut self) {
        let now = now();
        if self.ended.is_some() || self.due() > now.instant {
            return;
        }
        if self.trust_ends <= now.instant {
            let sentence = "the peer's certificate ended".to_owned();
            return self.end(Reason::CertificateExpired, sentence);
        }
        if self.wire.stalled().is_some_and(|since| since + self.write_timeout <= now.instant) {
            self.wire.cut();
            let wait = self.write_timeout.as_secs_f64();
            return self.end(Reason::WriteTimeout, format!("bytes were not taken within {wait} s"));
        }
        let mut out = Outbox::default();
        self.session.tick(self.policy.as_deref(), now, &mut out);
        self.apply(out);
    }

    /// Ends the connection for a reason that no session knows; it must not look whole.
    pub(super) fn end(&mut self, reason: Reason, sentence: String) {
        self.wire.abandon();
        let (client, server) = (Manner::Reset, Manner::Reset);
        self.ended = Some(Ending { reason, sentence, client, server });
    }
}

/// The present, by both clocks.
pub(super) fn now() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let unix_ms = i64::try_from(unix.as_millis()).unwrap_or(i64::MAX);
    Now { instant: Instant::now(), unix_ms }
}

/// When a validity (Unix seconds) ends by the monotonic clock, if that is within twice a session's
/// life; a wall clock that is set does not move it.
pub(super) fn ends(not_after: i64, lifetime: Duration) -> Instant {
    let now = now();
    now.instant + now.until_over(not_after).min(lifetime * 2)
}
