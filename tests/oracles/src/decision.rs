//! The whole decision, from a request as Envoy hands it over to the header fields that the server gets.
//!
//! An input is a text: a line with the name of a configuration, of the demo identity that the client presents (`-` for
//! none) and `chain` if Envoy tells what was presented; then the request line, fields and body as in HTTP/1.1; then, after
//! a line `--trailers--`, trailer fields.
//!
//! ```text
//! signed payments chain
//! POST /oauth/token
//! content-type: application/x-www-form-urlencoded
//!
//! client_id=payments
//! --trailers--
//! client-cert: :AA==:
//! ```

use std::{cell::RefCell, collections::BTreeMap, sync::LazyLock};

use certbound::{
    authenticate::Outcome,
    config::Config,
    headers::Headers,
    request::{Connection, Request},
    trust::VerdictCache,
};
use data_encoding::{BASE64, HEXLOWER};
use demo_pki::{Identity, Pki};
use serde_json::{Value, json};

use crate::{NOW, filter, readings, sha256, signature_fields};

/// A configuration under attack, and who may be whom in it.
struct Deployment {
    config: Config,
    /// Lower-case names of the fields in which certificate, thumbprint and authenticated client go to the server.
    certificate_header: &'static str,
    thumbprint_header: Option<&'static str>,
    client_id_header: Option<&'static str>,
    label: Option<&'static str>,
    /// Where Envoy has no attribute with the certificate, and the server reads what nginx writes: a field with the
    /// URL-encoded certificate, and one with the verdict on it.
    is_legacy: bool,
    /// Whether a certificate of a client that is not registered may be forwarded.
    forwards_unregistered: bool,
    /// Whether a revoked certificate is known to be.
    knows_revoked: bool,
}

/// The demo's certificates as Envoy would tell them.
struct Fixture {
    identities: BTreeMap<String, Presented>,
    deployments: BTreeMap<&'static str, Deployment>,
}

struct Presented {
    connection: Connection,
    der: Vec<u8>,
    thumbprint: String,
    urlencoded_pem: String,
    /// `x-forwarded-client-cert` as Envoy writes it with `cert: true` and `chain: true`.
    xfcc: String,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let pki = Pki::new();
    let names = pki.to_json();
    let names = names.as_object().into_iter().flatten().map(|(name, _)| name);
    Fixture {
        identities: names.map(|name| (name.clone(), presented(&pki, name))).collect(),
        deployments: deployments(&pki),
    }
});

fn presented(pki: &Pki, name: &str) -> Presented {
    let identity: &Identity = pki.get(name);
    let thumbprint = sha256(&identity.certificate_der);
    let hexadecimal = HEXLOWER.encode(&thumbprint);
    let url_encoded = |pem: String| {
        let characters = [("+", "%2B"), ("/", "%2F"), ("=", "%3D"), (" ", "%20"), ("\n", "%0A")];
        characters.iter().fold(pem, |pem, (character, escaped)| pem.replace(character, escaped))
    };
    let urlencoded_pem = url_encoded(identity.certificate_pem());
    let chain = url_encoded(identity.chain_pem());
    Presented {
        connection: Connection {
            peer_certificate: Some(identity.certificate_pem().into_bytes()),
            peer_certificate_valid: Some(pki.is_trusted(name)),
            sha256_peer_certificate_digest: Some(hexadecimal.clone().into_bytes()),
            known_certificate: None,
        },
        der: identity.certificate_der.clone(),
        thumbprint: data_encoding::BASE64URL_NOPAD.encode(&thumbprint),
        xfcc: format!("Hash={hexadecimal};Cert=\"{urlencoded_pem}\";Chain=\"{chain}\""),
        urlencoded_pem,
    }
}

