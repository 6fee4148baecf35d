//! The header fields that carry the client's certificate to the server, in the form that the server reads.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{pem, thumbprint::Thumbprint, xfcc};

/// How certificates are written into header fields.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CertificateHeaderFormat {
    /// The DER encoding in base64, as HAProxy's `ssl_c_der,base64`; a chain is that of the encodings one after the
    /// other, as `ssl_c_chain_der,base64`.
    Base64Der,
    /// PEM on one line, line ends as spaces, as Apache's `%{SSL_CLIENT_CERT}s`.
    Pem,
    /// RFC 9440: the DER encoding as a structured-field byte sequence (§2.2); a chain is a list of them (§2.3).
    Rfc9440,
    /// Traefik's `PassTLSClientCert` since 2.9.4: base64 of the DER encoding; the chain follows after commas.
    Traefik,
    /// URL-encoded PEM, as nginx's `$ssl_client_escaped_cert`.
    UrlencodedPem,
    /// One element of Envoy's `x-forwarded-client-cert`; the chain is its `Chain`, which begins with the certificate.
    Xfcc,
}

impl CertificateHeaderFormat {
    /// The name that the field has where this format comes from.
    pub fn default_name(self) -> &'static str {
        match self {
            Self::Base64Der | Self::Pem | Self::UrlencodedPem => "ssl-client-cert",
            Self::Rfc9440 => "Client-Cert",
            Self::Traefik => "X-Forwarded-Tls-Client-Cert",
            Self::Xfcc => "X-Forwarded-Client-Cert",
        }
    }

    /// Whether the chain stands in the field of the certificate.
    pub fn holds_chain(self) -> bool {
        matches!(self, Self::Traefik | Self::Xfcc)
    }

    /// The value of the certificate's field. `intermediates` are given where they are to stand there too, which only some
    /// formats [can](Self::holds_chain). All certificates are DER.
    pub fn certificate(self, certificate: &[u8], intermediates: Option<&[Vec<u8>]>) -> String {
        let with_intermediates = || {
            let intermediates = intermediates.unwrap_or_default().iter().map(Vec::as_slice);
            std::iter::once(certificate).chain(intermediates)
        };
        match self {
            Self::Base64Der => BASE64_STANDARD.encode(certificate),
            Self::Pem => one_line(certificate),
            Self::Rfc9440 => byte_sequence(certificate),
            Self::Traefik => with_intermediates()
                .map(|der| BASE64_STANDARD.encode(der))
                .collect::<Vec<_>>()
                .join(","),
            Self::UrlencodedPem => url_encoded([certificate]),
            Self::Xfcc => {
                // Envoy writes it without intermediates too, and there are servers that read nothing else.
                let chain = intermediates.map(|_| url_encoded(with_intermediates()));
                xfcc::element(
                    Thumbprint::of(certificate),
                    &url_encoded([certificate]),
                    chain.as_deref(),
                )
            }
        }
    }

    /// The value of the chain's own field, for one intermediate or more.
    pub fn chain(self, intermediates: &[Vec<u8>]) -> String {
        match self {
            Self::Base64Der => BASE64_STANDARD.encode(intermediates.concat()),
            Self::Pem => joined(intermediates, one_line, " "),
            Self::Rfc9440 => joined(intermediates, byte_sequence, ", "),
            Self::Traefik => joined(intermediates, |der| BASE64_STANDARD.encode(der), ","),
            Self::UrlencodedPem | Self::Xfcc => {
                url_encoded(intermediates.iter().map(Vec::as_slice))
            }
        }
    }
}

/// A structured-field byte sequence (RFC 9651 §4.1.8).
pub fn byte_sequence(bytes: &[u8]) -> String {
    format!(":{}:", BASE64_STANDARD.encode(bytes))
}

fn joined(certificates: &[Vec<u8>], encode: fn(&[u8]) -> String, separator: &str) -> String {
    certificates.iter().map(|der| encode(der)).collect::<Vec<_>>().join(separator)
}

fn one_line(der: &[u8]) -> String {
    pem::encode(der).trim_end().replace('\n', " ")
}

/// RFC 3986 §2.3: everything but unreserved characters is escaped, so that no decoder finds a `+` to take for a space.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn url_encoded<'a>(certificates: impl IntoIterator<Item = &'a [u8]>) -> String {
    let pem: String = certificates.into_iter().map(pem::encode).collect();
    utf8_percent_encode(&pem, ESCAPED).to_string()
}
