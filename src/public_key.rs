//! Public keys, comparable whether they come from a certificate (RFC 5280 §4.1.2.7) or a JWK (RFC 7517, RFC 7518 §6, RFC 8037).

use std::{collections::BTreeMap, fmt};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use der::{Decode as _, Reader as _, SliceReader, asn1::UintRef, oid::ObjectIdentifier};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// The curves and key types of RFC 7518 §6.2.1.1 and RFC 8037 §2: JWK name, object identifier, bytes of one coordinate.
const EC_CURVES: [(&str, ObjectIdentifier, usize); 3] = [
    ("P-256", ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"), 32),
    ("P-384", ObjectIdentifier::new_unwrap("1.3.132.0.34"), 48),
    ("P-521", ObjectIdentifier::new_unwrap("1.3.132.0.35"), 66),
];
const OKP_CURVES: [(&str, ObjectIdentifier, usize); 2] = [
    ("Ed25519", ObjectIdentifier::new_unwrap("1.3.101.112"), 32),
    ("Ed448", ObjectIdentifier::new_unwrap("1.3.101.113"), 57),
];

/// A public key by its parameters.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum PublicKey {
    /// An elliptic curve point in affine coordinates, each as long as the curve's field element.
    Ec {
        /// The JWK name of the curve.
        curve: &'static str,
        /// The x coordinate, big-endian.
        x: Vec<u8>,
        /// The y coordinate, big-endian.
        y: Vec<u8>,
    },
    /// An Edwards-curve key (RFC 8032).
    Okp {
        /// The JWK name of the curve.
        curve: &'static str,
        /// The encoded point.
        x: Vec<u8>,
    },
    /// An RSA modulus and exponent, big-endian without leading zeros.
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The public exponent.
        e: Vec<u8>,
    },
}

impl PublicKey {
    /// Reads a certificate's key. `None` stands for a key that no JWK can name here: another algorithm, a compressed
    /// point, a malformed encoding. Such a key equals no registered one.
    pub fn from_spki(spki: &SubjectPublicKeyInfoOwned) -> Option<Self> {
        let key = spki.subject_public_key.as_bytes()?;
        let algorithm = spki.algorithm.oid;
        if algorithm == EC_PUBLIC_KEY {
            let curve = spki.algorithm.parameters.as_ref()?.decode_as::<ObjectIdentifier>().ok()?;
            let (name, _, length) = *EC_CURVES.iter().find(|(_, oid, _)| *oid == curve)?;
            let (x, y) = key.strip_prefix(&[4])?.split_at_checked(length)?;
            (y.len() == length).then(|| Self::Ec { curve: name, x: x.into(), y: y.into() })
        } else if algorithm == RSA_ENCRYPTION {
            let mut reader = SliceReader::new(key).ok()?;
            let (n, e) = reader
                .sequence(|sequence| -> der::Result<_> {
                    Ok((UintRef::decode(sequence)?, UintRef::decode(sequence)?))
                })
                .ok()?;
            reader.finish().ok()?;
            Some(Self::Rsa { n: n.as_bytes().into(), e: e.as_bytes().into() })
        } else {
            let (name, _, length) = *OKP_CURVES.iter().find(|(_, oid, _)| *oid == algorithm)?;
            (key.len() == length).then(|| Self::Okp { curve: name, x: key.into() })
        }
    }

