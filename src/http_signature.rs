//! HTTP message signatures (RFC 9421): the signature base and its signing.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ed25519_dalek::{Signer as _, pkcs8::DecodePrivateKey as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sfv::{KeyRef, ListSerializer, StringRef};
use sha2::Sha256;

use crate::client_cert::byte_sequence;

/// A covered component (RFC 9421 §2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Component {
    /// `@authority` (§2.2.3).
    Authority,
    /// A header field by its lower-case name (§2.1).
    Field(String),
    /// `@method` (§2.2.1).
    Method,
    /// `@path` (§2.2.6).
    Path,
    /// `@query` (§2.2.7).
    Query,
}

impl Component {
    /// The component name as it stands in `Signature-Input`.
    pub fn name(&self) -> &str {
        match self {
            Self::Authority => "@authority",
            Self::Field(name) => name,
            Self::Method => "@method",
            Self::Path => "@path",
            Self::Query => "@query",
        }
    }

    /// The component's value in a request, or `None` for a field that the request lacks.
    ///
    /// # Errors
    /// When the value holds other than visible ASCII, spaces and tabs, so that signer and verifier could differ.
    pub(crate) fn value(&self, request: &SignedRequest<'_>) -> Result<Option<String>, Unsignable> {
        let value = match self {
            Self::Method => request.method.to_owned(),
            Self::Authority => {
                let authority = request.authority.to_ascii_lowercase();
                authority.strip_suffix(":443").unwrap_or(&authority).to_owned()
            }
            Self::Path => match request.target.split('?').next() {
                None | Some("") => "/".to_owned(),
                Some(path) => path.to_owned(),
            },
            Self::Query => {
                format!("?{}", request.target.split_once('?').map_or("", |(_, query)| query))
            }
            Self::Field(name) => {
                let values: Vec<_> = request
                    .fields
                    .iter()
                    .filter(|(field, _)| field == name)
                    .map(|(_, value)| value.trim_ascii())
                    .collect();
                if values.is_empty() {
                    return Ok(None);
                }
                String::from_utf8(values.join(&b", "[..])).map_err(|_| Unsignable)?
            }
        };
        if value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) {
            Ok(Some(value))
        } else {
            Err(Unsignable)
        }
    }
}

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
    pub fields: &'a [(String, Vec<u8>)],
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
    /// Builds the base. Components that name a field which the request lacks are left out.
    ///
    /// # Errors
    /// When a value or parameter cannot be represented.
    pub fn new(
        components: &[Component],
        parameters: &SignatureParameters<'_>,
        request: &SignedRequest<'_>,
    ) -> Result<Self, Unsignable> {
        let mut base = String::new();
        let mut list = ListSerializer::new();
        let mut covered = list.inner_list();
        for component in components {
            let Some(value) = component.value(request)? else { continue };
            let name = component.name();
            covered.bare_item(StringRef::from_str(name).map_err(|_| Unsignable)?);
            base.push_str(&format!("\"{name}\": {value}\n"));
        }
        let mut serializer = covered.finish();
        for (name, value) in [("created", parameters.created), ("expires", parameters.expires)] {
            if let Some(value) = value {
                let value = sfv::Integer::try_from(value).map_err(|_| Unsignable)?;
                serializer = serializer.parameter(key(name)?, value);
            }
        }
        for (name, value) in [
            ("nonce", parameters.nonce),
            ("keyid", parameters.keyid),
            ("alg", parameters.alg),
            ("tag", parameters.tag),
        ] {
            if let Some(value) = value {
                let value = StringRef::from_str(value).map_err(|_| Unsignable)?;
                serializer = serializer.parameter(key(name)?, value);
            }
        }
        let _ = serializer.finish();
        let signature_params = list.finish().ok_or(Unsignable)?;
        base.push_str(&format!("\"@signature-params\": {signature_params}"));
        Ok(Self { base, signature_params })
    }
}

