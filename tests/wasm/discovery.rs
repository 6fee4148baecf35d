//! Responses with metadata, which are held until they have been changed.

use super::{
    envoy::{Envoy, Exchange, Part, Request},
    host::LogLine,
    stream::{Answered, HeaderMap},
    *,
};

const PATH: &str = "/.well-known/openid-configuration";
const DOCUMENT: &str =
    r#"{"issuer":"https://as.example.com","token_endpoint":"https://as.example.com/oauth/token"}"#;
const CHANGED: &str = concat!(
    r#"{"issuer":"https://as.example.com","token_endpoint":"https://as.example.com/oauth/token","#,
    r#""mtls_endpoint_aliases":{"token_endpoint":"https://mtls.example.com/oauth/token"},"#,
    r#""token_endpoint_auth_methods_supported":["client_secret_basic","tls_client_auth","self_signed_tls_client_auth"],"#,
    r#""tls_client_certificate_bound_access_tokens":true}"#,
);

fn envoy() -> Envoy {
    let mut configuration = configuration();
    configuration["discovery"] =
        json!({ "paths": [PATH], "mtls_origin": "https://mtls.example.com" });
    start(&configuration)
}

fn response(fields: &[(&str, &str)], frames: &[&[u8]]) -> Vec<Part> {
    let mut headers = HeaderMap::with_status(200);
    headers.set(b"content-type", b"application/json");
    for (name, value) in fields {
        headers.set(name.as_bytes(), value.as_bytes());
    }
    let frames = frames.iter().map(|frame| Part::Body(frame.to_vec()));
    [Part::Headers(headers)].into_iter().chain(frames).collect()
}

fn exchange(envoy: &mut Envoy, method: &str, path: &str, fields: &[(&str, &[u8])]) -> Exchange {
    let request = Request { parts: vec![Part::Headers(request_headers(method, path, fields))] };
    envoy.exchange(&Connection::without_certificate(), &request)
}

/// What a client gets that asks for the document when the server answers so.
fn answered(response: Vec<Part>) -> (Answered, Exchange) {
    let mut envoy = envoy();
    envoy.server_response = response;
    let exchange = exchange(&mut envoy, "GET", PATH, &[]);
    (exchange.answered.clone().expect("the client got the response"), exchange)
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("it is text")
}

#[test]
fn a_document_is_changed_however_it_arrives() {
    let bytes = DOCUMENT.as_bytes();
    let (start, end) = bytes.split_at(30);
    let by_byte: Vec<&[u8]> = bytes.chunks(1).collect();
    for frames in [&[bytes][..], &[start, end], &[b"", start, b"", end, b""], &by_byte] {
        let (answered, _) = answered(response(&[], frames));
        assert_eq!(text(&answered.body), CHANGED);
        let length = CHANGED.len().to_string();
        assert_eq!(answered.headers.first(b"content-length"), Some(length.as_bytes()));
    }
}

#[test]
fn a_document_may_be_ended_by_trailers() {
    let mut parts = response(&[], &[DOCUMENT.as_bytes()]);
    let trailers = [(b"x-checksum".to_vec(), b"1".to_vec())];
    parts.push(Part::Trailers(trailers.into_iter().collect()));
    let (answered, _) = answered(parts);
    assert_eq!(text(&answered.body), CHANGED);
    assert_eq!(answered.trailers.first(b"x-checksum"), Some(&b"1"[..]));
}

#[test]
fn what_the_server_said_of_its_own_bytes_goes_and_the_rest_stays() {
    let length = DOCUMENT.len().to_string();
    let fields = [
        ("content-length", length.as_str()),
        ("etag", "\"1\""),
        ("last-modified", "Mon, 02 Nov 2026 00:00:00 GMT"),
        ("accept-ranges", "bytes"),
        ("repr-digest", "sha-256=:AA==:"),
        ("cache-control", "max-age=60"),
    ];
    let (changed, _) = answered(response(&fields, &[DOCUMENT.as_bytes()]));
    for name in ["etag", "last-modified", "accept-ranges", "repr-digest"] {
        assert_eq!(changed.headers.first(name.as_bytes()), None, "{name}");
    }
    assert_eq!(changed.headers.first(b"cache-control"), Some(&b"max-age=60"[..]));

    // A document that stays as it is keeps them all.
    let (unchanged, _) = answered(response(&fields, &[b"[]"]));
    for (name, value) in fields {
        assert_eq!(unchanged.headers.first(name.as_bytes()), Some(value.as_bytes()));
    }
}

#[test]
fn the_answer_to_head_tells_nothing_that_is_not_so_of_the_document() {
    let mut envoy = envoy();
    let fields = [("content-length", "85"), ("etag", "\"1\""), ("cache-control", "max-age=60")];
    envoy.server_response = response(&fields, &[]);
    let headers =
        exchange(&mut envoy, "HEAD", PATH, &[]).answered.expect("it was answered").headers;
    assert_eq!(headers.first(b"content-length"), None);
    assert_eq!(headers.first(b"etag"), None);
    assert_eq!(headers.first(b"cache-control"), Some(&b"max-age=60"[..]));
}

