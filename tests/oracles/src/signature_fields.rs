//! `Signature` and `Signature-Input` (RFC 9421 §4): what is certbound's goes, what is others' stays as it is.

use std::collections::{BTreeMap, BTreeSet};

use certbound::{headers::Headers, http_signature::TAG, sanitise::Sanitiser};

use crate::{
    filter::apply,
    structured_field::{Member, dictionary},
};

const LABEL: &str = "certbound";

/// The fields before and after: an input is lines of `Signature-Input`, an empty line, lines of `Signature`.
pub(crate) fn sanitise(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let (inputs, signatures) = text.split_once("\n\n").unwrap_or((text, ""));
    let fields = |name: &str, lines: &str| -> Vec<(String, Vec<u8>)> {
        let lines = lines.lines().filter(|line| !line.is_empty());
        lines.map(|line| (name.to_owned(), line.trim_ascii().as_bytes().to_vec())).collect()
    };
    let received =
        Headers([fields("signature-input", inputs), fields("signature", signatures)].concat());
    let mut upstream = received.clone();
    apply(&mut upstream, Sanitiser::new(["client-cert"], None, LABEL).changes(&received));
    assert_hygiene(LABEL, &received, &upstream, false);
    let again = Sanitiser::new(["client-cert"], None, LABEL).changes(&upstream);
    assert_eq!(again, [], "what was sanitised is not clean");
}

/// Holds the signature fields that the server gets against those received: of the members with certbound's label or tag
/// only what certbound `signed`, of the others all.
///
/// # Panics
/// When that does not hold.
pub(crate) fn assert_hygiene(label: &str, received: &Headers, upstream: &Headers, signed: bool) {
    let before = members(received);
    let after = members(upstream);
    let ours: BTreeSet<_> = before.iter().flat_map(tagged).chain([label.to_owned()]).collect();
    for (before, after) in before.iter().zip(&after) {
        let before: BTreeMap<_, _> =
            before.iter().flatten().filter(|(name, _)| !ours.contains(*name)).collect();
        let after: BTreeMap<_, _> =
            after.iter().flatten().filter(|(name, _)| *name != label).collect();
        assert_eq!(before, after, "signatures of others");
    }
    let [input, signature] = &after;
    for members in [input, signature] {
        let is_ours = members.as_ref().is_some_and(|members| members.contains_key(label));
        assert_eq!(is_ours, signed, "the label {label:?}");
    }
    let tagged: Vec<_> = tagged(input).collect();
    assert_eq!(tagged, if signed { vec![label.to_owned()] } else { Vec::new() }, "the tag {TAG:?}");
    for name in ["signature-input", "signature"] {
        let is_alias = |field: &String| {
            field != name && field.replace(|c: char| !c.is_ascii_alphanumeric(), "-") == name
        };
        assert!(!upstream.0.iter().any(|(field, _)| is_alias(field)), "an alias of {name}");
    }
}

type Members = Option<BTreeMap<String, Member>>;

/// The members of `Signature-Input` and `Signature`; `None` where the field cannot be read.
fn members(headers: &Headers) -> [Members; 2] {
    ["signature-input", "signature"]
        .map(|name| dictionary(&headers.values(name).collect::<Vec<_>>().join(&b", "[..])))
}

fn tagged(members: &Members) -> impl Iterator<Item = String> {
    let members = members.iter().flatten();
    members.filter(|(_, member)| member.string("tag") == Some(TAG)).map(|(name, _)| name.clone())
}
