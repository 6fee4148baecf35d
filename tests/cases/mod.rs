//! The cases in this directory: what a client sends on which configuration, and what must become of it in every host.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a case that is not in the format had better say so and end the tests"
)]

pub(crate) mod certificate_forms;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use demo_pki::{Identity, Pki};
use serde::Deserialize;
use serde_json::Value;

/// Names and values of header or trailer fields, in order; names in lower case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(pub(crate) Vec<(Vec<u8>, Vec<u8>)>);

impl Fields {
    /// All values of a field as an application sees them.
    pub(crate) fn joined(&self, name: &str) -> Option<String> {
        let values = self.0.iter().filter(|(known, _)| known == name.as_bytes());
        let values: Vec<_> = values.map(|(_, value)| String::from_utf8_lossy(value)).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }
}

/// A file: cases that share a configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaseFile {
    #[serde(skip)]
    pub(crate) name: String,
    pub(crate) configuration: Value,
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    /// Whether Envoy is told to write what the client presented into `x-forwarded-client-cert`
    /// (`forward_client_cert_details: SANITIZE_SET`, `cert: true`, `chain: true`); otherwise it lets that field through.
    #[serde(default)]
    tells_chain: bool,
    /// Whether the emulated Envoy is one before 1.38, which has no attribute with the certificate. A real one always has.
    #[serde(default)]
    pub(crate) lacks_attribute: bool,
    pub(crate) cases: Vec<Case>,
}

impl CaseFile {
    /// Reads all files.
    ///
    /// # Panics
    /// When one is not in the format.
    pub(crate) fn read_all(pki: &Pki) -> Vec<Self> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
        let entries = fs::read_dir(directory).expect("the directory of this file");
        let mut paths: Vec<PathBuf> =
            entries.map(|entry| entry.expect("it is readable").path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        let read = |path: &PathBuf| {
            let fail =
                |error: &dyn std::error::Error| -> ! { panic!("{}: {error}", path.display()) };
            let json = fs::read(path).unwrap_or_else(|error| fail(&error));
            let json = serde_json::from_slice(&json).unwrap_or_else(|error| fail(&error));
            let file: Self =
                serde_json::from_value(resolve(json, pki)).unwrap_or_else(|error| fail(&error));
            let name = path.file_stem().expect("it has an extension").to_string_lossy();
            Self { name: name.into_owned(), ..file }
        };
        paths.iter().map(read).collect()
    }

    /// The header fields of a request without pseudo-headers, as Envoy hands them over.
    pub(crate) fn headers(&self, case: &Case, pki: &Pki) -> Fields {
        let mut headers = case.request.headers();
        if self.tells_chain {
            let name = b"x-forwarded-client-cert";
            headers.0.retain(|(known, _)| known != name);
            let presented = case.certificate.iter();
            let presented =
                presented.map(|name| certificate_forms::xfcc(pki.get(name), true).into_bytes());
            headers.0.extend(presented.map(|value| (name.to_vec(), value)));
        }
        headers
    }
}

/// Replaces every `@kind:NAME` by what the PKI has for the name. `@crl:` and the forms of certificates take several names,
/// joined by `+`.
fn resolve(value: Value, pki: &Pki) -> Value {
    match value {
        Value::String(text) => {
            let reference = text.strip_prefix('@').and_then(|reference| reference.split_once(':'));
            match reference {
                Some(("x5t#S256", name)) => pki.get(name).thumbprint().into(),
                Some(("x5c", name)) => pki.get(name).x5c().into(),
                Some(("jwk", name)) => pki.get(name).key.to_jwk(),
                Some(("xfcc", name)) => certificate_forms::xfcc(pki.get(name), true).into(),
                Some(("xfcc_without_chain", name)) => {
                    certificate_forms::xfcc(pki.get(name), false).into()
                }
                Some(("bearer", name)) => format!("Bearer {}", bound_token(pki.get(name))).into(),
                Some(("dpop", name)) => format!("DPoP {}", bound_token(pki.get(name))).into(),
                Some(("crl", names)) => {
                    names.split('+').map(|name| pki.crl(name)).collect::<String>().into()
                }
                Some((form, names)) => {
                    let certificates: Vec<&[u8]> = names
                        .split('+')
                        .map(|name| pki.get(name).certificate_der.as_slice())
                        .collect();
                    certificate_forms::written(form, &certificates)
                        .unwrap_or_else(|| panic!("@{form} is no reference to the PKI"))
                        .into()
                }
                None => text.into(),
            }
        }
        Value::Array(values) => values.into_iter().map(|value| resolve(value, pki)).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (name, resolve(value, pki))).collect()
        }
        other => other,
    }
}

