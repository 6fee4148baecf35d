//! Strict reading of `application/x-www-form-urlencoded` (RFC 6749 appendix B).
//!
//! The authorization server reads the same bytes with a parser that we do not know. Whatever parsers are known to read
//! differently is therefore an error here and not a guess.

use std::{borrow::Cow, fmt};

use memchr::{memchr, memchr3};
use percent_encoding::{percent_decode, percent_decode_str};

/// The parameters of a form body or a query string, decoded, in their order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Form<'a> {
    /// Parses the serialisation.
    ///
    /// # Errors
    /// On a percent sign without two hexadecimal digits, on bytes that are not UTF-8 before or after decoding, on U+0000,
    /// on a name outside the ABNF of RFC 6749 §8.2 (which is also where brackets, white space and byte order marks are
    /// found, that PHP and Rack read as parts of another name), on a raw `;`, which some parsers take for a separator,
    /// and on more parameters than every server reads.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, InvalidForm> {
        let text = str::from_utf8(bytes).map_err(|_| InvalidForm::NotUtf8)?;
        if memchr(b';', bytes).is_some() {
            return Err(InvalidForm::Semicolon);
        }
        let parameters = text
            .split('&')
            .filter(|pair| !pair.is_empty())
            .take(MAXIMUM_PARAMETERS.saturating_add(1))
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                let name = decode(name)?;
                if !is_parameter_name(&name) {
                    return Err(InvalidForm::ParameterName);
                }
                Ok((name, decode(value)?))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if parameters.len() > MAXIMUM_PARAMETERS {
            return Err(InvalidForm::TooManyParameters);
        }
        Ok(Self(parameters))
    }

    /// Every value of a parameter. A name that a lenient server would take for the same parameter counts too: another
    /// case (ASP.NET), or `.` for `_` (PHP).
    pub fn values<'b>(&'b self, name: &'b str) -> impl Iterator<Item = ParameterValue<'b>> {
        self.0.iter().filter_map(move |(written, value)| {
            if written == name {
                Some(ParameterValue::Exact(value))
            } else {
                is_lookalike(written, name).then_some(ParameterValue::Lookalike)
            }
        })
    }
}

/// Whether the most lenient of known parsers would find a parameter in a text that need not be a form at all, such as the
/// query of any request.
pub fn may_hold(text: &[u8], name: &str) -> bool {
    let pairs = text.split(|byte| b"&;".contains(byte));
    let mut names = pairs.filter_map(|pair| pair.split(|byte| *byte == b'=').next());
    names.any(|written| may_name(written, name))
}

/// Whether the most lenient of known parsers would take a written name for that of a parameter: escapes decoded, white
/// space and signs around it dropped, any other separator for `_`, cut at a bracket or a NUL.
pub fn may_name(written: &[u8], name: &str) -> bool {
    let decoded = percent_decode(written).decode_utf8_lossy();
    let plain = decoded.split(['[', '\0']).next().unwrap_or_default();
    let plain = plain.trim_matches(|character: char| !character.is_ascii_alphanumeric());
    let folded = |character: char| match character.is_ascii_alphanumeric() {
        true => character.to_ascii_lowercase(),
        false => '_',
    };
    plain.chars().map(folded).eq(name.chars())
}

/// One occurrence of a parameter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ParameterValue<'a> {
    /// The name is exactly the one asked for.
    Exact(&'a str),
    /// Only a lenient parser would read this name as the one asked for.
    Lookalike,
}

/// Decodes one name or value: `+` is a space, `%XX` a byte (RFC 6749 appendix B).
///
/// # Errors
/// As for [`Form::parse`], the `;` apart.
pub fn decode(text: &str) -> Result<Cow<'_, str>, InvalidForm> {
    // Most names and values are written as they are.
    if memchr3(b'%', b'+', b'\0', text.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(text));
    }
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = (rest.next(), rest.next());
            if !matches!(digits, (Some(a), Some(b)) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
            {
                return Err(InvalidForm::PercentEncoding);
            }
        }
    }
    let spaced =
        if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    let decoded = percent_decode_str(&spaced).decode_utf8().map_err(|_| InvalidForm::NotUtf8)?;
    if decoded.chars().any(|character| character == '\0') {
        return Err(InvalidForm::Nul);
    }
    Ok(Cow::Owned(decoded.into_owned()))
}

/// PHP (`max_input_vars`), Node (`querystring`) and ASP.NET read about a thousand parameters and drop the rest.
const MAXIMUM_PARAMETERS: usize = 1000;

/// RFC 6749 §8.2: `param-name = 1*name-char`.
fn is_parameter_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

/// Whether the most lenient of known parsers would file both names under one.
fn is_lookalike(written: &str, name: &str) -> bool {
    let folded = |byte: u8| if b"-.".contains(&byte) { b'_' } else { byte.to_ascii_lowercase() };
    written.len() == name.len() && written.bytes().map(folded).eq(name.bytes().map(folded))
}

