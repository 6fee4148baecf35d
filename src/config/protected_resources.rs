//! `protected_resources`: where access tokens are used, and how they are known to be bound to the client's certificate.

use std::time::Duration;

#[cfg(not(target_arch = "wasm32"))]
use schemars::JsonSchema;
use serde::Deserialize;
#[cfg(not(target_arch = "wasm32"))]
use serde::Serialize;

use super::{Bounds, ConfigError, document, in_range, readable, secret};
use crate::{
    endpoint::{Endpoint, PathMatch, normalise_path},
    upstream_authentication::Credential,
};

/// A part of the path space where access tokens are used.
#[derive(Clone, Debug)]
pub struct ProtectedResource {
    /// Which paths, in every spelling.
    pub path: PathMatch,
    /// Where the binding of a token is found.
    pub token: TokenSource,
    /// Which tokens are let in.
    pub require: Requirement,
    /// Whether the resource gets the certificate.
    pub forwards_certificate: bool,
    /// Whether the resource gets the signature over the certificate and the request.
    pub forwards_signature: bool,
    /// Whether the resource gets the thumbprint.
    pub forwards_thumbprint: bool,
}

/// `token`.
#[derive(Clone, Debug)]
pub enum TokenSource {
    /// In the token, a JWT whose signature somebody else verifies.
    Bearer,
    /// In the answer of the authorization server (RFC 7662).
    Introspection(Introspection),
    /// In the payload that Envoy's `jwt_authn` filter verified and left in its dynamic metadata.
    JwtAuthn {
        /// `payload_in_metadata` of that filter's provider.
        payload_in_metadata: String,
    },
}

/// `require`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[cfg_attr(not(target_arch = "wasm32"), derive(JsonSchema, Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Requirement {
    /// Tokens that are bound to the client's certificate.
    #[default]
    Bound,
    /// Also tokens that are bound to nothing, and requests without token.
    IfPresent,
}

/// `introspection`: how the authorization server is asked.
#[derive(Clone, Debug)]
pub struct Introspection {
    /// The cluster of Envoy.
    pub cluster: String,
    /// The path of the introspection endpoint.
    pub path: String,
    /// The host that it is asked as.
    pub authority: String,
    /// How the filter authenticates itself there.
    pub authorization: Credential,
    /// How long the answer may take.
    pub timeout: Duration,
    /// How long an answer may be used again, in seconds.
    pub max_cache_seconds: u64,
    /// The media type of the JWT that the resource gets instead of the token.
    pub replace_token_by: Option<ReplacementToken>,
}

/// `replace_token_by`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReplacementToken {
    /// A JWT access token, for which a phantom token stands.
    Jwt,
    /// A signed introspection response (RFC 9701).
    TokenIntrospectionJwt,
}

impl ReplacementToken {
    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jwt => "application/jwt",
            Self::TokenIntrospectionJwt => "application/token-introspection+jwt",
        }
    }
}

pub(super) const DEFAULT_PAYLOAD_IN_METADATA: &str = "jwt_payload";
pub(super) const TIMEOUT_MILLISECONDS: Bounds<u64> =
    Bounds { default: 1000, minimum: 1, maximum: 60_000 };
pub(super) const MAX_CACHE_SECONDS: Bounds<u64> = Bounds { default: 60, minimum: 0, maximum: 3600 };

pub(super) fn compile(
    written: Vec<document::Each<document::ProtectedResource>>,
    endpoints: &[Endpoint],
    (has_thumbprint_header, has_signature): (bool, bool),
    env: &dyn Fn(&str) -> Option<String>,
    errors: &mut Vec<ConfigError>,
) -> Vec<ProtectedResource> {
    let mut resources = Vec::new();
    for (at, resource) in readable(written, "protected_resources", errors) {
        let forwards = |field| resource.forward.contains(&field);
        if forwards(document::Forwarded::Thumbprint) && !has_thumbprint_header {
            errors.push(ConfigError::new(
                format!("{at}.forward"),
                "`thumbprint` needs the name of its header: write `thumbprint_header`",
            ));
        }
        if forwards(document::Forwarded::Signature)
            && !(has_signature && forwards(document::Forwarded::Certificate))
        {
            errors.push(ConfigError::new(
                format!("{at}.forward"),
                "`signature` is that of `certificate`, made with a key: add `certificate`, and write `signature` beside `protected_resources`",
            ));
        }
        let path = compile_path(&at, resource.path, resource.path_prefix, endpoints, errors);
        let token = compile_token(
            &at,
            resource.token,
            resource.payload_in_metadata,
            resource.introspection,
            env,
            errors,
        );
        let forwards = |field| resource.forward.contains(&field);
        if let (Some(path), Some(token)) = (path, token) {
            resources.push(ProtectedResource {
                path,
                token,
                require: resource.require,
                forwards_certificate: forwards(document::Forwarded::Certificate),
                forwards_signature: forwards(document::Forwarded::Signature),
                forwards_thumbprint: forwards(document::Forwarded::Thumbprint),
            });
        }
    }
    resources
}

