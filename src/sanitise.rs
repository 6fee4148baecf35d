//! Which header fields of a request must not reach the server as the client wrote them (design: every request, every path).

use std::collections::HashSet;

use sfv::{DictSerializer, Dictionary, Parser};

use crate::request::Headers;

/// Fields in which some authorization server, framework or proxy expects a client certificate or what was found about
/// it. Each also stands for every name that continues it after a hyphen, as `ssl-client-s-dn` does `ssl-client`.
const CERTIFICATE_FIELDS: [&str; 24] = [
    "cert-chain",
    "client-cert",
    "client-certificate",
    "ssl-cert-chain",
    "ssl-client",
    "tls-client-cert",
    "x-amzn-mtls",
    "x-arr-clientcert",
    "x-certificate",
    "x-client-cert",
    "x-client-certificate",
    "x-client-ssl",
    "x-clientcert",
    "x-forwarded-client-cert",
    "x-forwarded-ssl-client",
    "x-forwarded-tls-client-cert",
    "x-mtls",
    "x-ssl-cert",
    "x-ssl-client",
    "x-tls-client",
    "x-wso2-client-certificate",
    "x-wso2-mtls-cert",
    "x-tls-cert",
    "x-goog-client-cert",
];

/// A change to the header fields of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HeaderChange {
    /// Every field of this name goes.
    Remove(String),
    /// One field of this name and value replaces every other.
    Set(String, Vec<u8>),
}

/// Knows which fields are certbound's to write.
#[derive(Clone, Debug)]
pub struct Sanitiser {
    /// Configured names, folded.
    fields: HashSet<String>,
    /// The label in `Signature` and `Signature-Input` that is certbound's.
    label: String,
}

impl Sanitiser {
    /// `fields` are the names of the headers that certbound sets, `label` that of its signature.
    pub fn new<'a>(fields: impl IntoIterator<Item = &'a str>, label: &str) -> Self {
        Self { fields: fields.into_iter().map(folded).collect(), label: label.to_owned() }
    }

    /// What to change in the header or trailer fields of any request before anything else happens to it.
    pub fn changes(&self, headers: &Headers) -> Vec<HeaderChange> {
        let mut changes = Vec::new();
        let mut seen = HashSet::new();
        for (name, _) in &headers.0 {
            if !seen.insert(name.as_str()) {
                continue;
            }
            match name.as_str() {
                "signature" | "signature-input" => {
                    changes.extend(self.signature_change(name, headers));
                }
                "connection" => changes.extend(self.connection_change(headers)),
                _ if self.is_ours(name) => changes.push(HeaderChange::Remove(name.clone())),
                _ => {}
            }
        }
        changes
    }

    /// The members of `Signature` or `Signature-Input` that belong to others, or `None` when there are none.
    pub fn signatures_of_others(&self, field: &str, headers: &Headers) -> Option<String> {
        let value = headers.values(field).collect::<Vec<_>>().join(&b", "[..]);
        // A field that does not parse may hold our label in a way that another parser accepts: it goes whole.
        let mut members: Dictionary = Parser::new(&value).parse().ok()?;
        if members.shift_remove(self.label.as_str()).is_none() && !members.is_empty() {
            return String::from_utf8(value).ok();
        }
        let mut serializer = DictSerializer::new();
        serializer.members(&members);
        serializer.finish()
    }

    fn signature_change(&self, field: &str, headers: &Headers) -> Option<HeaderChange> {
        let Some(others) = self.signatures_of_others(field, headers) else {
            return Some(HeaderChange::Remove(field.to_owned()));
        };
        let mut values = headers.values(field);
        let unchanged = values.next() == Some(others.as_bytes()) && values.next().is_none();
        (!unchanged).then(|| HeaderChange::Set(field.to_owned(), others.into_bytes()))
    }

    /// A field that is nominated in `Connection` is dropped by the next hop (RFC 9110 §7.6.1): the client must not
    /// nominate ours.
    fn connection_change(&self, headers: &Headers) -> Option<HeaderChange> {
        let value = headers.values("connection").collect::<Vec<_>>().join(&b", "[..]);
        let nominates_ours = |option: &&[u8]| {
            let name = String::from_utf8_lossy(option.trim_ascii()).to_ascii_lowercase();
            self.is_ours(&name)
                || matches!(
                    folded(&name).as_str(),
                    "signature" | "signature-input" | "content-digest"
                )
        };
        let options = value.split(|byte| *byte == b',');
        if !options.clone().any(|option| nominates_ours(&option)) {
            return None;
        }
        let kept =
            options.filter(|option| !nominates_ours(option)).collect::<Vec<_>>().join(&b","[..]);
        Some(if kept.is_empty() {
            HeaderChange::Remove("connection".into())
        } else {
            HeaderChange::Set("connection".into(), kept)
        })
    }

    /// Whether a field is one that only certbound may write. `_` counts as `-`, since CGI-style servers cannot tell
    /// them apart.
    fn is_ours(&self, name: &str) -> bool {
        let folded_name = folded(name);
        self.fields.contains(&folded_name)
            // Our own spelling has been dealt with; an alias of it is nobody's.
            || (folded_name != name && matches!(folded_name.as_str(), "signature" | "signature-input"))
            || CERTIFICATE_FIELDS.iter().any(|field| {
                folded_name.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            })
    }
}

fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> Headers {
        Headers(
            fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
                .collect(),
        )
    }

    fn changes(fields: &[(&str, &str)]) -> Vec<HeaderChange> {
        Sanitiser::new(["X-Client-Id", "my-cert"], "certbound").changes(&headers(fields))
    }

    fn remove(name: &str) -> HeaderChange {
        HeaderChange::Remove(name.into())
    }

    fn set(name: &str, value: &str) -> HeaderChange {
        HeaderChange::Set(name.into(), value.into())
    }

    #[test]
    fn configured_and_well_known_fields_go_under_every_alias() {
        for name in [
            "x-client-id",
            "x_client_id",
            "my-cert",
            "client-cert",
            "client_cert",
            "client-cert-chain",
            "x-forwarded-client-cert",
            "ssl-client-verify",
            "ssl_client_s_dn",
            "ssl_client_cert_chain_0",
            "x-ssl-cert-chain-1",
            "x-forwarded-tls-client-cert-info",
            "signature_input",
        ] {
            assert_eq!(changes(&[(name, "x"), (name, "y")]), [remove(name)], "{name}");
        }
    }

    #[test]
    fn other_fields_stay() {
        assert_eq!(
            changes(&[
                ("x-client-identity", "x"),
                ("client-certainly", "x"),
                ("content-type", "x"),
                ("cookie", "client-cert")
            ]),
            []
        );
    }

    #[test]
    fn only_our_signature_label_goes() {
        assert_eq!(changes(&[("signature", "certbound=:AA==:")]), [remove("signature")]);
        assert_eq!(
            changes(&[("signature-input", "sig1=(\"a\");tag=\"certbound=\", certbound=()")]),
            [set("signature-input", "sig1=(\"a\");tag=\"certbound=\"")]
        );
        assert_eq!(
            changes(&[("signature", "a=:AA==:"), ("signature", "certbound=:AA==:")]),
            [set("signature", "a=:AA==:")]
        );
        assert_eq!(changes(&[("signature", "sig1=:AA==:")]), []);
        assert_eq!(
            changes(&[("signature", "sig1=:AA==:,CertBound=:AA==:")]),
            [remove("signature")]
        );
        assert_eq!(changes(&[("signature", "certbound=:AA==:, =")]), [remove("signature")]);
    }

    #[test]
    fn connection_does_not_nominate_our_fields() {
        assert_eq!(
            changes(&[("connection", "Upgrade, Client-Cert")]),
            [set("connection", "Upgrade")]
        );
        assert_eq!(changes(&[("connection", "signature")]), [remove("connection")]);
        assert_eq!(changes(&[("connection", "keep-alive, Upgrade")]), []);
    }
}
