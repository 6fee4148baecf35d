//! Certification paths: for every rule of `certbound::trust` a case that is accepted and one that is rejected.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may fail loudly")]

use certbound::{
    certificate::Certificate,
    trust::{
        InvalidCrl, InvalidTrustAnchors, PathError, PathProblem, TrustAnchors, UnknownRevocation,
        UnknownRevocationStatus, UnsuitableAuthority, VerdictCache, VerifiedPath, Warning, Which,
        require_known_answers,
    },
};
use demo_pki::{
    CertificateTemplate, CrlTemplate, Identity, Key, KeyUsages, SignatureAlgorithm, Validity,
    dns_name, email, extended_key_usage, ip_address, uri,
    x509_cert::{
        der::{
            Decode, Encode,
            asn1::{Any, ObjectIdentifier, OctetString},
        },
        ext::{
            Extension,
            pkix::{
                AuthorityKeyIdentifier, CrlDistributionPoints, IssuingDistributionPoint,
                NameConstraints,
                constraints::name::GeneralSubtree,
                crl::dp::DistributionPoint,
                name::{DistributionPointName, GeneralName},
            },
        },
    },
};

/// 2030-01-01; everything is valid from 2026 to 2035, unless it is said otherwise.
const NOW: u64 = 1_893_456_000;
const DAY: u64 = 86_400;
/// 2036-01-01, the last second of what is valid from 2026 to 2035.
const END: u64 = 2_082_758_400;

fn root(name: &str) -> Identity {
    CertificateTemplate::authority("CN=root").self_signed(Key::p256(name))
}

fn authority(name: &str) -> CertificateTemplate {
    CertificateTemplate::authority(&format!("CN={name}"))
}

fn intermediate(name: &str, issuer: &Identity) -> Identity {
    authority(name).issued_by(issuer, Key::p256(name))
}

fn client() -> CertificateTemplate {
    CertificateTemplate::client("CN=client", [])
}

fn client_of(issuer: &Identity) -> Identity {
    client().issued_by(issuer, Key::p256("client"))
}

fn pem(identities: &[&Identity]) -> String {
    identities.iter().map(|identity| identity.certificate_pem()).collect()
}

fn load(
    anchors: &[&Identity],
    intermediates: &[&Identity],
    crls: &[String],
    unknown: UnknownRevocationStatus,
) -> Result<TrustAnchors, InvalidTrustAnchors> {
    let intermediates = (!intermediates.is_empty()).then(|| pem(intermediates));
    let crls = (!crls.is_empty()).then(|| crls.concat());
    TrustAnchors::new(&pem(anchors), intermediates.as_deref(), crls.as_deref(), unknown)
}

fn trusting(anchors: &[&Identity]) -> TrustAnchors {
    load(anchors, &[], &[], UnknownRevocationStatus::Deny).unwrap()
}

fn with_crls(anchors: &[&Identity], crls: &[String]) -> TrustAnchors {
    load(anchors, &[], crls, UnknownRevocationStatus::Deny).unwrap()
}

fn certificate(identity: &Identity) -> Certificate {
    Certificate::from_der(identity.certificate_der.clone()).unwrap()
}

fn ders(identities: &[&Identity]) -> Vec<Vec<u8>> {
    identities.iter().map(|identity| identity.certificate_der.clone()).collect()
}

fn verify_at(
    anchors: &TrustAnchors,
    end_entity: &Identity,
    presented: &[&Identity],
    now: u64,
) -> Result<VerifiedPath, PathError> {
    anchors.verify(&certificate(end_entity), &ders(presented), now)
}

fn verify(
    anchors: &TrustAnchors,
    end_entity: &Identity,
    presented: &[&Identity],
) -> Result<VerifiedPath, PathError> {
    verify_at(anchors, end_entity, presented, NOW)
}

fn untrusted<T>(problem: PathProblem) -> Result<T, PathError> {
    Err(PathError::Untrusted(problem))
}

fn no_path<T>(missing: &str) -> Result<T, PathError> {
    untrusted(PathProblem::NoPath(Some(missing.into())))
}

fn extension(oid: &str, critical: bool, value: impl Encode) -> Extension {
    Extension {
        extn_id: ObjectIdentifier::new_unwrap(oid),
        critical,
        extn_value: OctetString::new(value.to_der().unwrap()).unwrap(),
    }
}

fn null() -> demo_pki::x509_cert::der::asn1::Null {
    demo_pki::x509_cert::der::asn1::Null
}

// === Signatures ===

#[test]
fn every_supported_algorithm_verifies_and_no_other() {
    use SignatureAlgorithm::*;
    let p256 = Key::p256("root");
    let p384 = Key::p384("root");
    let cases = [
        (p256.clone(), EcdsaSha256),
        (p256.clone(), EcdsaSha384),
        (p256, EcdsaSha512),
        (p384.clone(), EcdsaSha256),
        (p384.clone(), EcdsaSha384),
        (p384, EcdsaSha512),
        (Key::ed25519("root"), Ed25519),
        (Key::rsa(2048), RsaSha256),
        (Key::rsa(2048), RsaSha256WithoutNull),
        (Key::rsa(3072), RsaSha384),
        (Key::rsa(4096), RsaSha512),
        (Key::rsa(2048), RsaPssSha256),
        (Key::rsa(2048), RsaPssSha256WithoutNull),
        (Key::rsa(3072), RsaPssSha384),
        (Key::rsa(4096), RsaPssSha512),
    ];
    for (key, algorithm) in cases {
        let root = CertificateTemplate::authority("CN=root").self_signed(key);
        let anchors = trusting(&[&root]);
        let client = client().issued_with(&root, algorithm, Key::p256("client"));
        assert!(verify(&anchors, &client, &[]).is_ok(), "{algorithm:?}");

        let mut forged = client.clone();
        *forged.certificate_der.last_mut().unwrap() ^= 1;
        assert_eq!(
            verify(&anchors, &forged, &[]),
            untrusted(PathProblem::Signature),
            "{algorithm:?}"
        );
    }
    let root = CertificateTemplate::authority("CN=root").self_signed(Key::rsa(2048));
    let client = client().issued_with(&root, RsaSha1, Key::p256("client"));
    assert_eq!(
        verify(&trusting(&[&root]), &client, &[]),
        untrusted(PathProblem::SignatureAlgorithm)
    );
}

/// How `src/trust/known_answers` was made.
#[test]
fn the_known_answers_are_right() {
    use SignatureAlgorithm::*;
    for (name, key, algorithm) in [
        ("ed25519", Key::ed25519("known answer"), Ed25519),
        ("p256", Key::p256("known answer"), EcdsaSha256),
        ("p384", Key::p384("known answer"), EcdsaSha384),
        ("rsa_pkcs1", Key::rsa(2048), RsaSha256),
        ("rsa_pss", Key::rsa(2048), RsaPssSha256),
    ] {
        let template = CertificateTemplate::authority("CN=known answer");
        let issuer = template.self_signed(key.clone());
        let certificate = template.issued_with(&issuer, algorithm, key).certificate_der;
        let path = format!("{}/src/trust/known_answers/{name}.der", env!("CARGO_MANIFEST_DIR"));
        assert_eq!(std::fs::read(&path).unwrap(), certificate, "{path}");
    }
    assert_eq!(require_known_answers(), Ok(()));
}

