//! Recognises the names that OpenSSL prints, to answer with what to write instead.

use super::{
    attribute_type::type_of,
    rfc4514::{is_special, split_unescaped},
};

/// If the text is what OpenSSL prints, the same name in RFC 4514 form.
///
/// No string of RFC 4514 begins with a slash or has a space before each `=`.
pub(super) fn rfc4514_from_openssl(text: &str) -> Option<String> {
    let text = text.strip_prefix("subject=").unwrap_or(text).trim();
    let (text, separator) = match text.strip_prefix('/') {
        Some(slashed) => (slashed, '/'),
        None => (text, ','),
    };
    let mut rdns = Vec::new();
    for rdn in openssl_parts(text, separator) {
        let mut attributes = Vec::new();
        for attribute in openssl_parts(&rdn, '+') {
            let (name, value) = attribute.split_once('=')?;
            attributes.push((name.to_owned(), rewritten(value)));
        }
        rdns.push(attributes);
    }

    let types: Vec<&str> = rdns.iter().flatten().map(|(name, _)| &**name).collect();
    let first_types = rdns.iter().filter_map(|rdn| rdn.first());
    let is_spaced_list = first_types.skip(1).any(|(name, _)| name.starts_with(' '));
    let is_openssl = separator == '/'
        || types.iter().all(|name| name.ends_with(' '))
        || is_spaced_list && is_above(types.first()?, types.last()?);

    let rdns = rdns.iter().rev().map(|rdn| {
        let attributes = rdn.iter().map(|(name, value)| format!("{}={value}", name.trim()));
        attributes.collect::<Vec<_>>().join("+")
    });
    is_openssl.then(|| rdns.collect::<Vec<_>>().join(","))
}

/// Splits where an attribute begins: OpenSSL doesn't always escape a separator within a value.
fn openssl_parts(text: &str, separator: char) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for part in split_unescaped(text, separator) {
        let begins = part.split_once('=').is_some_and(|(name, _)| type_of(name.trim()).is_some());
        match parts.last_mut() {
            Some(value) if !begins => {
                value.push(separator);
                value.push_str(part);
            }
            _ => parts.push(part.to_owned()),
        }
    }
    parts
}

/// Escapes what OpenSSL's `"…"`, `\/` and `\xC3` leave bare or escape in its own way.
fn rewritten(value: &str) -> String {
    let value = value.trim();
    let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let value = quoted.unwrap_or(value).replace("\\/", "/").replace("\\x", "\\");
    let mut escaped = false;
    let mut rewritten = String::new();
    for character in value.chars() {
        if is_special(character) && character != '\\' && !escaped {
            rewritten.push('\\');
        }
        escaped = character == '\\' && !escaped;
        rewritten.push(character);
    }
    rewritten
}

/// Whether a name that begins with one type and ends with the other runs from general to specific.
fn is_above(first: &str, last: &str) -> bool {
    let containers = ["C", "ST", "L", "O", "OU", "DC"].map(type_of);
    let (first, last) = (type_of(first.trim()), type_of(last.trim()));
    let country = type_of("C");
    containers.contains(&first) && !containers.contains(&last)
        || first == country && last != country
}
