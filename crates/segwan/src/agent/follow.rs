//! Following: what the Authority says while it is said, installed, swept, and acknowledged
//! (`pki.md` sections 9.6, 11.1 and 11.4).
//!
//! The stream is the fast way. Lists and bundle are fetched beside it, so that a stream which lies
//! still hides nothing for long.

mod asking;
mod looking;
mod telling;

use super::belief::{Belief, Refused};
use super::stream::Lines;
use super::{Agent, AgentError, Reach, draw, lock, now_ms};
use segwan_pki::api::{self as wire, AgentEvent, EventLine};
use segwan_pki::directory::{DirectoryError, StateDir};
use segwan_pki::revocation::CrlError;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// So much later than the Authority's own port does an agent renew that is told to, milliseconds.
const AFTER_THE_PORT: i64 = 2_000;
/// Most acknowledgements that wait; a later one says what an earlier one did.
const ACKS: usize = 64;

/// Which installation follows, as the Authority lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Its random id: [`StateDir::instance`].
    pub instance: String,
    /// `gateway`, `client` or `library`.
    pub kind: &'static str,
    /// What the host calls itself.
    pub host: String,
}

/// An event that is in force.
struct Ack {
    seq: i64,
    closed: u64,
}

impl Installation {
    /// The installation of a state directory.
    ///
    /// # Errors
    /// If its id cannot be read or made.
    pub fn of(state: &StateDir, kind: &'static str) -> Result<Self, DirectoryError> {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Ok(Self { instance: state.instance()?, kind, host: host_name(host.trim()) })
    }

    /// The path of the event stream for an agent with this much in force.
    fn events(&self, after: Option<(i64, i64)>) -> String {
        let Self { instance, kind, host } = self;
        let version = env!("CARGO_PKG_VERSION");
        let after = after.map(|(epoch, seq)| format!("epoch={epoch}&after={seq}&"));
        format!(
            "{}?{}instance={instance}&kind={kind}&version={version}&host={host}",
            wire::EVENTS,
            after.unwrap_or_default()
        )
    }
}

impl Agent {
    /// Follows the Authority until cancelled: installs what it says, calls `sweep`, which judges
    /// live connections again and gives how many it ended, and acknowledges.
    ///
    /// Nothing that goes wrong ends it; it raises alarms and tries again.
    pub async fn follow<F>(
        self: Arc<Self>,
        who: Installation,
        until: CancellationToken,
        sweep: impl Fn() -> F,
    ) where
        F: Future<Output = u64>,
    {
        let (acks, queue) = mpsc::channel(ACKS);
        let all = async {
            tokio::join!(
                self.listen(&who, &sweep, &acks),
                self.acknowledge(&who, queue),
                self.fetch(),
                self.tell(&who),
                self.watch(),
                self.sweep_changes(&sweep),
            )
        };
        tokio::select! {
            () = until.cancelled() => {}
            _ = all => {}
        }
        lock(&self.contact).stream_since_ms = None;
    }

    /// Keeps an event stream open. Gives nothing back: it ends when it is dropped.
    async fn listen<F: Future<Output = u64>>(
        &self,
        who: &Installation,
        sweep: &impl Fn() -> F,
        acks: &mpsc::Sender<Ack>,
    ) {
        // Whether something that was said is not in force: then everything is asked for anew.
        let mut lost = false;
        loop {
            match self.open(who, lost).await {
                Ok(lines) => {
                    let ended = self.hear(lines, who, sweep, acks).await;
                    lost = matches!(ended, Ended::Refused);
                }
                Err(error) => {
                    tracing::debug!("{}: no event stream: {error}", self.identity);
                    if error.wants_another_certificate() {
                        self.renew_unasked(now_ms());
                    }
                }
            }
            lock(&self.contact).stream_since_ms = None;
            // Between 1 s and 30 s, so that a fleet does not come back at once.
            let wait = 1000 + u64::from(draw()) * 29_000 / u64::from(u16::MAX);
            sleep(Duration::from_millis(wait)).await;
        }
    }