#[test]
fn weak_keys_have_no_place_in_a_path() {
    let weak = CertificateTemplate::authority("CN=weak").self_signed(Key::rsa(1024));
    assert_eq!(
        load(&[&weak], &[], &[], UnknownRevocationStatus::Deny).unwrap_err(),
        InvalidTrustAnchors::Anchor { position: 1, error: UnsuitableAuthority::Key }
    );
    let root = root("root");
    let weak = authority("weak").issued_by(&root, Key::rsa(1024));
    assert_eq!(
        load(&[&root], &[&weak], &[], UnknownRevocationStatus::Deny).unwrap_err(),
        InvalidTrustAnchors::Intermediate { position: 1, error: UnsuitableAuthority::Key }
    );
    let anchors = trusting(&[&root]);
    assert_eq!(
        verify(&anchors, &client_of(&weak), &[&weak]),
        untrusted(PathProblem::Issuer("CN=weak".into(), UnsuitableAuthority::Key))
    );
    let of_1024_bits = client().issued_by(&root, Key::rsa(1024));
    assert_eq!(verify(&anchors, &of_1024_bits, &[]), untrusted(PathProblem::EndEntityKey));
    for key in [Key::rsa(2048), Key::rsa(4096), Key::ed25519("client"), Key::p384("client")] {
        assert!(verify(&anchors, &client().issued_by(&root, key), &[]).is_ok());
    }
}

// === The end-entity certificate ===

#[test]
fn the_end_entity_certificate_is_valid_within_its_dates_both_included() {
    let root = root("root");
    let anchors = trusting(&[&root]);
    let client = CertificateTemplate { validity: Validity::seconds(NOW..NOW + DAY), ..client() }
        .issued_by(&root, Key::p256("client"));
    assert_eq!(verify_at(&anchors, &client, &[], NOW - 1), Err(PathError::NotYetValid));
    for now in [NOW, NOW + DAY] {
        let path = verify_at(&anchors, &client, &[], now).unwrap();
        assert_eq!((path.valid_from, path.valid_until), (NOW, NOW + DAY));
    }
    assert_eq!(verify_at(&anchors, &client, &[], NOW + DAY + 1), Err(PathError::Expired));
}

#[test]
fn the_end_entity_certificate_is_for_client_authentication() {
    let root = root("root");
    let anchors = trusting(&[&root]);
    let with = |purposes: &[ObjectIdentifier], usage: KeyUsages| {
        let template = CertificateTemplate {
            extended_key_usage: purposes.to_vec(),
            key_usage: usage.into(),
            ..client()
        };
        verify(&anchors, &template.issued_by(&root, Key::p256("client")), &[])
    };
    let client_auth = extended_key_usage::ID_KP_CLIENT_AUTH;
    let server_auth = extended_key_usage::ID_KP_SERVER_AUTH;
    assert!(with(&[], KeyUsages::DigitalSignature).is_ok());
    assert!(with(&[client_auth], KeyUsages::DigitalSignature).is_ok());
    assert!(with(&[server_auth, client_auth], KeyUsages::DigitalSignature).is_ok());
    let wrong = Err(PathError::Purpose);
    assert_eq!(with(&[server_auth], KeyUsages::DigitalSignature), wrong);
    let any = extended_key_usage::ANY_EXTENDED_KEY_USAGE;
    assert_eq!(with(&[any], KeyUsages::DigitalSignature), wrong);
    assert_eq!(with(&[client_auth], KeyUsages::KeyAgreement), wrong);
}

/// The same certificate without version and extensions, as `openssl x509 -req` makes them by itself.
fn of_version_1(identity: &Identity) -> Identity {
    let mut certificate = Vec::<Any>::from_der(&identity.certificate_der).unwrap();
    let [tbs, ..] = certificate.as_mut_slice() else { panic!("it has three parts") };
    let mut fields: Vec<Any> = tbs.decode_as().unwrap();
    fields.remove(0);
    fields.pop();
    *tbs = Any::encode_from(&fields).unwrap();
    let mut identity = identity.clone();
    identity.certificate_der = certificate.to_der().unwrap();
    identity
}

#[test]
fn a_certificate_without_extensions_is_no_client_s() {
    let root = root("root");
    let anchors = trusting(&[&root]);
    let client = client_of(&root);
    assert!(verify(&anchors, &client, &[]).is_ok());
    let error = verify(&anchors, &of_version_1(&client), &[]);
    assert_eq!(error, untrusted(PathProblem::EndEntityVersion));
}

#[test]
fn a_ca_is_no_client() {
    let root = root("root");
    let ca = CertificateTemplate {
        key_usage: KeyUsages::KeyCertSign | KeyUsages::DigitalSignature,
        ..authority("ca")
    };
    let ca = ca.issued_by(&root, Key::p256("ca"));
    let anchors = trusting(&[&root]);
    assert_eq!(verify(&anchors, &ca, &[]), untrusted(PathProblem::EndEntityIsAuthority));
    assert!(verify(&anchors, &client_of(&ca), &[&ca]).is_ok());
}

#[test]
fn unknown_critical_extensions_are_refused_wherever_they_are() {
    let root = root("root");
    let anchors = trusting(&[&root]);
    let unknown = |critical| vec![extension("1.3.6.1.4.1.99999.1", critical, null())];
    let of = |critical| {
        let template = CertificateTemplate { extensions: unknown(critical), ..client() };
        template.issued_by(&root, Key::p256("client"))
    };
    assert!(verify(&anchors, &of(false), &[]).is_ok());
    assert_eq!(verify(&anchors, &of(true), &[]), untrusted(PathProblem::CriticalExtension));

    let intermediate = |critical| {
        let template = CertificateTemplate { extensions: unknown(critical), ..authority("ca") };
        template.issued_by(&root, Key::p256("ca"))
    };
    let harmless = intermediate(false);
    assert!(verify(&anchors, &client_of(&harmless), &[&harmless]).is_ok());
    let critical = intermediate(true);
    assert_eq!(
        verify(&anchors, &client_of(&critical), &[&critical]),
        untrusted(PathProblem::CriticalExtension)
    );
    assert_eq!(
        load(&[&root], &[&critical], &[], UnknownRevocationStatus::Deny).unwrap_err(),
        InvalidTrustAnchors::Intermediate {
            position: 1,
            error: UnsuitableAuthority::CriticalExtension
        }
    );
}

#[test]
fn a_doubled_extension_makes_a_certificate_unreadable() {
    let root = root("root");
    let twice = CertificateTemplate {
        extensions: vec![extension("2.5.29.14", false, OctetString::new([1]).unwrap()); 2],
        ..client()
    };
    let client = twice.issued_by(&root, Key::p256("client"));
    assert_eq!(verify(&trusting(&[&root]), &client, &[]), Err(PathError::Unreadable));
}

// === Anchors ===

#[test]
fn an_anchor_is_the_certificate_of_a_ca_for_clients() {
    let error = |template: CertificateTemplate| {
        let identity = template.self_signed(Key::p256("root"));
        match load(&[&identity], &[], &[], UnknownRevocationStatus::Deny) {
            Ok(_) => None,
            Err(InvalidTrustAnchors::Anchor { position: 1, error }) => Some(error),
            Err(other) => panic!("{other}"),
        }
    };
    let root = || authority("root");
    let with_purpose =
        |purpose| CertificateTemplate { extended_key_usage: vec![purpose], ..root() };
    assert_eq!(error(root()), None);
    assert_eq!(error(CertificateTemplate { key_usage: Default::default(), ..root() }), None);
    assert_eq!(error(with_purpose(extended_key_usage::ID_KP_CLIENT_AUTH)), None);
    assert_eq!(
        error(with_purpose(extended_key_usage::ID_KP_SERVER_AUTH)),
        Some(UnsuitableAuthority::Purpose)
    );
    assert_eq!(
        error(CertificateTemplate { is_authority: false, ..root() }),
        Some(UnsuitableAuthority::NotAuthority)
    );
    assert_eq!(
        error(CertificateTemplate { key_usage: KeyUsages::CRLSign.into(), ..root() }),
        Some(UnsuitableAuthority::KeyUsage)
    );
    assert_eq!(error(client()), Some(UnsuitableAuthority::NotAuthority));
}

