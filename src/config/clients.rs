//! `clients`: from client metadata (RFC 7591 §2, RFC 8705 §2) to certificate rules.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};

use super::{
    ConfigError,
    document::{self, AuthMethod},
    secret,
    trust_anchors::Sets,
};
use crate::{
    certificate::Certificate,
    client::{Client, ClientAuthMethod, RegisteredCertificates, SubjectMatch},
    distinguished_name::DistinguishedName,
    form,
    public_key::PublicKey,
    thumbprint::Thumbprint,
    upstream_authentication::Credential,
};

/// Metadata of the IANA registry "OAuth Dynamic Client Registration Metadata" that has no meaning here, but may stand in a
/// registration that is pasted in. Language-tagged forms (`client_name#de`, RFC 7591 §2.2) count as the name.
pub(super) const OTHER_METADATA: [&str; 55] = [
    "application_type",
    "authorization_details_types",
    "authorization_encrypted_response_alg",
    "authorization_encrypted_response_enc",
    "authorization_signed_response_alg",
    "backchannel_authentication_request_signing_alg",
    "backchannel_client_notification_endpoint",
    "backchannel_logout_session_required",
    "backchannel_logout_uri",
    "backchannel_token_delivery_mode",
    "backchannel_user_code_parameter",
    "client_id_issued_at",
    "client_name",
    "client_secret_expires_at",
    "client_uri",
    "contacts",
    "default_acr_values",
    "default_max_age",
    "dpop_bound_access_tokens",
    "frontchannel_logout_session_required",
    "frontchannel_logout_uri",
    "grant_types",
    "id_token_encrypted_response_alg",
    "id_token_encrypted_response_enc",
    "id_token_signed_response_alg",
    "initiate_login_uri",
    "introspection_encrypted_response_alg",
    "introspection_encrypted_response_enc",
    "introspection_signed_response_alg",
    "jwks_uri",
    "logo_uri",
    "policy_uri",
    "post_logout_redirect_uris",
    "redirect_uris",
    "registration_client_uri",
    "request_object_encryption_alg",
    "request_object_encryption_enc",
    "request_object_signing_alg",
    "request_uris",
    "require_auth_time",
    "require_pushed_authorization_requests",
    "require_signed_request_object",
    "response_modes",
    "response_types",
    "scope",
    "sector_identifier_uri",
    "software_id",
    "software_statement",
    "software_version",
    "subject_type",
    "token_endpoint_auth_signing_alg",
    "tos_uri",
    "userinfo_encrypted_response_alg",
    "userinfo_encrypted_response_enc",
    "userinfo_signed_response_alg",
];

/// Secrets of a registration, which certbound has no use for.
const SECRET_METADATA: [&str; 2] = ["client_secret", "registration_access_token"];

/// The metadata that has.
const METADATA: [&str; 12] = [
    "client_id",
    "token_endpoint_auth_method",
    "tls_client_auth_subject_dn",
    "tls_client_auth_san_dns",
    "tls_client_auth_san_uri",
    "tls_client_auth_san_ip",
    "tls_client_auth_san_email",
    "jwks",
    "certificate_thumbprints",
    "tls_client_certificate_bound_access_tokens",
    "trust_anchors",
    "upstream_client_secret",
];