fn compile_path(
    at: &str,
    path: Option<String>,
    path_prefix: Option<String>,
    endpoints: &[Endpoint],
    errors: &mut Vec<ConfigError>,
) -> Option<PathMatch> {
    let (key, path) = match (path, path_prefix) {
        (Some(path), None) => ("path", PathMatch::Exact(path)),
        (None, Some(prefix)) => ("path_prefix", PathMatch::Prefix(prefix)),
        _ => {
            errors.push(ConfigError::new(at, "write exactly one of `path` and `path_prefix`"));
            return None;
        }
    };
    let (PathMatch::Exact(text) | PathMatch::Prefix(text)) = &path;
    if !text.starts_with('/')
        || text.contains(['?', '#', ';', '\\', '%'])
        || text.contains("//")
        || !text.is_ascii()
        || normalise_path(text) != *text
    {
        errors.push(ConfigError::new(
            format!("{at}.{key}"),
            "not a plain path: write it from the first `/`, without query, escapes, parameters, double slashes and dot segments",
        ));
        return None;
    }
    let is_within = |endpoint: &Endpoint| {
        let (PathMatch::Exact(other) | PathMatch::Prefix(other)) = &endpoint.path;
        endpoint.path.may_be(text) || path.may_be(other)
    };
    if endpoints.iter().any(is_within) {
        errors.push(ConfigError::new(
            format!("{at}.{key}"),
            "shares paths with `endpoints`, where clients have no tokens yet: write a path apart from them",
        ));
    }
    Some(path)
}

fn compile_token(
    at: &str,
    token: document::Token,
    payload_in_metadata: Option<String>,
    introspection: Option<document::Introspection>,
    env: &dyn Fn(&str) -> Option<String>,
    errors: &mut Vec<ConfigError>,
) -> Option<TokenSource> {
    let mut superfluous = |key: &str, is_there: bool, belongs_to: document::Token, name: &str| {
        if is_there && token != belongs_to {
            errors.push(ConfigError::new(
                format!("{at}.{key}"),
                format!("only for `token: {name}`: remove it, or change `token`"),
            ));
        }
    };
    superfluous(
        "payload_in_metadata",
        payload_in_metadata.is_some(),
        document::Token::JwtAuthn,
        "jwt_authn",
    );
    superfluous(
        "introspection",
        introspection.is_some(),
        document::Token::Introspection,
        "introspection",
    );
    match (token, introspection) {
        (document::Token::Bearer, _) => Some(TokenSource::Bearer),
        (document::Token::JwtAuthn, _) => Some(TokenSource::JwtAuthn {
            payload_in_metadata: payload_in_metadata
                .unwrap_or_else(|| DEFAULT_PAYLOAD_IN_METADATA.into()),
        }),
        (document::Token::Introspection, Some(introspection)) => {
            compile_introspection(at, introspection, env, errors).map(TokenSource::Introspection)
        }
        (document::Token::Introspection, None) => {
            errors.push(ConfigError::new(
                format!("{at}.introspection"),
                "missing: write `cluster`, `path`, `authority`, `client_id` and `client_secret` of the introspection endpoint (RFC 7662)",
            ));
            None
        }
    }
}

fn compile_introspection(
    at: &str,
    written: document::Introspection,
    env: &dyn Fn(&str) -> Option<String>,
    errors: &mut Vec<ConfigError>,
) -> Option<Introspection> {
    let at = |key: &str| format!("{at}.introspection.{key}");
    let is_visible =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    for (key, text) in [
        ("cluster", &written.cluster),
        ("authority", &written.authority),
        ("client_id", &written.client_id),
    ] {
        if !is_visible(text) {
            errors.push(ConfigError::new(at(key), "write visible ASCII characters"));
        }
    }
    if !written.path.starts_with('/') || !is_visible(&written.path) {
        errors.push(ConfigError::new(at("path"), "not a path: write it from the first `/`"));
    }
    let timeout_milliseconds = in_range(
        written.timeout_milliseconds,
        TIMEOUT_MILLISECONDS.default,
        TIMEOUT_MILLISECONDS.minimum..=TIMEOUT_MILLISECONDS.maximum,
        &at("timeout_milliseconds"),
        errors,
    );
    let max_cache_seconds = in_range(
        written.max_cache_seconds,
        MAX_CACHE_SECONDS.default,
        MAX_CACHE_SECONDS.minimum..=MAX_CACHE_SECONDS.maximum,
        &at("max_cache_seconds"),
        errors,
    );
    let secret = secret::resolve_text(&written.client_secret, env)
        .map_err(|message| errors.push(ConfigError::new(at("client_secret"), message)))
        .ok()?;
    Some(Introspection {
        authorization: Credential::client_secret_basic(&written.client_id, &secret),
        cluster: written.cluster,
        path: written.path,
        authority: written.authority,
        timeout: Duration::from_millis(timeout_milliseconds),
        max_cache_seconds,
        replace_token_by: written.replace_token_by.map(|media_type| match media_type {
            document::ReplacementToken::Jwt => ReplacementToken::Jwt,
            document::ReplacementToken::TokenIntrospectionJwt => {
                ReplacementToken::TokenIntrospectionJwt
            }
        }),
    })
}
