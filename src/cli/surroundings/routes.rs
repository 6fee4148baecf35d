//! The routes by which requests go on, where they stand in the connection manager itself.

use std::collections::BTreeSet;

use certbound::{
    config::Enforcement,
    endpoint::{Endpoint, PathMatch},
};
use regex_lite::Regex;
use serde_json::Value;

use super::Configured;
use crate::cli::{configuration::Finding, message::Message};

const FILTER_CONFIG: &str = "envoy.config.route.v3.FilterConfig";

/// What becomes of a path at a virtual host.
pub(super) enum Destination<'a> {
    /// It goes to a server by this route.
    Cluster(Message<'a>),
    /// It goes nowhere, or the file does not tell.
    Elsewhere,
}

/// What becomes of a path, at each virtual host.
pub(super) fn destinations<'a>(manager: &Message<'a>, path: &str) -> Vec<Destination<'a>> {
    virtual_hosts(manager).iter().map(|host| destination(host, path)).collect()
}

/// `name` is the filter's.
pub(super) fn warnings(
    manager: &Message<'_>,
    name: &str,
    configured: Option<&Configured<'_>>,
) -> Vec<Finding> {
    let mut warnings = Vec::new();
    let configurations = manager.message("route_config");
    let hosts = virtual_hosts(manager);
    let routes: Vec<Message<'_>> = hosts.iter().flat_map(|host| host.messages("routes")).collect();
    let shares: Vec<Message<'_>> = routes.iter().flat_map(shares).collect();
    let levels = || configurations.iter().chain(&hosts).chain(&routes).chain(&shares);
    warnings.extend(levels().filter_map(|level| disabled(level, name)));
    let Some(configured) = configured else { return warnings };
    warnings.extend(levels().flat_map(|level| written_over(level, configured)));
    for host in &hosts {
        let mut seen: Vec<String> = Vec::new();
        for path in configured.config.endpoints.iter().flat_map(paths) {
            let Destination::Cluster(route) = destination(host, &path) else { continue };
            if !seen.contains(&route.path) {
                warnings.extend(unverifiable(host, &route, configured));
                seen.push(route.path);
            }
        }
    }
    warnings
}

fn virtual_hosts<'a>(manager: &Message<'a>) -> Vec<Message<'a>> {
    let configuration = manager.message("route_config");
    configuration.map(|configuration| configuration.messages("virtual_hosts")).unwrap_or_default()
}

/// The clusters among which a route divides its requests, each with settings of its own.
fn shares<'a>(route: &Message<'a>) -> Vec<Message<'a>> {
    let weighted = route.message("route").and_then(|action| action.message("weighted_clusters"));
    weighted.map(|weighted| weighted.messages("clusters")).unwrap_or_default()
}

/// Every cluster to which requests for an endpoint may go.
pub(super) fn clusters_of_endpoints<'a>(
    manager: &Message<'a>,
    configured: &Configured<'_>,
) -> BTreeSet<&'a str> {
    let mut clusters = BTreeSet::new();
    for host in virtual_hosts(manager) {
        for path in configured.config.endpoints.iter().flat_map(paths) {
            for route in host.messages("routes") {
                let takes = takes(&route, &path);
                if takes == Some(false) {
                    continue;
                }
                let action = route.message("route");
                clusters.extend(action.and_then(|action| action.text("cluster")));
                clusters.extend(shares(&route).iter().filter_map(|share| share.text("name")));
                if takes == Some(true) {
                    break;
                }
            }
        }
    }
    clusters
}

/// Paths of an endpoint: its only one, or two of all that begin alike.
fn paths(endpoint: &Endpoint) -> Vec<String> {
    match &endpoint.path {
        PathMatch::Exact(path) => vec![path.clone()],
        PathMatch::Prefix(prefix) => vec![prefix.clone(), format!("{prefix}x")],
    }
}

/// The route that takes a path for certain.
fn destination<'a>(host: &Message<'a>, path: &str) -> Destination<'a> {
    for route in host.messages("routes") {
        match takes(&route, path) {
            Some(false) => {}
            Some(true) if route.get("route").is_some() => return Destination::Cluster(route),
            Some(true) | None => break,
        }
    }
    Destination::Elsewhere
}

/// Whether a route is for a path; `None` if that depends on more, or on what is not read here.
fn takes(route: &Message<'_>, path: &str) -> Option<bool> {
    let Some(condition) = route.message("match") else { return Some(false) };
    let is_path = takes_path(&condition, path)?;
    let conditions = [
        "dynamic_metadata",
        "filter_state",
        "grpc",
        "headers",
        "query_parameters",
        "runtime_fraction",
        "tls_context",
    ];
    match is_path {
        true if conditions.iter().any(|key| condition.get(key).is_some()) => None,
        _ => Some(is_path),
    }
}

