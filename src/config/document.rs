//! The configuration as it is written: one type per object of the reference, unknown keys refused. What the values mean is
//! checked in the parent module.
//!
//! The comments on fields and variants are for operators: with the attributes beside them they become the JSON Schema
//! (`schema.rs`), and docs/configuration.md with its links from `RFC 1234 §5.6` and `docs/….md`.

use std::collections::{BTreeMap, BTreeSet};

#[cfg(not(target_arch = "wasm32"))]
use schemars::JsonSchema;
#[cfg(not(target_arch = "wasm32"))]
use serde::Serialize;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

#[cfg(not(target_arch = "wasm32"))]
use super::{
    certificate_header::MAX_BYTES,
    discovery::DEFAULT_BOUND_ACCESS_TOKENS,
    protected_resources::{DEFAULT_PAYLOAD_IN_METADATA, MAX_CACHE_SECONDS, TIMEOUT_MILLISECONDS},
    schema,
    signature::{DEFAULT_JWS_NAME, LIFETIME_SECONDS, REUSE_SECONDS},
};
#[cfg(not(target_arch = "wasm32"))]
use crate::client_cert::CertificateHeaderFormat;

/// The configuration of the Envoy filter certbound.
#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    /// How the certificate goes to the authorization server.
    #[serde(default)]
    pub(super) certificate_header: CertificateHeader,
    /// Where certbound finds the client's certificate.
    #[serde(default)]
    pub(super) certificate_source: super::CertificateSource,
    /// The header for the `client_id`, which is there only when certbound authenticated the client by its certificate.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(transform = schema::header_name("X-Client-Id"))
    )]
    pub(super) client_id_header: Option<String>,
    /// The registered clients, by client metadata (RFC 7591 §2, RFC 8705 §2): a registration can be pasted in. Other names
    /// of the IANA registry of client metadata than those below are accepted and ignored; secrets among them
    /// (`client_secret`, `registration_access_token`) are an error.
    #[serde(default)]
    // Read one by one, since their unknown keys are judged by name.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Vec<Client>"))]
    pub(super) clients: Vec<Value>,
    /// What certbound adds to the server's metadata (RFC 8414), so that clients find the endpoints for certificates
    /// (RFC 8705 §5): docs/discovery.md.
    pub(super) discovery: Option<Discovery>,
    /// Where clients authenticate: the token endpoint, and every other at which the server takes client credentials.
    /// Requests to other paths only lose the headers that a client could forge.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Vec<Endpoint>", length(min = 1)))]
    pub(super) endpoints: Vec<Each<Endpoint>>,
    /// Whether refusals refuse.
    #[serde(default)]
    pub(super) enforcement: super::Enforcement,
    /// How much work a request may make.
    #[serde(default)]
    pub(super) limits: Limits,
    /// Where access tokens are used, which must be bound to the certificate of the connection (RFC 8705 §3):
    /// docs/protected-resources.md.
    #[serde(default)]
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(with = "Vec<ProtectedResource>", extend("default" = []))
    )]
    pub(super) protected_resources: Vec<Each<ProtectedResource>>,
    /// A signature by which the server knows that certbound made the certificate header, for this request. Either or both
    /// of `http_message_signature` and `jws`; what a server must check is in docs/verifying.md.
    pub(super) signature: Option<Signature>,
    /// The header for the thumbprint of the forwarded certificate, `x5t#S256` (RFC 8705 §3.1).
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(transform = schema::header_name("X-Client-Cert-Thumbprint"))
    )]
    pub(super) thumbprint_header: Option<String>,
    /// Sets of CAs that may issue clients' certificates, by names of your own. With none at all, Envoy's verdict on the path
    /// decides.
    #[serde(default)]
    pub(super) trust_anchors: BTreeMap<String, TrustAnchors>,
    /// What becomes of clients that are not in `clients`.
    #[serde(default)]
    pub(super) unregistered_clients: super::UnregisteredClients,
    /// How the proxy authenticates itself to the authorization server, besides mutual TLS, which is Envoy's: exactly one of
    /// `basic` and `header`.
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

