//! Examples printed in the RFCs that certbound implements.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may fail loudly")]

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use certbound::{
    certificate::{Certificate, SubjectAlternativeName, ValidityStatus},
    client_cert::CertificateHeaderFormat,
    http_signature::{Component, SignatureBase, SignatureParameters, SignedRequest, SigningSecret},
    jwt::CompactJws,
    pem,
    public_key::PublicKey,
    thumbprint::Thumbprint,
    verification_key::VerificationKey,
};
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
    let field = CertificateHeaderFormat::Rfc9440.certificate(certificate.der(), &[]);
    assert_eq!(field, format!(":{RFC_9440_CERTIFICATE}:"));
    assert_eq!(
        certificate.subject_alt_names(),
        [SubjectAlternativeName::Email("bdc@example.com".into())]
    );
    assert_eq!(certificate.subject().to_string(), "CN=BC");
    assert!(certificate.allows_client_authentication());
}

/// The request that RFC 9421 appendix B.2 signs.
fn test_request() -> Vec<(String, Vec<u8>)> {
    [
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("content-type", "application/json"),
        ("content-length", "18"),
    ]
    .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
    .to_vec()
}

fn field(name: &str) -> Component {
    Component::Field(name.to_owned())
}

/// RFC 9421 appendix B.2.5.
#[test]
fn rfc_9421_appendix_b_2_5_hmac_sha256() {
    let fields = test_request();
    let request = SignedRequest {
        method: "POST",
        authority: "example.com",
        target: "/foo?param=Value&Pet=dog",
        fields: &fields,
    };
    let components = [field("date"), Component::Authority, field("content-type")];
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
    let fields = test_request();
    let request = SignedRequest {
        method: "POST",
        authority: "example.com",
        target: "/foo?param=Value&Pet=dog",
        fields: &fields,
    };
    let components = [
        field("date"),
        Component::Method,
        Component::Path,
        Component::Authority,
        field("content-type"),
        field("content-length"),
    ];
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

/// RFC 9421 appendix B.3: what a TLS-terminating proxy signs. The signature there is ECDSA and not deterministic, so
/// the base is compared.
#[test]
fn rfc_9421_appendix_b_3_tls_terminating_proxy() {
    let fields =
        vec![("client-cert".to_owned(), format!(" :{RFC_9440_CERTIFICATE}: ").into_bytes())];
    let request = SignedRequest {
        method: "POST",
        authority: "Service.internal.example:443",
        target: "/foo?param=Value&Pet=dog",
        fields: &fields,
    };
    let components = [
        Component::Path,
        Component::Query,
        Component::Method,
        Component::Authority,
        field("client-cert"),
    ];
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
}

/// Verifies an example's signature in base64, and that it is not one over another message.
fn assert_verifies(jwk: &Value, message: &str, signature: &str) {
    let key = VerificationKey::from_jwk(jwk.as_object().unwrap()).unwrap();
    let signature = BASE64_STANDARD.decode(signature).unwrap();
    assert!(key.verifies(message.as_bytes(), &signature), "{message}");
    assert!(!key.verifies(format!("{message} ").as_bytes(), &signature), "{message}");
    assert!(!key.verifies(message.as_bytes(), &signature[1..]), "{message}");
}

/// RFC 9421 appendix B.2.4, with the key of B.1.3. It signs a response, of which certbound signs none.
#[test]
fn rfc_9421_appendix_b_2_4_ecdsa_p256_sha256() {
    let jwk = json!({
        "kty": "EC",
        "crv": "P-256",
        "kid": "test-key-ecc-p256",
        "x": "qIVYZVLCrPZHGHjP17CTW0_-D9Lfw0EkjqF7xB4FivA",
        "y": "Mc4nN9LTDOBhfoUeg8Ye9WedFRhnZXZJA12Qp0zZ6F0",
    });
    assert_verifies(
        &jwk,
        "\"@status\": 200\n\
         \"content-type\": application/json\n\
         \"content-digest\": sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:\n\
         \"content-length\": 23\n\
         \"@signature-params\": (\"@status\" \"content-type\" \"content-digest\" \"content-length\");created=1618884473;keyid=\"test-key-ecc-p256\"",
        "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==",
    );
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
