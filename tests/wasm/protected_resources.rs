//! Requests that wait for the introspection endpoint, and tokens that another filter verified.

use super::{
    envoy::{Envoy, Exchange, Part, Request},
    stream::HeaderMap,
    *,
};

const TOKEN: &[u8] = b"Bearer A~b+/c=";

pub(super) fn introspecting() -> Envoy {
    let mut configuration = configuration();
    configuration["protected_resources"] = json!([{
        "path_prefix": "/api/",
        "token": "introspection",
        "forward": ["certificate"],
        "introspection": {
            "cluster": "as",
            "path": "/introspect",
            "authority": "as.internal",
            "client_id": "gateway",
            "client_secret": { "value": "s3cret" },
            "timeout_milliseconds": 250,
        },
    }]);
    let mut envoy = start(&configuration);
    envoy.add_cluster("as");
    envoy
}

fn headers(method: &str) -> Part {
    Part::Headers(request_headers(method, "/api/accounts", &[("authorization", TOKEN)]))
}

/// What the endpoint says of a token that is bound to a certificate.
fn bound_to(name: &str) -> String {
    json!({ "active": true, "cnf": { "x5t#S256": pki().get(name).thumbprint() } }).to_string()
}

fn answer(envoy: &mut Envoy, body: &str) {
    let (number, _) = envoy.call_under_way().expect("the endpoint is asked");
    envoy.answer_call(number, HeaderMap::with_status(200), body);
}

/// Sends a whole request, and the endpoint's answer after it.
pub(super) fn exchange(
    envoy: &mut Envoy,
    certificate: &str,
    response: HeaderMap,
    body: &str,
) -> Exchange {
    let stream = envoy.open(&presenting(certificate));
    envoy.deliver(stream, headers("GET"), true);
    let (number, _) = envoy.call_under_way().expect("the endpoint is asked");
    envoy.answer_call(number, response, body);
    envoy.close(stream)
}

