//! The decision: which client speaks, and may it use this certificate (RFC 8705 §2).

use std::{fmt::Write as _, sync::Arc};

use crate::{
    certificate::{Certificate, ValidityStatus},
    client::{Client, ClientAuthMethod, Trust},
    config::{Config, Enforcement, UnregisteredClients},
    forward::{self, AuthenticatedClient, Forwarding, Verification},
    identify::{Identification, identify},
    jws::SignedStatements,
    known_certificate::KnownCertificate,
    presented,
    rejection::{Place, Reason, Rejection},
    request::{Connection, Request},
    sanitise::HeaderChange,
    trust::{PathError, VerdictCache},
};

/// What becomes of a request, and what was learned on the way.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What becomes of it.
    pub outcome: Outcome,
    /// The client that the request names, authenticated or not.
    pub client_id: Option<String>,
    /// The certificate of the connection, when it mattered or the request was refused.
    pub certificate: Option<Arc<KnownCertificate>>,
    /// How many whole days it remains valid, if the request is allowed with it.
    pub certificate_days_left: Option<u64>,
}

/// What becomes of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It goes to the server with these changes.
    Allowed(Vec<HeaderChange>),
    /// It is answered with an error.
    Denied(Rejection),
    /// It would have been denied, but `enforcement` is `report`: it goes to the server without a certificate, with these
    /// changes.
    Reported(Rejection, Vec<HeaderChange>),
}

impl Verdict {
    /// The verdict on a request that is refused before it could be judged.
    pub fn refused(config: &Config, rejection: Rejection, place: Place<'_>) -> Self {
        Self::new(refusal(config, rejection, place), None, None, 0)
    }

    pub(crate) fn new(
        outcome: Outcome,
        client_id: Option<String>,
        certificate: Option<Arc<KnownCertificate>>,
        now: u64,
    ) -> Self {
        let days_left = match (&outcome, &certificate) {
            (Outcome::Allowed(_), Some(certificate)) => {
                Some(certificate.not_after().saturating_sub(now) / SECONDS_PER_DAY)
            }
            _ => None,
        };
        Self { outcome, client_id, certificate, certificate_days_left: days_left }
    }

    /// One line for the log on a refusal, in logfmt; `None` for a request that was allowed. Values from the request are
    /// quoted, so that no client can write a log line of its own.
    pub fn log_line(&self, source_address: impl FnOnce() -> String) -> Option<String> {
        let (word, rejection) = match &self.outcome {
            Outcome::Allowed(_) => return None,
            Outcome::Denied(rejection) => ("denied", rejection),
            Outcome::Reported(rejection, _) => ("reported", rejection),
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
        let _ = write!(line, " source={:?} detail={:?}", source_address(), rejection.detail);
        Some(line)
    }
}

const SECONDS_PER_DAY: u64 = 86_400;

/// How much of a value from the request a log line holds.
const LOGGED_CHARACTERS: usize = 200;

/// What becomes of a request that is rejected.
pub(crate) fn refusal(config: &Config, rejection: Rejection, place: Place<'_>) -> Outcome {
    match (config.enforcement, rejection.reason) {
        // After a failure of the host it is unknown which header fields the request has.
        (_, Reason::HostError) | (Enforcement::Enforce, _) => Outcome::Denied(rejection),
        (Enforcement::Report, _) => {
            let changes = match place {
                Place::Endpoint { .. } => forward::without_certificate(config),
                // What is for the authorization server is not for resources.
                Place::ProtectedResource => Vec::new(),
            };
            Outcome::Reported(rejection, changes)
        }
    }
}

/// Judges a request at an endpoint. `verdicts` remembers certificate paths from one request to the next, `statements` what
/// was signed; `random` fills a buffer with random bytes, or says that it cannot.
pub fn authenticate(
    config: &Config,
    request: &Request,
    verdicts: &mut VerdictCache,
    statements: &mut SignedStatements,
    random: &mut dyn FnMut(&mut [u8]) -> bool,
) -> Verdict {
    let mut judgement = Judgement { config, request, verdicts, client_id: None, certificate: None };
    let outcome = judgement
        .judge()
        .and_then(|finding| {
            let forwarding = judgement.forwarding(finding);
            forward::header_changes(config, request, forwarding, statements, random)
        })
        .map_or_else(
            |rejection| refusal(config, rejection, Place::Endpoint { scheme: None }),
            Outcome::Allowed,
        );
    let Judgement { client_id, certificate, .. } = judgement;
    // A refusal may come before the certificate is looked at; the log tells it all the same.
    let for_the_log = || presented::certificate(config.certificate_source, request).ok().flatten();
    let certificate = match outcome {
        Outcome::Allowed(_) => certificate,
        Outcome::Denied(_) | Outcome::Reported(..) => certificate.or_else(for_the_log),
    };
    Verdict::new(outcome, client_id, certificate, request.now)
}

/// Why a request is allowed.
#[derive(Clone, Copy)]
enum Finding {
    /// The certificate is the client's.
    Authenticated(Verification),
    /// The server is to see the certificate and to judge the client.
    CertificateForServer(Verification),
    /// The certificate is not for the server, or there is none.
    NoCertificate,
}

/// A request under judgement, and what was learned of it so far.
struct Judgement<'a> {
    config: &'a Config,
    request: &'a Request,
    verdicts: &'a mut VerdictCache,
    client_id: Option<String>,
    certificate: Option<Arc<KnownCertificate>>,
}

