//! Whether the server lives, and whether what it stands on does.

use std::{future::Future, sync::Arc, time::Duration};

use chat_core::{
    PortError,
    ports::{Counter, Ports, Queue, Repository},
};
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};
use serde::Serialize;
use tokio::time::timeout;

use crate::{answer::Json, group::Group};

/// How long a dependency may take to give a sign of life.
const DEADLINE: Duration = Duration::from_secs(2);

/// Serves the state of the server.
pub struct HealthApi {
    repository: Arc<dyn Repository>,
    counter: Arc<dyn Counter>,
    queue: Arc<dyn Queue>,
}

impl HealthApi {
    /// Serves the state of these ports.
    #[must_use]
    pub fn new(ports: &Ports) -> Self {
        Self {
            repository: Arc::clone(&ports.repository),
            counter: Arc::clone(&ports.counter),
            queue: Arc::clone(&ports.queue),
        }
    }
}

/// That the server lives.
#[derive(Debug, Serialize, Object)]
struct Liveness {
    /// Always `live`.
    status: String,
}

/// Whether the server can do its work.
#[derive(Debug, Serialize, Object)]
struct Readiness {
    /// The whole.
    status: ReadinessStatus,
    /// What it stands on.
    dependencies: Dependencies,
}

/// The state of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
enum ReadinessStatus {
    /// Everything works.
    Ready,
    /// Everything works but search.
    Degraded,
    /// Something that every request needs is down.
    Down,
}

/// The state of each thing that the server stands on.
#[derive(Debug, Serialize, Object)]
struct Dependencies {
    /// What keeps everything.
    repository: Dependency,
    /// What numbers chats and messages.
    counter: Dependency,
    /// What carries creations to where they are stored.
    queue: Dependency,
}

/// The state of one thing that the server stands on.
#[derive(Debug, Serialize, Object)]
struct Dependency {
    /// Whether it works.
    status: DependencyStatus,
    /// What is wrong with it.
    #[oai(nullable)]
    detail: Option<String>,
}

/// Whether something works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
enum DependencyStatus {
    /// It works.
    Up,
    /// It does not.
    Down,
}

#[derive(ApiResponse)]
enum Live {
    /// The server lives.
    #[oai(status = 200)]
    Live(Json<Liveness>),
}

#[derive(ApiResponse)]
enum Ready {
    /// The server can do its work.
    #[oai(status = 200)]
    Ready(Json<Readiness>),
    /// The server cannot do its work.
    #[oai(status = 503)]
    Down(Json<Readiness>),
}

#[OpenApi(prefix_path = "/health", tag = "Group::Health")]
impl HealthApi {
    /// Tells that the server lives
    #[expect(clippy::unused_async, reason = "the macro awaits every operation")]
    #[oai(path = "/live", method = "get", operation_id = "getLiveness")]
    async fn live(&self) -> Live {
        Live::Live(Json(Liveness {
            status: "live".to_owned(),
        }))
    }

    /// Tells whether the server can do its work
    #[oai(path = "/ready", method = "get", operation_id = "getReadiness")]
    async fn ready(&self) -> Ready {
        let (repository, counter, queue) = tokio::join!(
            look(self.repository.check()),
            look(self.counter.check()),
            look(self.queue.check())
        );
        let dependencies = Dependencies {
            repository,
            counter,
            queue,
        };
        let Dependencies {
            repository,
            counter,
            queue,
        } = &dependencies;
        if [repository, counter, queue]
            .iter()
            .all(|one| one.status == DependencyStatus::Up)
        {
            Ready::Ready(Json(Readiness {
                status: ReadinessStatus::Ready,
                dependencies,
            }))
        } else {
            Ready::Down(Json(Readiness {
                status: ReadinessStatus::Down,
                dependencies,
            }))
        }
    }
}

/// Waits for a sign of life, for a while.
async fn look(check: impl Future<Output = Result<(), PortError>>) -> Dependency {
    let detail = match timeout(DEADLINE, check).await {
        Ok(Ok(())) => None,
        // Without the error's source, which is the driver's own.
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("no answer in time".to_owned()),
    };
    let status = if detail.is_none() {
        DependencyStatus::Up
    } else {
        DependencyStatus::Down
    };
    Dependency { status, detail }
}
