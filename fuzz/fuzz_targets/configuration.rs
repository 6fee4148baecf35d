//! Plugin configurations, as JSON and as a serialised Struct.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| certbound_oracles::run("configuration", input));
