//! Keys that certbound signs with, in HTTP message signatures (RFC 9421 §3.3) and in JWS (RFC 7518 §3, RFC 8037 §3.1).

use std::fmt;

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use ed25519_dalek::{Signer as _, Verifier as _, pkcs8::DecodePrivateKey as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use sha2::Sha256;

/// A signing key and its identifier.
#[derive(Clone, Debug)]
pub struct SigningKey {
    /// `keyid` of RFC 9421, `kid` of JWS and JWK.
    pub kid: String,
    /// The key itself.
    pub secret: SigningSecret,
}

impl SigningKey {
    /// The public key as a JWK (RFC 7517); `None` for an HMAC key, which has none.
    pub fn public_jwk(&self) -> Option<PublicJwk<'_>> {
        let (kty, crv, x, y) = match &self.secret {
            SigningSecret::EcdsaP256(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                (
                    "EC",
                    "P-256",
                    BASE64_URL_SAFE_NO_PAD.encode(point.x()?),
                    Some(point.y()?.to_vec()),
                )
            }
            SigningSecret::Ed25519(key) => {
                let x = BASE64_URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
                ("OKP", "Ed25519", x, None)
            }
            SigningSecret::HmacSha256(_) => return None,
        };
        let y = y.map(|y| BASE64_URL_SAFE_NO_PAD.encode(y));
        let alg = self.secret.jws_algorithm();
        Some(PublicJwk { kty, crv, x, y, kid: &self.kid, alg, r#use: "sig" })
    }
}

/// A public key for verifiers (RFC 7517 §4, RFC 7518 §6.2.1, RFC 8037 §2).
#[derive(Clone, Debug, Serialize)]
pub struct PublicJwk<'a> {
    kty: &'static str,
    crv: &'static str,
    x: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    kid: &'a str,
    alg: &'static str,
    r#use: &'static str,
}

/// Secret key material with its algorithm. `Debug` prints the algorithm only.
#[derive(Clone)]
pub enum SigningSecret {
    /// ECDSA on P-256 with SHA-256 (RFC 9421 §3.3.4), deterministic (RFC 6979).
    EcdsaP256(Box<p256::ecdsa::SigningKey>),
    /// Ed25519 (RFC 9421 §3.3.6).
    Ed25519(Box<ed25519_dalek::SigningKey>),
    /// HMAC with SHA-256 (RFC 9421 §3.3.3), with the key schedule done.
    HmacSha256(Box<Hmac<Sha256>>),
}

impl SigningSecret {
    /// The shortest HMAC key: as long as the hash output (RFC 2104 §3).
    pub const HMAC_MINIMUM_BYTES: usize = 32;

    /// Reads an ECDSA P-256 private key from PKCS#8 PEM (RFC 5958, RFC 5915).
    ///
    /// # Errors
    /// When the text is anything else, and when the key is one that nobody drew at random.
    pub fn ecdsa_p256_from_pem(pem: &str) -> Result<Self, InvalidKey> {
        let key = p256::ecdsa::SigningKey::from_pkcs8_pem(pem)
            .map_err(|_| problem_of_pem(pem).unwrap_or(InvalidKey::EcdsaP256))?;
        require_random(&key.to_bytes())?;
        Ok(Self::EcdsaP256(Box::new(key)))
    }

    /// Reads an Ed25519 private key from PKCS#8 PEM (RFC 8410 §7).
    ///
    /// # Errors
    /// When the text is anything else, and when the key is one that nobody drew at random.
    pub fn ed25519_from_pem(pem: &str) -> Result<Self, InvalidKey> {
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(pem)
            .map_err(|_| problem_of_pem(pem).unwrap_or(InvalidKey::Ed25519))?;
        require_random(key.as_bytes())?;
        Ok(Self::Ed25519(Box::new(key)))
    }

    /// Reads an HMAC key from base64.
    ///
    /// # Errors
    /// When the text is not base64, when the key is shorter than [`Self::HMAC_MINIMUM_BYTES`], and when it is one that
    /// nobody drew at random.
    pub fn hmac_sha256_from_base64(text: &str) -> Result<Self, InvalidKey> {
        let key = BASE64_STANDARD.decode(text.trim()).map_err(|_| InvalidKey::Hmac)?;
        if key.len() < Self::HMAC_MINIMUM_BYTES {
            return Err(InvalidKey::HmacTooShort);
        }
        require_random(&key)?;
        Hmac::new_from_slice(&key)
            .map(|mac| Self::HmacSha256(Box::new(mac)))
            .map_err(|_| InvalidKey::Hmac)
    }

    /// The algorithm's name in the registry of RFC 9421 §6.2.
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::EcdsaP256(_) => "ecdsa-p256-sha256",
            Self::Ed25519(_) => "ed25519",
            Self::HmacSha256(_) => "hmac-sha256",
        }
    }

    /// The same algorithm's name in JWS (RFC 7518 §3.1, RFC 8037 §3.1).
    pub fn jws_algorithm(&self) -> &'static str {
        match self {
            Self::EcdsaP256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
            Self::HmacSha256(_) => "HS256",
        }
    }

    /// Signs a message: always the same way, so that no signature depends on a source of randomness. Of ECDSA these are
    /// `r` and `s`, 32 bytes each, as RFC 9421 and JWS have it.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::EcdsaP256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            Self::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
            Self::HmacSha256(mac) => {
                (**mac).clone().chain_update(message).finalize().into_bytes().to_vec()
            }
        }
    }

    /// Takes in what many messages begin with, where the algorithm lets that be done once for all of them: with HMAC.
    pub fn begin(&self, beginning: &[u8]) -> Option<Beginning> {
        match self {
            Self::EcdsaP256(_) | Self::Ed25519(_) => None,
            Self::HmacSha256(mac) => Some(Beginning((**mac).clone().chain_update(beginning))),
        }
    }

    /// Whether this is the same key.
    pub fn is_same_key(&self, other: &Self) -> bool {
        const MESSAGE: &[u8] = b"certbound";
        self.algorithm() == other.algorithm() && self.sign(MESSAGE) == other.sign(MESSAGE)
    }

    /// Signs a message and verifies the signature. To be called once, before the first client comes: it finds a
    /// miscompiled module, and lets the host compile what the first client would otherwise wait for.
    ///
    /// # Errors
    /// When the answer is wrong, so that no server could verify signatures.
    pub fn require_right_signature(&self) -> Result<(), WrongSignature> {
        const MESSAGE: &[u8] = b"what do ya want for nothing?";
        let is_right = match self {
            Self::EcdsaP256(key) => {
                let signature = p256::ecdsa::Signature::from_slice(&self.sign(MESSAGE));
                signature.is_ok_and(|signature| {
                    let verifying_key = key.verifying_key();
                    verifying_key.verify(MESSAGE, &signature).is_ok()
                        && verifying_key.verify(b"", &signature).is_err()
                })
            }
            Self::Ed25519(key) => {
                let signature = ed25519_dalek::Signature::from_slice(&self.sign(MESSAGE));
                signature.is_ok_and(|signature| {
                    let verifying_key = key.verifying_key();
                    verifying_key.verify_strict(MESSAGE, &signature).is_ok()
                        && verifying_key.verify_strict(b"", &signature).is_err()
                })
            }
            // RFC 4231 §4.3: to verify is to compute the same again, so that only a known answer tells.
            Self::HmacSha256(_) => Hmac::<Sha256>::new_from_slice(b"Jefe").is_ok_and(|mac| {
                let known = "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=";
                let answer = Self::HmacSha256(Box::new(mac)).sign(MESSAGE);
                BASE64_STANDARD.encode(answer) == known
            }),
        };
        if is_right { Ok(()) } else { Err(WrongSignature(self.algorithm())) }
    }
}

