//! YAML as Envoy reads it into a `google.protobuf.Struct` (its `MessageUtil::loadFromYaml`, tried against 1.38): plain
//! `on` is a boolean and `0755` octal, but `1.5`, `1e5`, and an integer beyond 32 bits are strings; `<<` is a key like any
//! other. A key that is there twice is an error here, although Envoy lets the last one win.

use std::{collections::HashMap, fmt};

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span};
use serde_json::{Map, Value};

use super::places::Place;

/// Reads every document of a text. Empty documents are left out.
pub(super) fn documents(text: &str) -> Result<Vec<Value>, InvalidYaml> {
    let mut composer = Composer::default();
    for next in Parser::new_from_str(text) {
        let (event, span) = next.map_err(|error| InvalidYaml::Syntax(Box::new(error)))?;
        composer.take(event, &span)?;
    }
    Ok(composer.documents)
}

/// What Envoy makes of a plain scalar.
pub(super) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        _ if is_spelled(text, &["y", "yes", "true", "on"]) => return Value::Bool(true),
        _ if is_spelled(text, &["n", "no", "false", "off"]) => return Value::Bool(false),
        _ => {}
    }
    match integer(text) {
        Some(number) if i32::try_from(number).is_ok() => Value::from(number),
        Some(number) => Value::String(number.to_string()),
        None => Value::String(text.to_owned()),
    }
}

/// In lower case, in upper case, or with one capital.
fn is_spelled(text: &str, words: &[&str]) -> bool {
    let is_cased = |letters: &str| {
        letters.bytes().all(|letter| letter.is_ascii_lowercase())
            || letters.bytes().all(|letter| letter.is_ascii_uppercase())
    };
    let after_first = text.get(1..).unwrap_or_default();
    words.iter().any(|word| word.eq_ignore_ascii_case(text))
        && (is_cased(text)
            || text.starts_with(|first: char| first.is_ascii_uppercase())
                && after_first.bytes().all(|letter| letter.is_ascii_lowercase()))
}

fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (radix, digits) = match (hexadecimal, digits.strip_prefix('0')) {
        (Some(digits), _) => (16, digits),
        (None, Some(digits)) if !digits.is_empty() => (8, digits),
        _ => (10, digits),
    };
    // `from_str_radix` alone would take a second sign.
    let is_number = digits.starts_with(|first: char| first.is_ascii_hexdigit());
    is_number.then(|| i64::from_str_radix(&format!("{sign}{digits}"), radix).ok())?
}

/// Envoy's own limit is lower; what is deeper would only exhaust the stack.
const MAXIMUM_DEPTH: usize = 100;

/// Aliases can make a few bytes into any number of nodes. Text counts as a node for each so many bytes begun, since it is
/// copied as well.
const MAXIMUM_NODES: usize = 1_000_000;
const BYTES_PER_NODE: usize = 64;

#[derive(Default)]
struct Composer {
    documents: Vec<Value>,
    open: Vec<Open>,
    anchors: HashMap<usize, (Value, usize)>,
    nodes: usize,
}

/// A collection that has not ended.
struct Open {
    collection: Collection,
    anchor: usize,
    nodes_before: usize,
}

enum Collection {
    Mapping { entries: Map<String, Value>, key: Option<String> },
    Sequence(Vec<Value>),
}

