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

use std::{collections::BTreeMap, fs, io, path::Path, time::SystemTime};

use serde_json::{Value, json};

pub use certificate::{
    CertificateTemplate, Identity, Validity, dns_name, email, extended_key_usage, ip_address, uri,
};
pub use crl::CrlTemplate;
pub use key::Key;
pub use signature::SignatureAlgorithm;
pub use x509_cert::{self, ext::pkix::KeyUsages};
use x509_cert::{
    der::{
        Encode,
        asn1::{ObjectIdentifier, OctetString},
    },
    ext::{Extension, pkix::IssuingDistributionPoint},
};

/// The identities that a verifier who trusts `client-ca` alone and knows no CRL accepts for client authentication (from
/// 2026 to 2035).
///
/// Not `payments-key-agreement`: a certificate that may not make signatures cannot authenticate a TLS client (RFC 8446
/// §4.4.2.2), so Envoy ends the handshake.
const TRUSTED: [&str; 14] = [
    "batch",
    "multi-rdn",
    "payments",
    "payments-no-eku",
    "payments-revoked",
    "payments-rotated",
    "payments-with-extra",
    "via-intermediate",
    "via-intermediate-duplicate",
    "via-intermediate-superfluous",
    "via-intermediate-too-many",
    "via-revoked-intermediate",
    "via-two-intermediates",
    "via-two-intermediates-reversed",
];

