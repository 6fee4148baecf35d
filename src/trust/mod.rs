//! Trust anchors: whether a certification path leads from a client's certificate to a CA that it is bound to, now
//! (RFC 8705 §2.1, RFC 5280 §6).
//!
//! Paths are built and validated by `rustls-webpki`: signatures, validity, basicConstraints, path lengths, name constraints,
//! extended key usage, unknown critical extensions. This module adds what it leaves to its caller:
//!
//! - **anchors**: CA certificates with a suitable key, checked when they are loaded; used within their validity only, and
//!   within their path length constraint. They are told apart by key: CAs of the same name may stand side by side.
//! - **intermediates**: key usage has `keyCertSign`, where present.
//! - **end-entity certificate**: `digitalSignature` and `clientAuth`, where the extensions are present; not a CA; a strong
//!   key.
//! - **revocation**, which list speaks for which certificate.
//! - **cost**: the search ends when its signatures have cost as much as five with P-384, or the wrong ones as much as
//!   three; none is verified twice; where CAs have the same name, key identifiers tell which key to try first.
//!   [`VerdictCache`] remembers verdicts.
//!
//! Everything else that `rustls-webpki` cannot judge is refused by it, not ignored: directoryName constraints always; URI and
//! rfc822Name constraints where a certificate has such names (so a SPIFFE CA with URI constraints does not validate);
//! critical policy extensions; `anyExtendedKeyUsage` alone; more than six intermediates; names that are equal only after
//! normalisation (RFC 5280 §7.1), since they are compared octet by octet.

mod authority;
mod cache;
mod known_answers;
mod problem;
mod revocation;
mod rsa;
mod search;
mod signature;

use std::sync::Arc;

use rustls_pki_types::{CertificateDer, TrustAnchor};
use webpki::{EndEntityCert, anchor_from_trusted_cert};
use x509_cert::{Version, name::Name};

pub use cache::VerdictCache;
pub use known_answers::{WrongAnswer, require_known_answers};
pub use problem::{
    InvalidTrustAnchors, PathError, PathProblem, UnsuitableAuthority, Warning, Which,
};
pub use revocation::{InvalidCrl, UnknownRevocation, UnknownRevocationStatus};

use crate::{
    certificate::{Certificate, ValidityStatus},
    pem,
};
use authority::Node;
use problem::display;
use revocation::Crl;
use search::Search;
use signature::{Meter, id_of};

/// How many certificates a client may present, the end-entity certificate included.
pub const MAXIMUM_CHAIN_CERTIFICATES: usize = 5;

/// A set of trust anchors, with the intermediates and CRLs that belong to it. Clones share everything.
#[derive(Clone, Debug)]
pub struct TrustAnchors(Arc<Set>);

#[derive(Debug)]
struct Set {
    id: [u8; 32],
    anchors: Vec<Anchor>,
    intermediates: Vec<Node>,
    crls: Vec<Crl>,
    unknown_revocation_status: UnknownRevocationStatus,
}

#[derive(Debug)]
struct Anchor {
    node: Node,
    trusted: TrustAnchor<'static>,
}

/// The validity of something in a set of trust anchors.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Expiry {
    /// What it is: `trust anchor`, `intermediate` or `CRL`.
    pub role: &'static str,
    /// The certificate's subject, or the CRL's issuer.
    pub subject: String,
    /// The first second, since the Unix epoch, of its validity: notBefore or thisUpdate.
    pub from: u64,
    /// The first second after it: that after notAfter, or nextUpdate.
    pub until: u64,
}

/// A path that was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct VerifiedPath {
    /// SHA-256 of the SubjectPublicKeyInfo of the anchor that it ends at.
    pub anchor_key: [u8; 32],
    /// The first second, since the Unix epoch, at which it is valid.
    pub valid_from: u64,
    /// The last second at which it is valid for certain: the first notAfter of a certificate on it or nextUpdate of a
    /// CRL that was consulted.
    pub valid_until: u64,
}

