//! What the log says of a configuration that takes effect.

use std::fmt::Write as _;

use super::{Config, Enforcement, UnregisteredClients};
use crate::client::ClientAuthMethod;

impl Config {
    /// One line for the log, in logfmt: which configuration of which version of certbound is at work. Nothing in it is
    /// secret.
    pub fn summary(&self) -> String {
        let enforcement = match self.enforcement {
            Enforcement::Enforce => "enforce",
            Enforcement::Report => "report",
        };
        let unregistered = match self.unregistered_clients {
            UnregisteredClients::Deny => "deny",
            UnregisteredClients::Forward => "forward",
            UnregisteredClients::Pass => "pass",
        };
        let clients = |is: fn(&ClientAuthMethod) -> bool| {
            self.clients.values().filter(|client| is(&client.method)).count()
        };
        let pki = clients(|method| matches!(method, ClientAuthMethod::TlsClientAuth(..)));
        let self_signed =
            clients(|method| matches!(method, ClientAuthMethod::SelfSignedTlsClientAuth(_)));
        let other = clients(|method| matches!(method, ClientAuthMethod::Other));
        let sets = match self.trust_anchors.keys().cloned().collect::<Vec<_>>().join(",") {
            none if none.is_empty() => "-".to_owned(),
            names => names,
        };
        let key = self.signature.as_ref().map_or("-", |signature| &signature.key.kid);
        let mut line = format!(
            "configured version={} enforcement={enforcement} unregistered_clients={unregistered} \
             tls_client_auth={pki} self_signed_tls_client_auth={self_signed} other_clients={other} \
             trust_anchors={sets:?} signing_key={key:?}",
            env!("CARGO_PKG_VERSION"),
        );
        let jws = self.signature.as_ref().and_then(|signature| signature.jws.as_ref());
        if let Some(jws) = jws.filter(|jws| jws.reuse_seconds > 0) {
            let _ = write!(line, " jws_reuse_seconds={}", jws.reuse_seconds);
        }
        if self.enforcement == Enforcement::Report {
            line.push_str(
                " detail=\"nothing is refused: such requests go to the server without certificate\"",
            );
        }
        line
    }
}
