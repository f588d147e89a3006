//! The rules that leaves and authorities share, and what they are read from.

use super::Finding;
use super::der::{self, Element, GENERALIZED_TIME, UTC_TIME};
use crate::certificate::{KeyKind, allowed};
use crate::key::{hex, sha256};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, UnparsedPublicKey, VerificationAlgorithm,
};
use segwan_core::audit::shown;
use x509_parser::extensions::{ParsedExtension, X509Extension};
use x509_parser::oid_registry::{OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, Oid};
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};
use x509_parser::x509::{AlgorithmIdentifier, X509Name};

/// What one rule says: nothing, or what does not hold.
pub(super) type Verdict = Result<(), String>;

/// Earliest second that is written as `GeneralizedTime`: the year 2050 begins.
const GENERALIZED_FROM: i64 = 2_524_608_000;

/// A certificate read back, beside its issuer's.
pub(super) struct Reading<'a> {
    der: &'a [u8],
    pub(super) certificate: X509Certificate<'a>,
    pub(super) issuer: X509Certificate<'a>,
    /// First and last second, as they are written.
    times: [Element<'a>; 2],
    pub(super) now: i64,
}

impl<'a> Reading<'a> {
    pub(super) fn new(der: &'a [u8], issuer: &'a [u8], now: i64) -> Result<Self, Finding> {
        let k24 = |sentence: String| Finding { rule: "K24", sentence };
        // What is not canonical is not read further: every later reader may read it otherwise.
        der::canonical_signed(der).map_err(k24)?;
        let malformed = || k24("it is not a well-formed certificate".to_owned());
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| malformed())?;
        let issuer = X509Certificate::from_der(issuer).map_err(|_| Finding {
            rule: "K13",
            sentence: "the issuer's certificate is not well-formed".to_owned(),
        })?;
        let times = times(der).ok_or_else(malformed)?;
        Ok(Self { der, certificate, issuer: issuer.1, times, now })
    }

    /// The parsed form of an extension, the first of its kind.
    pub(super) fn extension(&self, arcs: &str) -> Option<&X509Extension<'a>> {
        self.certificate.iter_extensions().find(|e| e.oid.to_id_string() == arcs)
    }

    pub(super) fn public_key(&self) -> &[u8] {
        self.certificate.public_key().raw
    }

    /// SHA-256 of what the signature covers.
    pub(super) fn signed_sha256(&self) -> [u8; 32] {
        sha256(self.certificate.tbs_certificate.as_ref())
    }
}

/// The two times in a certificate's validity.
fn times(der: &[u8]) -> Option<[Element<'_>; 2]> {
    let whole = der::only(der).ok()?.children().ok()?;
    let fields = whole.first()?.children().ok()?;
    // Version, serial number, algorithm, issuer, validity; a first version is not written.
    let at = if fields.first()?.tag == 0xa0 { 4 } else { 3 };
    let validity = fields.get(at)?.children().ok()?;
    <[Element<'_>; 2]>::try_from(validity).ok()
}

/// Object identifiers by their use here.
pub(super) mod oid {
    pub(in crate::lint) const SUBJECT_KEY: &str = "2.5.29.14";
    pub(in crate::lint) const KEY_USAGE: &str = "2.5.29.15";
    pub(in crate::lint) const NAMES: &str = "2.5.29.17";
    pub(in crate::lint) const BASIC_CONSTRAINTS: &str = "2.5.29.19";
    pub(in crate::lint) const NAME_CONSTRAINTS: &str = "2.5.29.30";
    pub(in crate::lint) const AUTHORITY_KEY: &str = "2.5.29.35";
    pub(in crate::lint) const PURPOSES: &str = "2.5.29.37";
    /// Pointers and policies: places to ask, and promises that nobody here makes.
    pub(in crate::lint) const POINTERS: [&str; 9] = [
        "2.5.29.18",          // issuer alternative name
        "2.5.29.31",          // CRL distribution points
        "2.5.29.32",          // certificate policies
        "2.5.29.33",          // policy mappings
        "2.5.29.36",          // policy constraints
        "2.5.29.46",          // freshest CRL
        "2.5.29.54",          // inhibit anyPolicy
        "1.3.6.1.5.5.7.1.1",  // authority information access
        "1.3.6.1.5.5.7.1.11", // subject information access
    ];
}

pub(super) fn must(holds: bool, sentence: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(sentence()) }
}

/// A verdict as the finding of a rule.
pub(super) fn told(rule: &'static str, verdict: Verdict) -> Option<Finding> {
    verdict.err().map(|sentence| Finding { rule, sentence })
}

/// K1: version 3, no unique ids.
pub(super) fn version(r: &Reading<'_>) -> Verdict {
    let version = r.certificate.version();
    must(version == X509Version::V3, || format!("its version is {}, not 3", version.0 + 1))?;
    let fields = &r.certificate.tbs_certificate;
    must(fields.issuer_uid.is_none() && fields.subject_uid.is_none(), || {
        "it has a unique identifier of issuer or subject".to_owned()
    })
}