impl Composer {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), InvalidYaml> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let nodes = text.len().div_ceil(BYTES_PER_NODE).max(1);
                let is_string = style != ScalarStyle::Plain
                    || tag.is_some_and(|tag| matches!(tag.parts(), ("!", "") | ("", "!")));
                let value = match self.open.last() {
                    Some(Open { collection: Collection::Mapping { key: None, .. }, .. }) => {
                        Value::String(text.into_owned())
                    }
                    _ if is_string => Value::String(text.into_owned()),
                    _ => plain(&text),
                };
                self.count(nodes, span)?;
                self.node(value, nodes, anchor, span)
            }
            Event::Alias(anchor) => {
                // An alias to the collection that it stands in is to a node that has no end yet.
                let Some((value, nodes)) = self.anchors.get(&anchor).cloned() else {
                    return Err(InvalidYaml::at(span, Fault::RecursiveAlias));
                };
                self.count(nodes, span)?;
                self.node(value, nodes, 0, span)
            }
            Event::MappingStart(_, anchor, _) => {
                self.open(Collection::Mapping { entries: Map::new(), key: None }, anchor, span)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open(Collection::Sequence(Vec::new()), anchor, span)
            }
            Event::MappingEnd | Event::SequenceEnd => {
                let Some(Open { collection, anchor, nodes_before }) = self.open.pop() else {
                    return Ok(());
                };
                let value = match collection {
                    Collection::Mapping { entries, .. } => Value::Object(entries),
                    Collection::Sequence(values) => Value::Array(values),
                };
                self.node(value, self.nodes.saturating_sub(nodes_before), anchor, span)
            }
            _ => Ok(()),
        }
    }

    fn open(
        &mut self,
        collection: Collection,
        anchor: usize,
        span: &Span,
    ) -> Result<(), InvalidYaml> {
        if self.open.len() >= MAXIMUM_DEPTH {
            return Err(InvalidYaml::at(span, Fault::TooDeep));
        }
        let nodes_before = self.nodes;
        self.count(1, span)?;
        self.open.push(Open { collection, anchor, nodes_before });
        Ok(())
    }

    fn count(&mut self, nodes: usize, span: &Span) -> Result<(), InvalidYaml> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAXIMUM_NODES {
            return Err(InvalidYaml::at(span, Fault::TooLarge));
        }
        Ok(())
    }

    /// Puts a node where it belongs.
    fn node(
        &mut self,
        value: Value,
        nodes: usize,
        anchor: usize,
        span: &Span,
    ) -> Result<(), InvalidYaml> {
        if anchor != 0 {
            self.anchors.insert(anchor, (value.clone(), nodes));
        }
        match self.open.last_mut().map(|open| &mut open.collection) {
            None if value.is_null() => {}
            None => self.documents.push(value),
            Some(Collection::Sequence(values)) => values.push(value),
            Some(Collection::Mapping { entries, key }) => match (key.take(), value) {
                (Some(key), value) => {
                    entries.insert(key, value);
                }
                (None, Value::String(name)) if entries.contains_key(&name) => {
                    return Err(InvalidYaml::at(span, Fault::DuplicateKey(name)));
                }
                (None, Value::String(name)) => *key = Some(name),
                (None, _) => return Err(InvalidYaml::at(span, Fault::KeyNotText)),
            },
        }
        Ok(())
    }
}

/// Why a text is not YAML that can be read.
#[derive(Debug)]
pub(super) enum InvalidYaml {
    Document { fault: Fault, line: usize, column: usize },
    Syntax(Box<ScanError>),
}

#[derive(Debug, Eq, PartialEq)]
pub(super) enum Fault {
    DuplicateKey(String),
    KeyNotText,
    RecursiveAlias,
    TooDeep,
    TooLarge,
}

impl InvalidYaml {
    /// Where it is not.
    pub(super) fn place(&self) -> Place {
        match self {
            Self::Document { line, column, .. } => Place { line: *line, column: *column },
            Self::Syntax(error) => Place {
                line: error.marker().line(),
                column: error.marker().col().saturating_add(1),
            },
        }
    }

    fn at(span: &Span, fault: Fault) -> Self {
        Self::Document {
            fault,
            line: span.start.line(),
            column: span.start.col().saturating_add(1),
        }
    }
}

impl fmt::Display for InvalidYaml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { line, column } = self.place();
        write!(f, "line {line}, column {column}: ")?;
        let fault = match self {
            Self::Document { fault, .. } => fault,
            Self::Syntax(error) => return write!(f, "{}", error.kind()),
        };
        match fault {
            Fault::DuplicateKey(key) => {
                write!(f, "the key `{}` is there twice", key.escape_debug())
            }
            Fault::KeyNotText => f.write_str("a key is a collection, where a word is meant"),
            Fault::RecursiveAlias => f.write_str("the alias stands within what it stands for"),
            Fault::TooDeep => f.write_str("the nesting is deeper than any configuration's"),
            Fault::TooLarge => f.write_str("the document is larger than any configuration"),
        }
    }
}

