//! The JSON Schema of the configuration, for editors and for docs/configuration.md. `document.rs` has the keys; here is what
//! its attributes say of several of them, and what holds between keys.
//!
//! The schema refuses nothing that the filter takes; it takes more, since what a PEM section holds or whether two headers
//! have one name is beyond it. It is of draft-07, the newest that editors' language servers for YAML know well.

use schemars::{Schema, generate::SchemaSettings, transform::transform_subschemas};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Bounds, clients::OTHER_METADATA, document::Document};

/// The JSON Schema (draft-07) of a configuration as [`super::Config::parse`] reads it.
pub fn json_schema() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| {
        // In draft-07 nothing may stand beside `$ref`, as descriptions would.
        settings.inline_subschemas = true;
        settings.transforms.push(Box::new(in_paragraphs));
    });
    let mut schema = settings.into_generator().into_root_schema_for::<Document>();
    schema.insert("title".into(), "certbound configuration".into());
    schema.to_value()
}

/// The comments in the source have line ends, which editors would show.
fn in_paragraphs(schema: &mut Schema) {
    if let Some(Value::String(description)) = schema.get_mut("description") {
        let paragraphs: Vec<_> =
            description.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
        *description = paragraphs.join("\n\n");
    }
    transform_subschemas(&mut in_paragraphs, schema);
}

fn insert(schema: &mut Schema, keyword: &str, value: impl Serialize) {
    schema.insert(keyword.into(), json!(value));
}

/// A number within bounds.
pub(super) fn number<T: Serialize>(bounds: Bounds<T>) -> impl Fn(&mut Schema) {
    let Bounds { default, minimum, maximum } = bounds;
    let [default, minimum, maximum] = [default, minimum, maximum].map(|number| json!(number));
    move |schema| {
        insert(schema, "default", &default);
        insert(schema, "minimum", &minimum);
        insert(schema, "maximum", &maximum);
        // That of Rust's type, which only Rust knows.
        schema.remove("format");
    }
}

/// A text that matches a regular expression.
pub(super) fn matching(pattern: &str, example: &str) -> impl Fn(&mut Schema) {
    move |schema| {
        insert(schema, "pattern", pattern);
        insert(schema, "patternErrorMessage", format!("write it like `{example}`"));
        insert(schema, "examples", [example]);
    }
}

/// RFC 9110 §5.1.
pub(super) fn header_name(example: &str) -> impl Fn(&mut Schema) {
    matching("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", example)
}

/// The path of an endpoint or of a document.
const PATH: &str = r"^/[^?#;\\]*$";

pub(super) fn path(example: &str) -> impl Fn(&mut Schema) {
    matching(PATH, example)
}

/// A list of such paths.
pub(super) fn paths(schema: &mut Schema) {
    insert(schema, "items", json!({ "type": "string", "pattern": PATH }));
}

/// A path without escapes, as those of protected resources are written.
pub(super) fn plain_path(example: &str) -> impl Fn(&mut Schema) {
    matching(r"^/[^?#;\\%]*$", example)
}

/// PEM sections of a kind (RFC 7468).
pub(super) fn pem(label: &str) -> impl Fn(&mut Schema) {
    let begin = format!("-----BEGIN {label}-----");
    move |schema| {
        insert(schema, "pattern", &begin);
        insert(schema, "patternErrorMessage", format!("there is no {begin} section"));
        insert(schema, "examples", [format!("{begin}\n…\n-----END {label}-----\n")]);
    }
}

/// Visible ASCII characters.
pub(super) fn visible(example: &str) -> impl Fn(&mut Schema) {
    matching("^[!-~]+$", example)
}

/// `x5t#S256`, or hexadecimal with or without colons.
pub(super) const THUMBPRINT: &str =
    "^([A-Za-z0-9_-]{43}|[0-9A-Fa-f]{64}|[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){31})$";

/// A list of which the order does not count; what is there twice counts once.
pub(super) fn as_a_set(schema: &mut Schema) {
    schema.remove("uniqueItems");
}

