//! `discovery`: which documents of the server tell clients of mutual TLS, and what.

use std::net::Ipv6Addr;

use super::{ConfigError, UnregisteredClients, compile_path, document};
use crate::{
    client::{Client, ClientAuthMethod},
    discovery::Discovery,
    endpoint::Endpoint,
    jwk_set::JwkSet,
};

pub(super) const DEFAULT_BOUND_ACCESS_TOKENS: bool = true;

pub(super) fn compile(
    written: document::Discovery,
    endpoints: &[Endpoint],
    jwk_set: Option<&JwkSet>,
    auth_methods: Vec<&'static str>,
    errors: &mut Vec<ConfigError>,
) -> Discovery {
    if written.paths.is_empty() {
        errors.push(ConfigError::new(
            "discovery.paths",
            "the list is empty: write `[/.well-known/openid-configuration]`, or leave `discovery` out",
        ));
    }
    let mut paths = Vec::new();
    for (index, path) in written.paths.iter().enumerate() {
        let at = format!("discovery.paths[{index}]");
        let is_held = |method| endpoints.iter().any(|endpoint| endpoint.matches(method, path));
        if is_held("GET") || is_held("HEAD") {
            errors.push(ConfigError::new(
                at.as_str(),
                "clients authenticate here, by one of `endpoints`, and nobody could read the document: leave GET and HEAD to it",
            ));
        }
        if jwk_set.is_some_and(|jwk_set| jwk_set.path == *path) {
            errors.push(ConfigError::new(
                at.as_str(),
                "the path of `signature.jwks_path`, which certbound answers itself: write another there",
            ));
        }
        paths.push(compile_path(at, path, errors));
    }
    if !is_https_origin(&written.mtls_origin) {
        errors.push(ConfigError::new(
            "discovery.mtls_origin",
            "not an https origin: write it like `https://mtls.as.example.com` or `https://as.example.com:8443`, without path",
        ));
    }
    Discovery {
        paths,
        mtls_origin: written.mtls_origin,
        auth_methods,
        tls_client_certificate_bound_access_tokens: written
            .tls_client_certificate_bound_access_tokens
            .unwrap_or(DEFAULT_BOUND_ACCESS_TOKENS),
    }
}

/// The TLS methods that some client can use. What the server knows of clients that are not registered, only certificates
/// that are forwarded can be for: those that verify, and with `verify_name` any.
pub(super) fn auth_methods<'a>(
    clients: impl Iterator<Item = &'a Client>,
    unregistered: UnregisteredClients,
    forwards_unverified: bool,
) -> Vec<&'static str> {
    let forwards = unregistered == UnregisteredClients::Forward;
    let (mut pki, mut self_signed) = (forwards, forwards && forwards_unverified);
    for client in clients {
        match client.method {
            ClientAuthMethod::Other => {}
            ClientAuthMethod::SelfSignedTlsClientAuth(_) => self_signed = true,
            ClientAuthMethod::TlsClientAuth(..) => pki = true,
        }
    }
    [(pki, "tls_client_auth"), (self_signed, "self_signed_tls_client_auth")]
        .into_iter()
        .filter_map(|(is_there, method)| is_there.then_some(method))
        .collect()
}

/// Whether a text is `https://` with host and perhaps port, and nothing else (RFC 6454 §6.2).
fn is_https_origin(text: &str) -> bool {
    let Some(authority) = text.strip_prefix("https://") else { return false };
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    match authority.strip_prefix('[').and_then(|literal| literal.split_once(']')) {
        Some((address, port)) => {
            address.parse::<Ipv6Addr>().is_ok()
                && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
        }
        None => {
            let (host, port) = match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            };
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
                && port.is_none_or(is_port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_https_with_host_and_port_alone() {
        for origin in [
            "https://mtls.example.com",
            "https://localhost:8443",
            "https://192.0.2.1",
            "https://[2001:db8::1]:8443",
            "https://[::1]",
        ] {
            assert!(is_https_origin(origin), "{origin}");
        }
        for text in [
            "",
            "https://",
            "http://mtls.example.com",
            "mtls.example.com",
            "//mtls.example.com",
            "https:mtls.example.com",
            "https://mtls.example.com/",
            "https://mtls.example.com/as",
            "https://mtls.example.com?",
            "https://mtls.example.com#x",
            "https://user@mtls.example.com",
            "https://mtls.example.com:",
            "https://mtls.example.com:0",
            "https://mtls.example.com:+1",
            "https://mtls.example.com:65536",
            "https://mtls.example.com:8443:8443",
            "https://:8443",
            "https://m tls",
            "https://mtls\n",
            "https://mtlsé.example.com",
            "https://[::1",
            "https://[mtls]",
            "https://[::1]8443",
            "https://a\\b",
            "https://\"",
        ] {
            assert!(!is_https_origin(text), "{text}");
        }
    }
}
