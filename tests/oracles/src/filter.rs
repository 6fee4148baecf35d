//! What src/filter does with a request, without a host: sanitise, find what it is for, decide, apply.

use certbound::{
    authenticate::{Outcome, Verdict, authenticate},
    basic,
    config::Config,
    headers::Headers,
    jws::SignedStatements,
    protected_resource::{self, Answers, Step},
    rejection::{Place, Reason, Rejection},
    request::Request,
    response::Response,
    sanitise::HeaderChange,
    trust::VerdictCache,
};

/// What became of a request.
pub struct Handled {
    /// `None` for a request that is neither for an endpoint nor for a protected resource.
    pub verdict: Option<Verdict>,
    /// certbound's own answer.
    pub response: Option<Response>,
    /// Header fields and trailers that the server receives; `None` when certbound answers itself.
    pub upstream: Option<(Headers, Headers)>,
}

/// Does with a request what the filter does.
///
/// # Panics
/// When the introspection endpoint would have to be asked.
pub fn handle(
    config: &Config,
    verdicts: &mut VerdictCache,
    request: &Request,
    trailers: &Headers,
) -> Handled {
    let (method, target) = (request.headers.method(), request.headers.target());
    let scheme = request.headers.values("authorization").next().map(basic::scheme);
    let is_too_long = request.body.len() > config.max_body_bytes;
    let too_long =
        |place| Verdict::refused(config, Rejection::new(Reason::BodyTooLarge, "too long"), place);
    let resource = config.protected_resource_at(&target);
    let resource = resource.and_then(|index| config.protected_resources.get(index));
    let statements = &mut SignedStatements::default();
    let random = &mut |_: &mut [u8]| true;
    let (verdict, place) = if config.is_endpoint(&method, &target) {
        let place = Place::Endpoint { scheme };
        let verdict = match is_too_long {
            true => too_long(place),
            false => authenticate(config, request, verdicts, statements, random),
        };
        (Some(verdict), place)
    } else if let Some(resource) = resource {
        let place = Place::ProtectedResource;
        let verdict = if is_too_long && protected_resource::needs_body(&request.headers) {
            too_long(place)
        } else {
            let answers = &mut Answers::default();
            match protected_resource::check(config, resource, request, answers, statements, random)
            {
                Step::Done(verdict) => verdict,
                Step::Introspect(_) => panic!("there is nobody here to be asked"),
            }
        };
        (Some(verdict), place)
    } else {
        (None, Place::Endpoint { scheme })
    };
    let mut headers = request.headers.clone();
    apply(&mut headers, config.sanitiser.changes(&request.headers));
    match verdict.as_ref().map(|verdict| &verdict.outcome) {
        Some(Outcome::Denied(rejection)) => {
            let response = Some(rejection.response(place));
            return Handled { verdict, response, upstream: None };
        }
        Some(Outcome::Allowed(changes) | Outcome::Reported(_, changes)) => {
            apply(&mut headers, changes.clone());
        }
        None => {}
    }
    let mut sanitised_trailers = trailers.clone();
    apply(&mut sanitised_trailers, config.sanitiser.trailer_changes(trailers));
    Handled { verdict, response: None, upstream: Some((headers, sanitised_trailers)) }
}

/// Changes fields as Envoy does when the filter tells it to.
pub fn apply(headers: &mut Headers, changes: Vec<HeaderChange>) {
    for change in changes {
        let (name, value) = match change {
            HeaderChange::Remove(name) => (name, None),
            HeaderChange::Set(name, value) => (name, Some(value)),
            HeaderChange::SetCredential(name, credential) => {
                (name, Some(credential.value().as_bytes().to_vec()))
            }
        };
        headers.0.retain(|(field, _)| *field != name);
        headers.0.extend(value.map(|value| (name, value)));
    }
}
