//! Authorization server metadata (RFC 8414, OpenID Connect Discovery), told of mutual TLS (RFC 8705 §5): the server
//! writes the document, and what it cannot know of certbound is added.

use std::fmt;

use serde_json::Value;

use crate::{
    endpoint::{Endpoint, normalise_path, split_target},
    headers::Headers,
    json_object::{InvalidJsonObject, JsonObject},
    sanitise::HeaderChange,
};

/// The longest document that is changed, in bytes. Real ones have about 5,000; half of what the buffers of the reference
/// deployment hold, since Envoy answers 500 where they are exceeded.
pub const MAX_DOCUMENT_BYTES: usize = 65_536;

/// Endpoints to which a browser is sent. No client calls them directly, so an alias would have no meaning (RFC 8705 §5).
const FRONT_CHANNEL_ENDPOINTS: [&str; 2] = ["authorization_endpoint", "end_session_endpoint"];

/// Endpoints whose authentication methods have a list of their own (RFC 8414 §2), and what it means when there is none.
/// Of revocation and introspection nothing is said that the server did not begin to say.
const AUTH_METHOD_LISTS: [(&str, &str, Option<&str>); 3] = [
    ("token_endpoint", "token_endpoint_auth_methods_supported", Some("client_secret_basic")),
    ("introspection_endpoint", "introspection_endpoint_auth_methods_supported", None),
    ("revocation_endpoint", "revocation_endpoint_auth_methods_supported", None),
];

/// With these, the server could answer with less than the document as it is now, or with more than its text.
const REQUEST_FIELDS: [&str; 6] =
    ["if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "range"];

/// What the server says of its own bytes, which the changed document does not have. A validator of ours would be of no
/// use, since conditions never reach the server.
const RESPONSE_FIELDS: [&str; 7] = [
    "accept-ranges",
    "content-digest",
    "content-md5",
    "digest",
    "etag",
    "last-modified",
    "repr-digest",
];

/// `discovery`: which documents are changed, and what is said in them.
#[derive(Clone, Debug)]
pub struct Discovery {
    /// Normalised paths of the documents.
    pub paths: Vec<String>,
    /// Scheme and authority at which clients use mutual TLS, without a slash at the end.
    pub mtls_origin: String,
    /// The TLS methods for which there are, or may be, clients.
    pub auth_methods: Vec<&'static str>,
    /// Whether to say that access tokens are bound to certificates (RFC 8705 §3.3), where the server does not say.
    pub tls_client_certificate_bound_access_tokens: bool,
}

/// A request for one of the documents.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DocumentRequest {
    /// For the document.
    Get,
    /// For what a GET would tell about it.
    Head,
}

impl Discovery {
    /// Whether a request is for one of the documents, and how.
    pub fn request(&self, method: &str, target: &str) -> Option<DocumentRequest> {
        let request = match method {
            "GET" => DocumentRequest::Get,
            "HEAD" => DocumentRequest::Head,
            _ => return None,
        };
        let path = normalise_path(split_target(target).0);
        self.paths.iter().any(|known| *known == path).then_some(request)
    }

    /// Adds to the server's document what `endpoints` and the registered clients mean for those who read it. Members
    /// keep their order and, but for what is added to lists and to `mtls_endpoint_aliases`, their text.
    ///
    /// # Errors
    /// With the reason why the document has to stay as it is.
    pub fn describe(&self, document: &[u8], endpoints: &[Endpoint]) -> Result<String, Unchanged> {
        let text = str::from_utf8(document).map_err(|_| Unchanged::NoObject(InvalidJsonObject))?;
        let mut metadata = JsonObject::parse(text).map_err(Unchanged::NoObject)?;
        if metadata.value("signed_metadata").is_some() {
            return Err(Unchanged::Signed);
        }
        let authenticating = authenticating_endpoints(&metadata, endpoints);
        if authenticating.is_empty() {
            return Err(Unchanged::NoEndpoint);
        }
        let aliases = self.aliases(&metadata, &authenticating)?;
        metadata.set("mtls_endpoint_aliases", aliases);
        for (endpoint, list, default) in AUTH_METHOD_LISTS {
            if authenticating.iter().any(|(name, _)| name == endpoint)
                && let Some(methods) = self.auth_methods(&metadata, list, default)?
            {
                metadata.set(list, methods);
            }
        }
        const BOUND: &str = "tls_client_certificate_bound_access_tokens";
        if self.tls_client_certificate_bound_access_tokens && metadata.value(BOUND).is_none() {
            metadata.set(BOUND, "true".into());
        }
        Ok(metadata.to_string())
    }

