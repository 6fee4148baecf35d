//! What an origin server checks before it believes a certificate header: the signing side's counterpart.
//!
//! The signatures protect a server only if it insists. What each check is there for is in docs/verifying.md.

mod http_message_signature;
mod jws;
mod refusal;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sfv::{BareItem, Dictionary, Item, KeyRef, ListEntry, Parser, visitor};
use sha2::{Digest as _, Sha256};

pub use self::{http_message_signature::HttpMessageSignature, jws::Jws, refusal::Refusal};
use crate::{
    client_cert::byte_sequence, headers::Headers, http_signature::SignedRequest, pem,
    sanitise::Sanitiser, thumbprint::Thumbprint, verification_key::VerificationKey,
};

/// What a server insists on.
#[derive(Clone, Debug)]
pub struct Policy<'a> {
    /// The label of certbound's signature in `Signature-Input` and `Signature`.
    pub label: &'a str,
    /// Component names that must be covered, [`Self::REQUIRED`] as a rule.
    pub required: &'a [String],
    /// The lower-case name of the header with the certificate, which must be covered as well.
    pub certificate_header: &'a str,
    /// The lower-case name of the header with the JWS.
    pub jws_header: &'a str,
    /// The `iss` of a JWS.
    pub issuer: Option<&'a str>,
    /// One of the `aud` of a JWS.
    pub audience: Option<&'a str>,
    /// Seconds since the Unix epoch.
    pub now: u64,
    /// Seconds by which the signer's clock may differ.
    pub leeway: u64,
}

impl Policy<'_> {
    /// Without any of these, a signature fits other requests too.
    pub const REQUIRED: [&'static str; 4] = ["@method", "@authority", "@path", "content-digest"];

    fn requires(&self, component: &str) -> bool {
        self.required.iter().any(|required| required == component)
    }

    /// Judges a moment of issue and one of expiry.
    fn check_time(&self, issued: u64, expires: u64) -> Result<(), Refusal> {
        if issued > self.now.saturating_add(self.leeway) {
            Err(Refusal::NotYet { by: issued.saturating_sub(self.now) })
        } else if expires <= issued {
            Err(Refusal::NoLifetime)
        } else if self.now > expires.saturating_add(self.leeway) {
            Err(Refusal::Expired { since: self.now.saturating_sub(expires) })
        } else {
            Ok(())
        }
    }
}

/// What the signatures of a request vouch for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verified {
    /// The signature of RFC 9421.
    pub http_message_signature: Option<HttpMessageSignature>,
    /// The signature of RFC 7515.
    pub jws: Option<Jws>,
    /// The DER encoding of the client's certificate, from its header or from the JWS.
    pub certificate: Option<Vec<u8>>,
    /// The thumbprint of the client's certificate.
    pub thumbprint: Option<Thumbprint>,
}

/// Verifies every signature of certbound on a request, of which there must be one at least.
///
/// # Errors
/// When any of them is not as it must be, or a header that certbound would have removed or set is not vouched for.
pub fn verify(
    policy: &Policy<'_>,
    keys: &[VerificationKey],
    headers: &Headers,
    body: &[u8],
) -> Result<Verified, Refusal> {
    let (method, authority, target) = (headers.method(), headers.authority(), headers.target());
    let fields: Vec<_> = headers.fields().collect();
    let request = Received {
        signed: SignedRequest {
            method: &method,
            authority: &authority,
            target: &target,
            fields: &fields,
        },
        headers,
        content_digest: format!("sha-256={}", byte_sequence(&Sha256::digest(body))),
    };
    request.check_content_digest(body)?;
    let http_message_signature = http_message_signature::verify(policy, keys, &request)?;
    let certificate = request.certificate(policy)?;
    let jws = jws::verify(policy, keys, &request, certificate.as_deref())?;
    if http_message_signature.is_none() && jws.is_none() {
        return Err(Refusal::Unsigned { label: policy.label.to_owned() });
    }
    let covers = |field: &str| {
        http_message_signature.as_ref().is_some_and(|signature| signature.covers(field))
    };
    // A JWS vouches for the values of its claims; for the certificate by its thumbprint, so that it must be readable.
    let is_claimed = |field: &str, value: &[u8]| {
        jws.as_ref().is_some_and(|jws| {
            (certificate.is_some() && field == policy.certificate_header)
                || jws.client_id.as_ref().is_some_and(|client_id| client_id.as_bytes() == value)
                || jws.thumbprint.to_string().as_bytes() == value
        })
    };
    let sanitiser = Sanitiser::new([policy.certificate_header, "x-client-id"], None, policy.label);
    for (field, value) in &headers.0 {
        let is_vouched_for =
            covers(field) || field == policy.jws_header || is_claimed(field, value);
        if sanitiser.is_ours(field) && !is_vouched_for {
            return Err(Refusal::NotVouchedFor { field: field.clone() });
        }
    }
    let thumbprint = certificate.as_deref().map(Thumbprint::of);
    let in_jws = jws.as_ref().map(|jws| jws.thumbprint);
    Ok(Verified {
        certificate: certificate.or_else(|| jws.as_ref()?.certificate.clone()),
        thumbprint: thumbprint.or(in_jws),
        http_message_signature,
        jws,
    })
}