#[test]
fn the_server_is_asked_for_the_whole_document_uncompressed() {
    let fields: [(&str, &[u8]); 6] = [
        ("accept-encoding", b"gzip, br"),
        ("if-none-match", b"\"1\""),
        ("if-modified-since", b"Mon, 02 Nov 2026 00:00:00 GMT"),
        ("range", b"bytes=0-9"),
        ("accept", b"application/json"),
        ("client-cert", b"spoofed"),
    ];
    for method in ["GET", "HEAD"] {
        let at_server = upstream(&exchange(&mut envoy(), method, PATH, &fields));
        assert_eq!(at_server.joined("accept-encoding").as_deref(), Some("identity"));
        assert_eq!(at_server.joined("accept").as_deref(), Some("application/json"));
        for name in ["if-none-match", "if-modified-since", "range", "client-cert"] {
            assert_eq!(at_server.joined(name), None, "{name}");
        }
    }
    // Elsewhere this is the client's business.
    let at_server = upstream(&exchange(&mut envoy(), "GET", "/jwks", &fields));
    assert_eq!(at_server.joined("accept-encoding").as_deref(), Some("gzip, br"));
    assert_eq!(at_server.joined("if-none-match").as_deref(), Some("\"1\""));
}

#[test]
fn a_response_that_is_no_document_goes_on_as_it_came() {
    let document = DOCUMENT.as_bytes();
    for (fields, body, reason) in [
        (&[("content-encoding", "gzip")][..], &b"\x1f\x8b\x08"[..], "compressed"),
        (&[("content-type", "text/html")], b"<html>", "media type"),
        (&[], b"", "JSON object"),
        (&[], b"{", "JSON object"),
        (&[], b"\xff\x00", "JSON object"),
        (&[], br#"{"token_endpoint":"https://a/oauth/token","a":1,"a":2}"#, "JSON object"),
        (
            &[],
            br#"{"signed_metadata":"x","token_endpoint":"https://a/oauth/token"}"#,
            "signed_metadata",
        ),
        (&[], br#"{"issuer":"https://as.example.com"}"#, "endpoints"),
        (&[("content-length", "65537")], document, "65536"),
    ] {
        let (answered, exchange) = answered(response(fields, &[body]));
        assert_eq!(answered.body, body);
        let [line] = &exchange.log[..] else { panic!("not one line: {:#?}", exchange.log) };
        assert_eq!(line.level, LogLine::WARN);
        assert!(line.message.contains(reason), "{reason} is not in {:?}", line.message);
    }
    for status in ["304", "404", "503", "206"] {
        let (answered, exchange) = answered(response(&[(":status", status)], &[document]));
        assert_eq!(answered.body, document);
        assert!(exchange.log.is_empty(), "{:#?}", exchange.log);
    }
}

#[test]
fn no_more_of_a_document_is_held_than_could_be_changed() {
    let padding = |size: usize| format!("{}{}", DOCUMENT, " ".repeat(size - DOCUMENT.len()));
    for (size, is_changed) in [(65_536, true), (65_537, false), (300_000, false)] {
        for frame in [1_000, 65_536, 400_000] {
            let document = padding(size);
            let frames: Vec<&[u8]> = document.as_bytes().chunks(frame).collect();
            let (answered, exchange) = answered(response(&[], &frames));
            let expected = if is_changed { CHANGED } else { &document };
            assert!(text(&answered.body) == expected, "{size} bytes in frames of {frame}");
            assert!(exchange.most_held <= 65_536);
        }
    }
}

#[test]
fn other_requests_get_their_responses_untouched() {
    for (method, path) in [("GET", "/jwks"), ("POST", PATH), ("GET", "/.well-known/other")] {
        let mut envoy = envoy();
        envoy.server_response = response(&[("etag", "\"1\"")], &[DOCUMENT.as_bytes(), b" "]);
        let exchange = exchange(&mut envoy, method, path, &[]);
        let answered = exchange.answered.expect("it was answered");
        assert_eq!(answered.body, [DOCUMENT.as_bytes(), b" "].concat());
        assert_eq!(answered.headers.first(b"etag"), Some(&b"\"1\""[..]));
        assert_eq!(exchange.most_held, 0);
    }
    // So does everyone without the configuration.
    let mut envoy = start(&configuration());
    envoy.server_response = response(&[], &[DOCUMENT.as_bytes()]);
    let answered = exchange(&mut envoy, "GET", PATH, &[]).answered.expect("it was answered");
    assert_eq!(text(&answered.body), DOCUMENT);
}

#[test]
fn any_bytes_may_be_in_a_document() {
    let mut random = Random(3);
    for _ in 0..300 {
        let mut bytes = DOCUMENT.as_bytes().to_vec();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.below(256) as u8;
        }
        let (answered, _) = answered(response(&[], &[&bytes]));
        assert!(
            answered.body == bytes || text(&answered.body).contains("https://mtls.example.com")
        );
    }
}