    /// The server's aliases and those that are missing, as JSON text.
    fn aliases(
        &self,
        metadata: &JsonObject<'_>,
        authenticating: &[(String, String)],
    ) -> Result<String, Unchanged> {
        const NAME: &str = "mtls_endpoint_aliases";
        let mut aliases = match metadata.value(NAME) {
            Some(aliases) => JsonObject::parse(aliases).map_err(|_| Unchanged::Unreadable(NAME))?,
            None => JsonObject::empty(),
        };
        for (name, path_and_query) in authenticating {
            if aliases.value(name).is_none() {
                let alias = format!("{}{path_and_query}", self.mtls_origin);
                aliases.set(name, Value::from(alias).to_string());
            }
        }
        Ok(aliases.to_string())
    }

    /// A list of methods with the TLS methods, as JSON text; `None` where there is nothing to say.
    fn auth_methods(
        &self,
        metadata: &JsonObject<'_>,
        list: &'static str,
        default: Option<&str>,
    ) -> Result<Option<String>, Unchanged> {
        let mut methods: Vec<String> = match (metadata.value(list), default) {
            (Some(methods), _) => serde_json::from_slice(methods.as_bytes())
                .map_err(|_| Unchanged::Unreadable(list))?,
            (None, Some(default)) => vec![default.to_owned()],
            (None, None) => return Ok(None),
        };
        let added: Vec<String> = self
            .auth_methods
            .iter()
            .filter(|added| !methods.iter().any(|known| known == *added))
            .map(|added| (*added).to_owned())
            .collect();
        if added.is_empty() {
            return Ok(None);
        }
        methods.extend(added);
        Ok(Some(Value::from(methods).to_string()))
    }
}

/// The metadata's endpoints at which certbound authenticates clients: names, and paths with queries. Only there does the
/// server get a certificate.
fn authenticating_endpoints(
    metadata: &JsonObject<'_>,
    endpoints: &[Endpoint],
) -> Vec<(String, String)> {
    let is_direct =
        |name: &str| name.ends_with("_endpoint") && !FRONT_CHANNEL_ENDPOINTS.contains(&name);
    let mut authenticating = Vec::new();
    for (name, value) in metadata.members().filter(|(name, _)| is_direct(name)) {
        let Ok(url) = serde_json::from_slice::<String>(value.as_bytes()) else { continue };
        let Some(path_and_query) = path_and_query(&url) else { continue };
        let path = normalise_path(split_target(path_and_query).0);
        if endpoints.iter().any(|endpoint| endpoint.path.matches(&path)) {
            authenticating.push((name.to_owned(), path_and_query.to_owned()));
        }
    }
    authenticating
}

/// Path and query of an absolute http or https URL without fragment.
fn path_and_query(url: &str) -> Option<&str> {
    let hierarchical = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let (_, path_and_query) = hierarchical.split_at_checked(hierarchical.find(['/', '?', '#'])?)?;
    (path_and_query.starts_with('/') && !path_and_query.contains('#')).then_some(path_and_query)
}

/// What to change in a request for a document, so that the answer is all of it and readable.
pub fn request_changes() -> Vec<HeaderChange> {
    let mut changes: Vec<_> =
        REQUEST_FIELDS.map(|name| HeaderChange::Remove(name.to_owned())).into();
    changes.push(HeaderChange::Set("accept-encoding".into(), b"identity".to_vec()));
    changes
}

/// What to change in the header fields of a response whose document was changed and now has this length, or, in answer
/// to HEAD, is not there.
pub fn response_changes(length: Option<usize>) -> Vec<HeaderChange> {
    const LENGTH: &str = "content-length";
    let mut changes: Vec<_> =
        RESPONSE_FIELDS.map(|name| HeaderChange::Remove(name.to_owned())).into();
    changes.push(match length {
        Some(length) => HeaderChange::Set(LENGTH.into(), length.to_string().into_bytes()),
        None => HeaderChange::Remove(LENGTH.into()),
    });
    changes
}

/// Checks from its header fields that a response is a document which can be changed.
///
/// # Errors
/// With the reason why it has to stay as it is.
pub fn require_document(response: &Headers) -> Result<(), Unchanged> {
    if response.text(":status") != Some("200") {
        return Err(Unchanged::NoSuccess);
    }
    let media_type = response.text("content-type").unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(Unchanged::NoJson);
    }
    if response.values("content-encoding").any(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
        return Err(Unchanged::Encoded);
    }
    let length = response.text("content-length").and_then(|length| length.parse().ok());
    require_length(length.unwrap_or_default())
}

