//! Verdicts that were already reached.

use super::{PathError, TrustAnchors, VerifiedPath, signature::id_of};
use crate::{certificate::Certificate, generations::Generations, thumbprint::Thumbprint};

/// Remembers which certificates verify to which trust anchors, so that only the first request of a client pays for
/// signatures.
///
/// - A path that verified is remembered by thumbprint and [`TrustAnchors::id`] until the first notAfter or nextUpdate on
///   it. That a path exists is a fact about the certificate, whatever else the client presents next time.
/// - A denial that cost a signature is remembered with what was presented, until the validity of anything that was
///   looked at changes, and for a minute at most. Denials have their own table: no number of them displaces a path.
/// - Whatever an id stands for never changes, so one cache serves every configuration that is ever loaded.
#[derive(Debug)]
pub struct VerdictCache {
    paths: Generations<PathKey, VerifiedPath>,
    denials: Generations<DenialKey, Denial>,
    verifications: u64,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct PathKey {
    thumbprint: Thumbprint,
    anchors: [u8; 32],
}

impl PathKey {
    fn new(anchors: &TrustAnchors, end_entity: &Certificate) -> Self {
        Self { thumbprint: end_entity.thumbprint(), anchors: anchors.id() }
    }
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct DenialKey {
    path: PathKey,
    presented: [u8; 32],
}

#[derive(Clone, Debug)]
struct Denial {
    error: PathError,
    valid_from: u64,
    valid_until: u64,
}

/// The longest that a denial is remembered, in seconds.
const DENIAL_SECONDS: u64 = 60;

impl Default for VerdictCache {
    /// Room for at least 4096 paths and 1024 denials: about a megabyte.
    fn default() -> Self {
        Self::with_capacity(4096, 1024)
    }
}

impl VerdictCache {
    /// Room for at least as many paths and denials, and for twice as many at most.
    pub fn with_capacity(paths: usize, denials: usize) -> Self {
        Self {
            paths: Generations::with_capacity(paths),
            denials: Generations::with_capacity(denials),
            verifications: 0,
        }
    }

    /// Whether a path is known, which needs nothing that the client presented besides its certificate.
    pub fn knows_path(
        &mut self,
        anchors: &TrustAnchors,
        end_entity: &Certificate,
        now: u64,
    ) -> bool {
        self.path(&PathKey::new(anchors, end_entity), now).is_some()
    }

    fn path(&mut self, key: &PathKey, now: u64) -> Option<VerifiedPath> {
        let path = self.paths.get(key)?;
        (path.valid_from..=path.valid_until).contains(&now).then_some(path)
    }

    /// [`TrustAnchors::verify`], unless the answer is known.
    ///
    /// # Errors
    /// When no path verifies.
    pub fn verify(
        &mut self,
        anchors: &TrustAnchors,
        end_entity: &Certificate,
        presented_intermediates: &[Vec<u8>],
        now: u64,
    ) -> Result<VerifiedPath, PathError> {
        let key = PathKey::new(anchors, end_entity);
        if let Some(path) = self.path(&key, now) {
            return Ok(path);
        }
        let parts: Vec<&[u8]> = presented_intermediates.iter().map(Vec::as_slice).collect();
        let denial_key = DenialKey { path: key, presented: id_of(&parts) };
        if let Some(denial) = self.denials.get(&denial_key)
            && (denial.valid_from..=denial.valid_until).contains(&now)
        {
            return Err(denial.error);
        }
        let examination = anchors.examine(end_entity, presented_intermediates, now);
        self.verifications = self.verifications.saturating_add(1);
        match &examination.verdict {
            Ok(path) => self.paths.insert(key, *path),
            // One without a signature is quicker found again than kept.
            Err(_) if examination.verifications == 0 => {}
            Err(error) => {
                let valid_until =
                    examination.unchanged_until.min(now.saturating_add(DENIAL_SECONDS));
                let error = error.clone();
                self.denials.insert(denial_key, Denial { error, valid_from: now, valid_until });
            }
        }
        examination.verdict
    }

    /// How often the answer was not known.
    pub fn verifications(&self) -> u64 {
        self.verifications
    }
}
