//! Envoy's x-forwarded-client-cert.
#![no_main]

use certbound::{pem, xfcc};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for element in xfcc::parse(text).iter().flatten() {
        if let Some(chain) = element.value("Chain") {
            let _ = pem::peer_certificate_chain(chain.as_bytes());
        }
    }
});
