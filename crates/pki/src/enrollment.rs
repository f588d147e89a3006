//! `Token`: the one-time permission to enroll, and the proof of which Authority it is for.

use crate::key::{from_hex, hex, sha256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use segwan_core::identity::{Identity, TrustDomain};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What every token begins with, so that scanners for leaked secrets find it.
const PREFIX: &str = "segwan-enroll-1.";
/// Longest token, in bytes.
const LONGEST: usize = 2048;

/// A token that was read: one use, for one name, at one Authority (`pki.md` section 9.2).
///
/// It shows everything but its secret; only [`reveal`](Self::reveal) gives the whole text.
pub struct Token {
    /// `host:port` of the Authority, 1 to 4.
    pub addresses: Vec<String>,
    /// The trust domain.
    pub trust_domain: TrustDomain,
    /// The name of the registration.
    pub name: String,
    /// SHA-256 of the root certificate, in lower-case hex.
    pub root: String,
    /// The same of a second root, while roots rotate.
    pub second_root: Option<String>,
    /// When it ends, Unix seconds.
    pub expires: i64,
    secret: Zeroizing<[u8; 32]>,
}

/// Why a text is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It is longer than any token.
    #[error("the token is over 2 KiB")]
    TooLong,
    /// It does not begin as tokens do.
    #[error("the text does not begin with `{PREFIX}`, so it is no join token")]
    Prefix,
    /// Its check does not fit: a character is missing, added or changed.
    #[error("the token's check does not fit: a character is missing or changed; copy it again")]
    Check,
    /// Its content is not a token's.
    #[error("the token's content is not well-formed: {0}")]
    Content(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    a: Vec<String>,
    t: String,
    n: String,
    r: Pins,
    s: String,
    e: i64,
}

/// One root, or two while they rotate.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Pins {
    One(String),
    Two([String; 2]),
}

impl Token {
    /// A token of these parts.
    #[must_use]
    pub fn new(
        addresses: Vec<String>,
        trust_domain: TrustDomain,
        name: String,
        root: &[u8],
        expires: i64,
        secret: [u8; 32],
    ) -> Self {
        let root = hex(&sha256(root));
        let secret = Zeroizing::new(secret);
        Self { addresses, trust_domain, name, root, second_root: None, expires, secret }
    }

    /// The same token, that is good under a second root too.
    #[must_use]
    pub fn also_under(self, root: Option<&[u8]>) -> Self {
        Self { second_root: root.map(|root| hex(&sha256(root))), ..self }
    }

    /// The roots that it pins.
    #[must_use]
    pub fn roots(&self) -> Vec<String> {
        [Some(&self.root), self.second_root.as_ref()].into_iter().flatten().cloned().collect()
    }

    /// Reads a pasted token.
    ///
    /// # Errors
    /// If it is not exactly a token; nothing is sent anywhere before.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.len() > LONGEST {
            return Err(TokenError::TooLong);
        }
        let body = text.strip_prefix(PREFIX).ok_or(TokenError::Prefix)?;
        let (payload, check) = body.rsplit_once('.').ok_or(TokenError::Check)?;
        let signed = text.get(..text.len() - check.len() - 1).unwrap_or_default();
        if checksum(signed) != check {
            return Err(TokenError::Check);
        }
        let content = |what: &str| TokenError::Content(what.to_owned());
        let json =
            Zeroizing::new(URL_SAFE_NO_PAD.decode(payload).map_err(|_| content("no base64url"))?);
        let read: Content =
            serde_json::from_slice(&json).map_err(|_| content("no such members"))?;
        let secret =
            Zeroizing::new(URL_SAFE_NO_PAD.decode(&read.s).map_err(|_| content("no secret"))?);
        let secret: [u8; 32] = secret.as_slice().try_into().map_err(|_| content("no secret"))?;
        let trust_domain: TrustDomain =
            read.t.parse().map_err(|e| TokenError::Content(format!("{e}")))?;
        trust_domain.identity(&read.n).map_err(|e| TokenError::Content(e.to_string()))?;
        let (root, second_root) = match read.r {
            Pins::One(root) => (root, None),
            Pins::Two([root, second]) => (root, Some(second)),
        };
        let is_pin = |text: &String| from_hex(text).is_some_and(|hash| hash.len() == 32);
        if !is_pin(&root) || !second_root.iter().all(is_pin) {
            return Err(content("no fingerprint of a root"));
        }
        if read.a.is_empty() || read.a.len() > 4 || !read.a.iter().all(|a| is_address(a)) {
            return Err(content("1 to 4 addresses `host:port`"));
        }
        Ok(Self {
            addresses: read.a,
            trust_domain,
            name: read.n,
            root,
            second_root,
            expires: read.e,
            secret: Zeroizing::new(secret),
        })
    }

    /// The whole text to paste, secret included.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        let content = Content {
            a: self.addresses.clone(),
            t: self.trust_domain.to_string(),
            n: self.name.clone(),
            r: match &self.second_root {
                None => Pins::One(self.root.clone()),
                Some(second) => Pins::Two([self.root.clone(), second.clone()]),
            },
            s: URL_SAFE_NO_PAD.encode(*self.secret),
            e: self.expires,
        };
        let json = Zeroizing::new(serde_json::to_vec(&content).unwrap_or_default());
        let signed = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&*json));
        let check = checksum(&signed);
        Zeroizing::new(format!("{signed}.{check}"))
    }

    /// The secret as it is sent to the Authority.
    #[must_use]
    pub fn secret(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(*self.secret))
    }

    /// SHA-256 of the secret, which is all that the Authority keeps.
    #[must_use]
    pub fn secret_sha256(&self) -> [u8; 32] {
        sha256(&*self.secret)
    }

    /// SHA-256 of a secret as it was sent; `None` if it is none.
    #[must_use]
    pub fn sent_secret_sha256(text: &str) -> Option<[u8; 32]> {
        let secret = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
        (secret.len() == 32).then(|| sha256(&secret))
    }

    /// The identity that it enrolls.
    ///
    /// # Errors
    /// Never for a token that was parsed.
    pub fn identity(&self) -> Result<Identity, TokenError> {
        self.trust_domain.identity(&self.name).map_err(|e| TokenError::Content(e.to_string()))
    }
}

