//! Signatures other than the usual one of a key.

use std::convert::Infallible;

use rsa::{
    Pkcs1v15Sign, Pss,
    rand_core::{TryCryptoRng, TryRng},
    signature::{self, Keypair, Signer, hazmat::PrehashSigner},
};
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::{
    Certificate,
    builder::{Builder, CertificateBuilder, profile::BuilderProfile},
    der::{
        self, Any, Decode, Document, Encode,
        asn1::{BitString, Null, ObjectIdentifier},
    },
    spki::{
        self, AlgorithmIdentifierOwned, DynSignatureAlgorithmIdentifier, EncodePublicKey,
        SignatureBitStringEncoding, SubjectPublicKeyInfoOwned,
    },
};

use crate::Key;

/// How to sign, for a key of the right kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SignatureAlgorithm {
    /// ecdsa-with-SHA256 (RFC 5758).
    EcdsaSha256,
    /// ecdsa-with-SHA384.
    EcdsaSha384,
    /// ecdsa-with-SHA512.
    EcdsaSha512,
    /// Ed25519 (RFC 8410).
    Ed25519,
    /// sha1WithRSAEncryption; the signature itself is one with SHA-256, since nobody is to get as far as looking at it.
    RsaSha1,
    /// sha256WithRSAEncryption (RFC 4055).
    RsaSha256,
    /// The same without the NULL parameters.
    RsaSha256WithoutNull,
    /// sha384WithRSAEncryption.
    RsaSha384,
    /// sha512WithRSAEncryption.
    RsaSha512,
    /// id-RSASSA-PSS with SHA-256, NULL parameters in its hash algorithms.
    RsaPssSha256,
    /// The same without the NULL parameters.
    RsaPssSha256WithoutNull,
    /// id-RSASSA-PSS with SHA-384.
    RsaPssSha384,
    /// id-RSASSA-PSS with SHA-512.
    RsaPssSha512,
}

impl SignatureAlgorithm {
    fn identifier(self) -> AlgorithmIdentifierOwned {
        let (oid, parameters) = match self {
            Self::EcdsaSha256 => ("1.2.840.10045.4.3.2", None),
            Self::EcdsaSha384 => ("1.2.840.10045.4.3.3", None),
            Self::EcdsaSha512 => ("1.2.840.10045.4.3.4", None),
            Self::Ed25519 => ("1.3.101.112", None),
            Self::RsaSha1 => ("1.2.840.113549.1.1.5", Some(Any::null())),
            Self::RsaSha256 => ("1.2.840.113549.1.1.11", Some(Any::null())),
            Self::RsaSha256WithoutNull => ("1.2.840.113549.1.1.11", None),
            Self::RsaSha384 => ("1.2.840.113549.1.1.12", Some(Any::null())),
            Self::RsaSha512 => ("1.2.840.113549.1.1.13", Some(Any::null())),
            Self::RsaPssSha256 => (PSS, Some(pss_parameters(1, 32, true))),
            Self::RsaPssSha256WithoutNull => (PSS, Some(pss_parameters(1, 32, false))),
            Self::RsaPssSha384 => (PSS, Some(pss_parameters(2, 48, true))),
            Self::RsaPssSha512 => (PSS, Some(pss_parameters(3, 64, true))),
        };
        AlgorithmIdentifierOwned { oid: ObjectIdentifier::new_unwrap(oid), parameters }
    }
}

const PSS: &str = "1.2.840.113549.1.1.10";

/// `RSASSA-PSS-params` (RFC 4055 §3.1): the hash by the last number of its identifier, the length of the salt, and
/// whether the hash algorithm has NULL parameters.
fn pss_parameters(hash: u8, salt: u8, with_null: bool) -> Any {
    let null = if with_null { Null.to_der().expect("two octets") } else { Vec::new() };
    let oid = |oid: &str| ObjectIdentifier::new_unwrap(oid).to_der().expect("an identifier");
    let hash = oid(&format!("2.16.840.1.101.3.4.2.{hash}"));
    let hash = tlv(0x30, &[&hash, &null]);
    let mask = tlv(0x30, &[&oid("1.2.840.113549.1.1.8"), &hash]);
    let salt = tlv(2, &[&[salt]]);
    let parameters = tlv(0x30, &[&tlv(0xa0, &[&hash]), &tlv(0xa1, &[&mask]), &tlv(0xa2, &[&salt])]);
    Any::from_der(&parameters).expect("it was just encoded")
}

/// Tag, length and value of less than 128 octets.
fn tlv(tag: u8, values: &[&[u8]]) -> Vec<u8> {
    let value = values.concat();
    let length = u8::try_from(value.len()).ok().filter(|length| *length < 128);
    [&[tag, length.expect("a short value")], &*value].concat()
}

/// A key that signs in one way.
#[derive(Clone)]
pub(crate) struct KeyWith<'a> {
    key: &'a Key,
    algorithm: SignatureAlgorithm,
}

