//! The compiled filter in an emulated Envoy: the cases of `tests/cases`, and what only a host can do to it.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on had better say so and end"
)]

mod cases;
#[path = "wasm/discovery.rs"]
mod discovery;
#[path = "wasm/envoy.rs"]
mod envoy;
#[path = "wasm/host.rs"]
mod host;
#[path = "wasm/protected_resources.rs"]
mod protected_resources;
#[path = "wasm/stream.rs"]
mod stream;
#[path = "wasm/troubleshooting.rs"]
mod troubleshooting;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use cases::{Case, CaseFile, Fields, Observed, Response, certificate_forms};
use demo_pki::Pki;
use envoy::{Connection, Envoy, Exchange, Part, Request};
use host::{LogLine, Status};
use prost::Message;
use serde_json::{Value, json};
use stream::HeaderMap;

const FORM: (&str, &[u8]) = ("content-type", b"application/x-www-form-urlencoded");

fn pki() -> &'static Pki {
    static PKI: LazyLock<Pki> = LazyLock::new(Pki::new);
    &PKI
}

/// A configuration with a client of either TLS method.
fn configuration() -> Value {
    let thumbprint = pki().get("partner-app").thumbprint();
    json!({
        "endpoints": [{ "path": "/oauth/token" }],
        "clients": [
            {
                "client_id": "payments",
                "token_endpoint_auth_method": "tls_client_auth",
                "tls_client_auth_subject_dn": "CN=payments,O=Example Bank,C=SE",
            },
            {
                "client_id": "partner-app",
                "token_endpoint_auth_method": "self_signed_tls_client_auth",
                "certificate_thumbprints": [thumbprint],
            },
        ],
        "client_id_header": "X-Client-Id",
        "limits": { "max_body_bytes": 100 },
    })
}

fn start(configuration: &Value) -> Envoy {
    let envoy = Envoy::start(configuration.to_string().as_bytes(), &[]);
    envoy.unwrap_or_else(|log| panic!("the filter refuses the configuration: {log:#?}"))
}

/// Presents an identity of the demo PKI as Envoy would.
fn presenting(name: &str) -> Connection {
    Connection::with_certificate(pki().get(name), pki().is_trusted(name))
}

/// The header fields of a request, with those that Envoy adds.
fn request_headers(method: &str, path: &str, fields: &[(&str, &[u8])]) -> HeaderMap {
    let envoys: [(&str, &[u8]); 6] = [
        (":authority", b"as.example.com"),
        (":method", method.as_bytes()),
        (":path", path.as_bytes()),
        (":scheme", b"https"),
        ("x-forwarded-proto", b"https"),
        ("x-request-id", b"5b3c5b4e-7e1c-4c9a-9f5c-0d5b8f6f3d5e"),
    ];
    let fields = envoys.iter().chain(fields);
    fields.map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())).collect()
}

fn token_request_headers() -> Part {
    Part::Headers(request_headers("POST", "/oauth/token", &[FORM]))
}

/// A form post to the token endpoint whose body arrives in these frames.
fn token_request<B: AsRef<[u8]>>(frames: impl IntoIterator<Item = B>) -> Request {
    let frames = frames.into_iter().map(|frame| Part::Body(frame.as_ref().to_vec()));
    Request { parts: [token_request_headers()].into_iter().chain(frames).collect() }
}

fn assert_denied(exchange: &Exchange, status: u32, reason: &str) {
    assert_eq!(exchange.state("certbound.outcome"), Some("denied"));
    assert_eq!(exchange.state("certbound.reason"), Some(reason));
    assert_eq!(exchange.response.as_ref().map(|response| response.status), Some(status));
    assert!(exchange.forwarded.is_none(), "{:?} reached the server", exchange.forwarded);
}

fn assert_allowed(exchange: &Exchange, certificate: &str) {
    assert_eq!(exchange.state("certbound.outcome"), Some("allowed"), "{exchange:?}");
    let client_cert =
        certificate_forms::written("rfc9440", &[&pki().get(certificate).certificate_der]);
    assert_eq!(upstream(exchange).joined("client-cert"), client_cert);
    let forwarded = exchange.forwarded.as_ref().expect("it was forwarded");
    assert!(!forwarded.before_the_end, "something went on before the client had sent everything");
}

/// The header fields and trailers at the server.
fn upstream(exchange: &Exchange) -> Fields {
    let forwarded = exchange.forwarded.as_ref().expect("it was forwarded");
    let parts = [&forwarded.headers, &forwarded.trailers];
    let fields = parts.into_iter().flat_map(HeaderMap::iter);
    Fields(fields.map(|(name, value)| (name.to_vec(), value.to_vec())).collect())
}

mod every_case {
    use super::*;

    #[test]
    fn has_the_expected_outcome() {
        run(|configuration| configuration.to_string().into_bytes());
    }

    #[test]
    fn has_the_same_outcome_when_the_configuration_is_a_protobuf_struct() {
        run(|configuration| to_struct(configuration).encode_to_vec());
    }

