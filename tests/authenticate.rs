//! The cases of `tests/cases`, decided natively.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may fail loudly")]

mod cases;

use std::{collections::BTreeMap, time::SystemTime};

use cases::{Case, CaseFile, Fields, Observed, Response, certificate_forms::hex_digest};
use certbound::{
    authenticate::{Outcome, Verdict, authenticate},
    config::Config,
    headers::Headers,
    jws::SignedStatements,
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
        known_certificate: None,
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

/// A certificate that is known costs less, and changes no answer.
mod a_known_certificate {
    use certbound::known_certificate::KnownCertificates;
    use demo_pki::Key;
    use serde_json::{Value, json};

    use super::*;

    /// 2030-01-01, within the validity of the demo's certificates.
    const NOW: u64 = 1_893_456_000;

    fn configuration(change: Value) -> Config {
        let pki = Pki::new();
        let mut configuration = json!({
            "endpoints": [{ "path": "/oauth/token" }],
            "trust_anchors": { "clients": {
                "certificates": pki.get("client-ca").certificate_pem(),
                "intermediates": pki.get("intermediate-ca").certificate_pem(),
            } },
            "clients": [
                {
                    "client_id": "payments",
                    "token_endpoint_auth_method": "tls_client_auth",
                    "tls_client_auth_subject_dn": "CN=payments,O=Example Bank,C=SE",
                },
                {
                    "client_id": "via-intermediate",
                    "token_endpoint_auth_method": "tls_client_auth",
                    "tls_client_auth_subject_dn": "CN=via-intermediate",
                },
                {
                    "client_id": "partner-app",
                    "token_endpoint_auth_method": "self_signed_tls_client_auth",
                    "certificate_thumbprints": [pki.get("partner-app").thumbprint()],
                },
            ],
        });
        configuration.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        Config::parse(configuration.to_string().as_bytes(), &|_| None).unwrap()
    }

    /// One worker of Envoy, as far as it remembers anything.
    #[derive(Default)]
    struct Worker {
        known: KnownCertificates,
        verdicts: VerdictCache,
        statements: SignedStatements,
    }

    impl Worker {
        fn decide(
            &mut self,
            config: &Config,
            certificate: &str,
            client_id: &str,
            now: u64,
        ) -> Verdict {
            let pki = Pki::new();
            let identity = pki.get(certificate);
            let digest = hex_digest(identity).into_bytes();
            let known_certificate = self.known.with_digest(&digest);
            let is_known = known_certificate.is_some();
            // What is presented besides the certificate changes with time.
            let xfcc = cases::certificate_forms::xfcc(identity, now.is_multiple_of(2));
            let fields = [
                (":method", "POST"),
                (":path", "/oauth/token"),
                (":authority", "as.example.com"),
                ("content-type", "application/x-www-form-urlencoded"),
                ("x-forwarded-client-cert", &xfcc),
            ];
            let request = Request {
                connection: Connection {
                    peer_certificate: (!is_known).then(|| identity.certificate_pem().into()),
                    peer_certificate_valid: None,
                    sha256_peer_certificate_digest: Some(digest),
                    known_certificate,
                },
                headers: Headers(
                    fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).into(),
                ),
                body: format!("client_id={client_id}&state={now}").into_bytes(),
                verified_token: None,
                now,
            };
            let Self { verdicts, statements, .. } = self;
            let verdict = authenticate(config, &request, verdicts, statements, &mut |_| true);
            self.known.remember(&verdict);
            verdict
        }
    }

    fn signature(key: Value) -> Value {
        json!({ "signature": { "http_message_signature": {}, "keys": [key] } })
    }

    fn hmac_key() -> Value {
        let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        json!({ "kid": "1", "alg": "hmac-sha256", "key": { "value": key } })
    }

    #[test]
    fn is_forwarded_and_signed_like_one_that_is_new() {
        let ed25519 = Key::ed25519("signing").to_pkcs8_pem();
        let ed25519 = json!({ "kid": "1", "alg": "ed25519", "key": { "value": ed25519 } });
        let hmac = |components: Value| {
            json!({ "signature": {
                "http_message_signature": { "components": components }, "keys": [hmac_key()] } })
        };
        let mut with_chain = signature(hmac_key());
        with_chain["certificate_header"] =
            json!({ "format": "xfcc", "chain_name": "x-forwarded-client-cert" });
        let changes = [
            json!({}),
            json!({ "certificate_header": { "format": "urlencoded_pem", "chain_name": "x-chain" } }),
            signature(hmac_key()),
            hmac(json!(["client-cert", "@method", "content-digest"])),
            hmac(json!(["@method", "client-cert", "content-digest"])),
            hmac(json!(["\"client-cert\";bs", "@path"])),
            signature(ed25519),
            with_chain,
        ];
        for change in changes {
            let config = configuration(change.clone());
            let mut worker = Worker::default();
            for round in 0..3 {
                for name in ["payments", "via-intermediate", "partner-app", "payments-rotated"] {
                    let client_id = name.trim_end_matches("-rotated");
                    let now = NOW + round;
                    let verdict = worker.decide(&config, name, client_id, now);
                    let of_new = Worker::default().decide(&config, name, client_id, now);
                    assert!(matches!(verdict.outcome, Outcome::Allowed(_)), "{verdict:?}");
                    assert_eq!(verdict.outcome, of_new.outcome, "{name}, {round}: {change}");
                }
            }
        }
    }

    #[test]
    fn is_judged_anew_for_every_request() {
        let config = configuration(json!({}));
        let mut worker = Worker::default();
        for (certificate, client_id, now, reason) in [
            ("payments", "payments", NOW, None),
            ("partner-app", "partner-app", NOW, None),
            ("payments", "partner-app", NOW, Some("certificate_not_registered")),
            ("partner-app", "payments", NOW, Some("certificate_untrusted")),
            ("payments", "nobody", NOW, Some("client_not_registered")),
            ("payments", "payments", u64::from(u32::MAX), Some("certificate_expired")),
            ("partner-app", "partner-app", u64::from(u32::MAX), Some("certificate_expired")),
            ("payments", "payments", 0, Some("certificate_not_yet_valid")),
            ("payments", "payments", NOW, None),
        ] {
            let verdict = worker.decide(&config, certificate, client_id, now);
            let found = match &verdict.outcome {
                Outcome::Allowed(_) => None,
                Outcome::Denied(rejection) | Outcome::Reported(rejection, _) => {
                    Some(rejection.reason.name())
                }
            };
            assert_eq!(found, reason, "{certificate} for {client_id} at {now}");
        }
    }

    #[test]
    fn is_one_that_was_let_in() {
        let config = configuration(json!({}));
        let mut worker = Worker::default();
        let pki = Pki::new();
        worker.decide(&config, "payments-rogue", "payments", NOW);
        worker.decide(&config, "payments", "payments", NOW);
        let mut is_known =
            |name: &str| worker.known.with_digest(hex_digest(pki.get(name)).as_bytes()).is_some();
        assert!(is_known("payments") && !is_known("payments-rogue"));
    }

    #[test]
    fn is_found_by_its_own_digest_only() {
        let config = configuration(json!({}));
        let mut worker = Worker::default();
        worker.decide(&config, "payments", "payments", NOW);
        let digest = hex_digest(Pki::new().get("payments"));
        assert!(worker.known.with_digest(digest.as_bytes()).is_some());
        let other = format!("{}0", digest.strip_suffix(|_: char| true).unwrap());
        let upper = digest.to_uppercase();
        for digest in [other.as_str(), &upper, "", digest.get(..63).unwrap(), "payments"] {
            assert!(worker.known.with_digest(digest.as_bytes()).is_none(), "{digest}");
        }
        // Whoever hands over one with another digest is not believed.
        let known_certificate = worker.known.with_digest(digest.as_bytes());
        let connection = Connection {
            sha256_peer_certificate_digest: Some(hex_digest(Pki::new().get("batch")).into_bytes()),
            known_certificate,
            ..Connection::default()
        };
        let fields = [
            (":method", "POST"),
            (":path", "/oauth/token"),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        let request = Request {
            connection,
            headers: Headers(
                fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).into(),
            ),
            body: b"client_id=payments".to_vec(),
            now: NOW,
            verified_token: None,
        };
        let Worker { verdicts, statements, .. } = &mut Worker::default();
        let verdict = authenticate(&config, &request, verdicts, statements, &mut |_| true);
        assert!(matches!(verdict.outcome, Outcome::Denied(_)), "{verdict:?}");
    }
}
