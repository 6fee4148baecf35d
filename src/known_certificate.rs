//! Certificates that were parsed before, so that only the first request with one pays for that.

use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
};

use crate::{
    authenticate::{Outcome, Verdict},
    certificate::Certificate,
    generations::Generations,
    signing_key::Beginning,
    thumbprint::Thumbprint,
};

/// A certificate with what is made of it for the server, which is the same for every request on one configuration.
#[derive(Clone, Debug)]
pub struct KnownCertificate {
    certificate: Certificate,
    thumbprint_text: String,
    digest: String,
    /// The value of the certificate's header, where no chain stands in it.
    pub(crate) header_value: OnceLock<String>,
    /// The first line of signature bases, where it holds that value.
    pub(crate) beginning: OnceLock<Beginning>,
}

impl From<Certificate> for KnownCertificate {
    fn from(certificate: Certificate) -> Self {
        let thumbprint = certificate.thumbprint();
        Self {
            certificate,
            thumbprint_text: thumbprint.to_string(),
            digest: format!("{thumbprint:x}"),
            header_value: OnceLock::new(),
            beginning: OnceLock::new(),
        }
    }
}

impl KnownCertificate {
    /// The thumbprint as `x5t#S256` has it.
    pub fn thumbprint_text(&self) -> &str {
        &self.thumbprint_text
    }

    /// Whether these are the 64 lower-case hexadecimal digits by which Envoy means this certificate.
    pub(crate) fn has_digest(&self, digest: &[u8]) -> bool {
        self.digest.as_bytes() == digest
    }
}

impl Deref for KnownCertificate {
    type Target = Certificate;

    fn deref(&self) -> &Certificate {
        &self.certificate
    }
}

/// The certificates of requests that were allowed, by the digest that certbound computed of each itself. For one
/// configuration only.
///
/// What is remembered is the certificate and not a verdict: that is reached anew for every request. No client that is
/// refused displaces anything.
#[derive(Debug)]
pub struct KnownCertificates(Generations<Thumbprint, Arc<KnownCertificate>>);

/// Of all certificates that are remembered, in DER; there may be twice as many for a while. What is made of one takes some
/// five times as much, and never more than about twenty times.
const CAPACITY_BYTES: usize = 1024 * 1024;

/// Above this a certificate would displace too many others.
const CERTIFICATE_MAXIMUM_BYTES: usize = 8 * 1024;

impl Default for KnownCertificates {
    fn default() -> Self {
        Self(Generations::weighed(CAPACITY_BYTES, |certificate| certificate.der().len()))
    }
}

impl KnownCertificates {
    /// The certificate of a digest as Envoy writes it: 64 hexadecimal digits in lower case.
    pub fn with_digest(&mut self, digest: &[u8]) -> Option<Arc<KnownCertificate>> {
        let known = self.0.get(&Thumbprint::from_hex(str::from_utf8(digest).ok()?)?);
        known.filter(|known| known.has_digest(digest))
    }

    /// Remembers the certificate of a request that is allowed.
    pub fn remember(&mut self, verdict: &Verdict) {
        if let (Outcome::Allowed(_), Some(certificate)) = (&verdict.outcome, &verdict.certificate)
            && certificate.der().len() <= CERTIFICATE_MAXIMUM_BYTES
            && !self.0.contains(&certificate.thumbprint())
        {
            self.0.insert(certificate.thumbprint(), certificate.clone());
        }
    }
}
