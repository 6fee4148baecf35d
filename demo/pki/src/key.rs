//! Private keys that anyone can derive.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ed25519_dalek::pkcs8::KeypairBytes;
use rsa::{
    BoxedUint, RsaPrivateKey, pkcs1v15,
    pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding},
    signature::Keypair,
    traits::PublicKeyParts,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha512};
use x509_cert::{
    Certificate,
    builder::{Builder, CertificateBuilder, profile::BuilderProfile},
    der::EncodePem,
    spki::SubjectPublicKeyInfoOwned,
};

use crate::rsa_primes;

/// The primes of the RSA key of 2048 bits: looking for new ones takes long in an unoptimized build.
const RSA_PRIMES: [&str; 2] = [
    "fa41f319e0fff37ba9bb41eb896a561c83582644858ae79ab508f9682ff3e2eb\
     15cbea857efd5942096737a6646a4527b4d331f181b80b9bb40b08272cf8e300\
     b537128bea659bdf4ebf5bf2912e37654503fd51aec1356d2cb55301b119b081\
     eb92c208fa063231c67868a679479d3f2b190bb569f6068d708151d70d8c115d",
    "d79590e6747aae8a803c8855086603755654a91bebf1d95f0ec686804b5bd324\
     be5b3778f0559b36b6480d617271f1e5f5c3f87009da4fb82a6340545a736c27\
     210e3290317a7915f62f717da183abd0dc0be41cd15007ed64e4ad037267d9f5\
     02143f90750711f8f37b2e07b81f0b112466ecabae18082e4c5e7327955e08fb",
];

/// A private key of one of the algorithms found in TLS client certificates.
#[derive(Clone)]
pub enum Key {
    /// ECDSA on P-256 with SHA-256.
    P256(Box<p256::ecdsa::SigningKey>),
    /// ECDSA on P-384 with SHA-384.
    P384(Box<p384::ecdsa::SigningKey>),
    /// Ed25519.
    Ed25519(Box<ed25519_dalek::SigningKey>),
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rsa(Box<pkcs1v15::SigningKey<Sha256>>),
}

impl Key {
    /// The P-256 key of this name.
    pub fn p256(name: &str) -> Self {
        Self::P256(Box::new(derive(name, |bytes| {
            p256::ecdsa::SigningKey::from_slice(&bytes[..32]).ok()
        })))
    }

    /// The P-384 key of this name.
    pub fn p384(name: &str) -> Self {
        Self::P384(Box::new(derive(name, |bytes| {
            p384::ecdsa::SigningKey::from_slice(&bytes[..48]).ok()
        })))
    }

    /// The Ed25519 key of this name.
    pub fn ed25519(name: &str) -> Self {
        Self::Ed25519(Box::new(derive(name, |bytes| {
            ed25519_dalek::SigningKey::try_from(&bytes[..32]).ok()
        })))
    }

    /// The RSA key of 2048 bits; there is only one.
    pub fn rsa_2048() -> Self {
        let [p, q] = RSA_PRIMES
            .map(|hex| BoxedUint::from_be_hex(hex, 1024).expect("256 hexadecimal digits"));
        let key = RsaPrivateKey::from_p_q(p, q, 65537_u32.into()).expect("two primes");
        Self::Rsa(Box::new(pkcs1v15::SigningKey::new(key)))
    }

    /// An RSA key of 1024, 2048, 3072 or 4096 bits.
    ///
    /// # Panics
    /// For any other length.
    pub fn rsa(bits: u32) -> Self {
        let primes = match bits {
            1024 => rsa_primes::BITS_1024,
            2048 => return Self::rsa_2048(),
            3072 => rsa_primes::BITS_3072,
            4096 => rsa_primes::BITS_4096,
            _ => panic!("there is no RSA key of {bits} bits"),
        };
        let [p, q] =
            primes.map(|hex| BoxedUint::from_be_hex(hex, bits / 2).expect("hexadecimal digits"));
        let key = RsaPrivateKey::from_p_q(p, q, 65537_u32.into()).expect("two primes");
        Self::Rsa(Box::new(pkcs1v15::SigningKey::new(key)))
    }

    /// The private key as PKCS#8 PEM.
    pub fn to_pkcs8_pem(&self) -> String {
        let pem = match self {
            Self::P256(key) => key.to_pkcs8_pem(LineEnding::LF),
            Self::P384(key) => key.to_pkcs8_pem(LineEnding::LF),
            Self::Ed25519(key) => {
                // With the public key in it, as the crate would write it, OpenSSL 3.0 cannot read it.
                let secret_key = key.to_bytes();
                KeypairBytes { secret_key, public_key: None }.to_pkcs8_pem(LineEnding::LF)
            }
            Self::Rsa(key) => key.to_pkcs8_pem(LineEnding::LF),
        };
        pem.expect("a key has an encoding").to_string()
    }

    /// The public key as SubjectPublicKeyInfo PEM.
    pub fn to_public_key_pem(&self) -> String {
        let pem = self.public_key().to_pem(LineEnding::LF);
        pem.expect("a key has an encoding")
    }

    /// The public key as a JSON Web Key (RFC 7517).
    pub fn to_jwk(&self) -> Value {
        let base64url = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let elliptic = |curve, key: &[u8]| {
            // Behind the first octet, which says "uncompressed", come both coordinates (SEC 1 §2.3.3).
            let (x, y) = key[1..].split_at(key.len() / 2);
            json!({ "kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y) })
        };
        let public_key = self.public_key().subject_public_key;
        match self {
            Self::P256(_) => elliptic("P-256", public_key.raw_bytes()),
            Self::P384(_) => elliptic("P-384", public_key.raw_bytes()),
            Self::Ed25519(_) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(public_key.raw_bytes()) })
            }
            Self::Rsa(key) => {
                let key: &RsaPrivateKey = key.as_ref().as_ref();
                json!({ "kty": "RSA", "n": base64url(&key.n_bytes()), "e": base64url(&key.e_bytes()) })
            }
        }
    }

    pub(crate) fn public_key(&self) -> SubjectPublicKeyInfoOwned {
        let document = match self {
            Self::P256(key) => key.verifying_key().to_public_key_der(),
            Self::P384(key) => key.verifying_key().to_public_key_der(),
            Self::Ed25519(key) => key.verifying_key().to_public_key_der(),
            Self::Rsa(key) => key.verifying_key().to_public_key_der(),
        };
        let document = document.expect("a key has an encoding");
        document.decode_msg().expect("it was just encoded")
    }

    pub(crate) fn sign<P: BuilderProfile>(&self, builder: CertificateBuilder<P>) -> Certificate {
        let certificate = match self {
            Self::P256(key) => builder.build::<_, p256::ecdsa::DerSignature>(&**key),
            Self::P384(key) => builder.build::<_, p384::ecdsa::DerSignature>(&**key),
            Self::Ed25519(key) => builder.build::<_, ed25519_dalek::Signature>(&**key),
            Self::Rsa(key) => builder.build::<_, pkcs1v15::Signature>(&**key),
        };
        certificate.expect("the template can be encoded and signed")
    }
}

/// The first of the numbers derived from the name that is a key: not every number is in the group's range.
fn derive<K>(name: &str, key_from: impl Fn(&[u8]) -> Option<K>) -> K {
    let attempts = (0_u32..).map(|attempt| {
        Sha512::digest(format!("certbound demo key, public and worthless: {name} {attempt}"))
    });
    attempts.filter_map(|bytes| key_from(&bytes)).next().expect("nearly every number is a key")
}
