//! From a path and a method to an operation.

use std::{collections::HashMap, sync::Arc};

use chat_core::model::ApplicationToken;
use chat_runtime::vitals::Vitals;
use poem::{
    Endpoint, IntoResponse as _, PathPattern, Request, Response, Result, Route,
    endpoint::BoxEndpoint,
    http::{HeaderValue, Method, StatusCode, header::ALLOW},
};
use poem_openapi::OpenApi as _;

use crate::{
    Dependencies, document, error::Problem, health::HealthApi, metrics::MetricsApi,
    rate_limit::RateLimit, v1,
};

/// Every resource under its path.
pub(crate) fn routes(dependencies: Dependencies) -> Route {
    let Dependencies {
        services,
        ports,
        admin,
        rate_limit,
        metrics,
    } = dependencies;
    let limit = rate_limit.map(RateLimit::per_second).map(Arc::new);
    let vitals = Vitals::new(&ports);
    let mut table = HashMap::new();
    v1::api(&services, &admin).add_routes(&mut table);
    HealthApi::new(vitals.clone()).add_routes(&mut table);
    MetricsApi::new(&metrics, vitals).add_routes(&mut table);
    let (document, swagger_ui) = document::endpoints();
    table.insert("/docs".into(), reading(swagger_ui));
    table.insert("/openapi.json".into(), reading(document));
    let mut names = names();
    table
        .into_iter()
        .fold(Route::new(), |route, (path, methods)| {
            let name = names.remove(&path).unwrap_or_else(|| path.clone());
            let limit = limit
                .clone()
                .filter(|_| name.starts_with(v1::OF_APPLICATION));
            route.at(path, Resource::new(name.into(), methods, limit))
        })
}

/// Maps the table's paths, in which parameters have lost their names, to those of the document.
fn names() -> HashMap<String, String> {
    let paths = document::paths();
    paths
        .into_iter()
        .map(|path| (unnamed(&path), path))
        .collect()
}

/// What the table calls the first parameter of a path.
const FIRST_PARAMETER: &str = "param0";

/// A path of the document as the table has it.
fn unnamed(path: &str) -> String {
    let mut numbers = 0..;
    let part = |part: &str| {
        if part.starts_with('{') {
            format!(":param{}", numbers.next().unwrap_or_default())
        } else {
            part.to_owned()
        }
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// The methods of something that can be read.
fn reading(endpoint: BoxEndpoint<'static>) -> HashMap<Method, BoxEndpoint<'static>> {
    HashMap::from([(Method::GET, endpoint)])
}

/// Everything that can be done under one path.
struct Resource {
    name: PathPattern,
    methods: Vec<(Method, BoxEndpoint<'static>)>,
    allow: HeaderValue,
    /// How often each application may ask, where the path belongs to one.
    limit: Option<Arc<RateLimit>>,
}

impl Resource {
    fn new(
        name: Arc<str>,
        methods: HashMap<Method, BoxEndpoint<'static>>,
        limit: Option<Arc<RateLimit>>,
    ) -> Self {
        let mut methods: Vec<_> = methods.into_iter().collect();
        methods.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
        let mut names: Vec<&str> = methods.iter().map(|(method, _)| method.as_str()).collect();
        if names.contains(&"GET") {
            names.push("HEAD");
        }
        names.push("OPTIONS");
        let allow =
            HeaderValue::try_from(names.join(", ")).expect("method names are valid in a header");
        Self {
            name: PathPattern(name),
            methods,
            allow,
            limit,
        }
    }

    /// Lets a request pass unless its application asks too often.
    fn admit(&self, request: &Request) -> Result<(), Problem> {
        let Some(limit) = &self.limit else {
            return Ok(());
        };
        let token = request.raw_path_param(FIRST_PARAMETER);
        match token.and_then(ApplicationToken::parse) {
            Some(token) => limit.admit(&token),
            None => Ok(()),
        }
    }

    fn operation(&self, method: &Method) -> Option<&BoxEndpoint<'static>> {
        self.methods
            .iter()
            .find(|(own, _)| own == method)
            .map(|(_, operation)| operation)
    }

    async fn answer(&self, request: Request) -> Result<Response> {
        self.admit(&request)?;
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

impl Endpoint for Resource {
    type Output = Response;

    /// Answers, and attaches the route for the log and the metrics.
    async fn call(&self, request: Request) -> Result<Response> {
        let mut answer = self.answer(request).await;
        match &mut answer {
            Ok(response) => response.set_data(self.name.clone()),
            Err(error) => error.set_data(self.name.clone()),
        }
        answer
    }
}