impl TrustAnchors {
    /// Reads a set from PEM.
    ///
    /// # Errors
    /// When a text has no or a damaged section, a certificate is not one of a CA that may issue certificates for client
    /// authentication, has a key that is weak or of an unknown kind, two anchors have the same key, or a CRL cannot be
    /// used.
    pub fn new(
        certificates: &str,
        intermediates: Option<&str>,
        crls: Option<&str>,
        unknown_revocation_status: UnknownRevocationStatus,
    ) -> Result<Self, InvalidTrustAnchors> {
        let anchors = read_anchors(certificates)?;
        let intermediates = intermediates.map_or(Ok(Vec::new()), read_intermediates)?;
        let mut crls = crls
            .map_or(Ok(Vec::new()), revocation::crls)
            .map_err(|(position, error)| InvalidTrustAnchors::Crl { position, error })?;
        for crl in &mut crls {
            let nodes = anchors.iter().map(|anchor| &anchor.node).chain(&intermediates);
            for node in nodes {
                crl.verify_with(node);
            }
        }
        let mut parts: Vec<&[u8]> = vec![match unknown_revocation_status {
            UnknownRevocationStatus::Allow => b"allow",
            UnknownRevocationStatus::Deny => b"deny",
        }];
        parts.push(b"anchors");
        parts.extend(anchors.iter().map(|anchor| &*anchor.node.der));
        parts.push(b"intermediates");
        parts.extend(intermediates.iter().map(|node| &*node.der));
        parts.push(b"crls");
        parts.extend(crls.iter().map(Crl::der));
        let id = id_of(&parts);
        Ok(Self(Arc::new(Set { id, anchors, intermediates, crls, unknown_revocation_status })))
    }

    /// A digest of all that the set consists of: sets with the same id give the same answers.
    pub fn id(&self) -> [u8; 32] {
        self.0.id
    }

    /// SHA-256 of each anchor's SubjectPublicKeyInfo: what a set is recognised by.
    pub fn keys(&self) -> impl Iterator<Item = [u8; 32]> {
        self.0.anchors.iter().map(|anchor| anchor.node.key.id)
    }

    /// The first moment, in seconds since the Unix epoch, at which an anchor or a CRL has expired.
    pub fn first_expiry(&self) -> u64 {
        let anchor = self.first_not_after().saturating_add(1);
        self.first_next_update().map_or(anchor, |crl| crl.min(anchor))
    }

    /// The first notAfter of an anchor, in seconds since the Unix epoch.
    pub fn first_not_after(&self) -> u64 {
        self.0.anchors.iter().map(|anchor| anchor.node.not_after).min().unwrap_or(u64::MAX)
    }

    /// The first nextUpdate of a CRL, in seconds since the Unix epoch, if there are any.
    pub fn first_next_update(&self) -> Option<u64> {
        self.0.crls.iter().map(Crl::next_update).min()
    }

    /// When each certificate and CRL of the set is valid.
    pub fn expiries(&self) -> Vec<Expiry> {
        let of =
            |role, name: &Name, from, until| Expiry { role, subject: display(name), from, until };
        let anchors = self.0.anchors.iter().map(|anchor| (&anchor.node, "trust anchor"));
        let intermediates = self.0.intermediates.iter().map(|node| (node, "intermediate"));
        let certificates = anchors.chain(intermediates).map(|(node, role)| {
            of(role, &node.subject, node.not_before, node.not_after.saturating_add(1))
        });
        let crls = self.0.crls.iter().map(|crl| {
            let [this_update, next_update] = crl.changes();
            of("CRL", crl.issuer(), this_update, next_update)
        });
        certificates.chain(crls).collect()
    }

