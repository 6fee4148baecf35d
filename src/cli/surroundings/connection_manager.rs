//! The HTTP connection manager that the filter is in, and the filters beside it.

use certbound::{
    config::{CertificateSource, TokenSource},
    endpoint::PathMatch,
};

use super::{
    Configured,
    routes::{self, Destination},
};
use crate::cli::{
    configuration::Finding,
    message::{Message, join},
};

const JWT_AUTHN: &str = "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication";

/// `entry` is the filter's own in `http_filters`.
pub(super) fn warnings(
    manager: &Message<'_>,
    entry: Option<&Message<'_>>,
    configured: Option<&Configured<'_>>,
) -> Vec<Finding> {
    let mut warnings = Vec::new();
    warnings.extend(forwarded_client_cert(manager, configured));
    if manager.text("request_timeout").is_none_or(is_no_time) {
        warnings.push(Finding::new(
            &manager.at("request_timeout"),
            "must be there: a request that certbound holds while it crashes would hang; write for example 10s",
        ));
    }
    if let Some(configured) = configured {
        warnings.extend(other_spellings(manager, configured));
        let http2 = manager.message("http2_protocol_options");
        warnings.extend(
            http2.and_then(|http2| small_buffer(&http2, "initial_stream_window_size", configured)),
        );
    }
    if let Some(entry) = entry {
        warnings.extend(optional_or_disabled(entry));
        warnings.extend(
            configured.into_iter().flat_map(|configured| jwt_authn(manager, entry, configured)),
        );
        let name = entry.text("name").unwrap_or_default();
        warnings.extend(routes::warnings(manager, name, configured));
    }
    warnings
}

/// A protobuf duration that is none.
fn is_no_time(duration: &str) -> bool {
    duration.trim_end_matches('s').bytes().all(|byte| matches!(byte, b'0' | b'.'))
}

/// A limit of Envoy's on what is held, if it is below certbound's own.
pub(super) fn small_buffer(
    of: &Message<'_>,
    key: &str,
    configured: &Configured<'_>,
) -> Option<Finding> {
    let bytes = of.number(key)?;
    let limit = configured.config.max_body_bytes;
    (bytes < u64::try_from(limit).unwrap_or(u64::MAX)).then(|| {
        let message = format!(
            "is less than certbound's `limits.max_body_bytes`, so that Envoy ends requests in between, without an OAuth error: \
             write at least {limit}, or lower that"
        );
        Finding::new(&of.at(key), message)
    })
}

fn forwarded_client_cert(
    manager: &Message<'_>,
    configured: Option<&Configured<'_>>,
) -> Option<Finding> {
    const KEY: &str = "forward_client_cert_details";
    const LETTING_IN: [(&str, u8); 3] =
        [("FORWARD_ONLY", 1), ("APPEND_FORWARD", 2), ("ALWAYS_FORWARD_ONLY", 4)];
    let is_set = manager.is(KEY, ("SANITIZE_SET", 3));
    let details = manager.message("set_current_client_cert_details");
    let tells = |detail| is_set && details.as_ref().is_some_and(|details| details.is_true(detail));
    let warn = |key, message: String| Some(Finding::new(&manager.at(key), message));
    let is_source = |configured: &Configured<'_>| {
        configured.config.certificate_source == CertificateSource::Xfcc
    };
    if configured.is_some_and(is_source) {
        if !is_set {
            return warn(
                KEY,
                "must be SANITIZE_SET: with `certificate_source: xfcc` certbound has the certificate from \
                 x-forwarded-client-cert, which only then is Envoy's own, and refuses it else; with it goes \
                 `set_current_client_cert_details: { cert: true, chain: true }`"
                    .into(),
            );
        }
        if !tells("cert") {
            return warn(
                "set_current_client_cert_details",
                "must be `{ cert: true, chain: true }`: with `certificate_source: xfcc` certbound has the certificate from there, \
                 and refuses every client that presents one without"
                    .into(),
            );
        }
    } else if let Some((word, _)) = LETTING_IN.iter().find(|value| manager.is(KEY, **value)) {
        return warn(
            KEY,
            format!(
                "{word} lets clients write x-forwarded-client-cert, from where certbound would have the intermediates that they \
                 presented: write SANITIZE_SET, and `set_current_client_cert_details: {{ chain: true }}`"
            ),
        );
    }
    if configured.is_some_and(Configured::builds_paths) && !tells("chain") {
        let key = if is_set { "set_current_client_cert_details" } else { KEY };
        return warn(
            key,
            "certbound does not see the intermediates that clients present, and refuses clients whose CA is not itself a trust \
             anchor or one of its `intermediates`: write `forward_client_cert_details: SANITIZE_SET` and \
             `set_current_client_cert_details: { chain: true }`"
                .into(),
        );
    }
    None
}

