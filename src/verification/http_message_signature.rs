//! The signature of RFC 9421, verified as §3.2 says.

use sfv::{BareItem, InnerList, Item, ListEntry, ListSerializer, StringRef};

use super::{Policy, Received, Refusal, choose, dictionary};
use crate::{
    http_signature::{Component, TAG},
    verification_key::VerificationKey,
};

/// A verified HTTP message signature.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpMessageSignature {
    /// The covered components in their order: names, or identifiers where they have parameters.
    pub components: Vec<String>,
    /// Seconds since the Unix epoch.
    pub created: u64,
    /// Seconds since the Unix epoch.
    pub expires: u64,
    /// What a server must accept only once.
    pub nonce: String,
    /// The identifier of the key, if the signature has it.
    pub keyid: Option<String>,
    /// The key's algorithm.
    pub algorithm: &'static str,
}

impl HttpMessageSignature {
    /// Whether a component is covered.
    pub fn covers(&self, component: &str) -> bool {
        self.components.iter().any(|covered| covered == component)
    }
}

/// Verifies the signature that is there, if one is.
pub(super) fn verify(
    policy: &Policy<'_>,
    keys: &[VerificationKey],
    request: &Received<'_>,
) -> Result<Option<HttpMessageSignature>, Refusal> {
    let field = |name| {
        let value = request.joined(name).unwrap_or_default();
        dictionary(name, &value)
    };
    let (inputs, signatures) = (field("signature-input")?, field("signature")?);
    for (label, member) in &inputs {
        if label.as_str() != policy.label && string(member, "tag") == Some(TAG) {
            return Err(Refusal::OtherLabel { label: label.as_str().to_owned() });
        }
    }
    let (input, signature) = match (inputs.get(policy.label), signatures.get(policy.label)) {
        (None, None) => return Ok(None),
        (
            Some(ListEntry::InnerList(input)),
            Some(ListEntry::Item(Item { bare_item: BareItem::ByteSequence(signature), .. })),
        ) => (input, signature),
        _ => return Err(Refusal::Incomplete { label: policy.label.to_owned() }),
    };

    let parameters = Parameters { input };
    if parameters.string("tag")? != TAG {
        return Err(Refusal::Tag);
    }
    let (created, expires) = (parameters.moment("created")?, parameters.moment("expires")?);
    policy.check_time(created, expires)?;
    let nonce = parameters.string("nonce")?.to_owned();
    let keyid = parameters.optional_string("keyid")?;
    let key = choose(keys, keyid)?;
    if let Some(alg) = parameters.optional_string("alg")?
        && alg != key.algorithm()
    {
        return Err(Refusal::Algorithm { named: alg.to_owned(), key: key.algorithm() });
    }

    let (components, base) = signature_base(input, request)?;
    let required = policy.required.iter().map(String::as_str);
    for name in required.chain([policy.certificate_header]) {
        if !components.iter().any(|covered| covered == name) {
            return Err(Refusal::NotCovered { component: name.to_owned() });
        }
    }
    if !key.verifies(base.as_bytes(), signature) {
        return Err(Refusal::Signature { key: key.kid.clone() });
    }
    let keyid = keyid.map(str::to_owned);
    let algorithm = key.algorithm();
    Ok(Some(HttpMessageSignature { components, created, expires, nonce, keyid, algorithm }))
}

/// The covered components, by name or, where they have parameters, by identifier, and the string that was signed (§2.5).
fn signature_base(
    input: &InnerList,
    request: &Received<'_>,
) -> Result<(Vec<String>, String), Refusal> {
    let mut covered: Vec<String> = Vec::new();
    let mut base = String::new();
    for item in &input.items {
        let written = item.bare_item.as_string().map(StringRef::as_str).unwrap_or_default();
        let unsupported = || Refusal::Component { name: written.to_owned() };
        let component = Component::from_item(item.clone()).map_err(|_| unsupported())?;
        let name = match item.params.is_empty() {
            true => written.to_owned(),
            false => component.to_string(),
        };
        if covered.contains(&name) {
            return Err(Refusal::RepeatedComponent { name });
        }
        let value = component.value(&request.signed).map_err(|_| unsupported())?;
        let value = value.ok_or_else(|| Refusal::Absent { field: name.clone() })?;
        base.push_str(&format!("{component}: {value}\n"));
        covered.push(name);
    }
    let mut list = ListSerializer::new();
    list.members([&ListEntry::InnerList(input.clone())]);
    base.push_str(&format!("\"@signature-params\": {}", list.finish().unwrap_or_default()));
    Ok((covered, base))
}

fn string<'a>(member: &'a ListEntry, parameter: &str) -> Option<&'a str> {
    let parameters = match member {
        ListEntry::InnerList(list) => &list.params,
        ListEntry::Item(item) => &item.params,
    };
    parameters.get(parameter)?.as_string().map(StringRef::as_str)
}

/// Signature parameters (§2.3), each of its type.
struct Parameters<'a> {
    input: &'a InnerList,
}

impl<'a> Parameters<'a> {
    fn moment(&self, name: &'static str) -> Result<u64, Refusal> {
        let value = self.input.params.get(name).and_then(|value| value.as_integer());
        let value = value.and_then(|value| u64::try_from(value).ok());
        value.ok_or(Refusal::Parameter { name })
    }

    fn string(&self, name: &'static str) -> Result<&'a str, Refusal> {
        self.optional_string(name)?
            .filter(|value| !value.is_empty())
            .ok_or(Refusal::Parameter { name })
    }

    fn optional_string(&self, name: &'static str) -> Result<Option<&'a str>, Refusal> {
        let Some(value) = self.input.params.get(name) else { return Ok(None) };
        value.as_string().map(|value| Some(value.as_str())).ok_or(Refusal::Parameter { name })
    }
}
