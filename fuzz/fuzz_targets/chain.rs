//! Chains that a client presents: the first byte of each certificate's place says how much of the input it takes. Only a
//! certificate that the demo's CA, or its intermediate, really issued may find a path.
#![no_main]

use std::sync::LazyLock;

use certbound::{
    certificate::Certificate,
    trust::{TrustAnchors, UnknownRevocationStatus, VerdictCache},
};
use demo_pki::Pki;
use libfuzzer_sys::fuzz_target;

struct Fixture {
    anchors: TrustAnchors,
    issued: Vec<Vec<u8>>,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let pki = Pki::new();
    let anchors = pki.get("client-ca").certificate_pem();
    let issued = ["payments", "payments-rotated", "payments-no-eku", "batch", "multi-rdn", "via-intermediate"];
    Fixture {
        anchors: TrustAnchors::new(&anchors, None, None, UnknownRevocationStatus::Deny).expect("it is a CA"),
        issued: issued.map(|name| pki.get(name).certificate_der.clone()).to_vec(),
    }
});

/// 2030-01-01: every certificate of the demo that is not expired is valid.
const NOW: u64 = 1_893_456_000;

fuzz_target!(|data: &[u8]| {
    let mut certificates = Vec::new();
    let mut rest = data;
    while let Some((length, tail)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(tail.len());
        let (certificate, tail) = tail.split_at(length);
        certificates.push(certificate.to_vec());
        rest = tail;
    }
    if certificates.is_empty() {
        return;
    }
    let Ok(end_entity) = Certificate::from_der(certificates.remove(0)) else { return };
    let verdict = VerdictCache::default().verify(&FIXTURE.anchors, &end_entity, &certificates, NOW);
    if verdict.is_ok() {
        assert!(FIXTURE.issued.iter().any(|issued| issued == end_entity.der()), "a forged certificate found a path");
    }
});
