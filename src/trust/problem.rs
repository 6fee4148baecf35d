//! What can be wrong with sets of trust anchors, certificates and paths, in words for the operator.

use std::fmt;

use x509_cert::name::Name;

use super::{InvalidCrl, UnknownRevocation};
use crate::pem::InvalidPem;

/// Why a certificate is not one of a CA that paths can lead over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum UnsuitableAuthority {
    /// An extension is critical and unknown (RFC 5280 §4.2).
    CriticalExtension,
    /// The key is RSA of less than 2048 or more than 4096 bits, of an unknown kind or curve, or malformed.
    Key,
    /// Key usage lacks `keyCertSign` (RFC 5280 §4.2.1.3).
    KeyUsage,
    /// Not an X.509 version 3 certificate in DER, or an extension is malformed or doubled.
    Malformed,
    /// basicConstraints is missing or does not say `cA` (RFC 5280 §4.2.1.9).
    NotAuthority,
    /// Extended key usage lacks `clientAuth` (RFC 5280 §4.2.1.12).
    Purpose,
    /// The certificate names itself as its issuer, but its own key did not sign it.
    SelfSignature,
}

impl fmt::Display for UnsuitableAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CriticalExtension => "it has a critical extension that is not known here",
            Self::Key => {
                "its key is not RSA of 2048 to 4096 bits, P-256 or P-384 with an uncompressed point, or Ed25519"
            }
            Self::KeyUsage => "its key usage lacks keyCertSign",
            Self::Malformed => "it is malformed, or not an X.509 version 3 certificate",
            Self::NotAuthority => "it is not a CA certificate (no basicConstraints with cA)",
            Self::Purpose => "its extended key usage lacks clientAuth",
            Self::SelfSignature => "its own key did not sign it, although it is its own issuer: the copy is damaged",
        })
    }
}

/// Why a set of trust anchors cannot be loaded. Positions count from one.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidTrustAnchors {
    /// An anchor cannot be one.
    Anchor {
        /// Which of the certificates.
        position: usize,
        /// Why.
        error: UnsuitableAuthority,
    },
    /// The anchors are not PEM.
    AnchorsPem(InvalidPem),
    /// A CRL cannot be used.
    Crl {
        /// Which of the CRLs.
        position: usize,
        /// Why.
        error: InvalidCrl,
    },
    /// An intermediate cannot be one.
    Intermediate {
        /// Which of the certificates.
        position: usize,
        /// Why.
        error: UnsuitableAuthority,
    },
    /// The intermediates are not PEM.
    IntermediatesPem(InvalidPem),
    /// Two anchors have the same key, which makes them one anchor with two sets of constraints.
    SameKey {
        /// Which of the certificates.
        positions: [usize; 2],
        /// The subject of the latter.
        subject: String,
    },
}

impl InvalidTrustAnchors {
    /// The key of the set's configuration that is at fault.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Anchor { .. } | Self::AnchorsPem(_) | Self::SameKey { .. } => "certificates",
            Self::Crl { .. } => "crls",
            Self::Intermediate { .. } | Self::IntermediatesPem(_) => "intermediates",
        }
    }
}

impl fmt::Display for InvalidTrustAnchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anchor { position, error: UnsuitableAuthority::NotAuthority } => write!(
                f,
                "certificate {position} cannot be a trust anchor: {}; the certificate of a client itself belongs into a registration for self_signed_tls_client_auth",
                UnsuitableAuthority::NotAuthority
            ),
            Self::Anchor { position, error } => {
                write!(f, "certificate {position} cannot be a trust anchor: {error}")
            }
            Self::AnchorsPem(error) | Self::IntermediatesPem(error) => error.fmt(f),
            Self::Crl { position, error } => write!(f, "CRL {position} cannot be used: {error}"),
            Self::Intermediate { position, error } => {
                write!(f, "certificate {position} cannot be an intermediate: {error}")
            }
            Self::SameKey { positions: [first, second], subject } => write!(
                f,
                "certificates {first} and {second} ({subject}) have the same key: keep the one that expires later"
            ),
        }
    }
}

impl std::error::Error for InvalidTrustAnchors {}

