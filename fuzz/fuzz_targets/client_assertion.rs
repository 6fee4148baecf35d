//! JWTs that authenticate clients.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| certbound_oracles::run("client_assertion", input));
