//! Counters, the histogram, and gauges. Envoy shows them under `wasmcustom.`.

use std::collections::BTreeMap;

use proxy_wasm::{hostcalls, types::MetricType};

use super::host::HostError;
use crate::{rejection::Reason, trust::TrustAnchors};

/// The identifiers that the host gave to the metrics.
pub(super) struct Metrics {
    allowed: u32,
    certificate_days_left: u32,
    denied: Vec<(Reason, u32)>,
    reported: Vec<(Reason, u32)>,
}

impl Metrics {
    /// Makes the metrics known to the host.
    pub(super) fn define() -> Result<Self, HostError> {
        let counter = |name: &str| hostcalls::define_metric(MetricType::Counter, name);
        let by_reason = |prefix: &str| {
            Reason::ALL
                .into_iter()
                .map(|reason| {
                    Ok((reason, counter(&format!("certbound.{prefix}.{}", reason.name()))?))
                })
                .collect::<Result<_, HostError>>()
        };
        Ok(Self {
            allowed: counter("certbound.allowed")?,
            certificate_days_left: hostcalls::define_metric(
                MetricType::Histogram,
                "certbound.certificate_days_left",
            )?,
            denied: by_reason("denied")?,
            reported: by_reason("reported")?,
        })
    }

    /// Counts a request that was allowed; `days_left` is its certificate's, if one was forwarded or checked.
    pub(super) fn count_allowed(&self, days_left: Option<u64>) -> Result<(), HostError> {
        hostcalls::increment_metric(self.allowed, 1)?;
        if let Some(days_left) = days_left {
            hostcalls::record_metric(self.certificate_days_left, days_left)?;
        }
        Ok(())
    }

    /// Counts a refusal.
    pub(super) fn count_denied(&self, reason: Reason) -> Result<(), HostError> {
        increment(&self.denied, reason)
    }

    /// Counts a refusal that was only reported.
    pub(super) fn count_reported(&self, reason: Reason) -> Result<(), HostError> {
        increment(&self.reported, reason)
    }
}

fn increment(counters: &[(Reason, u32)], reason: Reason) -> Result<(), HostError> {
    match counters.iter().find(|(counted, _)| *counted == reason) {
        Some((_, counter)) => Ok(hostcalls::increment_metric(*counter, 1)?),
        None => Err(HostError),
    }
}

/// Tells when the first anchor of each set expires, and its first CRL, in seconds since the Unix epoch. Unlike the time
/// that is left, this needs to be told only once.
pub(super) fn tell_expiries(sets: &BTreeMap<String, TrustAnchors>) -> Result<(), HostError> {
    let tell = |what: &str, set: &str, moment| {
        let name = format!("certbound.{what}_timestamp_seconds.{set}");
        hostcalls::record_metric(hostcalls::define_metric(MetricType::Gauge, &name)?, moment)
    };
    for (name, anchors) in sets {
        tell("trust_anchors_not_after", name, anchors.first_not_after())?;
        if let Some(next_update) = anchors.first_next_update() {
            tell("crls_next_update", name, next_update)?;
        }
    }
    Ok(())
}
