//! The plugin configuration: from Envoy's bytes to values of which every part is known to make sense.

mod certificate_header;
mod clients;
mod discovery;
mod document;
mod protected_resources;
#[cfg(not(target_arch = "wasm32"))]
mod schema;
mod secret;
mod signature;
mod summary;
mod trust_anchors;
mod upstream_authentication;
mod value;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt,
};

#[cfg(not(target_arch = "wasm32"))]
use schemars::JsonSchema;
use serde::Deserialize;
#[cfg(not(target_arch = "wasm32"))]
use serde::Serialize;

use crate::{
    client::{Client, ClientAuthMethod, Trust},
    discovery::Discovery,
    endpoint::{Endpoint, PathMatch, is_ambiguous, normalise_path, split_target},
    response::Response,
    sanitise::{Sanitiser, folded},
    trust::{MAXIMUM_CHAIN_CERTIFICATES, TrustAnchors},
    upstream_authentication::UpstreamAuthentication,
};
pub use certificate_header::{CertificateHeader, ChainHeader};
use document::{Document, Each, Fault};
pub use protected_resources::{
    Introspection, ProtectedResource, ReplacementToken, Requirement, TokenSource,
};
#[cfg(not(target_arch = "wasm32"))]
pub use schema::json_schema;
pub use signature::Signature;

/// A configuration that holds together.
#[derive(Clone, Debug)]
pub struct Config {
    /// How the certificate goes to the server.
    pub certificate_header: CertificateHeader,
    /// Where Envoy tells the certificate.
    pub certificate_source: CertificateSource,
    /// Lower-case name of the header for the authenticated `client_id`.
    pub client_id_header: Option<String>,
    /// Registered clients by `client_id`.
    pub clients: HashMap<String, Client>,
    /// Their identifiers without letter case and surrounding white space.
    folded_client_ids: HashSet<String>,
    relies_on_envoys_verdict: bool,
    /// Which documents tell clients of mutual TLS.
    pub discovery: Option<Discovery>,
    /// Where clients authenticate.
    pub endpoints: Vec<Endpoint>,
    /// Whether refusals refuse.
    pub enforcement: Enforcement,
    /// The longest body that is held, in bytes.
    pub max_body_bytes: usize,
    /// Where access tokens are used.
    pub protected_resources: Vec<ProtectedResource>,
    /// Removes what clients must not write.
    pub sanitiser: Sanitiser,
    /// How and with which key the certificate header is signed.
    pub signature: Option<Signature>,
    /// The most certificates that a client may present, its own included.
    pub max_chain_certificates: usize,
    /// Lower-case name of the header for `x5t#S256`.
    pub thumbprint_header: Option<String>,
    /// Sets of trust anchors by name. Clients hold those that they are bound to.
    pub trust_anchors: BTreeMap<String, TrustAnchors>,
    /// What becomes of clients that are not registered.
    pub unregistered_clients: UnregisteredClients,
    /// How the proxy authenticates itself to the server.
    pub upstream_authentication: Option<UpstreamAuthentication>,
}

/// `certificate_source`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[cfg_attr(not(target_arch = "wasm32"), derive(JsonSchema, Serialize))]
#[serde(rename_all = "snake_case")]
pub enum CertificateSource {
    /// The attribute `connection.peer_certificate`, which Envoy has since 1.38.
    #[default]
    Connection,
    /// `Cert` of the one element of `x-forwarded-client-cert`, for Envoy before 1.38. It needs
    /// `forward_client_cert_details: SANITIZE_SET` and `set_current_client_cert_details: { cert: true, chain: true }`.
    Xfcc,
}

/// `enforcement`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[cfg_attr(not(target_arch = "wasm32"), derive(JsonSchema, Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Enforcement {
    /// Refusals are answered.
    #[default]
    Enforce,
    /// Refusals are logged and counted; the request goes on without certificate. A failure of the host is refused all the
    /// same.
    Report,
}