/// serde says what it expected in the names of Rust's types, and quotes text where it expected something else: that may be
/// a secret which stands one level too high.
fn in_plain_words(message: &str) -> String {
    let is_quoting = ["invalid type: string \"", "invalid value: string \""]
        .iter()
        .any(|s| message.starts_with(s));
    let expected = message.rsplit_once("\", expected ").filter(|_| is_quoting);
    let message = match expected {
        Some((_, expected)) => format!("invalid type: text, expected {expected}"),
        None => message.to_owned(),
    };
    let message = match message.split_once("expected struct ") {
        Some((before, _)) => format!("{before}expected an object"),
        None => message,
    };
    message
        .replace("expected usize", "expected a number")
        .replace("expected u64", "expected a number")
}

/// An endpoint, by exactly one of `path` and `path_prefix`.
#[derive(Deserialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(JsonSchema),
    schemars(transform = schema::exactly_one_path)
)]
#[serde(deny_unknown_fields)]
pub(super) struct Endpoint {
    /// The exact path; this or `path_prefix`. Paths are compared after normalisation as in RFC 3986 §6.2.2, and written here in
    /// that form.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(transform = schema::path("/oauth/token")))]
    pub(super) path: Option<String>,
    /// The start of the paths; this or `path`.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(transform = schema::path("/oauth/device/")))]
    pub(super) path_prefix: Option<String>,
    /// The request methods that count, in upper case.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(
            inner(regex(pattern = "^[A-Z-]+$")),
            length(min = 1),
            extend("default" = [super::DEFAULT_METHOD])
        )
    )]
    pub(super) methods: Option<Vec<String>>,
}

/// A part of the path space, by exactly one of `path` and `path_prefix`.
#[derive(Deserialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(JsonSchema),
    schemars(transform = schema::protected_resource)
)]
#[serde(deny_unknown_fields)]
pub(super) struct ProtectedResource {
    /// The path, in every spelling that a server might take for it; this or `path_prefix`.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(transform = schema::plain_path("/userinfo")))]
    pub(super) path: Option<String>,
    /// The start of the paths, in every spelling that a server might take for it; this or `path`.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(transform = schema::plain_path("/api/")))]
    pub(super) path_prefix: Option<String>,
    /// Where the `cnf.x5t#S256` of an access token is found, which names the certificate that it is bound to.
    pub(super) token: Token,
    /// Which requests are let in.
    #[serde(default)]
    pub(super) require: super::Requirement,
    /// What the resource gets beside a token that is bound.
    #[serde(default)]
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(transform = schema::as_a_set, extend("examples" = [["certificate", "thumbprint"]]))
    )]
    pub(super) forward: BTreeSet<Forwarded>,
    /// The same key of the provider of Envoy's `jwt_authn` filter. Only for `token: jwt_authn`.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(extend("default" = DEFAULT_PAYLOAD_IN_METADATA))
    )]
    pub(super) payload_in_metadata: Option<String>,
    /// The introspection endpoint (RFC 7662), and certbound's own credentials for it. Required with
    /// `token: introspection`, and only there.
    pub(super) introspection: Option<Introspection>,
}

/// Where the binding of a token is found.
#[derive(Clone, Copy, Deserialize, Eq, PartialEq)]
#[cfg_attr(not(target_arch = "wasm32"), derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum Token {
    /// In the token, a JWT which the resource itself must verify: to certbound one that anyone wrote is like any other.
    Bearer,
    /// In the answer of the authorization server about the token (RFC 7662).
    Introspection,
    /// In the payload that Envoy's `jwt_authn` filter verified.
    JwtAuthn,
}

