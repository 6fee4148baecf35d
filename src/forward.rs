//! What a request that is allowed carries to the server.

use crate::{
    config::{ChainHeader, Config, ProtectedResource},
    jws::SignedStatements,
    known_certificate::KnownCertificate,
    presented,
    rejection::{Reason, Rejection},
    request::Request,
    sanitise::HeaderChange,
    sign::{Subject, sign},
    upstream_authentication::{Credential, UpstreamAuthentication},
};

/// How a request that is allowed goes to the server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Forwarding<'a> {
    /// With the certificate that authenticated this client.
    Authenticated(&'a KnownCertificate, Verification, AuthenticatedClient<'a>),
    /// With a certificate; who the client is remains for the server to decide.
    WithCertificate(&'a KnownCertificate, Verification),
    /// Without certificate.
    Plain,
}

/// A client that its certificate authenticated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AuthenticatedClient<'a> {
    pub(crate) client_id: &'a str,
    /// What the server knows it by instead of the certificate.
    pub(crate) authorization: Option<&'a Credential>,
}

/// What was found out about a certificate that is forwarded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verification {
    /// No path to a CA was verified, for this reason or because none was asked for.
    Failed(Reason),
    /// It is the registered one of a `self_signed_tls_client_auth` client.
    Registered,
    /// A path to a CA that is trusted for this client.
    Verified,
}

type Fields = Vec<(String, Vec<u8>)>;

/// The header fields that tell the server what was found.
///
/// # Errors
/// When a value would be too long, and when the request cannot be signed.
pub(crate) fn header_changes(
    config: &Config,
    request: &Request,
    forwarding: Forwarding<'_>,
    statements: &mut SignedStatements,
    random: &mut dyn FnMut(&mut [u8]) -> bool,
) -> Result<Vec<HeaderChange>, Rejection> {
    let (certificate, verification, client) = match forwarding {
        Forwarding::Authenticated(certificate, verification, client) => {
            (certificate, verification, Some(client))
        }
        Forwarding::WithCertificate(certificate, verification) => (certificate, verification, None),
        Forwarding::Plain => return Ok(without_certificate(config)),
    };
    let authorization = authorization(config, request, client)?;
    let mut fields = Fields::new();
    if let Some(name) = &config.certificate_header.verify_name {
        fields.push((name.clone(), verify_value(verification).into_bytes()));
    }
    fields.extend(certificate_fields(config, request, certificate)?);
    if let Some(name) = &config.thumbprint_header {
        fields.push((name.clone(), certificate.thumbprint_text().into()));
    }
    if let (Some(name), Some(client)) = (&config.client_id_header, client) {
        fields.push((name.clone(), client.client_id.as_bytes().to_vec()));
    }
    let changes = changes(fields).chain(proxy_credential(config)).chain(authorization).collect();
    match &config.signature {
        None => Ok(changes),
        Some(signature) => {
            let subject = Subject {
                certificate,
                client_id: client.map(|client| client.client_id),
                body: Some(&request.body),
            };
            sign(config, signature, request, &subject, changes, statements, random)
        }
    }
}

/// The header fields of a request for a protected resource whose token is bound to the certificate.
///
/// # Errors
/// When a value would be too long, and when the request cannot be signed.
pub(crate) fn resource_changes(
    config: &Config,
    resource: &ProtectedResource,
    request: &Request,
    certificate: &KnownCertificate,
    statements: &mut SignedStatements,
    random: &mut dyn FnMut(&mut [u8]) -> bool,
) -> Result<Vec<HeaderChange>, Rejection> {
    let mut fields = Fields::new();
    if resource.forwards_certificate {
        fields.extend(certificate_fields(config, request, certificate)?);
    }
    if let (Some(name), true) = (&config.thumbprint_header, resource.forwards_thumbprint) {
        fields.push((name.clone(), certificate.thumbprint_text().into()));
    }
    let changes = changes(fields).collect();
    match &config.signature {
        // Bodies are streamed there. Whether the token authenticates a client is for the resource to say.
        Some(signature) if resource.forwards_signature => {
            let subject = Subject { certificate, client_id: None, body: None };
            sign(config, signature, request, &subject, changes, statements, random)
        }
        _ => Ok(changes),
    }
}

