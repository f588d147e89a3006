//! The signature of a list, with the algorithms that are believed in certificates.

use rustls_pki_types::alg_id::AlgorithmIdentifier;

/// Whether the key (`SubjectPublicKeyInfo` in DER) signed the list.
pub(super) fn is_signed_by(der: &[u8], spki: &[u8]) -> bool {
    find_algorithm(der, spki).is_some()
}

fn find_algorithm(der: &[u8], spki: &[u8]) -> Option<()> {
    const SEQUENCE: u8 = 0x30;
    const BIT_STRING: u8 = 0x03;
    let outer = element(der, SEQUENCE)?;
    let body = element(outer.inside, SEQUENCE)?;
    let algorithm = element(body.after, SEQUENCE)?;
    let signature = element(algorithm.after, BIT_STRING)?.inside.strip_prefix(&[0])?;
    let key = element(spki, SEQUENCE)?;
    let kind = element(key.inside, SEQUENCE)?;
    let point = element(kind.after, BIT_STRING)?.inside.strip_prefix(&[0])?;
    // The algorithm inside, which is signed, is compared with this one by `webpki`'s reading.
    let fits = |known: AlgorithmIdentifier, found: &[u8]| known.as_ref() == found;
    webpki::ALL_VERIFICATION_ALGS
        .iter()
        .filter(|known| fits(known.public_key_alg_id(), kind.inside))
        .filter(|known| fits(known.signature_alg_id(), algorithm.inside))
        .find_map(|known| known.verify_signature(point, body.whole, signature).ok())
}

/// One element of DER with what follows it.
struct Element<'d> {
    whole: &'d [u8],
    inside: &'d [u8],
    after: &'d [u8],
}

fn element(der: &[u8], tag: u8) -> Option<Element<'_>> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (size, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (octets.iter().fold(0, |size, octet| size << 8 | usize::from(*octet)), rest)
        }
        _ => return None,
    };
    let (inside, after) = rest.split_at_checked(size)?;
    let whole = der.get(..der.len() - after.len())?;
    (*found == tag).then_some(Element { whole, inside, after })
}
