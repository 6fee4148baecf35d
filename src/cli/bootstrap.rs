//! certbound within an Envoy configuration: a bootstrap, a listener from LDS, a patch for Istio's.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};

use super::configuration::Finding;

const WASM_FILTER: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";

/// A wasm filter that runs certbound.
pub(super) struct Filter<'a> {
    /// Where its `PluginConfig` is.
    pub(super) path: String,
    /// The `PluginConfig`.
    pub(super) plugin: &'a Map<String, Value>,
}

/// Every wasm HTTP filter in a document that is certbound: its configuration has `endpoints`, or its name, or that of
/// its module, says so.
pub(super) fn filters(document: &Value) -> Vec<Filter<'_>> {
    let mut found = Vec::new();
    walk(document, "", None, &mut found);
    found
}

/// Whether a document has the keys of Envoy's, Istio's or Kubernetes's configuration rather than of certbound's.
pub(super) fn is_envoy_configuration(document: &Value) -> bool {
    const KEYS: [&str; 14] = [
        "@type",
        "admin",
        "apiVersion",
        "configPatches",
        "dynamic_resources",
        "filter_chains",
        "filters",
        "http_filters",
        "kind",
        "layered_runtime",
        "node",
        "resources",
        "static_resources",
        "typed_config",
    ];
    document.is_array()
        || KEYS.iter().any(|key| document.as_object().is_some_and(|object| has(object, key)))
}

fn walk<'a>(value: &'a Value, path: &str, name: Option<&'a str>, found: &mut Vec<Filter<'a>>) {
    match value {
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                walk(value, &format!("{path}[{index}]"), None, found);
            }
        }
        Value::Object(object) => {
            let name = object.get("name").and_then(Value::as_str).or(name);
            if let Some((at, plugin)) = plugin_config(object, path)
                && is_certbound(plugin, name)
            {
                found.push(Filter { path: at, plugin });
                return;
            }
            for (key, value) in object {
                walk(value, &join(path, key), name, found);
            }
        }
        _ => {}
    }
}

/// The `PluginConfig` of a wasm filter: typed, or in the TypedStruct that Istio's patches are made of.
fn plugin_config<'a>(
    object: &'a Map<String, Value>,
    path: &str,
) -> Option<(String, &'a Map<String, Value>)> {
    let is_wasm = |key| {
        let url = field(object, key).and_then(Value::as_str);
        url.is_some_and(|url| url.ends_with(WASM_FILTER))
    };
    if is_wasm("@type") {
        return Some((join(path, "config"), object.get("config")?.as_object()?));
    }
    if is_wasm("type_url") {
        let plugin = object.get("value")?.get("config")?.as_object()?;
        return Some((join(&join(path, "value"), "config"), plugin));
    }
    None
}

fn is_certbound(plugin: &Map<String, Value>, name: Option<&str>) -> bool {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let module = field(plugin, "vm_config").and_then(|vm| {
        vm.pointer("/code/local/filename").or(vm.pointer("/code/remote/http_uri/uri"))
    });
    let names = [
        name.unwrap_or_default().to_owned(),
        text(plugin.get("name")),
        text(field(plugin, "root_id")),
        text(module),
    ];
    let has_endpoints = |configuration: &Value| match configuration.get("value") {
        Some(Value::String(text)) => serde_json::from_str::<Value>(text)
            .is_ok_and(|configuration| configuration.get("endpoints").is_some()),
        Some(configuration) => configuration.get("endpoints").is_some(),
        None => false,
    };
    let configuration = plugin.get("configuration");
    configuration
        .is_some_and(|written| has_endpoints(written) || written.get("endpoints").is_some())
        || names.iter().any(|name| name.to_ascii_lowercase().contains("certbound"))
}

