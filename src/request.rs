//! What the filter was told of a request.

use std::sync::Arc;

use crate::{
    headers::Headers, jwt::TokenBinding, known_certificate::KnownCertificate,
    verified_payload::VerifiedPayload,
};

/// A request, whole where that matters.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The TLS connection it came over.
    pub connection: Connection,
    /// Header fields and pseudo-header fields.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
    /// At protected resources: what Envoy's `jwt_authn` filter left of the access token that it verified.
    pub verified_token: Option<VerifiedToken>,
    /// The time in seconds since the Unix epoch.
    pub now: u64,
}

/// What Envoy's `jwt_authn` filter left of a token.
#[derive(Clone, Debug, Default)]
pub struct VerifiedToken {
    /// What the token is bound to.
    pub binding: TokenBinding,
    /// Everything in it.
    pub payload: VerifiedPayload,
}

/// What Envoy reports of the downstream TLS connection. `None` stands for an attribute that Envoy does not have.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// `connection.peer_certificate`: PEM, plain or URL-encoded.
    pub peer_certificate: Option<Vec<u8>>,
    /// `connection.peer_certificate_valid`: the verdict of this connection's handshake.
    pub peer_certificate_valid: Option<bool>,
    /// `connection.sha256_peer_certificate_digest`: lower-case hexadecimal.
    pub sha256_peer_certificate_digest: Option<Vec<u8>>,
    /// The certificate with that digest, in place of `connection.peer_certificate`, where it was parsed before.
    pub known_certificate: Option<Arc<KnownCertificate>>,
}
