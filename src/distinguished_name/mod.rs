//! Distinguished names: their RFC 4514 text, and whether two of them name the same subject.
//!
//! A name is either read from the configuration (`tls_client_auth_subject_dn`, RFC 8705 §2.1.2) or
//! taken from a certificate. Both become a [`DistinguishedName`], and `==` is the comparison of
//! RFC 5280 §7.1, done without guessing: whatever is not understood fails to match.

mod attribute_type;
mod openssl;
mod rfc4514;

use std::{error::Error, fmt};

use der::{
    Decode, Encode, Tag, Tagged,
    asn1::{Any, BmpString, ObjectIdentifier},
};
use x509_cert::name::Name;

use attribute_type::{EXACT_TEXT, IA5_TEXT, is_canonical, name_of, type_of};
use openssl::rfc4514_from_openssl;
use rfc4514::{bytes_of, escaped, escaped_character, hexadecimal_of, split_unescaped, unescaped};

/// An X.501 distinguished name, most significant RDN first (the order of the DER encoding).
///
/// Two names are equal if they have equal relative distinguished names in the same order; each of
/// those is an unordered set of attributes (RFC 5280 §7.1). Two attributes are equal if their types
/// are, and
///
/// - for text of a DirectoryString type (PrintableString, UTF8String, BMPString, TeletexString,
///   whichever) or in a domainComponent (RFC 5280 §7.3): if the text is, when each character is put
///   in lower case and each run of spaces is read as one, none at the ends. Only U+0020 counts as a
///   space, so text with a tab or another control character never equals text without. Unicode
///   normalisation is not applied: names composed differently do not match;
/// - for text in an emailAddress or unstructuredName: if the text is exactly the same;
/// - for every other value: if its DER encoding, tag included, is exactly the same. That holds for
///   an IA5String in any other attribute, for a TeletexString beyond ASCII (of which no two
///   implementations make the same text) and for bytes which are not valid in their string type.
///   Configure such a value as `#` and hexadecimal DER, the way `Display` prints it.
///
/// UniversalString is unknown to the DER decoder: a certificate that uses it is unreadable.
///
/// The name of a certificate may be empty, a configured one may not, so the two never match.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DistinguishedName {
    rdns: Vec<RelativeDistinguishedName>,
}

impl DistinguishedName {
    /// Reads the string representation of RFC 4514.
    ///
    /// As RFC 2253 §4 asks, unescaped spaces around `,`, `+` and `=` are skipped and `OID.` may
    /// stand before a dotted type. Control characters must be escaped and a value can't be empty,
    /// although RFC 4514 allows both: they are a slip of the pen, never in a certificate.
    ///
    /// # Errors
    ///
    /// Besides text that is not RFC 4514, the forms that OpenSSL prints are refused:
    /// `/C=SE/CN=a`, `C = SE, CN = a` and (since OpenSSL 3.2) `C=SE, CN=a`. The last could also be
    /// a name that really has its country at the most specific end; without the space it is
    /// accepted as such.
    pub fn from_rfc4514(text: &str) -> Result<Self, InvalidDistinguishedName> {
        if text.trim().is_empty() {
            return Err(InvalidDistinguishedName::Empty);
        }
        if let Some(rfc4514) = rfc4514_from_openssl(text) {
            return Err(InvalidDistinguishedName::OpenSsl(rfc4514));
        }
        let mut rdns = split_unescaped(text, ',')
            .map(RelativeDistinguishedName::from_rfc4514)
            .collect::<Result<Vec<_>, _>>()?;
        rdns.reverse();
        Ok(Self { rdns })
    }

