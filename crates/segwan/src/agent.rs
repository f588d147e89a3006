//! `Agent`: gets credentials for one identity, keeps them fresh, and follows what the Authority
//! says about whom to believe.
//!
//! The key is made here and never leaves; what the Authority answers is believed only after it was
//! checked under the roots that are believed already (`pki.md` sections 9.3, 10 and 12).

mod alarms;
mod answer;
mod api;
mod belief;
mod enroll;
mod error;
mod follow;
mod renew;
mod sightings;
mod status;
mod stream;
#[cfg(test)]
mod tests;

pub use alarms::AgentAlarm;
pub use error::AgentError;
pub use follow::Installation;
pub use sightings::Sightings;
pub use status::{AgentStatus, Following};

use crate::credentials::Credentials;
use crate::tls::authority::{AUTHORITY_NAME, judge_issued};
use crate::tls::trust::{Caution, Trust, TrustState};
use alarms::Alarms;
use api::Endpoint;
use belief::{Belief, Judge, Refused};
use renew::Known;
use segwan_core::identity::{CertificateFacts, Identity, TrustDomain};
use segwan_pki::authority::Authority;
use segwan_pki::certificate::Certificate;
use segwan_pki::directory::{CredentialStore, Found, Meta, ServiceHint, StoredCredentials};
use segwan_pki::key::{hex, random, sha256};
use status::Contact;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, watch};

/// Clocks further apart than this are told of, in milliseconds.
const SKEW: u64 = 5 * 60_000;

/// How often it is noted on the disk that the Authority was heard, in milliseconds.
const NOTES: i64 = 60_000;

/// The alarm that nothing says whom to believe.
const MISSING: &str = "trust_missing";

/// One identity's credentials, and who renews them.
///
/// An `Agent` that exists has credentials that were checked; [`credentials`](Self::credentials)
/// and [`trust`](Self::trust) change in place: at each renewal, and while it
/// [`follow`](Self::follow)s, at each word of the Authority.
pub struct Agent {
    store: CredentialStore,
    reach: Reach,
    identity: Identity,
    domain: TrustDomain,
    /// Whether the certificate is for listening: only then is it believed about what it saw.
    listens: bool,
    credentials: Arc<Credentials>,
    trust: Arc<Trust>,
    known: Mutex<Known>,
    /// `None` until the Authority was heard, where nothing is left from earlier: nobody is
    /// believed then, because no revocation list is at hand.
    belief: Mutex<Option<Belief>>,
    contact: Mutex<Contact>,
    alarms: Alarms,
    sightings: Arc<Sightings>,
    /// How many renewals there were: each opens the event stream anew.
    renewed: watch::Sender<u64>,
    /// The renewal was moved.
    moved: Notify,
    /// Whom to believe changed otherwise than by an event.
    changed: Notify,
}

/// How the Authority is reached.
enum Reach {
    /// Over its HTTPS port.
    Network,
    /// In this very process.
    Process(Box<Authority>),
}

impl Agent {
    /// The credentials that are there from earlier, renewed over the network; `None` if there are
    /// none.
    ///
    /// # Errors
    /// If there are some and they cannot be used.
    pub fn resume(store: CredentialStore) -> Result<Option<Self>, AgentError> {
        match store.found()? {
            Some(found) => Self::of(store, Reach::Network, found).map(Some),
            None => Ok(None),
        }
    }

