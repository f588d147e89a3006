//! The rules for a leaf.

use super::common::{Reading, Verdict, must, oid, text_of, told};
use super::{Finding, Meant, common};
use crate::key::hex;
use crate::x509::{octets, verify_chain, within_constraints};
use segwan_core::audit::shown;
use segwan_core::identity::Identity;
use std::net::IpAddr;
use x509_parser::extensions::{ExtendedKeyUsage, GeneralName, ParsedExtension, X509Extension};

const ROLE: &str = "1.3.6.1.4.1.50316.802.1";
const KNOWN: [&str; 7] = [
    oid::SUBJECT_KEY,
    oid::KEY_USAGE,
    oid::NAMES,
    oid::BASIC_CONSTRAINTS,
    oid::AUTHORITY_KEY,
    oid::PURPOSES,
    ROLE,
];
/// `digitalSignature`.
const SIGNS_DATA: u16 = 0b1;

type Row = (&'static str, fn(&Reading<'_>, &Meant<'_>) -> Verdict);

const RULES: [Row; 22] = [
    ("K1", |r, _| common::version(r)),
    ("K2", serial),
    ("K3", |r, _| common::algorithms(r)),
    ("K4", |r, _| common::issuer(r)),
    ("K5", validity),
    ("K6", life),
    ("K7", public_key),
    ("K8", identity),
    ("K9", other_names),
    ("K10", |r, _| common::key_usage(r, SIGNS_DATA, "digitalSignature alone")),
    ("K11", purposes),
    ("K12", no_authority),
    ("K13", |r, _| common::signature(r)),
    ("K14", subject),
    ("K15", extensions),
    ("K16", no_name_constraints),
    ("K17", |r, _| critical_constraints(r)),
    ("K18", |r, _| common::key(r)),
    ("K19", others_key),
    ("K20", |r, _| common::key_identifiers(r)),
    ("K21", |r, _| common::pointers(r)),
    ("K24", |r, _| common::encoding(r)),
];
/// Those that need more than the certificate's own fields.
const OUTER: [Row; 2] = [("K25", constrained), ("K26", intent)];

pub(super) fn findings(der: &[u8], meant: &Meant<'_>) -> Vec<Finding> {
    let reading = match Reading::new(der, meant.issuer, meant.now) {
        Ok(reading) => reading,
        Err(finding) => return vec![finding],
    };
    let rules = RULES.iter().chain(&OUTER);
    let findings = rules.filter_map(|(rule, check)| told(rule, check(&reading, meant)));
    let mut findings: Vec<Finding> = findings.collect();
    // The path names no field, so it speaks where no field was named.
    if findings.is_empty() {
        findings.extend(told("K13", path(der, meant)));
    }
    findings
}

/// K2
fn serial(r: &Reading<'_>, meant: &Meant<'_>) -> Verdict {
    common::serial(r, 16)?;
    let (found, intended) = (r.certificate.raw_serial(), meant.leaf.serial.as_slice());
    must(found == intended, || {
        format!("its serial number is {}, and {} was recorded", hex(found), hex(intended))
    })
}

/// K5
fn validity(r: &Reading<'_>, meant: &Meant<'_>) -> Verdict {
    common::validity(r)?;
    let (found, intended) =
        (common::span(&r.certificate), (meant.leaf.not_before, meant.leaf.not_after));
    must(found == intended, || {
        format!(
            "it is valid from second {} to {}, not from {} to {}",
            found.0, found.1, intended.0, intended.1
        )
    })
}

/// K6
fn life(r: &Reading<'_>, meant: &Meant<'_>) -> Verdict {
    let (shortest, longest) = meant.leaf.profile.life();
    common::life(r, shortest, longest)
}

/// K7
fn public_key(r: &Reading<'_>, meant: &Meant<'_>) -> Verdict {
    must(r.public_key() == meant.public_key, || "its key is not that of the request".to_owned())
}

/// The alternative names, in their order.
fn names<'r>(r: &'r Reading<'_>) -> &'r [GeneralName<'r>] {
    match r.extension(oid::NAMES).map(X509Extension::parsed_extension) {
        Some(ParsedExtension::SubjectAlternativeName(names)) => &names.general_names,
        _ => &[],
    }
}

/// K8
fn identity(r: &Reading<'_>, meant: &Meant<'_>) -> Verdict {
    let uris = names(r).iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let uris: Vec<&str> = uris.collect();
    let intended = meant.leaf.identity.to_string();
    must(uris == [intended.as_str()], || {
        format!("its URI names are `{}`, not `{intended}` alone", shown(uris.join(" ").as_bytes()))
    })
}

/// K9
fn other_names(r: &Reading<'_>, meant: &Meant<'_>) -> Verdict {
    let (mut dns, mut ips) = (Vec::new(), Vec::new());
    for name in names(r) {
        match name {
            GeneralName::URI(_) => {}
            GeneralName::DNSName(name) => dns.push(*name),
            GeneralName::IPAddress(address) => ips.push(address.to_vec()),
            _ => return Err("it has a name that is no URI, DNS name or address".to_owned()),
        }
    }
    let strange = dns.iter().find(|name| Identity::dns(name).is_err());
    if let Some(name) = strange {
        let name = shown(name.as_bytes());
        return Err(format!("its DNS name `{name}` is a wildcard or not in lower case"));
    }
    must(dns == meant.leaf.dns, || {
        let (found, listed) = (shown(dns.join(" ").as_bytes()), meant.leaf.dns.join(" "));
        format!("its DNS names are `{found}`, and the registration lists `{listed}`")
    })?;
    let listed: Vec<Vec<u8>> = meant.leaf.ips.iter().copied().map(octets).collect();
    must(ips == listed, || {
        let hexes = |all: &[Vec<u8>]| all.iter().map(|ip| hex(ip)).collect::<Vec<_>>().join(" ");
        let (found, listed) = (hexes(&ips), hexes(&listed));
        format!("its addresses are `{found}`, and the registration lists `{listed}`")
    })
}

/// K11
fn purposes(r: &Reading<'_>, meant: &Meant<'_>) -> Verdict {
    let Some(extension) = r.extension(oid::PURPOSES) else {
        return Err("it has no extended key usage".to_owned());
    };
    must(!extension.critical, || "its extended key usage is critical".to_owned())?;
    let ParsedExtension::ExtendedKeyUsage(found) = extension.parsed_extension() else {
        return Err("its extended key usage is malformed".to_owned());
    };
    let profile = meant.leaf.profile;
    let intended = ExtendedKeyUsage {
        any: false,
        server_auth: profile.listens(),
        client_auth: profile.dials(),
        code_signing: false,
        email_protection: false,
        time_stamping: false,
        ocsp_signing: false,
        other: Vec::new(),
    };
    must(*found == intended, || {
        let word = |is, word| if is { word } else { "" };
        format!(
            "its extended key usage is [{}{}{}], which is not that of the profile `{}`",
            word(found.server_auth, " serverAuth"),
            word(found.client_auth, " clientAuth"),
            word(
                *found
                    != ExtendedKeyUsage {
                        server_auth: found.server_auth,
                        client_auth: found.client_auth,
                        ..intended.clone()
                    },
                " and others"
            ),
            profile.as_str(),
        )
    })
}

/// K12
fn no_authority(r: &Reading<'_>, _: &Meant<'_>) -> Verdict {
    must(!r.certificate.is_ca(), || "it says CA:TRUE".to_owned())
}

/// K14
fn subject(r: &Reading<'_>, meant: &Meant<'_>) -> Verdict {
    let subject = r.certificate.subject();
    let critical = r.extension(oid::NAMES).is_some_and(|names| names.critical);
    let Some(name) = &meant.leaf.display_name else {
        must(subject.iter_rdn().next().is_none(), || {
            format!("its subject is `{}`, and should be empty", text_of(subject))
        })?;
        return must(critical, || {
            "its subject is empty, and its names are not critical".to_owned()
        });
    };
    let common_name = subject.iter_common_name().next().and_then(|cn| cn.as_str().ok());
    let alone = subject.iter_attributes().count() == 1 && common_name == Some(name);
    must(alone, || format!("its subject is `{}`, not `CN={name}`", text_of(subject)))?;
    must(!critical, || "its names are critical beside a subject".to_owned())
}

/// K15, and the role: the one extension that is not of the standard.
fn extensions(r: &Reading<'_>, meant: &Meant<'_>) -> Verdict {
    common::extensions(r, &KNOWN)?;
    let intended = meant
        .leaf
        .roles
        .first()
        .map(|role| super::der::write(super::der::UTF8_STRING, role.as_bytes()));
    let found = r.extension(ROLE);
    must(found.map(|role| role.value) == intended.as_deref(), || {
        let found =
            found.map_or_else(|| "none".to_owned(), |role| format!("`{}`", shown(role.value)));
        format!("its role is {found}, and the registration says `{}`", meant.leaf.roles.join(" "))
    })?;
    must(!found.is_some_and(|role| role.critical), || "its role is critical".to_owned())
}

/// K16
fn no_name_constraints(r: &Reading<'_>, _: &Meant<'_>) -> Verdict {
    must(r.extension(oid::NAME_CONSTRAINTS).is_none(), || "it has name constraints".to_owned())
}

/// K17
fn critical_constraints(r: &Reading<'_>) -> Verdict {
    let critical = r.extension(oid::BASIC_CONSTRAINTS).map(|constraints| constraints.critical);
    must(critical == Some(true), || "its basic constraints are missing or not critical".to_owned())
}

/// K19
fn others_key(r: &Reading<'_>, meant: &Meant<'_>) -> Verdict {
    let key = r.public_key();
    must(key != r.issuer.public_key().raw, || "its key is the issuer's own".to_owned())?;
    let hash = crate::key::sha256(key);
    must(!meant.denied.contains(&hash), || format!("its key {} is denied", hex(&hash)))
}

/// K25, for names whose form is good: that is K9's to say.
fn constrained(r: &Reading<'_>, meant: &Meant<'_>) -> Verdict {
    let (mut dns, mut ips) = (Vec::new(), Vec::new());
    for name in names(r) {
        match name {
            GeneralName::DNSName(name) if Identity::dns(name).is_ok() => {
                dns.push((*name).to_owned());
            }
            GeneralName::IPAddress(address) => ips.extend(
                <[u8; 4]>::try_from(*address)
                    .map(IpAddr::from)
                    .or_else(|_| <[u8; 16]>::try_from(*address).map(IpAddr::from)),
            ),
            _ => {}
        }
    }
    within_constraints(meant.issuer, &dns, &ips)
}

/// K26
fn intent(r: &Reading<'_>, meant: &Meant<'_>) -> Verdict {
    let found = r.signed_sha256();
    must(found == meant.intent, || {
        let (found, intended) = (hex(&found), hex(&meant.intent));
        format!("what was signed has the hash {found}, and {intended} was recorded")
    })
}

/// K13: the path to the root, as rustls sees it, now and in the last second.
fn path(der: &[u8], meant: &Meant<'_>) -> Verdict {
    let chain = [der.to_vec(), meant.issuer.to_vec()];
    let listens = meant.leaf.profile.listens();
    for at in [meant.now, meant.leaf.not_after - 1] {
        verify_chain(&chain, meant.root, listens, at)
            .map_err(|why| format!("it does not lead to the root at second {at}: {why}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_role_has_one_identifier() {
        let arcs: Vec<String> = crate::x509::ROLE_OID.iter().map(u64::to_string).collect();
        assert_eq!(arcs.join("."), super::ROLE);
    }
}