/// What a resource gets.
#[derive(Clone, Copy, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[cfg_attr(not(target_arch = "wasm32"), derive(JsonSchema, Serialize))]
#[serde(rename_all = "snake_case")]
pub(super) enum Forwarded {
    /// The headers of `certificate_header`.
    Certificate,
    /// What `signature` makes of the certificate and the request, without a digest of the body, which is not held. Needs
    /// `certificate` and `signature`.
    Signature,
    /// The header named by `thumbprint_header`.
    Thumbprint,
}

/// How the authorization server is asked about a token (RFC 7662 §2).
#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Introspection {
    /// The cluster of Envoy's configuration that leads to the server.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(transform = schema::visible("authorization-server"))
    )]
    pub(super) cluster: String,
    /// The path of the introspection endpoint.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(transform = schema::matching("^/[!-~]*$", "/oauth/introspect"))
    )]
    pub(super) path: String,
    /// `Host` of the question.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(transform = schema::visible("as.example.com"))
    )]
    pub(super) authority: String,
    /// certbound's own, for `Authorization: Basic` (RFC 6749 §2.3.1). The server must let this client introspect the
    /// tokens of others.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(transform = schema::visible("gateway")))]
    pub(super) client_id: String,
    /// The secret of that client.
    pub(super) client_secret: Secret,
    /// How long the answer may take, after which the request is refused.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(transform = schema::number(TIMEOUT_MILLISECONDS))
    )]
    pub(super) timeout_milliseconds: Option<u64>,
    /// How long an answer may be used again, at most until its `exp`: so long a revoked token is still accepted.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(transform = schema::number(MAX_CACHE_SECONDS))
    )]
    pub(super) max_cache_seconds: Option<u64>,
    /// Ask the server for a JWT by this media type, which the resource gets instead of the token.
    pub(super) replace_token_by: Option<ReplacementToken>,
}

/// A JWT that stands for an opaque token.
#[derive(Clone, Copy, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(JsonSchema))]
pub(super) enum ReplacementToken {
    /// A JWT access token, for which a phantom token stands.
    #[serde(rename = "application/jwt")]
    Jwt,
    /// A signed introspection response (RFC 9701).
    #[serde(rename = "application/token-introspection+jwt")]
    TokenIntrospectionJwt,
}