fn key(name: &'static str) -> Result<&'static KeyRef, Unsignable> {
    KeyRef::from_str(name).map_err(|_| Unsignable)
}

/// A component value or parameter that RFC 9421 cannot carry unambiguously.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unsignable;

impl fmt::Display for Unsignable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a covered component holds characters that cannot be signed")
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
    /// Whether the body's digest is covered.
    pub fn covers(&self, field: &str) -> bool {
        self.components.iter().any(|component| component.name() == field)
    }

    /// Signs a request and returns the members to be added to `Signature-Input` and `Signature`.
    ///
    /// # Errors
    /// When a covered component cannot be signed.
    pub fn sign(
        &self,
        key: &SigningKey,
        request: &SignedRequest<'_>,
        created: u64,
        nonce: &str,
    ) -> Result<(String, String), Unsignable> {
        let parameters = SignatureParameters {
            created: Some(created),
            expires: Some(created.saturating_add(self.lifetime_seconds)),
            nonce: Some(nonce),
            keyid: Some(&key.kid),
            alg: Some(key.secret.algorithm()),
            tag: Some(TAG),
        };
        let base = SignatureBase::new(&self.components, &parameters, request)?;
        let signature = key.secret.sign(base.base.as_bytes());
        let label = &self.label;
        Ok((
            format!("{label}={}", base.signature_params),
            format!("{label}={}", byte_sequence(&signature)),
        ))
    }
}

/// A signing key and its identifier.
#[derive(Clone, Debug)]
pub struct SigningKey {
    /// `keyid`.
    pub kid: String,
    /// The key itself.
    pub secret: SigningSecret,
}

/// Secret key material with its algorithm (RFC 9421 §3.3). `Debug` prints the algorithm only.
#[derive(Clone)]
pub enum SigningSecret {
    /// `ed25519` (§3.3.6).
    Ed25519(Box<ed25519_dalek::SigningKey>),
    /// `hmac-sha256` (§3.3.3), with the key schedule done.
    HmacSha256(Box<Hmac<Sha256>>),
}

impl SigningSecret {
    /// The shortest HMAC key: as long as the hash output (RFC 2104 §3).
    pub const HMAC_MINIMUM_BYTES: usize = 32;

    /// Reads an Ed25519 private key from PKCS#8 PEM (RFC 8410 §7).
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn ed25519_from_pem(pem: &str) -> Result<Self, InvalidKey> {
        ed25519_dalek::SigningKey::from_pkcs8_pem(pem)
            .map(|key| Self::Ed25519(Box::new(key)))
            .map_err(|_| InvalidKey::Ed25519)
    }

    /// Reads an HMAC key from base64.
    ///
    /// # Errors
    /// When the text is not base64, or the key is shorter than [`Self::HMAC_MINIMUM_BYTES`].
    pub fn hmac_sha256_from_base64(text: &str) -> Result<Self, InvalidKey> {
        let key = BASE64_STANDARD.decode(text.trim()).map_err(|_| InvalidKey::Hmac)?;
        if key.len() < Self::HMAC_MINIMUM_BYTES {
            return Err(InvalidKey::HmacTooShort);
        }
        Hmac::new_from_slice(&key)
            .map(|mac| Self::HmacSha256(Box::new(mac)))
            .map_err(|_| InvalidKey::Hmac)
    }

    /// The algorithm's name in the registry of RFC 9421 §6.2.
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "ed25519",
            Self::HmacSha256(_) => "hmac-sha256",
        }
    }

    /// Signs a signature base.
    pub fn sign(&self, base: &[u8]) -> Vec<u8> {
        match self {
            Self::Ed25519(key) => key.sign(base).to_bytes().to_vec(),
            Self::HmacSha256(mac) => {
                let mut mac = (**mac).clone();
                mac.update(base);
                mac.finalize().into_bytes().to_vec()
            }
        }
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm())
    }
}

/// Why key material cannot be used. Never quotes it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidKey {
    /// Not a PKCS#8 PEM Ed25519 private key.
    Ed25519,
    /// Not base64.
    Hmac,
    /// An HMAC key that is too short to resist guessing.
    HmacTooShort,
}

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519 => {
                "not an Ed25519 private key: write PKCS#8 PEM, as `openssl genpkey -algorithm ed25519` prints it"
            }
            Self::Hmac => "not an HMAC key: write base64, as `openssl rand -base64 32` prints it",
            Self::HmacTooShort => {
                "the HMAC key is too short: write at least 32 random bytes, as `openssl rand -base64 32` prints them"
            }
        })
    }
}

impl std::error::Error for InvalidKey {}