/// K2: a serial number of at most `longest` bytes, positive.
pub(super) fn serial(r: &Reading<'_>, longest: usize) -> Verdict {
    let serial = r.certificate.raw_serial();
    let written = hex(serial);
    must((1..=longest).contains(&serial.len()), || {
        format!("its serial number {written} has {} bytes, over {longest}", serial.len())
    })?;
    let positive = serial.first().is_some_and(|first| first & 0x80 == 0) && serial != [0];
    must(positive, || format!("its serial number {written} is not positive"))
}

/// K3: one algorithm inside and outside: ECDSA with the hash of the issuer's curve.
pub(super) fn algorithms(r: &Reading<'_>) -> Verdict {
    same_algorithms(
        &r.certificate.tbs_certificate.signature,
        &r.certificate.signature_algorithm,
        &r.issuer,
    )
}

pub(super) fn same_algorithms(
    inside: &AlgorithmIdentifier<'_>,
    outside: &AlgorithmIdentifier<'_>,
    issuer: &X509Certificate<'_>,
) -> Verdict {
    let (_, expected, name) = algorithm_of(issuer)?;
    for (place, algorithm) in [("inside", inside), ("outside", outside)] {
        let right = algorithm.algorithm == expected && algorithm.parameters.is_none();
        must(right, || {
            format!("its algorithm {place} is {}, not {name} of its issuer", algorithm.algorithm)
        })?;
    }
    Ok(())
}

/// How an issuer signs: what verifies it, its identifier, its name.
fn algorithm_of(
    issuer: &X509Certificate<'_>,
) -> Result<(&'static dyn VerificationAlgorithm, Oid<'static>, &'static str), String> {
    match allowed(issuer.public_key().raw).map(|key| key.kind) {
        Ok(KeyKind::P256) => {
            Ok((&ECDSA_P256_SHA256_ASN1, OID_SIG_ECDSA_WITH_SHA256, "ECDSA with SHA-256"))
        }
        Ok(KeyKind::P384) => {
            Ok((&ECDSA_P384_SHA384_ASN1, OID_SIG_ECDSA_WITH_SHA384, "ECDSA with SHA-384"))
        }
        Ok(kind) => Err(format!("its issuer's key is {kind}, not ECDSA")),
        Err(why) => Err(format!("its issuer cannot sign it: {why}")),
    }
}

/// K4: the issuer is the issuer's subject, byte for byte.
pub(super) fn issuer(r: &Reading<'_>) -> Verdict {
    same_names(r.certificate.issuer(), r.issuer.subject())
}

pub(super) fn same_names(named: &X509Name<'_>, subject: &X509Name<'_>) -> Verdict {
    must(named.as_raw() == subject.as_raw(), || {
        let (named, subject) = (text_of(named), text_of(subject));
        format!("its issuer is `{named}`, and its issuer's subject `{subject}`")
    })
}

/// A name as people read it.
pub(super) fn text_of(name: &X509Name<'_>) -> String {
    shown(name.to_string().as_bytes())
}

/// K5: it has begun, has not ended, and ends before its issuer does.
pub(super) fn validity(r: &Reading<'_>) -> Verdict {
    let (first, last) = span(&r.certificate);
    let now = r.now;
    must(first <= now && now < last, || {
        format!("it is valid from second {first} to {last}, which {now} is not within")
    })?;
    let end = span(&r.issuer).1;
    must(last < end, || format!("it ends at second {last}, not before its issuer at {end}"))
}

/// First and last second of a certificate.
pub(super) fn span(certificate: &X509Certificate<'_>) -> (i64, i64) {
    let validity = certificate.validity();
    (validity.not_before.timestamp(), validity.not_after.timestamp())
}

/// K6: a life within bounds, in whole seconds, years to 2049 in the short form.
pub(super) fn life(r: &Reading<'_>, shortest: i64, longest: i64) -> Verdict {
    let (first, last) = span(&r.certificate);
    let life = last - first;
    must((shortest..=longest).contains(&life), || {
        format!("its life of {life} s is not within {shortest} s and {longest} s")
    })?;
    let [begin, end] = &r.times;
    for (at, time) in [(first, begin), (last, end)] {
        let form = if at < GENERALIZED_FROM { (UTC_TIME, 13) } else { (GENERALIZED_TIME, 15) };
        let digits = time.content.strip_suffix(b"Z").unwrap_or_default();
        let usual = (time.tag, time.content.len()) == form
            && !digits.is_empty()
            && digits.iter().all(u8::is_ascii_digit);
        must(usual, || {
            let (text, tag) = (shown(time.content), time.tag);
            format!("its time `{text}` has tag {tag:#04x}, and should have {:#04x}", form.0)
        })?;
    }
    Ok(())
}

