//! Registered clients and the certificate rule of each (RFC 7591 §2, RFC 8705 §2).

use std::net::IpAddr;

use crate::{
    certificate::{Certificate, SubjectAlternativeName},
    distinguished_name::DistinguishedName,
    public_key::PublicKey,
    thumbprint::Thumbprint,
    trust::TrustAnchors,
    upstream_authentication::Credential,
};

/// What certbound knows of one `client_id`.
#[derive(Clone, Debug)]
pub struct Client {
    /// How the client authenticates.
    pub method: ClientAuthMethod,
    /// `tls_client_certificate_bound_access_tokens` (RFC 8705 §3.4): the server is to see the certificate whatever the
    /// method.
    pub certificate_bound_access_tokens: bool,
    /// `Authorization` for the server, once the client is authenticated: for servers that know it by a secret only.
    pub upstream_authorization: Option<Credential>,
}

/// `token_endpoint_auth_method`, with what each certificate method needs.
#[derive(Clone, Debug)]
pub enum ClientAuthMethod {
    /// A method without certificates; the authorization server checks it.
    Other,
    /// `self_signed_tls_client_auth` (RFC 8705 §2.2).
    SelfSignedTlsClientAuth(RegisteredCertificates),
    /// `tls_client_auth`, the PKI method (RFC 8705 §2.1).
    TlsClientAuth(SubjectMatch, Trust),
}

/// Who must have verified the path from a certificate to a CA.
#[derive(Clone, Debug)]
pub enum Trust {
    /// The filter itself, to one of these sets; never empty.
    Anchors(Vec<TrustAnchors>),
    /// Envoy, in the handshake of this connection: no trust anchors are configured.
    Envoy,
}

/// The one registered subject value of the PKI method (RFC 8705 §2.1.2).
#[derive(Clone, Debug)]
pub enum SubjectMatch {
    /// `tls_client_auth_san_dns`.
    SanDns(String),
    /// `tls_client_auth_san_email`.
    SanEmail(String),
    /// `tls_client_auth_san_ip`.
    SanIp(IpAddr),
    /// `tls_client_auth_san_uri`.
    SanUri(String),
    /// `tls_client_auth_subject_dn`.
    SubjectDn(DistinguishedName),
}

impl SubjectMatch {
    /// Whether the certificate's subject, or one of its subjectAltNames, is the registered value.
    pub fn matches(&self, certificate: &Certificate) -> bool {
        let mut names = certificate.subject_alt_names().iter();
        match self {
            Self::SubjectDn(registered) => certificate.subject() == registered,
            Self::SanDns(registered) => names.any(
                |name| matches!(name, SubjectAlternativeName::Dns(dns) if dns.eq_ignore_ascii_case(registered)),
            ),
            Self::SanEmail(registered) => names.any(
                |name| matches!(name, SubjectAlternativeName::Email(email) if same_mailbox(email, registered)),
            ),
            Self::SanIp(registered) => names.any(
                |name| matches!(name, SubjectAlternativeName::Ip(bytes) if ip_address(bytes) == Some(*registered)),
            ),
            Self::SanUri(registered) => {
                names.any(|name| matches!(name, SubjectAlternativeName::Uri(uri) if uri == registered))
            }
        }
    }
}

/// RFC 5280 §7.5: the local part is exact, the host part is not case-sensitive.
fn same_mailbox(presented: &str, registered: &str) -> bool {
    match (presented.rsplit_once('@'), registered.rsplit_once('@')) {
        (Some((local, host)), Some((registered_local, registered_host))) => {
            local == registered_local && host.eq_ignore_ascii_case(registered_host)
        }
        _ => false,
    }
}

fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// The certificates of a `self_signed_tls_client_auth` client, in both ways they can be registered.
#[derive(Clone, Debug, Default)]
pub struct RegisteredCertificates {
    /// From `certificate_thumbprints`, and from the `x5c` of JWKs.
    pub thumbprints: Vec<Thumbprint>,
    /// From JWKs without `x5c`.
    pub public_keys: Vec<PublicKey>,
}

impl RegisteredCertificates {
    /// Whether the certificate itself, or its public key, is registered.
    pub fn contains(&self, certificate: &Certificate) -> bool {
        self.thumbprints.contains(&certificate.thumbprint())
            || certificate.public_key().is_some_and(|key| self.public_keys.contains(key))
    }
}
