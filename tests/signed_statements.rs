//! `signature.jws.reuse_seconds`: which requests a JWS goes with that was signed for an earlier one. Whatever goes with a
//! request must be what a server accepts for it.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail loudly"
)]

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use certbound::{
    authenticate::{Outcome, Verdict, authenticate},
    client_cert::CertificateHeaderFormat,
    config::Config,
    headers::Headers,
    jws::SignedStatements,
    known_certificate::KnownCertificates,
    protected_resource::{self, Answer, Answers, Step},
    request::{Connection, Request},
    sanitise::HeaderChange,
    thumbprint::Thumbprint,
    trust::VerdictCache,
    verification::{self, Jws, Policy},
    verification_key::VerificationKey,
};
use demo_pki::{Identity, Pki};
use serde_json::{Value, json};

static PKI: LazyLock<Pki> = LazyLock::new(Pki::new);

/// 2030-01-01, within the validity of the demo's certificates.
const NOW: u64 = 1_893_456_000;
const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn configuration() -> Value {
    let pki = &*PKI;
    let pki_client = |client_id: &str| {
        json!({
            "client_id": client_id,
            "token_endpoint_auth_method": "tls_client_auth",
            "tls_client_auth_subject_dn": "CN=payments,O=Example Bank,C=SE",
        })
    };
    json!({
        "endpoints": [
            { "path": "/oauth/token", "methods": ["POST", "PUT"] },
            { "path": "/oauth/revoke" },
        ],
        "trust_anchors": { "clients": { "certificates": pki.get("client-ca").certificate_pem() } },
        "clients": [
            pki_client("payments"),
            pki_client("accounts"),
            pki_client("payments\",\"client_id\":\"accounts"),
            {
                "client_id": "partner-app",
                "token_endpoint_auth_method": "self_signed_tls_client_auth",
                "certificate_thumbprints": [pki.get("partner-app").thumbprint()],
            },
            {
                "client_id": "mobile",
                "token_endpoint_auth_method": "none",
                "tls_client_certificate_bound_access_tokens": true,
            },
        ],
        "protected_resources": [
            { "path_prefix": "/api/", "token": "bearer", "forward": ["certificate", "signature"] },
            {
                "path_prefix": "/opaque/",
                "token": "introspection",
                "introspection": {
                    "cluster": "as",
                    "path": "/introspect",
                    "authority": "as",
                    "client_id": "gateway",
                    "client_secret": { "value": "s3cret" },
                },
                "forward": ["certificate", "signature"],
            },
        ],
        "signature": {
            "jws": {
                "issuer": "https://proxy.example.com",
                "audience": "https://as.example.com",
                "reuse_seconds": 30,
            },
            "keys": [{ "kid": "1", "alg": "hmac-sha256", "key": { "value": SECRET } }],
        },
    })
}

/// Signs by RFC 9421 as well, a field that no JWS speaks of among others.
fn covered(configuration: &mut Value, field: &str) {
    let components = ["client-cert", field].into_iter().chain(Policy::REQUIRED);
    configuration["signature"]["http_message_signature"] =
        json!({ "components": components.collect::<Vec<_>>() });
}

fn config(configuration: &Value) -> Config {
    Config::parse(configuration.to_string().as_bytes(), &|_| None).unwrap()
}

/// A request as a client sends it.
#[derive(Clone)]
struct Sent {
    identity: Identity,
    method: &'static str,
    authority: &'static str,
    target: &'static str,
    fields: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
}

fn identity(name: &str) -> Identity {
    PKI.get(name).clone()
}

/// A request of this client at the token endpoint.
fn token(certificate: &str, client_id: &str) -> Sent {
    let client_id = client_id.replace('"', "%22").replace(',', "%2C").replace(':', "%3A");
    Sent {
        identity: identity(certificate),
        method: "POST",
        authority: "as.example.com",
        target: "/oauth/token",
        fields: vec![("content-type", b"application/x-www-form-urlencoded".into())],
        body: format!("grant_type=client_credentials&client_id={client_id}").into(),
    }
}

/// A request for a resource with a token that is bound to the certificate, with a signature that nobody looks at.
fn resource(certificate: &str, target: &'static str) -> Sent {
    let identity = identity(certificate);
    let claims = json!({ "cnf": { "x5t#S256": identity.thumbprint() } }).to_string();
    let token = format!("Bearer e30.{}.AA", base64url(claims.as_bytes()));
    let fields = vec![("authorization", token.into_bytes())];
    Sent { fields, method: "GET", target, body: Vec::new(), ..token_of(identity) }
}