/// The header fields of a request that goes to the server without certificate.
pub(crate) fn without_certificate(config: &Config) -> Vec<HeaderChange> {
    let verify_name = config.certificate_header.verify_name.clone();
    let verify_field = verify_name.map(|name| (name, b"NONE".to_vec()));
    changes(verify_field).chain(proxy_credential(config)).collect()
}

fn changes(
    fields: impl IntoIterator<Item = (String, Vec<u8>)>,
) -> impl Iterator<Item = HeaderChange> {
    fields.into_iter().map(|(name, value)| HeaderChange::Set(name, value))
}

fn proxy_credential(config: &Config) -> Option<HeaderChange> {
    match &config.upstream_authentication {
        Some(UpstreamAuthentication::Header(name, credential)) => {
            Some(HeaderChange::SetCredential(name.clone(), credential.clone()))
        }
        Some(UpstreamAuthentication::Basic(_)) | None => None,
    }
}

/// `Authorization` goes only with a certificate: on other requests to an endpoint the server would take the proxy for the
/// client.
fn authorization(
    config: &Config,
    request: &Request,
    client: Option<AuthenticatedClient<'_>>,
) -> Result<Option<HeaderChange>, Rejection> {
    let of_client = client.and_then(|client| client.authorization);
    let credential = match (&config.upstream_authentication, of_client) {
        (_, Some(credential)) | (Some(UpstreamAuthentication::Basic(credential)), None) => {
            credential
        }
        _ => return Ok(None),
    };
    if request.headers.values("authorization").next().is_some() {
        return Err(Rejection::new(
            Reason::MultipleAuthenticationMethods,
            "the client's own Authorization leaves no place for upstream_authentication.basic",
        ));
    }
    Ok(Some(HeaderChange::SetCredential("authorization".into(), credential.clone())))
}

/// In the words of nginx's `$ssl_client_verify`, which servers know.
fn verify_value(verification: Verification) -> String {
    match verification {
        Verification::Failed(reason) => format!("FAILED:{}", reason.name()),
        Verification::Registered => "FAILED:self-signed certificate".into(),
        Verification::Verified => "SUCCESS".into(),
    }
}

fn certificate_fields(
    config: &Config,
    request: &Request,
    certificate: &KnownCertificate,
) -> Result<Fields, Rejection> {
    let header = &config.certificate_header;
    let intermediates = match header.chain {
        ChainHeader::None => Vec::new(),
        _ => {
            presented::intermediates(&request.headers, certificate, config.max_chain_certificates)?
        }
    };
    let format = header.format;
    let in_field = match header.chain {
        ChainHeader::WithCertificate => Some(intermediates.as_slice()),
        _ => None,
    };
    let value = match in_field {
        Some(_) => format.certificate(certificate.der(), in_field),
        None => {
            let value = &certificate.header_value;
            value.get_or_init(|| format.certificate(certificate.der(), None)).clone()
        }
    };
    let mut fields = vec![(header.name.clone(), value)];
    match &header.chain {
        ChainHeader::None | ChainHeader::WithCertificate => {}
        ChainHeader::Own(_) if intermediates.is_empty() => {}
        ChainHeader::Own(name) => fields.push((name.clone(), format.chain(&intermediates))),
        ChainHeader::Numbered { names, .. } => {
            let each = names.iter().zip(&intermediates);
            fields.extend(each.map(|(name, der)| (name.clone(), format.certificate(der, None))));
        }
    }
    for (name, value) in &fields {
        require_length(config, name, value)?;
    }
    Ok(fields.into_iter().map(|(name, value)| (name, value.into_bytes())).collect())
}

/// # Errors
/// When the value of a field is longer than `certificate_header.max_bytes`.
pub(crate) fn require_length(config: &Config, name: &str, value: &str) -> Result<(), Rejection> {
    if value.len() <= config.certificate_header.max_bytes {
        return Ok(());
    }
    Err(Rejection::new(
        Reason::HeaderTooLarge,
        format!("{name} would have {} bytes, more than certificate_header.max_bytes", value.len()),
    ))
}
