//! The signatures over what a request with a certificate carries to the server.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::{
    config::{ChainHeader, Config, Signature},
    forward::require_length,
    http_signature::{
        Component, Field, HttpMessageSignature, SignedRequest, Unsignable, content_digest,
    },
    jws::{Signed, SignedStatements, Statement},
    known_certificate::KnownCertificate,
    rejection::{Reason, Rejection},
    request::Request,
    sanitise::{HeaderChange, changed},
};

/// What is signed beside the request line and header fields.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) certificate: &'a KnownCertificate,
    /// The client that the certificate authenticated, if it did.
    pub(crate) client_id: Option<&'a str>,
    /// The request's body, unless it was not held: then no digest is made of it.
    pub(crate) body: Option<&'a [u8]>,
}

/// Adds the fields that sign a request to the changes of its other fields. `statements` remembers what was signed of earlier
/// ones.
///
/// # Errors
/// When a part of the request cannot be signed, when the JWS would be too long, and when there is no randomness.
pub(crate) fn sign(
    config: &Config,
    signature: &Signature,
    request: &Request,
    &Subject { certificate, client_id, body }: &Subject<'_>,
    mut changes: Vec<HeaderChange>,
    statements: &mut SignedStatements,
    random: &mut dyn FnMut(&mut [u8]) -> bool,
) -> Result<Vec<HeaderChange>, Rejection> {
    let headers = &request.headers;
    let (method, authority, target) = (headers.method(), headers.authority(), headers.target());
    let signed =
        SignedRequest { method: &method, authority: &authority, target: &target, fields: &[] };
    let key = &signature.key;
    let mut new_statement = None;
    if let Some(jws) = &signature.jws {
        let statement = Statement { certificate, client_id, request: &signed, body };
        let draft = jws.draft(key, &statement).map_err(unsignable)?;
        let matter = match jws.reuse_seconds {
            0 => None,
            _ => Some(draft.matter().map_err(unsignable)?),
        };
        let known = matter.as_ref().and_then(|matter| statements.get(matter, request.now));
        let value = match known {
            Some(known) => known,
            None => {
                let jti = unique(random)?;
                let value = draft.sign(request.now, &jti).map_err(unsignable)?;
                require_length(config, &jws.name, &value)?;
                let until = request.now.saturating_add(jws.reuse_seconds);
                let until = until.min(certificate.not_after().saturating_add(1));
                new_statement = matter.map(|matter| {
                    (matter, Signed { jws: value.clone(), from: request.now, until })
                });
                value
            }
        };
        changes.push(HeaderChange::Set(jws.name.clone(), value.into_bytes()));
    }
    if let Some(message_signature) = &signature.http_message_signature {
        let nonce = unique(random)?;
        if let (Some(body), true) = (body, message_signature.covers("content-digest")) {
            let digest = content_digest(body).into_bytes();
            changes.push(HeaderChange::Set("content-digest".into(), digest));
        }
        let is_covered = |(name, _): &Field<'_>| message_signature.covers(name);
        let of_client: Vec<_> = headers.fields().filter(is_covered).collect();
        // As the server will see them.
        let sanitised = match of_client.as_slice() {
            [] => Vec::new(),
            _ => config.sanitiser.changes(headers),
        };
        let of_client = changed(of_client, &sanitised);
        let fields: Vec<_> = changed(of_client, &changes).into_iter().filter(is_covered).collect();
        let signed = SignedRequest { fields: &fields, ..signed };
        let beginning = begins_with_certificate(config, message_signature, &changes)
            .then_some(&certificate.beginning);
        let ours = message_signature
            .sign(key, &signed, request.now, &nonce, beginning)
            .map_err(unsignable)?;
        let others = config.sanitiser.signatures_of_others(headers);
        for ((name, ours), others) in
            ["signature-input", "signature"].into_iter().zip(ours).zip(others)
        {
            let members = match others {
                Some(others) => format!("{others}, {ours}"),
                None => ours,
            };
            changes.push(HeaderChange::Set(name.to_owned(), members.into_bytes()));
        }
    }
    if let Some((matter, signed)) = new_statement {
        statements.remember(matter, signed);
    }
    Ok(changes)
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
