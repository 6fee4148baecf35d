//! The certificate as a signed statement in one header field: a JWT in a JWS (RFC 7519, RFC 7515), for servers that have
//! a library for those but none for RFC 9421.

use std::fmt;

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde::Serialize;

use crate::{
    generations::Generations,
    http_signature::{SignedRequest, Unsignable, content_digest},
    known_certificate::KnownCertificate,
    signing_key::{SigningKey, SigningSecret},
};

/// `typ` of the header (RFC 7515 §4.1.9), so that no token of another kind passes for this one (RFC 8725 §3.11).
pub const TYPE: &str = "certbound+jwt";

/// What every statement has in common.
#[derive(Clone, Debug)]
pub struct CertificateJws {
    /// Lower-case name of the field.
    pub name: String,
    /// `iss`.
    pub issuer: String,
    /// `aud`.
    pub audience: String,
    /// From `iat` to `exp`.
    pub lifetime_seconds: u64,
    /// Whether the header holds the certificate itself.
    pub x5c: bool,
    /// How long, from `iat`, a JWS goes with further requests of which it says the same. 0: each request has its own.
    pub reuse_seconds: u64,
}

/// What is said of one request.
#[derive(Clone, Copy, Debug)]
pub struct Statement<'a> {
    /// The client's certificate.
    pub certificate: &'a KnownCertificate,
    /// The client, if the certificate authenticated it.
    pub client_id: Option<&'a str>,
    /// The request that the statement is bound to.
    pub request: &'a SignedRequest<'a>,
    /// The request's body, unless it was not held.
    pub body: Option<&'a [u8]>,
}

impl CertificateJws {
    /// What is to be signed of a statement. Nothing of it tells one of several equal requests from the others.
    ///
    /// # Errors
    /// When the request has a method, authority or path of other than visible ASCII.
    pub(crate) fn draft<'a>(
        &'a self,
        key: &'a SigningKey,
        statement: &Statement<'a>,
    ) -> Result<Draft<'a>, Unsignable> {
        let request = statement.request;
        let htu = format!("https://{}{}", request.normalised_authority(), request.path());
        let is_visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_visible(request.method) || !is_visible(&htu) {
            return Err(Unsignable::new("htm or htu", "holds other than visible ASCII"));
        }
        let x5c = self.x5c.then(|| [BASE64_STANDARD.encode(statement.certificate.der())]);
        let header = Header { alg: key.secret.jws_algorithm(), typ: TYPE, kid: &key.kid, x5c };
        let claims = Claims {
            iss: &self.issuer,
            aud: &self.audience,
            iat: 0,
            exp: self.lifetime_seconds,
            jti: "",
            client_id: statement.client_id,
            cnf: Confirmation { thumbprint: statement.certificate.thumbprint_text() },
            htm: request.method,
            htu,
            content_digest: statement.body.map(content_digest),
        };
        Ok(Draft { header: json(&header)?, claims, secret: &key.secret })
    }
}

/// A statement that is still to be signed, with what is alike in all JWS of it: as if issued at the Unix epoch, without
/// `jti`.
pub(crate) struct Draft<'a> {
    header: String,
    claims: Claims<'a>,
    secret: &'a SigningSecret,
}

impl Draft<'_> {
    /// All that the JWS will say, but for `iat`, `exp` and `jti`: whatever a claim is added for, it is in here.
    pub(crate) fn matter(&self) -> Result<String, Unsignable> {
        let mut matter = self.header.clone();
        matter.push_str(&json(&self.claims)?);
        Ok(matter)
    }

    /// The JWS. `issued_at` is in seconds since the Unix epoch; `jti` is used for no other.
    pub(crate) fn sign(self, issued_at: u64, jti: &str) -> Result<String, Unsignable> {
        let exp = issued_at.saturating_add(self.claims.exp);
        let claims = Claims { iat: issued_at, exp, jti, ..self.claims };
        Ok(compact(&self.header, &json(&claims)?, self.secret))
    }
}

fn json(part: &impl Serialize) -> Result<String, Unsignable> {
    serde_json::to_string(part).map_err(|_| Unsignable::new("a claim", "has no JSON"))
}

/// The compact serialisation (RFC 7515 §7.1) of a header and a payload, signed.
pub fn compact(header: &str, payload: &str, secret: &SigningSecret) -> String {
    let encode = |part: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(part);
    let signing_input = format!("{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()));
    let signature = encode(&secret.sign(signing_input.as_bytes()));
    format!("{signing_input}.{signature}")
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    kid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    x5c: Option<[String; 1]>,
}

/// `iss` to `jti` are RFC 7519's, `client_id` RFC 8693's, `cnf` RFC 8705's (§3.1), `htm` and `htu` RFC 9449's (§4.2);
/// `content_digest` has the value of RFC 9530's field.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
    jti: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    cnf: Confirmation<'a>,
    htm: &'a str,
    htu: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_digest: Option<String>,
}

#[derive(Serialize)]
struct Confirmation<'a> {
    #[serde(rename = "x5t#S256")]
    thumbprint: &'a str,
}

/// JWS of requests that were allowed, to go with further ones (`signature.jws.reuse_seconds`). For one configuration only.
///
/// What is remembered is a signature and no verdict: it is looked for once a JWS is to be made, and found if that would say
/// the same, byte for byte, but for `iat`, `exp` and `jti`. So it ends when it would have ended if it had been sent once.
pub struct SignedStatements(Generations<String, Signed>);