/// A registered client (RFC 7591 §2, RFC 8705 §2).
#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(JsonSchema), schemars(transform = schema::client))]
pub(super) struct Client {
    /// The client identifier (RFC 6749 §2.2).
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(transform = schema::matching("^[ -~]+$", "payments"))
    )]
    pub(super) client_id: String,
    /// How the client authenticates, by the name in the IANA registry of token endpoint authentication methods. certbound
    /// authenticates clients of the two TLS methods; credentials of the others are for the server to check.
    pub(super) token_endpoint_auth_method: AuthMethod,
    /// The registered certificates by their thumbprints: `x5t#S256` (RFC 8705 §3.1), or hexadecimal with or without colons.
    /// Only for `self_signed_tls_client_auth`, which needs this or `jwks` or both.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(
            inner(regex(pattern = schema::THUMBPRINT)),
            extend("examples" = [["A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"]])
        )
    )]
    pub(super) certificate_thumbprints: Option<Vec<String>>,
    /// The registered certificates and keys as a JWK Set (RFC 7517 §5), for `self_signed_tls_client_auth` (RFC 8705 §2.2.2).
    pub(super) jwks: Option<Jwks>,
    /// Whether the client's access tokens are bound to its certificate (RFC 8705 §3.4). For clients of other than the TLS
    /// methods: a certificate is required and forwarded, checked for its dates only.
    #[serde(default)]
    pub(super) tls_client_certificate_bound_access_tokens: bool,
    /// A dNSName of the certificate's subjectAltName; any that equals it counts. No wildcards. Only for `tls_client_auth`, which
    /// needs exactly one of the five `tls_client_auth_…` (RFC 8705 §2.1.2).
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(transform = schema::matching("^[A-Za-z0-9._-]+$", "client.example.com"))
    )]
    pub(super) tls_client_auth_san_dns: Option<String>,
    /// An rfc822Name of the certificate's subjectAltName; any that equals it counts, the domain in any letter case. Only for
    /// `tls_client_auth`, which needs exactly one of the five `tls_client_auth_…` (RFC 8705 §2.1.2).
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(transform = schema::matching("^[\\x00-\\x7F]+@[^@]+$", "ops@example.com"))
    )]
    pub(super) tls_client_auth_san_email: Option<String>,
    /// An iPAddress of the certificate's subjectAltName; any that equals it counts, as an address and not as text. Only for
    /// `tls_client_auth`, which needs exactly one of the five `tls_client_auth_…` (RFC 8705 §2.1.2).
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(transform = schema::matching("^[0-9A-Fa-f:.]+$", "2001:db8::1"))
    )]
    pub(super) tls_client_auth_san_ip: Option<String>,
    /// A uniformResourceIdentifier of the certificate's subjectAltName; any that equals it counts, character by character. Only
    /// for `tls_client_auth`, which needs exactly one of the five `tls_client_auth_…` (RFC 8705 §2.1.2).
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(transform = schema::matching("^[!-~]*:[!-~]*$", "spiffe://example.org/client"))
    )]
    pub(super) tls_client_auth_san_uri: Option<String>,
    /// The subject of the certificate, as text of RFC 4514. Compared RDN by RDN as values, not as text (RFC 5280 §7.1);
    /// OpenSSL's forms are recognised and answered with what to write. Only for `tls_client_auth`, which needs exactly one of
    /// the five `tls_client_auth_…` (RFC 8705 §2.1.2).
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(extend("examples" = ["CN=payments,O=Example Bank,C=SE"]))
    )]
    pub(super) tls_client_auth_subject_dn: Option<String>,
    /// Names of the sets under `trust_anchors` that may issue this client's certificates. Only for `tls_client_auth`; required
    /// when there are several sets. With none at all, Envoy's verdict decides.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(length(min = 1), extend("uniqueItems" = true, "examples" = [["partner-ca"]]))
    )]
    pub(super) trust_anchors: Option<Vec<String>>,
    /// For servers that know secrets only: once certbound has authenticated the client, the request goes on with this secret
    /// as `Authorization: Basic` (RFC 6749 §2.3.1). Only for the two TLS methods.
    pub(super) upstream_client_secret: Option<Secret>,
}

/// A set of CAs.
#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct TrustAnchors {
    /// The CAs, as PEM. They are recognised by key: two CAs may have the same name. RSA with 2048 to 4096 bits, P-256, P-384 or
    /// Ed25519.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(transform = schema::pem("CERTIFICATE")))]
    pub(super) certificates: String,
    /// Intermediate CAs as PEM, besides those that clients present.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(transform = schema::pem("CERTIFICATE")))]
    pub(super) intermediates: Option<String>,
    /// Complete CRLs as PEM (RFC 5280 §5). With any, the status of the certificate and of every intermediate must be known
    /// from a current one.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(transform = schema::pem("X509 CRL")))]
    pub(super) crls: Option<String>,
    /// What becomes of certificates whose status no current CRL tells, where there are CRLs.
    #[serde(default)]
    pub(super) unknown_revocation_status: UnknownRevocationStatus,
}

/// What becomes of certificates whose status is not known.
#[derive(Clone, Copy, Default, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(JsonSchema, Serialize))]
#[serde(rename_all = "snake_case")]
pub(super) enum UnknownRevocationStatus {
    /// Only a certificate that a CRL names is refused.
    Allow,
    /// They are refused.
    #[default]
    Deny,
}

