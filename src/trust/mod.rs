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
mod revocation;
mod signature;

use std::{cell::RefCell, fmt, sync::Arc, time::Duration};

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_cert::name::Name;

pub use cache::VerdictCache;
pub use known_answers::{WrongAnswer, require_known_answers};
pub use revocation::{InvalidCrl, UnknownRevocation, UnknownRevocationStatus};

use crate::{
    certificate::{Certificate, ValidityStatus},
    pem::{self, InvalidPem},
};
use authority::Node;
use revocation::{Crl, Status, Subject};
use signature::{Hints, Meter, id_of};

/// How often a name may be compared with a constraint on one path. `rustls-webpki` stops at 250,000, which takes longer than
/// all the signatures.
const MAXIMUM_NAME_COMPARISONS: usize = 10_000;

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
        let anchors = self.0.anchors.iter().map(|anchor| anchor.node.not_after.saturating_add(1));
        let crls = self.0.crls.iter().map(Crl::next_update);
        anchors.chain(crls).min().unwrap_or(u64::MAX)
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
                Search { set: &self.0, leaf: &leaf, now, meter: &meter }.run(&presented)
            });
        let unchanged_until =
            self.0.changes(&presented).fold(end_entity.not_after(), |first, change| {
                if change > now { first.min(change.saturating_sub(1)) } else { first }
            });
        Examination { verdict, verifications: meter.verifications(), unchanged_until }
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
    } else if node.is_authority() {
        Err(PathError::Untrusted(PathProblem::EndEntityIsAuthority))
    } else if !node.key.is_strong() {
        Err(PathError::Untrusted(PathProblem::EndEntityKey))
    } else {
        Ok(())
    }
}

/// The search for one path.
struct Search<'a> {
    set: &'a Set,
    leaf: &'a Node,
    now: u64,
    meter: &'a Meter,
}