pub(super) fn compile(
    written: Vec<Value>,
    trust_anchors: &Sets,
    env: &dyn Fn(&str) -> Option<String>,
    errors: &mut Vec<ConfigError>,
) -> HashMap<String, Client> {
    let mut clients = HashMap::with_capacity(written.len());
    for (index, value) in written.into_iter().enumerate() {
        let client_id = value.get("client_id").and_then(Value::as_str).map(str::to_owned);
        let mut entry = Entry { at: format!("clients[{index}]"), client_id, errors };
        entry.check_keys(&value);
        let has_jwks_uri = value.get("jwks_uri").is_some();
        let mut client: document::Client = match document::read(value) {
            Ok(client) => client,
            Err(fault) => {
                entry.error(&fault.path, fault.message);
                continue;
            }
        };
        let client_id = client.client_id.clone();
        if client_id.is_empty() || !client_id.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            entry.error(
                "client_id",
                "not a client identifier: write visible ASCII (RFC 6749 appendix A.1)",
            );
        }
        let certificate_bound_access_tokens = client.tls_client_certificate_bound_access_tokens;
        let secret = client.upstream_client_secret.take();
        if let Some(method) = entry.method(client, trust_anchors, has_jwks_uri) {
            let upstream_authorization =
                secret.and_then(|secret| entry.authorization(&client_id, &secret, &method, env));
            let client = Client { method, certificate_bound_access_tokens, upstream_authorization };
            if clients.insert(client_id.clone(), client).is_some() {
                entry.error(
                    "client_id",
                    format!("`{client_id}` is configured twice: merge the two entries"),
                );
            }
        }
    }
    require_one_reading(&clients, errors);
    clients
}

/// RFC 6749 §2.3.1 form-encodes the user of `Authorization: Basic`, and not every server decodes it: no client that may use
/// it, which those of a TLS method may not, may be another one undecoded.
fn require_one_reading(clients: &HashMap<String, Client>, errors: &mut Vec<ConfigError>) {
    let may_use_basic = |client_id: &str| {
        clients
            .get(client_id)
            .is_some_and(|client| matches!(client.method, ClientAuthMethod::Other))
    };
    for client_id in clients.keys() {
        match form::decode(client_id) {
            Ok(decoded) if decoded != *client_id && may_use_basic(&decoded) => {
                errors.push(ConfigError::new(
                    "clients",
                    format!(
                        "some servers read `{client_id}` in Authorization as `{decoded}`, which is another client: rename one of the two"
                    ),
                ));
            }
            _ => {}
        }
    }
}

/// `upstream_authentication.basic` takes the one `Authorization` field of a request that goes to the server with a
/// certificate.
pub(super) fn require_free_authorization(
    clients: &HashMap<String, Client>,
    errors: &mut Vec<ConfigError>,
) {
    let mut names = BTreeSet::new();
    names.extend(
        clients
            .iter()
            .filter(|(_, client)| client.upstream_authorization.is_some())
            .map(|(client_id, _)| client_id.as_str()),
    );
    for client_id in names {
        errors.push(ConfigError::new(
            "upstream_authentication.basic",
            format!(
                "takes the Authorization field that `upstream_client_secret` of client `{client_id}` needs: write `header` instead"
            ),
        ));
    }
}

/// One element of `clients`, by its path.
struct Entry<'a> {
    at: String,
    /// To find it in a long list.
    client_id: Option<String>,
    errors: &'a mut Vec<ConfigError>,
}

