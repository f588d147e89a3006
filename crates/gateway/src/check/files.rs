//! Certificates from files: what a peer would say of them today (C5, C6, C7, C20).

use super::Check;
use crate::config::{IdentitySource, TrustFiles, read};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use segwan::{Credentials, Tolerate, Trust};
use segwan_core::finding::Finding;
use segwan_core::rejection::Reason;
use segwan_pki::certificate::{Certificate, KeyKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Least bits of an RSA key that nobody warns about.
const RSA_BITS: usize = 3072;

impl Check<'_> {
    /// `credentials` and `trust` of one table.
    pub(super) fn files(
        &self,
        table: &[&str; 2],
        source: &IdentitySource,
        listens: bool,
        findings: &mut Vec<Finding>,
    ) {
        let IdentitySource::Files {
            chain,
            key,
            trust: TrustFiles { roots, danger_tolerate, .. },
            ..
        } = source
        else {
            return;
        };
        let about = |keys: [&str; 2], check: &'static str, message: String| {
            self.places.error(&[table[0], table[1], keys[0], keys[1]], message).check(check)
        };
        let at_chain = |message| about(["credentials", "chain"], "C6", message);
        let at_key = |check, message| about(["credentials", "key"], check, message);
        let at_roots = |message| about(["trust", "roots"], "C5", message);
        if let IdentitySource::Files { trust, .. } = source {
            findings.extend(tolerated(trust).map(|let_off| {
                let message = format!("certificates that `{}` believes {let_off}", table[1]);
                about(["trust", "danger_tolerate"], "C20", message).warning()
            }));
        }
        if let Some(finding) = readable_by_others(key) {
            findings.push(at_key("C7", finding).hint(format!("chmod 600 {}", key.display())));
        }
        let (chain_pem, key_pem, roots_pem) =
            (read::bytes(chain), read::bytes(key), read::bytes(roots));
        let trust = match &roots_pem {
            Ok(pem) => {
                findings.extend(self.roots(roots, pem).into_iter().map(at_roots));
                Trust::files_tolerating(pem, *danger_tolerate).ok()
            }
            Err(why) => {
                findings.push(at_roots(why.clone()));
                None
            }
        };
        let (chain_pem, key_pem) = match (chain_pem, key_pem) {
            (Ok(chain), Ok(key)) => (chain, key),
            (chain, key) => {
                findings.extend(chain.err().map(at_chain));
                findings.extend(key.err().map(|why| at_key("C6", why)));
                return;
            }
        };
        let credentials = match Credentials::from_pem(&chain_pem, &key_pem) {
            Ok(credentials) => credentials,
            Err(error) => {
                findings.push(at_chain(format!("`{}`: {error}", chain.display())));
                return;
            }
        };
        findings.extend(self.life(&credentials).map(|(message, ended)| {
            let finding = at_chain(message);
            if ended { finding } else { finding.warning() }
        }));
        let weak = strength(&chain_pem).map(|message| at_chain(message).check("C20").warning());
        findings.extend(weak);
        // A certificate outside its life was told; the rest is judged at a second within it.
        let at = self.now.clamp(credentials.not_before(), credentials.not_after());
        if let Some(Err(error)) = trust.map(|trust| trust.judge(&chain_pem, listens, at)) {
            findings.push(if error.reason == Reason::UnknownIssuer {
                let message = format!(
                    "the chain leads to no root of `{}`: {}",
                    roots.display(),
                    error.sentence
                );
                let hint = "right only if the peers believe another authority than this side does; \
                            else the chain lacks an issuing certificate";
                at_chain(message).hint(hint).warning()
            } else {
                at_chain(error.sentence)
            });
        }
    }

    /// `[[trust.foreign]]`: roots and lists of each, and what it is let off.
    pub(super) fn foreign(&self, findings: &mut Vec<Finding>) {
        for foreign in &self.config.foreign {
            let name = foreign.name();
            let about = |check, message| {
                let finding = self.places.error(&["trust", "foreign"], message);
                finding.check(check)
            };
            let trust = &foreign.trust;
            let wrong = match read::bytes(&trust.roots) {
                Ok(pem) => self.roots(&trust.roots, &pem),
                Err(why) => vec![why],
            };
            let wrong = wrong.into_iter().map(|why| format!("`{name}`: {why}"));
            findings.extend(wrong.map(|message| about("C5", message)));
            findings.extend(tolerated(trust).map(|let_off| {
                about("C20", format!("certificates of `{name}` {let_off}")).warning()
            }));
        }
    }

    /// What is wrong with roots: unreadable, none, one that may not issue, twice, or ended.
    fn roots(&self, path: &Path, pem: &[u8]) -> Vec<String> {
        let path = path.display();
        if let Err(error) = Trust::files(pem) {
            return vec![format!("`{path}`: {error}")];
        }
        let all: Vec<_> = CertificateDer::pem_slice_iter(pem).flatten().collect();
        let mut wrong = Vec::new();
        for (at, der) in all.iter().enumerate() {
            let number = at + 1;
            if all.iter().take(at).any(|earlier| earlier == der) {
                wrong.push(format!("`{path}`: certificate {number} is there twice"));
            } else if let Ok(root) = Certificate::read(der)
                && root.not_after < self.now
            {
                let ended = date(root.not_after);
                wrong.push(format!("`{path}`: certificate {number} ended on {ended}"));
            }
        }
        wrong
    }

    /// Whether the leaf's life is over (true), not begun (true) or nearly over (false).
    fn life(&self, credentials: &Credentials) -> Option<(String, bool)> {
        let (begin, end) = (credentials.not_before(), credentials.not_after());
        if self.now > end {
            Some((format!("the certificate ended on {}", date(end)), true))
        } else if self.now < begin {
            Some((format!("the certificate begins on {}", date(begin)), true))
        } else if self.now > end - (end - begin) / 8 {
            let message = format!("the certificate ends on {}: under 1/8 of its life", date(end));
            Some((message, false))
        } else {
            None
        }
    }
}

/// C20: what certificates are let off, in words.
fn tolerated(trust: &TrustFiles) -> impl Iterator<Item = &'static str> {
    let Tolerate { missing_aki, missing_eku } = trust.danger_tolerate;
    let aki = missing_aki.then_some("need not name their issuer's key");
    let eku = missing_eku.then_some("need not say what they are for: one of a web page may dial");
    aki.into_iter().chain(eku)
}

/// C7: who besides the owner can read a key.
fn readable_by_others(key: &Path) -> Option<String> {
    let mode = key.metadata().ok()?.mode() & 0o7777;
    let whom = match mode {
        mode if mode & 0o007 != 0 => "others",
        mode if mode & 0o070 != 0 => "its group",
        _ => return None,
    };
    let how = if mode & 0o022 != 0 { "changeable" } else { "readable" };
    Some(format!("the key `{}` is {how} by {whom} (mode {mode:04o})", key.display()))
}

/// C20: an RSA key that is accepted and short.
fn strength(chain: &[u8]) -> Option<String> {
    let leaf = CertificateDer::from_pem_slice(chain).ok()?;
    match Certificate::read(&leaf).ok()?.key {
        KeyKind::Rsa(bits) if bits < RSA_BITS => {
            Some(format!("the certificate's RSA key has {bits} bits, under {RSA_BITS}"))
        }
        _ => None,
    }
}

fn date(unix: i64) -> String {
    jiff::Timestamp::from_second(unix).map_or_else(|_| unix.to_string(), |time| time.to_string())
}
