//! Components that a signature covers, and their values in a request (RFC 9421 §2).

use std::{borrow::Cow, fmt};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use sfv::{
    BareItem, Dictionary, FieldType, Item, Key, KeyRef, List, ListSerializer, Parser, StringRef,
};

use super::{SignedRequest, Unsignable};
use crate::client_cert::byte_sequence;

/// A covered component: its identifier, and where its value comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    identifier: Item,
    /// The identifier's serialisation, as it stands in signature bases.
    serialised: String,
    source: Source,
}

#[derive(Clone, Debug, PartialEq)]
enum Source {
    /// `@authority` (§2.2.3).
    Authority,
    /// A header field by its lower-case name (§2.1).
    Field(String, FieldForm),
    /// `@method` (§2.2.1).
    Method,
    /// `@path` (§2.2.6).
    Path,
    /// `@query` (§2.2.7).
    Query,
    /// `@query-param` with its `name` (§2.2.8).
    QueryParam(String),
    /// `@request-target` (§2.2.5).
    RequestTarget,
    /// `@scheme` (§2.2.4).
    Scheme,
    /// `@target-uri` (§2.2.2).
    TargetUri,
}

/// What of a field's value is covered.
#[derive(Clone, Debug, PartialEq)]
enum FieldForm {
    /// Its lines as they are (§2.1).
    Lines,
    /// `sf`: its value as a structured field, serialised strictly (§2.1.1).
    Structured(StructuredType),
    /// `key`: a member of a dictionary (§2.1.2).
    Member(Key),
    /// `bs`: each of its lines as a byte sequence (§2.1.3).
    ByteSequences,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum StructuredType {
    Dictionary,
    Item,
    List,
}

/// The fields of requests that the IANA registry of HTTP field names says are structured. Strict serialisation depends on
/// the type, and is defined for fields of known type only (§2.1.1).
const STRUCTURED_FIELDS: [(&str, StructuredType); 14] = [
    ("accept-signature", StructuredType::Dictionary),
    ("available-dictionary", StructuredType::Item),
    ("capsule-protocol", StructuredType::Item),
    ("client-cert", StructuredType::Item),
    ("client-cert-chain", StructuredType::List),
    ("content-digest", StructuredType::Dictionary),
    ("dictionary-id", StructuredType::Item),
    ("priority", StructuredType::Dictionary),
    ("repr-digest", StructuredType::Dictionary),
    ("sec-gpc", StructuredType::Item),
    ("signature", StructuredType::Dictionary),
    ("signature-input", StructuredType::Dictionary),
    ("want-content-digest", StructuredType::Dictionary),
    ("want-repr-digest", StructuredType::Dictionary),
];

impl Component {
    /// Reads a component identifier (§2) as it stands in `Signature-Input`, or a bare name.
    ///
    /// # Errors
    /// When it identifies no component of a request.
    pub fn parse(text: &str) -> Result<Self, InvalidComponent> {
        let identifier = if text.starts_with('"') {
            Parser::new(text).parse().map_err(|_| InvalidComponent::Identifier)?
        } else {
            let name = StringRef::from_str(text).map_err(|_| InvalidComponent::Identifier)?;
            Item::new(name.to_owned())
        };
        Self::from_item(identifier)
    }

    /// The component with an identifier that was parsed.
    ///
    /// # Errors
    /// When it identifies no component of a request.
    pub fn from_item(identifier: Item) -> Result<Self, InvalidComponent> {
        let name = identifier.bare_item.as_string().ok_or(InvalidComponent::Identifier)?.as_str();
        if name == "@status" || identifier.params.contains_key(key("req")) {
            return Err(InvalidComponent::Response);
        }
        if identifier.params.contains_key(key("tr")) {
            return Err(InvalidComponent::Trailer);
        }
        let derived = |source| match identifier.params.is_empty() {
            true => Ok(source),
            false => Err(InvalidComponent::Parameters),
        };
        let source = match name {
            "@authority" => derived(Source::Authority),
            "@method" => derived(Source::Method),
            "@path" => derived(Source::Path),
            "@query" => derived(Source::Query),
            "@query-param" => query_param_name(&identifier).map(Source::QueryParam),
            "@request-target" => derived(Source::RequestTarget),
            "@scheme" => derived(Source::Scheme),
            "@target-uri" => derived(Source::TargetUri),
            _ if is_field_name(name) => {
                field_form(&identifier, name).map(|form| Source::Field(name.to_owned(), form))
            }
            _ if name.starts_with('@') => Err(InvalidComponent::Derived),
            _ => Err(InvalidComponent::FieldName),
        }?;
        Ok(Self { serialised: identifier.serialize(), identifier, source })
    }

