//! What the filter asks of Envoy. Only byte-valued host calls: the text-valued ones panic on the bytes 0x80 to 0xFF, which
//! Envoy lets through in header values (github.com/proxy-wasm/proxy-wasm-rust-sdk/issues/25).

use std::time::UNIX_EPOCH;

use proxy_wasm::{
    hostcalls,
    types::{BufferType, MapType, Status},
};

use crate::{
    config::{CertificateSource, Config, Introspection},
    headers::Headers,
    jwt::{Confirmation, TokenBinding},
    known_certificate::KnownCertificates,
    request::{Connection, VerifiedToken},
    response::Response,
    sanitise::HeaderChange,
    upstream_authentication::Credential,
    verified_payload::VerifiedPayload,
};

/// The host did not do what it was asked.
#[derive(Debug)]
pub(super) struct HostError;

impl From<Status> for HostError {
    fn from(_: Status) -> Self {
        Self
    }
}

/// Header or trailer fields.
pub(super) fn fields(map: MapType) -> Result<Headers, HostError> {
    let fields = hostcalls::get_map_bytes(map)?;
    let lower_case = |(mut name, value): (String, Vec<u8>)| {
        name.make_ascii_lowercase();
        (name, value)
    };
    Ok(Headers(fields.into_iter().map(lower_case).collect()))
}

/// Applies changes to header or trailer fields.
pub(super) fn apply(map: MapType, changes: &[HeaderChange]) -> Result<(), HostError> {
    for change in changes {
        match change {
            HeaderChange::Remove(name) => hostcalls::remove_map_value(map, name)?,
            HeaderChange::Set(name, value) => {
                hostcalls::set_map_value_bytes(map, name, Some(value))?
            }
            HeaderChange::SetCredential(name, credential) => {
                hostcalls::set_map_value_bytes(map, name, Some(credential.value().as_bytes()))?
            }
        }
    }
    Ok(())
}

/// The body as held so far, or the plugin's configuration.
pub(super) fn buffer(buffer: BufferType, size: usize) -> Result<Vec<u8>, HostError> {
    if size == 0 {
        return Ok(Vec::new());
    }
    Ok(hostcalls::get_buffer(buffer, 0, size)?.unwrap_or_default())
}

/// Puts other bytes in the place of a body, of which `size` bytes are held.
pub(super) fn replace(buffer: BufferType, size: usize, bytes: &[u8]) -> Result<(), HostError> {
    Ok(hostcalls::set_buffer(buffer, 0, size, bytes)?)
}

/// The downstream TLS connection. Envoy writes the certificate as PEM whenever it is asked, so it is asked for those only
/// that are not known by their digest; and for its verdict only where that counts.
pub(super) fn connection(
    config: &Config,
    known_certificates: &mut KnownCertificates,
) -> Result<Connection, HostError> {
    let digest = attribute(&["connection", "sha256_peer_certificate_digest"])?;
    let known_certificate =
        digest.as_deref().and_then(|digest| known_certificates.with_digest(digest));
    let peer_certificate = match (config.certificate_source, &known_certificate) {
        (CertificateSource::Connection, None) => attribute(&["connection", "peer_certificate"])?,
        _ => None,
    };
    let peer_certificate_valid = match config.relies_on_envoys_verdict() {
        // A boolean attribute is one byte.
        true => attribute(&["connection", "peer_certificate_valid"])?.map(|bytes| bytes == [1]),
        false => None,
    };
    Ok(Connection {
        peer_certificate,
        peer_certificate_valid,
        sha256_peer_certificate_digest: digest,
        known_certificate,
    })
}

