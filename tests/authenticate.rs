//! The cases of `tests/cases`, decided natively.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may fail loudly")]

mod cases;

use std::{collections::BTreeMap, time::SystemTime};

use cases::{Case, CaseFile, Fields, Observed, Response, certificate_forms::hex_digest};
use certbound::{
    authenticate::{Outcome, Verdict, authenticate},
    basic,
    config::Config,
    headers::Headers,
    protected_resource::{self, Answers, Step},
    rejection::{Place, Reason, Rejection},
    request::{Connection, Request},
    sanitise::HeaderChange,
    trust::VerdictCache,
};
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

fn apply(headers: &mut Headers, changes: Vec<HeaderChange>) {
    for change in changes {
        let (name, value) = match change {
            HeaderChange::Remove(name) => (name, None),
            HeaderChange::Set(name, value) => (name, Some(value)),
            HeaderChange::SetCredential(name, credential) => {
                (name, Some(credential.value().as_bytes().to_vec()))
            }
        };
        headers.0.retain(|(field, _)| *field != name);
        headers.0.extend(value.map(|value| (name, value)));
    }
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
    let mut upstream = received.clone();
    apply(&mut upstream, config.sanitiser.changes(&received));
    let mut trailers = headers(case.request.trailers().unwrap_or_default());
    let trailer_changes = config.sanitiser.trailer_changes(&trailers);
    apply(&mut trailers, trailer_changes);

    let mut observed = Observed::default();
    let scheme = received.values("authorization").next().map(|value| basic::scheme(value).to_vec());
    let at_endpoint = config.is_endpoint(&received.method(), &received.target());
    let resource = config.protected_resource_at(&received.target());
    let resource = resource.and_then(|index| config.protected_resources.get(index));
    let body = case.request.body();
    let is_held = at_endpoint || protected_resource::needs_body(&received);
    let connection = connection(file, case, pki);
    let is_too_long = is_held && body.len() > config.max_body_bytes;
    let request = Request { connection, headers: received, body, now, verified_token: None };
    let place = match at_endpoint {
        true => Place::Endpoint { scheme: scheme.as_deref() },
        false => Place::ProtectedResource,
    };
    let judged = match (at_endpoint, resource) {
        (false, None) => None,
        _ if is_too_long => {
            Some(Verdict::refused(config, Rejection::new(Reason::BodyTooLarge, ""), place))
        }
        (true, _) => Some(authenticate(config, &request, verdicts, &mut |_| true)),
        (false, Some(resource)) => {
            match protected_resource::check(
                config,
                resource,
                &request,
                &mut Answers::default(),
                &mut |_| true,
            ) {
                Step::Done(verdict) => Some(verdict),
                Step::Introspect(_) => panic!("{}: natively nobody answers", case.name),
            }
        }
    };
    if let Some(verdict) = judged {
        observed.client_id = verdict.client_id;
        let outcome = match verdict.outcome {
            Outcome::Allowed(changes) => {
                apply(&mut upstream, changes);
                "allowed"
            }
            Outcome::Denied(rejection) => {
                observed.reason = Some(rejection.reason.name().to_owned());
                let response = rejection.response(place);
                let bytes = |text: &str| text.as_bytes().to_vec();
                let fields = response.headers.iter();
                observed.response = Some(Response {
                    status: response.status,
                    headers: Fields(
                        fields.map(|(name, value)| (bytes(name), bytes(value))).collect(),
                    ),
                    body: response.body.into_bytes(),
                });
                "denied"
            }
            Outcome::Reported(rejection, changes) => {
                apply(&mut upstream, changes);
                observed.reason = Some(rejection.reason.name().to_owned());
                "reported"
            }
        };
        observed.outcome = Some(outcome.to_owned());
    }
    if observed.response.is_none() {
        let fields = upstream.0.into_iter().chain(trailers.0);
        observed.upstream =
            Some(Fields(fields.map(|(name, value)| (name.into_bytes(), value)).collect()));
    }
    observed
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