    /// Runs all cases, each file in one VM.
    fn run(encode: impl Fn(&Value) -> Vec<u8>) {
        let mut problems = Vec::new();
        for file in CaseFile::read_all(pki()) {
            let environment: Vec<_> = file.environment.clone().into_iter().collect();
            let mut envoy = match Envoy::start(&encode(&file.configuration), &environment) {
                Ok(envoy) => envoy,
                Err(log) => {
                    problems.push(format!("{}: the configuration is refused: {log:?}", file.name));
                    continue;
                }
            };
            for case in file.cases.iter().filter(|case| case.runs_in("wasm")) {
                let found = problems_of(&file, case, &mut envoy);
                problems.extend(
                    found.iter().map(|problem| format!("{}, {}: {problem}", file.name, case.name)),
                );
            }
            assert_no_secrets(envoy.log(), &file);
        }
        assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    }

    fn problems_of(file: &CaseFile, case: &Case, envoy: &mut Envoy) -> Vec<String> {
        let counters = envoy.counters();
        let exchange = exchange(file, case, envoy);
        let mut problems = case.problems(&observed(&exchange), pki());

        let reason = case.expect.reason.as_deref().unwrap_or_default();
        let expected_counter = match case.expect.outcome.as_deref() {
            None => None,
            Some("allowed") => Some("certbound.allowed".to_owned()),
            Some(outcome) => Some(format!("certbound.{outcome}.{reason}")),
        };
        let counted = increments(&counters, &envoy.counters());
        if counted != Vec::from_iter(expected_counter) {
            problems.push(format!("counted {counted:?}"));
        }
        if !reason.is_empty() && !is_logged_once(&exchange.log, reason) {
            problems.push(format!("not one line about {reason} in the log: {:#?}", exchange.log));
        }
        let forwarded = exchange.forwarded.as_ref();
        // Of what goes to protected resources, only forms have to be read first.
        let is_streamed =
            file.configuration.get("protected_resources").is_some() && case.request.form.is_none();
        if case.expect.outcome.is_some()
            && !is_streamed
            && forwarded.is_some_and(|forwarded| forwarded.before_the_end)
        {
            problems
                .push("LEAK: something went on before the client had sent everything".to_owned());
        }
        problems
    }

    /// Sends a case's request.
    pub(super) fn exchange(file: &CaseFile, case: &Case, envoy: &mut Envoy) -> Exchange {
        let connection = match &case.certificate {
            Some(name) if file.lacks_attribute => presenting(name)
                .without("connection.peer_certificate")
                .without("connection.peer_certificate_valid"),
            Some(name) => presenting(name),
            None => Connection::without_certificate(),
        };
        envoy.exchange(&connection, &request(file, case))
    }

    /// The names of the counters that were incremented, once for each time.
    fn increments(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> Vec<String> {
        let times = |name, value| (value - before.get(name).unwrap_or(&0)) as usize;
        after
            .iter()
            .flat_map(|(name, value)| std::iter::repeat_n(name.clone(), times(name, value)))
            .collect()
    }

    fn is_logged_once(log: &[LogLine], reason: &str) -> bool {
        let about = |line: &&LogLine| line.level == LogLine::INFO && line.message.contains(reason);
        log.iter().filter(about).count() == 1
    }

    /// The request as Envoy hands it over: what its `Connection` header names is gone already.
    fn request(file: &CaseFile, case: &Case) -> Request {
        let request = &case.request;
        let mut headers = request_headers(&request.method, &request.path, &[]);
        let fields = file.headers(case, pki());
        let connection = fields.joined("connection").unwrap_or_default();
        let is_kept = |name: &[u8]| {
            let nominated = connection.split(',').map(str::trim);
            !nominated
                .chain(["connection"])
                .any(|nominated| nominated.as_bytes().eq_ignore_ascii_case(name))
        };
        for (name, value) in fields.0.iter().filter(|(name, _)| is_kept(name)) {
            headers.add(name, value);
        }
        let body = request.body();
        let trailers = request.trailers();
        let mut parts = vec![Part::Headers(headers)];
        if !body.is_empty() {
            parts.push(Part::Body(body));
        }
        parts.extend(trailers.map(|trailers| Part::Trailers(trailers.into())));
        Request { parts }
    }

    fn observed(exchange: &Exchange) -> Observed {
        let state = |key| exchange.state(key).map(str::to_owned);
        Observed {
            outcome: state("certbound.outcome"),
            reason: state("certbound.reason"),
            client_id: state("certbound.client_id"),
            response: exchange.response.clone().map(|response| Response {
                status: response.status.try_into().expect("an HTTP status"),
                headers: response.headers.into(),
                body: response.body.into_bytes(),
            }),
            upstream: exchange.forwarded.is_some().then(|| upstream(exchange)),
        }
    }
}

/// Checks that nothing secret was logged: neither keys from the environment nor credentials of the clients.
fn assert_no_secrets(log: &[LogLine], file: &CaseFile) {
    let environment = file.environment.values().flat_map(|value| value.lines());
    let keys = environment.filter(|line| !line.starts_with("-----")).map(str::to_owned);
    let requests = file.cases.iter().map(|case| &case.request);
    let credentials = requests.filter_map(|request| {
        let authorization = request.headers().joined("authorization")?;
        Some(authorization.split_once(' ')?.1.to_owned())
    });
    for secret in keys.chain(credentials).filter(|secret| !secret.is_empty()) {
        let leak = log.iter().find(|line| line.message.contains(&secret));
        assert!(leak.is_none(), "{}: {secret:?} in the log: {leak:?}", file.name);
    }
}

/// A value as `google.protobuf.Struct`, the way Envoy passes YAML on.
fn to_struct(value: &Value) -> prost_types::Struct {
    let Value::Object(members) = value else { panic!("a configuration is an object") };
    let fields = members.iter().map(|(name, value)| (name.clone(), to_protobuf(value)));
    prost_types::Struct { fields: fields.collect() }
}

fn to_protobuf(value: &Value) -> prost_types::Value {
    use prost_types::value::Kind;
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(bool) => Kind::BoolValue(*bool),
        Value::Number(number) => Kind::NumberValue(number.as_f64().expect("a JSON number")),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(values) => {
            let values = values.iter().map(to_protobuf).collect();
            Kind::ListValue(prost_types::ListValue { values })
        }
        Value::Object(_) => Kind::StructValue(to_struct(value)),
    };
    prost_types::Value { kind: Some(kind) }
}

