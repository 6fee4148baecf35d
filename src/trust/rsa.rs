//! RSA signature verification (RFC 8017) over `crypto-bigint`.

use crypto_bigint::{
    BoxedUint, Odd,
    modular::{BoxedMontyForm, BoxedMontyParams},
};
use der::{Decode as _, Reader as _, SliceReader, asn1::UintRef};
use sha2::{Sha256, Sha384, Sha512};

/// The hash functions that signatures are accepted with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    pub(super) fn digest(self, parts: &[&[u8]]) -> Vec<u8> {
        fn digest<D: sha2::Digest>(parts: &[&[u8]]) -> Vec<u8> {
            let mut hash = D::new();
            for part in parts {
                hash.update(part);
            }
            hash.finalize().to_vec()
        }
        match self {
            Self::Sha256 => digest::<Sha256>(parts),
            Self::Sha384 => digest::<Sha384>(parts),
            Self::Sha512 => digest::<Sha512>(parts),
        }
    }
}

/// An RSA public key (RFC 8017 §3.1). Written over `crypto-bigint` and not with the crate `rsa`, whose stable release
/// takes three times as long and of which an audit always complains (RUSTSEC-2023-0071); nothing here is secret.
pub(super) struct RsaKey {
    modulus: Odd<BoxedUint>,
    modulus_bytes: usize,
    exponent: u64,
}

impl RsaKey {
    const BITS: std::ops::RangeInclusive<u32> = 2048..=4096;
    const EXPONENTS: std::ops::RangeInclusive<u64> = 3..=(1 << 33) - 1;

    /// Reads an `RSAPublicKey` (RFC 8017 appendix A.1.1).
    pub(super) fn from_der(encoding: &[u8]) -> Option<Self> {
        let mut reader = SliceReader::new(encoding).ok()?;
        let (modulus, exponent) = reader
            .sequence(|reader| -> der::Result<_> {
                Ok((UintRef::decode(reader)?, UintRef::decode(reader)?))
            })
            .ok()?;
        reader.finish().ok()?;
        let modulus_bytes = modulus.as_bytes().len();
        if modulus_bytes > 512 || exponent.as_bytes().len() > 8 {
            return None;
        }
        let exponent =
            exponent.as_bytes().iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        let modulus = BoxedUint::from_be_slice_vartime(modulus.as_bytes());
        let key = Self { modulus: Option::from(Odd::new(modulus))?, modulus_bytes, exponent };
        let is_suitable = Self::BITS.contains(&key.bits())
            && Self::EXPONENTS.contains(&exponent)
            && exponent & 1 == 1;
        is_suitable.then_some(key)
    }

    pub(super) fn bits(&self) -> u32 {
        self.modulus.bits_vartime()
    }

    /// RSAVP1 (RFC 8017 §5.2.2): the encoded message, as long as the modulus.
    pub(super) fn recover(&self, signature: &[u8]) -> Option<Vec<u8>> {
        if signature.len() != self.modulus_bytes {
            return None;
        }
        let signature = BoxedUint::from_be_slice(signature, self.modulus.bits_precision()).ok()?;
        if signature >= *self.modulus {
            return None;
        }
        let parameters = BoxedMontyParams::new_vartime(self.modulus.clone());
        let base = BoxedMontyForm::new(signature, &parameters);
        let mut power = base.clone();
        // From the second highest bit down: square, and multiply where the bit is set.
        for bit in (0..self.exponent.ilog2()).rev() {
            power = power.square();
            if self.exponent >> bit & 1 == 1 {
                power = power.mul(&base);
            }
        }
        let encoded = power.retrieve().to_be_bytes();
        // The number fills whole words, of which a modulus of an odd length leaves some octets unused.
        encoded.get(encoded.len().checked_sub(self.modulus_bytes)?..).map(<[u8]>::to_vec)
    }
}

/// RSASSA-PKCS1-v1_5 (RFC 8017 §8.2).
pub(super) mod pkcs1 {
    use rustls_pki_types::AlgorithmIdentifier;

    use super::Hash;