/// Clients of every kind. `two words` and `two+words` are two, whose requests differ by an escape.
fn clients(pki: &Pki, with_sets: bool, is_legacy: bool) -> Value {
    let sets = |name: &str| if with_sets { json!([name]) } else { Value::Null };
    let mut clients = json!([
        { "client_id": "payments", "token_endpoint_auth_method": "tls_client_auth",
          "tls_client_auth_subject_dn": "CN=payments,O=Example Bank,C=SE", "trust_anchors": sets("client-ca") },
        { "client_id": "batch", "token_endpoint_auth_method": "tls_client_auth",
          "tls_client_auth_san_uri": "spiffe://example.org/batch", "trust_anchors": sets("client-ca") },
        { "client_id": "supplier", "token_endpoint_auth_method": "tls_client_auth",
          "tls_client_auth_subject_dn": "CN=supplier", "trust_anchors": sets("partner-ca") },
        { "client_id": "partner-app", "token_endpoint_auth_method": "self_signed_tls_client_auth",
          "certificate_thumbprints": [pki.get("partner-app").thumbprint()] },
        { "client_id": "two words", "token_endpoint_auth_method": "self_signed_tls_client_auth",
          "certificate_thumbprints": [pki.get("partner-next").thumbprint()] },
        { "client_id": "two+words", "token_endpoint_auth_method": "self_signed_tls_client_auth",
          "jwks": { "keys": [pki.get("partner-p384").key.to_jwk()] } },
        { "client_id": "portal", "token_endpoint_auth_method": "client_secret_basic" },
        { "client_id": "mobile", "token_endpoint_auth_method": "none",
          "tls_client_certificate_bound_access_tokens": true },
    ]);
    if is_legacy {
        clients[0]["upstream_client_secret"] = json!({ "value": "s" });
    }
    for client in clients.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        client.retain(|_, value| !value.is_null());
    }
    clients
}

/// Whether the holder of a demo certificate is this client, by what stands in `demo/pki` and nowhere in certbound.
fn belongs(deployment: &Deployment, client_id: &str, identity: &str) -> bool {
    let is_current = !identity.ends_with("-expired") && !identity.ends_with("-future");
    match client_id {
        "payments" => {
            ["payments", "payments-no-eku", "payments-rotated", "payments-with-extra"]
                .contains(&identity)
                || (identity == "payments-revoked" && !deployment.knows_revoked)
        }
        "batch" => identity == "batch",
        "supplier" => identity == "supplier",
        "partner-app" => identity == "partner-app",
        "two words" => identity == "partner-next",
        "two+words" => identity == "partner-p384",
        "portal" => false,
        "mobile" => is_current,
        _ => deployment.forwards_unregistered && is_current && was_issued(identity),
    }
}

/// Whether a certificate is one of `client-ca`'s or `partner-ca`'s.
fn was_issued(identity: &str) -> bool {
    let is_foreign = ["rogue", "selfsigned"].iter().any(|word| identity.contains(word));
    let kinds = ["payments", "batch", "multi-rdn", "via-", "supplier"];
    !is_foreign && kinds.iter().any(|kind| identity.starts_with(kind))
}

fn deployments(pki: &Pki) -> BTreeMap<&'static str, Deployment> {
    let pem = |name: &str| pki.get(name).certificate_pem();
    let anchors = json!({
        "client-ca": { "certificates": pem("client-ca") },
        "partner-ca": { "certificates": pem("partner-ca") },
    });
    let mut with_crls = anchors.clone();
    with_crls["client-ca"]["crls"] = pki.crl("client-ca").into();
    let signature = |label: &str, alg: &str, key: &str| json!({ "http_message_signature": { "label": label }, "keys": [{ "kid": "1", "alg": alg, "key": { "value": key } }] });
    let ed25519 = signature("certbound", "ed25519", &pki.signing_key().to_pkcs8_pem());
    let hmac =
        signature("gate", "hmac-sha256", &BASE64.encode(b"thirty-two bytes of an HMAC key."));
    let plain = |document: Value| Deployment {
        config: config(pki, document),
        certificate_header: "client-cert",
        thumbprint_header: None,
        client_id_header: None,
        label: None,
        is_legacy: false,
        forwards_unregistered: false,
        knows_revoked: false,
    };
    let signed = plain(json!({
        "trust_anchors": with_crls, "signature": ed25519,
        "client_id_header": "X-Client-Id", "thumbprint_header": "X-Thumbprint",
    }));
    BTreeMap::from([
        // Envoy's verdict counts.
        ("envoy", plain(json!({}))),
        (
            "signed",
            Deployment {
                thumbprint_header: Some("x-thumbprint"),
                client_id_header: Some("x-client-id"),
                label: Some("certbound"),
                knows_revoked: true,
                ..signed
            },
        ),
        ("pass", plain(json!({ "trust_anchors": anchors, "unregistered_clients": "pass" }))),
        ("report", plain(json!({ "trust_anchors": anchors, "enforcement": "report" }))),
        (
            "xfcc",
            Deployment {
                certificate_header: "ssl-client-cert",
                is_legacy: true,
                ..plain(json!({
                    "trust_anchors": anchors, "certificate_source": "xfcc",
                    "certificate_header": { "format": "urlencoded_pem", "verify_name": "ssl-client-verify" },
                }))
            },
        ),
        (
            "forward",
            Deployment {
                forwards_unregistered: true,
                label: Some("gate"),
                certificate_header: "tls.cert",
                ..plain(json!({
                    "trust_anchors": anchors, "unregistered_clients": "forward", "signature": hmac,
                    "certificate_header": { "name": "Tls.Cert" },
                }))
            },
        ),
    ])
}

