//! `Gate`: one table at work, made of its plan. What a reload can change of it is one value, its
//! `Setting`.

use super::live::Registry;
use super::setting::Setting;
use super::{Change, Gateway, Inspection, Tried, Upstream};
use crate::record::Recorder;
use arc_swap::ArcSwap;
use segwan::agent::Sightings;
use segwan::{Acceptor, Connector, Credentials, Expected, TlsFloor, Trust};
use segwan_core::contract::accounts::Accounts;
use segwan_core::limits::Limits;
use segwan_core::policy::Policy;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A protected service: TLS and an identity outside, a plain service behind.
pub struct ServicePlan {
    /// Name of its table.
    pub name: String,
    /// Where peers connect.
    pub listen: SocketAddr,
    /// Where the service is.
    pub upstream: Upstream,
    /// What is looked at.
    pub inspection: Inspection,
    /// What is tried beside it, on copies. Default nothing.
    pub beside: Option<Tried>,
    /// Who may connect, and who may do what.
    pub policy: Arc<Policy>,
    /// Also record every message that is let through.
    pub record_cleared: bool,
    /// Waits and numbers.
    pub limits: Limits,
    /// How long connections under a contract that a reload replaces go on. Default 5 min.
    pub contract_grace: Duration,
    /// What it shows.
    pub credentials: Arc<Credentials>,
    /// Whom it believes.
    pub trust: Arc<Trust>,
    /// Least TLS version.
    pub tls: TlsFloor,
    /// Where certificates of peers that were let in are noted, if anybody wants to know.
    pub seen: Option<Arc<Sightings>>,
}

/// A client half: a plain client inside, TLS and an identity towards the far side.
pub struct ClientPlan {
    /// Name of its table.
    pub name: String,
    /// Where the plain client connects.
    pub listen: SocketAddr,
    /// Where the far side is: `host:port`, tried in this order.
    pub connect: Vec<String>,
    /// Who the far side must be.
    pub expected: Expected,
    /// What is looked at.
    pub inspection: Inspection,
    /// Waits and numbers.
    pub limits: Limits,
    /// How long connections under a contract that a reload replaces go on. Default 5 min.
    pub contract_grace: Duration,
    /// What it shows.
    pub credentials: Arc<Credentials>,
    /// Whom it believes.
    pub trust: Arc<Trust>,
    /// Least TLS version.
    pub tls: TlsFloor,
}

/// One table at work.
pub(super) struct Gate {
    pub(super) name: String,
    pub(super) mode: Mode,
    /// What a reload can change. It is changed under the lock of the registry alone, so that a
    /// connection is registered under what is in force, or its sweep sees it.
    pub(super) setting: ArcSwap<Setting>,
    /// What its clients have used up, once there was a contract.
    pub(super) accounts: Mutex<Option<Arc<Accounts>>>,
    pub(super) credentials: Arc<Credentials>,
    pub(super) trust: Arc<Trust>,
    pub(super) seen: Option<Arc<Sightings>>,
    pub(super) registry: Arc<Registry>,
    pub(super) recorder: Recorder,
}

pub(super) enum Mode {
    Service { acceptor: Acceptor, upstream: Upstream },
    Client { connector: Connector, connect: Vec<String> },
}

impl Gateway {
    pub(super) fn service(&self, plan: ServicePlan, recorder: &Recorder) -> io::Result<Gate> {
        let acceptor = Acceptor::new(plan.credentials.clone(), plan.trust.clone(), plan.tls)
            .map_err(io::Error::other)?;
        let change = Change {
            table: plan.name.clone(),
            inspection: plan.inspection,
            beside: plan.beside,
            policy: Some(plan.policy),
            record_cleared: plan.record_cleared,
            limits: plan.limits,
            contract_grace: plan.contract_grace,
        };
        let desk = self.desk_of(&change)?;
        let mode = Mode::Service { acceptor, upstream: plan.upstream };
        let setting = Setting::new(change, self.share, desk);
        let believes = (plan.credentials, plan.trust);
        Ok(Gate::new((plan.name, mode), setting, believes, plan.seen, recorder))
    }

    pub(super) fn client(&self, plan: ClientPlan, recorder: &Recorder) -> io::Result<Gate> {
        let connector =
            Connector::new(plan.credentials.clone(), plan.trust.clone(), plan.expected, plan.tls)
                .map_err(io::Error::other)?;
        let change = Change {
            table: plan.name.clone(),
            inspection: plan.inspection,
            beside: None,
            policy: None,
            record_cleared: false,
            limits: plan.limits,
            contract_grace: plan.contract_grace,
        };
        let desk = self.desk_of(&change)?;
        let mode = Mode::Client { connector, connect: plan.connect };
        let setting = Setting::new(change, self.share, desk);
        Ok(Gate::new((plan.name, mode), setting, (plan.credentials, plan.trust), None, recorder))
    }
}

impl Gate {
    /// Why nobody is let in, if the own certificate has ended at this second (Unix).
    pub(super) fn expired(&self, now: i64) -> Option<String> {
        let over = now.saturating_sub(self.credentials.not_after());
        (over > 0).then(|| format!("the own certificate of `{}` ended {over} s ago", self.name))
    }

    pub(super) fn new(
        parts: (String, Mode),
        setting: Setting,
        believes: (Arc<Credentials>, Arc<Trust>),
        seen: Option<Arc<Sightings>>,
        recorder: &Recorder,
    ) -> Self {
        let ((name, mode), (credentials, trust)) = (parts, believes);
        let accounts = setting.inspection.enforced().map(|contract| contract.accounts());
        Self {
            name,
            mode,
            accounts: Mutex::new(accounts),
            registry: Registry::new(Limits::clone(&setting.limits)),
            setting: ArcSwap::from_pointee(setting),
            credentials,
            trust,
            seen,
            recorder: recorder.clone(),
        }
    }
}
