//! certbound within an Envoy configuration: a bootstrap, a listener from LDS, a patch for Istio's.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;

use super::{
    configuration::Finding,
    message::{Message, join},
    yaml,
};

const WASM_FILTER: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";

/// A wasm filter that runs certbound.
pub(super) struct Filter<'a> {
    /// Its `PluginConfig`.
    pub(super) plugin: Message<'a>,
    /// The objects that it stands in, the nearest last; none in a patch, since what that is merged into is not in the file.
    pub(super) enclosing: Vec<Message<'a>>,
    /// The name under which Envoy gets it (ECDS), unless it is written where it works.
    delivered_as: Option<&'a str>,
}

/// An HTTP filter of which there is only the name here, under which Envoy gets the rest (`config_discovery`, ECDS).
pub(super) struct Slot<'a> {
    pub(super) name: &'a str,
    /// Itself, and before it the objects that it stands in, as those of a filter.
    pub(super) enclosing: Vec<Message<'a>>,
    pub(super) path: String,
}

/// What of certbound is in a file.
#[derive(Default)]
pub(super) struct Found<'a> {
    /// Every wasm HTTP filter that is certbound: its configuration has `endpoints`, or its name, or that of its module,
    /// says so.
    pub(super) filters: Vec<Filter<'a>>,
    /// Where certbound is to be delivered.
    pub(super) slots: Vec<Slot<'a>>,
    /// The names of the wasm filters that are something else.
    others: Vec<&'a str>,
}

/// Looks for certbound in the documents of a file.
pub(super) fn find(documents: &[Value]) -> Found<'_> {
    let mut search = Search::default();
    for (index, document) in documents.iter().enumerate() {
        let at = if documents.len() == 1 { String::new() } else { format!("[{index}]") };
        search.walk(document, &at, None);
    }
    let Found { filters, mut slots, others } = search.found;
    // What is delivered under a name decides whether that is certbound, then the name; without both, any wasm filter may be.
    let is_delivered =
        |slot: &Slot<'_>| filters.iter().any(|filter| filter.delivered_as == Some(slot.name));
    slots.retain(|slot| is_delivered(slot) || !others.contains(&slot.name));
    let is_certain = |slot: &Slot<'_>| is_delivered(slot) || says_certbound(slot.name);
    if !filters.is_empty() || slots.iter().any(is_certain) {
        slots.retain(is_certain);
    }
    Found { filters, slots, others }
}

/// Whether certbound is written among HTTP filters.
pub(super) fn is_among(filters: &Value) -> bool {
    let mut search = Search::default();
    search.walk(filters, "", None);
    !search.found.filters.is_empty()
}

impl<'a> Found<'a> {
    /// The slots into which a filter is delivered.
    pub(super) fn slots_of<'b>(
        &'b self,
        filter: &Filter<'a>,
    ) -> impl Iterator<Item = &'b Slot<'a>> {
        let name = filter.delivered_as;
        self.slots.iter().filter(move |slot| Some(slot.name) == name)
    }

    /// The slots of which what is delivered is not in the file, by name.
    pub(super) fn open_slots(&self) -> BTreeMap<&'a str, Vec<&Slot<'a>>> {
        let mut open: BTreeMap<&str, Vec<&Slot<'_>>> = BTreeMap::new();
        for slot in &self.slots {
            if self.filters.iter().all(|filter| filter.delivered_as != Some(slot.name)) {
                open.entry(slot.name).or_default().push(slot);
            }
        }
        open
    }
}

fn says_certbound(name: &str) -> bool {
    name.to_ascii_lowercase().contains("certbound")
}

/// Whether a document has the keys of Envoy's, Istio's or Kubernetes's configuration rather than of certbound's.
pub(super) fn is_envoy_configuration(document: &Value) -> bool {
    const KEYS: [&str; 15] = [
        "@type",
        "admin",
        "apiVersion",
        "configPatches",
        "configs",
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
    let document = Message::new("", document);
    document.is_some_and(|document| KEYS.iter().any(|key| document.get(key).is_some()))
}

/// A document with the documents in it that are written as text: a ConfigMap's `data` holds whole files.
pub(super) fn with_files_unfolded(value: Value) -> Value {
    const EXTENSIONS: [&str; 3] = [".json", ".yaml", ".yml"];
    let unfolded = |(key, value): (String, Value)| {
        let is_file = EXTENSIONS.iter().any(|extension| key.ends_with(extension));
        let document = match &value {
            Value::String(text) if is_file => {
                yaml::documents(text).ok().filter(|documents| documents.len() == 1)
            }
            _ => None,
        };
        let document = document.and_then(|mut documents| documents.pop());
        (key, document.filter(Value::is_object).unwrap_or_else(|| with_files_unfolded(value)))
    };
    match value {
        Value::Array(values) => values.into_iter().map(with_files_unfolded).collect(),
        Value::Object(object) => object.into_iter().map(unfolded).collect(),
        other => other,
    }
}

#[derive(Default)]
struct Search<'a> {
    enclosing: Vec<Message<'a>>,
    /// Whether this is part of a patch to something that is not in the file.
    is_merged: bool,
    found: Found<'a>,
}

