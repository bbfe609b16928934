//! The HTTP API of the chat backend: from requests to the services of `chat-core` and back.
//!
//! A request comes in by the runtime's [`server`](chat_runtime::server), passes the [`edge`] (its id, its
//! failures), finds its resource in [`routes`] (where an application that asks too often is refused), is parsed
//! and validated ([`path`], [`query`], [`cursor`], [`window`], [`body`], [`key`], [`admin`]), is served by a
//! handler of [`v1`], [`health`] or [`metrics`](mod@metrics), and becomes an [`answer`] or a problem
//! ([`error`], [`refusal`]).

pub mod admin;
pub mod answer;
pub mod body;
mod command;
pub mod cursor;
pub mod document;
pub mod edge;
pub mod error;
pub mod fields;
mod group;
pub mod health;
mod healthcheck;
pub mod key;
pub mod metrics;
pub mod nullable;
pub mod path;
pub mod query;
mod rate_limit;
pub mod refusal;
pub mod routes;
pub mod v1;
pub mod window;

use std::{num::NonZeroU32, sync::Arc};

use chat_core::{ports::Ports, service::Services};
use chat_runtime::settings::Admin;
pub use command::run;
use metrics::Metrics;
use poem::{Endpoint, Response};

/// What the API is built from.
pub struct Dependencies {
    /// The services that it exposes.
    pub services: Services,
    /// The ports, for health checks and for ids of requests.
    pub ports: Ports,
    /// Who may use the admin endpoints.
    pub admin: Admin,
    /// How many requests a second of one application are served; `None` for all.
    pub rate_limit: Option<NonZeroU32>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
}

/// Builds the whole API, ready to be called in a test or served by [`serve`](chat_runtime::server::serve).
#[must_use]
pub fn build(dependencies: Dependencies) -> impl Endpoint<Output = Response> + 'static {
    let tokens = Arc::clone(&dependencies.ports.tokens);
    let metrics = Arc::clone(&dependencies.metrics);
    edge::Edge::new(routes::routes(dependencies), tokens, metrics)
}
