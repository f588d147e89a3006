//! The Authority over the wire: enrollment, renewal, events and what anybody may read, on a port of
//! its own (`pki.md` section 9.5).
//!
//! A client certificate is offered here and demanded per route; who calls is settled by the
//! handshake, before a byte of a request is read.

mod agents;
mod api;
mod callers;
mod looking;
mod rate;
mod refusal;
mod routes;
mod slots;
mod stream;
mod upkeep;

pub use upkeep::RootNag;
pub(crate) use upkeep::root_key_since;

use crate::alarms::Alarms;
use crate::http::{Bounds, Pause, Taken, converse};
use crate::metrics::Metrics;
use crate::record::Recorder;
use api::Api;
use callers::Origin;
use segwan::HandshakeError;
use segwan::tls::authority::{AuthorityAcceptor, Caller};
use segwan_core::audit::{Event, EventKind};
use segwan_core::rejection::Reason;
use segwan_pki::authority::{Admission, Authority};
use slots::{Slot, Slots};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The wait for a whole TLS handshake, from accept.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a caller may take nothing of what is sent to it.
const STALL: Duration = Duration::from_secs(45);

/// What one connection may take.
const BOUNDS: Bounds = Bounds {
    head: Duration::from_secs(5),
    body: Duration::from_secs(10),
    body_bytes: 64 * 1024,
    request: Duration::from_secs(30),
    connection: Duration::from_secs(300),
};

/// To whom the Authority's port tells what it does.
#[derive(Clone)]
pub struct Told {
    /// Where events go.
    pub recorder: Recorder,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What an operator should know now.
    pub alarms: Arc<Alarms>,
}

/// Serves the Authority's API until `stop`, then lets requests at work come to their end.
///
/// What it issues and what it refuses is put on the record; while that cannot be written, nobody
/// is let in.
///
/// # Errors
/// If the listener cannot be used.
pub async fn serve(
    authority: Authority,
    acceptor: Arc<AuthorityAcceptor>,
    listener: TcpListener,
    told: Told,
    nag: RootNag,
    stop: CancellationToken,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let upkeep = upkeep::Upkeep::of(authority.clone(), told.clone(), nag);
    let api = Api::new(authority, told, BOUNDS, stop.clone());
    let port = Port { api, acceptor, stop: stop.clone() };
    tokio::join!(port.accept(&listener), upkeep.until(&stop));
    Ok(())
}

/// What every connection needs.
#[derive(Clone)]
struct Port {
    api: Api,
    acceptor: Arc<AuthorityAcceptor>,
    stop: CancellationToken,
}

impl Port {
    /// Accepts until the stop. Nothing that a caller does ends the loop.
    async fn accept(&self, listener: &tokio::net::TcpListener) {
        let (slots, tasks, mut pause) = (Slots::default(), TaskTracker::new(), Pause::default());
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    pause.over();
                    if let Some(slot) = self.take(&slots, address) {
                        let port = self.clone();
                        tasks.spawn(async move { port.connection(stream, address, slot).await });
                    }
                }
                Err(error) => {
                    if pause.is_first() {
                        self.alarm(&format!("the Authority's port cannot accept: {error}"));
                    }
                    tokio::select! {
                        () = self.stop.cancelled() => break,
                        () = tokio::time::sleep(pause.next()) => {}
                    }
                }
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    /// A slot for a newcomer; without one the connection is dropped at once.
    fn take(&self, slots: &Slots, address: SocketAddr) -> Option<Slot> {
        if self.api.recorder().blocked() {
            let sentence = "the audit log cannot be written, so nobody is let in";
            self.refuse(address.ip(), Reason::AuditBlocked, sentence);
            return None;
        }
        match slots.take(address.ip()) {
            Ok(slot) => Some(slot),
            Err(full) => {
                self.refuse(address.ip(), full.reason, &full.sentence);
                None
            }
        }
    }

    async fn connection(&self, stream: TcpStream, address: SocketAddr, mut slot: Slot) {
        let deadline = Instant::now() + HANDSHAKE;
        let _ = stream.set_nodelay(true);
        // Roots that rotate change whom the port knows. Whom it should know no more is not let in.
        if let Err(error) = self.acceptor.know(self.api.authority().anchors()) {
            return self.alarm(&format!("the Authority's port: {error}"));
        }
        let accepted = tokio::select! {
            () = self.stop.cancelled() => return,
            accepted = self.acceptor.accept(Taken::by(stream, STALL), deadline) => accepted,
        };
        let (stream, caller) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => return self.no_handshake(address.ip(), error),
        };
        // Only who is on record, and not revoked, counts as known.
        if let Caller::Agent(holder) | Caller::ExpiredAgent(holder) | Caller::FormerAgent(holder) =
            &caller
            && let Ok(Admission::Granted(_)) = self.api.authority().admit(&holder.certificate).await
        {
            slot.named();
        }
        let origin = Origin { caller, address: address.ip() };
        converse(stream, self.api.bounds(), &self.stop, |request| {
            self.api.clone().answer(origin.clone(), request)
        })
        .await;
    }

    fn no_handshake(&self, address: IpAddr, error: HandshakeError) {
        let HandshakeError { reason, sentence, presented } = error;
        let mut event = self.refusal(address, reason, &sentence);
        if let Some(presented) = presented {
            event.verified = Some(false);
            event.peer = presented.identity;
            event.serial = Some(presented.serial);
            event.issuer = Some(presented.issuer);
        }
        self.api.recorder().record(event);
    }

    fn refuse(&self, address: IpAddr, reason: Reason, sentence: &str) {
        self.api.recorder().record(self.refusal(address, reason, sentence));
    }

    fn refusal(&self, address: IpAddr, reason: Reason, sentence: &str) -> Event {
        let mut event = Event::new(EventKind::Refused);
        event.reason = Some(reason);
        event.sentence = format!("the Authority's port: {sentence}");
        event.address = Some(address.to_string());
        event
    }

    fn alarm(&self, sentence: &str) {
        tracing::error!("{sentence}");
        let mut event = Event::new(EventKind::Alarm);
        event.sentence = sentence.to_owned();
        self.api.recorder().record(event);
    }
}

#[cfg(test)]
mod tests;