    /// Takes over the subject or issuer of a certificate. An empty name is no error.
    ///
    /// # Errors
    ///
    /// If an RDN has no attribute, or the type of an attribute has no canonical encoding.
    pub fn from_name(name: &Name) -> Result<Self, InvalidDistinguishedName> {
        let rdns = name
            .iter_rdn()
            .map(|rdn| {
                let attributes = rdn.iter().map(|attribute| {
                    if !is_canonical(attribute.oid) {
                        return Err(InvalidDistinguishedName::InvalidAttributeType);
                    }
                    Attribute::from_value(attribute.oid, &attribute.value)
                });
                RelativeDistinguishedName::new(attributes.collect::<Result<_, _>>()?)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { rdns })
    }
}

/// Writes the string representation of RFC 4514 §2, safe for a log: whatever a terminal or log
/// viewer would not show as itself is escaped.
///
/// Reading it with [`DistinguishedName::from_rfc4514`] gives an equal name. Other readers may not
/// know all short names; the types without one are dotted, with a readable value where §2.4 would
/// have hexadecimal.
impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, rdn) in self.rdns.iter().rev().enumerate() {
            f.write_str(if i == 0 { "" } else { "," })?;
            for (j, attribute) in rdn.attributes.iter().enumerate() {
                f.write_str(if j == 0 { "" } else { "+" })?;
                match name_of(attribute.attribute_type) {
                    Some(name) => f.write_str(name)?,
                    None => write!(f, "{}", attribute.attribute_type)?,
                }
                write!(f, "={}", attribute.written)?;
            }
        }
        Ok(())
    }
}

/// Why a distinguished name can't be used.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidDistinguishedName {
    /// The same attribute type and value stands twice in one RDN, which is a set (X.501 §9.3).
    DuplicateAttribute(String),
    /// There is no text.
    Empty,
    /// Nothing stands before, between or after two separators, or an RDN of a certificate is empty
    /// (RFC 5280 §4.1.2.4: `SET SIZE (1..MAX)`).
    EmptyRelativeDistinguishedName,
    /// Nothing follows the `=` (X.520: the size of a DirectoryString is at least 1).
    EmptyValue(String),
    /// The object identifier of an attribute is not in its one proper encoding (X.690 §8.19), or is
    /// longer than any in use. Never for text.
    InvalidAttributeType,
    /// A backslash is followed by neither a special character nor two hexadecimal digits
    /// (RFC 4514 §3, `pair`).
    InvalidEscape,
    /// What follows a `#` is not the hexadecimal form of one DER value (RFC 4514 §2.4).
    InvalidHexValue(String),
    /// The escaped bytes are not UTF-8 (RFC 4514 §3).
    InvalidUtf8,
    /// An attribute has no `=` between type and value.
    MissingEquals(String),
    /// The name is in one of the forms that OpenSSL prints, which begin with the other end.
    OpenSsl(String),
    /// A character stands in a value which must be escaped there (RFC 4514 §3, `stringchar`).
    UnescapedCharacter(char),
    /// The attribute type is neither a known short name nor a dotted object identifier.
    UnknownAttributeType(String),
}

impl fmt::Display for InvalidDistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateAttribute(attribute_type) => {
                write!(f, "`{attribute_type}` has the same value twice in one RDN; write it once")
            }
            Self::Empty => f.write_str(
                "the distinguished name is empty; \
                 write the certificate's subject, such as `CN=payments,O=Example Bank,C=SE`",
            ),
            Self::EmptyRelativeDistinguishedName => f.write_str(
                "a part of the distinguished name is empty; \
                 remove the extra `,` or `+`, or write `\\,` or `\\+` if it belongs to a value",
            ),
            Self::EmptyValue(attribute_type) => write!(
                f,
                "`{}` has no value; write one, or leave the attribute out",
                attribute_type.escape_debug()
            ),
            Self::InvalidAttributeType => f.write_str(
                "an attribute type of the name is not properly encoded; replace the certificate",
            ),
            Self::InvalidEscape => f.write_str(
                "a `\\` is followed by neither a special character nor two hexadecimal digits; \
                 write `\\\\` for the backslash itself",
            ),
            Self::InvalidHexValue(attribute_type) => write!(
                f,
                "the value of `{}` begins with `#` but is not one DER value in hexadecimal; \
                 write `\\#` if it is text",
                attribute_type.escape_debug()
            ),
            Self::InvalidUtf8 => f.write_str(
                "the bytes escaped as `\\XX` are not UTF-8; write the characters themselves",
            ),
            Self::MissingEquals(attribute) => write!(
                f,
                "`{}` is not of the form type=value; write `\\,` or `\\+` before it \
                 if it belongs to the value that precedes it",
                attribute.escape_debug()
            ),
            Self::OpenSsl(rfc4514) => write!(
                f,
                "this is the form OpenSSL prints, most significant part first; \
                 RFC 4514 has it last, so the order is reversed: write `{rfc4514}`"
            ),
            Self::UnescapedCharacter(character) => write!(
                f,
                "{character:?} must be escaped in a value; write `{}`",
                escaped_character(*character)
            ),
            Self::UnknownAttributeType(attribute_type) => write!(
                f,
                "`{}` is not a known attribute type; write its object identifier instead, \
                 such as `2.5.4.97`",
                attribute_type.escape_debug()
            ),
        }
    }
}

