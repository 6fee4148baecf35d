//! What the client presented in the TLS handshake, as Envoy tells it: in attributes of the connection, and in
//! `x-forwarded-client-cert`.

use std::{borrow::Cow, sync::Arc};

use crate::{
    certificate::Certificate,
    config::CertificateSource,
    headers::Headers,
    known_certificate::KnownCertificate,
    pem,
    rejection::{Reason, Rejection},
    request::{Connection, Request},
    thumbprint::Thumbprint,
    xfcc,
};

const FIELD: &str = "x-forwarded-client-cert";

/// The certificate of the connection, if there is one, known to be the one that Envoy means.
///
/// # Errors
/// When there is one that cannot be obtained or parsed, and when it is not the one whose digest Envoy reports.
pub(crate) fn certificate(
    source: CertificateSource,
    request: &Request,
) -> Result<Option<Arc<KnownCertificate>>, Rejection> {
    let connection = &request.connection;
    let digest =
        connection.sha256_peer_certificate_digest.as_deref().filter(|digest| !digest.is_empty());
    let known = connection
        .known_certificate
        .as_ref()
        .filter(|known| digest.is_some_and(|digest| known.has_digest(digest)));
    let der = match (source, known) {
        // Whoever is known by this digest has the certificate of which certbound computed it.
        (CertificateSource::Connection, Some(known)) => return Ok(Some(known.clone())),
        (CertificateSource::Connection, None) => from_attribute(connection, digest.is_some())?,
        (CertificateSource::Xfcc, _) => from_xfcc(&request.headers, digest.is_some())?,
    };
    let Some(der) = der else { return Ok(None) };
    if let Some(known) = known.filter(|known| known.der() == der) {
        return Ok(Some(known.clone()));
    }
    let certificate = Certificate::from_der(der).map_err(|error| unreadable(error.to_string()))?;
    let reported =
        digest.and_then(|digest| str::from_utf8(digest).ok()).and_then(Thumbprint::from_hex);
    if reported != Some(certificate.thumbprint()) {
        return Err(Rejection::new(
            Reason::DigestMismatch,
            "the certificate is not the one of connection.sha256_peer_certificate_digest",
        ));
    }
    Ok(Some(Arc::new(certificate.into())))
}

/// The certificates that the client presented beside its own, if Envoy tells them (`Chain` of
/// `x-forwarded-client-cert`). They need no trust: each counts only for the signatures on it.
///
/// # Errors
/// When there are more than `max_chain_certificates`, the client's own included.
pub(crate) fn intermediates(
    headers: &Headers,
    certificate: &Certificate,
    max_chain_certificates: usize,
) -> Result<Vec<Vec<u8>>, Rejection> {
    let chain = only_element(headers).and_then(|element| {
        let is_this_connection =
            element.value("Hash").and_then(Thumbprint::from_hex) == Some(certificate.thumbprint());
        let chain = element.value("Chain").filter(|_| is_this_connection)?;
        pem::peer_certificate_chain(chain.as_bytes()).ok()
    });
    let chain = chain.unwrap_or_default();
    if chain.len() > max_chain_certificates {
        return Err(Rejection::new(
            Reason::CertificateUntrusted,
            format!(
                "the client presented {} certificates, more than limits.max_chain_certificates",
                chain.len()
            ),
        ));
    }
    Ok(chain.into_iter().filter(|der| der != certificate.der()).collect())
}

fn from_attribute(connection: &Connection, has_digest: bool) -> Result<Option<Vec<u8>>, Rejection> {
    match connection.peer_certificate.as_deref().filter(|pem| !pem.is_empty()) {
        Some(pem) => {
            pem::peer_certificate(pem).map(Some).map_err(|error| unreadable(error.to_string()))
        }
        None if has_digest => Err(unreadable(
            "Envoy has no attribute connection.peer_certificate: it needs to be 1.38 or newer, or certificate_source \
             to be xfcc",
        )),
        None => Ok(None),
    }
}

/// The field holds one element, Envoy's own, unless a client's is let through: then nothing tells which is whose.
fn from_xfcc(headers: &Headers, has_digest: bool) -> Result<Option<Vec<u8>>, Rejection> {
    if headers.values(FIELD).next().is_none() && !has_digest {
        return Ok(None);
    }
    let element = only_element(headers).ok_or_else(|| {
        unreadable(
            "x-forwarded-client-cert is not one element: Envoy needs forward_client_cert_details: SANITIZE_SET",
        )
    })?;
    let hash = element
        .value("Hash")
        .and_then(Thumbprint::from_hex)
        .ok_or_else(|| unreadable("x-forwarded-client-cert has not one Hash that is a SHA-256"))?;
    let pem = element.value("Cert").ok_or_else(|| {
        unreadable(
            "x-forwarded-client-cert has not one Cert: Envoy needs set_current_client_cert_details: { cert: true }",
        )
    })?;
    let der =
        pem::peer_certificate(pem.as_bytes()).map_err(|error| unreadable(error.to_string()))?;
    if hash != Thumbprint::of(&der) {
        return Err(Rejection::new(
            Reason::DigestMismatch,
            "Hash of x-forwarded-client-cert is not the digest of its Cert",
        ));
    }
    Ok(Some(der))
}

fn only_element(headers: &Headers) -> Option<xfcc::Element> {
    let mut elements = xfcc::parse(headers.text(FIELD)?).ok()?;
    if elements.len() == 1 { elements.pop() } else { None }
}

fn unreadable(detail: impl Into<Cow<'static, str>>) -> Rejection {
    Rejection::new(Reason::CertificateUnreadable, detail)
}