#[test]
fn a_damaged_self_signed_anchor_is_refused() {
    let mut damaged = root("root");
    *damaged.certificate_der.last_mut().unwrap() ^= 1;
    assert_eq!(
        load(&[&root("other"), &damaged], &[], &[], UnknownRevocationStatus::Deny).unwrap_err(),
        InvalidTrustAnchors::Anchor { position: 2, error: UnsuitableAuthority::SelfSignature }
    );
}

#[test]
fn text_without_a_certificate_is_no_set() {
    let load = |certificates, intermediates, crls| {
        TrustAnchors::new(certificates, intermediates, crls, UnknownRevocationStatus::Deny)
            .unwrap_err()
    };
    let root = root("root").certificate_pem();
    assert_eq!(load("", None, None).key(), "certificates");
    assert_eq!(load(&root, Some(""), None).key(), "intermediates");
    assert_eq!(
        load(&root, None, Some("")),
        InvalidTrustAnchors::Crl { position: 1, error: InvalidCrl::Missing }
    );
    assert_eq!(
        load(&root, None, Some("-----BEGIN X509 CRL-----\nAQID\n-----END X509 CRL-----\n")),
        InvalidTrustAnchors::Crl { position: 1, error: InvalidCrl::Malformed }
    );
}

#[test]
fn one_key_is_one_anchor() {
    let root = root("root");
    let renewed =
        CertificateTemplate { validity: Validity::years(2026..2050), ..authority("root") }
            .self_signed(Key::p256("root"));
    assert_eq!(
        load(&[&root, &renewed], &[], &[], UnknownRevocationStatus::Deny).unwrap_err(),
        InvalidTrustAnchors::SameKey { positions: [1, 2], subject: "CN=root".into() }
    );
}

#[test]
fn sets_are_recognised_by_key_and_told_apart_by_all_they_hold() {
    let (one, other) = (root("one"), root("other"));
    assert_eq!(trusting(&[&one, &other]).keys().count(), 2);
    assert_ne!(
        trusting(&[&one]).keys().collect::<Vec<_>>(),
        trusting(&[&other]).keys().collect::<Vec<_>>()
    );
    let crl = CrlTemplate::revoking([]).issued_by(&one);
    let sets = [
        trusting(&[&one]),
        trusting(&[&other]),
        load(&[&one], &[&other], &[], UnknownRevocationStatus::Deny).unwrap(),
        load(&[&one], &[], &[], UnknownRevocationStatus::Allow).unwrap(),
        with_crls(&[&one], &[crl]),
    ];
    for (index, set) in sets.iter().enumerate() {
        assert_eq!(set.id(), set.clone().id());
        assert!(sets[..index].iter().all(|earlier| earlier.id() != set.id()));
    }
    assert_eq!(trusting(&[&one]).id(), sets[0].id());
}

#[test]
fn an_anchor_counts_within_its_dates_only() {
    let short =
        CertificateTemplate { validity: Validity::seconds(NOW..NOW + DAY), ..authority("root") };
    let root = short.self_signed(Key::p256("root"));
    let client = client_of(&root);
    let anchors = trusting(&[&root]);
    let expired = untrusted(PathProblem::AnchorExpired("CN=root".into()));
    let early = untrusted(PathProblem::AnchorNotYetValid("CN=root".into()));
    assert_eq!(verify_at(&anchors, &client, &[], NOW - 1), early);
    assert_eq!(verify_at(&anchors, &client, &[], NOW).unwrap().valid_until, NOW + DAY);
    assert_eq!(verify_at(&anchors, &client, &[], NOW + DAY + 1), expired);
    // Nor does a client bring it back to life with a copy of its own.
    let renewed = authority("root").self_signed(Key::p256("root"));
    assert_eq!(verify_at(&anchors, &client, &[&renewed], NOW + DAY + 1), expired);

    assert_eq!(anchors.first_not_after(), NOW + DAY);
    assert_eq!(anchors.first_next_update(), None);
    assert_eq!(anchors.first_expiry(), NOW + DAY + 1);
    assert_eq!(anchors.warnings(NOW), []);
    let [Warning::Expired { subject, .. }] = &anchors.warnings(NOW + DAY + 1)[..] else {
        panic!("no warning");
    };
    assert_eq!(subject, "CN=root");
}

#[test]
fn anchors_of_the_same_name_are_never_confused() {
    let (ours, theirs) = (root("ours"), root("theirs"));
    let (our_client, their_client) = (client_of(&ours), client_of(&theirs));
    let both = trusting(&[&ours, &theirs]);
    let key = |identity| trusting(&[identity]).keys().next().unwrap();
    assert_eq!(verify(&both, &our_client, &[]).unwrap().anchor_key, key(&ours));
    assert_eq!(verify(&both, &their_client, &[]).unwrap().anchor_key, key(&theirs));
    assert!(verify(&trusting(&[&ours]), &our_client, &[]).is_ok());
    assert_eq!(verify(&trusting(&[&ours]), &their_client, &[]), untrusted(PathProblem::Signature));
    assert_eq!(
        verify(&trusting(&[&ours]), &their_client, &[&theirs]),
        untrusted(PathProblem::Signature)
    );
}

#[test]
fn intermediates_of_the_same_name_are_never_confused() {
    let root = root("root");
    let one = authority("ca").issued_by(&root, Key::p256("one"));
    let other = authority("ca").issued_by(&root, Key::p256("other"));
    let anchors = trusting(&[&root]);
    for presented in [[&one, &other], [&other, &one]] {
        assert!(verify(&anchors, &client_of(&one), &presented).is_ok());
        assert!(verify(&anchors, &client_of(&other), &presented).is_ok());
    }
    assert_eq!(verify(&anchors, &client_of(&one), &[&other]), untrusted(PathProblem::Signature));
}

#[test]
fn a_path_that_key_identifiers_deny_is_found_behind_one_that_they_prefer() {
    let root = root("root");
    let other = CertificateTemplate::authority("CN=other").self_signed(Key::p256("other"));
    let revoked = authority("ca").issued_by(&root, Key::p256("ca"));
    let wrong = AuthorityKeyIdentifier {
        key_identifier: Some(OctetString::new([1, 2, 3]).unwrap()),
        ..Default::default()
    };
    let cross = CertificateTemplate {
        extensions: vec![extension("2.5.29.35", false, wrong)],
        serial_number: Some(7),
        ..authority("ca")
    };
    let cross = cross.issued_by(&other, Key::p256("ca"));
    let crls = [
        CrlTemplate::revoking([&revoked]).issued_by(&root),
        CrlTemplate::revoking([]).issued_by(&revoked),
        CrlTemplate::revoking([]).issued_by(&other),
    ];
    let anchors = with_crls(&[&root, &other], &crls);
    assert!(verify(&anchors, &client_of(&revoked), &[&revoked, &cross]).is_ok());
}

