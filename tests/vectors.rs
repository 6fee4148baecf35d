//! Examples printed in the RFCs that certbound implements.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail loudly"
)]

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use certbound::{
    certificate::{Certificate, SubjectAlternativeName, ValidityStatus},
    client_cert::CertificateHeaderFormat,
    http_signature::{Component, Field, SignatureBase, SignatureParameters, SignedRequest},
    jws,
    jwt::CompactJws,
    pem,
    public_key::PublicKey,
    signing_key::SigningSecret,
    thumbprint::Thumbprint,
    verification_key::VerificationKey,
};
use p256::ecdsa::signature::Verifier as _;
use serde_json::{Value, json};

/// RFC 8705 appendix A: the certificate, its `x5t#S256` and its JWK.
#[test]
fn rfc_8705_appendix_a_certificate_has_its_thumbprint_and_key() {
    let der = pem::peer_certificate(include_bytes!("vectors/rfc8705_appendix_a.pem")).unwrap();
    let certificate = Certificate::from_der(der).unwrap();
    let confirmation = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0";
    assert_eq!(certificate.thumbprint().to_string(), confirmation);
    assert_eq!(Thumbprint::parse(confirmation), Ok(certificate.thumbprint()));
    let jwk = json!({
        "kty": "EC",
        "x": "1yfLHCpXqFjxCeHHHMVDTcLscpb07KUxudBmOMn8C7Q",
        "y": "8_coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8",
        "crv": "P-256",
    });
    let key = PublicKey::from_jwk(jwk.as_object().unwrap()).unwrap();
    assert_eq!(certificate.public_key(), Some(&key));
    // notBefore 2018-10-18T12:37:09Z, notAfter 2022-05-02T12:37:09Z
    assert_eq!(certificate.validity_at(1_539_866_228), ValidityStatus::NotYetValid);
    assert_eq!(certificate.validity_at(1_539_866_229), ValidityStatus::Valid);
    assert_eq!(certificate.validity_at(1_651_495_029), ValidityStatus::Valid);
    assert_eq!(certificate.validity_at(1_651_495_030), ValidityStatus::Expired);
}

/// The certificate of RFC 9440 appendix A and RFC 9421 appendix B.3, in base64.
const RFC_9440_CERTIFICATE: &str = concat!(
    "MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxGzAZBgNVBAMMEkxB",
    "IEludGVybWVkaWF0ZSBDQTAeFw0yMDAxMTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkwEwYHKoZI",
    "zj0CAQYIKoZIzj0DAQcDQgAE8YnXXfaUgmnMtOXU/IncWalRhebrXmckC8vdgJ1p5Be5F/3YC8OthxM4+k1M6aEAEFcGzkJi",
    "Ny6J84y7uzo9M6NyMHAwCQYDVR0TBAIwADAfBgNVHSMEGDAWgBRm3WjLa38lbEYCuiCPct0ZaSED2DAOBgNVHQ8BAf8EBAMC",
    "BsAwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0RAQH/BBMwEYEPYmRjQGV4YW1wbGUuY29tMAoGCCqGSM49BAMCA0gAMEUC",
    "IBHda/r1vaL6G3VliL4/Di6YK0Q6bMjeSkC3dFCOOB8TAiEAx/kHSB4urmiZ0NX5r5XarmPk0wmuydBVoU4hBVZ1yhk=",
);

/// RFC 9440 appendix A.
#[test]
fn rfc_9440_appendix_a_certificate_is_written_as_client_cert() {
    let certificate =
        Certificate::from_der(BASE64_STANDARD.decode(RFC_9440_CERTIFICATE).unwrap()).unwrap();
    let field = CertificateHeaderFormat::Rfc9440.certificate(certificate.der(), None);
    assert_eq!(field, format!(":{RFC_9440_CERTIFICATE}:"));
    assert_eq!(
        certificate.subject_alt_names(),
        [SubjectAlternativeName::Email("bdc@example.com".into())]
    );
    assert_eq!(certificate.subject().to_string(), "CN=BC");
    assert!(certificate.allows_client_authentication());
}

/// The fields of the request that RFC 9421 appendix B.2 signs.
const TEST_REQUEST: [Field<'_>; 3] = [
    ("date", b"Tue, 20 Apr 2021 02:07:55 GMT"),
    ("content-type", b"application/json"),
    ("content-length", b"18"),
];

