//! `Jury`: one verifier for the own roots and one for each foreign authority, of which exactly one
//! has the word.
//!
//! A certificate is judged by the first to whose roots its path leads, the own one first, with that
//! one's roots, lists, tolerances and names alone; what it refuses is refused. The others are asked
//! only while no path leads to a root of those before them, whatever else is wrong with what was
//! shown: an old cross certificate that a peer sends along speaks against nobody.

use super::{Judge, Purpose, Verdict, Verifier};
use crate::tls::trust::{InForce, Rule};
use crate::tls::verify::Expected;
use rustls::DistinguishedName;
use rustls::pki_types::{CertificateDer, UnixTime};

#[derive(Debug)]
pub(crate) struct Jury {
    own: Verifier,
    foreign: Vec<Verifier>,
    /// Names of all roots.
    subjects: Vec<DistinguishedName>,
}

impl Jury {
    pub(crate) fn of_clients(in_force: &InForce, rule: Rule) -> Self {
        Self::new(in_force, rule, Purpose::Dialling, None)
    }

    pub(crate) fn of_servers(in_force: &InForce, rule: Rule, expected: &Expected) -> Self {
        Self::new(in_force, rule, Purpose::Listening, Some(expected))
    }

    fn new(in_force: &InForce, rule: Rule, purpose: Purpose, expected: Option<&Expected>) -> Self {
        let verifier = |state, rule| Verifier { state, rule, purpose, expected: expected.cloned() };
        let foreign = &in_force.foreign;
        let states = std::iter::once(&in_force.own).chain(foreign.iter().map(|it| &it.state));
        Self {
            subjects: states.flat_map(|state| state.subjects.clone()).collect(),
            own: verifier(in_force.own.clone(), rule),
            foreign: foreign.iter().map(|it| verifier(it.state.clone(), it.rule())).collect(),
        }
    }
}

impl Judge for Jury {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Verdict {
        let verdict = self.own.judge(leaf, others, now);
        let knows = |verdict: &Verdict| verdict.as_ref().err().is_none_or(|it| it.leads_here);
        if knows(&verdict) {
            return verdict;
        }
        let mut foreign = self.foreign.iter().map(|it| it.judge(leaf, others, now));
        foreign.find(knows).unwrap_or(verdict)
    }

    fn subjects(&self) -> &[DistinguishedName] {
        &self.subjects
    }
}
