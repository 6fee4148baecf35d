//! `certbound certificate`.

use std::{fmt::Write as _, net::IpAddr, path::PathBuf};

use certbound::{
    certificate::{Certificate, ValidityStatus},
    client::{Client, ClientAuthMethod},
    config::Config,
    distinguished_name::DistinguishedName,
    public_key::PublicKey,
};
use clap::ValueEnum;
use der::Decode as _;
use serde_json::{Map, Value, json};
use x509_cert::{
    Certificate as X509, Version,
    ext::pkix::{BasicConstraints, SubjectAltName, name::GeneralName},
};

use super::{Printout, SECONDS_PER_DAY, UNEASY, hexadecimal, property, styled, yaml};

/// Show a certificate, and how to register its holder
#[derive(clap::Args)]
#[command(after_help = "\
FILE is PEM or DER. Of several certificates in a PEM file, the first is shown: the end-entity's, in a chain.

--json prints {\"x5t#S256\", \"thumbprint_hex\", \"subject\", \"subject_alt_names\": [{\"type\", \"value\"}], \"issuer\",
\"serial_number\", \"not_before\", \"not_after\", \"key\", \"allows_client_authentication\"}, and with --register the entry.

Examples:
  certbound certificate client.pem
      All that certbound and authorization servers go by.
  certbound certificate client.pem --register tls_client_auth --client-id payments >> clients.yaml
      The entry of `clients` for a certificate that a CA issued: certbound will go by its subject or one of its names.
  certbound certificate client.pem --register tls_client_auth --client-id payments --trust-anchors client-ca
      The same, bound to one of several sets of `trust_anchors`.
  certbound certificate client.pem --register self_signed_tls_client_auth --client-id partner-app
      The entry for a self-signed one: certbound will go by its thumbprint.
  certbound certificate --json client.pem | jq -r '.\"x5t#S256\"'

Exit status: 0, or 1 if there is no certificate or nothing in it to register.")]
pub(super) struct Arguments {
    /// The certificate, PEM or DER; `-` for the standard input
    file: PathBuf,
    /// Print the client's entry for the configuration instead, of this authentication method
    #[arg(long, value_name = "METHOD", requires = "client_id")]
    register: Option<Method>,
    /// The client's identifier in that entry
    #[arg(long, value_name = "ID", requires = "register")]
    client_id: Option<String>,
    /// The set of `trust_anchors` to which that entry is bound, where several are configured
    #[arg(long, value_name = "NAME", requires = "register")]
    trust_anchors: Option<String>,
    /// Print JSON: {"x5t#S256", "subject", …}
    #[arg(long)]
    json: bool,
}

/// `token_endpoint_auth_method` of a client that has a certificate (RFC 8705 §2).
#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Method {
    /// The PKI method: a CA vouches for the subject
    TlsClientAuth,
    /// The self-signed certificate method: this very certificate
    SelfSignedTlsClientAuth,
}

pub(super) fn run(arguments: &Arguments) -> Printout {
    match show(arguments) {
        Ok(printout) => printout,
        Err(error) => Printout::failure(1, &error),
    }
}

fn show(arguments: &Arguments) -> Result<Printout, String> {
    let certificates = super::read_certificates(&arguments.file)?;
    let der = certificates.into_iter().next().unwrap_or_default();
    let unreadable = |error| super::unreadable_certificate(&arguments.file, error);
    let certificate = Certificate::from_der(der).map_err(unreadable)?;
    let description = Description::of(&certificate)
        .ok_or_else(|| format!("{} has a malformed issuer", arguments.file.display()))?;
    let now = super::now();
    if let (Some(method), Some(client_id)) = (arguments.register, &arguments.client_id) {
        let mut entry = Entry::new(method, client_id, &certificate, &description)?;
        entry.bind(arguments.trust_anchors.clone())?;
        let mut printout = if arguments.json {
            Printout::json(0, &entry.to_json())
        } else {
            Printout { output: entry.to_yaml(), ..Printout::default() }
        };
        for warning in warnings(method, &certificate, &description, now) {
            warn(&mut printout, &warning);
        }
        return Ok(printout);
    }
    let mut printout = if arguments.json {
        Printout::json(0, &description.to_json(&certificate))
    } else {
        Printout { output: description.to_text(&certificate, now), ..Printout::default() }
    };
    description.version_warning().iter().for_each(|warning| warn(&mut printout, warning));
    Ok(printout)
}

fn warn(printout: &mut Printout, warning: &str) {
    let _ = writeln!(printout.problems, "{} {warning}", styled(UNEASY, "warning:"));
}