impl<'a> Search<'a> {
    /// `name` is that of the nearest object that has one.
    fn walk(&mut self, value: &'a Value, path: &str, name: Option<&'a str>) {
        if let Value::Array(values) = value {
            // What Envoy was started with stands in a dump of its configuration once more, as what it listens to.
            let is_listeners =
                |value: &Value| is_of_type(value, "envoy.admin.v3.ListenersConfigDump");
            let has_listeners = values.iter().any(is_listeners);
            for (index, value) in values.iter().enumerate() {
                if !(has_listeners && is_of_type(value, "envoy.admin.v3.BootstrapConfigDump")) {
                    self.walk(value, &format!("{path}[{index}]"), None);
                }
            }
        }
        let Some(object) = Message::new(path, value) else { return };
        let name = object.text("name").or(name);
        let plugin = object.unpacked(WASM_FILTER).and_then(|filter| filter.message("config"));
        if let Some(plugin) = plugin {
            if is_certbound(&plugin, name) {
                let is_in_place =
                    self.enclosing.iter().any(|object| object.get("http_filters").is_some());
                self.found.filters.push(Filter {
                    plugin,
                    enclosing: self.known_enclosing(),
                    delivered_as: name.filter(|_| !is_in_place),
                });
                return;
            }
            self.found.others.extend(name);
        }
        if let Some(name) = object.text("name").filter(|name| may_be_certbound(&object, name)) {
            let mut enclosing = self.known_enclosing();
            enclosing.push(object.clone());
            self.found.slots.push(Slot { name, enclosing, path: path.to_owned() });
        }
        let was_merged = self.is_merged;
        self.is_merged |= object.text("operation") == Some("MERGE");
        let fields = object.fields;
        self.enclosing.push(object);
        for (key, value) in fields {
            self.walk(value, &join(path, key), name);
        }
        self.enclosing.pop();
        self.is_merged = was_merged;
    }

    fn known_enclosing(&self) -> Vec<Message<'a>> {
        if self.is_merged { Vec::new() } else { self.enclosing.clone() }
    }
}

/// Whether what is delivered here under a name may be certbound.
fn may_be_certbound(filter: &Message<'_>, name: &str) -> bool {
    let Some(discovery) = filter.message("config_discovery") else { return false };
    let types = discovery.get("type_urls").and_then(Value::as_array).into_iter().flatten();
    let mut types = types.filter_map(Value::as_str).filter_map(|url| url.rsplit('/').next());
    says_certbound(name) || types.any(|name| name == WASM_FILTER)
}

fn is_of_type(value: &Value, of_type: &str) -> bool {
    Message::new("", value).is_some_and(|message| message.unpacked(of_type).is_some())
}

fn is_certbound(plugin: &Message<'_>, name: Option<&str>) -> bool {
    let code = plugin.message("vm_config").and_then(|vm| vm.message("code"));
    let local = code.as_ref().and_then(|code| code.message("local")?.text("filename"));
    let remote =
        || code.as_ref().and_then(|code| code.message("remote")?.message("http_uri")?.text("uri"));
    let names = [name, plugin.text("name"), plugin.text("root_id"), local.or_else(remote)];
    let has_endpoints = |configuration: &Value| match configuration.get("value") {
        Some(Value::String(text)) => serde_json::from_str::<Value>(text)
            .is_ok_and(|configuration| configuration.get("endpoints").is_some()),
        Some(configuration) => configuration.get("endpoints").is_some(),
        None => false,
    };
    plugin
        .get("configuration")
        .is_some_and(|written| has_endpoints(written) || written.get("endpoints").is_some())
        || names.into_iter().flatten().any(says_certbound)
}

impl Filter<'_> {
    /// The path and the bytes of the plugin's configuration, as Envoy would hand them over but for a Struct, which
    /// stays JSON.
    pub(super) fn configuration(&self) -> Result<(String, Vec<u8>), Finding> {
        let path = self.plugin.at("configuration");
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

    /// What is wrong with the filter's own settings, which makes certbound unsafe or useless.
    pub(super) fn warnings(&self) -> Vec<Finding> {
        let plugin = &self.plugin;
        let mut warnings = Vec::new();
        let mut warn = |key: &str, message: &str| {
            warnings.push(Finding::new(&plugin.at(key), message));
        };
        if !plugin.is_true("allow_on_headers_stop_iteration") {
            warn(
                "allow_on_headers_stop_iteration",
                "must be true: without it Envoy waits for the filter and the filter for the body, \
                 so that every request at an endpoint hangs until it times out",
            );
        }
        if plugin.is("failure_policy", ("FAIL_OPEN", 3)) {
            warn(
                "failure_policy",
                "must not be FAIL_OPEN: after a crash requests would pass by the filter, \
                 with whatever certificate header their senders wrote; write FAIL_RELOAD",
            );
        }
        if plugin.is_true("fail_open") {
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
        let vm = self.plugin.message("vm_config");
        let variables = vm.and_then(|vm| vm.message("environment_variables"));
        let of = |key| variables.as_ref().and_then(|variables| variables.get(key));
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
