//! Issuing certificates (RFC 5280).

use std::{
    net::IpAddr,
    ops::Range,
    time::{Duration, SystemTime},
};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use x509_cert::{
    Certificate, TbsCertificate,
    builder::{self, CertificateBuilder, profile::BuilderProfile},
    der::{
        DateTime, Encode,
        asn1::{Ia5String, ObjectIdentifier},
        flagset::FlagSet,
        pem::{LineEnding, encode_string},
    },
    ext::{
        Extension, ToExtension,
        pkix::{
            AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages,
            SubjectAltName, SubjectKeyIdentifier, name::GeneralName,
        },
    },
    name::Name,
    serial_number::SerialNumber,
    spki::SubjectPublicKeyInfoRef,
    time::{Time, Validity as X509Validity},
};

use crate::{Key, SignatureAlgorithm};

/// Purposes for [`CertificateTemplate::extended_key_usage`].
pub mod extended_key_usage {
    pub use x509_cert::der::oid::db::rfc5280::{
        ANY_EXTENDED_KEY_USAGE, ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH,
    };
}

/// A subjectAltName of type dNSName.
pub fn dns_name(name: &str) -> GeneralName {
    GeneralName::DnsName(ia5_string(name))
}

/// A subjectAltName of type rfc822Name.
pub fn email(address: &str) -> GeneralName {
    GeneralName::Rfc822Name(ia5_string(address))
}

/// A subjectAltName of type iPAddress.
pub fn ip_address(address: &str) -> GeneralName {
    address.parse::<IpAddr>().expect("an IP address").into()
}

/// A subjectAltName of type uniformResourceIdentifier.
pub fn uri(uri: &str) -> GeneralName {
    GeneralName::UniformResourceIdentifier(ia5_string(uri))
}

fn ia5_string(text: &str) -> Ia5String {
    Ia5String::new(text).expect("ASCII text")
}

/// When a certificate is valid.
#[derive(Clone, Copy)]
pub struct Validity {
    /// The first moment.
    pub not_before: SystemTime,
    /// The last moment.
    pub not_after: SystemTime,
}

impl Validity {
    /// From the start of the first year to the start of the other.
    pub fn years(years: Range<u16>) -> Self {
        let start_of = |year| {
            let start = DateTime::new(year, 1, 1, 0, 0, 0).expect("a year after 1970");
            start.to_system_time()
        };
        Self { not_before: start_of(years.start), not_after: start_of(years.end) }
    }

    /// From one moment to another, in seconds since the Unix epoch.
    pub fn seconds(seconds: Range<u64>) -> Self {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        Self { not_before: at(seconds.start), not_after: at(seconds.end) }
    }

    pub(crate) fn to_x509(self) -> X509Validity {
        let time = |time| Time::try_from(time).expect("a time between 1970 and 9999");
        X509Validity::new(time(self.not_before), time(self.not_after))
    }
}

/// What a certificate is to say, apart from its key and issuer.
#[derive(Clone)]
pub struct CertificateTemplate {
    /// The subject's distinguished name.
    pub subject: Name,
    /// The subjectAltName extension; left out when empty.
    pub alternative_names: Vec<GeneralName>,
    /// The keyUsage extension; left out when empty.
    pub key_usage: FlagSet<KeyUsages>,
    /// The extKeyUsage extension; left out when empty.
    pub extended_key_usage: Vec<ObjectIdentifier>,
    /// Whether basicConstraints makes this a CA.
    pub is_authority: bool,
    /// The path length constraint of a CA.
    pub path_length: Option<u8>,
    /// More extensions, as they are; instead of the usual one of the same kind, if there is one.
    pub extensions: Vec<Extension>,
    /// The serial number; derived from the key when absent.
    pub serial_number: Option<u64>,
    /// When the certificate is valid.
    pub validity: Validity,
}

impl CertificateTemplate {
    /// A CA, its subject in RFC 4514 form.
    pub fn authority(subject: &str) -> Self {
        Self {
            subject: subject.parse().expect("an RFC 4514 distinguished name"),
            alternative_names: Vec::new(),
            key_usage: KeyUsages::KeyCertSign | KeyUsages::CRLSign,
            extended_key_usage: Vec::new(),
            is_authority: true,
            path_length: None,
            extensions: Vec::new(),
            serial_number: None,
            validity: Validity::years(2026..2036),
        }
    }

    /// A TLS client, its subject in RFC 4514 form.
    pub fn client(subject: &str, alternative_names: impl Into<Vec<GeneralName>>) -> Self {
        Self {
            alternative_names: alternative_names.into(),
            key_usage: KeyUsages::DigitalSignature.into(),
            extended_key_usage: vec![extended_key_usage::ID_KP_CLIENT_AUTH],
            is_authority: false,
            ..Self::authority(subject)
        }
    }

    /// A TLS server, its subject in RFC 4514 form.
    pub fn server(subject: &str, alternative_names: impl Into<Vec<GeneralName>>) -> Self {
        Self {
            extended_key_usage: vec![extended_key_usage::ID_KP_SERVER_AUTH],
            ..Self::client(subject, alternative_names)
        }
    }

    /// Has the authority issue a certificate for the key.
    pub fn issued_by(&self, authority: &Identity, key: Key) -> Identity {
        self.issue(key, &authority.subject, &authority.key)
    }

