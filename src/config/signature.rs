//! `signature`: what is signed, and with which key.

use std::collections::BTreeSet;

use sfv::KeyRef;

use super::{
    Bounds, ConfigError, DEFAULT_LABEL, HeaderNames, compile_path, document, in_range, readable,
    secret,
};
use crate::{
    endpoint::Endpoint,
    http_signature::{Component, HttpMessageSignature},
    jwk_set::JwkSet,
    jws::CertificateJws,
    signing_key::{SigningKey, SigningSecret},
};

pub(super) const LIFETIME_SECONDS: Bounds<u64> = Bounds { default: 60, minimum: 1, maximum: 3600 };
/// At most half of any lifetime.
pub(super) const REUSE_SECONDS: Bounds<u64> = Bounds { default: 0, minimum: 0, maximum: 1800 };
pub(super) const DEFAULT_JWS_NAME: &str = "Client-Cert-JWT";

/// `signature`.
#[derive(Clone, Debug)]
pub struct Signature {
    /// RFC 9421. This or `jws` is there, or both are.
    pub http_message_signature: Option<HttpMessageSignature>,
    /// RFC 7515.
    pub jws: Option<CertificateJws>,
    /// The key that signs.
    pub key: SigningKey,
    /// The public part of this and of further keys.
    pub jwk_set: Option<JwkSet>,
}

/// `ours` are the fields that tell the server about the certificate, that of the certificate first.
pub(super) fn compile(
    written: document::Signature,
    ours: &[&str],
    endpoints: &[Endpoint],
    env: &dyn Fn(&str) -> Option<String>,
    names: &mut HeaderNames<'_>,
) -> Option<Signature> {
    if written.http_message_signature.is_none() && written.jws.is_none() {
        names.errors.push(ConfigError::new(
            "signature",
            "nothing would be signed: write `http_message_signature`, `jws`, or both",
        ));
    }
    let jws = written.jws.map(|jws| compile_jws(jws, names));
    let errors = &mut *names.errors;
    let http_message_signature = written
        .http_message_signature
        .map(|written| compile_http_message_signature(written, ours, errors));
    let (keys, all_are_readable) = compile_keys(written.keys, env, errors);
    let jwk_set = written.jwks_path.and_then(|path| {
        check_jwks_path(&path, endpoints, errors);
        let jwk_set = JwkSet::new(path, &keys);
        if jwk_set.is_none() && all_are_readable {
            errors.push(ConfigError::new(
                "signature.jwks_path",
                "there would be no key at this path, since `hmac-sha256` keys are shared secrets: remove it, or write an `ed25519` or `ecdsa-p256-sha256` key",
            ));
        }
        jwk_set
    });
    let key = keys.into_iter().next()?;
    Some(Signature { http_message_signature, jws, key, jwk_set })
}

fn compile_http_message_signature(
    written: document::HttpMessageSignature,
    ours: &[&str],
    errors: &mut Vec<ConfigError>,
) -> HttpMessageSignature {
    const PATH: &str = "signature.http_message_signature";
    let label = written.label.unwrap_or_else(|| DEFAULT_LABEL.into());
    if KeyRef::from_str(&label).is_err() {
        errors.push(ConfigError::new(
            format!("{PATH}.label"),
            "not a key of structured fields: write lower-case letters, digits, `_`, `-`, `.`, `*`, a letter first",
        ));
    }
    let components = match written.components {
        None => ours
            .iter()
            .copied()
            .chain(["@method", "@authority", "@path", "content-digest"])
            .filter_map(|name| Component::parse(name).ok())
            .collect(),
        Some(written) => compile_components(&written, &label, ours, errors),
    };
    let lifetime_seconds = in_range(
        written.lifetime_seconds,
        LIFETIME_SECONDS.default,
        LIFETIME_SECONDS.minimum..=LIFETIME_SECONDS.maximum,
        "signature.http_message_signature.lifetime_seconds",
        errors,
    );
    HttpMessageSignature { label, components, lifetime_seconds }
}

fn compile_components(
    written: &[String],
    label: &str,
    ours: &[&str],
    errors: &mut Vec<ConfigError>,
) -> Vec<Component> {
    const PATH: &str = "signature.http_message_signature.components";
    let mut components = Vec::new();
    for (index, text) in written.iter().enumerate() {
        let problem = match Component::parse(text) {
            Err(error) => error.to_string(),
            Ok(component) if components.contains(&component) => {
                "there twice, which RFC 9421 §2.5 forbids: remove one".into()
            }
            Ok(component) => match unsteady(&component, label) {
                Some(problem) => problem.into(),
                None => {
                    components.push(component);
                    continue;
                }
            },
        };
        errors.push(ConfigError::new(
            format!("{PATH}[{index}]"),
            format!("`{text}` cannot be covered: {problem}"),
        ));
    }
    let certificate_field = ours.first().copied().unwrap_or_default();
    if !components.iter().any(|component| component.whole_field() == Some(certificate_field)) {
        errors.push(ConfigError::new(
            PATH,
            format!("the certificate would not be signed: add `{certificate_field}`"),
        ));
    }
    components
}

