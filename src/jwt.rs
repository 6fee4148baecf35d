//! JSON Web Tokens in compact serialisation (RFC 7515 §7.1) whose claims are read here and whose signatures are for others:
//! client assertions (RFC 7523 §3), which name the client, and access tokens, which name the certificate that they are
//! bound to (RFC 8705 §3.1).

use std::fmt;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::json_object::JsonObject;

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
#[derive(Clone, Debug, Eq, PartialEq)]
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
        let payload = CompactJws::parse(text)?.payload;
        let claims = claims(&payload, &["iss", "sub"])?;
        let sub = self::text(&claims, "sub")?.ok_or(InvalidJwt)?;
        Ok(Self { iss: self::text(&claims, "iss")?, sub })
    }
}

/// What says how the sender of an access token proves that it is its own (RFC 7800 §3.1).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TokenBinding {
    /// `cnf`.
    pub cnf: Option<Confirmation>,
}

/// The members of `cnf` that have a meaning here.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Confirmation {
    /// The thumbprint of the client's certificate (RFC 8705 §3.1).
    pub x5t_s256: Option<String>,
    /// The thumbprint of the client's DPoP key (RFC 9449 §6.1).
    pub jkt: Option<String>,
}

impl TokenBinding {
    /// Reads an access token that is a JWS in compact serialisation.
    ///
    /// # Errors
    /// When it is not three base64url parts, or the payload is not a JSON object, or `cnf` is not one with each member once.
    pub fn of_token(text: &str) -> Result<Self, InvalidJwt> {
        Self::of_claims(&CompactJws::parse(text)?.payload)
    }

    /// Reads claims that are not, or no longer, in a JWT.
    ///
    /// # Errors
    /// When they are not a JSON object, or `cnf` is not one with each member once.
    pub fn of_claims(json: &[u8]) -> Result<Self, InvalidJwt> {
        let claims = claims(json, &["cnf"])?;
        let Some(cnf) = claims.value("cnf") else { return Ok(Self { cnf: None }) };
        let members = self::claims(cnf.as_bytes(), &["x5t#S256", "jkt"])?;
        let x5t_s256 = text(&members, "x5t#S256")?;
        Ok(Self { cnf: Some(Confirmation { x5t_s256, jkt: text(&members, "jkt")? }) })
    }
}

/// Reads claims, of which `names` are the ones that matter.
fn claims<'a>(json: &'a [u8], names: &[&str]) -> Result<JsonObject<'a>, InvalidJwt> {
    // The JSON reader does not look for UTF-8 in claims that are ignored, where a lenient one may find a quote.
    let json = str::from_utf8(json).map_err(|_| InvalidJwt)?;
    let claims = JsonObject::parse(json).map_err(|_| InvalidJwt)?;
    // Go matches names by Unicode case folding: neither `Sub` nor `ſub` (U+017F) may be another subject to it.
    let folded = |name: &str| name.to_uppercase().to_lowercase();
    let is_ambiguous = |name: &str| {
        let is_like = |claim: &&str| name != *claim && folded(name) == folded(claim);
        names.iter().any(is_like)
    };
    if claims.members().any(|(name, _)| is_ambiguous(name)) {
        return Err(InvalidJwt);
    }
    Ok(claims)
}

/// A claim that is text if it is there.
fn text(claims: &JsonObject<'_>, name: &str) -> Result<Option<String>, InvalidJwt> {
    let value = claims.value(name).map(serde_json::from_str).transpose();
    value.map_err(|_| InvalidJwt)
}

/// Not a JWT whose claims every library reads alike.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidJwt;

impl fmt::Display for InvalidJwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a JWT whose claims every library reads alike")
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
    fn the_binding_of_an_access_token_is_read() {
        // The claims of RFC 8705 §3.1, figure 2.
        let payload = r#"{
            "iss": "https://server.example.com",
            "sub": "ty.webb@example.com",
            "exp": 1493726400,
            "nbf": 1493722800,
            "cnf":{ "x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2" }
        }"#;
        let binding = TokenBinding::of_token(&jwt(payload)).unwrap();
        let thumbprint = binding.cnf.unwrap().x5t_s256;
        assert_eq!(thumbprint.as_deref(), Some("bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"));
        assert_eq!(TokenBinding::of_token(&jwt("{}")), Ok(TokenBinding::default()));
        let other = TokenBinding::of_token(&jwt(r#"{"cnf":{"jkt":"a","kid":"b"}}"#)).unwrap();
        let expected = Confirmation { x5t_s256: None, jkt: Some("a".into()) };
        assert_eq!(other.cnf, Some(expected));
    }

    #[test]
    fn bindings_that_libraries_read_differently_are_rejected() {
        for payload in [
            r#"{"cnf":{},"cnf":{"x5t#S256":"a"}}"#,
            r#"{"cnf":{"x5t#S256":"a","x5t#S256":"b"}}"#,
            r#"{"cnf":{"x5t#S256":"a","x5t\u0023S256":"b"}}"#,
            r#"{"cnf":{"x5t#S256":"a","X5T#s256":"b"}}"#,
            r#"{"cnf":{"x5t#S256":"a"},"CNF":{}}"#,
            r#"{"cnf":{"x5t#S256":1}}"#,
            r#"{"cnf":{"x5t#S256":["a"]}}"#,
            r#"{"cnf":{"jkt":"a","j\u212At":"b"}}"#,
            r#"{"cnf":"a"}"#,
            r#"{"cnf":["a","b"]}"#,
            r#"{"cnf":null}"#,
            "[]",
        ] {
            assert_eq!(TokenBinding::of_token(&jwt(payload)), Err(InvalidJwt), "{payload}");
        }
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