fn token_of(identity: Identity) -> Sent {
    Sent { identity, ..token("payments", "payments") }
}

fn base64url(bytes: &[u8]) -> String {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// One worker of Envoy with one configuration, as far as it remembers anything.
struct Worker {
    config: Config,
    known: KnownCertificates,
    verdicts: VerdictCache,
    answers: Answers,
    statements: SignedStatements,
    drawn: u8,
}

impl Worker {
    fn new(configuration: &Value) -> Self {
        Self {
            config: config(configuration),
            known: KnownCertificates::default(),
            verdicts: VerdictCache::default(),
            answers: Answers::default(),
            statements: SignedStatements::default(),
            drawn: 0,
        }
    }

    fn request(&mut self, sent: &Sent, now: u64) -> Request {
        let digest = format!("{:x}", Thumbprint::of(&sent.identity.certificate_der));
        let pem = sent.identity.certificate_pem();
        let url_encoded = CertificateHeaderFormat::UrlencodedPem;
        let cert = url_encoded.certificate(&sent.identity.certificate_der, None);
        let xfcc = format!("Hash={digest};Cert=\"{cert}\"");
        let fields = [
            (":method", sent.method.into()),
            (":path", sent.target.into()),
            (":authority", sent.authority.into()),
            ("x-forwarded-client-cert", xfcc.into_bytes()),
        ];
        let fields = fields.into_iter().chain(sent.fields.clone());
        Request {
            connection: Connection {
                peer_certificate: Some(pem.into_bytes()),
                peer_certificate_valid: None,
                known_certificate: self.known.with_digest(digest.as_bytes()),
                sha256_peer_certificate_digest: Some(digest.into_bytes()),
            },
            headers: Headers(fields.map(|(name, value)| (name.to_owned(), value)).collect()),
            body: sent.body.clone(),
            verified_token: None,
            now,
        }
    }

    fn decide(&mut self, sent: &Sent, now: u64) -> Verdict {
        let request = self.request(sent, now);
        let Self { config, known, verdicts, answers, statements, drawn } = self;
        let random = &mut |buffer: &mut [u8]| {
            *drawn += 1;
            buffer.fill(*drawn);
            true
        };
        let resource = config.protected_resource_at(sent.target);
        let verdict = match resource.map(|index| &config.protected_resources[index]) {
            None => authenticate(config, &request, verdicts, statements, random),
            Some(resource) => {
                let step = protected_resource::check(
                    config, resource, &request, answers, statements, random,
                );
                match step {
                    Step::Done(verdict) => verdict,
                    Step::Introspect(_) => {
                        let thumbprint = sent.identity.thumbprint();
                        let said = json!({ "active": true, "cnf": { "x5t#S256": thumbprint } });
                        let said = said.to_string();
                        let (content_type, body) = (&b"application/json"[..], said.as_bytes());
                        let answer = Some(Answer { status: 200, content_type, body });
                        let (verdict, _) = protected_resource::conclude(
                            config, resource, &request, answer, statements, random,
                        );
                        verdict
                    }
                }
            }
        };
        known.remember(&verdict);
        verdict
    }

    fn refusal(&mut self, sent: &Sent, now: u64) -> &'static str {
        match self.decide(sent, now).outcome {
            Outcome::Denied(rejection) => rejection.reason.name(),
            outcome => panic!("{outcome:?}"),
        }
    }

    /// The header fields that are set for the server, and the JWS among them, which a server verified at that time.
    fn forwarded(&mut self, sent: &Sent, now: u64) -> (Headers, String, Jws) {
        let verdict = self.decide(sent, now);
        let Outcome::Allowed(changes) = verdict.outcome else { panic!("{verdict:?}") };
        let set = changes.into_iter().filter_map(|change| match change {
            HeaderChange::Set(name, value) => Some((name, value)),
            _ => None,
        });
        let pseudo =
            [(":method", sent.method), (":path", sent.target), (":authority", sent.authority)];
        let pseudo = pseudo.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let of_client = sent.fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let headers = Headers(pseudo.into_iter().chain(of_client).chain(set).collect());
        let text = headers.text("client-cert-jwt").unwrap().to_owned();
        let is_resource = self.config.protected_resource_at(sent.target).is_some();
        let required = match is_resource {
            true => Vec::new(),
            false => Policy::REQUIRED.map(str::to_owned).to_vec(),
        };
        let policy = Policy {
            label: "certbound",
            required: &required,
            certificate_header: "client-cert",
            jws_header: "client-cert-jwt",
            issuer: Some("https://proxy.example.com"),
            audience: Some("https://as.example.com"),
            now,
            leeway: 0,
        };
        let keys = VerificationKey::read(SECRET.as_bytes()).unwrap();
        let verified = verification::verify(&policy, &keys, &headers, &sent.body);
        let jws = verified.unwrap_or_else(|refusal| panic!("{refusal}: {headers:?}")).jws.unwrap();
        assert_eq!(jws.thumbprint, Thumbprint::of(&sent.identity.certificate_der));
        (headers, text, jws)
    }

    fn jws(&mut self, sent: &Sent, now: u64) -> String {
        self.forwarded(sent, now).1
    }
}

