//! RFC 4514 text: what is printed is read back as the same name.
#![no_main]

use certbound::distinguished_name::DistinguishedName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(name) = DistinguishedName::from_rfc4514(text) {
        assert_eq!(DistinguishedName::from_rfc4514(&name.to_string()).as_ref(), Ok(&name));
    }
});
