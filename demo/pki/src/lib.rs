//! Certificates and keys for certbound's demo and tests.
//!
//! **All of it is worthless anywhere else.** Every private key, the CAs' too, is derived from a text in this
//! repository, so whoever reads it can sign as any of them. Never trust one of these certificates.
//!
//! In return nothing here changes from one run to the next: keys are derived from names, signatures are
//! deterministic and dates are fixed, so that thumbprints can stand in configuration files.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "all input stands in this crate and in tests: a mistake there had better be loud"
)]

mod certificate;
mod crl;
mod key;
mod rsa_primes;
mod signature;

use std::{collections::BTreeMap, fs, io, path::Path};

use serde_json::{Value, json};

pub use certificate::{
    CertificateTemplate, Identity, Validity, dns_name, email, extended_key_usage, ip_address, uri,
};
pub use crl::CrlTemplate;
pub use key::Key;
pub use signature::SignatureAlgorithm;
pub use x509_cert::{self, ext::pkix::KeyUsages};

/// The identities that a verifier who trusts `client-ca` alone accepts for client authentication (from 2026 to 2035).
///
/// Not `payments-key-agreement`: a certificate that may not make signatures cannot authenticate a TLS client (RFC 8446
/// §4.4.2.2), so Envoy ends the handshake.
const TRUSTED: [&str; 7] = [
    "batch",
    "multi-rdn",
    "payments",
    "payments-no-eku",
    "payments-rotated",
    "payments-with-extra",
    "via-intermediate",
];

/// Every identity of the demo, by name, and the key that certbound signs with.
pub struct Pki {
    identities: BTreeMap<&'static str, Identity>,
    signing_key: Key,
}

impl Default for Pki {
    fn default() -> Self {
        Self::new()
    }
}

impl Pki {
    /// Issues all certificates.
    pub fn new() -> Self {
        let mut pki = Self { identities: BTreeMap::new(), signing_key: Key::ed25519("signing") };
        pki.add_authorities();
        pki.add_infrastructure();
        pki.add_pki_clients();
        pki.add_self_signed_clients();
        pki
    }

    fn add_authorities(&mut self) {
        let authority = CertificateTemplate::authority;
        self.self_sign("client-ca", authority("CN=certbound demo client CA"));
        self.self_sign("rogue-ca", authority("CN=certbound demo client CA"));
        self.self_sign("infra-ca", authority("CN=certbound demo infrastructure CA"));
        let intermediate = authority("CN=certbound demo intermediate CA");
        self.issue("intermediate-ca", intermediate, "client-ca");
    }

    fn add_infrastructure(&mut self) {
        let edge_names = [
            dns_name("localhost"),
            dns_name("mtls.localhost"),
            dns_name("as.example.com"),
            ip_address("127.0.0.1"),
            ip_address("::1"),
        ];
        let edge = CertificateTemplate::server("CN=localhost", edge_names);
        self.issue("edge", edge, "infra-ca");
        let envoy = CertificateTemplate::client("CN=envoy", []);
        self.issue("envoy", envoy, "infra-ca");
        let authorization_server_names =
            [dns_name("as.internal"), dns_name("localhost"), ip_address("127.0.0.1")];
        let authorization_server =
            CertificateTemplate::server("CN=as.internal", authorization_server_names);
        self.issue("as", authorization_server, "infra-ca");
    }

    fn add_pki_clients(&mut self) {
        let payments = CertificateTemplate::client(
            "CN=payments,O=Example Bank,C=SE",
            [
                dns_name("payments.example.com"),
                dns_name("second.example.com"),
                uri("spiffe://example.org/payments"),
                ip_address("192.0.2.10"),
                ip_address("2001:db8::10"),
                email("ops@example.com"),
            ],
        );
        self.issue("payments", payments.clone(), "client-ca");
        self.issue("payments-rotated", payments.clone(), "client-ca");
        self.issue("payments-rogue", payments.clone(), "rogue-ca");
        self.self_sign("payments-selfsigned", payments.clone());
        let expired =
            CertificateTemplate { validity: Validity::years(2016..2026), ..payments.clone() };
        self.issue("payments-expired", expired, "client-ca");
        let future =
            CertificateTemplate { validity: Validity::years(2036..2046), ..payments.clone() };
        self.issue("payments-future", future, "client-ca");
        let server_only = CertificateTemplate {
            extended_key_usage: vec![extended_key_usage::ID_KP_SERVER_AUTH],
            ..payments.clone()
        };
        self.issue("payments-server-only", server_only, "client-ca");
        let no_extended_key_usage =
            CertificateTemplate { extended_key_usage: Vec::new(), ..payments.clone() };
        self.issue("payments-no-eku", no_extended_key_usage, "client-ca");
        let key_agreement =
            CertificateTemplate { key_usage: KeyUsages::KeyAgreement.into(), ..payments };
        self.issue("payments-key-agreement", key_agreement, "client-ca");

        let batch = CertificateTemplate::client("CN=batch", [uri("spiffe://example.org/batch")]);
        self.issue("batch", batch, "client-ca");
        // As in Open Finance Brasil and eIDAS certificates: 2.5.4.97 is organizationIdentifier.
        let multi_rdn = CertificateTemplate::client(
            "CN=multi-rdn+OU=Clients,O=Åkerlund & Söner AB,2.5.4.97=PSDSE-FINA-123456,DC=example,DC=org",
            [],
        );
        self.issue("multi-rdn", multi_rdn, "client-ca");
        let via_intermediate = CertificateTemplate::client("CN=via-intermediate", []);
        self.issue("via-intermediate", via_intermediate, "intermediate-ca");

        let with_intermediate =
            self.get("via-intermediate").presenting(self.get("intermediate-ca"));
        self.add("via-intermediate", with_intermediate);
        let with_extra = self.get("payments").presenting(self.get("batch"));
        self.add("payments-with-extra", with_extra);
    }