    fn of(
        store: CredentialStore,
        reach: Reach,
        found: Found<StoredCredentials>,
    ) -> Result<Self, AgentError> {
        let Found { stored, fell_back } = found;
        let bad = |why: String| AgentError::Stored { name: stored.meta.identity.clone(), why };
        let identity: Identity =
            stored.meta.identity.parse().map_err(|_| bad("they are of no identity".to_owned()))?;
        let domain: TrustDomain = stored
            .meta
            .trust_domain
            .parse()
            .map_err(|_| bad("they are of no trust domain".to_owned()))?;
        let root = stored.roots.iter().find(|der| hex(&sha256(der)) == stored.meta.root);
        let root = root.ok_or_else(|| bad("their root is not the pinned one".to_owned()))?;
        // One that has ended is kept: it may still renew. Anything else must hold at once.
        let at = now_ms().min(stored.meta.not_after_ms) / 1000 - 1;
        judge_issued(&stored.chain, root, &identity, &domain, at).map_err(bad)?;
        let leaf = stored.chain.first().map_or(&[][..], Vec::as_slice);
        let purposes = Certificate::read(leaf).map_err(bad)?.purposes;
        let (chain, key) = shown_pair(&identity, &stored)?;
        let credentials = Credentials::from_pem(chain.as_bytes(), key.as_bytes());
        let credentials = credentials.map_err(|e| bad(e.to_string()))?;
        let trust = Trust::authority(stored.roots_pem().as_bytes(), domain.clone());
        let trust = trust.map_err(|e| bad(e.to_string()))?;
        let alarms = Alarms::default();
        let remembered = remembered(&store, &domain);
        let (belief, trust_fell_back) = match remembered {
            Ok((belief, fell_back)) => (Some(belief), fell_back),
            Err(why) => {
                alarms.raise(MISSING, why);
                (None, None)
            }
        };
        for sentence in fell_back.into_iter().chain(trust_fell_back) {
            alarms.raise("credentials_fell_back", sentence);
        }
        let state = belief.as_ref().map_or_else(
            // Without a list nobody is believed: who was revoked is not known.
            || TrustState { roots: stored.roots.clone(), needs_crl: true, ..TrustState::default() },
            Belief::state,
        );
        trust.install(state).map_err(|e| bad(e.to_string()))?;
        let wanted = belief.as_ref().and_then(|belief| belief.stored.meta.renew_at_ms);
        // A list was made before it was heard; it is no older than an hour where all is well.
        let lists = belief.iter().flat_map(|belief| &belief.stored.crls);
        let earlier = lists.map(|list| list.this_update_ms).chain(store.trust().heard_ms());
        let contact = Contact::beginning_at(now_ms(), earlier);
        let own = credentials.issuing_key();
        let lost = belief.as_ref().zip(own).is_some_and(|(belief, key)| belief.distrusts(&key));
        let agent = Self {
            credentials: Arc::new(credentials),
            trust: Arc::new(trust),
            listens: purposes.is_some_and(|purposes| purposes.server),
            known: Mutex::new(Known::of(stored.meta, wanted)),
            belief: Mutex::new(belief),
            contact: Mutex::new(contact),
            store,
            reach,
            identity,
            domain,
            alarms,
            sightings: Arc::default(),
            renewed: watch::Sender::new(0),
            moved: Notify::new(),
            changed: Notify::new(),
        };
        if lost {
            agent.renew_at_once(now_ms());
        }
        Ok(agent)
    }

    /// Whose credentials these are.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What this identity shows in handshakes; changes in place.
    #[must_use]
    pub fn credentials(&self) -> Arc<Credentials> {
        self.credentials.clone()
    }

    /// Whom it believes; changes in place.
    #[must_use]
    pub fn trust(&self) -> Arc<Trust> {
        self.trust.clone()
    }

    /// Says how careful it is where it knows less than it should. Default: [`Caution::default`],
    /// which keeps what was believed. It has its effect at once: whoever was silent for an hour
    /// before this process began is silent still.
    pub fn set_caution(&self, caution: Caution) {
        self.trust.set_stale_crl(caution.stale_crl);
        lock(&self.contact).when_unreachable = caution.when_unreachable;
        self.silence(now_ms());
    }

    /// The services that it is meant for, as the Authority last said.
    #[must_use]
    pub fn services(&self) -> Vec<ServiceHint> {
        self.known().meta.services.clone()
    }

    /// The trust domain.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// Notes that the holder of this certificate came from this address: what the Authority is
    /// told every minute while this agent [`follow`](Self::follow)s.
    pub fn saw(&self, certificate: &CertificateFacts, from: IpAddr) {
        self.sightings.saw(certificate, from);
    }

    /// Where peers are noted, for whoever has no agent at hand.
    #[must_use]
    pub fn sightings(&self) -> Arc<Sightings> {
        self.sightings.clone()
    }