/// What messages begin with, taken in with the key that signs them. `Debug` prints neither.
#[derive(Clone)]
pub struct Beginning(Hmac<Sha256>);

impl Beginning {
    /// The signature over the beginning and the rest of a message.
    pub fn sign(&self, rest: &[u8]) -> Vec<u8> {
        self.0.clone().chain_update(rest).finalize().into_bytes().to_vec()
    }
}

impl fmt::Debug for Beginning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hmac-sha256")
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm())
    }
}

/// Refuses what stands where a key is still to be put.
fn require_random(key: &[u8]) -> Result<(), InvalidKey> {
    let is_repetition = key.first().is_none_or(|first| key.iter().all(|byte| byte == first));
    if is_repetition { Err(InvalidKey::Repetition) } else { Ok(()) }
}

/// What a PEM text is that is not the private key it should be.
fn problem_of_pem(pem: &str) -> Option<InvalidKey> {
    let is_section = |end_of_label: &str| pem.contains(&format!("{end_of_label}-----"));
    if is_section("ENCRYPTED PRIVATE KEY") || pem.contains("Proc-Type: 4,ENCRYPTED") {
        Some(InvalidKey::Encrypted)
    } else if ["EC PRIVATE KEY", "OPENSSH PRIVATE KEY", "RSA PRIVATE KEY"]
        .into_iter()
        .any(is_section)
    {
        Some(InvalidKey::NotPkcs8)
    } else if ["PUBLIC KEY", "CERTIFICATE"].into_iter().any(is_section) {
        Some(InvalidKey::Public)
    } else {
        None
    }
}

