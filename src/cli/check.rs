//! `certbound check`.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use certbound::{
    config::{Config, Enforcement, UnregisteredClients},
    endpoint::PathMatch,
};
use serde_json::{Value, json};

use super::{
    Printout,
    configuration::{self, Configuration, Finding},
    counted, printable,
};

/// Check a configuration, alone or within Envoy's
#[derive(clap::Args)]
#[command(after_help = "\
FILE is a plugin configuration by itself, or anything of Envoy's that holds one: a bootstrap, a listener, an EnvoyFilter.
YAML is read as Envoy reads it; a key that is there twice, where Envoy takes the last, is an error.

Secrets named by `{ env: NAME }` are checked if the variable is set here. If it is not, that is a warning.

Examples:
  certbound check certbound.yaml
  certbound check /etc/envoy/envoy.yaml
  kubectl get configmap envoy -o 'jsonpath={.data.envoy\\.yaml}' | certbound check -
  certbound check --json envoy.yaml | jq -r '.errors[] | \"\\(.path): \\(.message)\"'

Exit status: 0 if the configuration is valid, with or without warnings; 1 if it is not, or cannot be read.")]
pub(super) struct Arguments {
    /// The file to check; `-` for the standard input
    file: PathBuf,
    /// Print {"valid", "errors": [{"path", "message"}], "warnings": […], "configurations": […]}
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Printout {
    let configurations =
        configuration::read(&arguments.file, &super::environment).unwrap_or_else(|error| {
            vec![Configuration { errors: vec![error], ..Configuration::default() }]
        });
    let errors: Vec<&Finding> =
        configurations.iter().flat_map(|configuration| &configuration.errors).collect();
    let warnings: Vec<&Finding> =
        configurations.iter().flat_map(|configuration| &configuration.warnings).collect();
    let status = u8::from(!errors.is_empty());
    if arguments.json {
        let list = |findings: &[&Finding]| -> Value {
            findings.iter().map(|finding| finding.to_json()).collect()
        };
        return Printout::json(
            status,
            &json!({
                "valid": errors.is_empty(),
                "errors": list(&errors),
                "warnings": list(&warnings),
                "configurations": configurations.iter().filter_map(summary_json).collect::<Value>(),
            }),
        );
    }

    let mut printout = Printout { status, ..Printout::default() };
    for error in &errors {
        let _ = writeln!(printout.problems, "error: {error}");
    }
    for warning in &warnings {
        let _ = writeln!(printout.problems, "warning: {warning}");
    }
    let file = arguments.file.display();
    let found = |findings: &[&Finding], noun| match findings.len() {
        0 => String::new(),
        count => format!(", {}", counted(count, noun)),
    };
    let verdict = if errors.is_empty() { "valid" } else { "not valid" };
    let _ = writeln!(
        printout.output,
        "{file}: {verdict}{}{}",
        found(&errors, "error"),
        found(&warnings, "warning")
    );
    for configuration in &configurations {
        if let Some(config) = &configuration.config {
            printout.output.push_str(&summary(configuration, config));
        }
    }
    printout
}

fn summary(configuration: &Configuration, config: &Config) -> String {
    let mut lines = Vec::new();
    if !configuration.path.is_empty() {
        lines.push(("at", configuration.path.clone()));
    }
    let endpoints: Vec<String> = config
        .endpoints
        .iter()
        .map(|endpoint| {
            let path = match &endpoint.path {
                PathMatch::Exact(path) => path.clone(),
                PathMatch::Prefix(prefix) => format!("{prefix}…"),
            };
            format!("{} {path}", endpoint.methods.join("|"))
        })
        .collect();
    lines.push(("endpoints", endpoints.join(", ")));
    let clients = clients_by_method(&configuration.written);
    let clients: Vec<String> =
        clients.iter().map(|(method, count)| format!("{count} {method}")).collect();
    lines.push(("clients", if clients.is_empty() { "none".into() } else { clients.join(", ") }));
    lines.push((
        "unregistered",
        match config.unregistered_clients {
            UnregisteredClients::Deny => "denied",
            UnregisteredClients::Forward => "forwarded with their certificate, if it verifies",
            UnregisteredClients::Pass => "passed on without certificate",
        }
        .into(),
    ));
    if config.enforcement == Enforcement::Report {
        lines.push(("enforcement", "off: denials are only reported".into()));
    }
    let sets: Vec<&str> = config.trust_anchors.keys().map(String::as_str).collect();
    let trust = if sets.is_empty() { "Envoy's verdict".into() } else { sets.join(", ") };
    lines.push(("trust anchors", trust));
    lines.push(("certificate", format!("in {}", config.certificate_header.name)));
    lines.push((
        "signing",
        config.signature.as_ref().map_or_else(
            || "off".into(),
            |signature| {
                let message_signature = signature.http_message_signature.as_ref();
                let label =
                    message_signature.map(|signature| format!(", label {}", signature.label));
                let jws = signature.jws.as_ref().map(|jws| format!(", JWS in {}", jws.name));
                format!(
                    "on, {} with the key {}{}{}",
                    signature.key.secret.algorithm(),
                    signature.key.kid,
                    label.unwrap_or_default(),
                    jws.unwrap_or_default(),
                )
            },
        ),
    ));
    let jwk_set = config.signature.iter().find_map(|signature| signature.jwk_set.as_ref());
    lines.extend(jwk_set.map(|jwk_set| ("public keys", format!("at {}", jwk_set.path))));
    lines.iter().map(|(name, value)| format!("  {name:<13} {}\n", printable(value))).collect()
}

fn summary_json(configuration: &Configuration) -> Option<Value> {
    let config = configuration.config.as_ref()?;
    Some(json!({
        "path": configuration.path,
        "endpoints": config.endpoints.len(),
        "clients": clients_by_method(&configuration.written),
        "signing": config.signature.is_some(),
    }))
}

fn clients_by_method(written: &Value) -> BTreeMap<&str, usize> {
    let mut methods = BTreeMap::new();
    for client in written.get("clients").and_then(Value::as_array).into_iter().flatten() {
        if let Some(method) = client.get("token_endpoint_auth_method").and_then(Value::as_str) {
            let count: &mut usize = methods.entry(method).or_default();
            *count = count.saturating_add(1);
        }
    }
    methods
}