/// Paths that some servers take for an endpoint's, and certbound does not, if they get as far as a server.
fn other_spellings(manager: &Message<'_>, configured: &Configured<'_>) -> Vec<Finding> {
    let exact: Vec<&str> = configured
        .config
        .endpoints
        .iter()
        .filter_map(|endpoint| match &endpoint.path {
            PathMatch::Exact(path) => Some(path.as_str()),
            PathMatch::Prefix(_) => None,
        })
        .collect();
    let forwarded = |spelling: &dyn Fn(&str) -> Option<String>| {
        let spellings = exact.iter().filter_map(|path| spelling(path));
        let mut forwarded = spellings.filter(|spelling| {
            routes::destinations(manager, spelling)
                .iter()
                .any(|destination| matches!(destination, Destination::Cluster(_)))
        });
        forwarded.next()
    };
    let last_slash = |with: &'static str| {
        move |path: &str| path.rsplit_once('/').map(|(start, end)| format!("{start}{with}{end}"))
    };
    let mut warnings = Vec::new();
    if !manager.is_true("merge_slashes")
        && let Some(spelling) = forwarded(&last_slash("//"))
    {
        let message = format!(
            "servers that merge slashes take {spelling}, which the routes let through, for an endpoint, where certbound decides \
             nothing: write true"
        );
        warnings.push(Finding::new(&manager.at("merge_slashes"), message));
    }
    const ESCAPED: &str = "path_with_escaped_slashes_action";
    let lets_through = manager.get(ESCAPED).is_none()
        || [("IMPLEMENTATION_SPECIFIC_DEFAULT", 0), ("KEEP_UNCHANGED", 1)]
            .iter()
            .any(|value| manager.is(ESCAPED, *value));
    let escaped = |path: &str| last_slash("%2F")(path).filter(|path| !path.starts_with('%'));
    if lets_through && let Some(spelling) = forwarded(&escaped) {
        let message = format!(
            "servers that decode slashes take {spelling}, which the routes let through, for an endpoint, where certbound decides \
             nothing: write REJECT_REQUEST"
        );
        warnings.push(Finding::new(&manager.at(ESCAPED), message));
    }
    warnings
}

fn optional_or_disabled(entry: &Message<'_>) -> Vec<Finding> {
    let mut warnings = Vec::new();
    for (key, message) in [
        (
            "is_optional",
            "must not be true: an Envoy without Wasm would start without certbound, and requests would pass with whatever \
             certificate header their senders wrote",
        ),
        (
            "disabled",
            "must not be true: requests pass certbound by, with whatever certificate header their senders wrote, unless their \
             route enables it",
        ),
    ] {
        if entry.is_true(key) {
            warnings.push(Finding::new(&entry.at(key), message));
        }
    }
    warnings
}

fn verifier<'a>(filter: &Message<'a>) -> Option<Message<'a>> {
    filter.message("typed_config").and_then(|config| config.unpacked(JWT_AUTHN))
}

/// Envoy's filter that verifies tokens must have done so when certbound looks for the payload.
fn jwt_authn(
    manager: &Message<'_>,
    own: &Message<'_>,
    configured: &Configured<'_>,
) -> Vec<Finding> {
    let filters = manager.messages("http_filters");
    let Some(position) = filters.iter().position(|filter| filter.path == own.path) else {
        return Vec::new();
    };
    let (before, after) = filters.split_at(position);
    // What is delivered (ECDS) may be one.
    if before.iter().any(|filter| filter.get("config_discovery").is_some()) {
        return Vec::new();
    }
    let verifiers: Vec<Message<'_>> = before.iter().filter_map(verifier).collect();
    let misplaced = after.iter().find(|filter| verifier(filter).is_some());
    let providers: Vec<Message<'_>> = verifiers
        .iter()
        .filter_map(|verifier| verifier.message("providers"))
        .flat_map(|providers| {
            let at = &providers.path;
            let provider = |(name, value): (&String, _)| Message::new(join(at, name), value);
            providers.fields.iter().filter_map(provider).collect::<Vec<_>>()
        })
        .collect();
    let mut warnings = Vec::new();
    for (index, resource) in configured.config.protected_resources.iter().enumerate() {
        let TokenSource::JwtAuthn { payload_in_metadata } = &resource.token else { continue };
        let resource = format!("protected_resources[{index}]");
        if verifiers.is_empty() {
            let (path, message) = match misplaced {
                Some(filter) => (
                    filter.path.clone(),
                    "jwt_authn comes after certbound, which needs the payload that it verified: move it before",
                ),
                None => (
                    join(configured.path, &format!("{resource}.token")),
                    "no jwt_authn filter is before certbound, so that every token here is refused: add one, or write another \
                     `token`",
                ),
            };
            warnings.push(Finding::new(&path, message));
            break;
        }
        let is_told = |provider: &Message<'_>| {
            provider.text("payload_in_metadata") == Some(payload_in_metadata)
        };
        if let Some(first) = providers.first()
            && !providers.iter().any(is_told)
        {
            warnings.push(Finding::new(
                &first.at("payload_in_metadata"),
                format!(
                    "certbound looks for the verified payload under `{payload_in_metadata}`, and no provider leaves it there, so \
                     that every token is refused: write `payload_in_metadata: {payload_in_metadata}`"
                ),
            ));
            break;
        }
    }
    warnings
}