#[test]
fn the_question_is_that_of_rfc_7662() {
    let mut envoy = introspecting();
    let stream = envoy.open(&presenting("payments"));
    envoy.deliver(stream, headers("GET"), true);
    let (_, call) = envoy.call_under_way().expect("the endpoint is asked");
    assert_eq!(call.context, stream);
    assert_eq!(call.cluster, "as");
    assert_eq!(call.timeout_milliseconds, 250);
    assert_eq!(call.body, "token=A%7Eb%2B%2Fc%3D&token_type_hint=access_token");
    let expected: [(&str, &str); 6] = [
        (":method", "POST"),
        (":path", "/introspect"),
        (":authority", "as.internal"),
        ("accept", "application/json"),
        // gateway:s3cret
        ("authorization", "Basic Z2F0ZXdheTpzM2NyZXQ="),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let fields: Vec<_> = call.headers.iter().collect();
    let expected = expected.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    assert_eq!(fields, expected);
    answer(&mut envoy, &bound_to("payments"));
    assert_allowed(&envoy.close(stream), "payments");
}

#[test]
fn the_answer_decides() {
    let ok = || HeaderMap::with_status(200);
    let mut envoy = introspecting();
    let stolen = exchange(&mut envoy, "batch", ok(), &bound_to("payments"));
    assert_denied(&stolen, 401, "token_not_bound");
    let inactive = exchange(&mut introspecting(), "payments", ok(), r#"{"active":false}"#);
    assert_denied(&inactive, 401, "token_inactive");
}

#[test]
fn a_call_that_fails_lets_nothing_through() {
    for response in [HeaderMap::default(), HeaderMap::with_status(504)] {
        let failed = exchange(&mut introspecting(), "payments", response, &bound_to("payments"));
        assert_denied(&failed, 503, "introspection_failed");
    }
    let mut envoy = introspecting();
    let no_status = exchange(
        &mut envoy,
        "payments",
        [(b"content-type".to_vec(), b"application/json".to_vec())].into_iter().collect(),
        &bound_to("payments"),
    );
    assert_denied(&no_status, 503, "introspection_failed");
}

#[test]
fn a_cluster_that_envoy_lacks_lets_nothing_through() {
    let mut configuration = configuration();
    configuration["protected_resources"] = json!([{
        "path_prefix": "/api/",
        "token": "introspection",
        "introspection": {
            "cluster": "other",
            "path": "/introspect",
            "authority": "as.internal",
            "client_id": "gateway",
            "client_secret": { "value": "s3cret" },
        },
    }]);
    let request = Request { parts: vec![headers("GET")] };
    let refused = start(&configuration).exchange(&presenting("payments"), &request);
    assert_denied(&refused, 503, "introspection_failed");
    assert!(refused.log.iter().any(|line| line.message.contains("\"other\"")), "{:?}", refused.log);
}

#[test]
fn what_comes_meanwhile_is_held() {
    for (bound, is_allowed) in [("payments", true), ("batch", false)] {
        for ends_before in [true, false] {
            let mut envoy = introspecting();
            let stream = envoy.open(&presenting("payments"));
            envoy.deliver(stream, headers("POST"), false);
            envoy.deliver(stream, Part::Body(b"first,".to_vec()), false);
            envoy.deliver(stream, Part::Body(b"second".to_vec()), false);
            if ends_before {
                let trailers = [(b"x-after".to_vec(), b"1".to_vec())].into_iter().collect();
                envoy.deliver(stream, Part::Trailers(trailers), true);
            }
            // Were anything of it forwarded by now, the refusal would end the test.
            answer(&mut envoy, &bound_to(bound));
            if !ends_before {
                envoy.deliver(stream, Part::Body(b",third".to_vec()), true);
            }
            let exchange = envoy.close(stream);
            if !is_allowed {
                assert_denied(&exchange, 401, "token_not_bound");
                continue;
            }
            assert_eq!(exchange.state("certbound.outcome"), Some("allowed"));
            let forwarded = exchange.forwarded.as_ref().expect("it was forwarded");
            assert!(forwarded.is_complete);
            assert_eq!(forwarded.before_the_end, !ends_before);
            let whole: &[u8] = if ends_before { b"first,second" } else { b"first,second,third" };
            assert_eq!(forwarded.body, whole);
            assert_eq!(forwarded.trailers.iter().count(), usize::from(ends_before));
        }
    }
}

#[test]
fn an_answer_is_remembered_but_not_for_other_tokens() {
    let mut envoy = introspecting();
    let ok = HeaderMap::with_status(200);
    assert_allowed(&exchange(&mut envoy, "payments", ok, &bound_to("payments")), "payments");
    let again = Request { parts: vec![headers("GET")] };
    assert_allowed(&envoy.exchange(&presenting("payments"), &again), "payments");
    assert_denied(&envoy.exchange(&presenting("batch"), &again), 401, "token_not_bound");
    let stream = envoy.open(&presenting("payments"));
    let other = request_headers("GET", "/api/accounts", &[("authorization", b"Bearer other")]);
    envoy.deliver(stream, Part::Headers(other), true);
    answer(&mut envoy, r#"{"active":false}"#);
    assert_denied(&envoy.close(stream), 401, "token_inactive");
}

#[test]
fn calls_of_several_requests_do_not_mix() {
    let mut envoy = introspecting();
    let streams = ["payments", "batch"].map(|name| envoy.open(&presenting(name)));
    let numbers = streams.map(|stream| {
        envoy.deliver(stream, headers("GET"), true);
        envoy.call_of(stream)
    });
    for number in numbers.into_iter().rev() {
        envoy.answer_call(number, HeaderMap::with_status(200), &bound_to("payments"));
    }
    let [payments, batch] = streams.map(|stream| envoy.close(stream));
    assert_allowed(&payments, "payments");
    assert_denied(&batch, 401, "token_not_bound");
}

mod verified_by_jwt_authn {
    use super::*;

    const PAYLOAD: &str = "metadata.filter_metadata.envoy.filters.http.jwt_authn.jwt_payload";

    fn exchange(connection: &Connection) -> Exchange {
        let mut configuration = configuration();
        configuration["protected_resources"] =
            json!([{ "path_prefix": "/api/", "token": "jwt_authn", "forward": ["certificate"] }]);
        let request =
            Request { parts: vec![Part::Headers(request_headers("GET", "/api/accounts", &[]))] };
        start(&configuration).exchange(connection, &request)
    }

    fn with_cnf(name: &str) -> Connection {
        let thumbprint = pki().get("payments").thumbprint();
        presenting(name)
            .with(PAYLOAD, "pairs")
            .with(&format!("{PAYLOAD}.cnf"), "pairs")
            .with(&format!("{PAYLOAD}.cnf.x5t#S256"), thumbprint)
    }

    #[test]
    fn a_token_is_bound_by_its_payload() {
        assert_allowed(&exchange(&with_cnf("payments")), "payments");
        assert_denied(&exchange(&with_cnf("batch")), 401, "token_not_bound");
        assert_denied(&exchange(&presenting("payments")), 401, "token_missing");
        let unbound = presenting("payments").with(PAYLOAD, "pairs");
        assert_denied(&exchange(&unbound), 401, "token_not_bound");
    }

    // Envoy has no bytes for null, nor for an object with null in it.
    #[test]
    fn null_is_no_failure_but_equal_to_nothing() {
        let null = Status::SerializationFailure;
        let elsewhere = with_cnf("payments").failing(PAYLOAD, null);
        assert_allowed(&exchange(&elsewhere), "payments");
        for member in [".cnf.x5t#S256", ".cnf.jkt"] {
            let connection = with_cnf("payments").failing(&format!("{PAYLOAD}{member}"), null);
            assert_denied(&exchange(&connection), 401, "token_not_bound");
        }
    }

    #[test]
    fn a_payload_that_envoy_cannot_give_is_refused() {
        let failing = with_cnf("payments").failing(PAYLOAD, Status::InternalFailure);
        assert_denied(&exchange(&failing), 500, "host_error");
    }
}
