//! `certbound verify`.

use std::path::{Path, PathBuf};

use certbound::{
    certificate::Certificate,
    headers::Headers,
    verification::{self, HttpMessageSignature, Jws, Policy, Verified},
    verification_key::VerificationKey,
};
use serde_json::{Value, json};

use super::{
    BAD, FINE, Printout, STANDARD_INPUT,
    http_request::{self, RawRequest},
    printable, property, rfc3339, styled,
};

/// Verify the signatures of a request as an authorization server would, and say why not
#[derive(clap::Args)]
#[command(after_help = "\
REQUEST is a raw HTTP/1.1 request as the server received it: request line, header fields, an empty line, the body. Every
signature of certbound that it has must be right: the one of RFC 9421, the JWS, or both; one must be there.

The key decides on the algorithm, whatever the request says. Of a JWK set, `keyid` and `kid` choose the key.

A request that is sent again cannot be told from the first one here. Servers remember each `nonce`, and
each `jti` where certbound is not told to send a JWS again (`reuse_seconds`).

Examples:
  certbound verify --key signing.jwk request.http
      Does this request come from the filter, unchanged?
  certbound verify --key keys.jwks --at 2026-11-22T12:00:00Z request.http
      And was it valid then, when it came?
  certbound verify --key signing.jwk --require @method --require @path request.http
      Were these covered at least? (content-digest and @authority are not insisted on then)
  certbound verify --key keys.jwks --issuer https://proxy.example.com --audience https://as.example.com request.http
      The JWS must be of this issuer, for this server.
  certbound verify --key signing.jwk --json - < request.http | jq -r .reason

