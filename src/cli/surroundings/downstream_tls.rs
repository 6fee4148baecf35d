//! The TLS that clients speak with Envoy. Which settings make Envoy (1.40) ask for a certificate was tried, not read.

use certbound::{client::ClientAuthMethod, config::UnregisteredClients};

use super::Configured;
use crate::cli::{configuration::Finding, message::Message};

const DOWNSTREAM_TLS: &str = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
const QUIC: &str = "envoy.extensions.transport_sockets.quic.v3.QuicDownstreamTransport";
const PLAINTEXT: &str = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer";

const ACCEPT_UNTRUSTED: (&str, u8) = ("ACCEPT_UNTRUSTED", 1);

/// What Envoy does with certificates, as far as the file tells.
struct Validation<'a> {
    /// What is written, or the message that it belongs into.
    context: Message<'a>,
    /// Whether that is it, or its place is in `context`.
    is_written: bool,
    /// Whether a part of it comes from elsewhere.
    is_delivered: bool,
}

/// Whether there is certainly no TLS.
pub(super) fn is_plaintext(chain: &Message<'_>) -> bool {
    let Some(socket) = chain.message("transport_socket") else { return true };
    socket.message("typed_config").is_some_and(|config| config.unpacked(PLAINTEXT).is_some())
}

pub(super) fn warnings(chain: &Message<'_>, configured: Option<&Configured<'_>>) -> Vec<Finding> {
    if is_plaintext(chain) {
        return vec![Finding::new(
            &chain.at("transport_socket"),
            "there is no TLS here, and so no certificate for certbound: write envoy.transport_sockets.tls with a \
             DownstreamTlsContext that asks clients for one \
             (`validation_context: { trust_chain_verification: ACCEPT_UNTRUSTED }`)",
        )];
    }
    let socket = chain.message("transport_socket");
    let typed_config = socket.as_ref().and_then(|socket| socket.message("typed_config"));
    let is = |of_type| typed_config.as_ref().and_then(|config| config.unpacked(of_type));
    let quic = is(QUIC).and_then(|quic| quic.message("downstream_tls_context"));
    match is(DOWNSTREAM_TLS).or(quic) {
        Some(tls) => of_context(&tls, configured),
        None => Vec::new(),
    }
}

fn of_context(tls: &Message<'_>, configured: Option<&Configured<'_>>) -> Vec<Finding> {
    // Without it Envoy does not start.
    let Some(common) = tls.message("common_tls_context") else { return Vec::new() };
    let validation = Validation::of(&common);
    let requires = tls.is_true("require_client_certificate");
    if !validation.asks() {
        let besides = if requires { "; `require_client_certificate` alone does not" } else { "" };
        return vec![Finding::new(
            &validation.at("validation_context"),
            format!(
                "Envoy asks clients for no certificate, so that certbound never sees one: write \
                 `validation_context: {{ trust_chain_verification: ACCEPT_UNTRUSTED }}`{besides}"
            ),
        )];
    }
    let Some(configured) = configured else { return Vec::new() };
    let mut warnings = validation.warnings(configured);
    if requires {
        warnings.extend(excluded(tls, configured));
    }
    if configured.envoys_verdict_decides() {
        warnings.extend(resumption(tls));
    }
    warnings.extend(ed25519(&common, configured));
    warnings
}

impl<'a> Validation<'a> {
    fn of(common: &Message<'a>) -> Self {
        let combined = common.message("combined_validation_context");
        let default =
            combined.as_ref().and_then(|combined| combined.message("default_validation_context"));
        let context = common.message("validation_context").or(default);
        let from_elsewhere = [
            "validation_context_sds_secret_config",
            "validation_context_certificate_provider",
            "validation_context_certificate_provider_instance",
        ];
        Self {
            is_written: context.is_some(),
            is_delivered: combined.is_some()
                || from_elsewhere.iter().any(|key| common.get(key).is_some()),
            context: context.unwrap_or_else(|| common.clone()),
        }
    }

    fn at(&self, name: &str) -> String {
        if self.is_written { self.context.path.clone() } else { self.context.at(name) }
    }

    fn accepts_untrusted(&self) -> bool {
        self.is_written && self.context.is("trust_chain_verification", ACCEPT_UNTRUSTED)
    }

