//! The yardstick: the same route and JSON by poem-openapi's own means, with nothing behind it.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context as _, Result};
use poem::{Route, Server, get, handler, listener::TcpListener};
use poem_openapi::{ApiResponse, Object, OpenApi, OpenApiService, param::Path, payload::Json};

/// The time that every answer carries: a clock would be I/O.
const EPOCH: &str = "1970-01-01T00:00:00.000000Z";

/// What is posted.
#[derive(Debug, Object)]
struct NewMessage {
    /// What is said.
    body: String,
    /// Who says it.
    sender: Option<String>,
}

/// What is answered.
#[derive(Debug, Object)]
struct MessageView {
    /// The number that a counter in memory gave.
    number: u64,
    /// Who says it.
    sender: Option<String>,
    /// What is said.
    body: String,
    /// No time of day.
    created_at: String,
    /// No time of day.
    updated_at: String,
}

#[derive(Debug, ApiResponse)]
enum Created {
    /// The message.
    #[oai(status = 201)]
    Message(Json<MessageView>),
}

/// Messages that are numbered and forgotten.
#[derive(Debug, Default)]
struct NoIoApi {
    last: AtomicU64,
}

#[OpenApi]
impl NoIoApi {
    /// Answers what was posted.
    #[expect(clippy::unused_async, reason = "the macro awaits every operation")]
    #[oai(path = "/applications/:token/chats/:number/messages", method = "post")]
    async fn create(
        &self,
        #[oai(name = "token")] _token: Path<String>,
        #[oai(name = "number")] _number: Path<u64>,
        message: Json<NewMessage>,
    ) -> Created {
        let Json(NewMessage { body, sender }) = message;
        Created::Message(Json(MessageView {
            number: self.last.fetch_add(1, Ordering::Relaxed) + 1,
            sender,
            body,
            created_at: EPOCH.to_owned(),
            updated_at: EPOCH.to_owned(),
        }))
    }
}

#[handler]
fn live() -> &'static str {
    "live"
}

/// Serves until it is killed.
///
/// # Errors
///
/// Fails when the address cannot be listened on.
pub(crate) async fn serve(listen: SocketAddr) -> Result<()> {
    let api = OpenApiService::new(NoIoApi::default(), "no I/O", env!("CARGO_PKG_VERSION"));
    let routes = Route::new()
        .nest("/api/v1", api)
        .at("/health/live", get(live));
    Server::new(TcpListener::bind(listen))
        .run(routes)
        .await
        .context("serving")
}
