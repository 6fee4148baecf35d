//! The signature as a JWS in compact serialisation (RFC 7515), bound to the request as DPoP proofs are (RFC 9449 §4.2).

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};

use super::{Policy, Received, Refusal, choose};
use crate::{
    jwt::{self, CompactJws},
    thumbprint::Thumbprint,
    verification_key::VerificationKey,
};

/// The `typ` of a JWS of certbound. A token that the same key signed for another purpose has another (RFC 8725 §3.11).
pub(super) const TYPE: &str = "certbound+jwt";

/// A verified JWS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Jws {
    /// `iss`, if it has one.
    pub issuer: Option<String>,
    /// Every `aud`.
    pub audiences: Vec<String>,
    /// `iat`, in seconds since the Unix epoch.
    pub issued_at: u64,
    /// `exp`, in seconds since the Unix epoch.
    pub expires: u64,
    /// `jti`: what a server must accept only once, where certbound makes one for each request.
    pub id: String,
    /// `client_id`: the client, if certbound authenticated it by certificate.
    pub client_id: Option<String>,
    /// `cnf`.
    pub thumbprint: Thumbprint,
    /// The certificate in `x5c`, if it is there.
    pub certificate: Option<Vec<u8>>,
    /// `kid`, if it has one.
    pub kid: Option<String>,
    /// The key's algorithm, by its name in RFC 9421.
    pub algorithm: &'static str,
    /// The names of the claims that bind it to this request.
    pub bound_by: Vec<&'static str>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
    x5c: Option<Vec<String>>,
    crit: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    aud: Option<Audience>,
    iat: u64,
    exp: u64,
    jti: String,
    client_id: Option<String>,
    cnf: Confirmation,
    htm: String,
    htu: String,
    content_digest: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
struct Confirmation {
    #[serde(rename = "x5t#S256")]
    thumbprint: String,
}

/// Verifies the JWS that is there, if one is. `certificate` is that of the certificate header.
pub(super) fn verify(
    policy: &Policy<'_>,
    keys: &[VerificationKey],
    request: &Received<'_>,
    certificate: Option<&[u8]>,
) -> Result<Option<Jws>, Refusal> {
    let mut lines = request.headers.values(policy.jws_header);
    let Some(text) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(Refusal::Repeated { field: policy.jws_header.to_owned() });
    }
    let malformed = || Refusal::Malformed { field: policy.jws_header.to_owned() };
    let text = str::from_utf8(text).map_err(|_| malformed())?;
    let compact = CompactJws::parse(text).map_err(|_| malformed())?;
    let header: Header = object(&compact.header).ok_or_else(malformed)?;
    if header.typ.as_deref() != Some(TYPE) {
        return Err(Refusal::Type);
    }
    // Extensions that must be understood (RFC 7515 §4.1.11). None is.
    if header.crit.is_some() {
        return Err(malformed());
    }
    let key = choose(keys, header.kid.as_deref())?;
    if !key.is_for_jws(&header.alg) {
        return Err(Refusal::Algorithm { named: header.alg, key: key.algorithm() });
    }
    if !key.verifies(compact.signing_input.as_bytes(), &compact.signature) {
        return Err(Refusal::Signature { key: key.kid.clone() });
    }

    let claims: Claims = object(&compact.payload).ok_or_else(malformed)?;
    policy.check_time(claims.iat, claims.exp)?;
    let audiences = match claims.aud {
        None => Vec::new(),
        Some(Audience::One(audience)) => vec![audience],
        Some(Audience::Several(audiences)) => audiences,
    };
    if policy.issuer.is_some_and(|issuer| claims.iss.as_deref() != Some(issuer)) {
        return Err(Refusal::Issuer { named: claims.iss });
    }
    if policy.audience.is_some_and(|audience| !audiences.iter().any(|named| named == audience)) {
        return Err(Refusal::Audience { named: audiences });
    }
    if claims.jti.is_empty() {
        return Err(Refusal::Claim { name: "jti" });
    }
    if claims.htm != request.signed.method {
        return Err(Refusal::Claim { name: "htm" });
    }
    let signed = &request.signed;
    if claims.htu != format!("https://{}{}", signed.normalised_authority(), signed.path()) {
        return Err(Refusal::Claim { name: "htu" });
    }
    let mut bound_by = vec!["htm", "htu"];
    match &claims.content_digest {
        Some(digest) if *digest == request.content_digest => bound_by.push("content_digest"),
        None if !policy.requires("content-digest") => {}
        _ => return Err(Refusal::Claim { name: "content_digest" }),
    }
    let thumbprint =
        Thumbprint::parse(&claims.cnf.thumbprint).map_err(|_| Refusal::Claim { name: "cnf" })?;
    let in_header = header.x5c.map(|chain| {
        let first = chain.first().and_then(|first| BASE64_STANDARD.decode(first).ok());
        first.ok_or_else(malformed)
    });
    let in_header = in_header.transpose()?;
    for certificate in [certificate, in_header.as_deref()].into_iter().flatten() {
        if Thumbprint::of(certificate) != thumbprint {
            return Err(Refusal::Claim { name: "cnf" });
        }
    }
    if certificate.is_some() {
        bound_by.push("cnf");
    }
    Ok(Some(Jws {
        issuer: claims.iss,
        audiences,
        issued_at: claims.iat,
        expires: claims.exp,
        id: claims.jti,
        client_id: claims.client_id,
        thumbprint,
        certificate: in_header,
        kid: header.kid,
        algorithm: key.algorithm(),
        bound_by,
    }))
}

/// A JSON object, in which no member that is read may be there twice: parsers differ in which of them they take.
fn object<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    if jwt::is_object(json) { serde_json::from_slice(json).ok() } else { None }
}