/// What the `jwt_authn` filter left in its dynamic metadata of a token that it verified; `None` if there is none.
pub(super) fn verified_token(
    payload_in_metadata: &str,
) -> Result<Option<VerifiedToken>, HostError> {
    const NAMESPACE: [&str; 3] = ["metadata", "filter_metadata", "envoy.filters.http.jwt_authn"];
    let member = |names: &[&str]| {
        let path = [&NAMESPACE[..], &[payload_in_metadata], names].concat();
        match hostcalls::get_property(path) {
            // So Envoy says that there is a null in it: it is there, and equal to nothing.
            Err(Status::SerializationFailure) => Ok(Some(Vec::new())),
            property => property,
        }
    };
    let Some(payload) = member(&[])?.map(VerifiedPayload) else { return Ok(None) };
    // Empty text cannot be told from nothing.
    if member(&["cnf"])?.is_none() {
        return Ok(Some(VerifiedToken { binding: TokenBinding::default(), payload }));
    }
    // Values of other types than text are never 43 characters of base64url: numbers are 8 bytes, lists and objects have NULs.
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let confirmation = Confirmation {
        x5t_s256: member(&["cnf", "x5t#S256"])?.map(text),
        jkt: member(&["cnf", "jkt"])?.map(text),
    };
    let binding = TokenBinding { cnf: Some(confirmation) };
    Ok(Some(VerifiedToken { binding, payload }))
}

/// Asks the introspection endpoint (RFC 7662 §2.1).
pub(super) fn introspect(
    introspection: &Introspection,
    question: &Credential,
) -> Result<(), HostError> {
    let accept = introspection.replace_token_by.map_or("application/json", |jwt| jwt.media_type());
    let headers = vec![
        (":method", "POST"),
        (":path", &introspection.path),
        (":authority", &introspection.authority),
        ("accept", accept),
        ("authorization", introspection.authorization.value()),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let body = Some(question.value().as_bytes());
    let timeout = introspection.timeout;
    hostcalls::dispatch_http_call(&introspection.cluster, headers, body, vec![], timeout)?;
    Ok(())
}

/// The status, Content-Type and body of the introspection endpoint's answer.
pub(super) fn introspection_response(
    body_size: usize,
) -> Result<(u16, Vec<u8>, Vec<u8>), HostError> {
    let headers = fields(MapType::HttpCallResponseHeaders)?;
    let status = headers.text(":status").and_then(|status| status.parse().ok()).unwrap_or_default();
    let content_type = headers.values("content-type").next().unwrap_or_default().to_vec();
    Ok((status, content_type, buffer(BufferType::HttpCallResponseBody, body_size)?))
}

/// Lets a paused request go on.
pub(super) fn resume() -> Result<(), HostError> {
    Ok(hostcalls::resume_http_request()?)
}

/// The client's address and port, for the log.
pub(super) fn source_address() -> String {
    let address = attribute(&["source", "address"]).ok().flatten().unwrap_or_default();
    String::from_utf8_lossy(&address).into_owned()
}

fn attribute(path: &[&str]) -> Result<Option<Vec<u8>>, HostError> {
    Ok(hostcalls::get_property(path.to_vec())?)
}

/// Puts a value where the access log finds it, as `%FILTER_STATE(wasm.<key>:PLAIN)%`.
pub(super) fn set_filter_state(key: &str, value: &str) -> Result<(), HostError> {
    Ok(hostcalls::set_property(vec![key], Some(value.as_bytes()))?)
}

/// Answers the request.
pub(super) fn respond(response: &Response) -> Result<(), HostError> {
    let headers = response.headers.clone();
    hostcalls::send_http_response(response.status.into(), headers, Some(response.body.as_bytes()))?;
    Ok(())
}

/// Seconds since the Unix epoch.
pub(super) fn now() -> Result<u64, HostError> {
    let time = hostcalls::get_current_time()?;
    time.duration_since(UNIX_EPOCH).map(|since| since.as_secs()).map_err(|_| HostError)
}

/// Fills a buffer with random bytes, or says that the host has none.
pub(super) fn random(buffer: &mut [u8]) -> bool {
    getrandom::fill(buffer).is_ok()
}
