//! `certbound check` on what surrounds the filter in Envoy's configuration, and on what ceases to be valid.

use demo_pki::{CertificateTemplate, CrlTemplate, Identity, Key, Validity};
use serde_json::{Value, json};

use super::{ENVOY_YAML, PKI, certbound, certbound_with, check, configuration, file, paths, with};

const MANAGER: &str = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config";
const TLS: &str = "static_resources.listeners[0].filter_chains[0].transport_socket.typed_config";

fn of_type(name: &str) -> String {
    format!("type.googleapis.com/envoy.{name}")
}

/// A bootstrap without fault around a configuration of certbound.
fn bootstrap(configuration: &Value) -> Value {
    json!({ "static_resources": {
        "listeners": [{
            "name": "clients",
            "per_connection_buffer_limit_bytes": 131_072,
            "filter_chains": [{
                "transport_socket": { "name": "envoy.transport_sockets.tls", "typed_config": {
                    "@type": of_type("extensions.transport_sockets.tls.v3.DownstreamTlsContext"),
                    "common_tls_context": {
                        "tls_params": { "signature_algorithms": ["ecdsa_secp256r1_sha256", "ed25519"] },
                        "validation_context": { "trust_chain_verification": "ACCEPT_UNTRUSTED" },
                    },
                } },
                "filters": [{ "name": "http", "typed_config": {
                    "@type": of_type("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
                    "forward_client_cert_details": "SANITIZE_SET",
                    "set_current_client_cert_details": { "cert": true, "chain": true },
                    "merge_slashes": true,
                    "path_with_escaped_slashes_action": "REJECT_REQUEST",
                    "request_timeout": "10s",
                    "http2_protocol_options": { "initial_stream_window_size": 131_072 },
                    "http_filters": [
                        { "name": "jwt", "typed_config": {
                            "@type": of_type("extensions.filters.http.jwt_authn.v3.JwtAuthentication"),
                            "providers": { "as": { "payload_in_metadata": "jwt_payload" } },
                        } },
                        { "name": "front", "typed_config": {
                            "@type": of_type("extensions.filters.http.wasm.v3.Wasm"),
                            "config": {
                                "allow_on_headers_stop_iteration": true,
                                "configuration": {
                                    "@type": "type.googleapis.com/google.protobuf.Struct",
                                    "value": configuration,
                                },
                            },
                        } },
                        { "name": "router" },
                    ],
                    "route_config": { "virtual_hosts": [{ "domains": ["*"], "routes": [
                        { "match": { "path": "/static" }, "direct_response": { "status": 200 } },
                        { "match": { "prefix": "/" }, "route": { "cluster": "server" } },
                    ] }] },
                } }],
            }],
        }],
        "clusters": [{ "name": "server" }],
    } })
}

/// With everything that anything around the filter matters to.
fn rich() -> Value {
    let mut rich = anchored();
    rich["clients"][1]["jwks"] = json!({ "keys": [Key::ed25519("partner").to_jwk()] });
    rich["signature"] = json!({
        "http_message_signature": {},
        "keys": [{ "kid": "1", "alg": "hmac-sha256", "key": { "value": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" } }],
    });
    rich["protected_resources"] = json!([
        { "path_prefix": "/api/", "token": "jwt_authn" },
        { "path_prefix": "/opaque/", "token": "introspection", "introspection": {
            "cluster": "server", "path": "/introspect", "authority": "as", "client_id": "a",
            "client_secret": { "value": "secret" },
        } },
    ]);
    rich
}

fn anchored() -> Value {
    let anchors = json!({ "ca": { "certificates": PKI.get("client-ca").certificate_pem() } });
    with(configuration(), "trust_anchors", anchors)
}

fn without(configuration: Value, key: &str) -> Value {
    let mut configuration = configuration;
    configuration.as_object_mut().unwrap().remove(key);
    configuration
}

fn warnings(name: &str, document: &Value) -> Vec<String> {
    let run = check(&format!("envoy-{name}.json"), document.to_string());
    assert_eq!(run.status, 0, "{name}: {}", run.output);
    paths(&run, "warnings")
}

/// A JSON pointer to where a path leads.
fn pointer(path: &str) -> String {
    format!("/{}", path.replace('[', "/").replace(']', "").replace('.', "/"))
}

/// The bootstrap with other values at some paths; `null` removes.
fn changed(mut document: Value, changes: &[(&str, Value)]) -> Value {
    for (path, value) in changes {
        let (parent, key) = path.rsplit_once('.').unwrap();
        let parent = document.pointer_mut(&pointer(parent)).unwrap_or_else(|| panic!("{path}"));
        if value.is_null() {
            parent.as_object_mut().unwrap().remove(key);
        } else {
            parent[key] = value.clone();
        }
    }
    document
}

/// Makes paths short: `tls`, `http` and `route` stand for what is long.
fn full(path: &str) -> String {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    match first {
        "chain" => format!("static_resources.listeners[0].filter_chains[0].{rest}"),
        "common" => format!("{TLS}.common_tls_context.{rest}"),
        "config" => {
            format!("{MANAGER}.http_filters[1].typed_config.config.configuration.value.{rest}")
        }
        "http" => format!("{MANAGER}.{rest}"),
        "host" => format!("{MANAGER}.route_config.virtual_hosts[0].{rest}"),
        "listener" => format!("static_resources.listeners[0].{rest}"),
        "route" => format!("{MANAGER}.route_config.virtual_hosts[0].routes[1].route.{rest}"),
        "tls" => format!("{TLS}.{rest}"),
        _ => path.to_owned(),
    }
}

#[test]
fn nothing_is_said_of_an_envoy_that_suits_the_filter() {
    assert_eq!(warnings("sound", &bootstrap(&rich())), [""; 0]);
    assert_eq!(warnings("plain", &bootstrap(&anchored())), [""; 0]);
}

/// Each change makes a sound bootstrap one that is not, at that path.
#[test]
fn what_does_not_suit_the_filter_is_named() {
    let validation = |context: Value| vec![("common.validation_context", context)];
    let routes = |match_: Value, route: Value| {
        vec![("host.routes", json!([{ "match": match_, "route": route }]))]
    };
    let to_server = || json!({ "cluster": "server" });
    let regex = |regex: &str, key: &str| {
        let matched = json!({ "safe_regex": { "regex": regex } });
        routes(matched, with(to_server(), key, "/a".into()))
    };
    let cases: Vec<(Vec<(&str, Value)>, &str)> = vec![
        (vec![("chain.transport_socket", Value::Null)], "chain.transport_socket"),
        (
            vec![(
                "chain.transport_socket",
                json!({ "typed_config": { "@type": of_type("extensions.transport_sockets.raw_buffer.v3.RawBuffer") } }),
            )],
            "chain.transport_socket",
        ),
        (validation(Value::Null), "common.validation_context"),
        (validation(json!({ "crl": {} })), "common.validation_context"),
        (
            vec![
                ("common.validation_context", Value::Null),
                ("tls.require_client_certificate", true.into()),
            ],
            "common.validation_context",
        ),
        (
            validation(json!({ "trusted_ca": { "filename": "ca.pem" } })),
            "common.validation_context.trust_chain_verification",
        ),
        (vec![("tls.require_client_certificate", true.into())], "tls.require_client_certificate"),
        (
            vec![(
                "common.tls_params",
                json!({ "signature_algorithms": ["ecdsa_secp256r1_sha256"] }),
            )],
            "common.tls_params.signature_algorithms",
        ),
        (vec![("common.tls_params", Value::Null)], "common.tls_params"),
        (
            vec![("http.forward_client_cert_details", Value::Null)],
            "http.forward_client_cert_details",
        ),
        (
            vec![("http.forward_client_cert_details", "SANITIZE".into())],
            "http.forward_client_cert_details",
        ),
        (
            vec![("http.forward_client_cert_details", "FORWARD_ONLY".into())],
            "http.forward_client_cert_details",
        ),
        (
            vec![("http.forward_client_cert_details", "APPEND_FORWARD".into())],
            "http.forward_client_cert_details",
        ),
        (vec![("http.forward_client_cert_details", 4.into())], "http.forward_client_cert_details"),
        (
            vec![("http.set_current_client_cert_details", json!({ "cert": true }))],
            "http.set_current_client_cert_details",
        ),
        (vec![("http.request_timeout", Value::Null)], "http.request_timeout"),
        (vec![("http.request_timeout", "0s".into())], "http.request_timeout"),
        (vec![("http.merge_slashes", Value::Null)], "http.merge_slashes"),
        (
            vec![("http.path_with_escaped_slashes_action", Value::Null)],
            "http.path_with_escaped_slashes_action",
        ),
        (
            vec![("http.path_with_escaped_slashes_action", "KEEP_UNCHANGED".into())],
            "http.path_with_escaped_slashes_action",
        ),
        (
            vec![("http.http2_protocol_options.initial_stream_window_size", 65_535.into())],
            "http.http2_protocol_options.initial_stream_window_size",
        ),
        (
            vec![("listener.per_connection_buffer_limit_bytes", 32_768.into())],
            "listener.per_connection_buffer_limit_bytes",
        ),
        (vec![("http.http_filters[1].disabled", true.into())], "http.http_filters[1].disabled"),
        (
            vec![("http.http_filters[1].is_optional", true.into())],
            "http.http_filters[1].is_optional",
        ),
        (
            vec![("http.http_filters[0].typed_config", Value::Null)],
            "config.protected_resources[0].token",
        ),
        (
            vec![(
                "http.http_filters[0].typed_config.providers.as.payload_in_metadata",
                "claims".into(),
            )],
            "http.http_filters[0].typed_config.providers.as.payload_in_metadata",
        ),
        (
            vec![(
                "host.typed_per_filter_config",
                json!({ "front": {
                "@type": of_type("config.route.v3.FilterConfig"), "disabled": true } }),
            )],
            "host.typed_per_filter_config.front.disabled",
        ),
        (
            vec![(
                "host.routes[0].typed_per_filter_config",
                json!({ "front": {
                "@type": of_type("config.route.v3.FilterConfig"), "disabled": true } }),
            )],
            "host.routes[0].typed_per_filter_config.front.disabled",
        ),
        (vec![("route.host_rewrite_literal", "as.internal".into())], "route.host_rewrite_literal"),
        (vec![("route.auto_host_rewrite", true.into())], "route.auto_host_rewrite"),
        (vec![("route.prefix_rewrite", "/v2/".into())], "route.prefix_rewrite"),
        (vec![("route.regex_rewrite", json!({}))], "route.regex_rewrite"),
        (
            vec![("route.retry_policy", json!({ "retry_on": "connect-failure,5xx" }))],
            "route.retry_policy",
        ),
        (vec![("host.retry_policy", json!({ "retry_on": "gateway-error" }))], "host.retry_policy"),
        (
            vec![("route.request_mirror_policies", json!([{ "cluster": "shadow" }]))],
            "route.request_mirror_policies",
        ),
        (
            routes(
                json!({ "path": "/oauth/token" }),
                with(to_server(), "prefix_rewrite", "/token".into()),
            ),
            "host.routes[0].route.prefix_rewrite",
        ),
        (
            routes(
                json!({ "path_separated_prefix": "/OAuth", "case_sensitive": false }),
                with(to_server(), "host_rewrite_header", "x-host".into()),
            ),
            "host.routes[0].route.host_rewrite_header",
        ),
        (
            regex("/oauth/(token|revocation)", "host_rewrite_literal"),
            "host.routes[0].route.host_rewrite_literal",
        ),
        (regex("(?i)/OAUTH/TOKEN", "prefix_rewrite"), "host.routes[0].route.prefix_rewrite"),
        // Of an endpoint by its prefix, that itself or only what comes behind it.
        (regex("/oauth/device/", "prefix_rewrite"), "host.routes[0].route.prefix_rewrite"),
        (regex(r"/oauth/device/\w+", "prefix_rewrite"), "host.routes[0].route.prefix_rewrite"),
        (
            vec![("static_resources.clusters", json!([{ "name": "other" }]))],
            "config.protected_resources[1].introspection.cluster",
        ),
    ];
    for (index, (changes, path)) in cases.iter().enumerate() {
        let changes: Vec<(String, Value)> =
            changes.iter().map(|(path, value)| (full(path), value.clone())).collect();
        let changes: Vec<(&str, Value)> =
            changes.iter().map(|(path, value)| (path.as_str(), value.clone())).collect();
        let document = changed(bootstrap(&rich()), &changes);
        assert_eq!(warnings(&format!("named-{index}"), &document), [full(path)], "{changes:?}");
    }
}

/// What is different, and suits the filter as well, or is not told by the file.
#[test]
fn nothing_is_said_of_what_is_right_or_unknown() {
    let by_sds = json!({ "name": "clients" });
    let match_ = |condition: Value| json!([{ "match": condition, "route": { "cluster": "server", "host_rewrite_literal": "a" } }]);
    let cases: Vec<Vec<(&str, Value)>> = vec![
        vec![("chain.transport_socket", json!({ "name": "some.vendors.tls" }))],
        vec![
            ("common.validation_context", Value::Null),
            ("common.validation_context_sds_secret_config", by_sds.clone()),
        ],
        vec![
            ("common.validation_context", Value::Null),
            (
                "common.combined_validation_context",
                json!({
                    "default_validation_context": { "trust_chain_verification": "ACCEPT_UNTRUSTED" },
                    "validation_context_sds_secret_config": by_sds,
                }),
            ),
        ],
        vec![("common.validation_context", json!({ "trustChainVerification": 1 }))],
        vec![("tls.require_client_certificate", false.into())],
        vec![("http.forward_client_cert_details", 3.into())],
        vec![("http.request_timeout", "0.5s".into())],
        // Nobody but the exact endpoint gets to the server.
        vec![
            ("http.merge_slashes", Value::Null),
            ("http.path_with_escaped_slashes_action", Value::Null),
            (
                "host.routes",
                json!([{ "match": { "path": "/oauth/token" }, "route": { "cluster": "server" } }]),
            ),
        ],
        vec![
            ("http.merge_slashes", Value::Null),
            ("http.path_with_escaped_slashes_action", Value::Null),
            ("http.route_config", Value::Null),
            ("http.rds", json!({ "route_config_name": "elsewhere" })),
        ],
        vec![("listener.per_connection_buffer_limit_bytes", Value::Null)],
        vec![("http.http2_protocol_options", Value::Null)],
        vec![(
            "http.http_filters[0]",
            json!({ "name": "jwt", "config_discovery": { "config_source": { "ads": {} } } }),
        )],
        vec![(
            "host.typed_per_filter_config",
            json!({ "another": {
            "@type": of_type("config.route.v3.FilterConfig"), "disabled": true } }),
        )],
        vec![("route.retry_policy", json!({ "retry_on": "connect-failure, refused-stream" }))],
        vec![("route.auto_host_rewrite", false.into())],
        // For other paths, or only for some requests for these.
        vec![("host.routes", match_(json!({ "path": "/other" })))],
        vec![("host.routes", match_(json!({ "prefix": "/OAuth" })))],
        // A part of the path is not all of it, letters have two cases, and what cannot be read may be anything.
        vec![("host.routes", match_(json!({ "safe_regex": { "regex": "/oauth" } })))],
        vec![("host.routes", match_(json!({ "safe_regex": { "regex": "token" } })))],
        vec![("host.routes", match_(json!({ "safe_regex": { "regex": "/OAUTH/.*" } })))],
        vec![("host.routes", match_(json!({ "safe_regex": { "regex": "/oauth/(.*" } })))],
        vec![("host.routes", match_(json!({ "safe_regex": { "regex": "/oauth)(?:/.*" } })))],
        vec![("host.routes", match_(json!({ "safe_regex": { "regex": r"/\pL+/.*" } })))],
        // Requests that another route takes first.
        vec![(
            "host.routes",
            json!([
                { "match": { "safe_regex": { "regex": "/oauth/(token|device/.*)" } }, "route": { "cluster": "server" } },
                match_(json!({ "safe_regex": { "regex": "/.*" } }))[0],
            ]),
        )],
        vec![(
            "host.routes",
            match_(json!({ "prefix": "/", "headers": [{ "name": "x-canary" }] })),
        )],
        vec![
            ("static_resources.clusters", Value::Null),
            (".dynamic_resources", json!({ "cds_config": { "ads": {} } })),
        ],
    ];
    for (index, changes) in cases.iter().enumerate() {
        let mut document = bootstrap(&rich());
        for (path, value) in changes {
            let path = full(path);
            document = match path.strip_prefix('.') {
                Some(key) => with(document, key, value.clone()),
                None if path.ends_with(']') => {
                    *document.pointer_mut(&pointer(&path)).unwrap() = value.clone();
                    document
                }
                None => changed(document, &[(&path, value.clone())]),
            };
        }
        assert_eq!(warnings(&format!("unknown-{index}"), &document), [""; 0], "{changes:?}");
    }
}

#[test]
fn ways_past_certbound_are_named() {
    let document = bootstrap(&anchored());
    let chain = &document["static_resources"]["listeners"][0]["filter_chains"][0];
    let router = json!([{ "name": "router" }]);
    let mut bare = chain.clone();
    bare["filters"][0]["typed_config"]["http_filters"] = router.clone();
    let bare = |path: &str, value: Value| {
        changed(json!({ "a": bare.clone() }), &[(path, value)])["a"].clone()
    };
    let manager = "a.filters[0].typed_config";
    let with_chain = |chain: &Value| {
        let chains =
            json!([document["static_resources"]["listeners"][0]["filter_chains"][0], chain]);
        changed(document.clone(), &[(&full("listener.filter_chains"), chains)])
    };
    let tcp = |cluster: &str| {
        json!({ "filters": [{ "name": "tcp", "typed_config": {
            "@type": of_type("extensions.filters.network.tcp_proxy.v3.TcpProxy"), "cluster": cluster } }] })
    };
    let same = bare("a.name", "same".into());
    let other = format!("{}.filters[0].typed_config", full("listener.filter_chains[1]"));
    let filters = format!("{other}.http_filters");
    assert_eq!(warnings("chain-bare", &with_chain(&same)), [filters.as_str()]);
    assert_eq!(warnings("chain-tcp", &with_chain(&tcp("server"))), [format!("{other}.cluster")]);
    let default =
        changed(document.clone(), &[(&full("listener.default_filter_chain"), same.clone())]);
    let default_filters =
        full("listener.default_filter_chain.filters[0].typed_config.http_filters");
    assert_eq!(warnings("chain-default", &default), [default_filters]);

    // To other servers, only elsewhere than to endpoints, or with a filter that is delivered and may be certbound.
    let to = |route: Value| {
        bare(&format!("{manager}.route_config.virtual_hosts"), json!([{ "routes": [route] }]))
    };
    let delivered = json!([{ "name": "a", "config_discovery": {} }]);
    for (index, chain) in [
        tcp("another"),
        to(json!({ "match": { "prefix": "/" }, "route": { "cluster": "another" } })),
        to(json!({ "match": { "prefix": "/login" }, "route": { "cluster": "server" } })),
        bare(&format!("{manager}.http_filters"), delivered.clone()),
        chain.clone(),
    ]
    .iter()
    .enumerate()
    {
        let expected: &[&str] = &[];
        let warnings = warnings(&format!("chain-{index}"), &with_chain(chain));
        let warnings: Vec<_> =
            warnings.iter().filter(|path| path.contains("filter_chains[1]")).collect();
        assert_eq!(warnings, expected, "{chain}");
    }
    let regex =
        to(json!({ "match": { "safe_regex": { "regex": ".*" } }, "route": { "weighted_clusters": {
        "clusters": [{ "name": "another" }, { "name": "server" }] } } }));
    assert_eq!(warnings("chain-regex", &with_chain(&regex)), [filters]);

    // Another listener: of the bootstrap, of a dump, of a file for LDS.
    let second = json!({ "name": "internal", "filter_chains": [same] });
    let first = document["static_resources"]["listeners"][0].clone();
    let end = "filter_chains[0].filters[0].typed_config.http_filters";
    for (name, document, expected) in [
        (
            "static",
            json!({ "static_resources": { "listeners": [first, second] } }),
            "static_resources.listeners[1]",
        ),
        (
            "dump",
            json!({ "configs": [{
                "static_listeners": [{ "listener": first }],
                "dynamic_listeners": [{ "active_state": { "listener": second } }],
            }] }),
            "configs[0].dynamic_listeners[0].active_state.listener",
        ),
        ("lds", json!({ "resources": [first, second] }), "resources[1]"),
    ] {
        assert_eq!(warnings(&format!("listener-{name}"), &document), [format!("{expected}.{end}")]);
    }

    // Some of the requests at the same listener.
    let upgrade = |filters: Value| {
        let upgrades = json!([{ "upgrade_type": "websocket", "filters": filters }]);
        changed(document.clone(), &[(&full("http.upgrade_configs"), upgrades)])
    };
    assert_eq!(warnings("upgrade", &upgrade(router)), [full("http.upgrade_configs[0].filters")]);
    assert_eq!(warnings("upgrade-delivered", &upgrade(delivered)), [""; 0]);
    assert_eq!(warnings("upgrade-same", &upgrade(Value::Null)), [""; 0]);
    let filter = full("http.http_filters[1].typed_config");
    let inner = document.pointer(&pointer(&filter)).unwrap();
    let matcher = json!({
        "@type": of_type("extensions.common.matching.v3.ExtensionWithMatcher"),
        "extension_config": { "name": "inner", "typed_config": inner },
    });
    let matched = changed(document.clone(), &[(&filter, matcher)]);
    assert_eq!(warnings("matcher", &matched), [filter.as_str()]);
    let optional = changed(matched, &[(&full("http.http_filters[1].is_optional"), true.into())]);
    assert_eq!(
        warnings("matcher-optional", &optional),
        [full("http.http_filters[1].is_optional"), filter]
    );
    let share = json!({ "clusters": [{ "name": "server", "typed_per_filter_config": { "front": {
        "@type": of_type("config.route.v3.FilterConfig"), "disabled": true } } }] });
    let shared = changed(document.clone(), &[(&full("route.weighted_clusters"), share)]);
    assert_eq!(
        warnings("share", &shared),
        [full("route.weighted_clusters.clusters[0].typed_per_filter_config.front.disabled")]
    );
}

#[test]
fn headers_that_routes_write_over_certbounds_are_named() {
    let adding =
        |name: &str| json!([{ "header": { "key": name, "value": "%DOWNSTREAM_PEER_CERT%" } }]);
    let mut named = anchored();
    named["thumbprint_header"] = "X-Thumbprint".into();
    named["client_id_header"] = "X-Client".into();
    let share = full("route.weighted_clusters");
    for (index, (level, name, is_named)) in [
        (full("http.route_config"), "client-cert", true),
        (full("host.routes[1]"), "Client-Cert", true),
        (full("host.routes[1]"), "x-thumbprint", true),
        (format!("{share}.clusters[0]"), "x-client", true),
        (full("host.routes[1]"), "x-request-start", false),
    ]
    .into_iter()
    .enumerate()
    {
        let of = |configuration: &Value| {
            let shares = json!({ "clusters": [{ "name": "server" }] });
            let changes = [
                (share.as_str(), shares),
                (&format!("{level}.request_headers_to_add"), adding(name)),
            ];
            warnings(&format!("over-{index}"), &changed(bootstrap(configuration), &changes))
        };
        let key = format!("{level}.request_headers_to_add[0].header.key");
        let expected = if is_named { vec![key] } else { vec![] };
        assert_eq!(of(&named), expected, "{name}");
        // As docs/rollout.md has it, until certbound decides.
        let reporting = with(named.clone(), "enforcement", "report".into());
        assert_eq!(of(&reporting), [""; 0], "{name}");
    }
}

#[test]
fn a_token_filter_behind_certbound_is_told_from_none() {
    let mut document = bootstrap(&rich());
    let filters = document.pointer_mut(&pointer(&format!("{MANAGER}.http_filters"))).unwrap();
    filters.as_array_mut().unwrap().swap(0, 1);
    assert_eq!(warnings("behind", &document), [full("http.http_filters[1]")]);
}

#[test]
fn rewriting_matters_only_to_what_is_signed() {
    let rewriting = [("route.host_rewrite_literal", "a"), ("route.prefix_rewrite", "/b")]
        .map(|(path, value)| (full(path), Value::from(value)));
    let changes = rewriting.each_ref().map(|(path, value)| (path.as_str(), value.clone()));
    let of = |name: &str, configuration: &Value| {
        warnings(name, &changed(bootstrap(configuration), &changes))
    };
    assert_eq!(of("unsigned", &without(rich(), "signature")), [""; 0]);
    let covering = |components: Value| {
        let mut configuration = rich();
        configuration["signature"]["http_message_signature"]["components"] = components;
        configuration
    };
    let some = covering(json!(["client-cert", "@path"]));
    assert_eq!(of("signed-path", &some), [full("route.prefix_rewrite")]);
    assert_eq!(of("signed-none", &covering(json!(["client-cert"]))), [""; 0]);
    let mut jws = without(rich(), "signature");
    jws["signature"] =
        json!({ "jws": { "issuer": "a", "audience": "b" }, "keys": rich()["signature"]["keys"] });
    assert_eq!(of("signed-jws", &jws).len(), 2);
}

#[test]
fn where_envoys_verdict_decides_it_must_have_one() {
    let configuration = configuration();
    let off = ["stateless", "stateful"]
        .map(|kind| full(&format!("tls.disable_{kind}_session_resumption")));
    let [stateless, stateful] = off.each_ref().map(|path| (path.as_str(), Value::Bool(true)));
    let context = full("common.validation_context");
    let trusted_ca = json!({ "trust_chain_verification": "ACCEPT_UNTRUSTED", "trusted_ca": { "filename": "a" } });
    let ca = (context.as_str(), trusted_ca);
    for (index, (changes, expected)) in [
        (vec![stateless.clone(), stateful.clone(), ca.clone()], vec![]),
        (vec![stateless.clone(), ca.clone()], vec![off[1].clone()]),
        (vec![stateful.clone(), ca.clone()], vec![off[0].clone()]),
        (vec![ca], vec![off[0].clone()]),
        (vec![stateless, stateful], vec![format!("{context}.trusted_ca")]),
    ]
    .iter()
    .enumerate()
    {
        let document = changed(bootstrap(&configuration), changes);
        assert_eq!(warnings(&format!("verdict-{index}"), &document), *expected, "{changes:?}");
    }
    // It does not where certbound has anchors, nor where no client's certificate is from a CA.
    assert_eq!(warnings("anchored", &bootstrap(&anchored())), [""; 0]);
    let mut self_signed = configuration;
    self_signed["clients"].as_array_mut().unwrap().remove(0);
    assert_eq!(warnings("self-signed", &bootstrap(&self_signed)), [""; 0]);
}

#[test]
fn who_presents_no_certificate_needs_a_handshake_without() {
    let requiring = [(full("tls.require_client_certificate"), Value::Bool(true))];
    let requiring = requiring.each_ref().map(|(path, value)| (path.as_str(), value.clone()));
    let mut bound = anchored();
    bound["clients"][2]["tls_client_certificate_bound_access_tokens"] = true.into();
    let of = |name: &str, configuration: &Value| {
        warnings(name, &changed(bootstrap(configuration), &requiring))
    };
    assert_eq!(of("all-bound", &bound), [""; 0]);
    let passing = with(bound, "unregistered_clients", "pass".into());
    assert_eq!(of("passing", &passing), [full("tls.require_client_certificate")]);
}

#[test]
fn the_certificate_from_the_header_needs_envoys_own_header() {
    let mut xfcc = with(without(anchored(), "trust_anchors"), "certificate_source", "xfcc".into());
    xfcc["clients"].as_array_mut().unwrap().remove(0);
    let header = full("http.forward_client_cert_details");
    let details = full("http.set_current_client_cert_details");
    for (index, (path, value, expected)) in [
        (&details, json!({ "cert": true }), None),
        (&details, json!({ "chain": true }), Some(&details)),
        (&header, "SANITIZE".into(), Some(&header)),
        (&header, "ALWAYS_FORWARD_ONLY".into(), Some(&header)),
        (&header, Value::Null, Some(&header)),
    ]
    .into_iter()
    .enumerate()
    {
        let document = changed(bootstrap(&xfcc), &[(path, value)]);
        let expected: Vec<String> = expected.into_iter().cloned().collect();
        assert_eq!(warnings(&format!("xfcc-{index}"), &document), expected);
    }
    // By the connection the header tells intermediates only, which self-signed certificates do not have.
    let connection = without(xfcc, "certificate_source");
    let document = changed(bootstrap(&connection), &[(&header, Value::Null)]);
    assert_eq!(warnings("connection", &document), [""; 0]);
}

#[test]
fn a_patch_has_no_surroundings_and_a_listener_has_its_own() {
    let document = bootstrap(&rich());
    let document = changed(document, &[(&full("chain.transport_socket"), Value::Null)]);
    let listener = document["static_resources"]["listeners"][0].clone();
    assert_eq!(warnings("listener", &listener), ["filter_chains[0].transport_socket"]);
    assert_eq!(warnings("chain", &listener["filter_chains"][0]), ["transport_socket"]);
    let manager = listener["filter_chains"][0]["filters"][0].clone();
    let filter = manager["typed_config"]["http_filters"][1].clone();
    let patch = |operation: &str, value: &Value| {
        json!({ "kind": "EnvoyFilter", "spec": { "configPatches": [{
            "patch": { "operation": operation, "value": value } }] } })
    };
    assert_eq!(warnings("inserted", &patch("INSERT_BEFORE", &filter)), [""; 0]);
    // What is merged is not all that there will be.
    assert_eq!(warnings("merged", &patch("MERGE", &listener)), [""; 0]);
    let path = "spec.configPatches[0].patch.value.filter_chains[0].transport_socket";
    assert_eq!(warnings("added", &patch("ADD", &listener)), [path]);

    let json_patch = json!({ "kind": "EnvoyPatchPolicy", "spec": { "jsonPatches": [{
        "operation": { "op": "add", "path": "/a", "value": filter } }] } });
    assert_eq!(warnings("json-patch", &json_patch), [""; 0]);
    let mut extension = filter;
    extension["@type"] = of_type("config.core.v3.TypedExtensionConfig").into();
    assert_eq!(warnings("ecds", &json!({ "resources": [extension] })), [""; 0]);
}

#[test]
fn a_file_in_a_config_map_is_looked_into() {
    let naive = include_str!("naive-envoy.yaml");
    let config_map = |name: &str| {
        let data = naive.replace('\n', "\n    ");
        format!("kind: ConfigMap\ndata:\n  readme.txt: 'no: [yaml'\n  {name}: |\n    {data}\n")
    };
    let alone = certbound(&["check", "--json", &file("naive.yaml", naive)]).json();
    let within = check("map.yaml", config_map("envoy.yaml")).json();
    let findings = |run: &Value| run["warnings"].as_array().unwrap().clone();
    assert_eq!(findings(&alone).len(), 13);
    for (inner, outer) in findings(&alone).iter().zip(findings(&within)) {
        let inner_path = inner["path"].as_str().unwrap();
        assert_eq!(outer["path"], format!("data.envoy.yaml.{inner_path}"));
        assert_eq!(outer["message"], inner["message"]);
        assert_eq!(outer["line"].as_u64(), inner["line"].as_u64().map(|line| line + 4));
        assert_eq!(outer["column"].as_u64(), inner["column"].as_u64().map(|column| column + 4));
    }
    assert_eq!(findings(&within).len(), 13);
    assert_eq!(check("map-text.yaml", config_map("envoy.txt")).status, 1);
}

/// As a person reads it: each finding with the place of the key or, if it is missing, where it belongs.
#[test]
fn a_naive_bootstrap_gets_the_right_warnings_at_the_right_lines() {
    let naive = include_str!("naive-envoy.yaml");
    let path = file("naive-lines.yaml", naive);
    let run = certbound(&["check", &path]);
    assert_eq!(run.status, 0);
    assert!(run.output.starts_with(&format!("{path}: valid, 13 warnings\n")), "{}", run.output);
    let lines: Vec<&str> = run.problems.lines().collect();
    let found: Vec<(&str, &str)> = lines
        .chunks(2)
        .map(|finding| {
            let key = finding[0].strip_prefix("warning: ").unwrap().split(": ").next().unwrap();
            let place = finding[1].strip_prefix("  --> ").unwrap();
            let place = place.strip_prefix(&path).unwrap().strip_prefix(':').unwrap();
            let line = place.split(':').next().unwrap().parse::<usize>().unwrap();
            (key, naive.lines().nth(line - 1).unwrap().trim())
        })
        .collect();
    let expected = [
        ("per_connection_buffer_limit_bytes", "per_connection_buffer_limit_bytes: 32768"),
        ("disable_stateless_session_resumption", "typed_config:"),
        ("require_client_certificate", "require_client_certificate: true"),
        ("trust_chain_verification", "validation_context:"),
        ("request_timeout", "typed_config:"),
        ("merge_slashes", "typed_config:"),
        ("path_with_escaped_slashes_action", "typed_config:"),
        ("forward_client_cert_details", "forward_client_cert_details: APPEND_FORWARD"),
        ("allow_on_headers_stop_iteration", "config:"),
        ("fail_open", "fail_open: true"),
        ("protected_resources[0].token", "- { path_prefix: /api/, token: jwt_authn }"),
        ("retry_policy", "retry_policy: { retry_on: 5xx }"),
        ("host_rewrite_literal", "route: { cluster: as, host_rewrite_literal: as.internal }"),
    ];
    assert_eq!(found, expected);
}

/// Of the standard input, which nobody can open at a line, the path is enough.
#[test]
fn findings_in_the_standard_input_have_a_path_and_no_place() {
    let document = changed(bootstrap(&anchored()), &[(&full("http.request_timeout"), Value::Null)]);
    let document = document.to_string();
    let run = certbound_with(&["check", "-"], &[], &document);
    let path = full("http.request_timeout");
    let lines: Vec<&str> = run.problems.lines().collect();
    assert_eq!(lines[1..], [format!("  --> {path}")], "{}", run.problems);
    let named = file("placed.json", &document);
    let run = certbound(&["check", &named]);
    let place = run.problems.lines().nth(1).unwrap();
    assert!(place.starts_with(&format!("  --> {named}:1:")) && place.ends_with(&path), "{place}");

    // What is said already is not repeated.
    let wrong = "endpoints: [{ path: /token }]\nlimits: { max_body_bytes: 0 }\n";
    let run = certbound_with(&["check", "-"], &[], wrong);
    assert_eq!(run.problems.lines().count(), 1, "{}", run.problems);
    let run = certbound(&["check", &file("placed.yaml", wrong)]);
    assert!(run.problems.ends_with("placed.yaml:2:11\n"), "{}", run.problems);
}

/// What a running Envoy (1.40, started with envoy.yaml) told, shortened.
#[test]
fn the_dump_of_a_running_envoy_is_read() {
    let dump = include_str!("config_dump.json");
    let of = |name: &str, dump: &Value| {
        let run = check(name, dump.to_string());
        assert_eq!(run.status, 0, "{}", run.output);
        // Of the bootstrap, which has the listener as well, nothing is repeated.
        assert_eq!(run.json()["configurations"].as_array().unwrap().len(), 1);
        paths(&run, "warnings")
    };
    let mut dump: Value = serde_json::from_str(dump).unwrap();
    let secrets = of("dump.json", &dump);
    assert_eq!(secrets.len(), 2, "{secrets:?}");
    assert!(
        secrets.iter().all(|path| path.starts_with("configs[1].static_listeners[0].listener."))
    );

    let listeners = &mut dump["configs"][1];
    let manager = "/static_listeners/0/listener/filter_chains/0/filters/0/typed_config";
    listeners.pointer_mut(manager).unwrap().as_object_mut().unwrap().remove("request_timeout");
    let listener = listeners["static_listeners"][0]["listener"].clone();
    listeners["dynamic_listeners"] =
        json!([{ "name": "clients", "active_state": { "listener": listener } }]);
    listeners.as_object_mut().unwrap().remove("static_listeners");
    let dynamic = of("dynamic-dump.json", &dump);
    assert_eq!(dynamic.len(), 3, "{dynamic:?}");
    let listener = "configs[1].dynamic_listeners[0].active_state.listener";
    assert!(
        dynamic.contains(&format!(
            "{listener}.filter_chains[0].filters[0].typed_config.request_timeout"
        ))
    );
}

// === What is delivered (ECDS) ===

const WASM: &str = "extensions.filters.http.wasm.v3.Wasm";

/// A filter of which Envoy gets the rest under this name.
fn slot(name: &str) -> Value {
    json!({ "name": name, "config_discovery": {
        "type_urls": [of_type(WASM)],
        "config_source": { "path_config_source": { "path": "certbound.yaml" } },
    } })
}

/// The sound bootstrap, certbound being delivered.
fn with_slot(name: &str) -> Value {
    put(bootstrap(&rich()), "http.http_filters[1]", slot(name))
}

/// A document with another element in a list.
fn put(mut document: Value, path: &str, element: Value) -> Value {
    *document.pointer_mut(&pointer(&full(path))).unwrap() = element;
    document
}

/// Under which names configurations are delivered, of those that the file has not.
fn delivered(name: &str, document: &Value) -> Vec<String> {
    let run = check(&format!("envoy-{name}.json"), document.to_string());
    assert_eq!(run.status, 0, "{name}: {}", run.output);
    let configurations = run.json()["configurations"].clone();
    let names = configurations.as_array().unwrap().iter();
    names.filter_map(|one| Some(one["delivered_as"].as_str()?.to_owned())).collect()
}

#[test]
fn a_place_for_certbound_is_judged_without_its_configuration() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kubernetes/envoy.yaml");
    let run = certbound(&["check", path]);
    assert_eq!((run.status, run.problems.as_str()), (0, ""));
    assert!(run.output.contains(": valid\n"), "{}", run.output);
    assert!(run.output.contains("delivered (ECDS) as certbound"), "{}", run.output);
    let run = certbound(&["decide", "--config", path, "--client-id", "a"]);
    assert_eq!(run.status, 2);
    assert!(run.problems.contains("is delivered (ECDS)"), "{}", run.problems);

    // By its name, or as the only wasm filter that there is.
    for name in ["certbound", "oauth/Certbound", "front"] {
        assert_eq!(delivered("slot", &with_slot(name)), [name]);
        assert_eq!(warnings("slot", &with_slot(name)), [""; 0]);
    }
    let disabled = json!({ "front": {
        "@type": of_type("config.route.v3.FilterConfig"), "disabled": true } });
    for (index, (path, value, expected)) in [
        ("chain.transport_socket", Value::Null, "chain.transport_socket"),
        ("common.validation_context", Value::Null, "common.validation_context"),
        ("http.request_timeout", Value::Null, "http.request_timeout"),
        (
            "http.forward_client_cert_details",
            "FORWARD_ONLY".into(),
            "http.forward_client_cert_details",
        ),
        ("http.http_filters[1].disabled", true.into(), "http.http_filters[1].disabled"),
        ("http.http_filters[1].is_optional", true.into(), "http.http_filters[1].is_optional"),
        ("host.typed_per_filter_config", disabled, "host.typed_per_filter_config.front.disabled"),
        (
            "http.upgrade_configs",
            json!([{ "upgrade_type": "websocket", "filters": [{ "name": "router" }] }]),
            "http.upgrade_configs[0].filters",
        ),
        // What depends on the configuration.
        ("route.host_rewrite_literal", "as.internal".into(), ""),
        ("http.merge_slashes", Value::Null, ""),
        ("http.forward_client_cert_details", "SANITIZE".into(), ""),
        ("common.validation_context", json!({ "trusted_ca": { "filename": "ca.pem" } }), ""),
        ("listener.per_connection_buffer_limit_bytes", 1024.into(), ""),
        ("static_resources.clusters", json!([]), ""),
    ]
    .into_iter()
    .enumerate()
    {
        let document = changed(with_slot("front"), &[(&full(path), value)]);
        let expected: Vec<String> =
            [expected].iter().filter(|path| !path.is_empty()).map(|path| full(path)).collect();
        assert_eq!(warnings(&format!("slot-{index}"), &document), expected, "{path}");
    }
}

#[test]
fn a_place_for_another_filter_is_none_for_certbound() {
    let other = with(slot("lua"), "config_discovery", json!({ "type_urls": [of_type("a.b.Lua")] }));
    let without = put(with_slot("front"), "http.http_filters[1]", other);
    assert_eq!(check("envoy-lua.json", without.to_string()).status, 1);
    // Beside certbound, or what has its name, another wasm filter is another one.
    let written = put(bootstrap(&anchored()), "http.http_filters[0]", slot("firewall"));
    assert_eq!(delivered("firewall-1", &written), [""; 0]);
    let named = put(with_slot("certbound"), "http.http_filters[0]", slot("firewall"));
    assert_eq!(delivered("firewall-2", &named), ["certbound"]);
}

/// As the ConfigMap of deploy/kubernetes has them, and Envoy's /config_dump.
#[test]
fn what_is_delivered_is_judged_where_it_goes() {
    let written = bootstrap(&rich());
    let filter = full("http.http_filters[1].typed_config");
    let wasm = written.pointer(&pointer(&filter)).unwrap();
    let resource = json!({
        "@type": of_type("config.core.v3.TypedExtensionConfig"), "name": "front", "typed_config": wasm });
    let rewriting = (full("route.host_rewrite_literal"), Value::from("as.internal"));
    let document = changed(with_slot("front"), &[(&rewriting.0, rewriting.1)]);
    let listener = document["static_resources"]["listeners"][0].clone();
    let dump = |name: &str| {
        let delivered = with(resource.clone(), "name", name.into());
        json!({ "configs": [
            { "@type": of_type("admin.v3.BootstrapConfigDump"), "bootstrap": document },
            { "@type": of_type("admin.v3.EcdsConfigDump"), "ecds_filters": [{ "ecds_filter": delivered }] },
            { "@type": of_type("admin.v3.ListenersConfigDump"), "dynamic_listeners": [
                { "name": "clients", "active_state": { "listener": listener } } ] },
        ] })
    };
    let rewritten = rewriting_path("configs[2].dynamic_listeners[0].active_state.listener");
    assert_eq!(delivered("ecds", &dump("front")), [""; 0]);
    assert_eq!(warnings("ecds", &dump("front")), [rewritten]);
    // What has another name goes elsewhere, and is certbound by its endpoints.
    assert_eq!(warnings("ecds-other", &dump("other")), [""; 0]);

    let files = json!({ "kind": "ConfigMap", "data": {
        "envoy.yaml": document.to_string(),
        "certbound.yaml": json!({ "resources": [resource] }).to_string(),
    } });
    let rewritten = rewriting_path("data.envoy.yaml.static_resources.listeners[0]");
    assert_eq!(warnings("ecds-files", &files), [rewritten]);

    // A wasm filter that is something else.
    let mut firewall = dump("front");
    let plugin = "/configs/1/ecds_filters/0/ecds_filter/typed_config/config";
    *firewall.pointer_mut(plugin).unwrap() = json!({ "name": "firewall" });
    assert_eq!(check("envoy-ecds-firewall.json", firewall.to_string()).status, 1);
}

fn rewriting_path(listener: &str) -> String {
    full("route.host_rewrite_literal").replace("static_resources.listeners[0]", listener)
}

/// A pod is ready only if certbound is, and probes have no certificate.
#[test]
fn a_listener_for_probes_beside_that_for_clients_needs_no_tls() {
    let mut document = with_slot("certbound");
    let clients = document["static_resources"]["listeners"][0].clone();
    let mut probes = clients.clone();
    probes["filter_chains"][0].as_object_mut().unwrap().remove("transport_socket");
    probes["filter_chains"][0]["filters"][0]["typed_config"]
        .as_object_mut()
        .unwrap()
        .remove("request_timeout");
    document["static_resources"]["listeners"] = json!([clients, probes]);
    assert_eq!(delivered("probes", &document), ["certbound"]);
    assert_eq!(warnings("probes", &document), [""; 0]);
    document["static_resources"]["listeners"] = json!([probes]);
    assert_eq!(warnings("probes-only", &document).len(), 2);
}

// === What ceases to be valid ===

const DAY: u64 = 86_400;

/// 2026-06-01T00:00:00Z
const NOW: u64 = 1_780_272_000;

fn expiring(days: u64, of: u64) -> Validity {
    let end = NOW + days * DAY;
    Validity::seconds(end - of * DAY..end)
}

fn authority(validity: Validity, name: &str) -> Identity {
    let template = CertificateTemplate { validity, ..CertificateTemplate::authority("CN=ca") };
    template.self_signed(Key::p256(name))
}

fn checked_at(configuration: &Value, name: &str, at: &str, more: &[&str]) -> Vec<String> {
    let path = file(&format!("expiry-{name}.json"), configuration.to_string());
    let run = certbound(&[&["check", "--json", &path, "--at", at], more].concat());
    assert_eq!(run.status, 0, "{}", run.output);
    paths(&run, "warnings")
}

const AT: &str = "2026-06-01T00:00:00Z";

#[test]
fn what_expires_soon_is_named_in_time() {
    let of = |set: Value| with(configuration(), "trust_anchors", json!({ "ca": set }));
    let names = ["certificates", "intermediates"];
    for (index, (validity, more, is_named)) in [
        (expiring(29, 3650), &[][..], true),
        (expiring(31, 3650), &[][..], false),
        (expiring(31, 3650), &["--expiry-days", "60"][..], true),
        (expiring(29, 3650), &["--expiry-days", "0"][..], false),
        // What lives for days only is not always about to end.
        (expiring(6, 7), &[][..], false),
        (expiring(1, 7), &[][..], true),
    ]
    .into_iter()
    .enumerate()
    {
        let ca = authority(validity, "expiring-ca");
        let configuration = of(json!({ "certificates": ca.certificate_pem() }));
        let expected = if is_named { vec!["trust_anchors.ca.certificates"] } else { vec![] };
        assert_eq!(
            checked_at(&configuration, &format!("ca-{index}"), AT, more),
            expected,
            "{index}"
        );
    }
    let root = authority(expiring(3000, 3650), "expiring-root");
    let template = CertificateTemplate {
        validity: expiring(20, 3650),
        ..CertificateTemplate::authority("CN=sub")
    };
    let intermediate = template.issued_by(&root, Key::p256("expiring-sub"));
    let configuration = of(json!({
        names[0]: root.certificate_pem(),
        names[1]: intermediate.certificate_pem(),
    }));
    assert_eq!(
        checked_at(&configuration, "intermediate", AT, &[]),
        ["trust_anchors.ca.intermediates"]
    );
    assert_eq!(
        checked_at(&configuration, "expired", "2026-06-21T00:00:01Z", &[]),
        ["trust_anchors.ca"]
    );
    let path = file("expiry-text.json", configuration.to_string());
    let run = certbound(&["check", &path, "--at", AT]);
    let message = "the intermediate of CN=sub expires on 2026-06-21T00:00:01Z, in 20 days";
    assert!(run.problems.contains(message), "{}", run.problems);
}

#[test]
fn a_crl_that_is_about_to_end_is_named() {
    let set = |crl: &str| {
        let ca = PKI.get("client-ca").certificate_pem();
        let set = json!({ "certificates": ca, "crls": crl });
        with(configuration(), "trust_anchors", json!({ "ca": set }))
    };
    let crl = |days_left: u64, of: u64| {
        let validity = expiring(days_left, of);
        let template = CrlTemplate { validity, ..CrlTemplate::revoking([]) };
        template.issued_by(PKI.get("client-ca"))
    };
    assert_eq!(checked_at(&set(&crl(20, 365)), "crl-soon", AT, &[]), ["trust_anchors.ca.crls"]);
    assert_eq!(checked_at(&set(&crl(5, 7)), "crl-fresh", AT, &[]), [""; 0]);
    assert_eq!(checked_at(&set(&crl(1, 7)), "crl-late", AT, &[]), ["trust_anchors.ca.crls"]);
}

#[test]
fn a_registered_certificate_that_expires_is_named() {
    let identity = PKI.get("partner-app");
    let registered = |key: &Identity, method: &str| {
        let mut jwk = key.key.to_jwk();
        jwk["x5c"] = json!([key.x5c()]);
        json!({
            "endpoints": [{ "path": "/token" }],
            "clients": [{
                "client_id": "partner",
                "token_endpoint_auth_method": method,
                "jwks": { "keys": [jwk] },
            }],
        })
    };
    let own = registered(identity, "self_signed_tls_client_auth");
    let path = "clients[0].jwks.keys[0].x5c";
    for (index, (at, expected)) in [
        ("2026-06-01", vec![]),
        ("2035-12-20", vec![path]),
        ("2036-01-01T00:00:01Z", vec![path]),
        ("2040-01-01", vec![path]),
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(checked_at(&own, &format!("x5c-{index}"), at, &[]), *expected, "{at}");
    }
    // Of other methods nobody looks at it.
    let other = registered(identity, "private_key_jwt");
    assert_eq!(checked_at(&other, "x5c-other", "2040-01-01", &[]), [""; 0]);
}

#[test]
fn errors_are_found_in_the_file() {
    let text = std::fs::read_to_string(ENVOY_YAML).unwrap();
    let wrong = text.replace(
        "tls_client_auth_san_uri: spiffe://example.org/batch",
        "tls_client_auth_san_ip: batch",
    );
    let line = 1 + wrong.lines().position(|line| line.contains("san_ip")).unwrap();
    let run = check("san-ip.yaml", &wrong);
    assert_eq!(run.status, 1);
    let error = &run.json()["errors"][0];
    assert_eq!((error["line"].clone(), error["column"].clone()), (line.into(), 33.into()));
    let run = check("syntax.yaml", "a: 1\nb: [\n");
    assert!(run.json()["errors"][0]["line"].is_number(), "{}", run.output);
    let run = check("second.yaml", "endpoints: [{ path: /token }]\nclients:\n- client_id: a\n");
    assert_eq!(run.json()["errors"][0]["line"], 3);
}
