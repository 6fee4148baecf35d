//! RFC 4514 text.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| certbound_oracles::run("distinguished_name", input));
