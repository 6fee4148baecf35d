//! What a server could read in a request: the same bytes, by parsers that share no code with certbound's.

use std::collections::BTreeSet;

use certbound::headers::Headers;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use json_event_parser::{JsonEvent, SliceJsonParser};
use serde_querystring::{BracketsQS, UrlEncodedQS};

/// Every client that some server could find in a request: in its body, its query, `Authorization` and assertions.
pub(crate) fn client_ids(headers: &Headers, body: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let query =
        headers.values(":path").flat_map(|target| target.splitn(2, |byte| *byte == b'?').skip(1));
    for form in [body].into_iter().chain(query) {
        found.extend(parameter(form, "client_id"));
        for assertion in parameter(form, "client_assertion") {
            found.extend(
                assertion_claims(&assertion)
                    .into_iter()
                    .flatten()
                    .map(|(_, value)| value.unwrap_or_default()),
            );
        }
    }
    found.extend(headers.values("authorization").flat_map(basic_users));
    found
}

/// Every value of a parameter that one of several form parsers finds.
pub(crate) fn parameter(form: &[u8], name: &str) -> BTreeSet<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut values = BTreeSet::new();
    // Every value: which of them a server takes is not ours to know.
    values.extend(
        form_pairs(form).into_iter().filter(|(known, _)| known == name).map(|(_, value)| value),
    );
    // The last value wins.
    values.extend(
        UrlEncodedQS::parse(form)
            .value(name.as_bytes())
            .map(|value| text(&value.unwrap_or_default())),
    );
    // `client_id[]` and `client_id[0]` are `client_id`.
    let in_brackets = BracketsQS::parse(form);
    let in_brackets = in_brackets.values(name.as_bytes()).into_iter().flatten();
    values.extend(in_brackets.map(|value| text(&value.unwrap_or_default())));
    values.extend(lenient_values(form, name));
    values
}

/// The pairs of a form by the WHATWG URL standard, which reads anything.
pub(crate) fn form_pairs(form: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(form)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

/// What the most forgiving of servers make of a form: `;` separates too (Rack, Python before 3.10), names are cut at
/// NUL and brackets, `.` and space are `_` in them (PHP), and their letters have no case (ASP.NET).
fn lenient_values(form: &[u8], name: &str) -> Vec<String> {
    let pairs = form.split(|byte| b"&;".contains(byte)).flat_map(form_pairs);
    let folded = |written: &str| {
        let end = written.find(['\0', '[']).unwrap_or(written.len());
        let (kept, _) = written.split_at(end);
        kept.trim_matches(|character: char| character.is_whitespace() || character == '\u{FEFF}')
            .replace(['.', ' ', '-'], "_")
            .to_lowercase()
    };
    pairs.filter(|(written, _)| folded(written) == name).map(|(_, value)| value).collect()
}

/// The users of every Basic credential that a server could find in an `Authorization` field: schemes have no case, any
/// white space ends them, and fields are joined with `,`.
pub(crate) fn basic_users(field: &[u8]) -> Vec<String> {
    let is_white_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'\x0b';
    let users = field.split(|byte| *byte == b',').filter_map(|credentials| {
        let mut words = credentials.split(is_white_space).filter(|word| !word.is_empty());
        let is_basic = words.next().is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic"));
        let decoded = BASE64.decode(words.next().filter(|_| is_basic)?).ok()?;
        let (user, _) = String::from_utf8_lossy(&decoded)
            .split_once(':')
            .map(|(user, secret)| (user.to_owned(), secret.to_owned()))?;
        // RFC 6749 §2.3.1: both are form-encoded. A name for the value makes a form of it.
        let form = format!("user={}", user.replace('&', "%26"));
        form_pairs(form.as_bytes()).into_iter().map(|(_, value)| value).next()
    });
    users.collect()
}

/// A member of a JWT's claims whose name some library takes for `iss` or `sub`, with its value where that is a string.
pub(crate) type Claim = (String, Option<String>);

/// All claims of a client assertion that name somebody, one for each time they are there. `None` for what is no JWT.
pub(crate) fn assertion_claims(assertion: &str) -> Option<Vec<Claim>> {
    let payload = BASE64URL_NOPAD.decode(assertion.split('.').nth(1)?.as_bytes()).ok()?;
    let mut parser = SliceJsonParser::new(&payload);
    let mut claims: Vec<Claim> = Vec::new();
    let mut depth = 0_u32;
    let mut name = None;
    loop {
        match parser.parse_next().ok()? {
            JsonEvent::Eof => return Some(claims),
            JsonEvent::StartObject | JsonEvent::StartArray => depth = depth.saturating_add(1),
            JsonEvent::EndObject | JsonEvent::EndArray => depth = depth.saturating_sub(1),
            JsonEvent::ObjectKey(key) if depth == 1 => {
                // Go matches names by Unicode case folding, in which U+017F is an `s`.
                let is_identity = ["ISS", "SUB"].contains(&key.to_uppercase().as_str());
                name = is_identity.then(|| key.into_owned());
                claims.extend(name.iter().map(|name| (name.clone(), None)));
            }
            JsonEvent::String(value) if depth == 1 => {
                if let (Some(_), Some((_, claim))) = (name.take(), claims.last_mut()) {
                    *claim = Some(value.into_owned());
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_name_a_client_is_found() {
        let found = |form: &[u8]| parameter(form, "client_id").into_iter().collect::<Vec<_>>();
        assert_eq!(found(b"client_id=a&client_id=b"), ["a", "b"]);
        assert_eq!(found(b"x=1;client_id=a+b"), ["a b"]);
        assert_eq!(found(b"client_id[]=a&client%5Fid%5B0%5D=%62"), ["a", "b"]);
        assert_eq!(found(b"Client.ID=a&%00&+client_id%00x=b"), ["a", "b"]);
        assert_eq!(found(b"client_idx=a"), [""; 0]);
    }

    #[test]
    fn every_basic_credential_is_found() {
        assert_eq!(basic_users(b"Bearer x,\tbAsIc  YSslM0E6eA=="), ["a :"]);
        assert_eq!(basic_users(b"Basic a"), [""; 0]);
    }

    #[test]
    fn every_claim_that_names_somebody_is_found() {
        let jwt = |payload: &str| format!("e30.{}.AA", BASE64URL_NOPAD.encode(payload.as_bytes()));
        let claims = assertion_claims(&jwt(
            r#"{"sub":"a","x":{"sub":"b"},"Sub":"c","\u017fub":1,"iss":"d"}"#,
        ));
        let claim = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        let all = [
            claim("sub", Some("a")),
            claim("Sub", Some("c")),
            claim("ſub", None),
            claim("iss", Some("d")),
        ];
        assert_eq!(claims, Some(all.into()));
        assert_eq!(assertion_claims(&jwt("{")), None);
    }
}