#[test]
fn many_anchors_of_the_same_name_and_the_slowest_kind_all_work() {
    let roots: Vec<Identity> = (0..20)
        .map(|generation| authority("root").self_signed(Key::p384(&generation.to_string())))
        .collect();
    let anchors = trusting(&roots.iter().collect::<Vec<_>>());
    for root in &roots {
        assert!(verify(&anchors, &client_of(root), &[]).is_ok());
    }
}

#[test]
fn a_wrong_key_identifier_does_not_hide_a_path() {
    let (one, other) = (root("one"), root("other"));
    let wrong = AuthorityKeyIdentifier {
        key_identifier: Some(OctetString::new([1, 2, 3]).unwrap()),
        ..Default::default()
    };
    let misled =
        CertificateTemplate { extensions: vec![extension("2.5.29.35", false, wrong)], ..client() };
    let client = misled.issued_by(&other, Key::p256("client"));
    assert!(verify(&trusting(&[&one, &other]), &client, &[]).is_ok());
    assert_eq!(verify(&trusting(&[&one]), &client, &[]), untrusted(PathProblem::Signature));
}

#[test]
fn the_path_length_of_an_anchor_counts() {
    let limited = |limit| {
        CertificateTemplate { path_length: Some(limit), ..authority("root") }
            .self_signed(Key::p256("root"))
    };
    for (limit, expected) in [(0, false), (1, true)] {
        let root = limited(limit);
        let ca = intermediate("ca", &root);
        let path = verify(&trusting(&[&root]), &client_of(&ca), &[&ca]);
        assert_eq!(path.is_ok(), expected);
        assert!(expected || path == untrusted(PathProblem::PathLength));
        assert!(verify(&trusting(&[&root]), &client_of(&root), &[]).is_ok());
    }
}

// === Intermediates ===

#[test]
fn missing_superfluous_and_wrong_intermediates() {
    let root = root("root");
    let ca = intermediate("ca", &root);
    let sub_ca = intermediate("sub-ca", &ca);
    let client = client_of(&sub_ca);
    let unrelated = intermediate("unrelated", &root);
    let wrong = authority("sub-ca").issued_by(&ca, Key::p256("wrong"));
    let anchors = trusting(&[&root]);

    assert!(verify(&anchors, &client, &[&sub_ca, &ca]).is_ok());
    assert!(verify(&anchors, &client, &[&ca, &sub_ca]).is_ok(), "in any order");
    assert!(verify(&anchors, &client, &[&sub_ca, &ca, &root]).is_ok(), "with the anchor");
    assert!(verify(&anchors, &client, &[&unrelated, &ca, &sub_ca]).is_ok(), "a superfluous one");
    assert!(verify(&anchors, &client, &[&ca, &ca, &sub_ca, &sub_ca]).is_ok(), "doubled");
    assert!(verify(&anchors, &client, &[&wrong, &sub_ca, &ca]).is_ok(), "a wrong one besides");
    assert!(verify(&anchors, &client, &[&client, &sub_ca, &ca]).is_ok(), "the certificate itself");
    let mut garbage = client.clone();
    garbage.certificate_der = vec![0x30, 0];
    assert!(verify(&anchors, &client, &[&garbage, &sub_ca, &ca]).is_ok(), "something else");

    assert_eq!(verify(&anchors, &client, &[]), no_path("CN=sub-ca"));
    assert_eq!(verify(&anchors, &client, &[&ca]), no_path("CN=sub-ca"));
    assert_eq!(verify(&anchors, &client, &[&sub_ca]), no_path("CN=ca"));
    assert_eq!(verify(&anchors, &client, &[&unrelated]), no_path("CN=sub-ca"));
    assert_eq!(verify(&anchors, &client, &[&wrong, &ca]), untrusted(PathProblem::Signature));
}

#[test]
fn configured_intermediates_complete_a_path() {
    let root = root("root");
    let ca = intermediate("ca", &root);
    let sub_ca = intermediate("sub-ca", &ca);
    let client = client_of(&sub_ca);
    let deny = UnknownRevocationStatus::Deny;
    assert!(
        verify(&load(&[&root], &[&sub_ca, &ca, &ca], &[], deny).unwrap(), &client, &[]).is_ok()
    );
    let partly = load(&[&root], &[&ca], &[], deny).unwrap();
    assert!(verify(&partly, &client, &[&sub_ca]).is_ok());
    assert_eq!(verify(&partly, &client, &[]), no_path("CN=sub-ca"));
}

#[test]
fn an_intermediate_may_issue_certificates_for_clients() {
    let root = root("root");
    let anchors = trusting(&[&root]);
    let problem = |template: CertificateTemplate| {
        let ca = template.issued_by(&root, Key::p256("ca"));
        let presented = verify(&anchors, &client_of(&ca), &[&ca]);
        let configured = load(&[&root], &[&ca], &[], UnknownRevocationStatus::Deny);
        assert_eq!(presented.is_ok(), configured.is_ok());
        presented.err()
    };
    let ca = || authority("ca");
    assert_eq!(problem(ca()), None);
    assert_eq!(problem(CertificateTemplate { key_usage: Default::default(), ..ca() }), None);
    let issuer = |error| Some(PathError::Untrusted(PathProblem::Issuer("CN=ca".into(), error)));
    assert_eq!(
        problem(CertificateTemplate { is_authority: false, ..ca() }),
        issuer(UnsuitableAuthority::NotAuthority)
    );
    assert_eq!(
        problem(CertificateTemplate { key_usage: KeyUsages::DigitalSignature.into(), ..ca() }),
        issuer(UnsuitableAuthority::KeyUsage)
    );
    let with = |purpose| CertificateTemplate { extended_key_usage: vec![purpose], ..ca() };
    assert_eq!(problem(with(extended_key_usage::ID_KP_CLIENT_AUTH)), None);
    assert_eq!(
        problem(with(extended_key_usage::ID_KP_SERVER_AUTH)),
        Some(PathError::Untrusted(PathProblem::IntermediatePurpose))
    );
}

#[test]
fn an_intermediate_counts_within_its_dates_only() {
    let root = root("root");
    let short =
        CertificateTemplate { validity: Validity::seconds(NOW..NOW + DAY), ..authority("ca") };
    let ca = short.issued_by(&root, Key::p256("ca"));
    let client = client_of(&ca);
    let anchors = trusting(&[&root]);
    assert_eq!(verify_at(&anchors, &client, &[&ca], NOW).unwrap().valid_until, NOW + DAY);
    assert_eq!(
        verify_at(&anchors, &client, &[&ca], NOW - 1),
        untrusted(PathProblem::IntermediateNotYetValid)
    );
    assert_eq!(
        verify_at(&anchors, &client, &[&ca], NOW + DAY + 1),
        untrusted(PathProblem::IntermediateExpired)
    );
    let renewed = intermediate("ca", &root);
    let path = verify_at(&anchors, &client, &[&ca, &renewed], NOW + DAY + 1).unwrap();
    assert_eq!(path.valid_until, END);
}

#[test]
fn the_path_length_of_an_intermediate_counts() {
    let root = root("root");
    for (limit, expected) in [(0, false), (1, true)] {
        let limited = CertificateTemplate { path_length: Some(limit), ..authority("ca") };
        let ca = limited.issued_by(&root, Key::p256("ca"));
        let sub_ca = intermediate("sub-ca", &ca);
        let path = verify(&trusting(&[&root]), &client_of(&sub_ca), &[&ca, &sub_ca]);
        assert_eq!(path.is_ok(), expected);
        assert!(expected || path == untrusted(PathProblem::PathLength));
        assert!(verify(&trusting(&[&root]), &client_of(&ca), &[&ca]).is_ok());
    }
}

