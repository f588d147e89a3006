//! A pasted token of any text: it is refused, or reads back as the same token.
//!
//! The check at the end of a token stops nearly every input, so the content is also read behind a
//! check that is right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use segwan_pki::enrollment::Token;
use segwan_pki::key::sha256;

fuzz_target!(|text: &str| {
    read(text);
    let signed = format!("segwan-enroll-1.{}", base64url(text.as_bytes()));
    let mut check = base64url(&sha256(signed.as_bytes()));
    check.truncate(6);
    read(&format!("{signed}.{check}"));
});

fn read(text: &str) {
    let Ok(token) = Token::parse(text) else { return };
    let again = Token::parse(&token.reveal()).expect("a token reads back");
    assert_eq!(again.addresses, token.addresses);
    assert_eq!(again.trust_domain, token.trust_domain);
    assert_eq!(
        (&again.name, &again.root, again.expires),
        (&token.name, &token.root, token.expires)
    );
    assert_eq!(again.secret_sha256(), token.secret_sha256());
    assert!(token.identity().is_ok(), "a token names whom it enrolls");
}

/// RFC 4648 section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - group.len()));
        for digit in 0..=group.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    text
}