impl Filter<'_> {
    /// The path and the bytes of the plugin's configuration, as Envoy would hand them over but for a Struct, which
    /// stays JSON.
    pub(super) fn configuration(&self) -> Result<(String, Vec<u8>), Finding> {
        let path = join(&self.path, "configuration");
        let finding = |path: &str, message: &str| Err(Finding::new(path, message));
        let Some(configuration) = self.plugin.get("configuration") else {
            return finding(
                &path,
                "certbound has no configuration here: write it as a google.protobuf.Struct",
            );
        };
        let kind = configuration.get("@type").and_then(Value::as_str).unwrap_or_default();
        let kind = kind.rsplit_once("google.protobuf.").map(|(_, kind)| kind);
        let at_value = join(&path, "value");
        match (kind, configuration.get("value")) {
            (Some("Struct"), Some(value @ Value::Object(_))) => {
                Ok((at_value, value.to_string().into_bytes()))
            }
            (Some("StringValue"), Some(Value::String(text))) => {
                Ok((at_value, text.clone().into_bytes()))
            }
            (Some("BytesValue"), Some(Value::String(text))) => match BASE64_STANDARD.decode(text) {
                Ok(bytes) => Ok((at_value, bytes)),
                Err(_) => finding(&at_value, "not base64, in which a BytesValue is written"),
            },
            (Some("Struct"), _) => {
                finding(&at_value, "write the configuration here, as YAML or JSON")
            }
            (Some("StringValue" | "BytesValue"), _) => {
                finding(&at_value, "write the configuration here, as text")
            }
            // TypedStruct, where the configuration is not an Any, keeps what is written.
            (None | Some(_), _) => finding(
                &join(&path, "@type"),
                "write type.googleapis.com/google.protobuf.Struct, and the configuration under `value`",
            ),
        }
    }

    /// What makes certbound unsafe or useless, however right its own configuration is.
    pub(super) fn warnings(&self) -> Vec<Finding> {
        let mut warnings = Vec::new();
        let mut warn = |key: &str, message: &str| {
            warnings.push(Finding::new(&join(&self.path, key), message));
        };
        if field(self.plugin, "allow_on_headers_stop_iteration") != Some(&Value::Bool(true)) {
            warn(
                "allow_on_headers_stop_iteration",
                "must be true: without it Envoy waits for the filter and the filter for the body, \
                 so that every request at an endpoint hangs until it times out",
            );
        }
        let policy = field(self.plugin, "failure_policy");
        // The numbers are those of `envoy.extensions.wasm.v3.FailurePolicy`.
        if policy.is_some_and(|policy| *policy == "FAIL_OPEN" || *policy == 3) {
            warn(
                "failure_policy",
                "must not be FAIL_OPEN: after a crash requests would pass by the filter, \
                 with whatever certificate header their senders wrote; write FAIL_RELOAD",
            );
        }
        if field(self.plugin, "fail_open") == Some(&Value::Bool(true)) {
            warn(
                "fail_open",
                "must not be true: after a crash requests would pass by the filter, \
                 with whatever certificate header their senders wrote; write `failure_policy: FAIL_RELOAD`",
            );
        }
        warnings
    }

    /// A variable of the module's environment, `host` being Envoy's: the module sees what `vm_config` lists.
    pub(super) fn variable(&self, name: &str) -> ModuleVariable {
        let variables = field(self.plugin, "vm_config")
            .and_then(Value::as_object)
            .and_then(|vm| field(vm, "environment_variables"))
            .and_then(Value::as_object);
        let of = |key| variables.and_then(|variables| field(variables, key));
        let value = of("key_values").and_then(|values| values.get(name)).and_then(Value::as_str);
        let host_keys = of("host_env_keys").and_then(Value::as_array);
        match (value, host_keys) {
            (Some(value), _) => ModuleVariable::Value(value.to_owned()),
            (None, Some(keys)) if keys.iter().any(|key| *key == name) => ModuleVariable::FromHost,
            (None, _) => ModuleVariable::Absent,
        }
    }
}

/// Where a variable of the module's environment comes from.
pub(super) enum ModuleVariable {
    /// From nowhere: the module does not see it.
    Absent,
    /// From Envoy's environment.
    FromHost,
    /// From the configuration.
    Value(String),
}

/// The path of a key.
pub(super) fn join(path: &str, key: &str) -> String {
    match (path, key) {
        ("", key) => key.to_owned(),
        (path, "") => path.to_owned(),
        (path, key) if key.starts_with('[') => format!("{path}{key}"),
        (path, key) => format!("{path}.{key}"),
    }
}

fn has(object: &Map<String, Value>, key: &str) -> bool {
    field(object, key).is_some()
}

/// A field by its name in the protobuf file, or by the camel case that ProtoJSON allows as well.
fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let mut words = name.split('_');
    let mut camel_case = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at_checked(1).unwrap_or_default();
        camel_case.push_str(&first.to_ascii_uppercase());
        camel_case.push_str(rest);
    }
    object.get(name).or_else(|| object.get(&camel_case))
}