#[test]
fn cross_signed_cas_lead_to_whichever_anchor_is_trusted() {
    let old = CertificateTemplate::authority("CN=old root").self_signed(Key::p256("old"));
    let new = CertificateTemplate::authority("CN=new root").self_signed(Key::p256("new"));
    let cross = authority("new root").issued_by(&old, Key::p256("new"));
    let by_old = authority("ca").issued_by(&old, Key::p256("ca"));
    let by_new = authority("ca").issued_by(&new, Key::p256("ca"));
    let client = client_of(&by_new);
    let presented = [&by_old, &by_new, &cross];
    assert!(verify(&trusting(&[&old]), &client, &presented).is_ok());
    assert!(verify(&trusting(&[&new]), &client, &presented).is_ok());
    assert!(verify(&trusting(&[&old]), &client, &[&by_new, &cross]).is_ok(), "over the cross");
    assert_eq!(verify(&trusting(&[&old]), &client, &[&by_new]), no_path("CN=new root"));
}

#[test]
fn loops_end() {
    let other = CertificateTemplate::authority("CN=other").self_signed(Key::p256("other"));
    let a = authority("a").issued_by(&other, Key::p256("a"));
    let b_by_a = authority("b").issued_by(&a, Key::p256("b"));
    let a_by_b = authority("a").issued_by(&b_by_a, Key::p256("a"));
    let client = client_of(&a);
    let root = root("root");
    assert!(verify(&trusting(&[&root]), &client, &[&a_by_b, &b_by_a]).is_err());
    assert!(verify(&trusting(&[&other]), &client, &[&a_by_b, &b_by_a, &a]).is_ok());
    let itself = CertificateTemplate::authority("CN=a").self_signed(Key::p256("a"));
    assert!(verify(&trusting(&[&root]), &client, &[&itself]).is_err());
}

#[test]
fn a_chain_of_cas_of_one_name_is_found_in_any_order() {
    let root = CertificateTemplate::authority("CN=root").self_signed(Key::p384("root"));
    let mut chain = vec![authority("ca").issued_by(&root, Key::p384("0"))];
    for generation in 1..4 {
        let key = Key::p384(&generation.to_string());
        chain.push(authority("ca").issued_by(&chain[generation - 1], key));
    }
    let client = client_of(&chain[3]);
    let anchors = trusting(&[&root]);
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]] {
        let presented = order.map(|index| &chain[index]);
        assert!(verify(&anchors, &client, &presented).is_ok(), "{order:?}");
    }
}

#[test]
fn hostile_chains_are_refused_before_they_cost_much() {
    // Whoever may issue certificates himself can make all signatures right but those that matter, and hide which.
    let root = CertificateTemplate::authority("CN=ca").self_signed(Key::p384("root"));
    let anonymous = CertificateTemplate {
        extensions: vec![
            extension("2.5.29.14", false, OctetString::new([1]).unwrap()),
            extension("2.5.29.35", false, AuthorityKeyIdentifier::default()),
        ],
        ..authority("ca")
    };
    let mut chain = vec![anonymous.issued_by(&root, Key::p384("0"))];
    for generation in 1..4 {
        let key = Key::p384(&generation.to_string());
        chain.push(anonymous.issued_by(&chain[generation - 1], key));
    }
    let mut forged = CertificateTemplate { extensions: anonymous.extensions.clone(), ..client() }
        .issued_by(&chain[3], Key::p256("client"));
    *forged.certificate_der.last_mut().unwrap() ^= 1;
    let presented: Vec<_> = chain.iter().collect();
    let anchors = trusting(&[&root]);
    assert_eq!(verify(&anchors, &forged, &presented), untrusted(PathProblem::TooCostly));

    let names = (0..200).map(|index| dns_name(&format!("{index}.example.com")));
    let client = CertificateTemplate::client("CN=client", names.collect::<Vec<_>>());
    let check = |number: usize| {
        let subtree = GeneralSubtree { base: dns_name("example.com"), minimum: 0, maximum: None };
        let constraints = NameConstraints {
            permitted_subtrees: Some(vec![subtree; number]),
            excluded_subtrees: None,
        };
        let extensions = vec![extension("2.5.29.30", true, constraints)];
        let ca = CertificateTemplate { extensions, ..authority("constrained") };
        let ca = ca.issued_by(&root, Key::p256("constrained"));
        verify(&anchors, &client.issued_by(&ca, Key::p256("client")), &[&ca]).map(|_| ())
    };
    assert_eq!(check(40), Ok(()));
    assert_eq!(check(60), untrusted(PathProblem::TooCostly));
}

#[test]
fn a_client_presents_five_certificates_at_most() {
    let root = root("root");
    let mut chain: Vec<Identity> = vec![intermediate("0", &root)];
    for depth in 1..5 {
        let next = intermediate(&depth.to_string(), &chain[depth - 1]);
        chain.push(next);
    }
    let anchors = trusting(&[&root]);
    let four: Vec<_> = chain[..4].iter().collect();
    assert!(verify(&anchors, &client_of(&chain[3]), &four).is_ok());
    let five: Vec<_> = chain.iter().collect();
    assert_eq!(
        verify(&anchors, &client_of(&chain[4]), &five),
        untrusted(PathProblem::TooManyCertificates)
    );
}

// === Name constraints ===

#[test]
fn name_constraints_hold_or_refuse() {
    let subtree = |base| vec![GeneralSubtree { base, minimum: 0, maximum: None }];
    let permitted = |base| {
        let constraints =
            NameConstraints { permitted_subtrees: Some(subtree(base)), excluded_subtrees: None };
        vec![extension("2.5.29.30", true, constraints)]
    };
    let root = root("root");
    let check = |constraint: GeneralName, name: GeneralName| {
        let constrained =
            CertificateTemplate { extensions: permitted(constraint), ..authority("ca") };
        let client = CertificateTemplate::client("CN=client", [name]);
        let ca = constrained.issued_by(&root, Key::p256("ca"));
        let by_ca = client.issued_by(&ca, Key::p256("client"));
        let over_intermediate = verify(&trusting(&[&root]), &by_ca, &[&ca]);
        let anchor = constrained.self_signed(Key::p256("ca"));
        assert_eq!(verify(&trusting(&[&anchor]), &by_ca, &[]).is_ok(), over_intermediate.is_ok());
        over_intermediate.map(|_| ())
    };
    let refused = untrusted(PathProblem::NameConstraints);
    assert_eq!(check(dns_name("example.com"), dns_name("a.example.com")), Ok(()));
    assert_eq!(check(dns_name("example.com"), dns_name("example.org")), refused);
    assert_eq!(check(dns_name("example.com"), ip_address("192.0.2.1")), Ok(()));
    // What webpki cannot judge is refused, even where it would be permitted.
    assert_eq!(check(uri("example.org"), uri("spiffe://example.org/a")), refused);
    assert_eq!(check(email("example.com"), email("a@example.com")), refused);
    let directory: demo_pki::x509_cert::name::Name = "CN=client".parse().unwrap();
    assert_eq!(check(GeneralName::DirectoryName(directory), dns_name("example.com")), refused);
    // And what does not concern the certificate does not hinder it.
    assert_eq!(check(uri("example.org"), dns_name("example.com")), Ok(()));
    assert_eq!(check(email("example.com"), dns_name("example.com")), Ok(()));
}

