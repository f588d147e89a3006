//! A body of the Authority's API of any bytes, as each of its types: it is refused, or reads back as
//! the same; the requests and certificates in it go to their readers, as they do at the Authority.
#![no_main]

use libfuzzer_sys::fuzz_target;
use segwan_pki::api::{
    self, AckRequest, EnrollRequest, ErrorAnswer, IssuedAnswer, RenewRequest, RenewalInfo,
    ReportRequest, TrustAnswer,
};
use segwan_pki::certificate::Certificate;
use segwan_pki::x509::{REQUEST_BYTES, RequestedKey};
use serde::{Serialize, de::DeserializeOwned};

fuzz_target!(|bytes: &[u8]| {
    if let Some(enroll) = body::<EnrollRequest>(bytes) {
        request(&enroll.csr);
        assert_eq!(format!("{:?}", enroll.token), "[secret]");
    }
    if let Some(renew) = body::<RenewRequest>(bytes) {
        request(&renew.csr);
    }
    if let Some(issued) = body::<IssuedAnswer>(bytes) {
        for der in issued.certificate.iter().filter_map(|text| api::der(text, REQUEST_BYTES)) {
            let _ = Certificate::read(&der);
        }
    }
    body::<TrustAnswer>(bytes);
    body::<AckRequest>(bytes);
    body::<ReportRequest>(bytes);
    body::<RenewalInfo>(bytes);
    body::<ErrorAnswer>(bytes);
});

/// The body as one type, if it is that; then what it is written as says the same.
fn body<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let body: T = serde_json::from_slice(bytes).ok()?;
    let written = serde_json::to_vec(&body).expect("a body is JSON");
    let again: T = serde_json::from_slice(&written).expect("a body reads back");
    assert_eq!(serde_json::to_vec(&again).expect("a body is JSON"), written);
    Some(body)
}

fn request(csr: &str) {
    let Some(der) = api::der(csr, REQUEST_BYTES) else { return };
    assert!(
        der.len() <= REQUEST_BYTES && api::der(&api::text(&der), der.len()) == Some(der.clone())
    );
    let _ = RequestedKey::read(&der);
}
