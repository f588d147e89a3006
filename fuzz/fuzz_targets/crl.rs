//! A revocation list of any bytes: it is refused, or says the same of itself when it is read again;
//! nobody who did not sign it is taken for its issuer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use segwan_pki::revocation::{Crl, CrlError};

fuzz_target!(|der: &[u8]| {
    let crl = match Crl::read(der) {
        Ok(crl) => crl,
        // A panic is a refusal in the product, and a finding here.
        Err(error) => return assert_ne!(error, CrlError::Panicked, "the parser panicked"),
    };
    assert_eq!(crl.der, der, "a list is kept as it came");
    assert!(crl.serials().all(|serial| crl.revokes(serial)), "a list knows its own serials");
    let again = Crl::read(&crl.der).expect("a list reads back");
    assert_eq!((again.number, again.len()), (crl.number, crl.len()));
    let nobody: [&[u8]; 0] = [];
    assert!(Crl::accept(der, &nobody, None, i64::MAX).is_err(), "a list without an issuer");
});
