//! `Relay`: runs one connection between its two ends until something ends it.
//!
//! It is a state machine polled by one task. Bytes are read into the thread's buffers, judged and
//! sent on within one poll, so an idle connection owns none, and a side is read only while the
//! other has taken what it was given.

mod checked;
mod deadlines;
mod ends;

pub(super) use checked::Checked;

use super::account::Account;
use super::end::{End, Ended, Leave};
use super::live::{Live, Order};
use super::shadow::Tap;
use crate::capture::{Capture, Tape};
use segwan::tls::buffers::{Buffers, Space};
use segwan_core::audit::Totals;
use segwan_core::contract::Side;
use segwan_core::limits::Limits;
use segwan_core::rejection::Reason;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use tokio::time::Sleep;

/// Reads in one poll before other connections have their turn.
const TURNS: usize = 8;
/// Most bytes that wait for a side before the same side is read no more.
const WAITING: usize = 64 * 1024;

/// Two ends and what lies between them.
pub(super) struct Relay<'a> {
    client: End,
    server: End,
    passage: Passage,
    /// Takes copies of what is said, where a contract is tried.
    tap: Option<Box<Tap>>,
    limits: &'a Limits,
    live: &'a Live,
    account: &'a Account,
    /// When trust in a certificate of either side ends.
    trust_ends: Instant,
    /// When something was last said by either side.
    active: Instant,
    /// Whether anything was said at all.
    begun: bool,
    /// The record cannot be written: nothing of the client is read until it can.
    blocked: bool,
    /// For when the timer is set.
    armed: Instant,
    waker: Option<Waker>,
}

/// What lies between the two ends.
pub(super) enum Passage {
    /// Bytes pass as they are.
    Raw(Raw),
    /// Every message is judged.
    Checked(Box<Checked>),
}

/// What passed uninspected, and its record if there is one.
pub(super) struct Raw {
    totals: Totals,
    tape: Option<Tape>,
}

impl Raw {
    pub(super) fn new(capture: Option<&Arc<Capture>>) -> Self {
        Self { totals: Totals::default(), tape: capture.map(Capture::begin) }
    }
}

/// How a relay ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) reason: Reason,
    pub(super) sentence: String,
    pub(super) client: Leave,
    pub(super) server: Leave,
}

/// What the peer said together with the end of its handshake.
pub(super) struct Early {
    pub(super) side: Side,
    pub(super) plain: Vec<u8>,
    pub(super) closed: bool,
}

impl Outcome {
    fn reset(reason: Reason, sentence: &str) -> Self {
        let sentence = sentence.to_owned();
        Self { reason, sentence, client: Leave::Reset, server: Leave::Reset }
    }

    fn close(reason: Reason, sentence: &str) -> Self {
        let sentence = sentence.to_owned();
        Self { reason, sentence, client: Leave::Close, server: Leave::Close }
    }
}

impl<'a> Relay<'a> {
    pub(super) fn new(
        client: End,
        server: End,
        passage: Passage,
        limits: &'a Limits,
        account: &'a Account,
        trust_ends: Instant,
    ) -> Self {
        let now = Instant::now();
        Self {
            client,
            server,
            passage,
            tap: None,
            limits,
            live: account.live(),
            account,
            trust_ends,
            active: now,
            begun: false,
            blocked: false,
            armed: now,
            waker: None,
        }
    }

    /// Also hands copies of what is said to a contract that is tried.
    pub(super) fn tapped(self, tap: Box<Tap>) -> Self {
        Self { tap: Some(tap), ..self }
    }

    /// Runs until the end. `early` is what came together with the handshake.
    pub(super) async fn run(&mut self, early: Early) -> Outcome {
        self.armed = self.due().at;
        let timer = tokio::time::sleep_until(self.armed.into());
        tokio::pin!(timer);
        let mut early = Some(early);
        std::future::poll_fn(|cx| {
            if let Some(early) = early.take() {
                let _ = timer.as_mut().poll(cx);
                if let Err(outcome) = self.begin(cx, &early) {
                    return Poll::Ready(outcome);
                }
            }
            self.poll(cx, timer.as_mut())
        })
        .await
    }

    /// What passed so far.
    pub(super) fn totals(&self) -> Totals {
        match &self.passage {
            Passage::Raw(raw) => raw.totals,
            Passage::Checked(checked) => checked.totals(),
        }
    }

    /// The two ends, to be left.
    pub(super) fn into_ends(self) -> (End, End) {
        (self.client, self.server)
    }