Exit status: 0 if the request is verified, 1 if it is not, or if something given here cannot be used.")]
pub(super) struct Arguments {
    /// The request; `-` for the standard input
    request: PathBuf,
    /// The public key, PEM, JWK or JWK set; for hmac-sha256 the secret, base64 or JWK
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The label of the signature in Signature-Input
    #[arg(long, value_name = "LABEL", default_value = "certbound")]
    label: String,
    /// A component that must be covered, besides the certificate header; may be repeated
    #[arg(long, value_name = "COMPONENT", default_values_t = Policy::REQUIRED.map(str::to_owned))]
    require: Vec<String>,
    /// The header with the certificate
    #[arg(long, value_name = "NAME", default_value = "Client-Cert")]
    certificate_header: String,
    /// The header with the JWS
    #[arg(long, value_name = "NAME", default_value = "Client-Cert-JWT")]
    jws_header: String,
    /// What `iss` of the JWS must be [default: not checked]
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// What `aud` of the JWS must be or contain [default: not checked]
    #[arg(long, value_name = "URL")]
    audience: Option<String>,
    /// The time at which the request was received, as in RFC 3339 [default: now]
    #[arg(long, value_name = "RFC3339", value_parser = rfc3339::parse)]
    at: Option<u64>,
    /// Seconds by which the clocks may differ
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    leeway: u64,
    /// Print {"verified", "reason", "detail", "certificate", "http_message_signature", "jws", "at", "notes"}
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Printout {
    match judge(arguments) {
        Ok(printout) => printout,
        Err(problem) => Printout::failure(1, &problem),
    }
}

fn judge(arguments: &Arguments) -> Result<Printout, String> {
    let standard_input = Path::new(STANDARD_INPUT);
    if arguments.key == standard_input && arguments.request == standard_input {
        return Err(
            "the standard input cannot be key and request at once: give one as a file".into()
        );
    }
    let keys = VerificationKey::read(&super::read(&arguments.key)?)
        .map_err(|error| format!("{}: {error}", arguments.key.display()))?;
    let RawRequest { headers, body } = http_request::parse(&super::read(&arguments.request)?)
        .map_err(|error| format!("{} is no HTTP request: {error}", arguments.request.display()))?;
    let now = arguments.at.unwrap_or_else(super::now);
    let required: Vec<String> = arguments.require.iter().map(|name| name.to_lowercase()).collect();
    let policy = Policy {
        label: &arguments.label,
        required: &required,
        certificate_header: &arguments.certificate_header.to_ascii_lowercase(),
        jws_header: &arguments.jws_header.to_ascii_lowercase(),
        issuer: arguments.issuer.as_deref(),
        audience: arguments.audience.as_deref(),
        now,
        leeway: arguments.leeway,
    };
    let at = rfc3339::format(now);
    Ok(match verification::verify(&policy, &keys, &headers, &body) {
        Ok(verified) => {
            let notes = notes(&verified, &policy, &headers, &body);
            if arguments.json {
                Printout::json(0, &to_json(&verified, at.as_deref(), &notes))
            } else {
                let output = to_text(&verified, at.as_deref(), &notes);
                Printout { output, ..Printout::default() }
            }
        }
        Err(refusal) if arguments.json => Printout::json(
            1,
            &json!({
                "verified": false,
                "reason": refusal.name(),
                "detail": refusal.to_string(),
                "certificate": null,
                "http_message_signature": null,
                "jws": null,
                "at": at,
                "notes": [],
            }),
        ),
        Err(refusal) => {
            let (name, detail) = (refusal.name(), printable(&refusal.to_string()));
            let at = at.unwrap_or_default();
            Printout {
                output: format!(
                    "{}\n{detail}\n\n{}",
                    styled(BAD, &format!("not verified: {name}")),
                    property("at", &at)
                ),
                problems: String::new(),
                status: 1,
            }
        }
    })
}

/// What the signatures leave open.
fn notes(verified: &Verified, policy: &Policy<'_>, headers: &Headers, body: &[u8]) -> Vec<String> {
    let mut notes = vec![
        "whether this nonce was used before cannot be seen here: the server must accept it once only".to_owned(),
    ];
    let covers = |component: &str| {
        verified
            .http_message_signature
            .as_ref()
            .is_some_and(|signature| signature.covers(component))
    };
    let binds =
        |claim: &str| verified.jws.as_ref().is_some_and(|jws| jws.bound_by.contains(&claim));
    if headers.target().contains('?') && !covers("@query") {
        notes.push("the query is not covered".into());
    }
    if !body.is_empty() && !covers("content-digest") && !binds("content_digest") {
        notes.push("the body is not covered".into());
    }
    if verified.http_message_signature.is_some() && !covers("@authority") {
        notes.push(
            "@authority is not covered: the signature fits the same path of another server".into(),
        );
    }
    let has_certificate_header = headers.values(policy.certificate_header).next().is_some();
    if verified.jws.is_some() && has_certificate_header && !binds("cnf") {
        notes.push(format!(
            "the certificate in {} cannot be read here, and was not compared with `cnf` of the JWS",
            policy.certificate_header
        ));
    }
    if let Some(jws) = &verified.jws {
        for (claim, is_checked) in
            [("iss", policy.issuer.is_some()), ("aud", policy.audience.is_some())]
        {
            let is_there =
                if claim == "iss" { jws.issuer.is_some() } else { !jws.audiences.is_empty() };
            if is_there && !is_checked {
                notes.push(format!("`{claim}` of the JWS was not checked: a server must"));
            }
        }
    }
    notes
}

fn subject(verified: &Verified) -> Option<String> {
    let der = verified.certificate.clone()?;
    Certificate::from_der(der).ok().map(|certificate| certificate.subject().to_string())
}

fn to_json(verified: &Verified, at: Option<&str>, notes: &[String]) -> Value {
    let moment = |seconds| rfc3339::format(seconds);
    let signature = |signature: &HttpMessageSignature| {
        json!({
            "components": signature.components,
            "created": moment(signature.created),
            "expires": moment(signature.expires),
            "nonce": signature.nonce,
            "keyid": signature.keyid,
            "alg": signature.algorithm,
        })
    };
    let jws = |jws: &Jws| {
        json!({
            "iss": jws.issuer,
            "aud": jws.audiences,
            "iat": moment(jws.issued_at),
            "exp": moment(jws.expires),
            "jti": jws.id,
            "client_id": jws.client_id,
            "cnf": { "x5t#S256": jws.thumbprint.to_string() },
            "kid": jws.kid,
            "alg": jws.algorithm,
            "bound_by": jws.bound_by,
        })
    };
    let certificate = verified.thumbprint.map(
        |thumbprint| json!({ "x5t#S256": thumbprint.to_string(), "subject": subject(verified) }),
    );
    json!({
        "verified": true,
        "reason": null,
        "detail": null,
        "certificate": certificate,
        "http_message_signature": verified.http_message_signature.as_ref().map(signature),
        "jws": verified.jws.as_ref().map(jws),
        "at": at,
        "notes": notes,
    })
}

fn to_text(verified: &Verified, at: Option<&str>, notes: &[String]) -> String {
    let outcome = styled(FINE, "verified");
    let mut text = format!("{outcome}\ncertbound signed this request, and it is unchanged\n\n");
    let mut line = |label: &str, value: &str| text.push_str(&property(label, value));
    let lifetime = |from, to| {
        let moment = |seconds| rfc3339::format(seconds).unwrap_or_default();
        format!("{} to {}", moment(from), moment(to))
    };
    let by = |algorithm: &str, key: &Option<String>| match key {
        None => algorithm.to_owned(),
        Some(key) => format!("{algorithm}, key {key}"),
    };
    if let Some(thumbprint) = verified.thumbprint {
        line("x5t#S256", &thumbprint.to_string());
    }
    if let Some(subject) = subject(verified) {
        line("subject", &subject);
    }
    if let Some(signature) = &verified.http_message_signature {
        line("RFC 9421", &by(signature.algorithm, &signature.keyid));
        line("covers", &signature.components.join(" "));
        line("valid", &lifetime(signature.created, signature.expires));
        line("nonce", &signature.nonce);
    }
    if let Some(jws) = &verified.jws {
        line("JWS", &by(jws.algorithm, &jws.kid));
        line("bound by", &jws.bound_by.join(" "));
        line("valid", &lifetime(jws.issued_at, jws.expires));
        line("jti", &jws.id);
        let claims = [("iss", jws.issuer.clone()), ("client_id", jws.client_id.clone())];
        for (name, value) in claims {
            if let Some(value) = value {
                line(name, &value);
            }
        }
        for audience in &jws.audiences {
            line("aud", audience);
        }
    }
    if let Some(at) = at {
        line("at", at);
    }
    for (index, note) in notes.iter().enumerate() {
        line(if index == 0 { "note" } else { "" }, note);
    }
    text
}
