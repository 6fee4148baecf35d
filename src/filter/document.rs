//! The response path: metadata documents of the server, held until they have been changed.
//!
//! What has to stay as it is goes to the client as the server sent it. A failure of the host is refused, as everywhere:
//! it must not leave a message whose header fields belong to another body.

use log::warn;
use proxy_wasm::types::{Action, BufferType, MapType};

use super::{Stream, host, host::HostError};
use crate::{
    discovery::{self, DocumentRequest, Unchanged},
    headers::Headers,
};

/// Where the response of a stream stands.
#[derive(Clone, Copy)]
pub(super) enum Document {
    /// It is none, or is dealt with.
    None,
    /// The request asked for a document.
    Expected(DocumentRequest),
    /// The header fields are of a document, and this many bytes of it are there.
    Held(usize),
}

impl Stream {
    /// Sees to it that a request for a document is answered with all of it.
    pub(super) fn expect_document(&mut self, request: &Headers) -> Result<(), HostError> {
        let Some(discovery) = &self.active.config.discovery else { return Ok(()) };
        if let Some(how) = discovery.request(&request.method(), &request.target()) {
            host::apply(MapType::HttpRequestHeaders, &discovery::request_changes())?;
            self.document = Document::Expected(how);
        }
        Ok(())
    }

    pub(super) fn document_head(&mut self, end_of_stream: bool) -> Action {
        let Document::Expected(how) = self.take_document() else { return Action::Continue };
        let requirement = match host::fields(MapType::HttpResponseHeaders) {
            Ok(fields) => discovery::require_document(&fields),
            Err(error) => return self.refuse_for(error),
        };
        match (requirement, how) {
            (Err(reason), _) => leave(reason),
            (Ok(()), DocumentRequest::Head) => self.change_fields(None),
            (Ok(()), DocumentRequest::Get) if end_of_stream => Action::Continue,
            (Ok(()), DocumentRequest::Get) => {
                self.document = Document::Held(0);
                Action::Pause
            }
        }
    }

    pub(super) fn document_content(&mut self, size: usize, end_of_stream: bool) -> Action {
        let Document::Held(_) = self.document else { return Action::Continue };
        self.document = Document::Held(size);
        if end_of_stream {
            return self.document_end();
        }
        match discovery::require_length(size) {
            Ok(()) => Action::Pause,
            Err(reason) => {
                self.document = Document::None;
                leave(reason)
            }
        }
    }

    pub(super) fn document_end(&mut self) -> Action {
        let Document::Held(size) = self.take_document() else { return Action::Continue };
        match self.described(size) {
            Ok(Ok(document)) => {
                let bytes = document.as_bytes();
                match host::replace(BufferType::HttpResponseBody, size, bytes) {
                    Ok(()) => self.change_fields(Some(bytes.len())),
                    Err(error) => self.refuse_for(error),
                }
            }
            Ok(Err(reason)) => leave(reason),
            Err(error) => self.refuse_for(error),
        }
    }

    fn described(&self, size: usize) -> Result<Result<String, Unchanged>, HostError> {
        let config = &self.active.config;
        let Some(discovery) = &config.discovery else { return Err(HostError) };
        if let Err(reason) = discovery::require_length(size) {
            return Ok(Err(reason));
        }
        let document = host::buffer(BufferType::HttpResponseBody, size)?;
        Ok(discovery.describe(&document, &config.endpoints))
    }

    fn change_fields(&mut self, length: Option<usize>) -> Action {
        match host::apply(MapType::HttpResponseHeaders, &discovery::response_changes(length)) {
            Ok(()) => Action::Continue,
            Err(error) => self.refuse_for(error),
        }
    }

    fn take_document(&mut self) -> Document {
        std::mem::replace(&mut self.document, Document::None)
    }
}

/// Lets a response go on. That there is no document, as before a server is up, is no news.
fn leave(reason: Unchanged) -> Action {
    if reason != Unchanged::NoSuccess {
        warn!("discovery: the document goes on as the server sent it: {reason}");
    }
    Action::Continue
}
