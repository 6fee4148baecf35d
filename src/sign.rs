//! The signatures over what a request with a certificate carries to the server.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::{
    config::{ChainHeader, Config, Signature},
    forward::require_length,
    headers::Headers,
    http_signature::{Component, HttpMessageSignature, SignedRequest, Unsignable, content_digest},
    jws::Statement,
    known_certificate::KnownCertificate,
    rejection::{Reason, Rejection},
    request::Request,
    sanitise::{HeaderChange, changed},
};

/// Adds the fields that sign a request to the changes of its other fields. `client_id` is the client that the certificate
/// authenticated, if it did. `body` is that of the request, unless it was not held: then no digest is made of it.
///
/// # Errors
/// When a part of the request cannot be signed, when the JWS would be too long, and when there is no randomness.
pub(crate) fn sign(
    config: &Config,
    signature: &Signature,
    request: &Request,
    body: Option<&[u8]>,
    (certificate, client_id): (&KnownCertificate, Option<&str>),
    mut changes: Vec<HeaderChange>,
    random: &mut dyn FnMut(&mut [u8]) -> bool,
) -> Result<Vec<HeaderChange>, Rejection> {
    let headers = &request.headers;
    let (method, authority, target) = (headers.method(), headers.authority(), headers.target());
    let signed =
        SignedRequest { method: &method, authority: &authority, target: &target, fields: &[] };
    let key = &signature.key;
    if let Some(jws) = &signature.jws {
        let jti = unique(random)?;
        let statement = Statement { certificate, client_id, request: &signed, body };
        let value = jws.sign(key, &statement, request.now, &jti).map_err(unsignable)?;
        require_length(config, &jws.name, &value)?;
        changes.push(HeaderChange::Set(jws.name.clone(), value.into_bytes()));
    }
    if let Some(message_signature) = &signature.http_message_signature {
        let nonce = unique(random)?;
        if let (Some(body), true) = (body, message_signature.covers("content-digest")) {
            let digest = content_digest(body).into_bytes();
            changes.push(HeaderChange::Set("content-digest".into(), digest));
        }
        let forwarded = covered_fields(config, message_signature, headers, &changes);
        let signed = SignedRequest { fields: &forwarded.0, ..signed };
        let beginning = begins_with_certificate(config, message_signature, &changes)
            .then_some(&certificate.beginning);
        let ours = message_signature
            .sign(key, &signed, request.now, &nonce, beginning)
            .map_err(unsignable)?;
        let others = config.sanitiser.signatures_of_others(headers);
        for ((name, ours), others) in
            ["signature-input", "signature"].into_iter().zip(ours).zip(others)
        {
            let members = others.map_or_else(|| ours.clone(), |others| format!("{others}, {ours}"));
            changes.push(HeaderChange::Set(name.to_owned(), members.into_bytes()));
        }
    }
    Ok(changes)
}

/// The fields that the signature covers, as the server will see them.
fn covered_fields(
    config: &Config,
    signature: &HttpMessageSignature,
    headers: &Headers,
    changes: &[HeaderChange],
) -> Headers {
    let of_client = headers.0.iter().filter(|(name, _)| signature.covers(name)).cloned();
    let of_client = Headers(of_client.collect());
    let ours: Vec<HeaderChange> =
        changes.iter().filter(|change| signature.covers(change.name())).cloned().collect();
    if of_client.0.is_empty() {
        return changed(&of_client, &ours);
    }
    changed(&changed(&of_client, &config.sanitiser.changes(headers)), &ours)
}

/// Whether the first line of the signature base is that of the certificate's header, and the same for every request with
/// the certificate.
fn begins_with_certificate(
    config: &Config,
    signature: &HttpMessageSignature,
    changes: &[HeaderChange],
) -> bool {
    let header = &config.certificate_header;
    signature.components.first().and_then(Component::lines_of_field) == Some(&header.name)
        && !matches!(header.chain, ChainHeader::WithCertificate)
        && changes.iter().any(|change| change.name() == header.name)
}

/// 128 random bits, which no other request has.
fn unique(random: &mut dyn FnMut(&mut [u8]) -> bool) -> Result<String, Rejection> {
    let mut bytes = [0; 16];
    if !random(&mut bytes) {
        return Err(Rejection::new(Reason::HostError, "the host gave no random bytes"));
    }
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

fn unsignable(error: Unsignable) -> Rejection {
    Rejection::new(Reason::BodyUnreadable, error.to_string())
}
