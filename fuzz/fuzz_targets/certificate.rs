//! Certificates, as DER and as Envoy hands them over.
#![no_main]

use certbound::{certificate::Certificate, pem};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(der) = pem::peer_certificate(data) {
        let _ = Certificate::from_der(der);
    }
    if let Ok(certificate) = Certificate::from_der(data.to_vec()) {
        assert_eq!(certificate.der(), data);
        let _ = certificate.subject().to_string();
    }
});
