//! Configurations in files, checked the way the filter checks them when it starts.

use std::{cell::RefCell, collections::BTreeSet, path::Path};

use anstyle::Style;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use certbound::config::{Config, ConfigError};
use ed25519_dalek::pkcs8::{EncodePrivateKey as _, spki::der::pem::LineEnding};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    BAD, DIM, STANDARD_INPUT, UNEASY,
    bootstrap::{self, Filter, Found, ModuleVariable, Slot},
    expiry::{self, Outlook},
    message::{Message, join},
    places::{Place, Places},
    printable, spelling, styled,
    surroundings::{self, Configured},
    yaml,
};

/// Something to say about a place in a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Finding {
    pub(super) path: String,
    pub(super) message: String,
    /// Where the key is, or what it belongs into; unknown of a file as a whole.
    pub(super) place: Option<Place>,
}

impl Finding {
    pub(super) fn new(path: &str, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), message: message.into(), place: None }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "path": self.path,
            "message": self.message,
            "line": self.place.map(|place| place.line),
            "column": self.place.map(|place| place.column),
        })
    }
}

/// How bad it is.
#[derive(Clone, Copy)]
pub(super) enum Severity {
    /// The filter would not start.
    Error,
    /// It would, and something is unsafe, useless or soon over.
    Warning,
}

impl Finding {
    /// For people: what is wrong with which key of the configuration at `within`, and where that is in the file.
    pub(super) fn describe(&self, severity: Severity, file: &Path, within: &str) -> String {
        let kind = match severity {
            Severity::Error => styled(BAD, "error:"),
            Severity::Warning => styled(UNEASY, "warning:"),
        };
        let message = printable(&self.message);
        if self.path.is_empty() {
            return format!("{kind} {message}\n");
        }
        let inside =
            self.path.strip_prefix(within).map(|rest| rest.strip_prefix('.').unwrap_or(rest));
        let last = self.path.rsplit('.').next().unwrap_or(&self.path);
        let key = printable(inside.filter(|inside| !inside.is_empty()).unwrap_or(last));
        let place = match self.place {
            // Nobody can open the standard input at a line.
            _ if file == Path::new(STANDARD_INPUT) => None,
            Some(Place { line, column }) => Some(format!("{}:{line}:{column}", file.display())),
            None => Some(file.display().to_string()),
        };
        let path = (key != self.path).then(|| self.path.clone());
        let place: Vec<String> =
            place.into_iter().chain(path).map(|part| printable(&part)).collect();
        let place = match place.join("  ") {
            place if place.is_empty() => place,
            place => styled(DIM, &format!("  --> {place}")) + "\n",
        };
        format!("{kind} {}: {message}\n{place}", styled(Style::new().bold(), &key))
    }
}

/// A configuration of certbound, and all that is to be said about it.
#[derive(Default)]
pub(super) struct Configuration {
    /// Where it is in the file; empty if it is the file.
    pub(super) path: String,
    /// As it is written; `null` if that is no JSON.
    pub(super) written: Value,
    /// Under which name Envoy gets it by ECDS, if it is not in the file.
    pub(super) delivered_as: Option<String>,
    /// `Some` if it is in the file, without errors.
    pub(super) config: Option<Config>,
    pub(super) errors: Vec<Finding>,
    pub(super) warnings: Vec<Finding>,
    /// Environment variables that are not set here, for which an example stood in.
    pub(super) unknown_variables: BTreeSet<String>,
}

/// Reads every configuration of certbound in a file; never none.
pub(super) fn read(
    file: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
    outlook: Outlook,
) -> Result<Vec<Configuration>, Finding> {
    let whole = |message: String| Finding::new("", message);
    let content = super::read(file).map_err(whole)?;
    let text = str::from_utf8(&content)
        .map_err(|_| whole(format!("{} is not text in UTF-8", file.display())))?;
    let documents = yaml::documents(text).map_err(|error| Finding {
        place: Some(error.place()),
        ..whole(format!("{} is neither YAML nor JSON: {error}", file.display()))
    })?;
    let documents: Vec<Value> = documents.into_iter().map(bootstrap::with_files_unfolded).collect();
    let found = bootstrap::find(&documents);
    let mut configurations = Vec::new();
    configurations
        .extend(found.filters.iter().map(|filter| in_envoy(filter, &found, environment, outlook)));
    let open_slots = found.open_slots();
    configurations.extend(open_slots.iter().map(|(name, slots)| elsewhere(name, slots)));
    if configurations.is_empty() {
        let is_envoys = documents.iter().any(bootstrap::is_envoy_configuration);
        let problem = match documents.as_slice() {
            [] => Some("is empty"),
            _ if is_envoys => Some(
                "is a configuration of Envoy's without certbound: no wasm HTTP filter has a configuration with `endpoints`",
            ),
            [document] if spelling::resembles_certbound(document) => {
                configurations.push(alone(document, environment, outlook));
                None
            }
            documents if documents.iter().any(spelling::resembles_certbound) => {
                Some("has several documents: give certbound's configuration alone")
            }
            _ => Some("is neither a certbound configuration nor one of Envoy's"),
        };
        if let Some(problem) = problem {
            return Err(whole(format!("{} {problem}", file.display())));
        }
    }
    locate(text, documents.len(), &mut configurations);
    Ok(configurations)
}

