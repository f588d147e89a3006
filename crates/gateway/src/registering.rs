//! `Registering`: what is said of a registration, by a flag or in a file; what is not said stays as
//! it is known.

use segwan_pki::authority::{OnReenroll, Registration};
use segwan_pki::profile::Profile;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

/// A registration as somebody wants it. Of a new name, what is not said is as in
/// [`Registration::new`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registering {
    /// Its name.
    pub name: String,
    /// `client`, `service` or `peer`; a name that is known keeps its own.
    pub profile: String,
    /// DNS names of its certificates.
    pub dns: Option<Vec<String>>,
    /// IP addresses of its certificates.
    pub ips: Option<Vec<IpAddr>>,
    /// Life of its certificates, 5 min to 90 d.
    pub leaf_lifetime: Option<Duration>,
    /// How many machines may hold it at once.
    pub max_lineages: Option<u32>,
    /// `add` or `replace`.
    pub on_reenroll: Option<String>,
    /// Whether certificates carry the name for humans as well.
    pub display_name: Option<bool>,
    /// Whether one certificate may be used in several places.
    pub shared: Option<bool>,
}

impl Registering {
    /// A name and its profile, and nothing more.
    #[must_use]
    pub fn new(name: &str, profile: Profile) -> Self {
        let profile = profile.as_str().to_owned();
        Self { name: name.to_owned(), profile, ..Self::default() }
    }

    /// The registration that this makes of what is known.
    ///
    /// # Errors
    /// If a word of it is none.
    pub fn over(self, known: Option<Registration>) -> Result<Registration, String> {
        let Self { name, profile, .. } = self;
        let bad = |what: &str, word: &str, words: &str| {
            format!("`{}` is no {what}: {words}", segwan_core::audit::shown(word.as_bytes()))
        };
        let profile = match Profile::named(&profile) {
            Some(profile) if profile != Profile::Authority => profile,
            _ => return Err(bad("profile", &profile, "`client`, `service` or `peer`")),
        };
        let on_reenroll = match self.on_reenroll.as_deref() {
            None => None,
            Some("add") => Some(OnReenroll::Add),
            Some("replace") => Some(OnReenroll::Replace),
            Some(word) => return Err(bad("way to enroll again", word, "`add` or `replace`")),
        };
        let known = known.unwrap_or_else(|| Registration::new(&name, profile));
        // The Authority refuses another profile than the one that is known, by its own sentence.
        Ok(Registration {
            name,
            profile,
            dns: self.dns.unwrap_or_else(|| known.dns.clone()),
            ips: self.ips.unwrap_or_else(|| known.ips.clone()),
            leaf_lifetime: self.leaf_lifetime.or(known.leaf_lifetime),
            max_lineages: self.max_lineages.unwrap_or(known.max_lineages),
            on_reenroll: on_reenroll.unwrap_or(known.on_reenroll),
            display_name: self.display_name.unwrap_or(known.display_name),
            shared: self.shared.unwrap_or(known.shared),
            ..known
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_stays_as_it_is_known() {
        let mut said = Registering::new("edge", Profile::Service);
        said.dns = Some(vec!["edge.shop.example".to_owned()]);
        said.on_reenroll = Some("add".to_owned());
        said.max_lineages = Some(50);
        let first = said.over(None).unwrap();
        assert_eq!((first.max_lineages, first.on_reenroll), (50, OnReenroll::Add));
        let mut said = Registering::new("edge", Profile::Service);
        said.shared = Some(true);
        let second = said.over(Some(first.clone())).unwrap();
        assert_eq!(second, Registration { shared: true, ..first });
        let mut said = Registering::new("edge", Profile::Service);
        said.on_reenroll = Some("often".to_owned());
        assert!(said.over(None).unwrap_err().contains("`often` is no way to enroll again"));
        assert!(Registering::default().over(None).unwrap_err().contains("is no profile"));
    }
}
