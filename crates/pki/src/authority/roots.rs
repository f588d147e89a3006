//! `Roots`: the roots of an Authority as its store keeps them, and how far a rotation of them is.

use super::AuthorityError;
use crate::api;
use crate::store::{Store, Writing};
use serde::{Deserialize, Serialize};

/// Where the store keeps it.
const ROOTS: &str = "roots";

/// How far a rotation is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// One root.
    #[default]
    Steady,
    /// The new root is believed beside the old one, which still signs.
    Prepared,
    /// The new root's issuing key signs.
    Active,
    /// Everybody renews under the new root.
    Tainted,
}

impl Step {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Prepared => "prepared",
            Self::Active => "active",
            Self::Tainted => "tainted",
        }
    }
}

/// The roots of an Authority, and how far a rotation of them is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Roots {
    /// Base64 of DER. The first one is the Authority's; a second one comes or goes.
    pub(super) roots: Vec<String>,
    /// Roots that are believed no more, and under which recorded certificates may still renew.
    pub(super) former: Vec<String>,
    /// The new root by the old one. It is shown on after the rotation, as long as the old one lives:
    /// whoever slept through all of it believes the new one by it.
    pub(super) cross: Vec<String>,
    /// SHA-256 of keys of roots that are believed nowhere, and when that may be forgotten.
    pub(super) distrusted: Vec<(String, i64)>,
    pub(super) step: Step,
    pub(super) since_ms: i64,
    /// When a former root stops being believed after `--compromised --grace`.
    pub(super) until_ms: Option<i64>,
}

/// What [`Keys`] are read with.
pub(super) struct Believed {
    pub(super) roots: Vec<Vec<u8>>,
    pub(super) former: Vec<Vec<u8>>,
    pub(super) cross: Vec<Vec<u8>>,
    pub(super) distrusted: Vec<String>,
}

impl Roots {
    /// As the store has it; before the first rotation that is the one root of the directory.
    pub(super) async fn read(store: &Store, first: &[u8]) -> Result<Self, AuthorityError> {
        match store.meta(ROOTS).await? {
            Some(text) => serde_json::from_str(&text).map_err(|_| {
                AuthorityError::Broken("the roots in the store cannot be read".to_owned())
            }),
            None => Ok(Self { roots: vec![api::text(first)], ..Self::default() }),
        }
    }

    /// Puts them into the store.
    pub(super) async fn keep(&self, writing: &mut Writing) -> Result<(), AuthorityError> {
        let text = serde_json::to_string(self)
            .map_err(|_| AuthorityError::Broken("the roots cannot be written".to_owned()))?;
        Ok(writing.set_meta(ROOTS, &text).await?)
    }

    pub(super) fn believed(&self) -> Result<Believed, AuthorityError> {
        let ders = |all: &[String]| {
            let read = all.iter().map(|text| api::der(text, 8 * 1024)).collect::<Option<Vec<_>>>();
            read.ok_or_else(|| {
                AuthorityError::Broken("a root in the store cannot be read".to_owned())
            })
        };
        Ok(Believed {
            roots: ders(&self.roots)?,
            former: ders(&self.former)?,
            cross: ders(&self.cross)?,
            distrusted: self.distrusted.iter().map(|(spki, _)| spki.clone()).collect(),
        })
    }
}
