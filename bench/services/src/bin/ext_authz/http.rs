//! Over HTTP: Envoy sends the client's request, and takes the header fields of a 200.

use std::{convert::Infallible, error::Error, rc::Rc};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, PRAGMA},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::registry::{REFUSAL, Registry};

pub(crate) async fn serve(
    listener: TcpListener,
    registry: Rc<Registry>,
) -> Result<(), Box<dyn Error>> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let registry = Rc::clone(&registry);
        let service = service_fn(move |request| check(Rc::clone(&registry), request));
        tokio::task::spawn_local(
            http1::Builder::new().serve_connection(TokioIo::new(stream), service),
        );
    }
}

async fn check(
    registry: Rc<Registry>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let form = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let field = head.headers.get("x-forwarded-client-cert").and_then(|value| value.to_str().ok());
    let certificate = field.and_then(certificate).unwrap_or_default();
    Ok(registry.authenticate(&form, certificate).map_or_else(refusal, |fields| {
        let mut response = Response::default();
        for (name, value) in fields {
            if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value)) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        response
    }))
}

/// The value of `Cert` in the one element that Envoy writes.
fn certificate(forwarded: &str) -> Option<&str> {
    let pairs = &mut forwarded.split(';');
    pairs.find_map(|pair| pair.strip_prefix("Cert="))?.strip_prefix('"')?.strip_suffix('"')
}

fn refusal() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(REFUSAL.as_bytes())));
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}
