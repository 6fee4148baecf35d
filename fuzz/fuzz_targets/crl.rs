//! CRLs, in DER as in a PEM section.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| certbound_oracles::run("crl", input));