    /// What the operator should know about the set at this time, in seconds since the Unix epoch. None of it stops the
    /// set from being loaded, since each passes or comes by the mere flow of time.
    pub fn warnings(&self, now: u64) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let anchors = self.0.anchors.iter().map(|anchor| (&anchor.node, "trust anchor"));
        let intermediates = self.0.intermediates.iter().map(|node| (node, "intermediate"));
        for (node, role) in anchors.chain(intermediates) {
            let subject = display(&node.subject);
            match node.validity_at(now) {
                ValidityStatus::Expired => warnings.push(Warning::Expired { role, subject }),
                ValidityStatus::NotYetValid => {
                    warnings.push(Warning::NotYetValid { role, subject });
                }
                ValidityStatus::Valid => {}
            }
        }
        for crl in &self.0.crls {
            let issuer = || display(crl.issuer());
            let [this_update, next_update] = crl.changes();
            if now >= next_update {
                warnings.push(Warning::StaleCrl { issuer: issuer() });
            }
            if now < this_update {
                warnings.push(Warning::EarlyCrl { issuer: issuer() });
            }
            if !crl.has_known_signer() {
                warnings.push(Warning::CrlWithoutSigner { issuer: issuer() });
            }
        }
        warnings
    }

    /// Looks for a path from the end-entity certificate, over intermediates that were presented with it or configured,
    /// to one of the anchors, at a time in seconds since the Unix epoch.
    ///
    /// # Errors
    /// When there is none.
    pub fn verify(
        &self,
        end_entity: &Certificate,
        presented_intermediates: &[Vec<u8>],
        now: u64,
    ) -> Result<VerifiedPath, PathError> {
        self.examine(end_entity, presented_intermediates, now).verdict
    }

    fn examine(
        &self,
        end_entity: &Certificate,
        presented_intermediates: &[Vec<u8>],
        now: u64,
    ) -> Examination {
        let meter = Meter::for_path();
        // What a client presents must not decide whether a list of the operator's can be afforded: whoever gets as far as
        // to be looked up has a path with the right signatures.
        let lists = Meter::unlimited();
        let presented: Vec<Node> = if presented_intermediates.len() < MAXIMUM_CHAIN_CERTIFICATES {
            presented_intermediates.iter().filter_map(|der| Node::from_der(der)).collect()
        } else {
            Vec::new()
        };
        let verdict =
            Node::from_der(end_entity.der()).ok_or(PathError::Unreadable).and_then(|leaf| {
                require_end_entity(end_entity, &leaf, now)?;
                if presented_intermediates.len() >= MAXIMUM_CHAIN_CERTIFICATES {
                    return Err(PathError::Untrusted(PathProblem::TooManyCertificates));
                }
                Search { set: &self.0, leaf: &leaf, now, meter: &meter, lists: &lists }
                    .run(&presented)
            });
        let unchanged_until =
            self.0.changes(&presented).fold(end_entity.not_after(), |first, change| {
                if change > now { first.min(change.saturating_sub(1)) } else { first }
            });
        let verifications = meter.verifications().saturating_add(lists.verifications());
        Examination { verdict, verifications, unchanged_until }
    }
}

impl Set {
    /// The moments at which any of the certificates and CRLs begins or ceases to be valid.
    fn changes<'a>(&'a self, presented: &'a [Node]) -> impl Iterator<Item = u64> {
        let anchors = self.anchors.iter().map(|anchor| &anchor.node);
        anchors
            .chain(&self.intermediates)
            .chain(presented)
            .flat_map(|node| [node.not_before, node.not_after.saturating_add(1)])
            .chain(self.crls.iter().flat_map(Crl::changes))
    }
}

/// A verdict, what it cost, and how long everything stays that it rests upon.
struct Examination {
    verdict: Result<VerifiedPath, PathError>,
    verifications: usize,
    unchanged_until: u64,
}

fn read_anchors(text: &str) -> Result<Vec<Anchor>, InvalidTrustAnchors> {
    let mut anchors: Vec<Anchor> = Vec::new();
    let certificates =
        pem::certificates(text.as_bytes()).map_err(InvalidTrustAnchors::AnchorsPem)?;
    for (index, der) in certificates.into_iter().enumerate() {
        let position = index.saturating_add(1);
        let anchor =
            read_anchor(&der).map_err(|error| InvalidTrustAnchors::Anchor { position, error })?;
        if let Some(other) =
            anchors.iter().position(|other| other.node.key.id == anchor.node.key.id)
        {
            return Err(InvalidTrustAnchors::SameKey {
                positions: [other.saturating_add(1), position],
                subject: display(&anchor.node.subject),
            });
        }
        anchors.push(anchor);
    }
    Ok(anchors)
}