mod the_certificate {
    use super::*;

    #[test]
    fn with_another_digest_than_envoys_is_refused() {
        let other = "0".repeat(64);
        let connection =
            presenting("payments").with("connection.sha256_peer_certificate_digest", other);
        let exchange =
            start(&configuration()).exchange(&connection, &token_request(["client_id=payments"]));
        assert_denied(&exchange, 401, "digest_mismatch");
    }

    #[test]
    fn may_be_url_encoded() {
        let pem = pki().get("payments").certificate_pem();
        let encoded = pem.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        let encoded = encoded.replace(' ', "%20").replace('\n', "%0A");
        let connection = presenting("payments").with("connection.peer_certificate", encoded);
        let exchange =
            start(&configuration()).exchange(&connection, &token_request(["client_id=payments"]));
        assert_allowed(&exchange, "payments");
    }

    #[test]
    fn is_not_trusted_by_an_envoy_without_a_verdict() {
        let connection = presenting("payments").without("connection.peer_certificate_valid");
        let exchange =
            start(&configuration()).exchange(&connection, &token_request(["client_id=payments"]));
        assert_denied(&exchange, 401, "certificate_untrusted");
        let explanation = "peer_certificate_valid";
        assert!(
            exchange.log.iter().any(|line| line.message.contains(explanation)),
            "{:?}",
            exchange.log
        );
    }

    #[test]
    fn needs_no_verdict_of_envoy_where_there_are_trust_anchors() {
        let mut configuration = configuration();
        let client_ca = pki().get("client-ca").certificate_pem();
        configuration["trust_anchors"] = json!({ "client-ca": { "certificates": client_ca } });
        let mut envoy = start(&configuration);
        let verdict = "connection.peer_certificate_valid";
        let request = token_request(["client_id=payments"]);
        for connection in
            [presenting("payments").without(verdict), presenting("payments").with(verdict, [0])]
        {
            assert_allowed(&envoy.exchange(&connection, &request), "payments");
        }
        let rogue = presenting("payments-rogue").with(verdict, [1]);
        assert_denied(&envoy.exchange(&rogue, &request), 401, "certificate_untrusted");
    }

    #[test]
    fn that_is_self_signed_needs_no_verdict() {
        let connection = presenting("partner-app").without("connection.peer_certificate_valid");
        let exchange = start(&configuration())
            .exchange(&connection, &token_request(["client_id=partner-app"]));
        assert_allowed(&exchange, "partner-app");
    }

    #[test]
    fn that_only_left_its_digest_is_refused() {
        let connection = presenting("payments").without("connection.peer_certificate");
        let exchange =
            start(&configuration()).exchange(&connection, &token_request(["client_id=payments"]));
        assert_denied(&exchange, 401, "certificate_unreadable");
    }

    #[test]
    fn without_envoys_digest_is_refused() {
        let connection =
            presenting("payments").without("connection.sha256_peer_certificate_digest");
        let exchange =
            start(&configuration()).exchange(&connection, &token_request(["client_id=payments"]));
        assert_denied(&exchange, 401, "digest_mismatch");
    }

    #[test]
    fn that_envoy_cannot_give_is_refused() {
        let properties = [
            "connection.peer_certificate",
            "connection.peer_certificate_valid",
            "connection.sha256_peer_certificate_digest",
        ];
        for property in properties {
            for status in [Status::SerializationFailure, Status::InternalFailure] {
                let connection = presenting("payments").failing(property, status);
                let exchange = start(&configuration())
                    .exchange(&connection, &token_request(["client_id=payments"]));
                assert_denied(&exchange, 500, "host_error");
            }
        }
    }

    /// Envoy would never say so, but nothing that it says may end the VM and with it all later requests.
    #[test]
    fn and_its_properties_may_be_any_bytes() {
        let mut envoy = start(&configuration());
        let mut random = Random(1);
        for _ in 0..200 {
            let mut connection = presenting("payments");
            for property in connection.properties.clone().into_keys() {
                connection = match random.below(4) {
                    0 => connection,
                    1 => connection.without(&property),
                    2 => connection.failing(&property, Status::InternalFailure),
                    _ => connection.with(&property, random.bytes()),
                };
            }
            envoy.exchange(&connection, &token_request(["client_id=payments"]));
        }
        let exchange =
            envoy.exchange(&presenting("payments"), &token_request(["client_id=payments"]));
        assert_allowed(&exchange, "payments");
    }
}

