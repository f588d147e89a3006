//! x509-limbo's core cases. What is believed wrongly, or refused on purpose, stands in a table
//! with its reason; the tables may only shrink.

mod alone;
mod suite;

/// Cases that should be refused and are believed.
const BELIEVED: &[(&str, &str)] = &[
    (
        "rfc5280::aki::cross-signed-root-missing-aki",
        "an anchor is trusted by name and key, whoever signed it; the suite calls the rule ambiguous",
    ),
    (
        "rfc5280::nc::invalid-dnsname-leading-period",
        "webpki reads a constraint `.example.com` as subdomains alone: narrower than was meant, and common in private authorities",
    ),
    ("rfc5280::san::underscore-dns", "service names on private networks have underscores"),
    ("webpki::aki::root-with-aki-authoritycertissuer", EXTRA_AKI),
    ("webpki::aki::root-with-aki-authoritycertserialnumber", EXTRA_AKI),
    ("webpki::aki::root-with-aki-all-fields", EXTRA_AKI),
    ("webpki::cn::ipv4-hex-mismatch", COMMON_NAME),
    ("webpki::cn::ipv4-leading-zeros-mismatch", COMMON_NAME),
    ("webpki::cn::ipv6-uppercase-mismatch", COMMON_NAME),
    ("webpki::cn::ipv6-uncompressed-mismatch", COMMON_NAME),
    ("webpki::cn::ipv6-non-rfc5952-mismatch", COMMON_NAME),
    ("webpki::cn::punycode-not-in-san", COMMON_NAME),
    ("webpki::cn::utf8-vs-punycode-mismatch", COMMON_NAME),
    ("webpki::cn::not-in-san", COMMON_NAME),
    ("webpki::cn::case-mismatch", COMMON_NAME),
    (
        "webpki::eku::ee-critical-eku",
        "RFC 5280 allows a critical extended key usage, the public web alone does not; it is honoured either way",
    ),
    ("webpki::san::public-suffix-multi-label-wildcard-san", SUFFIX),
    ("webpki::san::public-suffix-private-namespace-wildcard-san", SUFFIX),
    (
        "webpki::san::san-critical-with-nonempty-subject",
        "a rule of the public web; a critical name is read like any other",
    ),
];

const EXTRA_AKI: &str = "a rule of the public web; issuer and serial beside the key identifier are not looked at, and common private authorities write them";
const COMMON_NAME: &str =
    "a rule of the public web; the common name is never an identity here, so it cannot mislead";
const SUFFIX: &str =
    "a list of the public web's suffixes; a wildcard is no identity here (`Identity::dns`)";

/// Cases that rustls believes and Segwan refuses, although the suite would believe them.
const REFUSED: &[(&str, &str)] = &[
    (
        "crl::issuer-no-keyusage-extension",
        "V6: whoever issues certificates says so in its key usage (RFC 5280 section 4.2.1.3)",
    ),
    (
        "rfc5280::eku::ee-without-eku",
        "V1: a certificate that does not say what it is for is for nothing",
    ),
    (
        "rfc5280::unknown-critical-extension-unrelated-root",
        "V6: a set with an unfit root is refused whole, and does not become smaller unseen",
    ),
    (
        "webpki::nc::permitted-dns-match-noncritical",
        "V5: constraints that a verifier may ignore constrain nothing",
    ),
];

/// Most cases that may be believed wrongly; rustls alone believes 55, and two whose bound
/// it cannot be told.
const MOST: usize = 20;

// PKI-60
#[test]
fn each_case_is_judged_as_expected_or_has_its_reason() {
    let Some(cases) = suite::cases("limbo-core.json.xz", "") else { return };
    assert_eq!(cases.len(), 208);
    let (mut believed, mut refused, mut faults, mut rustls_believed) = (vec![], vec![], vec![], 0);
    for case in &cases {
        let (ours, rustls) = (case.segwan(), case.rustls());
        rustls_believed += usize::from(rustls.is_ok() && !case.good);
        match (case.good, ours) {
            (false, Ok(())) => believed.push(case.id.as_str()),
            (true, Err(why)) if rustls.is_ok() => {
                println!("refused {}: {why}", case.id);
                refused.push(case.id.as_str());
            }
            _ => {}
        }
        if rustls.is_err() && case.segwan().is_ok() {
            faults.push(format!("{} is believed, and rustls alone would not", case.id));
        }
    }
    compare("believed", &believed, BELIEVED, &mut faults);
    compare("refused", &refused, REFUSED, &mut faults);
    let (ours, all) = (believed.len(), cases.len());
    println!("{all} cases: {ours} believed wrongly, {rustls_believed} by rustls alone");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(ours <= MOST, "{ours} cases are believed wrongly; {MOST} are the most");
}

/// The table holds what was found, no more and no less.
fn compare(what: &str, found: &[&str], table: &[(&str, &str)], faults: &mut Vec<String>) {
    for (id, reason) in table {
        println!("{what}: {id}: {reason}");
        if !found.contains(id) {
            faults.push(format!("{id} is not {what} any more: take it from the table"));
        }
    }
    let listed = |id: &&&str| table.iter().any(|(known, _)| known == *id);
    let unlisted = found.iter().filter(|id| !listed(id));
    faults.extend(unlisted.map(|id| format!("{id} is {what}, and has no reason")));
}
