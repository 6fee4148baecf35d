//! The decision: which client speaks, and may it use this certificate (RFC 8705 §2).

use std::{fmt::Write as _, rc::Rc};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::{
    certificate::{Certificate, ValidityStatus},
    client::{Client, ClientAuthMethod, Trust},
    client_cert::byte_sequence,
    config::{Config, Enforcement, UnregisteredClients},
    headers::Headers,
    http_signature::{HttpMessageSignature, SignedRequest, SigningKey},
    identify::{Identification, identify},
    pem,
    rejection::{Reason, Rejection},
    request::{Connection, Request},
    sanitise::HeaderChange,
    thumbprint::Thumbprint,
    trust::{PathError, VerdictCache},
    xfcc,
};

/// What becomes of a request, and what was learned on the way.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What becomes of it.
    pub outcome: Outcome,
    /// The client that the request names, authenticated or not.
    pub client_id: Option<String>,
    /// The certificate of the connection, when it mattered or the request was refused.
    pub certificate: Option<Rc<Certificate>>,
}

/// What becomes of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It goes to the server with these changes.
    Allowed(Vec<HeaderChange>),
    /// It is answered with an error.
    Denied(Rejection),
    /// It would have been denied, but `enforcement` is `report`: it goes to the server without a certificate.
    Reported(Rejection),
}

impl Verdict {
    /// The verdict on a request that is refused before it could be judged.
    pub fn refused(config: &Config, rejection: Rejection) -> Self {
        Self { outcome: refusal(config, rejection), client_id: None, certificate: None }
    }

    /// One line for the log on a refusal, in logfmt; `None` for a request that was allowed. Values from the request are
    /// quoted, so that no client can write a log line of its own.
    pub fn log_line(&self, source_address: &str) -> Option<String> {
        let (word, rejection) = match &self.outcome {
            Outcome::Allowed(_) => return None,
            Outcome::Denied(rejection) => ("denied", rejection),
            Outcome::Reported(rejection) => ("reported", rejection),
        };
        let mut line = format!("{word} reason={}", rejection.reason.name());
        let client_id = self.client_id.as_deref().unwrap_or("-");
        let client_id: String = client_id.chars().take(LOGGED_CHARACTERS).collect();
        let _ = write!(line, " client_id={client_id:?}");
        if let Some(certificate) = &self.certificate {
            let subject: String =
                certificate.subject().to_string().chars().take(LOGGED_CHARACTERS).collect();
            let _ = write!(line, " thumbprint={} subject={subject:?}", certificate.thumbprint());
        }
        let _ = write!(line, " source={source_address:?} detail={:?}", rejection.detail);
        Some(line)
    }
}

/// How much of a value from the request a log line holds.
const LOGGED_CHARACTERS: usize = 200;

fn refusal(config: &Config, rejection: Rejection) -> Outcome {
    match (config.enforcement, rejection.reason) {
        // After a failure of the host it is unknown which header fields the request has.
        (_, Reason::HostError) | (Enforcement::Enforce, _) => Outcome::Denied(rejection),
        (Enforcement::Report, _) => Outcome::Reported(rejection),
    }
}

/// Judges a request at an endpoint. `verdicts` remembers certificate paths from one request to the next; `random` fills a
/// buffer with random bytes, or says that it cannot.
pub fn authenticate(
    config: &Config,
    request: &Request,
    verdicts: &mut VerdictCache,
    random: &mut dyn FnMut(&mut [u8]) -> bool,
) -> Verdict {
    let mut judgement = Judgement { config, request, verdicts, client_id: None, certificate: None };
    let outcome = judgement
        .judge()
        .and_then(|forwarding| judgement.header_changes(forwarding, random))
        .map_or_else(|rejection| refusal(config, rejection), Outcome::Allowed);
    let Judgement { client_id, certificate, .. } = judgement;
    // A refusal may come before the certificate is looked at; the log tells it all the same.
    let for_the_log = || presented_certificate(&request.connection).ok().flatten().map(Rc::new);
    let certificate = match outcome {
        Outcome::Allowed(_) => certificate,
        Outcome::Denied(_) | Outcome::Reported(_) => certificate.or_else(for_the_log),
    };
    Verdict { outcome, client_id, certificate }
}