impl Error for InvalidDistinguishedName {}

/// A set of attributes, sorted so that two equal sets are equal lists.
#[derive(Clone, Debug, Eq, PartialEq)]
struct RelativeDistinguishedName {
    attributes: Vec<Attribute>,
}

impl RelativeDistinguishedName {
    fn new(mut attributes: Vec<Attribute>) -> Result<Self, InvalidDistinguishedName> {
        if attributes.is_empty() {
            return Err(InvalidDistinguishedName::EmptyRelativeDistinguishedName);
        }
        // A stable sort would be 20 kilobytes more of the module.
        attributes.sort_unstable_by(|a, b| a.compared().cmp(&b.compared()));
        Ok(Self { attributes })
    }

    fn from_rfc4514(text: &str) -> Result<Self, InvalidDistinguishedName> {
        let attributes =
            split_unescaped(text, '+').map(Attribute::from_rfc4514).collect::<Result<_, _>>()?;
        let rdn = Self::new(attributes)?;
        // Only refused here: a certificate in which two values differ in case alone is odd, but it
        // matches nothing then, because no configured set is equal to it.
        for (attribute, next) in rdn.attributes.iter().zip(rdn.attributes.iter().skip(1)) {
            if attribute == next {
                let attribute_type = attribute.attribute_type;
                return Err(InvalidDistinguishedName::DuplicateAttribute(
                    name_of(attribute_type)
                        .map_or_else(|| attribute_type.to_string(), str::to_owned),
                ));
            }
        }
        Ok(rdn)
    }
}

#[derive(Clone, Debug)]
struct Attribute {
    attribute_type: ObjectIdentifier,
    matched: Matched,
    /// The value in RFC 4514 form, as it was and not as it is compared.
    written: String,
}

/// What of a value decides whether it equals another.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Matched {
    Der(Vec<u8>),
    Text(String),
}

impl PartialEq for Attribute {
    fn eq(&self, other: &Self) -> bool {
        self.compared() == other.compared()
    }
}

impl Eq for Attribute {}

impl Attribute {
    fn compared(&self) -> (&ObjectIdentifier, &Matched) {
        (&self.attribute_type, &self.matched)
    }

    fn from_rfc4514(text: &str) -> Result<Self, InvalidDistinguishedName> {
        let text = text.trim_start_matches(' ');
        if text.is_empty() {
            return Err(InvalidDistinguishedName::EmptyRelativeDistinguishedName);
        }
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| InvalidDistinguishedName::MissingEquals(text.to_owned()))?;
        let (name, value) = (name.trim_end_matches(' '), value.trim_start_matches(' '));
        let attribute_type = type_of(name)
            .ok_or_else(|| InvalidDistinguishedName::UnknownAttributeType(name.to_owned()))?;
        if value.is_empty() {
            return Err(InvalidDistinguishedName::EmptyValue(name.to_owned()));
        }
        match value.strip_prefix('#') {
            Some(hexadecimal) => bytes_of(hexadecimal.trim_end_matches(' '))
                .and_then(|der| Any::from_der(&der).ok())
                .ok_or_else(|| InvalidDistinguishedName::InvalidHexValue(name.to_owned()))
                .and_then(|value| Self::from_value(attribute_type, &value)),
            None => Ok(Self::from_text(attribute_type, &unescaped(value)?)),
        }
    }

    fn from_value(
        attribute_type: ObjectIdentifier,
        value: &Any,
    ) -> Result<Self, InvalidDistinguishedName> {
        if let Some(text) = text_of(attribute_type, value) {
            return Ok(Self::from_text(attribute_type, &text));
        }
        let der = value
            .to_der()
            .map_err(|_| InvalidDistinguishedName::InvalidHexValue(attribute_type.to_string()))?;
        Ok(Self {
            attribute_type,
            written: format!("#{}", hexadecimal_of(&der)),
            matched: Matched::Der(der),
        })
    }

    fn from_text(attribute_type: ObjectIdentifier, text: &str) -> Self {
        let compared = if EXACT_TEXT.contains(&attribute_type) {
            text.to_owned()
        } else {
            let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
            let folded = words.join(" ");
            folded.chars().flat_map(char::to_lowercase).collect()
        };
        Self { attribute_type, matched: Matched::Text(compared), written: escaped(text) }
    }
}