    fn add_self_signed_clients(&mut self) {
        let partner = CertificateTemplate::client("CN=partner-app", []);
        self.self_sign("partner-app", partner.clone());
        self.self_sign("partner-next", partner.clone());
        let expired =
            CertificateTemplate { validity: Validity::years(2016..2026), ..partner.clone() };
        self.self_sign("partner-expired", expired);
        self.add("partner-p384", partner.self_signed(Key::p384("partner-p384")));
        // Envoy has to be told to accept this one (`tls_params.signature_algorithms`); otherwise clients do not send it.
        self.add("partner-ed25519", partner.self_signed(Key::ed25519("partner-ed25519")));
        self.add("partner-rsa", partner.self_signed(Key::rsa_2048()));
    }

    fn issue(&mut self, name: &'static str, template: CertificateTemplate, authority: &str) {
        let identity = template.issued_by(self.get(authority), Key::p256(name));
        self.add(name, identity);
    }

    fn self_sign(&mut self, name: &'static str, template: CertificateTemplate) {
        self.add(name, template.self_signed(Key::p256(name)));
    }

    fn add(&mut self, name: &'static str, identity: Identity) {
        self.identities.insert(name, identity);
    }

    /// The identity of this name.
    ///
    /// # Panics
    /// When there is none: a mistake in a test, for which the names are listed.
    pub fn get(&self, name: &str) -> &Identity {
        self.identities.get(name).unwrap_or_else(|| {
            let names: Vec<_> = self.identities.keys().collect();
            panic!("the demo PKI has no {name:?}; it has {names:?}")
        })
    }

    /// Whether a verifier who trusts `client-ca` alone accepts this identity for client authentication: what Envoy
    /// says as `connection.peer_certificate_valid`.
    pub fn is_trusted(&self, name: &str) -> bool {
        TRUSTED.contains(&name)
    }

    /// The Ed25519 key that certbound signs HTTP messages with.
    pub fn signing_key(&self) -> &Key {
        &self.signing_key
    }

    /// All identities as the object of `pki.json`.
    pub fn to_json(&self) -> Value {
        let entry = |(&name, identity): (&&str, &Identity)| {
            let entry = json!({
                "certificate": identity.certificate_pem(),
                "chain": identity.chain_pem(),
                "key": identity.key.to_pkcs8_pem(),
                "x5t#S256": identity.thumbprint(),
                "x5c": identity.x5c(),
                "jwk": identity.key.to_jwk(),
                "trusted": self.is_trusted(name),
            });
            (name.to_owned(), entry)
        };
        self.identities.iter().map(entry).collect()
    }

    /// Writes `NAME.pem` (the certificate and what is presented with it) and `NAME.key` for every identity, the
    /// signing key pair as `signing.key` and `signing.pub`, and `pki.json` for programs.
    pub fn write_to(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        for (name, identity) in &self.identities {
            fs::write(directory.join(format!("{name}.pem")), identity.chain_pem())?;
            fs::write(directory.join(format!("{name}.key")), identity.key.to_pkcs8_pem())?;
        }
        fs::write(directory.join("signing.key"), self.signing_key.to_pkcs8_pem())?;
        fs::write(directory.join("signing.pub"), self.signing_key.to_public_key_pem())?;
        fs::write(directory.join("pki.json"), format!("{:#}\n", self.to_json()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partner_app_has_the_thumbprint_that_envoy_yaml_registers() {
        let thumbprint = Pki::new().get("partner-app").thumbprint();
        assert!(include_str!("../../../envoy.yaml").contains(&thumbprint), "{thumbprint}");
    }
}
