//! A certificate of any bytes: it is refused, or read as one whole; as a leaf, as what issued one
//! and as a root it leads nobody to a path that the Authority did not sign.
#![no_main]

use libfuzzer_sys::fuzz_target;
use segwan_pki::certificate::Certificate;
use segwan_pki::x509::{verify_chain, within_constraints};

const ROOT: &[u8] = include_bytes!("../trust/root.der");
const ISSUING: &[u8] = include_bytes!("../trust/issuing.der");
const SERVER: &[u8] = include_bytes!("../corpus/certificate/server");
/// When these are valid, Unix seconds.
const NOW: i64 = 1_790_000_000;

fuzz_target!(|der: &[u8]| {
    let read = Certificate::read(der);
    if let Ok(read) = &read {
        let key = &read.public_key;
        assert!(der.windows(key.len()).any(|part| part == key), "a key is kept as it came");
        assert!(Certificate::read(&[der, b"\0"].concat()).is_err(), "something follows it");
    }
    if verify_chain(&[der.to_vec(), ISSUING.to_vec()], ROOT, true, NOW).is_ok() {
        assert_eq!(read, Certificate::read(SERVER), "a leaf that nobody signed");
    }
    if verify_chain(&[SERVER.to_vec(), der.to_vec()], ROOT, true, NOW).is_ok() {
        assert_eq!(read, Certificate::read(ISSUING), "an issuer that nobody signed");
    }
    let _ = verify_chain(&[SERVER.to_vec(), ISSUING.to_vec()], der, true, NOW);
    let _ = within_constraints(der, &["orders.segwan.internal".to_owned()], &[]);
});