fn read_anchor(der: &[u8]) -> Result<Anchor, UnsuitableAuthority> {
    let node = read_authority(der)?;
    if !node.may_issue_for_client_authentication() {
        return Err(UnsuitableAuthority::Purpose);
    }
    if node.is_self_issued() && node.is_signed_by_itself() == Some(false) {
        return Err(UnsuitableAuthority::SelfSignature);
    }
    let der = CertificateDer::from(der);
    let trusted = anchor_from_trusted_cert(&der).map_err(|_| UnsuitableAuthority::Malformed)?;
    Ok(Anchor { trusted: trusted.to_owned(), node })
}

fn read_intermediates(text: &str) -> Result<Vec<Node>, InvalidTrustAnchors> {
    let mut nodes: Vec<Node> = Vec::new();
    let certificates =
        pem::certificates(text.as_bytes()).map_err(InvalidTrustAnchors::IntermediatesPem)?;
    for (index, der) in certificates.into_iter().enumerate() {
        let position = index.saturating_add(1);
        let node = read_intermediate(&der)
            .map_err(|error| InvalidTrustAnchors::Intermediate { position, error })?;
        if nodes.iter().all(|other| other.der != node.der) {
            nodes.push(node);
        }
    }
    Ok(nodes)
}

fn read_intermediate(der: &[u8]) -> Result<Node, UnsuitableAuthority> {
    let node = read_authority(der)?;
    if !node.may_issue_for_client_authentication() {
        return Err(UnsuitableAuthority::Purpose);
    }
    match EndEntityCert::try_from(&CertificateDer::from(der)) {
        Ok(_) => Ok(node),
        Err(webpki::Error::UnsupportedCriticalExtension) => {
            Err(UnsuitableAuthority::CriticalExtension)
        }
        Err(_) => Err(UnsuitableAuthority::Malformed),
    }
}

fn read_authority(der: &[u8]) -> Result<Node, UnsuitableAuthority> {
    let node = Node::from_der(der).ok_or(UnsuitableAuthority::Malformed)?;
    require_authority(&node)?;
    Ok(node)
}

fn require_authority(node: &Node) -> Result<(), UnsuitableAuthority> {
    if !node.is_authority() {
        Err(UnsuitableAuthority::NotAuthority)
    } else if !node.may_sign_certificates() {
        Err(UnsuitableAuthority::KeyUsage)
    } else if !node.key.is_suitable_for_issuing() {
        Err(UnsuitableAuthority::Key)
    } else {
        Ok(())
    }
}

fn require_end_entity(certificate: &Certificate, node: &Node, now: u64) -> Result<(), PathError> {
    match certificate.validity_at(now) {
        ValidityStatus::Expired => return Err(PathError::Expired),
        ValidityStatus::NotYetValid => return Err(PathError::NotYetValid),
        ValidityStatus::Valid => {}
    }
    if !certificate.allows_client_authentication() {
        Err(PathError::Purpose)
    } else if node.version != Version::V3 {
        Err(PathError::Untrusted(PathProblem::EndEntityVersion))
    } else if node.is_authority() {
        Err(PathError::Untrusted(PathProblem::EndEntityIsAuthority))
    } else if !node.key.is_strong() {
        Err(PathError::Untrusted(PathProblem::EndEntityKey))
    } else {
        Ok(())
    }
}

impl Anchor {
    fn borrowed(&self) -> TrustAnchor<'_> {
        TrustAnchor {
            subject: self.trusted.subject.as_ref().into(),
            subject_public_key_info: self.trusted.subject_public_key_info.as_ref().into(),
            name_constraints: self
                .trusted
                .name_constraints
                .as_ref()
                .map(|constraints| constraints.as_ref().into()),
        }
    }
}
