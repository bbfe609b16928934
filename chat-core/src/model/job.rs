//! Jobs that one process of many has to do, and how far they have come.

use super::Timestamp;

/// A job that at most one process does at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum JobName {
    /// Filling a new generation of the search index.
    RebuildSearch,
    /// Comparing counts with rows.
    AuditCounts,
    /// Removing what was deleted long ago.
    Purge,
}

impl JobName {
    /// The job's stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RebuildSearch => "rebuild_search",
            Self::AuditCounts => "audit_counts",
            Self::Purge => "purge",
        }
    }
}

/// A job as the repository keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Who does it.
    pub holder: String,
    /// Until when nobody else may take it over.
    pub lease_until: Timestamp,
    /// How far it is.
    pub progress: JobProgress,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobProgress {
    /// Whether it runs, and how it ended.
    pub state: JobState,
    /// Units done.
    pub done: u64,
    /// Units in all, as far as known.
    pub total: u64,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What went wrong, or what it is doing now.
    pub detail: Option<String>,
}

impl JobProgress {
    /// The progress of a job that begins now.
    #[must_use]
    pub fn begun(started_at: Timestamp) -> Self {
        Self {
            state: JobState::Running,
            done: 0,
            total: 0,
            started_at,
            finished_at: None,
            detail: None,
        }
    }
}

/// Whether a job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// It is under way.
    Running,
    /// It was completed.
    Done,
    /// It was given up.
    Failed,
}

impl JobState {
    /// The state's stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// Reads a stable name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Running, Self::Done, Self::Failed]
            .into_iter()
            .find(|state| state.as_str() == name)
    }
}

/// A complete copy of the search index; a rebuild fills the next one while this one serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation {
    /// Its number, rising.
    pub number: u64,
    /// Whether searches read it.
    pub state: GenerationState,
}

/// Whether searches read a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GenerationState {
    /// It is being filled, and written like the serving one.
    Building,
    /// Searches read it.
    Serving,
}