/// Why a component is not the same when the server verifies it.
fn unsteady(component: &Component, label: &str) -> Option<&'static str> {
    match (component.name(), component.member()) {
        ("signature" | "signature-input", Some((_, key))) if key == label => {
            Some("it is this signature itself: write the label of another")
        }
        ("signature" | "signature-input", None) => Some(
            "certbound adds to it when it signs: write the member of another, like `\"signature\";key=\"sig1\"`",
        ),
        ("content-digest", Some((_, key))) if key != "sha-256" => {
            Some("certbound digests with `sha-256` only, so that the body would not be covered")
        }
        ("host", _) => Some("requests have it as authority: write `@authority`"),
        (name, _) if HOP_BY_HOP_FIELDS.contains(&name) => {
            Some("it is about the connection to Envoy and ends there (RFC 9110 §7.6.1): remove it")
        }
        _ => None,
    }
}

const HOP_BY_HOP_FIELDS: [&str; 9] = [
    "connection",
    "expect",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

fn compile_jws(written: document::Jws, names: &mut HeaderNames<'_>) -> CertificateJws {
    let name = written.name.unwrap_or_else(|| DEFAULT_JWS_NAME.into());
    let name = names.claim("signature.jws.name", name);
    for (claim, value, example) in [
        ("issuer", &written.issuer, "https://proxy.example.com"),
        ("audience", &written.audience, "https://as.example.com"),
    ] {
        if value.trim().is_empty() {
            names.errors.push(ConfigError::new(
                format!("signature.jws.{claim}"),
                format!("empty, so that servers could not tell statements apart: write one like `{example}`"),
            ));
        }
    }
    let lifetime_seconds = in_range(
        written.lifetime_seconds,
        LIFETIME_SECONDS.default,
        LIFETIME_SECONDS.minimum..=LIFETIME_SECONDS.maximum,
        "signature.jws.lifetime_seconds",
        names.errors,
    );
    let reuse_seconds = in_range(
        written.reuse_seconds,
        REUSE_SECONDS.default,
        REUSE_SECONDS.minimum..=REUSE_SECONDS.maximum,
        "signature.jws.reuse_seconds",
        names.errors,
    );
    let half = lifetime_seconds / 2;
    if (half.saturating_add(1)..=REUSE_SECONDS.maximum).contains(&reuse_seconds) {
        names.errors.push(ConfigError::new(
            "signature.jws.reuse_seconds",
            format!("more than half of `lifetime_seconds`, so that what is sent again might expire on the way: write at most {half}"),
        ));
    }
    let document::Jws { issuer, audience, x5c, .. } = written;
    CertificateJws { name, issuer, audience, lifetime_seconds, x5c, reuse_seconds }
}

/// The keys that could be read, and whether those are all.
fn compile_keys(
    written: Vec<document::Each<document::Key>>,
    env: &dyn Fn(&str) -> Option<String>,
    errors: &mut Vec<ConfigError>,
) -> (Vec<SigningKey>, bool) {
    if written.is_empty() {
        errors.push(ConfigError::new(
            "signature.keys",
            "the list is empty: write at least one key, the first signs",
        ));
    }
    let count = written.len();
    let mut kids = BTreeSet::new();
    let mut keys: Vec<SigningKey> = Vec::new();
    for (at, document::Key { kid, alg, key }) in readable(written, "signature.keys", errors) {
        if kid.is_empty() || !kid.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
            errors.push(ConfigError::new(
                format!("{at}.kid"),
                "not a key identifier: write visible ASCII characters",
            ));
        } else if !kids.insert(kid.clone()) {
            errors.push(ConfigError::new(
                format!("{at}.kid"),
                "another key has the same kid: give each key its own",
            ));
        }
        let secret = secret::resolve(&key, env).and_then(|text| {
            let secret = match alg {
                document::Algorithm::EcdsaP256Sha256 => SigningSecret::ecdsa_p256_from_pem(&text),
                document::Algorithm::Ed25519 => SigningSecret::ed25519_from_pem(&text),
                document::Algorithm::HmacSha256 => SigningSecret::hmac_sha256_from_base64(&text),
            };
            secret.map_err(|error| error.to_string())
        });
        match secret {
            Ok(secret) => {
                if let Some(same) =
                    keys.iter().find(|key| key.kid != kid && key.secret.is_same_key(&secret))
                {
                    errors.push(ConfigError::new(
                        format!("{at}.key"),
                        format!("the same key as that of `{}`, so that nothing would be rotated: write a new one", same.kid),
                    ));
                }
                keys.push(SigningKey { kid, secret });
            }
            Err(message) => errors.push(ConfigError::new(format!("{at}.key"), message)),
        }
    }
    let all_are_readable = keys.len() == count;
    (keys, all_are_readable)
}

fn check_jwks_path(path: &str, endpoints: &[Endpoint], errors: &mut Vec<ConfigError>) {
    const PATH: &str = "signature.jwks_path";
    compile_path(PATH.into(), path, errors);
    if endpoints.iter().any(|endpoint| endpoint.path.matches(path)) {
        errors.push(ConfigError::new(
            PATH,
            "an endpoint, where clients authenticate: write a path of its own, like `/.well-known/certbound-jwks.json`",
        ));
    }
}
