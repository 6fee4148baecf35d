//! The edge to Envoy: reads what the host knows, asks [`authenticate`], does what the verdict says. Decides nothing.

mod document;
mod host;
mod metrics;
mod resource;

use std::{cell::RefCell, rc::Rc};

use log::{error, info, warn};
use proxy_wasm::{
    traits::{Context, HttpContext, RootContext},
    types::{Action, BufferType, ContextType, LogLevel, MapType},
};

use crate::{
    authenticate::{Outcome, Verdict, authenticate},
    basic,
    config::{Config, Enforcement},
    headers::Headers,
    jws::SignedStatements,
    known_certificate::KnownCertificates,
    protected_resource::{self, Answers},
    rejection::{Place, Reason, Rejection},
    request::{Connection, Request},
    response::Response,
    sanitise::{HeaderChange, Sanitiser},
    trust::{self, VerdictCache},
};
use document::Document;
use host::HostError;
use metrics::Metrics;
use resource::Waiting;

// The entry macro exports `_initialize`, which Rust counts as unsafe.
#[allow(unsafe_code)]
mod entry {
    use super::{LogLevel, Plugin, RootContext};

    proxy_wasm::main! {{
        proxy_wasm::set_log_level(LogLevel::Info);
        proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Plugin::default()) });
    }}
}

/// One configured instance of the filter in one VM.
#[derive(Default)]
struct Plugin {
    /// `None` until a configuration was accepted; Envoy sends no requests before.
    active: Option<Rc<Active>>,
}

