//! What an answer of the Authority has to be, before anything of it is used.

use super::belief::{Belief, Refused};
use super::{AgentError, SKEW, clocks, draw};
use crate::tls::authority::judge_issued;
use segwan_core::identity::{Identity, TrustDomain};
use segwan_pki::api::{self as wire, IssuedAnswer};
use segwan_pki::bundle::{Bundle, BundleError};
use segwan_pki::certificate::Certificate;
use segwan_pki::directory::{Meta, ServiceHint, StoredCredentials};
use segwan_pki::key::{PrivateKey, hex, sha256};
use segwan_pki::renewal;

/// Most certificates of an answered chain, and most bytes of one.
const CHAIN: usize = 5;
const CERTIFICATE: usize = 8 * 1024;

/// What an answer has to be about.
pub(super) struct Asked<'a> {
    pub(super) identity: &'a Identity,
    pub(super) domain: &'a TrustDomain,
    /// SHA-256 of the root by which the Authority was known, hex.
    pub(super) root: &'a str,
    pub(super) authority: Vec<String>,
}

impl Asked<'_> {
    /// The root with the pinned fingerprint, which the answer of an enrollment brings along.
    pub(super) fn pinned(&self, answer: &IssuedAnswer) -> Result<Vec<u8>, AgentError> {
        let refused = |why: &str| AgentError::Answer(why.to_owned());
        let body = wire::der(&answer.trust.bundle.body, 256 * 1024);
        let said = body.and_then(|body| Bundle::read(&body).ok());
        let said = said.ok_or_else(|| refused("its trust bundle cannot be read"))?;
        let root = said.roots.into_iter().find(|der| hex(&sha256(der)) == self.root);
        root.ok_or_else(|| refused("it lacks the pinned root"))
    }

    /// Believes the certificate of an answer, or says why not (`pki.md` section 8): the key is
    /// ours, the chain leads to a root that is believed, now and one second before its end, the
    /// identity is the expected one.
    pub(super) fn check(
        self,
        answer: &IssuedAnswer,
        belief: &Belief,
        key: PrivateKey,
        now: i64,
    ) -> Result<StoredCredentials, AgentError> {
        let refused = |why: String| AgentError::Answer(why);
        let chain = ders(&answer.certificate, "certificate chain")?;
        let leaf = chain.first().ok_or_else(|| refused("it holds no certificate".to_owned()))?;
        let leaf = Certificate::read(leaf).map_err(refused)?;
        if leaf.public_key != key.public_key() {
            return Err(refused("its certificate is for another key".to_owned()));
        }
        for at in [now / 1000, leaf.not_after - 1] {
            self.judge(&chain, belief.roots(), at)
                .map_err(|why| refused(clocks(why, answer.now_ms, now)))?;
        }
        let not_after_ms = leaf.not_after.saturating_mul(1000);
        let draw = draw();
        // The Authority's window may only move the renewal earlier.
        let (after, before) = (answer.renew_after_ms, answer.renew_before_ms);
        let spread = before.saturating_sub(after).max(0) / i64::from(u16::MAX) * i64::from(draw);
        let told = after.saturating_add(spread);
        let roots = belief.roots().to_vec();
        // The root by which the Authority was known, as long as it is believed.
        let fingerprints = belief.stored.bundle.fingerprints();
        let pinned =
            fingerprints.iter().find(|root| *root == self.root).or_else(|| fingerprints.first());
        let meta = Meta {
            identity: self.identity.to_string(),
            not_after_ms,
            renew_at_ms: renewal::renew_at(now, not_after_ms, draw).min(told),
            trust_domain: self.domain.to_string(),
            root: pinned.cloned().unwrap_or_default(),
            authority: self.authority,
            services: answer
                .services
                .iter()
                .take(64)
                .filter(|hint| is_sound(hint))
                .cloned()
                .collect(),
            lineage: answer.lineage.chars().take(64).collect(),
        };
        Ok(StoredCredentials { chain, roots, key, meta })
    }

    fn judge(&self, chain: &[Vec<u8>], roots: &[Vec<u8>], at: i64) -> Result<(), String> {
        let mut why = Err("no root is believed".to_owned());
        for root in roots {
            why = judge_issued(chain, root, self.identity, self.domain, at);
            if why.is_ok() {
                break;
            }
        }
        why
    }
}

/// Why the trust of an answer is not believed, with the two clocks where they explain it.
pub(super) fn not_believed(refused: &Refused, theirs: i64, ours: i64) -> AgentError {
    AgentError::Answer(clocks(refused.to_string(), theirs, ours))
}

/// Whether a bundle is only older than one that came while it was on its way.
pub(super) fn was_overtaken(refused: &Refused, before: Option<(i64, i64)>) -> bool {
    let Refused::Bundle(BundleError::Rollback { epoch, version, .. }) = refused else {
        return false;
    };
    before.is_some_and(|before| (*epoch, *version) >= before)
}

/// Whether two clocks are so far apart that it is told.
pub(super) fn are_apart(theirs: i64, ours: i64) -> bool {
    theirs.abs_diff(ours) > SKEW
}

/// A hint that names an identity and at least one place.
fn is_sound(hint: &ServiceHint) -> bool {
    hint.identity.parse::<Identity>().is_ok()
        && hint.name.len() <= 200
        && hint.addresses.len() <= 16
}

fn ders(texts: &[String], what: &str) -> Result<Vec<Vec<u8>>, AgentError> {
    let bad = || AgentError::Answer(format!("its {what} is not well-formed"));
    if texts.is_empty() || texts.len() > CHAIN {
        return Err(bad());
    }
    texts.iter().map(|text| wire::der(text, CERTIFICATE).ok_or_else(bad)).collect()
}
