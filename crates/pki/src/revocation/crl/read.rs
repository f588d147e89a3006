//! A list read twice, by `x509_parser` for what is decided here and by `webpki` for path validation;
//! what either refuses is refused.

use super::super::REVOKED;
use super::super::set::significant;
use super::{Crl, CrlError};
use crate::key::hex;
use std::collections::HashSet;
use x509_parser::extensions::{ParsedExtension, X509Extension};
use x509_parser::oid_registry;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

/// Reads one list and nothing after it.
pub(super) fn parse(der: &[u8]) -> Result<Crl, CrlError> {
    #[cfg(test)]
    super::super::tests::panic_if_told();
    let (rest, read) =
        CertificateRevocationList::from_der(der).map_err(|_| malformed("it is not well-formed"))?;
    if !rest.is_empty() {
        return Err(malformed(&format!("{} bytes follow it", rest.len())));
    }
    let (issuer_key, number) = read_extensions(&read)?;
    let next = read.next_update().ok_or(CrlError::NoNextUpdate)?;
    let ms = |time: x509_parser::time::ASN1Time| time.timestamp().saturating_mul(1000);
    let (this_update_ms, next_update_ms) = (ms(read.last_update()), ms(next));
    if next_update_ms <= this_update_ms {
        return Err(malformed("it ends before it begins"));
    }
    let count = read.iter_revoked_certificates().count();
    if count > REVOKED {
        return Err(CrlError::TooMany(count));
    }
    let mut revoked = HashSet::with_capacity(count);
    for entry in read.iter_revoked_certificates() {
        entry.extensions().iter().try_for_each(check_entry_extension)?;
        revoked.insert(significant(entry.raw_serial()).to_vec());
    }
    let list = webpki::OwnedCertRevocationList::from_der(der);
    let list = list.map_err(|error| malformed(&error.to_string()))?;
    Ok(Crl {
        issuer_key,
        issuer_name: read.issuer().as_raw().to_vec(),
        number,
        this_update_ms,
        next_update_ms,
        der: der.to_vec(),
        revoked,
        list: list.into(),
    })
}

/// The issuer's key and the number; anything that limits or extends the list refuses it.
fn read_extensions(read: &CertificateRevocationList<'_>) -> Result<(String, u64), CrlError> {
    let (mut key, mut number) = (None, None);
    for extension in read.extensions() {
        let known = match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                let id = id.key_identifier.as_ref().ok_or(CrlError::NoIssuerKey)?;
                key.replace(hex(id.0)).is_some()
            }
            ParsedExtension::CRLNumber(_) if extension.critical => {
                return Err(CrlError::CriticalNumber);
            }
            ParsedExtension::CRLNumber(found) => {
                let found = u64::try_from(found).map_err(|_| malformed("its number is too big"))?;
                number.replace(found).is_some()
            }
            ParsedExtension::IssuingDistributionPoint(point) if point.indirect_crl => {
                return Err(CrlError::Indirect);
            }
            ParsedExtension::IssuingDistributionPoint(_) => return Err(CrlError::Partial),
            _ if extension.oid == oid_registry::OID_X509_EXT_DELTA_CRL_INDICATOR => {
                return Err(CrlError::Delta);
            }
            _ if extension.oid == oid_registry::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT => {
                return Err(CrlError::Partial);
            }
            ParsedExtension::ParseError { .. } => {
                return Err(malformed(&format!("its extension {}", extension.oid)));
            }
            _ if extension.critical => {
                return Err(CrlError::UnknownCritical(extension.oid.to_id_string()));
            }
            _ => false,
        };
        if known {
            return Err(malformed("it has one extension twice"));
        }
    }
    Ok((key.ok_or(CrlError::NoIssuerKey)?, number.ok_or(CrlError::NoNumber)?))
}

fn check_entry_extension(extension: &X509Extension<'_>) -> Result<(), CrlError> {
    // RFC 5280 section 5.3.3: the entry is of another issuer.
    if extension.oid.to_id_string() == "2.5.29.29" {
        return Err(CrlError::Indirect);
    }
    let known =
        [oid_registry::OID_X509_EXT_REASON_CODE, oid_registry::OID_X509_EXT_INVALIDITY_DATE];
    if extension.critical && !known.contains(&extension.oid) {
        return Err(CrlError::UnknownCritical(extension.oid.to_id_string()));
    }
    Ok(())
}

fn malformed(why: &str) -> CrlError {
    CrlError::Malformed(why.to_owned())
}