/// Every identity and CRL of the demo, by name, and the key that certbound signs with.
pub struct Pki {
    identities: BTreeMap<&'static str, Identity>,
    crls: BTreeMap<&'static str, String>,
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
        let mut pki = Self {
            identities: BTreeMap::new(),
            crls: BTreeMap::new(),
            signing_key: Key::ed25519("signing"),
        };
        pki.add_authorities();
        pki.add_infrastructure();
        pki.add_pki_clients();
        pki.add_partners_clients();
        pki.add_chains();
        pki.add_self_signed_clients();
        pki.add_algorithms();
        pki.add_crls();
        pki
    }

    fn add_authorities(&mut self) {
        let authority = CertificateTemplate::authority;
        // Three CAs of one name: a name tells nothing, a key does.
        self.self_sign("client-ca", authority("CN=certbound demo client CA"));
        self.self_sign("partner-ca", authority("CN=certbound demo client CA"));
        self.self_sign("rogue-ca", authority("CN=certbound demo client CA"));
        self.self_sign("infra-ca", authority("CN=certbound demo infrastructure CA"));
        let intermediate = authority("CN=certbound demo intermediate CA");
        self.issue("intermediate-ca", intermediate.clone(), "client-ca");
        self.issue("intermediate-ca-namesake", intermediate, "client-ca");
        let issuing = authority("CN=certbound demo issuing CA");
        self.issue("issuing-ca", issuing, "intermediate-ca");
        let revoked = authority("CN=certbound demo revoked intermediate CA");
        self.issue("revoked-intermediate-ca", revoked, "client-ca");
        let partners = authority("CN=certbound demo partner intermediate CA");
        self.issue("partner-intermediate-ca", partners, "partner-ca");
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
        let resource_server =
            CertificateTemplate::server("CN=resource.internal", [dns_name("resource.internal")]);
        self.issue("resource", resource_server, "infra-ca");
    }

    fn add_pki_clients(&mut self) {
        let payments = payments();
        self.issue("payments", payments.clone(), "client-ca");
        self.issue("payments-rotated", payments.clone(), "client-ca");
        self.issue("payments-revoked", payments.clone(), "client-ca");
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
        self.issue("batch", batch.clone(), "client-ca");
        self.issue("batch-rogue", batch, "rogue-ca");
        // As in Open Finance Brasil and eIDAS certificates: 2.5.4.97 is organizationIdentifier.
        let multi_rdn = CertificateTemplate::client(
            "CN=multi-rdn+OU=Clients,O=Åkerlund & Söner AB,2.5.4.97=PSDSE-FINA-123456,DC=example,DC=org",
            [],
        );
        self.issue("multi-rdn", multi_rdn, "client-ca");
        let with_extra = self.get("payments").presenting(self.get("batch"));
        self.add("payments-with-extra", with_extra);
    }

    /// A partner's CA has the name of `client-ca`. `supplier` is the partner's own client; the other certificate has
    /// the names of somebody else's.
    fn add_partners_clients(&mut self) {
        let supplier = CertificateTemplate::client("CN=supplier", []);
        let intermediate = "partner-intermediate-ca";
        self.issue_presenting("supplier", supplier, intermediate, &[intermediate]);
        self.issue_presenting("payments-by-partner", payments(), intermediate, &[intermediate]);
    }

    /// Clients that present more or less than what a path needs. Each has a key of its own, since a verifier may
    /// remember the path of a certificate that it saw with a better chain.
    fn add_chains(&mut self) {
        let via_intermediate = CertificateTemplate::client("CN=via-intermediate", []);
        let presented: [(&str, &[&str]); 7] = [
            ("via-intermediate", &["intermediate-ca"]),
            ("via-intermediate-duplicate", &["intermediate-ca", "intermediate-ca"]),
            ("via-intermediate-missing", &[]),
            ("via-intermediate-superfluous", &["batch", "intermediate-ca"]),
            ("via-intermediate-too-many", &["intermediate-ca", "batch", "partner-ca"]),
            ("via-intermediate-wrong", &["issuing-ca"]),
            ("via-intermediate-wrong-key", &["intermediate-ca-namesake"]),
        ];
        for (name, chain) in presented {
            self.issue_presenting(name, via_intermediate.clone(), "intermediate-ca", chain);
        }
        let completed =
            self.get("via-intermediate-missing").presenting(self.get("intermediate-ca"));
        self.add("via-intermediate-missing-completed", completed);
        let via_two = CertificateTemplate::client("CN=via-two-intermediates", []);
        let presented: [(&str, &[&str]); 3] = [
            ("via-two-intermediates", &["issuing-ca", "intermediate-ca"]),
            ("via-two-intermediates-reversed", &["intermediate-ca", "issuing-ca"]),
            ("via-two-intermediates-incomplete", &["issuing-ca"]),
        ];
        for (name, chain) in presented {
            self.issue_presenting(name, via_two.clone(), "issuing-ca", chain);
        }
        let via_revoked = CertificateTemplate::client("CN=via-intermediate", []);
        let revoked = "revoked-intermediate-ca";
        self.issue_presenting("via-revoked-intermediate", via_revoked, revoked, &[revoked]);
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

    /// CAs with keys of every kind and a client of each. One signature and one key are too weak to be accepted.
    fn add_algorithms(&mut self) {
        let authority = |name: &str| CertificateTemplate::authority(&format!("CN={name}"));
        let client = |name: &str| CertificateTemplate::client(&format!("CN={name}"), []);
        let kinds = [
            ("ca-p384", Key::p384("ca-p384"), "by-p384", Key::p384("by-p384")),
            ("ca-ed25519", Key::ed25519("ca-ed25519"), "by-ed25519", Key::ed25519("by-ed25519")),
            ("ca-rsa", Key::rsa_2048(), "by-rsa", Key::rsa(3072)),
            ("ca-rsa-4096", Key::rsa(4096), "by-rsa-4096", Key::p256("by-rsa-4096")),
        ];
        for (authority_name, authority_key, client_name, client_key) in kinds {
            self.add(authority_name, authority(authority_name).self_signed(authority_key));
            let issued = client(client_name).issued_by(self.get(authority_name), client_key);
            self.add(client_name, issued);
        }
        let unusual = [
            ("by-rsa-pss", SignatureAlgorithm::RsaPssSha256),
            ("by-rsa-sha1", SignatureAlgorithm::RsaSha1),
        ];
        for (name, algorithm) in unusual {
            let issued = client(name).issued_with(self.get("ca-rsa"), algorithm, Key::p256(name));
            self.add(name, issued);
        }
        let weak = client("weak-key").issued_by(self.get("client-ca"), Key::rsa(1024));
        self.add("weak-key", weak);
    }

    fn add_crls(&mut self) {
        let list = |names: &[&str]| CrlTemplate::revoking(names.iter().map(|name| self.get(name)));
        let revoked = ["payments-revoked", "revoked-intermediate-ca"];
        let current = list(&revoked);
        let stale = CrlTemplate { validity: Validity::years(2025..2026), ..current.clone() };
        let with = |extension| CrlTemplate { extensions: vec![extension], ..current.clone() };
        let delta = with(delta_crl_indicator());
        let indirect = with(indirect_crl());
        let crls = [
            ("client-ca", &current, "client-ca"),
            ("client-ca-empty", &list(&[]), "client-ca"),
            ("client-ca-stale", &stale, "client-ca"),
            ("client-ca-delta", &delta, "client-ca"),
            ("client-ca-indirect", &indirect, "client-ca"),
            ("intermediate-ca", &list(&[]), "intermediate-ca"),
            ("revoked-intermediate-ca", &list(&[]), "revoked-intermediate-ca"),
            // Not for this CA to revoke: it only has the name of the one that issued the certificate.
            ("partner-ca", &list(&["payments"]), "partner-ca"),
        ];
        self.crls = crls
            .into_iter()
            .map(|(name, template, authority)| (name, template.issued_by(self.get(authority))))
            .collect();
    }

    fn issue(&mut self, name: &'static str, template: CertificateTemplate, authority: &str) {
        self.issue_presenting(name, template, authority, &[]);
    }

    /// Issues a certificate that is presented together with those of the chain.
    fn issue_presenting(
        &mut self,
        name: &'static str,
        template: CertificateTemplate,
        authority: &str,
        chain: &[&str],
    ) {
        let identity = template.issued_by(self.get(authority), Key::p256(name));
        let identity =
            chain.iter().fold(identity, |identity, other| identity.presenting(self.get(other)));
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

    /// The CRL of this name, as PEM.
    ///
    /// # Panics
    /// When there is none.
    pub fn crl(&self, name: &str) -> &str {
        self.crls.get(name).unwrap_or_else(|| {
            let names: Vec<_> = self.crls.keys().collect();
            panic!("the demo PKI has no CRL {name:?}; it has {names:?}")
        })
    }

    /// A certificate with the names of `payments` that expires so many seconds from now: the only one here that is
    /// another every time.
    pub fn short_lived(&self, now: SystemTime, seconds: u64) -> Identity {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).expect("a time after 1970").as_secs();
        let validity = Validity::seconds(now - 60..now + seconds);
        let template = CertificateTemplate { validity, ..payments() };
        template.issued_by(self.get("client-ca"), Key::p256("short-lived"))
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
            let mut entry = identity.to_json();
            entry["trusted"] = self.is_trusted(name).into();
            (name.to_owned(), entry)
        };
        self.identities.iter().map(entry).collect()
    }

    /// Writes `NAME.pem` (the certificate and what is presented with it) and `NAME.key` for every identity, the
    /// signing key pair as `signing.key` and `signing.pub`, `NAME.crl` for every CRL, and for programs `pki.json` and
    /// `crls.json`.
    pub fn write_to(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        for (name, identity) in &self.identities {
            fs::write(directory.join(format!("{name}.pem")), identity.chain_pem())?;
            fs::write(directory.join(format!("{name}.key")), identity.key.to_pkcs8_pem())?;
        }
        fs::write(directory.join("signing.key"), self.signing_key.to_pkcs8_pem())?;
        fs::write(directory.join("signing.pub"), self.signing_key.to_public_key_pem())?;
        for (name, crl) in &self.crls {
            fs::write(directory.join(format!("{name}.crl")), crl)?;
        }
        fs::write(directory.join("crls.json"), format!("{:#}\n", json!(self.crls)))?;
        fs::write(directory.join("pki.json"), format!("{:#}\n", self.to_json()))
    }
}