/// A JWS that may be sent again.
#[derive(Clone)]
pub(crate) struct Signed {
    pub(crate) jws: String,
    /// `iat`, in seconds since the Unix epoch. A clock that shows less has been set back.
    pub(crate) from: u64,
    /// The first second in which it is too old.
    pub(crate) until: u64,
}

/// Of all that is remembered, in bytes; there may be twice as much for a while.
const CAPACITY_BYTES: usize = 2 * 1024 * 1024;

/// Above this a JWS would displace too many others.
const JWS_MAXIMUM_BYTES: usize = 8 * 1024;

impl Default for SignedStatements {
    /// Room for at least 1,000 JWS without `x5c`.
    fn default() -> Self {
        // What it is found by has less bytes than the JWS, in which the same stands in base64url.
        Self(Generations::weighed(CAPACITY_BYTES, |signed| signed.jws.len().saturating_mul(2)))
    }
}

impl SignedStatements {
    /// The JWS that says this, if there is one that may be sent again.
    pub(crate) fn get(&mut self, matter: &String, now: u64) -> Option<String> {
        let signed = self.0.get(matter)?;
        (signed.from..signed.until).contains(&now).then_some(signed.jws)
    }

    /// Remembers the JWS of a request that is allowed.
    pub(crate) fn remember(&mut self, matter: String, signed: Signed) {
        if signed.jws.len() <= JWS_MAXIMUM_BYTES {
            self.0.insert(matter, signed);
        }
    }
}

/// Without the JWS, with which somebody could pass for certbound.
impl fmt::Debug for SignedStatements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedStatements").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Certificate;

    #[test]
    fn only_what_says_the_same_is_found() {
        const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        const EXAMPLE: &[u8] = include_bytes!("trust/known_answers/p256.der");
        let jws = |x5c| CertificateJws {
            name: "client-cert-jwt".into(),
            issuer: "https://proxy.example.com".into(),
            audience: "https://as.example.com".into(),
            lifetime_seconds: 60,
            x5c,
            reuse_seconds: 30,
        };
        let secret = SigningSecret::hmac_sha256_from_base64(KEY).unwrap();
        let key = |kid: &str| SigningKey { kid: kid.into(), secret: secret.clone() };
        let certificate = Certificate::from_der(EXAMPLE.to_vec()).unwrap();
        let certificate = KnownCertificate::from(certificate);
        let request =
            |method, authority, target| SignedRequest { method, authority, target, fields: &[] };
        let matter = |jws: &CertificateJws, key, client_id, request, body| {
            let statement = Statement { certificate: &certificate, client_id, request, body };
            jws.draft(key, &statement).unwrap().matter().unwrap()
        };
        let (plain, post) = (jws(false), request("POST", "a", "/b"));
        let (first, second) = (key("1"), key("2"));
        let base = matter(&plain, &first, Some("c"), &post, Some(b"d"));
        assert_eq!(matter(&plain, &first, Some("c"), &post, Some(b"d")), base);
        let other_issuer = CertificateJws { issuer: "https://b".into(), ..jws(false) };
        let other_audience = CertificateJws { audience: "https://b".into(), ..jws(false) };
        for other in [
            matter(&jws(true), &first, Some("c"), &post, Some(b"d")),
            matter(&other_issuer, &first, Some("c"), &post, Some(b"d")),
            matter(&other_audience, &first, Some("c"), &post, Some(b"d")),
            matter(&plain, &second, Some("c"), &post, Some(b"d")),
            matter(&plain, &first, Some("C"), &post, Some(b"d")),
            matter(&plain, &first, None, &post, Some(b"d")),
            matter(&plain, &first, Some("c"), &request("PUT", "a", "/b"), Some(b"d")),
            matter(&plain, &first, Some("c"), &request("POST", "b", "/b"), Some(b"d")),
            matter(&plain, &first, Some("c"), &request("POST", "a", "/B"), Some(b"d")),
            matter(&plain, &first, Some("c"), &post, Some(b"")),
            matter(&plain, &first, Some("c"), &post, None),
        ] {
            assert_ne!(other, base);
        }
    }

    fn signed(length: usize) -> Signed {
        Signed { jws: "a".repeat(length), from: 0, until: 10 }
    }

    #[test]
    fn no_number_of_statements_takes_more_than_their_room() {
        const COUNT: usize = 10_000;
        let mut statements = SignedStatements::default();
        let used = "used".to_owned();
        statements.remember(used.clone(), signed(1000));
        for number in 0..COUNT {
            statements.remember(number.to_string(), signed(1000));
            assert!(statements.get(&used, 0).is_some(), "after {number}");
        }
        let known = (0..COUNT).filter(|number| statements.0.contains(&number.to_string())).count();
        assert!((1000..2 * CAPACITY_BYTES / 2000).contains(&known), "{known}");
    }

    #[test]
    fn one_that_is_too_long_displaces_nothing() {
        let mut statements = SignedStatements::default();
        for (name, length) in [("long", JWS_MAXIMUM_BYTES), ("longer", JWS_MAXIMUM_BYTES + 1)] {
            statements.remember(name.to_owned(), signed(length));
        }
        let mut is_known = |name: &str| statements.get(&name.to_owned(), 0).is_some();
        assert!(is_known("long") && !is_known("longer"));
    }
}
