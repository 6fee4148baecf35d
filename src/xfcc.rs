//! Envoy's `x-forwarded-client-cert` field: elements separated by `,`, each of `Key=Value` pairs separated by `;`, values
//! quoted where they hold a separator.

use std::fmt;

use crate::thumbprint::Thumbprint;

/// One element: what one proxy says about its client's certificate.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Element(Vec<(String, String)>);

impl Element {
    /// The value of a key that is there once. `Hash`, `Cert` and `Chain` are; `DNS` and `URI` may be repeated.
    pub fn value(&self, key: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(name, _)| name.eq_ignore_ascii_case(key));
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }
}

/// Parses a field value. Separators inside quotes are text.
///
/// # Errors
/// On a pair without `=`, a quote that is not closed or not the whole value, and an escape at the end.
pub fn parse(text: &str) -> Result<Vec<Element>, InvalidXfcc> {
    let mut elements = vec![Element::default()];
    let mut rest = text;
    loop {
        let (key, after_key) = rest.split_once('=').ok_or(InvalidXfcc)?;
        if key.is_empty() || key.contains(['"', ';', ',']) {
            return Err(InvalidXfcc);
        }
        let (value, after_value) = match after_key.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = after_key.find([';', ',']).unwrap_or(after_key.len());
                let (value, after) = after_key.split_at_checked(end).ok_or(InvalidXfcc)?;
                if value.contains('"') {
                    return Err(InvalidXfcc);
                }
                (value.to_owned(), after)
            }
        };
        if let Some(element) = elements.last_mut() {
            element.0.push((key.trim().to_owned(), value));
        }
        let mut separators = after_value.chars();
        match separators.next() {
            None => return Ok(elements),
            Some(';') => {}
            Some(',') => elements.push(Element::default()),
            Some(_) => return Err(InvalidXfcc),
        }
        rest = separators.as_str();
    }
}

/// Writes one element as Envoy does with `set_current_client_cert_details: { cert: true, chain: true }`. `cert` and `chain`
/// are URL-encoded PEM.
pub fn element(hash: Thumbprint, cert: &str, chain: Option<&str>) -> String {
    let element = format!("Hash={hash:x};Cert=\"{cert}\"");
    match chain {
        Some(chain) => format!("{element};Chain=\"{chain}\""),
        None => element,
    }
}

/// The text up to the closing quote, and what follows it.
fn unquote(text: &str) -> Result<(String, &str), InvalidXfcc> {
    let mut value = String::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            '"' => return Ok((value, rest.as_str())),
            '\\' => value.push(rest.next().ok_or(InvalidXfcc)?),
            _ => value.push(character),
        }
    }
    Err(InvalidXfcc)
}

/// Not the syntax of `x-forwarded-client-cert`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidXfcc;

impl fmt::Display for InvalidXfcc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("x-forwarded-client-cert is not Key=Value pairs, quoted where needed")
    }
}

impl std::error::Error for InvalidXfcc {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_in_quotes_are_text() {
        let elements =
            parse(r#"Hash=ab;Subject="CN=a;Cert=\"x\",O=b";URI=u:1;URI=u:2,Hash=cd"#).unwrap();
        assert_eq!(elements.len(), 2);
        assert_eq!(elements[0].value("hash"), Some("ab"));
        assert_eq!(elements[0].value("Subject"), Some(r#"CN=a;Cert="x",O=b"#));
        assert_eq!(elements[0].value("Cert"), None);
        assert_eq!(elements[0].value("URI"), None);
        assert_eq!(elements[1].value("Hash"), Some("cd"));
    }

    #[test]
    fn other_syntax_is_rejected() {
        for text in [
            "",
            "Hash",
            "=a",
            "Hash=a;",
            "Hash=a,",
            r#"Hash="a"#,
            r#"Hash="a"b"#,
            r#"Hash=a"b""#,
            r#"Hash="a\"#,
            "Ha;sh=a",
            r#""Hash"=a"#,
        ] {
            assert_eq!(parse(text), Err(InvalidXfcc), "{text}");
        }
    }
}
