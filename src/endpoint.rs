//! The endpoints at which clients authenticate, and the path comparison that finds them.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Where clients authenticate: a path or path prefix, and the methods that count.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Which paths.
    pub path: PathMatch,
    /// Request methods in upper case.
    pub methods: Vec<String>,
}

/// A normalised path, or the start of one.
#[derive(Clone, Debug)]
pub enum PathMatch {
    /// The whole path.
    Exact(String),
    /// Everything that starts so.
    Prefix(String),
}

impl Endpoint {
    /// Whether a request is for this endpoint. `path` is normalised and without query.
    pub fn matches(&self, method: &str, path: &str) -> bool {
        // Methods have case (RFC 9110 §9.1), but some servers fold it, and HTTP/2 lets any through.
        self.methods.iter().any(|allowed| allowed.eq_ignore_ascii_case(method))
            && self.path.matches(path)
    }
}

impl PathMatch {
    /// Whether this is the path, or its start. `path` is normalised and without query.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => path.starts_with(prefix.as_str()),
        }
    }
}

impl PathMatch {
    /// Whether some server may take a request path for this one. Letter case never tells paths apart here, nor does a slash
    /// at the end. A path that [is not plain](is_plain) may be any that its text holds the segments of: servers decode,
    /// merge and drop parts of it in orders that nobody can list.
    pub fn may_be(&self, path: &str) -> bool {
        let (own, is_prefix) = match self {
            Self::Exact(path) => (path, false),
            Self::Prefix(path) => (path, true),
        };
        let own = own.to_ascii_lowercase();
        if is_plain(path) {
            let path = decode_unreserved(path).to_ascii_lowercase();
            let is_this = path.trim_end_matches('/') == own.trim_end_matches('/');
            return is_this || (is_prefix && path.starts_with(&own));
        }
        let text = decoded_for_good(path);
        let mut segments = own.split('/').filter(|segment| !segment.is_empty());
        text.is_none_or(|text| segments.all(|segment| text.contains(segment)))
    }
}

/// Whether every server reads a path alike, but for letter case and a slash at the end.
pub fn is_plain(path: &str) -> bool {
    let decoded = decode_unreserved(path);
    !is_ambiguous(path) && !decoded.split('/').any(|segment| matches!(segment, "." | ".."))
}

/// Lower-case text without escapes; `None` if it is escaped more often than any chain of servers decodes.
fn decoded_for_good(path: &str) -> Option<String> {
    let mut path = path.to_ascii_lowercase();
    for _ in 0..3 {
        let decoded = percent_decode_str(&path).decode_utf8_lossy().to_ascii_lowercase();
        if decoded == path {
            return Some(path);
        }
        path = decoded;
    }
    None
}

/// Whether servers are known to read a path differently: some decode `%2F`, merge slashes, drop `;` parameters or take
/// backslashes for slashes, so that dot segments or a prefix lead elsewhere.
pub fn is_ambiguous(path: &str) -> bool {
    let path = decode_unreserved(path);
    // The last two begin overlong forms of ASCII characters (RFC 3629 §3).
    let escapes = ["%00", "%25", "%2F", "%3B", "%5C", "%C0", "%C1"];
    let is_escape = |after: &str| {
        after.get(..2).is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
    };
    path.contains(['\\', ';'])
        || holds(&path, b"//")
        || (path.contains('%')
            && (escapes.iter().any(|escape| path.contains(escape))
                || !path.split('%').skip(1).all(is_escape)))
}

/// The path of a request target without its query, and the query if there is one.
pub fn split_target(target: &str) -> (&str, Option<&str>) {
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    }
}

/// Normalises a path as RFC 3986 §6.2.2 has it: escapes of unreserved characters are decoded, other escapes are written in
/// upper case, dot segments are removed. Nothing is merged or folded beyond that: `//`, case and `;` stay.
pub fn normalise_path(path: &str) -> Cow<'_, str> {
    match decode_unreserved(path) {
        Cow::Borrowed(path) => remove_dot_segments(path),
        Cow::Owned(path) => Cow::Owned(remove_dot_segments(&path).into_owned()),
    }
}