    pub(in super::super) const SHA256_WITHOUT_NULL: AlgorithmIdentifier =
        AlgorithmIdentifier::from_slice(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b");
    pub(in super::super) const SHA384_WITHOUT_NULL: AlgorithmIdentifier =
        AlgorithmIdentifier::from_slice(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c");
    pub(in super::super) const SHA512_WITHOUT_NULL: AlgorithmIdentifier =
        AlgorithmIdentifier::from_slice(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d");

    /// What stands before the hash in a `DigestInfo` (RFC 8017 §9.2 note 1).
    fn digest_info(hash: Hash) -> &'static [u8] {
        match hash {
            Hash::Sha256 => {
                b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"
            }
            Hash::Sha384 => {
                b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30"
            }
            Hash::Sha512 => {
                b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40"
            }
        }
    }

    /// EMSA-PKCS1-v1_5 (RFC 8017 §9.2): encodes the message and compares, so that there is nothing to parse.
    pub(in super::super) fn is_encoding_of(hash: Hash, message: &[u8], encoded: &[u8]) -> bool {
        let digest = hash.digest(&[message]);
        let padding = encoded
            .strip_suffix(&*digest)
            .and_then(|rest| rest.strip_suffix(digest_info(hash)))
            .and_then(|rest| rest.strip_suffix(&[0]))
            .and_then(|rest| rest.strip_prefix(&[0, 1]));
        // At 2048 bits and more there are far more than the eight octets of padding that are asked for.
        padding.is_some_and(|padding| padding.iter().all(|octet| *octet == 0xff))
    }
}

/// RSASSA-PSS (RFC 8017 §8.1).
pub(super) mod pss {
    use rustls_pki_types::AlgorithmIdentifier;

    use super::Hash;

    /// `RSASSA-PSS-params` (RFC 4055 §3.1) with the last octet of the hash's identifier and the length of the salt.
    macro_rules! without_null {
        ($hash:literal, $salt:literal) => {
            AlgorithmIdentifier::from_slice(&[
                0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a, 0x30, 0x30, 0xa0,
                0x0d, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
                $hash, 0xa1, 0x1a, 0x30, 0x18, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d,
                0x01, 0x01, 0x08, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04,
                0x02, $hash, 0xa2, 0x03, 0x02, 0x01, $salt,
            ])
        };
    }

    pub(in super::super) const SHA256_WITHOUT_NULL: AlgorithmIdentifier = without_null!(1, 32);
    pub(in super::super) const SHA384_WITHOUT_NULL: AlgorithmIdentifier = without_null!(2, 48);
    pub(in super::super) const SHA512_WITHOUT_NULL: AlgorithmIdentifier = without_null!(3, 64);

    /// EMSA-PSS-VERIFY (RFC 8017 §9.1.2) with a salt of the hash's length.
    pub(in super::super) fn is_encoding_of(
        hash: Hash,
        message: &[u8],
        encoded: &[u8],
        modulus_bits: u32,
    ) -> bool {
        check(hash, message, encoded, modulus_bits).is_some_and(|is_right| is_right)
    }

    fn check(hash: Hash, message: &[u8], encoded: &[u8], modulus_bits: u32) -> Option<bool> {
        // The encoding is one bit shorter than the modulus, and therefore sometimes one octet.
        let unused_bits = 8_u32.checked_sub(modulus_bits.checked_sub(1)? % 8)? % 8;
        let encoded = if modulus_bits % 8 == 1 { encoded.strip_prefix(&[0])? } else { encoded };
        let digest = hash.digest(&[message]);
        let encoded = encoded.strip_suffix(&[0xbc])?;
        let (masked, seed) = encoded.split_at_checked(encoded.len().checked_sub(digest.len())?)?;
        let mask = 0xff_u8.checked_shr(unused_bits)?;
        if masked.first()? & !mask != 0 {
            return None;
        }
        let mut block: Vec<u8> =
            masked.iter().zip(mgf1(hash, seed, masked.len())).map(|(a, b)| a ^ b).collect();
        *block.first_mut()? &= mask;
        let (padding, salt) = block.split_at_checked(block.len().checked_sub(digest.len())?)?;
        let zeros = padding.strip_suffix(&[1])?;
        let is_right =
            zeros.iter().all(|octet| *octet == 0) && hash.digest(&[&[0; 8], &digest, salt]) == seed;
        Some(is_right)
    }

    /// RFC 8017 appendix B.2.1.
    fn mgf1(hash: Hash, seed: &[u8], length: usize) -> impl Iterator<Item = u8> {
        (0_u32..).flat_map(move |counter| hash.digest(&[seed, &counter.to_be_bytes()])).take(length)
    }
}
