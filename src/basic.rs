//! HTTP Basic client authentication (RFC 7617, RFC 6749 §2.3.1).

use std::{borrow::Cow, fmt};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::form;

/// The client identifier of `Authorization: Basic` credentials, form-decoded as RFC 6749 §2.3.1 encodes it. `None` when
/// the field value is of another scheme.
///
/// # Errors
/// When the scheme is Basic and the rest is not base64 of UTF-8 text with a colon, when the parts are not form-encoded as
/// any encoder would, or when the field may be read as Basic although it is not plainly so.
pub fn client_id(authorization: &[u8]) -> Option<Result<String, InvalidBasic>> {
    let scheme = scheme(authorization);
    if scheme.eq_ignore_ascii_case(b"basic") {
        let rest = authorization.get(scheme.len()..).unwrap_or_default();
        return Some(decode(rest.trim_ascii()).ok_or(InvalidBasic));
    }
    // Servers that look at the first five characters only (PHP libraries), split at any white space, or take a joined
    // field apart, would find Basic here.
    let is_token = |byte: &u8| byte.is_ascii_graphic() && *byte != b',';
    let names_basic = |part: &[u8]| {
        part.trim_ascii().get(..5).is_some_and(|word| word.eq_ignore_ascii_case(b"basic"))
    };
    if !scheme.iter().all(is_token) || authorization.split(|byte| *byte == b',').any(names_basic) {
        return Some(Err(InvalidBasic));
    }
    None
}

/// The authentication scheme of an `Authorization` field value.
pub fn scheme(authorization: &[u8]) -> &[u8] {
    authorization.split(|byte| *byte == b' ').next().unwrap_or(authorization)
}

fn decode(credentials: &[u8]) -> Option<String> {
    let decoded = String::from_utf8(BASE64_STANDARD.decode(credentials).ok()?).ok()?;
    let (client_id, secret) = decoded.split_once(':')?;
    if has_needless_escape(client_id) {
        return None;
    }
    form::decode(secret).ok()?;
    form::decode(client_id).ok().map(Cow::into_owned)
}

/// Whether a letter or digit is escaped. No encoder does that, and servers that do not form-decode would read another
/// client.
fn has_needless_escape(text: &str) -> bool {
    text.split('%').skip(1).any(|after| {
        let octet = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        octet.is_some_and(|octet| octet.is_ascii_alphanumeric())
    })
}

/// Credentials of the Basic scheme that cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidBasic;

impl fmt::Display for InvalidBasic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization: Basic is not base64 of form-encoded client_id:client_secret")
    }
}

impl std::error::Error for InvalidBasic {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn example_of_rfc_6749_section_2_3_1_is_read() {
        let field = b"Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3";
        assert_eq!(client_id(field), Some(Ok("s6BhdRkqt3".to_owned())));
    }

    #[test]
    fn the_client_id_is_form_decoded() {
        let field = format!("bAsIc {}", BASE64_STANDARD.encode("a%3Ab+c:secret"));
        assert_eq!(client_id(field.as_bytes()), Some(Ok("a:b c".to_owned())));
    }

    #[test]
    fn other_schemes_name_no_client() {
        assert_eq!(client_id(b"Bearer czZCaGRSa3F0Mzo3"), None);
        assert_eq!(client_id(b""), None);
    }

    #[test]
    fn what_may_be_read_as_basic_is_not_ignored() {
        for field in [
            &b"Basic\tcG9ydGFsOng="[..],
            b"Bearer x, Basic cG9ydGFsOng=",
            b"Bearer x,basic\tcG9ydGFsOng=",
            b"Bas\xffic cG9ydGFsOng=",
            b"Basically YTpi",
            b"basic=cG9ydGFsOng=",
        ] {
            assert_eq!(client_id(field), Some(Err(InvalidBasic)));
        }
        let escaped = format!("Basic {}", BASE64_STANDARD.encode("port%61l:x"));
        assert_eq!(client_id(escaped.as_bytes()), Some(Err(InvalidBasic)));
        assert_eq!(client_id(b"Digest username=\"a\", realm=\"b\""), None);
    }

    #[test]
    fn unreadable_credentials_are_an_error() {
        for field in [
            "Basic",
            "Basic ",
            "Basic YTpi,YTpi",
            "Basic YTpi YTpi",
            "Basic YQ",
            "Basic YQ==",
            "Basic JTpi",
            "Basic Yf86Yg==",
        ] {
            assert_eq!(client_id(field.as_bytes()), Some(Err(InvalidBasic)), "{field}");
        }
    }
}