    /// The component name, without parameters.
    pub fn name(&self) -> &str {
        self.identifier.bare_item.as_string().map(StringRef::as_str).unwrap_or_default()
    }

    /// The identifier as it stands in a signature base.
    pub(super) fn serialised(&self) -> &str {
        &self.serialised
    }

    /// The identifier, for `Signature-Input`.
    pub fn identifier(&self) -> &Item {
        &self.identifier
    }

    /// The name of the field, if this is one and the whole of it.
    pub fn whole_field(&self) -> Option<&str> {
        match &self.source {
            Source::Field(_, FieldForm::Member(_)) => None,
            Source::Field(name, _) => Some(name),
            _ => None,
        }
    }

    /// The name of the field, if this is one and its lines as they are.
    pub(crate) fn lines_of_field(&self) -> Option<&String> {
        match &self.source {
            Source::Field(name, FieldForm::Lines) => Some(name),
            _ => None,
        }
    }

    /// Field and key, if this is a member of a dictionary.
    pub fn member(&self) -> Option<(&str, &str)> {
        match &self.source {
            Source::Field(name, FieldForm::Member(key)) => Some((name, key.as_str())),
            _ => None,
        }
    }

    /// The component's value in a request, or `None` for a field, a member or a parameter that the request lacks.
    ///
    /// # Errors
    /// When the value holds other than visible ASCII, spaces and tabs, or can otherwise be read in different ways, so
    /// that signer and verifier could differ.
    pub fn value<'a>(
        &self,
        request: &SignedRequest<'a>,
    ) -> Result<Option<Cow<'a, str>>, Unsignable> {
        let value = match &self.source {
            Source::Authority => Ok(Some(request.normalised_authority().into())),
            Source::Field(name, form) => field_value(request, name, form),
            Source::Method => Ok(Some(request.method.into())),
            Source::Path => Ok(Some(request.path().into())),
            Source::Query => Ok(Some(format!("?{}", request.query().unwrap_or_default()).into())),
            Source::QueryParam(name) => query_param(request.query().unwrap_or_default(), name)
                .map(|value| value.map(Cow::Owned)),
            Source::RequestTarget => Ok(Some(request.target.into())),
            Source::Scheme => Ok(Some("https".into())),
            Source::TargetUri => Ok(Some(
                format!(
                    "https://{}{}{}",
                    request.normalised_authority(),
                    request.path(),
                    request.query().map(|query| format!("?{query}")).unwrap_or_default()
                )
                .into(),
            )),
        };
        let is_signable =
            |value: &str| value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
        match value {
            Ok(Some(value)) if !is_signable(&value) => Err("holds other than visible ASCII"),
            value => value,
        }
        .map_err(|problem| Unsignable::new(self.to_string(), problem))
    }
}

/// Prints the identifier.
impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.serialised)
    }
}

fn key(name: &'static str) -> &'static KeyRef {
    KeyRef::constant(name)
}

/// A lower-case field name (RFC 9110 §5.1).
fn is_field_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
        })
}

/// The one form that the parameters of a field's identifier name. RFC 9421 §2.1 forbids `bs` with either of the others;
/// `sf` adds nothing to `key`, whose value is serialised strictly anyway.
fn field_form(identifier: &Item, name: &str) -> Result<FieldForm, InvalidComponent> {
    let mut parameters = identifier.params.iter();
    let form = match parameters.next().map(|(name, value)| (name.as_str(), value)) {
        None => FieldForm::Lines,
        Some(("bs", BareItem::Boolean(true))) => FieldForm::ByteSequences,
        Some(("key", BareItem::String(member))) => FieldForm::Member(
            KeyRef::from_str(member.as_str()).map_err(|_| InvalidComponent::Parameters)?.to_owned(),
        ),
        Some(("sf", BareItem::Boolean(true))) => {
            let known = STRUCTURED_FIELDS.iter().find(|(known, _)| *known == name);
            let (_, structured_type) = known.ok_or(InvalidComponent::UnknownType)?;
            FieldForm::Structured(*structured_type)
        }
        Some(_) => return Err(InvalidComponent::Parameters),
    };
    if parameters.next().is_some() { Err(InvalidComponent::Parameters) } else { Ok(form) }
}