// === Revocation ===

fn revoked_end_entity<T>() -> Result<T, PathError> {
    Err(PathError::Revoked(Which::EndEntity))
}

fn unknown<T>(which: Which, why: UnknownRevocation) -> Result<T, PathError> {
    Err(PathError::RevocationUnknown(which, why))
}

#[test]
fn a_revoked_end_entity_certificate_is_denied() {
    let root = root("root");
    let client = client_of(&root);
    let other = CertificateTemplate::client("CN=other", []).issued_by(&root, Key::p256("other"));
    let anchors = with_crls(&[&root], &[CrlTemplate::revoking([&other]).issued_by(&root)]);
    assert!(verify(&anchors, &client, &[]).is_ok());
    assert_eq!(verify(&anchors, &other, &[]), revoked_end_entity());
    assert!(verify(&trusting(&[&root]), &other, &[]).is_ok(), "where there are no CRLs");
}

#[test]
fn a_revoked_intermediate_is_denied_unless_another_path_avoids_it() {
    let root = root("root");
    let second = CertificateTemplate::authority("CN=second").self_signed(Key::p256("second"));
    let ca = intermediate("ca", &root);
    let client = client_of(&ca);
    let crls = [
        CrlTemplate::revoking([&ca]).issued_by(&root),
        CrlTemplate::revoking([]).issued_by(&ca),
        CrlTemplate::revoking([]).issued_by(&second),
    ];
    let intermediate_revoked = Err(PathError::Revoked(Which::Intermediate("CN=ca".into())));
    let anchors = with_crls(&[&root, &second], &crls);
    assert_eq!(verify(&anchors, &client, &[&ca]), intermediate_revoked);
    let cross = CertificateTemplate { serial_number: Some(7), ..authority("ca") }
        .issued_by(&second, Key::p256("ca"));
    assert!(verify(&anchors, &client, &[&ca, &cross]).is_ok());
    let lenient = load(&[&root], &[], &crls, UnknownRevocationStatus::Allow).unwrap();
    assert_eq!(verify(&lenient, &client, &[&ca]), intermediate_revoked);
}

/// Copies of an issuer with another key cost signatures and lead nowhere. However many a client presents, the lists of the
/// operator are consulted all the same.
#[test]
fn a_client_cannot_use_up_what_the_revocation_check_costs() {
    let plain = |name| CertificateTemplate {
        extensions: vec![
            extension("2.5.29.14", false, OctetString::new([1]).unwrap()),
            extension("2.5.29.35", false, AuthorityKeyIdentifier::default()),
        ],
        ..authority(name)
    };
    let root = CertificateTemplate::authority("CN=root").self_signed(Key::p384("root"));
    let impostor = CertificateTemplate::authority("CN=root").self_signed(Key::p384("impostor"));
    let first = plain("1").issued_by(&root, Key::p384("1"));
    let forged = |key| plain("1").issued_by(&impostor, Key::p384(key));
    let (forged_once, forged_twice) = (forged("forged once"), forged("forged twice"));
    let second = plain("2").issued_by(&first, Key::p384("2"));
    let client = client().issued_by(&second, Key::p384("client"));
    let list = CrlTemplate::revoking([&client]).issued_by(&second);
    let anchors = load(&[&root], &[], &[list], UnknownRevocationStatus::Allow).unwrap();
    let mut cache = VerdictCache::default();
    for presented in [
        vec![&second, &forged_once, &forged_twice, &first],
        vec![&forged_once, &second, &first],
        vec![&second, &first, &forged_once],
        vec![&second, &first],
    ] {
        let verdict = verify(&anchors, &client, &presented);
        assert_eq!(verdict, revoked_end_entity());
        assert_eq!(cached(&mut cache, &anchors, &client, &presented, NOW), revoked_end_entity());
    }
}

#[test]
fn every_certificate_of_the_path_needs_a_crl_that_covers_it() {
    let root = root("root");
    let ca = intermediate("ca", &root);
    let client = client_of(&ca);
    let of = |identity| CrlTemplate::revoking([]).issued_by(identity);
    let missing = UnknownRevocation::Missing;
    let which = Which::Intermediate("CN=ca".into());
    let check = |crls: &[String]| {
        let lenient = load(&[&root], &[], crls, UnknownRevocationStatus::Allow).unwrap();
        assert!(verify(&lenient, &client, &[&ca]).is_ok());
        verify(&with_crls(&[&root], crls), &client, &[&ca]).map(|_| ())
    };
    assert_eq!(check(&[of(&root), of(&ca)]), Ok(()));
    assert_eq!(check(&[of(&root)]), unknown(Which::EndEntity, missing));
    assert_eq!(check(&[of(&ca)]), unknown(which, missing));
}

#[test]
fn a_crl_counts_within_its_dates_only() {
    let root = root("root");
    let client = client_of(&root);
    let crl =
        CrlTemplate { validity: Validity::seconds(NOW..NOW + DAY), ..CrlTemplate::revoking([]) };
    let crls = [crl.issued_by(&root)];
    let anchors = with_crls(&[&root], &crls);
    let lenient = load(&[&root], &[], &crls, UnknownRevocationStatus::Allow).unwrap();
    let at = |anchors, now| verify_at(anchors, &client, &[], now);
    assert_eq!(at(&anchors, NOW - 1), unknown(Which::EndEntity, UnknownRevocation::Early));
    assert_eq!(at(&anchors, NOW).unwrap().valid_until, NOW + DAY - 1);
    assert!(at(&anchors, NOW + DAY - 1).is_ok());
    assert_eq!(at(&anchors, NOW + DAY), unknown(Which::EndEntity, UnknownRevocation::Stale));
    // An allowed unknown status is not one that is known: nextUpdate no longer bounds it, thisUpdate does.
    assert_eq!(at(&lenient, NOW + DAY).unwrap().valid_until, END);
    assert_eq!(at(&lenient, NOW - 1).unwrap().valid_until, NOW - 1);
    assert_eq!(anchors.first_next_update(), Some(NOW + DAY));
    assert_eq!(anchors.first_expiry(), NOW + DAY);
    let stale = Warning::StaleCrl { issuer: "CN=root".into() };
    let early = Warning::EarlyCrl { issuer: "CN=root".into() };
    assert_eq!(anchors.warnings(NOW + DAY), [stale]);
    assert_eq!(anchors.warnings(NOW - 1), [early]);
    assert_eq!(anchors.warnings(NOW), []);
}

#[test]
fn a_revocation_outlives_its_crl() {
    let root = root("root");
    let client = client_of(&root);
    let stale = CrlTemplate {
        validity: Validity::seconds(NOW - DAY..NOW),
        ..CrlTemplate::revoking([&client])
    };
    for status in [UnknownRevocationStatus::Allow, UnknownRevocationStatus::Deny] {
        let anchors = load(&[&root], &[], &[stale.issued_by(&root)], status).unwrap();
        assert_eq!(verify(&anchors, &client, &[]), revoked_end_entity());
    }
}

