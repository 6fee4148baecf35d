//! Refusals: the one table from the reason to what the client, the log and the counters see.

use std::borrow::Cow;

use serde_json::json;

use crate::response::Response;

/// Why a request was refused. The client learns only [`Reason::status_and_error`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// The body is longer than `limits.max_body_bytes`.
    BodyTooLarge,
    /// The form, the query, or a credential beside it cannot be read, or not by every parser alike.
    BodyUnreadable,
    /// Past notAfter (RFC 5280 §4.1.2.5).
    CertificateExpired,
    /// The client must present a certificate and did not (RFC 8705 §2).
    CertificateMissing,
    /// None of the certificates or keys registered for the self-signed method (RFC 8705 §2.2).
    CertificateNotRegistered,
    /// Before notBefore (RFC 5280 §4.1.2.5).
    CertificateNotYetValid,
    /// Key usage or extended key usage does not allow client authentication (RFC 5280 §4.2.1.3, §4.2.1.12).
    CertificatePurpose,
    /// On the CRL of its issuer, or an intermediate on the only path is (RFC 5280 §6.3).
    CertificateRevoked,
    /// There is a certificate, but it cannot be obtained or parsed.
    CertificateUnreadable,
    /// The path to a trusted CA was not verified (RFC 8705 §2.1).
    CertificateUntrusted,
    /// Two places of the request name different clients (RFC 6749 §2.3).
    ClientIdConflict,
    /// No place of the request names a client.
    ClientIdMissing,
    /// `client_id` or a credential is there twice, in body and query, or under a name that some parsers fold to it
    /// (RFC 6749 §3.2: parameters must not be included more than once).
    ClientIdRepeated,
    /// `client_id` is none of `clients`, and `unregistered_clients` is `deny`.
    ClientNotRegistered,
    /// Envoy's digest of the certificate and ours differ.
    DigestMismatch,
    /// The certificate header would be longer than `certificate_header.max_bytes`.
    HeaderTooLarge,
    /// Envoy or the runtime failed.
    HostError,
    /// The introspection endpoint did not answer in time, or not as RFC 7662 §2.2 says.
    IntrospectionFailed,
    /// Not exactly `application/x-www-form-urlencoded` in UTF-8 without content coding.
    MediaTypeUnsupported,
    /// A client of a TLS method sent another credential (RFC 6749 §2.3: one method per request).
    MultipleAuthenticationMethods,
    /// The path is one that servers read differently.
    PathAmbiguous,
    /// The certificate's names do not include the registered one (RFC 8705 §2.1.2).
    SubjectMismatch,
    /// The access token is not active (RFC 7662 §2.2).
    TokenInactive,
    /// A protected resource was asked for without an access token.
    TokenMissing,
    /// An access token, or perhaps a second one, is sent in another way than once in `Authorization` (RFC 6750 §2).
    TokenMisplaced,
    /// The access token is bound to another certificate, or to none (RFC 8705 §3).
    TokenNotBound,
    /// The access token cannot be read, or not by every server alike.
    TokenUnreadable,
}

impl Reason {
    /// Every reason, for the definition of counters.
    pub const ALL: [Self; 27] = [
        Self::BodyTooLarge,
        Self::BodyUnreadable,
        Self::CertificateExpired,
        Self::CertificateMissing,
        Self::CertificateNotRegistered,
        Self::CertificateNotYetValid,
        Self::CertificatePurpose,
        Self::CertificateRevoked,
        Self::CertificateUnreadable,
        Self::CertificateUntrusted,
        Self::ClientIdConflict,
        Self::ClientIdMissing,
        Self::ClientIdRepeated,
        Self::ClientNotRegistered,
        Self::DigestMismatch,
        Self::HeaderTooLarge,
        Self::HostError,
        Self::IntrospectionFailed,
        Self::MediaTypeUnsupported,
        Self::MultipleAuthenticationMethods,
        Self::PathAmbiguous,
        Self::SubjectMismatch,
        Self::TokenInactive,
        Self::TokenMisplaced,
        Self::TokenMissing,
        Self::TokenNotBound,
        Self::TokenUnreadable,
    ];

