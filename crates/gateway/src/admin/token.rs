//! Join tokens: what an operator asks for becomes a registration and a token, whether a running
//! process is asked or the state directory itself.

use super::fault::Fault;
use super::wire::{TokenAnswer, TokenRequest};
use segwan_core::contract::units;
use segwan_pki::authority::{Authority, Registration};
use segwan_pki::enrollment::{Token, TokenError};
use segwan_pki::profile::Profile;
use segwan_pki::store::RegistrationRow;
use std::time::Duration;

/// How long a token can be used where nothing is said.
pub(crate) const TTL: Duration = Duration::from_secs(30 * 60);
/// Shortest and longest time for which a token can be used.
const SHORTEST: Duration = Duration::from_secs(5 * 60);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Where the Authority is, and which services a new client is meant for, where nothing is said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Defaults {
    pub(crate) addresses: Vec<String>,
    /// None: all that are registered.
    pub(crate) services: Option<Vec<String>>,
}

/// Makes a token, and registers its name first where nobody knows it.
pub(crate) async fn mint(
    authority: &Authority,
    request: TokenRequest,
    defaults: Defaults,
    now_ms: i64,
) -> Result<TokenAnswer, Fault> {
    let TokenRequest { name, profile, ttl_seconds, services, addresses } = request;
    let ttl = ttl(ttl_seconds)?;
    let profile = profile.as_deref().map(named).transpose()?;
    let addresses = addresses.unwrap_or(defaults.addresses);
    sound(authority, &name, &addresses, now_ms)?;
    let registered = authority.registrations().await?;
    if let Some(services) = &services {
        known(services, &registered)?;
    }
    let row = registered.iter().find(|row| row.name == name);
    let registration = match row {
        Some(row) => again(row, profile, services)?,
        None => {
            let fallback = || defaults.services.unwrap_or_else(|| listening(&registered));
            first(&name, profile.unwrap_or(Profile::Client), services.unwrap_or_else(fallback))
        }
    };
    authority.register(&registration, now_ms).await?;
    let token = authority.mint_token(&name, addresses, ttl, now_ms).await?;
    tracing::info!(
        "a join token for `{name}` was made; it can be used once, within {}",
        units::shown(ttl)
    );
    Ok(TokenAnswer {
        token: token.reveal().to_string(),
        name,
        profile: registration.profile.as_str().to_owned(),
        expires: token.expires,
    })
}

fn ttl(seconds: Option<u64>) -> Result<Duration, Fault> {
    let ttl = seconds.map_or(TTL, Duration::from_secs);
    if (SHORTEST..=LONGEST).contains(&ttl) {
        return Ok(ttl);
    }
    let asked = units::shown(ttl);
    Err(Fault::asked(format!("a token can be used for 5 min to 24 h, not for {asked}")))
}

fn named(word: &str) -> Result<Profile, Fault> {
    match Profile::named(word) {
        Some(profile) if profile != Profile::Authority => Ok(profile),
        _ => {
            let word = segwan_core::audit::shown(word.as_bytes());
            Err(Fault::asked(format!("`{word}` is no profile: `client`, `service` or `peer`")))
        }
    }
}

/// Whether the parts make a token that the other host will read; a token that was made and cannot
/// be used would only stay open.
fn sound(
    authority: &Authority,
    name: &str,
    addresses: &[String],
    now_ms: i64,
) -> Result<(), Fault> {
    let domain = authority.trust_domain().clone();
    if let Err(error) = domain.identity(name) {
        return Err(Fault::asked(error.to_string()));
    }
    let end = now_ms / 1000;
    let trial =
        Token::new(addresses.to_vec(), domain, name.to_owned(), &authority.root(), end, [0; 32]);
    match Token::parse(&trial.reveal()) {
        Ok(_) => Ok(()),
        Err(TokenError::TooLong) => Err(Fault::asked("the token would be over 2 KiB")
            .hint("fewer or shorter addresses of the Authority")),
        Err(_) => {
            Err(Fault::asked("the address of the Authority must be 1 to 4 times `host:port`")
                .hint("`--advertise HOST:PORT`"))
        }
    }
}

/// Refuses a service that nobody could reach.
fn known(services: &[String], registered: &[RegistrationRow]) -> Result<(), Fault> {
    let there = listening(registered);
    match services.iter().find(|name| !there.contains(name)) {
        None => Ok(()),
        Some(name) => {
            let name = segwan_core::audit::shown(name.as_bytes());
            let fault = Fault::asked(format!("no service is called `{name}`"));
            Err(if there.is_empty() {
                fault
            } else {
                fault.hint(format!("there is `{}`", there.join("`, `")))
            })
        }
    }
}

fn listening(registered: &[RegistrationRow]) -> Vec<String> {
    let listens = |row: &&RegistrationRow| {
        matches!(Profile::named(&row.profile), Some(Profile::Service | Profile::Peer))
    };
    registered.iter().filter(listens).map(|row| row.name.clone()).collect()
}

/// A name that is known keeps what is known of it, except for what is said anew. Its profile
/// stays: the Authority refuses another one.
fn again(
    row: &RegistrationRow,
    profile: Option<Profile>,
    services: Option<Vec<String>>,
) -> Result<Registration, Fault> {
    let stored = named(&row.profile)
        .map_err(|_| Fault::asked(format!("`{}` is the Authority's own name", row.name)))?;
    let known = Registration::of(row);
    let known = known.unwrap_or_else(|| Registration::new(&row.name, stored));
    Ok(Registration {
        profile: profile.unwrap_or(stored),
        services: services.unwrap_or_else(|| known.services.clone()),
        ..known
    })
}

fn first(name: &str, profile: Profile, services: Vec<String>) -> Registration {
    let services = if profile.dials() { services } else { Vec::new() };
    Registration { services, ..Registration::new(name, profile) }
}
