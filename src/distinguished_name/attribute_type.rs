//! Attribute types and their short names (RFC 4514 §3).

use der::asn1::ObjectIdentifier;

/// The type of a short name, in any case, or of a dotted object identifier (RFC 4514 §2.3).
pub(super) fn type_of(name: &str) -> Option<ObjectIdentifier> {
    for (attribute_type, names) in ATTRIBUTE_TYPES {
        if names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return Some(*attribute_type);
        }
    }
    let prefix = name.get(..4).filter(|prefix| prefix.eq_ignore_ascii_case("OID."));
    let dotted = prefix.and_then(|prefix| name.get(prefix.len()..)).unwrap_or(name);
    // The parser recurses for each digit, so it is not given more than an identifier can have.
    (dotted.len() <= 256).then(|| ObjectIdentifier::new(dotted).ok())?
}

/// Whether the dotted form is that of this type alone. The decoder lets through longer encodings
/// of the same number and numbers it then cuts to 32 bits, which would be shown as another type.
pub(super) fn is_canonical(attribute_type: ObjectIdentifier) -> bool {
    name_of(attribute_type).is_some()
        || ObjectIdentifier::new(&attribute_type.to_string()) == Ok(attribute_type)
}

pub(super) fn name_of(attribute_type: ObjectIdentifier) -> Option<&'static str> {
    let (_, names) = ATTRIBUTE_TYPES.iter().find(|(known, _)| *known == attribute_type)?;
    names.first().copied()
}

pub(super) const DOMAIN_COMPONENT: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.25");
pub(super) const EMAIL_ADDRESS: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.1");
const UNSTRUCTURED_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.2");

/// The attributes whose proper string type is IA5String.
pub(super) const IA5_TEXT: [ObjectIdentifier; 3] =
    [DOMAIN_COMPONENT, EMAIL_ADDRESS, UNSTRUCTURED_NAME];

/// Of those, the ones that RFC 5280 gives no rule of their own: their text is compared exactly.
pub(super) const EXACT_TEXT: [ObjectIdentifier; 2] = [EMAIL_ADDRESS, UNSTRUCTURED_NAME];

pub(super) const fn id(dotted: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(dotted)
}

/// Short names: the table of RFC 4514 §3, then RFC 4519, PKCS #9 (RFC 2985), ETSI EN 319 412-1 and
/// the CA/Browser Forum's EV guidelines, with the aliases that common tools print. The first is written.
const ATTRIBUTE_TYPES: &[(ObjectIdentifier, &[&str])] = &[
    (id("2.5.4.3"), &["CN", "commonName"]),
    (id("2.5.4.7"), &["L", "localityName"]),
    (id("2.5.4.8"), &["ST", "stateOrProvinceName", "S"]),
    (id("2.5.4.10"), &["O", "organizationName"]),
    (id("2.5.4.11"), &["OU", "organizationalUnitName"]),
    (id("2.5.4.6"), &["C", "countryName"]),
    (id("2.5.4.9"), &["STREET", "streetAddress"]),
    (DOMAIN_COMPONENT, &["DC", "domainComponent"]),
    (id("0.9.2342.19200300.100.1.1"), &["UID", "userId"]),
    (id("2.5.4.4"), &["surname", "SN"]),
    (id("2.5.4.5"), &["serialNumber"]),
    (id("2.5.4.12"), &["title", "T"]),
    (id("2.5.4.13"), &["description"]),
    (id("2.5.4.15"), &["businessCategory"]),
    (id("2.5.4.17"), &["postalCode"]),
    (id("2.5.4.18"), &["postOfficeBox"]),
    (id("2.5.4.20"), &["telephoneNumber"]),
    (id("2.5.4.41"), &["name"]),
    (id("2.5.4.42"), &["givenName", "GN", "G"]),
    (id("2.5.4.43"), &["initials"]),
    (id("2.5.4.44"), &["generationQualifier", "generation"]),
    (id("2.5.4.46"), &["dnQualifier", "DNQ"]),
    (id("2.5.4.51"), &["houseIdentifier"]),
    (id("2.5.4.65"), &["pseudonym"]),
    (id("2.5.4.97"), &["organizationIdentifier"]),
    (EMAIL_ADDRESS, &["emailAddress", "E", "email"]),
    (UNSTRUCTURED_NAME, &["unstructuredName"]),
    (id("1.3.6.1.4.1.311.60.2.1.1"), &["jurisdictionL", "jurisdictionLocalityName"]),
    (id("1.3.6.1.4.1.311.60.2.1.2"), &["jurisdictionST", "jurisdictionStateOrProvinceName"]),
    (id("1.3.6.1.4.1.311.60.2.1.3"), &["jurisdictionC", "jurisdictionCountryName"]),
];