/// `host:port`, where the host is a name or an address.
fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let good = |b: u8| {
            b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']' | b'_')
        };
        !host.is_empty()
            && host.len() <= 255
            && host.bytes().all(good)
            && port.parse::<u16>().is_ok()
    })
}

/// The first 36 bits of the SHA-256, as six characters.
fn checksum(text: &str) -> String {
    let hash = sha256(text.as_bytes());
    let mut check = URL_SAFE_NO_PAD.encode(hash);
    check.truncate(6);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        let domain = "segwan.internal".parse().unwrap();
        Token::new(
            vec!["10.0.0.5:7444".to_owned()],
            domain,
            "app".to_owned(),
            b"root",
            1_800_000_000,
            [7; 32],
        )
    }

    #[test]
    fn a_token_reads_back_as_it_was_written() {
        let text = token().reveal();
        let read = Token::parse(&format!("  {}\n", *text)).unwrap();
        assert_eq!((read.name.as_str(), read.expires), ("app", 1_800_000_000));
        assert_eq!(read.secret_sha256(), token().secret_sha256());
        assert_eq!(Token::sent_secret_sha256(&read.secret()), Some(token().secret_sha256()));
        assert_eq!(read.identity().unwrap().to_string(), "spiffe://segwan.internal/app");
    }

    // PKI-24
    #[test]
    fn a_changed_token_is_refused_on_the_node() {
        let text = token().reveal();
        for at in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert!(Token::parse(std::str::from_utf8(&bytes).unwrap()).is_err(), "byte {at}");
            assert!(Token::parse(&text[..at]).is_err());
        }
        assert_eq!(Token::parse("hello").err(), Some(TokenError::Prefix));
        assert_eq!(Token::parse(&"x".repeat(3000)).err(), Some(TokenError::TooLong));
    }

    // Section 9.2: two roots while they rotate.
    #[test]
    fn a_token_pins_both_roots_while_they_rotate() {
        let two = token().also_under(Some(b"second"));
        let read = Token::parse(&two.reveal()).unwrap();
        assert_eq!(read.roots(), [hex(&sha256(b"root")), hex(&sha256(b"second"))]);
        assert_eq!(Token::parse(&token().reveal()).unwrap().roots().len(), 1);
    }

    // PKI-24: an added key
    #[test]
    fn unknown_members_are_refused() {
        let json = URL_SAFE_NO_PAD
            .encode(br#"{"a":["h:1"],"t":"td","n":"app","r":"00","s":"","e":1,"x":1}"#);
        let signed = format!("{PREFIX}{json}");
        let text = format!("{signed}.{}", checksum(&signed));
        assert!(matches!(Token::parse(&text), Err(TokenError::Content(_))));
    }
}