fn payments() -> CertificateTemplate {
    CertificateTemplate::client(
        "CN=payments,O=Example Bank,C=SE",
        [
            dns_name("payments.example.com"),
            dns_name("second.example.com"),
            uri("spiffe://example.org/payments"),
            ip_address("192.0.2.10"),
            ip_address("2001:db8::10"),
            email("ops@example.com"),
        ],
    )
}

/// Makes a CRL a delta CRL (RFC 5280 §5.2.4).
fn delta_crl_indicator() -> Extension {
    critical_extension("2.5.29.27", &1_u8)
}

/// Makes a CRL an indirect one (RFC 5280 §5.2.5).
fn indirect_crl() -> Extension {
    let point = IssuingDistributionPoint {
        distribution_point: None,
        only_contains_user_certs: false,
        only_contains_ca_certs: false,
        only_some_reasons: None,
        indirect_crl: true,
        only_contains_attribute_certs: false,
    };
    critical_extension("2.5.29.28", &point)
}

fn critical_extension(oid: &str, content: &impl Encode) -> Extension {
    let content = content.to_der().expect("it has an encoding");
    Extension {
        extn_id: ObjectIdentifier::new_unwrap(oid),
        critical: true,
        extn_value: OctetString::new(content).expect("it is short"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_and_partner_cas_are_those_that_envoy_yaml_trusts() {
        let pki = Pki::new();
        let envoy_yaml: Vec<_> =
            include_str!("../../../envoy.yaml").lines().map(str::trim).collect();
        for name in ["client-ca", "partner-ca"] {
            let pem = pki.get(name).certificate_pem();
            let lines: Vec<_> = pem.lines().collect();
            let is_there = envoy_yaml.windows(lines.len()).any(|window| window == lines);
            assert!(is_there, "{name}\n{pem}");
        }
    }

    #[test]
    fn partner_app_has_the_thumbprint_that_envoy_yaml_registers() {
        let thumbprint = Pki::new().get("partner-app").thumbprint();
        assert!(include_str!("../../../envoy.yaml").contains(&thumbprint), "{thumbprint}");
    }
}
