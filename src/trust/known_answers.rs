//! Signatures of which it is known whether they are right.

use std::fmt;

use super::authority::Node;

/// Self-signed certificates of the demo PKI, one for each kind of signature.
const CERTIFICATES: [(&str, &[u8]); 5] = [
    ("Ed25519", include_bytes!("known_answers/ed25519.der")),
    ("P-256", include_bytes!("known_answers/p256.der")),
    ("P-384", include_bytes!("known_answers/p384.der")),
    ("RSA PKCS#1 v1.5", include_bytes!("known_answers/rsa_pkcs1.der")),
    ("RSA PSS", include_bytes!("known_answers/rsa_pss.der")),
];

/// Verifies a right and a wrong signature of each kind. To be called once, before the first client comes: it finds a
/// miscompiled module, and lets the host compile what the first clients would otherwise wait for.
///
/// # Errors
/// When an answer is wrong, so that no other can be relied on.
pub fn require_known_answers() -> Result<(), WrongAnswer> {
    for (kind, right) in CERTIFICATES {
        let is_accepted = |der: &[u8]| {
            Node::from_der(der).and_then(|node| node.is_signed_by_itself()).ok_or(WrongAnswer(kind))
        };
        let mut wrong = right.to_vec();
        if let Some(octet) = wrong.last_mut() {
            *octet ^= 1;
        }
        if !is_accepted(right)? || is_accepted(&wrong)? {
            return Err(WrongAnswer(kind));
        }
    }
    Ok(())
}

/// The module does not verify signatures of a kind correctly.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WrongAnswer(&'static str);

impl fmt::Display for WrongAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this build verifies {} signatures wrongly: do not use it", self.0)
    }
}

impl std::error::Error for WrongAnswer {}