/// Why a client with this certificate would be refused although it is registered.
fn warnings(
    method: Method,
    certificate: &Certificate,
    description: &Description,
    now: u64,
) -> Vec<String> {
    let mut warnings = Vec::new();
    match certificate.validity_at(now) {
        ValidityStatus::Valid => {}
        ValidityStatus::Expired => {
            warnings.push(format!("the certificate has expired on {}", description.not_after));
        }
        ValidityStatus::NotYetValid => {
            warnings
                .push(format!("the certificate is not valid before {}", description.not_before));
        }
    }
    if let Method::TlsClientAuth = method {
        warnings.extend(description.version_warning());
        if description.is_authority {
            warnings.push(
                "basicConstraints makes the certificate a CA's, as `openssl req -x509` does by itself: `trust_anchors` refuse it \
                 as a client's, unless it is issued again without"
                    .into(),
            );
        }
        if !certificate.allows_client_authentication() {
            warnings.push(
                "key usage or extended key usage does not allow TLS client authentication".into(),
            );
        }
        if *certificate.subject() == description.issuer {
            warnings.push(
                "the certificate names itself as issuer: no CA vouches for it; \
                 `--register self_signed_tls_client_auth` may be what you need"
                    .into(),
            );
        }
    }
    warnings
}

/// What people and scripts are told of a certificate beyond what the filter needs.
struct Description {
    version: Version,
    /// Whether it is a CA's, by basicConstraints (RFC 5280 §4.2.1.9).
    is_authority: bool,
    issuer: DistinguishedName,
    serial_number: String,
    names: Vec<Name>,
    not_before: String,
    not_after: String,
    key: String,
}

/// A subjectAltName (RFC 5280 §4.2.1.6).
struct Name {
    kind: &'static str,
    value: String,
    /// The client metadata that registers it (RFC 8705 §2.1.2).
    metadata: Option<&'static str>,
}

impl Description {
    fn of(certificate: &Certificate) -> Option<Self> {
        let x509 = X509::from_der(certificate.der()).ok()?;
        let tbs = x509.tbs_certificate();
        let names = tbs.get_extension::<SubjectAltName>().ok()?;
        let spki = tbs.subject_public_key_info();
        let constraints = tbs.get_extension::<BasicConstraints>().ok().flatten();
        Some(Self {
            version: tbs.version(),
            is_authority: constraints.is_some_and(|(_, constraints)| constraints.ca),
            issuer: DistinguishedName::from_name(tbs.issuer()).ok()?,
            serial_number: hexadecimal(tbs.serial_number().as_bytes()),
            names: names.iter().flat_map(|(_, names)| &names.0).map(Name::of).collect(),
            not_before: tbs.validity().not_before.to_date_time().to_string(),
            not_after: tbs.validity().not_after.to_date_time().to_string(),
            key: certificate
                .public_key()
                .map_or_else(|| format!("of type {}", spki.algorithm.oid), describe_key),
        })
    }

    /// Paths are validated of version 3 only, the one with extensions (RFC 5280 §6.1).
    fn version_warning(&self) -> Option<String> {
        let number = match self.version {
            Version::V1 => 1,
            Version::V2 => 2,
            Version::V3 => return None,
        };
        Some(format!(
            "the certificate is X.509 version {number}, as `openssl x509 -req` without -extfile makes it: `trust_anchors` refuse it; \
             have it issued as version 3"
        ))
    }

    fn to_json(&self, certificate: &Certificate) -> Value {
        let name = |name: &Name| json!({ "type": name.kind, "value": name.value });
        json!({
            "x5t#S256": certificate.thumbprint().to_string(),
            "thumbprint_hex": format!("{:x}", certificate.thumbprint()),
            "subject": certificate.subject().to_string(),
            "subject_alt_names": self.names.iter().map(name).collect::<Value>(),
            "issuer": self.issuer.to_string(),
            "serial_number": self.serial_number,
            "not_before": self.not_before,
            "not_after": self.not_after,
            "key": self.key,
            "allows_client_authentication": certificate.allows_client_authentication(),
        })
    }

