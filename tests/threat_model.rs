//! docs/threat-model.md names what proves each line: the tests and cases that it names exist.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may fail loudly")]

use std::{fs, path::Path};

#[test]
fn every_proof_exists() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let text = fs::read_to_string(directory.join("threat-model.md")).unwrap();
    let mut proofs = 0;
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let before = proofs;
        // Each is a link to its file, under its name.
        let mut links = line.split("](");
        let mut text = links.next().unwrap();
        for rest in links {
            let (_, name) = text.rsplit_once('[').unwrap();
            let (file, after) = rest.split_once(')').unwrap();
            let content = fs::read_to_string(directory.join(file));
            assert!(content.is_ok_and(|content| content.contains(name)), "{file} has no {name:?}");
            proofs += 1;
            text = after;
        }
        let is_heading = line.starts_with("| | attacker");
        assert!(is_heading || proofs > before, "nothing proves this: {line}");
    }
    assert!(proofs > 0, "there are no proofs");
}