/// Why key material cannot be used. Never quotes it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidKey {
    /// Not a PKCS#8 PEM ECDSA P-256 private key.
    EcdsaP256,
    /// Not a PKCS#8 PEM Ed25519 private key.
    Ed25519,
    /// A private key that only a passphrase opens.
    Encrypted,
    /// Not base64.
    Hmac,
    /// An HMAC key that is too short to resist guessing.
    HmacTooShort,
    /// A private key in another form than PKCS#8.
    NotPkcs8,
    /// A public key or a certificate.
    Public,
    /// The same byte over and over.
    Repetition,
}

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EcdsaP256 => {
                "not an ECDSA private key on P-256: write PKCS#8 PEM, as `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` prints it"
            }
            Self::Ed25519 => {
                "not an Ed25519 private key: write PKCS#8 PEM, as `openssl genpkey -algorithm ed25519` prints it"
            }
            Self::Encrypted => {
                "the private key is encrypted, and nobody is there to enter the passphrase: write PKCS#8 PEM, as `openssl pkcs8 -topk8 -nocrypt` prints it"
            }
            Self::Hmac => "not an HMAC key: write base64, as `openssl rand -base64 32` prints it",
            Self::HmacTooShort => {
                "the HMAC key is too short: write at least 32 random bytes, as `openssl rand -base64 32` prints them"
            }
            Self::NotPkcs8 => {
                "the private key is not in PKCS#8: write PEM that begins with `-----BEGIN PRIVATE KEY-----`, as `openssl pkcs8 -topk8 -nocrypt` prints it"
            }
            Self::Public => {
                "a public key or a certificate, with which nothing can be signed: write the private key as PKCS#8 PEM"
            }
            Self::Repetition => "the key is one byte over and over, not a secret: generate one at random",
        })
    }
}

impl std::error::Error for InvalidKey {}

/// The module does not sign correctly with an algorithm.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WrongSignature(&'static str);

impl fmt::Display for WrongSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this build signs wrongly with {}: do not use it", self.0)
    }
}

