//! PEM sections holding certificates (RFC 7468 §5).

use std::{borrow::Cow, fmt};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use percent_encoding::percent_decode;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

/// Reads every `CERTIFICATE` section of a text and returns the DER encodings in order.
///
/// # Errors
/// When a section is damaged, or when there is none.
pub fn certificates(text: &[u8]) -> Result<Vec<Vec<u8>>, InvalidPem> {
    let certificates = CertificateDer::pem_slice_iter(text)
        .map(|section| section.map(|der| der.to_vec()).map_err(|_| InvalidPem::Damaged))
        .collect::<Result<Vec<_>, _>>()?;
    if certificates.is_empty() { Err(InvalidPem::NoCertificate) } else { Ok(certificates) }
}

/// Reads the one certificate that Envoy reports for the peer, as PEM, plain or URL-encoded.
///
/// # Errors
/// When there is none, more than one, or a damaged one.
pub fn peer_certificate(text: &[u8]) -> Result<Vec<u8>, InvalidPem> {
    let mut certificates = certificates(&decoded(text))?;
    match (certificates.pop(), certificates.is_empty()) {
        (Some(certificate), true) => Ok(certificate),
        _ => Err(InvalidPem::SeveralCertificates),
    }
}

/// Reads the chain of certificates that Envoy reports, as PEM, plain or URL-encoded, end-entity certificate first.
///
/// # Errors
/// When there is none, or a damaged one.
pub fn peer_certificate_chain(text: &[u8]) -> Result<Vec<Vec<u8>>, InvalidPem> {
    certificates(&decoded(text))
}

/// Writes a DER-encoded certificate as one `CERTIFICATE` section (RFC 7468 §5.1).
pub fn encode(der: &[u8]) -> String {
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for (index, character) in BASE64_STANDARD.encode(der).chars().enumerate() {
        if index > 0 && index % LINE_LENGTH == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str("\n-----END CERTIFICATE-----\n");
    pem
}

/// RFC 7468 §2.
const LINE_LENGTH: usize = 64;

/// `%` is in no PEM text, so its presence tells the two encodings apart.
fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if text.contains(&b'%') { percent_decode(text).into() } else { Cow::Borrowed(text) }
}

/// Why a text is not the PEM that was expected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidPem {
    /// A section has no end, or its content is not base64.
    Damaged,
    /// The text has no `-----BEGIN CERTIFICATE-----` section.
    NoCertificate,
    /// There is more than one certificate where exactly one is meant.
    SeveralCertificates,
}

impl fmt::Display for InvalidPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Damaged => "a PEM section is damaged",
            Self::NoCertificate => "there is no -----BEGIN CERTIFICATE----- section",
            Self::SeveralCertificates => "there is more than one certificate",
        })
    }
}

impl std::error::Error for InvalidPem {}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";

    #[test]
    fn plain_and_url_encoded_pem_are_the_same_certificate() {
        let encoded = ONE.replace(' ', "%20").replace('\n', "%0A");
        assert_eq!(peer_certificate(ONE.as_bytes()), Ok(vec![1, 2, 3]));
        assert_eq!(peer_certificate(encoded.as_bytes()), Ok(vec![1, 2, 3]));
    }

    #[test]
    fn several_certificates_are_a_list_but_not_a_peer() {
        let two = format!("Subject: somebody\n{ONE}\r\n{ONE}");
        assert_eq!(certificates(two.as_bytes()), Ok(vec![vec![1, 2, 3], vec![1, 2, 3]]));
        assert_eq!(peer_certificate(two.as_bytes()), Err(InvalidPem::SeveralCertificates));
    }

    #[test]
    fn damaged_and_missing_sections_are_rejected() {
        assert_eq!(certificates(b""), Err(InvalidPem::NoCertificate));
        assert_eq!(certificates(b"AQID"), Err(InvalidPem::NoCertificate));
        assert_eq!(certificates(&ONE.as_bytes()[..40]), Err(InvalidPem::Damaged));
        assert_eq!(certificates(ONE.replace("AQID", "A!ID").as_bytes()), Err(InvalidPem::Damaged));
    }
}