/// A request as the server has it.
struct Received<'a> {
    signed: SignedRequest<'a>,
    headers: &'a Headers,
    /// What `Content-Digest` of its body is.
    content_digest: String,
}

impl Received<'_> {
    /// The lines of a field together, as one value.
    fn joined(&self, field: &str) -> Option<Vec<u8>> {
        let lines: Vec<_> = self.headers.values(field).collect();
        (!lines.is_empty()).then(|| lines.join(&b", "[..]))
    }

    /// RFC 9530 §2. A digest that is there must be right, whether it is covered or not.
    fn check_content_digest(&self, body: &[u8]) -> Result<(), Refusal> {
        let Some(value) = self.joined("content-digest") else { return Ok(()) };
        let digests = dictionary("content-digest", &value)?;
        match digests.get("sha-256") {
            Some(ListEntry::Item(Item { bare_item: BareItem::ByteSequence(digest), .. })) => {
                if digest.as_slice() == Sha256::digest(body).as_slice() {
                    Ok(())
                } else {
                    Err(Refusal::ContentDigest)
                }
            }
            _ => Err(Refusal::Malformed { field: "content-digest".into() }),
        }
    }

    /// The certificate in the certificate header, if that is of RFC 9440, URL-encoded PEM or base64 of DER. `None` if there
    /// is no header, or it has another format.
    fn certificate(&self, policy: &Policy<'_>) -> Result<Option<Vec<u8>>, Refusal> {
        let mut lines = self.headers.values(policy.certificate_header);
        let Some(value) = lines.next() else { return Ok(None) };
        if lines.next().is_some() {
            return Err(Refusal::Repeated { field: policy.certificate_header.to_owned() });
        }
        let der = value.strip_prefix(b":").and_then(|rest| rest.strip_suffix(b":"));
        let der = BASE64_STANDARD.decode(der.unwrap_or(value));
        Ok(der.ok().or_else(|| pem::peer_certificate(value).ok()))
    }
}

/// The one of several keys that an identifier means. A single key need not be named, but not by another name.
fn choose<'a>(
    keys: &'a [VerificationKey],
    identifier: Option<&str>,
) -> Result<&'a VerificationKey, Refusal> {
    let named = keys.iter().find(|key| key.kid.as_deref() == identifier && identifier.is_some());
    let sole = match keys {
        [sole] if sole.kid.is_none() || identifier.is_none() => Some(sole),
        _ => None,
    };
    named.or(sole).ok_or_else(|| Refusal::UnknownKey { identifier: identifier.map(str::to_owned) })
}

/// Reads a dictionary (RFC 9651 §3.2). Of a member that is there twice the last would count, and other parsers may take the
/// first.
fn dictionary(field: &str, value: &[u8]) -> Result<Dictionary, Refusal> {
    let malformed = |_| Refusal::Malformed { field: field.to_owned() };
    let mut keys =
        Parser::new(value).parse_dictionary_with_visitor(Keys::default()).map_err(malformed)?;
    let dictionary: Dictionary = Parser::new(value).parse().map_err(malformed)?;
    if keys.len() == dictionary.len() {
        return Ok(dictionary);
    }
    keys.sort_unstable();
    let repeated = keys.windows(2).find_map(|pair| match pair {
        [key, next] if key == next => Some(key.clone()),
        _ => None,
    });
    Err(Refusal::RepeatedMember { field: field.to_owned(), member: repeated.unwrap_or_default() })
}

/// Collects the keys of a dictionary, repeated ones too.
#[derive(Default)]
struct Keys(Vec<String>);

impl<'de> visitor::DictionaryVisitor<'de> for Keys {
    type Error = std::convert::Infallible;
    type Out = Vec<String>;

    fn entry(&mut self, key: &'de KeyRef) -> Result<impl visitor::EntryVisitor<'de>, Self::Error> {
        self.0.push(key.as_str().to_owned());
        Ok(visitor::Ignored)
    }

    fn finish(self) -> Result<Self::Out, Self::Error> {
        Ok(self.0)
    }
}