// What holds between keys. Of `required` in `oneOf` and its like, language servers would make messages that mislead, and
// proposals of their own: so conditions stand in `if`, and what fails is a type, with a message beside it.

/// Whether none of these keys is there. `null` counts as absent.
fn none_of(keys: &[&str]) -> Value {
    let nothing = json!({ "not": { "type": ["array", "boolean", "number", "object", "string"] } });
    let properties: Map<_, _> =
        keys.iter().map(|key| ((*key).to_owned(), nothing.clone())).collect();
    json!({ "properties": properties })
}

fn is_null(otherwise: &str) -> Value {
    json!({ "type": "null", "errorMessage": otherwise })
}

/// Keys that must be absent.
fn absent(keys: &[&str], otherwise: &str) -> Value {
    let properties: Map<_, _> =
        keys.iter().map(|key| ((*key).to_owned(), is_null(otherwise))).collect();
    json!({ "properties": properties })
}

fn at_least_one(keys: &[&str], otherwise: &str) -> Value {
    json!({ "if": none_of(keys), "then": is_null(otherwise) })
}

fn exactly_one(keys: &[&str], otherwise: &str) -> Vec<Value> {
    let mut conditions = vec![at_least_one(keys, otherwise)];
    let mut rest = keys;
    while let [key, others @ ..] = rest {
        if !others.is_empty() {
            conditions.push(json!({
                "if": none_of(&[key]),
                "else": absent(others, otherwise),
            }));
        }
        rest = others;
    }
    conditions
}

fn has_one_of(key: &str, values: &[&str]) -> Value {
    json!({ "properties": { key: { "enum": values } } })
}

pub(super) fn exactly_one_path(schema: &mut Schema) {
    const KEYS: [&str; 2] = ["path", "path_prefix"];
    insert(schema, "allOf", exactly_one(&KEYS, "write exactly one of `path` and `path_prefix`"));
}

pub(super) fn protected_resource(schema: &mut Schema) {
    exactly_one_path(schema);
    let conditions = schema.get_mut("allOf").and_then(Value::as_array_mut);
    conditions.into_iter().for_each(|conditions| {
        conditions.push(json!({
            "if": has_one_of("token", &["introspection"]),
            "then": at_least_one(&["introspection"], "write `introspection`: the introspection endpoint (RFC 7662)"),
            "else": absent(&["introspection"], "only for `token: introspection`"),
        }));
        conditions.push(json!({
            "if": has_one_of("token", &["jwt_authn"]),
            "else": absent(&["payload_in_metadata"], "only for `token: jwt_authn`"),
        }));
    });
}

pub(super) fn upstream_authentication(schema: &mut Schema) {
    const KEYS: [&str; 2] = ["basic", "header"];
    insert(schema, "allOf", exactly_one(&KEYS, "write exactly one of `basic` and `header`"));
}

pub(super) fn signature(schema: &mut Schema) {
    const KEYS: [&str; 2] = ["http_message_signature", "jws"];
    let condition = at_least_one(&KEYS, "write `http_message_signature`, `jws`, or both");
    insert(schema, "allOf", [condition]);
}

