//! Name constraints: which DNS names and addresses an issuing certificate may speak for.
//!
//! Only those two kinds, never a URI: rustls-webpki refuses every SPIFFE leaf below a URI
//! constraint (`pki.md` section 3.3). They are defence in depth, never the only check.

use crate::lint::der;
use segwan_core::audit::shown;
use segwan_core::identity::Identity;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use x509_parser::extensions::{GeneralName, GeneralSubtree, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

/// A range of addresses, such as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl FromStr for Cidr {
    type Err = String;

    /// Reads `ADDRESS/BITS`. Bits of the address behind the prefix must be zero: a range that
    /// was meant otherwise than written should not constrain anything.
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is no range of addresses such as `10.0.0.0/8`");
        let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let prefix: u8 = prefix.parse().map_err(|_| bad())?;
        if prefix > if address.is_ipv4() { 32 } else { 128 } {
            return Err(bad());
        }
        let range = Self { address, prefix };
        let inside = octets(address).iter().zip(range.mask()).all(|(byte, mask)| byte & !mask == 0);
        if inside {
            Ok(range)
        } else {
            Err(format!("`{text}` has bits set behind its prefix of {prefix}"))
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Cidr {
    fn mask(&self) -> Vec<u8> {
        let bytes = if self.address.is_ipv4() { 4 } else { 16 };
        (0..bytes)
            .map(|at: u8| match self.prefix.saturating_sub(at * 8) {
                8.. => 0xff,
                bits => !(0xff_u8 >> bits),
            })
            .collect()
    }

    /// Address and mask, as a certificate holds them.
    fn subtree(&self) -> Vec<u8> {
        let mut bytes = octets(self.address);
        bytes.extend(self.mask());
        bytes
    }
}

/// What an issuing certificate may speak for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraints {
    dns: Vec<String>,
    ips: Vec<Cidr>,
}

impl Constraints {
    /// The constraints of an operator; an empty list leaves the default: the trust domain and
    /// `localhost` as DNS names, no address at all.
    ///
    /// # Errors
    /// If a name is no lower-case DNS name.
    pub fn new(trust_domain: &str, dns: &[String], ips: &[Cidr]) -> Result<Self, String> {
        for name in dns {
            Identity::dns(name).map_err(|error| error.to_string())?;
        }
        let mut dns = dns.to_vec();
        if dns.is_empty() {
            dns = vec![trust_domain.to_owned(), "localhost".to_owned()];
        }
        Ok(Self { dns, ips: ips.to_vec() })
    }

    /// The default of a trust domain.
    #[must_use]
    pub fn of(trust_domain: &str) -> Self {
        Self { dns: vec![trust_domain.to_owned(), "localhost".to_owned()], ips: Vec::new() }
    }

    /// The value of the extension in DER (RFC 5280 section 4.2.1.10).
    pub(crate) fn der(&self) -> Vec<u8> {
        let subtree = |tag: u8, base: &[u8]| der::write(der::SEQUENCE, &der::write(tag, base));
        let mut permitted: Vec<u8> =
            self.dns.iter().flat_map(|name| subtree(DNS_NAME, name.as_bytes())).collect();
        permitted.extend(self.ips.iter().flat_map(|range| subtree(ADDRESS, &range.subtree())));
        let mut content = der::write(0xa0, &permitted);
        if self.ips.is_empty() {
            let none = [subtree(ADDRESS, &[0; 8]), subtree(ADDRESS, &[0; 32])].concat();
            content.extend(der::write(0xa1, &none));
        }
        der::write(der::SEQUENCE, &content)
    }

    /// The same as lines of an extension file of OpenSSL.
    pub(crate) fn openssl(&self) -> String {
        let mut parts: Vec<String> =
            self.dns.iter().map(|name| format!("permitted;DNS:{name}")).collect();
        let mask = |range: &Cidr| match range.address {
            IpAddr::V4(_) => range.mask().iter().map(u8::to_string).collect::<Vec<_>>().join("."),
            IpAddr::V6(_) => {
                let pairs = range.mask();
                let (pairs, _) = pairs.as_chunks::<2>();
                pairs.iter().map(|[a, b]| format!("{a:02x}{b:02x}")).collect::<Vec<_>>().join(":")
            }
        };
        parts.extend(self.ips.iter().map(|r| format!("permitted;IP:{}/{}", r.address, mask(r))));
        if self.ips.is_empty() {
            parts.push("excluded;IP:0.0.0.0/0.0.0.0".to_owned());
            parts.push("excluded;IP:0:0:0:0:0:0:0:0/0:0:0:0:0:0:0:0".to_owned());
        }
        format!("nameConstraints=critical,{}", parts.join(","))
    }
}

const DNS_NAME: u8 = 0x82;
const ADDRESS: u8 = 0x87;

/// Whether an issuing certificate may speak for all of these names. A registration is held to it
/// when it is written, so that it cannot fail when it is used (`pki.md` section 3.3).
///
/// # Errors
/// With the first name that is none, is a wildcard, or lies outside, and what lies inside.
pub fn within_constraints(
    issuing_der: &[u8],
    dns: &[String],
    ips: &[IpAddr],
) -> Result<(), String> {
    let (_, issuing) = X509Certificate::from_der(issuing_der)
        .map_err(|_| "the issuing certificate is not well-formed".to_owned())?;
    let mut bounds = Bounds::default();
    for extension in issuing.iter_extensions() {
        match extension.parsed_extension() {
            ParsedExtension::NameConstraints(constraints) => {
                bounds.permitted.extend(constraints.permitted_subtrees.iter().flatten());
                bounds.excluded.extend(constraints.excluded_subtrees.iter().flatten());
            }
            // What cannot be read permits nothing.
            ParsedExtension::ParseError { .. } => {
                return Err(format!("the issuing certificate's {} is malformed", extension.oid));
            }
            _ => {}
        }
    }
    dns.iter().try_for_each(|name| bounds.dns(name))?;
    ips.iter().try_for_each(|address| bounds.ip(*address))
}

/// The subtrees of one certificate.
#[derive(Default)]
struct Bounds<'c> {
    permitted: Vec<&'c GeneralSubtree<'c>>,
    excluded: Vec<&'c GeneralSubtree<'c>>,
}