/// The OAuth Token Endpoint Authentication Methods registry.
#[derive(Clone, Copy, Deserialize, Eq, PartialEq)]
#[cfg_attr(not(target_arch = "wasm32"), derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum AuthMethod {
    /// A secret in `Authorization: Basic`, which the server checks (RFC 6749 §2.3.1).
    ClientSecretBasic,
    /// A JWT with an HMAC, which the server checks (RFC 7523 §2.2).
    ClientSecretJwt,
    /// A secret in the form, which the server checks (RFC 6749 §2.3.1).
    ClientSecretPost,
    /// A public client (RFC 7591 §2).
    None,
    /// A signed JWT, which the server checks (RFC 7523 §2.2).
    PrivateKeyJwt,
    /// A registered certificate or key (RFC 8705 §2.2).
    SelfSignedTlsClientAuth,
    /// A certificate from a CA with the registered subject (RFC 8705 §2.1).
    TlsClientAuth,
}

/// A JWK Set (RFC 7517 §5).
#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(JsonSchema))]
pub(super) struct Jwks {
    /// Public keys. With `x5c` the first certificate in it is registered, without it the public key. Keys with another `use`
    /// than `sig` do not count.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(extend("examples" = [[{ "kty": "EC", "crv": "P-256", "x": "…", "y": "…", "x5c": ["MII…"] }]]))
    )]
    pub(super) keys: Vec<Map<String, Value>>,
}

/// The headers that tell the server about the certificate.
#[derive(Default, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct CertificateHeader {
    /// The form that the server reads: docs/interoperability.md has it for many servers.
    #[serde(default)]
    pub(super) format: Format,
    /// The header of the certificate. By default `Client-Cert`; for `urlencoded_pem`, `pem` and `base64_der` `ssl-client-cert`,
    /// for `traefik` `X-Forwarded-Tls-Client-Cert`, for `xfcc` `X-Forwarded-Client-Cert`.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(
            transform = schema::header_name("Client-Cert"),
            extend("default" = CertificateHeaderFormat::Rfc9440.default_name())
        )
    )]
    pub(super) name: Option<String>,
    /// Forwards the intermediates that the client presented in this header, unverified and without the client's own certificate,
    /// if there are any. `NAME_%d`: a header for each, from 0. For `traefik` and `xfcc` the same as `name`: they stand in the
    /// same header.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(transform = schema::header_name("Client-Cert-Chain"))
    )]
    pub(super) chain_name: Option<String>,
    /// The header for `SUCCESS` (path verified), `FAILED:<reason>` or `NONE`, as nginx's `$ssl_client_verify`, on every request
    /// at an endpoint that goes to the server.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(transform = schema::header_name("ssl-client-verify"))
    )]
    pub(super) verify_name: Option<String>,
    /// The longest value of the header. A longer one is refused as `header_too_large`, never cut.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(transform = schema::number(MAX_BYTES)))]
    pub(super) max_bytes: Option<usize>,
}

/// The form of the certificate header.
#[derive(Clone, Copy, Default, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(JsonSchema, Serialize))]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    /// Base64 of DER, as HAProxy's `ssl_c_der,base64`. The chain: base64 of all DER encodings in one.
    Base64Der,
    /// PEM with spaces for line ends, as Apache's `%{SSL_CLIENT_CERT}s`. The chain: sections after another.
    Pem,
    /// `:base64(DER):` (RFC 9440 §2.2). The chain: a list of the same (RFC 9440 §2.3).
    #[default]
    Rfc9440,
    /// Base64 of DER, as Traefik's `X-Forwarded-Tls-Client-Cert`. The chain: after commas in the same header.
    Traefik,
    /// Percent-encoded PEM, as nginx's `$ssl_client_escaped_cert`. The chain: the same of all sections.
    UrlencodedPem,
    /// `Hash=…;Cert="…"`, as Envoy's `x-forwarded-client-cert`. The chain: `Chain="…"` in the same header, which begins with the
    /// certificate, and is there without intermediates too.
    Xfcc,
}

