//! A certificate request of any bytes: it is refused in a sentence that may be shown, or gives the
//! key that it holds; nothing else of it is taken.
#![no_main]

use libfuzzer_sys::fuzz_target;
use segwan_pki::key::sha256;
use segwan_pki::x509::{RequestedKey, requested_trust_domain};

fuzz_target!(|der: &[u8]| {
    let key = match RequestedKey::read(der) {
        Ok(key) => key,
        Err(error) => {
            let sentence = error.to_string();
            assert!(!sentence.contains(char::is_control), "{sentence:?} is no sentence");
            return;
        }
    };
    let info = key.public_key();
    assert!(der.windows(info.len()).any(|part| part == info), "the key is the one that was sent");
    assert_eq!(key.sha256(), sha256(info));
    assert!(RequestedKey::read(&[der, b"\0"].concat()).is_err(), "something follows it");
    // The Authority's root reads a request for an issuing certificate beyond its key.
    if let Err(error) = requested_trust_domain(der) {
        let sentence = error.to_string();
        assert!(!sentence.contains(char::is_control), "{sentence:?} is no sentence");
    }
});