fn config(pki: &Pki, mut document: Value) -> Config {
    let with_sets = document.get("trust_anchors").is_some();
    let is_legacy = document.get("certificate_source").is_some();
    document["endpoints"] =
        json!([{ "path": "/oauth/token" }, { "path_prefix": "/oauth/device/" }]);
    document["clients"] = clients(pki, with_sets, is_legacy);
    document["limits"] = json!({ "max_body_bytes": 4096 });
    Config::parse(document.to_string().as_bytes(), &|_| None)
        .expect("the configurations here are valid")
}

/// Fields in which some server of the design's list of dialects reads a certificate, its names or a verdict on it.
const CERTIFICATE_FIELDS: [&str; 34] = [
    "client-cert",
    "client-cert-chain",
    "client-certificate",
    "client-certificate-ca-verified",
    "ssl-cert-chain",
    "ssl-cert-chain-0",
    "ssl-client",
    "ssl-client-cert",
    "ssl-client-cert-chain-0",
    "ssl-client-i-dn",
    "ssl-client-s-dn",
    "ssl-client-verify",
    "x-amzn-mtls-clientcert",
    "x-amzn-mtls-clientcert-chain",
    "x-amzn-mtls-clientcert-leaf",
    "x-amzn-mtls-clientcert-subject",
    "x-arr-clientcert",
    "x-client-cert",
    "x-client-cert-chain",
    "x-client-ssl-cert",
    "x-clientcert",
    "x-forwarded-client-cert",
    "x-forwarded-tls-client-cert",
    "x-forwarded-tls-client-cert-info",
    "x-ssl-cert",
    "x-ssl-cert-chain-1",
    "x-ssl-client-cert",
    "x-ssl-client-i-dn",
    "x-ssl-client-s-dn",
    "x-ssl-client-verify",
    "x-tls-client-cert",
    "x-wso2-client-certificate",
    "x-wso2-mtls-cert",
    "wl-proxy-client-cert",
];

const VERIFY_HEADER: &str = "ssl-client-verify";

impl Deployment {
    /// What Envoy reports, or an Envoy before 1.38.
    fn connection(&self, presented: Option<(&str, &Presented)>) -> Connection {
        let connection =
            presented.map(|(_, presented)| presented.connection.clone()).unwrap_or_default();
        if !self.is_legacy {
            return connection;
        }
        Connection { peer_certificate: None, peer_certificate_valid: None, ..connection }
    }

    /// The fields that a server could take for certbound's: it may not tell `_`, `.` and `-` apart, nor letter case.
    fn credentials<'a>(
        &'a self,
        headers: &'a Headers,
    ) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let folded = |name: &str| {
            let name = name.to_ascii_lowercase();
            name.replace(|character: char| !character.is_ascii_alphanumeric(), "-")
        };
        let configured =
            [Some(self.certificate_header), self.thumbprint_header, self.client_id_header];
        let ours: Vec<String> = configured.into_iter().flatten().map(folded).collect();
        headers.0.iter().filter_map(move |(name, value)| {
            let folded = folded(name);
            let is_one = CERTIFICATE_FIELDS.contains(&folded.as_str()) || ours.contains(&folded);
            is_one.then_some((name.as_str(), value.as_slice()))
        })
    }
}