fn field_value<'a>(
    request: &SignedRequest<'a>,
    name: &str,
    form: &FieldForm,
) -> Result<Option<Cow<'a, str>>, &'static str> {
    let fields = request.fields.iter().filter(|(field, _)| *field == name);
    let mut lines = fields.map(|(_, value)| value.trim_ascii());
    let Some(first) = lines.next() else { return Ok(None) };
    let others: Vec<&[u8]> = lines.collect();
    let combined = match others.is_empty() {
        true => Cow::Borrowed(first),
        false => [&[first], &others[..]].concat().join(&b", "[..]).into(),
    };
    let value = match form {
        FieldForm::Lines => return Ok(Some(text(combined)?)),
        FieldForm::ByteSequences => {
            let lines = std::iter::once(first).chain(others);
            Some(lines.map(byte_sequence).collect::<Vec<_>>().join(", "))
        }
        FieldForm::Structured(StructuredType::Dictionary) => strict::<Dictionary>(&combined)?,
        FieldForm::Structured(StructuredType::Item) => strict::<Item>(&combined)?,
        FieldForm::Structured(StructuredType::List) => strict::<List>(&combined)?,
        FieldForm::Member(key) => {
            let members: Dictionary =
                Parser::new(&combined[..]).parse().map_err(|_| "is not a dictionary")?;
            let mut serializer = ListSerializer::new();
            serializer.members(members.get(key));
            serializer.finish()
        }
    };
    Ok(value.map(Cow::Owned))
}

fn text(bytes: Cow<'_, [u8]>) -> Result<Cow<'_, str>, &'static str> {
    const PROBLEM: &str = "holds other than visible ASCII";
    match bytes {
        Cow::Borrowed(bytes) => str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| PROBLEM),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| PROBLEM),
    }
}

/// An empty list or dictionary has no serialisation; its value is empty.
fn strict<T: FieldType>(value: &[u8]) -> Result<Option<String>, &'static str> {
    let parsed: T = Parser::new(value).parse().map_err(|_| "is not a structured field")?;
    Ok(Some(parsed.serialize().into().unwrap_or_default()))
}

/// The set `application/x-www-form-urlencoded` of the URL standard, which RFC 9421 §2.2.8 refers to.
const FORM_URLENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');

/// The parameter's name, which identifiers hold as a form encodes it, but with `%20` for a space.
fn query_param_name(identifier: &Item) -> Result<String, InvalidComponent> {
    let mut parameters = identifier.params.iter();
    let (Some((parameter, BareItem::String(name))), None) = (parameters.next(), parameters.next())
    else {
        return Err(InvalidComponent::QueryParam);
    };
    let name = name.as_str();
    let normal = reencoded(name).map_err(|_| InvalidComponent::QueryParam)?;
    match parameter.as_str() {
        "name" if normal == name => Ok(normal),
        "name" => Err(InvalidComponent::QueryParamName(normal)),
        _ => Err(InvalidComponent::QueryParam),
    }
}

/// The one parameter of this name. RFC 9421 §2.2.8 forbids to cover one that is there several times.
fn query_param(query: &str, name: &str) -> Result<Option<String>, &'static str> {
    let mut values = query
        .split('&')
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
        .filter(|(known, _)| reencoded(known).is_ok_and(|known| known == name))
        .map(|(_, value)| value);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => reencoded(value).map(Some),
        (Some(_), Some(_)) => Err("is there more than once"),
    }
}

/// A name or value of a form, decoded and encoded again as RFC 9421 §2.2.8 has it.
fn reencoded(text: &str) -> Result<String, &'static str> {
    let decoded: Cow<'_, [u8]> =
        percent_decode(text.replace('+', " ").as_bytes()).collect::<Vec<u8>>().into();
    str::from_utf8(&decoded).map_err(|_| "is not UTF-8")?;
    Ok(percent_encode(&decoded, FORM_URLENCODED).to_string())
}

