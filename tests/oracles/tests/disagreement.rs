//! No request that two servers read differently gets a certificate: requests of which most are nearly as they should be,
//! held against readings by other libraries.

#![allow(clippy::panic, reason = "a test may fail loudly")]

use std::cell::Cell;

use certbound_oracles::decision::{Seen, decide};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use proptest::{
    collection::vec,
    option,
    prelude::{Just, Strategy, any},
    prop_oneof,
    sample::select,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

const CASES: u32 = 25_000;

/// The same requests every time; another seed by `CERTBOUND_SEED`.
const SEED: u64 = 8705;

const CLIENTS: [&str; 9] = [
    "payments",
    "batch",
    "supplier",
    "partner-app",
    "two words",
    "two+words",
    "mobile",
    "portal",
    "nobody",
];

/// Each client's own certificate, and others.
const IDENTITIES: [&str; 14] = [
    "payments",
    "batch",
    "supplier",
    "partner-app",
    "partner-next",
    "partner-p384",
    "payments-rotated",
    "payments-rogue",
    "payments-expired",
    "payments-revoked",
    "payments-selfsigned",
    "payments-by-partner",
    "via-intermediate",
    "-",
];

fn identity_of(client: &str) -> &'static str {
    match client {
        "two words" => "partner-next",
        "two+words" => "partner-p384",
        "mobile" | "nobody" => "payments",
        "portal" => "-",
        _ => IDENTITIES.iter().find(|identity| **identity == client).unwrap_or(&"-"),
    }
}

/// Somebody's name, mostly that of the client itself.
fn client_id(own: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![
        20 => Just(own.to_owned()),
        3 => select(&CLIENTS[..]).prop_map(str::to_owned),
        1 => select(&["", "Payments", "payments ", "\u{FEFF}payments", "päyments", "payments\0", "a&client_id=batch"][..])
            .prop_map(str::to_owned),
    ]
}

/// Encodes as forms do, or nearly: each character is written as `style` says.
fn encoded(text: &str, style: u8) -> String {
    let escape = |character: char| {
        let mut buffer = [0; 4];
        character
            .encode_utf8(&mut buffer)
            .bytes()
            .map(|byte| format!("%{byte:02X}"))
            .collect::<String>()
    };
    let encode = |(position, character): (usize, char)| match (style, character) {
        (0..=9, 'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.') => character.into(),
        (0..=6, ' ') => "+".into(),
        (10, _) if position % 2 == 0 => escape(character).to_lowercase(),
        // As servers of forms read it that do not know escapes, plus signs, or UTF-8.
        (11, _) | (10, _) => character.into(),
        (12, _) => escape(character).replace('%', "%25"),
        (13, _) => format!("%u{:04x}", u32::from(character)),
        (14, 'a'..='z') => format!("%C1%{:02X}", u32::from(character) | 0x80),
        (15, _) if position == 0 => format!("%{character}"),
        _ => escape(character),
    };
    text.chars().enumerate().map(encode).collect()
}

/// The name of a parameter, mostly as it should be.
fn name(own: &'static str) -> impl Strategy<Value = String> {
    let spoilt = move |kind: u8| match kind {
        0 => own.to_uppercase(),
        1 => own.replace('_', "."),
        2 => format!("{own}[]"),
        3 => format!("+{own}"),
        4 => format!("{own}%00"),
        5 => own.replace('_', "%5F"),
        6 => format!("{own}[0]"),
        7 => own.replace('_', "%255F"),
        8 => format!("%EF%BB%BF{own}"),
        9 => own.replace('_', "-"),
        _ => format!("x&{own}"),
    };
    prop_oneof![12 => Just(own.to_owned()), 1 => (0..11_u8).prop_map(spoilt)]
}

/// A payload of which libraries might read two subjects.
fn assertion(own: &'static str) -> impl Strategy<Value = String> {
    let claims = vec(
        (select(&["sub", "iss", "Sub", "\\u0073ub", "\u{17F}ub", "aud"][..]), client_id(own)),
        1..4,
    );
    (client_id(own), claims, any::<bool>()).prop_map(|(subject, claims, first)| {
        let mut members = vec![format!("\"sub\":{subject:?}")];
        let position = if first { 0 } else { 1 };
        for (claim, value) in claims {
            members.insert(position, format!("\"{claim}\":{value:?}"));
        }
        format!(
            "e30.{}.AA",
            BASE64URL_NOPAD.encode(format!("{{{}}}", members.join(",")).as_bytes())
        )
    })
}

fn parameter(own: &'static str) -> impl Strategy<Value = String> {
    // Most values are encoded well.
    let style = prop_oneof![6 => Just(0_u8), 1 => 7..16_u8];
    let pair = |name: String, value: String| format!("{name}={value}");
    prop_oneof![
        6 => (name("client_id"), client_id(own), style).prop_map(move |(name, value, style)| pair(name, encoded(&value, style))),
        4 => select(&["grant_type=client_credentials", "scope=a+b", "resource=https%3A%2F%2Fa", "", "x", "state=%E2%82%AC"][..])
            .prop_map(str::to_owned),
        1 => name("client_secret").prop_map(move |name| pair(name, "x".into())),
        1 => (name("client_assertion"), assertion(own)).prop_map(move |(name, value)| pair(name, value)),
        1 => Just("client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer".to_owned()),
    ]
}

