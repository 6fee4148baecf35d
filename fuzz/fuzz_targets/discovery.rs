//! Metadata documents of servers.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| certbound_oracles::run("discovery", input));
