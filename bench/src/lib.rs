//! The requests whose decision is measured: what certbound decides on, and the part of the decision that needs no host.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "all input stands in this crate, so that a mistake in it had better be loud"
)]

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use certbound::{
    authenticate::{Outcome, Verdict, authenticate},
    client_cert::CertificateHeaderFormat,
    config::Config,
    headers::Headers,
    jws::SignedStatements,
    known_certificate::KnownCertificates,
    protected_resource::{self, Answers, Step},
    request::{Connection, Request},
    thumbprint::Thumbprint,
    trust::VerdictCache,
};
use demo_pki::{Identity, Key, Pki};
use serde_json::{Value, json};

/// 2030-01-01, within the validity of all that is made here.
pub const NOW: u64 = 1_893_456_000;

/// A request of one client, on a configuration.
pub struct Scenario {
    /// For the tables.
    pub name: &'static str,
    /// The plugin configuration.
    pub configuration: Value,
    /// What the client presents.
    pub identity: Identity,
    /// Header fields with pseudo-header fields, as Envoy hands them over.
    pub headers: Vec<(String, String)>,
    /// The body; empty for requests without one.
    pub body: &'static str,
}

/// Every kind of request that is measured.
pub fn scenarios() -> Vec<Scenario> {
    let message_signature = |key: Value| {
        let components = ["client-cert", "@method", "@authority", "@path", "content-digest"];
        json!({ "http_message_signature": { "components": components }, "keys": [key] })
    };
    let hmac = json!({ "kid": "1", "alg": "hmac-sha256", "key": {
        "value": "c2VjcmV0IHRoYXQgb25seSB0aGlzIGJlbmNobWFyayBrbm93cw==" } });
    let key = |alg: &str, key: Key| json!({ "kid": "1", "alg": alg, "key": { "value": key.to_pkcs8_pem() } });
    let ed25519 = key("ed25519", Key::ed25519("bench"));
    let ecdsa = key("ecdsa-p256-sha256", Key::p256("bench"));
    let issuer = "https://proxy.example.com";
    let jws = json!({ "jws": { "issuer": issuer, "audience": "https://as.example.com" }, "keys": [hmac] });
    let mut reused = jws.clone();
    reused["jws"]["reuse_seconds"] = json!(30);
    let with = |signature: Value| {
        let mut configuration = configuration(1);
        configuration["signature"] = signature;
        configuration
    };
    let mut resource = configuration(1);
    resource["protected_resources"] =
        json!([{ "path_prefix": "/api/", "token": "bearer", "forward": ["certificate"] }]);
    vec![
        Scenario::passing("neither endpoint nor resource"),
        Scenario::token("token, unsigned", configuration(1)),
        Scenario::token("token, unsigned, 10,000 clients", configuration(10_000)),
        Scenario::token("token, hmac-sha256", with(message_signature(hmac.clone()))),
        Scenario::token("token, JWS (HS256)", with(jws)),
        Scenario::token("token, JWS (HS256), reused", with(reused)),
        Scenario::token("token, ed25519", with(message_signature(ed25519))),
        Scenario::token("token, ecdsa-p256-sha256", with(message_signature(ecdsa))),
        Scenario::resource("bound token", resource),
    ]
}

/// A configuration with that many clients, of which `payments` is one.
pub fn configuration(clients: usize) -> Value {
    let other = |number: usize| {
        json!({
            "client_id": format!("client-{number}"),
            "token_endpoint_auth_method": "tls_client_auth",
            "tls_client_auth_subject_dn": format!("CN=client-{number},O=Example Bank,C=SE"),
        })
    };
    let mut registered = vec![json!({
        "client_id": "payments",
        "token_endpoint_auth_method": "tls_client_auth",
        "tls_client_auth_subject_dn": "CN=payments,O=Example Bank,C=SE",
    })];
    registered.extend((1..clients).map(other));
    json!({
        "endpoints": [{ "path": "/oauth/token" }],
        "trust_anchors": { "clients": { "certificates": Pki::new().get("client-ca").certificate_pem() } },
        "clients": registered,
    })
}

/// What src/filter holds and does, without its host.
pub struct Worker {
    config: Config,
    known_certificates: KnownCertificates,
    verdicts: VerdictCache,
    answers: Answers,
    statements: SignedStatements,
}