/// `unregistered_clients`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[cfg_attr(not(target_arch = "wasm32"), derive(JsonSchema, Serialize))]
#[serde(rename_all = "snake_case")]
pub enum UnregisteredClients {
    /// They are refused.
    #[default]
    Deny,
    /// They go to the server with the certificate, if it verifies to any set of `trust_anchors` (or Envoy verified it, if
    /// there are none). One that does not verify goes with them only if `certificate_header.verify_name` tells the server
    /// so; otherwise as with `pass`.
    Forward,
    /// They go to the server without certificate.
    Pass,
}

const DEFAULT_LABEL: &str = "certbound";
const DEFAULT_METHOD: &str = "POST";
const MAX_BODY_BYTES: Bounds<usize> = Bounds { default: 65_536, minimum: 1, maximum: 1_048_576 };
const MAX_CHAIN_CERTIFICATES: Bounds<usize> =
    Bounds { default: MAXIMUM_CHAIN_CERTIFICATES, minimum: 1, maximum: MAXIMUM_CHAIN_CERTIFICATES };

/// Which numbers may be written, and which counts if none is.
struct Bounds<T> {
    default: T,
    minimum: T,
    maximum: T,
}

impl Config {
    /// Reads a configuration as Envoy hands it to the plugin: JSON text or a serialised `google.protobuf.Struct`. `env`
    /// looks up environment variables.
    ///
    /// # Errors
    /// With everything that is wrong, each with the path of its key.
    pub fn parse(bytes: &[u8], env: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        let at_top = |fault: Fault| ConfigErrors(vec![ConfigError::new(fault.path, fault.message)]);
        let value = value::parse(bytes)
            .map_err(|message| at_top(Fault { path: String::new(), message }))?;
        let document: Document = document::read(value).map_err(at_top)?;
        let mut errors = Vec::new();
        let config = compile(document, env, &mut errors);
        match config {
            Some(config) if errors.is_empty() => Ok(config),
            _ => Err(ConfigErrors(errors)),
        }
    }

    /// Whether a request is for one of the endpoints.
    pub fn is_endpoint(&self, method: &str, target: &str) -> bool {
        let (path, _) = split_target(target);
        let path = normalise_path(path);
        self.endpoints.iter().any(|endpoint| endpoint.matches(method, &path))
    }

    /// The answer to a request for the public keys of the signatures, if it is one.
    pub fn jwk_set_response(&self, method: &str, target: &str) -> Option<Response> {
        self.signature.as_ref()?.jwk_set.as_ref()?.response(method, target)
    }

    /// The place in [`Self::protected_resources`] of the one that a request target may be for: the first that any server
    /// might take it for.
    pub fn protected_resource_at(&self, target: &str) -> Option<usize> {
        if self.protected_resources.is_empty() {
            return None;
        }
        let (path, _) = split_target(target);
        self.protected_resources.iter().position(|resource| resource.path.may_be(path))
    }

    /// Whether it is Envoy that verifies certificates: without trust anchors, where there are clients whose certificates need
    /// it.
    pub fn relies_on_envoys_verdict(&self) -> bool {
        self.relies_on_envoys_verdict
    }

    /// Who must have verified the certificate of a client that is not registered: any set of trust anchors, or Envoy if
    /// there is none.
    pub fn trust_in_unregistered(&self) -> Trust {
        if self.trust_anchors.is_empty() {
            Trust::Envoy
        } else {
            Trust::Anchors(self.trust_anchors.values().cloned().collect())
        }
    }

    /// Whether a `client_id` that is not registered differs from one that is only in letter case or surrounding white
    /// space, so that a server with such a collation would find the registered client.
    pub fn is_lookalike_of_registered(&self, client_id: &str) -> bool {
        self.folded_client_ids.contains(&folded_client_id(client_id))
    }
}

fn folded_client_id(client_id: &str) -> String {
    client_id.trim().to_ascii_lowercase()
}

