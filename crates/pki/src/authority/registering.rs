//! Registrations: the Authority's permission for one identity to exist.

use super::{Authority, AuthorityError};
use crate::ledger::Entry;
use crate::profile::Profile;
use crate::store::{NewRevocation, RegistrationRow, Which, Writing};
use crate::x509;
use segwan_core::identity::{FOREIGN, IdentityError};
use std::net::IpAddr;
use std::time::Duration;

/// The Authority's permission for one identity to exist: every name of its certificates comes from
/// here, at issue and again at each renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Its name: `app` is `spiffe://DOMAIN/app`.
    pub name: String,
    /// What its certificates are for.
    pub profile: Profile,
    /// `host:port` at which a service is reached.
    pub addresses: Vec<String>,
    /// Services that a client is meant for.
    pub services: Vec<String>,
    /// DNS names of its certificates. Default none.
    pub dns: Vec<String>,
    /// IP addresses of its certificates. Default none.
    pub ips: Vec<IpAddr>,
    /// Life of its certificates, 5 min to 90 d; `None`: the Authority's.
    pub leaf_lifetime: Option<Duration>,
    /// How many machines may hold it at once, with `OnReenroll::Add`. Default 1.
    pub max_lineages: u32,
    /// What a further enrollment does. Default [`OnReenroll::Replace`].
    pub on_reenroll: OnReenroll,
    /// Whether certificates carry the name for humans as well. Default no.
    pub display_name: bool,
    /// Whether one certificate may be seen in several places. Default no.
    pub shared: bool,
}

/// What a further enrollment of a name does to the machines that hold it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnReenroll {
    /// Their certificates are revoked: a rebuilt machine takes the place of the old one, and a
    /// stolen disk image is useless.
    #[default]
    Replace,
    /// They stay, up to `max_lineages`.
    Add,
}

impl OnReenroll {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Add => "add",
        }
    }
}

impl Registration {
    /// A registration of this name and profile, and nothing more.
    #[must_use]
    pub fn new(name: &str, profile: Profile) -> Self {
        Self {
            name: name.to_owned(),
            profile,
            addresses: Vec::new(),
            services: Vec::new(),
            dns: Vec::new(),
            ips: Vec::new(),
            leaf_lifetime: None,
            max_lineages: 1,
            on_reenroll: OnReenroll::Replace,
            display_name: false,
            shared: false,
        }
    }

    /// What is known of a registration, to be changed and registered again.
    #[must_use]
    pub fn of(row: &RegistrationRow) -> Option<Self> {
        let lines = |text: &str| text.lines().map(str::to_owned).collect();
        let life = row.life_ms.and_then(|ms| u64::try_from(ms).ok());
        Some(Self {
            addresses: lines(&row.addresses),
            services: lines(&row.services),
            dns: lines(&row.dns),
            ips: row.ips.lines().filter_map(|ip| ip.parse().ok()).collect(),
            leaf_lifetime: life.map(Duration::from_millis),
            max_lineages: u32::try_from(row.max_lineages).unwrap_or(1),
            on_reenroll: match row.on_reenroll.as_str() {
                "add" => OnReenroll::Add,
                _ => OnReenroll::Replace,
            },
            display_name: row.display_name,
            shared: row.shared,
            ..Self::new(&row.name, Profile::named(&row.profile)?)
        })
    }

    fn row(&self) -> RegistrationRow {
        let ips: Vec<_> = self.ips.iter().map(IpAddr::to_string).collect();
        let life =
            self.leaf_lifetime.map(|life| i64::try_from(life.as_millis()).unwrap_or(i64::MAX));
        RegistrationRow {
            name: self.name.clone(),
            profile: self.profile.as_str().to_owned(),
            addresses: self.addresses.join("\n"),
            services: self.services.join("\n"),
            dns: self.dns.join("\n"),
            ips: ips.join("\n"),
            life_ms: life,
            max_lineages: i64::from(self.max_lineages),
            on_reenroll: self.on_reenroll.as_str().to_owned(),
            display_name: self.display_name,
            shared: self.shared,
            enabled: true,
        }
    }
}

/// The least and the most that a certificate may live.
const LIVES: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(300)..=Duration::from_secs(90 * 86_400);

