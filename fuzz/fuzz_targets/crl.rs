//! CRLs, in DER as in a PEM section.
#![no_main]

use std::sync::LazyLock;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use certbound::trust::{TrustAnchors, UnknownRevocationStatus};
use demo_pki::Pki;
use libfuzzer_sys::fuzz_target;

static ANCHORS: LazyLock<String> = LazyLock::new(|| Pki::new().get("client-ca").certificate_pem());

fuzz_target!(|data: &[u8]| {
    let pem = format!("-----BEGIN X509 CRL-----\n{}\n-----END X509 CRL-----\n", BASE64_STANDARD.encode(data));
    for text in [String::from_utf8_lossy(data), pem.into()] {
        let _ = TrustAnchors::new(&ANCHORS, None, Some(&text), UnknownRevocationStatus::Deny);
    }
});
