//! HTTP message signatures (RFC 9421): covered components, the signature base and its signing.

mod component;

use std::{
    fmt::{self, Write as _},
    sync::OnceLock,
};

use sfv::{FieldType as _, Item, StringRef};
use sha2::{Digest as _, Sha256};

use crate::{
    client_cert::byte_sequence,
    endpoint::split_target,
    signing_key::{Beginning, SigningKey},
};
pub use component::{Component, InvalidComponent};

/// What of a request can be covered.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// Host and optional port. The scheme is https.
    pub authority: &'a str,
    /// The request target in origin form: path and query.
    pub target: &'a str,
    /// Header fields with lower-case names.
    pub fields: &'a [Field<'a>],
}

/// Name and value of a header field.
pub type Field<'a> = (&'a str, &'a [u8]);

impl<'a> SignedRequest<'a> {
    /// The authority in lower case and without the scheme's port (RFC 9421 §2.2.3).
    pub fn normalised_authority(&self) -> String {
        let authority = self.authority.to_ascii_lowercase();
        authority.strip_suffix(":443").unwrap_or(&authority).to_owned()
    }

    /// The path as it was sent, never empty (RFC 9421 §2.2.6).
    pub fn path(&self) -> &'a str {
        match split_target(self.target) {
            ("", _) => "/",
            (path, _) => path,
        }
    }

    /// The query as it was sent, without `?`.
    pub fn query(&self) -> Option<&'a str> {
        let (_, query) = split_target(self.target);
        query
    }
}

/// The value of `Content-Digest` for a body (RFC 9530 §2).
pub fn content_digest(body: &[u8]) -> String {
    format!("sha-256={}", byte_sequence(&Sha256::digest(body)))
}

/// Signature parameters (RFC 9421 §2.3), written in this order.
#[derive(Clone, Debug, Default)]
pub struct SignatureParameters<'a> {
    /// Seconds since the Unix epoch.
    pub created: Option<u64>,
    /// Seconds since the Unix epoch.
    pub expires: Option<u64>,
    /// A value that is used once.
    pub nonce: Option<&'a str>,
    /// The key's identifier.
    pub keyid: Option<&'a str>,
    /// The algorithm's name in the IANA registry.
    pub alg: Option<&'a str>,
    /// The application's name.
    pub tag: Option<&'a str>,
}

/// The string to be signed (RFC 9421 §2.5), with the value of its last line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignatureBase {
    /// The whole base.
    pub base: String,
    /// `@signature-params`, which is also the member value in `Signature-Input`.
    pub signature_params: String,
}

impl SignatureBase {
    /// Builds the base. Components that the request lacks are left out.
    ///
    /// # Errors
    /// When a value or parameter cannot be represented.
    pub fn new(
        components: &[Component],
        parameters: &SignatureParameters<'_>,
        request: &SignedRequest<'_>,
    ) -> Result<Self, Unsignable> {
        Self::after(&[], components, parameters, request)
    }

    /// The base without the lines of the first components, `known`.
    fn after(
        known: &[Component],
        others: &[Component],
        parameters: &SignatureParameters<'_>,
        request: &SignedRequest<'_>,
    ) -> Result<Self, Unsignable> {
        let mut base = String::with_capacity(USUAL_BYTES);
        let mut signature_params = String::with_capacity(USUAL_BYTES);
        let mut cover = |component: &Component| {
            let delimiter = if signature_params.is_empty() { "(" } else { " " };
            signature_params.extend([delimiter, component.serialised()]);
        };
        known.iter().for_each(&mut cover);
        for component in others {
            let Some(value) = component.value(request)? else { continue };
            cover(component);
            base.extend([component.serialised(), ": ", &value, "\n"]);
        }
        signature_params.push_str(if signature_params.is_empty() { "()" } else { ")" });
        for (name, value) in [("created", parameters.created), ("expires", parameters.expires)] {
            if let Some(value) = value {
                let value = sfv::Integer::try_from(value).map_err(|_| unsignable(name))?;
                let _ = write!(signature_params, ";{name}={value}");
            }
        }
        for (name, value) in [
            ("nonce", parameters.nonce),
            ("keyid", parameters.keyid),
            ("alg", parameters.alg),
            ("tag", parameters.tag),
        ] {
            if let Some(value) = value {
                let value = StringRef::from_str(value).map_err(|_| unsignable(name))?;
                signature_params.extend([";", name, "="]);
                push_string(&mut signature_params, value);
            }
        }
        base.extend(["\"@signature-params\": ", &signature_params]);
        Ok(Self { base, signature_params })
    }
}

/// Room for most bases and parameters, the certificate apart.
const USUAL_BYTES: usize = 512;

/// Serialises a string (RFC 9651 §4.1.6). Most are in quotes as they are.
fn push_string(text: &mut String, value: &StringRef) {
    if value.as_str().contains(['"', '\\']) {
        text.push_str(&Item::new(value).serialize());
    } else {
        text.extend(["\"", value.as_str(), "\""]);
    }
}

fn unsignable(parameter: &str) -> Unsignable {
    Unsignable::new(parameter, "has no serialisation")
}

