//! The public keys of the signatures, for servers to fetch (RFC 7517 §5).

use serde::Serialize;

use crate::{
    endpoint::{normalise_path, split_target},
    response::Response,
    signing_key::{PublicJwk, SigningKey},
};

/// The set, ready to be sent, and where.
#[derive(Clone, Debug)]
pub struct JwkSet {
    /// The normalised path that it is at.
    pub path: String,
    json: String,
}

/// How long servers may keep the set: docs/key-rotation.md waits as long before a new key signs.
const CACHE_CONTROL: &str = "max-age=300";

impl JwkSet {
    /// The set of those keys that have a public part; `None` if there are none.
    pub fn new(path: String, keys: &[SigningKey]) -> Option<Self> {
        #[derive(Serialize)]
        struct Document<'a> {
            keys: Vec<PublicJwk<'a>>,
        }
        let keys: Vec<_> = keys.iter().filter_map(SigningKey::public_jwk).collect();
        if keys.is_empty() {
            return None;
        }
        let json = serde_json::to_string(&Document { keys }).ok()?;
        Some(Self { path, json })
    }

    /// The answer to a request, if it is for the set.
    pub fn response(&self, method: &str, target: &str) -> Option<Response> {
        let (path, _) = split_target(target);
        if normalise_path(path) != self.path {
            return None;
        }
        Some(match method {
            // Whoever sends the answer to HEAD leaves out the body, and only that (RFC 9110 §9.3.2).
            "GET" | "HEAD" => Response {
                status: 200,
                headers: vec![
                    ("content-type", "application/jwk-set+json"),
                    ("cache-control", CACHE_CONTROL),
                ],
                body: self.json.clone(),
            },
            _ => {
                Response { status: 405, headers: vec![("allow", "GET, HEAD")], body: String::new() }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing_key::SigningSecret;

    fn keys() -> [SigningKey; 2] {
        // RFC 8410 §10.3.
        let ed25519 = SigningSecret::ed25519_from_pem(
            "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n",
        );
        let hmac =
            SigningSecret::hmac_sha256_from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        [("shared", hmac), ("public", ed25519)]
            .map(|(kid, secret)| SigningKey { kid: kid.into(), secret: secret.unwrap() })
    }

    #[test]
    fn public_keys_are_in_it_and_shared_ones_are_not() {
        let set = JwkSet::new("/jwks".into(), &keys()).unwrap();
        let response = set.response("GET", "/jwks").unwrap();
        assert_eq!(response.status, 200);
        assert_eq!(
            response.body,
            r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE","kid":"public","alg":"EdDSA","use":"sig"}]}"#
        );
    }

    #[test]
    fn without_public_keys_there_is_none() {
        let [shared, _] = keys();
        assert!(JwkSet::new("/jwks".into(), &[shared]).is_none());
    }

    #[test]
    fn every_spelling_of_its_path_finds_it_and_no_other_path_does() {
        let set = JwkSet::new("/jwks".into(), &keys()).unwrap();
        for target in ["/jwks", "/jwks?a=b", "/%6awks", "/x/../jwks", "/./jwks?"] {
            assert_eq!(set.response("GET", target).unwrap().status, 200, "{target}");
        }
        for target in ["/", "/jwks/", "/JWKS", "//jwks", "/jwks%2F", "/jwks;a", ""] {
            assert_eq!(set.response("GET", target), None, "{target}");
        }
    }

    #[test]
    fn only_get_and_head_are_allowed() {
        let set = JwkSet::new("/jwks".into(), &keys()).unwrap();
        assert_eq!(set.response("HEAD", "/jwks"), set.response("GET", "/jwks"));
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "get", ""] {
            let response = set.response(method, "/jwks").unwrap();
            assert_eq!((response.status, response.body.as_str()), (405, ""), "{method}");
            assert_eq!(response.headers, [("allow", "GET, HEAD")], "{method}");
        }
    }
}