/// What the oracle saw become of an input that is a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Seen {
    /// Not for an endpoint.
    Passed,
    /// Refused, or reported.
    Refused,
    /// Allowed without certificate.
    Plain,
    /// Allowed with a certificate.
    WithCertificate,
}

thread_local! {
    static VERDICTS: RefCell<BTreeMap<String, VerdictCache>> = RefCell::default();
}

/// Decides on an input and holds the outcome against the invariant; `None` for one that Envoy would not let in.
///
/// # Panics
/// When the invariant is broken.
pub fn decide(input: &[u8]) -> Option<Seen> {
    let input = Input::parse(input)?;
    let deployment = FIXTURE.deployments.get(input.deployment)?;
    let request = Request {
        connection: deployment.connection(input.presented),
        headers: input.headers.clone(),
        body: input.body.to_vec(),
        now: NOW,
        verified_token: None,
    };
    // One cache for all requests, as in the filter: nobody may profit from another's verdict.
    let handled = VERDICTS.with_borrow_mut(|verdicts| {
        let verdicts = verdicts.entry(input.deployment.to_owned()).or_default();
        filter::handle(&deployment.config, verdicts, &request, &input.trailers)
    });
    let outcome = handled.verdict.as_ref().map(|verdict| &verdict.outcome);
    let Some((headers, trailers)) = handled.upstream else {
        assert!(matches!(outcome, Some(Outcome::Denied(_))), "only a refusal keeps a request back");
        return Some(Seen::Refused);
    };
    assert_eq!(deployment.credentials(&trailers).next(), None, "a certificate in trailers");
    for name in ["authorization", "content-type", "cookie"] {
        assert_eq!(
            trailers.values(name).next(),
            None,
            "{name} in trailers, which some servers merge"
        );
    }

    let certificate = headers.values(deployment.certificate_header).next().is_some();
    let is_signed = deployment.label.is_some() && certificate;
    let label = deployment.label.unwrap_or("certbound");
    signature_fields::assert_hygiene(label, &input.headers, &headers, is_signed);
    signature_fields::assert_hygiene(label, &input.trailers, &trailers, false);
    let digest = format!("sha-256=:{}:", BASE64.encode(&sha256(input.body)));
    assert!(
        !is_signed || headers.values("content-digest").eq([digest.as_bytes()]),
        "the digest of another body"
    );

    let credentials: Vec<_> = deployment.credentials(&headers).collect();
    let verdict = |value: &'static [u8]| {
        let field = (VERIFY_HEADER, value);
        deployment.is_legacy.then_some(field)
    };
    let is_own = headers.values("authorization").eq(input.headers.values("authorization"));
    if !certificate {
        let expected: Vec<_> = verdict(b"NONE").filter(|_| outcome.is_some()).into_iter().collect();
        assert_eq!(credentials, expected, "without a certificate");
        assert!(is_own, "Authorization of certbound's without a certificate");
        return Some(match outcome {
            None => Seen::Passed,
            Some(Outcome::Reported(..)) => Seen::Refused,
            _ => Seen::Plain,
        });
    }
    assert!(
        matches!(outcome, Some(Outcome::Allowed(_))),
        "a certificate without a decision: {credentials:?}"
    );
    let (identity, presented) =
        input.presented.expect("a certificate upstream, and none was presented");
    let ids = readings::client_ids(&input.headers, input.body);
    let mut ids_in_order = ids.iter();
    let (Some(client_id), None) = (ids_in_order.next(), ids_in_order.next()) else {
        panic!("a certificate for a request that servers read as {ids:?}");
    };
    assert!(belongs(deployment, client_id, identity), "{identity} passes for {client_id:?}");

    // Who a client of another method is remains for the server to decide.
    let is_authenticated =
        client_id != "mobile" && deployment.config.clients.contains_key(client_id);
    let is_self_signed = ["partner-app", "two words", "two+words"].contains(&client_id.as_str());
    let certificate = match deployment.is_legacy {
        true => presented.urlencoded_pem.clone(),
        false => format!(":{}:", BASE64.encode(&presented.der)),
    };
    let mut expected: Vec<(&str, &[u8])> = Vec::new();
    expected.extend(verdict(match (is_authenticated, is_self_signed) {
        (true, false) => b"SUCCESS",
        (true, true) => b"FAILED:self-signed certificate",
        (false, _) => b"FAILED:certificate_untrusted",
    }));
    expected.push((deployment.certificate_header, certificate.as_bytes()));
    expected
        .extend(deployment.thumbprint_header.map(|name| (name, presented.thumbprint.as_bytes())));
    let client_id_header = deployment.client_id_header.filter(|_| is_authenticated);
    expected.extend(client_id_header.map(|name| (name, client_id.as_bytes())));
    assert_eq!(credentials, expected);
    if deployment.is_legacy && client_id == "payments" {
        assert!(
            headers.values("authorization").eq([b"Basic cGF5bWVudHM6cw=="]),
            "the secret of payments"
        );
    } else {
        assert!(is_own, "Authorization of certbound's for {client_id:?}");
    }
    Some(Seen::WithCertificate)
}

