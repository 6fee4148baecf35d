//! What Envoy knows of one HTTP stream while the filter works on it.

use std::{collections::BTreeMap, fmt};

use super::host::Status;
use crate::cases::Fields;

/// Header fields or trailers, in order; names in lower case as in Envoy.
#[derive(Clone, Default)]
pub(crate) struct HeaderMap(Vec<(Vec<u8>, Vec<u8>)>);

impl HeaderMap {
    /// The fields of a response that has nothing but a status.
    pub(crate) fn with_status(status: u32) -> Self {
        Self(vec![(b":status".to_vec(), status.to_string().into_bytes())])
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(name, value)| (&name[..], &value[..]))
    }

    pub(crate) fn first(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn add(&mut self, name: &[u8], value: &[u8]) {
        self.0.push((name.to_ascii_lowercase(), value.to_vec()));
    }

    pub(crate) fn remove(&mut self, name: &[u8]) {
        self.0.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    pub(crate) fn set(&mut self, name: &[u8], value: &[u8]) {
        self.remove(name);
        self.add(name, value);
    }
}

impl fmt::Debug for HeaderMap {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let text = String::from_utf8_lossy;
        formatter
            .debug_map()
            .entries(self.iter().map(|(name, value)| (text(name), text(value))))
            .finish()
    }
}

impl From<Fields> for HeaderMap {
    fn from(fields: Fields) -> Self {
        Self(fields.0)
    }
}

impl From<HeaderMap> for Fields {
    fn from(map: HeaderMap) -> Self {
        Self(map.0)
    }
}

impl FromIterator<(Vec<u8>, Vec<u8>)> for HeaderMap {
    fn from_iter<I: IntoIterator<Item = (Vec<u8>, Vec<u8>)>>(fields: I) -> Self {
        let mut map = Self::default();
        for (name, value) in fields {
            map.add(&name, &value);
        }
        map
    }
}

/// What Envoy says when it is asked for a property that it knows.
#[derive(Clone, Debug)]
pub(crate) enum Property {
    Value(Vec<u8>),
    Unavailable(Status),
}

/// An answer that the filter gives itself.
#[derive(Clone, Debug)]
pub(crate) struct LocalResponse {
    pub(crate) status: u32,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// What went on to the server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Forwarded {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
    pub(crate) is_complete: bool,
    /// Whether something went on although the client had not sent everything yet.
    pub(crate) before_the_end: bool,
}

/// What went back to the client of the server's response.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answered {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
    pub(crate) is_complete: bool,
}

/// The parts of a request and response are here as long as they are at the filter.
#[derive(Default)]
pub(crate) struct Stream {
    pub(crate) properties: BTreeMap<String, Property>,
    pub(crate) filter_state: BTreeMap<String, String>,
    pub(crate) request_headers: Option<HeaderMap>,
    pub(crate) request_body: Option<Vec<u8>>,
    pub(crate) request_trailers: Option<HeaderMap>,
    pub(crate) response_headers: Option<HeaderMap>,
    pub(crate) response_body: Option<Vec<u8>>,
    pub(crate) response_trailers: Option<HeaderMap>,
    pub(crate) answered: Option<Answered>,
    pub(crate) local_response: Option<LocalResponse>,
    /// Whether the client has sent everything.
    pub(crate) is_sent: bool,
    /// Whether the filter asked to go on, as if it had answered Continue.
    pub(crate) is_resumed: bool,
    pub(crate) forwarded: Option<Forwarded>,
    /// The longest body that was held back, of the request or the response.
    pub(crate) most_held: usize,
}

impl Stream {
    /// Sends everything that is at the filter on.
    pub(crate) fn forward(&mut self, is_complete: bool) {
        let forwarded = self.forwarded.get_or_insert_default();
        if let Some(headers) = self.request_headers.take() {
            forwarded.headers = headers;
        }
        forwarded.body.append(&mut self.request_body.take().unwrap_or_default());
        if let Some(trailers) = self.request_trailers.take() {
            forwarded.trailers = trailers;
        }
        forwarded.is_complete = is_complete;
        forwarded.before_the_end |= !is_complete;
    }

    /// Sends everything of the response that is at the filter on to the client.
    pub(crate) fn answer(&mut self, is_complete: bool) {
        let answered = self.answered.get_or_insert_default();
        if let Some(headers) = self.response_headers.take() {
            answered.headers = headers;
        }
        answered.body.append(&mut self.response_body.take().unwrap_or_default());
        if let Some(trailers) = self.response_trailers.take() {
            answered.trailers = trailers;
        }
        answered.is_complete = is_complete;
    }
}