impl std::error::Error for InvalidYaml {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(text: &str) -> Value {
        let mut documents = documents(text).unwrap();
        assert_eq!(documents.len(), 1, "{text}");
        documents.remove(0)
    }

    fn fault(text: &str) -> Fault {
        match documents(text).unwrap_err() {
            InvalidYaml::Document { fault, .. } => fault,
            InvalidYaml::Syntax(error) => panic!("{error}"),
        }
    }

    #[test]
    fn scalars_are_what_envoy_makes_of_them() {
        for (text, value) in [
            ("on", json!(true)),
            ("y", json!(true)),
            ("No", json!(false)),
            ("OFF", json!(false)),
            ("oFF", json!("oFF")),
            ("~", json!(null)),
            ("60", json!(60)),
            ("-5", json!(-5)),
            ("0", json!(0)),
            ("0x1F", json!(31)),
            ("0755", json!(493)),
            ("0955", json!("0955")),
            ("60.0", json!("60.0")),
            ("1e5", json!("1e5")),
            ("1_000", json!("1_000")),
            ("2026-11", json!("2026-11")),
            ("2147483648", json!("2147483648")),
            ("0x80000000", json!("2147483648")),
            ("12345678901234567890123", json!("12345678901234567890123")),
            ("'on'", json!("on")),
            ("\"5\"", json!("5")),
            ("! 5", json!("5")),
            ("--5", json!("--5")),
            ("POST", json!("POST")),
        ] {
            assert_eq!(document(&format!("key: {text}")), json!({ "key": value }), "{text}");
        }
    }

    #[test]
    fn json_is_read_as_well() {
        let text = "{\n\t\"a\": [1, \"\\ud83d\\ude00 \\/\", {}, []],\n\t\"b\": null\n}\n";
        assert_eq!(document(text), json!({"a": [1, "😀 /", {}, []], "b": null}));
    }

    #[test]
    fn documents_are_kept_apart_and_empty_ones_left_out() {
        assert_eq!(
            documents("---\na: 1\n---\n---\n- b\n").unwrap(),
            [json!({"a": 1}), json!(["b"])]
        );
        assert!(documents("# nothing\n").unwrap().is_empty());
    }

    #[test]
    fn aliases_are_copies_and_merge_keys_are_keys() {
        assert_eq!(
            document("a: &x {b: 1}\nc: {<<: *x, d: [*x]}\n"),
            json!({"a": {"b": 1}, "c": {"<<": {"b": 1}, "d": [{"b": 1}]}})
        );
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_an_error() {
        assert_eq!(fault("a: 1\nb: 2\na: 3\n"), Fault::DuplicateKey("a".into()));
        assert_eq!(fault("{\"a\": {\"b\": 1, \"b\": 1}}"), Fault::DuplicateKey("b".into()));
        assert_eq!(fault("? [a]\n: 1\n"), Fault::KeyNotText);
        assert_eq!(fault("a: &x [*x]\n"), Fault::RecursiveAlias);
        assert!(documents("a: *x\n").is_err());
        assert!(documents("a: [1\n").is_err());
    }

    #[test]
    fn bombs_are_errors() {
        assert!(documents(&"[".repeat(100_000)).is_err());
        let mut bomb = "a0: &a0 [x]\n".to_owned();
        for level in 1..20 {
            let alias = format!("*a{}, ", level - 1).repeat(10);
            bomb.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
        }
        assert_eq!(fault(&bomb), Fault::TooLarge);
        // Few nodes, and many bytes.
        let text = "x".repeat(100_000);
        let copies = |count| format!("a: &a {text}\nb: [{}]\n", "*a, ".repeat(count));
        assert_eq!(fault(&copies(10_000)), Fault::TooLarge);
        assert!(documents(&copies(100)).is_ok());
    }
}
