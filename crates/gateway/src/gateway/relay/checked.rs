//! `Checked`: a connection whose messages are judged by a session, and the delivery of what the
//! session gives. It is the only place of the gateway where cleared bytes are written.

use super::{Leave, Outcome, Relay};
use crate::gateway::account::Account;
use crate::gateway::live::unix_ms;
use segwan::tls::buffers::Space;
use segwan_core::audit::{EventKind, Totals};
use segwan_core::contract::Side;
use segwan_core::now::Now;
use segwan_core::policy::{Denial, Policy};
use segwan_core::session::{Manner, Outbox, Session};
use std::cell::RefCell;
use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

thread_local! {
    /// What sessions give, of all connections of the thread in turn; empty between two polls.
    static OUTBOX: RefCell<Outbox> = RefCell::default();
}

/// A session, and the policy by which it authorizes.
pub(in crate::gateway) struct Checked {
    session: Session,
    /// None in client mode: the far gateway decides what may be done.
    policy: Option<Arc<Policy>>,
}

impl Checked {
    pub(in crate::gateway) fn new(session: Session, policy: Option<Arc<Policy>>) -> Self {
        Self { session, policy }
    }

    /// Authorizes by the policy that is in force, if it is another one than before: the peer must be
    /// admitted by it first.
    fn renew(&mut self, account: &Account, now: Now) -> Result<(), Denial> {
        let Some(known) = &self.policy else { return Ok(()) };
        let setting = account.in_force();
        let Some(policy) = setting.policy.as_ref().filter(|policy| !Arc::ptr_eq(policy, known))
        else {
            return Ok(());
        };
        if let Some((peer, facts)) = account.live().admitted() {
            let permit = policy.admit(peer.clone(), facts.clone(), now)?;
            self.session.readmit(permit);
        }
        self.policy = Some(policy.clone());
        Ok(())
    }

    pub(super) fn receive(&mut self, side: Side, said: &[u8], now: Now, out: &mut Outbox) {
        self.session.receive(side, said, self.policy.as_deref(), now, out);
    }

    pub(super) fn end(&mut self, side: Side, clean: bool, now: Now, out: &mut Outbox) {
        self.session.end(side, clean, self.policy.as_deref(), now, out);
    }

    pub(super) fn tick(&mut self, now: Now, out: &mut Outbox) {
        self.session.tick(self.policy.as_deref(), now, out);
    }

    /// Whether messages of the client wait until it has taken what it was answered.
    pub(super) fn is_held_back(&self) -> bool {
        self.session.is_held_back()
    }

    /// The client has taken everything.
    pub(super) fn delivered(&mut self, now: Now, out: &mut Outbox) {
        self.session.delivered(self.policy.as_deref(), now, out);
    }

    /// Whether what this side says may hold secrets.
    pub(super) fn has_secrets(&self, side: Side) -> bool {
        self.session.has_secrets(side)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.session.deadline()
    }

    pub(super) fn wants(&self, side: Side) -> bool {
        self.session.wants(side)
    }

    /// Whether nothing is in flight: no request waits for its reply, no reply is half here.
    pub(super) fn is_quiet(&self) -> bool {
        self.session.in_flight() == 0 && self.session.between_frames(Side::Server)
    }

    pub(super) fn totals(&self) -> Totals {
        self.session.totals()
    }
}

impl Relay<'_> {
    /// Lets the session do something, and delivers what comes of it.
    pub(super) fn judge(
        &mut self,
        cx: &mut Context<'_>,
        sealed: &mut Space,
        step: impl FnOnce(&mut Checked, Now, &mut Outbox),
    ) -> Result<(), Outcome> {
        let super::Passage::Checked(checked) = &mut self.passage else { return Ok(()) };
        let now = Now { instant: Instant::now(), unix_ms: unix_ms() };
        if let Err(Denial { reason, sentence, .. }) = checked.renew(self.account, now) {
            // The sweep has not come here yet, or will find it done.
            self.live.withdraw(reason, sentence);
            self.check_trust()?;
            return Ok(());
        }
        let mut out = OUTBOX.take();
        step(checked, now, &mut out);
        let delivered = self.deliver(cx, sealed, &mut out);
        OUTBOX.set(out);
        delivered
    }

    fn deliver(
        &mut self,
        cx: &mut Context<'_>,
        sealed: &mut Space,
        out: &mut Outbox,
    ) -> Result<(), Outcome> {
        for mut event in out.events.drain(..) {
            if let (EventKind::Rejected, Some(tap)) = (event.event, &mut self.tap) {
                tap.refused();
            }
            self.account.fill(&mut event);
            self.account.record(event);
        }
        if let Err(withdrawn) = self.check_trust() {
            // The outbox serves the next connection of this thread.
            *out = Outbox::default();
            return Err(withdrawn);
        }
        if !out.to_server.is_empty() {
            self.server.send(cx, out.to_server.as_slice(), sealed);
            out.to_server.clear();
        }
        if !out.to_client.is_empty() {
            self.client.send(cx, out.to_client.as_slice(), sealed);
            out.to_client.clear();
        }
        if std::mem::take(&mut out.fin_to_server) {
            self.server.finish(cx, sealed);
        }
        if std::mem::take(&mut out.fin_to_client) {
            self.client.finish(cx, sealed);
        }
        match out.end.take() {
            None => Ok(()),
            Some(ending) => Err(Outcome {
                reason: ending.reason,
                sentence: ending.sentence,
                client: leave(ending.client),
                server: leave(ending.server),
            }),
        }
    }
}

fn leave(manner: Manner) -> Leave {
    match manner {
        Manner::Orderly => Leave::Close,
        Manner::Reset => Leave::Reset,
    }
}
