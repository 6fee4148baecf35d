//! `certbound schema`.

use std::fmt::Write as _;

use certbound::config::json_schema;
use serde_json::Value;

use super::Printout;

/// Print the JSON Schema of the configuration, by which editors complete and check it
#[derive(clap::Args)]
#[command(after_help = "\
The schema is of draft-07. It is laxer than the filter, which also reads PEM and compares keys with each other: `certbound check`
has the last word.

Examples:
  certbound schema > certbound.schema.json
  certbound schema --markdown > docs/configuration.md

Editors with a YAML language server find the schema by a first line of the configuration, in a file of its own:
  # yaml-language-server: $schema=certbound.schema.json

Exit status: 0.")]
pub(super) struct Arguments {
    /// Print the reference of all keys as Markdown instead
    #[arg(long)]
    markdown: bool,
}

pub(super) fn run(arguments: &Arguments) -> Printout {
    let schema = json_schema();
    if !arguments.markdown {
        return Printout::json(0, &schema);
    }
    let keys = keys(&schema);
    let mut page = INTRODUCTION.to_owned();
    page.push_str("\n## All keys\n\n");
    page.push_str(&index(&keys));
    for key in &keys {
        page.push_str(&key.section());
    }
    Printout { output: page, ..Printout::default() }
}

/// What the page says before it comes to the keys, with an example that has them all.
const INTRODUCTION: &str = include_str!("schema/introduction.md");

/// A key of the configuration.
struct Key<'a> {
    /// As in `clients[].client_id`.
    path: String,
    name: &'a str,
    /// The path of the object that has it; empty for the configuration itself.
    parent: String,
    is_required: bool,
    /// What is said of this key.
    schema: &'a Value,
    /// What is said of its values.
    values: &'a Value,
}

/// All keys, each object after the keys before it, in the order of the example.
fn keys(schema: &Value) -> Vec<Key<'_>> {
    let mut keys = Vec::new();
    collect(schema, "", INTRODUCTION, &mut keys);
    keys
}

fn collect<'a>(object: &'a Value, parent: &str, example: &str, keys: &mut Vec<Key<'a>>) {
    let required = |name: &str| list(object, "required").iter().any(|required| *required == *name);
    let properties = object.get("properties").and_then(Value::as_object);
    let mut properties: Vec<_> = properties
        .into_iter()
        .flatten()
        .map(|(name, schema)| {
            let after = after_key(example, name).unwrap_or_default();
            (std::cmp::Reverse(after.len()), name, schema, after)
        })
        .collect();
    properties.sort_unstable_by_key(|(place, name, ..)| (*place, *name));
    for (_, name, schema, example) in properties {
        let separator = if parent.is_empty() { "" } else { "." };
        let path = format!("{parent}{separator}{name}");
        let values = without_null(schema);
        keys.push(Key {
            path: path.clone(),
            name,
            parent: parent.to_owned(),
            is_required: required(name),
            schema,
            values,
        });
        if let Some(items) = values.get("items") {
            collect(items, &format!("{path}[]"), example, keys);
        } else if let Some(members) = members_by_name(values) {
            collect(members, &format!("{path}.<name>"), example, keys);
        } else {
            collect(values, &path, example, keys);
        }
    }
}

/// What comes after the first `name:` in a text.
fn after_key<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let key = format!("{name}:");
    let mut before = ' ';
    let mut rest = text;
    while !rest.is_empty() {
        if !before.is_ascii_alphanumeric() && before != '_' && rest.starts_with(&key) {
            return rest.strip_prefix(&key);
        }
        let mut characters = rest.chars();
        before = characters.next().unwrap_or(' ');
        rest = characters.as_str();
    }
    None
}

fn list<'a>(schema: &'a Value, keyword: &str) -> &'a [Value] {
    schema.get(keyword).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// `null` is written nowhere, though it is read as nothing.
fn without_null(schema: &Value) -> &Value {
    match list(schema, "anyOf") {
        [values, null] if null.get("type").is_some_and(|name| name == "null") => values,
        _ => schema,
    }
}

fn members_by_name(schema: &Value) -> Option<&Value> {
    schema.get("additionalProperties").filter(|members| members.get("properties").is_some())
}

