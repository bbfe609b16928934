//! The OpenAPI document, and the Swagger UI that shows it.

use bytes::Bytes;
use poem::{
    Body, EndpointExt as _, IntoResponse as _, Response,
    endpoint::{BoxEndpoint, make_sync},
    http::{HeaderValue, header::CONTENT_TYPE},
};
use poem_openapi::{
    ExtraHeader, LicenseObject, OpenApi, OpenApiService,
    registry::{MetaApi, Registry},
};

use crate::{health::HealthApi, v1};

const DESCRIPTION: &str = "\
Applications own chats, chats own messages. Chats and messages are numbered from 1 within their owner, \
without gaps; creating one answers its number at once, and from then on it is kept and can be read.\n\n\
Every answer carries the header `X-Request-Id`, yours (1 to 128 visible ASCII characters) or a new one. \
Every error is `application/problem+json` with a stable `code`. Lists are read page by page: follow \
`next` until it is null; a page of large texts is shorter than its limit.";

/// What the document describes; it routes nothing.
struct Described;

impl OpenApi for Described {
    fn meta() -> Vec<MetaApi> {
        <(v1::Api, HealthApi)>::meta()
    }

    fn register(registry: &mut Registry) {
        <(v1::Api, HealthApi)>::register(registry);
    }

    fn add_routes(
        self,
        _: &mut std::collections::HashMap<
            String,
            std::collections::HashMap<poem::http::Method, BoxEndpoint<'static>>,
        >,
    ) {
    }
}

fn service() -> OpenApiService<Described, ()> {
    let request_id = ExtraHeader::new("X-Request-Id").description("The request's id.");
    OpenApiService::new(Described, "Chat", env!("CARGO_PKG_VERSION"))
        .description(DESCRIPTION)
        .license(LicenseObject::new(env!("CARGO_PKG_LICENSE")))
        .extra_response_header::<String, _>(request_id)
}

/// The document as JSON.
#[must_use]
pub fn json() -> String {
    service().spec()
}

/// Serves the document.
pub(crate) fn endpoint() -> BoxEndpoint<'static> {
    constant(json(), "application/json")
}

/// Serves the Swagger UI, which brings all that it needs with it.
pub(crate) fn swagger_ui() -> BoxEndpoint<'static> {
    constant(service().swagger_ui_html(), "text/html; charset=utf-8")
}

/// Always answers the same text.
fn constant(text: String, content_type: &'static str) -> BoxEndpoint<'static> {
    let text = Bytes::from(text);
    let answer = move |_| -> Response {
        let mut response = Body::from(text.clone()).into_response();
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        response
    };
    make_sync(answer).boxed()
}