pub(super) fn client(schema: &mut Schema) {
    const METHOD: &str = "token_endpoint_auth_method";
    const PKI: &str = "tls_client_auth";
    const SELF_SIGNED: &str = "self_signed_tls_client_auth";
    const SUBJECTS: [&str; 5] = [
        "tls_client_auth_subject_dn",
        "tls_client_auth_san_dns",
        "tls_client_auth_san_uri",
        "tls_client_auth_san_ip",
        "tls_client_auth_san_email",
    ];
    // Language-tagged forms like `client_name#de` are the same metadata.
    let other_metadata = format!("^({})(#|$)", OTHER_METADATA.join("|"));
    insert(schema, "patternProperties", json!({ other_metadata: true }));
    insert(schema, "additionalProperties", false);
    let only_pki = [&SUBJECTS[..], &["trust_anchors"]].concat();
    let subject = format!("write exactly one of `{}` (RFC 8705 §2.1.2)", SUBJECTS.join("`, `"));
    insert(
        schema,
        "allOf",
        [
            json!({
                "if": has_one_of(METHOD, &[PKI]),
                "then": { "allOf": exactly_one(&SUBJECTS, &subject) },
                "else": absent(&only_pki, "only for `token_endpoint_auth_method: tls_client_auth`"),
            }),
            json!({
                "if": has_one_of(METHOD, &[SELF_SIGNED]),
                "then": at_least_one(
                    &["jwks", "certificate_thumbprints"],
                    "write the registered certificates: `jwks`, `certificate_thumbprints`, or both (RFC 8705 §2.2.2)",
                ),
                "else": absent(
                    &["certificate_thumbprints"],
                    "only for `token_endpoint_auth_method: self_signed_tls_client_auth`",
                ),
            }),
            json!({
                "if": has_one_of(METHOD, &[PKI, SELF_SIGNED]),
                "else": absent(
                    &["upstream_client_secret"],
                    "only for clients that certbound authenticates: `tls_client_auth`, `self_signed_tls_client_auth`",
                ),
            }),
        ],
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_cert::CertificateHeaderFormat;

    /// The default depends on another key, so that words must say it.
    #[test]
    fn the_default_names_of_the_certificate_header_are_those_of_its_formats() {
        let schema = json_schema();
        let name = &schema["properties"]["certificate_header"]["properties"]["name"];
        let description = name["description"].as_str().unwrap();
        let (_, description) = description.split_once("By default ").unwrap();
        assert_eq!(name["default"], CertificateHeaderFormat::Rfc9440.default_name());
        for (format, written) in [
            (CertificateHeaderFormat::Rfc9440, "`Client-Cert`;"),
            (
                CertificateHeaderFormat::UrlencodedPem,
                "`urlencoded_pem`, `pem` and `base64_der` `ssl-client-cert`,",
            ),
            (
                CertificateHeaderFormat::Pem,
                "`urlencoded_pem`, `pem` and `base64_der` `ssl-client-cert`,",
            ),
            (
                CertificateHeaderFormat::Base64Der,
                "`urlencoded_pem`, `pem` and `base64_der` `ssl-client-cert`,",
            ),
            (CertificateHeaderFormat::Traefik, "for `traefik` `X-Forwarded-Tls-Client-Cert`,"),
            (CertificateHeaderFormat::Xfcc, "for `xfcc` `X-Forwarded-Client-Cert`."),
        ] {
            assert!(written.contains(&format!("`{}`", format.default_name())), "{format:?}");
            assert!(description.contains(written), "{written} is not in {description}");
        }
    }

    #[test]
    fn numbers_have_the_bounds_and_defaults_by_which_they_are_checked() {
        let schema = json_schema();
        let limits = &schema["properties"]["limits"]["properties"];
        let number = &limits["max_chain_certificates"];
        assert_eq!(number["maximum"], crate::trust::MAXIMUM_CHAIN_CERTIFICATES);
        assert_eq!(number["default"], crate::trust::MAXIMUM_CHAIN_CERTIFICATES);
        let body = |bytes: &Value| {
            let written =
                json!({ "endpoints": [{ "path": "/" }], "limits": { "max_body_bytes": bytes } });
            let config = super::super::Config::parse(written.to_string().as_bytes(), &|_| None);
            config.map(|config| config.max_body_bytes as u64)
        };
        let number = &limits["max_body_bytes"];
        for keyword in ["minimum", "maximum"] {
            assert_eq!(body(&number[keyword]).ok(), number[keyword].as_u64(), "{keyword}");
        }
        assert_eq!(body(&Value::Null).ok(), number["default"].as_u64());
        assert!(body(&json!(number["maximum"].as_u64().unwrap() + 1)).is_err());
        assert!(body(&json!(number["minimum"].as_u64().unwrap() - 1)).is_err());
    }
}
