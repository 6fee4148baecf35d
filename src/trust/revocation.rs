//! Certificate revocation lists (RFC 5280 §5 and §6.3).
//!
//! `rustls-webpki` parses them, but takes the first list that has the issuer's name: not enough where two CAs have the
//! same name, or one CA has several lists. Which list speaks for a certificate is therefore decided here.

use std::fmt;

use der::{Decode as _, oid::AssociatedOid as _};
use rustls_pki_types::{CertificateRevocationListDer, pem::PemObject as _};
use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_cert::{
    crl::CertificateList,
    ext::pkix::{CrlNumber, IssuingDistributionPoint},
    name::Name,
};

use super::{
    authority::{DistributionPoint, Key, Node, uris},
    signature::{Meter, Signed, Verified},
};

/// What becomes of a certificate whose revocation status the configured CRLs do not tell.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum UnknownRevocationStatus {
    /// It is accepted. A certificate that some list names, be it out of date, is still denied.
    Allow,
    /// It is denied.
    #[default]
    Deny,
}

/// A complete CRL of the issuer of the certificates in it.
#[derive(Debug)]
pub(super) struct Crl {
    der: Vec<u8>,
    issuer: Name,
    list: CertRevocationList<'static>,
    signed: Signed<Vec<u8>>,
    this_update: u64,
    next_update: u64,
    scope: Option<Scope>,
    /// The keys for which the signature was verified at load, and what came of it.
    verified: Vec<([u8; 32], bool)>,
}

/// The issuingDistributionPoint extension (RFC 5280 §5.2.5).
#[derive(Debug, Eq, PartialEq)]
struct Scope {
    uris: Vec<String>,
    only_end_entities: bool,
    only_authorities: bool,
}

impl Scope {
    fn from_der(der: &[u8]) -> Result<Self, InvalidCrl> {
        let point = IssuingDistributionPoint::from_der(der).map_err(|_| InvalidCrl::Malformed)?;
        Ok(Self {
            uris: uris(point.distribution_point.as_ref()).ok_or(InvalidCrl::Scope)?,
            only_end_entities: point.only_contains_user_certs,
            only_authorities: point.only_contains_ca_certs,
        })
    }
}

/// Reads every `X509 CRL` section of a text.
pub(super) fn crls(text: &str) -> Result<Vec<Crl>, (usize, InvalidCrl)> {
    let mut crls = Vec::new();
    for (index, section) in
        CertificateRevocationListDer::pem_slice_iter(text.as_bytes()).enumerate()
    {
        let position = index.saturating_add(1);
        let der = section.map_err(|_| (position, InvalidCrl::Pem))?;
        crls.push(Crl::from_der(&der).map_err(|error| (position, error))?);
    }
    if crls.is_empty() { Err((1, InvalidCrl::Missing)) } else { Ok(crls) }
}

impl Crl {
    fn from_der(der: &[u8]) -> Result<Self, InvalidCrl> {
        let list = OwnedCertRevocationList::from_der(der).map_err(InvalidCrl::from_webpki)?;
        let parsed = CertificateList::<x509_cert::certificate::Rfc5280>::from_der(der)
            .map_err(|_| InvalidCrl::Malformed)?;
        let signed = Signed::from_der(der).ok_or(InvalidCrl::Malformed)?;
        let parsed = parsed.tbs_cert_list;
        let extensions = parsed.crl_extensions.unwrap_or_default();
        let mut numbers = extensions.iter().filter(|extension| extension.extn_id == CrlNumber::OID);
        match (numbers.next(), numbers.next()) {
            (Some(number), None) if !number.critical => {}
            _ => return Err(InvalidCrl::Number),
        }
        let list = CertRevocationList::from(list);
        let scope = list.issuing_distribution_point().map(Scope::from_der).transpose()?;
        Ok(Self {
            der: der.into(),
            issuer: parsed.issuer,
            list,
            signed: signed.into_owned(),
            this_update: parsed.this_update.to_unix_duration().as_secs(),
            next_update: parsed
                .next_update
                .ok_or(InvalidCrl::Malformed)?
                .to_unix_duration()
                .as_secs(),
            scope,
            verified: Vec::new(),
        })
    }

