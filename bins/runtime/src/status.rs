//! The status of a program that serves no API, over HTTP: that it lives, the health of what it depends
//! on, and its metrics.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, Result};
use poem::{
    Body, Endpoint, EndpointExt as _, Response, Route,
    endpoint::make,
    get,
    http::{StatusCode, header::CONTENT_TYPE},
};
use prometheus_client::{metrics::gauge::Gauge, registry::Registry};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use crate::{
    metrics,
    running::Running,
    server::{self, Room},
    vitals::{Signs, State, Vitals},
};

/// How many connections are open at most; further ones wait.
const MOST_CONNECTIONS: usize = 64;

/// A server of `/metrics`, `/health/live` and `/health/ready`.
pub(crate) struct StatusServer {
    listener: TcpListener,
}

impl StatusServer {
    pub(crate) async fn bind(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!(
                "listening on {address}, which CHAT_METRICS_LISTEN sets; each process needs its own"
            )
        })?;
        let address = listener.local_addr();
        let address = address.context("reading the listener's address")?;
        tracing::info!("the metrics are at http://{address}/metrics");
        Ok(Self { listener })
    }

    /// Serves until the program is asked to end.
    pub(crate) async fn serve(self, registry: Registry, running: &Running) {
        let endpoint = Arc::new(status(registry, Vitals::new(&running.wiring.ports)));
        let room = Room::new(MOST_CONNECTIONS, Gauge::default());
        server::serve(self.listener, endpoint, room, &running.shutdown).await;
    }
}

/// Makes the endpoint that answers health checks and scrapes.
fn status(registry: Registry, vitals: Vitals) -> impl Endpoint<Output = Response> + 'static {
    let registry = Arc::new(registry);
    let looking = vitals.clone();
    let ready = make(move |_| {
        let vitals = looking.clone();
        async move { readiness(&vitals.look().await) }
    });
    let scraped = make(move |_| {
        let (registry, vitals) = (Arc::clone(&registry), vitals.clone());
        async move { scrape(&registry, &vitals.look().await) }
    });
    let live = make(async |_| json_response(StatusCode::OK, &json!({"status": "live"})));
    Route::new()
        .at("/health/live", get(live))
        .at("/health/ready", get(ready))
        .at("/metrics", get(scraped))
        .map_to_response()
}

/// Answers readiness in the same form as `api` does.
fn readiness(signs: &Signs) -> Response {
    let state = signs.state();
    let status = match state {
        State::Ready | State::Degraded => StatusCode::OK,
        State::Down => StatusCode::SERVICE_UNAVAILABLE,
    };
    let dependencies: Map<String, Value> = signs
        .named()
        .into_iter()
        .map(|(name, sign)| {
            let told = match sign {
                Ok(()) => json!({"status": "up", "detail": null}),
                Err(detail) => json!({"status": "down", "detail": detail}),
            };
            (name.to_owned(), told)
        })
        .collect();
    let readiness = json!({"status": state.as_str(), "dependencies": dependencies});
    json_response(status, &readiness)
}

fn scrape(counted: &Registry, signs: &Signs) -> Response {
    let mut gathered = Registry::with_prefix(metrics::PREFIX);
    metrics::register_signs(&mut gathered, signs);
    match metrics::text(counted, &gathered) {
        Ok(text) => response(StatusCode::OK, metrics::CONTENT_TYPE, text),
        Err(error) => {
            tracing::error!("the metrics cannot be written: {error}");
            response(
                StatusCode::INTERNAL_SERVER_ERROR,
                "text/plain",
                String::new(),
            )
        }
    }
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    response(status, "application/json", body.to_string())
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, content_type)
        .body(Body::from(body))
}

#[cfg(test)]
mod tests {
    use chat_core::{
        PortError, PortErrorKind,
        memory::Memory,
        ports::{MockCounter, MockQueue, Ports},
    };
    use poem::{Request, http::Method};

    use super::*;
    use crate::counts::Storing;

    fn ports() -> Ports {
        Memory::new().ports()
    }

    async fn ask(ports: &Ports, path: &str) -> (u16, String) {
        let mut registry = metrics::registry();
        Storing::register(&mut registry);
        let endpoint = status(registry, Vitals::new(ports));
        let request = Request::builder().method(Method::GET).uri_str(path);
        let response = endpoint.get_response(request.finish()).await;
        let status = response.status().as_u16();
        (status, response.into_body().into_string().await.unwrap())
    }

    fn away() -> PortError {
        PortError::new(PortErrorKind::Unavailable, "test", "answer a check")
    }

    #[tokio::test]
    async fn it_is_ready_while_what_it_needs_works() {
        let (status, body) = ask(&ports(), "/health/ready").await;
        assert_eq!(status, 200, "{body}");
        let mut counter = MockCounter::new();
        counter.expect_check().returning(|| Err(away()));
        counter.expect_leaves_publishing().return_const(false);
        let ports = Ports {
            counter: Arc::new(counter),
            ..ports()
        };
        let (status, body) = ask(&ports, "/health/ready").await;
        assert_eq!(status, 503, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["status"], "down");
        assert_eq!(body["dependencies"]["counter"]["status"], "down");
        assert_eq!(body["dependencies"]["queue"]["status"], "up");
        assert_eq!(ask(&ports, "/health/live").await.0, 200);
        assert_eq!(ask(&ports, "/metrics").await.0, 200);
        assert_eq!(ask(&ports, "/elsewhere").await.0, 404);
    }

    #[tokio::test]
    async fn many_who_ask_at_once_cost_one_look() {
        let mut counter = MockCounter::new();
        counter.expect_check().times(1).returning(|| Ok(()));
        counter.expect_leaves_publishing().return_const(false);
        let ports = Ports {
            counter: Arc::new(counter),
            ..ports()
        };
        let vitals = Vitals::new(&ports);
        let looks = (0..50).map(|_| vitals.look());
        for signs in futures_util::future::join_all(looks).await {
            assert!(signs.counter.is_ok());
        }
    }

    #[tokio::test]
    async fn a_queue_is_needed_where_it_is_the_counters_own() {
        for (is_own, wanted) in [(true, (503, "down")), (false, (200, "degraded"))] {
            let mut counter = MockCounter::new();
            counter.expect_check().returning(|| Ok(()));
            counter.expect_leaves_publishing().return_const(!is_own);
            let mut queue = MockQueue::new();
            queue.expect_check().returning(|| Err(away()));
            let ports = Ports {
                counter: Arc::new(counter),
                queue: Arc::new(queue),
                ..ports()
            };
            let (status, body) = ask(&ports, "/health/ready").await;
            let body: Value = serde_json::from_str(&body).unwrap();
            let told = body["status"].as_str().unwrap();
            assert_eq!((status, told), wanted, "{body}");
            assert_eq!(body["dependencies"]["queue"]["status"], "down");
        }
    }

    #[tokio::test]
    async fn only_what_the_process_does_is_counted() {
        let (_, text) = ask(&ports(), "/metrics").await;
        for line in [
            "chat_stored_total 0",
            "chat_dependency_up{dependency=\"queue\"} 1",
            "# EOF",
        ] {
            assert!(
                text.lines().any(|told| told == line),
                "{line} is not in {text}"
            );
        }
        assert!(!text.contains("chat_rescued"), "{text}");
    }
}
