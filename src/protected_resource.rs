//! The decision at protected resources: is the access token bound to the certificate of the connection (RFC 8705 §3)?

use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

use crate::{
    authenticate::{Outcome, Verdict, refusal, require_validity},
    config::{
        Config, Introspection, ProtectedResource, ReplacementToken, Requirement, TokenSource,
    },
    endpoint::{is_plain, split_target},
    form, forward,
    generations::Generations,
    headers::Headers,
    json_object::JsonObject,
    jws::SignedStatements,
    jwt::{CompactJws, InvalidJwt, TokenBinding},
    known_certificate::KnownCertificate,
    presented,
    rejection::{Place, Reason, Rejection},
    request::{Request, VerifiedToken},
    sanitise::HeaderChange,
    upstream_authentication::Credential,
};

/// What has to happen next.
#[derive(Debug)]
pub enum Step {
    /// Nothing: here is what becomes of the request.
    Done(Verdict),
    /// The introspection endpoint has to be asked with this form, which is a secret; its answer goes to [`conclude`].
    Introspect(Credential),
}

/// An answer of the introspection endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The HTTP status code.
    pub status: u16,
    /// Content-Type.
    pub content_type: &'a [u8],
    /// The body.
    pub body: &'a [u8],
}

/// What the introspection endpoint said of a token that is active.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Introspected {
    binding: TokenBinding,
    /// `Authorization` for the resource, instead of the token's.
    replacement: Option<Credential>,
    /// Until when this holds, in seconds since the Unix epoch; the second itself is excluded.
    usable_until: u64,
}

/// What is remembered of the introspection endpoint's answers.
#[derive(Debug)]
pub struct Answers(Generations<[u8; 32], Introspected>);

impl Default for Answers {
    /// Room for at least 4096 tokens.
    fn default() -> Self {
        Self(Generations::with_capacity(4096))
    }
}

impl Answers {
    /// The answer to a question, by [`question_digest`]. It may be too old.
    pub fn get(&mut self, digest: &[u8; 32]) -> Option<Introspected> {
        self.0.get(digest)
    }

    /// Remembers an answer.
    pub fn insert(&mut self, digest: [u8; 32], answer: Introspected) {
        self.0.insert(digest, answer);
    }
}

/// Under what the answer to a question is remembered: who asked whom about which token, and what for.
pub fn question_digest(introspection: &Introspection, question: &Credential) -> [u8; 32] {
    let Introspection { cluster, path, authority, authorization, .. } = introspection;
    let media_type = introspection.replace_token_by.map_or("", ReplacementToken::media_type);
    let max_cache_seconds = introspection.max_cache_seconds.to_string();
    let mut digest = Sha256::new();
    for part in [cluster, path, authority, authorization.value(), media_type, &max_cache_seconds] {
        digest.update(part);
        digest.update([0]);
    }
    digest.chain_update(question.value()).finalize().into()
}

/// Whether the body has to be there before a request can be judged: a form may hold a second token (RFC 6750 §2.2).
pub fn needs_body(headers: &Headers) -> bool {
    headers.values("content-type").any(|value| {
        String::from_utf8_lossy(value).to_ascii_lowercase().contains("form-urlencoded")
    })
}

/// Judges a request for a protected resource. `remembered` and `statements` remember, from one request to the next, what
/// was answered and signed; `random` fills a buffer with random bytes, or says that it cannot.
pub fn check(
    config: &Config,
    resource: &ProtectedResource,
    request: &Request,
    remembered: &mut Answers,
    statements: &mut SignedStatements,
    random: &mut dyn FnMut(&mut [u8]) -> bool,
) -> Step {
    let mut check = Check { config, resource, request, statements, random, certificate: None };
    let finding = check.token().and_then(|token| check.find(token, remembered));
    match finding {
        Ok(Finding::Unknown(question)) => Step::Introspect(question),
        Ok(Finding::Known(fields)) => Step::Done(check.verdict(Ok(fields))),
        Err(rejection) => Step::Done(check.verdict(Err(rejection))),
    }
}

/// Judges a request whose token the introspection endpoint was asked about. `None` stands for no answer in time. What is
/// returned beside the verdict is worth remembering.
pub fn conclude(
    config: &Config,
    resource: &ProtectedResource,
    request: &Request,
    answer: Option<Answer<'_>>,
    statements: &mut SignedStatements,
    random: &mut dyn FnMut(&mut [u8]) -> bool,
) -> (Verdict, Option<Introspected>) {
    let mut check = Check { config, resource, request, statements, random, certificate: None };
    let introspected = match &resource.token {
        TokenSource::Introspection(introspection) => read(introspection, answer, request.now),
        _ => Err(failed("no introspection is configured")),
    };
    let outcome = check.token().and_then(|token| match token {
        Some((scheme, _)) => check.accept(scheme, introspected.clone()?),
        None => Err(failed("nobody asked it")),
    });
    let worth_remembering = introspected.ok().filter(|answer| request.now < answer.usable_until);
    (check.verdict(outcome), worth_remembering)
}