/// Envoy's verdict costs a call of the host.
#[test]
fn envoys_verdict_is_asked_for_where_a_certificate_needs_it() {
    let is_asked_for = |configuration: &Value, client: &str| {
        let request = token_request([format!("client_id={client}")]);
        let exchange = start(configuration).exchange(&presenting(client), &request);
        assert_allowed(&exchange, client);
        exchange.host_calls.iter().any(|call| call.ends_with(" connection.peer_certificate_valid"))
    };
    let with_both_methods = configuration();
    assert!(is_asked_for(&with_both_methods, "payments"));
    let mut self_signed = configuration();
    self_signed["clients"].as_array_mut().unwrap().remove(0);
    assert!(!is_asked_for(&self_signed, "partner-app"));
    let mut forwarding = self_signed.clone();
    forwarding["unregistered_clients"] = "forward".into();
    assert!(is_asked_for(&forwarding, "payments"));
    let mut anchored = configuration();
    let client_ca = pki().get("client-ca").certificate_pem();
    anchored["trust_anchors"] = json!({ "client-ca": { "certificates": client_ca } });
    assert!(!is_asked_for(&anchored, "payments"));
}

mod a_known_certificate {
    use super::*;

    fn anchored() -> Value {
        let mut configuration = configuration();
        let client_ca = pki().get("client-ca").certificate_pem();
        configuration["trust_anchors"] = json!({ "client-ca": { "certificates": client_ca } });
        configuration
    }

    fn is_asked_for(exchange: &Exchange) -> bool {
        exchange.host_calls.iter().any(|call| call.ends_with(" connection.peer_certificate"))
    }

    /// Each call costs about a microsecond in Envoy.
    #[test]
    fn is_allowed_with_few_calls_of_the_host() {
        let mut envoy = start(&anchored());
        let request = token_request(["client_id=payments"]);
        let first = envoy.exchange(&presenting("payments"), &request);
        assert_allowed(&first, "payments");
        assert!(is_asked_for(&first));
        let exchange = envoy.exchange(&presenting("payments"), &request);
        assert_allowed(&exchange, "payments");
        assert_eq!(
            exchange.host_calls,
            [
                "proxy_get_header_map_pairs",
                "proxy_get_property connection.sha256_peer_certificate_digest",
                "proxy_get_buffer_bytes",
                "proxy_get_current_time_nanoseconds",
                "proxy_replace_header_map_value",
                "proxy_replace_header_map_value",
                "proxy_increment_metric",
                "proxy_record_metric",
                "proxy_set_property certbound.outcome",
                "proxy_set_property certbound.client_id",
                "proxy_set_property certbound.thumbprint",
            ]
        );
    }

    #[test]
    fn is_not_read_again_and_takes_no_further_memory() {
        let mut envoy = start(&anchored());
        let request = token_request(["client_id=partner-app"]);
        let mut cost = |rounds| {
            let before = envoy.instructions();
            for _ in 0..rounds {
                assert_allowed(
                    &envoy.exchange(&presenting("partner-app"), &request),
                    "partner-app",
                );
            }
            (envoy.instructions() - before, envoy.memory_bytes())
        };
        let (first, _) = cost(1);
        let (_, memory) = cost(20);
        let (again, memory_at_the_end) = cost(100);
        assert!(again / 100 < first / 2, "{first} instructions, then {again} for 100 requests");
        assert_eq!(memory_at_the_end, memory);
    }

    #[test]
    fn is_told_from_others_in_the_same_vm() {
        let mut envoy = start(&anchored());
        for name in ["payments", "partner-app", "payments", "partner-app"] {
            let request = token_request([format!("client_id={name}")]);
            assert_allowed(&envoy.exchange(&presenting(name), &request), name);
        }
        let request = token_request(["client_id=payments"]);
        let exchange = envoy.exchange(&presenting("partner-app"), &request);
        assert_denied(&exchange, 401, "certificate_untrusted");
        let without_digest =
            presenting("payments").without("connection.sha256_peer_certificate_digest");
        assert_denied(&envoy.exchange(&without_digest, &request), 401, "digest_mismatch");
        for digest in ["payments", "0000"] {
            let connection =
                presenting("payments").with("connection.sha256_peer_certificate_digest", digest);
            assert_denied(&envoy.exchange(&connection, &request), 401, "digest_mismatch");
        }
    }

    #[test]
    fn is_forgotten_with_the_configuration() {
        let mut envoy = start(&anchored());
        let request = token_request(["client_id=payments"]);
        assert_allowed(&envoy.exchange(&presenting("payments"), &request), "payments");
        let mut revoking = anchored();
        revoking["trust_anchors"]["client-ca"]["certificates"] =
            json!(pki().get("partner-ca").certificate_pem());
        envoy.configure(revoking.to_string().as_bytes()).expect("it is right");
        let exchange = envoy.exchange(&presenting("payments"), &request);
        assert!(is_asked_for(&exchange));
        assert_denied(&exchange, 401, "certificate_untrusted");
    }