    fn has_authority(&self) -> bool {
        let authorities = [
            "trusted_ca",
            "ca_certificate_provider_instance",
            "system_root_certs",
            "custom_validator_config",
        ];
        self.is_delivered
            || self.is_written && authorities.iter().any(|key| self.context.get(key).is_some())
    }

    fn asks(&self) -> bool {
        let lists = ["verify_certificate_hash", "verify_certificate_spki"];
        self.accepts_untrusted()
            || self.has_authority()
            || self.is_written && lists.iter().any(|list| !self.context.is_empty_list(list))
    }

    fn warnings(&self, configured: &Configured<'_>) -> Vec<Finding> {
        let mut warnings = Vec::new();
        let self_signed = configured.clients(|client| {
            matches!(client.method, ClientAuthMethod::SelfSignedTlsClientAuth(_))
        });
        if let Some(clients) = self_signed.filter(|_| self.is_written && !self.accepts_untrusted())
        {
            warnings.push(Finding::new(
                &self.context.at("trust_chain_verification"),
                format!(
                    "Envoy lets only certificates of its trusted_ca through the handshake, and so no self-signed one of {clients}: \
                     write ACCEPT_UNTRUSTED, since certbound judges every certificate itself"
                ),
            ));
        }
        if configured.envoys_verdict_decides() && !self.has_authority() {
            warnings.push(Finding::new(
                &self.context.at("trusted_ca"),
                "without `trust_anchors` certbound relies on Envoy to verify certificates, which knows no CA here, so that \
                 `tls_client_auth` clients are refused: write `trust_anchors` in certbound's configuration, or `trusted_ca` here",
            ));
        }
        warnings
    }
}

/// Clients that have no certificate where everybody needs one.
fn excluded(tls: &Message<'_>, configured: &Configured<'_>) -> Option<Finding> {
    let without = configured.clients(|client| {
        matches!(client.method, ClientAuthMethod::Other) && !client.certificate_bound_access_tokens
    });
    let who = without.or_else(|| {
        let passes = configured.config.unregistered_clients == UnregisteredClients::Pass;
        passes.then(|| "unregistered clients".to_owned())
    })?;
    Some(Finding::new(
        &tls.at("require_client_certificate"),
        format!(
            "{who} may come without certificate, and would not get through the handshake: write false, since certbound knows \
             who needs one, unless they come by another listener"
        ),
    ))
}

fn resumption(tls: &Message<'_>) -> Option<Finding> {
    let keys = ["disable_stateless_session_resumption", "disable_stateful_session_resumption"];
    let missing: Vec<&str> = keys.into_iter().filter(|key| !tls.is_true(key)).collect();
    let first = missing.first()?;
    Some(Finding::new(
        &tls.at(first),
        format!(
            "without `trust_anchors` Envoy's verdict decides, which a resumed session lacks, so that `tls_client_auth` clients \
             are refused on their second connection: write `{}: true`, or `trust_anchors` in certbound's configuration",
            missing.join(": true` and `")
        ),
    ))
}

/// Envoy's own list of signature algorithms lacks ed25519.
fn ed25519(common: &Message<'_>, configured: &Configured<'_>) -> Option<Finding> {
    let written = Message::new(configured.path, configured.written)?;
    let has_key = |client: &Message<'_>| {
        let keys = client.message("jwks").map(|jwks| jwks.messages("keys"));
        keys.into_iter().flatten().any(|key| key.text("crv") == Some("Ed25519"))
    };
    let client = written.messages("clients").into_iter().find(has_key)?;
    let parameters = common.message("tls_params");
    let algorithms =
        parameters.as_ref().and_then(|parameters| parameters.get("signature_algorithms"));
    if algorithms.and_then(|list| list.as_array()).is_some_and(|list| {
        list.iter()
            .any(|name| name.as_str().is_some_and(|name| name.eq_ignore_ascii_case("ed25519")))
    }) {
        return None;
    }
    let path = parameters.map_or_else(
        || common.at("tls_params"),
        |parameters| parameters.at("signature_algorithms"),
    );
    Some(Finding::new(
        &path,
        format!(
            "Envoy does not take Ed25519 by itself, so that the client `{}`, which is registered with such a key, seems to have \
             no certificate: list ed25519 among the `signature_algorithms`",
            client.text("client_id").unwrap_or_default()
        ),
    ))
}
