//! Envoy's x-forwarded-client-cert.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| certbound_oracles::run("xfcc", input));
