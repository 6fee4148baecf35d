//! Certificates as servers expect them in header fields, written down here once more so that the tests do not take the
//! filter's word for it.

use base64::{Engine, prelude::BASE64_STANDARD};
use demo_pki::Identity;
use sha2::{Digest, Sha256};

/// The value for certificates, by the name that cases call a form by; `None` for a name that is no form.
pub(crate) fn written(form: &str, certificates: &[&[u8]]) -> Option<String> {
    let each = |write: fn(&[u8]) -> String, separator: &str| {
        Some(certificates.iter().map(|der| write(der)).collect::<Vec<_>>().join(separator))
    };
    match form {
        "base64_der" => Some(BASE64_STANDARD.encode(certificates.concat())),
        "pem" => each(pem, ""),
        "pem_on_one_line" => each(|der| pem(der).trim().replace('\n', " "), " "),
        "rfc9440" => each(|der| format!(":{}:", BASE64_STANDARD.encode(der)), ", "),
        "traefik" => each(|der| BASE64_STANDARD.encode(der), ","),
        "urlencoded_pem" => each(|der| url_encoded(&pem(der)), ""),
        _ => None,
    }
}

/// `x-forwarded-client-cert` as Envoy writes it with `cert: true` and, if asked for, `chain: true`.
pub(crate) fn xfcc(identity: &Identity, with_chain: bool) -> String {
    let element = format!(
        "Hash={};Cert=\"{}\"",
        hex_digest(identity),
        url_encoded(&identity.certificate_pem())
    );
    if with_chain {
        format!("{element};Chain=\"{}\"", url_encoded(&identity.chain_pem()))
    } else {
        element
    }
}

/// SHA-256 of a certificate as Envoy writes it.
pub(crate) fn hex_digest(identity: &Identity) -> String {
    let digest = Sha256::digest(&identity.certificate_der);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every value that may stand for what was presented: the certificate, its intermediates one by one and together.
pub(crate) fn all(identity: &Identity) -> Vec<String> {
    let chain: Vec<&[u8]> = identity.chain_der.iter().map(Vec::as_slice).collect();
    let intermediates = chain.get(1..).unwrap_or_default();
    let forms =
        ["base64_der", "pem_on_one_line", "rfc9440", "traefik", "urlencoded_pem"].into_iter();
    let mut values = vec![identity.thumbprint(), xfcc(identity, false), xfcc(identity, true)];
    for form in forms {
        let parts = chain.chunks(1).chain([chain.as_slice(), intermediates]);
        values.extend(
            parts
                .filter(|certificates| !certificates.is_empty())
                .filter_map(|certificates| written(form, certificates)),
        );
    }
    values
}

fn pem(der: &[u8]) -> String {
    let base64 = BASE64_STANDARD.encode(der);
    let lines = base64.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let lines: String = lines.map(|line| format!("{line}\n")).collect();
    format!("-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
}

fn url_encoded(pem: &str) -> String {
    let pem = pem.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    pem.replace(' ', "%20").replace('\n', "%0A")
}