/// Why bytes are not a form that every parser reads alike.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidForm {
    /// U+0000, at which some parsers end a string.
    Nul,
    /// Not UTF-8, plainly or after percent-decoding.
    NotUtf8,
    /// A name with other characters than RFC 6749 §8.2 allows.
    ParameterName,
    /// `%` without two hexadecimal digits.
    PercentEncoding,
    /// A raw `;`, which form serialisers encode and some parsers take for `&`.
    Semicolon,
    /// More parameters than some servers read.
    TooManyParameters,
}

impl fmt::Display for InvalidForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nul => "a parameter holds U+0000",
            Self::NotUtf8 => "a parameter is not UTF-8",
            Self::ParameterName => "a parameter name has characters that RFC 6749 does not allow",
            Self::PercentEncoding => "a percent sign lacks two hexadecimal digits",
            Self::Semicolon => "a raw `;`, which some parsers take for a separator",
            Self::TooManyParameters => "there are more than 1000 parameters",
        })
    }
}

impl std::error::Error for InvalidForm {}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(form: &str, name: &str) -> Vec<Option<String>> {
        Form::parse(form.as_bytes())
            .unwrap()
            .values(name)
            .map(|value| match value {
                ParameterValue::Exact(text) => Some(text.to_owned()),
                ParameterValue::Lookalike => None,
            })
            .collect()
    }

    #[test]
    fn a_parameter_is_found_by_whatever_name_a_parser_folds_to_it() {
        for text in [
            "access_token=a",
            "a=b&access_token=a",
            "a=b;access_token",
            "%61ccess%5Ftoken=a",
            "Access_Token=a",
            "access.token=a",
            "access+token=a",
            "access_token[]=a",
            "access_token%5B0%5D=a",
            "+access_token=a",
            "access_token%00x=a",
            "100%&access_token=a",
            "\u{feff}access_token=a",
        ] {
            assert!(may_hold(text.as_bytes(), "access_token"), "{text}");
        }
        for text in ["", "q=access_token", "access_tokens=a", "my_access_token=a", "accesstoken=a"]
        {
            assert!(!may_hold(text.as_bytes(), "access_token"), "{text}");
        }
    }

    #[test]
    fn example_of_rfc_6749_appendix_b_is_decoded() {
        assert_eq!(decode("+%25%26%2B%C2%A3%E2%82%AC"), Ok(" %&+£€".into()));
    }

    #[test]
    fn escaped_names_are_the_parameter_itself() {
        assert_eq!(values("client%5Fid=a&x=client_id", "client_id"), [Some("a".to_owned())]);
        assert_eq!(values("client_id", "client_id"), [Some(String::new())]);
        assert_eq!(values("&&client_id=a=b&", "client_id"), [Some("a=b".to_owned())]);
    }

    #[test]
    fn names_that_lenient_parsers_fold_are_lookalikes() {
        for name in ["Client_Id", "CLIENT_ID", "client.id", "client-id"] {
            assert_eq!(values(&format!("{name}=a"), "client_id"), [None], "{name}");
        }
        assert_eq!(values("client_id_hint=a&my_client_id=b&clientid=c", "client_id"), []);
    }

    #[test]
    fn names_that_oauth_does_not_have_are_rejected() {
        for name in [
            "client_id[]",
            "client_id%5B0%5D",
            "client[id",
            "client_id]",
            "[client_id]",
            "client+id",
            "+client_id",
            "client_id%20",
            "%EF%BB%BFclient_id",
            "%0Aclient_id",
            "client%255Fid",
            "",
        ] {
            let form = format!("client_id=a&{name}=b");
            assert_eq!(Form::parse(form.as_bytes()), Err(InvalidForm::ParameterName), "{name}");
        }
    }

    #[test]
    fn a_thousand_parameters_are_read_and_no_more() {
        assert!(Form::parse("a=1&".repeat(1000).as_bytes()).is_ok());
        let form = "a=1&".repeat(1001);
        assert_eq!(Form::parse(form.as_bytes()), Err(InvalidForm::TooManyParameters));
    }

    #[test]
    fn what_parsers_read_differently_is_rejected() {
        for (form, error) in [
            (&b"a=%"[..], InvalidForm::PercentEncoding),
            (b"a=%4", InvalidForm::PercentEncoding),
            (b"a=%u0061", InvalidForm::PercentEncoding),
            (b"a=%+1", InvalidForm::PercentEncoding),
            (b"a=%C0%AF", InvalidForm::NotUtf8),
            (b"a=\xff", InvalidForm::NotUtf8),
            (b"a=%FF", InvalidForm::NotUtf8),
            (b"a=%00", InvalidForm::Nul),
            (b"a=\0", InvalidForm::Nul),
            (b"a=1;client_id=b", InvalidForm::Semicolon),
        ] {
            assert_eq!(Form::parse(form), Err(error), "{}", String::from_utf8_lossy(form));
        }
        assert!(Form::parse(b"a=%3B").is_ok());
    }
}