fn components<const N: usize>(identifiers: [&str; N]) -> [Component; N] {
    identifiers.map(|identifier| Component::parse(identifier).unwrap())
}

/// RFC 9421 appendix B.2.5.
#[test]
fn rfc_9421_appendix_b_2_5_hmac_sha256() {
    let request = SignedRequest {
        method: "POST",
        authority: "example.com",
        target: "/foo?param=Value&Pet=dog",
        fields: &TEST_REQUEST,
    };
    let components = components(["date", "@authority", "content-type"]);
    let parameters = SignatureParameters {
        created: Some(1_618_884_473),
        keyid: Some("test-shared-secret"),
        ..SignatureParameters::default()
    };
    let base = SignatureBase::new(&components, &parameters, &request).unwrap();
    assert_eq!(
        base.base,
        "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\
         \"@authority\": example.com\n\
         \"content-type\": application/json\n\
         \"@signature-params\": (\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\""
    );
    let secret =
        "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
    let signature =
        SigningSecret::hmac_sha256_from_base64(secret).unwrap().sign(base.base.as_bytes());
    assert_eq!(BASE64_STANDARD.encode(signature), "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=");
}

/// RFC 9421 appendix B.2.6, with the key of B.1.4.
#[test]
fn rfc_9421_appendix_b_2_6_ed25519() {
    let request = SignedRequest {
        method: "POST",
        authority: "example.com",
        target: "/foo?param=Value&Pet=dog",
        fields: &TEST_REQUEST,
    };
    let components =
        components(["date", "@method", "@path", "@authority", "content-type", "content-length"]);
    let parameters = SignatureParameters {
        created: Some(1_618_884_473),
        keyid: Some("test-key-ed25519"),
        ..SignatureParameters::default()
    };
    let base = SignatureBase::new(&components, &parameters, &request).unwrap();
    assert_eq!(
        base.base,
        "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\
         \"@method\": POST\n\
         \"@path\": /foo\n\
         \"@authority\": example.com\n\
         \"content-type\": application/json\n\
         \"content-length\": 18\n\
         \"@signature-params\": (\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\")\
         ;created=1618884473;keyid=\"test-key-ed25519\""
    );
    let key = SigningSecret::ed25519_from_pem(
        "-----BEGIN PRIVATE KEY-----\n\
         MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n\
         -----END PRIVATE KEY-----\n",
    )
    .unwrap();
    assert_eq!(
        BASE64_STANDARD.encode(key.sign(base.base.as_bytes())),
        "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="
    );
}

/// `test-key-ecc-p256` of RFC 9421 appendix B.1.3, converted to PKCS#8 with `openssl pkcs8 -topk8 -nocrypt`.
const TEST_KEY_ECC_P256: &str = "-----BEGIN PRIVATE KEY-----\n\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgUpuF81l+kOxbjf7T\n\
    4mNSv0r5tN67Gim7rnf6EFpcYDuhRANCAASohVhlUsKs9kcYeM/XsJNbT/4P0t/D\n\
    QSSOoXvEHgWK8DHOJzfS0wzgYX6FHoPGHvVnnRUYZ2V2SQNdkKdM2ehd\n\
    -----END PRIVATE KEY-----\n";

/// Whether a published ECDSA signature, `r` and `s` in base64, is one of this key: they are not deterministic.
fn is_ecdsa_signature(key: &SigningSecret, message: &str, signature: &[u8]) -> bool {
    let SigningSecret::EcdsaP256(key) = key else { panic!("{key:?}") };
    let signature = p256::ecdsa::Signature::from_slice(signature).unwrap();
    key.verifying_key().verify(message.as_bytes(), &signature).is_ok()
}