/// Why an identifier names no component that certbound can cover.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidComponent {
    /// A derived component that RFC 9421 §2.2 does not define for requests.
    Derived,
    /// Not a field name in lower case.
    FieldName,
    /// Neither a name nor an identifier of RFC 9421 §2.
    Identifier,
    /// Parameters that the component does not take, or not together.
    Parameters,
    /// `@query-param` without its `name`.
    QueryParam,
    /// The `name` of `@query-param` is not encoded as RFC 9421 §2.2.8 has it; this is how it would be.
    QueryParamName(String),
    /// A component of responses.
    Response,
    /// A trailer field.
    Trailer,
    /// `sf` for a field whose structured type is not known.
    UnknownType,
}

impl fmt::Display for InvalidComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Derived => {
                "no derived component of requests: write `@method`, `@target-uri`, `@authority`, `@scheme`, `@request-target`, `@path`, `@query` or `\"@query-param\";name=\"…\"`"
            }
            Self::FieldName => "not a header name in lower case (RFC 9421 §2.1): write it like `content-type`",
            Self::Identifier => {
                "not a component identifier (RFC 9421 §2): write a bare name like `content-type`, or one in quotes with its parameters, like `\"signature\";key=\"sig1\"`"
            }
            Self::Parameters => {
                "parameters that it does not take: write one of `sf`, `bs` and `key=\"…\"` for a header, `name=\"…\"` for `@query-param`, none for other derived components"
            }
            Self::QueryParam => {
                "without the name of the parameter: write `\"@query-param\";name=\"…\"` (RFC 9421 §2.2.8)"
            }
            Self::QueryParamName(normal) => {
                return write!(
                    f,
                    "no parameter has this name, since names are compared as RFC 9421 §2.2.8 encodes them: write `name=\"{normal}\"`"
                );
            }
            Self::Response => {
                "for responses, and certbound signs requests: remove it, or write `@method` and `@target-uri`"
            }
            Self::Trailer => {
                "a trailer, which comes after the headers that would have to tell its signature: cover a header, or the body with `content-digest`"
            }
            Self::UnknownType => {
                "not a field of known structured type, without which `sf` has no meaning: remove `;sf`, or write `;bs`"
            }
        })
    }
}

