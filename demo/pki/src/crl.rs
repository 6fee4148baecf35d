//! Issuing certificate revocation lists (RFC 5280 §5).

use x509_cert::{
    TbsCertificate, Version,
    certificate::Rfc5280,
    crl::{CertificateList, RevokedCert, TbsCertList},
    der::{
        Decode, Encode,
        asn1::{BitString, Uint},
        pem::{LineEnding, encode_string},
    },
    ext::{Extension, ToExtension, pkix::CrlNumber},
};

use crate::{Identity, Validity};

/// What a CRL is to say, apart from its issuer.
#[derive(Clone)]
pub struct CrlTemplate {
    /// thisUpdate and nextUpdate.
    pub validity: Validity,
    /// Whose certificates are revoked.
    pub revoked: Vec<Vec<u8>>,
    /// The CRL number; left out when absent.
    pub number: Option<u8>,
    /// More extensions, as they are.
    pub extensions: Vec<Extension>,
}

impl CrlTemplate {
    /// A CRL that revokes the certificates of these identities.
    pub fn revoking<'a>(identities: impl IntoIterator<Item = &'a Identity>) -> Self {
        let der = |identity: &Identity| identity.certificate_der.clone();
        Self {
            validity: Validity::years(2026..2036),
            revoked: identities.into_iter().map(der).collect(),
            number: Some(1),
            extensions: Vec::new(),
        }
    }

    /// Has the authority issue the CRL: as PEM.
    pub fn issued_by(&self, authority: &Identity) -> String {
        let validity = self.validity.to_x509();
        let revoked = |der: &Vec<u8>| {
            let certificate = x509_cert::Certificate::from_der(der).expect("a certificate");
            let tbs: &TbsCertificate = certificate.tbs_certificate();
            RevokedCert::<Rfc5280> {
                serial_number: tbs.serial_number().clone(),
                revocation_date: validity.not_before,
                crl_entry_extensions: None,
            }
        };
        let revoked: Vec<_> = self.revoked.iter().map(revoked).collect();
        let mut extensions = self.extensions.clone();
        if let Some(number) = self.number {
            let number = CrlNumber(Uint::new(&[number]).expect("a small number"));
            extensions.push(
                number.to_extension(&authority.subject, &[]).expect("a number has an encoding"),
            );
        }
        let key = authority.key.with(authority.key.algorithm());
        let list = TbsCertList {
            version: Version::V2,
            signature: key.identifier(),
            issuer: authority.subject.clone(),
            this_update: validity.not_before,
            next_update: Some(validity.not_after),
            revoked_certificates: (!revoked.is_empty()).then_some(revoked),
            crl_extensions: (!extensions.is_empty()).then_some(extensions),
        };
        let signature = key.sign_bytes(&list.to_der().expect("it can be encoded"));
        let list = CertificateList::<Rfc5280> {
            signature_algorithm: list.signature.clone(),
            tbs_cert_list: list,
            signature: BitString::from_bytes(&signature).expect("whole octets"),
        };
        let der = list.to_der().expect("it can be encoded");
        encode_string("X509 CRL", LineEnding::LF, &der).expect("it fits into memory")
    }
}