impl Entry<'_> {
    fn error(&mut self, key: &str, message: impl Into<String>) {
        let separator = if key.is_empty() { "" } else { "." };
        let message = match &self.client_id {
            Some(client_id) => format!("{} (client `{client_id}`)", message.into()),
            None => message.into(),
        };
        self.errors.push(ConfigError::new(format!("{}{separator}{key}", self.at), message));
    }

    fn check_keys(&mut self, client: &Value) {
        for key in client.as_object().into_iter().flat_map(Map::keys) {
            let name = key.split('#').next().unwrap_or(key);
            if SECRET_METADATA.contains(&name) {
                self.error(key, "certbound has no use for this secret: remove it");
            } else if !METADATA.contains(&key.as_str()) && !OTHER_METADATA.contains(&name) {
                let known = METADATA.join("`, `");
                self.error(
                    key,
                    format!("unknown key: write one of `{known}`, or registered client metadata"),
                );
            }
        }
    }

    fn method(
        &mut self,
        client: document::Client,
        trust_anchors: &Sets,
        has_jwks_uri: bool,
    ) -> Option<ClientAuthMethod> {
        let subjects: Vec<(&str, String)> = [
            ("tls_client_auth_san_dns", client.tls_client_auth_san_dns),
            ("tls_client_auth_san_email", client.tls_client_auth_san_email),
            ("tls_client_auth_san_ip", client.tls_client_auth_san_ip),
            ("tls_client_auth_san_uri", client.tls_client_auth_san_uri),
            ("tls_client_auth_subject_dn", client.tls_client_auth_subject_dn),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect();
        let is_pki = client.token_endpoint_auth_method == AuthMethod::TlsClientAuth;
        let is_self_signed =
            client.token_endpoint_auth_method == AuthMethod::SelfSignedTlsClientAuth;
        if !is_pki {
            for (key, _) in &subjects {
                self.error(key, "only for `token_endpoint_auth_method: tls_client_auth`: remove it, or change the method");
            }
        }
        if !is_self_signed && client.certificate_thumbprints.is_some() {
            self.error(
                "certificate_thumbprints",
                "only for `token_endpoint_auth_method: self_signed_tls_client_auth`: remove it, or change the method",
            );
        }
        if !is_pki && client.trust_anchors.is_some() {
            self.error(
                "trust_anchors",
                "only for `token_endpoint_auth_method: tls_client_auth`: remove it, or change the method",
            );
        }
        if is_pki {
            let trust = trust_anchors
                .bound(client.trust_anchors.as_deref())
                .map_err(|message| self.error("trust_anchors", message))
                .ok();
            let subject = self.subject_match(subjects);
            Some(ClientAuthMethod::TlsClientAuth(subject?, trust?))
        } else if is_self_signed {
            Some(ClientAuthMethod::SelfSignedTlsClientAuth(self.registered_certificates(
                client.jwks,
                client.certificate_thumbprints,
                has_jwks_uri,
            )))
        } else {
            Some(ClientAuthMethod::Other)
        }
    }

    fn authorization(
        &mut self,
        client_id: &str,
        secret: &document::Secret,
        method: &ClientAuthMethod,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Option<Credential> {
        const KEY: &str = "upstream_client_secret";
        if matches!(method, ClientAuthMethod::Other) {
            self.error(
                KEY,
                "only for clients that certbound authenticates (`tls_client_auth`, `self_signed_tls_client_auth`): anybody would get the secret otherwise",
            );
        }
        let secret = secret::resolve_text(secret, env);
        let secret = secret.map_err(|message| self.error(KEY, message)).ok()?;
        Some(Credential::client_secret_basic(client_id, &secret))
    }

    fn subject_match(&mut self, subjects: Vec<(&str, String)>) -> Option<SubjectMatch> {
        let mut subjects = subjects.into_iter();
        let (Some((key, value)), None) = (subjects.next(), subjects.next()) else {
            self.error(
                "",
                "a `tls_client_auth` client has exactly one subject value (RFC 8705 §2.1.2): write one of `tls_client_auth_subject_dn`, \
                 `tls_client_auth_san_dns`, `tls_client_auth_san_uri`, `tls_client_auth_san_ip`, `tls_client_auth_san_email`",
            );
            return None;
        };
        let subject = match key {
            "tls_client_auth_subject_dn" => DistinguishedName::from_rfc4514(&value)
                .map(SubjectMatch::SubjectDn)
                .map_err(|error| error.to_string()),
            "tls_client_auth_san_ip" => value.parse::<IpAddr>().map(SubjectMatch::SanIp).map_err(|_| {
                "not an IP address: write it like `192.0.2.1` or `2001:db8::1`, without port and prefix length".into()
            }),
            "tls_client_auth_san_email" => match value.rsplit_once('@') {
                Some((local, host)) if value.is_ascii() && !local.is_empty() && !host.is_empty() => {
                    Ok(SubjectMatch::SanEmail(value))
                }
                _ => Err("not an e-mail address: write it like `ops@example.com`, in ASCII".into()),
            },
            "tls_client_auth_san_dns" => {
                if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
                    Err("not a DNS name: write it like `client.example.com`, without wildcard, internationalised labels as `xn--…`".into())
                } else {
                    Ok(SubjectMatch::SanDns(value))
                }
            }
            _ if value.contains(':') && value.bytes().all(|byte| matches!(byte, b'!'..=b'~')) => {
                Ok(SubjectMatch::SanUri(value))
            }
            _ => Err("not a URI: write it with its scheme, like `spiffe://example.org/client`, exactly as in the certificate".into()),
        };
        subject.map_err(|message| self.error(key, message)).ok()
    }

    fn registered_certificates(
        &mut self,
        jwks: Option<document::Jwks>,
        thumbprints: Option<Vec<String>>,
        has_jwks_uri: bool,
    ) -> RegisteredCertificates {
        let mut registered = RegisteredCertificates::default();
        let mut listed = 0_usize;
        for (index, text) in thumbprints.iter().flatten().enumerate() {
            listed = listed.saturating_add(1);
            match Thumbprint::parse(text) {
                Ok(thumbprint) => registered.thumbprints.push(thumbprint),
                Err(error) => {
                    self.error(&format!("certificate_thumbprints[{index}]"), error.to_string())
                }
            }
        }
        for (index, jwk) in jwks.iter().flat_map(|jwks| &jwks.keys).enumerate() {
            // An encryption key is in the set for another purpose (RFC 7517 §4.2).
            if jwk.get("use").is_some_and(|usage| usage != "sig") {
                continue;
            }
            listed = listed.saturating_add(1);
            match registered_jwk(jwk) {
                Ok(RegisteredKey::Certificate(thumbprint)) => {
                    registered.thumbprints.push(thumbprint)
                }
                Ok(RegisteredKey::PublicKey(key)) => registered.public_keys.push(key),
                Err(message) => self.error(&format!("jwks.keys[{index}]"), message),
            }
        }
        if listed == 0 {
            let message = if has_jwks_uri {
                "certbound fetches no `jwks_uri`: write the keys themselves as `jwks`, or `certificate_thumbprints`"
            } else {
                "a `self_signed_tls_client_auth` client has registered certificates (RFC 8705 §2.2.2): write `jwks` with a signature key, \
                 or `certificate_thumbprints`"
            };
            self.error("", message);
        }
        registered
    }
}

