//! Header and trailer fields of a request, as bytes.

use std::borrow::Cow;

use crate::http_signature::Field;

/// Header fields in their order, with lower-case names. Values are bytes: Envoy lets through what is not UTF-8.
#[derive(Clone, Debug, Default)]
pub struct Headers(pub Vec<(String, Vec<u8>)>);

impl Headers {
    /// Every value of a field.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_slice())
    }

    /// The value of a field that is there once and is text.
    pub fn text<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let mut values = self.values(name);
        let value = values.next()?;
        if values.next().is_some() { None } else { str::from_utf8(value).ok() }
    }

    /// Every field, borrowed.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The request method.
    pub fn method(&self) -> Cow<'_, str> {
        self.pseudo_header(":method")
    }

    /// Path and query.
    pub fn target(&self) -> Cow<'_, str> {
        self.pseudo_header(":path")
    }

    /// Host and port.
    pub fn authority(&self) -> Cow<'_, str> {
        self.pseudo_header(":authority")
    }

    /// Bytes that are not UTF-8, which HTTP/2 lets through, become U+FFFD: they change no path into another, and the
    /// decision refuses a target that has them.
    fn pseudo_header(&self, name: &str) -> Cow<'_, str> {
        let value = self.0.iter().find(|(field, _)| field == name);
        value.map_or_else(Cow::default, |(_, value)| String::from_utf8_lossy(value))
    }
}
