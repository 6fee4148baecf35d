//! An HTTP/1.1 request (RFC 9112) in a file, as the filter would be told of it.

use std::fmt;

use certbound::headers::Headers;

/// Header fields with the pseudo-header fields that Envoy makes of request line and `Host`, and the body.
#[derive(Debug)]
pub(super) struct RawRequest {
    pub(super) headers: Headers,
    pub(super) body: Vec<u8>,
}

/// Reads request line, header fields, an empty line and the body. Lines may end without carriage return. A body without
/// `Content-Length` is the rest of the file but for one line end, which editors put there.
pub(super) fn parse(bytes: &[u8]) -> Result<RawRequest, InvalidRequest> {
    let mut rest = bytes;
    let request_line = str::from_utf8(line(&mut rest)).map_err(|_| InvalidRequest::RequestLine)?;
    let mut parts = request_line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(InvalidRequest::RequestLine);
    };
    if !is_token(method.as_bytes()) || target.is_empty() || !version.starts_with("HTTP/") {
        return Err(InvalidRequest::RequestLine);
    }
    let mut fields = Vec::new();
    let mut number: usize = 2;
    while !rest.is_empty() {
        let line = line(&mut rest);
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = colon
            .and_then(|colon| line.split_at_checked(colon))
            .filter(|(name, _)| is_token(name))
            .ok_or(InvalidRequest::Field { line: number })?;
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii();
        fields.push((name, value.to_vec()));
        number = number.saturating_add(1);
    }

    // Recipients differ in which of several they take.
    for name in ["host", "content-length"] {
        if fields.iter().filter(|(field, _)| field == name).count() > 1 {
            return Err(InvalidRequest::Repeated { name });
        }
    }
    let value_of =
        |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone());
    if value_of("transfer-encoding").is_some() {
        return Err(InvalidRequest::TransferEncoding);
    }
    let body = match value_of("content-length") {
        None => {
            rest.strip_suffix(b"\n").map_or(rest, |rest| rest.strip_suffix(b"\r").unwrap_or(rest))
        }
        Some(length) => {
            let length = str::from_utf8(&length).ok().and_then(|length| length.parse().ok());
            let (body, after) = length
                .and_then(|length| rest.split_at_checked(length))
                .ok_or(InvalidRequest::ContentLength)?;
            if !after.trim_ascii().is_empty() {
                return Err(InvalidRequest::ContentLength);
            }
            body
        }
    };
    // An absolute target (RFC 9112 §3.2.2) names the authority as well, and prevails.
    let absolute = target.split_once("://").filter(|(scheme, _)| is_token(scheme.as_bytes()));
    let (authority, target) = match absolute {
        None => (value_of("host").unwrap_or_default(), target.to_owned()),
        Some((_, rest)) => {
            let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            let slash = if target.starts_with('/') { "" } else { "/" };
            (authority.as_bytes().to_vec(), format!("{slash}{target}"))
        }
    };
    fields.retain(|(name, _)| name != "host");
    let pseudo = [
        (":method", method.as_bytes().to_vec()),
        (":path", target.into_bytes()),
        (":authority", authority),
    ];
    let pseudo = pseudo.map(|(name, value)| (name.to_owned(), value));
    Ok(RawRequest {
        headers: Headers(pseudo.into_iter().chain(fields).collect()),
        body: body.to_vec(),
    })
}

/// Takes the first line off.
fn line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (line, after) = rest.split_at_checked(end).unwrap_or_default();
    *rest = after.strip_prefix(b"\n").unwrap_or_default();
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn is_token(bytes: &[u8]) -> bool {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(is_token)
}

/// Why a file is no request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum InvalidRequest {
    ContentLength,
    Field { line: usize },
    Repeated { name: &'static str },
    RequestLine,
    TransferEncoding,
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContentLength => f.write_str(
                "Content-Length is not the length of the body: correct it or leave it out",
            ),
            Self::Field { line } => {
                write!(f, "line {line} is not a header field, like `Host: as.example.com`")
            }
            Self::Repeated { name } => write!(f, "`{name}` is there twice"),
            Self::RequestLine => {
                f.write_str("the first line is not a request line, like `POST /token HTTP/1.1`")
            }
            Self::TransferEncoding => f.write_str(
                "the request has a Transfer-Encoding: leave it out and write the body as it is",
            ),
        }
    }
}

impl std::error::Error for InvalidRequest {}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> (Vec<(String, String)>, String) {
        let request = parse(text.as_bytes()).unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let fields = request.headers.0.into_iter().map(|(name, value)| (name, text(value)));
        (fields.collect(), text(request.body))
    }

    #[test]
    fn requests_with_either_line_end_are_read() {
        let expected = [
            (":method", "POST"),
            (":path", "/token?a"),
            (":authority", "as.example.com"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("x-empty", ""),
        ];
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let text = "POST /token?a HTTP/1.1\nHost: as.example.com\n\
             Content-Type:application/x-www-form-urlencoded\nX-Empty: \n\nclient_id=a\n";
        assert_eq!(fields(text), (expected.clone(), "client_id=a".to_owned()));
        assert_eq!(fields(&text.replace('\n', "\r\n")), (expected, "client_id=a".to_owned()));
    }

    #[test]
    fn the_length_decides_where_the_body_ends() {
        let request = |length: &str| format!("POST / HTTP/1.1\nContent-Length: {length}\n\na=1\n");
        assert_eq!(fields(&request("3")).1, "a=1");
        assert_eq!(fields(&request("4")).1, "a=1\n");
        for length in ["2", "5", "x", "-1"] {
            let error = parse(request(length).as_bytes()).unwrap_err();
            assert_eq!(error, InvalidRequest::ContentLength, "{length}");
        }
    }

    #[test]
    fn absolute_targets_name_the_authority() {
        let (fields, _) = fields("GET https://as.example.com?x HTTP/1.1\nHost: other\n\n");
        assert_eq!(fields[1].1, "/?x");
        assert_eq!(fields[2].1, "as.example.com");
    }

    #[test]
    fn anything_else_is_no_request() {
        for (text, error) in [
            ("", InvalidRequest::RequestLine),
            ("client_id=a", InvalidRequest::RequestLine),
            ("POST /token\n\n", InvalidRequest::RequestLine),
            ("POST /a b HTTP/1.1\n\n", InvalidRequest::RequestLine),
            ("GET / HTTP/1.1\nHost\n\n", InvalidRequest::Field { line: 2 }),
            ("GET / HTTP/1.1\nA: b\n folded: x\n\n", InvalidRequest::Field { line: 3 }),
            ("GET / HTTP/1.1\nHost: a\nhost: a\n\n", InvalidRequest::Repeated { name: "host" }),
            (
                "GET / HTTP/1.1\nContent-Length: 0\nContent-Length: 0\n\n",
                InvalidRequest::Repeated { name: "content-length" },
            ),
            ("GET / HTTP/1.1\nTransfer-Encoding: chunked\n\n", InvalidRequest::TransferEncoding),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err(), error, "{text}");
        }
    }
}