/// RFC 9421 appendix B.2.4. What is signed there is a response, so that the base is taken as it is printed.
#[test]
fn rfc_9421_appendix_b_2_4_ecdsa_p256_sha256() {
    let base = "\"@status\": 200\n\
         \"content-type\": application/json\n\
         \"content-digest\": sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:\n\
         \"content-length\": 23\n\
         \"@signature-params\": (\"@status\" \"content-type\" \"content-digest\" \"content-length\");created=1618884473;keyid=\"test-key-ecc-p256\"";
    let signature =
        "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==";
    let key = SigningSecret::ecdsa_p256_from_pem(TEST_KEY_ECC_P256).unwrap();
    assert!(is_ecdsa_signature(&key, base, &BASE64_STANDARD.decode(signature).unwrap()));
    assert!(is_ecdsa_signature(&key, base, &key.sign(base.as_bytes())));
    let jwk = json!({
        "kty": "EC",
        "crv": "P-256",
        "kid": "test-key-ecc-p256",
        "x": "qIVYZVLCrPZHGHjP17CTW0_-D9Lfw0EkjqF7xB4FivA",
        "y": "Mc4nN9LTDOBhfoUeg8Ye9WedFRhnZXZJA12Qp0zZ6F0",
    });
    assert_verifies(&jwk, base, signature);
}

/// RFC 6979 appendix A.2.5: P-256 with SHA-256. Not normalised to a low `s`, as RFC 9421 and RFC 7518 do not ask for it.
#[test]
fn rfc_6979_appendix_a_2_5_deterministic_ecdsa() {
    let key = hex("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721");
    let key =
        SigningSecret::EcdsaP256(Box::new(p256::ecdsa::SigningKey::from_slice(&key).unwrap()));
    for (message, signature) in [
        (
            "sample",
            "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716\
             F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
        ),
        (
            "test",
            "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367\
             019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083",
        ),
    ] {
        assert_eq!(key.sign(message.as_bytes()), hex(signature), "{message}");
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().collect();
    let octet = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(octet).collect()
}

/// RFC 8037 appendix A.1 and A.4.
#[test]
fn rfc_8037_appendix_a_4_ed25519_jws() {
    let key = BASE64_URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
    let key = ed25519_dalek::SigningKey::from_bytes(&key.try_into().unwrap());
    assert_eq!(
        jws::compact(
            r#"{"alg":"EdDSA"}"#,
            "Example of Ed25519 signing",
            &SigningSecret::Ed25519(Box::new(key))
        ),
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
         hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    );
}

const RFC_7515_PAYLOAD: &str =
    "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";

/// RFC 7515 appendix A.1.
#[test]
fn rfc_7515_appendix_a_1_hmac_sha256_jws() {
    let key =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ+EstJQLr/T+1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow==";
    assert_eq!(
        jws::compact(
            "{\"typ\":\"JWT\",\r\n \"alg\":\"HS256\"}",
            RFC_7515_PAYLOAD,
            &SigningSecret::hmac_sha256_from_base64(key).unwrap()
        ),
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
         eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
         dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
}

/// RFC 7515 appendix A.3.
#[test]
fn rfc_7515_appendix_a_3_ecdsa_jws() {
    let key = BASE64_URL_SAFE_NO_PAD.decode("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI").unwrap();
    let key =
        SigningSecret::EcdsaP256(Box::new(p256::ecdsa::SigningKey::from_slice(&key).unwrap()));
    let ours = jws::compact(r#"{"alg":"ES256"}"#, RFC_7515_PAYLOAD, &key);
    let (signing_input, signature) = ours.rsplit_once('.').unwrap();
    assert_eq!(
        signing_input,
        "eyJhbGciOiJFUzI1NiJ9.\
         eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    );
    let published =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    for signature in [published, signature] {
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert!(is_ecdsa_signature(&key, signing_input, &signature));
    }
}

/// The lines of the base that cover these components in a request.
fn lines<const N: usize>(identifiers: [&str; N], request: &SignedRequest<'_>) -> String {
    let parameters = SignatureParameters::default();
    let base = SignatureBase::new(&components(identifiers), &parameters, request).unwrap().base;
    let (lines, parameters) = base.rsplit_once("\n").unwrap();
    assert_eq!(parameters, format!("\"@signature-params\": ({})", identifiers.join(" ")));
    lines.to_owned()
}

fn fields<'a, const N: usize>(fields: [(&'a str, &'a str); N]) -> [Field<'a>; N] {
    fields.map(|(name, value)| (name, value.as_bytes()))
}

fn get<'a>(target: &'a str, fields: &'a [Field<'a>]) -> SignedRequest<'a> {
    SignedRequest { method: "GET", authority: "www.example.com", target, fields }
}

