//! What must hold for any input, by readings that share no code with certbound's.
//!
//! The fuzz targets of `fuzz/` run these oracles on generated inputs; the tests beside this crate run them on the inputs
//! that are kept in `fuzz/corpus`, and on generated requests.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a finding is a panic"
)]

pub mod decision;
pub mod filter;
mod formats;
mod identification;
mod readings;
mod signature_fields;
mod structured_field;
mod trust;

use sha2::{Digest as _, Sha256};

/// An oracle, which panics on a finding.
pub type Oracle = fn(&[u8]);

/// Every oracle, by the name of its fuzz target and corpus.
pub const ORACLES: [(&str, Oracle); 12] = [
    ("basic", identification::basic),
    ("certificate", formats::certificate),
    ("chain", trust::chain),
    ("client_assertion", identification::client_assertion),
    ("configuration", formats::configuration),
    ("crl", trust::crl),
    ("decision", |input| _ = decision::decide(input)),
    ("discovery", formats::discovery),
    ("distinguished_name", formats::distinguished_name),
    ("form", identification::form),
    ("signature_fields", signature_fields::sanitise),
    ("xfcc", formats::xfcc),
];

/// Runs the oracle of a fuzz target.
///
/// # Panics
/// On a finding, and when there is none of this name.
pub fn run(name: &str, input: &[u8]) {
    let (_, oracle) = ORACLES.iter().find(|(known, _)| *known == name).expect("a name of the list");
    oracle(input);
}

/// 2030-01-01: every certificate of the demo that is not expired is valid.
const NOW: u64 = 1_893_456_000;

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