    #[test]
    fn is_none_that_was_refused() {
        let mut envoy = start(&anchored());
        for _ in 0..2 {
            let request = token_request(["client_id=payments"]);
            let exchange = envoy.exchange(&presenting("payments-rogue"), &request);
            assert_denied(&exchange, 401, "certificate_untrusted");
            assert!(is_asked_for(&exchange));
        }
    }
}

mod the_body {
    use super::*;

    const BODY: &[u8] = b"grant_type=client_credentials&client_id=payments";

    fn exchange(request: &Request) -> Exchange {
        start(&configuration()).exchange(&presenting("payments"), request)
    }

    fn assert_allowed_with_body(exchange: &Exchange) {
        assert_allowed(exchange, "payments");
        assert_eq!(exchange.forwarded.as_ref().map(|forwarded| &forwarded.body[..]), Some(BODY));
    }

    #[test]
    fn may_come_in_one_frame() {
        assert_allowed_with_body(&exchange(&token_request([BODY])));
    }

    #[test]
    fn may_come_byte_by_byte() {
        assert_allowed_with_body(&exchange(&token_request(BODY.chunks(1))));
    }

    #[test]
    fn may_have_empty_frames_at_any_place() {
        let (start, end) = BODY.split_at(20);
        assert_allowed_with_body(&exchange(&token_request([b"", start, b"", end, b""])));
    }

    #[test]
    fn may_be_ended_by_trailers() {
        let mut request = token_request([BODY]);
        let trailers =
            [("client-cert", "spoofed"), ("x-client-id", "spoofed"), ("x-checksum", "1")];
        let trailers =
            trailers.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        request.parts.push(Part::Trailers(trailers.into_iter().collect()));
        let exchange = exchange(&request);
        assert_allowed_with_body(&exchange);
        assert_eq!(upstream(&exchange).joined("x-client-id").as_deref(), Some("payments"));
        assert_eq!(upstream(&exchange).joined("x-checksum").as_deref(), Some("1"));
    }

    #[test]
    fn of_no_length_names_no_client() {
        let mut without = token_request::<&[u8]>([]);
        assert_denied(&exchange(&without), 400, "client_id_missing");
        without.parts.push(Part::Trailers(HeaderMap::default()));
        assert_denied(&exchange(&without), 400, "client_id_missing");
        assert_denied(&exchange(&token_request([b""])), 400, "client_id_missing");
    }

    #[test]
    fn over_the_limit_is_refused_before_more_is_held() {
        for size in [1, 7, 99, 100, 101, 5000] {
            let body = [BODY, &b"&padding="[..], &[b'x'; 4943]].concat();
            let exchange = exchange(&token_request(body.chunks(size)));
            assert_denied(&exchange, 413, "body_too_large");
            assert!(
                exchange.most_held <= 100,
                "{} bytes were held in frames of {size}",
                exchange.most_held
            );
        }
    }

    #[test]
    fn is_not_held_outside_of_the_endpoints() {
        let mut request = token_request([&[b'x'; 5000][..], b"yz"]);
        request.parts[0] =
            Part::Headers(request_headers("POST", "/upload", &[("client-cert", b"spoofed")]));
        let exchange = exchange(&request);
        assert_eq!(exchange.state("certbound.outcome"), None);
        assert_eq!(exchange.most_held, 0);
        assert_eq!(exchange.forwarded.as_ref().map(|forwarded| forwarded.body.len()), Some(5002));
        assert_eq!(upstream(&exchange).joined("client-cert"), None);
    }
}

mod requests {
    use super::*;

    #[test]
    fn may_have_header_values_that_are_not_utf_8() {
        let fields = [FORM, ("x-name", b"J\xf6rg \xff"), ("client-cert", b"\x80")];
        let headers = Part::Headers(request_headers("POST", "/oauth/token", &fields));
        let request = Request { parts: vec![headers, Part::Body(b"client_id=payments".to_vec())] };
        let exchange = start(&configuration()).exchange(&presenting("payments"), &request);
        assert_allowed(&exchange, "payments");
        let forwarded = exchange.forwarded.expect("it was forwarded");
        assert_eq!(forwarded.headers.first(b"x-name"), Some(&b"J\xf6rg \xff"[..]));
    }

    #[test]
    fn of_one_worker_do_not_mix() {
        let mut envoy = start(&configuration());
        let connections =
            [presenting("payments"), presenting("partner-app"), presenting("partner-app")];
        let bodies = ["client_id=payments", "client_id=partner-app", "client_id=payments"];
        let streams = connections.each_ref().map(|connection| envoy.open(connection));
        for stream in streams {
            envoy.deliver(stream, token_request_headers(), false);
        }
        for (stream, body) in streams.into_iter().zip(bodies) {
            envoy.deliver(stream, Part::Body(body.as_bytes().to_vec()), false);
        }
        for stream in streams.into_iter().rev() {
            envoy.deliver(stream, Part::Body(Vec::new()), true);
        }
        let [payments, partner_app, intruder] = streams.map(|stream| envoy.close(stream));
        assert_allowed(&payments, "payments");
        assert_allowed(&partner_app, "partner-app");
        assert_denied(&intruder, 401, "certificate_untrusted");
    }

