//! Why a request is not to be believed.

use std::fmt;

/// Why a request is not to be believed. For the operator: a client should not learn it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// A covered field is not in the request.
    Absent {
        /// Its name.
        field: String,
    },
    /// The named algorithm is not the key's.
    Algorithm {
        /// What the signature says.
        named: String,
        /// What the key is for.
        key: &'static str,
    },
    /// The JWS is for another server.
    Audience {
        /// For which it is.
        named: Vec<String>,
    },
    /// A claim is missing, or is not what the request says.
    Claim {
        /// Its name.
        name: &'static str,
    },
    /// A component that certbound does not sign, or that has parameters.
    Component {
        /// Its name.
        name: String,
    },
    /// The body is not the one that `Content-Digest` is of.
    ContentDigest,
    /// The signature is too old.
    Expired {
        /// Seconds since its expiry.
        since: u64,
    },
    /// Only one of `Signature-Input` and `Signature` has a member of our label, or one is of another type.
    Incomplete {
        /// The label.
        label: String,
    },
    /// The JWS is by another issuer.
    Issuer {
        /// By whom it says it is.
        named: Option<String>,
    },
    /// A field does not parse.
    Malformed {
        /// Its name.
        field: String,
    },
    /// It would expire before it began.
    NoLifetime,
    /// A required component is not covered.
    NotCovered {
        /// Its name.
        component: String,
    },
    /// A field that only certbound may write, or that it removes, is there and no signature covers it.
    NotVouchedFor {
        /// Its name.
        field: String,
    },
    /// The signature is from the future.
    NotYet {
        /// Seconds until it begins.
        by: u64,
    },
    /// A signature of another label has certbound's tag.
    OtherLabel {
        /// The label.
        label: String,
    },
    /// A signature parameter is missing or of another type.
    Parameter {
        /// Its name.
        name: &'static str,
    },
    /// A field is there twice.
    Repeated {
        /// Its name.
        field: String,
    },
    /// A component is covered twice (RFC 9421 §2.5).
    RepeatedComponent {
        /// Its name.
        name: String,
    },
    /// A dictionary has a member twice.
    RepeatedMember {
        /// The field's name.
        field: String,
        /// The member's key.
        member: String,
    },
    /// The signature is not this key's over this request.
    Signature {
        /// The key's identifier.
        key: Option<String>,
    },
    /// The tag is not certbound's.
    Tag,
    /// The `typ` is not certbound's.
    Type,
    /// No key has this identifier.
    UnknownKey {
        /// The identifier in the signature.
        identifier: Option<String>,
    },
    /// There is no signature of certbound.
    Unsigned {
        /// The label that was looked for.
        label: String,
    },
}

impl Refusal {
    /// A name for scripts and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Absent { .. } => "covered_field_absent",
            Self::Algorithm { .. } => "algorithm_mismatch",
            Self::Audience { .. } => "audience_mismatch",
            Self::Claim { .. } => "claim_mismatch",
            Self::Component { .. } => "component_unsupported",
            Self::ContentDigest => "content_digest_mismatch",
            Self::Expired { .. } => "expired",
            Self::Incomplete { .. } => "signature_incomplete",
            Self::Issuer { .. } => "issuer_mismatch",
            Self::Malformed { .. } => "field_malformed",
            Self::NoLifetime => "lifetime_empty",
            Self::NotCovered { .. } => "component_not_covered",
            Self::NotVouchedFor { .. } => "field_not_covered",
            Self::NotYet { .. } => "not_yet_valid",
            Self::OtherLabel { .. } => "tag_repeated",
            Self::Parameter { .. } => "parameter_missing",
            Self::Repeated { .. } => "field_repeated",
            Self::RepeatedComponent { .. } => "component_repeated",
            Self::RepeatedMember { .. } => "member_repeated",
            Self::Signature { .. } => "signature_mismatch",
            Self::Tag => "tag_mismatch",
            Self::Type => "type_mismatch",
            Self::UnknownKey { .. } => "key_unknown",
            Self::Unsigned { .. } => "signature_missing",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent { field } => {
                write!(f, "`{field}` is covered, and the request does not have it")
            }
            Self::Algorithm { named, key } => {
                write!(
                    f,
                    "the signature says that its algorithm is `{named}`, the key is for {key}"
                )
            }
            Self::Audience { named } if named.is_empty() => f.write_str("the JWS has no `aud`"),
            Self::Audience { named } => write!(f, "the JWS is for `{}`", named.join("`, `")),
            Self::Claim { name } => {
                write!(
                    f,
                    "the claim `{name}` of the JWS is missing, or is not that of this request"
                )
            }
            Self::Component { name } => write!(
                f,
                "the component `{name}` cannot be verified: certbound signs header fields, `@method`, `@authority`, `@path` and `@query`"
            ),
            Self::ContentDigest => f.write_str("the body is not the one that Content-Digest is of"),
            Self::Expired { since } => write!(f, "the signature expired {since} seconds ago"),
            Self::Incomplete { label } => write!(
                f,
                "`{label}` is not in both Signature-Input and Signature, or is no signature there"
            ),
            Self::Issuer { named } => match named {
                None => f.write_str("the JWS has no `iss`"),
                Some(named) => write!(f, "the JWS is by `{named}`"),
            },
            Self::Malformed { field } => write!(f, "`{field}` is malformed"),
            Self::NoLifetime => f.write_str("the signature expires no later than it was created"),
            Self::NotCovered { component } => {
                write!(f, "the signature does not cover `{component}`")
            }
            Self::NotVouchedFor { field } => {
                write!(f, "`{field}` is there, and no signature of certbound covers it")
            }
            Self::NotYet { by } => {
                write!(
                    f,
                    "the signature was created {by} seconds in the future: compare the clocks"
                )
            }
            Self::OtherLabel { label } => {
                write!(f, "the signature labelled `{label}` has certbound's tag as well")
            }
            Self::Parameter { name } => {
                write!(f, "the signature parameter `{name}` is missing or malformed")
            }
            Self::Repeated { field } => write!(f, "`{field}` is there twice"),
            Self::RepeatedComponent { name } => write!(f, "`{name}` is covered twice"),
            Self::RepeatedMember { field, member } => {
                write!(f, "`{member}` is twice in `{field}`")
            }
            Self::Signature { key } => match key {
                None => f.write_str("the signature is not the key's over this request"),
                Some(key) => {
                    write!(f, "the signature is not that of key `{key}` over this request")
                }
            },
            Self::Tag => f.write_str("the signature's tag is not `certbound`"),
            Self::Type => f.write_str("the JWS is not of type `certbound+jwt`"),
            Self::UnknownKey { identifier } => match identifier {
                None => f.write_str("the signature does not say which key it is by"),
                Some(identifier) => {
                    write!(f, "the signature is by key `{identifier}`, which is not given")
                }
            },
            Self::Unsigned { label } => {
                write!(
                    f,
                    "there is no signature of certbound: neither one labelled `{label}` nor a JWS"
                )
            }
        }
    }
}

impl std::error::Error for Refusal {}