/// Notes where in the text the findings are.
fn locate(text: &str, documents: usize, configurations: &mut [Configuration]) {
    let findings = |configuration: &'_ Configuration| {
        let findings = configuration.errors.iter().chain(&configuration.warnings);
        findings.map(|finding| finding.path.clone()).collect::<Vec<_>>()
    };
    let paths: Vec<String> = configurations.iter().flat_map(findings).collect();
    if paths.is_empty() {
        return;
    }
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let places = Places::find(text, documents, "", &paths);
    for configuration in configurations {
        for finding in configuration.errors.iter_mut().chain(&mut configuration.warnings) {
            finding.place = places.of(&finding.path);
        }
        for findings in [&mut configuration.errors, &mut configuration.warnings] {
            findings.sort_by_key(|finding| finding.place.map(|place| (place.line, place.column)));
        }
    }
}

fn alone(
    document: &Value,
    environment: &dyn Fn(&str) -> Option<String>,
    outlook: Outlook,
) -> Configuration {
    let variable = |name: &str| environment(name).map_or(Variable::Unknown, Variable::Value);
    checked(String::new(), document.to_string().as_bytes(), &variable, outlook)
}

fn in_envoy(
    filter: &Filter<'_>,
    found: &Found<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
    outlook: Outlook,
) -> Configuration {
    let mut warnings = filter.warnings();
    let mut configuration = match filter.configuration() {
        Err(error) => Configuration {
            path: filter.plugin.path.clone(),
            errors: vec![error],
            ..Configuration::default()
        },
        Ok((path, bytes)) => {
            let variable = |name: &str| match filter.variable(name) {
                ModuleVariable::Absent => Variable::Absent,
                ModuleVariable::FromHost => {
                    environment(name).map_or(Variable::Unknown, Variable::Value)
                }
                ModuleVariable::Value(value) => Variable::Value(value),
            };
            checked(path, &bytes, &variable, outlook)
        }
    };
    if let Some(config) = &configuration.config {
        let Configuration { path, written, .. } = &configuration;
        let slots = found.slots_of(filter).map(|slot| slot.enclosing.as_slice());
        let places: Vec<&[Message<'_>]> =
            [filter.enclosing.as_slice()].into_iter().chain(slots).collect();
        let configured = Configured { config, path, written };
        warnings.extend(surroundings::warnings(&places, Some(&configured)));
    }
    configuration.warnings.splice(0..0, warnings);
    configuration
}

/// A configuration that Envoy gets by ECDS, and that is not in the file: what surrounds its slots can be judged in part.
fn elsewhere(name: &str, slots: &[&Slot<'_>]) -> Configuration {
    let places: Vec<&[Message<'_>]> = slots.iter().map(|slot| slot.enclosing.as_slice()).collect();
    Configuration {
        path: slots.first().map(|slot| slot.path.clone()).unwrap_or_default(),
        delivered_as: Some(name.to_owned()),
        warnings: surroundings::warnings(&places, None),
        ..Configuration::default()
    }
}

impl Configuration {
    /// The variable of the key that signs, if that is not set here and an example signs in its place.
    pub(super) fn stand_in_signing_key(&self) -> Option<&str> {
        // The first key signs.
        let variable = self.written.pointer("/signature/keys/0/key/env")?.as_str()?;
        self.unknown_variables.contains(variable).then_some(variable)
    }
}

/// What can be known of a variable in the filter's environment.
enum Variable {
    /// The filter would not see it.
    Absent,
    /// It should be set where Envoy runs; here it is not.
    Unknown,
    Value(String),
}

fn checked(
    path: String,
    bytes: &[u8],
    variable: &dyn Fn(&str) -> Variable,
    outlook: Outlook,
) -> Configuration {
    let written: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let mut secrets = Vec::new();
    collect_secrets(&written, &Value::Null, "", &mut secrets);
    let unknown = RefCell::new(BTreeSet::new());
    let env = |name: &str| match variable(name) {
        Variable::Absent => None,
        Variable::Value(value) => Some(value),
        Variable::Unknown => {
            unknown.borrow_mut().insert(name.to_owned());
            let secret = secrets.iter().find(|secret| secret.variable == name);
            Some(secret.map_or(SAMPLE_TEXT, |secret| &secret.sample).to_owned())
        }
    };
    let at = |ConfigError { path: key, message }| {
        Finding::new(&join(&path, &key), spelling::explained(message, &key))
    };
    let (config, errors) = match Config::parse(bytes, &env) {
        Ok(config) => (Some(config), Vec::new()),
        Err(errors) => (None, errors.0.into_iter().map(at).collect()),
    };
    let unknown = unknown.into_inner();
    let of_secrets =
        secrets.iter().filter(|secret| unknown.contains(&secret.variable)).map(|secret| {
            let message = format!(
                "the environment variable `{}` is not set here, so what it holds was not checked",
                secret.variable
            );
            Finding::new(&join(&path, &secret.path), message)
        });
    let of_time =
        config.iter().flat_map(|config| expiry::warnings(outlook, &path, config, &written));
    let warnings = of_secrets.chain(of_time).collect();
    Configuration {
        path,
        written,
        delivered_as: None,
        config,
        errors,
        warnings,
        unknown_variables: unknown,
    }
}

/// A secret that the configuration takes from the environment.
struct Secret {
    path: String,
    variable: String,
    /// What passes for it where it is not known.
    sample: String,
}

const SAMPLE_TEXT: &str = "not-the-secret";

/// What passes for a key that is not known: another one for each variable, as the filter refuses a key under two kids.
fn sample_key(alg: Option<&str>, variable: &str) -> Option<String> {
    let mut seed: [u8; 32] = Sha256::digest(variable).into();
    let pem = match alg? {
        "ecdsa-p256-sha256" => {
            // Below the group's order, which has 256 bits.
            seed.first_mut().into_iter().for_each(|octet| *octet &= 0x7f);
            p256::SecretKey::from_slice(&seed).ok()?.to_pkcs8_pem(LineEnding::LF).ok()?
        }
        "ed25519" => {
            ed25519_dalek::SigningKey::from_bytes(&seed).to_pkcs8_pem(LineEnding::LF).ok()?
        }
        "hmac-sha256" => return Some(BASE64_STANDARD.encode(seed)),
        _ => return None,
    };
    Some(pem.to_string())
}

/// Finds every `{ env: NAME }`. `parent` tells the algorithm of a key.
fn collect_secrets(value: &Value, parent: &Value, path: &str, secrets: &mut Vec<Secret>) {
    match value {
        Value::Array(values) => {
            for (index, element) in values.iter().enumerate() {
                collect_secrets(element, value, &format!("{path}[{index}]"), secrets);
            }
        }
        Value::Object(object) => {
            if let (Some(Value::String(variable)), 1) = (object.get("env"), object.len()) {
                let alg = parent.get("alg").and_then(Value::as_str);
                let sample = sample_key(alg, variable).unwrap_or_else(|| SAMPLE_TEXT.to_owned());
                secrets.push(Secret { path: path.to_owned(), variable: variable.clone(), sample });
            }
            for (key, element) in object {
                collect_secrets(element, value, &join(path, key), secrets);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTLOOK: Outlook = Outlook { now: 1_795_348_800, period: 0 };

    #[test]
    fn a_secret_that_is_not_known_here_is_a_warning() {
        let configuration = |alg: &str| {
            json!({
                "endpoints": [{ "path": "/token" }],
                "signature": {
                    "http_message_signature": {},
                    "keys": [{ "kid": "1", "alg": alg, "key": { "env": "SIGNING_KEY" } }],
                },
            })
        };
        for alg in ["ecdsa-p256-sha256", "ed25519", "hmac-sha256"] {
            let unset = alone(&configuration(alg), &|_| None, OUTLOOK);
            assert_eq!(unset.errors, [], "{alg}");
            assert!(unset.config.is_some(), "{alg}");
            let paths: Vec<_> = unset.warnings.iter().map(|warning| &warning.path).collect();
            assert_eq!(paths, ["signature.keys[0].key"], "{alg}");

            let mut rotated = configuration(alg);
            let next = json!({ "kid": "2", "alg": alg, "key": { "env": "NEXT_KEY" } });
            rotated["signature"]["keys"].as_array_mut().unwrap().push(next);
            assert_eq!(alone(&rotated, &|_| None, OUTLOOK).errors, [], "{alg}");

            let wrong = alone(&configuration(alg), &|_| Some("wrong".into()), OUTLOOK);
            assert_eq!(wrong.errors.len(), 1, "{alg}");
            assert_eq!(wrong.warnings, [], "{alg}");
        }
    }
}
