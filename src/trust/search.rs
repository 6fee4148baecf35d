//! The search for a path (RFC 5280 §6, RFC 4158).

use std::{cell::RefCell, time::Duration};

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use x509_cert::name::Name;

use super::{
    Anchor, Set, VerifiedPath,
    authority::Node,
    problem::{PathError, PathProblem, UnsuitableAuthority, Which, display},
    require_authority,
    revocation::{self, Crl, Status, Subject, UnknownRevocationStatus},
    signature::{Hints, Meter},
};
use crate::certificate::ValidityStatus;

/// How often a name may be compared with a constraint on one path. `rustls-webpki` stops at 250,000, which takes longer than
/// all the signatures.
const MAXIMUM_NAME_COMPARISONS: usize = 10_000;

/// The search for one path.
pub(super) struct Search<'a> {
    pub(super) set: &'a Set,
    pub(super) leaf: &'a Node,
    pub(super) now: u64,
    pub(super) meter: &'a Meter,
    /// For the signatures of CRLs.
    pub(super) lists: &'a Meter,
}

impl<'a> Search<'a> {
    pub(super) fn run(&self, presented: &'a [Node]) -> Result<VerifiedPath, PathError> {
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
        match revocation::status(&self.set.crls, subject, issuer, self.now, self.lists) {
            Status::Good(until) => Ok(until),
            Status::Revoked => Err(PathError::Revoked(which())),
            Status::Unknown(why) => match self.set.unknown_revocation_status {
                UnknownRevocationStatus::Allow => Ok(u64::MAX),
                UnknownRevocationStatus::Deny => Err(PathError::RevocationUnknown(which(), why)),
            },
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
