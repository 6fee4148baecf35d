//! Registered clients, and the decision.

use std::collections::HashMap;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};

pub(crate) const REFUSAL: &str =
    r#"{"error":"invalid_client","error_description":"client authentication failed"}"#;

/// The thumbprint (x5t#S256) of each client's certificate.
pub(crate) struct Registry(HashMap<String, String>);

impl Registry {
    /// From lines of client_id, SHA-256 in hex and x5t#S256.
    pub(crate) fn new(lines: &str) -> Self {
        let client = |line: &str| {
            let mut values = line.split(' ');
            Some((values.next()?.to_owned(), values.nth(1)?.to_owned()))
        };
        Self(lines.lines().filter_map(client).collect())
    }

    /// The header fields for the server, if the certificate, URL-encoded PEM, is that of the form's client.
    pub(crate) fn authenticate(
        &self,
        form: &[u8],
        certificate: &str,
    ) -> Option<[(&'static str, String); 4]> {
        let (_, client_id) = form_urlencoded::parse(form).find(|(name, _)| name == "client_id")?;
        let registered = self.0.get(&*client_id)?;
        let pem = percent_decode_str(certificate).decode_utf8().ok()?;
        let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let thumbprint = URL_SAFE_NO_PAD.encode(Sha256::digest(STANDARD.decode(&base64).ok()?));
        (thumbprint == *registered).then(|| {
            [
                ("client-cert", format!(":{base64}:")),
                ("x-client-verify", "FAILED:self-signed certificate".to_owned()),
                ("x-client-cert-thumbprint", thumbprint),
                ("x-client-id", client_id.into_owned()),
            ]
        })
    }
}