enum RegisteredKey {
    Certificate(Thumbprint),
    PublicKey(PublicKey),
}

/// RFC 8705 §2.2.2: the certificate is the first of `x5c`; without `x5c` the key itself is registered.
fn registered_jwk(jwk: &Map<String, Value>) -> Result<RegisteredKey, String> {
    let key = PublicKey::from_jwk(jwk).map_err(|error| error.to_string())?;
    let Some(chain) = jwk.get("x5c") else {
        return Ok(RegisteredKey::PublicKey(key));
    };
    let certificate = chain
        .get(0)
        .and_then(Value::as_str)
        .and_then(|text| BASE64_STANDARD.decode(text).ok())
        .and_then(|der| Certificate::from_der(der).ok())
        .ok_or("`x5c` is not a list that starts with a base64 DER certificate (RFC 7517 §4.7)")?;
    if certificate.public_key() != Some(&key) {
        return Err("the certificate in `x5c` is for another key than the JWK's members (RFC 7517 §4.7): use the JWK made from the certificate".into());
    }
    let stated = jwk.get("x5t#S256");
    if stated.is_some_and(|stated| *stated != certificate.thumbprint().to_string().as_str()) {
        return Err("`x5t#S256` is not the thumbprint of the certificate in `x5c`".into());
    }
    Ok(RegisteredKey::Certificate(certificate.thumbprint()))
}