/// How a request that is allowed goes to the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Forwarding {
    /// With the certificate, which authenticated the client.
    Authenticated,
    /// With the certificate; who the client is remains for the server to decide.
    WithCertificate,
    /// Without certificate.
    Plain,
}

/// A request under judgement, and what was learned of it so far.
struct Judgement<'a> {
    config: &'a Config,
    request: &'a Request,
    verdicts: &'a mut VerdictCache,
    client_id: Option<String>,
    certificate: Option<Rc<Certificate>>,
}

impl Judgement<'_> {
    fn judge(&mut self) -> Result<Forwarding, Rejection> {
        let Identification { client_id, other_credential, unreadable } = identify(self.request)?;
        let config = self.config;
        let client = config.clients.get(&client_id);
        let is_lookalike = client.is_none() && config.is_lookalike_of_registered(&client_id);
        self.client_id = Some(client_id);

        let is_tls_client =
            client.is_some_and(|client| !matches!(client.method, ClientAuthMethod::Other));
        if let (true, Some(credential)) = (is_tls_client, other_credential) {
            return Err(Rejection::new(
                Reason::MultipleAuthenticationMethods,
                format!("the client is registered for a TLS method and also sent {credential}"),
            ));
        }
        if let Some(unreadable) = unreadable {
            return Err(unreadable);
        }
        if is_lookalike {
            return Err(Rejection::new(
                Reason::ClientNotRegistered,
                "client_id is a registered one in other letter case or spacing, which some servers take for it",
            ));
        }
        match client {
            Some(client) => self.judge_client(client),
            None => self.judge_unregistered(),
        }
    }

    fn judge_client(&mut self, client: &Client) -> Result<Forwarding, Rejection> {
        match &client.method {
            ClientAuthMethod::TlsClientAuth(subject, trust) => {
                let certificate = self.require_certificate()?;
                self.require_trust(&certificate, trust)?;
                if !subject.matches(&certificate) {
                    return Err(Rejection::new(
                        Reason::SubjectMismatch,
                        "the certificate does not have the registered subject value",
                    ));
                }
                Ok(Forwarding::Authenticated)
            }
            ClientAuthMethod::SelfSignedTlsClientAuth(registered) => {
                let certificate = self.require_certificate()?;
                if !registered.contains(&certificate) {
                    return Err(Rejection::new(
                        Reason::CertificateNotRegistered,
                        "neither the certificate nor its key is registered for the client",
                    ));
                }
                require_validity(&certificate, self.request.now)?;
                Ok(Forwarding::Authenticated)
            }
            ClientAuthMethod::Other if client.certificate_bound_access_tokens => {
                let certificate = self.require_certificate()?;
                require_validity(&certificate, self.request.now)?;
                Ok(Forwarding::WithCertificate)
            }
            ClientAuthMethod::Other => Ok(Forwarding::Plain),
        }
    }

    fn judge_unregistered(&mut self) -> Result<Forwarding, Rejection> {
        let config = self.config;
        match config.unregistered_clients {
            UnregisteredClients::Deny => Err(Rejection::new(
                Reason::ClientNotRegistered,
                "client_id is none of the configured clients",
            )),
            UnregisteredClients::Pass => Ok(Forwarding::Plain),
            UnregisteredClients::Forward => {
                let Some(certificate) = presented_certificate(&self.request.connection)? else {
                    return Ok(Forwarding::Plain);
                };
                let certificate = Rc::new(certificate);
                self.certificate = Some(Rc::clone(&certificate));
                let verified = self.require_trust(&certificate, &config.trust_in_unregistered());
                Ok(if verified.is_ok() { Forwarding::WithCertificate } else { Forwarding::Plain })
            }
        }
    }

    fn require_certificate(&mut self) -> Result<Rc<Certificate>, Rejection> {
        let certificate = presented_certificate(&self.request.connection)?.ok_or_else(|| {
            Rejection::new(Reason::CertificateMissing, "the client presented no certificate")
        })?;
        Ok(Rc::clone(self.certificate.insert(Rc::new(certificate))))
    }

    /// The PKI method's trust in a certificate: its validity, its purpose, and the path to a CA.
    fn require_trust(&mut self, certificate: &Certificate, trust: &Trust) -> Result<(), Rejection> {
        require_validity(certificate, self.request.now)?;
        if !certificate.allows_client_authentication() {
            return Err(Rejection::new(
                Reason::CertificatePurpose,
                "key usage or extended key usage does not allow TLS client authentication",
            ));
        }
        let sets = match trust {
            Trust::Envoy => return require_envoys_verdict(&self.request.connection),
            Trust::Anchors(sets) => sets,
        };
        let intermediates = presented_intermediates(
            &self.request.headers,
            certificate,
            self.config.max_chain_certificates,
        )?;
        let mut closest = None;
        for anchors in sets {
            match self.verdicts.verify(anchors, certificate, &intermediates, self.request.now) {
                Ok(_) => return Ok(()),
                // "Revoked" by one set says more than "unknown CA" by another.
                Err(error) => match (&closest, &error) {
                    (None, _) | (_, PathError::Revoked(_)) => closest = Some(error),
                    _ => {}
                },
            }
        }
        Err(match closest {
            Some(error) => Rejection::new(path_reason(&error), error.to_string()),
            None => Rejection::new(Reason::CertificateUntrusted, "no trust anchors are configured"),
        })
    }

    /// The header fields that tell the server what was found.
    fn header_changes(
        &self,
        forwarding: Forwarding,
        random: &mut dyn FnMut(&mut [u8]) -> bool,
    ) -> Result<Vec<HeaderChange>, Rejection> {
        let (config, request) = (self.config, self.request);
        let (Some(certificate), true) = (&self.certificate, forwarding != Forwarding::Plain) else {
            return Ok(Vec::new());
        };
        let header = &config.certificate_header;
        let value = header.format.encode(certificate.der());
        if value.len() > header.max_bytes {
            return Err(Rejection::new(
                Reason::HeaderTooLarge,
                format!(
                    "{} would have {} bytes, more than certificate_header.max_bytes",
                    header.name,
                    value.len()
                ),
            ));
        }
        let mut fields = vec![(header.name.clone(), value.into_bytes())];
        if let Some(name) = &config.thumbprint_header {
            fields.push((name.clone(), certificate.thumbprint().to_string().into_bytes()));
        }
        if let (Some(name), Some(client_id), Forwarding::Authenticated) =
            (&config.client_id_header, &self.client_id, forwarding)
        {
            fields.push((name.clone(), client_id.clone().into_bytes()));
        }
        if let Some((signature, key)) = &config.signature {
            if signature.covers("content-digest") {
                let digest = byte_sequence(&Sha256::digest(&request.body));
                fields.push(("content-digest".into(), format!("sha-256={digest}").into_bytes()));
            }
            let signature_fields = sign(config, signature, key, request, &fields, random)?;
            fields.extend(signature_fields);
        }
        Ok(fields.into_iter().map(|(name, value)| HeaderChange::Set(name, value)).collect())
    }
}

