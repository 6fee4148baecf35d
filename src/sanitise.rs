//! Which header fields of a request must not reach the server as the client wrote them (design: every request, every path).

use std::{borrow::Cow, collections::HashSet};

use sfv::{DictSerializer, Dictionary, ListEntry, Parser, StringRef};

use crate::{
    headers::Headers,
    http_signature::{Field, TAG},
    upstream_authentication::Credential,
};

/// Fields in which some authorization server, framework or proxy expects a client certificate or what was found about
/// it, by their first character: every name of every request is looked up here. Each also stands for every name that
/// continues it after a hyphen, as `ssl-client-s-dn` does `ssl-client`.
fn certificate_fields(first: u8) -> &'static [&'static str] {
    match first {
        b'-' => &["-wscc"],
        b'c' => &["cert-chain", "cf-cert", "cloudfront-viewer-cert"],
        b's' => &["ssl-cert", "ssl-client", "ssl-verify"],
        b'x' => &[
            "x-amzn-mtls",
            "x-cert",
            "x-client-dn",
            "x-client-ssl",
            "x-client-verify",
            "x-forwarded-ssl-client",
            "x-mtls",
            "x-ssl-cert",
            "x-ssl-client",
            "x-ssl-issuer",
            "x-ssl-subject",
            "x-ssl-verify",
            "x-tls-cert",
            "x-tls-client",
            "x-wso2-mtls-cert",
        ],
        _ => &[],
    }
}

/// Parts of a name that leave no doubt what the field is for: `client-cert`, `x-forwarded-client-cert`,
/// `client-certificate-ca-verified`, `wl-proxy-client-cert`, `x-arr-clientcert`.
const CERTIFICATE_WORDS: [&str; 2] = ["client-cert", "clientcert"];

/// A field that Symfony and bshaffer/oauth2-server-php take for what PHP itself read from `Authorization`: the client would be
/// another to them than the one that was judged. Stands for its continuations as well.
const PHP_CREDENTIALS: &str = "php-auth";

/// A change to the header fields of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HeaderChange {
    /// Every field of this name goes.
    Remove(String),
    /// One field of this name and value replaces every other.
    Set(String, Vec<u8>),
    /// The same with a value that is not to be shown.
    SetCredential(String, Credential),
}

impl HeaderChange {
    /// The field that changes.
    pub fn name(&self) -> &str {
        let (Self::Remove(name) | Self::Set(name, _) | Self::SetCredential(name, _)) = self;
        name
    }
}

/// The fields of a request after these changes, of which the last to a field counts.
pub fn changed<'a>(
    fields: impl IntoIterator<Item = Field<'a>>,
    changes: &'a [HeaderChange],
) -> Vec<Field<'a>> {
    let is_kept = |(name, _): &Field<'_>| changes.iter().all(|change| change.name() != *name);
    let mut fields: Vec<_> = fields.into_iter().filter(is_kept).collect();
    let mut later = changes;
    while let Some((change, rest)) = later.split_first() {
        later = rest;
        let value = match change {
            HeaderChange::Remove(_) => None,
            HeaderChange::Set(_, value) => Some(value.as_slice()),
            HeaderChange::SetCredential(_, value) => Some(value.value().as_bytes()),
        };
        let is_last = rest.iter().all(|later| later.name() != change.name());
        fields.extend(value.filter(|_| is_last).map(|value| (change.name(), value)));
    }
    fields
}

/// Knows which fields are certbound's to write.
#[derive(Clone, Debug)]
pub struct Sanitiser {
    /// Configured names, folded.
    fields: Vec<String>,
    /// The beginning of configured names that end in a number, folded.
    numbered_prefix: Option<String>,
    /// The label in `Signature` and `Signature-Input` that is certbound's.
    label: String,
}