    fn to_text(&self, certificate: &Certificate, now: u64) -> String {
        let subject = certificate.subject().to_string();
        let mut lines = vec![
            ("x5t#S256", certificate.thumbprint().to_string()),
            ("hexadecimal", format!("{:x}", certificate.thumbprint())),
            ("subject", if subject.is_empty() { "(empty)".into() } else { subject }),
        ];
        for (index, name) in self.names.iter().enumerate() {
            let label = if index == 0 { "names" } else { "" };
            lines.push((label, format!("{}: {}", name.kind, name.value)));
        }
        let validity = match certificate.validity_at(now) {
            ValidityStatus::Expired => "expired".to_owned(),
            ValidityStatus::NotYetValid => "not valid yet".to_owned(),
            ValidityStatus::Valid => {
                let days = certificate.not_after().saturating_sub(now) / SECONDS_PER_DAY;
                super::counted(usize::try_from(days).unwrap_or(usize::MAX), "day") + " left"
            }
        };
        let purpose = if certificate.allows_client_authentication() {
            "client authentication allowed"
        } else {
            "client authentication not allowed by key usage or extended key usage"
        };
        lines.extend([
            ("issuer", self.issuer.to_string()),
            ("serial number", self.serial_number.clone()),
            ("valid", format!("{} to {} ({validity})", self.not_before, self.not_after)),
            ("key", self.key.clone()),
            ("purpose", purpose.to_owned()),
        ]);
        lines.iter().map(|(label, value)| property(label, value)).collect()
    }
}

impl Name {
    fn of(name: &GeneralName) -> Self {
        let (kind, value, metadata) = match name {
            GeneralName::DnsName(name) => {
                ("dns", name.as_str().to_owned(), Some("tls_client_auth_san_dns"))
            }
            GeneralName::UniformResourceIdentifier(uri) => {
                ("uri", uri.as_str().to_owned(), Some("tls_client_auth_san_uri"))
            }
            GeneralName::IpAddress(address) => {
                let bytes = address.as_bytes();
                let address = <[u8; 4]>::try_from(bytes)
                    .map(IpAddr::from)
                    .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
                let text =
                    address.map_or_else(|_| hexadecimal(bytes), |address| address.to_string());
                ("ip", text, Some("tls_client_auth_san_ip"))
            }
            GeneralName::Rfc822Name(address) => {
                ("email", address.as_str().to_owned(), Some("tls_client_auth_san_email"))
            }
            GeneralName::DirectoryName(name) => {
                let name = DistinguishedName::from_name(name);
                (
                    "directory_name",
                    name.map_or_else(|_| "malformed".into(), |name| name.to_string()),
                    None,
                )
            }
            GeneralName::RegisteredId(oid) => ("registered_id", oid.to_string(), None),
            GeneralName::OtherName(other) => {
                ("other_name", format!("of type {}", other.type_id), None)
            }
            GeneralName::EdiPartyName(_) => ("edi_party_name", "not shown".to_owned(), None),
        };
        Self { kind, value, metadata }
    }
}

fn describe_key(key: &PublicKey) -> String {
    match key {
        PublicKey::Ec { curve, .. } => format!("EC {curve}"),
        PublicKey::Okp { curve, .. } => (*curve).to_owned(),
        PublicKey::Rsa { n, .. } => {
            let leading_zeros = n.first().map_or(0, |byte| byte.leading_zeros());
            let bits = n.len().saturating_mul(8).saturating_sub(leading_zeros as usize);
            format!("RSA {bits} bits")
        }
    }
}

const TLS_CLIENT_AUTH: &str = "tls_client_auth";

