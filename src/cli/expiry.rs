//! What of a configuration ceases to be valid by the mere flow of time.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use certbound::{certificate::Certificate, config::Config};
use serde_json::Value;

use super::{
    SECONDS_PER_DAY,
    configuration::Finding,
    counted,
    message::{Message, join},
    rfc3339,
};

/// When a configuration is looked at, and how far ahead.
#[derive(Clone, Copy)]
pub(super) struct Outlook {
    /// Seconds since the Unix epoch.
    pub(super) now: u64,
    /// For how many seconds everything should be valid still.
    pub(super) period: u64,
}

/// What has a last second.
struct Expiring {
    path: String,
    what: String,
    /// What to do about it.
    remedy: &'static str,
    from: u64,
    until: u64,
}

/// Everything in the configuration at `path` that has expired or will soon. `written` is the configuration as it stands
/// in the file. Of anchors and lists that have expired already, their set says so itself.
pub(super) fn warnings(
    outlook: Outlook,
    path: &str,
    config: &Config,
    written: &Value,
) -> Vec<Finding> {
    let mut warnings = Vec::new();
    for (name, anchors) in &config.trust_anchors {
        let at = join(path, &format!("trust_anchors.{name}"));
        for warning in anchors.warnings(outlook.now) {
            warnings.push(Finding::new(&at, warning.to_string()));
        }
        for expiry in anchors.expiries() {
            let (key, remedy) = match expiry.role {
                "CRL" => ("crls", "configure the next one"),
                "intermediate" => ("intermediates", "add its successor"),
                _ => ("certificates", "add its successor, and have clients' certificates renewed"),
            };
            let what = format!("the {} of {}", expiry.role, expiry.subject);
            let path = join(&at, key);
            let (from, until) = (expiry.from, expiry.until);
            let expiring = Expiring { path, what, remedy, from, until };
            warnings.extend(expiring.soon(outlook));
        }
    }
    for expiring in registered_certificates(path, written) {
        warnings.extend(expiring.already(outlook).or_else(|| expiring.soon(outlook)));
    }
    warnings
}

/// The certificates in the `x5c` of `self_signed_tls_client_auth` clients' keys.
fn registered_certificates(path: &str, written: &Value) -> Vec<Expiring> {
    let mut registered = Vec::new();
    let clients = Message::new(path, written).map(|written| written.messages("clients"));
    for client in clients.into_iter().flatten() {
        if client.text("token_endpoint_auth_method") != Some("self_signed_tls_client_auth") {
            continue;
        }
        let client_id = client.text("client_id").unwrap_or_default();
        let keys = client.message("jwks").map(|jwks| jwks.messages("keys"));
        for key in keys.into_iter().flatten() {
            let first = key.get("x5c").and_then(|chain| chain.get(0)?.as_str());
            let der = first.and_then(|text| BASE64_STANDARD.decode(text).ok());
            let certificate = der.and_then(|der| Certificate::from_der(der).ok());
            registered.extend(certificate.map(|certificate| Expiring {
                path: key.at("x5c"),
                what: format!("the certificate of the client `{client_id}`"),
                remedy: "register its successor",
                from: certificate.not_before(),
                until: certificate.not_after().saturating_add(1),
            }));
        }
    }
    registered
}

impl Expiring {
    fn already(&self, outlook: Outlook) -> Option<Finding> {
        let message = format!("{} expired on {}: {}", self.what, self.end(), self.remedy);
        (self.until <= outlook.now).then(|| Finding::new(&self.path, message))
    }

    /// Of what is made to live for less than four periods, the last quarter counts: a warning that is always there would
    /// be worth nothing.
    fn soon(&self, outlook: Outlook) -> Option<Finding> {
        let left = self.until.checked_sub(outlook.now).filter(|left| *left > 0)?;
        let quarter = self.until.saturating_sub(self.from) / 4;
        if left > outlook.period.min(quarter) {
            return None;
        }
        let left = match left / SECONDS_PER_DAY {
            0 => "less than a day".to_owned(),
            days => counted(usize::try_from(days).unwrap_or(usize::MAX), "day"),
        };
        let message =
            format!("{} expires on {}, in {left}: {}", self.what, self.end(), self.remedy);
        Some(Finding::new(&self.path, message))
    }

    fn end(&self) -> String {
        rfc3339::format(self.until).unwrap_or_else(|| "a day beyond the year 9999".into())
    }
}
