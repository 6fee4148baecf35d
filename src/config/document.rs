//! The configuration as it is written: one type per object of the reference, unknown keys refused. What the values mean is
//! checked in the parent module.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    #[serde(default)]
    pub(super) certificate_header: CertificateHeader,
    #[serde(default)]
    pub(super) certificate_source: super::CertificateSource,
    pub(super) client_id_header: Option<String>,
    #[serde(default)]
    /// Read one by one as [`Client`], since their unknown keys are judged by name.
    pub(super) clients: Vec<Value>,
    pub(super) discovery: Option<Discovery>,
    pub(super) endpoints: Vec<Each<Endpoint>>,
    #[serde(default)]
    pub(super) enforcement: super::Enforcement,
    #[serde(default)]
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) protected_resources: Vec<Each<ProtectedResource>>,
    pub(super) signature: Option<Signature>,
    pub(super) thumbprint_header: Option<String>,
    #[serde(default)]
    pub(super) trust_anchors: BTreeMap<String, TrustAnchors>,
    #[serde(default)]
    pub(super) unregistered_clients: super::UnregisteredClients,
    pub(super) upstream_authentication: Option<UpstreamAuthentication>,
}

/// An element of a list that is read on its own, so that every faulty element is reported and not only the first.
pub(super) struct Each<T>(pub(super) Result<T, Fault>);

/// Where in an element it is wrong, and how.
pub(super) struct Fault {
    pub(super) path: String,
    pub(super) message: String,
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Each<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(Self(read(value)))
    }
}

/// Deserializes a value and says where it is wrong.
pub(super) fn read<T: DeserializeOwned>(value: Value) -> Result<T, Fault> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        Fault {
            path: if path == "." { String::new() } else { path },
            message: in_plain_words(&error.into_inner().to_string()),
        }
    })
}

