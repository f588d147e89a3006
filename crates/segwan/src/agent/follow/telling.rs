//! What an agent tells the Authority: what is in force here, and what was seen.

use super::{Ack, Installation};
use crate::agent::{Agent, AgentError, Reach, lock, now_ms};
use segwan_pki::api::{ACK, AckRequest, REPORT, ReportRequest};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// How often the Authority is told what was seen.
const REPORTS: Duration = Duration::from_secs(60);

impl Agent {
    pub(super) async fn acknowledge(&self, who: &Installation, mut queue: mpsc::Receiver<Ack>) {
        while let Some(Ack { seq, closed }) = queue.recv().await {
            let bundle_version = lock(&self.belief).as_ref().map_or(0, |it| it.version().1);
            let instance = who.instance.clone();
            let ack = AckRequest { instance, seq, bundle_version, closed };
            for wait in [0, 1, 5] {
                sleep(Duration::from_secs(wait)).await;
                match self.say_in_force(&ack).await {
                    Ok(()) => {
                        lock(&self.contact).acked = seq;
                        break;
                    }
                    Err(error) => tracing::info!("{}: not acknowledged: {error}", self.identity),
                }
            }
        }
    }

    pub(super) async fn say_in_force(&self, ack: &AckRequest) -> Result<(), AgentError> {
        match &self.reach {
            Reach::Process(authority) => {
                Ok(authority.acknowledge(&self.name(), ack, now_ms()).await?)
            }
            Reach::Network => {
                let meta = self.known().meta.clone();
                self.endpoint(&meta).tell(ACK, ack).await
            }
        }
    }

    /// Tells the Authority every minute what was seen.
    pub(super) async fn tell(&self, who: &Installation) {
        loop {
            sleep(REPORTS).await;
            if let Err(error) = self.report(who, now_ms()).await {
                tracing::info!("{}: cannot report: {error}", self.identity);
            }
        }
    }

    pub(in crate::agent) async fn report(
        &self,
        who: &Installation,
        now: i64,
    ) -> Result<(), AgentError> {
        let bundle_version = lock(&self.belief).as_ref().map_or(0, |it| it.version().1);
        let seen = self.sightings.take();
        let instance = who.instance.clone();
        let report = ReportRequest { instance, now_ms: now, bundle_version, seen };
        let told = match &self.reach {
            Reach::Process(authority) => {
                let told = authority.report(&self.name(), self.listens, &report, now).await;
                told.map(|unknown| self.saw_unrecorded(&unknown)).map_err(AgentError::from)
            }
            Reach::Network => {
                let meta = self.known().meta.clone();
                self.endpoint(&meta).tell(REPORT, &report).await
            }
        };
        match told {
            Ok(()) => self.heard(now),
            Err(_) => self.sightings.put_back(report.seen),
        }
        told
    }

    pub(super) fn saw_unrecorded(&self, serials: &[String]) {
        if let Some(first) = serials.first() {
            let sentence = format!(
                "{} certificates came that carry our signature and were never recorded, such as \
                 the serial {first}",
                serials.len()
            );
            self.alarms.raise("unrecorded_certificate", sentence);
        }
    }
}