/// What about a set of trust anchors deserves attention.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Warning {
    /// No configured certificate has the key that signed a CRL: it speaks for intermediates that clients present, or not
    /// at all.
    CrlWithoutSigner {
        /// The issuer of the CRL.
        issuer: String,
    },
    /// A CRL's thisUpdate lies in the future.
    EarlyCrl {
        /// The issuer of the CRL.
        issuer: String,
    },
    /// A certificate has expired, and no path leads over it.
    Expired {
        /// What the certificate is.
        role: &'static str,
        /// Its subject.
        subject: String,
    },
    /// A certificate is not yet valid, and no path leads over it.
    NotYetValid {
        /// What the certificate is.
        role: &'static str,
        /// Its subject.
        subject: String,
    },
    /// A CRL's nextUpdate has passed, so that the status of its issuer's certificates is unknown.
    StaleCrl {
        /// The issuer of the CRL.
        issuer: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CrlWithoutSigner { issuer } => write!(
                f,
                "none of the configured certificates has the key that signed the CRL of {issuer}"
            ),
            Self::EarlyCrl { issuer } => write!(f, "the CRL of {issuer} is of the future"),
            Self::Expired { role, subject } => write!(f, "the {role} {subject} has expired"),
            Self::NotYetValid { role, subject } => {
                write!(f, "the {role} {subject} is not yet valid")
            }
            Self::StaleCrl { issuer } => write!(f, "the CRL of {issuer} is past its nextUpdate"),
        }
    }
}

/// Why no path from an end-entity certificate to a trust anchor is valid.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PathError {
    /// The end-entity certificate is past notAfter (RFC 5280 §4.1.2.5).
    Expired,
    /// The end-entity certificate is before notBefore (RFC 5280 §4.1.2.5).
    NotYetValid,
    /// Key usage or extended key usage of the end-entity certificate does not allow client authentication (RFC 5280
    /// §4.2.1.3, §4.2.1.12).
    Purpose,
    /// A CRL does not tell, or no current one (RFC 5280 §6.3).
    RevocationUnknown(Which, UnknownRevocation),
    /// A CRL names a certificate on the path (RFC 5280 §6.3).
    Revoked(Which),
    /// The end-entity certificate is malformed.
    Unreadable,
    /// There is no path that is valid now (RFC 5280 §6.1).
    Untrusted(PathProblem),
}

/// A certificate on a path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Which {
    /// The client's own.
    EndEntity,
    /// That of an intermediate CA, by its subject.
    Intermediate(String),
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndEntity => f.write_str("the certificate"),
            Self::Intermediate(subject) => write!(f, "the intermediate {subject}"),
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("the certificate has expired"),
            Self::NotYetValid => f.write_str("the certificate is not yet valid"),
            Self::Purpose => f.write_str(
                "the certificate is not for client authentication: key usage lacks digitalSignature, or extended key usage clientAuth",
            ),
            Self::RevocationUnknown(which, why) => {
                write!(f, "it is unknown whether {which} is revoked: {why}")
            }
            Self::Revoked(which) => write!(f, "{which} is revoked"),
            Self::Unreadable => f.write_str("the certificate is malformed"),
            Self::Untrusted(problem) => problem.fmt(f),
        }
    }
}

impl std::error::Error for PathError {}

/// What is wrong with the paths to the trust anchors; where there are several, with the most promising one.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PathProblem {
    /// The anchor has expired.
    AnchorExpired(String),
    /// The anchor is not yet valid.
    AnchorNotYetValid(String),
    /// A certificate has a critical extension that is unknown (RFC 5280 §4.2).
    CriticalExtension,
    /// The end-entity certificate is one of a CA (RFC 5280 §4.2.1.9).
    EndEntityIsAuthority,
    /// The end-entity certificate's key is too weak or of an unknown kind.
    EndEntityKey,
    /// The end-entity certificate is of X.509 version 1 or 2, which have no extensions (RFC 5280 §4.1.2.1, §6.1.1).
    EndEntityVersion,
    /// A presented certificate has the name of an issuer on the path, but cannot be one.
    Issuer(String, UnsuitableAuthority),
    /// An intermediate has expired.
    IntermediateExpired,
    /// An intermediate is not yet valid.
    IntermediateNotYetValid,
    /// An intermediate is not for issuing client certificates (RFC 5280 §4.2.1.12).
    IntermediatePurpose,
    /// A certificate on the path is malformed.
    Malformed,
    /// Name constraints do not permit a name, or are of a kind that cannot be judged (RFC 5280 §4.2.1.10).
    NameConstraints,
    /// No issuer leads to an anchor; the name is the first that neither a configured nor a presented certificate has.
    NoPath(Option<String>),
    /// There are more intermediates than a path length constraint allows (RFC 5280 §4.2.1.9).
    PathLength,
    /// A signature is wrong: the issuer has the name, but not the key.
    Signature,
    /// A signature is of an algorithm that is not accepted.
    SignatureAlgorithm,
    /// Verifying all the paths that the presented certificates make possible would take too long.
    TooCostly,
    /// The client presented more than [`super::MAXIMUM_CHAIN_CERTIFICATES`].
    TooManyCertificates,
}

