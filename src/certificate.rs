//! The parts of an X.509 certificate (RFC 5280 §4) that client authentication looks at.

use std::fmt;

use der::{Decode as _, oid::ObjectIdentifier};
use x509_cert::{
    Certificate as X509,
    ext::pkix::{ExtendedKeyUsage, KeyUsage, SubjectAltName, name::GeneralName},
};

use crate::{distinguished_name::DistinguishedName, public_key::PublicKey, thumbprint::Thumbprint};

const ID_KP_CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

/// An end-entity certificate as the client presented it.
#[derive(Clone, Debug)]
pub struct Certificate {
    der: Vec<u8>,
    thumbprint: Thumbprint,
    subject: DistinguishedName,
    subject_alt_names: Vec<SubjectAlternativeName>,
    not_before: u64,
    not_after: u64,
    public_key: Option<PublicKey>,
    allows_client_authentication: bool,
}

impl Certificate {
    /// Parses a DER encoding; bytes after it are an error.
    ///
    /// # Errors
    /// When the certificate, its subject, or an extension that is looked at is malformed or doubled.
    pub fn from_der(der: Vec<u8>) -> Result<Self, InvalidCertificate> {
        let x509 = X509::from_der(&der).map_err(|_| InvalidCertificate::Encoding)?;
        let tbs = x509.tbs_certificate();
        let subject =
            DistinguishedName::from_name(tbs.subject()).map_err(|_| InvalidCertificate::Subject)?;
        let extension_error = |_| InvalidCertificate::Extension;
        let subject_alt_names = tbs
            .get_extension::<SubjectAltName>()
            .map_err(extension_error)?
            .map_or_else(Vec::new, |(_, names)| {
                names.0.iter().filter_map(SubjectAlternativeName::from_general_name).collect()
            });
        let key_usage = tbs.get_extension::<KeyUsage>().map_err(extension_error)?;
        let extended_key_usage =
            tbs.get_extension::<ExtendedKeyUsage>().map_err(extension_error)?;
        Ok(Self {
            thumbprint: Thumbprint::of(&der),
            subject,
            subject_alt_names,
            not_before: tbs.validity().not_before.to_unix_duration().as_secs(),
            not_after: tbs.validity().not_after.to_unix_duration().as_secs(),
            public_key: PublicKey::from_spki(tbs.subject_public_key_info()),
            allows_client_authentication: key_usage
                .is_none_or(|(_, usage)| usage.digital_signature())
                && extended_key_usage
                    .is_none_or(|(_, purposes)| purposes.0.contains(&ID_KP_CLIENT_AUTH)),
            der,
        })
    }

    /// The DER encoding.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the DER encoding (RFC 8705 §3.1).
    pub fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// The subject field; may be empty (RFC 5280 §4.1.2.6).
    pub fn subject(&self) -> &DistinguishedName {
        &self.subject
    }

    /// Every DNS name, URI, e-mail and IP address of the subjectAltName extension (RFC 5280 §4.2.1.6).
    pub fn subject_alt_names(&self) -> &[SubjectAlternativeName] {
        &self.subject_alt_names
    }

    /// The first second, since the Unix epoch, at which it is valid.
    pub fn not_before(&self) -> u64 {
        self.not_before
    }

    /// The end of the validity period in seconds since the Unix epoch; the second itself is included.
    pub fn not_after(&self) -> u64 {
        self.not_after
    }

    /// Where a time, in seconds since the Unix epoch, lies in the validity period (RFC 5280 §4.1.2.5).
    pub fn validity_at(&self, now: u64) -> ValidityStatus {
        ValidityStatus::at(now, self.not_before, self.not_after)
    }

    /// The subject's public key, unless it is of a kind that no JWK names.
    pub fn public_key(&self) -> Option<&PublicKey> {
        self.public_key.as_ref()
    }

    /// Whether key usage has `digitalSignature` and extended key usage has `clientAuth`, each where the extension is
    /// present (RFC 5280 §4.2.1.3, §4.2.1.12). `anyExtendedKeyUsage` alone is not enough, which §4.2.1.12 leaves to
    /// the application.
    pub fn allows_client_authentication(&self) -> bool {
        self.allows_client_authentication
    }
}

/// Where a moment lies in a validity period.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ValidityStatus {
    /// After `notAfter`.
    Expired,
    /// Before `notBefore`.
    NotYetValid,
    /// Between the two, both included.
    Valid,
}

impl ValidityStatus {
    /// Where `now` lies between the two, all in seconds since the Unix epoch.
    pub(crate) fn at(now: u64, not_before: u64, not_after: u64) -> Self {
        if now < not_before {
            Self::NotYetValid
        } else if now > not_after {
            Self::Expired
        } else {
            Self::Valid
        }
    }
}

/// A subjectAltName that RFC 8705 §2.1.2 can register.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SubjectAlternativeName {
    /// `dNSName`.
    Dns(String),
    /// `rfc822Name`.
    Email(String),
    /// `iPAddress`: four or sixteen bytes.
    Ip(Vec<u8>),
    /// `uniformResourceIdentifier`.
    Uri(String),
}

impl SubjectAlternativeName {
    fn from_general_name(name: &GeneralName) -> Option<Self> {
        match name {
            GeneralName::DnsName(name) => Some(Self::Dns(name.as_str().into())),
            GeneralName::Rfc822Name(name) => Some(Self::Email(name.as_str().into())),
            GeneralName::IpAddress(address) => Some(Self::Ip(address.as_bytes().into())),
            GeneralName::UniformResourceIdentifier(uri) => Some(Self::Uri(uri.as_str().into())),
            _ => None,
        }
    }
}

/// Why bytes are not a certificate that can be judged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidCertificate {
    /// Not the DER encoding of exactly one RFC 5280 certificate.
    Encoding,
    /// Key usage, extended key usage or subjectAltName is malformed or present twice.
    Extension,
    /// The subject field is malformed.
    Subject,
}

impl fmt::Display for InvalidCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encoding => "not the DER encoding of one RFC 5280 certificate",
            Self::Extension => {
                "keyUsage, extKeyUsage or subjectAltName is malformed or present twice"
            }
            Self::Subject => "the subject is malformed",
        })
    }
}

impl std::error::Error for InvalidCertificate {}