/// serde says what it expected in the names of Rust's types.
fn in_plain_words(message: &str) -> String {
    message
        .replace("expected usize", "expected a number")
        .replace("expected u64", "expected a number")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Endpoint {
    pub(super) path: Option<String>,
    pub(super) path_prefix: Option<String>,
    pub(super) methods: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProtectedResource {
    pub(super) path: Option<String>,
    pub(super) path_prefix: Option<String>,
    pub(super) token: Token,
    #[serde(default)]
    pub(super) require: super::Requirement,
    #[serde(default)]
    pub(super) forward: BTreeSet<Forwarded>,
    pub(super) payload_in_metadata: Option<String>,
    pub(super) introspection: Option<Introspection>,
}

#[derive(Clone, Copy, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Token {
    Bearer,
    Introspection,
    JwtAuthn,
}

#[derive(Clone, Copy, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "snake_case")]
pub(super) enum Forwarded {
    Certificate,
    Signature,
    Thumbprint,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Introspection {
    pub(super) cluster: String,
    pub(super) path: String,
    pub(super) authority: String,
    pub(super) client_id: String,
    pub(super) client_secret: Secret,
    pub(super) timeout_milliseconds: Option<u64>,
    pub(super) max_cache_seconds: Option<u64>,
    pub(super) replace_token_by: Option<ReplacementToken>,
}

#[derive(Clone, Copy, Deserialize)]
pub(super) enum ReplacementToken {
    #[serde(rename = "application/jwt")]
    Jwt,
    #[serde(rename = "application/token-introspection+jwt")]
    TokenIntrospectionJwt,
}

/// Client metadata (RFC 7591 §2, RFC 8705 §2); other names are judged by the parent module.
#[derive(Deserialize)]
pub(super) struct Client {
    pub(super) client_id: String,
    pub(super) token_endpoint_auth_method: AuthMethod,
    pub(super) certificate_thumbprints: Option<Vec<String>>,
    pub(super) jwks: Option<Jwks>,
    #[serde(default)]
    pub(super) tls_client_certificate_bound_access_tokens: bool,
    pub(super) tls_client_auth_san_dns: Option<String>,
    pub(super) tls_client_auth_san_email: Option<String>,
    pub(super) tls_client_auth_san_ip: Option<String>,
    pub(super) tls_client_auth_san_uri: Option<String>,
    pub(super) tls_client_auth_subject_dn: Option<String>,
    pub(super) trust_anchors: Option<Vec<String>>,
    pub(super) upstream_client_secret: Option<Secret>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrustAnchors {
    pub(super) certificates: String,
    pub(super) intermediates: Option<String>,
    pub(super) crls: Option<String>,
    #[serde(default)]
    pub(super) unknown_revocation_status: UnknownRevocationStatus,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum UnknownRevocationStatus {
    Allow,
    #[default]
    Deny,
}

/// The OAuth Token Endpoint Authentication Methods registry.
#[derive(Clone, Copy, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum AuthMethod {
    ClientSecretBasic,
    ClientSecretJwt,
    ClientSecretPost,
    None,
    PrivateKeyJwt,
    SelfSignedTlsClientAuth,
    TlsClientAuth,
}

#[derive(Deserialize)]
pub(super) struct Jwks {
    pub(super) keys: Vec<Map<String, Value>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CertificateHeader {
    #[serde(default)]
    pub(super) format: Format,
    pub(super) name: Option<String>,
    pub(super) chain_name: Option<String>,
    pub(super) verify_name: Option<String>,
    pub(super) max_bytes: Option<usize>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    Base64Der,
    Pem,
    #[default]
    Rfc9440,
    Traefik,
    UrlencodedPem,
    Xfcc,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signature {
    pub(super) http_message_signature: Option<HttpMessageSignature>,
    pub(super) jws: Option<Jws>,
    pub(super) jwks_path: Option<String>,
    pub(super) keys: Vec<Each<Key>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpMessageSignature {
    pub(super) label: Option<String>,
    pub(super) components: Option<Vec<String>>,
    pub(super) lifetime_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Jws {
    pub(super) name: Option<String>,
    pub(super) issuer: String,
    pub(super) audience: String,
    pub(super) lifetime_seconds: Option<u64>,
    #[serde(default)]
    pub(super) x5c: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    pub(super) kid: String,
    pub(super) alg: Algorithm,
    pub(super) key: Secret,
}

#[derive(Clone, Copy, Deserialize)]
pub(super) enum Algorithm {
    #[serde(rename = "ecdsa-p256-sha256")]
    EcdsaP256Sha256,
    #[serde(rename = "ed25519")]
    Ed25519,
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UpstreamAuthentication {
    pub(super) basic: Option<BasicCredentials>,
    pub(super) header: Option<HeaderCredential>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BasicCredentials {
    pub(super) username: String,
    pub(super) password: Secret,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderCredential {
    pub(super) name: String,
    pub(super) value: Secret,
}

/// A secret by the name of an environment variable, or as it is. Has no `Debug`, so that it cannot be printed.
pub(super) enum Secret {
    Env(String),
    Value(String),
}

/// By hand, since derived code quotes what it cannot read.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Value::deserialize(deserializer)?;
        let members: Vec<_> = written.as_object().into_iter().flatten().collect();
        match members.as_slice() {
            [(key, Value::String(name))] if *key == "env" => Ok(Self::Env(name.clone())),
            [(key, Value::String(text))] if *key == "value" => Ok(Self::Value(text.clone())),
            _ => Err(serde::de::Error::custom(
                "not a secret: write exactly one of `{ env: NAME }` and `{ value: … }`, in quotation marks where YAML would read a number",
            )),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Discovery {
    pub(super) paths: Vec<String>,
    pub(super) mtls_origin: String,
    pub(super) tls_client_certificate_bound_access_tokens: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) max_body_bytes: Option<usize>,
    pub(super) max_chain_certificates: Option<usize>,
}
