//! The one task that writes, with group commits: all that waits is committed together.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use chat_core::{
    Chain, PortError, PortErrorKind,
    model::{Content, Submission},
    ports::{Numbering, Overload},
};
use futures_util::future::BoxFuture;
use sqlx::{Connection as _, SqliteConnection};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    commits::Commits,
    creating,
    error::{kind, port_error, writer_error},
};

/// How many requests may wait for the writer.
const WAITING: usize = 4_096;

/// How many KiB of creations may wait for the writer, so that large ones cannot fill the memory.
const WAITING_KIB: usize = 8 * 1_024;

/// How many requests are committed together at most.
pub(crate) const TOGETHER: usize = 512;

/// How long a request waits for its commit.
const PATIENCE: Duration = Duration::from_secs(10);

/// Hands requests to the writing task.
pub(crate) struct Writer {
    requests: mpsc::Sender<Request>,
    room: Arc<Semaphore>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// Something to be written.
enum Request {
    /// A creation; all that are waiting are numbered and inserted by the same few statements.
    Create(Create),
    /// Anything else, each in a savepoint of the shared transaction.
    Work(Work),
    /// Finish and stop.
    Close,
}

/// A creation and where its answer goes.
struct Create {
    submission: Submission,
    answer: oneshot::Sender<Result<Numbering, PortError>>,
    /// Its share of `WAITING_KIB`, released once it is answered.
    _room: OwnedSemaphorePermit,
}

/// Does its writes, and returns how to tell the caller once the commit has succeeded or failed.
type Work = Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Done> + Send>;

/// Work that was done, or failed and has to be undone.
struct Done {
    succeeded: bool,
    tell: Box<dyn FnOnce(Result<(), Failure>) + Send>,
}

/// Why a whole transaction failed.
#[derive(Clone)]
struct Failure {
    kind: PortErrorKind,
    what: String,
}

impl Failure {
    fn of(error: &sqlx::Error) -> Self {
        Self {
            kind: kind(error),
            what: error.to_string(),
        }
    }

    fn told(&self, operation: &'static str) -> PortError {
        writer_error(self.kind, operation, self.what.clone())
    }
}

impl Writer {
    pub(crate) fn start(connection: SqliteConnection, commits: Commits) -> Self {
        let (requests, waiting) = mpsc::channel(WAITING);
        let task = tokio::spawn(run(connection, commits, waiting));
        Self {
            requests,
            room: Arc::new(Semaphore::new(WAITING_KIB)),
            task: Mutex::new(Some(task)),
        }
    }

    /// Numbers and stores a submission.
    pub(crate) async fn create(&self, submission: Submission) -> Result<Numbering, PortError> {
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(kibibytes(&submission)) else {
            return Ok(FULL);
        };
        let (answer, told) = oneshot::channel();
        let create = Create {
            submission,
            answer,
            _room: room,
        };
        match self.requests.try_send(Request::Create(create)) {
            Ok(()) => awaited("number a creation", told).await,
            Err(mpsc::error::TrySendError::Full(_)) => Ok(FULL),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(closed("number a creation")),
        }
    }

    /// Runs `work` in a transaction, which it may share with others, and answers after the commit.
    ///
    /// Where `work` fails, what it wrote is undone.
    pub(crate) async fn write<T, F>(&self, operation: &'static str, work: F) -> Result<T, PortError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>
            + Send
            + 'static,
    {
        let (answer, told) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            Box::pin(async move {
                let result = work(connection).await;
                let succeeded = result.is_ok();
                let tell = Box::new(move |commit: Result<(), Failure>| {
                    let result = match (result, commit) {
                        (Ok(value), Ok(())) => Ok(value),
                        (Ok(_), Err(failure)) => Err(failure.told(operation)),
                        (Err(error), _) => Err(port_error(operation, error)),
                    };
                    // A caller that has given up is not told.
                    drop(answer.send(result));
                });
                Done { succeeded, tell }
            })
        });
        let sent = timeout(PATIENCE, self.requests.send(Request::Work(work))).await;
        match sent {
            Ok(Ok(())) => awaited(operation, told).await,
            Ok(Err(_)) => Err(closed(operation)),
            Err(_) => Err(too_late(operation)),
        }
    }

    /// Finishes what was handed in, checkpoints the write-ahead log, and stops.
    pub(crate) async fn close(&self) {
        drop(self.requests.send(Request::Close).await);
        let task = self
            .task
            .lock()
            .expect("no holder of the lock panics")
            .take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(
                error = %Chain(&error),
                "the task that writes to the database ended with an error"
            );
        }
    }
}

/// The answer while too much is waiting.
const FULL: Numbering = Numbering::Overloaded {
    by: Overload::Backlog,
    retry_after: Duration::from_secs(1),
};

/// Returns a creation's share of [`WAITING_KIB`]: the size of its body, and 1 for the rest.
fn kibibytes(submission: &Submission) -> u32 {
    let bytes = match &submission.draft.content {
        Content::Chat { .. } => 0,
        Content::Message { body, .. } => body.as_str().len(),
    };
    u32::try_from(bytes / 1_024)
        .unwrap_or(u32::MAX)
        .saturating_add(1)
}

async fn awaited<T>(
    operation: &'static str,
    told: oneshot::Receiver<Result<T, PortError>>,
) -> Result<T, PortError> {
    match timeout(PATIENCE, told).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(given_up(operation)),
        Err(_) => Err(too_late(operation)),
    }
}