    /// Reads a public JWK.
    ///
    /// # Errors
    /// When the key is private or symmetric, of an unknown type or curve, or lacks a member.
    pub fn from_jwk(jwk: &Map<String, Value>) -> Result<Self, InvalidJwk> {
        for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            if jwk.contains_key(private) {
                return Err(InvalidJwk::Private);
            }
        }
        let text =
            |member| jwk.get(member).and_then(Value::as_str).ok_or(InvalidJwk::Member { member });
        let bytes = |member| {
            BASE64_URL_SAFE_NO_PAD.decode(text(member)?).map_err(|_| InvalidJwk::Member { member })
        };
        let sized = |member, length| {
            Some(bytes(member)?)
                .filter(|bytes: &Vec<u8>| bytes.len() == length)
                .ok_or(InvalidJwk::Member { member })
        };
        match text("kty")? {
            "EC" => {
                let curve = text("crv")?;
                let (curve, _, length) = *EC_CURVES
                    .iter()
                    .find(|(name, ..)| *name == curve)
                    .ok_or(InvalidJwk::Unknown)?;
                Ok(Self::Ec { curve, x: sized("x", length)?, y: sized("y", length)? })
            }
            "OKP" => {
                let curve = text("crv")?;
                let (curve, _, length) = *OKP_CURVES
                    .iter()
                    .find(|(name, ..)| *name == curve)
                    .ok_or(InvalidJwk::Unknown)?;
                Ok(Self::Okp { curve, x: sized("x", length)? })
            }
            "RSA" => {
                let n = without_leading_zeros(bytes("n")?);
                let e = without_leading_zeros(bytes("e")?);
                if n.len() < RSA_MINIMUM_BYTES {
                    return Err(InvalidJwk::Weak);
                }
                if e.is_empty() {
                    Err(InvalidJwk::Member { member: "e" })
                } else {
                    Ok(Self::Rsa { n, e })
                }
            }
            _ => Err(InvalidJwk::Unknown),
        }
    }
}

impl PublicKey {
    /// The members of a JWK that the key's type requires, and no others (RFC 7638 §3.2).
    pub fn to_jwk(&self) -> BTreeMap<&'static str, String> {
        let encoded = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Ec { curve, x, y } => BTreeMap::from([
                ("crv", (*curve).to_owned()),
                ("kty", "EC".to_owned()),
                ("x", encoded(x)),
                ("y", encoded(y)),
            ]),
            Self::Okp { curve, x } => BTreeMap::from([
                ("crv", (*curve).to_owned()),
                ("kty", "OKP".to_owned()),
                ("x", encoded(x)),
            ]),
            Self::Rsa { n, e } => {
                BTreeMap::from([("e", encoded(e)), ("kty", "RSA".to_owned()), ("n", encoded(n))])
            }
        }
    }

    /// The JWK's SHA-256 thumbprint in base64url, a `kid` that everyone computes alike (RFC 7638 §3).
    pub fn jwk_thumbprint(&self) -> String {
        // No member value holds a character that JSON escapes, and the map is in the order that §3.3 wants.
        let members = self.to_jwk();
        let members: Vec<String> =
            members.iter().map(|(name, value)| format!("\"{name}\":\"{value}\"")).collect();
        BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{{{}}}", members.join(","))))
    }
}

/// 2048 bits, the least that NIST SP 800-131A allows.
const RSA_MINIMUM_BYTES: usize = 256;

fn without_leading_zeros(bytes: Vec<u8>) -> Vec<u8> {
    bytes.into_iter().skip_while(|byte| *byte == 0).collect()
}

/// Why a JWK is not a public key that certificates can be compared with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidJwk {
    /// A member is missing, not a string, not base64url, or has the wrong length.
    Member {
        /// The member's name.
        member: &'static str,
    },
    /// The key has private or symmetric members, which have no place in a registration.
    Private,
    /// The key type or curve is none of EC (P-256, P-384, P-521), RSA, OKP (Ed25519, Ed448).
    Unknown,
    /// An RSA key of less than 2048 bits.
    Weak,
}

impl fmt::Display for InvalidJwk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member { member } => {
                write!(f, "the JWK member `{member}` is missing or malformed (RFC 7518 §6)")
            }
            Self::Private => f.write_str(
                "the JWK holds a private or symmetric key: write the public key only, and replace this one",
            ),
            Self::Unknown => f.write_str(
                "the JWK is of no type that certificates have: write `kty` EC (P-256, P-384, P-521), RSA or OKP (Ed25519, Ed448)",
            ),
            Self::Weak => f.write_str("the RSA key is too short: register one of at least 2048 bits"),
        }
    }
}

impl std::error::Error for InvalidJwk {}
