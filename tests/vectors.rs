//! Examples printed in the RFCs that certbound implements.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use certbound::{
    certificate::{Certificate, SubjectAlternativeName, ValidityStatus},
    client_cert::CertificateHeaderFormat,
    http_signature::{Component, SignatureBase, SignatureParameters, SignedRequest, SigningSecret},
    pem,
    public_key::PublicKey,
    thumbprint::Thumbprint,
};
use serde_json::json;

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
