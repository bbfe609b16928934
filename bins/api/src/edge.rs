//! The outermost layer: every request has an id, and every failure becomes a problem.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use chat_core::{Chain, ports::Tokens};
use chat_runtime::panics;
use futures_util::FutureExt as _;
use poem::{
    Endpoint, PathPattern, Request, Response, Result,
    http::{HeaderName, HeaderValue, StatusCode, header::CACHE_CONTROL},
};
use tracing::field::display;

use crate::{
    error::{Code, Problem},
    metrics::Metrics,
};

/// The header that carries a request's id, both ways.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The most characters that a client's id may have.
const LONGEST_ID: usize = 128;

/// Turns whatever happens in the inner endpoint into an answer.
pub struct Edge<E> {
    inner: E,
    tokens: Arc<dyn Tokens>,
    metrics: Arc<Metrics>,
    refusals: Refusals,
}

impl<E> Edge<E> {
    /// Wraps the routes.
    pub fn new(inner: E, tokens: Arc<dyn Tokens>, metrics: Arc<Metrics>) -> Self {
        Self {
            inner,
            tokens,
            metrics,
            refusals: Refusals::default(),
        }
    }

    /// The id that the client sent, if it is valid, or a new one.
    fn request_id(&self, request: &Request) -> HeaderValue {
        let sent = request.headers().get(X_REQUEST_ID).filter(|id| {
            let length = 1..=LONGEST_ID;
            length.contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
        });
        match sent {
            Some(id) => id.clone(),
            None => HeaderValue::try_from(self.tokens.uid().to_string())
                .expect("hexadecimal digits are valid in a header"),
        }
    }
}

impl<E: Endpoint<Output = Response>> Endpoint for Edge<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let id = self.request_id(&request);
        let serving = self.metrics.begin(request.method());
        let served = AssertUnwindSafe(self.inner.call(request))
            .catch_unwind()
            .await;
        let mut response = match served {
            Ok(Ok(response)) => {
                serving.end(response.data(), response.status());
                response
            }
            Ok(Err(error)) => {
                let response = self.refusals.refuse(&error, text(&id));
                serving.end(error.data(), response.status());
                response
            }
            Err(panic) => {
                let panic = panics::text(&*panic);
                tracing::error!(request.id = text(&id), panic, "a request ended in a panic");
                let response = Problem::internal().answer(text(&id));
                serving.end(None, response.status());
                response
            }
        };
        let headers = response.headers_mut();
        headers.insert(X_REQUEST_ID, id);
        // URLs hold tokens, and what was not there may be created a moment later.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}

/// How long requests that could not be served are only counted before the next one is logged.
const SILENCE: Duration = Duration::from_secs(1);

/// Answers failures, and logs those that an operator should know of.
///
/// While a server is away thousands of requests fail in a second, all in the same way: one of them is logged,
/// with how many were left out since the one before.
#[derive(Default)]
struct Refusals {
    left_out: Mutex<(Option<Instant>, u64)>,
}

impl Refusals {
    /// Returns how many were left out if this one is to be logged, else leaves it out.
    fn pass(&self) -> Option<u64> {
        let mut left_out = self.left_out.lock().expect("no holder of the lock panics");
        let (logged, count) = &mut *left_out;
        if logged.is_some_and(|at| at.elapsed() < SILENCE) {
            *count += 1;
            return None;
        }
        *logged = Some(Instant::now());
        Some(std::mem::take(count))
    }

    fn refuse(&self, error: &poem::Error, id: &str) -> Response {
        let Some(problem) = error.downcast_ref::<Problem>() else {
            // The router has two errors of its own: no such route, and a path that is no text.
            return match error.status() {
                StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => Problem::not_found().answer(id),
                _ => {
                    tracing::error!(
                        request.id = id,
                        "a request ended in an unknown error: {error}"
                    );
                    Problem::internal().answer(id)
                }
            };
        };
        let route = error
            .data::<PathPattern>()
            .map(|pattern| &*pattern.0)
            .unwrap_or_default();
        let cause = std::error::Error::source(problem).map(|cause| display(Chain(cause)));
        match problem.code() {
            Code::Internal => {
                tracing::error!(request.id = id, route, error = cause, "a request failed");
            }
            Code::Unavailable | Code::Overloaded => {
                if let Some(left_out) = self.pass() {
                    tracing::warn!(
                        request.id = id,
                        route,
                        error = cause,
                        left_out,
                        "a request could not be served"
                    );
                }
            }
            Code::NotFound
            | Code::MethodNotAllowed
            | Code::Unauthorized
            | Code::Forbidden
            | Code::UnsupportedMediaType
            | Code::TooLarge
            | Code::MalformedJson
            | Code::Invalid
            | Code::IdempotencyKeyReused
            | Code::TooManyRequests => {}
        }
        problem.answer(id)
    }
}

fn text(id: &HeaderValue) -> &str {
    id.to_str().unwrap_or_default()
}