impl Sanitiser {
    /// `fields` are the names of the headers that certbound sets, and `numbered_prefix` what those begin with of which
    /// there is one for each number; `label` is that of its signature.
    pub fn new<'a>(
        fields: impl IntoIterator<Item = &'a str>,
        numbered_prefix: Option<&str>,
        label: &str,
    ) -> Self {
        Self {
            fields: fields.into_iter().map(|name| folded(name).into_owned()).collect(),
            numbered_prefix: numbered_prefix.map(|prefix| folded(prefix).into_owned()),
            label: label.to_owned(),
        }
    }

    /// What to change in the header or trailer fields of any request before anything else happens to it.
    pub fn changes(&self, headers: &Headers) -> Vec<HeaderChange> {
        let mut changes = Vec::new();
        let (mut is_signed, mut nominates) = (false, false);
        for (name, _) in &headers.0 {
            match name.as_str() {
                "connection" => nominates = true,
                name if SIGNATURE_FIELDS.contains(&name) => is_signed = true,
                name if self.is_ours(name) => {
                    let removal = HeaderChange::Remove(name.to_owned());
                    // Ours are few, and none at all in most requests: quicker than to know all names that were seen.
                    if !changes.contains(&removal) {
                        changes.push(removal);
                    }
                }
                _ => {}
            }
        }
        if nominates {
            changes.extend(self.connection_change(headers));
        }
        if is_signed {
            let others = self.signatures_of_others(headers);
            let others = SIGNATURE_FIELDS.into_iter().zip(others);
            changes.extend(
                others.filter_map(|(field, others)| signature_change(field, others, headers)),
            );
        }
        changes
    }

    /// What to change in trailer fields. Besides what goes from headers, these are the fields that decide who a request is from
    /// and how it is read: RFC 9110 §6.5.1 forbids them in trailers, and some servers merge what they get there.
    pub fn trailer_changes(&self, trailers: &Headers) -> Vec<HeaderChange> {
        let forbidden =
            FIELDS_NOT_IN_TRAILERS.iter().filter(|name| trailers.values(name).next().is_some());
        let mut changes = self.changes(trailers);
        changes.extend(forbidden.map(|name| HeaderChange::Remove((*name).to_owned())));
        changes
    }

    /// The members of `Signature-Input` and `Signature` that belong to others, each `None` when there are none. Ours are
    /// those with our label, and those with our tag, by which a verifier may choose (RFC 9421 §3.2).
    pub fn signatures_of_others(&self, headers: &Headers) -> [Option<String>; 2] {
        if SIGNATURE_FIELDS.iter().all(|field| headers.values(field).next().is_none()) {
            return [None, None];
        }
        let fields = SIGNATURE_FIELDS.map(|field| joined(field, headers));
        // A field that does not parse may hold our label in a way that another parser accepts: it goes whole.
        let [input, signature] =
            fields.each_ref().map(|value| Parser::new(value).parse::<Dictionary>().ok());
        let with_our_tag = input.iter().flatten().filter(|(_, member)| tag(member) == Some(TAG));
        let mut labels: HashSet<String> =
            with_our_tag.map(|(label, _)| label.as_str().to_owned()).collect();
        labels.insert(self.label.clone());
        let [input_value, signature_value] = fields;
        [(input_value, input), (signature_value, signature)].map(|(value, members)| {
            let mut members = members?;
            let count = members.len();
            members.retain(|label, _| !labels.contains(label.as_str()));
            if members.len() == count && count > 0 {
                return String::from_utf8(value).ok();
            }
            let mut serializer = DictSerializer::new();
            serializer.members(&members);
            serializer.finish()
        })
    }

    /// A field that is nominated in `Connection` is dropped by the next hop (RFC 9110 §7.6.1): the client must not
    /// nominate ours.
    fn connection_change(&self, headers: &Headers) -> Option<HeaderChange> {
        let value = joined("connection", headers);
        let nominates_ours = |option: &&[u8]| {
            let name = String::from_utf8_lossy(option.trim_ascii()).to_ascii_lowercase();
            self.is_ours(&name) || FIELDS_WITHOUT_ALIAS.contains(&folded(&name).as_ref())
        };
        let options =
            value.split(|byte| *byte == b',').filter(|option| !option.trim_ascii().is_empty());
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

    /// Whether a field is one that only certbound may write. Names are compared folded, since CGI-style servers cannot
    /// tell `client-cert`, `client_cert` and `client.cert` apart.
    pub fn is_ours(&self, name: &str) -> bool {
        if PSEUDO_HEADERS.contains(&name) {
            return false;
        }
        let folded_name = folded(name);
        let is_alias = matches!(folded_name, Cow::Owned(_));
        let folded_name = folded_name.as_ref();
        let first = folded_name.bytes().next().unwrap_or_default();
        let has_prefix = |field: &&str| continues(folded_name.as_bytes(), field.as_bytes());
        let is_numbered = |prefix: &String| {
            folded_name.strip_prefix(prefix.as_str()).is_some_and(|number| {
                !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
            })
        };
        self.fields.iter().any(|field| field == folded_name)
            || self.numbered_prefix.as_ref().is_some_and(is_numbered)
            || (is_alias && FIELDS_WITHOUT_ALIAS.contains(&folded_name))
            || certificate_fields(first).iter().any(has_prefix)
            || has_prefix(&PHP_CREDENTIALS)
            // The search for words is prepared anew for each name, which costs more than this.
            || (folded_name.as_bytes().windows(4).any(|part| part == b"cert")
                && CERTIFICATE_WORDS.iter().any(|word| folded_name.contains(word)))
    }
}