/// What is signed, and with which key.
#[derive(Deserialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(JsonSchema),
    schemars(transform = schema::signature)
)]
#[serde(deny_unknown_fields)]
pub(super) struct Signature {
    /// An HTTP message signature (RFC 9421).
    pub(super) http_message_signature: Option<HttpMessageSignature>,
    /// A JWS (RFC 7515) that says whose certificate it is, and for which request: for servers that have a JWT library but none
    /// for RFC 9421.
    pub(super) jws: Option<Jws>,
    /// certbound answers GET and HEAD at this path itself, for anyone, with the public keys (RFC 7517 §5). Not an endpoint. HMAC
    /// keys are never in it.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(transform = schema::path("/.well-known/certbound-jwks.json"))
    )]
    pub(super) jwks_path: Option<String>,
    /// The first key signs; the public keys of all are published: docs/key-rotation.md.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Vec<Key>", length(min = 1)))]
    pub(super) keys: Vec<Each<Key>>,
}

/// How requests are signed (RFC 9421 §3.1).
#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct HttpMessageSignature {
    /// The label in `Signature` and `Signature-Input` (RFC 9421 §4).
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(regex(pattern = "^[a-z*][a-z0-9_.*-]*$"), extend("default" = super::DEFAULT_LABEL))
    )]
    pub(super) label: Option<String>,
    /// The covered components (RFC 9421 §2): any header as it goes to the server, any derived component of requests, as a bare
    /// name or as an identifier with its parameters, like `"@query-param";name="resource"`, `"signature";key="sig1"` or
    /// `"x-request";bs`. By default the headers that certbound sets, `@method`, `@authority`, `@path` and `content-digest`. What
    /// a request lacks is left out; the certificate header must be listed. A covered value that holds other than visible ASCII
    /// (without `bs`), or a parameter that is there twice, is refused as `body_unreadable`.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(extend("examples" = [["client-cert", "@method", "@authority", "@path", "content-digest"]]))
    )]
    pub(super) components: Option<Vec<String>>,
    /// `expires` − `created`: how long the signature is good for.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(transform = schema::number(LIFETIME_SECONDS)))]
    pub(super) lifetime_seconds: Option<u64>,
}

/// What the JWS says (RFC 7515, RFC 7519 §4.1).
#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Jws {
    /// The header of the JWS, which may be at most `certificate_header.max_bytes` long.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(
            transform = schema::header_name(DEFAULT_JWS_NAME),
            extend("default" = DEFAULT_JWS_NAME)
        )
    )]
    pub(super) name: Option<String>,
    /// `iss`: this proxy.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(length(min = 1), extend("examples" = ["https://proxy.example.com"]))
    )]
    pub(super) issuer: String,
    /// `aud`: the authorization server.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(length(min = 1), extend("examples" = ["https://as.example.com"]))
    )]
    pub(super) audience: String,
    /// `exp` − `iat`: how long the JWS is good for.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(transform = schema::number(LIFETIME_SECONDS)))]
    pub(super) lifetime_seconds: Option<u64>,
    /// For how long, from `iat`, the JWS of a request goes with later ones too, where it says the same of them: the same
    /// client, certificate, method, host, path and body. At most half of `lifetime_seconds`. Each request is judged all the
    /// same; only signing is saved. 0: every request has a JWS of its own, with a `jti` that comes once. With more, servers
    /// must not insist on that, and whoever reads a request on its way to the server can send it again until `exp`:
    /// docs/threat-model.md.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(transform = schema::number(REUSE_SECONDS)))]
    pub(super) reuse_seconds: Option<u64>,
    /// Whether the certificate stands in the header of the JWS (RFC 7515 §4.1.6).
    #[serde(default)]
    pub(super) x5c: bool,
}

