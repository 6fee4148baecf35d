//! The cases of `tests/cases`, decided natively.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may fail loudly")]

mod cases;

use std::{collections::BTreeMap, time::SystemTime};

use cases::{Case, CaseFile, Fields, Observed, Response, certificate_forms::hex_digest};
use certbound::{
    authenticate::Outcome,
    config::Config,
    headers::Headers,
    request::{Connection, Request},
    trust::VerdictCache,
};
use certbound_oracles::filter;
use demo_pki::Pki;

fn config(file: &CaseFile) -> Config {
    let environment: &BTreeMap<String, String> = &file.environment;
    Config::parse(file.configuration.to_string().as_bytes(), &|name| environment.get(name).cloned())
        .unwrap_or_else(|errors| panic!("{}: {errors}", file.name))
}

fn connection(file: &CaseFile, case: &Case, pki: &Pki) -> Connection {
    let Some(name) = case.certificate.as_deref() else { return Connection::default() };
    let identity = pki.get(name);
    Connection {
        peer_certificate: (!file.lacks_attribute).then(|| identity.certificate_pem().into_bytes()),
        peer_certificate_valid: (!file.lacks_attribute).then(|| pki.is_trusted(name)),
        sha256_peer_certificate_digest: Some(hex_digest(identity).into_bytes()),
    }
}

fn headers(fields: Fields) -> Headers {
    Headers(
        fields
            .0
            .into_iter()
            .map(|(name, value)| (String::from_utf8(name).unwrap(), value))
            .collect(),
    )
}

fn observe(
    file: &CaseFile,
    config: &Config,
    verdicts: &mut VerdictCache,
    case: &Case,
    pki: &Pki,
    now: u64,
) -> Observed {
    let mut received = headers(file.headers(case, pki));
    for (name, value) in [
        (":method", case.request.method.as_str()),
        (":path", case.request.path.as_str()),
        (":authority", "as.example.com"),
    ] {
        received.0.push((name.to_owned(), value.as_bytes().to_vec()));
    }
    let trailers = headers(case.request.trailers().unwrap_or_default());
    let request = Request {
        connection: connection(file, case, pki),
        headers: received,
        body: case.request.body(),
        now,
        verified_token: None,
    };
    let handled = filter::handle(config, verdicts, &request, &trailers);
    let (outcome, reason) = match handled.verdict.as_ref().map(|verdict| &verdict.outcome) {
        None => (None, None),
        Some(Outcome::Allowed(_)) => (Some("allowed"), None),
        Some(Outcome::Denied(rejection)) => (Some("denied"), Some(rejection.reason.name())),
        Some(Outcome::Reported(rejection, _)) => (Some("reported"), Some(rejection.reason.name())),
    };
    let bytes = |text: &str| text.as_bytes().to_vec();
    let response = handled.response.map(|response| Response {
        status: response.status,
        headers: Fields(
            response.headers.iter().map(|(name, value)| (bytes(name), bytes(value))).collect(),
        ),
        body: response.body.into_bytes(),
    });
    let upstream = handled.upstream.map(|(headers, trailers)| {
        let fields = headers.0.into_iter().chain(trailers.0);
        Fields(fields.map(|(name, value)| (name.into_bytes(), value)).collect())
    });
    Observed {
        outcome: outcome.map(str::to_owned),
        reason: reason.map(str::to_owned),
        client_id: handled.verdict.and_then(|verdict| verdict.client_id),
        response,
        upstream,
    }
}

#[test]
fn every_case_is_decided_as_expected() {
    let pki = Pki::new();
    #[allow(clippy::disallowed_methods, reason = "the cases are about certificates valid today")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let mut problems = Vec::new();
    let mut decided = 0;
    for file in CaseFile::read_all(&pki) {
        let config = config(&file);
        let mut verdicts = VerdictCache::default();
        for case in file.cases.iter().filter(|case| case.runs_in("native")) {
            decided += 1;
            let observed = observe(&file, &config, &mut verdicts, case, &pki, now);
            for problem in case.problems(&observed, &pki) {
                problems.push(format!("{}: {}: {problem}", file.name, case.name));
            }
        }
    }
    assert!(decided > 0, "there are no cases");
    assert!(problems.is_empty(), "{} problems\n{}", problems.len(), problems.join("\n"));
}
