//! The command line as people and scripts use it: the built binary, its output and its exit status.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail loudly"
)]

#[path = "cli/check_envoy.rs"]
mod check_envoy;
#[path = "cli/completions.rs"]
mod completions;
#[path = "cli/help.rs"]
mod help;

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    sync::LazyLock,
};

use demo_pki::{CertificateTemplate, Key, Pki, dns_name, uri};
use serde_json::{Value, json};
use x509_cert::{ext::pkix::name::GeneralName, name::Name};

static PKI: LazyLock<Pki> = LazyLock::new(Pki::new);

const ENVOY_YAML: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/envoy.yaml");

/// What a run of the binary did.
struct Run {
    status: i32,
    output: String,
    problems: String,
}

impl Run {
    fn json(&self) -> Value {
        serde_json::from_str(&self.output)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.output, self.problems))
    }
}

fn certbound_with(arguments: &[&str], variables: &[(&str, &str)], input: &str) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_certbound"))
        .args(arguments)
        .env_remove("CERTBOUND_INTROSPECTION_SECRET")
        .env_remove("CERTBOUND_SIGNING_KEY")
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input may be gone.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Run {
        status: output.status.code().unwrap(),
        output: String::from_utf8(output.stdout).unwrap(),
        problems: String::from_utf8(output.stderr).unwrap(),
    }
}

fn certbound(arguments: &[&str]) -> Run {
    certbound_with(arguments, &[], "")
}

/// A file for the binary to read, of a name that only one test uses.
fn file(name: &str, content: impl AsRef<[u8]>) -> String {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cli");
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join(name);
    fs::write(&path, content).unwrap();
    path.into_os_string().into_string().unwrap()
}

fn certificate(name: &str, identity: &str) -> String {
    file(name, PKI.get(identity).chain_pem())
}

fn configuration() -> Value {
    json!({
        "endpoints": [{ "path": "/oauth/token" }, { "path_prefix": "/oauth/device/" }],
        "clients": [
            {
                "client_id": "payments",
                "token_endpoint_auth_method": "tls_client_auth",
                "tls_client_auth_subject_dn": "CN=payments,O=Example Bank,C=SE",
            },
            {
                "client_id": "partner app",
                "token_endpoint_auth_method": "self_signed_tls_client_auth",
                "certificate_thumbprints": [PKI.get("partner-app").thumbprint()],
            },
            { "client_id": "portal", "token_endpoint_auth_method": "client_secret_basic" },
        ],
        "client_id_header": "X-Client-Id",
    })
}

fn with(mut configuration: Value, key: &str, value: Value) -> Value {
    configuration[key] = value;
    configuration
}

fn signature(alg: &str) -> Value {
    json!({
        "http_message_signature": {},
        "keys": [{ "kid": "1", "alg": alg, "key": { "env": "CERTBOUND_SIGNING_KEY" } }],
    })
}

/// A listener with a wasm filter of these `PluginConfig` fields.
fn listener(plugin: &Value) -> Value {
    json!({
        "resources": [{
            "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
            "filter_chains": [{ "filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": { "http_filters": [{
                    "name": "some.filter",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                        "config": plugin,
                    },
                }] },
            }] }],
        }],
    })
}

const PLUGIN: &str =
    "resources[0].filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.config";

fn plugin(configuration: &Value) -> Value {
    json!({
        "allow_on_headers_stop_iteration": true,
        "vm_config": { "environment_variables": { "host_env_keys": ["CERTBOUND_SIGNING_KEY"] } },
        "configuration": {
            "@type": "type.googleapis.com/google.protobuf.Struct",
            "value": configuration,
        },
    })
}

fn check(name: &str, content: impl AsRef<[u8]>) -> Run {
    certbound(&["check", "--json", &file(name, content)])
}

fn paths(run: &Run, findings: &str) -> Vec<String> {
    let findings = run.json()[findings].clone();
    findings
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| {
            assert!(!finding["message"].as_str().unwrap().is_empty());
            finding["path"].as_str().unwrap().to_owned()
        })
        .collect()
}

// === check ===

#[test]
fn check_accepts_the_envoy_yaml_of_this_repository() {
    let run = certbound(&["check", "--json", ENVOY_YAML]);
    assert_eq!(run.status, 0, "{}", run.output);
    let result = run.json();
    assert_eq!(result["valid"], true);
    assert_eq!(result["errors"], json!([]));
    // The secrets are not set here, which is no fault of the file.
    let warnings = paths(&run, "warnings");
    let secrets = ["protected_resources[1].introspection.client_secret", "signature.keys[0].key"];
    assert_eq!(warnings.len(), secrets.len());
    for (warning, secret) in warnings.iter().zip(secrets) {
        assert!(warning.ends_with(&format!("configuration.value.{secret}")), "{warnings:?}");
    }
    assert_eq!(result["configurations"][0]["signing"], true);

    let key = PKI.signing_key().to_pkcs8_pem();
    let variables =
        [("CERTBOUND_SIGNING_KEY", key.as_str()), ("CERTBOUND_INTROSPECTION_SECRET", "secret")];
    let run = certbound_with(&["check", ENVOY_YAML], &variables, "");
    assert_eq!((run.status, run.problems.as_str()), (0, ""));
    for expected in
        [": valid\n", "POST /token", "3 tls_client_auth", "client-ca, partner-ca", "on, ed25519"]
    {
        assert!(run.output.contains(expected), "{expected:?} in {}", run.output);
    }
}