impl Worker {
    /// A worker to which no request has come yet.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            known_certificates: KnownCertificates::default(),
            verdicts: VerdictCache::default(),
            answers: Answers::default(),
            statements: SignedStatements::default(),
        }
    }

    /// Sanitises the header fields of a request and decides on it; `None` if there is nothing to decide.
    ///
    /// # Panics
    /// When the request is refused.
    pub fn handle(&mut self, mut request: Request) -> Option<Verdict> {
        let config = &self.config;
        let (method, target) = (request.headers.method(), request.headers.target());
        let sanitised = config.sanitiser.changes(&request.headers);
        assert!(config.jwk_set_response(&method, &target).is_none() && !sanitised.is_empty());
        let is_endpoint = config.is_endpoint(&method, &target);
        let resource = config.protected_resource_at(&target);
        if !is_endpoint && resource.is_none() {
            return None;
        }
        let digest = request.connection.sha256_peer_certificate_digest.as_deref();
        request.connection.known_certificate =
            digest.and_then(|digest| self.known_certificates.with_digest(digest));
        let random = &mut |buffer: &mut [u8]| {
            buffer.fill(7);
            true
        };
        let verdict = match resource.and_then(|index| config.protected_resources.get(index)) {
            None => {
                let Self { verdicts, statements, .. } = self;
                authenticate(config, &request, verdicts, statements, random)
            }
            Some(resource) => {
                match protected_resource::check(
                    config,
                    resource,
                    &request,
                    &mut self.answers,
                    &mut self.statements,
                    random,
                ) {
                    Step::Done(verdict) => verdict,
                    Step::Introspect(_) => panic!("there is nobody here to be asked"),
                }
            }
        };
        assert!(matches!(verdict.outcome, Outcome::Allowed(_)), "{verdict:?}");
        self.known_certificates.remember(&verdict);
        Some(verdict)
    }
}

impl Scenario {
    fn passing(name: &'static str) -> Self {
        Self::new(name, configuration(1), "GET", "/authorize?client_id=portal", &[], "")
    }

    fn token(name: &'static str, configuration: Value) -> Self {
        let form = "grant_type=client_credentials&client_id=payments&scope=accounts";
        let fields =
            [("content-type", "application/x-www-form-urlencoded"), ("content-length", "63")];
        Self::new(name, configuration, "POST", "/oauth/token", &fields, form)
    }

    fn resource(name: &'static str, configuration: Value) -> Self {
        let pki = Pki::new();
        let token = bound_token(pki.get("payments"));
        let authorization = format!("Bearer {token}");
        let fields = [("authorization", authorization.as_str())];
        Self::new(name, configuration, "GET", "/api/accounts", &fields, "")
    }

    fn new(
        name: &'static str,
        configuration: Value,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &'static str,
    ) -> Self {
        let identity = Pki::new().get("payments").clone();
        let presented = forwarded_chain(&identity);
        let envoys = [
            (":authority", "as.example.com"),
            (":path", path),
            (":method", method),
            (":scheme", "https"),
            ("user-agent", "curl/8.5.0"),
            ("accept", "*/*"),
            ("x-forwarded-proto", "https"),
            ("x-request-id", "5b3c5b4e-7e1c-4c9a-9f5c-0d5b8f6f3d5e"),
            ("x-forwarded-client-cert", presented.as_str()),
        ];
        let headers = envoys.iter().chain(fields);
        let headers = headers.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { name, configuration, headers: headers.collect(), identity, body }
    }

    /// The configuration as the filter holds it.
    ///
    /// # Panics
    /// When it is wrong.
    pub fn config(&self) -> Config {
        let bytes = self.configuration.to_string();
        Config::parse(bytes.as_bytes(), &|_| None).unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// The request as the filter holds it.
    pub fn request(&self) -> Request {
        let fields = self.headers.iter();
        Request {
            connection: Connection {
                peer_certificate: Some(self.identity.certificate_pem().into_bytes()),
                peer_certificate_valid: Some(true),
                sha256_peer_certificate_digest: Some(hex_digest(&self.identity).into_bytes()),
                known_certificate: None,
            },
            headers: Headers(
                fields.map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect(),
            ),
            body: self.body.into(),
            verified_token: None,
            now: NOW,
        }
    }
}

/// `connection.sha256_peer_certificate_digest`.
fn hex_digest(identity: &Identity) -> String {
    format!("{:x}", Thumbprint::of(&identity.certificate_der))
}

/// `x-forwarded-client-cert` as Envoy writes it with `chain: true`.
fn forwarded_chain(identity: &Identity) -> String {
    let chain = CertificateHeaderFormat::UrlencodedPem.chain(&identity.chain_der);
    format!("Hash={};Chain=\"{chain}\"", hex_digest(identity))
}

/// An access token that is bound to the certificate, with a signature that nobody looks at.
fn bound_token(identity: &Identity) -> String {
    let claims = json!({ "sub": "payments", "cnf": { "x5t#S256": identity.thumbprint() } });
    format!("e30.{}.AA", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()))
}
