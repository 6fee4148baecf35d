//! Forms, Basic credentials and client assertions: all that names a client.

use std::collections::BTreeSet;

use certbound::{
    basic,
    form::{Form, ParameterValue},
    jwt::ClientAssertion,
};

use crate::readings;

/// A form that is accepted has the same parameters to every parser.
pub(crate) fn form(input: &[u8]) {
    let Ok(form) = Form::parse(input) else { return };
    let pairs = readings::form_pairs(input);
    let mut names: BTreeSet<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
    names.insert("client_id");
    for name in names {
        let values: Vec<_> = form.values(name).collect();
        let exact = values.iter().filter_map(|value| match value {
            ParameterValue::Exact(text) => Some(*text),
            ParameterValue::Lookalike => None,
        });
        let others =
            pairs.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        assert!(
            exact.clone().eq(others),
            "{name} is {values:?} here, and {pairs:?} to another parser"
        );
        if !values.contains(&ParameterValue::Lookalike) {
            let exact: BTreeSet<String> = exact.map(str::to_owned).collect();
            // The most lenient readers fold names: they are asked for names as OAuth has them.
            if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
                assert_eq!(exact, readings::parameter(input, name), "{name} to lenient parsers");
            }
        }
    }
}

/// Credentials that are accepted name the same user to everyone; a field without credentials has none for anyone.
pub(crate) fn basic(input: &[u8]) {
    // What Envoy lets in as a field value, without the white space around it.
    let input = input.trim_ascii();
    if input.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return;
    }
    let users = readings::basic_users(input);
    match basic::client_id(input) {
        Some(Ok(client_id)) => assert_eq!(users, [client_id]),
        Some(Err(_)) => {}
        None => assert_eq!(users, [""; 0], "{:?} names somebody", String::from_utf8_lossy(input)),
    }
}

/// The claims of an assertion that is accepted are there once for every library. An input is a payload; one that starts
/// with a letter is a whole assertion.
pub(crate) fn client_assertion(input: &[u8]) {
    let assertion = match str::from_utf8(input) {
        Ok(text) if text.starts_with(|character: char| character.is_ascii_alphabetic()) => {
            text.to_owned()
        }
        _ => format!("e30.{}.AA", data_encoding::BASE64URL_NOPAD.encode(input)),
    };
    let Ok(ClientAssertion { iss, sub }) = ClientAssertion::parse(&assertion) else { return };
    let mut claims = readings::assertion_claims(&assertion).expect("another library reads it");
    claims.sort();
    let mut expected = vec![("sub".to_owned(), Some(sub))];
    // `null` is as good as absent.
    match (iss, claims.first().filter(|(name, _)| name == "iss")) {
        (None, Some((_, None))) => expected.insert(0, ("iss".to_owned(), None)),
        (None, _) => {}
        (iss, _) => expected.insert(0, ("iss".to_owned(), iss)),
    }
    assert_eq!(claims, expected);
}
