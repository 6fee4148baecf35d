//! Metadata documents: whatever the server sends, a changed document is one JSON object that keeps what the server said.
#![no_main]

use certbound::{
    discovery::Discovery,
    endpoint::{Endpoint, PathMatch},
    json_object::JsonObject,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let discovery = Discovery {
        paths: vec!["/metadata".into()],
        mtls_origin: "https://m".into(),
        auth_methods: vec!["tls_client_auth"],
        tls_client_certificate_bound_access_tokens: true,
    };
    let endpoint = Endpoint { path: PathMatch::Prefix("/".into()), methods: vec!["POST".into()] };
    let Ok(described) = discovery.describe(data, &[endpoint]) else { return };
    let written = JsonObject::parse(str::from_utf8(data).unwrap()).unwrap();
    let read = JsonObject::parse(&described).unwrap();
    let changed = ["mtls_endpoint_aliases", "_auth_methods_supported"];
    for (name, value) in written.members().filter(|(name, _)| !changed.iter().any(|end| name.ends_with(end))) {
        assert_eq!(read.value(name), Some(value));
    }
});
