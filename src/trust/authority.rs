//! The parts of a CA certificate (RFC 5280 §4) that path validation looks at besides what `rustls-webpki` does.

use der::{Decode as _, Encode as _, oid::ObjectIdentifier};
use sha2::{Digest as _, Sha256};
use x509_cert::{
    Certificate as X509, TbsCertificate, Version,
    ext::pkix::{
        AuthorityKeyIdentifier, BasicConstraints, CrlDistributionPoints, ExtendedKeyUsage,
        KeyUsage, NameConstraints, SubjectAltName, SubjectKeyIdentifier,
        name::{DistributionPointName, GeneralName},
    },
    name::Name,
    spki::SubjectPublicKeyInfoOwned,
};

use super::signature::{self, Meter, Signed, Verified};
use crate::{certificate::ValidityStatus, public_key::PublicKey};

const ID_KP_CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
const ANY_EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

/// A certificate, wherever it stands in a path.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) der: Vec<u8>,
    pub(super) subject: Name,
    pub(super) issuer: Name,
    pub(super) not_before: u64,
    pub(super) not_after: u64,
    pub(super) version: Version,
    pub(super) key: Key,
    pub(super) subject_key_identifier: Option<Vec<u8>>,
    pub(super) authority_key_identifier: Option<Vec<u8>>,
    pub(super) crl_distribution_points: Option<Vec<DistributionPoint>>,
    /// How many subtrees its name constraints list.
    pub(super) constraints: usize,
    /// How many names constraints apply to: the subject and the subjectAltNames.
    pub(super) names: usize,
    basic_constraints: Option<BasicConstraints>,
    key_usage: Option<KeyUsage>,
    extended_key_usage: Option<ExtendedKeyUsage>,
}

/// A subject's public key, as the parts of its SubjectPublicKeyInfo.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// SHA-256 over the whole SubjectPublicKeyInfo.
    pub(super) id: [u8; 32],
    algorithm: Vec<u8>,
    bytes: Vec<u8>,
    /// Strong enough for an end-entity certificate.
    is_strong: bool,
}

impl Key {
    fn from_spki(spki: &SubjectPublicKeyInfoOwned) -> Option<Self> {
        let mut algorithm = spki.algorithm.oid.to_der().ok()?;
        if let Some(parameters) = &spki.algorithm.parameters {
            algorithm.extend(parameters.to_der().ok()?);
        }
        let is_strong = match PublicKey::from_spki(spki) {
            Some(PublicKey::Rsa { n, .. }) => bits(&n) >= 2048,
            Some(PublicKey::Ec { .. } | PublicKey::Okp { .. }) => true,
            None => false,
        };
        Some(Self {
            id: Sha256::digest(spki.to_der().ok()?).into(),
            algorithm,
            bytes: spki.subject_public_key.as_bytes()?.into(),
            is_strong,
        })
    }

    /// Whether certificates can be verified with it: an algorithm, size and encoding that the module knows.
    pub(super) fn is_suitable_for_issuing(&self) -> bool {
        signature::is_suitable_key(&self.algorithm, &self.bytes)
    }

    /// Whether a client may hold it: RSA of at least 2048 bits (NIST SP 800-131A), a NIST curve from P-256 on, Ed25519
    /// or Ed448. The TLS handshake decides whether it is of any use.
    pub(super) fn is_strong(&self) -> bool {
        self.is_strong
    }

    /// The content of the subjectPublicKey.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn verify<T: AsRef<[u8]>>(&self, signed: &Signed<T>, meter: &Meter) -> Verified {
        signed.verify(&self.algorithm, &self.bytes, meter)
    }
}

fn bits(number: &[u8]) -> usize {
    let leading_zeros = number.first().map_or(0, |byte| byte.leading_zeros() as usize);
    number.len().saturating_mul(8).saturating_sub(leading_zeros)
}

/// One place of a CRL, of those forms that can be compared (RFC 5280 §4.2.1.13).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum DistributionPoint {
    /// The whole CRL of the certificate's issuer, by its URIs.
    Uris(Vec<String>),
    /// By another issuer, for some reasons only, or under a name that is no URI.
    Other,
}

/// The URIs of a distribution point's full name.
pub(super) fn uris(name: Option<&DistributionPointName>) -> Option<Vec<String>> {
    let Some(DistributionPointName::FullName(names)) = name else { return None };
    let uri = |name: &GeneralName| match name {
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str().to_owned()),
        _ => None,
    };
    Some(names.iter().filter_map(uri).collect())
}

