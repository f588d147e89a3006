//! What reads foreign bytes refuses them in words, whatever they are: arbitrary bytes, and real ones
//! with a few of theirs changed. The fuzzers of `fuzz/` do the same for longer.

use proptest::prelude::*;
use segwan_pki::api::{EnrollRequest, EventLine, IssuedAnswer, ReportRequest};
use segwan_pki::authority::{
    Authority, AuthorityOptions, LEAF_LIFETIME, RENEWAL_GRACE, Registration,
};
use segwan_pki::bundle::Bundle;
use segwan_pki::certificate::Certificate;
use segwan_pki::directory::StateDir;
use segwan_pki::enrollment::Token;
use segwan_pki::key::PrivateKey;
use segwan_pki::profile::Profile;
use segwan_pki::revocation::Crl;
use segwan_pki::x509::{RequestedKey, certificate_request};
use std::path::Path;
use std::sync::OnceLock;

const NOW: i64 = 1_790_000_000_000;

/// A certificate, a request, a list, a bundle and an answer, all of them good.
fn samples() -> &'static [Vec<u8>] {
    static SAMPLES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let state = StateDir::open(&folder.path().join("state")).unwrap();
            let options = AuthorityOptions {
                trust_domain: "segwan.internal".parse().unwrap(),
                leaf_lifetime: LEAF_LIFETIME,
                renewal_grace: RENEWAL_GRACE,
            };
            let authority = Authority::open(&state, &options, NOW).await.unwrap();
            let app = Registration::new("app", Profile::Client);
            authority.register(&app, NOW).await.unwrap();
            let request = certificate_request(&PrivateKey::generate().unwrap()).unwrap();
            let issued = authority.issue_local("app", &request, NOW).await.unwrap();
            let issuer = &authority.issuing_keys().await.unwrap()[0].id;
            let (_, list) = authority.crl(issuer).await.unwrap().unwrap();
            let answer = serde_json::to_vec(&IssuedAnswer::from(&issued)).unwrap();
            let body = segwan_pki::api::der(&issued.trust.bundle.body, 1 << 20).unwrap();
            vec![issued.chain[0].clone(), request, list, body, answer]
        })
    })
}

/// Every reader; gives how many of them took it.
fn read(bytes: &[u8]) -> usize {
    let text = String::from_utf8_lossy(bytes);
    let taken = [
        Certificate::read(bytes).is_ok(),
        RequestedKey::read(bytes).is_ok(),
        Crl::read(bytes).is_ok(),
        Bundle::read(bytes).is_ok(),
        Token::parse(&text).is_ok(),
        serde_json::from_slice::<IssuedAnswer>(bytes).is_ok(),
        serde_json::from_slice::<EventLine>(bytes).is_ok(),
        serde_json::from_slice::<EnrollRequest>(bytes).is_ok(),
        serde_json::from_slice::<ReportRequest>(bytes).is_ok(),
    ];
    taken.iter().filter(|taken| **taken).count()
}

#[test]
fn every_sample_is_taken_by_its_own_reader_alone() {
    for sample in samples() {
        assert_eq!(read(sample), 1);
        assert_eq!(read(&sample[..sample.len() - 1]), 0);
    }
}

// PKI-63
#[test]
fn the_corpus_of_each_fuzzer_is_read_and_holds_what_its_reader_takes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for reader in ["token", "csr", "certificate", "crl", "bundle", "event_line", "api_body"] {
        let files = std::fs::read_dir(corpus.join(reader)).unwrap();
        let taken = files.map(|file| read(&std::fs::read(file.unwrap().path()).unwrap()));
        assert!(taken.sum::<usize>() > 0, "nothing in the corpus of {reader} is taken");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    // PKI-63
    #[test]
    fn arbitrary_bytes_are_refused_in_words(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert_eq!(read(&bytes), 0);
    }

    // PKI-63
    #[test]
    fn changed_bytes_make_no_reader_panic(
        sample in 0..5_usize,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut bytes = samples()[sample].clone();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        read(&bytes);
    }
}