fn takes_path(condition: &Message<'_>, path: &str) -> Option<bool> {
    if let Some(regex) = condition.message("safe_regex") {
        return matches_fully(regex.text("regex")?, path);
    }
    let ignores_case = condition.get("case_sensitive") == Some(&Value::Bool(false));
    let fold = |text: &str| if ignores_case { text.to_ascii_lowercase() } else { text.to_owned() };
    let path = fold(path);
    let text = |key| condition.text(key).map(fold);
    if let Some(exact) = text("path") {
        Some(path == exact)
    } else if let Some(prefix) = text("prefix") {
        Some(path.starts_with(&prefix))
    } else {
        let rest = path.strip_prefix(&text("path_separated_prefix")?);
        Some(rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }
}

/// Whether a regular expression is for all of a path, as Envoy has it; `None` if it cannot be read here.
fn matches_fully(regex: &str, path: &str) -> Option<bool> {
    // By itself first: an unbalanced parenthesis must not find its other half in the anchors.
    Regex::new(regex).ok()?;
    Some(Regex::new(&format!(r"\A(?:{regex})\z")).ok()?.is_match(path))
}

/// A configuration for a route that turns the filter off there.
fn disabled(level: &Message<'_>, name: &str) -> Option<Finding> {
    let own = level.message("typed_per_filter_config")?.message(name)?;
    let filter = own.unpacked(FILTER_CONFIG)?;
    filter.is_true("disabled").then(|| {
        Finding::new(
            &filter.at("disabled"),
            "must not be true: requests pass certbound by here, with whatever certificate header their senders wrote; certbound \
             leaves requests elsewhere than at its endpoints alone but for these headers",
        )
    })
}

/// A header of certbound's that Envoy writes after all filters, for whichever certificate. That is how to introduce
/// certbound (docs/rollout.md), and over once it decides.
fn written_over(level: &Message<'_>, configured: &Configured<'_>) -> Vec<Finding> {
    let config = configured.config;
    if config.enforcement == Enforcement::Report {
        return Vec::new();
    }
    let is_own = |name: &str| {
        let others = config.thumbprint_header.iter().chain(&config.client_id_header);
        let mut own = config.certificate_header.names().chain(others.map(String::as_str));
        own.any(|own| own.eq_ignore_ascii_case(name))
    };
    let added = level.messages("request_headers_to_add");
    let headers = added.iter().filter_map(|added| added.message("header"));
    headers
        .filter(|header| header.text("key").is_some_and(is_own))
        .map(|header| {
            Finding::new(
                &header.at("key"),
                "Envoy writes this header after certbound, also for clients that certbound did not authenticate, and the server \
                 takes it for certbound's: remove it here",
            )
        })
        .collect()
}

/// What a route of an endpoint does to requests so that the server refuses their signature.
fn unverifiable(
    host: &Message<'_>,
    route: &Message<'_>,
    configured: &Configured<'_>,
) -> Vec<Finding> {
    const AUTHORITY: [&str; 2] = ["@authority", "@target-uri"];
    const PATH: [&str; 3] = ["@path", "@request-target", "@target-uri"];
    let Some(action) = route.message("route") else { return Vec::new() };
    let mut warnings = Vec::new();
    let mut rewrites = |keys: &[&str], components: &[&str], what: &str| {
        let is_rewriting = |key: &&&str| {
            action.get(key).is_some_and(|value| *value != Value::Bool(false) && *value != "")
        };
        if let Some(key) = keys.iter().find(is_rewriting)
            && configured.signs_any_of(components)
        {
            let message = format!(
                "the server cannot verify the signature, which covers the {what} that the client wrote: remove this, or have the \
                 server verify with that {what}"
            );
            warnings.push(Finding::new(&action.at(key), message));
        }
    };
    rewrites(
        &[
            "auto_host_rewrite",
            "host_rewrite",
            "host_rewrite_header",
            "host_rewrite_literal",
            "host_rewrite_path_regex",
        ],
        &AUTHORITY,
        "host",
    );
    rewrites(&["path_rewrite_policy", "prefix_rewrite", "regex_rewrite"], &PATH, "path");
    if configured.config.signature.is_some() {
        let retries = [&action, host].into_iter().find_map(|level| {
            level.message("retry_policy").map(|policy| (level.at("retry_policy"), policy))
        });
        if let Some((path, policy)) = retries
            && repeats_what_the_server_has(&policy)
        {
            warnings.push(Finding::new(
                &path,
                "the server accepts a signed request once, and refuses it when Envoy sends it again: retry on connect-failure and \
                 refused-stream only",
            ));
        }
        if !action.is_empty_list("request_mirror_policies") {
            warnings.push(Finding::new(
                &action.at("request_mirror_policies"),
                "another server gets the same signed request, which it can send on to the one it is for: remove this",
            ));
        }
    }
    warnings
}

/// Whether requests are tried again of which the server may have seen the first try.
fn repeats_what_the_server_has(policy: &Message<'_>) -> bool {
    let causes = policy.text("retry_on").unwrap_or_default().split(',').map(str::trim);
    let mut causes = causes.filter(|cause| !cause.is_empty());
    causes.any(|cause| {
        !matches!(cause, "connect-failure" | "refused-stream" | "reset-before-request")
    })
}
