//! What was meant by a name that certbound does not know.

use std::sync::LazyLock;

use certbound::config::json_schema;
use serde_json::Value;
use strsim::normalized_damerau_levenshtein;

/// Whether a document has a key of certbound's configuration, or one that may be meant for it.
pub(super) fn resembles_certbound(document: &Value) -> bool {
    static SCHEMA: LazyLock<Value> = LazyLock::new(json_schema);
    let known = SCHEMA.get("properties").and_then(Value::as_object).into_iter().flatten();
    let known: Vec<&str> = known.map(|(name, _)| name.as_str()).collect();
    let mut keys = document.as_object().into_iter().flatten();
    keys.any(|(key, _)| nearest(key, known.iter().copied()).is_some())
}

/// The sentence about a name that is unknown, at this path, with the one that was meant in place of all that are known,
/// if it is near one of them.
pub(super) fn explained(message: String, path: &str) -> String {
    let named = ["unknown field `", "unknown variant `"].into_iter().find_map(|kind| {
        let (unknown, known) = message.strip_prefix(kind)?.split_once('`')?;
        Some((format!("{kind}{unknown}`"), unknown, known))
    });
    let by_path = || {
        let known = message.strip_prefix("unknown key: ")?;
        Some(("unknown key".to_owned(), path.rsplit('.').next()?, known))
    };
    let Some((what, unknown, known)) = named.or_else(by_path) else { return message };
    // Behind what is known may stand whose key it is.
    let (known, whose) = known.split_at(known.find(" (client `").unwrap_or(known.len()));
    match nearest(unknown, known.split('`').skip(1).step_by(2)) {
        Some(meant) => format!("{what}: did you mean `{meant}`?{whose}"),
        None => message,
    }
}

/// The known name that another one is, or is for with a slip or two.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const NEAR: f64 = 0.7;
    let rated = known.map(|known| (normalized_damerau_levenshtein(name, known), known));
    let near = rated.filter(|(similarity, _)| *similarity >= NEAR);
    near.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_name_that_was_meant_is_told() {
        let known = "expected one of `clients`, `endpoints`, `unregistered_clients`";
        for (unknown, meant) in [
            ("client", "clients"),
            ("clinets", "clients"),
            ("endpoint", "endpoints"),
            ("unregisteredClients", "unregistered_clients"),
        ] {
            let message = explained(format!("unknown field `{unknown}`, {known}"), unknown);
            assert_eq!(message, format!("unknown field `{unknown}`: did you mean `{meant}`?"));
        }
        let message = "unknown variant `reprot`, expected `enforce` or `report`".to_owned();
        let expected = "unknown variant `reprot`: did you mean `report`?";
        assert_eq!(explained(message, "enforcement"), expected);
        let message = "unknown key: write one of `client_id`, `jwks`, or others (client `jwk`)";
        let expected = "unknown key: did you mean `jwks`? (client `jwk`)";
        assert_eq!(explained(message.to_owned(), "clients[0].jwk"), expected);
    }

    #[test]
    fn what_is_far_from_all_names_stays_as_it_is() {
        for message in [
            "unknown field `services`, expected one of `clients`, `endpoints`",
            "unknown field `x`, there are no fields",
            "unknown key: write one of `client_id`, `jwks`, or others",
            "missing field `endpoints`",
            "unknown field `",
            "",
        ] {
            assert_eq!(explained(message.to_owned(), "a.secret"), message);
        }
    }

    #[test]
    fn a_configuration_is_told_from_other_files() {
        for (document, resembles) in [
            (json!({ "endpoints": [] }), true),
            (json!({ "comment": 1, "clinets": [] }), true),
            (json!({ "version": "3", "services": {}, "volumes": {}, "networks": {} }), false),
            (json!({}), false),
            (json!([{ "endpoints": [] }]), false),
            (json!("endpoints"), false),
        ] {
            assert_eq!(resembles_certbound(&document), resembles, "{document}");
        }
    }
}