impl std::error::Error for WrongSignature {}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8410 §10.3.
    const ED25519: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";
    const HMAC: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    /// A key on P-256 as RFC 5915 has it without its optional parts.
    fn ecdsa_p256(scalar: &[u8; 32]) -> String {
        let mut der = hex("3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420");
        der.extend(scalar);
        pem(&der)
    }

    fn pem(der: &[u8]) -> String {
        let base64 = BASE64_STANDARD.encode(der);
        let lines: Vec<_> = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().collect();
        let octet = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(octet).collect()
    }

    /// RFC 6979 appendix A.2.5.
    fn scalar() -> [u8; 32] {
        let scalar = hex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
        scalar.try_into().unwrap()
    }

    fn ed25519(seed: [u8; 32]) -> String {
        let mut der = hex("302e020100300506032b657004220420");
        der.extend(seed);
        pem(&der)
    }

    #[test]
    fn every_algorithm_signs_rightly() {
        for (secret, algorithm, jws_algorithm, length) in [
            (
                SigningSecret::ecdsa_p256_from_pem(&ecdsa_p256(&scalar())),
                "ecdsa-p256-sha256",
                "ES256",
                64,
            ),
            (SigningSecret::ed25519_from_pem(ED25519), "ed25519", "EdDSA", 64),
            (SigningSecret::hmac_sha256_from_base64(HMAC), "hmac-sha256", "HS256", 32),
        ] {
            let secret = secret.unwrap();
            assert_eq!(secret.require_right_signature(), Ok(()), "{algorithm}");
            assert_eq!((secret.algorithm(), secret.jws_algorithm()), (algorithm, jws_algorithm));
            assert_eq!(secret.sign(b"").len(), length, "{algorithm}");
            assert!(secret.is_same_key(&secret.clone()), "{algorithm}");
            assert_eq!(format!("{secret:?}"), algorithm);
        }
    }

    #[test]
    fn different_keys_are_not_the_same() {
        let mut other = scalar();
        other[31] ^= 1;
        let keys = [
            SigningSecret::ecdsa_p256_from_pem(&ecdsa_p256(&scalar())).unwrap(),
            SigningSecret::ecdsa_p256_from_pem(&ecdsa_p256(&other)).unwrap(),
            SigningSecret::ed25519_from_pem(ED25519).unwrap(),
            SigningSecret::ed25519_from_pem(&ed25519(scalar())).unwrap(),
            SigningSecret::hmac_sha256_from_base64(HMAC).unwrap(),
            SigningSecret::hmac_sha256_from_base64(&BASE64_STANDARD.encode(scalar())).unwrap(),
        ];
        for (index, key) in keys.iter().enumerate() {
            let same: Vec<_> = keys.iter().filter(|other| key.is_same_key(other)).collect();
            assert_eq!(same.len(), 1, "{index}");
        }
    }

    #[test]
    fn public_keys_are_published_in_full() {
        let jwk = |secret| {
            let key = SigningKey { kid: "1".into(), secret };
            serde_json::to_string(&key.public_jwk()).unwrap()
        };
        // RFC 6979 appendix A.2.5: Ux and Uy.
        assert_eq!(
            jwk(SigningSecret::ecdsa_p256_from_pem(&ecdsa_p256(&scalar())).unwrap()),
            r#"{"kty":"EC","crv":"P-256","x":"YP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Y","y":"eQP-EAi4vJmkGunpVii8ZPLxsgwtfp9Rd6PClNRGIpk","kid":"1","alg":"ES256","use":"sig"}"#
        );
        assert_eq!(jwk(SigningSecret::hmac_sha256_from_base64(HMAC).unwrap()), "null");
    }

    #[test]
    fn what_is_no_ecdsa_key_is_rejected() {
        // The group's order (SEC 2 §2.4.2): the smallest scalar that is out of range.
        let order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
        let section =
            |label: &str| format!("-----BEGIN {label}-----\nAQID\n-----END {label}-----\n");
        for (pem, error) in [
            (String::new(), InvalidKey::EcdsaP256),
            (ecdsa_p256(&[0; 32]), InvalidKey::EcdsaP256),
            (ecdsa_p256(&order.try_into().unwrap()), InvalidKey::EcdsaP256),
            (ecdsa_p256(&[1; 32]), InvalidKey::Repetition),
            (ED25519.into(), InvalidKey::EcdsaP256),
            (section("PRIVATE KEY"), InvalidKey::EcdsaP256),
            (section("EC PRIVATE KEY"), InvalidKey::NotPkcs8),
            (section("EC PARAMETERS") + &section("EC PRIVATE KEY"), InvalidKey::NotPkcs8),
            (section("RSA PRIVATE KEY"), InvalidKey::NotPkcs8),
            (section("ENCRYPTED PRIVATE KEY"), InvalidKey::Encrypted),
            (section("PUBLIC KEY"), InvalidKey::Public),
            (section("CERTIFICATE"), InvalidKey::Public),
        ] {
            assert_eq!(SigningSecret::ecdsa_p256_from_pem(&pem).err(), Some(error), "{pem}");
        }
    }

    #[test]
    fn what_is_no_ed25519_key_is_rejected() {
        for (pem, error) in [
            (ecdsa_p256(&scalar()), InvalidKey::Ed25519),
            (ed25519([0; 32]), InvalidKey::Repetition),
            (ED25519.replace("PRIVATE", "PUBLIC"), InvalidKey::Public),
            (ED25519.replace("PRIVATE", "ENCRYPTED PRIVATE"), InvalidKey::Encrypted),
            (ED25519.replace("MC4", "MC5"), InvalidKey::Ed25519),
        ] {
            assert_eq!(SigningSecret::ed25519_from_pem(&pem).err(), Some(error), "{pem}");
        }
    }

    #[test]
    fn what_is_no_hmac_key_is_rejected() {
        for (text, error) in [
            (ED25519.to_owned(), InvalidKey::Hmac),
            (String::new(), InvalidKey::HmacTooShort),
            (BASE64_STANDARD.encode(&scalar()[1..]), InvalidKey::HmacTooShort),
            (BASE64_STANDARD.encode([0; 64]), InvalidKey::Repetition),
        ] {
            assert_eq!(SigningSecret::hmac_sha256_from_base64(&text).err(), Some(error), "{text}");
        }
    }
}
