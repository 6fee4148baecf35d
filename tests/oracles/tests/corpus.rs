//! The inputs that are kept in `fuzz/corpus`, through the oracles of the fuzz targets.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may fail loudly")]

use std::{collections::BTreeSet, fs, path::Path};

use certbound_oracles::{
    ORACLES,
    decision::{Seen, decide},
};

fn inputs(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let entries =
        fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    entries.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
}

#[test]
fn every_kept_input_holds() {
    for (name, oracle) in ORACLES {
        let inputs = inputs(name);
        assert!(!inputs.is_empty(), "fuzz/corpus/{name} has no inputs");
        inputs.iter().for_each(|input| oracle(input));
    }
}

#[test]
fn every_oracle_has_a_fuzz_target_and_every_fuzz_target_an_oracle() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let targets = fs::read_dir(directory.join("fuzz_targets")).unwrap();
    let targets = targets
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned());
    assert_eq!(targets.collect::<BTreeSet<_>>(), ORACLES.map(|(name, _)| name.to_owned()).into());
}

#[test]
fn kept_requests_meet_every_fate_under_every_configuration() {
    let inputs = inputs("decision");
    let word = |input: &[u8]| {
        String::from_utf8_lossy(input).split(' ').next().unwrap_or_default().to_owned()
    };
    let seen =
        inputs.iter().filter_map(|input| Some((word(input), format!("{:?}", decide(input)?))));
    let seen: BTreeSet<_> = seen.collect();
    for deployment in ["envoy", "forward", "pass", "report", "signed", "xfcc"] {
        for fate in [Seen::Passed, Seen::Refused, Seen::Plain, Seen::WithCertificate] {
            assert!(
                seen.contains(&(deployment.to_owned(), format!("{fate:?}"))),
                "{deployment}: none is {fate:?}"
            );
        }
    }
}
