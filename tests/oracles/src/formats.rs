//! Formats that are read back, or in two ways.

use certbound::{
    certificate::Certificate,
    config::Config,
    discovery::Discovery,
    distinguished_name::DistinguishedName,
    endpoint::{Endpoint, PathMatch},
    json_object::JsonObject,
    pem, xfcc,
};
use prost::Message as _;
use prost_types::{ListValue, Struct, Value, value::Kind};

/// Certificates, as DER and as Envoy hands them over: the bytes are kept.
pub(crate) fn certificate(input: &[u8]) {
    if let Ok(der) = pem::peer_certificate(input) {
        let _ = Certificate::from_der(der);
    }
    if let Ok(certificate) = Certificate::from_der(input.to_vec()) {
        assert_eq!(certificate.der(), input);
        assert_eq!(
            data_encoding::BASE64URL_NOPAD.encode(&crate::sha256(input)),
            certificate.thumbprint().to_string()
        );
        let _ = certificate.subject().to_string();
    }
}

const SECRET: &str = "secret-of-the-environment";

/// Plugin configurations mean the same as JSON and as a `google.protobuf.Struct`. A faulty one always says something,
/// and no secret.
pub(crate) fn configuration(input: &[u8]) {
    let parse = |bytes: &[u8]| Config::parse(bytes, &|_| Some(SECRET.into()));
    let parsed = parse(input);
    if let Err(errors) = &parsed {
        assert!(!errors.0.is_empty());
        assert!(!errors.to_string().contains(SECRET));
    }
    let Ok(serde_json::Value::Object(members)) = serde_json::from_slice(input) else { return };
    let message = structure(&members).encode_to_vec();
    // A Struct has one value for each key, where JSON text may have more.
    if parsed.is_ok() {
        parse(&message).map(drop).expect("what JSON means");
    }
}

fn structure(members: &serde_json::Map<String, serde_json::Value>) -> Struct {
    Struct { fields: members.iter().map(|(name, value)| (name.clone(), protobuf(value))).collect() }
}

fn protobuf(value: &serde_json::Value) -> Value {
    let kind = match value {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(*value),
        serde_json::Value::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or_default()),
        serde_json::Value::String(value) => Kind::StringValue(value.clone()),
        serde_json::Value::Array(values) => {
            Kind::ListValue(ListValue { values: values.iter().map(protobuf).collect() })
        }
        serde_json::Value::Object(members) => Kind::StructValue(structure(members)),
    };
    Value { kind: Some(kind) }
}

/// Metadata documents: whatever the server sends, a changed document is one JSON object that keeps what the server said.
pub(crate) fn discovery(input: &[u8]) {
    let discovery = Discovery {
        paths: vec!["/metadata".into()],
        mtls_origin: "https://m".into(),
        auth_methods: vec!["tls_client_auth"],
        tls_client_certificate_bound_access_tokens: true,
    };
    let endpoint = Endpoint { path: PathMatch::Prefix("/".into()), methods: vec!["POST".into()] };
    let Ok(described) = discovery.describe(input, &[endpoint]) else { return };
    let written =
        JsonObject::parse(str::from_utf8(input).expect("it was text")).expect("it was an object");
    let read = JsonObject::parse(&described).expect("it is an object");
    let changed = ["mtls_endpoint_aliases", "_auth_methods_supported"];
    for (name, value) in
        written.members().filter(|(name, _)| !changed.iter().any(|end| name.ends_with(end)))
    {
        assert_eq!(read.value(name), Some(value));
    }
}

/// RFC 4514 text: what is printed is read back as the same name.
pub(crate) fn distinguished_name(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    if let Ok(name) = DistinguishedName::from_rfc4514(text) {
        assert_eq!(DistinguishedName::from_rfc4514(&name.to_string()).as_ref(), Ok(&name));
    }
}

/// Envoy's `x-forwarded-client-cert`: a value is text of the field, with escapes taken away.
pub(crate) fn xfcc(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let unescaped = text.replace('\\', "");
    for element in xfcc::parse(text).iter().flatten() {
        for key in ["By", "Cert", "Chain", "Hash", "Subject"] {
            let Some(value) = element.value(key) else { continue };
            assert!(unescaped.contains(&value.replace('\\', "")));
            let _ = pem::peer_certificate_chain(value.as_bytes());
        }
    }
}