    /// Verifies the signature once and for all with the key of a CA that has the name of the list's issuer.
    pub(super) fn verify_with(&mut self, authority: &Node) {
        let key = &authority.key;
        if authority.subject == self.issuer && self.verified.iter().all(|(id, _)| *id != key.id) {
            let verified = key.verify(&self.signed, &Meter::unlimited()) == Verified::Yes;
            self.verified.push((key.id, verified));
        }
    }

    /// Whether one of the keys known at load signed the list.
    pub(super) fn has_known_signer(&self) -> bool {
        self.verified.iter().any(|(_, verified)| *verified)
    }

    /// The DER encoding.
    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }

    /// Who issued the list.
    pub(super) fn issuer(&self) -> &Name {
        &self.issuer
    }

    /// The moments at which the list's word changes.
    pub(super) fn changes(&self) -> [u64; 2] {
        [self.this_update, self.next_update]
    }

    /// The end of the time for which the list speaks; that second not included.
    pub(super) fn next_update(&self) -> u64 {
        self.next_update
    }

    /// Later lists replace earlier ones, but one of the future none of the past.
    fn rank_at(&self, now: u64) -> (bool, u64) {
        (self.this_update <= now, self.this_update)
    }

    fn is_signed_by(&self, key: &Key, meter: &Meter) -> bool {
        match self.verified.iter().find(|(id, _)| *id == key.id) {
            Some((_, verified)) => *verified,
            None => key.verify(&self.signed, meter) == Verified::Yes,
        }
    }

    /// Whether the list would name the certificate, were it revoked (RFC 5280 §6.3.3 (b)).
    fn covers(&self, certificate: &Subject<'_>) -> bool {
        let Some(scope) = &self.scope else { return true };
        if scope.only_end_entities && certificate.node.is_authority()
            || scope.only_authorities && !certificate.node.is_authority()
        {
            return false;
        }
        let Some(points) = &certificate.node.crl_distribution_points else { return true };
        points.iter().any(|point| match point {
            DistributionPoint::Uris(uris) => uris.iter().any(|uri| scope.uris.contains(uri)),
            DistributionPoint::Other => false,
        })
    }
}

/// A certificate whose status is asked for.
pub(super) struct Subject<'a> {
    pub(super) node: &'a Node,
    /// The serial number's content octets.
    pub(super) serial: &'a [u8],
}

/// What the lists say about a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Status {
    /// It is not revoked; the list says so up to this second, which is included.
    Good(u64),
    /// It is revoked.
    Revoked,
    /// No list tells.
    Unknown(UnknownRevocation),
}

/// Asks the lists about a certificate that the issuer's key was found to have signed.
pub(super) fn status(
    crls: &[Crl],
    certificate: &Subject<'_>,
    issuer: &Node,
    now: u64,
    meter: &Meter,
) -> Status {
    let mut unknown = UnknownRevocation::Missing;
    let mut latest: Vec<&Crl> = Vec::new();
    for crl in crls.iter().filter(|crl| crl.issuer == certificate.node.issuer) {
        if !crl.covers(certificate) {
            continue;
        }
        if !crl.is_signed_by(&issuer.key, meter) {
            unknown = unknown.max(UnknownRevocation::Signature);
        } else if !issuer.may_sign_crls() {
            unknown = unknown.max(UnknownRevocation::Signer);
        } else {
            match latest.iter_mut().find(|other| other.scope == crl.scope) {
                Some(other) if other.rank_at(now) < crl.rank_at(now) => *other = crl,
                Some(_) => {}
                None => latest.push(crl),
            }
        }
    }
    // Lists of different scope are parts of one: any of them revokes, and all of them have to be current.
    if latest.iter().any(|crl| !matches!(crl.list.find_serial(certificate.serial), Ok(None))) {
        return Status::Revoked;
    }
    if latest.iter().any(|crl| now >= crl.next_update) {
        return Status::Unknown(UnknownRevocation::Stale);
    }
    if latest.iter().any(|crl| now < crl.this_update) {
        return Status::Unknown(UnknownRevocation::Early);
    }
    let next_update = latest.iter().map(|crl| crl.next_update).min();
    next_update.map_or(Status::Unknown(unknown), |next| Status::Good(next.saturating_sub(1)))
}