/// Turns what is written into what is meant. `None` only after an error has been added.
fn compile(
    document: Document,
    env: &dyn Fn(&str) -> Option<String>,
    errors: &mut Vec<ConfigError>,
) -> Option<Config> {
    let endpoints = compile_endpoints(document.endpoints, errors);
    let trust_anchors = trust_anchors::compile(document.trust_anchors, errors);
    let clients = clients::compile(document.clients, &trust_anchors, env, errors);
    let max_body_bytes = in_range(
        document.limits.max_body_bytes,
        MAX_BODY_BYTES.default,
        MAX_BODY_BYTES.minimum..=MAX_BODY_BYTES.maximum,
        "limits.max_body_bytes",
        errors,
    );
    let max_chain_certificates = in_range(
        document.limits.max_chain_certificates,
        MAX_CHAIN_CERTIFICATES.default,
        MAX_CHAIN_CERTIFICATES.minimum..=MAX_CHAIN_CERTIFICATES.maximum,
        "limits.max_chain_certificates",
        errors,
    );
    let mut names = HeaderNames { taken: BTreeSet::new(), errors };
    let certificate_header = certificate_header::compile(document.certificate_header, &mut names);
    let client_id_header =
        document.client_id_header.map(|name| names.claim("client_id_header", name));
    let thumbprint_header =
        document.thumbprint_header.map(|name| names.claim("thumbprint_header", name));
    let upstream_authentication = document.upstream_authentication.and_then(|authentication| {
        upstream_authentication::compile(authentication, env, &mut names)
    });
    if let Some(UpstreamAuthentication::Basic(_)) = upstream_authentication {
        clients::require_free_authorization(&clients, names.errors);
    }
    let secret_header = match &upstream_authentication {
        Some(UpstreamAuthentication::Header(name, _)) => Some(name.as_str()),
        _ => None,
    };
    let ours: Vec<&str> = certificate_header
        .names()
        .chain([client_id_header.as_deref(), thumbprint_header.as_deref()].into_iter().flatten())
        .collect();
    let protected_resources = protected_resources::compile(
        document.protected_resources,
        &endpoints,
        (thumbprint_header.is_some(), document.signature.is_some()),
        env,
        names.errors,
    );
    let signature = match document.signature {
        Some(signature) => Some(signature::compile(signature, &ours, &endpoints, env, &mut names)?),
        None => None,
    };
    let discovery = document.discovery.map(|written| {
        let auth_methods = discovery::auth_methods(
            clients.values(),
            document.unregistered_clients,
            certificate_header.verify_name.is_some(),
        );
        let jwk_set = signature.as_ref().and_then(|signature| signature.jwk_set.as_ref());
        discovery::compile(written, &endpoints, jwk_set, auth_methods, names.errors)
    });
    let trust_anchors = trust_anchors.into_readable();
    let has_certificates_to_verify = document.unregistered_clients == UnregisteredClients::Forward
        || clients
            .values()
            .any(|client| matches!(client.method, ClientAuthMethod::TlsClientAuth(..)));
    let message_signature =
        signature.as_ref().and_then(|signature| signature.http_message_signature.as_ref());
    let jws = signature.as_ref().and_then(|signature| signature.jws.as_ref());
    Some(Config {
        sanitiser: Sanitiser::new(
            ours.iter().copied().chain(secret_header).chain(jws.map(|jws| jws.name.as_str())),
            certificate_header.numbered_prefix(),
            message_signature.map_or(DEFAULT_LABEL, |signature| &signature.label),
        ),
        certificate_header,
        certificate_source: document.certificate_source,
        client_id_header,
        folded_client_ids: clients.keys().map(|client_id| folded_client_id(client_id)).collect(),
        relies_on_envoys_verdict: trust_anchors.is_empty() && has_certificates_to_verify,
        clients,
        discovery,
        endpoints,
        enforcement: document.enforcement,
        max_body_bytes,
        max_chain_certificates,
        protected_resources,
        signature,
        thumbprint_header,
        trust_anchors,
        unregistered_clients: document.unregistered_clients,
        upstream_authentication,
    })
}

/// Takes what could be read out of a list and reports the rest.
fn readable<T>(
    elements: Vec<Each<T>>,
    list: &'static str,
    errors: &mut Vec<ConfigError>,
) -> Vec<(String, T)> {
    let mut read = Vec::new();
    for (index, Each(element)) in elements.into_iter().enumerate() {
        let path = format!("{list}[{index}]");
        match element {
            Ok(element) => read.push((path, element)),
            Err(fault) if fault.path.is_empty() => {
                errors.push(ConfigError::new(path, fault.message));
            }
            Err(fault) => {
                errors.push(ConfigError::new(format!("{path}.{}", fault.path), fault.message));
            }
        }
    }
    read
}