impl Bounds<'_> {
    fn dns(&self, name: &str) -> Result<(), String> {
        let shown_name = shown(name.as_bytes());
        if name.contains('*') {
            return Err(format!("DNS name `{shown_name}` is a wildcard"));
        }
        if Identity::dns(name).is_err() {
            return Err(format!("DNS name `{shown_name}` is not a lower-case DNS name"));
        }
        let matches = |subtree: &GeneralSubtree<'_>| match subtree.base {
            GeneralName::DNSName(base) => Some(covers(base, name)),
            _ => None,
        };
        if self.admit(matches) {
            return Ok(());
        }
        let names = self.permitted.iter().filter_map(|subtree| match subtree.base {
            GeneralName::DNSName(base) => Some(shown(base.as_bytes())),
            _ => None,
        });
        Err(outside("DNS name", &shown_name, &names.collect::<Vec<_>>()))
    }

    fn ip(&self, address: IpAddr) -> Result<(), String> {
        let bytes = octets(address);
        let matches = |subtree: &GeneralSubtree<'_>| match subtree.base {
            GeneralName::IPAddress(base) => Some(spans(base, &bytes)),
            _ => None,
        };
        if self.admit(matches) {
            return Ok(());
        }
        let ranges = self.permitted.iter().filter_map(|subtree| match subtree.base {
            GeneralName::IPAddress(base) => Some(range(base)),
            _ => None,
        });
        Err(outside("IP address", &address.to_string(), &ranges.collect::<Vec<_>>()))
    }

    /// Whether a name is permitted, if its kind is constrained at all, and not excluded.
    fn admit(&self, matches: impl Fn(&GeneralSubtree<'_>) -> Option<bool>) -> bool {
        let mut permitted = self.permitted.iter().filter_map(|subtree| matches(subtree)).peekable();
        let permitted = permitted.peek().is_none() || permitted.any(|matched| matched);
        permitted && !self.excluded.iter().any(|subtree| matches(subtree) == Some(true))
    }
}

fn outside(kind: &str, name: &str, inside: &[String]) -> String {
    let inside = if inside.is_empty() { "none is permitted".to_owned() } else { inside.join(", ") };
    format!("{kind} `{name}` is outside the issuing certificate's constraints ({inside})")
}