/// The pseudo-header fields of requests (RFC 9113 §8.3.1), in which no server looks for anything else.
const PSEUDO_HEADERS: [&str; 4] = [":authority", ":method", ":path", ":scheme"];

/// Whether a name is that of a field, or continues it after a hyphen. What tells most of them apart comes first.
#[inline]
fn continues(name: &[u8], field: &[u8]) -> bool {
    name.split_at_checked(field.len()).is_some_and(|(start, rest)| {
        matches!(rest, [] | [b'-', ..]) && start.last() == field.last() && start == field
    })
}

/// Fields that others may write too, but not under another spelling: those of the signature, and those that decide how the
/// body is read and who it is from. Puma and WSGI servers read `Content_Type` as `Content-Type`.
const FIELDS_WITHOUT_ALIAS: [&str; 9] = [
    "content-digest",
    "content-encoding",
    "content-length",
    "content-type",
    "oauth-client-attestation",
    "oauth-client-attestation-pop",
    "signature",
    "signature-input",
    "transfer-encoding",
];

const FIELDS_NOT_IN_TRAILERS: [&str; 6] = [
    "authorization",
    "content-encoding",
    "content-type",
    "cookie",
    "oauth-client-attestation",
    "oauth-client-attestation-pop",
];

const SIGNATURE_FIELDS: [&str; 2] = ["signature-input", "signature"];

fn signature_change(
    field: &str,
    others: Option<String>,
    headers: &Headers,
) -> Option<HeaderChange> {
    let mut values = headers.values(field);
    let first = values.next()?;
    let Some(others) = others else {
        return Some(HeaderChange::Remove(field.to_owned()));
    };
    let unchanged = first == others.as_bytes() && values.next().is_none();
    (!unchanged).then(|| HeaderChange::Set(field.to_owned(), others.into_bytes()))
}

fn joined(field: &str, headers: &Headers) -> Vec<u8> {
    headers.values(field).collect::<Vec<_>>().join(&b", "[..])
}

fn tag(member: &ListEntry) -> Option<&str> {
    let parameters = match member {
        ListEntry::Item(item) => &item.params,
        ListEntry::InnerList(list) => &list.params,
    };
    parameters.get("tag")?.as_string().map(StringRef::as_str)
}