impl Node {
    /// Parses a certificate; `None` when it is malformed, or an extension that is looked at is malformed or doubled.
    pub(super) fn from_der(der: &[u8]) -> Option<Self> {
        let x509 = X509::from_der(der).ok()?;
        let tbs: &TbsCertificate = x509.tbs_certificate();
        let distribution_points = tbs.get_extension::<CrlDistributionPoints>().ok()?;
        let distribution_points = distribution_points.map(|(_, points)| {
            let points = points.0.into_iter().map(|point| {
                match (point.crl_issuer, point.reasons, uris(point.distribution_point.as_ref())) {
                    (None, None, Some(uris)) => DistributionPoint::Uris(uris),
                    _ => DistributionPoint::Other,
                }
            });
            points.collect()
        });
        let constraints = tbs.get_extension::<NameConstraints>().ok()?.map(|(_, constraints)| {
            let length = |subtrees: Option<Vec<_>>| subtrees.map_or(0, |subtrees| subtrees.len());
            length(constraints.permitted_subtrees)
                .saturating_add(length(constraints.excluded_subtrees))
        });
        let names = tbs.get_extension::<SubjectAltName>().ok()?.map(|(_, names)| names.0.len());
        let subject_key_identifier = tbs.get_extension::<SubjectKeyIdentifier>().ok()?;
        let authority_key_identifier = tbs.get_extension::<AuthorityKeyIdentifier>().ok()?;
        Some(Self {
            der: der.into(),
            subject: tbs.subject().clone(),
            issuer: tbs.issuer().clone(),
            not_before: tbs.validity().not_before.to_unix_duration().as_secs(),
            not_after: tbs.validity().not_after.to_unix_duration().as_secs(),
            version: tbs.version(),
            key: Key::from_spki(tbs.subject_public_key_info())?,
            subject_key_identifier: subject_key_identifier
                .map(|(_, identifier)| identifier.0.as_bytes().into()),
            authority_key_identifier: authority_key_identifier
                .and_then(|(_, identifier)| identifier.key_identifier)
                .map(|identifier| identifier.as_bytes().into()),
            crl_distribution_points: distribution_points,
            constraints: constraints.unwrap_or(0),
            names: names.unwrap_or(0).saturating_add(1),
            basic_constraints: tbs
                .get_extension::<BasicConstraints>()
                .ok()?
                .map(|(_, constraints)| constraints),
            key_usage: tbs.get_extension::<KeyUsage>().ok()?.map(|(_, usage)| usage),
            extended_key_usage: tbs
                .get_extension::<ExtendedKeyUsage>()
                .ok()?
                .map(|(_, purposes)| purposes),
        })
    }

    /// Whether basicConstraints says `cA` (RFC 5280 §4.2.1.9).
    pub(super) fn is_authority(&self) -> bool {
        self.basic_constraints.as_ref().is_some_and(|constraints| constraints.ca)
    }

    /// How many intermediates may stand between this one and the end-entity certificate, those not counted that their
    /// own subject issued (RFC 5280 §4.2.1.9).
    pub(super) fn path_length(&self) -> Option<usize> {
        self.basic_constraints.as_ref()?.path_len_constraint.map(usize::from)
    }

    /// Whether issuer and subject are the same (RFC 5280 §3.2).
    pub(super) fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// Whether key usage, where present, has `keyCertSign` (RFC 5280 §4.2.1.3).
    pub(super) fn may_sign_certificates(&self) -> bool {
        self.key_usage.as_ref().is_none_or(KeyUsage::key_cert_sign)
    }

    /// Whether key usage, where present, has `cRLSign` (RFC 5280 §4.2.1.3).
    pub(super) fn may_sign_crls(&self) -> bool {
        self.key_usage.as_ref().is_none_or(KeyUsage::crl_sign)
    }

    /// Whether extended key usage, where present, leaves room for `clientAuth` (RFC 5280 §4.2.1.12).
    pub(super) fn may_issue_for_client_authentication(&self) -> bool {
        self.extended_key_usage.as_ref().is_none_or(|purposes| {
            purposes.0.contains(&ID_KP_CLIENT_AUTH) || purposes.0.contains(&ANY_EXTENDED_KEY_USAGE)
        })
    }

    /// What the issuer signed.
    pub(super) fn signed_content(&self) -> Option<&[u8]> {
        Signed::from_der(&self.der).map(|signed| signed.content())
    }

    /// Whether the certificate's own key signed it; `None` where that cannot be told.
    pub(super) fn is_signed_by_itself(&self) -> Option<bool> {
        let signed = Signed::from_der(&self.der)?;
        match self.key.verify(&signed, &Meter::unlimited()) {
            Verified::Yes => Some(true),
            Verified::No => Some(false),
            // SHA-1 signatures of old roots say nothing, for or against.
            Verified::Unsupported => None,
        }
    }

    pub(super) fn validity_at(&self, now: u64) -> ValidityStatus {
        ValidityStatus::at(now, self.not_before, self.not_after)
    }
}