/// K13: its signature is its issuer's.
pub(super) fn signature(r: &Reading<'_>) -> Verdict {
    let signed = r.certificate.tbs_certificate.as_ref();
    is_signed(signed, &r.certificate.signature_value.data, &r.issuer)
}

/// Whether an issuer signed these bytes, whatever algorithm is named beside them.
pub(super) fn is_signed(signed: &[u8], signature: &[u8], issuer: &X509Certificate<'_>) -> Verdict {
    let (algorithm, _, _) = algorithm_of(issuer)?;
    let key = UnparsedPublicKey::new(algorithm, &issuer.public_key().subject_public_key.data);
    key.verify(signed, signature).map_err(|_| "its issuer's key did not sign it".to_owned())
}

/// K15: each extension once, none but `known`, each well-formed.
pub(super) fn extensions(r: &Reading<'_>, known: &[&str]) -> Verdict {
    let mut seen = Vec::new();
    for extension in r.certificate.iter_extensions() {
        let arcs = extension.oid.to_id_string();
        must(!seen.contains(&arcs), || format!("it has the extension {arcs} twice"))?;
        let is_known = known.contains(&arcs.as_str())
            || arcs == oid::NAME_CONSTRAINTS
            || oid::POINTERS.contains(&arcs.as_str());
        must(is_known, || format!("it has the unknown extension {arcs}"))?;
        let malformed = matches!(extension.parsed_extension(), ParsedExtension::ParseError { .. });
        must(!malformed, || format!("its extension {arcs} is malformed"))?;
        seen.push(arcs);
    }
    Ok(())
}

/// K18: a key of a kind and size that is taken, and a valid one.
pub(super) fn key(r: &Reading<'_>) -> Verdict {
    allowed(r.public_key()).map(|_| ())
}

/// K20: the key identifier of its issuer, and nothing beside it; one of its own.
pub(super) fn key_identifiers(r: &Reading<'_>) -> Verdict {
    let critical = [oid::AUTHORITY_KEY, oid::SUBJECT_KEY];
    for arcs in critical {
        let marked = r.extension(arcs).is_some_and(|extension| extension.critical);
        must(!marked, || format!("its key identifier {arcs} is critical"))?;
    }
    let own = r.extension(oid::SUBJECT_KEY).map(X509Extension::parsed_extension);
    let own = matches!(own, Some(ParsedExtension::SubjectKeyIdentifier(id)) if !id.0.is_empty());
    must(own, || "it has no key identifier of its own".to_owned())?;
    let above = key_identifier(&r.issuer).ok_or("its issuer has no key identifier")?;
    let extension = r.extension(oid::AUTHORITY_KEY).map(X509Extension::parsed_extension);
    let Some(ParsedExtension::AuthorityKeyIdentifier(named)) = extension else {
        return Err("it has no key identifier of its issuer".to_owned());
    };
    must(named.authority_cert_issuer.is_none() && named.authority_cert_serial.is_none(), || {
        "it names its issuer's certificate beside the key identifier".to_owned()
    })?;
    let id = named.key_identifier.as_ref().map(|id| id.0).unwrap_or_default();
    must(id == above, || {
        format!("its issuer's key identifier is {}, and the issuer has {}", hex(id), hex(above))
    })
}

/// The key identifier that a certificate gives itself.
pub(super) fn key_identifier<'c>(certificate: &'c X509Certificate<'_>) -> Option<&'c [u8]> {
    certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
        _ => None,
    })
}

/// K21: no pointers and no policies.
pub(super) fn pointers(r: &Reading<'_>) -> Verdict {
    let found = oid::POINTERS.into_iter().find(|arcs| r.extension(arcs).is_some());
    found.map_or(Ok(()), |arcs| Err(format!("it has the extension {arcs}, which none has here")))
}

/// K10: key usage, critical, exactly these bits (bit 0 of the extension is the lowest).
pub(super) fn key_usage(r: &Reading<'_>, bits: u16, what: &str) -> Verdict {
    let extension = r.extension(oid::KEY_USAGE);
    let Some((usage, critical)) = extension.and_then(|e| match e.parsed_extension() {
        ParsedExtension::KeyUsage(usage) => Some((usage, e.critical)),
        _ => None,
    }) else {
        return Err("it has no key usage".to_owned());
    };
    must(critical, || "its key usage is not critical".to_owned())?;
    let found = usage.flags;
    must(found == bits, || format!("its key usage is {found:#b}, not {bits:#b} ({what})"))
}

/// K24: written again it is the same bytes. [`Reading::new`] found so already.
pub(super) fn encoding(r: &Reading<'_>) -> Verdict {
    der::canonical_signed(r.der)
}
