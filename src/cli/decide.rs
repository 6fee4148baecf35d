//! `certbound decide`.

use std::path::PathBuf;

use certbound::{
    authenticate::{Outcome, Verdict, authenticate},
    basic,
    client::{ClientAuthMethod, SubjectMatch},
    client_cert::CertificateHeaderFormat,
    config::{CertificateSource, Config},
    endpoint::PathMatch,
    headers::Headers,
    jws::SignedStatements,
    pem,
    rejection::{Place, Reason, Rejection},
    request::{Connection, Request},
    sanitise::HeaderChange,
    thumbprint::Thumbprint,
    trust::VerdictCache,
};
use clap::ValueEnum;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::{
    BAD, FINE, Printout, UNEASY,
    configuration::{self, Finding, Severity},
    expiry::Outlook,
    http_request::{self, RawRequest},
    printable, property, rfc3339, styled,
};

/// Decide a request as the filter would, and say why
#[derive(clap::Args)]
#[command(after_help = "\
The decision is made by the filter's own code. Without --request it is about a form post of the client to the first of
the configured endpoints, with nothing in it but client_id.

Without trust_anchors, it counts whether Envoy verified the certificate. That cannot be known here: --envoy-verdict says
what to assume.

--json prints {\"outcome\", \"reason\", \"detail\", \"client_id\", \"thumbprint\", \"subject\", \"status\", \"error\", \"headers\",
\"removed_headers\", \"at\", \"notes\"}. The outcome is allowed, denied, reported (with enforcement: report), passed (not at an
endpoint) or answered (by the filter itself, with the public keys); reason is as in log and counters; status and error are
what the client sees; headers are set on the way to the server, removed_headers removed. What does not apply is null.

Examples:
  certbound decide --config envoy.yaml --client-id payments --certificate payments.pem
      Would this client get in with this certificate?
  certbound decide --config envoy.yaml --client-id payments --certificate payments.pem --at 2027-01-01T00:00:00Z
      And in the new year?
  certbound decide --config envoy.yaml --certificate payments.pem --request token-request.http
      This very request: request line, header fields, an empty line, the body.
  certbound decide --config envoy.yaml --client-id payments --json | jq -r .reason

