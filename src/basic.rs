//! HTTP Basic client authentication (RFC 7617, RFC 6749 §2.3.1).

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::form;

/// The client identifier of `Authorization: Basic` credentials, form-decoded as RFC 6749 §2.3.1 encodes it. `None` when
/// the field value is of another scheme.
///
/// # Errors
/// When the scheme is Basic and the rest is not base64 of UTF-8 text with a colon, or the parts are not form-encoded.
pub fn client_id(authorization: &[u8]) -> Option<Result<String, InvalidBasic>> {
    let credentials = credentials_of_scheme(authorization, "basic")?;
    Some(decode(credentials).ok_or(InvalidBasic))
}

/// The authentication scheme of an `Authorization` field value.
pub fn scheme(authorization: &[u8]) -> &[u8] {
    authorization.split(|byte| *byte == b' ').next().unwrap_or(authorization)
}

fn credentials_of_scheme<'a>(authorization: &'a [u8], scheme_name: &str) -> Option<&'a [u8]> {
    let scheme = scheme(authorization);
    if !scheme.eq_ignore_ascii_case(scheme_name.as_bytes()) {
        return None;
    }
    Some(authorization.get(scheme.len()..)?.trim_ascii())
}

fn decode(credentials: &[u8]) -> Option<String> {
    let decoded = String::from_utf8(BASE64_STANDARD.decode(credentials).ok()?).ok()?;
    let (client_id, secret) = decoded.split_once(':')?;
    form::decode(secret).ok()?;
    form::decode(client_id).ok()
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
        assert_eq!(client_id(b"Basically YTpi"), None);
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
