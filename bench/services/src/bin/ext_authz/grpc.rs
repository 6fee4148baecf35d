//! Over gRPC: Envoy sends what it knows of the client's request.

use std::error::Error;

use envoy_types::{
    ext_authz::v3::{
        CheckResponseExt, DeniedHttpResponseBuilder, OkHttpResponseBuilder,
        pb::{
            Authorization, AuthorizationServer, CheckRequest, CheckResponse, HeaderAppendAction,
            HttpStatusCode,
        },
    },
    pb::envoy::service::auth::v3::AttributeContext,
};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

use crate::registry::{REFUSAL, Registry};

pub(crate) async fn serve(listener: TcpListener, registry: Registry) -> Result<(), Box<dyn Error>> {
    // Here, because the setting of the server's own is ignored for connections that come in so.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .add_service(AuthorizationServer::new(Service(registry)))
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}

struct Service(Registry);

#[tonic::async_trait]
impl Authorization for Service {
    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let attributes = request.into_inner().attributes.unwrap_or_default();
        Ok(Response::new(self.answer(attributes).unwrap_or_else(refusal)))
    }
}

impl Service {
    fn answer(&self, attributes: AttributeContext) -> Option<CheckResponse> {
        let http = attributes.request?.http?;
        let certificate = attributes.source?.certificate;
        let fields = self.0.authenticate(http.body.as_bytes(), &certificate)?;
        let mut response = OkHttpResponseBuilder::new();
        for (name, value) in fields {
            let action = Some(HeaderAppendAction::OverwriteIfExistsOrAdd);
            response.add_header(name, value, action, false);
        }
        response.remove_header("client-cert-chain");
        let mut answer = CheckResponse::with_status(Status::ok(""));
        answer.set_http_response(response);
        Some(answer)
    }
}

fn refusal() -> CheckResponse {
    let mut response = DeniedHttpResponseBuilder::new();
    response.set_http_status(HttpStatusCode::Unauthorized);
    for (name, value) in [
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
        ("pragma", "no-cache"),
    ] {
        response.add_header(name, value, None, false);
    }
    response.set_body(REFUSAL);
    let mut answer = CheckResponse::with_status(Status::unauthenticated(""));
    answer.set_http_response(response);
    answer
}