struct Check<'a> {
    config: &'a Config,
    resource: &'a ProtectedResource,
    request: &'a Request,
    statements: &'a mut SignedStatements,
    random: &'a mut dyn FnMut(&mut [u8]) -> bool,
    certificate: Option<Arc<KnownCertificate>>,
}

/// How an access token is sent.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Scheme {
    /// RFC 6750.
    Bearer,
    /// RFC 9449.
    Dpop,
}

enum Finding {
    /// The request may go on, with these changes.
    Known(Vec<HeaderChange>),
    /// The introspection endpoint has to be asked.
    Unknown(Credential),
}

impl<'a> Check<'a> {
    fn verdict(self, outcome: Result<Vec<HeaderChange>, Rejection>) -> Verdict {
        let outcome = outcome.map_or_else(
            |rejection| refusal(self.config, rejection, Place::ProtectedResource),
            Outcome::Allowed,
        );
        Verdict::new(outcome, None, self.certificate, self.request.now)
    }

    /// The one access token of the request, if there is one.
    fn token(&self) -> Result<Option<(Scheme, &'a str)>, Rejection> {
        let headers = &self.request.headers;
        let target = headers.target();
        let (path, query) = split_target(&target);
        if !is_plain(path) {
            return Err(Rejection::new(
                Reason::PathAmbiguous,
                "the path has dot segments, `;`, a backslash, two slashes or an escape of these, and some server may take it for this resource",
            ));
        }
        require_readable_form(headers)?;
        let places =
            [("the query", query.unwrap_or_default().as_bytes()), ("a form", &self.request.body)];
        for (place, text) in places {
            if TOKEN_PARAMETERS.iter().any(|name| form::may_hold(text, name)) {
                return Err(misplaced(format!(
                    "an access token is in {place}: it belongs into Authorization"
                )));
            }
        }
        let mut values = headers.values("authorization");
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(misplaced("Authorization is there more than once"));
        }
        let text = str::from_utf8(value).map_err(|_| unreadable("Authorization is not text"))?;
        let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "bearer" => Scheme::Bearer,
            "dpop" => Scheme::Dpop,
            // Some servers look for the word anywhere.
            _ if text.to_ascii_lowercase().contains("bearer") => {
                return Err(misplaced("Authorization is not plainly of the Bearer scheme"));
            }
            _ if text.split([' ', ',', '=', '"', '\'']).any(is_bound_token) => {
                return Err(misplaced(
                    "a bound access token is sent under another scheme than Bearer",
                ));
            }
            _ => return Ok(None),
        };
        let token = token.trim_start_matches(' ');
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if token.is_empty() || !token.bytes().all(is_token) {
            return Err(unreadable(
                "the access token has characters outside b64token (RFC 6750 §2.1)",
            ));
        }
        Ok(Some((scheme, token)))
    }

    fn find(
        &mut self,
        token: Option<(Scheme, &str)>,
        remembered: &mut Answers,
    ) -> Result<Finding, Rejection> {
        let requires_binding = self.resource.require == Requirement::Bound;
        let binding = match (&self.resource.token, token) {
            (TokenSource::JwtAuthn { .. }, token) => self.verified_binding(token)?,
            (_, None) => None,
            (TokenSource::Bearer, Some((scheme, token))) => match TokenBinding::of_token(token) {
                Ok(binding) => Some((scheme, binding)),
                // What proof such a token needs is for the resource to find out.
                Err(_) if scheme == Scheme::Dpop && !requires_binding => None,
                Err(error) => return Err(unreadable(format!("the access token is {error}"))),
            },
            (TokenSource::Introspection(_), Some((Scheme::Dpop, _))) if !requires_binding => None,
            (TokenSource::Introspection(introspection), Some((scheme, token))) => {
                let question = question(token);
                let known = remembered
                    .get(&question_digest(introspection, &question))
                    .filter(|answer| self.request.now < answer.usable_until);
                return match known {
                    Some(answer) => self.accept(scheme, answer).map(Finding::Known),
                    None => Ok(Finding::Unknown(question)),
                };
            }
        };
        match binding {
            Some((scheme, binding)) => self.accept_binding(scheme, &binding).map(Finding::Known),
            None if requires_binding => Err(Rejection::new(
                Reason::TokenMissing,
                "no access token in Authorization, and this resource requires a bound one",
            )),
            None => Ok(Finding::Known(Vec::new())),
        }
    }

    /// The binding of the token that `jwt_authn` verified. That filter also finds tokens elsewhere, and may remove what it
    /// has verified: a token that is still in `Authorization` must be the same, since the resource takes it for verified.
    fn verified_binding(
        &self,
        token: Option<(Scheme, &str)>,
    ) -> Result<Option<(Scheme, TokenBinding)>, Rejection> {
        let verified = self.request.verified_token.clone();
        match (verified, token) {
            (None, None) => Ok(None),
            (None, Some((Scheme::Dpop, _))) if self.resource.require == Requirement::IfPresent => {
                Ok(None)
            }
            (None, Some(_)) => Err(unreadable(
                "jwt_authn left no payload in its dynamic metadata: it needs payload_in_metadata, and to come before certbound",
            )),
            (Some(verified), None) => Ok(Some((Scheme::Bearer, verified.binding))),
            (Some(VerifiedToken { binding, payload }), Some((scheme, token))) => {
                let is_verified = CompactJws::parse(token)
                    .is_ok_and(|jws| payload.is_of(&jws.payload))
                    && TokenBinding::of_token(token).as_ref() == Ok(&binding);
                if is_verified {
                    Ok(Some((scheme, binding)))
                } else {
                    Err(unreadable(
                        "the access token is not the one that jwt_authn verified, or has a null in it: let jwt_authn look into \
                         Authorization only",
                    ))
                }
            }
        }
    }

    fn accept(
        &mut self,
        scheme: Scheme,
        answer: Introspected,
    ) -> Result<Vec<HeaderChange>, Rejection> {
        let mut changes = self.accept_binding(scheme, &answer.binding)?;
        let replacement = answer.replacement;
        changes.extend(
            replacement.map(|token| HeaderChange::SetCredential("authorization".into(), token)),
        );
        Ok(changes)
    }

    fn accept_binding(
        &mut self,
        scheme: Scheme,
        binding: &TokenBinding,
    ) -> Result<Vec<HeaderChange>, Rejection> {
        let not_bound = |detail: &'static str| Err(Rejection::new(Reason::TokenNotBound, detail));
        let requires_binding = self.resource.require == Requirement::Bound;
        let Some(confirmation) = &binding.cnf else {
            return if requires_binding {
                not_bound("the access token has no cnf, and this resource requires a bound one")
            } else {
                Ok(Vec::new())
            };
        };
        if scheme == Scheme::Bearer && confirmation.jkt.is_some() {
            return not_bound(
                "a DPoP-bound access token is sent as a bearer token (RFC 9449 §7.2)",
            );
        }
        let Some(thumbprint) = &confirmation.x5t_s256 else {
            return if scheme == Scheme::Dpop && !requires_binding {
                Ok(Vec::new())
            } else {
                not_bound("cnf of the access token has no x5t#S256")
            };
        };
        let certificate = presented::certificate(self.config.certificate_source, self.request)?
            .ok_or_else(|| {
                Rejection::new(
                    Reason::CertificateMissing,
                    "the access token is bound to a certificate, and the client presented none",
                )
            })?;
        let certificate = self.certificate.insert(certificate);
        if thumbprint != certificate.thumbprint_text() {
            return not_bound("the access token is bound to another certificate");
        }
        require_validity(certificate, self.request.now)?;
        forward::resource_changes(
            self.config,
            self.resource,
            self.request,
            certificate,
            self.statements,
            self.random,
        )
    }
}

