//! Forms, Basic credentials and client assertions: all that names a client.
#![no_main]

use certbound::{basic, form::Form, jwt::ClientAssertion};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(form) = Form::parse(data) {
        for name in ["client_id", "client_secret", "client_assertion", "client_assertion_type"] {
            let _ = form.values(name).count();
        }
    }
    let _ = basic::client_id(data);
    if let Ok(text) = str::from_utf8(data) {
        let _ = ClientAssertion::parse(text);
    }
});