/// Checks the length of a document, or of what has come of it so far.
///
/// # Errors
/// When it is longer than [`MAX_DOCUMENT_BYTES`].
pub fn require_length(length: usize) -> Result<(), Unchanged> {
    if length > MAX_DOCUMENT_BYTES { Err(Unchanged::TooLong) } else { Ok(()) }
}

/// Why a response goes to the client as the server sent it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unchanged {
    /// A content coding that was not asked for.
    Encoded,
    /// No endpoint of the document is one of certbound's.
    NoEndpoint,
    /// The media type is another.
    NoJson,
    /// The content is no JSON object.
    NoObject(InvalidJsonObject),
    /// The status is not 200: there is no document.
    NoSuccess,
    /// The document has `signed_metadata` (RFC 8414 §2.1), which nothing can be added to, and which clients prefer.
    Signed,
    /// Too long.
    TooLong,
    /// This member is not what its definition says.
    Unreadable(&'static str),
}

impl fmt::Display for Unchanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoded => f.write_str("the server compressed it, although asked not to"),
            Self::NoEndpoint => {
                f.write_str("none of its endpoints has the path of one of `endpoints`")
            }
            Self::NoJson => f.write_str("its media type is not application/json"),
            Self::NoObject(error) => error.fmt(f),
            Self::NoSuccess => f.write_str("the status is not 200"),
            Self::Signed => {
                f.write_str("it has `signed_metadata`, which would contradict what is added")
            }
            Self::TooLong => write!(f, "it is longer than {MAX_DOCUMENT_BYTES} bytes"),
            Self::Unreadable(name) => {
                write!(f, "its `{name}` is not what RFC 8414 or RFC 8705 says")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Config;

    /// A configuration with clients of both TLS methods, changed.
    fn config(change: impl FnOnce(&mut Value)) -> Config {
        let mut written = json!({
            "endpoints": [{ "path": "/oauth/token" }, { "path_prefix": "/oauth/direct/" }],
            "clients": [
                { "client_id": "a", "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": "CN=a" },
                {
                    "client_id": "b",
                    "token_endpoint_auth_method": "self_signed_tls_client_auth",
                    "certificate_thumbprints": ["A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"],
                },
                { "client_id": "c", "token_endpoint_auth_method": "none" },
            ],
            "discovery": { "paths": ["/.well-known/openid-configuration"], "mtls_origin": "https://mtls.example.com:8443" },
        });
        change(&mut written);
        Config::parse(written.to_string().as_bytes(), &|_| None).unwrap()
    }

    fn describe(config: &Config, document: &str) -> Result<String, Unchanged> {
        config.discovery.as_ref().unwrap().describe(document.as_bytes(), &config.endpoints)
    }

    fn described(document: &Value) -> Value {
        described_with(&config(|_| ()), document)
    }

    fn described_with(config: &Config, document: &Value) -> Value {
        serde_json::from_str(&describe(config, &document.to_string()).unwrap()).unwrap()
    }

    const TOKEN_ENDPOINT: &str = "https://as.example.com/oauth/token";

    #[test]
    fn what_the_server_wrote_keeps_its_order_and_its_text() {
        let document = "{\"z\": 1.10, \"token_endpoint\":\"https:\\/\\/as.example.com/oauth/token\" ,\n \"a\":[18446744073709551616]}";
        assert_eq!(
            describe(&config(|_| ()), document).unwrap(),
            "{\"z\":1.10,\"token_endpoint\":\"https:\\/\\/as.example.com/oauth/token\",\"a\":[18446744073709551616],\
             \"mtls_endpoint_aliases\":{\"token_endpoint\":\"https://mtls.example.com:8443/oauth/token\"},\
             \"token_endpoint_auth_methods_supported\":[\"client_secret_basic\",\"tls_client_auth\",\"self_signed_tls_client_auth\"],\
             \"tls_client_certificate_bound_access_tokens\":true}"
        );
    }

    #[test]
    fn endpoints_where_clients_authenticate_get_an_alias() {
        let document = json!({
            "token_endpoint": "https://as.example.com/oauth/token?tenant=a%2Fb&x=%22",
            "pushed_authorization_request_endpoint": "http://internal:8080/oauth/direct/par",
            "introspection_endpoint": "https://as.example.com/oauth/./direct/%69ntrospect",
        });
        assert_eq!(
            described(&document)["mtls_endpoint_aliases"],
            json!({
                "token_endpoint": "https://mtls.example.com:8443/oauth/token?tenant=a%2Fb&x=%22",
                "pushed_authorization_request_endpoint": "https://mtls.example.com:8443/oauth/direct/par",
                "introspection_endpoint": "https://mtls.example.com:8443/oauth/./direct/%69ntrospect",
            })
        );
    }

    #[test]
    fn other_members_get_no_alias() {
        let document = json!({
            "issuer": "https://as.example.com/oauth/direct/",
            "token_endpoint": TOKEN_ENDPOINT,
            "jwks_uri": "https://as.example.com/oauth/direct/jwks",
            "authorization_endpoint": "https://as.example.com/oauth/direct/auth",
            "end_session_endpoint": "https://as.example.com/oauth/direct/logout",
            "userinfo_endpoint": "https://as.example.com/me",
            "a_endpoint": "/oauth/token",
            "b_endpoint": "https://as.example.com",
            "c_endpoint": "https://as.example.com?/oauth/token",
            "d_endpoint": "https://as.example.com/oauth/token#x",
            "e_endpoint": ["https://as.example.com/oauth/token"],
            "f_endpoint": "urn:x/oauth/token",
            "g_endpoint": "https://as.example.com/OAUTH/token",
        });
        let aliases = described(&document)["mtls_endpoint_aliases"].clone();
        assert_eq!(
            aliases,
            json!({ "token_endpoint": "https://mtls.example.com:8443/oauth/token" })
        );
    }

    #[test]
    fn aliases_of_the_server_stay_and_missing_ones_are_added() {
        let document = json!({
            "token_endpoint": TOKEN_ENDPOINT,
            "revocation_endpoint": "https://as.example.com/oauth/direct/revoke",
            "mtls_endpoint_aliases": { "userinfo_endpoint": "https://own/me", "token_endpoint": "https://own/token" },
        });
        assert_eq!(
            described(&document)["mtls_endpoint_aliases"],
            json!({
                "userinfo_endpoint": "https://own/me",
                "token_endpoint": "https://own/token",
                "revocation_endpoint": "https://mtls.example.com:8443/oauth/direct/revoke",
            })
        );
    }

    #[test]
    fn each_list_of_methods_gets_those_of_the_clients_once() {
        const BOTH: [&str; 2] = ["tls_client_auth", "self_signed_tls_client_auth"];
        let all = |first: &[&str]| json!([first, &BOTH].concat());
        let mut document = json!({
            "token_endpoint": TOKEN_ENDPOINT,
            "introspection_endpoint": "https://as.example.com/oauth/direct/introspect",
            "revocation_endpoint": "https://as.example.com/elsewhere",
        });
        let metadata = described(&document);
        assert_eq!(
            metadata["token_endpoint_auth_methods_supported"],
            all(&["client_secret_basic"])
        );
        assert_eq!(metadata.get("introspection_endpoint_auth_methods_supported"), None);
        assert_eq!(metadata.get("revocation_endpoint_auth_methods_supported"), None);

        let own = json!(["self_signed_tls_client_auth", "private_key_jwt"]);
        for list in ["token", "introspection", "revocation"] {
            document[format!("{list}_endpoint_auth_methods_supported")] = own.clone();
        }
        let metadata = described(&document);
        let with_missing =
            json!(["self_signed_tls_client_auth", "private_key_jwt", "tls_client_auth"]);
        assert_eq!(metadata["token_endpoint_auth_methods_supported"], with_missing);
        assert_eq!(metadata["introspection_endpoint_auth_methods_supported"], with_missing);
        // Nobody authenticates to certbound there.
        assert_eq!(metadata["revocation_endpoint_auth_methods_supported"], own);
    }

    #[test]
    fn only_methods_that_some_client_can_use_are_added() {
        let methods = |clients: &[usize], unregistered: &str, header: Value| {
            let config = config(|it| {
                let all = it["clients"].clone();
                it["clients"] = clients.iter().map(|client| all[client].clone()).collect();
                it["unregistered_clients"] = unregistered.into();
                it["certificate_header"] = header;
            });
            config.discovery.unwrap().auth_methods
        };
        let plain = json!({});
        assert_eq!(methods(&[0, 2], "deny", plain.clone()), ["tls_client_auth"]);
        assert_eq!(methods(&[1], "pass", plain.clone()), ["self_signed_tls_client_auth"]);
        assert!(methods(&[2], "deny", plain.clone()).is_empty());
        assert_eq!(methods(&[], "forward", plain), ["tls_client_auth"]);
        let verify = json!({ "verify_name": "X-Verify" });
        assert_eq!(
            methods(&[], "forward", verify.clone()),
            ["tls_client_auth", "self_signed_tls_client_auth"]
        );
        assert!(methods(&[], "pass", verify).is_empty());
    }

    #[test]
    fn without_tls_clients_the_default_method_is_not_written() {
        let config = config(|it| it["clients"] = json!([]));
        let metadata = described_with(&config, &json!({ "token_endpoint": TOKEN_ENDPOINT }));
        assert_eq!(metadata.get("token_endpoint_auth_methods_supported"), None);
        assert_eq!(metadata["tls_client_certificate_bound_access_tokens"], true);
    }

    #[test]
    fn whether_tokens_are_bound_is_the_servers_word_or_the_operators() {
        const BOUND: &str = "tls_client_certificate_bound_access_tokens";
        let silent = json!({ "token_endpoint": TOKEN_ENDPOINT });
        let denying = json!({ "token_endpoint": TOKEN_ENDPOINT, BOUND: false });
        let unbound = config(|it| it["discovery"][BOUND] = false.into());
        assert_eq!(described(&silent)[BOUND], true);
        assert_eq!(described(&denying)[BOUND], false);
        assert_eq!(described_with(&unbound, &silent).get(BOUND), None);
    }

    #[test]
    fn documents_that_would_be_contradicted_or_misread_stay_as_they_are() {
        let with = |name: &str, value: Value| {
            let mut document = json!({ "token_endpoint": TOKEN_ENDPOINT });
            document[name] = value;
            describe(&config(|_| ()), &document.to_string()).unwrap_err()
        };
        assert_eq!(with("signed_metadata", "eyJ…".into()), Unchanged::Signed);
        assert_eq!(
            with("token_endpoint", "https://as.example.com/token".into()),
            Unchanged::NoEndpoint
        );
        for value in [json!(null), json!([]), json!("x")] {
            let aliases = "mtls_endpoint_aliases";
            assert_eq!(with(aliases, value), Unchanged::Unreadable(aliases));
        }
        for value in [json!(null), json!({}), json!([1]), json!("tls_client_auth")] {
            let methods = "token_endpoint_auth_methods_supported";
            assert_eq!(with(methods, value), Unchanged::Unreadable(methods));
        }
        let discovery = config(|_| ()).discovery.unwrap();
        for bytes in [&b"<html>"[..], b"", b"[]", b"{\"a\":\"\xff\"}", br#"{"a":1,"a":1}"#] {
            assert_eq!(discovery.describe(bytes, &[]), Err(Unchanged::NoObject(InvalidJsonObject)));
        }
    }

    #[test]
    fn a_request_is_for_a_document_by_method_and_normalised_path() {
        let discovery = config(|_| ()).discovery.unwrap();
        let request = |method, target| discovery.request(method, target);
        assert_eq!(request("GET", "/.well-known/openid-configuration"), Some(DocumentRequest::Get));
        assert_eq!(
            request("HEAD", "/x/../.well-known/openid%2Dconfiguration?a"),
            Some(DocumentRequest::Head)
        );
        assert_eq!(request("POST", "/.well-known/openid-configuration"), None);
        assert_eq!(request("GET", "/.well-known/openid-configuration/"), None);
        assert_eq!(request("GET", "/.well-known"), None);
    }

    #[test]
    fn a_response_is_a_document_by_its_header_fields() {
        let require = |fields: &[(&str, &str)]| {
            let fields =
                fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
            require_document(&Headers(fields.collect()))
        };
        let (ok, json) = ((":status", "200"), ("content-type", "application/json"));
        assert_eq!(require(&[ok, json]), Ok(()));
        assert_eq!(require(&[ok, ("content-type", "Application/JSON ;charset=utf-8")]), Ok(()));
        assert_eq!(
            require(&[ok, json, ("content-encoding", "identity"), ("content-length", "65536")]),
            Ok(())
        );
        for status in ["201", "206", "304", "404"] {
            assert_eq!(require(&[(":status", status), json]), Err(Unchanged::NoSuccess));
        }
        for media_type in ["text/html", "application/jsonp", "application/jwk-set+json", ""] {
            assert_eq!(require(&[ok, ("content-type", media_type)]), Err(Unchanged::NoJson));
        }
        assert_eq!(require(&[ok]), Err(Unchanged::NoJson));
        assert_eq!(require(&[ok, json, ("content-encoding", "gzip")]), Err(Unchanged::Encoded));
        assert_eq!(require(&[ok, json, ("content-length", "65537")]), Err(Unchanged::TooLong));
    }
}
