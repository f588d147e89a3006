//! The rules for roots, cross certificates and issuing certificates.

use super::common::{Reading, Verdict, must, oid, text_of, told};
use super::{Finding, MeantAuthority, Standing, common};
use crate::certificate::{KeyKind, allowed};
use crate::key::{hex, sha256};
use x509_parser::extensions::{GeneralName, ParsedExtension};

/// Known in a certificate; which of them an authority has is for K11 and K14 to say.
const KNOWN: [&str; 6] = [
    oid::SUBJECT_KEY,
    oid::KEY_USAGE,
    oid::NAMES,
    oid::BASIC_CONSTRAINTS,
    oid::AUTHORITY_KEY,
    oid::PURPOSES,
];
/// `keyCertSign` and `cRLSign`.
const SIGNS_CERTIFICATES: u16 = 0b110_0000;
const DAY: i64 = 86_400;
/// Longest serial number in bytes: authorities may be signed by other software, which uses all
/// that RFC 5280 section 4.1.2.2 allows.
const SERIAL: usize = 20;

type Row = (&'static str, fn(&Reading<'_>, &MeantAuthority<'_>) -> Verdict);

const RULES: [Row; 20] = [
    ("K1", |r, _| common::version(r)),
    ("K2", |r, _| common::serial(r, SERIAL)),
    ("K3", |r, _| common::algorithms(r)),
    ("K4", |r, _| common::issuer(r)),
    ("K5", validity),
    ("K6", life),
    ("K7", public_key),
    ("K10", |r, _| common::key_usage(r, SIGNS_CERTIFICATES, "keyCertSign and cRLSign")),
    ("K11", |r, _| no_purposes(r)),
    ("K13", |r, _| common::signature(r)),
    ("K14", |r, _| no_alternative_names(r)),
    ("K15", |r, _| common::extensions(r, &KNOWN)),
    ("K16", name_constraints),
    ("K17", path_length),
    ("K18", |r, _| key(r)),
    ("K19", own_key),
    ("K20", key_identifiers),
    ("K21", |r, _| common::pointers(r)),
    ("K22", subject),
    ("K24", |r, _| common::encoding(r)),
];

pub(super) fn findings(der: &[u8], meant: &MeantAuthority<'_>) -> Vec<Finding> {
    match Reading::new(der, meant.issuer, meant.now) {
        Ok(reading) => {
            let told = RULES.iter().filter_map(|(rule, check)| told(rule, check(&reading, meant)));
            told.collect()
        }
        Err(finding) => vec![finding],
    }
}

/// K5: a root is its own issuer, and ends when it does.
fn validity(r: &Reading<'_>, meant: &MeantAuthority<'_>) -> Verdict {
    if meant.standing != Standing::Root {
        return common::validity(r);
    }
    let ((first, last), now) = (common::span(&r.certificate), r.now);
    must(first <= now && now < last, || {
        format!("it is valid from second {first} to {last}, which {now} is not within")
    })
}

/// K6: an issuing certificate lives 3 years at most, a spare half as long again.
fn life(r: &Reading<'_>, meant: &MeantAuthority<'_>) -> Verdict {
    let longest = match meant.standing {
        Standing::Issuing => 4 * 366 * DAY + 183 * DAY,
        Standing::Root | Standing::Cross => 30 * 366 * DAY,
    };
    common::life(r, DAY, longest)
}

/// K7
fn public_key(r: &Reading<'_>, meant: &MeantAuthority<'_>) -> Verdict {
    let found = r.public_key();
    must(meant.public_key.is_none_or(|expected| expected == found), || {
        let expected = meant.public_key.map(sha256).unwrap_or_default();
        format!("its key is {}, not {}", hex(&sha256(found)), hex(&expected))
    })
}

/// K11: verifiers apply purposes to the whole path.
fn no_purposes(r: &Reading<'_>) -> Verdict {
    must(r.extension(oid::PURPOSES).is_none(), || "it has an extended key usage".to_owned())
}

/// K14: an authority is named by its subject.
fn no_alternative_names(r: &Reading<'_>) -> Verdict {
    must(r.extension(oid::NAMES).is_none(), || "it has alternative names".to_owned())
}

/// K16: an issuing certificate is constrained, critically, by DNS names and addresses alone.
fn name_constraints(r: &Reading<'_>, meant: &MeantAuthority<'_>) -> Verdict {
    let extension = r.extension(oid::NAME_CONSTRAINTS);
    if meant.standing != Standing::Issuing {
        return must(extension.is_none(), || "it has name constraints".to_owned());
    }
    let Some(extension) = extension else {
        return Err("it has no name constraints".to_owned());
    };
    must(extension.critical, || "its name constraints are not critical".to_owned())?;
    let ParsedExtension::NameConstraints(found) = extension.parsed_extension() else {
        return Err("its name constraints are malformed".to_owned());
    };
    let subtrees = || found.permitted_subtrees.iter().chain(&found.excluded_subtrees).flatten();
    for subtree in subtrees() {
        match subtree.base {
            GeneralName::DNSName(_) => {}
            GeneralName::IPAddress(base) if matches!(base.len(), 8 | 32) => {}
            GeneralName::URI(_) => {
                return Err(
                    "it constrains URIs, so rustls would refuse every leaf below it".to_owned()
                );
            }
            _ => return Err("it constrains names that are no DNS names or addresses".to_owned()),
        }
    }
    // A kind that is not constrained is free.
    let dns = subtrees().any(|subtree| matches!(subtree.base, GeneralName::DNSName(_)));
    let ips = subtrees().any(|subtree| matches!(subtree.base, GeneralName::IPAddress(_)));
    must(dns && ips, || "it leaves DNS names or addresses without a constraint".to_owned())?;
    must(meant.constraints.is_none_or(|constraints| constraints.der() == extension.value), || {
        "its name constraints are not those that were meant".to_owned()
    })
}

/// K17
fn path_length(r: &Reading<'_>, meant: &MeantAuthority<'_>) -> Verdict {
    let extension = r.extension(oid::BASIC_CONSTRAINTS);
    let Some((constraints, critical)) = extension.and_then(|e| match e.parsed_extension() {
        ParsedExtension::BasicConstraints(constraints) => Some((constraints, e.critical)),
        _ => None,
    }) else {
        return Err("it has no basic constraints".to_owned());
    };
    must(critical, || "its basic constraints are not critical".to_owned())?;
    must(constraints.ca, || "it says CA:FALSE".to_owned())?;
    let intended = match meant.standing {
        Standing::Root => None,
        Standing::Cross => Some(1),
        Standing::Issuing => Some(0),
    };
    let found = constraints.path_len_constraint;
    must(found == intended, || {
        let word =
            |length: Option<u32>| length.map_or_else(|| "none".to_owned(), |n| n.to_string());
        format!("its path length is {}, not {}", word(found), word(intended))
    })
}

/// K18: authorities sign with ECDSA.
fn key(r: &Reading<'_>) -> Verdict {
    let kind = allowed(r.public_key())?.kind;
    must(matches!(kind, KeyKind::P256 | KeyKind::P384), || format!("its key is {kind}, not ECDSA"))
}

/// K19
fn own_key(r: &Reading<'_>, meant: &MeantAuthority<'_>) -> Verdict {
    let same = r.public_key() == r.issuer.public_key().raw;
    must(same == (meant.standing == Standing::Root), || "its key is the issuer's own".to_owned())
}

/// K20: of an issuing certificate the identifier is also the name of its key in the store, in
/// lists and in reports.
fn key_identifiers(r: &Reading<'_>, meant: &MeantAuthority<'_>) -> Verdict {
    let without = meant.standing == Standing::Root && r.extension(oid::AUTHORITY_KEY).is_none();
    if !without {
        common::key_identifiers(r)?;
    }
    let found = common::key_identifier(&r.certificate).unwrap_or_default();
    must(!found.is_empty(), || "it has no key identifier of its own".to_owned())?;
    let expected = key_id(r.public_key());
    must(meant.standing != Standing::Issuing || hex(found) == expected, || {
        format!("its key identifier is {}, not {expected}", hex(found))
    })
}

/// The key identifier of a `SubjectPublicKeyInfo` in lower-case hex: RFC 7093 section 2, method 4.
fn key_id(info: &[u8]) -> String {
    hex(sha256(info).get(..20).unwrap_or_default())
}

/// K22
fn subject(r: &Reading<'_>, meant: &MeantAuthority<'_>) -> Verdict {
    let subject = r.certificate.subject();
    must(subject.iter_rdn().next().is_some(), || "its subject is empty".to_owned())?;
    if meant.standing != Standing::Issuing {
        return Ok(());
    }
    let id = key_id(r.public_key());
    let id = id.get(..8).unwrap_or(&id);
    let named = subject.iter_common_name().filter_map(|cn| cn.as_str().ok());
    must(named.into_iter().any(|cn| cn.ends_with(id)), || {
        format!("its subject `{}` does not end in {id} of its key", text_of(subject))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::PrivateKey;
    use crate::x509::tests::{NOW, root};

    #[test]
    fn the_key_identifier_is_that_of_the_maker() {
        let key = PrivateKey::generate().unwrap();
        let info = key.public_key();
        assert_eq!(key_id(&info), root().issuing("td", key, [2; 16], NOW, 9).unwrap().key_id());
    }
}