/// The base, a request for the same by each of its aspects that a JWS tells, and requests for resources.
fn different() -> Vec<Sent> {
    let payments = token("payments", "payments");
    let mut scoped = payments.clone();
    scoped.body.extend(b"&scope=accounts");
    vec![
        Sent { method: "PUT", ..payments.clone() },
        Sent { authority: "other.example.com", ..payments.clone() },
        Sent { target: "/oauth/revoke", ..payments.clone() },
        Sent { identity: identity("payments-rotated"), ..payments.clone() },
        payments,
        scoped,
        token("payments", "accounts"),
        token("payments", "payments\",\"client_id\":\"accounts"),
        // Whom the certificate does not authenticate.
        token("payments", "mobile"),
        token("partner-app", "mobile"),
        token("partner-app", "partner-app"),
        resource("payments", "/api/accounts"),
        resource("payments", "/api/payments"),
        resource("batch", "/api/accounts"),
        resource("payments", "/opaque/accounts"),
        resource("batch", "/opaque/accounts"),
    ]
}

#[test]
fn go_with_every_request_that_they_fit_and_with_no_other() {
    let mut with_certificate = configuration();
    with_certificate["signature"]["jws"]["x5c"] = json!(true);
    let mut told_by_xfcc = configuration();
    told_by_xfcc["certificate_source"] = json!("xfcc");
    for configuration in [configuration(), with_certificate, told_by_xfcc] {
        let mut worker = Worker::new(&configuration);
        let mut first: Vec<String> = Vec::new();
        for sent in different() {
            let jws = worker.jws(&sent, NOW);
            assert!(!first.contains(&jws), "{} {}", sent.method, sent.target);
            first.push(jws);
        }
        for (sent, first) in different().iter().zip(&first).rev() {
            assert_eq!(worker.jws(sent, NOW + 29), *first, "{} {}", sent.method, sent.target);
        }
    }
}

#[test]
fn tell_whether_the_certificate_authenticated_the_client() {
    let mut worker = Worker::new(&configuration());
    for _ in 0..2 {
        for (certificate, client_id, told) in [
            ("payments", "mobile", None),
            ("payments", "payments", Some("payments")),
            ("payments", "accounts", Some("accounts")),
        ] {
            let (_, _, jws) = worker.forwarded(&token(certificate, client_id), NOW);
            assert_eq!(jws.client_id.as_deref(), told);
        }
    }
}

/// The query is in no JWS, and the body of a request for a resource is not held.
#[test]
fn do_not_say_what_no_jws_says() {
    let mut worker = Worker::new(&configuration());
    let token = token("payments", "payments");
    let with_query = Sent { target: "/oauth/token?trace=1", ..token.clone() };
    assert_eq!(worker.jws(&token, NOW), worker.jws(&with_query, NOW));
    let get = resource("payments", "/api/accounts");
    let with_body = Sent { body: b"{}".into(), ..get.clone() };
    assert_eq!(worker.jws(&get, NOW), worker.jws(&with_body, NOW));
}

#[test]
fn live_as_long_as_if_they_had_been_sent_once() {
    let mut worker = Worker::new(&configuration());
    let sent = token("payments", "payments");
    let (_, text, first) = worker.forwarded(&sent, NOW);
    assert_eq!((first.issued_at, first.expires), (NOW, NOW + 60));
    // To be used does not prolong it.
    for later in [1, 10, 20, 29] {
        assert_eq!(worker.jws(&sent, NOW + later), text, "{later} seconds later");
    }
    let (_, renewed, second) = worker.forwarded(&sent, NOW + 30);
    assert_ne!(first.id, second.id);
    assert_eq!((second.issued_at, second.expires), (NOW + 30, NOW + 90));
    assert_eq!(worker.jws(&sent, NOW + 59), renewed);
    assert_ne!(worker.jws(&sent, NOW + 60), renewed);
}