impl Authority {
    /// Registers a name, or changes what is known of it. Its profile stays what it was, and so
    /// does whether it is enabled.
    ///
    /// # Errors
    /// If the name is none, is registered for another use, or its certificates could not be: names
    /// outside the issuing certificate's constraints are refused here, not when they are used.
    pub async fn register(
        &self,
        registration: &Registration,
        now_ms: i64,
    ) -> Result<(), AuthorityError> {
        self.sensible(registration)?;
        let (name, mut row) = (&registration.name, registration.row());
        if let Some(known) = self.0.store.registration(name).await? {
            if known.profile != row.profile {
                return Err(AuthorityError::OtherProfile {
                    name: name.clone(),
                    is: known.profile,
                    asked: row.profile,
                });
            }
            row.enabled = known.enabled;
            if known == row {
                return Ok(());
            }
        }
        let mut writing = self.0.store.write().await?;
        writing.register(&row, now_ms).await?;
        writing
            .record(&Entry { detail: &row.profile, ..Entry::new("registration", now_ms, name) })
            .await?;
        writing.commit().await?;
        Ok(())
    }

    /// Registers a name that nobody registered yet.
    ///
    /// # Errors
    /// As [`register`](Self::register).
    pub async fn register_if_new(
        &self,
        registration: &Registration,
        now_ms: i64,
    ) -> Result<(), AuthorityError> {
        match self.0.store.registration(&registration.name).await? {
            Some(_) => Ok(()),
            None => self.register(registration, now_ms).await,
        }
    }

    fn sensible(&self, registration: &Registration) -> Result<(), AuthorityError> {
        let name = &registration.name;
        self.0.trust_domain.identity(name)?;
        let reserved = match name.split('/').next() {
            Some(FOREIGN) => true,
            Some("segwan") => registration.profile != Profile::Authority,
            _ => false,
        };
        if reserved {
            return Err(IdentityError::Name(name.clone()).into());
        }
        let refused = |why: String| Err(AuthorityError::Registration { name: name.clone(), why });
        if let Some(life) = registration.leaf_lifetime
            && !LIVES.contains(&life)
        {
            return refused(format!("a life of {} s is not in 5 min .. 90 d", life.as_secs()));
        }
        if !(1..=10_000).contains(&registration.max_lineages) {
            return refused(format!(
                "{} lineages are not in 1 .. 10000",
                registration.max_lineages
            ));
        }
        let keys = self.keys();
        let issuing = &keys.active()?.authority.der;
        x509::within_constraints(issuing, &registration.dns, &registration.ips).or_else(refused)
    }

    /// Lets a name enroll and renew again.
    ///
    /// # Errors
    /// If nobody of that name is registered.
    pub async fn enable(&self, name: &str, now_ms: i64) -> Result<(), AuthorityError> {
        if self.0.store.registration(name).await?.is_none() {
            return Err(AuthorityError::NotRegistered(name.to_owned()));
        }
        let mut writing = self.0.store.write_at_once().await?;
        if writing.enable(name, true).await? {
            let entry = Entry { detail: "enabled", ..Entry::new("registration", now_ms, name) };
            writing.record(&entry).await?;
        }
        writing.commit().await?;
        Ok(())
    }
}

/// Whether one more machine may hold a name.
pub(super) async fn room_for_one(
    writing: &mut Writing,
    registration: &RegistrationRow,
) -> Result<(), AuthorityError> {
    if registration.on_reenroll != OnReenroll::Add.as_str() {
        return Ok(());
    }
    let open = writing.open_lineages(&registration.name).await?.len();
    if open < usize::try_from(registration.max_lineages).unwrap_or(1).max(1) {
        return Ok(());
    }
    let why = format!("{open} machines hold it already, which is the most");
    Err(AuthorityError::Token(format!("`{}`: {why}", registration.name)))
}

/// Ends the lineages of a name that `lineage` takes the place of; gives what is revoked with them.
pub(super) async fn older_lineages(
    writing: &mut Writing,
    registration: &RegistrationRow,
    lineage: &str,
    now_ms: i64,
) -> Result<Vec<NewRevocation>, AuthorityError> {
    let mut victims = Vec::new();
    if registration.on_reenroll == OnReenroll::Add.as_str() {
        return Ok(victims);
    }
    for other in writing.open_lineages(&registration.name).await? {
        if other != lineage {
            writing.close_lineage(&other, now_ms).await?;
            victims.extend(writing.victims(Which::Lineage(&other), now_ms).await?);
            // The machine before is no agent any more: nobody waits for it.
            writing.keep_agents(&registration.name, 0).await?;
        }
    }
    Ok(victims)
}