/// A key to sign with. `certbound keygen` makes one.
#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    /// The key's identifier, `keyid` of signatures and `kid` of JWS. Each key has its own.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(transform = schema::visible("2026-11")))]
    pub(super) kid: String,
    /// The algorithm, by its name in RFC 9421 §3.3. In a JWS it goes by that of RFC 7518 §3.1 or RFC 8037 §3.1.
    pub(super) alg: Algorithm,
    /// The private key: PKCS#8 PEM for `ed25519` and `ecdsa-p256-sha256`; base64 of at least 32 bytes for `hmac-sha256`.
    pub(super) key: Secret,
}

/// An algorithm to sign with.
#[derive(Clone, Copy, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(JsonSchema))]
pub(super) enum Algorithm {
    /// ECDSA with P-256 and SHA-256; `ES256` in a JWS.
    #[serde(rename = "ecdsa-p256-sha256")]
    EcdsaP256Sha256,
    /// Ed25519; `EdDSA` in a JWS.
    #[serde(rename = "ed25519")]
    Ed25519,
    /// HMAC with SHA-256; `HS256` in a JWS. The server holds the same key.
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
}

/// The proxy's credentials, exactly one of `basic` and `header`.
#[derive(Deserialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(JsonSchema),
    schemars(transform = schema::upstream_authentication)
)]
#[serde(deny_unknown_fields)]
pub(super) struct UpstreamAuthentication {
    /// The proxy's `Authorization: Basic` (RFC 7617), on requests that carry a certificate. A request that has an
    /// `Authorization` of its own is refused where both would be needed.
    pub(super) basic: Option<BasicCredentials>,
    /// A secret in a header, on every request that certbound lets through at an endpoint, with and without certificate,
    /// whatever the host: have no other server behind the paths of `endpoints`.
    pub(super) header: Option<HeaderCredential>,
}

/// A user of the Basic scheme (RFC 7617 §2).
#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct BasicCredentials {
    /// Printable ASCII without colon.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(transform = schema::matching("^[ -9;-~]*$", "envoy"))
    )]
    pub(super) username: String,
    /// The password.
    pub(super) password: Secret,
}

/// A header with a secret.
#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderCredential {
    /// The header.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(transform = schema::header_name("cname-api-key"))
    )]
    pub(super) name: String,
    /// Its value.
    pub(super) value: Secret,
}

/// A secret by the name of an environment variable, or as it is.
// Has no `Debug`, so that it cannot be printed.
#[cfg_attr(not(target_arch = "wasm32"), derive(JsonSchema), schemars(rename_all = "snake_case"))]
pub(super) enum Secret {
    /// The name of an environment variable that holds it. List the variable in
    /// `vm_config.environment_variables.host_env_keys`.
    Env(String),
    /// The secret itself, in quotation marks where YAML would read a number.
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

/// Additions to the server's metadata (RFC 8705 §5).
#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Discovery {
    /// The exact paths of the server's metadata documents.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(
            transform = schema::paths,
            length(min = 1),
            extend("examples" = [["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"]])
        )
    )]
    pub(super) paths: Vec<String>,
    /// `https://host[:port]` at which clients with certificates reach this Envoy.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(transform = schema::matching("^https://[^/?#@]+$", "https://mtls.as.example.com"))
    )]
    pub(super) mtls_origin: String,
    /// `false`: the server binds no tokens, and nothing is added about it.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(extend("default" = DEFAULT_BOUND_ACCESS_TOKENS))
    )]
    pub(super) tls_client_certificate_bound_access_tokens: Option<bool>,
}

/// How much work a request may make.
#[derive(Default, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    /// The longest body at an endpoint. A longer one is answered 413.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(transform = schema::number(super::MAX_BODY_BYTES))
    )]
    pub(super) max_body_bytes: Option<usize>,
    /// The most certificates that a client may present, its own included. Where the path of its certificate is known from
    /// an earlier request, the others are not looked at.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(transform = schema::number(super::MAX_CHAIN_CERTIFICATES))
    )]
    pub(super) max_chain_certificates: Option<usize>,
}