fn given_up(operation: &'static str) -> PortError {
    let what = "the transaction that it shared with other requests failed";
    writer_error(PortErrorKind::Unavailable, operation, what.to_owned())
}

fn closed(operation: &'static str) -> PortError {
    writer_error(
        PortErrorKind::Unavailable,
        operation,
        "the writer has stopped".to_owned(),
    )
}

fn too_late(operation: &'static str) -> PortError {
    writer_error(
        PortErrorKind::Timeout,
        operation,
        "the writer is busy".to_owned(),
    )
}

async fn run(
    mut connection: SqliteConnection,
    mut commits: Commits,
    mut waiting: mpsc::Receiver<Request>,
) {
    let mut requests = Vec::with_capacity(TOGETHER);
    let mut open = true;
    while open && waiting.recv_many(&mut requests, TOGETHER).await > 0 {
        let mut creates = Vec::with_capacity(requests.len());
        let mut works = Vec::new();
        for request in requests.drain(..) {
            match request {
                Request::Create(create) => creates.push(create),
                Request::Work(work) => works.push(work),
                Request::Close => open = false,
            }
        }
        commit_together(&mut connection, &mut commits, creates, works).await;
    }
    if let Err(error) = connection.close().await {
        tracing::warn!(
            error = %Chain(&error),
            "closing the database failed"
        );
    }
}

/// Writes everything in one transaction, and tells each caller how it ended.
///
/// Callers do not wait for each other before they hand something in, so any order is right; work
/// goes first, since creations cannot undo one another.
async fn commit_together(
    connection: &mut SqliteConnection,
    commits: &mut Commits,
    mut creates: Vec<Create>,
    works: Vec<Work>,
) {
    // A caller that has given up is told nothing, and creates nothing.
    creates.retain(|create| !create.answer.is_closed());
    let mut done = Vec::with_capacity(works.len());
    match transact(connection, commits, &creates, works, &mut done).await {
        Ok(numberings) => {
            for (create, numbering) in creates.into_iter().zip(numberings) {
                drop(create.answer.send(Ok(numbering)));
            }
            for done in done {
                (done.tell)(Ok(()));
            }
        }
        Err(failure) => {
            tracing::error!(error = failure.what, "a database transaction failed");
            for done in done {
                (done.tell)(Err(failure.clone()));
            }
            if failure.kind.is_retryable() || creates.len() < 2 {
                for create in creates {
                    drop(create.answer.send(Err(failure.told("number a creation"))));
                }
                return;
            }
            // One of them may be at fault: each is tried alone, so that the others do not suffer from it.
            for create in creates {
                let alone = std::slice::from_ref(&create);
                let (works, mut done) = (Vec::new(), Vec::new());
                let answer = transact(connection, commits, alone, works, &mut done).await;
                let answer = match answer.as_deref() {
                    Ok([numbering]) => Ok(numbering.clone()),
                    Ok(_) => Err(given_up("number a creation")),
                    Err(failure) => Err(failure.told("number a creation")),
                };
                drop(create.answer.send(answer));
            }
        }
    }
}

/// Runs one transaction to its commit, or undoes all of it.
async fn transact(
    connection: &mut SqliteConnection,
    commits: &mut Commits,
    creates: &[Create],
    works: Vec<Work>,
    done: &mut Vec<Done>,
) -> Result<Vec<Numbering>, Failure> {
    let outcome = statements(connection, commits, creates, works, done).await;
    if outcome.is_err()
        // SQLite may have ended the transaction itself; then there is nothing to undo.
        && let Err(error) = sqlx::query("ROLLBACK").execute(connection).await
    {
        tracing::debug!(
            error = %Chain(&error),
            "the transaction could not be rolled back; SQLite may have done so itself"
        );
    }
    outcome
}

async fn statements(
    connection: &mut SqliteConnection,
    commits: &mut Commits,
    creates: &[Create],
    works: Vec<Work>,
    done: &mut Vec<Done>,
) -> Result<Vec<Numbering>, Failure> {
    run_sql(connection, "BEGIN IMMEDIATE").await?;
    // After a failure the rest of the work is dropped without being run, and its callers get `given_up`.
    for work in works {
        run_sql(connection, "SAVEPOINT work").await?;
        done.push(work(connection).await);
        if done.last().is_some_and(|it| !it.succeeded) {
            run_sql(connection, "ROLLBACK TO work").await?;
        }
        run_sql(connection, "RELEASE work").await?;
    }
    let submissions: Vec<_> = creates.iter().map(|create| &create.submission).collect();
    let numberings = creating::create(connection, &submissions).await;
    let numberings = numberings.map_err(|error| Failure::of(&error))?;
    let creates = |it: &Numbering| matches!(it, Numbering::Accepted { .. });
    let count = commits
        .count(connection, numberings.iter().any(creates))
        .await;
    let count = count.map_err(|error| Failure::of(&error))?;
    run_sql(connection, "COMMIT").await?;
    if let Some(count) = count {
        commits.note(count);
    }
    Ok(numberings)
}

async fn run_sql(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), Failure> {
    let run = sqlx::query(sql).execute(connection).await;
    run.map(drop).map_err(|error| Failure::of(&error))
}