/// RFC 9421 §2.1: several lines, white space around values, an empty value.
#[test]
fn rfc_9421_section_2_1_fields() {
    let fields = fields([
        ("host", "www.example.com"),
        ("date", "Tue, 20 Apr 2021 02:07:56 GMT"),
        ("x-ows-header", "   Leading and trailing whitespace.   "),
        ("x-obs-fold-header", "Obsolete line folding."),
        ("cache-control", "max-age=60"),
        ("cache-control", "   must-revalidate"),
        ("example-dict", " a=1,    b=2;x=1;y=2,   c=(a   b   c)"),
        ("x-empty-header", ""),
    ]);
    assert_eq!(
        lines(
            [
                r#""cache-control""#,
                r#""date""#,
                r#""host""#,
                r#""x-ows-header""#,
                r#""x-obs-fold-header""#,
                r#""example-dict""#,
                r#""x-empty-header""#,
            ],
            &get("/", &fields)
        ),
        "\"cache-control\": max-age=60, must-revalidate\n\
         \"date\": Tue, 20 Apr 2021 02:07:56 GMT\n\
         \"host\": www.example.com\n\
         \"x-ows-header\": Leading and trailing whitespace.\n\
         \"x-obs-fold-header\": Obsolete line folding.\n\
         \"example-dict\": a=1,    b=2;x=1;y=2,   c=(a   b   c)\n\
         \"x-empty-header\": "
    );
}

