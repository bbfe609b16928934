//! The OpenAPI document, and the Swagger UI that shows it.

use bytes::Bytes;
use poem::{
    Body, EndpointExt as _, IntoResponse as _, Response,
    endpoint::{BoxEndpoint, make_sync},
    http::{HeaderValue, header::CONTENT_TYPE},
};
use poem_openapi::{
    ExtraHeader, LicenseObject, OpenApi, OpenApiService, ServerObject,
    registry::{MetaApi, Registry},
};
use serde_json::{Map, Value, json};

use crate::{group::Group, health::HealthApi, metrics::MetricsApi, refusal, v1};

const DESCRIPTION: &str = "\
Applications own chats, chats own messages. Chats and messages are numbered from 1 within their owner, \
without gaps; creating one answers its number at once, and from then on it is kept and can be read.\n\n\
Every answer carries the header `X-Request-Id`, yours (1 to 128 visible ASCII characters) or a new one. \
Every error is `application/problem+json` with a stable `code`. Lists are read page by page: follow \
`next` until it is null; a page of large texts is shorter than its limit.";

/// Where the licence can be read.
const LICENSE: &str = "https://opensource.org/license/mit";

/// The APIs that the document describes, without their routes.
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
        .license(LicenseObject::new(env!("CARGO_PKG_LICENSE")).url(LICENSE))
        .server(ServerObject::new("/").description("This server."))
        .extra_response_header::<String, _>(request_id)
}

/// The paths that the document describes.
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

/// Adds what poem-openapi cannot express.
fn complete(document: &mut Value) {
    // Requests with other fields are refused.
    for name in v1::forms() {
        document["components"]["schemas"][&*name]["additionalProperties"] = false.into();
    }
    // An operation that asks for no admin key needs no credentials but the token in its path.
    let paths = document["paths"].as_object_mut();
    let operations = paths
        .into_iter()
        .flatten()
        .filter_map(|(_, path)| path.as_object_mut());
    let problems = refusal::examples();
    for (_, operation) in operations.flatten() {
        if operation.get("security").is_none() {
            operation["security"] = Value::Array(Vec::new());
        }
        let responses = operation["responses"].as_object_mut();
        for (_, response) in responses.into_iter().flatten() {
            illustrate(response, &problems);
        }
    }
    document["components"]["examples"] = problems.into();
    sort_groups(document);
    sharpen(document);
}

/// Shows, where a response is a problem, those problems that its description names.
fn illustrate(response: &mut Value, problems: &Map<String, Value>) {
    let description = response["description"].as_str().unwrap_or_default();
    let named: Map<String, Value> = problems
        .keys()
        .filter(|code| description.contains(&format!("`{code}`:")))
        .map(|code| {
            let example = format!("#/components/examples/{code}");
            (code.clone(), json!({ "$ref": example }))
        })
        .collect();
    if let Some(content) = response.pointer_mut("/content/application~1problem+json") {
        content["examples"] = named.into();
    }
}

/// Puts the groups into the order in which they are read.
fn sort_groups(document: &mut Value) {
    let place = |group: &Value| {
        let name = group["name"].as_str();
        Group::ORDER.iter().position(|known| Some(*known) == name)
    };
    if let Some(groups) = document["tags"].as_array_mut() {
        groups.sort_by_key(place);
    }
}

/// Adjusts each schema in `value` to what linters and generators of clients accept.
fn sharpen(value: &mut Value) {
    match value {
        Value::Object(schema) => {
            // Keep the reference alone: the schema around it repeats the description beside it.
            if let Some(Value::Array(parts)) = schema.get_mut("allOf") {
                parts.retain(|part| part.get("$ref").is_some());
            }
            // The bounds of poem-openapi are floating-point numbers, which cannot hold this one exactly.
            let is_bounded = schema.contains_key("minimum") && !schema.contains_key("maximum");
            if is_bounded
                && schema
                    .get("format")
                    .is_some_and(|format| format == "uint64")
            {
                schema.insert("maximum".to_owned(), u64::MAX.into());
            }
            schema.values_mut().for_each(sharpen);
        }
        Value::Array(values) => values.iter_mut().for_each(sharpen),
        _ => {}
    }
}

/// Serves the document, and the Swagger UI, which loads nothing from elsewhere.
pub(crate) fn endpoints() -> (BoxEndpoint<'static>, BoxEndpoint<'static>) {
    let json = json();
    let service = service();
    let page = service.swagger_ui_html().replace(&service.spec(), &json);
    (
        constant(json, "application/json"),
        constant(page, "text/html; charset=utf-8"),
    )
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
