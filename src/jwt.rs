//! JSON Web Tokens in compact serialisation (RFC 7515 §7.1), and the claims of a client assertion (RFC 7523 §3), read to
//! learn which client speaks. Its signature is for the server.

use std::{collections::BTreeMap, fmt};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, de::IgnoredAny};

/// The decoded parts of a JWS in compact serialisation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CompactJws<'a> {
    /// The protected header, which should be a JSON object.
    pub header: Vec<u8>,
    /// The payload.
    pub payload: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
    /// What the signature is over: the first two parts as they were written.
    pub signing_input: &'a str,
}

impl<'a> CompactJws<'a> {
    /// Takes a JWS apart.
    ///
    /// # Errors
    /// When it is not three base64url parts.
    pub fn parse(text: &'a str) -> Result<Self, InvalidJwt> {
        let (signing_input, signature) = text.rsplit_once('.').ok_or(InvalidJwt)?;
        let (header, payload) = signing_input.split_once('.').ok_or(InvalidJwt)?;
        let decode = |part| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| InvalidJwt);
        Ok(Self {
            header: decode(header)?,
            payload: decode(payload)?,
            signature: decode(signature)?,
            signing_input,
        })
    }
}

/// Whether a text is a JSON object, if it is JSON at all. A derived struct also reads arrays, which no JWT library does.
pub(crate) fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().first() == Some(&b'{')
}

/// The claims that name the client. RFC 7523 §3 requires both, with the same value.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct ClientAssertion {
    /// Issuer.
    pub iss: Option<String>,
    /// Subject.
    pub sub: String,
}

impl ClientAssertion {
    /// Reads a JWS in compact serialisation (RFC 7515 §7.1).
    ///
    /// # Errors
    /// When it is not three base64url parts, or the payload is not a JSON object with a string `sub`, each claim once.
    pub fn parse(text: &str) -> Result<Self, InvalidJwt> {
        let CompactJws { payload, .. } = CompactJws::parse(text)?;
        if !is_object(&payload) {
            return Err(InvalidJwt);
        }
        // The JSON reader does not look for UTF-8 in claims that are ignored, where a lenient one may find a quote.
        let payload = str::from_utf8(&payload).map_err(|_| InvalidJwt)?;
        // Go matches names by Unicode case folding: neither `Sub` nor `ſub` (U+017F) may be another subject to it.
        let members: BTreeMap<String, IgnoredAny> =
            serde_json::from_str(payload).map_err(|_| InvalidJwt)?;
        let is_ambiguous = |name: &String| {
            let folded = name.to_uppercase();
            ["iss", "sub"].iter().any(|claim| name != claim && folded == claim.to_uppercase())
        };
        if members.keys().any(is_ambiguous) {
            return Err(InvalidJwt);
        }
        serde_json::from_str(payload).map_err(|_| InvalidJwt)
    }
}

/// Not a JWT whose claims every library reads alike.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidJwt;

impl fmt::Display for InvalidJwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("client_assertion is not a JWT with a single string `sub`")
    }
}

impl std::error::Error for InvalidJwt {}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(payload: &str) -> String {
        format!("e30.{}.AA", BASE64_URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn subject_and_issuer_are_read() {
        let claims = ClientAssertion::parse(&jwt(r#"{"iss":"a","sub":"b","aud":["x"],"exp":1}"#));
        assert_eq!(claims, Ok(ClientAssertion { iss: Some("a".into()), sub: "b".into() }));
        assert!(ClientAssertion::parse(&jwt(r#"{"sub":"b"}"#)).is_ok());
    }

    #[test]
    fn claims_that_libraries_read_differently_are_rejected() {
        for payload in [
            r#"{"sub":"a","sub":"b"}"#,
            r#"{"sub":"a","\u0073ub":"b"}"#,
            r#"{"sub":"a","Sub":"b"}"#,
            r#"{"sub":"a","ſub":"b"}"#,
            r#"{"sub":"a","iſS":"b"}"#,
            r#"{"iss":"a"}"#,
            r#"{"sub":1}"#,
            r#"["a","b"]"#,
            r#"{"sub":"a"} x"#,
            "",
            "\u{FEFF}{\"sub\":\"a\"}",
        ] {
            assert_eq!(ClientAssertion::parse(&jwt(payload)), Err(InvalidJwt), "{payload}");
        }
    }

    #[test]
    fn claims_that_are_not_utf_8_are_rejected() {
        let payload = BASE64_URL_SAFE_NO_PAD.encode(b"{\"x\":\"\xc0\xa2\",\"sub\":\"a\"}");
        assert_eq!(ClientAssertion::parse(&format!("e30.{payload}.AA")), Err(InvalidJwt));
    }

    #[test]
    fn other_serialisations_are_rejected() {
        let good = jwt(r#"{"sub":"a"}"#);
        for text in [
            "",
            ".",
            "..",
            good.rsplit_once('.').unwrap().0,
            &format!("{good}.AA.AA"),
            &format!("{good}="),
            &good.replace("e30", "e30="),
        ] {
            assert_eq!(ClientAssertion::parse(text), Err(InvalidJwt), "{text}");
        }
    }
}
