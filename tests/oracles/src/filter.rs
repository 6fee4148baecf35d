//! What src/filter does with a request, without a host: sanitise, find the endpoint, decide, apply.

use certbound::{
    authenticate::{Outcome, Verdict, authenticate},
    config::Config,
    headers::Headers,
    rejection::{Place, Reason, Rejection},
    request::Request,
    sanitise::HeaderChange,
    trust::VerdictCache,
};

/// What became of a request.
pub struct Handled {
    /// `None` for a request that is not for an endpoint.
    pub verdict: Option<Verdict>,
    /// Header fields and trailers that the server receives; `None` when certbound answers itself.
    pub upstream: Option<(Headers, Headers)>,
}

/// Does with a request what the filter does.
pub fn handle(
    config: &Config,
    verdicts: &mut VerdictCache,
    request: &Request,
    trailers: &Headers,
) -> Handled {
    let mut headers = request.headers.clone();
    apply(&mut headers, config.sanitiser.changes(&request.headers));
    let mut sanitised_trailers = trailers.clone();
    apply(&mut sanitised_trailers, config.sanitiser.trailer_changes(trailers));
    let verdict =
        config.is_endpoint(&request.headers.method(), &request.headers.target()).then(|| {
            if request.body.len() > config.max_body_bytes {
                return Verdict::refused(
                    config,
                    Rejection::new(Reason::BodyTooLarge, ""),
                    Place::Endpoint { scheme: None },
                );
            }
            authenticate(config, request, verdicts, &mut |_| true)
        });
    match verdict.as_ref().map(|verdict| &verdict.outcome) {
        Some(Outcome::Denied(_)) => return Handled { verdict, upstream: None },
        Some(Outcome::Allowed(changes) | Outcome::Reported(_, changes)) => {
            apply(&mut headers, changes.clone())
        }
        None => {}
    }
    Handled { verdict, upstream: Some((headers, sanitised_trailers)) }
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