    /// The same, with a signature that is not the usual one of the authority's key.
    pub fn issued_with(
        &self,
        authority: &Identity,
        algorithm: SignatureAlgorithm,
        key: Key,
    ) -> Identity {
        let builder = self.builder(&key, &authority.subject);
        let certificate = authority.key.with(algorithm).sign_certificate(builder);
        self.identity(certificate, key)
    }

    /// Has the key sign its own certificate.
    pub fn self_signed(&self, key: Key) -> Identity {
        self.issue(key.clone(), &self.subject, &key)
    }

    fn issue(&self, key: Key, issuer: &Name, issuer_key: &Key) -> Identity {
        let certificate = issuer_key.sign(self.builder(&key, issuer));
        self.identity(certificate, key)
    }

    fn builder<'a>(&'a self, key: &Key, issuer: &'a Name) -> CertificateBuilder<Profile<'a>> {
        let public_key = key.public_key();
        let builder = CertificateBuilder::new(
            Profile { template: self, issuer },
            self.serial_number.map_or_else(
                || serial_number(&public_key.to_der().expect("it was decoded")),
                SerialNumber::from,
            ),
            self.validity.to_x509(),
            public_key,
        );
        builder.expect("the dates can be encoded")
    }

    fn identity(&self, certificate: Certificate, key: Key) -> Identity {
        let certificate_der = certificate.to_der().expect("it was just built");
        Identity {
            subject: self.subject.clone(),
            chain_der: vec![certificate_der.clone()],
            certificate_der,
            key,
        }
    }
}

/// The same for the same key, another for another.
fn serial_number(public_key: &[u8]) -> SerialNumber {
    let mut serial_number = Sha256::digest(public_key);
    // It has to be positive and short (RFC 5280 §4.1.2.2).
    serial_number[0] = 0x5e;
    SerialNumber::new(&serial_number[..16]).expect("16 octets")
}

/// Turns a template into what [`CertificateBuilder`] asks for.
struct Profile<'a> {
    template: &'a CertificateTemplate,
    issuer: &'a Name,
}

impl BuilderProfile for Profile<'_> {
    fn get_issuer(&self, _subject: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.template.subject.clone()
    }

    fn build_extensions(
        &self,
        public_key: SubjectPublicKeyInfoRef<'_>,
        issuer_public_key: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> builder::Result<Vec<Extension>> {
        let template = self.template;
        let mut extensions = vec![
            extension(tbs, &SubjectKeyIdentifier::try_from(public_key)?)?,
            extension(tbs, &AuthorityKeyIdentifier::try_from(issuer_public_key)?)?,
        ];
        if template.is_authority {
            let constraints =
                BasicConstraints { ca: true, path_len_constraint: template.path_length };
            extensions.push(extension(tbs, &constraints)?);
        }
        if !template.key_usage.is_empty() {
            extensions.push(extension(tbs, &KeyUsage(template.key_usage))?);
        }
        if !template.extended_key_usage.is_empty() {
            let purposes = ExtendedKeyUsage(template.extended_key_usage.clone());
            extensions.push(extension(tbs, &purposes)?);
        }
        if !template.alternative_names.is_empty() {
            let names = SubjectAltName(template.alternative_names.clone());
            extensions.push(extension(tbs, &names)?);
        }
        extensions
            .retain(|usual| template.extensions.iter().all(|own| own.extn_id != usual.extn_id));
        extensions.extend(template.extensions.iter().cloned());
        Ok(extensions)
    }
}

fn extension<T>(tbs: &TbsCertificate, content: &T) -> builder::Result<Extension>
where
    for<'a> &'a T: ToExtension<Error = x509_cert::der::Error>,
{
    Ok(content.to_extension(tbs.subject(), &[])?)
}

/// A certificate, its private key, and what its owner presents with it.
#[derive(Clone)]
pub struct Identity {
    /// The end-entity certificate.
    pub certificate_der: Vec<u8>,
    /// The certificates that are presented: the end-entity certificate first.
    pub chain_der: Vec<Vec<u8>>,
    /// The private key.
    pub key: Key,
    pub(crate) subject: Name,
}

impl Identity {
    /// The same, with the other's certificate presented after its own.
    pub fn presenting(&self, other: &Self) -> Self {
        let mut identity = self.clone();
        identity.chain_der.push(other.certificate_der.clone());
        identity
    }

    /// The subject's distinguished name in RFC 4514 form.
    pub fn subject(&self) -> String {
        self.subject.to_string()
    }

    /// The end-entity certificate as PEM.
    pub fn certificate_pem(&self) -> String {
        pem(&self.certificate_der)
    }

    /// The certificates that are presented as PEM.
    pub fn chain_pem(&self) -> String {
        self.chain_der.iter().map(|certificate| pem(certificate)).collect()
    }

    /// The certificate's thumbprint as `x5t#S256` has it (RFC 7515 §4.1.8).
    pub fn thumbprint(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&self.certificate_der))
    }

    /// The certificate as an element of a JWK's `x5c` (RFC 7517 §4.7).
    pub fn x5c(&self) -> String {
        BASE64_STANDARD.encode(&self.certificate_der)
    }

    /// All of it for programs.
    pub fn to_json(&self) -> Value {
        json!({
            "certificate": self.certificate_pem(),
            "chain": self.chain_pem(),
            "key": self.key.to_pkcs8_pem(),
            "x5t#S256": self.thumbprint(),
            "x5c": self.x5c(),
            "jwk": self.key.to_jwk(),
        })
    }
}

fn pem(certificate_der: &[u8]) -> String {
    encode_string("CERTIFICATE", LineEnding::LF, certificate_der).expect("it fits into memory")
}