impl<'a> Search<'a> {
    fn run(&self, presented: &'a [Node]) -> Result<VerifiedPath, PathError> {
        let neighbourhood = Neighbourhood::of(self.set, self.leaf, presented);
        let issuers = &neighbourhood.issuers;
        let anchors: Vec<&Anchor> = neighbourhood
            .anchors
            .iter()
            .copied()
            .filter(|anchor| anchor.node.validity_at(self.now) == ValidityStatus::Valid)
            .collect();
        if anchors.is_empty() {
            // Nothing to verify a signature with, unless a part of the path says more.
            return Err(PathError::Untrusted(neighbourhood.dead_end(self.now)));
        }
        let authorities =
            || issuers.iter().copied().chain(anchors.iter().map(|anchor| &anchor.node));
        let constraints = sum(authorities().map(|node| node.constraints));
        let names = sum(issuers.iter().map(|node| node.names)).saturating_add(self.leaf.names);
        if constraints.saturating_mul(names) > MAXIMUM_NAME_COMPARISONS {
            return Err(PathError::Untrusted(PathProblem::TooCostly));
        }
        let trusted: Vec<TrustAnchor<'_>> =
            anchors.iter().map(|anchor| anchor.borrowed()).collect();
        let intermediates: Vec<CertificateDer<'_>> =
            issuers.iter().map(|node| CertificateDer::from(&*node.der)).collect();
        let end_entity = CertificateDer::from(&*self.leaf.der);
        let end_entity = EndEntityCert::try_from(&end_entity).map_err(|error| match error {
            webpki::Error::UnsupportedCriticalExtension => {
                PathError::Untrusted(PathProblem::CriticalExtension)
            }
            _ => PathError::Unreadable,
        })?;
        let accepted = RefCell::new(None);
        let refused = RefCell::new(None);
        let judge = |path: &webpki::VerifiedPath<'_>| {
            let anchor = trusted
                .iter()
                .zip(&anchors)
                .find_map(|(trusted, anchor)| (trusted == path.anchor()).then_some(&anchor.node))
                .ok_or(webpki::Error::UnknownIssuer)?;
            match self.judge(path, issuers, anchor) {
                Ok(path) => {
                    accepted.replace(Some(path));
                    Ok(())
                }
                Err(error) => {
                    // A revocation is what the operator has to hear about.
                    let mut refused = refused.borrow_mut();
                    if !matches!(*refused, Some(PathError::Revoked(_))) {
                        *refused = Some(error);
                    }
                    // Any error that lets the search go on.
                    Err(webpki::Error::UnknownIssuer)
                }
            }
        };
        let search = |hints| {
            let metered = self.meter.algorithms(hints);
            let algorithms: Vec<&dyn SignatureVerificationAlgorithm> = metered
                .iter()
                .map(|algorithm| -> &dyn SignatureVerificationAlgorithm { algorithm })
                .collect();
            let found = end_entity.verify_for_usage(
                &algorithms,
                &trusted,
                &intermediates,
                UnixTime::since_unix_epoch(Duration::from_secs(self.now)),
                KeyUsage::client_auth(),
                None,
                Some(&judge),
            );
            found.map(|_| ())
        };
        // Key identifiers tell which paths to try first. They may be wrong: then all are tried.
        let hints = self.hints(issuers, &anchors);
        let mut found = search(Some(&hints));
        if found.is_err() && self.meter.has_heeded_hints() {
            found = search(None);
        }
        match (found, accepted.take()) {
            (Ok(_), Some(path)) => Ok(path),
            (Ok(_), None) => Err(PathError::Unreadable),
            (Err(error), _) => Err(match refused.take() {
                Some(revoked @ PathError::Revoked(_)) => revoked,
                _ if self.meter.is_exhausted() => PathError::Untrusted(PathProblem::TooCostly),
                Some(refused) => refused,
                None => PathError::Untrusted(
                    PathProblem::from_webpki(&error)
                        .unwrap_or_else(|| neighbourhood.dead_end(self.now)),
                ),
            }),
        }
    }

    fn hints(&self, issuers: &[&'a Node], anchors: &[&'a Anchor]) -> Hints<'a> {
        let subjects = issuers.iter().copied().chain([self.leaf]);
        let authorities = issuers.iter().copied().chain(anchors.iter().map(|anchor| &anchor.node));
        Hints {
            signed: subjects
                .filter_map(|node| {
                    Some((node.signed_content()?, node.authority_key_identifier.as_deref()?))
                })
                .collect(),
            keys: authorities
                .filter_map(|node| {
                    Some((node.key.bytes(), node.subject_key_identifier.as_deref()?))
                })
                .collect(),
        }
    }

    /// Judges a path whose signatures are right by what `rustls-webpki` does not look at.
    fn judge(
        &self,
        path: &webpki::VerifiedPath<'_>,
        issuers: &[&Node],
        anchor: &Node,
    ) -> Result<VerifiedPath, PathError> {
        let node_of = |certificate: &webpki::Cert<'_>| {
            issuers
                .iter()
                .copied()
                .find(|node| *node.der == *certificate.der())
                .ok_or(PathError::Unreadable)
        };
        let mut subjects = vec![(self.leaf, path.end_entity().serial())];
        for certificate in path.intermediate_certificates() {
            subjects.push((node_of(certificate)?, certificate.serial()));
        }
        let intermediates = || subjects.iter().skip(1).map(|(node, _)| *node);
        let length = intermediates().filter(|node| !node.is_self_issued()).count();
        if anchor.path_length().is_some_and(|limit| length > limit) {
            return Err(PathError::Untrusted(PathProblem::PathLength));
        }
        let mut verified = VerifiedPath {
            anchor_key: anchor.key.id,
            valid_from: anchor.not_before,
            valid_until: anchor.not_after,
        };
        let issuers = intermediates().chain([anchor]);
        let mut unknown = None;
        for (&(node, serial), issuer) in subjects.iter().zip(issuers) {
            verified.valid_from = verified.valid_from.max(node.not_before);
            verified.valid_until = verified.valid_until.min(node.not_after);
            let subject = Subject { node, serial };
            match self.require_unrevoked(&subject, issuer) {
                Ok(until) => verified.valid_until = verified.valid_until.min(until),
                // That one certificate is revoked says more than that another's status is unknown.
                Err(error @ PathError::Revoked(_)) => return Err(error),
                Err(error) => unknown = unknown.or(Some(error)),
            }
        }
        if let Some(error) = unknown {
            return Err(error);
        }
        // A list that is of the future now may say something else when its time comes.
        for [this_update, _] in self.set.crls.iter().map(Crl::changes) {
            if this_update > self.now {
                verified.valid_until = verified.valid_until.min(this_update.saturating_sub(1));
            } else {
                verified.valid_from = verified.valid_from.max(this_update);
            }
        }
        Ok(verified)
    }

    /// Until when the certificate is known not to be revoked, as far as that is asked for.
    fn require_unrevoked(&self, subject: &Subject<'_>, issuer: &Node) -> Result<u64, PathError> {
        if self.set.crls.is_empty() {
            return Ok(u64::MAX);
        }
        let which = || {
            if std::ptr::eq(subject.node, self.leaf) {
                Which::EndEntity
            } else {
                Which::Intermediate(display(&subject.node.subject))
            }
        };
        match revocation::status(&self.set.crls, subject, issuer, self.now, self.meter) {
            Status::Good(until) => Ok(until),
            Status::Revoked => Err(PathError::Revoked(which())),
            Status::Unknown(why) => match self.set.unknown_revocation_status {
                UnknownRevocationStatus::Allow => Ok(u64::MAX),
                UnknownRevocationStatus::Deny => Err(PathError::RevocationUnknown(which(), why)),
            },
        }
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

/// Everything that the issuers' names lead to from an end-entity certificate: whatever else a client presents, or an
/// operator configures, costs nothing.
struct Neighbourhood<'a> {
    /// CA certificates other than the anchors.
    issuers: Vec<&'a Node>,
    anchors: Vec<&'a Anchor>,
    /// Why the first of the presented certificates that have a name on the way cannot be used.
    unsuitable: Option<(String, UnsuitableAuthority)>,
    /// The first name on the way that no certificate has.
    missing: Option<String>,
}

