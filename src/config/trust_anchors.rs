//! `trust_anchors`: named sets of issuing CAs, and which of them a client is bound to.

use std::collections::BTreeMap;

use super::{ConfigError, document};
use crate::{
    client::Trust,
    trust::{TrustAnchors, UnknownRevocationStatus},
};

/// The sets by name. A faulty set has its place but no content, so that clients that name it are not reported as well.
pub(super) struct Sets(BTreeMap<String, Option<TrustAnchors>>);

pub(super) fn compile(
    written: BTreeMap<String, document::TrustAnchors>,
    errors: &mut Vec<ConfigError>,
) -> Sets {
    let mut sets: BTreeMap<String, Option<TrustAnchors>> = BTreeMap::new();
    for (name, set) in written {
        if name.is_empty() || name.contains(char::is_control) {
            errors.push(ConfigError::new(
                "trust_anchors",
                format!("{name:?} cannot be told in logs and metrics: write a name without control characters"),
            ));
            sets.insert(name, None);
            continue;
        }
        let at = format!("trust_anchors.{name}");
        let status = match set.unknown_revocation_status {
            document::UnknownRevocationStatus::Allow => UnknownRevocationStatus::Allow,
            document::UnknownRevocationStatus::Deny => UnknownRevocationStatus::Deny,
        };
        let anchors = TrustAnchors::new(
            &set.certificates,
            set.intermediates.as_deref(),
            set.crls.as_deref(),
            status,
        );
        let anchors = match anchors {
            Ok(anchors) => {
                let holds = |set: &TrustAnchors, other: &TrustAnchors| {
                    other.keys().all(|key| set.keys().any(|known| known == key))
                };
                let same = |other: &TrustAnchors| holds(&anchors, other) && holds(other, &anchors);
                let twin = sets.iter().find(|(_, other)| other.as_ref().is_some_and(same));
                if let Some((twin, _)) = twin {
                    errors.push(ConfigError::new(
                        at,
                        format!("the same CAs as `{twin}`: write one set, and bind the clients of both to it"),
                    ));
                }
                Some(anchors)
            }
            Err(error) => {
                errors.push(ConfigError::new(format!("{at}.{}", error.key()), error.to_string()));
                None
            }
        };
        sets.insert(name, anchors);
    }
    Sets(sets)
}

impl Sets {
    /// The sets that could be read.
    pub(super) fn into_readable(self) -> BTreeMap<String, TrustAnchors> {
        let mut readable = BTreeMap::new();
        // Not collected: that would sort what is sorted, with 20 kilobytes of code.
        readable.extend(self.0.into_iter().filter_map(|(name, set)| Some((name, set?))));
        readable
    }

    /// What a client is bound to that names these sets, or none.
    ///
    /// # Errors
    /// With a sentence, when the names are not those of sets, or it is open which set is meant.
    pub(super) fn bound(&self, names: Option<&[String]>) -> Result<Trust, String> {
        let known = || format!("`{}`", self.0.keys().cloned().collect::<Vec<_>>().join("`, `"));
        let Some(names) = names else {
            return if self.0.is_empty() {
                Ok(Trust::Envoy)
            } else if self.0.len() > 1 {
                Err(format!(
                    "several sets are configured: write which may issue this client's certificates, of {}",
                    known()
                ))
            } else {
                Ok(Trust::Anchors(self.0.values().flatten().cloned().collect()))
            };
        };
        if names.is_empty() {
            return Err(
                "the list is empty: name at least one set of `trust_anchors`, or remove it".into(),
            );
        }
        let mut bound = Vec::new();
        for (index, name) in names.iter().enumerate() {
            match self.0.get(name) {
                None if self.0.is_empty() => {
                    return Err(format!(
                        "`{name}` is not configured: write it under `trust_anchors`"
                    ));
                }
                None => {
                    return Err(format!("`{name}` is not configured: write one of {}", known()));
                }
                Some(_) if names.iter().take(index).any(|other| other == name) => {
                    return Err(format!("`{name}` is there twice: remove one"));
                }
                Some(set) => bound.extend(set.clone()),
            }
        }
        Ok(Trust::Anchors(bound))
    }
}
