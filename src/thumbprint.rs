//! Certificate thumbprints (RFC 8705 §3.1).

use std::fmt;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

/// The SHA-256 hash of a certificate's DER encoding, known as `x5t#S256`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// Hashes a DER-encoded certificate.
    pub fn of(certificate_der: &[u8]) -> Self {
        Self(Sha256::digest(certificate_der).into())
    }

    /// Reads a thumbprint as an operator may have it: `x5t#S256` (base64url without padding, RFC 8705 §3.1), or
    /// hexadecimal with or without colons, as `openssl x509 -fingerprint -sha256` prints it.
    ///
    /// # Errors
    /// When the text is neither form of exactly 32 bytes.
    pub fn parse(text: &str) -> Result<Self, InvalidThumbprint> {
        Self::from_hex(text)
            .or_else(|| BASE64_URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self))
            .ok_or(InvalidThumbprint)
    }

    /// Reads 64 hexadecimal digits, or 32 pairs of them separated by colons.
    pub fn from_hex(text: &str) -> Option<Self> {
        let length_of_pair = match text.len() {
            64 => 2,
            95 => 3,
            _ => return None,
        };
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(length_of_pair)) {
            let (digits, separator) = pair.split_at_checked(2)?;
            if !matches!(separator, b"" | b":") {
                return None;
            }
            *byte = digits.iter().try_fold(0_u8, |value, digit| {
                let digit = u8::try_from(char::from(*digit).to_digit(16)?).ok()?;
                Some(value << 4 | digit)
            })?;
        }
        Some(Self(bytes))
    }
}

/// Prints the `x5t#S256` form.
impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// Prints 64 hexadecimal digits, as Envoy does.
impl fmt::LowerHex for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The text is not a SHA-256 thumbprint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidThumbprint;

impl fmt::Display for InvalidThumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not a SHA-256 thumbprint: write the 43 base64url characters of x5t#S256, \
             or 64 hexadecimal digits with or without colons",
        )
    }
}

impl std::error::Error for InvalidThumbprint {}

#[cfg(test)]
mod tests {
    use super::*;

    // SHA-256 of the empty input, FIPS 180-4 example value.
    const EMPTY_HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const EMPTY_BASE64URL: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

    #[test]
    fn all_three_spellings_are_the_same_thumbprint() {
        let colons = EMPTY_HEX
            .to_uppercase()
            .as_bytes()
            .chunks(2)
            .map(|pair| String::from_utf8_lossy(pair).into_owned())
            .collect::<Vec<_>>()
            .join(":");
        let expected = Ok(Thumbprint::of(b""));
        assert_eq!(Thumbprint::parse(EMPTY_HEX), expected);
        assert_eq!(Thumbprint::parse(&colons), expected);
        assert_eq!(Thumbprint::parse(EMPTY_BASE64URL), expected);
        assert_eq!(Thumbprint::of(b"").to_string(), EMPTY_BASE64URL);
    }

    #[test]
    fn anything_else_is_rejected() {
        for text in [
            "",
            EMPTY_HEX.strip_prefix('e').unwrap(),
            &EMPTY_HEX.replace('e', "g"),
            &EMPTY_HEX.replace('e', "é"),
            &format!("{EMPTY_BASE64URL}="),
            &format!("{}:", EMPTY_HEX.strip_suffix("55").unwrap()),
            // SHA-1
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            &":".repeat(95),
        ] {
            assert_eq!(Thumbprint::parse(text), Err(InvalidThumbprint), "{text}");
        }
    }
}
