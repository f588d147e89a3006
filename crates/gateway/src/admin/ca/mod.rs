//! What the Authority is asked by its operator, alike whether a process serves it or a command has
//! opened its state.

mod looking;
mod revoking;
mod routes;

pub(crate) use looking::{agents, calendar, history, list, revocation_list, tokens, verify};
pub(crate) use revoking::{LONGEST_WAIT, revoke, spread, would_revoke};
pub(super) use routes::routes;

use super::fault::Fault;
use super::wire::RegistrationView;
use crate::registering::Registering;
use segwan_pki::authority::{Authority, AuthorityError, Registration};

/// Registers a name, or changes what is known of it.
pub(crate) async fn register(
    authority: &Authority,
    said: Registering,
    now_ms: i64,
) -> Result<RegistrationView, Fault> {
    let name = said.name.clone();
    let known = authority.registration(&name).await?;
    let known = known.as_ref().and_then(Registration::of);
    authority.register(&said.over(known).map_err(Fault::asked)?, now_ms).await?;
    registered(authority, &name).await
}

/// Lets a name enroll and renew again.
pub(crate) async fn enable(
    authority: &Authority,
    name: &str,
    now_ms: i64,
) -> Result<RegistrationView, Fault> {
    authority.enable(name, now_ms).await?;
    registered(authority, name).await
}

async fn registered(authority: &Authority, name: &str) -> Result<RegistrationView, Fault> {
    let row = authority.registration(name).await?;
    Ok(row.ok_or_else(|| AuthorityError::NotRegistered(name.to_owned()))?.into())
}

#[cfg(test)]
mod tests;
