//! docs/troubleshooting.md has a section for every reason, with lines that the filter writes.

use std::{collections::BTreeMap, fs, path::Path};

use certbound::rejection::Reason;

use super::{protected_resources::introspecting, *};

/// Lines of the page, each with the reason that it is about.
type Examples = BTreeMap<String, String>;

/// Most certificates of the demo PKI are made anew for each run.
fn without_thumbprint(line: &str) -> String {
    let words = line.split(' ').filter(|word| !word.starts_with("thumbprint="));
    words.collect::<Vec<_>>().join(" ")
}

/// Reads the page's sections, which must be those of all reasons.
fn examples() -> Examples {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/troubleshooting.md");
    let page = fs::read_to_string(page).expect("it is there");
    let (_, rest) = page.split_once("\n## Reasons\n").expect("there is such a heading");
    let (reasons, _) = rest.split_once("\n## ").expect("another heading follows");
    let sections: Vec<(&str, &str)> =
        reasons.split("\n### ").skip(1).filter_map(|section| section.split_once('\n')).collect();

    let mut names = Reason::ALL.map(Reason::name);
    names.sort_unstable();
    let titles: Vec<&str> = sections.iter().map(|(title, _)| *title).collect();
    assert_eq!(titles, names, "a section for each reason, in alphabetical order");

    let mut examples = Examples::new();
    for (reason, text) in sections {
        let before = examples.len();
        for line in text.lines().filter(|line| line.contains(" reason=")) {
            assert!(line.starts_with(&format!("denied reason={reason} ")), "in {reason}: {line}");
            examples.insert(without_thumbprint(line), reason.to_owned());
        }
        assert!(examples.len() > before, "{reason} has no example");
    }
    examples
}

/// Takes away what was logged.
fn strike_out(examples: &mut Examples, log: &[LogLine]) {
    for line in log {
        examples.remove(&without_thumbprint(&line.message));
    }
}

#[test]
fn every_reason_has_a_section_with_true_examples() {
    let mut examples = examples();
    for file in CaseFile::read_all(pki()) {
        let environment: Vec<_> = file.environment.clone().into_iter().collect();
        let mut envoy = None;
        for case in file.cases.iter().filter(|case| case.runs_in("wasm")) {
            if examples.values().any(|reason| case.expect.reason.as_ref() == Some(reason)) {
                let envoy = envoy.get_or_insert_with(|| {
                    Envoy::start(file.configuration.to_string().as_bytes(), &environment)
                        .unwrap_or_else(|log| panic!("{} is refused: {log:#?}", file.name))
                });
                strike_out(&mut examples, &every_case::exchange(&file, case, envoy).log);
            }
        }
    }
    // What no case can bring about.
    for (status, body) in [(504, ""), (200, r#"{"active":false}"#)] {
        let status = HeaderMap::with_status(status);
        let mut envoy = introspecting();
        protected_resources::exchange(&mut envoy, "payments", status, body);
        strike_out(&mut examples, envoy.log());
    }
    let failing =
        presenting("payments").failing("connection.peer_certificate", Status::InternalFailure);
    let failed = start(&configuration()).exchange(&failing, &token_request(["client_id=payments"]));
    strike_out(&mut examples, &failed.log);

    assert!(examples.is_empty(), "the filter does not write these lines: {examples:#?}");
}