/// A configuration at work.
struct Active {
    config: Config,
    metrics: Metrics,
    /// Starts empty with every configuration, as does all that is remembered, so that a changed set or CRL counts at once.
    verdicts: RefCell<VerdictCache>,
    known_certificates: RefCell<KnownCertificates>,
    /// What the introspection endpoint said.
    answers: RefCell<Answers>,
    statements: RefCell<SignedStatements>,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, size: usize) -> bool {
        match configure(size) {
            Ok(active) => {
                self.active = Some(Rc::new(active));
                true
            }
            Err(problem) => {
                for line in problem.lines() {
                    error!("configuration: {line}");
                }
                false
            }
        }
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        let active = self.active.clone()?;
        Some(Box::new(Stream { active, state: State::Passing, document: Document::None }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

fn configure(size: usize) -> Result<Active, String> {
    let unavailable = |_: HostError| "the host failed".to_owned();
    let bytes = host::buffer(BufferType::PluginConfiguration, size).map_err(unavailable)?;
    // The environment is the module's own: what vm_config.environment_variables lists.
    #[allow(clippy::disallowed_methods)]
    let env = |name: &str| std::env::var(name).ok();
    let config = Config::parse(&bytes, &env).map_err(|errors| errors.to_string())?;
    if !config.trust_anchors.is_empty() {
        trust::require_known_answers().map_err(|error| error.to_string())?;
    }
    if let Some(signature) = &config.signature {
        signature.key.secret.require_right_signature().map_err(|error| error.to_string())?;
    }
    let now = host::now().map_err(unavailable)?;
    for (name, anchors) in &config.trust_anchors {
        for warning in anchors.warnings(now) {
            warn!("trust_anchors.{name}: {warning}");
        }
    }
    let metrics = Metrics::define().map_err(unavailable)?;
    metrics::tell_expiries(&config.trust_anchors).map_err(unavailable)?;
    match config.enforcement {
        Enforcement::Enforce => info!("{}", config.summary()),
        Enforcement::Report => warn!("{}", config.summary()),
    }
    Ok(Active {
        config,
        metrics,
        verdicts: RefCell::default(),
        known_certificates: RefCell::default(),
        answers: RefCell::default(),
        statements: RefCell::default(),
    })
}

/// One request.
struct Stream {
    active: Rc<Active>,
    state: State,
    /// What the response is, if it is metadata that is to be changed.
    document: Document,
}

enum State {
    /// Nothing moves until the end of the request has been seen.
    Holding(Held),
    /// Nothing moves until the introspection endpoint has answered.
    Waiting(Box<Waiting>),
    /// Nothing is left to decide: not at an endpoint, or decided.
    Passing,
    /// Nothing of it goes to the server.
    Answered,
}

/// A request that is held until its end.
struct Held {
    headers: Headers,
    /// The place in the configuration of the protected resource that it is for. `None` at an endpoint.
    resource: Option<usize>,
}

impl Context for Stream {
    fn on_http_call_response(&mut self, _: u32, header_count: usize, body_size: usize, _: usize) {
        self.answered(header_count, body_size);
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let headers = match self.sanitised(MapType::HttpRequestHeaders, Sanitiser::changes) {
            Ok(headers) => headers,
            Err(error) => return self.refuse_for(error),
        };
        let config = &self.active.config;
        let (method, target) = (headers.method(), headers.target());
        if let Some(response) = config.jwk_set_response(&method, &target) {
            return self.answer(&response);
        }
        let resource = if config.is_endpoint(&method, &target) {
            None
        } else if let Some(index) = config.protected_resource_at(&target) {
            Some(index)
        } else {
            return match self.expect_document(&headers) {
                Ok(()) => Action::Continue,
                Err(error) => self.refuse_for(error),
            };
        };
        // Elsewhere than at endpoints, bodies are streamed.
        let is_judged_now =
            end_of_stream || (resource.is_some() && !protected_resource::needs_body(&headers));
        self.state = State::Holding(Held { headers, resource });
        if is_judged_now { self.decide(0) } else { Action::Pause }
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        match self.state {
            State::Passing => Action::Continue,
            State::Answered | State::Waiting(_) => Action::Pause,
            // `size` is what Envoy holds in all. Its own limits differ between HTTP/1.1 and HTTP/2.
            State::Holding(_) if size > self.active.config.max_body_bytes => {
                self.refuse(Rejection::new(
                    Reason::BodyTooLarge,
                    "the body is longer than limits.max_body_bytes",
                ))
            }
            State::Holding(_) if end_of_stream => self.decide(size),
            State::Holding(_) => Action::Pause,
        }
    }

    // With trailers the body callback never sees the end of the stream.
    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        let trailers = self.sanitised(MapType::HttpRequestTrailers, Sanitiser::trailer_changes);
        if let Err(error) = trailers {
            return self.refuse_for(error);
        }
        match self.state {
            State::Passing => Action::Continue,
            State::Answered | State::Waiting(_) => Action::Pause,
            State::Holding(_) => self.decide(self.active.config.max_body_bytes),
        }
    }

    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        self.document_head(end_of_stream)
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.document_content(size, end_of_stream)
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        self.document_end()
    }
}

impl Stream {
    /// Removes what the client must not write, and returns the fields as they were.
    fn sanitised(
        &self,
        map: MapType,
        changes: fn(&Sanitiser, &Headers) -> Vec<HeaderChange>,
    ) -> Result<Headers, HostError> {
        let fields = host::fields(map)?;
        host::apply(map, &changes(&self.active.config.sanitiser, &fields))?;
        Ok(fields)
    }

    /// Judges the request, of whose body at most `size` bytes are there.
    fn decide(&mut self, size: usize) -> Action {
        let State::Holding(held) = std::mem::replace(&mut self.state, State::Answered) else {
            return Action::Pause;
        };
        if let Some(index) = held.resource {
            return self.check_resource(held, index, size);
        }
        match self.judge(held.headers, size) {
            Ok((verdict, scheme)) => {
                self.carry_out(verdict, Place::Endpoint { scheme: scheme.as_deref() })
            }
            Err(error) => self.refuse_for(error),
        }
    }

    fn judge(
        &self,
        headers: Headers,
        size: usize,
    ) -> Result<(Verdict, Option<Vec<u8>>), HostError> {
        let request = Request {
            connection: self.connection()?,
            body: host::buffer(BufferType::HttpRequestBody, size)?,
            now: host::now()?,
            headers,
            verified_token: None,
        };
        let active = &self.active;
        let mut verdicts = active.verdicts.try_borrow_mut().map_err(|_| HostError)?;
        let mut statements = active.statements.try_borrow_mut().map_err(|_| HostError)?;
        let (config, random) = (&active.config, &mut host::random);
        let verdict = authenticate(config, &request, &mut verdicts, &mut statements, random);
        let scheme = request.headers.values("authorization").next().map(basic::scheme);
        Ok((verdict, scheme.map(<[u8]>::to_vec)))
    }

    fn connection(&self) -> Result<Connection, HostError> {
        let active = &self.active;
        let mut known = active.known_certificates.try_borrow_mut().map_err(|_| HostError)?;
        host::connection(&active.config, &mut known)
    }

    fn refuse_for(&mut self, _: HostError) -> Action {
        self.refuse(Rejection::new(Reason::HostError, "a host call failed"))
    }

    fn refuse(&mut self, rejection: Rejection) -> Action {
        let place = match self.state {
            State::Holding(Held { resource: Some(_), .. }) => Place::ProtectedResource,
            _ => Place::Endpoint { scheme: None },
        };
        let verdict = Verdict::refused(&self.active.config, rejection, place);
        self.carry_out(verdict, place)
    }

    fn carry_out(&mut self, verdict: Verdict, place: Place<'_>) -> Action {
        let verdict = match &verdict.outcome {
            Outcome::Allowed(changes) | Outcome::Reported(_, changes)
                if host::apply(MapType::HttpRequestHeaders, changes).is_err() =>
            {
                let rejection = Rejection::new(Reason::HostError, "a header could not be set");
                Verdict { outcome: Outcome::Denied(rejection), ..verdict }
            }
            _ => verdict,
        };
        if let Ok(mut known) = self.active.known_certificates.try_borrow_mut() {
            known.remember(&verdict);
        }
        if let Some(line) = verdict.log_line(host::source_address) {
            info!("{line}");
        }
        if self.report(&verdict).is_err() {
            warn!("the host did not take filter state or metrics");
        }
        let Outcome::Denied(rejection) = verdict.outcome else {
            self.state = State::Passing;
            return Action::Continue;
        };
        self.answer(&rejection.response(place))
    }

    fn answer(&mut self, response: &Response) -> Action {
        self.state = State::Answered;
        if host::respond(response).is_err() {
            error!("the host did not take the answer; the request stays paused");
        }
        Action::Pause
    }

    /// Tells the access log and the counters.
    fn report(&self, verdict: &Verdict) -> Result<(), HostError> {
        let metrics = &self.active.metrics;
        let (outcome, rejection) = match &verdict.outcome {
            Outcome::Allowed(_) => {
                metrics.count_allowed(verdict.certificate_days_left)?;
                ("allowed", None)
            }
            Outcome::Denied(rejection) => {
                metrics.count_denied(rejection.reason)?;
                ("denied", Some(rejection))
            }
            Outcome::Reported(rejection, _) => {
                metrics.count_reported(rejection.reason)?;
                ("reported", Some(rejection))
            }
        };
        host::set_filter_state("certbound.outcome", outcome)?;
        if let Some(rejection) = rejection {
            host::set_filter_state("certbound.reason", rejection.reason.name())?;
        }
        if let Some(client_id) = &verdict.client_id {
            host::set_filter_state("certbound.client_id", client_id)?;
        }
        if let Some(certificate) = &verdict.certificate {
            host::set_filter_state("certbound.thumbprint", certificate.thumbprint_text())?;
        }
        Ok(())
    }
}