    /// Puts in force what `make` makes of what is believed, if it is believed; says whether
    /// handshakes and connections are judged otherwise from now on.
    fn install(
        &self,
        now: i64,
        make: impl FnOnce(&Judge<'_>, Option<&Belief>) -> Result<Belief, Refused>,
    ) -> Result<bool, Refused> {
        let mut belief = lock(&self.belief);
        let pinned = self.trust.in_force().roots;
        let judge = Judge { domain: &self.domain, pinned: &pinned, now_ms: now };
        let next = make(&judge, belief.as_ref())?;
        let changed = belief.as_ref().is_none_or(|known| !known.judges_like(&next));
        if changed {
            self.trust.install(next.state()).map_err(|error| Refused::Roots(error.to_string()))?;
        }
        let own = self.credentials.issuing_key();
        let distrusts = |belief: &Belief| own.as_ref().is_some_and(|key| belief.distrusts(key));
        let lost = distrusts(&next) && !belief.as_ref().is_some_and(distrusts);
        *belief = Some(next);
        drop(belief);
        self.alarms.end(MISSING);
        if lost {
            self.renew_at_once(now);
        }
        Ok(changed)
    }

    /// Writes down what is believed. If it cannot be written, it is in force all the same.
    fn remember(&self) {
        // Held meanwhile, so that versions are written in their order.
        let belief = lock(&self.belief);
        let Some(belief) = belief.as_ref() else { return };
        let failed = self.store.trust().publish(&belief.stored).err();
        self.alarms.set("trust_not_saved", failed.map(|error| error.to_string()));
    }

    /// The roots that the Authority may be known by: those that are believed, or, as long as nothing
    /// was said of them, the one of the enrollment.
    fn pins(&self, meta: &Meta) -> Vec<String> {
        let believed = lock(&self.belief).as_ref().map(|b| b.stored.bundle.fingerprints());
        believed.filter(|all| !all.is_empty()).unwrap_or_else(|| vec![meta.root.clone()])
    }

    fn endpoint<'a>(&'a self, meta: &'a Meta) -> Endpoint<'a> {
        Endpoint {
            addresses: &meta.authority,
            roots: self.pins(meta),
            domain: &self.domain,
            credentials: Some(&self.credentials),
            known: lock(&self.belief).as_ref().map(Belief::state).unwrap_or_default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    /// The Authority was heard, so what it revokes comes through again: newcomers are let in.
    fn heard(&self, now: i64) {
        let noted = {
            let mut contact = lock(&self.contact);
            (contact.last_ms, contact.heard_ms) = (Some(now), Some(now));
            self.trust.shut(None);
            // Whoever asked a little before another one did may be answered after it.
            let near = |noted: i64| (-NOTES..NOTES).contains(&(now - noted));
            let old = !contact.noted_ms.is_some_and(near);
            if old {
                contact.noted_ms = Some(now);
            }
            old
        };
        // Else the time before it counts after a restart, which lets in nobody more.
        if noted && let Err(error) = self.store.trust().note_heard(now) {
            tracing::info!("{}: not noted that the Authority was heard: {error}", self.identity);
        }
    }
}

/// What was believed when this was last at work, with a sentence if an older version is used; else
/// a sentence that says why nobody is believed.
fn remembered(
    store: &CredentialStore,
    domain: &TrustDomain,
) -> Result<(Belief, Option<String>), String> {
    let found = match store.trust().current() {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err("is not there".to_owned()),
        Err(why) => Err(format!("cannot be used ({why})")),
    };
    let read = found.and_then(|Found { stored, fell_back }| {
        if stored.bundle.trust_domain != domain.as_str() {
            return Err("is of another trust domain".to_owned());
        }
        let belief = Belief::of(stored).map_err(|error| format!("cannot be used ({error})"))?;
        Ok((belief, fell_back))
    });
    read.map_err(|why| {
        let place = store.trust().path().display();
        format!(
            "{place} {why}, so it is not known who was revoked, and nobody is let in until the \
             Authority is heard"
        )
    })
}

/// What a certificate of this identity looks like in a handshake. The Authority shows its root as
/// well: an agent that knows only its fingerprint has to find it there.
fn shown_pair(
    identity: &Identity,
    stored: &StoredCredentials,
) -> Result<(String, impl std::ops::Deref<Target = String> + use<>), AgentError> {
    let mut chain = stored.chain_pem();
    if identity.path() == Some(AUTHORITY_NAME) {
        chain.push_str(&stored.roots_pem());
    }
    Ok((chain, stored.key.to_pem()?))
}

/// The two clocks, if they explain something.
fn clocks(why: String, theirs: i64, ours: i64) -> String {
    if theirs.abs_diff(ours) <= SKEW {
        return why;
    }
    let lead = if why.is_empty() { String::new() } else { format!("{why}; ") };
    format!("{lead}{}", both(theirs, ours))
}

fn both(theirs: i64, ours: i64) -> String {
    let (theirs, ours) = (instant(theirs), instant(ours));
    format!("the Authority's clock says {theirs}, this host's {ours}")
}

pub(crate) fn instant(ms: i64) -> String {
    jiff::Timestamp::from_second(ms.div_euclid(1000))
        .map_or_else(|_| ms.to_string(), |at| at.to_string())
}

/// Sixteen random bits; the middle if there are none.
fn draw() -> u16 {
    random::<2>().map_or(u16::MAX / 2, u16::from_be_bytes)
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Nothing is left half done in what these guard: each change is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
