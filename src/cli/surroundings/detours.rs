//! Ways past the filter, in the file that it stands in: requests that Envoy hands to the same servers without certbound,
//! whose senders can write every certificate header.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{CONNECTION_MANAGER, Configured, is_listener, routes};
use crate::cli::{bootstrap, configuration::Finding, message::Message};

const MATCHER: &str = "envoy.extensions.common.matching.v3.ExtensionWithMatcher";
const TCP_PROXY: &str = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";

/// `manager` is what the filter is in, `within` what it is in there, and `place` all that it is in, the nearest last.
pub(super) fn warnings(
    manager: &Message<'_>,
    place: &[Message<'_>],
    within: &[Message<'_>],
    configured: Option<&Configured<'_>>,
) -> Vec<Finding> {
    let mut warnings = Vec::new();
    if let Some(matcher) = within.iter().find_map(|message| message.unpacked(MATCHER)) {
        warnings.push(Finding::new(
            &matcher.path,
            "certbound must not depend on a matcher: requests that it skips pass certbound by, with whatever certificate header \
             their senders wrote; certbound leaves requests elsewhere than at its endpoints alone but for these headers",
        ));
    }
    for upgrade in manager.messages("upgrade_configs") {
        if !upgrade.is_empty_list("filters") && lacks_certbound(upgrade.get("filters")) {
            warnings.push(Finding::new(
                &upgrade.at("filters"),
                "requests that ask for this upgrade, at whatever path, pass certbound by, with whatever certificate header their \
                 senders wrote: put certbound here too, or remove these filters",
            ));
        }
    }
    let Some(configured) = configured else { return warnings };
    let servers = routes::clusters_of_endpoints(manager, configured);
    let chains = listeners(place).into_iter().flat_map(|listener| {
        let default = listener.message("default_filter_chain");
        listener.messages("filter_chains").into_iter().chain(default)
    });
    let filters = chains.flat_map(|chain| chain.messages("filters"));
    let others = filters.filter_map(|filter| filter.message("typed_config"));
    warnings.extend(others.filter_map(|other| detour(&other, &servers, configured)));
    warnings
}

/// A network filter that leads to one of the servers without certbound.
fn detour(
    other: &Message<'_>,
    servers: &BTreeSet<&str>,
    configured: &Configured<'_>,
) -> Option<Finding> {
    let (path, server) = if let Some(manager) = other.unpacked(CONNECTION_MANAGER) {
        if !lacks_certbound(manager.get("http_filters")) {
            return None;
        }
        let clusters = routes::clusters_of_endpoints(&manager, configured);
        (manager.at("http_filters"), clusters.into_iter().find(|name| servers.contains(name))?)
    } else {
        let proxy = other.unpacked(TCP_PROXY)?;
        (proxy.at("cluster"), proxy.text("cluster").filter(|name| servers.contains(name))?)
    };
    let message = format!(
        "requests for endpoints get to `{server}` by here without certbound, with whatever certificate header their senders wrote: \
         put certbound here too, or lead them elsewhere"
    );
    Some(Finding::new(&path, message))
}

/// Whether certbound is certainly not among HTTP filters: one that is delivered (ECDS) may be it.
fn lacks_certbound(filters: Option<&Value>) -> bool {
    let is_delivered = |filter: &Value| {
        Message::new("", filter).is_some_and(|filter| filter.get("config_discovery").is_some())
    };
    filters.is_none_or(|filters| {
        !bootstrap::is_among(filters) && !filters.as_array().into_iter().flatten().any(is_delivered)
    })
}

/// The listeners beside that of the filter, and that itself: of a bootstrap, a dump of what runs, or a file for LDS.
fn listeners<'a>(enclosing: &[Message<'a>]) -> Vec<Message<'a>> {
    const LISTS: [&str; 4] = ["listeners", "static_listeners", "dynamic_listeners", "resources"];
    let has_list = |message: &&Message<'_>| LISTS.iter().any(|list| !message.is_empty_list(list));
    let Some(holder) = enclosing.iter().rev().find(has_list) else {
        return enclosing.iter().rev().find(is_listener).cloned().into_iter().collect();
    };
    let listeners = LISTS.iter().flat_map(|list| holder.messages(list));
    listeners
        .map(|listener| {
            let state = listener.message("active_state").unwrap_or(listener);
            state.message("listener").unwrap_or(state)
        })
        .collect()
}