/// A part of a request, or a parameter, that no signature can carry unambiguously.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unsignable {
    what: String,
    problem: &'static str,
}

impl Unsignable {
    /// `what` is to be signed, but has this problem.
    pub(crate) fn new(what: impl Into<String>, problem: &'static str) -> Self {
        Self { what: what.into(), problem }
    }
}

impl fmt::Display for Unsignable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is to be signed, but {}", self.what, self.problem)
    }
}

impl std::error::Error for Unsignable {}

/// What certbound signs and how its signature is labelled.
#[derive(Clone, Debug)]
pub struct HttpMessageSignature {
    /// The member name in `Signature` and `Signature-Input`.
    pub label: String,
    /// Covered components, in this order.
    pub components: Vec<Component>,
    /// From `created` to `expires`.
    pub lifetime_seconds: u64,
}

/// The `tag` parameter of every signature of certbound.
pub const TAG: &str = "certbound";

impl HttpMessageSignature {
    /// Whether a field, or a part of it, is covered.
    pub fn covers(&self, field: &str) -> bool {
        self.components.iter().any(|component| component.name() == field)
    }

    /// Signs a request and returns the members to be added to `Signature-Input` and `Signature`. `beginning` is given where
    /// the first component is there and the same in all requests that it is given with: its line is put there, if that is
    /// of use, and taken from there.
    ///
    /// # Errors
    /// When a covered component cannot be signed.
    pub fn sign(
        &self,
        key: &SigningKey,
        request: &SignedRequest<'_>,
        created: u64,
        nonce: &str,
        beginning: Option<&OnceLock<Beginning>>,
    ) -> Result<[String; 2], Unsignable> {
        let parameters = SignatureParameters {
            created: Some(created),
            expires: Some(created.saturating_add(self.lifetime_seconds)),
            nonce: Some(nonce),
            keyid: Some(&key.kid),
            alg: Some(key.secret.algorithm()),
            tag: Some(TAG),
        };
        let components = self.components.split_at_checked(1);
        let (signature, signature_params) = match (beginning.and_then(OnceLock::get), components) {
            (Some(beginning), Some((known, others))) => {
                let rest = SignatureBase::after(known, others, &parameters, request)?;
                (beginning.sign(rest.base.as_bytes()), rest.signature_params)
            }
            _ => {
                let base = SignatureBase::new(&self.components, &parameters, request)?;
                if let (Some(beginning), Some(line)) =
                    (beginning, base.base.split_inclusive('\n').next())
                    && let Some(begun) = key.secret.begin(line.as_bytes())
                {
                    let _ = beginning.set(begun);
                }
                (key.secret.sign(base.base.as_bytes()), base.signature_params)
            }
        };
        let label = &self.label;
        Ok([
            format!("{label}={signature_params}"),
            format!("{label}={}", byte_sequence(&signature)),
        ])
    }
}

#[cfg(test)]
mod tests {
    use sfv::{BareItem, List, ListEntry, Parser};

    use super::*;

    #[test]
    fn parameters_are_read_as_they_were_meant() {
        for keyid in ["2026-11", "", r#"a"b\c"#, "\\", "a b"] {
            let components =
                ["@method", "x-absent", "@path"].map(|name| Component::parse(name).unwrap());
            let request = SignedRequest {
                method: "POST",
                authority: "as.example.com",
                target: "/",
                fields: &[],
            };
            for (components, names) in [(&components[..], &["@method", "@path"][..]), (&[], &[])] {
                let parameters = SignatureParameters {
                    created: Some(999_999_999_999_999),
                    keyid: Some(keyid),
                    ..SignatureParameters::default()
                };
                let base = SignatureBase::new(components, &parameters, &request).unwrap();
                let list: List = Parser::new(&base.signature_params).parse().unwrap();
                let [ListEntry::InnerList(list)] = &list[..] else { panic!("{list:?}") };
                let covered =
                    list.items.iter().map(|item| item.bare_item.as_string().unwrap().as_str());
                assert_eq!(covered.collect::<Vec<_>>(), names);
                let parameters: Vec<_> =
                    list.params.iter().map(|(name, value)| (name.as_str(), value)).collect();
                let created = BareItem::Integer(999_999_999_999_999_u64.try_into().unwrap());
                let keyid = BareItem::String(keyid.to_owned().try_into().unwrap());
                assert_eq!(parameters, [("created", &created), ("keyid", &keyid)]);
                assert!(
                    base.base
                        .ends_with(&format!("\"@signature-params\": {}", base.signature_params))
                );
            }
        }
    }

    #[test]
    fn what_has_no_serialisation_is_not_signed() {
        let request =
            SignedRequest { method: "POST", authority: "as.example.com", target: "/", fields: &[] };
        for parameters in [
            SignatureParameters { created: Some(1_000_000_000_000_000), ..Default::default() },
            SignatureParameters { keyid: Some("caf\u{e9}"), ..Default::default() },
            SignatureParameters { nonce: Some("a\nb"), ..Default::default() },
        ] {
            assert!(SignatureBase::new(&[], &parameters, &request).is_err(), "{parameters:?}");
        }
    }
}
