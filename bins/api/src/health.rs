//! Liveness and readiness of the server.

use chat_runtime::vitals::{Signs, State, Vitals};
use poem_openapi::{ApiResponse, Enum, Object, OpenApi, types::Example};
use serde::Serialize;

use crate::{answer::Json, group::Group, nullable::Nullable};

/// Serves the state of the server.
pub struct HealthApi {
    vitals: Vitals,
}

impl HealthApi {
    pub(crate) fn new(vitals: Vitals) -> Self {
        Self { vitals }
    }
}

/// That the server is alive.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
struct Liveness {
    /// Always `live`.
    status: String,
}

impl Example for Liveness {
    fn example() -> Self {
        Self {
            status: "live".to_owned(),
        }
    }
}

/// Whether the server can do its work.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
struct Readiness {
    /// The whole.
    status: ReadinessStatus,
    /// What it depends on.
    dependencies: Dependencies,
}

/// The state of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
enum ReadinessStatus {
    /// Everything works.
    Ready,
    /// Everything works but search, or but RabbitMQ where that carries the work: `dependencies` tells.
    Degraded,
    /// Something that every request needs is down.
    Down,
}

/// The state of each service that the server depends on.
#[derive(Debug, Serialize, Object)]
struct Dependencies {
    /// What keeps everything.
    repository: Dependency,
    /// What numbers chats and messages.
    counter: Dependency,
    /// What carries creations to where they are stored.
    queue: Dependency,
    /// What finds messages.
    search: Dependency,
}

/// The state of one service that the server depends on.
#[derive(Debug, Serialize, Object)]
struct Dependency {
    /// Whether it works.
    status: DependencyStatus,
    /// What is wrong with it.
    detail: Nullable<String>,
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

impl From<Result<(), String>> for Dependency {
    fn from(sign: Result<(), String>) -> Self {
        let (status, detail) = match sign {
            Ok(()) => (DependencyStatus::Up, None),
            Err(detail) => (DependencyStatus::Down, Some(detail)),
        };
        Self {
            status,
            detail: detail.into(),
        }
    }
}

impl From<State> for ReadinessStatus {
    fn from(state: State) -> Self {
        match state {
            State::Ready => Self::Ready,
            State::Degraded => Self::Degraded,
            State::Down => Self::Down,
        }
    }
}

impl From<Signs> for Readiness {
    fn from(signs: Signs) -> Self {
        Self {
            status: signs.state().into(),
            dependencies: Dependencies {
                repository: signs.repository.into(),
                counter: signs.counter.into(),
                queue: signs.queue.into(),
                search: signs.search.into(),
            },
        }
    }
}

impl Example for Readiness {
    fn example() -> Self {
        Self::from(Signs {
            repository: Ok(()),
            counter: Ok(()),
            queue: Ok(()),
            queue_may_be_away: false,
            search: Err("no answer in time".to_owned()),
        })
    }
}

#[derive(ApiResponse)]
enum Live {
    /// The server is alive.
    #[oai(status = 200)]
    Live(Json<Liveness>),
}

#[derive(ApiResponse)]
enum Ready {
    /// The server can do its work; or it is degraded: without search, or storing later what RabbitMQ cannot carry now.
    #[oai(status = 200)]
    Ready(Json<Readiness>),
    /// The server cannot do its work.
    #[oai(status = 503)]
    Down(Json<Readiness>),
}

#[OpenApi(prefix_path = "/health", tag = "Group::Health")]
impl HealthApi {
    /// Tells that the server is alive
    #[expect(clippy::unused_async, reason = "the macro awaits every operation")]
    #[oai(path = "/live", method = "get", operation_id = "getLiveness")]
    async fn live(&self) -> Live {
        Live::Live(Json(Liveness::example()))
    }

    /// Tells whether the server can do its work
    #[oai(path = "/ready", method = "get", operation_id = "getReadiness")]
    async fn ready(&self) -> Ready {
        let readiness = Readiness::from(self.vitals.look().await);
        if readiness.status == ReadinessStatus::Down {
            Ready::Down(Json(readiness))
        } else {
            Ready::Ready(Json(readiness))
        }
    }
}