/// A request as Envoy hands it over.
struct Input<'a> {
    deployment: &'a str,
    presented: Option<(&'a str, &'static Presented)>,
    headers: Headers,
    body: &'a [u8],
    trailers: Headers,
}

impl<'a> Input<'a> {
    fn parse(input: &'a [u8]) -> Option<Self> {
        let (setting, rest) = split_line(input);
        let mut words = str::from_utf8(setting).ok()?.split(' ');
        let (deployment, identity) = (words.next()?, words.next()?);
        let presented = match identity {
            "-" => None,
            name => Some((name, FIXTURE.identities.get(name)?)),
        };
        let (request_line, mut rest) = split_line(rest);
        let mut parts = request_line.splitn(2, |byte| *byte == b' ');
        let (method, target) = (parts.next()?, parts.next()?);
        let is_visible = |bytes: &[u8]| {
            !bytes.is_empty() && bytes.iter().all(|byte| *byte > b' ' && *byte != b'\x7f')
        };
        (is_visible(method) && is_visible(target)).then_some(())?;

        let mut headers = Headers(vec![
            (":method".into(), method.to_vec()),
            (":path".into(), target.to_vec()),
            (":authority".into(), b"as.example.com".to_vec()),
        ]);
        while !rest.is_empty() {
            let (line, after) = split_line(rest);
            rest = after;
            if line.is_empty() {
                break;
            }
            headers.0.push(field(line)?);
        }
        // SANITIZE_SET: what the client wrote is gone, what Envoy knows stands there.
        if words.next() == Some("chain") {
            let name = "x-forwarded-client-cert";
            headers.0.retain(|(known, _)| known != name);
            headers.0.extend(
                presented.map(|(_, presented)| (name.into(), presented.xfcc.clone().into_bytes())),
            );
        }
        let separator = b"\n--trailers--\n";
        let end = rest.windows(separator.len()).position(|window| window == separator);
        let (body, trailers) = rest.split_at(end.unwrap_or(rest.len()));
        let trailers = trailers.strip_prefix(separator).unwrap_or_default();
        let trailers = trailers.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let trailers = Headers(trailers.map(field).collect::<Option<_>>()?);
        Some(Self { deployment, presented, headers, body, trailers })
    }
}

/// A field that Envoy lets in: a token for its name, which it makes lower-case, and a value without control characters.
fn field(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let mut parts = line.splitn(2, |byte| *byte == b':');
    let (name, value) = (str::from_utf8(parts.next()?).ok()?, parts.next()?.trim_ascii());
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_value = |byte: &u8| !byte.is_ascii_control() || *byte == b'\t';
    let is_field = !name.is_empty() && name.bytes().all(is_token) && value.iter().all(is_value);
    is_field.then(|| (name.to_ascii_lowercase(), value.to_vec()))
}

fn split_line(text: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = text.splitn(2, |byte| *byte == b'\n');
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}
