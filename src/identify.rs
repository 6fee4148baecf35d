//! Finding the client (design: where the request says who it is from), so that the server behind cannot find another.

use crate::{
    basic,
    endpoint::{is_ambiguous, split_target},
    form::{self, Form, ParameterValue},
    headers::Headers,
    jwt::ClientAssertion,
    rejection::{Reason, Rejection},
    request::Request,
};

/// Reads who a request is from.
///
/// # Errors
/// When it is no form post, when something in it may be read differently by another parser, and when it names no client
/// or several.
pub(crate) fn identify(request: &Request) -> Result<Identification, Rejection> {
    let headers = &request.headers;
    let target = headers.target();
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Rejection::new(Reason::BodyUnreadable, "the request target is not ASCII"));
    }
    let (path, query) = split_target(&target);
    if is_ambiguous(path) {
        return Err(Rejection::new(
            Reason::PathAmbiguous,
            "the path has `;`, a backslash, two slashes or an escaped slash: servers differ in which endpoint it is",
        ));
    }
    require_form(headers)?;
    let form = Form::parse(&request.body)
        .map_err(|error| Rejection::new(Reason::BodyUnreadable, error.to_string()))?;
    let query = Form::parse(query.unwrap_or_default().as_bytes()).map_err(|error| {
        Rejection::new(Reason::BodyUnreadable, format!("in the query: {error}"))
    })?;
    require_single_parameters(&form, &query)?;
    require_no_client_cookie(headers)?;
    find_client(&form, headers)
}

/// The media type, exactly one and in UTF-8: anything else might be another request to the server.
fn require_form(headers: &Headers) -> Result<(), Rejection> {
    let refuse = |detail| Err(Rejection::new(Reason::MediaTypeUnsupported, detail));
    if headers.values("content-encoding").next().is_some() {
        return refuse("the request has a Content-Encoding");
    }
    let Some(content_type) = headers.text("content-type") else {
        return refuse("the request has not exactly one Content-Type");
    };
    // White space of HTTP (RFC 9110 §5.6.3) and no other: servers do not know a media type that ends in U+00A0.
    let mut parts = content_type.split(';').map(|part| part.trim_matches([' ', '\t']));
    let media_type = parts.next().unwrap_or_default();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return refuse("Content-Type is not application/x-www-form-urlencoded");
    }
    let is_utf_8 = |parameter: &str| {
        parameter.split_once('=').is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case("charset")
                && (value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("\"utf-8\""))
        })
    };
    match (parts.next(), parts.next()) {
        (None, _) => Ok(()),
        (Some(parameter), None) if is_utf_8(parameter) => Ok(()),
        _ => refuse("Content-Type has parameters other than charset=utf-8"),
    }
}

/// The parameters that identify or authenticate a client.
const CLIENT_PARAMETERS: [&str; 4] =
    ["client_id", "client_assertion", "client_assertion_type", "client_secret"];

fn require_single_parameters(form: &Form, query: &Form) -> Result<(), Rejection> {
    for name in CLIENT_PARAMETERS {
        let mut in_body = form.values(name);
        let detail = match (in_body.next(), in_body.next(), query.values(name).next()) {
            (_, _, Some(_)) => "is in the query",
            (Some(ParameterValue::Lookalike), ..) => {
                "is there under a name that some servers take for it"
            }
            (Some(_), Some(_), None) => "is there more than once",
            _ => continue,
        };
        return Err(Rejection::new(Reason::ClientIdRepeated, format!("{name} {detail}")));
    }
    Ok(())
}

/// PHP's `$_REQUEST` prefers a cookie to the form unless `request_order` is set.
fn require_no_client_cookie(headers: &Headers) -> Result<(), Rejection> {
    let names = headers.values("cookie").flat_map(|field| {
        // `,` separated cookies in RFC 2965, and some parsers still take it for that.
        let cookies = field.split(|byte| b";,".contains(byte));
        cookies.filter_map(|cookie| cookie.split(|byte| *byte == b'=').next())
    });
    for name in names {
        if let Some(parameter) = CLIENT_PARAMETERS.iter().find(|known| form::may_name(name, known))
        {
            return Err(Rejection::new(
                Reason::ClientIdRepeated,
                format!("{parameter} is in a cookie"),
            ));
        }
    }
    Ok(())
}

/// Who the request says that it is from.
pub(crate) struct Identification {
    pub(crate) client_id: String,
    /// A credential besides a certificate, by its name.
    pub(crate) other_credential: Option<&'static str>,
    /// A credential that could not be read, so that the server might find another client in it.
    pub(crate) unreadable: Option<Rejection>,
}

/// Beyond this a `client_id` only fills logs.
const CLIENT_ID_MAXIMUM_BYTES: usize = 1024;

fn find_client(form: &Form, headers: &Headers) -> Result<Identification, Rejection> {
    let parameter = |name| {
        form.values(name).find_map(|value| match value {
            ParameterValue::Exact(text) => Some(text),
            ParameterValue::Lookalike => None,
        })
    };
    let unreadable_credential = |detail| Rejection::new(Reason::BodyUnreadable, detail);
    let mut candidates: Vec<String> =
        parameter("client_id").map(str::to_owned).into_iter().collect();
    let mut other_credential = None;
    let mut unreadable = None;

    if let Some(assertion) = parameter("client_assertion") {
        other_credential = Some("client_assertion");
        match ClientAssertion::parse(assertion) {
            Ok(claims) => candidates.extend([claims.sub].into_iter().chain(claims.iss)),
            Err(error) => unreadable = Some(unreadable_credential(error.to_string())),
        }
    }
    if parameter("client_assertion_type").is_some() {
        other_credential = Some("client_assertion_type");
    }
    if parameter("client_secret").is_some() {
        other_credential = Some("client_secret");
    }
    let mut authorizations = headers.values("authorization");
    if let Some(authorization) = authorizations.next() {
        other_credential = Some("Authorization");
        match basic::client_id(authorization) {
            Some(Ok(client_id)) => candidates.push(client_id),
            Some(Err(error)) => unreadable = Some(unreadable_credential(error.to_string())),
            None => {}
        }
        if authorizations.next().is_some() {
            unreadable =
                Some(unreadable_credential("Authorization is there more than once".into()));
        }
    }

    if headers.values("oauth-client-attestation").next().is_some() {
        other_credential = Some("OAuth-Client-Attestation");
    }

    let mut candidates = candidates.into_iter();
    let first = candidates.next();
    if candidates.any(|candidate| Some(&candidate) != first.as_ref()) {
        return Err(Rejection::new(
            Reason::ClientIdConflict,
            "client_id, Authorization and client_assertion name different clients",
        ));
    }
    if let Some(client_id) = &first
        && (client_id.len() > CLIENT_ID_MAXIMUM_BYTES
            || !client_id.bytes().all(|byte| matches!(byte, b' '..=b'~')))
    {
        return Err(unreadable_credential(
            "client_id is longer than 1024 bytes or not visible ASCII (RFC 6749 appendix A.1)"
                .into(),
        ));
    }
    match (first.filter(|client_id| !client_id.is_empty()), unreadable) {
        (Some(client_id), unreadable) => {
            Ok(Identification { client_id, other_credential, unreadable })
        }
        (None, Some(unreadable)) => Err(unreadable),
        (None, None) => Err(Rejection::new(
            Reason::ClientIdMissing,
            "no client_id in the form, Authorization: Basic or client_assertion",
        )),
    }
}
