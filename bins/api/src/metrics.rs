//! What the server counts, for Prometheus.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use chat_runtime::{
    metrics::{self, PREFIX},
    vitals::Vitals,
};
use poem::{
    IntoResponse, PathPattern, Response,
    http::{Method, StatusCode},
};
use poem_openapi::{
    ApiResponse, OpenApi, payload::Payload, registry::MetaSchemaRef, types::Type as _,
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
    },
    registry::Registry,
};

use crate::{
    error::Problem,
    group::Group,
    refusal::{Refusal, Scraping},
};

/// The route's label for requests that match no route.
const NO_ROUTE: &str = "none";

/// The upper bounds of the histogram's buckets, in seconds.
const DURATIONS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// What the server counts.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram, Durations>,
    in_progress: Gauge,
    connections: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: Arc<str>,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: Arc<str>,
}

/// Makes the histogram of a route.
#[derive(Clone)]
struct Durations;

impl MetricConstructor<Histogram> for Durations {
    fn new_metric(&self) -> Histogram {
        Histogram::new(DURATIONS)
    }
}

impl Metrics {
    /// Begins to count, beside what `registry` has already.
    #[must_use]
    pub fn new(mut registry: Registry) -> Self {
        let requests = Family::default();
        let durations = Family::new_with_constructor(Durations);
        let (in_progress, connections) = (Gauge::default(), Gauge::default());
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register(
            "http_request_duration_seconds",
            "Seconds from the head of a request to its answer",
            durations.clone(),
        );
        registry.register(
            "http_requests_in_progress",
            "Requests that are being answered",
            in_progress.clone(),
        );
        registry.register("http_connections", "Open connections", connections.clone());
        Self {
            registry,
            requests,
            durations,
            in_progress,
            connections,
        }
    }

    /// The number of open connections, for whoever accepts them.
    #[must_use]
    pub fn connections(&self) -> Gauge {
        self.connections.clone()
    }

    /// Notes that a request came.
    pub(crate) fn begin(&self, method: &Method) -> Serving<'_> {
        self.in_progress.inc();
        Serving {
            metrics: self,
            method: name(method),
            begun: Instant::now(),
        }
    }

    fn note(&self, method: &'static str, route: Arc<str>, status: StatusCode, took: Duration) {
        let labels = RouteLabels { method, route };
        let durations = self.durations.get_or_create(&labels);
        durations.observe(took.as_secs_f64());
        drop(durations);
        let labels = RequestLabels {
            method,
            route: labels.route,
            status: status.as_u16(),
        };
        self.requests.get_or_create(&labels).inc();
    }

    /// Encodes all metrics, with how `vitals` are now.
    async fn text(&self, vitals: &Vitals) -> Result<String, fmt::Error> {
        metrics::text(&self.registry, &gathered(vitals).await)
    }
}

/// Gathers what is measured at each scrape; what cannot be read is left out.
async fn gathered(vitals: &Vitals) -> Registry {
    let mut registry = Registry::with_prefix(PREFIX);
    let (signs, backlog, outbox) = tokio::join!(vitals.look(), vitals.backlog(), vitals.outbox());
    metrics::register_signs(&mut registry, &signs);
    if let Ok(backlog) = backlog {
        registry.register(
            "queue_entries",
            "Creations that wait to be stored",
            ConstGauge::new(backlog.entries),
        );
        registry.register(
            "queue_bytes",
            "Bytes of the creations that wait to be stored",
            ConstGauge::new(backlog.bytes),
        );
        if let Some(oldest) = backlog.oldest {
            registry.register(
                "queue_oldest_seconds",
                "Seconds that the oldest creation has waited to be stored",
                ConstGauge::new(oldest.as_secs_f64()),
            );
        }
    }
    if let Ok(outbox) = outbox {
        registry.register(
            "outbox_rows",
            "Outbox rows that wait to be indexed",
            ConstGauge::new(outbox.rows),
        );
    }
    registry
}

/// A method's label; unknown methods share one, so that clients cannot add labels without end.
fn name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// A request that is being answered.
pub(crate) struct Serving<'a> {
    metrics: &'a Metrics,
    method: &'static str,
    begun: Instant,
}

impl Serving<'_> {
    /// Notes how it was answered; `route` is absent where no route took it.
    pub(crate) fn end(self, route: Option<&PathPattern>, status: StatusCode) {
        let route = route.map_or_else(|| NO_ROUTE.into(), |route| Arc::clone(&route.0));
        let took = self.begun.elapsed();
        self.metrics.note(self.method, route, status, took);
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.metrics.in_progress.dec();
    }
}

/// Serves the metrics.
pub struct MetricsApi {
    metrics: Arc<Metrics>,
    vitals: Vitals,
}

impl MetricsApi {
    pub(crate) fn new(metrics: &Arc<Metrics>, vitals: Vitals) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            vitals,
        }
    }
}

/// Text in the format of `OpenMetrics`.
struct OpenMetrics(String);

impl Payload for OpenMetrics {
    const CONTENT_TYPE: &'static str = metrics::CONTENT_TYPE;

    fn schema_ref() -> MetaSchemaRef {
        String::schema_ref()
    }
}

impl IntoResponse for OpenMetrics {
    fn into_response(self) -> Response {
        self.0.with_content_type(Self::CONTENT_TYPE).into_response()
    }
}

#[derive(ApiResponse)]
enum Scraped {
    /// The metrics, in the text format of `OpenMetrics`, which Prometheus reads.
    #[oai(status = 200)]
    Scraped(OpenMetrics),
}

#[OpenApi(tag = "Group::Health")]
impl MetricsApi {
    /// Tells what the server counts, for Prometheus
    #[oai(path = "/metrics", method = "get", operation_id = "getMetrics")]
    async fn get(&self) -> Result<Scraped, Refusal<Scraping>> {
        let text = self.metrics.text(&self.vitals).await;
        let text = text.map_err(|_| Problem::internal())?;
        Ok(Scraped::Scraped(OpenMetrics(text)))
    }
}