/// RFC 6750 §2.2 and §2.3; the others are what OAuth 1.0 and Doorkeeper call it.
const TOKEN_PARAMETERS: [&str; 3] = ["access_token", "bearer_token", "oauth_token"];

fn is_bound_token(text: &str) -> bool {
    TokenBinding::of_token(text).is_ok_and(|binding| binding.cnf.is_some())
}

/// A form in which a token could hide behind an encoding.
fn require_readable_form(headers: &Headers) -> Result<(), Rejection> {
    if !needs_body(headers) {
        return Ok(());
    }
    let content_type = headers.text("content-type").map(str::to_ascii_lowercase);
    let is_utf_8 =
        |content_type: String| !content_type.contains("charset") || content_type.contains("utf-8");
    if headers.values("content-encoding").next().is_some() || !content_type.is_some_and(is_utf_8) {
        return Err(misplaced(
            "a form has a content coding, another charset than UTF-8, or two Content-Types",
        ));
    }
    Ok(())
}

fn question(token: &str) -> Credential {
    let token = utf8_percent_encode(token, NON_ALPHANUMERIC);
    Credential::new(format!("token={token}&token_type_hint=access_token"))
}

fn read(
    introspection: &Introspection,
    answer: Option<Answer<'_>>,
    now: u64,
) -> Result<Introspected, Rejection> {
    let answer = answer.ok_or_else(|| failed("no answer in time"))?;
    match (answer.status, introspection.replace_token_by) {
        (200, _) => {}
        // A phantom token that is not active has no JWT.
        (204, Some(ReplacementToken::Jwt)) => return Err(inactive()),
        (status, _) => return Err(failed(format!("status {status}"))),
    }
    let claims = ActiveClaims::read(introspection.replace_token_by, &answer)
        .map_err(|_| failed("the answer is not what was asked for"))?
        .ok_or_else(inactive)?;
    if claims.expiry <= now {
        return Err(inactive());
    }
    Ok(Introspected {
        binding: claims.binding,
        replacement: claims.jwt.map(|jwt| Credential::new(format!("Bearer {jwt}"))),
        usable_until: claims.expiry.min(now.saturating_add(introspection.max_cache_seconds)),
    })
}