    #[test]
    fn keep_the_configuration_they_began_with() {
        let payments = presenting("payments");
        let mut envoy = start(&configuration());
        let before = envoy.open(&payments);
        envoy.deliver(before, token_request_headers(), false);

        let mut update = configuration();
        update["clients"] = json!([]);
        envoy.configure(update.to_string().as_bytes()).unwrap();
        envoy.configure(b"no configuration").unwrap_err();
        let after = envoy.exchange(&payments, &token_request(["client_id=payments"]));
        envoy.deliver(before, Part::Body(b"client_id=payments".to_vec()), true);

        assert_allowed(&envoy.close(before), "payments");
        assert_denied(&after, 401, "client_not_registered");
    }

    /// Neither in Envoy's log nor in an access log in text form, to which filter state goes as it is.
    #[test]
    fn cannot_forge_log_lines() {
        let forged = "x%0D%0A%E2%80%A8%1B%5B2Joutcome=allowed";
        let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{forged}:secret")));
        let fields = [FORM, ("authorization", basic.as_bytes())];
        let by_basic = Part::Headers(request_headers("POST", "/oauth/token", &fields));
        let by_basic = Request { parts: vec![by_basic, Part::Body(b"scope=pay".to_vec())] };
        let by_form = token_request([format!("client_id={forged}")]);
        for request in [by_basic, by_form] {
            let exchange = start(&configuration()).exchange(&presenting("payments"), &request);
            assert_eq!(exchange.state("certbound.outcome"), Some("denied"));
            let lines = exchange.log.iter().map(|line| &line.message);
            for text in lines.chain(exchange.filter_state.values()) {
                let breaks_lines = |c: char| c.is_control() || c == '\u{2028}';
                assert!(!text.contains(breaks_lines), "{text:?}");
            }
        }
    }

    #[test]
    fn that_are_refused_are_told_to_the_operator_but_not_to_the_client() {
        let exchange = start(&configuration())
            .exchange(&presenting("partner-app"), &token_request(["client_id=payments"]));
        assert_denied(&exchange, 401, "certificate_untrusted");
        let thumbprint = pki().get("partner-app").thumbprint();
        let told =
            ["certificate_untrusted", "payments", &thumbprint, "CN=partner-app", "192.0.2.1"];
        let [line] = &exchange.log[..] else { panic!("not one line: {:#?}", exchange.log) };
        for detail in told {
            assert!(line.message.contains(detail), "no {detail} in {:?}", line.message);
        }
        let body = exchange.response.expect("it was refused").body;
        assert!(!told.iter().any(|detail| body.contains(detail)), "{body}");
    }
}

mod a_configuration {
    use super::*;

    /// Starts the filter with a changed configuration and returns what it logs on refusing it.
    fn refusal(change: impl FnOnce(&mut Value)) -> String {
        let mut configuration = configuration();
        change(&mut configuration);
        refusal_of(configuration.to_string().as_bytes())
    }

    fn refusal_of(configuration: &[u8]) -> String {
        let Err(log) = Envoy::start(configuration, &[]) else { panic!("the filter accepts it") };
        log.into_iter().map(|line| line.message + "\n").collect()
    }

    fn assert_names(refusal: &str, key: &str) {
        assert!(refusal.contains(key), "{key} is not named: {refusal}");
    }

    #[test]
    fn with_an_unknown_key_is_refused_by_its_path() {
        assert_names(&refusal(|it| it["enforcment"] = "report".into()), "enforcment");
        assert_names(
            &refusal(|it| it["endpoints"][0]["paht"] = "/token".into()),
            "endpoints[0].paht",
        );
        assert_names(
            &refusal(|it| it["clients"][1]["clientid"] = "x".into()),
            "clients[1].clientid",
        );
        assert_names(&refusal(|it| it["limits"]["max_body"] = 1.into()), "limits.max_body");
    }

    #[test]
    fn with_a_value_of_the_wrong_kind_is_refused_by_its_path() {
        assert_names(
            &refusal(|it| it["limits"]["max_body_bytes"] = "1".into()),
            "limits.max_body_bytes",
        );
        assert_names(&refusal(|it| it["endpoints"][0]["path"] = 1.into()), "endpoints[0].path");
        assert_names(&refusal(|it| it["endpoints"] = json!({})), "endpoints");
    }