fn decode_unreserved(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut normalised = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        normalised.push_str(before);
        let octet = after
            .split_at_checked(2)
            .filter(|(digits, _)| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|(digits, tail)| Some((u8::from_str_radix(digits, 16).ok()?, tail)));
        match octet {
            Some((octet, tail)) => {
                if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
                    normalised.push(char::from(octet));
                } else {
                    normalised.push_str(&format!("%{octet:02X}"));
                }
                rest = tail;
            }
            None => {
                normalised.push('%');
                rest = after;
            }
        }
    }
    normalised.push_str(rest);
    Cow::Owned(normalised)
}

/// RFC 3986 §5.2.4 for an absolute path.
fn remove_dot_segments(path: &str) -> Cow<'_, str> {
    let Some(relative) = path.strip_prefix('/') else { return Cow::Borrowed(path) };
    if !holds(path, b"/.") {
        return Cow::Borrowed(path);
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = relative.split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            _ => {
                kept.push(segment);
                continue;
            }
        }
        if last {
            kept.push("");
        }
    }
    Cow::Owned(format!("/{}", kept.join("/")))
}

/// Whether two octets stand in a text one after the other.
fn holds(text: &str, pair: &[u8; 2]) -> bool {
    text.as_bytes().windows(2).any(|part| part == pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equivalent_paths_are_one() {
        // RFC 3986 §5.2.4 and §6.2.2
        for (path, normalised) in [
            ("/a/b/c/./../../g", "/a/g"),
            ("/oauth/%74oken", "/oauth/token"),
            ("/oauth/./token", "/oauth/token"),
            ("/x/%2e%2E/oauth/token", "/oauth/token"),
            ("/../oauth/token", "/oauth/token"),
            ("/oauth/token/.", "/oauth/token/"),
            ("/oauth/token/..", "/oauth/"),
            ("/%7esmith/%3a", "/~smith/%3A"),
            ("/", "/"),
            ("", ""),
            ("*", "*"),
        ] {
            assert_eq!(normalise_path(path), normalised, "{path}");
        }
    }

    #[test]
    fn a_guarded_prefix_is_found_in_every_spelling() {
        let guarded = PathMatch::Prefix("/api/".into());
        for path in
            ["/api", "/api/", "/api/accounts", "/API/accounts", "/%61pi/accounts", "/%41PI/x"]
        {
            assert!(guarded.may_be(path) && is_plain(path), "{path}");
        }
        for path in [
            "//api/accounts",
            "/api%2Faccounts",
            "/api%252faccounts",
            "/api;v=1/accounts",
            "/;x/api/accounts",
            "\\api\\accounts",
            "/public/../api/accounts",
            "/public/..%2fapi/accounts",
            "/public/..;/api/accounts",
            "/./api/accounts",
            "/api/%2e%2E/public",
            "/api/..%2fpublic",
            "/API//../public",
            "/x%2f..%2fapi%2faccounts;%2f..%2f..%2fy",
            "/%2525252525252fx",
        ] {
            assert!(guarded.may_be(path) && !is_plain(path), "{path}");
        }
        for path in ["/", "/apiary", "/ap", "/v1/api/accounts", "/public/../other", "/a;b", "*", ""]
        {
            assert!(!guarded.may_be(path), "{path}");
        }
    }

    #[test]
    fn a_guarded_path_is_found_with_a_slash_after_it() {
        let guarded = PathMatch::Exact("/Me".into());
        for path in ["/Me", "/me", "/me/", "/me;a=b", "//me", "/me/."] {
            assert!(guarded.may_be(path), "{path}");
        }
        for path in ["/me/other", "/mee", "/"] {
            assert!(!guarded.may_be(path), "{path}");
        }
    }

    #[test]
    fn other_paths_stay_other() {
        for path in [
            "/oauth//token",
            "/oauth/token/",
            "/OAUTH/token",
            "/oauth/token;a=b",
            "/oauth%2Ftoken",
            "/oauth\\token",
            "/oauth/%",
            "/oauth/%7",
            "/oauth/%é",
        ] {
            assert_eq!(normalise_path(path), path, "{path}");
        }
    }
}
