//! What most requests need, done once before the first client comes: the host compiles functions when they are first
//! called, and no client is to wait for that.

use crate::{
    authenticate::authenticate,
    certificate::Certificate,
    config::Config,
    forward::{self, AuthenticatedClient, Forwarding, Verification},
    headers::Headers,
    jws::SignedStatements,
    known_certificate::KnownCertificate,
    pem,
    request::{Connection, Request},
    trust::{self, VerdictCache},
};

/// Decides on a request that nobody made, with a certificate that nobody trusts, and makes up and throws away what would go
/// to the server if it were allowed. `now` is in seconds since the Unix epoch.
pub fn rehearse(config: &Config, now: u64, random: &mut dyn FnMut(&mut [u8]) -> bool) {
    let Ok(certificate) = Certificate::from_der(trust::example_certificate().to_vec()) else {
        return;
    };
    let fields = [
        (":authority", "localhost"),
        (":method", "POST"),
        (":path", "/rehearsal"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    let client_id = config.clients.keys().next().map_or("rehearsal", String::as_str);
    let request = Request {
        connection: Connection {
            peer_certificate: Some(pem::encode(certificate.der()).into_bytes()),
            peer_certificate_valid: Some(false),
            sha256_peer_certificate_digest: Some(
                format!("{:x}", certificate.thumbprint()).into_bytes(),
            ),
            known_certificate: None,
        },
        headers: Headers(fields.into()),
        body: format!("grant_type=client_credentials&client_id={client_id}").into_bytes(),
        verified_token: None,
        now,
    };
    let _ = config.sanitiser.changes(&request.headers);
    let _ = config.is_endpoint(&request.headers.method(), &request.headers.target());
    let certificate = KnownCertificate::from(certificate);
    let client = AuthenticatedClient { client_id, authorization: None };
    let mut statements = SignedStatements::default();
    // The second time with what the first one left.
    for _ in 0..2 {
        let forwarding = Forwarding::Authenticated(&certificate, Verification::Verified, client);
        let _ = forward::header_changes(config, &request, forwarding, &mut statements, random);
    }
    let mut verdicts = VerdictCache::default();
    let _ = authenticate(config, &request, &mut verdicts, &mut statements, random);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// How often it asked for a nonce, which it does to sign.
    fn signed(change: &Value) -> usize {
        let mut configuration = json!({
            "endpoints": [{ "path": "/token" }],
            "clients": [{ "client_id": "mobile", "token_endpoint_auth_method": "none" }],
        });
        configuration.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let config = Config::parse(configuration.to_string().as_bytes(), &|_| None).unwrap();
        let mut nonces = Vec::new();
        rehearse(&config, 1_893_456_000, &mut |_| {
            nonces.push(());
            true
        });
        nonces.len()
    }

    #[test]
    fn goes_as_far_as_to_sign_and_then_with_what_is_known() {
        let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let keys = json!([{ "kid": "1", "alg": "hmac-sha256", "key": { "value": key } }]);
        let signature = json!({ "signature": { "http_message_signature": {}, "keys": keys } });
        assert_eq!(signed(&signature), 2);
        assert_eq!(signed(&json!({})), 0);
        assert_eq!(signed(&json!({ "clients": [] })), 0);
    }
}