impl Key {
    pub(crate) fn with(&self, algorithm: SignatureAlgorithm) -> KeyWith<'_> {
        KeyWith { key: self, algorithm }
    }

    /// The usual algorithm of such a key.
    pub(crate) fn algorithm(&self) -> SignatureAlgorithm {
        match self {
            Self::P256(_) => SignatureAlgorithm::EcdsaSha256,
            Self::P384(_) => SignatureAlgorithm::EcdsaSha384,
            Self::Ed25519(_) => SignatureAlgorithm::Ed25519,
            Self::Rsa(_) => SignatureAlgorithm::RsaSha256,
        }
    }
}

impl KeyWith<'_> {
    pub(crate) fn identifier(&self) -> AlgorithmIdentifierOwned {
        self.algorithm.identifier()
    }

    pub(crate) fn sign_certificate<P: BuilderProfile>(
        &self,
        builder: CertificateBuilder<P>,
    ) -> Certificate {
        let certificate = builder.build::<_, Signature>(self);
        certificate.expect("the template can be encoded and signed")
    }

    pub(crate) fn sign_bytes(&self, message: &[u8]) -> Vec<u8> {
        use SignatureAlgorithm::{
            EcdsaSha256, EcdsaSha384, EcdsaSha512, Ed25519, RsaPssSha256, RsaPssSha256WithoutNull,
            RsaPssSha384, RsaPssSha512, RsaSha1, RsaSha256, RsaSha256WithoutNull, RsaSha384,
            RsaSha512,
        };
        let digest = match self.algorithm {
            EcdsaSha384 | RsaSha384 | RsaPssSha384 => Sha384::digest(message).to_vec(),
            EcdsaSha512 | RsaSha512 | RsaPssSha512 => Sha512::digest(message).to_vec(),
            _ => Sha256::digest(message).to_vec(),
        };
        let rng = &mut SaltOfZeros;
        match (self.key, self.algorithm) {
            (Key::P256(key), EcdsaSha256 | EcdsaSha384 | EcdsaSha512) => {
                let signature: p256::ecdsa::DerSignature =
                    key.sign_prehash(&digest).expect("a digest of enough octets");
                signature.as_bytes().to_vec()
            }
            (Key::P384(key), EcdsaSha256 | EcdsaSha384 | EcdsaSha512) => {
                let signature: p384::ecdsa::DerSignature =
                    key.sign_prehash(&digest).expect("a digest of enough octets");
                signature.as_bytes().to_vec()
            }
            (Key::Ed25519(key), Ed25519) => key.sign(message).to_vec(),
            (Key::Rsa(key), algorithm) => {
                let key: &rsa::RsaPrivateKey = key.as_ref().as_ref();
                let signature = match algorithm {
                    RsaSha1 | RsaSha256 | RsaSha256WithoutNull => {
                        key.sign(Pkcs1v15Sign::new::<Sha256>(), &digest)
                    }
                    RsaSha384 => key.sign(Pkcs1v15Sign::new::<Sha384>(), &digest),
                    RsaSha512 => key.sign(Pkcs1v15Sign::new::<Sha512>(), &digest),
                    RsaPssSha256 | RsaPssSha256WithoutNull => {
                        key.sign_with_rng(rng, Pss::<Sha256>::new(), &digest)
                    }
                    RsaPssSha384 => key.sign_with_rng(rng, Pss::<Sha384>::new(), &digest),
                    RsaPssSha512 => key.sign_with_rng(rng, Pss::<Sha512>::new(), &digest),
                    _ => panic!("an RSA key does not sign with {algorithm:?}"),
                };
                signature.expect("the key is long enough")
            }
            (_, algorithm) => panic!("the key does not sign with {algorithm:?}"),
        }
    }
}

/// So that a signature is the same every time; only the salt of PSS and blinding come from here.
struct SaltOfZeros;

impl TryRng for SaltOfZeros {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(0x0101_0101)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(0x0101_0101_0101_0101)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(1);
        Ok(())
    }
}

impl TryCryptoRng for SaltOfZeros {}

pub(crate) struct Signature(Vec<u8>);

impl SignatureBitStringEncoding for Signature {
    fn to_bitstring(&self) -> der::Result<BitString> {
        BitString::from_bytes(&self.0)
    }
}

impl Signer<Signature> for KeyWith<'_> {
    fn try_sign(&self, message: &[u8]) -> signature::Result<Signature> {
        Ok(Signature(self.sign_bytes(message)))
    }
}

impl DynSignatureAlgorithmIdentifier for KeyWith<'_> {
    fn signature_algorithm_identifier(&self) -> spki::Result<AlgorithmIdentifierOwned> {
        Ok(self.identifier())
    }
}

impl Keypair for KeyWith<'_> {
    type VerifyingKey = VerifyingKey;

    fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.key.public_key())
    }
}

#[derive(Clone)]
pub(crate) struct VerifyingKey(SubjectPublicKeyInfoOwned);

impl EncodePublicKey for VerifyingKey {
    fn to_public_key_der(&self) -> spki::Result<Document> {
        Ok(Document::encode_msg(&self.0)?)
    }
}