    pub(super) async fn open(&self, who: &Installation, anew: bool) -> Result<Lines, AgentError> {
        let after = lock(&self.belief).as_ref().map(Belief::after).filter(|_| !anew);
        match &self.reach {
            Reach::Process(authority) => {
                let agent = segwan_pki::authority::Agent {
                    instance: who.instance.clone(),
                    name: self.name(),
                    serial: self.credentials.serial(),
                    issuer: self.credentials.issuer(),
                    kind: who.kind.to_owned(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    host: who.host.clone(),
                    address: String::new(),
                };
                let stream = authority.subscribe(agent, after, now_ms()).await?;
                Ok(Lines::Process(Box::new(stream)))
            }
            Reach::Network => {
                let meta = self.known().meta.clone();
                let lines = self.endpoint(&meta).listen(&who.events(after)).await?;
                Ok(Lines::Network(Box::new(lines)))
            }
        }
    }

    /// Takes the lines of a stream to its end.
    async fn hear<F: Future<Output = u64>>(
        &self,
        mut lines: Lines,
        who: &Installation,
        sweep: &impl Fn() -> F,
        acks: &mpsc::Sender<Ack>,
    ) -> Ended {
        let mut renewed = self.renewed.subscribe();
        lock(&self.contact).stream_since_ms = Some(now_ms());
        loop {
            let line = tokio::select! {
                line = lines.next() => line,
                _ = renewed.changed() => match self.open(who, false).await {
                    // The new certificate's stream takes the place of the old one's.
                    Ok(next) => {
                        lines = next;
                        continue;
                    }
                    Err(error) => Err(error),
                },
            };
            let line = match line {
                Ok(Some(line)) => line,
                Ok(None) => return Ended::Over,
                Err(error) => {
                    tracing::info!("{}: the event stream ended: {error}", self.identity);
                    return Ended::Over;
                }
            };
            match self.take(&line, now_ms()) {
                Ok(Taken::Nothing) => {}
                Ok(Taken::Noted) => {
                    self.remember();
                    let _ = acks.try_send(Ack { seq: line.seq, closed: 0 });
                }
                Ok(Taken::Installed) => {
                    let closed = sweep().await;
                    self.remember();
                    // A full queue loses a count; the event is acknowledged with the next.
                    let _ = acks.try_send(Ack { seq: line.seq, closed });
                }
                Err(refused) => {
                    self.alarms.raise(refused.alarm(), refused.to_string());
                    return Ended::Refused;
                }
            }
        }
    }

    /// Puts one line of the stream in force.
    pub(super) fn take(&self, line: &EventLine, now: i64) -> Result<Taken, Refused> {
        self.heard(now);
        let in_force = |mut next: Belief| {
            next.stored.meta.epoch = line.epoch;
            next.stored.meta.seq = next.stored.meta.seq.max(line.seq);
            next
        };
        let missing = || Refused::Malformed("an event came before anything is believed");
        match &line.event {
            AgentEvent::Keepalive => return Ok(Taken::Nothing),
            AgentEvent::Hello => {
                self.compare_clocks(line.at_ms, now);
                return Ok(Taken::Nothing);
            }
            AgentEvent::RenewNow { window_ms, lineages } => {
                let own = self.known().meta.lineage.clone();
                let meant = lineages.is_empty() || own.is_empty() || lineages.contains(&own);
                // Where the Authority is, at once: everybody else renews at its port, whose certificate
                // has to be the new one by then.
                let port_ms = (*window_ms / 4).clamp(0, AFTER_THE_PORT);
                let (first, spread) = match self.reach {
                    Reach::Process(_) => (0, 0),
                    Reach::Network => (port_ms, window_ms.saturating_sub(port_ms)),
                };
                let at = meant.then(|| self.renew_within(spread, now.saturating_add(first)));
                self.install(now, |_, known| {
                    let mut next = in_force(known.ok_or_else(missing)?.clone());
                    next.stored.meta.renew_at_ms = at.or(next.stored.meta.renew_at_ms);
                    Ok(next)
                })?;
                return Ok(Taken::Noted);
            }
            AgentEvent::Revoked { certificates, crls } => {
                let put = |crls: &[String]| {
                    self.install(now, |judge, known| {
                        let known = known.ok_or_else(missing)?;
                        judge.revoked(certificates, crls, known).map(in_force)
                    })
                };
                if let Err(refused) = put(crls) {
                    // Who is revoked is refused, whatever becomes of the lists.
                    put(&[])?;
                    // One that was overtaken by a newer one on the way is nothing to tell.
                    if !matches!(refused, Refused::Crl(CrlError::Older { .. })) {
                        self.alarms.raise(refused.alarm(), refused.to_string());
                    }
                }
            }
            AgentEvent::Bundle { bundle, crls } => {
                self.install(now, |judge, known| {
                    judge.rebundled(bundle, crls, known.ok_or_else(missing)?).map(in_force)
                })?;
                self.alarms.end("bundle_rollback");
            }
            AgentEvent::Snapshot { trust } => {
                let mut added = 0;
                let before = lock(&self.belief).as_ref().map(Belief::after);
                if let Some((epoch, _)) = before.filter(|(epoch, _)| *epoch < trust.epoch) {
                    self.alarms.raise(
                        "authority_restored",
                        format!(
                            "the Authority was restored from a backup (epoch {epoch} to {}); what it \
                             had revoked since is still refused here, and has to be revoked there \
                             again",
                            trust.epoch
                        ),
                    );
                }
                self.install(now, |judge, known| {
                    let (next, more) = judge.snapshot(trust, known)?;
                    added = more;
                    Ok(next)
                })?;
                if added > 0 {
                    let identity = &self.identity;
                    tracing::warn!(
                        "{identity}: {added} certificates are on revocation lists and were not in \
                         the set that the Authority pushed; they are revoked here"
                    );
                }
                for word in ["bundle_rollback", "crl_fork", "trust_refused"] {
                    self.alarms.end(word);
                }
            }
        }
        Ok(Taken::Installed)
    }

    /// Sweeps after a change that came by no event.
    async fn sweep_changes<F: Future<Output = u64>>(&self, sweep: &impl Fn() -> F) {
        loop {
            self.changed.notified().await;
            let closed = sweep().await;
            tracing::info!("{}: trust changed; {closed} connections ended", self.identity);
        }
    }

    /// The name of the registration.
    fn name(&self) -> String {
        self.identity.path().unwrap_or_default().to_owned()
    }
}

/// How a stream ended.
enum Ended {
    Over,
    /// Something that was said is not believed.
    Refused,
}

/// What became of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It asks for nothing.
    Nothing,
    /// It is noted, and judges nobody.
    Noted,
    /// It is in force.
    Installed,
}

/// What may stand in a query: a host name, with everything else as `-`.
fn host_name(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '-' };
    let name: String = text.chars().take(64).map(plain).collect();
    if name.is_empty() { "unknown".to_owned() } else { name }
}