/// RFC 9421 §2.1.1. The example's field is of unknown type; `priority` has the same one.
#[test]
fn rfc_9421_section_2_1_1_strictly_serialised_structured_fields() {
    let fields = fields([("priority", " a=1,    b=2;x=1;y=2,   c=(a   b   c)")]);
    assert_eq!(
        lines([r#""priority";sf"#], &get("/", &fields)),
        "\"priority\";sf: a=1, b=2;x=1;y=2, c=(a b c)"
    );
}

/// RFC 9421 §2.1.2.
#[test]
fn rfc_9421_section_2_1_2_dictionary_members() {
    let fields = fields([("example-dict", "  a=1, b=2;x=1;y=2, c=(a   b    c), d")]);
    assert_eq!(
        lines(
            [
                r#""example-dict";key="a""#,
                r#""example-dict";key="d""#,
                r#""example-dict";key="b""#,
                r#""example-dict";key="c""#,
            ],
            &get("/", &fields)
        ),
        "\"example-dict\";key=\"a\": 1\n\
         \"example-dict\";key=\"d\": ?1\n\
         \"example-dict\";key=\"b\": 2;x=1;y=2\n\
         \"example-dict\";key=\"c\": (a b c)"
    );
}

/// RFC 9421 §2.1.3: the same values in two fields and in one, which only `bs` tells apart.
#[test]
fn rfc_9421_section_2_1_3_byte_sequences() {
    let two = fields([("example-header", "value, with, lots"), ("example-header", "of, commas")]);
    let one = fields([("example-header", "value, with, lots, of, commas")]);
    let plain = "\"example-header\": value, with, lots, of, commas";
    assert_eq!(lines([r#""example-header""#], &get("/", &two)), plain);
    assert_eq!(lines([r#""example-header""#], &get("/", &one)), plain);
    assert_eq!(
        lines([r#""example-header";bs"#], &get("/", &two)),
        "\"example-header\";bs: :dmFsdWUsIHdpdGgsIGxvdHM=:, :b2YsIGNvbW1hcw==:"
    );
    assert_eq!(
        lines([r#""example-header";bs"#], &get("/", &one)),
        "\"example-header\";bs: :dmFsdWUsIHdpdGgsIGxvdHMsIG9mLCBjb21tYXM=:"
    );
}

/// RFC 9421 §2.2.1 to §2.2.7.
#[test]
fn rfc_9421_section_2_2_derived_components() {
    assert_eq!(
        lines(
            [
                r#""@method""#,
                r#""@target-uri""#,
                r#""@authority""#,
                r#""@scheme""#,
                r#""@request-target""#,
                r#""@path""#,
                r#""@query""#,
            ],
            &get("/path?param=value", &[])
        ),
        "\"@method\": GET\n\
         \"@target-uri\": https://www.example.com/path?param=value\n\
         \"@authority\": www.example.com\n\
         \"@scheme\": https\n\
         \"@request-target\": /path?param=value\n\
         \"@path\": /path\n\
         \"@query\": ?param=value"
    );
    for (target, query) in [
        ("/path?param=value&foo=bar&baz=bat%2Dman", "?param=value&foo=bar&baz=bat%2Dman"),
        ("/path?queryString", "?queryString"),
        ("/path", "?"),
        ("/path?", "?"),
    ] {
        let line = lines([r#""@query""#], &get(target, &[]));
        assert_eq!(line, format!("\"@query\": {query}"));
    }
}

/// RFC 9421 §2.2.8.
#[test]
fn rfc_9421_section_2_2_8_query_parameters() {
    assert_eq!(
        lines(
            [
                r#""@query-param";name="baz""#,
                r#""@query-param";name="qux""#,
                r#""@query-param";name="param""#,
            ],
            &get("/path?param=value&foo=bar&baz=batman&qux=", &[])
        ),
        "\"@query-param\";name=\"baz\": batman\n\
         \"@query-param\";name=\"qux\": \n\
         \"@query-param\";name=\"param\": value"
    );
    assert_eq!(
        lines(
            [
                r#""@query-param";name="var""#,
                r#""@query-param";name="bar""#,
                r#""@query-param";name="fa%C3%A7ade%22%3A%20""#,
            ],
            &get(
                "/parameters?var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something",
                &[]
            )
        ),
        "\"@query-param\";name=\"var\": this%20is%20a%20big%0Amultiline%20value\n\
         \"@query-param\";name=\"bar\": with%20plus%20whitespace\n\
         \"@query-param\";name=\"fa%C3%A7ade%22%3A%20\": something"
    );
}

/// RFC 9421 §4.3: a proxy covers the signature of its client.
#[test]
fn rfc_9421_section_4_3_signature_of_another() {
    let fields = fields([
        (
            "signature-input",
            "sig1=(\"@method\" \"@authority\" \"@path\" \"content-digest\" \"content-type\" \"content-length\");created=1618884475;keyid=\"test-key-ecc-p256\"",
        ),
        (
            "signature",
            "sig1=:X5spyd6CFnAG5QnDyHfqoSNICd+BUP4LYMz2Q0JXlb//4Ijpzp+kve2w4NIyqeAuM7jTDX+sNalzA8ESSaHD3A==:",
        ),
    ]);
    assert_eq!(
        lines([r#""signature";key="sig1""#, r#""signature-input";key="sig1""#], &get("/", &fields)),
        "\"signature\";key=\"sig1\": :X5spyd6CFnAG5QnDyHfqoSNICd+BUP4LYMz2Q0JXlb//4Ijpzp+kve2w4NIyqeAuM7jTDX+sNalzA8ESSaHD3A==:\n\
         \"signature-input\";key=\"sig1\": (\"@method\" \"@authority\" \"@path\" \"content-digest\" \"content-type\" \"content-length\");created=1618884475;keyid=\"test-key-ecc-p256\""
    );
}

/// RFC 9421 appendix B.3: what a TLS-terminating proxy signs. The signature there is ECDSA and not deterministic.
#[test]
fn rfc_9421_appendix_b_3_tls_terminating_proxy() {
    let certificate = format!(" :{RFC_9440_CERTIFICATE}: ");
    let request = SignedRequest {
        method: "POST",
        authority: "Service.internal.example:443",
        target: "/foo?param=Value&Pet=dog",
        fields: &fields([("client-cert", &certificate)]),
    };
    let components = components(["@path", "@query", "@method", "@authority", "client-cert"]);
    let parameters = SignatureParameters {
        created: Some(1_618_884_473),
        keyid: Some("test-key-ecc-p256"),
        ..SignatureParameters::default()
    };
    let base = SignatureBase::new(&components, &parameters, &request).unwrap();
    assert_eq!(
        base.base,
        format!(
            "\"@path\": /foo\n\
             \"@query\": ?param=Value&Pet=dog\n\
             \"@method\": POST\n\
             \"@authority\": service.internal.example\n\
             \"client-cert\": :{RFC_9440_CERTIFICATE}:\n\
             \"@signature-params\": (\"@path\" \"@query\" \"@method\" \"@authority\" \"client-cert\");created=1618884473;keyid=\"test-key-ecc-p256\""
        )
    );
    let published =
        "xVMHVpawaAC/0SbHrKRs9i8I3eOs5RtTMGCWXm/9nvZzoHsIg6Mce9315T6xoklyy0yzhD9ah4JHRwMLOgmizw==";
    let key = SigningSecret::ecdsa_p256_from_pem(TEST_KEY_ECC_P256).unwrap();
    assert!(is_ecdsa_signature(&key, &base.base, &BASE64_STANDARD.decode(published).unwrap()));
}

/// Verifies an example's signature in base64, and that it is not one over another message.
fn assert_verifies(jwk: &Value, message: &str, signature: &str) {
    let key = VerificationKey::from_jwk(jwk.as_object().unwrap()).unwrap();
    let signature = BASE64_STANDARD.decode(signature).unwrap();
    assert!(key.verifies(message.as_bytes(), &signature), "{message}");
    assert!(!key.verifies(format!("{message} ").as_bytes(), &signature), "{message}");
    assert!(!key.verifies(message.as_bytes(), &signature[1..]), "{message}");
}

/// RFC 9421 appendices B.2.5 and B.2.6 as their verifier sees them, with the keys of B.1.5 and B.1.4.
#[test]
fn rfc_9421_appendix_b_2_signatures_are_verified() {
    let secret =
        "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
    let secret = BASE64_URL_SAFE_NO_PAD.encode(BASE64_STANDARD.decode(secret).unwrap());
    assert_verifies(
        &json!({ "kty": "oct", "k": secret }),
        "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\
         \"@authority\": example.com\n\
         \"content-type\": application/json\n\
         \"@signature-params\": (\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\"",
        "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=",
    );
    assert_verifies(
        &json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "kid": "test-key-ed25519",
            "x": "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs",
        }),
        "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\
         \"@method\": POST\n\
         \"@path\": /foo\n\
         \"@authority\": example.com\n\
         \"content-type\": application/json\n\
         \"content-length\": 18\n\
         \"@signature-params\": (\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\")\
         ;created=1618884473;keyid=\"test-key-ed25519\"",
        "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
    );
}

fn assert_jws_verifies(jwk: &Value, alg: &str, jws: &str) {
    let compact = CompactJws::parse(jws).unwrap();
    let header: Value = serde_json::from_slice(&compact.header).unwrap();
    assert_eq!(header["alg"], alg);
    let key = VerificationKey::from_jwk(jwk.as_object().unwrap()).unwrap();
    assert!(key.is_for_jws(alg));
    assert_verifies(jwk, compact.signing_input, &BASE64_STANDARD.encode(&compact.signature));
}

/// RFC 7515 appendices A.1 and A.3.
#[test]
fn rfc_7515_appendix_a_signatures_are_verified() {
    let payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    assert_jws_verifies(
        &json!({
            "kty": "oct",
            "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        }),
        "HS256",
        &format!(
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{payload}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
        ),
    );
    assert_jws_verifies(
        &json!({
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        }),
        "ES256",
        &format!(
            "eyJhbGciOiJFUzI1NiJ9.{payload}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
        ),
    );
}

/// The key of RFC 8037 appendix A.2.
fn rfc_8037_jwk() -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" })
}

/// RFC 8037 appendix A.4.
#[test]
fn rfc_8037_appendix_a_4_signature_is_verified() {
    assert_jws_verifies(
        &rfc_8037_jwk(),
        "EdDSA",
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
         hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    );
}

/// RFC 7638 §3.1 and RFC 8037 appendix A.3.
#[test]
fn rfc_7638_and_8037_thumbprints_of_keys() {
    let rsa = json!({
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB",
        "alg": "RS256",
        "kid": "2011-04-29",
    });
    for (jwk, thumbprint) in [
        (rsa, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"),
        (rfc_8037_jwk(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
    ] {
        let key = PublicKey::from_jwk(jwk.as_object().unwrap()).unwrap();
        assert_eq!(key.jwk_thumbprint(), thumbprint);
        for (member, value) in key.to_jwk() {
            assert_eq!(jwk[member], *value, "{member}");
        }
    }
}
