//! Certificates, as DER and as Envoy hands them over.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| certbound_oracles::run("certificate", input));