#[test]
fn a_later_crl_replaces_an_earlier_one() {
    let root = root("root");
    let client = client_of(&root);
    let earlier = Validity::seconds(NOW - DAY..NOW + DAY);
    let later = Validity::seconds(NOW - 1..NOW + DAY);
    let future = Validity::seconds(NOW + 10..NOW + DAY);
    let revoking = |validity| CrlTemplate { validity, ..CrlTemplate::revoking([&client]) };
    let clean = |validity| CrlTemplate { validity, ..CrlTemplate::revoking([]) };
    let check = |crls: [CrlTemplate; 2], now| {
        let [one, other] = crls.map(|crl| crl.issued_by(&root));
        let path =
            verify_at(&with_crls(&[&root], &[one.clone(), other.clone()]), &client, &[], now);
        let reversed = verify_at(&with_crls(&[&root], &[other, one]), &client, &[], now);
        assert_eq!(path, reversed);
        path
    };
    assert!(check([revoking(earlier), clean(later)], NOW).is_ok(), "a hold that was lifted");
    assert_eq!(check([clean(earlier), revoking(later)], NOW), revoked_end_entity());
    let path = check([clean(earlier), revoking(future)], NOW).unwrap();
    assert_eq!(path.valid_until, NOW + 9, "the future one is not to be missed");
    assert_eq!(check([clean(earlier), revoking(future)], NOW + 10), revoked_end_entity());
}

#[test]
fn the_crl_of_another_ca_says_nothing() {
    let (ours, theirs) = (root("ours"), root("theirs"));
    let (our_client, their_client) = (client_of(&ours), client_of(&theirs));
    let our_crl = CrlTemplate::revoking([]).issued_by(&ours);
    let their_crl = CrlTemplate::revoking([&our_client, &their_client]).issued_by(&theirs);
    // Of the same name: our client's serial number in their list is not our client.
    for crls in [[our_crl.clone(), their_crl.clone()], [their_crl.clone(), our_crl]] {
        let anchors = with_crls(&[&ours, &theirs], &crls);
        assert!(verify(&anchors, &our_client, &[]).is_ok());
        assert_eq!(verify(&anchors, &their_client, &[]), revoked_end_entity());
    }
    let anchors = with_crls(&[&ours], &[their_crl]);
    assert_eq!(
        verify(&anchors, &our_client, &[]),
        unknown(Which::EndEntity, UnknownRevocation::Signature)
    );
    assert_eq!(anchors.warnings(NOW), [Warning::CrlWithoutSigner { issuer: "CN=root".into() }]);
    // Of another name.
    let other = CertificateTemplate::authority("CN=other").self_signed(Key::p256("other"));
    let anchors = with_crls(&[&ours], &[CrlTemplate::revoking([]).issued_by(&other)]);
    assert_eq!(
        verify(&anchors, &our_client, &[]),
        unknown(Which::EndEntity, UnknownRevocation::Missing)
    );
}

#[test]
fn a_ca_with_new_key_and_old_name_has_its_own_crl() {
    let old = root("old");
    let new = CertificateTemplate::authority("CN=root").issued_by(&old, Key::p256("new"));
    let client = client_of(&new);
    let crls =
        [CrlTemplate::revoking([]).issued_by(&old), CrlTemplate::revoking([]).issued_by(&new)];
    assert!(verify(&with_crls(&[&old], &crls), &client, &[&new]).is_ok());
    let crls = [
        CrlTemplate::revoking([]).issued_by(&old),
        CrlTemplate::revoking([&client]).issued_by(&new),
    ];
    assert_eq!(verify(&with_crls(&[&old], &crls), &client, &[&new]), revoked_end_entity());
}

#[test]
fn a_crl_issuer_has_crl_sign() {
    let template =
        CertificateTemplate { key_usage: KeyUsages::KeyCertSign.into(), ..authority("root") };
    let root = template.self_signed(Key::p256("root"));
    let client = client_of(&root);
    let signer = unknown(Which::EndEntity, UnknownRevocation::Signer);
    let crl = CrlTemplate::revoking([]).issued_by(&root);
    assert_eq!(verify(&with_crls(&[&root], &[crl]), &client, &[]), signer);
    let template = CertificateTemplate { key_usage: Default::default(), ..authority("root") };
    let root = template.self_signed(Key::p256("root"));
    let crl = CrlTemplate::revoking([]).issued_by(&root);
    assert!(verify(&with_crls(&[&root], &[crl]), &client_of(&root), &[]).is_ok());
}

fn issuing_distribution_point(
    uri_of_list: Option<&str>,
    change: impl FnOnce(&mut IssuingDistributionPoint),
) -> Vec<Extension> {
    let mut point = IssuingDistributionPoint {
        distribution_point: uri_of_list
            .map(|text| DistributionPointName::FullName(vec![uri(text)])),
        only_contains_user_certs: false,
        only_contains_ca_certs: false,
        only_some_reasons: None,
        indirect_crl: false,
        only_contains_attribute_certs: false,
    };
    change(&mut point);
    vec![extension("2.5.29.28", true, point)]
}

#[test]
fn crls_that_cannot_be_judged_are_refused_at_load() {
    let root = root("root");
    let load = |template: CrlTemplate| match load(
        &[&root],
        &[],
        &[template.issued_by(&root)],
        UnknownRevocationStatus::Allow,
    ) {
        Ok(_) => None,
        Err(InvalidTrustAnchors::Crl { position: 1, error }) => Some(error),
        Err(other) => panic!("{other}"),
    };
    let clean = || CrlTemplate::revoking([]);
    let with = |extensions| CrlTemplate { extensions, ..clean() };
    assert_eq!(load(clean()), None);
    assert_eq!(load(CrlTemplate { number: None, ..clean() }), Some(InvalidCrl::Malformed));
    let unknown = |critical| vec![extension("1.3.6.1.4.1.99999.1", critical, null())];
    assert_eq!(
        load(CrlTemplate { number: None, ..with(unknown(false)) }),
        Some(InvalidCrl::Number)
    );
    let critical_number = vec![extension("2.5.29.20", true, 1_u8)];
    assert_eq!(
        load(CrlTemplate { number: None, ..with(critical_number) }),
        Some(InvalidCrl::Number)
    );
    assert_eq!(load(with(unknown(false))), None);
    assert_eq!(load(with(unknown(true))), Some(InvalidCrl::CriticalExtension));
    assert_eq!(load(with(vec![extension("2.5.29.27", true, 1_u8)])), Some(InvalidCrl::Delta));
    let list = Some("http://ca.example.com/crl");
    assert_eq!(load(with(issuing_distribution_point(list, |_| {}))), None);
    assert_eq!(
        load(with(issuing_distribution_point(list, |point| point.indirect_crl = true))),
        Some(InvalidCrl::Indirect)
    );
    assert_eq!(
        load(with(issuing_distribution_point(None, |point| point.only_contains_ca_certs = true))),
        Some(InvalidCrl::Scope)
    );
}