fn compile_endpoints(
    written: Vec<Each<document::Endpoint>>,
    errors: &mut Vec<ConfigError>,
) -> Vec<Endpoint> {
    if written.is_empty() {
        errors.push(ConfigError::new(
            "endpoints",
            "the list is empty, so that no client would ever be authenticated: write `- path: /oauth/token`, the path of the token endpoint",
        ));
    }
    let mut endpoints = Vec::new();
    for (at, endpoint) in readable(written, "endpoints", errors) {
        let (key, path) = match (&endpoint.path, &endpoint.path_prefix) {
            (Some(path), None) => ("path", path),
            (None, Some(prefix)) => ("path_prefix", prefix),
            _ => {
                errors.push(ConfigError::new(at, "write exactly one of `path` and `path_prefix`"));
                continue;
            }
        };
        let normalised = compile_path(format!("{at}.{key}"), path, errors);
        let methods = endpoint.methods.unwrap_or_else(|| vec![DEFAULT_METHOD.into()]);
        if methods.is_empty() || methods.iter().any(|method| !is_method(method)) {
            errors.push(ConfigError::new(
                format!("{at}.methods"),
                "not a list of request methods: write `[POST]`, in upper case",
            ));
        }
        endpoints.push(Endpoint {
            path: if key == "path" {
                PathMatch::Exact(normalised)
            } else {
                PathMatch::Prefix(normalised)
            },
            methods,
        });
    }
    endpoints
}

/// The normal form of a path, which it must have already.
fn compile_path(at: String, path: &str, errors: &mut Vec<ConfigError>) -> String {
    let normalised = normalise_path(path);
    if is_ambiguous(path) {
        errors.push(ConfigError::new(
            at,
            "servers differ in what this path is: write it without `;`, backslashes, double and escaped slashes",
        ));
    } else if !path.starts_with('/') || path.contains(['?', '#']) || !path.is_ascii() {
        errors.push(ConfigError::new(
            at,
            "not a path: write it from the first `/`, without query and fragment, other than ASCII percent-encoded",
        ));
    } else if normalised != *path {
        errors.push(ConfigError::new(
            at,
            format!("no request would match, since requests are compared in normal form: write `{normalised}`"),
        ));
    }
    normalised.into_owned()
}

fn is_method(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
}

fn in_range<T: Copy + PartialOrd + fmt::Display>(
    written: Option<T>,
    default: T,
    range: std::ops::RangeInclusive<T>,
    path: &str,
    errors: &mut Vec<ConfigError>,
) -> T {
    let value = written.unwrap_or(default);
    if !range.contains(&value) {
        errors.push(ConfigError::new(
            path,
            format!("out of range: write a number from {} to {}", range.start(), range.end()),
        ));
    }
    value
}

/// Gives out header names, each once.
struct HeaderNames<'a> {
    taken: BTreeSet<String>,
    errors: &'a mut Vec<ConfigError>,
}

/// Fields that HTTP, OAuth or certbound itself need for something else.
const RESERVED_FIELDS: [&str; 30] = [
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-digest",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "dpop",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "origin",
    "proxy-authorization",
    "proxy-connection",
    "signature",
    "signature-input",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
];

impl HeaderNames<'_> {
    /// The lower-case form of a name that nothing else has.
    fn claim(&mut self, path: &str, name: String) -> String {
        let name = name.to_ascii_lowercase();
        let is_token = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        // As the sanitiser sees names, which removes what it finds under any spelling.
        let folded = folded(&name).into_owned();
        let message = if !is_token {
            "not a header name (RFC 9110 §5.1): write letters, digits and hyphens".to_owned()
        } else if RESERVED_FIELDS.contains(&folded.as_str()) {
            format!("`{name}` has another meaning: write a name of its own")
        } else if !self.taken.insert(folded) {
            format!("`{name}` is used for another header of certbound: write a name of its own")
        } else {
            return name;
        };
        self.errors.push(ConfigError::new(path, message));
        name
    }
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError {
    /// The key, as in `clients[2].tls_client_auth_san_ip`; empty for the document as a whole.
    pub path: String,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl ConfigError {
    fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// Everything that is wrong with a configuration; never empty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