fn form(own: &'static str) -> impl Strategy<Value = String> {
    let first = (client_id(own), prop_oneof![6 => Just(0_u8), 1 => 7..16_u8]);
    let rest = prop_oneof![4 => vec(parameter(own), 0..1), 4 => vec(parameter(own), 1..4)];
    let separator = prop_oneof![12 => Just("&"), 1 => Just(";"), 1 => Just("&&")];
    (first, rest, separator, any::<bool>()).prop_map(
        |((client_id, style), rest, separator, first)| {
            let mut parameters = rest;
            let position = if first { 0 } else { parameters.len() };
            parameters.insert(position, format!("client_id={}", encoded(&client_id, style)));
            parameters.join(separator)
        },
    )
}

fn authorization(own: &'static str) -> impl Strategy<Value = String> {
    let scheme = prop_oneof![3 => Just("Basic "), 1 => select(&["basic  ", "Bearer x, Basic ", "Basic\t", "Bearer "][..])];
    let client =
        prop_oneof![2 => Just(own.to_owned()), 1 => select(&CLIENTS[..]).prop_map(str::to_owned)];
    let style = prop_oneof![4 => Just(0_u8), 1 => 7..16_u8];
    (scheme, client, style).prop_map(|(scheme, client_id, style)| {
        let credentials = format!("{}:x", encoded(&client_id, style));
        format!("authorization: {scheme}{}\n", BASE64.encode(credentials.as_bytes()))
    })
}

fn content_type() -> impl Strategy<Value = &'static str> {
    let form = "content-type: application/x-www-form-urlencoded\n";
    prop_oneof![
        20 => Just(form),
        1 => select(&[
            "",
            "content-type: application/json\n",
            "content-type: multipart/form-data; boundary=x\n",
            "content-type: application/x-www-form-urlencoded; charset=utf-16\n",
            "content-type: application/x-www-form-urlencoded; charset=UTF-8\n",
            "content-type: application/x-www-form-urlencoded\ncontent-type: application/json\n",
            "content-type: application/x-www-form-urlencoded\ncontent-encoding: gzip\n",
        ][..]),
    ]
}

fn spoofed_fields() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        6 => Just(""),
        1 => select(&[
            "client-cert: :AA==:\n",
            "Client_Cert: :AA==:\n",
            "tls_cert: :AA==:\n",
            "connection: client-cert\n",
            "x-forwarded-client-cert: Hash=00\n",
            "signature-input: sig1=(\"a\"), x=();tag=\"certbound\"\nsignature: sig1=:AA==:, x=:AA==:\n",
        ][..]),
    ]
}

/// A request in the form of `fuzz/corpus/decision`.
fn request() -> impl Strategy<Value = String> {
    select(&CLIENTS[..]).prop_flat_map(|own| {
        let deployment = select(&["envoy", "forward", "pass", "report", "signed", "xfcc"][..]);
        let identity = prop_oneof![6 => Just(identity_of(own)), 1 => select(&IDENTITIES[..])];
        let query = prop_oneof![8 => Just(String::new()), 1 => parameter(own).prop_map(|query| format!("?{query}"))];
        let target = (select(&["/oauth/token", "/oauth/%74oken", "/oauth/device/x"][..]), query);
        let fields = (content_type(), option::weighted(0.2, authorization(own)), spoofed_fields());
        (deployment, identity, target, fields, form(own)).prop_map(
            |(deployment, identity, (path, query), (content_type, authorization, spoofed), form)| {
                let authorization = authorization.unwrap_or_default();
                let query = query.replace(|character: char| !character.is_ascii_graphic(), "");
                format!(
                    "{deployment} {identity} chain\nPOST {path}{query}\n{content_type}{authorization}{spoofed}\n{form}"
                )
            },
        )
    })
}

#[test]
fn no_disagreement_is_let_through_with_a_certificate() {
    #[allow(clippy::disallowed_methods, reason = "to try others by hand")]
    let seed =
        std::env::var("CERTBOUND_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let (let_in, refused) = (Cell::new(0_u32), Cell::new(0_u32));
    let result = runner.run(&request(), |request| {
        match decide(request.as_bytes()) {
            Some(Seen::WithCertificate) => let_in.set(let_in.get().saturating_add(1)),
            Some(Seen::Refused) => refused.set(refused.get().saturating_add(1)),
            _ => {}
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!(
            "with CERTBOUND_SEED={seed}; the request below can be kept in fuzz/corpus/decision\n{error}"
        );
    }
    // A test that refuses everything, or nothing, proves nothing.
    assert!(let_in.get() >= CASES / 5, "{} of {CASES} got a certificate", let_in.get());
    assert!(refused.get() >= CASES / 5, "{} of {CASES} were refused", refused.get());
}