/// Why the revocation status of a certificate is unknown (RFC 5280 §6.3.3).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum UnknownRevocation {
    /// There is no CRL of the certificate's issuer for certificates of its kind.
    Missing,
    /// There is one with the issuer's name, but the issuer's key did not sign it (§6.3.3 (g)).
    Signature,
    /// There is one, but the issuer's key usage lacks `cRLSign` (§6.3.3 (f)).
    Signer,
    /// The CRL's `thisUpdate` lies in the future.
    Early,
    /// The CRL's `nextUpdate` is over.
    Stale,
}

impl fmt::Display for UnknownRevocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "no configured CRL is of its issuer and covers it",
            Self::Signature => {
                "the CRL with the name of its issuer is not signed by that issuer's key"
            }
            Self::Signer => "its issuer signed a CRL but has no cRLSign in its key usage",
            Self::Early => "its issuer's CRL is of the future: check the clock",
            Self::Stale => "its issuer's CRL is past nextUpdate: configure the current one",
        })
    }
}

/// Why a CRL cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidCrl {
    /// An extension is critical and unknown (RFC 5280 §5.2).
    CriticalExtension,
    /// A delta CRL (RFC 5280 §5.2.4).
    Delta,
    /// An indirect CRL, with entries for certificates of other issuers (RFC 5280 §5.2.5, §5.3.3).
    Indirect,
    /// Not the DER encoding of a version 2 CRL with `nextUpdate` (RFC 5280 §5.1).
    Malformed,
    /// There is no `-----BEGIN X509 CRL-----` section.
    Missing,
    /// The CRL number extension is missing, doubled, critical or malformed (RFC 5280 §5.2.3).
    Number,
    /// The PEM section has no end, or its content is not base64.
    Pem,
    /// The issuing distribution point limits the list to some reasons, to attribute certificates, or has no full name
    /// (RFC 5280 §5.2.5).
    Scope,
}

impl InvalidCrl {
    fn from_webpki(error: webpki::Error) -> Self {
        use webpki::Error;
        match error {
            Error::UnsupportedCriticalExtension => Self::CriticalExtension,
            Error::UnsupportedDeltaCrl => Self::Delta,
            Error::UnsupportedIndirectCrl => Self::Indirect,
            Error::InvalidCrlNumber => Self::Number,
            Error::UnsupportedCrlIssuingDistributionPoint
            | Error::UnsupportedRevocationReasonsPartitioning => Self::Scope,
            _ => Self::Malformed,
        }
    }
}

impl fmt::Display for InvalidCrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CriticalExtension => "it has a critical extension that is not known here",
            Self::Delta => "it is a delta CRL: configure the complete one",
            Self::Indirect => "it is an indirect CRL: configure the one that each CA issues itself",
            Self::Malformed => "it is not the DER encoding of a version 2 CRL with nextUpdate",
            Self::Missing => "there is no -----BEGIN X509 CRL----- section",
            Self::Number => "its CRL number (RFC 5280 §5.2.3) is missing, critical or malformed",
            Self::Pem => "the PEM section is damaged",
            Self::Scope => {
                "it is limited to some revocation reasons, or its issuing distribution point has no full name"
            }
        })
    }
}

impl std::error::Error for InvalidCrl {}
