//! A filter that does nothing: Envoy calls it for every request and response, and it lets everything pass.
//!
//! Configured with `held` it holds each request until its body is there. With `needed` it then makes the host calls,
//! too, without which certbound's job cannot be done: the least that a filter for it costs.

use proxy_wasm::{
    hostcalls,
    traits::{Context, HttpContext, RootContext},
    types::{Action, BufferType, ContextType, MapType, Status},
};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Plugin { with_body: None }) });
}}

/// What is done with a request once its body is there.
type WithBody = fn() -> Result<(), Status>;

/// Reads header fields, the certificate's digest, the body and the time, and sets four fields, as long as certbound's.
fn needed() -> Result<(), Status> {
    hostcalls::get_map_bytes(MapType::HttpRequestHeaders)?;
    hostcalls::get_property(vec!["connection", "sha256_peer_certificate_digest"])?;
    hostcalls::get_buffer(BufferType::HttpRequestBody, 0, 63)?;
    hostcalls::get_current_time()?;
    for (name, value) in [
        ("client-cert", &[b'a'; 582][..]),
        ("x-client-cert-thumbprint", &[b'a'; 43]),
        ("x-client-id", b"client-0"),
        ("x-client-verify", b"SUCCESS"),
    ] {
        hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, name, Some(value))?;
    }
    Ok(())
}

struct Plugin {
    with_body: Option<WithBody>,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _: usize) -> bool {
        self.with_body = match self.get_plugin_configuration().as_deref() {
            None => None,
            Some(b"held") => Some(|| Ok(())),
            Some(b"needed") => Some(needed),
            Some(_) => return false,
        };
        true
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { with_body: self.with_body }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Stream {
    with_body: Option<WithBody>,
}

impl Stream {
    fn on_part(&self, is_last: bool) -> Action {
        let Some(with_body) = self.with_body else { return Action::Continue };
        if !is_last {
            return Action::Pause;
        }
        with_body().expect("the host must do as it is asked");
        Action::Continue
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, is_last: bool) -> Action {
        self.on_part(is_last)
    }

    fn on_http_request_body(&mut self, _: usize, is_last: bool) -> Action {
        self.on_part(is_last)
    }
}
