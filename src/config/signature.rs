//! `signature`: what is signed, and with which key.

use std::collections::BTreeSet;

use sfv::KeyRef;

use super::{ConfigError, DEFAULT_LABEL, document, in_range, readable, secret};
use crate::http_signature::{Component, HttpMessageSignature, SigningKey, SigningSecret};

const DEFAULT_LIFETIME_SECONDS: u64 = 60;

pub(super) fn compile(
    written: document::Signature,
    ours: &[&str],
    env: &dyn Fn(&str) -> Option<String>,
    errors: &mut Vec<ConfigError>,
) -> Option<(HttpMessageSignature, SigningKey)> {
    const PATH: &str = "signature.http_message_signature";
    let message_signature = written.http_message_signature;
    let label = message_signature.label.unwrap_or_else(|| DEFAULT_LABEL.into());
    if KeyRef::from_str(&label).is_err() {
        errors.push(ConfigError::new(
            format!("{PATH}.label"),
            "not a key of structured fields: write lower-case letters, digits, `_`, `-`, `.`, `*`, a letter first",
        ));
    }
    let certificate_field = ours.first().copied().unwrap_or_default();
    let components = match message_signature.components {
        None => ours
            .iter()
            .copied()
            .chain(["@method", "@authority", "@path", "content-digest"])
            .filter_map(|name| component(name, ours))
            .collect(),
        Some(names) => compile_components(&names, ours, certificate_field, errors),
    };
    let lifetime_seconds = in_range(
        message_signature.lifetime_seconds,
        DEFAULT_LIFETIME_SECONDS,
        1..=3600,
        "signature.http_message_signature.lifetime_seconds",
        errors,
    );
    if written.keys.is_empty() {
        errors.push(ConfigError::new(
            "signature.keys",
            "the list is empty: write at least one key, the first signs",
        ));
    }
    let mut kids = BTreeSet::new();
    let mut first = None;
    for (at, key) in readable(written.keys, "signature.keys", errors) {
        if key.kid.is_empty() || !key.kid.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
            errors.push(ConfigError::new(
                format!("{at}.kid"),
                "not a key identifier: write visible ASCII characters",
            ));
        } else if !kids.insert(key.kid.clone()) {
            errors.push(ConfigError::new(
                format!("{at}.kid"),
                "another key has the same kid: give each key its own",
            ));
        }
        let secret = secret::resolve(&key.key, env).and_then(|text| {
            let secret = match key.alg {
                document::Algorithm::Ed25519 => SigningSecret::ed25519_from_pem(&text),
                document::Algorithm::HmacSha256 => SigningSecret::hmac_sha256_from_base64(&text),
            };
            secret.map_err(|error| error.to_string())
        });
        match secret {
            Ok(secret) => first = first.or(Some(SigningKey { kid: key.kid, secret })),
            Err(message) => errors.push(ConfigError::new(format!("{at}.key"), message)),
        }
    }
    Some((HttpMessageSignature { label, components, lifetime_seconds }, first?))
}

fn compile_components(
    names: &[String],
    ours: &[&str],
    certificate_field: &str,
    errors: &mut Vec<ConfigError>,
) -> Vec<Component> {
    const PATH: &str = "signature.http_message_signature.components";
    let mut components = Vec::new();
    for (index, name) in names.iter().enumerate() {
        match component(name, ours) {
            Some(component) if components.contains(&component) => errors.push(ConfigError::new(
                format!("{PATH}[{index}]"),
                format!("`{name}` is there twice, which RFC 9421 §2.5 forbids: remove one"),
            )),
            Some(component) => components.push(component),
            None => errors.push(ConfigError::new(
                format!("{PATH}[{index}]"),
                format!(
                    "`{name}` cannot be covered: write `@method`, `@authority`, `@path`, `@query`, `content-digest`, or a header that certbound sets: `{}`",
                    ours.join("`, `")
                ),
            )),
        }
    }
    if !names.iter().any(|name| name == certificate_field) {
        errors.push(ConfigError::new(
            PATH,
            format!("the certificate would not be signed: add `{certificate_field}`"),
        ));
    }
    components
}

fn component(name: &str, ours: &[&str]) -> Option<Component> {
    Some(match name {
        "@authority" => Component::Authority,
        "@method" => Component::Method,
        "@path" => Component::Path,
        "@query" => Component::Query,
        _ if name == "content-digest" || ours.contains(&name) => Component::Field(name.to_owned()),
        _ => return None,
    })
}
