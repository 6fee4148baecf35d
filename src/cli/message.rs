//! Messages of Envoy's configuration, as ProtoJSON writes them.

use serde_json::{Map, Value};

/// A message, and where it is in the file.
#[derive(Clone, Debug)]
pub(super) struct Message<'a> {
    pub(super) path: String,
    pub(super) fields: &'a Map<String, Value>,
}

impl<'a> Message<'a> {
    /// The message that a value is.
    pub(super) fn new(path: impl Into<String>, value: &'a Value) -> Option<Self> {
        Some(Self { path: path.into(), fields: value.as_object()? })
    }

    /// A field by its name in the protobuf file, or by the camel case that ProtoJSON allows as well; `null` is none.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        let value = self.fields.get(name).or_else(|| self.fields.get(&camel_case(name)));
        value.filter(|value| !value.is_null())
    }

    /// The path of a field, whether it is there or not.
    pub(super) fn at(&self, name: &str) -> String {
        let in_camel_case = camel_case(name);
        let is_camel_case =
            !self.fields.contains_key(name) && self.fields.contains_key(&in_camel_case);
        join(&self.path, if is_camel_case { &in_camel_case } else { name })
    }

    /// A field that is a message itself.
    pub(super) fn message(&self, name: &str) -> Option<Self> {
        Self::new(self.at(name), self.get(name)?)
    }

    /// The messages of a repeated field.
    pub(super) fn messages(&self, name: &str) -> Vec<Self> {
        let at = self.at(name);
        let values = self.get(name).and_then(Value::as_array).into_iter().flatten();
        let message = |(index, value)| Self::new(format!("{at}[{index}]"), value);
        values.enumerate().filter_map(message).collect()
    }

    /// What a `google.protobuf.Any`, or a TypedStruct in it, holds, if that is of this type.
    pub(super) fn unpacked(&self, of_type: &str) -> Option<Self> {
        let is_type = |key| {
            let url = self.text(key);
            url.is_some_and(|url| url.rsplit('/').next() == Some(of_type))
        };
        match (is_type("@type"), is_type("type_url")) {
            (true, _) => Some(self.clone()),
            (false, true) => self.message("value"),
            (false, false) => None,
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name)?.as_str()
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some(&Value::Bool(true))
    }

    /// Whether a field is this value of its enumeration, written as word or as number.
    pub(super) fn is(&self, name: &str, (word, number): (&str, u8)) -> bool {
        self.get(name).is_some_and(|value| *value == word || *value == number)
    }

    /// A number, which ProtoJSON also takes as text.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        let value = self.get(name)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    }

    pub(super) fn is_empty_list(&self, name: &str) -> bool {
        self.get(name).and_then(Value::as_array).is_none_or(Vec::is_empty)
    }
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

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel_case = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at_checked(1).unwrap_or_default();
        camel_case.push_str(&first.to_ascii_uppercase());
        camel_case.push_str(rest);
    }
    camel_case
}