#[test]
fn check_rejects_a_signing_key_that_is_set_but_wrong() {
    let variables = [("CERTBOUND_SIGNING_KEY", "not a key, and not to be shown")];
    let run = certbound_with(&["check", ENVOY_YAML], &variables, "");
    assert_eq!(run.status, 1);
    assert!(run.problems.contains("signature.keys[0].key: "), "{}", run.problems);
    assert!(!run.problems.contains("not to be shown"), "{}", run.problems);
}

/// One level too high, as it is easily written.
#[test]
fn check_shows_no_secret_that_stands_where_its_object_should() {
    const SECRET: &str = "x\", expected not to be shown";
    for (index, (key, value)) in [
        ("upstream_authentication", json!(SECRET)),
        ("upstream_authentication", json!({ "basic": SECRET })),
        ("upstream_authentication", json!({ "header": SECRET })),
        ("signature", json!({ "http_message_signature": {}, "keys": SECRET })),
        ("signature", json!({ "http_message_signature": {}, "keys": [SECRET] })),
        (
            "protected_resources",
            json!([{ "path": "/a", "token": "introspection", "introspection": SECRET }]),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let run = check(
            &format!("misplaced-{index}.json"),
            with(configuration(), key, value).to_string(),
        );
        assert_eq!((run.status, paths(&run, "errors").len()), (1, 1), "{}", run.output);
        assert!(!run.output.contains("not to be shown"), "{}", run.output);
        let message = run.json()["errors"][0]["message"].clone();
        assert!(
            message.as_str().unwrap().starts_with("invalid type: text, expected a"),
            "{message}"
        );
    }
}

#[test]
fn check_reads_a_plugin_configuration_in_json_and_in_yaml() {
    let run = check("plain.json", configuration().to_string());
    assert_eq!((run.status, run.json()["warnings"].clone()), (0, json!([])), "{}", run.output);
    let clients = &run.json()["configurations"][0]["clients"];
    assert_eq!(clients["self_signed_tls_client_auth"], 1);

    let yaml = "endpoints:\n  - path: /token # the only one\nclients: []\n";
    assert_eq!(check("plain.yaml", yaml).status, 0);
    let run = certbound_with(&["check", "-"], &[], yaml);
    assert_eq!(run.status, 0);
    assert!(run.output.contains("  signing        off\n"), "{}", run.output);
}

#[test]
fn check_says_that_a_jws_is_sent_again() {
    let signing = |reuse_seconds: u64| {
        let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let document = json!({
            "endpoints": [{ "path": "/token" }],
            "signature": {
                "jws": { "issuer": "a", "audience": "b", "reuse_seconds": reuse_seconds },
                "keys": [{ "kid": "1", "alg": "hmac-sha256", "key": { "value": key } }],
            },
        });
        let run = certbound_with(&["check", "-"], &[], &document.to_string());
        assert_eq!(run.status, 0, "{}", run.problems);
        let line = run.output.lines().find(|line| line.starts_with("  signing ")).unwrap();
        line.trim_start_matches("  signing").trim().to_owned()
    };
    let own = "on, hmac-sha256 with the key 1, JWS in client-cert-jwt";
    assert_eq!(signing(0), own);
    let again = ", sent again for 20 seconds (a server that takes each jti once refuses that)";
    assert_eq!(signing(20), format!("{own}{again}"));
}

/// The README's example, with a real certificate where it has an ellipsis.
#[test]
fn check_accepts_the_configuration_in_the_readme() {
    let readme = include_str!("../README.md");
    let (_, rest) = readme.split_once("```yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let pem = PKI.get("client-ca").certificate_pem().replace('\n', "\n      ");
    let example = example.replace("-----BEGIN CERTIFICATE-----\n      …", &pem);
    assert!(example.contains("-----END CERTIFICATE-----"));
    let run = check("readme.yaml", example);
    assert_eq!(run.status, 0, "{}", run.problems);
}

#[test]
fn check_accepts_the_configurations_in_the_document_on_protected_resources() {
    let document = include_str!("../docs/protected-resources.md");
    let blocks = document.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let examples: Vec<&str> =
        blocks.filter(|block| block.starts_with("protected_resources:")).collect();
    assert_eq!(examples.len(), 3);
    for example in examples {
        let run = check("resource.yaml", format!("endpoints: [{{ path: /token }}]\n{example}"));
        assert_eq!(run.status, 0, "{}", run.problems);
    }
}

/// Where trust anchors decide, Envoy's verdict does not, and the chain in the file is what the client presents.
#[test]
fn decide_follows_the_presented_chain_to_the_trust_anchors() {
    let configuration = |anchor: &str| {
        let anchors = json!({ "partners": { "certificates": PKI.get(anchor).certificate_pem() } });
        let client = json!({
            "client_id": "deep",
            "token_endpoint_auth_method": "tls_client_auth",
            "tls_client_auth_subject_dn": PKI.get("via-intermediate").subject(),
        });
        let configuration = with(configuration(), "clients", json!([client]));
        with(configuration, "trust_anchors", anchors).to_string()
    };
    let chain = certificate("deep.pem", "via-intermediate");
    let alone = file("deep-alone.pem", PKI.get("via-intermediate").certificate_pem());
    let decided = |name: &str, anchor: &str, certificate: &str| {
        let config = file(name, configuration(anchor));
        let arguments =
            ["--client-id", "deep", "--certificate", certificate, "--envoy-verdict", "invalid"];
        let run = decide(&config, &arguments);
        (run.status, run.json()["reason"].clone())
    };
    assert_eq!(decided("deep-1.json", "client-ca", &chain), (0, Value::Null));
    assert_eq!(decided("deep-2.json", "client-ca", &alone), (1, json!("certificate_untrusted")));
    assert_eq!(decided("deep-3.json", "rogue-ca", &chain), (1, json!("certificate_untrusted")));
}

#[test]
fn check_names_every_error_with_its_path() {
    let yaml = "
        endpoints: [{ path: token }, { path: /token, methods: post }]
        clients:
          - { client_id: a, token_endpoint_auth_method: tls_client_auth }
          - { client_id: b, token_endpoint_auth_method: none, client_secret: x }
        limits: { max_body_bytes: 0 }
    ";
    let run = check("wrong.yaml", yaml);
    assert_eq!(run.status, 1);
    assert_eq!(run.json()["valid"], false);
    let mut found = paths(&run, "errors");
    found.sort();
    assert_eq!(
        found,
        [
            "clients[0]",
            "clients[1].client_secret",
            "endpoints[0].path",
            "endpoints[1].methods",
            "limits.max_body_bytes"
        ]
    );
    let run = certbound(&["check", &file("wrong-again.yaml", yaml)]);
    assert_eq!(run.status, 1);
    assert!(
        run.problems.contains("error: limits.max_body_bytes: out of range"),
        "{}",
        run.problems
    );
    assert!(run.output.contains("not valid, 5 errors"), "{}", run.output);
}

#[test]
fn check_rejects_what_is_no_configuration() {
    for (name, content) in [
        ("empty.yaml", ""),
        ("unclosed.yaml", "endpoints: ["),
        ("twice.yaml", "endpoints: [{path: /a}]\nendpoints: [{path: /b}]\n"),
        ("twice.json", r#"{"endpoints": [{"path": "/a", "path": "/b"}]}"#),
        ("misspelt.yaml", "endpoint: [{path: /a}]\n"),
        ("text.yaml", "hello\n"),
        ("two.yaml", "endpoints: [{path: /a}]\n---\nendpoints: [{path: /b}]\n"),
        ("without.yaml", "static_resources: { listeners: [] }\n"),
    ] {
        let run = check(name, content);
        assert_eq!((run.status, paths(&run, "errors").len()), (1, 1), "{name}: {}", run.output);
    }
    let run = certbound(&["check", "/there/is/no/such/file"]);
    assert_eq!(run.status, 1);
    assert!(run.problems.starts_with("error: /there/is/no/such/file cannot be read"));
    assert_eq!(certbound(&["check"]).status, 2);
}

#[test]
fn check_says_what_else_a_file_is_and_what_a_key_was_meant_for() {
    const NEITHER: &str = "is neither a certbound configuration nor one of Envoy's";
    for (name, content, message) in [
        ("compose.yaml", "services: { as: { image: x } }\nvolumes: {}\n", NEITHER),
        ("several.yaml", "services: {}\n---\nvolumes: {}\n", NEITHER),
        ("list.yaml", "- endpoints\n", NEITHER),
        ("text.yaml", "hello\n", NEITHER),
        ("pair.yaml", "endpoints: []\n---\nclients: []\n", "has several documents"),
        ("bare.yaml", "static_resources: {}\n", "is a configuration of Envoy's without certbound"),
        ("only.yaml", "clients: []\n", "missing field `endpoints`"),
        (
            "typo.yaml",
            "endpoints: []\nunregistred_clients: deny\n",
            "unknown field `unregistred_clients`: did you mean `unregistered_clients`?",
        ),
        (
            "strange.yaml",
            "endpoints: []\nservices: {}\n",
            "unknown field `services`, expected one of",
        ),
        (
            "client.yaml",
            "endpoints: [{ path: /a }]\nclients: [{ client_id: a, jwk: {}, token_endpoint_auth_method: none }]\n",
            "unknown key: did you mean `jwks`? (client `a`)",
        ),
    ] {
        let run = check(&format!("meant-{name}"), content);
        assert_eq!((run.status, paths(&run, "errors").len()), (1, 1), "{name}: {}", run.output);
        let said = run.json()["errors"][0]["message"].clone();
        assert!(said.as_str().unwrap().contains(message), "{name}: {said}");
    }
}

#[test]
fn check_finds_the_filter_in_every_form_that_envoy_takes() {
    let text = configuration().to_string();
    let any = |kind: &str, value: Value| json!({ "@type": format!("type.googleapis.com/google.protobuf.{kind}"), "value": value });
    let stop = "allow_on_headers_stop_iteration";
    let forms = [
        ("struct.yaml", listener(&plugin(&configuration()))),
        (
            "string.yaml",
            listener(&json!({ stop: true, "configuration": any("StringValue", text.into()) })),
        ),
        (
            "camel.yaml",
            listener(&json!({
                "allowOnHeadersStopIteration": true,
                "configuration": any("Struct", configuration()),
            })),
        ),
        (
            "istio.yaml",
            json!({ "kind": "EnvoyFilter", "spec": { "configPatches": [{ "patch": { "value": {
                "name": "certbound",
                "typed_config": {
                    "@type": "type.googleapis.com/udpa.type.v1.TypedStruct",
                    "type_url": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                    "value": { "config": plugin(&configuration()) },
                },
            } } }] } }),
        ),
    ];
    for (name, document) in forms {
        let run = check(name, document.to_string());
        assert_eq!(run.status, 0, "{name}: {}", run.output);
        assert_eq!(run.json()["warnings"], json!([]), "{name}");
        assert_eq!(run.json()["configurations"].as_array().unwrap().len(), 1, "{name}");
    }
}

#[test]
fn check_ignores_other_wasm_filters_and_checks_every_certbound() {
    let other = listener(&json!({ "name": "other", "configuration": {} }));
    let wrong = listener(&plugin(&with(configuration(), "endpoints", json!([]))));
    let documents =
        format!("{other}\n---\n{}\n---\n{wrong}\n", listener(&plugin(&configuration())));
    let run = check("documents.yaml", documents);
    assert_eq!(run.status, 1);
    assert_eq!(paths(&run, "errors"), [format!("[2].{PLUGIN}.configuration.value.endpoints")]);
    assert_eq!(check("other.yaml", other.to_string()).status, 1);
}

#[test]
fn check_rejects_a_filter_whose_configuration_cannot_reach_it() {
    let any = |value: Value| {
        listener(&json!({
            "name": "certbound",
            "allow_on_headers_stop_iteration": true,
            "configuration": value,
        }))
    };
    let of = |kind: &str| format!("type.googleapis.com/google.protobuf.{kind}");
    for (name, document, path) in [
        ("beside.yaml", any(json!({ "@type": of("Struct"), "endpoints": [] })), ".value"),
        ("untyped.yaml", any(json!({ "value": configuration() })), ".@type"),
        ("text-in-struct.yaml", any(json!({ "@type": of("Struct"), "value": "{}" })), ".value"),
        ("broken.yaml", any(json!({ "@type": of("StringValue"), "value": "{" })), ".value"),
        ("nothing.yaml", any(Value::Null), ""),
    ] {
        let run = check(name, document.to_string());
        assert_eq!(run.status, 1, "{name}");
        assert_eq!(paths(&run, "errors"), [format!("{PLUGIN}.configuration{path}")], "{name}");
    }
}

#[test]
fn check_warns_of_an_envoy_that_makes_the_filter_useless_or_unsafe() {
    let mut careless = plugin(&configuration());
    careless.as_object_mut().unwrap().remove("allow_on_headers_stop_iteration");
    careless["failure_policy"] = "FAIL_OPEN".into();
    let run = check("careless.yaml", listener(&careless).to_string());
    assert_eq!(run.status, 0);
    assert_eq!(
        paths(&run, "warnings"),
        ["allow_on_headers_stop_iteration", "failure_policy"].map(|key| format!("{PLUGIN}.{key}"))
    );
    let run = certbound(&["check", &file("careless-again.yaml", listener(&careless).to_string())]);
    assert!(run.problems.starts_with("warning: "), "{}", run.problems);
    assert!(run.output.contains("valid, 2 warnings"), "{}", run.output);
}

#[test]
fn check_knows_which_variables_the_module_sees() {
    let signed = with(configuration(), "signature", signature("hmac-sha256"));
    let secret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let in_host = plugin(&signed);
    let mut unlisted = in_host.clone();
    unlisted["vm_config"] = json!({});
    let mut given = in_host.clone();
    given["vm_config"] =
        json!({ "environment_variables": { "key_values": { "CERTBOUND_SIGNING_KEY": secret } } });
    let key = format!("{PLUGIN}.configuration.value.signature.keys[0].key");
    let none = Vec::<String>::new();
    for (name, plugin, variables, errors, warnings) in [
        ("in-host.yaml", &in_host, &[("CERTBOUND_SIGNING_KEY", secret)][..], vec![], vec![]),
        ("not-here.yaml", &in_host, &[][..], vec![], vec![key.clone()]),
        ("given.yaml", &given, &[][..], vec![], vec![]),
        ("unlisted.yaml", &unlisted, &[("CERTBOUND_SIGNING_KEY", secret)][..], vec![key], none),
    ] {
        let path = file(name, listener(plugin).to_string());
        let run = certbound_with(&["check", "--json", &path], variables, "");
        assert_eq!(paths(&run, "errors"), errors, "{name}");
        assert_eq!(paths(&run, "warnings"), warnings, "{name}");
    }
}

// === certificate ===

#[test]
fn certificate_tells_all_that_is_gone_by() {
    let identity = PKI.get("payments");
    let expected = json!({
        "x5t#S256": identity.thumbprint(),
        "subject": "CN=payments,O=Example Bank,C=SE",
        "subject_alt_names": [
            { "type": "dns", "value": "payments.example.com" },
            { "type": "dns", "value": "second.example.com" },
            { "type": "uri", "value": "spiffe://example.org/payments" },
            { "type": "ip", "value": "192.0.2.10" },
            { "type": "ip", "value": "2001:db8::10" },
            { "type": "email", "value": "ops@example.com" },
        ],
        "issuer": "CN=certbound demo client CA",
        "not_before": "2026-01-01T00:00:00Z",
        "not_after": "2036-01-01T00:00:00Z",
        "key": "EC P-256",
        "allows_client_authentication": true,
    });
    for path in [
        certificate("payments.pem", "payments"),
        file("payments.der", &identity.certificate_der),
        file("payments.txt", format!("Subject: me\n{}", identity.chain_pem())),
    ] {
        let run = certbound(&["certificate", "--json", &path]);
        assert_eq!(run.status, 0, "{path}: {}", run.problems);
        let shown = run.json();
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&shown[key], value, "{path}: {key}");
        }
        assert_eq!(shown["thumbprint_hex"].as_str().unwrap().len(), 64);

        let run = certbound(&["certificate", &path]);
        for expected in
            [identity.thumbprint().as_str(), "uri: spiffe://example.org/payments", "EC P-256"]
        {
            assert!(run.output.contains(expected), "{expected} in {}", run.output);
        }
    }
}

#[test]
fn certificate_names_every_kind_of_key() {
    for (identity, key) in [
        ("partner-p384", "EC P-384"),
        ("partner-ed25519", "Ed25519"),
        ("partner-rsa", "RSA 2048 bits"),
    ] {
        let path = certificate(&format!("key-{identity}.pem"), identity);
        assert_eq!(certbound(&["certificate", "--json", &path]).json()["key"], key);
    }
}

#[test]
fn certificate_shows_the_first_of_a_chain() {
    let path = certificate("chain.pem", "via-intermediate");
    let shown = certbound(&["certificate", "--json", &path]).json();
    assert_eq!(shown["x5t#S256"], PKI.get("via-intermediate").thumbprint());
}

#[test]
fn certificate_rejects_what_is_none() {
    for (name, content) in [
        ("no.pem", "hello"),
        ("key.pem", &PKI.get("payments").key.to_pkcs8_pem()),
        ("damaged.pem", "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n"),
        ("nothing.pem", ""),
    ] {
        let run = certbound(&["certificate", &file(name, content)]);
        assert_eq!((run.status, run.output.as_str()), (1, ""), "{name}");
        assert!(run.problems.starts_with("error: "), "{name}: {}", run.problems);
    }
    assert_eq!(certbound(&["certificate", "/no/such/file"]).status, 1);
}

fn register(path: &str, method: &str, client_id: &str) -> Run {
    certbound(&["certificate", path, "--register", method, "--client-id", client_id])
}

#[test]
fn a_registered_entry_lets_its_client_in() {
    for (identity, method) in [
        ("payments", "tls_client_auth"),
        ("multi-rdn", "tls_client_auth"),
        ("partner-app", "self_signed_tls_client_auth"),
        ("partner-rsa", "self_signed_tls_client_auth"),
    ] {
        for client_id in ["payments", "on", "a: b # \"c\""] {
            let path = certificate(&format!("register-{identity}.pem"), identity);
            let run = register(&path, method, client_id);
            assert_eq!((run.status, run.problems.as_str()), (0, ""), "{identity}");
            let yaml = format!("endpoints: [{{ path: /token }}]\nclients:\n{}", run.output);
            let config = file(&format!("registered-{identity}.yaml"), yaml);
            let arguments =
                ["decide", "--config", &config, "--client-id", client_id, "--certificate", &path];
            let run = certbound(&arguments);
            assert_eq!(run.status, 0, "{identity} {client_id}: {} {}", run.output, run.problems);

            let arguments = ["certificate", &path, "--register", method, "--client-id", client_id];
            let entry = certbound(&[&arguments[..], &["--json"]].concat()).json();
            assert_eq!(entry["client_id"], client_id);
            assert_eq!(entry["token_endpoint_auth_method"], method);
        }
    }
}

#[test]
fn registering_offers_every_name_and_warns_of_what_would_be_refused() {
    let path = certificate("offers.pem", "payments");
    let run = register(&path, "tls_client_auth", "payments");
    assert_eq!(
        run.output,
        "- client_id: payments\n  \
           token_endpoint_auth_method: tls_client_auth\n  \
           tls_client_auth_subject_dn: \"CN=payments,O=Example Bank,C=SE\"\n  \
           # or, instead of it, one of\n  \
           # tls_client_auth_san_dns: payments.example.com\n  \
           # tls_client_auth_san_dns: second.example.com\n  \
           # tls_client_auth_san_uri: \"spiffe://example.org/payments\"\n  \
           # tls_client_auth_san_ip: \"192.0.2.10\"\n  \
           # tls_client_auth_san_ip: \"2001:db8::10\"\n  \
           # tls_client_auth_san_email: \"ops@example.com\"\n  \
           # trust_anchors: [NAME] # where several sets are configured\n"
    );
    for (identity, warning) in [
        ("payments-expired", "expired"),
        ("payments-future", "not valid before"),
        ("payments-server-only", "does not allow TLS client authentication"),
        ("payments-selfsigned", "no CA vouches for it"),
    ] {
        let path = certificate(&format!("warns-{identity}.pem"), identity);
        let run = register(&path, "tls_client_auth", "payments");
        assert_eq!(run.status, 0, "{identity}");
        assert!(run.problems.starts_with("warning: "), "{identity}: {}", run.problems);
        assert!(run.problems.contains(warning), "{identity}: {}", run.problems);
    }
}

/// Made by OpenSSL 3.0: `openssl ca` without x509_extensions, as `openssl x509 -req` without -extfile.
const VERSION_1: &str = "-----BEGIN CERTIFICATE-----
MIIBDzCBtgIBATAKBggqhkjOPQQDAjASMRAwDgYDVQQDDAdzb21lIENBMCAXDTI2
MDEwMTAwMDAwMFoYDzIxMjYwMTAxMDAwMDAwWjAUMRIwEAYDVQQDDAl2ZXJzaW9u
LTEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQq2LBwbIWYapFq/LXiinAX9+a7
c0tXP85Iz91YsqMt/gfMDRP0wqtx3mCtb7S3v43WcJo/ta5QBtCc+PwtYEkLMAoG
CCqGSM49BAMCA0gAMEUCIQDULvv5Gl240GCa1qAo7GX2rFs0c4Agt9FV0w6WHcAI
oAIgTWgMFQyqksfA3pT9qFMd3nbh76oJosqu0ZIq1oumAIM=
-----END CERTIFICATE-----
";

#[test]
fn a_certificate_that_no_path_is_validated_of_is_named() {
    const WARNING: &str = "warning: the certificate is X.509 version 1, ";
    let old = file("version-1.pem", VERSION_1);
    for run in [
        certbound(&["certificate", &old]),
        certbound(&["certificate", "--json", &old]),
        register(&old, "tls_client_auth", "a"),
    ] {
        assert_eq!(run.status, 0);
        assert!(run.problems.starts_with(WARNING), "{}", run.problems);
        assert_eq!(run.problems.lines().count(), 1, "{}", run.problems);
        assert!(!run.output.is_empty());
    }

    let issue = |is_authority: bool| {
        let template = CertificateTemplate::client("CN=a", Vec::new());
        let template = CertificateTemplate { is_authority, ..template };
        let identity = template.issued_by(PKI.get("client-ca"), Key::p256("client-or-authority"));
        file(&format!("is-authority-{is_authority}.pem"), identity.chain_pem())
    };
    let [client, authority] = [false, true].map(issue);
    let run = register(&authority, "tls_client_auth", "a");
    assert_eq!((run.status, run.problems.lines().count()), (0, 1), "{}", run.problems);
    assert!(run.problems.contains("makes the certificate a CA's"), "{}", run.problems);
    assert_eq!(certbound(&["certificate", &authority]).problems, "");
    // By its thumbprint any certificate is recognised.
    for path in [&old, &authority] {
        let run = register(path, "self_signed_tls_client_auth", "a");
        assert_eq!((run.status, run.problems.as_str()), (0, ""));
    }

    // It is as the warning says.
    let run = register(&client, "tls_client_auth", "a");
    assert_eq!((run.status, run.problems.as_str()), (0, ""));
    let ca = PKI.get("client-ca").certificate_pem();
    let config = json!({
        "endpoints": [{ "path": "/token" }],
        "clients": [{
            "client_id": "a",
            "token_endpoint_auth_method": "tls_client_auth",
            "tls_client_auth_subject_dn": "CN=a",
        }],
        "trust_anchors": { "ca": { "certificates": ca } },
    });
    let config = file("no-authority.json", config.to_string());
    for (path, status) in [(&client, 0), (&authority, 1)] {
        let run = decide(&config, &["--client-id", "a", "--certificate", path]);
        assert_eq!(run.status, status, "{}", run.output);
    }
}

#[test]
fn registering_goes_by_a_name_if_there_is_no_subject() {
    let without_subject = |names: Vec<GeneralName>| {
        let template = CertificateTemplate::client("CN=a", names);
        let template = CertificateTemplate { subject: Name::default(), ..template };
        template.issued_by(PKI.get("client-ca"), Key::p256("without-subject"))
    };
    let identity = without_subject(vec![dns_name("*.example.com"), uri("spiffe://example.org/a")]);
    let run = register(&file("no-subject.pem", identity.chain_pem()), "tls_client_auth", "a");
    assert_eq!(run.status, 0, "{}", run.problems);
    assert!(run.output.contains("\n  tls_client_auth_san_uri: \"spiffe://example.org/a\"\n"));
    // No client can be registered by a wildcard, nor by nothing.
    assert!(
        !run.output.contains("san_dns") && !run.output.contains("subject_dn"),
        "{}",
        run.output
    );

    let path = file("nameless.pem", without_subject(Vec::new()).chain_pem());
    let run = register(&path, "tls_client_auth", "a");
    assert_eq!((run.status, run.output.as_str()), (1, ""));
    assert_eq!(register(&path, "self_signed_tls_client_auth", "a").status, 0);
}

#[test]
fn an_entry_is_bound_to_the_set_of_trust_anchors_that_is_named() {
    let path = certificate("bound.pem", "payments");
    let bound = |method: &str, name: &str| {
        let arguments = ["--client-id", "payments", "--trust-anchors", name];
        certbound(&[&["certificate", &path, "--register", method], &arguments[..]].concat())
    };
    let anchors = ["client-ca", "partner-ca"]
        .map(|name| (name.to_owned(), json!({ "certificates": PKI.get(name).certificate_pem() })));
    let anchors = Value::Object(anchors.into_iter().collect());
    for (name, status) in [("client-ca", 0), ("partner-ca", 1), ("neither", 2)] {
        let run = bound("tls_client_auth", name);
        assert_eq!((run.status, run.problems.as_str()), (0, ""));
        assert!(run.output.ends_with(&format!("\n  trust_anchors: [{name}]\n")), "{}", run.output);
        let yaml = format!(
            "endpoints: [{{ path: /token }}]\ntrust_anchors: {anchors}\nclients:\n{}",
            run.output
        );
        let config = file(&format!("bound-{name}.yaml"), yaml);
        let run = decide(&config, &["--client-id", "payments", "--certificate", &path]);
        assert_eq!(run.status, status, "{name}: {} {}", run.output, run.problems);
    }
    let run = bound("self_signed_tls_client_auth", "client-ca");
    assert_eq!((run.status, run.output.as_str()), (1, ""));
    assert_eq!(certbound(&["certificate", &path, "--trust-anchors", "a"]).status, 2);
    let arguments = ["--client-id", "payments", "--trust-anchors", "client-ca", "--json"];
    let arguments =
        [&["certificate", &path, "--register", "tls_client_auth"], &arguments[..]].concat();
    assert_eq!(certbound(&arguments).json()["trust_anchors"], json!(["client-ca"]));
}

#[test]
fn registering_needs_a_method_and_a_client_that_exist() {
    let path = certificate("needs.pem", "payments");
    assert_eq!(register(&path, "tls_client_auth", "").status, 1);
    assert_eq!(register(&path, "private_key_jwt", "payments").status, 2);
    assert_eq!(certbound(&["certificate", &path, "--register", "tls_client_auth"]).status, 2);
    assert_eq!(certbound(&["certificate", &path, "--client-id", "payments"]).status, 2);
}

// === decide ===

/// Arguments for a configuration file and what follows.
fn decide(config: &str, more: &[&str]) -> Run {
    certbound(&[&["decide", "--config", config, "--json"], more].concat())
}

#[test]
fn decide_allows_a_client_with_its_certificate() {
    let config = file("allow.json", configuration().to_string());
    let certificate = certificate("allow.pem", "payments");
    let run = decide(&config, &["--client-id", "payments", "--certificate", &certificate]);
    assert_eq!(run.status, 0, "{}", run.problems);
    let decision = run.json();
    assert_eq!(decision["outcome"], "allowed");
    assert_eq!(decision["reason"], Value::Null);
    assert_eq!(decision["client_id"], "payments");
    assert_eq!(decision["thumbprint"], PKI.get("payments").thumbprint());
    assert_eq!(decision["status"], Value::Null);
    assert_eq!(decision["headers"]["x-client-id"], "payments");
    assert!(decision["headers"]["client-cert"].as_str().unwrap().starts_with(":MII"));

    let arguments =
        ["decide", "--config", &config, "--client-id", "payments", "--certificate", &certificate];
    let run = certbound(&arguments);
    assert!(run.output.starts_with("allowed\n"), "{}", run.output);
    assert!(run.output.contains("--envoy-verdict"), "{}", run.output);
}

#[test]
fn decide_refuses_with_the_reason_of_the_filter() {
    let config = file("refuse.json", configuration().to_string());
    let damaged = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
    let damaged = file("refuse-damaged.pem", damaged);
    let [payments, batch, server, expired, partner] =
        ["payments", "batch", "payments-server-only", "payments-expired", "partner-next"]
            .map(|identity| certificate(&format!("refuse-{identity}.pem"), identity));
    for (client_id, more, reason, error) in [
        ("payments", vec![], "certificate_missing", "invalid_client"),
        ("payments", vec!["--certificate", &batch], "subject_mismatch", "invalid_client"),
        ("payments", vec!["--certificate", &server], "certificate_purpose", "invalid_client"),
        ("payments", vec!["--certificate", &expired], "certificate_expired", "invalid_client"),
        ("payments", vec!["--certificate", &damaged], "certificate_unreadable", "invalid_client"),
        (
            "payments",
            vec!["--certificate", &payments, "--at", "2025-12-31T23:59:59Z"],
            "certificate_not_yet_valid",
            "invalid_client",
        ),
        (
            "payments",
            vec!["--certificate", &payments, "--at", "2036-01-01T00:00:01Z"],
            "certificate_expired",
            "invalid_client",
        ),
        (
            "payments",
            vec!["--certificate", &payments, "--envoy-verdict", "invalid"],
            "certificate_untrusted",
            "invalid_client",
        ),
        (
            "partner app",
            vec!["--certificate", &partner],
            "certificate_not_registered",
            "invalid_client",
        ),
        ("nobody", vec!["--certificate", &payments], "client_not_registered", "invalid_client"),
        ("", vec![], "client_id_missing", "invalid_request"),
    ] {
        let run = decide(&config, &[&["--client-id", client_id], &more[..]].concat());
        assert_eq!(run.status, 1, "{reason}: {}", run.problems);
        let decision = run.json();
        assert_eq!(decision["outcome"], "denied", "{reason}");
        assert_eq!(decision["reason"], reason);
        assert_eq!(decision["error"], error, "{reason}");
        assert_eq!(decision["status"], if error == "invalid_client" { 401 } else { 400 });
        assert_eq!(decision["headers"], json!({}), "{reason}");
        assert!(!decision["detail"].as_str().unwrap().is_empty(), "{reason}");
    }
    let run = certbound(&["decide", "--config", &config, "--client-id", "payments"]);
    assert_eq!(run.status, 1);
    assert!(run.output.starts_with("denied: certificate_missing\n"), "{}", run.output);
}

#[test]
fn decide_reads_the_time_inclusively_and_in_any_zone() {
    let config = file("time.json", configuration().to_string());
    let path = certificate("time.pem", "payments");
    for (at, status) in [
        ("2026-01-01T00:00:00Z", 0),
        ("2036-01-01T00:00:00Z", 0),
        ("2036-01-01T00:30:00+01:00", 0),
        ("2036-01-01T00:30:00-01:00", 1),
    ] {
        let more = ["--client-id", "payments", "--certificate", &path, "--at", at];
        assert_eq!(decide(&config, &more).status, status, "{at}");
    }
}

#[test]
fn decide_reports_what_is_not_enforced() {
    let config = with(configuration(), "enforcement", "report".into());
    let run = decide(&file("report.json", config.to_string()), &["--client-id", "payments"]);
    assert_eq!(run.status, 0);
    let decision = run.json();
    assert_eq!(decision["outcome"], "reported");
    assert_eq!(decision["reason"], "certificate_missing");
    assert_eq!(decision["status"], Value::Null);
}

#[test]
fn decide_takes_a_raw_request() {
    let config = file("raw.json", configuration().to_string());
    let path = certificate("raw.pem", "payments");
    let request = |name: &str, target: &str, fields: &str, body: &str| {
        let form = "Content-Type: application/x-www-form-urlencoded";
        let head =
            format!("POST {target} HTTP/1.1\r\nHost: as.example.com\r\n{form}\r\n{fields}\r\n");
        file(name, format!("{head}{body}"))
    };
    let of_payments = "grant_type=client_credentials&client_id=payments";

    let spoofed = request(
        "spoofed.http",
        "/oauth/token",
        "Client-Cert: :AAAA:\r\nX_Client_Id: root\r\n",
        of_payments,
    );
    let run = decide(&config, &["--request", &spoofed, "--certificate", &path]);
    assert_eq!(run.status, 0, "{}", run.problems);
    assert_eq!(run.json()["client_id"], "payments");
    assert!(run.json()["headers"]["client-cert"].as_str().unwrap().starts_with(":MII"));
    assert_eq!(run.json()["removed_headers"], json!(["x_client_id"]));

    for (name, fields, body, reason) in [
        (
            "secret.http",
            "",
            format!("{of_payments}&client_secret=x"),
            "multiple_authentication_methods",
        ),
        (
            "basic.http",
            "Authorization: Basic cG9ydGFsOng=\r\n",
            of_payments.into(),
            "client_id_conflict",
        ),
        ("twice.http", "", format!("{of_payments}&client_id=payments"), "client_id_repeated"),
        ("coded.http", "Content-Encoding: gzip\r\n", of_payments.into(), "media_type_unsupported"),
        ("large.http", "", format!("{of_payments}&x={}", "x".repeat(70_000)), "body_too_large"),
    ] {
        let path = request(name, "/oauth/token", fields, &body);
        let run = decide(&config, &["--request", &path]);
        assert_eq!((run.status, run.json()["reason"].clone()), (1, reason.into()), "{name}");
    }

    let elsewhere = request("elsewhere.http", "/userinfo", "Client-Cert: :AAAA:\r\n", "");
    let decision = decide(&config, &["--request", &elsewhere]);
    assert_eq!((decision.status, decision.json()["outcome"].clone()), (0, "passed".into()));
    assert_eq!(decision.json()["removed_headers"], json!(["client-cert"]));

    // Who it is expected to be from.
    let agreeing = decide(&config, &["--request", &spoofed, "--client-id", "payments"]);
    assert_eq!(agreeing.json()["reason"], "certificate_missing");
    let run = decide(&config, &["--request", &spoofed, "--client-id", "portal"]);
    assert_eq!((run.status, run.output.as_str()), (2, ""));
    assert!(run.problems.contains("`payments`, not from `portal`"), "{}", run.problems);
}

#[test]
fn decide_signs_with_the_key_of_the_environment_or_an_example() {
    let key = PKI.signing_key().to_pkcs8_pem();
    let path = certificate("signs.pem", "payments");
    let arguments = [
        "decide",
        "--config",
        ENVOY_YAML,
        "--client-id",
        "payments",
        "--certificate",
        &path,
        "--json",
    ];
    let signing_key = ("CERTBOUND_SIGNING_KEY", key.as_str());
    for (variables, notes) in [(&[signing_key][..], 0), (&[][..], 1)] {
        let run = certbound_with(&arguments, variables, "");
        assert_eq!(run.status, 0, "{}", run.problems);
        let headers = &run.json()["headers"];
        assert!(headers["signature"].as_str().unwrap().starts_with("certbound=:"));
        assert!(headers["signature-input"].as_str().unwrap().contains("keyid=\"demo\""));
        // The secret of introspection, which is never set here, signs nothing.
        let found = run.json()["notes"].clone();
        assert_eq!(found.as_array().unwrap().len(), notes, "{found}");
        assert!(
            found.as_array().unwrap().iter().all(|note| note
                .as_str()
                .unwrap()
                .contains("`CERTBOUND_SIGNING_KEY` is not set here: an example stood in")),
            "{found}"
        );
    }
    // Nothing is signed of what is denied, nor of what goes on without certificate.
    for (client_id, certificate, status) in
        [("payments", None, 1), ("batch", Some(&path), 1), ("portal", None, 0)]
    {
        let certificate = certificate.map(|path| ["--certificate", path]);
        let more = certificate.iter().flatten().copied();
        let arguments: Vec<&str> = ["--client-id", client_id].into_iter().chain(more).collect();
        let run = decide(ENVOY_YAML, &arguments);
        assert_eq!((run.status, run.json()["notes"].clone()), (status, json!([])), "{client_id}");
    }
}

#[test]
fn decide_cannot_use_bad_input() {
    let config = file("usable.json", configuration().to_string());
    let wrong = file("unusable.json", "{}");
    let two = [configuration(), with(configuration(), "unregistered_clients", "pass".into())]
        .map(|configuration| listener(&plugin(&configuration)).to_string())
        .join("\n---\n");
    let two = file("ambiguous.yaml", two);
    let text = file("text.txt", "hello");
    let client = ["--client-id", "payments"];
    for (config, more) in [
        ("/no/such/file", &[][..]),
        (&wrong, &[]),
        (&two, &[]),
        (&config, &["--certificate", "/no/such/file"]),
        (&config, &["--certificate", &text]),
        (&config, &["--request", "/no/such/file"]),
        (&config, &["--request", &text]),
        (&config, &["--at", "tomorrow"]),
        (&config, &["--envoy-verdict", "perhaps"]),
    ] {
        let run = decide(config, &[&client, more].concat());
        assert_eq!((run.status, run.output.as_str()), (2, ""), "{config} {more:?}");
        assert!(run.problems.starts_with("error: "), "{config} {more:?}: {}", run.problems);
    }
    assert_eq!(decide(&config, &[]).status, 2);
}

// === schema ===

#[test]
fn the_schema_in_this_repository_is_that_of_the_command() {
    let run = certbound(&["schema"]);
    assert_eq!((run.status, run.problems.as_str()), (0, ""));
    assert!(
        run.output == include_str!("../certbound.schema.json"),
        "run `certbound schema > certbound.schema.json`"
    );
    assert_eq!(run.json()["$schema"], "http://json-schema.org/draft-07/schema#");
}

#[test]
fn the_reference_in_this_repository_is_that_of_the_command() {
    let run = certbound(&["schema", "--markdown"]);
    assert_eq!((run.status, run.problems.as_str()), (0, ""));
    assert!(
        run.output == include_str!("../docs/configuration.md"),
        "run `certbound schema --markdown > docs/configuration.md`"
    );
}