    #[test]
    fn that_takes_effect_is_summed_up_in_one_line() {
        let mut configuration = configuration();
        let log = start(&configuration).log().to_vec();
        let [line] = &log[..] else { panic!("not one line: {log:#?}") };
        assert_eq!(line.level, LogLine::INFO);
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!(
            "configured version={version} enforcement=enforce unregistered_clients=deny \
             tls_client_auth=1 self_signed_tls_client_auth=1 other_clients=0 \
             trust_anchors=\"-\" signing_key=\"-\""
        );
        assert_eq!(line.message, expected);

        let client_ca = pki().get("client-ca").certificate_pem();
        let partner_ca = pki().get("partner-ca").certificate_pem();
        configuration["trust_anchors"] = json!({
            "partners": { "certificates": partner_ca },
            "clients": { "certificates": client_ca },
        });
        configuration["clients"][0]["trust_anchors"] = json!(["clients"]);
        let portal =
            json!({ "client_id": "portal", "token_endpoint_auth_method": "client_secret_basic" });
        configuration["clients"].as_array_mut().expect("a list").push(portal);
        configuration["unregistered_clients"] = "forward".into();
        configuration["enforcement"] = "report".into();
        let secret = BASE64_STANDARD.encode("0123456789abcdef0123456789ABCDEF");
        configuration["signature"] = json!({
            "http_message_signature": {},
            "keys": [{ "kid": "2026-11", "alg": "hmac-sha256", "key": { "value": secret } }],
        });
        let log = start(&configuration).log().to_vec();
        let [line] = &log[..] else { panic!("not one line: {log:#?}") };
        assert_eq!(line.level, LogLine::WARN, "nothing is enforced");
        let expected = format!(
            "configured version={version} enforcement=report unregistered_clients=forward \
             tls_client_auth=1 self_signed_tls_client_auth=1 other_clients=1 \
             trust_anchors=\"clients,partners\" signing_key=\"2026-11\" detail=\"nothing is refused: \
             such requests go to the server without certificate\""
        );
        assert_eq!(line.message, expected);
    }

    #[test]
    fn with_two_subject_values_is_refused_by_the_client() {
        let refusal = refusal(|it| {
            it["clients"][0]["tls_client_auth_san_dns"] = "payments.example.com".into()
        });
        assert_names(&refusal, "clients[0]");
    }

    #[test]
    fn with_a_key_that_the_environment_lacks_is_refused_by_its_path() {
        let refusal = refusal(|it| {
            it["signature"] = json!({
                "http_message_signature": {},
                "keys": [{ "kid": "1", "alg": "ed25519", "key": { "env": "CERTBOUND_SIGNING_KEY" } }],
            });
        });
        assert_names(&refusal, "signature.keys[0].key");
        assert_names(&refusal, "CERTBOUND_SIGNING_KEY");
    }

    #[test]
    fn with_a_broken_key_is_refused_without_printing_it() {
        let refusal = refusal(|it| {
            it["signature"] = json!({
                "http_message_signature": {},
                "keys": [{ "kid": "1", "alg": "ed25519", "key": { "value": "c2VjcmV0IGtleQ" } }],
            });
        });
        assert_names(&refusal, "signature.keys[0].key");
        assert!(!refusal.contains("c2VjcmV0IGtleQ"), "{refusal}");
    }

    #[test]
    fn that_is_neither_json_nor_protobuf_is_refused() {
        let mut random = Random(2);
        let mut configurations =
            vec![vec![], b"{".to_vec(), b"null".to_vec(), b"\x0a\xff\xff\xff\xff\x0f".to_vec()];
        configurations.extend((0..100).map(|_| random.bytes()));
        for configuration in configurations {
            assert!(!refusal_of(&configuration).is_empty());
        }
    }
}

mod a_signature {
    use super::*;

    #[test]
    fn has_the_hosts_time_and_a_nonce_of_its_own() {
        let mut configuration = configuration();
        configuration["signature"] = json!({
            "http_message_signature": { "lifetime_seconds": 30 },
            "keys": [{ "kid": "1", "alg": "ed25519", "key": { "env": "KEY" } }],
        });
        let environment = [("KEY".to_owned(), pki().signing_key().to_pkcs8_pem())];
        let envoy = Envoy::start(configuration.to_string().as_bytes(), &environment);
        let mut envoy = envoy.unwrap_or_else(|log| panic!("{log:#?}"));
        let mut nonces = Vec::new();
        for _ in 0..3 {
            let exchange =
                envoy.exchange(&presenting("payments"), &token_request(["client_id=payments"]));
            assert_allowed(&exchange, "payments");
            let input = upstream(&exchange).joined("signature-input").expect("it is signed");
            assert!(input.contains(";created=1893456000;expires=1893456030;"), "{input}");
            let nonce = input.split(";nonce=\"").nth(1).and_then(|rest| rest.split('"').next());
            nonces.push(nonce.expect("there is a nonce").to_owned());
        }
        assert!(nonces[0] != nonces[1] && nonces[1] != nonces[2], "{nonces:?}");
    }
}

mod a_jws {
    use super::*;

    fn reusing() -> Value {
        let mut configuration = configuration();
        configuration["endpoints"] =
            json!([{ "path": "/oauth/token" }, { "path": "/oauth/revoke" }]);
        configuration["protected_resources"] = json!([{ "path_prefix": "/api/", "token": "bearer", "forward": ["certificate", "signature"] }]);
        configuration["signature"] = json!({
            "jws": { "issuer": "https://proxy.example.com", "audience": "as", "reuse_seconds": 30 },
            "keys": [{
                "kid": "1", "alg": "ed25519", "key": { "value": pki().signing_key().to_pkcs8_pem() },
            }],
        });
        configuration
    }

