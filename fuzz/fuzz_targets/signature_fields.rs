//! `Signature-Input` and `Signature`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| certbound_oracles::run("signature_fields", input));
