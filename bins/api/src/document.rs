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
use serde_json::Value;

use crate::{health::HealthApi, metrics::MetricsApi, v1};

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
        <(v1::Api, HealthApi, MetricsApi)>::meta()
    }

    fn register(registry: &mut Registry) {
        <(v1::Api, HealthApi, MetricsApi)>::register(registry);
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

/// The paths that it describes.
pub(crate) fn paths() -> Vec<String> {
    let apis = Described::meta().into_iter();
    let paths = apis.flat_map(|api| api.paths).map(|path| path.path);
    paths.collect()
}

/// The document as JSON.
///
/// # Panics
///
/// Never: a document that was made of JSON can be written as JSON.
#[must_use]
pub fn json() -> String {
    let made = service().spec();
    let mut document = serde_json::from_str(&made).expect("the document is JSON");
    complete(&mut document);
    serde_json::to_string_pretty(&document).expect("a document of JSON can be written")
}

/// Says what the document's maker cannot say.
fn complete(document: &mut Value) {
    // No other field is taken.
    for name in v1::forms() {
        document["components"]["schemas"][&*name]["additionalProperties"] = false.into();
    }
    // The token in the path is all that is needed, where no key is asked for.
    let paths = document["paths"].as_object_mut();
    let operations = paths
        .into_iter()
        .flatten()
        .filter_map(|(_, path)| path.as_object_mut());
    for (_, operation) in operations.flatten() {
        if operation.get("security").is_none() {
            operation["security"] = Value::Array(Vec::new());
        }
    }
}

/// Serves the document.
pub(crate) fn endpoint() -> BoxEndpoint<'static> {
    constant(json(), "application/json")
}

/// Serves the Swagger UI, which brings all that it needs with it.
pub(crate) fn swagger_ui() -> BoxEndpoint<'static> {
    let service = service();
    let page = service.swagger_ui_html().replace(&service.spec(), &json());
    constant(page, "text/html; charset=utf-8")
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