/// A name as servers have it that cannot tell `client-cert`, `client_cert` and `client.cert` apart.
pub(crate) fn folded(name: &str) -> Cow<'_, str> {
    let is_folded = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.bytes().all(is_folded) {
        return Cow::Borrowed(name);
    }
    name.chars()
        .map(
            |character| {
                if character.is_ascii_alphanumeric() { character.to_ascii_lowercase() } else { '-' }
            },
        )
        .collect()
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
        Sanitiser::new(["X-Client-Id", "my-cert"], Some("intermediate_"), "certbound")
            .changes(&headers(fields))
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
            "ssl-client",
            "ssl-client-",
            "ssl_client_cert_chain_0",
            "x-ssl-cert-chain-1",
            "x-forwarded-tls-client-cert-info",
            "signature_input",
            "content_digest",
            "client.cert",
            "x~client!id",
            "$wscc",
            "cf-client-cert-der-base64",
            "cloudfront-viewer-cert-pem",
            "php-auth-user",
            "php_auth_pw",
            "content_type",
            "content.encoding",
            "transfer_encoding",
            "oauth_client-attestation",
            "wl-proxy-client-cert",
            "sslclientcert",
            "intermediate_0",
            "Intermediate-77",
        ] {
            assert_eq!(changes(&[(name, "x"), (name, "y")]), [remove(name)], "{name}");
        }
    }

    #[test]
    fn certificate_fields_are_found_by_their_first_character() {
        let fields = (0..=u8::MAX)
            .flat_map(|first| certificate_fields(first).iter().map(move |field| (first, *field)));
        let fields: Vec<_> = fields.collect();
        assert_eq!(fields.len(), 22);
        for (first, field) in fields {
            assert_eq!(field.bytes().next(), Some(first), "{field}");
            for name in [field.to_owned(), format!("{field}-1")] {
                assert_eq!(changes(&[(&name, "x")]), [remove(&name)], "{name}");
            }
        }
    }

    #[test]
    fn other_fields_stay() {
        assert_eq!(
            changes(&[
                ("x-client-identity", "x"),
                ("intermediate-", "x"),
                ("intermediate-1a", "x"),
                ("client-ceremony", "x"),
                ("ssl-clients", "x"),
                ("ssl-clienx-s-dn", "x"),
                ("content-type", "x"),
                ("cookie", "client-cert")
            ]),
            []
        );
    }

    #[test]
    fn nothing_is_taken_for_a_pseudo_header_field() {
        let sanitiser = Sanitiser::new(["-path", "-method"], None, "certbound");
        let fields =
            headers(&[(":path", "/"), (":method", "POST"), ("_path", "/"), ("-path", "/")]);
        assert_eq!(sanitiser.changes(&fields), [remove("_path"), remove("-path")]);
    }

    #[test]
    fn of_several_changes_to_a_field_the_last_counts() {
        let changes = [set("a", "1"), remove("b"), set("c", "2"), remove("a"), set("b", "3")];
        let fields = [("a", &b"0"[..]), ("b", b"0"), ("d", b"0"), ("d", b"1")];
        assert_eq!(
            changed(fields, &changes),
            [("d", &b"0"[..]), ("d", b"1"), ("c", b"2"), ("b", b"3")]
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
    fn a_signature_of_others_with_our_tag_goes_too() {
        assert_eq!(
            changes(&[
                ("signature", "evil=:AA==:, a=:AA==:"),
                ("signature-input", "evil=(\"client-cert\");tag=\"certbound\", a=()"),
            ]),
            [set("signature-input", "a=()"), set("signature", "a=:AA==:")]
        );
    }

    #[test]
    fn trailers_do_not_say_who_a_request_is_from() {
        let sanitiser = Sanitiser::new([], None, "certbound");
        let trailers =
            [("authorization", "x"), ("cookie", "x"), ("x-checksum", "x"), ("client-cert", "x")];
        assert_eq!(
            sanitiser.trailer_changes(&headers(&trailers)),
            [remove("client-cert"), remove("authorization"), remove("cookie")]
        );
        assert_eq!(sanitiser.changes(&headers(&trailers)), [remove("client-cert")]);
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
