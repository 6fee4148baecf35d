//! `certificate_header`: which fields carry the certificate, and in which form.

use super::{Bounds, ConfigError, HeaderNames, document, in_range};
use crate::{client_cert::CertificateHeaderFormat, trust::MAXIMUM_CHAIN_CERTIFICATES};

pub(super) const MAX_BYTES: Bounds<usize> =
    Bounds { default: 16_384, minimum: 1, maximum: 1_048_576 };

/// `certificate_header`. Field names are in lower case.
#[derive(Clone, Debug)]
pub struct CertificateHeader {
    /// How certificates are written.
    pub format: CertificateHeaderFormat,
    /// The field of the certificate.
    pub name: String,
    /// Where the intermediates go that the client presented.
    pub chain: ChainHeader,
    /// The field that tells whether the certificate was verified.
    pub verify_name: Option<String>,
    /// The longest value that is sent.
    pub max_bytes: usize,
}

/// `certificate_header.chain_name`.
#[derive(Clone, Debug)]
pub enum ChainHeader {
    /// A field of its own for each intermediate, in order.
    Numbered {
        /// What the names have before their number.
        prefix: String,
        /// The names for as many intermediates as a client may present.
        names: Vec<String>,
    },
    /// Nowhere.
    None,
    /// A field for all.
    Own(String),
    /// The field of the certificate.
    WithCertificate,
}

impl CertificateHeader {
    /// Every field that may be set, that of the certificate first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let chain = match &self.chain {
            ChainHeader::Numbered { names, .. } => names.as_slice(),
            ChainHeader::Own(name) => std::slice::from_ref(name),
            ChainHeader::None | ChainHeader::WithCertificate => &[],
        };
        std::iter::once(&self.name).chain(chain).chain(&self.verify_name).map(String::as_str)
    }

    /// What the names of numbered fields begin with. A server may read higher numbers than are ever set.
    pub fn numbered_prefix(&self) -> Option<&str> {
        match &self.chain {
            ChainHeader::Numbered { prefix, .. } => Some(prefix),
            _ => None,
        }
    }
}

pub(super) fn compile(
    written: document::CertificateHeader,
    names: &mut HeaderNames<'_>,
) -> CertificateHeader {
    let format = match written.format {
        document::Format::Base64Der => CertificateHeaderFormat::Base64Der,
        document::Format::Pem => CertificateHeaderFormat::Pem,
        document::Format::Rfc9440 => CertificateHeaderFormat::Rfc9440,
        document::Format::Traefik => CertificateHeaderFormat::Traefik,
        document::Format::UrlencodedPem => CertificateHeaderFormat::UrlencodedPem,
        document::Format::Xfcc => CertificateHeaderFormat::Xfcc,
    };
    let name = written.name.unwrap_or_else(|| format.default_name().to_owned());
    let name = names.claim("certificate_header.name", name);
    let chain = match written.chain_name {
        None => ChainHeader::None,
        Some(chain) if format.holds_chain() && chain.eq_ignore_ascii_case(&name) => {
            ChainHeader::WithCertificate
        }
        Some(pattern) => compile_chain(&pattern, names),
    };
    let verify_name =
        written.verify_name.map(|name| names.claim("certificate_header.verify_name", name));
    let max_bytes = in_range(
        written.max_bytes,
        MAX_BYTES.default,
        MAX_BYTES.minimum..=MAX_BYTES.maximum,
        "certificate_header.max_bytes",
        names.errors,
    );
    CertificateHeader { format, name, chain, verify_name, max_bytes }
}

fn compile_chain(pattern: &str, names: &mut HeaderNames<'_>) -> ChainHeader {
    const PATH: &str = "certificate_header.chain_name";
    let Some((prefix, suffix)) = pattern.split_once("%d") else {
        return ChainHeader::Own(names.claim(PATH, pattern.to_owned()));
    };
    if !suffix.is_empty() {
        names.errors.push(ConfigError::new(
            PATH,
            "`%d`, the place of the number, is not at the end: write a name like `SSL_CLIENT_CERT_CHAIN_%d`",
        ));
    }
    let prefix = prefix.to_ascii_lowercase();
    let numbers = 0..MAXIMUM_CHAIN_CERTIFICATES.saturating_sub(1);
    let names = numbers.map(|number| names.claim(PATH, format!("{prefix}{number}"))).collect();
    ChainHeader::Numbered { prefix, names }
}