impl std::error::Error for InvalidComponent {}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(
        identifier: &str,
        target: &str,
        fields: &[(&str, &[u8])],
    ) -> Result<Option<String>, Unsignable> {
        let request =
            SignedRequest { method: "POST", authority: "AS.Example.com:443", target, fields };
        let value = Component::parse(identifier).unwrap().value(&request)?;
        Ok(value.map(Cow::into_owned))
    }

    fn text(value: &str) -> Result<Option<String>, Unsignable> {
        Ok(Some(value.to_owned()))
    }

    #[test]
    fn bare_names_and_identifiers_are_the_same_components() {
        for name in ["client-cert", "@method", "x_y"] {
            assert_eq!(Component::parse(name), Component::parse(&format!("\"{name}\"")), "{name}");
            assert_eq!(Component::parse(name).unwrap().to_string(), format!("\"{name}\""));
        }
        let member = Component::parse("\"signature\"; key=\"sig1\"").unwrap();
        assert_eq!(member.to_string(), "\"signature\";key=\"sig1\"");
        assert_eq!((member.name(), member.member()), ("signature", Some(("signature", "sig1"))));
        assert_eq!(member.whole_field(), None);
        assert_eq!(
            Component::parse("\"client-cert\";bs").unwrap().whole_field(),
            Some("client-cert")
        );
        assert_eq!(Component::parse("@path").unwrap().whole_field(), None);
    }

    #[test]
    fn what_identifies_no_component_of_a_request_is_rejected() {
        use InvalidComponent as Invalid;
        for (text, error) in [
            ("", Invalid::FieldName),
            ("Client-Cert", Invalid::FieldName),
            ("client cert", Invalid::FieldName),
            ("client-cert;bs", Invalid::FieldName),
            ("é", Invalid::Identifier),
            ("\"client-cert", Invalid::Identifier),
            ("\"client-cert\", \"@path\"", Invalid::Identifier),
            ("@signature-params", Invalid::Derived),
            ("@Method", Invalid::Derived),
            ("@query-params", Invalid::Derived),
            ("@status", Invalid::Response),
            ("\"@method\";req", Invalid::Response),
            ("\"x\";tr", Invalid::Trailer),
            ("\"@path\";name=\"x\"", Invalid::Parameters),
            ("\"@path\";sf", Invalid::Parameters),
            ("\"x\";name=\"y\"", Invalid::Parameters),
            ("\"x\";bs=?0", Invalid::Parameters),
            ("\"x\";bs=1", Invalid::Parameters),
            ("\"x\";key", Invalid::Parameters),
            ("\"x\";key=y", Invalid::Parameters),
            ("\"x\";key=\"Y\"", Invalid::Parameters),
            ("\"priority\";bs;sf", Invalid::Parameters),
            ("\"priority\";sf;key=\"u\"", Invalid::Parameters),
            ("\"x\";sf", Invalid::UnknownType),
            ("@query-param", Invalid::QueryParam),
            ("\"@query-param\";key=\"x\"", Invalid::QueryParam),
            ("\"@query-param\";name=x", Invalid::QueryParam),
            ("\"@query-param\";name=\"x\";bs", Invalid::QueryParam),
            ("\"@query-param\";name=\"%FF\"", Invalid::QueryParam),
            ("\"@query-param\";name=\"a b\"", Invalid::QueryParamName("a%20b".into())),
            ("\"@query-param\";name=\"a+b\"", Invalid::QueryParamName("a%20b".into())),
            ("\"@query-param\";name=\"%61~\"", Invalid::QueryParamName("a%7E".into())),
        ] {
            assert_eq!(Component::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn what_a_request_lacks_has_no_value() {
        assert_eq!(value("x", "/", &[]), Ok(None));
        assert_eq!(value("\"x\";bs", "/", &[]), Ok(None));
        assert_eq!(value("\"x\";key=\"b\"", "/", &[("x", b"a=1")]), Ok(None));
        assert_eq!(value("\"@query-param\";name=\"b\"", "/?a=b", &[]), Ok(None));
        assert_eq!(value("\"@query-param\";name=\"b\"", "/", &[]), Ok(None));
    }

    #[test]
    fn derived_components_are_normalised() {
        assert_eq!(value("@authority", "/", &[]), text("as.example.com"));
        assert_eq!(value("@target-uri", "/%7Ea?", &[]), text("https://as.example.com/%7Ea?"));
        assert_eq!(value("@target-uri", "", &[]), text("https://as.example.com/"));
        assert_eq!(value("@path", "?a", &[]), text("/"));
    }

    #[test]
    fn every_spelling_of_a_query_parameter_is_the_same() {
        for target in ["/?a%20b=%7E%2a", "/?a+b=~*", "/?&x=1&%61%20b=%7e*&", "/?a+b=%7E*"] {
            let parameter = value("\"@query-param\";name=\"a%20b\"", target, &[]);
            assert_eq!(parameter, text("%7E*"), "{target}");
        }
        assert_eq!(value("\"@query-param\";name=\"a\"", "/?a", &[]), text(""));
        assert_eq!(value("\"@query-param\";name=\"a\"", "/?a=b=c", &[]), text("b%3Dc"));
    }

    #[test]
    fn what_could_be_read_differently_is_not_signed() {
        for (identifier, target, line) in [
            ("x", "/", &b"\xE4"[..]),
            ("x", "/", "ä".as_bytes()),
            ("x", "/", b"a\nb"),
            ("\"x\";key=\"a\"", "/", b"a=1, b="),
            ("\"priority\";sf", "/", b"u=1;"),
            ("\"@query-param\";name=\"a\"", "/?a=1&a=1", b""),
            ("\"@query-param\";name=\"a\"", "/?a=1&%61=2", b""),
            ("\"@query-param\";name=\"a\"", "/?a=%FF", b""),
            ("@path", "/ä", b""),
        ] {
            let refusal = value(identifier, target, &[("x", line), ("priority", line)]);
            let refusal = refusal.unwrap_err().to_string();
            assert!(refusal.contains(identifier.trim_matches('"')), "{identifier}: {refusal}");
        }
        assert_eq!(value("\"x\";bs", "/", &[("x", b"\xE4")]), text(":5A==:"));
    }
}
