//! `upstream_authentication`: how the proxy authenticates itself to the server.

use super::{ConfigError, HeaderNames, document, secret};
use crate::upstream_authentication::{Credential, UpstreamAuthentication};

pub(super) fn compile(
    written: document::UpstreamAuthentication,
    env: &dyn Fn(&str) -> Option<String>,
    names: &mut HeaderNames<'_>,
) -> Option<UpstreamAuthentication> {
    match (written.basic, written.header) {
        (Some(basic), None) => {
            if basic.username.contains(':') || !basic.username.bytes().all(is_field_character) {
                names.errors.push(ConfigError::new(
                    "upstream_authentication.basic.username",
                    "not a user of the Basic scheme (RFC 7617 §2): write printable ASCII without colon",
                ));
            }
            let password =
                credential(&basic.password, env, "upstream_authentication.basic.password", names)?;
            Some(UpstreamAuthentication::Basic(Credential::basic(&basic.username, &password)))
        }
        (None, Some(header)) => {
            let name = names.claim("upstream_authentication.header.name", header.name);
            let value =
                credential(&header.value, env, "upstream_authentication.header.value", names)?;
            Some(UpstreamAuthentication::Header(name, Credential::new(value)))
        }
        _ => {
            names.errors.push(ConfigError::new(
                "upstream_authentication",
                "write exactly one of `basic` and `header`",
            ));
            None
        }
    }
}

fn credential(
    written: &document::Secret,
    env: &dyn Fn(&str) -> Option<String>,
    path: &str,
    names: &mut HeaderNames<'_>,
) -> Option<String> {
    secret::resolve_text(written, env)
        .map_err(|message| names.errors.push(ConfigError::new(path, message)))
        .ok()
}

fn is_field_character(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}
