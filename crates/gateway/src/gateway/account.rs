//! `Account`: what is told of one connection, exactly once.

use super::Gate;
use super::connection::under;
use super::live::Live;
use super::setting::Setting;
use segwan::tls::verify::Presented;
use segwan_core::audit::{Event, EventKind, Totals};
use segwan_core::contract::Contract;
use segwan_core::identity::Peer;
use segwan_core::policy::Denial;
use segwan_core::rejection::Reason;
use std::sync::Arc;

/// What is known of a connection so far. It ends in one event: `refused` before admission,
/// `closed` after it. Dropped without either (a fault of ours) it tells that.
pub(super) struct Account {
    gate: Arc<Gate>,
    live: Arc<Live>,
    peer: Option<Arc<Peer>>,
    /// What it was opened under.
    contract: Option<Arc<Contract>>,
    admitted: bool,
    told: bool,
}

impl Account {
    pub(super) fn open(gate: Arc<Gate>, live: Arc<Live>) -> Self {
        Self { gate, live, peer: None, contract: None, admitted: false, told: false }
    }

    /// The peer is known from here on.
    pub(super) fn name(&mut self, peer: &Arc<Peer>) {
        self.peer = Some(peer.clone());
    }

    /// The connection itself.
    pub(super) fn live(&self) -> &Live {
        &self.live
    }

    /// What is in force now, which need not be what the connection was opened under.
    pub(super) fn in_force(&self) -> arc_swap::Guard<Arc<Setting>> {
        self.gate.setting.load()
    }

    /// Puts an event of this connection on the record.
    pub(super) fn record(&self, event: Event) {
        self.gate.recorder.record(event);
    }

    /// Whether the record cannot be written, so that nothing may pass.
    pub(super) fn is_blocked(&self) -> bool {
        self.gate.recorder.blocked()
    }

    /// The connection is admitted: it will be told as `closed`, with the contract it is under.
    pub(super) fn admit(&mut self, contract: Option<&Arc<Contract>>) {
        self.contract = contract.cloned();
        self.admitted = true;
    }

    /// An event of this connection.
    pub(super) fn event(&self, kind: EventKind) -> Event {
        let mut event = Event::new(kind);
        self.fill(&mut event);
        event
    }

    /// Adds to an event whose it is.
    pub(super) fn fill(&self, event: &mut Event) {
        event.service.clone_from(&self.gate.name);
        event.connection = self.live.name();
        event.address = Some(self.live.address.ip().to_string());
        if let Some(peer) = &self.peer {
            event.peer = Some(peer.identity().to_string());
            event.serial = Some(peer.certificate().serial.clone());
            event.issuer = Some(peer.certificate().issuer.clone());
        }
    }

    /// Turned away before admission.
    pub(super) fn refuse(self, reason: Reason, sentence: String) {
        self.refuse_with(reason, sentence, |_| {});
    }

    /// Turned away by a policy.
    pub(super) fn deny(self, denial: Denial) {
        let Denial { reason, sentence, policies } = denial;
        self.refuse_with(reason, sentence, |event| event.policies = policies);
    }

    /// Turned away because of a certificate; what could be read of it is told as not verified.
    pub(super) fn refuse_presented(
        self,
        reason: Reason,
        sentence: String,
        presented: Option<Presented>,
    ) {
        self.refuse_with(reason, sentence, |event| {
            if let Some(presented) = presented {
                event.verified = Some(false);
                event.peer = presented.identity;
                event.serial = Some(presented.serial);
                event.issuer = Some(presented.issuer);
            }
        });
    }

    /// Turned away before admission, with more to tell.
    fn refuse_with(mut self, reason: Reason, sentence: String, more: impl FnOnce(&mut Event)) {
        let mut event = self.event(EventKind::Refused);
        event.reason = Some(reason);
        event.sentence = sentence;
        more(&mut event);
        self.gate.registry.count_refused(reason);
        self.tell(event);
    }

    /// Came to its end after admission.
    pub(super) fn close(mut self, reason: Reason, sentence: String, totals: Totals) {
        let mut event = self.event(EventKind::Closed);
        event.reason = Some(reason);
        event.sentence = sentence;
        let ms = u64::try_from(self.live.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        event.totals = Some(Totals { ms, ..totals });
        if let Some(contract) = &self.contract {
            event = under(event, contract);
        }
        self.tell(event);
    }

    fn tell(&mut self, event: Event) {
        self.told = true;
        self.gate.recorder.record(event);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if self.told {
            return;
        }
        let kind = if self.admitted { EventKind::Closed } else { EventKind::Refused };
        let mut event = self.event(kind);
        event.reason = Some(Reason::Internal);
        event.sentence = "the connection was dropped by a fault of the gateway".to_owned();
        self.gate.registry.count_refused(Reason::Internal);
        self.tell(event);
    }
}
