//! Requests for protected resources, and the question to the introspection endpoint that some need.

use log::warn;
use proxy_wasm::types::{Action, BufferType};

use super::{Held, State, Stream, host, host::HostError};
use crate::{
    config::{ProtectedResource, TokenSource},
    protected_resource::{self, Answer, Step},
    rejection::Place,
    request::Request,
};

/// A request that waits for the introspection endpoint.
pub(super) struct Waiting {
    /// Its place in the configuration.
    resource: usize,
    request: Request,
    /// Under what the answer is remembered.
    digest: [u8; 32],
}

impl Stream {
    /// Judges a request for a protected resource, of whose body `size` bytes are there.
    pub(super) fn check_resource(&mut self, held: Held, resource: usize, size: usize) -> Action {
        self.state = State::Answered;
        match self.checked(held, resource, size) {
            Ok(action) => action,
            Err(error) => self.refuse_for(error),
        }
    }

    fn checked(&mut self, held: Held, index: usize, size: usize) -> Result<Action, HostError> {
        let active = self.active.clone();
        let resource = active.config.protected_resources.get(index).ok_or(HostError)?;
        let request = Request {
            connection: self.connection()?,
            body: host::buffer(BufferType::HttpRequestBody, size)?,
            now: host::now()?,
            headers: held.headers,
            verified_token: match &resource.token {
                TokenSource::JwtAuthn { payload_in_metadata } => {
                    host::verified_token(payload_in_metadata)?
                }
                TokenSource::Bearer | TokenSource::Introspection(_) => None,
            },
        };
        let step = protected_resource::check(
            &active.config,
            resource,
            &request,
            &mut *active.answers.try_borrow_mut().map_err(|_| HostError)?,
            &mut *active.statements.try_borrow_mut().map_err(|_| HostError)?,
            &mut host::random,
        );
        match step {
            Step::Done(verdict) => Ok(self.carry_out(verdict, Place::ProtectedResource)),
            Step::Introspect(question) => {
                let TokenSource::Introspection(introspection) = &resource.token else {
                    return Err(HostError);
                };
                if let Err(error) = host::introspect(introspection, &question) {
                    warn!(
                        "introspection: Envoy does not send it to cluster {:?}: {error:?}",
                        introspection.cluster
                    );
                    return self.conclude(resource, &request, None, None);
                }
                let digest = protected_resource::question_digest(introspection, &question);
                self.state = State::Waiting(Box::new(Waiting { resource: index, request, digest }));
                Ok(Action::Pause)
            }
        }
    }

    /// Judges the request that waits, now that there is an answer, and lets it go on if it may.
    pub(super) fn answered(&mut self, header_count: usize, body_size: usize) {
        let State::Waiting(waiting) = std::mem::replace(&mut self.state, State::Answered) else {
            return;
        };
        let action = match self.concluded(*waiting, header_count, body_size) {
            Ok(action) => action,
            Err(error) => self.refuse_for(error),
        };
        if action == Action::Continue && host::resume().is_err() {
            warn!("the host did not resume the request; it stays paused");
        }
    }

    fn concluded(
        &mut self,
        mut waiting: Waiting,
        header_count: usize,
        body_size: usize,
    ) -> Result<Action, HostError> {
        let active = self.active.clone();
        let resource = active.config.protected_resources.get(waiting.resource).ok_or(HostError)?;
        waiting.request.now = host::now()?;
        // Without header fields it is no response, but a failure of the call.
        if header_count == 0 {
            return self.conclude(resource, &waiting.request, None, None);
        }
        let (status, content_type, body) = host::introspection_response(body_size)?;
        let answer = Answer { status, content_type: &content_type, body: &body };
        self.conclude(resource, &waiting.request, Some(answer), Some(waiting.digest))
    }

    fn conclude(
        &mut self,
        resource: &ProtectedResource,
        request: &Request,
        answer: Option<Answer<'_>>,
        digest: Option<[u8; 32]>,
    ) -> Result<Action, HostError> {
        let (verdict, worth_remembering) = protected_resource::conclude(
            &self.active.config,
            resource,
            request,
            answer,
            &mut *self.active.statements.try_borrow_mut().map_err(|_| HostError)?,
            &mut host::random,
        );
        if let (Some(digest), Some(introspected), Ok(mut answers)) =
            (digest, worth_remembering, self.active.answers.try_borrow_mut())
        {
            answers.insert(digest, introspected);
        }
        Ok(self.carry_out(verdict, Place::ProtectedResource))
    }
}