/// The text of a value, if its type is a string type that the attribute should have.
///
/// Characters which PrintableString excludes are let through: certificates that name `*` or `@`
/// there are common, and no two readers differ about them.
fn text_of(attribute_type: ObjectIdentifier, value: &Any) -> Option<String> {
    let bytes = value.value();
    let text = match value.tag() {
        Tag::Utf8String => str::from_utf8(bytes).ok()?,
        Tag::PrintableString | Tag::TeletexString if bytes.is_ascii() => {
            str::from_utf8(bytes).ok()?
        }
        Tag::Ia5String if IA5_TEXT.contains(&attribute_type) && bytes.is_ascii() => {
            str::from_utf8(bytes).ok()?
        }
        Tag::BmpString => return Some(BmpString::from_ucs2(bytes).ok()?.chars().collect()),
        _ => return None,
    };
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{
        attribute_type::{DOMAIN_COMPONENT, EMAIL_ADDRESS, id},
        *,
    };
    use InvalidDistinguishedName as Invalid;
    use der::asn1::SetOfVec;
    use x509_cert::{attr::AttributeTypeAndValue, name::RdnSequence};

    const UNKNOWN: ObjectIdentifier = id("1.3.6.1.4.1.1466.0");

    fn read(text: &str) -> DistinguishedName {
        DistinguishedName::from_rfc4514(text).unwrap()
    }

    fn refused(text: &str) -> Invalid {
        DistinguishedName::from_rfc4514(text).unwrap_err()
    }

    /// A name as in a certificate, most significant RDN first.
    fn presented(rdns: &[&[(ObjectIdentifier, Tag, &[u8])]]) -> DistinguishedName {
        presented_der(rdns).unwrap()
    }

    fn presented_der(
        rdns: &[&[(ObjectIdentifier, Tag, &[u8])]],
    ) -> Result<DistinguishedName, Invalid> {
        let mut sequence = RdnSequence::default();
        for rdn in rdns {
            let mut attributes = SetOfVec::new();
            for (oid, tag, bytes) in *rdn {
                let (oid, value) = (*oid, Any::new(*tag, *bytes).unwrap());
                attributes.insert(AttributeTypeAndValue { oid, value }).unwrap();
            }
            sequence.push(attributes.into());
        }
        let der = sequence.to_der().unwrap();
        DistinguishedName::from_name(&Name::from_der(&der).unwrap())
    }

    /// A name of one common name.
    fn presented_cn(tag: Tag, bytes: &[u8]) -> DistinguishedName {
        presented(&[&[(id("2.5.4.3"), tag, bytes)]])
    }

    fn presented_payments() -> DistinguishedName {
        presented(&[
            &[(id("2.5.4.6"), Tag::PrintableString, b"SE")],
            &[(id("2.5.4.10"), Tag::Utf8String, b"Example Bank")],
            &[(id("2.5.4.3"), Tag::Utf8String, b"payments")],
        ])
    }

    #[test]
    fn subject_matches_its_rfc_4514_form_and_no_other_order_or_count() {
        assert_eq!(presented_payments(), read("CN=payments,O=Example Bank,C=SE"));
        for other in [
            "C=SE,O=Example Bank,CN=payments",
            "O=Example Bank,C=SE",
            "CN=payments,O=Example Bank",
            "CN=payments,OU=x,O=Example Bank,C=SE",
            "CN=payments,CN=payments,O=Example Bank,C=SE",
            "CN=payments+O=Example Bank,C=SE",
            "CN=payments2,O=Example Bank,C=SE",
            "OU=payments,O=Example Bank,C=SE",
        ] {
            assert_ne!(presented_payments(), read(other), "{other}");
        }
    }

    #[test]
    fn empty_subject_is_no_error_but_matches_nothing_configured() {
        assert_ne!(presented(&[]), presented_payments());
        assert_ne!(presented(&[]), read("CN=#0C00"));
        assert_eq!(presented(&[]).to_string(), "");
    }

    #[test]
    fn examples_of_rfc_4514_section_4_are_read() {
        let dc: (_, _, &[u8]) = (DOMAIN_COMPONENT, Tag::Ia5String, b"example");
        let net: (_, _, &[u8]) = (DOMAIN_COMPONENT, Tag::Ia5String, b"net");
        let (cn, text) = (id("2.5.4.3"), Tag::Utf8String);
        let uid = (id("0.9.2342.19200300.100.1.1"), text, b"jsmith".as_slice());
        let ou = (id("2.5.4.11"), text, b"Sales".as_slice());
        let smith = (cn, text, b"J.  Smith".as_slice());
        let jim = (cn, text, b"James \"Jim\" Smith, III".as_slice());
        let before = (cn, text, b"Before\rAfter".as_slice());
        let octets = (UNKNOWN, Tag::OctetString, b"Hi".as_slice());
        let lucic = (cn, text, "Lučić".as_bytes());
        for (example, name) in [
            ("UID=jsmith,DC=example,DC=net", presented(&[&[net], &[dc], &[uid]])),
            ("OU=Sales+CN=J.  Smith,DC=example,DC=net", presented(&[&[net], &[dc], &[smith, ou]])),
            (
                r#"CN=James \"Jim\" Smith\, III,DC=example,DC=net"#,
                presented(&[&[net], &[dc], &[jim]]),
            ),
            (r"CN=Before\0dAfter,DC=example,DC=net", presented(&[&[net], &[dc], &[before]])),
            ("1.3.6.1.4.1.1466.0=#04024869", presented(&[&[octets]])),
            (r"CN=Lu\C4\8Di\C4\87", presented(&[&[lucic]])),
        ] {
            assert_eq!(read(example), name, "{example}");
            assert_eq!(name, read(&name.to_string()), "{name}");
        }
    }

    #[test]
    fn open_finance_brasil_and_eidas_subjects_match_by_name_and_by_identifier() {
        // Open Finance Brasil registers dotted types with DER values.
        let text = Tag::PrintableString;
        let brasil = presented(&[
            &[(id("2.5.4.6"), text, b"BR")],
            &[(id("2.5.4.8"), text, b"SP")],
            &[(id("2.5.4.10"), text, b"Banco Exemplo")],
            &[(id("2.5.4.97"), text, b"OFBBR-00112233-4455")],
            &[(id("2.5.4.5"), text, b"00038166000954")],
            &[(id("2.5.4.15"), text, b"Private Organization")],
            &[(id("1.3.6.1.4.1.311.60.2.1.3"), text, b"BR")],
            &[(id("0.9.2342.19200300.100.1.1"), text, b"67c57882-043b-11ec-9a03-0242ac130003")],
        ]);
        let configured = "UID=67c57882-043b-11ec-9a03-0242ac130003,1.3.6.1.4.1.311.60.2.1.3=#13024252,\
            2.5.4.15=#131450726976617465204f7267616e697a6174696f6e,2.5.4.5=#130e3030303338313636303030393534,\
            organizationIdentifier=OFBBR-00112233-4455,O=Banco Exemplo,ST=SP,C=BR";
        assert_eq!(brasil, read(configured));
        assert_ne!(brasil, read(&configured.replace("0954", "0955").replace("39353", "39363")));
        assert_ne!(brasil, read(&configured.replace("organizationIdentifier", "serialNumber")));

        let eidas = presented(&[
            &[(id("2.5.4.6"), Tag::PrintableString, b"SE")],
            &[(id("2.5.4.10"), Tag::Utf8String, "Sparbanken Åre".as_bytes())],
            &[(id("2.5.4.97"), Tag::Utf8String, b"PSDSE-FINA-123456")],
            &[(id("2.5.4.3"), Tag::Utf8String, b"psp.example.se")],
        ]);
        let configured = "CN=psp.example.se,2.5.4.97=PSDSE-FINA-123456,O=Sparbanken Åre,C=SE";
        assert_eq!(eidas, read(configured));
        assert_ne!(eidas, read(&configured.replace("Åre", "Are")));
        assert_eq!(eidas.to_string(), configured.replace("2.5.4.97", "organizationIdentifier"));
    }

    #[test]
    fn multi_valued_rdn_is_a_set() {
        let (cn, ou) = (id("2.5.4.3"), id("2.5.4.11"));
        let name = presented(&[&[(cn, Tag::Utf8String, b"a"), (ou, Tag::Utf8String, b"b")]]);
        assert_eq!(name, read("CN=a+OU=b"));
        assert_eq!(name, read("OU=B + CN=A"));
        for other in ["CN=a,OU=b", "OU=b,CN=a", "CN=a", "CN=a+OU=b+O=c", "CN=b+OU=a"] {
            assert_ne!(name, read(other), "{other}");
        }
        let twice = presented(&[&[(cn, Tag::Utf8String, b"a"), (cn, Tag::Utf8String, b"A")]]);
        assert_ne!(twice, read("CN=a"));
        assert_ne!(twice, read("CN=a+CN=b"));
    }

    #[test]
    fn directory_strings_match_whatever_their_type_case_and_spaces() {
        let configured = read("CN=Ada Åberg");
        for (tag, bytes) in [
            (Tag::Utf8String, "  ada   ÅBERG ".as_bytes()),
            (Tag::BmpString, b"\0A\0d\0a\0 \0\xe5\0b\0e\0r\0g"),
        ] {
            assert_eq!(presented_cn(tag, bytes), configured);
        }
        for tag in [Tag::PrintableString, Tag::TeletexString] {
            assert_eq!(presented_cn(tag, b"ADA"), read("CN=ada"));
        }
        for other in [
            "AdaÅberg",
            "Ada\tÅberg",
            "Ada\u{a0}Åberg",
            "Ada A\u{30a}berg",
            "Ada Åberg\0",
            "Ada Åberg\u{200b}",
        ] {
            assert_ne!(presented_cn(Tag::Utf8String, other.as_bytes()), configured, "{other:?}");
        }
        assert_ne!(presented_cn(Tag::Utf8String, b"ada\0"), presented_cn(Tag::Utf8String, b"ada"));
    }

    #[test]
    fn domain_component_ignores_case_and_email_address_does_not() {
        let of = |id, text: &'static [u8]| presented(&[&[(id, Tag::Ia5String, text)]]);
        assert_eq!(of(DOMAIN_COMPONENT, b"Example"), read("DC=example"));
        assert_ne!(of(DOMAIN_COMPONENT, b"Example"), read("DC=example2"));
        assert_eq!(of(EMAIL_ADDRESS, b"ops@example.com"), read("E=ops@example.com"));
        assert_ne!(of(EMAIL_ADDRESS, b"ops@example.com"), read("E=Ops@example.com"));
        let utf8 = presented(&[&[(EMAIL_ADDRESS, Tag::Utf8String, b"ops@example.com")]]);
        assert_eq!(utf8, read("emailAddress=ops@example.com"));
    }

    #[test]
    fn other_values_match_by_their_der_alone() {
        for (tag, bytes) in [
            (Tag::Ia5String, b"abc".as_slice()),
            (Tag::VisibleString, b"abc"),
            (Tag::OctetString, b"abc"),
            (Tag::TeletexString, b"ab\xe5"),
            (Tag::Utf8String, b"ab\xe5"),
            (Tag::PrintableString, b"ab\xe5"),
            (Tag::BmpString, b"\0a\0"),
            (Tag::BmpString, b"\xd8\x3d\xde\0"),
        ] {
            let name = presented_cn(tag, bytes);
            let der = Any::new(tag, bytes).unwrap().to_der().unwrap();
            let hexadecimal = hexadecimal_of(&der);
            assert_eq!(name, read(&format!("CN=#{hexadecimal}")), "{name}");
            assert_eq!(name.to_string(), format!("CN=#{hexadecimal}"));
            for text in ["abc", "ABC", "abå", "a", &format!("\\#{hexadecimal}")] {
                assert_ne!(name, read(&format!("CN={text}")), "{name}");
            }
        }
        assert_ne!(presented_cn(Tag::Ia5String, b"abc"), presented_cn(Tag::Ia5String, b"Abc"));
        assert_eq!(read("CN=#0C03414243"), read("CN=#1303616263"));
        assert_eq!(read("CN=#0c03414243"), read("CN=abc"));
    }

    #[test]
    fn attribute_names_are_read_in_any_case_and_as_identifiers() {
        for (name, dotted) in [
            ("cn", "2.5.4.3"),
            ("COMMONNAME", "OID.2.5.4.3"),
            ("Sn", "2.5.4.4"),
            ("SERIALNUMBER", "oid.2.5.4.5"),
            ("e", "1.2.840.113549.1.9.1"),
            ("jurisdictionCountryName", "1.3.6.1.4.1.311.60.2.1.3"),
        ] {
            assert_eq!(read(&format!("{name}=a")), read(&format!("{dotted}=a")));
        }
        let digits = "1.2.".to_owned() + &"0".repeat(1_000_000);
        for name in
            ["foo", "", "CN\\", "2.5.4.", "2.5.4.4294967296", "9.9.9", "é", "OID.CN", &digits]
        {
            let attribute_type = name.to_owned();
            let refusal = refused(&format!("{name}=a"));
            assert_eq!(refusal, Invalid::UnknownAttributeType(attribute_type));
        }
    }

    #[test]
    fn malformed_text_is_refused() {
        let unescaped = |character| Invalid::UnescapedCharacter(character);
        let hexadecimal = || Invalid::InvalidHexValue("CN".into());
        let no_value = || Invalid::EmptyValue("CN".into());
        for (text, error) in [
            ("", Invalid::Empty),
            (" \n", Invalid::Empty),
            (",", Invalid::EmptyRelativeDistinguishedName),
            ("CN=a,", Invalid::EmptyRelativeDistinguishedName),
            ("CN=a, ", Invalid::EmptyRelativeDistinguishedName),
            (",CN=a", Invalid::EmptyRelativeDistinguishedName),
            ("CN=a,,C=SE", Invalid::EmptyRelativeDistinguishedName),
            ("CN=a+", Invalid::EmptyRelativeDistinguishedName),
            ("CN=", no_value()),
            ("CN= ,C=SE", no_value()),
            ("payments", Invalid::MissingEquals("payments".into())),
            ("O=Example, Inc.", Invalid::MissingEquals("Inc.".into())),
            ("CN=a+cn=\\41", Invalid::DuplicateAttribute("CN".into())),
            ("CN=a\\", Invalid::InvalidEscape),
            ("CN=\\a", Invalid::InvalidEscape),
            ("CN=\\+1\\+1\\x41", Invalid::InvalidEscape),
            ("CN=\\é0", Invalid::InvalidEscape),
            ("CN=\\C3", Invalid::InvalidUtf8),
            ("CN=\\C3a", Invalid::InvalidUtf8),
            ("CN=a\nb", unescaped('\n')),
            ("CN=a\0", unescaped('\0')),
            ("CN=a;O=b", unescaped(';')),
            ("CN=<a", unescaped('<')),
            ("O=\"Example, Inc.\",C=SE", unescaped('"')),
            ("CN=#", hexadecimal()),
            ("CN=#0", hexadecimal()),
            ("CN=#0C0", hexadecimal()),
            ("CN=#\\+C", hexadecimal()),
            ("CN=#0C0241", hexadecimal()),
            ("CN=#0C014141", hexadecimal()),
            ("CN=#0C0141 41", hexadecimal()),
            ("CN=#Example", hexadecimal()),
        ] {
            let refusal = refused(text);
            assert_eq!(refusal, error, "{text:?}");
            assert!(!refusal.to_string().contains(['\n', '\0']));
        }
    }

    #[test]
    fn spaces_around_separators_are_skipped_unless_escaped() {
        assert_eq!(read("CN=payments, O=Example Bank , C= SE "), presented_payments());
        assert_eq!(read("CN=a + OU =b"), read("OU=b+CN=a"));
        assert_eq!(read("E= a@b , C=SE"), read("E=a@b,C=SE"));
        assert_ne!(read("E=\\ a@b,C=SE"), read("E=a@b,C=SE"));
        assert_ne!(read("E=a@b\\ ,C=SE"), read("E=a@b,C=SE"));
        assert_eq!(read("E=a@b\\  ,C=SE"), read("E=a@b\\20,C=SE"));
    }

    #[test]
    fn forms_that_openssl_prints_are_answered_with_rfc_4514() {
        let wanted = r#"organizationIdentifier=PSDSE-FINA-1,OU=a+CN=payments,O=Example\, Inc. \"x\" / S\C3\B6ner,C=SE"#;
        for (printed, rfc4514) in [
            ("/C=SE/O=Example Bank/CN=payments", "CN=payments,O=Example Bank,C=SE"),
            ("/O=a/x=y, b/CN=c//", r"CN=c//,O=a/x=y\, b"),
            ("C = SE, O = Example Bank, CN = payments", "CN=payments,O=Example Bank,C=SE"),
            ("CN = payments", "CN=payments"),
            ("subject=C = SE, CN = payments", "CN=payments,C=SE"),
            ("C=SE, O=Example Bank", "O=Example Bank,C=SE"),
            ("DC=net, DC=example, UID=jsmith", "UID=jsmith,DC=example,DC=net"),
            // The same certificate with -nameopt compat, oneline and utf8 (OpenSSL 3.0).
            (
                r#"/C=SE/O=Example, Inc. "x" \/ S\xC3\xB6ner/OU=a+CN=payments/organizationIdentifier=PSDSE-FINA-1"#,
                wanted,
            ),
            (
                r#"C = SE, O = "Example, Inc. \"x\" / S\C3\B6ner", OU = a + CN = payments, organizationIdentifier = PSDSE-FINA-1"#,
                wanted,
            ),
            (
                r#"C=SE, O=Example, Inc. "x" / S\C3\B6ner, OU=a + CN=payments, organizationIdentifier=PSDSE-FINA-1"#,
                wanted,
            ),
        ] {
            let refusal = refused(printed);
            assert!(refusal.to_string().contains(rfc4514), "{refusal}");
            assert_eq!(refusal, Invalid::OpenSsl(rfc4514.into()));
            read(rfc4514);
        }
    }

    #[test]
    fn rfc_4514_that_resembles_openssl_is_read() {
        for text in [
            "O=/x",
            "O=/C=SE/O=x",
            "C=SE,O=Example Bank,CN=payments",
            r"C=x\, CN=payments",
            "CN=a = b,C=SE",
            "CN=a, OU=b, O=c, C=SE",
            "CN=a",
        ] {
            read(text);
        }
        assert_eq!(read("O=/x").to_string(), "O=/x");
    }

    #[test]
    fn hostile_names_are_printed_on_one_line_and_read_back_the_same() {
        let text = Tag::Utf8String;
        for hostile in [
            "",
            " ",
            "  ",
            " a ",
            "#0C00",
            "a\r\ndenied client_id=x",
            "\0",
            "\u{7f}\u{85}\u{2028}\u{202e}\u{feff}e\u{301}",
            "x,CN=payments+O=y;\"<>\\",
            "/C=SE/CN=payments",
            "O = x, C = y",
            "\\00\\",
            "'`=",
            "Ελλάς 日本 🦀",
        ] {
            for attribute_type in [id("2.5.4.3"), EMAIL_ADDRESS, UNKNOWN] {
                let other = (id("2.5.4.10"), text, hostile.as_bytes());
                let name =
                    presented(&[&[other], &[(attribute_type, text, hostile.as_bytes()), other]]);
                let printed = name.to_string();
                assert!(
                    !printed.contains(
                        |c: char| c.is_control() || "\u{2028}\u{202e}\u{feff}".contains(c)
                    )
                );
                assert_eq!(read(&printed), name, "{printed}");
                assert_eq!(read(&printed).to_string(), printed);
            }
        }
        let forged = presented_cn(text, b"a,O=b").to_string();
        assert_eq!(forged, "CN=a\\,O=b");
    }

    #[test]
    fn names_that_der_does_not_allow_are_refused() {
        assert_eq!(presented_der(&[&[]]), Err(Invalid::EmptyRelativeDistinguishedName));
        // 2.5.4.3 with a padded last number, and with 2^32 added to it.
        for encoded in [b"\x55\x04\x80\x03".as_slice(), b"\x55\x04\x90\x80\x80\x80\x03"] {
            let oid = ObjectIdentifier::from_bytes(encoded).unwrap();
            let name = presented_der(&[&[(oid, Tag::Utf8String, b"payments")]]);
            assert_eq!(name, Err(Invalid::InvalidAttributeType));
        }
    }
}
