//! Certificate paths and revocation lists.

use std::sync::LazyLock;

use certbound::{
    certificate::Certificate,
    trust::{TrustAnchors, UnknownRevocationStatus, VerdictCache},
};
use data_encoding::BASE64;
use demo_pki::Pki;

use crate::NOW;

struct Fixture {
    authority: String,
    anchors: TrustAnchors,
    issued: Vec<Vec<u8>>,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let pki = Pki::new();
    let authority = pki.get("client-ca").certificate_pem();
    let names = pki.to_json();
    let names = names.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    // Those that lack something get it from the input.
    let issued = names.filter(|name| pki.is_trusted(name) || name.starts_with("via-"));
    Fixture {
        anchors: TrustAnchors::new(&authority, None, None, UnknownRevocationStatus::Deny)
            .expect("it is a CA"),
        authority,
        issued: issued.map(|name| pki.get(name).certificate_der.clone()).collect(),
    }
});

/// Chains that a client presents: two bytes before each certificate say how long it is. Only a certificate that the
/// demo's CA, or its intermediate, really issued may find a path.
pub(crate) fn chain(input: &[u8]) {
    let mut certificates = Vec::new();
    let mut rest = input;
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
        let is_genuine = FIXTURE.issued.iter().any(|issued| issued == end_entity.der());
        assert!(is_genuine, "a forged certificate found a path");
    }
}

/// CRLs, in DER as in a PEM section.
pub(crate) fn crl(input: &[u8]) {
    let pem =
        format!("-----BEGIN X509 CRL-----\n{}\n-----END X509 CRL-----\n", BASE64.encode(input));
    for text in [String::from_utf8_lossy(input), pem.into()] {
        let _ =
            TrustAnchors::new(&FIXTURE.authority, None, Some(&text), UnknownRevocationStatus::Deny);
    }
}
