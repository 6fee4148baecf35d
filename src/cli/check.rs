//! `certbound check`.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use certbound::{
    config::{Config, Enforcement, UnregisteredClients},
    endpoint::PathMatch,
};
use serde_json::{Value, json};

use super::{
    BAD, FINE, Printout, SECONDS_PER_DAY, UNEASY,
    configuration::{self, Configuration, Finding, Severity},
    counted,
    expiry::Outlook,
    printable, property, rfc3339, styled,
};

/// Check a configuration, alone or within Envoy's
#[derive(clap::Args)]
#[command(after_help = "\
FILE is a plugin configuration by itself, or anything of Envoy's that holds one: a bootstrap, a listener, a file for LDS
or ECDS, the answer of Envoy's /config_dump, Istio's EnvoyFilter, Envoy Gateway's EnvoyPatchPolicy, a ConfigMap with an
envoy.yaml. YAML is read as Envoy reads it; a key that is there twice, where Envoy takes the last, is an error.

An error means that Envoy would not start with this filter. A warning means that it would, and that
  - something around the filter makes it unsafe or useless: a failure policy that lets requests pass, TLS without client
    certificates, resumed sessions where Envoy's verdict decides, routes that break signatures, filters in the wrong order;
  - a CA, a CRL or a registered certificate (x5c) has expired, or does so within --expiry-days. Of what lives for less
    than four times as long, the last quarter counts;
  - a secret, `{ env: NAME }`, could not be checked, since the variable is not set here.
Nothing is said of what the file does not tell: of the listener that an EnvoyFilter is for, of what comes by SDS or RDS. Where
certbound is delivered (ECDS, `config_discovery`) and its configuration is not in the file, what surrounds it is judged as far
as that goes; check what is delivered as a file of its own. A dump has both, and what fits by its name is judged together.

After an update by ECDS that certbound rejected, /config_dump has the rejected configuration, and no error_state beside it:
the log's last `configured …` line says which one is at work.

--json prints {\"valid\", \"errors\", \"warnings\", \"configurations\"}. Errors and warnings are lists of
{\"path\", \"message\", \"line\", \"column\"}: the key's path, the sentence, and where it is in the file or, if it is
missing, where it belongs (null if that is not known). The configurations found are listed as {\"path\", \"endpoints\",
\"clients\", \"signing\"}: how many endpoints, how many clients of each method, whether anything is signed. One that is
delivered, and not in the file, is listed as {\"path\", \"delivered_as\"}.

Examples:
  certbound check certbound.yaml
  certbound check /etc/envoy/envoy.yaml
  curl -s localhost:9901/config_dump | certbound check -
      What does the Envoy that runs here really have? (9901 is the port of `admin`)
  certbound check envoy.yaml --at 2027-01-01 --expiry-days 90
      What will have expired by then, or soon after?
  kubectl get configmap envoy -o yaml | certbound check -
  certbound check --json envoy.yaml | jq -r '.warnings[] | \"\\(.line): \\(.message)\"'
  certbound check --json envoy.yaml | jq -e '.valid and (.warnings | length == 0)'
      For a pipeline that lets no warning through.

Exit status: 0 if the configuration is valid, with or without warnings; 1 if it is not, or cannot be read.")]
pub(super) struct Arguments {
    /// The file to check; `-` for the standard input
    file: PathBuf,
    /// Warn of what expires within so many days
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    expiry_days: u16,
    /// The time to check for, as in RFC 3339 [default: now]
    #[arg(long, value_name = "RFC3339", value_parser = rfc3339::parse)]
    at: Option<u64>,
    /// Print JSON: {"valid", "errors", "warnings", "configurations"}
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Printout {
    let outlook = Outlook {
        now: arguments.at.unwrap_or_else(super::now),
        period: u64::from(arguments.expiry_days).saturating_mul(SECONDS_PER_DAY),
    };
    let configurations = configuration::read(&arguments.file, &super::environment, outlook)
        .unwrap_or_else(|error| {
            vec![Configuration { errors: vec![error], ..Configuration::default() }]
        });
    let count = |findings: fn(&Configuration) -> &Vec<Finding>| {
        configurations.iter().map(|configuration| findings(configuration).len()).sum::<usize>()
    };
    let errors = count(|configuration| &configuration.errors);
    let warnings = count(|configuration| &configuration.warnings);
    let status = u8::from(errors > 0);
    if arguments.json {
        let list = |findings: fn(&Configuration) -> &Vec<Finding>| -> Value {
            configurations.iter().flat_map(findings).map(Finding::to_json).collect()
        };
        return Printout::json(
            status,
            &json!({
                "valid": errors == 0,
                "errors": list(|configuration| &configuration.errors),
                "warnings": list(|configuration| &configuration.warnings),
                "configurations": configurations.iter().filter_map(summary_json).collect::<Value>(),
            }),
        );
    }

    let mut printout = Printout { status, ..Printout::default() };
    for configuration in &configurations {
        let Configuration { path, errors, warnings, .. } = configuration;
        for error in errors {
            printout.problems += &error.describe(Severity::Error, &arguments.file, path);
        }
        for warning in warnings {
            printout.problems += &warning.describe(Severity::Warning, &arguments.file, path);
        }
    }
    let found = |count, noun, style| match count {
        0 => String::new(),
        _ => format!(", {}", styled(style, &counted(count, noun))),
    };
    let verdict = if errors == 0 { styled(FINE, "valid") } else { styled(BAD, "not valid") };
    let _ = writeln!(
        printout.output,
        "{}: {verdict}{}{}",
        printable(&arguments.file.display().to_string()),
        found(errors, "error", BAD),
        found(warnings, "warning", UNEASY)
    );
    for configuration in &configurations {
        if let Some(config) = &configuration.config {
            printout.output.push_str(&summary(configuration, config));
        } else if let Some(name) = &configuration.delivered_as {
            let note = format!(
                "delivered (ECDS) as {name}, and not in this file: check what is delivered, too"
            );
            printout.output += &property("at", &configuration.path);
            printout.output += &property("configuration", &note);
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
                let jws = signature.jws.as_ref().map(|jws| match jws.reuse_seconds {
                    0 => format!(", JWS in {}", jws.name),
                    seconds => format!(
                        ", JWS in {}, sent again for {seconds} seconds (a server that takes each jti once refuses that)",
                        jws.name
                    ),
                });
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
    lines.iter().map(|(label, value)| property(label, value)).collect()
}

fn summary_json(configuration: &Configuration) -> Option<Value> {
    if let Some(name) = &configuration.delivered_as {
        return Some(json!({ "path": configuration.path, "delivered_as": name }));
    }
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
