//! The payload of a JWT as Envoy gives the dynamic metadata of its `jwt_authn` filter to plugins.

use crate::json_object::{self, JsonObject};

/// Claims that were verified: objects are the pairs of proxy-wasm (numbers of bytes, then names and values, each with a NUL
/// behind it), lists are pairs of elements and nothing, numbers are doubles, text is as it is. Envoy has no bytes for null, nor
/// for anything that it is in.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct VerifiedPayload(pub Vec<u8>);

impl VerifiedPayload {
    /// Whether these are the claims of a JSON object: the same ones with the same values, and no others.
    pub fn is_of(&self, json: &[u8]) -> bool {
        str::from_utf8(json).is_ok_and(|json| is_object(json, &self.0))
    }
}

fn is_value(json: &str, verified: &[u8]) -> bool {
    match json.trim_ascii_start().as_bytes().first() {
        Some(b'{') => is_object(json, verified),
        Some(b'[') => is_list(json, verified),
        Some(b'"') => {
            serde_json::from_str::<String>(json).is_ok_and(|text| text.as_bytes() == verified)
        }
        Some(b't') => verified == [1],
        Some(b'f') => verified == [0],
        Some(b'n') | None => false,
        // Beyond 2^53, two integers may be one double.
        Some(_) => serde_json::from_str::<f64>(json).is_ok_and(|number| {
            number.abs() < 9_007_199_254_740_992.0 && number.to_le_bytes() == verified
        }),
    }
}

fn is_object(json: &str, verified: &[u8]) -> bool {
    let (Ok(object), Some(pairs)) = (JsonObject::parse(json), pairs(verified)) else {
        return false;
    };
    let is_member = |(name, value): (&str, &str)| {
        pairs.iter().any(|(known, verified)| *known == name.as_bytes() && is_value(value, verified))
    };
    object.members().count() == pairs.len() && object.members().all(is_member)
}

fn is_list(json: &str, verified: &[u8]) -> bool {
    let (Ok(elements), Some(pairs)) = (json_object::elements(json), pairs(verified)) else {
        return false;
    };
    elements.len() == pairs.len()
        && elements.iter().zip(pairs).all(|(element, (verified, _))| is_value(element, verified))
}

type Pair<'a> = (&'a [u8], &'a [u8]);

fn pairs(bytes: &[u8]) -> Option<Vec<Pair<'_>>> {
    let (count, mut sizes) = number(bytes)?;
    let (_, mut rest) = sizes.split_at_checked(count.checked_mul(8)?)?;
    let mut pairs = Vec::new();
    for _ in 0..count {
        let (name_size, after) = number(sizes)?;
        let (value_size, after) = number(after)?;
        sizes = after;
        let (name, after) = terminated(rest, name_size)?;
        let (value, after) = terminated(after, value_size)?;
        rest = after;
        pairs.push((name, value));
    }
    rest.is_empty().then_some(pairs)
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number).try_into().ok()?, rest))
}

