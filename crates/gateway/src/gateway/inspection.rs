//! `Inspection`: what is looked at in a connection, which a contract's `mode` decides, and how it is
//! said.

use crate::capture::Capture;
use segwan_core::contract::Contract;
use std::sync::Arc;

/// What is looked at in the messages of a connection.
#[derive(Clone)]
pub enum Inspection {
    /// Nothing: bytes pass as they are.
    Raw,
    /// Nothing, and what passes is recorded for a contract to be drafted from it.
    Recorded(Arc<Capture>),
    /// Every message, in both directions.
    Contract(Arc<Contract>),
    /// Bytes pass as they are; a copy of every message is judged, for the record.
    Shadow(Arc<Contract>),
}

impl Inspection {
    /// What binding this contract means: its `mode` decides.
    #[must_use]
    pub fn by(contract: Arc<Contract>) -> Self {
        if contract.is_shadow() { Self::Shadow(contract) } else { Self::Contract(contract) }
    }

    /// The contract that messages are judged by, enforced or not; none where nothing is looked at.
    #[must_use]
    pub fn contract(&self) -> Option<&Arc<Contract>> {
        match self {
            Self::Raw | Self::Recorded(_) => None,
            Self::Contract(contract) | Self::Shadow(contract) => Some(contract),
        }
    }

    /// Where what passes is recorded, if it is.
    #[must_use]
    pub fn capture(&self) -> Option<&Arc<Capture>> {
        match self {
            Self::Recorded(capture) => Some(capture),
            Self::Raw | Self::Contract(_) | Self::Shadow(_) => None,
        }
    }

    /// Whether it is only tried.
    #[must_use]
    pub fn is_shadow(&self) -> bool {
        matches!(self, Self::Shadow(_))
    }
}

/// What is said beside the name of a contract that is only tried.
pub const NOT_ENFORCED: &str = "shadow, not enforced";

/// What is said behind what is in force, of a contract that is tried beside it.
#[must_use]
pub fn and_beside(contract: Option<&str>) -> String {
    contract.map(|name| format!("; beside it {name} ({NOT_ENFORCED})")).unwrap_or_default()
}