/// The values that alone are allowed, if it is so, with what each means.
fn choices(schema: &Value) -> Vec<(String, &str)> {
    let choice = |schema: &'_ Value| {
        let constant = schema.get("const").map(in_yaml);
        // A secret is an object with one key of two.
        let key = || Some(format!("{{ {}: … }}", list(schema, "required").first()?.as_str()?));
        constant.or_else(key)
    };
    let choices = list(schema, "oneOf").iter();
    choices
        .filter_map(|schema| Some((choice(schema)?, schema.get("description")?.as_str()?)))
        .collect()
}

fn index(keys: &[Key<'_>]) -> String {
    let mut index = String::new();
    let mut parent = None;
    for key in keys.iter().filter(|key| key.parent.is_empty()) {
        let below = |other: &&Key<'_>| other.is_below(key);
        let _ = write!(index, "- {}", key.link(&key.path));
        for (number, other) in keys.iter().filter(below).enumerate() {
            let separator = if number == 0 {
                ": "
            } else if parent == Some(&other.parent) {
                ", "
            } else {
                "; "
            };
            let name = other.path.strip_prefix(&key.path).unwrap_or(&other.path);
            let name = name.trim_start_matches("[]").trim_start_matches(".<name>");
            let _ = write!(index, "{separator}{}", other.link(name.trim_start_matches('.')));
            parent = Some(&other.parent);
        }
        index.push('\n');
    }
    index
}

impl Key<'_> {
    fn is_below(&self, other: &Self) -> bool {
        self.path.strip_prefix(&other.path).is_some_and(|rest| rest.starts_with(['.', '[']))
    }

    fn anchor(&self) -> String {
        self.path.replace("[]", "").replace(".<name>", "")
    }

    fn link(&self, text: &str) -> String {
        format!("[`{text}`](#{})", self.anchor())
    }

    fn section(&self) -> String {
        let level = if self.parent.is_empty() { "##" } else { "###" };
        let mut section =
            format!("\n{level} <a id=\"{}\"></a>`{}`\n\n{}", self.anchor(), self.path, self.kind());
        let _ = match self.schema.get("default") {
            Some(default) => write!(section, " · default `{}`", in_yaml(default)),
            None if self.is_required => write!(section, " · required"),
            None => write!(section, " · optional"),
        };
        section.push_str("\n\n");
        let description = self.schema.get("description").and_then(Value::as_str);
        let _ = writeln!(section, "{}", linked(description.unwrap_or_default()));
        let of_elements = self.values.get("items").unwrap_or(self.values);
        let choices = choices(of_elements);
        if !choices.is_empty() {
            section.push('\n');
        }
        for (value, meaning) in choices {
            let _ = writeln!(section, "- `{value}`: {}", linked(meaning));
        }
        if let [example, ..] = list(self.schema, "examples") {
            match example.as_str().filter(|text| text.contains('\n')) {
                Some(text) => {
                    let text = text.trim_end().replace('\n', "\n  ");
                    let _ = writeln!(section, "\n```yaml\n{}: |\n  {text}\n```", self.name);
                }
                None => {
                    let _ = writeln!(section, "\nExample: `{}: {}`", self.name, in_yaml(example));
                }
            }
        }
        section
    }

    /// The kind of value, in words.
    fn kind(&self) -> String {
        match self.values.get("items") {
            Some(items) => match kind(items) {
                kind if kind.starts_with("one of") => "list".to_owned(),
                kind => format!("list of {kind}s"),
            },
            None if members_by_name(self.values).is_some() => "objects by name".to_owned(),
            None => kind(self.values),
        }
    }
}

fn kind(schema: &Value) -> String {
    let choices = choices(schema);
    if !choices.is_empty() {
        return "one of the values below".to_owned();
    }
    let name = match schema.get("type") {
        Some(Value::Array(names)) => names.first(),
        name => name,
    };
    match (name.and_then(Value::as_str), schema.get("minimum"), schema.get("maximum")) {
        (_, Some(minimum), Some(maximum)) => format!("number from {minimum} to {maximum}"),
        (name, ..) => name.unwrap_or("value").to_owned(),
    }
}