fn terminated(bytes: &[u8], size: usize) -> Option<Pair<'_>> {
    let (text, rest) = bytes.split_at_checked(size)?;
    Some((text, rest.strip_prefix(b"\0")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    // As Envoy 1.40 gave them of the payload before each.
    const EXP_AND_CNF: (&str, &[u8]) = (
        r#"{"iss":"i","exp":4000000000,"cnf":{"x5t#S256":"abc"}}"#,
        b"\x03\0\0\0\x03\0\0\0\x08\0\0\0\x03\0\0\0\x19\0\0\0\x03\0\0\0\x01\0\0\0exp\0\0\0\0\0\x65\xcd\xed\x41\0\
          cnf\0\x01\0\0\0\x08\0\0\0\x03\0\0\0x5t#S256\0abc\0\0iss\0i\0",
    );
    const LIST: (&str, &[u8]) = (
        r#"{"iss":"i","cnf":[{"x5t#S256":"abc"}]}"#,
        b"\x02\0\0\0\x03\0\0\0'\0\0\0\x03\0\0\0\x01\0\0\0cnf\0\x01\0\0\0\x19\0\0\0\0\0\0\0\
          \x01\0\0\0\x08\0\0\0\x03\0\0\0x5t#S256\0abc\0\0\0\0iss\0i\0",
    );
    const FALSE: (&str, &[u8]) = (
        r#"{"iss":"i","cnf":false}"#,
        b"\x02\0\0\0\x03\0\0\0\x01\0\0\0\x03\0\0\0\x01\0\0\0cnf\0\0\0iss\0i\0",
    );

    fn is_of(json: &str, verified: &[u8]) -> bool {
        VerifiedPayload(verified.to_vec()).is_of(json.as_bytes())
    }

    #[test]
    fn the_payload_that_was_verified_is_recognised() {
        for (json, verified) in [EXP_AND_CNF, LIST, FALSE] {
            assert!(is_of(json, verified), "{json}");
        }
        assert!(is_of(
            " { \"cnf\" : {\"x5t\\u0023S256\":\"abc\"}, \"exp\":4e9,\"iss\":\"i\" }",
            EXP_AND_CNF.1
        ));
        assert!(is_of("{}", b"\0\0\0\0"));
    }

    #[test]
    fn other_payloads_are_not() {
        for (json, verified) in [EXP_AND_CNF, LIST, FALSE] {
            for other in [EXP_AND_CNF, LIST, FALSE].map(|(other, _)| other) {
                assert_eq!(is_of(other, verified), other == json, "{other}");
            }
            for end in 0..verified.len() {
                assert!(!is_of(json, verified.get(..end).unwrap()), "{json} cut at {end}");
            }
            assert!(!is_of(json, &[verified, b"\0"].concat()));
        }
        for json in [
            r#"{"iss":"i","exp":4000000001,"cnf":{"x5t#S256":"abc"}}"#,
            r#"{"iss":"i","exp":"4000000000","cnf":{"x5t#S256":"abc"}}"#,
            r#"{"iss":"j","exp":4000000000,"cnf":{"x5t#S256":"abc"}}"#,
            r#"{"iss":"i","exp":4000000000,"cnf":{"x5t#S256":"abd"}}"#,
            r#"{"iss":"i","exp":4000000000,"cnf":{"x5t#S256":"abc","jkt":null}}"#,
            r#"{"iss":"i","exp":4000000000,"cnf":{"x5t#S256":"abc"},"sub":"admin"}"#,
            r#"{"iss":"i","iss":"i","exp":4000000000,"cnf":{"x5t#S256":"abc"}}"#,
            r#"{"iss":"i","exp":4000000000,"cnf":{"x5t#S256":"abd","x5t#S256":"abc"}}"#,
            r#"{"iss":"i","exp":4000000000}"#,
            "[]",
            "",
        ] {
            assert!(!is_of(json, EXP_AND_CNF.1), "{json}");
        }
        assert!(!is_of(r#"{"iss":"i","cnf":true}"#, FALSE.1));
        assert!(!is_of(r#"{"iss":"i","cnf":null}"#, FALSE.1));
        assert!(!is_of(r#"{"iss":"i","cnf":[]}"#, LIST.1));
        assert!(!is_of(r#"{"iss":"i","cnf":[{"x5t#S256":"abd","x5t#S256":"abc"}]}"#, LIST.1));
        // A size that is longer than everything.
        assert!(!is_of("{}", b"\xff\xff\xff\xff"));
    }

    #[test]
    fn integers_that_are_one_double_are_none() {
        let verified = |number: f64| {
            [&b"\x01\0\0\0\x01\0\0\0\x08\0\0\0a\0"[..], &number.to_le_bytes(), b"\0"].concat()
        };
        assert!(is_of(r#"{"a":7}"#, &verified(7.0)));
        assert!(!is_of(r#"{"a":9007199254740993}"#, &verified(9_007_199_254_740_992.0)));
    }
}
