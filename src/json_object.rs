//! JSON objects (RFC 8259 §4) whose members can be replaced and added while all others stay as they are written: in their
//! order, and with every digit of their numbers.

use std::{borrow::Cow, collections::BTreeSet, fmt};

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

/// Members in their order: names, and values as JSON text.
#[derive(Clone, Debug)]
pub struct JsonObject<'a>(Vec<(String, Cow<'a, str>)>);

impl<'a> JsonObject<'a> {
    /// The object `{}`.
    pub fn empty() -> Self {
        Self(Vec::new())
    }

    /// Reads an object. Objects inside of it are checked for their syntax only.
    ///
    /// # Errors
    /// When the text is not one JSON object, or a name is there twice: parsers differ in which member counts.
    pub fn parse(text: &'a str) -> Result<Self, InvalidJsonObject> {
        let mut members = Vec::new();
        let mut rest = token(text, '{')?;
        if let Ok(after) = token(rest, '}') {
            return end(after).map(|()| Self(members));
        }
        let mut names = BTreeSet::new();
        loop {
            let (name, _, after) = leading_value::<String>(rest)?;
            if !names.insert(name.clone()) {
                return Err(InvalidJsonObject);
            }
            let (_, value, after) = leading_value::<IgnoredAny>(token(after, ':')?)?;
            members.push((name, Cow::Borrowed(value)));
            match token(after, ',') {
                Ok(after) => rest = after,
                Err(_) => return end(token(after, '}')?).map(|()| Self(members)),
            }
        }
    }

    /// The members, in their order.
    pub fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_ref()))
    }

    /// The value of a member, as JSON text.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.members().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Replaces the value of a member, or adds it as the last one. `value` is JSON text.
    pub fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = Cow::Owned(value),
            None => self.0.push((name.to_owned(), Cow::Owned(value))),
        }
    }
}

impl fmt::Display for JsonObject<'_> {
    /// Writes the object as JSON text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, value)) in self.members().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(f, "{separator}{}:{value}", Value::from(name))?;
        }
        f.write_str("}")
    }
}

/// The elements of a list, as JSON text.
///
/// # Errors
/// When the text is not one JSON list.
pub fn elements(text: &str) -> Result<Vec<&str>, InvalidJsonObject> {
    let mut elements = Vec::new();
    let mut rest = token(text, '[')?;
    if let Ok(after) = token(rest, ']') {
        return end(after).map(|()| elements);
    }
    loop {
        let (_, element, after) = leading_value::<IgnoredAny>(rest)?;
        elements.push(element);
        match token(after, ',') {
            Ok(after) => rest = after,
            Err(_) => return end(token(after, ']')?).map(|()| elements),
        }
    }
}

/// What stands after a structural character.
fn token(text: &str, token: char) -> Result<&str, InvalidJsonObject> {
    without_space(text).strip_prefix(token).ok_or(InvalidJsonObject)
}

/// The value that a text begins with, its own text, and what stands after it.
fn leading_value<T: DeserializeOwned>(text: &str) -> Result<(T, &str, &str), InvalidJsonObject> {
    let text = without_space(text);
    // As bytes: the deserializer for text would be a second one in the module.
    let mut values = serde_json::Deserializer::from_slice(text.as_bytes()).into_iter::<T>();
    let value = values.next().and_then(Result::ok).ok_or(InvalidJsonObject)?;
    let (written, after) = text.split_at_checked(values.byte_offset()).ok_or(InvalidJsonObject)?;
    Ok((value, written, after))
}

fn end(text: &str) -> Result<(), InvalidJsonObject> {
    if without_space(text).is_empty() { Ok(()) } else { Err(InvalidJsonObject) }
}

/// JSON knows fewer kinds of white space than Unicode (RFC 8259 §2).
fn without_space(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\n', '\r'])
}

/// Not one JSON object with each name once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidJsonObject;

impl fmt::Display for InvalidJsonObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is not one JSON object in which each member has a name of its own")
    }
}

impl std::error::Error for InvalidJsonObject {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_are_not_touched_stay_as_they_are_written() {
        let text =
            r#" { "z" : 12345678901234567890.10e+2 ,"a":"\u00e9\/" , "é\n":[1, {"b":1,"b":2}] } "#;
        let mut object = JsonObject::parse(text).unwrap();
        assert_eq!(object.value("z"), Some("12345678901234567890.10e+2"));
        assert_eq!(object.value("b"), None);
        object.set("new", "true".into());
        object.set("a", "[]".into());
        assert_eq!(
            object.to_string(),
            r#"{"z":12345678901234567890.10e+2,"a":[],"é\n":[1, {"b":1,"b":2}],"new":true}"#
        );
    }

    #[test]
    fn an_object_may_have_no_members() {
        for text in ["{}", " {\n} "] {
            let mut object = JsonObject::parse(text).unwrap();
            assert_eq!(object.to_string(), "{}");
            object.set("a", "1".into());
            assert_eq!(object.to_string(), r#"{"a":1}"#);
        }
    }

    #[test]
    fn every_kind_of_value_is_read() {
        for value in
            ["null", "true", "false", "0", "-1.5E-3", r#""x,}""#, "[]", "{}", r#"[[{"a":"]"}]]"#]
        {
            let text = format!(r#"{{"a":{value},"b":{value}}}"#);
            let object = JsonObject::parse(&text).unwrap();
            assert_eq!(object.to_string(), text);
            assert_eq!(object.value("b"), Some(value));
        }
    }

    #[test]
    fn what_parsers_do_not_all_read_alike_is_refused() {
        for text in [
            "",
            "null",
            "[]",
            "\"{}\"",
            "{",
            "}",
            "{}}",
            "{},",
            "{} {}",
            "{,}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{"a":1"b":2}"#,
            r#"{"a":1;"b":2}"#,
            "{a:1}",
            "{1:1}",
            "{'a':1}",
            r#"{"a":01}"#,
            r#"{"a":tru}"#,
            r#"{"a":NaN}"#,
            r#"{"a":1 2}"#,
            r#"{"a":[1,]}"#,
            r#"{"a":"x}"#,
            "{\"a\":\"\n\"}",
            "{\u{a0}}",
            "\u{feff}{}",
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            "{/**/}",
        ] {
            assert_eq!(JsonObject::parse(text).err(), Some(InvalidJsonObject), "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_no_stack_overflow() {
        let depth = 200_000;
        let text = format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert_eq!(JsonObject::parse(&text).unwrap().to_string(), text);
        assert!(JsonObject::parse(&r#"{"a":"#.repeat(depth)).is_err());
    }
}
