//! The certificate as a signed statement in one header field: a JWT in a JWS (RFC 7519, RFC 7515), for servers that have
//! a library for those but none for RFC 9421.

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde::Serialize;

use crate::{
    certificate::Certificate,
    http_signature::{SignedRequest, Unsignable, content_digest},
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
}

/// What is said of one request.
#[derive(Clone, Copy, Debug)]
pub struct Statement<'a> {
    /// The client's certificate.
    pub certificate: &'a Certificate,
    /// The client, if the certificate authenticated it.
    pub client_id: Option<&'a str>,
    /// The request that the statement is bound to.
    pub request: &'a SignedRequest<'a>,
    /// The request's body, unless it was not held.
    pub body: Option<&'a [u8]>,
}

impl CertificateJws {
    /// Signs a statement. `issued_at` is in seconds since the Unix epoch; `jti` is used once.
    ///
    /// # Errors
    /// When the request has a method, authority or path of other than visible ASCII.
    pub fn sign(
        &self,
        key: &SigningKey,
        statement: &Statement<'_>,
        issued_at: u64,
        jti: &str,
    ) -> Result<String, Unsignable> {
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
            iat: issued_at,
            exp: issued_at.saturating_add(self.lifetime_seconds),
            jti,
            client_id: statement.client_id,
            cnf: Confirmation { thumbprint: statement.certificate.thumbprint().to_string() },
            htm: request.method,
            htu,
            content_digest: statement.body.map(content_digest),
        };
        let unsignable = |_| Unsignable::new("a claim", "has no JSON");
        let header = serde_json::to_string(&header).map_err(unsignable)?;
        let claims = serde_json::to_string(&claims).map_err(unsignable)?;
        Ok(compact(&header, &claims, &key.secret))
    }
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
    cnf: Confirmation,
    htm: &'a str,
    htu: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_digest: Option<String>,
}

#[derive(Serialize)]
struct Confirmation {
    #[serde(rename = "x5t#S256")]
    thumbprint: String,
}
