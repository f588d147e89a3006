//! What is found when a contract is loaded with its tests: the failures of its vectors (K-90), and
//! what they leave unshown (K-91, K-92), so that a test that was forgotten is seen as well.

use super::joined;
use super::runner::{Runner, Shown};
use crate::contract::{Contract, Side};
use crate::document::Document;
use crate::finding::Finding;
use std::sync::Arc;

/// The failures of a contract's vectors as findings (K-90), and what they leave unshown (K-91).
pub(in crate::contract) fn check(contract: &Arc<Contract>, file: &str, text: &str) -> Vec<Finding> {
    let document = Document::new(file, text);
    let mut shown = Shown::default();
    for vector in &contract.tests {
        let result = Runner { contract, vector }.run_noting(&mut shown);
        if std::mem::take(&mut shown.ambiguous) {
            let message = format!("what test `{}` says fits two messages", vector.name);
            document.find(document.error("K-20", vector.span.clone(), message));
        }
        if let Err(failure) = result {
            let message = format!("test `{}`: {failure}", vector.name);
            document.find(document.error("K-90", vector.span.clone(), message));
        }
    }
    let failed = document.has_errors();
    for (vector, failure) in joined::failures(contract).into_iter().filter(|_| !failed) {
        let message = format!("test `{}`: {failure}", vector.name);
        document.find(document.error("K-90", vector.span.clone(), message));
    }
    look_at(contract, file, &document);
    let inspected = |side: &Side| contract.direction(*side).frame.uninspected().is_none();
    // What a test that failed would have shown is not unshown.
    let failed = document.has_errors();
    for side in [Side::Client, Side::Server].into_iter().filter(inspected).filter(|_| !failed) {
        for message in &contract.direction(side).messages {
            if !shown.cleared.iter().any(|(of, name)| *of == side && *name == message.name) {
                let what =
                    format!("no test clears the {}'s message `{}`", side.as_str(), message.name);
                document.find(Finding::whole(file, what).check("K-91").warning());
            }
        }
        if !shown.refused.contains(&side) {
            let what = format!("no test shows what the {} may not say", side.as_str());
            document.find(Finding::whole(file, what).check("K-91").warning());
        }
    }
    if contract.limits.rate.is_empty() && inspected(&Side::Client) {
        let finding = Finding::whole(file, "the contract has no `limits.rate`");
        let hint = "`rate = { per = \"identity\", messages = \"50/s\" }`";
        document.find(finding.check("K-92").hint(hint).warning());
    }
    document.into_findings()
}

/// K-92: what is allowed, and should be seen.
fn look_at(contract: &Contract, file: &str, document: &Document<'_>) {
    let warn = |text| document.find(Finding::whole(file, text).check("K-92").warning());
    let largest = contract.limits.wire.message.max(contract.limits.server_message);
    if largest > 1 << 20 {
        warn(format!(
            "messages may have {largest} bytes, over 1 MiB, and each connection may keep one of either side"
        ));
    }
    if let Some(what) = contract.uninspected() {
        warn(what);
    }
}