impl<'a> Neighbourhood<'a> {
    fn of(set: &'a Set, leaf: &'a Node, presented: &'a [Node]) -> Self {
        let mut issuers: Vec<&Node> = Vec::new();
        let mut anchors: Vec<&Anchor> = Vec::new();
        let mut unsuitable = None;
        let mut missing = None;
        let mut names: Vec<&Name> = vec![&leaf.issuer];
        let mut next = 0_usize;
        while let Some(name) = names.get(next).copied() {
            next = next.saturating_add(1);
            let mut is_known = false;
            for anchor in set.anchors.iter().filter(|anchor| anchor.node.subject == *name) {
                is_known = true;
                anchors.push(anchor);
            }
            for node in set.intermediates.iter().chain(presented) {
                if node.subject != *name || issuers.iter().any(|other| other.der == node.der) {
                    continue;
                }
                if let Err(error) = require_authority(node) {
                    unsuitable.get_or_insert_with(|| (display(name), error));
                    continue;
                }
                is_known = true;
                // Where an anchor is presented as well, the path ends at the anchor.
                if set.anchors.iter().any(|anchor| anchor.node.der == node.der) {
                    continue;
                }
                issuers.push(node);
                if !names.contains(&&node.issuer) {
                    names.push(&node.issuer);
                }
            }
            if !is_known {
                missing.get_or_insert_with(|| display(name));
            }
        }
        Self { issuers, anchors, unsuitable, missing }
    }

    /// Why there is no path, where not a single one could be tried.
    fn dead_end(&self, now: u64) -> PathProblem {
        if let Some((subject, error)) = &self.unsuitable {
            return PathProblem::Issuer(subject.clone(), *error);
        }
        for anchor in &self.anchors {
            match anchor.node.validity_at(now) {
                ValidityStatus::Expired => {
                    return PathProblem::AnchorExpired(display(&anchor.node.subject));
                }
                ValidityStatus::NotYetValid => {
                    return PathProblem::AnchorNotYetValid(display(&anchor.node.subject));
                }
                ValidityStatus::Valid => {}
            }
        }
        PathProblem::NoPath(self.missing.clone())
    }
}

fn sum(numbers: impl Iterator<Item = usize>) -> usize {
    numbers.fold(0, usize::saturating_add)
}

/// A name for the log: in RFC 4514 form and not at any length, since clients can choose it.
fn display(name: &Name) -> String {
    name.to_string().chars().take(100).collect()
}

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
    /// The client presented more than [`MAXIMUM_CHAIN_CERTIFICATES`].
    TooManyCertificates,
}

impl PathProblem {
    /// `None` where `rustls-webpki` has nothing to say but that there is no path.
    fn from_webpki(error: &webpki::Error) -> Option<Self> {
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