/// Whether a DNS name is `base` or below it.
fn covers(base: &str, name: &str) -> bool {
    let base = base.strip_prefix('.').unwrap_or(base).to_ascii_lowercase();
    let above = name.strip_suffix(&base);
    base.is_empty() || above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

/// Whether an address lies in a subtree of address and mask.
fn spans(base: &[u8], address: &[u8]) -> bool {
    let (network, mask) = base.split_at(base.len() / 2);
    network.len() == address.len()
        && network.iter().zip(mask).zip(address).all(|((n, m), a)| n & m == a & m)
}

/// A subtree of address and mask as it is written by people.
fn range(base: &[u8]) -> String {
    let (network, mask) = base.split_at(base.len() / 2);
    let bits: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
    let address = <[u8; 4]>::try_from(network)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(network).map(IpAddr::from));
    address.map_or_else(|_| "a malformed range".to_owned(), |address| format!("{address}/{bits}"))
}

/// The bytes of an address.
pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, root};
    use super::*;
    use crate::key::PrivateKey;

    fn issuing(dns: &[&str], ips: &[&str]) -> Vec<u8> {
        let dns: Vec<String> = dns.iter().map(|name| (*name).to_owned()).collect();
        let ips: Vec<Cidr> = ips.iter().map(|range| range.parse().unwrap()).collect();
        let constraints = Constraints::new("segwan.internal", &dns, &ips).unwrap();
        let key = PrivateKey::generate().unwrap();
        root().issuing_within("segwan.internal", key, [2; 16], NOW, 365, &constraints).unwrap().der
    }

    fn verdict(issuing: &[u8], dns: &[&str], ips: &[&str]) -> Result<(), String> {
        let dns: Vec<String> = dns.iter().map(|name| (*name).to_owned()).collect();
        let ips: Vec<IpAddr> = ips.iter().map(|ip| ip.parse().unwrap()).collect();
        within_constraints(issuing, &dns, &ips)
    }

    // PKI-18, PKI-14
    #[test]
    fn a_name_outside_the_constraints_is_named_with_what_lies_inside() {
        let usual = issuing(&[], &[]);
        assert_eq!(
            verdict(&usual, &["localhost", "web.segwan.internal", "segwan.internal"], &[]),
            Ok(())
        );
        for (dns, ips, sentence) in [
            (
                vec!["shop.example"],
                vec![],
                "DNS name `shop.example` is outside the issuing certificate's constraints (segwan.internal, localhost)",
            ),
            (
                vec!["notsegwan.internal"],
                vec![],
                "DNS name `notsegwan.internal` is outside the issuing certificate's constraints (segwan.internal, localhost)",
            ),
            (vec!["*.segwan.internal"], vec![], "DNS name `*.segwan.internal` is a wildcard"),
            (vec!["Localhost"], vec![], "DNS name `Localhost` is not a lower-case DNS name"),
            (
                vec![],
                vec!["10.0.0.1"],
                "IP address `10.0.0.1` is outside the issuing certificate's constraints (none is permitted)",
            ),
            (
                vec![],
                vec!["::1"],
                "IP address `::1` is outside the issuing certificate's constraints (none is permitted)",
            ),
        ] {
            assert_eq!(verdict(&usual, &dns, &ips).unwrap_err(), sentence);
        }
    }

    // PKI-18
    #[test]
    fn what_the_operator_permits_replaces_the_default() {
        let permitted = issuing(&["shop.example"], &["10.1.0.0/16", "fd00::/8"]);
        assert_eq!(verdict(&permitted, &["web.shop.example"], &["10.1.255.9", "fd12::1"]), Ok(()));
        assert!(verdict(&permitted, &["localhost"], &[]).is_err());
        assert_eq!(
            verdict(&permitted, &[], &["10.2.0.1"]).unwrap_err(),
            "IP address `10.2.0.1` is outside the issuing certificate's constraints (10.1.0.0/16, fd00::/8)"
        );
        // One range alone leaves no room for the other family.
        assert!(verdict(&issuing(&[], &["10.0.0.0/8"]), &[], &["::1"]).is_err());
    }

    #[test]
    fn a_range_says_what_it_means() {
        assert_eq!("10.0.0.0/9".parse::<Cidr>().unwrap().subtree(), [10, 0, 0, 0, 255, 128, 0, 0]);
        assert_eq!("0.0.0.0/0".parse::<Cidr>().unwrap().to_string(), "0.0.0.0/0");
        for text in ["10.0.0.0", "10.0.0.0/33", "10.0.0.1/8", "fd00::/129", "/8", "a/8", "::1/64"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }
}