Exit status: 0 if the request is forwarded, 1 if it is refused, 2 if something given here cannot be used.")]
pub(super) struct Arguments {
    /// The configuration, alone or within Envoy's; `-` for the standard input
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The client; with --request, who the request is expected to be from
    #[arg(long, value_name = "ID", required_unless_present = "request")]
    client_id: Option<String>,
    /// The client's certificate, PEM or DER; in PEM, what it presents besides may follow [default: it presents none]
    #[arg(long, value_name = "PEM")]
    certificate: Option<PathBuf>,
    /// The time of the request, as in RFC 3339 [default: now]
    #[arg(long, value_name = "RFC3339", value_parser = rfc3339::parse)]
    at: Option<u64>,
    /// A raw HTTP/1.1 request to decide
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// Without trust_anchors: what Envoy says of the certificate (connection.peer_certificate_valid)
    #[arg(long, value_name = "VERDICT", default_value = "valid")]
    envoy_verdict: EnvoyVerdict,
    /// Print JSON: {"outcome", "reason", …}
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum EnvoyVerdict {
    /// Its path leads to a CA of trusted_ca
    Valid,
    /// It does not
    Invalid,
}

pub(super) fn run(arguments: &Arguments) -> Printout {
    decide(arguments).unwrap_or_else(|unusable| unusable)
}

fn unusable(problem: impl std::fmt::Display) -> Printout {
    Printout::failure(2, &problem)
}

fn decide(arguments: &Arguments) -> Result<Printout, Printout> {
    let now = arguments.at.unwrap_or_else(super::now);
    let (config, stand_in_signing_key) = read_config(arguments, now)?;
    let mut notes = Vec::new();
    let RawRequest { mut headers, body } = read_request(arguments, &config)?;
    let presented = read_presented(arguments)?;
    if !config.trust_anchors.is_empty() || config.certificate_source == CertificateSource::Xfcc {
        // Envoy replaces what the client wrote there by what the client presented.
        headers.0.retain(|(name, _)| name != FORWARDED_CLIENT_CERT);
        headers.0.extend(forwarded_client_cert(&presented));
    }
    let connection = connection(presented, arguments.envoy_verdict);
    if arguments.certificate.is_some() && config.trust_anchors.is_empty() {
        let verdict = match arguments.envoy_verdict {
            EnvoyVerdict::Valid => "valid",
            EnvoyVerdict::Invalid => "not valid",
        };
        notes.push(format!(
            "assumed that Envoy finds the certificate {verdict}, which cannot be known here (--envoy-verdict)"
        ));
    }
    let request = Request { connection, headers, body, now, verified_token: None };
    let decision = Decision::on(&config, &request);
    // With `signature`, every request that goes on with a certificate is signed, and no other.
    if let Some(variable) = stand_in_signing_key.filter(|_| decision.has_certificate) {
        notes.push(format!(
            "the environment variable `{variable}` is not set here: an example stood in for the key, so that the \
             signature is worth nothing"
        ));
    }
    if let (Some(expected), Some(Verdict { client_id: Some(client_id), .. })) =
        (&arguments.client_id, &decision.verdict)
        && client_id != expected
    {
        return Err(unusable(format_args!(
            "the request is from the client `{}`, not from `{}`",
            printable(client_id),
            printable(expected)
        )));
    }
    let status = u8::from(decision.rejection().is_some_and(|(is_denied, _)| is_denied));
    Ok(if arguments.json {
        Printout::json(status, &decision.to_json(now, &notes))
    } else {
        Printout { output: decision.to_text(&config, now, &notes), problems: String::new(), status }
    })
}

/// The configuration, and the variable of its signing key if that is not set here.
fn read_config(arguments: &Arguments, now: u64) -> Result<(Config, Option<String>), Printout> {
    let file = &arguments.config;
    let outlook = Outlook { now, period: 0 };
    let configurations = configuration::read(file, &super::environment, outlook)
        .map_err(|error| unusable(printable(&error.message)))?;
    let errors = configurations.iter().flat_map(|configuration| {
        let described =
            |error: &Finding| error.describe(Severity::Error, file, &configuration.path);
        configuration.errors.iter().map(described)
    });
    let problems: String = errors.collect();
    if !problems.is_empty() {
        return Err(Printout { problems, status: 2, ..Printout::default() });
    }
    let mut configurations =
        configurations.into_iter().filter(|configuration| configuration.config.is_some());
    let first = configurations.next();
    let is_ambiguous = configurations
        .any(|other| first.as_ref().is_none_or(|first| first.written != other.written));
    let without = |message: &str| unusable(format_args!("{} {message}", file.display()));
    if is_ambiguous {
        return Err(without(
            "has several configurations of certbound, which differ: give the one that is meant, alone",
        ));
    }
    let first = first.ok_or_else(|| {
        without("says that certbound is delivered (ECDS), without its configuration: give what is delivered")
    })?;
    let stand_in_signing_key = first.stand_in_signing_key().map(str::to_owned);
    let config = first.config.ok_or_else(|| without("has no usable configuration"))?;
    Ok((config, stand_in_signing_key))
}

fn read_request(arguments: &Arguments, config: &Config) -> Result<RawRequest, Printout> {
    match (&arguments.request, &arguments.client_id) {
        (Some(file), _) => {
            let content = super::read(file).map_err(unusable)?;
            http_request::parse(&content).map_err(|error| {
                unusable(format_args!("{} is no HTTP request: {error}", file.display()))
            })
        }
        (None, client_id) => Ok(form_post(config, client_id.as_deref().unwrap_or_default())),
    }
}

/// What a client sends to the first endpoint to identify itself.
fn form_post(config: &Config, client_id: &str) -> RawRequest {
    let (method, path) = config.endpoints.first().map_or(("POST", "/"), |endpoint| {
        let (PathMatch::Exact(path) | PathMatch::Prefix(path)) = &endpoint.path;
        let first = endpoint.methods.first().map_or("POST", String::as_str);
        let takes_post = endpoint.methods.iter().any(|method| method == "POST");
        (if takes_post { "POST" } else { first }, path.as_str())
    });
    let fields = [
        (":method", method),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    let body = format!("client_id={}", utf8_percent_encode(client_id, NON_ALPHANUMERIC));
    RawRequest { headers: Headers(fields.into()), body: body.into_bytes() }
}

/// What the client presents: its certificate first.
fn read_presented(arguments: &Arguments) -> Result<Vec<Vec<u8>>, Printout> {
    match &arguments.certificate {
        Some(file) => super::read_certificates(file).map_err(unusable),
        None => Ok(Vec::new()),
    }
}

/// What Envoy would report of a connection over which this was presented.
fn connection(presented: Vec<Vec<u8>>, verdict: EnvoyVerdict) -> Connection {
    let Some(certificate) = presented.into_iter().next() else { return Connection::default() };
    Connection {
        peer_certificate_valid: Some(matches!(verdict, EnvoyVerdict::Valid)),
        sha256_peer_certificate_digest: Some(
            format!("{:x}", Thumbprint::of(&certificate)).into_bytes(),
        ),
        peer_certificate: Some(pem::encode(&certificate).into_bytes()),
        known_certificate: None,
    }
}

const FORWARDED_CLIENT_CERT: &str = "x-forwarded-client-cert";

/// The field in which Envoy tells what was presented, with `set_current_client_cert_details: { cert: true, chain: true }`.
fn forwarded_client_cert(presented: &[Vec<u8>]) -> Option<(String, Vec<u8>)> {
    let (certificate, intermediates) = presented.split_first()?;
    let element = CertificateHeaderFormat::Xfcc.certificate(certificate, Some(intermediates));
    Some((FORWARDED_CLIENT_CERT.to_owned(), element.into_bytes()))
}

/// What becomes of a request.
struct Decision {
    /// `None` for a request that is not for an endpoint.
    verdict: Option<Verdict>,
    /// The scheme of its `Authorization`.
    scheme: Option<Vec<u8>>,
    /// What happens to the header fields if it is forwarded.
    changes: Vec<HeaderChange>,
    /// Whether the certificate is among them.
    has_certificate: bool,
    /// The status with which the filter answers it without a decision: it is for the public keys.
    answered: Option<u16>,
}

impl Decision {
    fn on(config: &Config, request: &Request) -> Self {
        let headers = &request.headers;
        let scheme =
            headers.values("authorization").next().map(|value| basic::scheme(value).to_vec());
        let answer = config.jwk_set_response(&headers.method(), &headers.target());
        if let Some(response) = answer {
            let answered = Some(response.status);
            let changes = Vec::new();
            return Self { verdict: None, scheme, changes, has_certificate: false, answered };
        }
        let mut changes = config.sanitiser.changes(headers);
        if !config.is_endpoint(&headers.method(), &headers.target()) {
            let has_certificate = false;
            return Self { verdict: None, scheme, changes, has_certificate, answered: None };
        }
        let verdict = if request.body.len() > config.max_body_bytes {
            let detail = "the body is longer than limits.max_body_bytes";
            Verdict::refused(
                config,
                Rejection::new(Reason::BodyTooLarge, detail),
                Place::Endpoint { scheme: None },
            )
        } else {
            let random = &mut |buffer: &mut [u8]| getrandom::fill(buffer).is_ok();
            let statements = &mut SignedStatements::default();
            authenticate(config, request, &mut VerdictCache::default(), statements, random)
        };
        match &verdict.outcome {
            Outcome::Allowed(further) | Outcome::Reported(_, further) => {
                changes.extend(further.iter().cloned());
            }
            Outcome::Denied(_) => changes.clear(),
        }
        let name = &config.certificate_header.name;
        let has_certificate =
            changes.iter().any(|change| matches!(change, HeaderChange::Set(set, _) if set == name));
        Self { verdict: Some(verdict), scheme, changes, has_certificate, answered: None }
    }

    fn outcome(&self) -> &'static str {
        match self.verdict.as_ref().map(|verdict| &verdict.outcome) {
            None if self.answered.is_some() => "answered",
            None => "passed",
            Some(Outcome::Allowed(_)) => "allowed",
            Some(Outcome::Denied(_)) => "denied",
            Some(Outcome::Reported(..)) => "reported",
        }
    }

    /// The rejection, and whether it is more than reported.
    fn rejection(&self) -> Option<(bool, &Rejection)> {
        match &self.verdict.as_ref()?.outcome {
            Outcome::Allowed(_) => None,
            Outcome::Denied(rejection) => Some((true, rejection)),
            Outcome::Reported(rejection, _) => Some((false, rejection)),
        }
    }

    /// The fields that are set and those that are removed, by name.
    fn header_changes(&self) -> (Map<String, Value>, Vec<&str>) {
        let mut set = Map::new();
        let mut removed = Vec::new();
        for change in &self.changes {
            match change {
                HeaderChange::Set(name, value) => {
                    removed.retain(|removed| removed != name);
                    set.insert(name.clone(), String::from_utf8_lossy(value).into());
                }
                HeaderChange::SetCredential(name, _) => {
                    removed.retain(|removed| removed != name);
                    set.insert(name.clone(), "(a secret)".into());
                }
                HeaderChange::Remove(name) => removed.push(name.as_str()),
            }
        }
        (set, removed)
    }

    /// What the client gets: status and OAuth error.
    fn answer(&self) -> Option<(u16, String)> {
        let (true, rejection) = self.rejection()? else { return None };
        let response = rejection.response(Place::Endpoint { scheme: self.scheme.as_deref() });
        let body: Value = serde_json::from_str(&response.body).unwrap_or_default();
        let error = body.get("error").and_then(Value::as_str).unwrap_or_default();
        Some((response.status, error.to_owned()))
    }

    fn detail(&self) -> String {
        match (&self.verdict, self.rejection()) {
            (None, _) if self.answered.is_some() => {
                "the request is for signature.jwks_path: the filter answers it itself, with the public keys".into()
            }
            (None, _) => {
                "the request is not for an endpoint: only its header fields are sanitised".into()
            }
            (_, Some((_, rejection))) => rejection.detail.to_string(),
            (Some(_), None) if self.has_certificate => {
                "the request goes to the server with the certificate".into()
            }
            (Some(_), None) => "the request goes to the server without certificate".into(),
        }
    }

    fn to_json(&self, now: u64, notes: &[String]) -> Value {
        let (set, removed) = self.header_changes();
        let answer = self.answer();
        let certificate = self.verdict.as_ref().and_then(|verdict| verdict.certificate.as_ref());
        json!({
            "outcome": self.outcome(),
            "reason": self.rejection().map(|(_, rejection)| rejection.reason.name()),
            "detail": self.detail(),
            "client_id": self.verdict.as_ref().and_then(|verdict| verdict.client_id.as_deref()),
            "thumbprint": certificate.map(|certificate| certificate.thumbprint().to_string()),
            "subject": certificate.map(|certificate| certificate.subject().to_string()),
            "status": answer.as_ref().map(|(status, _)| *status).or(self.answered),
            "error": answer.as_ref().map(|(_, error)| error),
            "headers": set,
            "removed_headers": removed,
            "at": rfc3339::format(now),
            "notes": notes,
        })
    }

    fn to_text(&self, config: &Config, now: u64, notes: &[String]) -> String {
        let (reason, style) = match self.rejection() {
            None => (String::new(), FINE),
            Some((true, rejection)) => (format!(": {}", rejection.reason.name()), BAD),
            Some((false, rejection)) => (format!(": {}", rejection.reason.name()), UNEASY),
        };
        let outcome = styled(style, &format!("{}{reason}", self.outcome()));
        let mut text = format!("{outcome}\n{}\n\n", printable(&self.detail()));
        let mut line = |label: &str, value: &str| text.push_str(&property(label, value));
        if let Some(client_id) =
            self.verdict.as_ref().and_then(|verdict| verdict.client_id.as_ref())
        {
            line("client_id", client_id);
            if let Some(client) = config.clients.get(client_id) {
                line("registered for", &registered_for(&client.method));
            }
        }
        if let Some(certificate) =
            self.verdict.as_ref().and_then(|verdict| verdict.certificate.as_ref())
        {
            line("thumbprint", &certificate.thumbprint().to_string());
            line("subject", &certificate.subject().to_string());
        }
        if let Some(at) = rfc3339::format(now) {
            line("at", &at);
        }
        if let Some((status, error)) = self.answer() {
            line("client sees", &format!("{status} {error}"));
        }
        if let Some(status) = self.answered {
            line("client sees", &status.to_string());
        }
        let (set, removed) = self.header_changes();
        let set = set
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.as_str().unwrap_or_default()));
        let removed = removed.into_iter().map(str::to_owned);
        let lists = [
            ("sets", set.collect::<Vec<_>>()),
            ("removes", removed.collect()),
            ("note", notes.to_vec()),
        ];
        for (label, values) in lists {
            for (index, value) in values.iter().enumerate() {
                line(if index == 0 { label } else { "" }, value);
            }
        }
        text
    }
}

fn registered_for(method: &ClientAuthMethod) -> String {
    match method {
        ClientAuthMethod::Other => "a method without certificates".into(),
        ClientAuthMethod::SelfSignedTlsClientAuth(registered) => {
            let count = registered.thumbprints.len().saturating_add(registered.public_keys.len());
            format!("self_signed_tls_client_auth, with {count} certificates or keys")
        }
        ClientAuthMethod::TlsClientAuth(subject, _) => {
            let (key, value) = match subject {
                SubjectMatch::SanDns(name) => ("san_dns", name.clone()),
                SubjectMatch::SanEmail(address) => ("san_email", address.clone()),
                SubjectMatch::SanIp(address) => ("san_ip", address.to_string()),
                SubjectMatch::SanUri(uri) => ("san_uri", uri.clone()),
                SubjectMatch::SubjectDn(name) => ("subject_dn", name.to_string()),
            };
            format!("tls_client_auth, {key} {value}")
        }
    }
}