/// An entry of `clients`.
struct Entry {
    client_id: String,
    method: &'static str,
    /// What identifies the certificate: a key of the entry and its value.
    chosen: (&'static str, Value),
    /// What would do as well.
    others: Vec<(&'static str, Value)>,
    /// The set that it is bound to.
    trust_anchors: Option<String>,
}

impl Entry {
    fn new(
        method: Method,
        client_id: &str,
        certificate: &Certificate,
        description: &Description,
    ) -> Result<Self, String> {
        let anybody = json!({ "client_id": client_id, "token_endpoint_auth_method": "none" });
        if let Err(message) = register(anybody) {
            return Err(format!("the client identifier cannot be registered: {message}"));
        }
        let (method, choices) = match method {
            Method::SelfSignedTlsClientAuth => {
                let thumbprints = json!([certificate.thumbprint().to_string()]);
                ("self_signed_tls_client_auth", vec![("certificate_thumbprints", thumbprints)])
            }
            Method::TlsClientAuth => {
                let subject =
                    ("tls_client_auth_subject_dn", certificate.subject().to_string().into());
                let names = description.names.iter();
                let names =
                    names.filter_map(|name| Some((name.metadata?, name.value.clone().into())));
                (TLS_CLIENT_AUTH, [subject].into_iter().chain(names).collect())
            }
        };
        let entry = |chosen: &(&'static str, Value)| Self {
            client_id: client_id.to_owned(),
            method,
            chosen: chosen.clone(),
            others: Vec::new(),
            trust_anchors: None,
        };
        // Only what the filter, given this entry, finds in this certificate: not an empty subject, no wildcard.
        let mut usable = choices.into_iter().filter(|choice| {
            register(entry(choice).to_json()).is_ok_and(|client| recognises(&client, certificate))
        });
        let chosen = usable.next().ok_or(
            "the certificate has no subject and no alternative name that can be registered: \
             use `--register self_signed_tls_client_auth`",
        )?;
        Ok(Self { others: usable.collect(), ..entry(&chosen) })
    }

    /// Binds it to a set of trust anchors, which only the PKI method has.
    fn bind(&mut self, trust_anchors: Option<String>) -> Result<(), String> {
        if trust_anchors.is_some() && self.method != TLS_CLIENT_AUTH {
            return Err(format!("--trust-anchors is for --register {TLS_CLIENT_AUTH} only"));
        }
        self.trust_anchors = trust_anchors;
        Ok(())
    }

    fn to_json(&self) -> Value {
        let (key, value) = &self.chosen;
        let mut entry = Map::new();
        entry.insert("client_id".into(), self.client_id.clone().into());
        entry.insert("token_endpoint_auth_method".into(), self.method.into());
        entry.insert((*key).into(), value.clone());
        entry.extend(self.trust_anchors.iter().map(|name| ("trust_anchors".into(), json!([name]))));
        Value::Object(entry)
    }

    fn to_yaml(&self) -> String {
        let (key, value) = &self.chosen;
        let mut text = format!(
            "- client_id: {}\n  token_endpoint_auth_method: {}\n  {key}: {}\n",
            to_yaml(&self.client_id.clone().into()),
            self.method,
            to_yaml(value)
        );
        if !self.others.is_empty() {
            text.push_str("  # or, instead of it, one of\n");
        }
        for (key, value) in &self.others {
            let _ = writeln!(text, "  # {key}: {}", to_yaml(value));
        }
        if let Some(name) = &self.trust_anchors {
            let _ = writeln!(text, "  trust_anchors: {}", to_yaml(&json!([name])));
        } else if self.method == TLS_CLIENT_AUTH {
            text.push_str("  # trust_anchors: [NAME] # where several sets are configured\n");
        }
        text
    }
}

/// The client that an entry of `clients` makes.
fn register(entry: Value) -> Result<Client, String> {
    let configuration = json!({ "endpoints": [{ "path": "/token" }], "clients": [entry] });
    let config = Config::parse(configuration.to_string().as_bytes(), &|_| None);
    let messages = |error: &certbound::config::ConfigError| error.message.clone();
    config
        .map_err(|errors| errors.0.iter().map(messages).collect::<Vec<_>>().join("; "))?
        .clients
        .into_values()
        .next()
        .ok_or_else(String::new)
}

fn recognises(client: &Client, certificate: &Certificate) -> bool {
    match &client.method {
        ClientAuthMethod::Other => false,
        ClientAuthMethod::SelfSignedTlsClientAuth(registered) => registered.contains(certificate),
        ClientAuthMethod::TlsClientAuth(subject, _) => subject.matches(certificate),
    }
}

/// On one line, so that nothing in a certificate can end a comment.
fn to_yaml(value: &Value) -> String {
    match value {
        Value::Array(values) => {
            format!("[{}]", values.iter().map(to_yaml).collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => {
            let is_word = text.starts_with(|first: char| first.is_ascii_alphabetic())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
                && yaml::plain(text) == *text;
            if is_word { text.clone() } else { quoted(text) }
        }
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    let escaped = |character: char| match character {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        ' '..='~' => character.into(),
        _ if character.is_alphanumeric() => character.into(),
        _ => format!("\\U{:08X}", u32::from(character)),
    };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_from_the_yaml_that_is_printed() {
        for text in [
            "payments",
            "on",
            "1e5",
            "5",
            "a b",
            "- x",
            "CN=a\\,b,O=\"Åkerlund\"",
            "a\nb: c # d\u{7f}\u{2028}\u{85}😀",
            "~",
        ] {
            let value = Value::from(text);
            let line = format!("key: {}", to_yaml(&value));
            assert_eq!(yaml::documents(&line).unwrap(), [json!({ "key": value })], "{line}");
            assert_eq!(line.lines().count(), 1);
        }
    }
}
