//! Secrets, which stand in the configuration or in the environment. No message holds one.

use super::document;

/// The text of a secret.
pub(super) fn resolve(
    secret: &document::Secret,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<String, String> {
    match secret {
        document::Secret::Env(name) => env(name).ok_or_else(|| {
            format!(
                "the environment variable `{name}` is not set in the module: set it for Envoy and list it in vm_config.environment_variables.host_env_keys"
            )
        }),
        document::Secret::Value(text) => Ok(text.clone()),
    }
}

/// The same for a secret that is sent as text.
pub(super) fn resolve_text(
    secret: &document::Secret,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let text = resolve(secret, env)?;
    if text.is_empty() {
        Err("the secret is empty".into())
    } else if text.ends_with(['\n', '\r', ' ']) {
        Err("the secret ends in a line end or a space, which is hardly meant: remove it".into())
    } else if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        Err("the secret holds characters other than printable ASCII, which header fields cannot carry".into())
    } else {
        Ok(text)
    }
}