    fn begin(&mut self, cx: &mut Context<'_>, early: &Early) -> Result<(), Outcome> {
        Buffers::with(|buffers| {
            if !early.plain.is_empty() {
                self.pass(cx, early.side, &early.plain, &mut buffers.sealed)?;
            }
            if early.closed {
                self.end_mut(early.side).ended = Some(Ended::Clean);
                self.pass_end(cx, early.side, &mut buffers.sealed)?;
            }
            Ok(())
        })
    }

    fn poll(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<Outcome> {
        self.listen(cx);
        loop {
            if let Some(outcome) = self.ordered() {
                return Poll::Ready(outcome);
            }
            self.blocked = self.account.is_blocked();
            for turn in 0.. {
                match Buffers::with(|buffers| self.turn(cx, buffers)) {
                    Err(outcome) => return Poll::Ready(outcome),
                    Ok(false) => break,
                    Ok(true) if turn == TURNS => {
                        cx.waker().wake_by_ref();
                        break;
                    }
                    Ok(true) => {}
                }
            }
            match self.wait(cx, timer.as_mut()) {
                Poll::Ready(Some(outcome)) => return Poll::Ready(outcome),
                // The session looked at the clock, and a side may be read again.
                Poll::Ready(None) => {}
                Poll::Pending
                    if self.ends_when_quiet().is_some_and(|order| self.is_quiet(order)) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Has the registry wake this task; the task is always the same, so once is enough.
    fn listen(&mut self, cx: &Context<'_>) {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
            self.live.listen(cx.waker());
        }
    }

    /// What an order from outside leads to, if it does now.
    fn ordered(&self) -> Option<Outcome> {
        let Some(order) = self.live.order() else { return self.replaced() };
        match order {
            order @ Order::Drain => self
                .is_quiet(order)
                .then(|| Outcome::close(Reason::Drained, "the gateway is stopping"))
                .or_else(|| self.replaced()),
            Order::Cut | Order::Evict => Some(self.cut(
                Reason::DrainedLate,
                "the gateway is stopping and the connection did not end in time",
            )),
            Order::Withdraw => self.withdrawn(),
        }
    }

    /// The end of a connection whose contract was replaced, once its grace is over.
    fn replaced(&self) -> Option<Outcome> {
        let over = self.live.replaced()?;
        let now = Instant::now();
        if now < over.until {
            return None;
        }
        if self.is_quiet(Order::Drain) {
            return Some(Outcome::close(Reason::ContractReplaced, &over.sentence));
        }
        let sentence = format!("{}, and the connection did not end in time", over.sentence);
        (now >= over.cut).then(|| self.cut(Reason::DrainedLate, &sentence))
    }

    /// The order by which it ends when it is quiet, if it does.
    fn ends_when_quiet(&self) -> Option<Order> {
        let replaced = || self.live.replaced().is_some_and(|over| over.until <= Instant::now());
        self.live.order().or_else(|| replaced().then_some(Order::Drain))
    }

    /// The end of a connection whose peer is not believed any more. It is asked before each write:
    /// once it is so, not one byte of a message is written (`trust.md` section 4, rule 3).
    fn withdrawn(&self) -> Option<Outcome> {
        let (reason, sentence) = self.live.withdrawn()?;
        Some(self.cut(reason, &sentence))
    }

    /// Whether a drain can end the connection at this moment.
    fn is_quiet(&self, order: Order) -> bool {
        let delivered = self.client.waiting() == 0 && self.server.waiting() == 0;
        match &self.passage {
            _ if order != Order::Drain => true,
            // Where nothing is inspected nobody knows a quiet moment: it goes on until the cut.
            Passage::Raw(_) => !self.begun,
            Passage::Checked(checked) => delivered && checked.is_quiet(),
        }
    }

    /// The end of a connection that may not go on (`trust.md` section 8): orderly only where
    /// nothing that was cut could look whole.
    fn cut(&self, reason: Reason, sentence: &str) -> Outcome {
        let leave = |end: &End| match &self.passage {
            Passage::Checked(_) if end.waiting() == 0 => Leave::Close,
            _ => Leave::Reset,
        };
        let (client, server) = (leave(&self.client), leave(&self.server));
        Outcome { reason, sentence: sentence.to_owned(), client, server }
    }

    /// One read of each side, and what follows from it. Says whether anything moved.
    fn turn(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers) -> Result<bool, Outcome> {
        self.check_trust()?;
        if self.client.waiting() > 0 || self.client.is_finishing() {
            self.client.flush(cx);
        }
        if self.server.waiting() > 0 || self.server.is_finishing() {
            self.server.flush(cx);
        }
        let held_back = self.client.waiting() == 0 && self.is_held_back();
        if held_back {
            self.judge(cx, &mut buffers.sealed, |checked, now, out| checked.delivered(now, out))?;
        }
        let moved = held_back
            | self.carry(cx, Side::Client, buffers)?
            | self.carry(cx, Side::Server, buffers)?;
        self.conclude()?;
        Ok(moved)
    }

    /// Whether messages of the client wait until it has taken what it was answered.
    fn is_held_back(&self) -> bool {
        matches!(&self.passage, Passage::Checked(checked) if checked.is_held_back())
    }

    fn check_trust(&self) -> Result<(), Outcome> {
        self.withdrawn().map_or(Ok(()), Err)
    }

    fn carry(
        &mut self,
        cx: &mut Context<'_>,
        side: Side,
        buffers: &mut Buffers,
    ) -> Result<bool, Outcome> {
        if !self.may_read(side) {
            return Ok(false);
        }
        let end = self.end_mut(side);
        let Poll::Ready(size) = end.receive(cx, buffers) else { return Ok(false) };
        let Buffers { incoming, plain, sealed } = buffers;
        let said = self.end(side).plain(incoming, plain, size);
        if !said.is_empty() {
            self.pass(cx, side, said, sealed)?;
        }
        if self.has_secrets(side) {
            // The thread's buffers serve the next connection (contracts.md section 17).
            plain.wipe();
            incoming.get_mut(..size).unwrap_or_default().fill(0);
        }
        plain.clear();
        if self.end(side).ended.is_some() {
            self.active = Instant::now();
            self.pass_end(cx, side, sealed)?;
        }
        Ok(true)
    }

    fn has_secrets(&self, side: Side) -> bool {
        let checked = match &self.passage {
            Passage::Raw(_) => false,
            Passage::Checked(checked) => checked.has_secrets(side),
        };
        checked || self.tap.as_ref().is_some_and(|tap| tap.has_secrets(side))
    }

    /// Bytes of one side go to the other: as they are, or as far as the session clears them.
    fn pass(
        &mut self,
        cx: &mut Context<'_>,
        side: Side,
        said: &[u8],
        sealed: &mut Space,
    ) -> Result<(), Outcome> {
        self.begun = true;
        self.active = Instant::now();
        self.check_trust()?;
        let Passage::Raw(Raw { totals, tape }) = &mut self.passage else {
            // Before the judgement: a refusal ends what the tap may look at, and is part of it.
            if let Some(tap) = &mut self.tap {
                tap.said(side, said);
            }
            return self.judge(cx, sealed, |checked, now, out| {
                checked.receive(side, said, now, out);
            });
        };
        if let Some(tape) = tape {
            tape.said(side, said);
        }
        match side {
            Side::Client => {
                totals.bytes_to_server += said.len() as u64;
                self.server.send(cx, said, sealed);
            }
            Side::Server => {
                totals.bytes_to_client += said.len() as u64;
                self.client.send(cx, said, sealed);
            }
        }
        if let Some(tap) = &mut self.tap {
            tap.said(side, said);
        }
        Ok(())
    }

    /// The end of what a side says goes to the other, behind what waits for it.
    fn pass_end(
        &mut self,
        cx: &mut Context<'_>,
        side: Side,
        sealed: &mut Space,
    ) -> Result<(), Outcome> {
        let ended = self.end(side).ended.clone();
        if let (Some(tap), Some(Ended::Clean | Ended::Truncated)) = (&mut self.tap, &ended) {
            tap.ended(side, ended == Some(Ended::Clean));
        }
        match (&mut self.passage, ended) {
            (Passage::Checked(_), Some(how @ (Ended::Clean | Ended::Truncated))) => {
                self.judge(cx, sealed, |checked, now, out| {
                    checked.end(side, how == Ended::Clean, now, out);
                })
            }
            (Passage::Raw(raw), Some(Ended::Clean)) => {
                if let Some(tape) = &mut raw.tape {
                    tape.ended(side);
                }
                self.end_mut(side.other()).finish(cx, sealed);
                Ok(())
            }
            // A reset, a broken record and a cut raw stream end the connection in `conclude`.
            _ => Ok(()),
        }
    }

    /// Back-pressure: a side is read while the other has nothing waiting.
    fn may_read(&self, side: Side) -> bool {
        let (from, to) = match side {
            Side::Client => (&self.client, &self.server),
            Side::Server => (&self.server, &self.client),
        };
        let wanted = match &self.passage {
            Passage::Raw(_) => true,
            // While draining no new message of the client is read.
            Passage::Checked(checked) => {
                checked.wants(side) && (side == Side::Server || self.ends_when_quiet().is_none())
            }
        };
        wanted
            && (side == Side::Server || !self.blocked)
            && from.ended.is_none()
            && to.waiting() == 0
            && to.deaf.is_none()
            && from.waiting() < WAITING
    }

    fn end(&self, side: Side) -> &End {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }
}
