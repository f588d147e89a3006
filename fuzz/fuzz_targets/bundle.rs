//! A trust bundle of any bytes: its body is refused or reads back as the same bundle; and what comes
//! signed is believed only if the Authority signed exactly that.
#![no_main]

use libfuzzer_sys::fuzz_target;
use segwan_core::identity::TrustDomain;
use segwan_pki::api::{self, SignedBundle};
use segwan_pki::bundle::Bundle;

const ROOT: &[u8] = include_bytes!("../trust/root.der");
/// The one body that was signed under this root.
const SIGNED: &[u8] = include_bytes!("../corpus/bundle/body");
/// When it is valid, Unix milliseconds.
const NOW: i64 = 1_790_000_000_000;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(bundle) = Bundle::read(bytes) {
        assert_eq!(Bundle::read(bundle.body().as_bytes()), Ok(bundle), "a bundle reads back");
    }
    let Ok(signed) = serde_json::from_slice::<SignedBundle>(bytes) else { return };
    let domain: TrustDomain = "segwan.internal".parse().expect("a trust domain");
    match Bundle::accept(&signed, &[ROOT.to_vec()], &domain, (None, &[]), NOW) {
        Ok(bundle) => {
            assert_eq!(api::der(&signed.body, SIGNED.len()).as_deref(), Some(SIGNED));
            assert_eq!(Bundle::read(SIGNED), Ok(bundle));
        }
        Err(error) => {
            let sentence = error.to_string();
            assert!(!sentence.contains(char::is_control), "{sentence:?} is no sentence");
        }
    }
    assert!(Bundle::accept(&signed, &[], &domain, (None, &[]), NOW).is_err(), "under no root");
});