impl PathProblem {
    /// `None` where `rustls-webpki` has nothing to say but that there is no path.
    pub(super) fn from_webpki(error: &webpki::Error) -> Option<Self> {
        use webpki::Error;
        Some(match error {
            Error::UnknownIssuer => return None,
            Error::CaUsedAsEndEntity => Self::EndEntityIsAuthority,
            Error::CertExpired { .. } => Self::IntermediateExpired,
            Error::CertNotValidYet { .. } => Self::IntermediateNotYetValid,
            Error::EmptyEkuExtension | Error::RequiredEkuNotFoundContext(_) => {
                Self::IntermediatePurpose
            }
            Error::InvalidNetworkMaskConstraint
            | Error::MalformedNameConstraint
            | Error::NameConstraintViolation => Self::NameConstraints,
            // A signature of another kind than the key is another key's, too.
            Error::InvalidSignatureForPublicKey
            | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => Self::Signature,
            Error::MaximumNameConstraintComparisonsExceeded
            | Error::MaximumPathBuildCallsExceeded
            | Error::MaximumSignatureChecksExceeded => Self::TooCostly,
            Error::MaximumPathDepthExceeded | Error::PathLenConstraintViolated => Self::PathLength,
            Error::UnsupportedCriticalExtension => Self::CriticalExtension,
            Error::UnsupportedSignatureAlgorithmContext(_) => Self::SignatureAlgorithm,
            _ => Self::Malformed,
        })
    }
}

impl fmt::Display for PathProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AnchorExpired(subject) => {
                return write!(f, "the trust anchor {subject} has expired");
            }
            Self::AnchorNotYetValid(subject) => {
                return write!(f, "the trust anchor {subject} is not yet valid");
            }
            Self::CriticalExtension => {
                "a certificate on the path has a critical extension that is not known here"
            }
            Self::EndEntityIsAuthority => "the certificate is one of a CA, not of a client",
            Self::EndEntityKey => {
                "the certificate's key is RSA of less than 2048 bits, or of an unknown kind"
            }
            Self::EndEntityVersion => {
                "the certificate is not of X.509 version 3: issue it with extensions (OpenSSL: -extfile or -copy_extensions)"
            }
            Self::Issuer(subject, error) => {
                return write!(f, "the presented certificate of the issuer {subject} cannot be used: {error}");
            }
            Self::IntermediateExpired => "an intermediate on the path has expired",
            Self::IntermediateNotYetValid => "an intermediate on the path is not yet valid",
            Self::IntermediatePurpose => {
                "the extended key usage of an intermediate on the path lacks clientAuth"
            }
            Self::Malformed => "a certificate on the path is malformed",
            Self::NameConstraints => {
                "the name constraints of a CA on the path do not permit a name, or cannot be judged here"
            }
            Self::NoPath(Some(name)) => {
                return write!(
                    f,
                    "no path leads to a trust anchor: the issuer {name} is neither configured nor presented"
                );
            }
            Self::NoPath(None) => "no path leads to a trust anchor",
            Self::PathLength => "there are more intermediates on the path than a CA on it allows",
            Self::Signature => {
                "a signature on the path is wrong: a CA has the issuer's name, but another key"
            }
            Self::SignatureAlgorithm => {
                "a signature on the path is of an algorithm that is not accepted, such as SHA-1"
            }
            Self::TooCostly => "verifying the presented certificates would take too long",
            Self::TooManyCertificates => "the client presented more than five certificates",
        })
    }
}

/// A name for the log: in RFC 4514 form and not at any length, since clients can choose it.
pub(super) fn display(name: &Name) -> String {
    name.to_string().chars().take(100).collect()
}