/// An access token that is bound to a certificate (RFC 8705 §3.1), with a signature that nobody looks at.
fn bound_token(identity: &Identity) -> String {
    let claims = serde_json::json!({ "cnf": { "x5t#S256": identity.thumbprint() } });
    format!("e30.{}.AA", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// The identity that the client presents.
    pub(crate) certificate: Option<String>,
    pub(crate) request: Request,
    pub(crate) expect: Expectation,
    hosts: Option<Vec<String>>,
    #[serde(rename = "why")]
    _why_not_all_hosts: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    #[serde(default = "post")]
    pub(crate) method: String,
    #[serde(default = "token_endpoint")]
    pub(crate) path: String,
    #[serde(default)]
    headers: Vec<(String, FieldValue)>,
    pub(crate) form: Option<String>,
    body: Option<String>,
    body_base64: Option<String>,
    trailers: Option<Vec<(String, FieldValue)>>,
}

fn post() -> String {
    "POST".to_owned()
}

fn token_endpoint() -> String {
    "/oauth/token".to_owned()
}

#[derive(Deserialize)]
#[serde(untagged)]
enum FieldValue {
    Text(String),
    Bytes { base64: String },
}

impl Request {
    /// The header fields without pseudo-headers.
    pub(crate) fn headers(&self) -> Fields {
        let mut headers = fields(&self.headers);
        if self.form.is_some() {
            headers
                .0
                .push((b"content-type".to_vec(), b"application/x-www-form-urlencoded".to_vec()));
        }
        headers
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        let text = self.form.as_ref().or(self.body.as_ref());
        match (text, &self.body_base64) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(base64)) => from_base64(base64),
            (None, None) => Vec::new(),
        }
    }

    pub(crate) fn trailers(&self) -> Option<Fields> {
        self.trailers.as_deref().map(fields)
    }
}

fn fields(fields: &[(String, FieldValue)]) -> Fields {
    let bytes = |value: &FieldValue| match value {
        FieldValue::Text(text) => text.clone().into_bytes(),
        FieldValue::Bytes { base64 } => from_base64(base64),
    };
    let field = |(name, value): &(String, FieldValue)| {
        (name.to_ascii_lowercase().into_bytes(), bytes(value))
    };
    Fields(fields.iter().map(field).collect())
}

fn from_base64(base64: &str) -> Vec<u8> {
    BASE64_STANDARD.decode(base64).expect("a case's base64")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expectation {
    pub(crate) outcome: Option<String>,
    pub(crate) reason: Option<String>,
    status: u16,
    error: Option<String>,
    client_id: Option<String>,
    #[serde(default)]
    upstream: BTreeMap<String, Option<String>>,
    #[serde(default)]
    headers: BTreeMap<String, Option<String>>,
}

/// What became of a request in one host.
#[derive(Default)]
pub(crate) struct Observed {
    pub(crate) outcome: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) client_id: Option<String>,
    /// certbound's own answer.
    pub(crate) response: Option<Response>,
    /// The header fields and trailers that reached the server.
    pub(crate) upstream: Option<Fields>,
}

pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Fields,
    pub(crate) body: Vec<u8>,
}

impl Case {
    pub(crate) fn runs_in(&self, host: &str) -> bool {
        self.hosts.as_ref().is_none_or(|hosts| hosts.iter().any(|name| name == host))
    }

    /// What is wrong with what became of the request.
    pub(crate) fn problems(&self, observed: &Observed, pki: &Pki) -> Vec<String> {
        let expect = &self.expect;
        let mut problems = Vec::new();
        let mut compare = |what: &str, expected: Option<&str>, observed: Option<&str>| {
            if expected != observed {
                problems.push(format!("{what}: {observed:?} instead of {expected:?}"));
            }
        };
        compare("outcome", expect.outcome.as_deref(), observed.outcome.as_deref());
        compare("reason", expect.reason.as_deref(), observed.reason.as_deref());
        if expect.client_id.is_some() {
            compare("client_id", expect.client_id.as_deref(), observed.client_id.as_deref());
        }
        let status = observed.response.as_ref().map_or(200, |response| response.status);
        compare("status", Some(&expect.status.to_string()), Some(&status.to_string()));
        if let Some(response) = &observed.response {
            let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
            let header = |name| response.headers.joined(name);
            compare("error", expect.error.as_deref(), body["error"].as_str());
            let media_type = expect.error.as_deref().map(|_| "application/json");
            compare("content-type", media_type, header("content-type").as_deref());
            compare("cache-control", Some("no-store"), header("cache-control").as_deref());
            compare("pragma", Some("no-cache"), header("pragma").as_deref());
            for (name, value) in &expect.headers {
                compare(name, value.as_deref(), header(name).as_deref());
            }
            compare("the server", None, observed.upstream.as_ref().map(|_| "got the request"));
        }
        if let Some(upstream) = &observed.upstream {
            for (name, value) in &expect.upstream {
                compare(
                    &format!("{name} at the server"),
                    value.as_deref(),
                    upstream.joined(name).as_deref(),
                );
            }
            for credential in self.unearned_credentials(upstream, pki) {
                compare("credential at the server", None, Some(&credential));
            }
        }
        problems
    }

    /// Fields that could pass for a certificate: none may reach the server but those of the presented one.
    fn unearned_credentials(&self, upstream: &Fields, pki: &Pki) -> Vec<String> {
        let presented = self.certificate.as_deref().map(|name| pki.get(name));
        let genuine = match &self.expect {
            Expectation { outcome: Some(outcome), .. } if outcome == "allowed" => {
                presented.map_or_else(Vec::new, certificate_forms::all)
            }
            _ => Vec::new(),
        };
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let fields = upstream.0.iter().map(|(name, value)| (text(name), text(value)));
        let credentials = fields.filter(|(name, _)| name.contains("cert"));
        let unearned = credentials.filter(|(_, value)| !genuine.contains(value));
        unearned.map(|(name, value)| format!("{name}: {value}")).collect()
    }
}