#[test]
fn a_crl_speaks_for_the_certificates_in_its_scope() {
    let root = root("root");
    let ca = intermediate("ca", &root);
    let list = Some("http://ca.example.com/crl");
    let scoped = |change: fn(&mut IssuingDistributionPoint)| CrlTemplate {
        extensions: issuing_distribution_point(list, change),
        ..CrlTemplate::revoking([])
    };
    let check = |crl: CrlTemplate, points: &[&str]| {
        let point = |text: &&str| DistributionPoint {
            distribution_point: Some(DistributionPointName::FullName(vec![uri(text)])),
            reasons: None,
            crl_issuer: None,
        };
        let points = CrlDistributionPoints(points.iter().map(point).collect());
        let extensions =
            if points.0.is_empty() { vec![] } else { vec![extension("2.5.29.31", false, points)] };
        let client = CertificateTemplate { extensions, ..client() };
        let client = client.issued_by(&root, Key::p256("client"));
        verify(&with_crls(&[&root], &[crl.issued_by(&root)]), &client, &[]).map(|_| ())
    };
    let missing = unknown(Which::EndEntity, UnknownRevocation::Missing);
    let this = "http://ca.example.com/crl";
    let other = "http://ca.example.com/other";
    assert_eq!(check(CrlTemplate::revoking([]), &[other]), Ok(()), "a complete list");
    assert_eq!(check(scoped(|_| {}), &[]), Ok(()));
    assert_eq!(check(scoped(|_| {}), &[this]), Ok(()));
    assert_eq!(check(scoped(|_| {}), &[other, this]), Ok(()));
    assert_eq!(check(scoped(|_| {}), &[other]), missing);
    assert_eq!(check(scoped(|point| point.only_contains_user_certs = true), &[this]), Ok(()));
    assert_eq!(check(scoped(|point| point.only_contains_ca_certs = true), &[this]), missing);

    // One list of the root for CAs and one for clients.
    let for_cas = scoped(|point| point.only_contains_ca_certs = true).issued_by(&root);
    let for_clients = scoped(|point| point.only_contains_user_certs = true).issued_by(&ca);
    let anchors = with_crls(&[&root], &[for_cas, for_clients]);
    assert!(verify(&anchors, &client_of(&ca), &[&ca]).is_ok());
}

// === The cache ===

fn cached(
    cache: &mut VerdictCache,
    anchors: &TrustAnchors,
    end_entity: &Identity,
    presented: &[&Identity],
    now: u64,
) -> Result<VerifiedPath, PathError> {
    cache.verify(anchors, &certificate(end_entity), &ders(presented), now)
}

#[test]
fn a_known_certificate_costs_no_verification_until_something_expires() {
    let root = root("root");
    let ca = intermediate("ca", &root);
    let short = CertificateTemplate { validity: Validity::seconds(NOW..NOW + DAY), ..client() };
    let client = short.issued_by(&ca, Key::p256("client"));
    let anchors = trusting(&[&root]);
    let mut cache = VerdictCache::default();
    for now in [NOW, NOW + 1, NOW + DAY] {
        assert!(cached(&mut cache, &anchors, &client, &[&ca], now).is_ok());
        assert_eq!(cache.verifications(), 1);
    }
    let expired = cached(&mut cache, &anchors, &client, &[&ca], NOW + DAY + 1);
    assert_eq!(expired, Err(PathError::Expired));
    assert_eq!(cached(&mut cache, &anchors, &client, &[&ca], NOW - 1), Err(PathError::NotYetValid));
    assert!(cached(&mut cache, &anchors, &client, &[&ca], NOW + DAY).is_ok());
    assert_eq!(cache.verifications(), 3);
}

#[test]
fn a_verdict_holds_for_one_set_only() {
    let (ours, theirs) = (root("ours"), root("theirs"));
    let client = client_of(&ours);
    let mut cache = VerdictCache::default();
    assert!(cached(&mut cache, &trusting(&[&ours]), &client, &[], NOW).is_ok());
    assert!(cached(&mut cache, &trusting(&[&theirs]), &client, &[], NOW).is_err());
    // The same anchors loaded again are the same set; with another CRL they are not.
    assert!(cached(&mut cache, &trusting(&[&ours]), &client, &[], NOW).is_ok());
    assert_eq!(cache.verifications(), 2);
    let crl = CrlTemplate::revoking([&client]).issued_by(&ours);
    let revoked = cached(&mut cache, &with_crls(&[&ours], &[crl]), &client, &[], NOW);
    assert_eq!(revoked, revoked_end_entity());
}

#[test]
fn a_path_is_remembered_until_next_update() {
    let root = root("root");
    let client = client_of(&root);
    let crl =
        CrlTemplate { validity: Validity::seconds(NOW..NOW + DAY), ..CrlTemplate::revoking([]) };
    let anchors = with_crls(&[&root], &[crl.issued_by(&root)]);
    let mut cache = VerdictCache::default();
    assert!(cached(&mut cache, &anchors, &client, &[], NOW).is_ok());
    assert!(cached(&mut cache, &anchors, &client, &[], NOW + DAY - 1).is_ok());
    assert_eq!(cache.verifications(), 1);
    let stale = cached(&mut cache, &anchors, &client, &[], NOW + DAY);
    assert_eq!(stale, unknown(Which::EndEntity, UnknownRevocation::Stale));
}

#[test]
fn denials_are_remembered_briefly_and_with_what_was_presented() {
    let (ours, theirs) = (root("ours"), root("theirs"));
    let client = client_of(&theirs);
    let anchors = trusting(&[&ours]);
    let mut cache = VerdictCache::default();
    let mut expect = |presented: &[&Identity], now, verifications| {
        let denied = cached(&mut cache, &anchors, &client, presented, now);
        assert_eq!(denied, untrusted(PathProblem::Signature));
        assert_eq!(cache.verifications(), verifications);
    };
    expect(&[], NOW, 1);
    expect(&[], NOW + 60, 1);
    expect(&[&theirs], NOW, 2);
    expect(&[], NOW + 61, 3);
    expect(&[], NOW + 60, 4);
}

#[test]
fn a_denial_ends_when_something_becomes_valid() {
    let root = root("root");
    let late =
        CertificateTemplate { validity: Validity::seconds(NOW + 10..NOW + DAY), ..authority("ca") };
    let late = late.issued_by(&root, Key::p256("ca"));
    let wrong = authority("ca").issued_by(&root, Key::p256("wrong"));
    let client = client_of(&late);
    let anchors = trusting(&[&root]);
    let mut cache = VerdictCache::default();
    for now in [NOW, NOW + 9] {
        assert!(cached(&mut cache, &anchors, &client, &[&wrong, &late], now).is_err());
        assert_eq!(cache.verifications(), 1);
    }
    assert!(cached(&mut cache, &anchors, &client, &[&wrong, &late], NOW + 10).is_ok());
}

#[test]
fn no_number_of_denials_displaces_a_path() {
    let (ours, theirs) = (root("ours"), root("theirs"));
    let good = client_of(&ours);
    let anchors = trusting(&[&ours]);
    let mut cache = VerdictCache::with_capacity(8, 8);
    assert!(cached(&mut cache, &anchors, &good, &[], NOW).is_ok());
    for serial in 0..40 {
        let hostile = CertificateTemplate { serial_number: Some(serial), ..client() };
        let hostile = hostile.issued_by(&theirs, Key::p256("client"));
        assert!(cached(&mut cache, &anchors, &hostile, &[], NOW).is_err());
    }
    let before = cache.verifications();
    assert!(cached(&mut cache, &anchors, &good, &[], NOW).is_ok());
    assert_eq!(cache.verifications(), before);
}

#[test]
fn what_the_operator_reads_is_a_sentence() {
    let root = root("root");
    let error = verify(&trusting(&[&root]), &client_of(&intermediate("ca", &root)), &[]);
    assert_eq!(
        error.unwrap_err().to_string(),
        "no path leads to a trust anchor: the issuer CN=ca is neither configured nor presented"
    );
    let error = load(&[&client_of(&root)], &[], &[], UnknownRevocationStatus::Deny).unwrap_err();
    assert!(error.to_string().contains("self_signed_tls_client_auth"), "{error}");
}