/// The certificate of the connection, if there is one, known to be the one that Envoy means.
fn presented_certificate(connection: &Connection) -> Result<Option<Certificate>, Rejection> {
    let digest =
        connection.sha256_peer_certificate_digest.as_deref().filter(|digest| !digest.is_empty());
    let Some(pem) = connection.peer_certificate.as_deref().filter(|pem| !pem.is_empty()) else {
        return match digest {
            None => Ok(None),
            Some(_) => Err(Rejection::new(
                Reason::CertificateUnreadable,
                "Envoy has no attribute connection.peer_certificate: it needs to be 1.38 or newer",
            )),
        };
    };
    let unreadable = |error: String| Rejection::new(Reason::CertificateUnreadable, error);
    let der = pem::peer_certificate(pem).map_err(|error| unreadable(error.to_string()))?;
    let certificate = Certificate::from_der(der).map_err(|error| unreadable(error.to_string()))?;
    let reported =
        digest.and_then(|digest| str::from_utf8(digest).ok()).and_then(Thumbprint::from_hex);
    if reported != Some(certificate.thumbprint()) {
        return Err(Rejection::new(
            Reason::DigestMismatch,
            "connection.sha256_peer_certificate_digest is not the digest of connection.peer_certificate",
        ));
    }
    Ok(Some(certificate))
}