#[test]
fn are_made_anew_when_the_clock_was_set_back() {
    let mut worker = Worker::new(&configuration());
    let sent = token("payments", "payments");
    let first = worker.jws(&sent, NOW);
    let (_, second, jws) = worker.forwarded(&sent, NOW - 1);
    assert_ne!(first, second);
    assert_eq!(jws.issued_at, NOW - 1);
}

#[test]
fn are_not_sent_again_unless_that_is_configured() {
    for reuse_seconds in [json!(0), Value::Null] {
        let mut configuration = configuration();
        configuration["signature"]["jws"]["reuse_seconds"] = reuse_seconds;
        let mut worker = Worker::new(&configuration);
        let sent = token("payments", "payments");
        assert_ne!(worker.jws(&sent, NOW), worker.jws(&sent, NOW));
    }
}

#[test]
fn let_nobody_in() {
    let mut worker = Worker::new(&configuration());
    worker.jws(&token("payments", "payments"), NOW);
    worker.jws(&token("partner-app", "partner-app"), NOW);
    for (certificate, client_id, now, reason) in [
        ("partner-app", "payments", NOW, "certificate_untrusted"),
        ("payments-rogue", "payments", NOW, "certificate_untrusted"),
        ("batch", "payments", NOW, "subject_mismatch"),
        ("payments", "partner-app", NOW, "certificate_not_registered"),
        ("payments", "payments", u64::from(u32::MAX), "certificate_expired"),
        ("payments", "payments", 0, "certificate_not_yet_valid"),
    ] {
        assert_eq!(worker.refusal(&token(certificate, client_id), now), reason);
    }
    let stolen = resource("payments", "/api/accounts");
    worker.jws(&stolen, NOW);
    let stolen = Sent { identity: identity("batch"), ..stolen };
    assert_eq!(worker.refusal(&stolen, NOW), "token_not_bound");
}

/// It goes to the server where `verify_name` says that it has expired.
#[test]
fn are_made_anew_once_the_certificate_has_expired() {
    let mut configuration = configuration();
    configuration["unregistered_clients"] = json!("forward");
    configuration["certificate_header"] = json!({ "verify_name": "ssl-client-verify" });
    covered(&mut configuration, "ssl-client-verify");
    let mut worker = Worker::new(&configuration);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    let sent = Sent { identity: PKI.short_lived(now, 10), ..token("payments", "a stranger") };
    let mut verdict_and_jws = |later: u64| {
        let (headers, jws, _) = worker.forwarded(&sent, NOW + later);
        (headers.text("ssl-client-verify").unwrap().to_owned(), jws)
    };
    let (verdict, first) = verdict_and_jws(0);
    assert_eq!(verdict, "SUCCESS");
    assert_eq!(verdict_and_jws(10), ("SUCCESS".into(), first.clone()));
    let (verdict, second) = verdict_and_jws(11);
    assert_eq!(verdict, "FAILED:certificate_expired");
    assert_ne!(first, second);
    assert_ne!(verdict_and_jws(11).1, second);
}

#[test]
fn are_none_of_requests_that_were_refused() {
    let mut configuration = configuration();
    covered(&mut configuration, "x-note");
    let mut worker = Worker::new(&configuration);
    let mut sent = token("payments", "payments");
    sent.fields.push(("x-note", b"J\xf6rg".into()));
    assert_eq!(worker.refusal(&sent, NOW), "body_unreadable");
    sent.fields.last_mut().unwrap().1 = b"Joerg".into();
    assert_eq!(worker.forwarded(&sent, NOW + 1).2.issued_at, NOW + 1);
}

#[test]
fn are_not_the_signatures_of_rfc_9421() {
    let mut configuration = configuration();
    configuration["signature"]["http_message_signature"] = json!({});
    let mut worker = Worker::new(&configuration);
    let sent = token("payments", "payments");
    let (first, jws, _) = worker.forwarded(&sent, NOW);
    let (second, again, _) = worker.forwarded(&sent, NOW);
    assert_eq!(jws, again);
    for name in ["signature", "signature-input"] {
        assert_ne!(first.text(name).unwrap(), second.text(name).unwrap());
    }
}

#[test]
fn are_not_printed() {
    let mut worker = Worker::new(&configuration());
    let jws = worker.jws(&token("payments", "payments"), NOW);
    let printed = format!("{:?}", worker.statements);
    assert!(!jws.split('.').any(|part| printed.contains(part)), "{printed}");
    assert!(!printed.contains("payments"), "{printed}");
}
