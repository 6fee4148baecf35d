//! What surrounds the filter in Envoy's configuration, and makes it unsafe or useless however right its own is: the TLS
//! that clients speak, the connection manager, the other filters, the routes. What the file does not tell (a patch of
//! Istio's has no listener, a secret comes by SDS) is taken to be right.

mod connection_manager;
mod detours;
mod downstream_tls;
mod routes;

use certbound::{
    client::{Client, ClientAuthMethod, Trust},
    config::{Config, UnregisteredClients},
};
use serde_json::Value;

use super::{
    configuration::Finding,
    message::{Message, join},
};

const CONNECTION_MANAGER: &str =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// The filter's configuration, valid by itself, and where it stands.
pub(super) struct Configured<'a> {
    pub(super) config: &'a Config,
    pub(super) path: &'a str,
    pub(super) written: &'a Value,
}

fn is_listener(message: &&Message<'_>) -> bool {
    message.get("filter_chains").or(message.get("default_filter_chain")).is_some()
}

/// Everything that surrounds the filter and does not suit it. `places` are the objects that it stands in, the nearest last,
/// for each time that it is there. Without its configuration, what would depend on that is taken to be right.
pub(super) fn warnings(
    places: &[&[Message<'_>]],
    configured: Option<&Configured<'_>>,
) -> Vec<Finding> {
    let is_plaintext = |place: &[Message<'_>]| chain(place).map(downstream_tls::is_plaintext);
    // Beside a listener for clients, one without TLS is for something else, such as probes.
    let has_tls = places.iter().any(|place| is_plaintext(place) == Some(false));
    let mut warnings = Vec::new();
    for place in places {
        if !(has_tls && is_plaintext(place) == Some(true)) {
            for warning in around(place, configured) {
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
    }
    warnings
}

/// The filter chain in which the connection manager of a place is.
fn chain<'a>(place: &'a [Message<'a>]) -> Option<&'a Message<'a>> {
    let mut enclosing = place.iter().rev();
    enclosing.find(|message| message.unpacked(CONNECTION_MANAGER).is_some())?;
    enclosing.find(|message| message.get("filters").is_some())
}

/// What surrounds one place.
fn around(place: &[Message<'_>], configured: Option<&Configured<'_>>) -> Vec<Finding> {
    let mut warnings = Vec::new();
    // From the inside out.
    let mut enclosing = place.iter().rev();
    if let Some(manager) = enclosing.find_map(|message| message.unpacked(CONNECTION_MANAGER)) {
        let within = place.get(enclosing.len().saturating_add(1)..).unwrap_or_default();
        let entry = within.iter().find(|message| message.text("name").is_some());
        warnings.extend(connection_manager::warnings(&manager, entry, configured));
        warnings.extend(detours::warnings(&manager, place, within, configured));
        let chain = chain(place);
        warnings.extend(chain.iter().flat_map(|chain| downstream_tls::warnings(chain, configured)));
    }
    let Some(configured) = configured else { return warnings };
    warnings.extend(place.iter().rev().find(is_listener).and_then(|listener| {
        connection_manager::small_buffer(listener, "per_connection_buffer_limit_bytes", configured)
    }));
    let bootstrap = place.iter().find(|message| message.get("static_resources").is_some());
    warnings.extend(bootstrap.iter().flat_map(|bootstrap| missing_clusters(bootstrap, configured)));
    warnings
}

impl Configured<'_> {
    /// The identifiers of the clients of some kind, for a message.
    fn clients(&self, is_meant: impl Fn(&Client) -> bool) -> Option<String> {
        let mut names: Vec<&str> = self
            .config
            .clients
            .iter()
            .filter(|(_, client)| is_meant(client))
            .map(|(client_id, _)| client_id.as_str())
            .collect();
        names.sort_unstable();
        let (first, others) = names.split_first()?;
        Some(match others {
            [] => format!("`{first}`"),
            [second] => format!("`{first}` and `{second}`"),
            _ => format!("`{first}` and {} others", others.len()),
        })
    }

    /// Whether it counts for anybody that Envoy verified the certificate.
    fn envoys_verdict_decides(&self) -> bool {
        let is_trusted_by_envoy = |client: &Client| {
            matches!(client.method, ClientAuthMethod::TlsClientAuth(_, Trust::Envoy))
        };
        self.config.trust_anchors.is_empty()
            && (self.config.clients.values().any(is_trusted_by_envoy)
                || self.config.unregistered_clients == UnregisteredClients::Forward)
    }

    /// Whether certbound builds paths itself, with whatever intermediates it is told.
    fn builds_paths(&self) -> bool {
        let is_built = |client: &Client| {
            matches!(client.method, ClientAuthMethod::TlsClientAuth(_, Trust::Anchors(_)))
        };
        !self.config.trust_anchors.is_empty()
            && (self.config.clients.values().any(is_built)
                || self.config.unregistered_clients == UnregisteredClients::Forward)
    }

    /// Whether the server is to verify one of these components; a JWS always says for which host and path it is.
    fn signs_any_of(&self, components: &[&str]) -> bool {
        let Some(signature) = &self.config.signature else { return false };
        let message_signature = signature.http_message_signature.as_ref();
        signature.jws.is_some()
            || message_signature
                .is_some_and(|signature| components.iter().any(|name| signature.covers(name)))
    }
}

/// Where all clusters are in the file, those that certbound calls must be.
fn missing_clusters(bootstrap: &Message<'_>, configured: &Configured<'_>) -> Vec<Finding> {
    let is_dynamic = bootstrap.message("dynamic_resources").is_some_and(|resources| {
        ["ads_config", "cds_config", "cds_resources_locator"]
            .iter()
            .any(|key| resources.get(key).is_some())
    });
    let Some(resources) = bootstrap.message("static_resources").filter(|_| !is_dynamic) else {
        return Vec::new();
    };
    let clusters = resources.messages("clusters");
    let written = Message::new(configured.path, configured.written);
    let protected = written.map(|written| written.messages("protected_resources"));
    let introspections = protected.into_iter().flatten();
    let introspections = introspections.filter_map(|resource| resource.message("introspection"));
    introspections
        .filter_map(|introspection| {
            let name = introspection.text("cluster")?;
            let is_there = clusters.iter().any(|cluster| cluster.text("name") == Some(name));
            let message = format!(
                "`{name}` is none of static_resources.clusters, so that every token here is refused: write one of them"
            );
            (!is_there).then(|| Finding::new(&join(&introspection.path, "cluster"), message))
        })
        .collect()
}
