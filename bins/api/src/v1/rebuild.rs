//! The rebuild of the search index over HTTP, for operators.

use std::sync::Arc;

use chat_core::{
    model::{JobProgress, JobState},
    service::{Rebuilder, ServiceError, Services},
};
use chat_runtime::settings::Admin;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi, types::Example};
use serde::Serialize;

use super::example_moment;
use crate::{
    admin::Credentials,
    answer::{Json, Moment},
    error::Problem,
    group::Group,
    nullable::Nullable,
    refusal::{AdminReading, Refusal},
};

/// Serves the rebuild of the search index.
pub struct RebuildApi {
    rebuilder: Arc<Rebuilder>,
    admin: Admin,
}

impl RebuildApi {
    pub(super) fn new(services: &Services, admin: Admin) -> Self {
        Self {
            rebuilder: Arc::clone(&services.rebuilder),
            admin,
        }
    }
}

/// The progress of the search index's rebuild.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "Rebuild", example)]
struct RebuildView {
    /// Whether it runs, and how the last one ended.
    state: RebuildState,
    /// How many messages are indexed.
    done: u64,
    /// How many messages there are.
    total: u64,
    /// When it began.
    started_at: Nullable<Moment>,
    /// When it ended.
    finished_at: Nullable<Moment>,
    /// What it is doing, or what went wrong.
    detail: Nullable<String>,
}

/// Whether a rebuild runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
enum RebuildState {
    /// None was asked for so far.
    Idle,
    /// It goes on.
    Running,
    /// It came to its end.
    Done,
    /// It was given up.
    Failed,
}

impl Example for RebuildView {
    fn example() -> Self {
        Self {
            state: RebuildState::Running,
            done: 120_000,
            total: 196_123,
            started_at: Some(example_moment()).into(),
            finished_at: None.into(),
            detail: None.into(),
        }
    }
}

impl From<JobProgress> for RebuildView {
    fn from(progress: JobProgress) -> Self {
        let state = match progress.state {
            JobState::Running => RebuildState::Running,
            JobState::Done => RebuildState::Done,
            JobState::Failed => RebuildState::Failed,
        };
        Self {
            state,
            done: progress.done,
            total: progress.total,
            started_at: Some(progress.started_at.into()).into(),
            finished_at: progress.finished_at.map(Moment::from).into(),
            detail: progress.detail.into(),
        }
    }
}

impl From<Option<JobProgress>> for RebuildView {
    fn from(progress: Option<JobProgress>) -> Self {
        progress.map_or_else(Self::idle, Self::from)
    }
}

impl RebuildView {
    fn idle() -> Self {
        Self {
            state: RebuildState::Idle,
            done: 0,
            total: 0,
            started_at: None.into(),
            finished_at: None.into(),
            detail: None.into(),
        }
    }
}

#[derive(ApiResponse)]
enum Begun {
    /// The rebuild that runs now, whoever asked for it.
    #[oai(status = 202)]
    Begun(Json<RebuildView>),
}

#[derive(ApiResponse)]
enum Progress {
    /// How far it is.
    #[oai(status = 200)]
    Progress(Json<RebuildView>),
}

#[OpenApi(prefix_path = "/api/v1", tag = "Group::Admin")]
impl RebuildApi {
    /// Rebuilds the search index from what is stored (for operators)
    ///
    /// Search goes on meanwhile. While one rebuild runs, asking again tells how far that one is.
    #[oai(
        path = "/admin/search/rebuild",
        method = "post",
        operation_id = "rebuildSearch"
    )]
    #[tracing::instrument(name = "api.v1.rebuild.begin", level = "debug", skip_all)]
    async fn begin(&self, credentials: Credentials) -> Result<Begun, Refusal<AdminReading>> {
        credentials.admit(&self.admin)?;
        let asked = self.rebuilder.request().await.map_err(ServiceError::from);
        let progress = asked.map_err(|error| Problem::from(error).of_rebuild())?;
        Ok(Begun::Begun(Json(progress.into())))
    }

    /// Tells the progress of the search index's rebuild (for operators)
    #[oai(
        path = "/admin/search/rebuild",
        method = "get",
        operation_id = "getRebuild"
    )]
    #[tracing::instrument(name = "api.v1.rebuild.get", level = "debug", skip_all)]
    async fn get(&self, credentials: Credentials) -> Result<Progress, Refusal<AdminReading>> {
        credentials.admit(&self.admin)?;
        let progress = self
            .rebuilder
            .progress()
            .await
            .map_err(ServiceError::from)?;
        Ok(Progress::Progress(Json(progress.into())))
    }
}
