//! How the proxy, and a client that the proxy authenticated, authenticate to the server behind.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// How the proxy authenticates itself.
#[derive(Clone, Debug)]
pub enum UpstreamAuthentication {
    /// With `Authorization: Basic` (RFC 7617).
    Basic(Credential),
    /// With a secret in a field of this lower-case name.
    Header(String, Credential),
}

/// A field value that holds a secret. `Debug` does not print it.
#[derive(Clone, Eq, PartialEq)]
pub struct Credential(String);

impl Credential {
    /// A value that is secret as it is.
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The value of `Authorization` for a user of the server (RFC 7617 §2). `username` has no colon.
    pub fn basic(username: &str, password: &str) -> Self {
        Self(format!("Basic {}", BASE64_STANDARD.encode(format!("{username}:{password}"))))
    }

    /// The value of `Authorization` for an OAuth client: both parts are form-encoded (RFC 6749 §2.3.1).
    pub fn client_secret_basic(client_id: &str, client_secret: &str) -> Self {
        let encode = |text| utf8_percent_encode(text, ESCAPED).to_string();
        Self::basic(&encode(client_id), &encode(client_secret))
    }

    /// The field value.
    pub fn value(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential")
    }
}

/// A space becomes `%20`, which servers read that form-decode and those that only percent-decode.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'*');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_oauth_client_is_form_encoded() {
        // RFC 6749 appendix B has the characters.
        let credential = Credential::client_secret_basic("a:b", " %&+£€");
        let decoded = BASE64_STANDARD.decode(credential.value().strip_prefix("Basic ").unwrap());
        assert_eq!(decoded.unwrap(), b"a%3Ab:%20%25%26%2B%C2%A3%E2%82%AC");
    }

    #[test]
    fn a_user_is_not() {
        // RFC 7617 §2.
        let credential = Credential::basic("Aladdin", "open sesame");
        assert_eq!(credential.value(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Credential::new("secret".into())), "Credential");
    }
}