fn require_validity(certificate: &Certificate, now: u64) -> Result<(), Rejection> {
    match certificate.validity_at(now) {
        ValidityStatus::Valid => Ok(()),
        ValidityStatus::Expired => {
            Err(Rejection::new(Reason::CertificateExpired, "the certificate has expired"))
        }
        ValidityStatus::NotYetValid => {
            Err(Rejection::new(Reason::CertificateNotYetValid, "the certificate is not valid yet"))
        }
    }
}

fn path_reason(error: &PathError) -> Reason {
    match error {
        PathError::Expired => Reason::CertificateExpired,
        PathError::NotYetValid => Reason::CertificateNotYetValid,
        PathError::Purpose => Reason::CertificatePurpose,
        PathError::Revoked(_) => Reason::CertificateRevoked,
        PathError::RevocationUnknown(..) | PathError::Untrusted(_) => Reason::CertificateUntrusted,
        PathError::Unreadable => Reason::CertificateUnreadable,
    }
}

/// Trust where no trust anchors are configured.
fn require_envoys_verdict(connection: &Connection) -> Result<(), Rejection> {
    let detail = match connection.peer_certificate_valid {
        Some(true) => return Ok(()),
        Some(false) => {
            "Envoy did not verify the certificate in this connection's handshake: \
             another CA than trusted_ca, or a resumed TLS session, which Envoy does not verify again"
        }
        None => {
            "Envoy has no attribute connection.peer_certificate_valid: it needs to be 1.39 or newer, \
             or certbound needs trust_anchors"
        }
    };
    Err(Rejection::new(Reason::CertificateUntrusted, detail))
}

/// The certificates that the client presented beside its own, if Envoy tells them (`Chain` of
/// `x-forwarded-client-cert`). They need no trust: each counts only for the signatures on it.
fn presented_intermediates(
    headers: &Headers,
    certificate: &Certificate,
    max_chain_certificates: usize,
) -> Result<Vec<Vec<u8>>, Rejection> {
    let chain = headers.text("x-forwarded-client-cert").and_then(|field| {
        let elements = xfcc::parse(field).ok()?;
        let [element] = elements.as_slice() else { return None };
        let is_this_connection =
            element.value("Hash").and_then(Thumbprint::from_hex) == Some(certificate.thumbprint());
        let chain = element.value("Chain").filter(|_| is_this_connection)?;
        pem::peer_certificate_chain(chain.as_bytes()).ok()
    });
    let chain = chain.unwrap_or_default();
    if chain.len() > max_chain_certificates {
        return Err(Rejection::new(
            Reason::CertificateUntrusted,
            format!(
                "the client presented {} certificates, more than limits.max_chain_certificates",
                chain.len()
            ),
        ));
    }
    Ok(chain.into_iter().filter(|der| der != certificate.der()).collect())
}

fn sign(
    config: &Config,
    signature: &HttpMessageSignature,
    key: &SigningKey,
    request: &Request,
    fields: &[(String, Vec<u8>)],
    random: &mut dyn FnMut(&mut [u8]) -> bool,
) -> Result<[(String, Vec<u8>); 2], Rejection> {
    let mut nonce = [0; 16];
    if !random(&mut nonce) {
        return Err(Rejection::new(Reason::HostError, "the host gave no random bytes"));
    }
    let signed = SignedRequest {
        method: &request.headers.method(),
        authority: &request.headers.authority(),
        target: &request.headers.target(),
        fields,
    };
    let (input, value) = signature
        .sign(key, &signed, request.now, &BASE64_URL_SAFE_NO_PAD.encode(nonce))
        .map_err(|error| Rejection::new(Reason::BodyUnreadable, error.to_string()))?;
    let [input_of_others, signature_of_others] =
        config.sanitiser.signatures_of_others(&request.headers);
    let beside = |others: Option<String>, ours: String| match others {
        Some(others) => format!("{others}, {ours}").into_bytes(),
        None => ours.into_bytes(),
    };
    Ok([
        ("signature-input".to_owned(), beside(input_of_others, input)),
        ("signature".to_owned(), beside(signature_of_others, value)),
    ])
}
