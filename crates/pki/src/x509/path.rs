//! Paths from a leaf to a root, as rustls-webpki believes them.

use rustls_pki_types::{CertificateDer, UnixTime};
use std::time::Duration;

/// Verifies that a leaf leads to a root, for a use, at one second (Unix). `chain` is the leaf
/// and what was sent with it.
///
/// # Errors
/// A sentence, if it does not.
pub fn verify_chain(chain: &[Vec<u8>], root: &[u8], listens: bool, at: i64) -> Result<(), String> {
    let usage =
        if listens { webpki::KeyUsage::server_auth() } else { webpki::KeyUsage::client_auth() };
    let Some((leaf, above @ [_, ..])) = chain.split_first() else {
        return Err("the chain has no issuing certificate".to_owned());
    };
    let der = CertificateDer::from(leaf.as_slice());
    let root = CertificateDer::from(root);
    let anchor = webpki::anchor_from_trusted_cert(&root).map_err(|e| e.to_string())?;
    let end = webpki::EndEntityCert::try_from(&der).map_err(|e| e.to_string())?;
    let above: Vec<_> = above.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let seconds = u64::try_from(at).map_err(|_| "a time before 1970".to_owned())?;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let algorithms = webpki::ALL_VERIFICATION_ALGS;
    end.verify_for_usage(algorithms, &[anchor], &above, time, usage, None, None)
        .map(|_| ())
        .map_err(|e| said(&e))
}

/// What is wrong with a path, in words that an operator reads.
fn said(error: &webpki::Error) -> String {
    use webpki::Error as E;
    let date = |time: &UnixTime| {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        jiff::Timestamp::from_second(seconds)
            .map_or_else(|_| seconds.to_string(), |at| at.to_string())
    };
    match error {
        E::CertExpired { not_after, .. } => format!("it ended at {}", date(not_after)),
        E::CertNotValidYet { not_before, .. } => {
            format!("it is not valid before {}", date(not_before))
        }
        E::UnknownIssuer => "it does not lead to the root".to_owned(),
        E::InvalidSignatureForPublicKey => "a signature in its path does not hold".to_owned(),
        E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension => {
            "it is not made for this use".to_owned()
        }
        E::NameConstraintViolation => "its names are outside its issuer's constraints".to_owned(),
        _ => "it breaks a rule of its path".to_owned(),
    }
}