/// A value on one line, as people write it.
fn in_yaml(value: &Value) -> String {
    match value {
        Value::Array(values) => {
            format!("[{}]", values.iter().map(in_yaml).collect::<Vec<_>>().join(", "))
        }
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| format!("{name}: {}", in_yaml(value)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => {
            let is_plain = |character: char| {
                character.is_ascii_alphanumeric() || " /_.:=%+-@".contains(character)
            };
            let begins_plainly =
                text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/');
            if begins_plainly && text.chars().all(is_plain) {
                text.clone()
            } else {
                value.to_string()
            }
        }
        other => other.to_string(),
    }
}

/// `RFC 8705 §2.1` and `docs/discovery.md` become links.
fn linked(text: &str) -> String {
    let mut parts = text.split("RFC ");
    let mut linked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let number = leading(part, |character| character.is_ascii_digit());
        let rest = part.strip_prefix(number).unwrap_or_default();
        let section = rest.strip_prefix(" §").map(|rest| {
            leading(rest, |character| character.is_ascii_digit() || character == '.')
                .trim_end_matches('.')
        });
        let address = format!("https://www.rfc-editor.org/rfc/rfc{number}");
        let (name, address, rest) = match section {
            Some(section) => (
                format!("RFC {number} §{section}"),
                format!("{address}#section-{section}"),
                rest.strip_prefix(" §").and_then(|rest| rest.strip_prefix(section)),
            ),
            None => (format!("RFC {number}"), address, Some(rest)),
        };
        let _ = write!(linked, "[{name}]({address}){}", rest.unwrap_or_default());
    }
    let mut parts = linked.split("docs/");
    let mut relative = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(".md") {
            Some((name, rest)) => {
                let _ = write!(relative, "[{name}.md]({name}.md){rest}");
            }
            None => relative.push_str(part),
        }
    }
    relative
}

/// The characters that a text begins with, as far as they are of a kind.
fn leading(text: &str, is_of_kind: impl Fn(char) -> bool) -> &str {
    text.split(|character| !is_of_kind(character)).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::yaml;

    #[test]
    fn every_key_is_in_the_example() {
        let schema = json_schema();
        let (_, example) = INTRODUCTION.split_once("```yaml\n").unwrap();
        let (example, _) = example.split_once("```").unwrap();
        let keys = keys(&schema);
        assert!(keys.len() > 70, "{}", keys.len());
        for key in keys {
            let mut rest = Some(example);
            for name in key.path.replace("[]", "").replace(".<name>", "").split('.') {
                rest = rest.and_then(|rest| after_key(rest, name));
            }
            assert!(rest.is_some(), "{} is not in the example", key.path);
        }
    }

    #[test]
    fn every_key_is_described_and_shows_what_to_write() {
        let schema = json_schema();
        for key in keys(&schema) {
            let section = key.section();
            assert!(
                key.schema["description"].as_str().is_some_and(|text| text.len() > 5),
                "{section}"
            );
            let shows = ["Example: `", "```yaml", "\n- `", "default `", "boolean", "object"];
            assert!(shows.iter().any(|part| section.contains(part)), "{section}");
        }
    }

    #[test]
    fn examples_and_defaults_are_yaml_for_the_values_in_the_schema() {
        let schema = json_schema();
        let mut shown = 0;
        for key in keys(&schema) {
            let examples = list(key.schema, "examples").iter();
            for value in examples.chain(key.schema.get("default")) {
                let read = yaml::documents(&format!("key: {}", in_yaml(value))).unwrap();
                assert_eq!(read[0]["key"], *value, "{}", key.path);
                shown += 1;
            }
        }
        assert!(shown > 50, "{shown}");
    }

    #[test]
    fn specifications_and_documents_are_linked() {
        assert_eq!(
            linked("as RFC 8705 §2.1.2. See docs/discovery.md, RFC 7591 §2 and RFC 9421"),
            "as [RFC 8705 §2.1.2](https://www.rfc-editor.org/rfc/rfc8705#section-2.1.2). \
             See [discovery.md](discovery.md), [RFC 7591 §2](https://www.rfc-editor.org/rfc/rfc7591#section-2) \
             and [RFC 9421](https://www.rfc-editor.org/rfc/rfc9421)"
        );
    }
}
