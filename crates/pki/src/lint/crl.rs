//! K23: what a revocation list must be before it leaves.

use super::common::{Verdict, is_signed, key_identifier, must, same_algorithms, same_names};
use super::{Finding, der};
use crate::key::hex;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate, X509Version};

pub(super) fn findings(der: &[u8], issuer: &[u8], now: i64) -> Vec<Finding> {
    let found = check(der, issuer, now).err();
    found.map(|sentence| Finding { rule: "K23", sentence }).into_iter().collect()
}

fn check(der: &[u8], issuer: &[u8], now: i64) -> Verdict {
    der::canonical_signed(der)?;
    let (_, list) = CertificateRevocationList::from_der(der)
        .map_err(|_| "it is not a well-formed revocation list".to_owned())?;
    let (_, issuer) = X509Certificate::from_der(issuer)
        .map_err(|_| "the issuer's certificate is not well-formed".to_owned())?;
    must(list.version() == Some(X509Version::V2), || "its version is not 2".to_owned())?;
    same_algorithms(&list.tbs_cert_list.signature, &list.signature_algorithm, &issuer)?;
    same_names(list.issuer(), issuer.subject())?;
    times(&list, now)?;
    extensions(&list, &issuer)?;
    entries(&list)?;
    is_signed(list.tbs_cert_list.as_ref(), &list.signature_value.data, &issuer)
}

fn times(list: &CertificateRevocationList<'_>, now: i64) -> Verdict {
    let this = list.last_update().timestamp();
    let Some(next) = list.next_update().map(|next| next.timestamp()) else {
        return Err("it does not say when the next one comes".to_owned());
    };
    must(this <= now && now < next, || {
        format!("it is in force from second {this} to {next}, which {now} is not within")
    })
}

/// A number and the issuer's key identifier, both not critical, and nothing else: no delta, no
/// indirect list, no distribution point (`pki.md` section 11.4).
fn extensions(list: &CertificateRevocationList<'_>, issuer: &X509Certificate<'_>) -> Verdict {
    let (mut numbers, mut keys) = (0, 0);
    for extension in list.extensions() {
        let arcs = &extension.oid;
        must(!extension.critical, || format!("its extension {arcs} is critical"))?;
        match extension.parsed_extension() {
            ParsedExtension::CRLNumber(_) => {
                numbers += 1;
                // Tag and length, then at most 20 bytes (RFC 5280 section 5.2.3).
                must(extension.value.len() <= 22, || {
                    format!("its number {} is over 20 bytes", hex(extension.value))
                })?;
            }
            ParsedExtension::AuthorityKeyIdentifier(named) => {
                keys += 1;
                let id = named.key_identifier.as_ref().map(|id| id.0).unwrap_or_default();
                let above = key_identifier(issuer).unwrap_or_default();
                let alone =
                    named.authority_cert_issuer.is_none() && named.authority_cert_serial.is_none();
                must(alone && !id.is_empty() && id == above, || {
                    format!("its key identifier is {}, and its issuer's {}", hex(id), hex(above))
                })?;
            }
            ParsedExtension::ParseError { .. } => {
                return Err(format!("its extension {arcs} is malformed"));
            }
            _ => return Err(format!("it has the unknown extension {arcs}")),
        }
    }
    must(numbers == 1, || format!("it has {numbers} numbers, not one"))?;
    must(keys == 1, || format!("it has {keys} key identifiers of its issuer, not one"))
}

/// Each serial number once, in ascending order, revoked before the list was made.
fn entries(list: &CertificateRevocationList<'_>) -> Verdict {
    let mut before = None;
    for entry in list.iter_revoked_certificates() {
        let serial = entry.serial();
        must(before.is_none_or(|before| before < serial), || {
            format!("its entry {} is there twice or out of order", hex(entry.raw_serial()))
        })?;
        let critical = entry.extensions().iter().find(|extension| extension.critical);
        must(critical.is_none(), || {
            format!("its entry {} has a critical extension", hex(entry.raw_serial()))
        })?;
        before = Some(serial);
    }
    Ok(())
}