    /// The JWS at the server, and whether randomness was drawn for it.
    fn sent(envoy: &mut Envoy, certificate: &str, request: &Request) -> (String, bool) {
        let exchange = envoy.exchange(&presenting(certificate), request);
        assert_eq!(exchange.state("certbound.outcome"), Some("allowed"), "{exchange:?}");
        let jws = upstream(&exchange).joined("client-cert-jwt").expect("it is signed");
        (jws, exchange.host_calls.iter().any(|call| call == "random_get"))
    }

    fn post(path: &str, body: &str) -> Request {
        let headers = Part::Headers(request_headers("POST", path, &[FORM]));
        Request { parts: vec![headers, Part::Body(body.into())] }
    }

    fn get(path: &str) -> Request {
        let claims = json!({ "cnf": { "x5t#S256": pki().get("payments").thumbprint() } });
        let claims = BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
        let token = format!("Bearer e30.{claims}.AA");
        let fields: [(&str, &[u8]); 1] = [("authorization", token.as_bytes())];
        Request { parts: vec![Part::Headers(request_headers("GET", path, &fields))] }
    }

    #[test]
    fn goes_with_equal_requests_until_its_time_is_over() {
        let mut envoy = start(&reusing());
        let requests = [
            ("payments", post("/oauth/token", "client_id=payments")),
            ("payments", post("/oauth/token", "client_id=payments&scope=a")),
            ("payments", post("/oauth/revoke", "client_id=payments")),
            ("payments-rotated", post("/oauth/token", "client_id=payments")),
            ("partner-app", post("/oauth/token", "client_id=partner-app")),
            ("payments", get("/api/accounts")),
            ("payments", get("/api/payments")),
        ];
        let mut send = |seconds: u64| {
            envoy.set_clock(seconds);
            let sent = requests.iter().map(|(name, request)| sent(&mut envoy, name, request));
            sent.unzip::<_, _, Vec<_>, Vec<_>>()
        };
        let (first, drawn) = send(100);
        assert!(drawn.iter().all(|drawn| *drawn));
        let distinct: BTreeSet<_> = first.iter().collect();
        assert_eq!(distinct.len(), requests.len());
        for seconds in [100, 115, 129] {
            let (again, drawn) = send(seconds);
            assert_eq!(again, first, "at {seconds}");
            assert!(!drawn.contains(&true), "at {seconds}");
        }
        for seconds in [130, 99] {
            let (renewed, drawn) = send(seconds);
            assert!(first.iter().zip(&renewed).all(|(first, renewed)| first != renewed));
            assert!(drawn.iter().all(|drawn| *drawn), "at {seconds}");
        }
    }

    #[test]
    fn is_forgotten_with_the_configuration() {
        let mut envoy = start(&reusing());
        let request = post("/oauth/token", "client_id=payments");
        let (first, _) = sent(&mut envoy, "payments", &request);
        envoy.configure(reusing().to_string().as_bytes()).expect("it is right");
        let (second, is_drawn) = sent(&mut envoy, "payments", &request);
        assert!(is_drawn && first != second);
    }

    #[test]
    fn is_known_to_be_sent_again_from_the_log() {
        let log = start(&reusing()).log().to_vec();
        let [line] = &log[..] else { panic!("not one line: {log:#?}") };
        assert!(line.message.ends_with(" signing_key=\"1\" jws_reuse_seconds=30"), "{line:?}");
    }

    #[test]
    fn lets_nobody_in() {
        let mut envoy = start(&reusing());
        let request = post("/oauth/token", "client_id=payments");
        sent(&mut envoy, "payments", &request);
        for (name, reason) in
            [("payments-rogue", "certificate_untrusted"), ("batch", "subject_mismatch")]
        {
            assert_denied(&envoy.exchange(&presenting(name), &request), 401, reason);
        }
        sent(&mut envoy, "payments", &get("/api/accounts"));
        let stolen = envoy.exchange(&presenting("batch"), &get("/api/accounts"));
        assert_denied(&stolen, 401, "token_not_bound");
    }

    #[test]
    fn that_might_expire_on_the_way_is_not_configured() {
        let refusal = |lifetime: u64, reuse: u64| {
            let mut configuration = reusing();
            configuration["signature"]["jws"]["lifetime_seconds"] = json!(lifetime);
            configuration["signature"]["jws"]["reuse_seconds"] = json!(reuse);
            let envoy = Envoy::start(configuration.to_string().as_bytes(), &[]);
            envoy.err().map(|log| format!("{log:?}"))
        };
        for (lifetime, reuse) in [(60, 0), (60, 30), (1, 0), (2, 1), (3600, 1800)] {
            assert_eq!(refusal(lifetime, reuse), None, "{reuse} of {lifetime}");
        }
        for (lifetime, reuse, advice) in [
            (60, 31, "write at most 30"),
            (61, 31, "write at most 30"),
            (1, 1, "write at most 0"),
            (3600, 1801, "a number from 0 to 1800"),
        ] {
            let refusal = refusal(lifetime, reuse).expect("it is too long");
            assert_eq!(refusal.matches("signature.jws.reuse_seconds: ").count(), 1, "{refusal}");
            assert!(refusal.contains(advice), "{refusal}");
        }
    }
}

/// A xorshift generator: random enough, and the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = self.below(300);
        (0..length).map(|_| self.below(256) as u8).collect()
    }
}