    /// The name in log, access log and counters.
    pub fn name(self) -> &'static str {
        match self {
            Self::BodyTooLarge => "body_too_large",
            Self::BodyUnreadable => "body_unreadable",
            Self::CertificateExpired => "certificate_expired",
            Self::CertificateMissing => "certificate_missing",
            Self::CertificateNotRegistered => "certificate_not_registered",
            Self::CertificateNotYetValid => "certificate_not_yet_valid",
            Self::CertificatePurpose => "certificate_purpose",
            Self::CertificateRevoked => "certificate_revoked",
            Self::CertificateUnreadable => "certificate_unreadable",
            Self::CertificateUntrusted => "certificate_untrusted",
            Self::ClientIdConflict => "client_id_conflict",
            Self::ClientIdMissing => "client_id_missing",
            Self::ClientIdRepeated => "client_id_repeated",
            Self::ClientNotRegistered => "client_not_registered",
            Self::DigestMismatch => "digest_mismatch",
            Self::HeaderTooLarge => "header_too_large",
            Self::HostError => "host_error",
            Self::IntrospectionFailed => "introspection_failed",
            Self::MediaTypeUnsupported => "media_type_unsupported",
            Self::MultipleAuthenticationMethods => "multiple_authentication_methods",
            Self::PathAmbiguous => "path_ambiguous",
            Self::SubjectMismatch => "subject_mismatch",
            Self::TokenInactive => "token_inactive",
            Self::TokenMisplaced => "token_misplaced",
            Self::TokenMissing => "token_missing",
            Self::TokenNotBound => "token_not_bound",
            Self::TokenUnreadable => "token_unreadable",
        }
    }

    /// The HTTP status and the error of RFC 6749 §5.2 or RFC 6750 §3.1. `server_error` and `temporarily_unavailable` are
    /// RFC 6749 §4.1.2.1's, for want of such there.
    pub fn status_and_error(self) -> (u16, OAuthError) {
        match self {
            Self::BodyTooLarge => (413, OAuthError::InvalidRequest),
            Self::BodyUnreadable
            | Self::ClientIdConflict
            | Self::ClientIdMissing
            | Self::ClientIdRepeated
            | Self::MediaTypeUnsupported
            | Self::MultipleAuthenticationMethods
            | Self::PathAmbiguous => (400, OAuthError::InvalidRequest),
            Self::CertificateExpired
            | Self::CertificateMissing
            | Self::CertificateNotRegistered
            | Self::CertificateNotYetValid
            | Self::CertificatePurpose
            | Self::CertificateRevoked
            | Self::CertificateUnreadable
            | Self::CertificateUntrusted
            | Self::ClientNotRegistered
            | Self::DigestMismatch
            | Self::HeaderTooLarge
            | Self::SubjectMismatch => (401, OAuthError::InvalidClient),
            Self::TokenInactive
            | Self::TokenMissing
            | Self::TokenNotBound
            | Self::TokenUnreadable => (401, OAuthError::InvalidToken),
            Self::TokenMisplaced => (400, OAuthError::InvalidRequest),
            Self::HostError => (500, OAuthError::ServerError),
            Self::IntrospectionFailed => (503, OAuthError::TemporarilyUnavailable),
        }
    }
}

/// The error codes that clients see.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OAuthError {
    /// `invalid_client` (RFC 6749 §5.2).
    InvalidClient,
    /// `invalid_request` (RFC 6749 §5.2).
    InvalidRequest,
    /// `invalid_token` (RFC 6750 §3.1).
    InvalidToken,
    /// `server_error` (RFC 6749 §4.1.2.1).
    ServerError,
    /// `temporarily_unavailable` (RFC 6749 §4.1.2.1).
    TemporarilyUnavailable,
}

impl OAuthError {
    fn code_and_description(self) -> (&'static str, &'static str) {
        match self {
            Self::InvalidClient => ("invalid_client", "client authentication failed"),
            Self::InvalidRequest => ("invalid_request", "the request is malformed"),
            Self::InvalidToken => ("invalid_token", "the access token cannot be used here"),
            Self::ServerError => ("server_error", "the request could not be processed"),
            Self::TemporarilyUnavailable => ("temporarily_unavailable", "try again later"),
        }
    }
}

/// A refusal: its reason, and what the operator should know beyond it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rejection {
    /// The reason.
    pub reason: Reason,
    /// A sentence for the log; never a secret.
    pub detail: Cow<'static, str>,
}

impl Rejection {
    /// A refusal with an explanation for the log.
    pub fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// The answer to the client.
    pub fn response(&self, place: Place<'_>) -> Response {
        let (status, error) = self.reason.status_and_error();
        let error = match (place, error) {
            (Place::ProtectedResource, OAuthError::InvalidClient) => OAuthError::InvalidToken,
            (_, error) => error,
        };
        let mut headers = vec![("cache-control", "no-store"), ("pragma", "no-cache")];
        let challenge = match (place, status) {
            (Place::Endpoint { scheme: Some(scheme) }, 401) => Some(endpoint_challenge(scheme)),
            (Place::ProtectedResource, 400 | 401) => Some(resource_challenge(self.reason, error)),
            _ => None,
        };
        headers.extend(challenge.map(|challenge| ("www-authenticate", challenge)));
        // RFC 6750 §3.1: whoever sent no token is not told of errors.
        if self.reason == Reason::TokenMissing {
            return Response { status, headers, body: String::new() };
        }
        headers.push(("content-type", "application/json"));
        let (code, description) = error.code_and_description();
        let body = json!({ "error": code, "error_description": description }).to_string();
        Response { status, headers, body }
    }
}

/// Where a request was refused, which decides on the form of the answer.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// Where clients authenticate: RFC 6749 §5.2.
    Endpoint {
        /// The scheme of the client's `Authorization`, if it sent one.
        scheme: Option<&'a [u8]>,
    },
    /// Where access tokens are used: RFC 6750 §3.
    ProtectedResource,
}

fn resource_challenge(reason: Reason, error: OAuthError) -> &'static str {
    match (reason, error) {
        (Reason::TokenMissing, _) => "Bearer",
        (_, OAuthError::InvalidRequest) => "Bearer error=\"invalid_request\"",
        _ => "Bearer error=\"invalid_token\"",
    }
}

/// RFC 6749 §5.2 asks for the scheme that the client used; an unknown one is answered with the one that clients have.
fn endpoint_challenge(scheme: &[u8]) -> &'static str {
    if scheme.eq_ignore_ascii_case(b"Bearer") {
        "Bearer realm=\"oauth\""
    } else if scheme.eq_ignore_ascii_case(b"DPoP") {
        "DPoP realm=\"oauth\""
    } else {
        "Basic realm=\"oauth\""
    }
}
