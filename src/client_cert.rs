//! The header that carries the client's certificate to the server.

use base64::{Engine as _, prelude::BASE64_STANDARD};

/// How a certificate is written into a header field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CertificateHeaderFormat {
    /// RFC 9440 §2.1: the DER encoding as a structured-field byte sequence.
    Rfc9440,
}

impl CertificateHeaderFormat {
    /// The field value for a DER-encoded certificate.
    pub fn encode(self, der: &[u8]) -> String {
        match self {
            Self::Rfc9440 => byte_sequence(der),
        }
    }
}

/// A structured-field byte sequence (RFC 9651 §4.1.8).
pub fn byte_sequence(bytes: &[u8]) -> String {
    format!(":{}:", BASE64_STANDARD.encode(bytes))
}