/// What is known of an active token.
struct ActiveClaims {
    binding: TokenBinding,
    /// `exp` in seconds since the Unix epoch; a token without never expires.
    expiry: u64,
    /// The JWT that the answer is, if one was asked for.
    jwt: Option<String>,
}

impl ActiveClaims {
    /// `None` for a token that is not active.
    fn read(
        asked: Option<ReplacementToken>,
        answer: &Answer<'_>,
    ) -> Result<Option<Self>, InvalidJwt> {
        let text = str::from_utf8(answer.body).map_err(|_| InvalidJwt)?;
        let media_type = answer.content_type.split(|byte| *byte == b';').next().unwrap_or_default();
        let is = |name: &str| media_type.trim_ascii().eq_ignore_ascii_case(name.as_bytes());
        let Some(replacement) = asked.filter(|asked| is(asked.media_type())) else {
            let claims = Self::of_json(text, None)?;
            // Servers have no JWT for a token that is not active; for one that is, it was asked for.
            return if claims.is_some() && asked.is_some() { Err(InvalidJwt) } else { Ok(claims) };
        };
        let jwt = text.trim_ascii();
        let payload = CompactJws::parse(jwt)?.payload;
        let payload = str::from_utf8(&payload).map_err(|_| InvalidJwt)?;
        match replacement {
            ReplacementToken::Jwt => Self::of_claims(payload, Some(jwt)).map(Some),
            ReplacementToken::TokenIntrospectionJwt => {
                let claims = JsonObject::parse(payload).map_err(|_| InvalidJwt)?;
                let inner = claims.value("token_introspection").ok_or(InvalidJwt)?;
                Self::of_json(inner, Some(jwt))
            }
        }
    }

    /// RFC 7662 §2.2.
    fn of_json(json: &str, jwt: Option<&str>) -> Result<Option<Self>, InvalidJwt> {
        let members = JsonObject::parse(json).map_err(|_| InvalidJwt)?;
        match members.value("active") {
            Some("true") => Self::of_claims(json, jwt).map(Some),
            Some("false") => Ok(None),
            _ => Err(InvalidJwt),
        }
    }

    fn of_claims(json: &str, jwt: Option<&str>) -> Result<Self, InvalidJwt> {
        let members = JsonObject::parse(json).map_err(|_| InvalidJwt)?;
        let exp: Option<f64> = match members.value("exp") {
            Some(exp) => Some(serde_json::from_str(exp).map_err(|_| InvalidJwt)?),
            None => None,
        };
        // A NumericDate may have a fraction (RFC 7519 §2).
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
        let expiry = exp.map_or(u64::MAX, |exp| exp as u64);
        let binding = TokenBinding::of_claims(json.as_bytes())?;
        Ok(Self { binding, expiry, jwt: jwt.map(str::to_owned) })
    }
}

fn inactive() -> Rejection {
    let detail = "the introspection endpoint does not know the access token as active";
    Rejection::new(Reason::TokenInactive, detail)
}

fn failed(detail: impl Into<std::borrow::Cow<'static, str>>) -> Rejection {
    let detail = detail.into();
    Rejection::new(
        Reason::IntrospectionFailed,
        format!("the introspection endpoint failed: {detail}"),
    )
}

fn unreadable(detail: impl Into<std::borrow::Cow<'static, str>>) -> Rejection {
    Rejection::new(Reason::TokenUnreadable, detail)
}

fn misplaced(detail: impl Into<std::borrow::Cow<'static, str>>) -> Rejection {
    Rejection::new(Reason::TokenMisplaced, detail)
}
