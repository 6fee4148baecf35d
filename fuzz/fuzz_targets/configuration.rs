//! Plugin configurations, as JSON and as a serialised Struct. A faulty one always says something.
#![no_main]

use certbound::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(errors) = Config::parse(data, &|_| Some("secret-of-the-environment".into())) {
        assert!(!errors.0.is_empty());
        assert!(!errors.to_string().contains("secret-of-the-environment"));
    }
});
