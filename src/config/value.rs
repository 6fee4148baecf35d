//! The bytes of a plugin configuration as one JSON value, whichever way Envoy hands them over.

use std::fmt;

use prost::Message as _;
use prost_types::{Struct, value::Kind};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads JSON text (`google.protobuf.StringValue`) or a serialised `google.protobuf.Struct`.
///
/// # Errors
/// With a sentence, when the bytes are neither, or an object has a key twice.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, String> {
    let json = parse_json(bytes);
    // A Struct starts with a newline byte, which JSON allows too; text that is no JSON document may be one.
    if json.is_err()
        && !bytes.is_empty()
        && bytes.first() != Some(&b'{')
        && let Ok(message) = Struct::decode(bytes)
    {
        return Ok(from_struct(message));
    }
    json.map_err(|error| {
        format!(
            "not a configuration: write JSON in a google.protobuf.StringValue, or YAML in a google.protobuf.Struct ({error})"
        )
    })
}

fn parse_json(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = UniqueKeys.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

fn from_struct(message: Struct) -> Value {
    // A protobuf map keeps one entry per key: Envoy's YAML parser has let the last duplicate win (`certbound check` sees
    // them).
    let mut object = Map::new();
    // Not collected: that would sort what is sorted, with 15 kilobytes of code.
    object.extend(message.fields.into_iter().map(|(key, value)| (key, from_kind(value.kind))));
    Value::Object(object)
}

fn from_kind(kind: Option<Kind>) -> Value {
    match kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(value),
        Some(Kind::StringValue(value)) => Value::String(value),
        Some(Kind::ListValue(list)) => {
            Value::Array(list.values.into_iter().map(|value| from_kind(value.kind)).collect())
        }
        Some(Kind::StructValue(message)) => from_struct(message),
        // A Struct knows only doubles; whole numbers are integers again.
        Some(Kind::NumberValue(value)) => {
            let number = if value.fract() == 0.0 && value.abs() < MAX_SAFE_INTEGER {
                format!("{value:.0}").parse::<i64>().ok().map(Number::from)
            } else {
                Number::from_f64(value)
            };
            number.map_or(Value::Null, Value::Number)
        }
    }
}

/// 2^53: from here on doubles skip integers.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_992.0;

/// Builds a [`Value`] and refuses what `Value` itself would settle silently: a key that is there twice.
struct UniqueKeys;

impl<'de> DeserializeSeed<'de> for UniqueKeys {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for UniqueKeys {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = access.next_element_seed(UniqueKeys)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let value = access.next_value_seed(UniqueKeys)?;
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key `{key}` is there twice")));
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use prost_types::{ListValue, Value as ProtobufValue};
    use serde_json::json;

    use super::*;

    fn to_struct(value: &Value) -> Struct {
        match to_kind(value) {
            Kind::StructValue(message) => message,
            _ => panic!("an object is needed"),
        }
    }

    fn to_kind(value: &Value) -> Kind {
        let wrap = |value| ProtobufValue { kind: Some(to_kind(value)) };
        match value {
            Value::Null => Kind::NullValue(0),
            Value::Bool(value) => Kind::BoolValue(*value),
            Value::Number(value) => Kind::NumberValue(value.as_f64().unwrap()),
            Value::String(value) => Kind::StringValue(value.clone()),
            Value::Array(values) => {
                Kind::ListValue(ListValue { values: values.iter().map(wrap).collect() })
            }
            Value::Object(object) => Kind::StructValue(Struct {
                fields: object.iter().map(|(key, value)| (key.clone(), wrap(value))).collect(),
            }),
        }
    }

    #[test]
    fn json_and_struct_are_the_same_value() {
        let value = json!({"a": [1, -2, 0.5, "x", true, null, {"b": {}}], "c": "{"});
        assert_eq!(parse(value.to_string().as_bytes()), Ok(value.clone()));
        assert_eq!(parse(format!("\n  {value}\n").as_bytes()), Ok(value.clone()));
        assert_eq!(parse(&to_struct(&value).encode_to_vec()), Ok(value));
    }

    #[test]
    fn a_struct_whose_bytes_start_like_json_is_still_read() {
        // The first entry is 123 bytes long, and 123 is `{`.
        let value = json!({"a": "x".repeat(116)});
        let bytes = to_struct(&value).encode_to_vec();
        assert!(bytes.starts_with(b"\n{"));
        assert_eq!(parse(&bytes), Ok(value));
    }

    #[test]
    fn other_bytes_are_an_error() {
        for bytes in [
            &b""[..],
            b"endpoints: []",
            b"{",
            b"{} {}",
            b"\xff\xff",
            br#"{"a":1,"a":2}"#,
            br#"[{"a":{"b":1,"b":1}}]"#,
        ] {
            assert!(parse(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_stack_overflow() {
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
    }
}
