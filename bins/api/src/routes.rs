//! From a path and a method to an operation.

use std::collections::HashMap;

use poem::{
    Endpoint, IntoResponse as _, Request, Response, Result, Route,
    endpoint::BoxEndpoint,
    http::{HeaderValue, Method, StatusCode, header::ALLOW},
};
use poem_openapi::OpenApi as _;

use crate::{Dependencies, document, error::Problem, health::HealthApi, v1};

/// Every resource under its path.
pub(crate) fn routes(dependencies: Dependencies) -> Route {
    let Dependencies {
        services,
        ports,
        admin,
    } = dependencies;
    let mut table = HashMap::new();
    v1::api(&services, admin).add_routes(&mut table);
    HealthApi::new(&ports).add_routes(&mut table);
    table.insert("/docs".into(), reading(document::swagger_ui()));
    table.insert("/openapi.json".into(), reading(document::endpoint()));
    let resources = table
        .into_iter()
        .map(|(path, methods)| (path, Resource::new(methods)));
    resources.fold(Route::new(), |route, (path, resource)| {
        route.at(path, resource)
    })
}

/// The methods of something that can be read.
fn reading(endpoint: BoxEndpoint<'static>) -> HashMap<Method, BoxEndpoint<'static>> {
    HashMap::from([(Method::GET, endpoint)])
}

/// Everything that can be done under one path.
struct Resource {
    methods: Vec<(Method, BoxEndpoint<'static>)>,
    allow: HeaderValue,
}

impl Resource {
    fn new(methods: HashMap<Method, BoxEndpoint<'static>>) -> Self {
        let mut methods: Vec<_> = methods.into_iter().collect();
        methods.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
        let mut names: Vec<&str> = methods.iter().map(|(method, _)| method.as_str()).collect();
        if names.contains(&"GET") {
            names.push("HEAD");
        }
        names.push("OPTIONS");
        let allow =
            HeaderValue::try_from(names.join(", ")).expect("names of methods make a header");
        Self { methods, allow }
    }

    fn operation(&self, method: &Method) -> Option<&BoxEndpoint<'static>> {
        self.methods
            .iter()
            .find(|(own, _)| own == method)
            .map(|(_, operation)| operation)
    }
}

impl Endpoint for Resource {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        if let Some(operation) = self.operation(request.method()) {
            return operation.call(request).await;
        }
        match (request.method(), self.operation(&Method::GET)) {
            // The server leaves the body out of the answer, and keeps the headers that belong to it.
            (&Method::HEAD, Some(reading)) => reading.call(request).await,
            (&Method::OPTIONS, _) => {
                let mut response = StatusCode::NO_CONTENT.into_response();
                response.headers_mut().insert(ALLOW, self.allow.clone());
                Ok(response)
            }
            _ => Err(Problem::method_not_allowed(self.allow.clone()).into()),
        }
    }
}