impl Judgement<'_> {
    fn judge(&mut self) -> Result<Finding, Rejection> {
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

    fn forwarding(&self, finding: Finding) -> Forwarding<'_> {
        match (finding, self.certificate.as_deref(), self.client_id.as_deref()) {
            (Finding::Authenticated(verification), Some(certificate), Some(client_id)) => {
                let registered = self.config.clients.get(client_id);
                let authorization =
                    registered.and_then(|client| client.upstream_authorization.as_ref());
                let client = AuthenticatedClient { client_id, authorization };
                Forwarding::Authenticated(certificate, verification, client)
            }
            (Finding::CertificateForServer(verification), Some(certificate), _) => {
                Forwarding::WithCertificate(certificate, verification)
            }
            _ => Forwarding::Plain,
        }
    }

    fn judge_client(&mut self, client: &Client) -> Result<Finding, Rejection> {
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
                Ok(Finding::Authenticated(Verification::Verified))
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
                Ok(Finding::Authenticated(Verification::Registered))
            }
            ClientAuthMethod::Other if client.certificate_bound_access_tokens => {
                let certificate = self.require_certificate()?;
                require_validity(&certificate, self.request.now)?;
                Ok(Finding::CertificateForServer(Verification::Failed(
                    Reason::CertificateUntrusted,
                )))
            }
            ClientAuthMethod::Other => Ok(Finding::NoCertificate),
        }
    }

    fn judge_unregistered(&mut self) -> Result<Finding, Rejection> {
        let config = self.config;
        match config.unregistered_clients {
            UnregisteredClients::Deny => Err(Rejection::new(
                Reason::ClientNotRegistered,
                "client_id is none of the configured clients",
            )),
            UnregisteredClients::Pass => Ok(Finding::NoCertificate),
            UnregisteredClients::Forward => {
                let Some(certificate) = self.presented_certificate()? else {
                    return Ok(Finding::NoCertificate);
                };
                match self.require_trust(&certificate, &config.trust_in_unregistered()) {
                    Ok(()) => Ok(Finding::CertificateForServer(Verification::Verified)),
                    Err(problem) if config.certificate_header.verify_name.is_some() => {
                        Ok(Finding::CertificateForServer(Verification::Failed(problem.reason)))
                    }
                    Err(_) => Ok(Finding::NoCertificate),
                }
            }
        }
    }

    fn presented_certificate(&mut self) -> Result<Option<Arc<KnownCertificate>>, Rejection> {
        self.certificate = presented::certificate(self.config.certificate_source, self.request)?;
        Ok(self.certificate.clone())
    }

    fn require_certificate(&mut self) -> Result<Arc<KnownCertificate>, Rejection> {
        self.presented_certificate()?.ok_or_else(|| {
            Rejection::new(Reason::CertificateMissing, "the client presented no certificate")
        })
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
        let now = self.request.now;
        // What else the client presented is kilobytes to be read, and adds nothing to a path that is known.
        if sets.iter().any(|anchors| self.verdicts.knows_path(anchors, certificate, now)) {
            return Ok(());
        }
        let intermediates = presented::intermediates(
            &self.request.headers,
            certificate,
            self.config.max_chain_certificates,
        )?;
        let mut closest = None;
        for anchors in sets {
            match self.verdicts.verify(anchors, certificate, &intermediates, now) {
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
}

/// Requires that a certificate is neither expired nor not valid yet.
pub(crate) fn require_validity(certificate: &Certificate, now: u64) -> Result<(), Rejection> {
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
